import { createHmac } from "node:crypto";

/** Sends one event, such as a row of your outbox. After a failure send the same id and event again. */
export async function send(id, event) {
  const [body, timestamp] = [JSON.stringify(event), String(Math.floor(Date.now() / 1000))];
  const key = Buffer.from(process.env.WEBHOOK_SECRET.replace("whsec_", ""), "base64");
  const signature = createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64");
  const headers = {
    "content-type": "application/json", "webhook-id": id, "webhook-timestamp": timestamp,
    "webhook-signature": `v1,${signature}`,
  };
  const answer = await fetch(process.env.WEBHOOK_URL, { method: "POST", headers, body });
  if (!answer.ok) throw new Error(`answered ${answer.status}: the event is not stored`);
}
