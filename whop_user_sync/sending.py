"""Webhooks as a platform posts them: the sample bodies of a preset, made about one user, and signed by any scheme.

The samples are this project's own, in the form that each platform documents. They ship with the tool.
"""

import base64
import hmac
import json
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from whop_sync.errors import Malformed
from whop_sync.events import Kind, UserEvent
from whop_sync.receiving.expressions import find
from whop_sync.receiving.payloads import identify, parse, read
from whop_sync.receiving.platforms import Platform
from whop_sync.receiving.signatures import (
    CONTENTS,
    PLACEHOLDER,
    Hmac,
    Jwt,
    Scheme,
    Standard,
    Token,
    parse_secrets,
)
from whop_sync.standard_webhooks import sign
from whop_sync.times import iso
from whop_sync.values import microseconds
from whop_user_sync.preview.captured import header_lines

_INSTALLED = Path(__file__).with_name("payloads")
SAMPLES = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).resolve().parents[1] / "tests" / "payloads"
"""A folder a preset."""

TOKEN_SECONDS = 300
"""How long a JSON Web Token that is made here is valid."""


class UnknownSampleError(Exception):
    """There is no sample of this event, and the message lists those there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A body, and the headers that it is read by besides those that prove it.

    `name` is what its sender calls the event, `event_id` the id that its body gives it, and `event` what the receiver
    makes of it; each is None if the body says nothing of the kind.
    """

    body: bytes
    headers: Mapping[str, str]
    name: str | None
    event_id: str | None
    event: UserEvent | None


