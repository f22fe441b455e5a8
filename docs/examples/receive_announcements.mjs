import { createServer } from "node:http";
import { Webhook } from "standardwebhooks"; // npm install standardwebhooks

const states = ["enrolled", "enrollment_failed", "recovered", "suspended", "restored", "deleted"].map((state) => `user.${state}`);
const webhook = new Webhook(process.env.ANNOUNCEMENT_SECRET);
const users = new Map(); // by your id: a table of your database

createServer(async (request, response) => {
  const chunks = await request.toArray();
  let announcement;
  try {
    announcement = webhook.verify(Buffer.concat(chunks).toString(), request.headers);
  } catch {
    return response.writeHead(401).end(); // not signed with this secret, or too long ago
  }
  const state = { state: announcement.type, ...announcement.data };
  if (states.includes(state.state) && state.version > (users.get(state.user_id)?.version ?? 0)) {
    users.set(state.user_id, state); // else it came before, or a later one did
    console.log(state.user_id, state.state, state.whop_user_id ?? state.reason ?? "");
  }
  response.writeHead(204).end();
}).listen(Number(process.env.PORT ?? 3000), "127.0.0.1");
