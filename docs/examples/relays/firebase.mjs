// Two functions of Firebase (1st gen). Set WEBHOOK_URL and WEBHOOK_SECRET; send_webhook.mjs lies beside it.
import { auth } from "firebase-functions/v1";
import { send } from "./send_webhook.mjs";

function about(user) {
  return { id: user.uid, email: user.email ?? null, name: user.displayName ?? null, avatar_url: user.photoURL ?? null };
}

export const created = auth.user().onCreate((user, context) =>
  send(context.eventId, { type: "user.created", timestamp: context.timestamp, data: about(user) }));

export const deleted = auth.user().onDelete((user, context) =>
  send(context.eventId, { type: "user.deleted", timestamp: context.timestamp, data: { id: user.uid } }));

// Firebase has no trigger for changes: call this where your own code changes a profile.
export async function changed(user) {
  const timestamp = new Date().toISOString();
  await send(`${user.uid}-${timestamp}`, { type: "user.updated", timestamp, data: about(user) });
}
