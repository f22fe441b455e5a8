"""The files in events/: what the functions are handed on AWS, for `sam local invoke`. Written here, never by hand.

Everything in them is fixed but the time: signatures are good for five minutes, and workers give old events up.
"""

import base64
import hashlib
import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from fake_whop import PLATFORM_COMPANY
from local_stack import ROOT
from local_stack.announced import ANNOUNCEMENTS_PATH
from local_stack.deployment import SWITCHED_ON
from local_stack.places import Places, agreed
from local_stack.sending import SECRET, Delivery, body
from local_stack.whop_webhooks import sample, signed
from whop_sync.announcements import Announcement, announcement_id
from whop_sync.events import ProfileField, UserEvent
from whop_sync.whop.client import AccountLinkUseCase

FOLDER = ROOT / "events"
STACK = "whop-user-sync-local"
AGREED = agreed()
HOST = "host.docker.internal"
"""This machine, seen from a container that `sam local invoke` starts."""

type Event = dict[str, Any]
"""What a function is handed, as parsed JSON."""

_LOOK_UP, _MINT = "GET /users/{user_id}", "POST /users/{user_id}/chat-token"
_ENROLL = "PUT /users/{user_id}"
_LINK, _PAYOUT = "POST /users/{user_id}/account-link", "POST /users/{user_id}/payout-token"
_ACCOUNT = "000000000000"
_REGION = "us-east-1"

_SIGNED_UP = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)
_CHANGED = datetime(2026, 2, 10, 17, 45, tzinfo=UTC)
_NEW_NAME = "Ada King, Countess of Lovelace"

_ADA = {"id": "12345", "email": "ada@people.test", "name": "Ada Lovelace"}
_GRACE = {"id": "67890", "email": "grace@people.test"}
_DELIVERIES = {
    "user_created": Delivery(body("created", _ADA, at=_SIGNED_UP), "msg_sample_user_created"),
    "profile_updated": Delivery(body("updated", {**_ADA, "name": _NEW_NAME}, at=_CHANGED), "msg_sample_updated"),
}


def _message(
    kind: Literal["created", "updated"], event_id: str, at: datetime, profile: dict[ProfileField, str | None]
) -> UserEvent:
    microseconds = int(at.timestamp()) * 1_000_000
    return UserEvent(
        kind=kind,
        event_id=event_id,
        user_id=_ADA["id"],
        version=microseconds,
        event_time=microseconds,
        standing="active" if kind == "created" else None,
        email=_ADA["email"],
        profile=profile,
    )


_MESSAGES = {
    "user_created": _message("created", "msg_sample_user_created", _SIGNED_UP, {"name": _ADA["name"]}),
    "profile_updated": _message("updated", "msg_sample_updated", _CHANGED, {"name": _NEW_NAME}),
    "picture_removed": _message("updated", "msg_sample_picture_removed", _CHANGED, {"picture": None}),
}


_ENROLLED = Announcement(
    id=announcement_id(_ADA["id"], 1, "user.enrolled"),
    type="user.enrolled",
    user_id=_ADA["id"],
    version=1,
    occurred_at=_SIGNED_UP.timestamp(),
    data={"whop_user_id": "user_sample", "whop_company_id": "biz_sample"},
)


def samples(at: datetime, places: Places = AGREED) -> dict[Path, str]:
    """Every file below events/ with its text, as if all had been sent at that time to a stack at these places."""
    documents = {**events(at, places), "env.json": variables(places)}
    return {
        FOLDER / name: json.dumps(document, indent=2, ensure_ascii=False) + "\n" for name, document in documents.items()
    }