def read_webhook(body: bytes, headers: Mapping[str, str], platform: Platform, *, now: float) -> Webhook:
    """Reads a body as the receiver does at this moment, in Unix seconds."""
    name, event_id, event = None, None, None
    with suppress(Malformed):
        document = parse(body, headers, received_at=now)
        event_id = identify(document, platform.preset)
        name = str(find(platform.preset.event, document) or "") or None
        event = read(document, platform.preset, event_id=event_id or "")
    return Webhook(body=body, headers=headers, name=name, event_id=event_id, event=event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """What a sample shall say of its user. None leaves what it says, but a picture goes: its URL would lead nowhere."""

    user_id: str
    email: str | None = None
    name: str | None = None
    picture: str | None = None


def sample(preset: str, platform: Platform, event: str, *, now: float) -> Webhook:
    """The sample of a preset whose event, or whose kind of event, this is. Raises UnknownSampleError."""
    events: list[str] = []
    files = (SAMPLES / preset).glob("*.json")
    for file in sorted(files, key=_plain_first):
        found = file.with_suffix(".headers")
        headers = header_lines(found.read_text()) if found.exists() else {}
        webhook = read_webhook(file.read_bytes(), headers, platform, now=now)
        if event in (webhook.name, file.stem, webhook.event and webhook.event.kind):
            return webhook
        events.append(f"{file.stem} ({webhook.name})")
    raise UnknownSampleError(
        f"There is no sample of {event} for {preset}, only {', '.join(events)}."
        if events
        else f"There are no samples for {preset}: post a body of yours with --file."
    )


def _plain_first(file: Path) -> tuple[bool, str]:
    return file.stem not in get_args(Kind.__value__), file.stem


def about(webhook: Webhook, platform: Platform, person: Person, *, now: float) -> Webhook:
    """The same webhook about this person, true at this moment (Unix seconds)."""
    event = webhook.event
    if event is None:
        return webhook
    changes: dict[str, str | None] = {event.user_id: person.user_id}
    if webhook.event_id:
        changes[webhook.event_id] = f"{webhook.event_id}-{secrets.token_hex(6)}"  # a sender never uses one twice
    if event.email and person.email:
        changes[event.email] = person.email
    if picture := event.profile.get("picture"):
        changes[picture] = person.picture
    name = event.profile.get("name")
    if name and person.name:
        first, _, last = person.name.partition(" ")
        old_first, _, old_last = name.partition(" ")
        changes |= {old_last: last, old_first: first, name: person.name} if old_last else {name: person.name}
    moments = {event.version, event.event_time} - {0}
    body = json.dumps(_changed(json.loads(webhook.body), changes, moments, now), ensure_ascii=False).encode()
    # Appwrite's list of events, in a header, names the user too; Shopify's id of the event is a header.
    in_headers = {key: changes[key] or "" for key in (webhook.event_id, event.user_id) if key}
    headers = {name: _replaced(value, in_headers) for name, value in webhook.headers.items()}
    return read_webhook(body, headers, platform, now=now)


def _replaced(text: str, changes: Mapping[str, str]) -> str:
    for old, new in changes.items():
        text = text.replace(old, new)
    return text


def signed_headers(scheme: Scheme, body: bytes, secret: str, *, delivery_id: str, now: float) -> dict[str, str]:
    """The headers that prove a body. `secret` is stored as an operator pastes it.

    Raises ValueError if it cannot be a secret of this scheme, with a sentence that holds no part of it.
    """
    keys = parse_secrets(secret if secret.lstrip().startswith("[") else json.dumps([secret]), scheme)
    match scheme:
        case Standard():
            timestamp = str(int(now))
            signature = f"v1,{sign(keys[0], delivery_id, timestamp, body)}"
            return {"webhook-id": delivery_id, "webhook-timestamp": timestamp, "webhook-signature": signature}
        case Hmac():
            return _hmac_headers(scheme, body, keys[0], delivery_id, now)
        case Token():
            [pasted, *_] = json.loads(secret) if secret.lstrip().startswith("[") else [secret]
            has_word = pasted.lower().startswith((scheme.prefix.lower() or "bearer ", "basic "))
            return {scheme.header: pasted if has_word else f"{scheme.prefix}{pasted}"}
        case Jwt():
            claims = {"iat": int(now), "exp": int(now) + TOKEN_SECONDS}
            head = ".".join(_base64url(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
            return {scheme.header: f"{head}.{_base64url(hmac.digest(keys[0], head.encode(), 'sha256'))}"}
        case _:
            raise AssertionError(scheme)


def _hmac_headers(scheme: Hmac, body: bytes, key: bytes, delivery_id: str, now: float) -> dict[str, str]:
    timestamp = {
        "s": str(int(now)),
        "ms": str(int(now * 1000)),
        "iso": iso(now),
    }[scheme.unit]
    parts = {"{body}": body, "{timestamp}": timestamp.encode(), "{id}": delivery_id.encode()}
    template = CONTENTS.get(scheme.content, scheme.content)
    content = b"".join(parts[part] if part in parts else part.encode() for part in PLACEHOLDER.split(template))
    digest = hmac.digest(key, content, scheme.algorithm)
    signature = digest.hex() if scheme.encoding == "hex" else base64.b64encode(digest).decode()
    headers = {scheme.id_header: delivery_id} if scheme.signs_id else {}
    if scheme.signs_time and not scheme.timestamp_header:
        listed = f"{scheme.timestamp_prefix}{timestamp},{scheme.prefix or 'v1='}{signature}"
        return {**headers, scheme.header: listed}
    if scheme.signs_time:
        headers[scheme.timestamp_header] = timestamp
    return {**headers, scheme.header: f"{scheme.prefix}{signature}"}


def _changed(value: Any, changes: Mapping[str, str | None], moments: set[int], now: float) -> Any:
    if isinstance(value, dict):
        return {key: _changed(each, changes, moments, now) for key, each in value.items()}
    if isinstance(value, list):
        return [_changed(each, changes, moments, now) for each in value]
    if isinstance(value, str) and value.startswith("{"):  # JSON inside a text, as Keycloak's representation
        return json.dumps(_changed(json.loads(value), changes, moments, now))
    if isinstance(value, str) and value.startswith("eyJ"):  # the same in base64, as Zitadel's payload
        inner = _changed(json.loads(base64.b64decode(value)), changes, moments, now)
        return base64.b64encode(json.dumps(inner).encode()).decode()
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return _changed_leaf(value, changes, moments, now)
    return value


def _changed_leaf(
    value: str | float, changes: Mapping[str, str | None], moments: set[int], now: float
) -> str | float | None:
    moment = _moment(value)
    if moment in moments:
        return _moved(value, moment, now)
    text = str(value)
    known = text if text in changes else text.removeprefix("users/")  # Keycloak names a user by a path too
    if known not in changes:
        return value
    new = changes[known]
    if new is None:
        return None
    whole = text.removesuffix(known) + new
    return int(whole) if isinstance(value, int) and whole.isdigit() else whole


def _moment(value: str | float) -> int | None:
    try:
        return microseconds(value)
    except Malformed:
        return None


def _moved(value: str | float, moment: int, now: float) -> str | float:
    """The time of this moment, written as `value` writes it."""
    if isinstance(value, str) and not value.isdigit():
        return iso(now)
    scale = round(moment / float(value))  # 1,000,000 for seconds, 1,000 for milliseconds, 1 for microseconds
    moved = round(now * 1_000_000 / scale)
    return str(moved) if isinstance(value, str) else moved


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
