"""Webhooks as a platform posts them: the sample bodies of a preset, made about one user, and signed by any scheme.

The samples are this project's own, in the form that each platform documents. They ship with the tool.
"""

import base64
import hmac
import json
import secrets
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from whop_sync.errors import Malformed
from whop_sync.events import Kind, UserEvent
from whop_sync.receiving.deliveries import id_of
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

_KINDS: tuple[Kind, ...] = get_args(Kind.__value__)

TOKEN_SECONDS = 300
"""How long a JSON Web Token that is made here is valid."""


class UnknownSampleError(Exception):
    """There is no sample of this event, and the message lists those there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A body, and the headers that it is read by besides those that prove it.

    `name` is what its sender calls the event, `event_id` the id that its body gives it, and `event` what the receiver
    makes of it; each is None if the body says nothing of the kind. `is_special` is of a sample that was asked for by
    the case that it shows, as `picture_removed`.
    """

    body: bytes
    headers: Mapping[str, str]
    name: str | None
    event_id: str | None
    event: UserEvent | None
    is_special: bool = False


def read_webhook(body: bytes, headers: Mapping[str, str], platform: Platform, *, now: float) -> Webhook:
    """Reads a body as the receiver does at this moment, in Unix seconds."""
    name, event_id, event = None, None, None
    with suppress(Malformed):
        document = parse(body, headers, received_at=now)
        event_id = identify(document, platform.preset)
        name = str(find(platform.preset.event, document) or "") or None
        event = read(document, platform.preset, event_id=event_id or "")
    return Webhook(body=body, headers=headers, name=name, event_id=event_id, event=event)


