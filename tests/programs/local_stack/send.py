"""`make send`: one signed webhook to what `make up` left running, and what came of it."""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from local_stack.deployment import WORKERS, Deployment
from local_stack.errors import UsageError
from local_stack.sending import Delivery, body
from local_stack.terminal import Terminal
from local_stack.up import Running
from local_stack.waiting import becomes_true

PATIENCE_SECONDS = 30
_KEYS = {"NAME": "name", "EMAIL": "email", "PICTURE": "avatar_url"}
_SHOWN = ("status", "standing", "whop_user_id", "whop_company_id", "last_error")


def run(terminal: Terminal, found: Running, environment: Mapping[str, str]) -> bool:
    """Sends what TYPE, USER_ID, NAME, EMAIL and PICTURE say and waits for that event. Returns whether it was handled.

    Raises UsageError.
    """
    if found.settings.preset != "standard":
        raise UsageError(
            f"What is running takes the webhooks of {found.settings.preset}; `make send` sends the recommended body."
        )
    kind, user = _wanted(found, environment)
    delivery = Delivery(body(kind, user))
    sent_at = datetime.now(UTC)
    answer = delivery.send(found.webhook_url, secret=found.signing_secret)
    terminal.line(f"user.{kind} of user {user['id']}, {delivery.id}: answered {answer.status_code}")
    if not answer.is_success:
        return False
    with terminal.step("handling it"):
        handled = becomes_true(lambda: _outcome(found.deployment, delivery.id, sent_at) is not None, PATIENCE_SECONDS)
    outcome = _outcome(found.deployment, delivery.id, sent_at)
    row = found.deployment.row(f"user#{user['id']}") or {}
    for name, value in {"outcome": outcome, **{name: row.get(name) for name in _SHOWN}}.items():
        if value is not None:
            terminal.line(f"{name:16}{value}")
    if not handled:
        terminal.line(f"It is not done after {PATIENCE_SECONDS} s; the queue goes on trying. make trace shows why:")
        terminal.line(f"make trace DELIVERY={delivery.id}")
    for reason in _reasons(found.deployment, delivery.id) if outcome == "parked" else []:
        terminal.line(reason)
    terminal.line(f"see {found.whop_page}")
    return handled and outcome != "parked"


def _wanted(found: Running, environment: Mapping[str, str]) -> tuple[Any, dict[str, str]]:
    given = {name: environment[name] for name in ("TYPE", "USER_ID", *_KEYS) if name in environment}
    kind = given.get("TYPE", "created")
    if kind not in ("created", "updated", "deleted"):
        raise UsageError("TYPE is created, updated or deleted.")
    if kind != "created" and "USER_ID" not in given:
        raise UsageError("Which user? Say USER_ID=...")
    moment = int(time.time())
    user = {"id": given.get("USER_ID", str(10000 + moment % 90000))}
    if kind == "created":
        # The name of a domain that the stand-in for Whop takes: it refuses example.com, as Whop does.
        user |= {"email": f"user-{user['id']}@people.test", "name": f"User {user['id']}"}
        user["avatar_url"] = f"{found.pictures_origin}/{moment % 0x1000000:06x}.png"
    return kind, user | {key: given[name] for name, key in _KEYS.items() if name in given}


def _outcome(deployment: Deployment, delivery_id: str, since: datetime) -> str | None:
    """How the event of a delivery ended, by the functions' logs; None while it is under way or waits to be retried."""
    for function in ("receive-webhook", *WORKERS):
        for line in deployment.log_lines(function, since=since - timedelta(seconds=1)):
            entry = json.loads(line) if line.startswith("{") and delivery_id in line else {}
            if entry.get("message") in ("event", "delivery") and entry["outcome"] not in ("accepted", "retried"):
                return str(entry["outcome"])
    return None


def _reasons(deployment: Deployment, delivery_id: str) -> list[str]:
    """Why the event of a delivery was parked, with Whop's own words where it refused something."""
    for queue in ("parked-deliveries", *(f"{worker}-dead-letters" for worker in WORKERS)):
        for message in deployment.messages(queue, hidden_for=1):
            detail = {name: value["StringValue"] for name, value in message.get("MessageAttributes", {}).items()}
            if detail.get("event_id") == delivery_id:
                reasons = [f"{detail['reason']}: {detail['explanation']}"]
                return reasons + ([f"Whop: {detail['whop_message']}"] if detail.get("whop_message") else [])
    return []