def events(at: datetime, places: Places = AGREED, *, secret: str = SECRET) -> dict[str, Event]:
    """Every sample event by its path below events/, as if it had been sent at that time. `secret` signs webhooks."""
    picture = f"http://{HOST}:{places.pictures}/c2410c.png"
    with_picture = Delivery(body("created", {**_ADA, "avatar_url": picture}, at=_SIGNED_UP), "msg_sample_with_picture")
    return {
        "user_created/user_created.json": _event("user-created", _MESSAGES["user_created"], at),
        "user_created/user_created_with_picture.json": _event(
            "user-created",
            _message("created", with_picture.id, _SIGNED_UP, {"name": _ADA["name"], "picture": picture}),
            at,
        ),
        "profile_updated/profile_updated.json": _event("profile-updated", _MESSAGES["profile_updated"], at),
        "profile_updated/picture_removed.json": _event("profile-updated", _MESSAGES["picture_removed"], at),
        "announce/user_enrolled.json": _sqs(
            "announcements", _ENROLLED.id, _ENROLLED.to_json(), at, sent_by="user-created"
        ),
        "look_up_user/user.json": _asked(_LOOK_UP, "/users/12345", at, user_id="12345"),
        "look_up_user/id_in_query.json": _asked(_LOOK_UP, "/users/-", at, query="user_id=shop%2F12345", user_id="-"),
        "enroll_user/new_user.json": _enrolled("created", {**_GRACE, "name": "Grace Hopper"}, _SIGNED_UP, at),
        "enroll_user/new_name.json": _enrolled("updated", {**_GRACE, "name": "Amazing Grace"}, _CHANGED, at),
        "mint_chat_token/for_an_hour.json": _asked(_MINT, "/users/12345/chat-token", at, user_id="12345"),
        "mint_chat_token/for_ten_minutes.json": _asked(
            _MINT, "/users/12345/chat-token", at, body='{"expires_in_seconds": 600}', user_id="12345"
        ),
        "account_link/payouts_portal.json": _link("payouts_portal", at),
        "account_link/account_onboarding.json": _link("account_onboarding", at),
        "payout_token/all_actions.json": _asked(_PAYOUT, "/users/12345/payout-token", at, user_id="12345"),
        "payout_token/one_action.json": _asked(
            _PAYOUT,
            "/users/12345/payout-token",
            at,
            body='{"actions": ["company:balance:read"], "expires_in_seconds": 300}',
            user_id="12345",
        ),
        "receive_webhook/user_created.json": _webhook(_DELIVERIES["user_created"], at, secret),
        "receive_webhook/profile_updated.json": _webhook(_DELIVERIES["profile_updated"], at, secret),
        # What API Gateway makes of a body whose content type it takes for binary.
        "receive_webhook/base64_body.json": _webhook(with_picture, at, secret, encoded=True),
        "receive_whop_webhook/payout_updated.json": _whop_webhook(at),
        # What EventBridge says of an object that was put into the import bucket.
        "import_users/plan.json": {"bucket": {"name": f"{STACK}-import"}, "object": {"key": "users/users.csv"}},
    }


def write(at: datetime | None = None) -> list[Path]:
    """Writes all files and returns their paths."""
    files = samples(at or datetime.now(UTC))
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(files)


def _webhook(delivery: Delivery, at: datetime, secret: str, *, encoded: bool = False) -> dict[str, Any]:
    text = base64.b64encode(delivery.content).decode() if encoded else delivery.content.decode()
    headers = {**delivery.headers(secret=secret, at=at), "content-length": str(len(delivery.content))}
    return {
        **_http("POST /webhooks", "/webhooks", at, id_=delivery.id, headers=headers, body=text),
        "isBase64Encoded": encoded,
    }


def _whop_webhook(at: datetime) -> dict[str, Any]:
    """Whop's own, about an account that no user has."""
    data = {"id": "wdrl_sample", "status": "completed", "status_detail": "completed"}
    delivery = Delivery(sample("payout.updated", "biz_sample", data, at=_CHANGED), "msg_sample_payout_updated")
    headers = {**signed(delivery, at=at), "content-length": str(len(delivery.content))}
    text = delivery.content.decode()
    http = _http("POST /whop-webhooks", "/whop-webhooks", at, id_=delivery.id, headers=headers, body=text)
    return {**http, "isBase64Encoded": False}


def _asked(
    route: str, path: str, at: datetime, *, query: str = "", body: str = "", **parameters: str
) -> dict[str, Any]:
    """A request of the platform's backend, let in by API Gateway."""
    headers = {"content-type": "application/json", "content-length": str(len(body))} if body else {}
    event = _http(route, path, at, id_=f"{route} {path}{query}{body}", headers=headers, body=body)
    iam = {
        "accessKey": "AKIASAMPLE",
        "accountId": _ACCOUNT,
        "callerId": "AIDASAMPLE",
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": f"arn:aws:iam::{_ACCOUNT}:user/backend",
        "userId": "AIDASAMPLE",
    }
    event["requestContext"]["authorizer"] = {"iam": iam}
    return {**event, "rawQueryString": query, "pathParameters": parameters, "isBase64Encoded": False}


def _link(use_case: AccountLinkUseCase, at: datetime) -> dict[str, Any]:
    back = f"https://{SWITCHED_ON['AccountLinkHosts']}"
    wishes = {"use_case": use_case, "return_url": f"{back}/payouts", "refresh_url": f"{back}/payouts/again"}
    return _asked(_LINK, "/users/12345/account-link", at, body=json.dumps(wishes), user_id="12345")


def _enrolled(
    kind: Literal["created", "updated"], user: Mapping[str, str], changed: datetime, at: datetime
) -> dict[str, Any]:
    """A request that enrolls or updates a user while the backend waits."""
    content = body(kind, user, at=changed).decode()
    return _asked(_ENROLL, f"/users/{user['id']}", at, body=content, user_id=user["id"])


def _http(route: str, path: str, at: datetime, *, id_: str, headers: Mapping[str, str], body: str) -> dict[str, Any]:
    """An HTTP API event, payload format 2.0."""
    domain = f"sample.execute-api.{_REGION}.amazonaws.com"
    headers = {
        **headers,
        "accept": "*/*",
        "host": domain,
        "user-agent": "sample-platform/1.0",
        "x-forwarded-for": "203.0.113.10",
        "x-forwarded-port": "443",
        "x-forwarded-proto": "https",
    }
    return {
        "version": "2.0",
        "routeKey": route,
        "rawPath": path,
        "rawQueryString": "",
        "headers": dict(sorted(headers.items())),
        "requestContext": {
            "accountId": _ACCOUNT,
            "apiId": "sample",
            "domainName": domain,
            "domainPrefix": "sample",
            "http": {
                "method": route.partition(" ")[0],
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.10",
                "userAgent": "sample-platform/1.0",
            },
            "requestId": _fixed_id("request", id_),
            "routeKey": route,
            "stage": "$default",
            "time": at.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": _milliseconds(at),
        },
        **({"body": body} if body else {}),
    }