type PersonField = Literal["email", "name", "picture"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """What a sample shall say of its user; an empty text empties a field.

    Of what is None, a new user gets an e-mail of their own, the name of the sample and no picture, since its URL would
    lead nowhere. Any other event then says nothing of the field, unless it is special or its form cannot be silent.
    """

    user_id: str
    email: str | None = None
    name: str | None = None
    picture: str | None = None

    def said(self, field: PersonField) -> str | None:
        said: str | None = getattr(self, field)
        return said


PERSON_FIELDS: tuple[PersonField, ...] = get_args(PersonField.__value__)


def sample(preset: str, platform: Platform, event: str, *, now: float) -> Webhook:
    """The sample of a preset whose event, or whose kind of event, this is. Raises UnknownSampleError."""
    events: list[str] = []
    files = (SAMPLES / preset).glob("*.json")
    for file in sorted(files, key=_plain_first):
        found = file.with_suffix(".headers")
        headers = header_lines(found.read_text()) if found.exists() else {}
        webhook = read_webhook(file.read_bytes(), headers, platform, now=now)
        if event in (webhook.name, webhook.event and webhook.event.kind):
            return webhook
        if event == file.stem:
            return replace(webhook, is_special=event not in _KINDS)
        events.append(f"{file.stem} ({webhook.name})")
    raise UnknownSampleError(
        f"There is no sample of {event} for {preset}, only {', '.join(events)}."
        if events
        else f"There are no samples for {preset}: post a body of yours with --file."
    )


def _plain_first(file: Path) -> tuple[bool, str]:
    return file.stem not in _KINDS, file.stem


def about(webhook: Webhook, platform: Platform, person: Person, *, now: float) -> Webhook:
    """The same webhook about this person, true at this moment (Unix seconds)."""
    for field in PERSON_FIELDS:
        if _is_to_be_silent(webhook, field, person):
            webhook = _without(webhook, field, person, platform, now=now)
    event = webhook.event
    if event is None:
        return webhook
    changes: dict[str, str | None] = {event.user_id: person.user_id}
    if webhook.event_id:
        changes[webhook.event_id] = f"{webhook.event_id}-{secrets.token_hex(6)}"  # a sender never uses one twice
    if event.email:
        changes[event.email] = own_address(person.user_id) if person.email is None else person.email
    if picture := event.profile.get("picture"):
        changes[picture] = person.picture
    name = event.profile.get("name")
    if name and person.name is not None:
        first, _, last = person.name.partition(" ")
        old_first, _, old_last = name.partition(" ")
        changes |= {old_last: last, old_first: first, name: person.name} if old_last else {name: person.name}
    moments = {event.version, event.event_time} - {0}
    body = json.dumps(_changed(json.loads(webhook.body), changes, moments, now), ensure_ascii=False).encode()
    # Appwrite's list of events, in a header, names the user too; Shopify's id of the event is a header.
    in_headers = {key: changes[key] or "" for key in (webhook.event_id, event.user_id) if key}
    headers = {name: _replaced(value, in_headers) for name, value in webhook.headers.items()}
    return replace(read_webhook(body, headers, platform, now=now), is_special=webhook.is_special)


def own_address(user_id: str) -> str:
    """A made-up e-mail address, another one for each user: Whop knows people by it. Always the same of one user."""
    is_plain = user_id.isascii() and user_id.isalnum()
    return f"user-{user_id if is_plain else zlib.crc32(user_id.encode())}@people.test"


def remarks(webhook: Webhook, person: Person) -> Iterator[str]:
    """Sentences on how a webhook about a person is not what was asked for, because of its form."""
    event = webhook.event
    if event is None or event.kind == "deleted":
        return
    for field in PERSON_FIELDS:
        if person.said(field) and not value_of(event, field):
            yield f"This webhook has no place for the {_CALLED[field]}, so it is left out."
        elif _is_to_be_silent(webhook, field, person):
            yield f"This webhook cannot be silent on the {_CALLED[field]}, so it sets the one of the sample, or none."


_CALLED: Mapping[PersonField, str] = {"email": "e-mail", "name": "name", "picture": "picture"}


def _is_to_be_silent(webhook: Webhook, field: PersonField, person: Person) -> bool:
    """Whether a webhook says something of a field that it should not: only what was given, where it has a place."""
    event, given = webhook.event, person.said(field)
    if event is None or event.kind == "created" or not speaks_of(event, field):
        return False
    return not webhook.is_special if given is None else bool(given) and not value_of(event, field)


def _without(webhook: Webhook, field: PersonField, person: Person, platform: Platform, *, now: float) -> Webhook:
    """The same webhook, silent on a field; as it is, if its form cannot be silent on it.

    Which parts of a body a preset, and what overrides it, read a field from is found out by leaving them out.
    """
    found = webhook
    while found.event and speaks_of(found.event, field):
        bodies = (json.dumps(each, ensure_ascii=False).encode() for each in _smaller(json.loads(found.body)))
        smaller = (read_webhook(body, found.headers, platform, now=now) for body in bodies)
        before = found
        found = next((each for each in smaller if _differs_in(field, before, each, person)), webhook)
        if found is webhook:
            break
    return found


def _differs_in(field: PersonField, before: Webhook, after: Webhook, person: Person) -> bool:
    """Whether what is read of a field is another, and all else that has to stay is the same."""
    if before.event is None or after.event is None or after.event_id != before.event_id:
        return False
    others = [each for each in PERSON_FIELDS if each != field and person.said(each) is not None]
    kept = [(each, value) for each in others if (value := value_of(before.event, each))]
    return (
        (speaks_of(after.event, field), value_of(after.event, field)) != (True, value_of(before.event, field))
        and all(value_of(after.event, each) == value for each, value in kept)
        and replace(after.event, email=None, profile={}) == replace(before.event, email=None, profile={})
    )


def speaks_of(event: UserEvent, field: PersonField) -> bool:
    """Whether an event changes a field, be it that it empties it."""
    return event.email is not None if field == "email" else field in event.profile


def value_of(event: UserEvent, field: PersonField) -> str | None:
    """None of a field that it empties, too."""
    return event.email if field == "email" else event.profile.get(field)


def _smaller(value: Any) -> Iterator[Any]:
    """The same with one part less, for each of its parts, the parts of a part before it."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from ({**value, key: smaller} for smaller in _smaller(each))
            yield {name: kept for name, kept in value.items() if name != key}
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from ([*value[:index], smaller, *value[index + 1 :]] for smaller in _smaller(each))
            yield [*value[:index], *value[index + 1 :]]
    elif isinstance(value, str) and (packed := _packed(value)):
        document, pack = packed
        yield from map(pack, _smaller(document))


def _packed(text: str) -> tuple[Any, Callable[[Any], str]] | None:
    """A document inside a text, and what makes such a text of one; None if there is none."""
    if text.startswith("{"):  # as Keycloak's representation
        return json.loads(text), json.dumps
    if text.startswith("eyJ"):  # the same in base64, as Zitadel's payload
        return json.loads(base64.b64decode(text)), lambda inner: base64.b64encode(json.dumps(inner).encode()).decode()
    return None


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


def id_at_receiver(scheme: Scheme, body: bytes, delivery_id: str) -> str:
    """Under which id the receiver logs a delivery whose body names none: the sender's, where the scheme signs it."""
    is_signed = isinstance(scheme, Standard) or (isinstance(scheme, Hmac) and scheme.signs_id)
    return delivery_id if is_signed else id_of(body)


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
    if isinstance(value, str) and (packed := _packed(value)):
        document, pack = packed
        return pack(_changed(document, changes, moments, now))
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
