import os
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks import Webhook, WebhookVerificationError  # pip install standardwebhooks

STATES = {f"user.{state}" for state in "enrolled enrollment_failed recovered suspended restored deleted".split()}
webhook = Webhook(os.environ["ANNOUNCEMENT_SECRET"])
users = {}  # by your id: a table of your database


class Announcements(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            announcement = webhook.verify(body, dict(self.headers.items()))
        except (WebhookVerificationError, ValueError):  # not signed with this secret, or too long ago
            return self.send_error(401)
        new = {"state": announcement["type"], **announcement["data"]}
        if new["state"] in STATES and new["version"] > users.get(new["user_id"], {"version": 0})["version"]:
            users[new["user_id"]] = new  # else it came before, or a later one did
            print(new["user_id"], new["state"], new.get("whop_user_id") or new.get("reason", ""), flush=True)
        self.send_response(204)
        self.end_headers()


HTTPServer(("127.0.0.1", int(os.environ.get("PORT", "3000"))), Announcements).serve_forever()
