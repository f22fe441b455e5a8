"""A Lambda function URL for Hanko's webhooks. Set HANKO_JWKS_URL, WEBHOOK_URL and WEBHOOK_SECRET.

send_webhook.py lies beside it. Needs the package pyjwt[crypto]. Only what the token holds is signed.
"""

import json
import os

import jwt
from send_webhook import send

KEYS = jwt.PyJWKClient(os.environ["HANKO_JWKS_URL"])  # https://TENANT.hanko.io/.well-known/jwks.json


def handler(request, context):
    token = json.loads(request["body"])["token"]
    try:
        key = KEYS.get_signing_key_from_jwt(token).key
        event = jwt.decode(token, key, algorithms=["RS256"], options={"verify_aud": False})
    except jwt.InvalidTokenError:
        return {"statusCode": 401}
    user, kind = event["data"], event["evt"].split(".")[1]
    types = {"create": "user.created", "update": "user.updated", "delete": "user.deleted"}
    if kind in types:
        emails = user.get("emails") or []
        email = next((each["address"] for each in emails if each.get("is_primary")), None)
        data = {"id": user["id"], "email": email, "updated_at": user.get("updated_at")}
        send(f"{user['id']}-{event['iat']}", {"type": types[kind], "timestamp": event["iat"], "data": data})
    return {"statusCode": 200}
