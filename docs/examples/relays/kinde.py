"""A Lambda function URL for Kinde's webhooks. Set KINDE_JWKS_URL, WEBHOOK_URL and WEBHOOK_SECRET.

send_webhook.py lies beside it. Needs the package pyjwt[crypto].
"""

import os

import jwt
from send_webhook import send

KEYS = jwt.PyJWKClient(os.environ["KINDE_JWKS_URL"])  # https://YOU.kinde.com/.well-known/jwks


def handler(request, context):
    token = request["body"]
    try:
        event = jwt.decode(token, KEYS.get_signing_key_from_jwt(token).key, algorithms=["RS256"])
    except jwt.InvalidTokenError:
        return {"statusCode": 401}
    user = event["data"].get("user", {})
    if event["type"] in ("user.created", "user.updated", "user.deleted"):
        data = {"id": user["id"]}
        if event["type"] != "user.deleted":
            name = f"{user.get('first_name') or ''} {user.get('last_name') or ''}".strip()
            data |= {"email": user.get("email"), "name": name, "suspended": user.get("is_suspended", False)}
        send(event["event_id"], {"type": event["type"], "timestamp": event["event_timestamp"], "data": data})
    return {"statusCode": 200}