def _event(queue: str, event: UserEvent, at: datetime) -> dict[str, Any]:
    return _sqs(queue, event.event_id, event.to_json(), at, sent_by="receive-webhook")


def _sqs(queue: str, id_: str, message: str, at: datetime, *, sent_by: str) -> dict[str, Any]:
    """The batch of one that Lambda makes of what a function sent to a queue."""
    return {
        "Records": [
            {
                "messageId": _fixed_id("message", id_),
                "receiptHandle": base64.b64encode(_fixed_id("receipt", id_).encode()).decode(),
                "body": message,
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": str(_milliseconds(at)),
                    "SenderId": f"AROASAMPLE:{STACK}-{sent_by}",
                    "ApproximateFirstReceiveTimestamp": str(_milliseconds(at)),
                },
                "messageAttributes": {},
                "md5OfBody": hashlib.md5(message.encode(), usedforsecurity=False).hexdigest(),
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:{_REGION}:{_ACCOUNT}:{STACK}-{queue}",
                "awsRegion": _REGION,
            }
        ]
    }


def variables(places: Places) -> dict[str, dict[str, str]]:
    """For `sam local invoke --env-vars`: the functions in containers, everything they talk to in a local stack."""
    engine = f"http://{HOST}:{places.engine}"

    def queue(name: str) -> str:
        return f"{engine}/{_ACCOUNT}/{STACK}-{name}"

    everywhere = {"AWS_ENDPOINT_URL": engine}
    reader = {**everywhere, "USER_MAPPINGS_TABLE": f"{STACK}-user-mappings"}
    caller = {
        **reader,
        "WHOP_ENVIRONMENT": "sandbox",
        "WHOP_COMPANY_ID": PLATFORM_COMPANY,
        "WHOP_API_URL": f"http://{HOST}:{places.whop}/api/v1",
        "WHOP_API_KEY_ARN": f"{STACK}/whop-api-key",
    }
    worker = {
        **caller,
        "PICTURE_ALLOWED_ORIGIN": f"http://{HOST}:{places.pictures}",
        "ANNOUNCEMENTS_QUEUE_URL": queue("announcements"),
    }

    def worker_of(name: str) -> dict[str, str]:
        return {**worker, "QUEUE_URL": queue(name), "DEAD_LETTER_QUEUE_URL": queue(f"{name}-dead-letters")}

    return {
        "ReceiveWebhookFunction": {
            **everywhere,
            "WEBHOOK_SIGNING_SECRETS_ARN": f"{STACK}/webhook-signing-secrets",
            "USER_CREATED_QUEUE_URL": queue("user-created"),
            "PROFILE_UPDATED_QUEUE_URL": queue("profile-updated"),
            "PARKED_DELIVERIES_QUEUE_URL": queue("parked-deliveries"),
        },
        "WhopWebhooksFunction": {
            **everywhere,
            "WHOP_WEBHOOK_SECRETS_ARN": f"{STACK}/whop-webhook-secrets",
            "ANNOUNCEMENTS_QUEUE_URL": queue("announcements"),
        },
        "UserCreatedFunction": worker_of("user-created"),
        "ProfileUpdatedFunction": worker_of("profile-updated"),
        "AnnounceFunction": {
            **reader,
            "WHOP_ENVIRONMENT": "sandbox",
            "ANNOUNCE_TO": "webhook",
            "PLATFORM_URL": f"http://{HOST}:{places.announcements}{ANNOUNCEMENTS_PATH}",
            "PLATFORM_ALLOWED_ORIGIN": f"http://{HOST}:{places.announcements}",
            "ANNOUNCEMENT_SECRETS_ARN": f"{STACK}/announcement-secrets",
            "QUEUE_URL": queue("announcements"),
            "DEAD_LETTER_QUEUE_URL": queue("announcements-dead-letters"),
        },
        "LookUpUserFunction": reader,
        "EnrollUserFunction": {
            **worker,
            "USER_CREATED_QUEUE_URL": queue("user-created"),
            "PROFILE_UPDATED_QUEUE_URL": queue("profile-updated"),
        },
        "MintChatTokenFunction": caller,
        "AccountLinkFunction": {**caller, "ACCOUNT_LINK_HOSTS": SWITCHED_ON["AccountLinkHosts"]},
        "PayoutTokenFunction": {**caller, "PAYOUT_TOKEN_ACTIONS": SWITCHED_ON["PayoutTokenActions"]},
        "ImportUsersFunction": {**everywhere, "USER_CREATED_QUEUE_URL": queue("user-created")},
    }


def _fixed_id(kind: str, event_id: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}/{event_id}"))


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp()) * 1000
