import { createHmac, randomUUID } from "node:crypto";

export async function send(type, user) {
  const body = JSON.stringify({ type, timestamp: new Date().toISOString(), data: user });
  const [id, timestamp] = [`msg_${randomUUID()}`, String(Math.floor(Date.now() / 1000))];
  const key = Buffer.from(process.env.WEBHOOK_SECRET.replace("whsec_", ""), "base64");
  const signature = createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64");
  const headers = {
    "content-type": "application/json", "webhook-id": id, "webhook-timestamp": timestamp,
    "webhook-signature": `v1,${signature}`,
  };
  const answer = await fetch(process.env.WEBHOOK_URL, { method: "POST", headers, body });
  if (!answer.ok) throw new Error(`answered ${answer.status}: send it again later`);
}
