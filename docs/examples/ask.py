import json, os, urllib.parse, urllib.request

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

API = os.environ["USERS_URL"].removesuffix("/users")  # the stack's output UsersUrl
session = boto3.Session()


def ask(method, path, **fields):
    body = json.dumps(fields).encode() if fields else b""
    request = AWSRequest(method, API + path, {"content-type": "application/json"}, body)
    SigV4Auth(session.get_credentials(), "execute-api", session.region_name).add_auth(request)
    call = urllib.request.Request(API + path, body or None, dict(request.headers), method=method)
    with urllib.request.urlopen(call, timeout=30) as answer:
        return json.load(answer)


def whop_user(user_id):
    return ask("GET", f"/users/{urllib.parse.quote(user_id, safe='')}")


def chat_token(user_id):
    """For your own endpoint, which knows who is signed in. The browser never talks to this API."""
    return ask("POST", f"/users/{urllib.parse.quote(user_id, safe='')}/chat-token")["token"]
