"""What the receiver would make of a webhook, told to a person. Nothing here ships; `make preview` calls it."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from whop_sync.errors import Malformed, Unauthentic
from whop_sync.events import Kind, ProfileField, UserEvent
from whop_sync.receiving.payloads import Document, find, identify, parse, read
from whop_sync.receiving.platforms import Platform
from whop_sync.receiving.signatures import Hmac, Scheme, Standard, parse_secrets

_FOREVER = 10**15
_DECADES = 20 * 365 * 86400


_MEANING: Mapping[Kind, str] = {
    "created": "new",
    "updated": "changed",
    "suspended": "suspended",
    "restored": "active again",
    "deleted": "deleted",
}


@dataclass(frozen=True, slots=True)
class Report:
    """Lines for a person. `sound` says whether the receiver would take the delivery as it is."""

    lines: Sequence[str]
    sound: bool


def header_lines(text: str) -> dict[str, str]:
    """Headers from `Name: value` lines or a JSON object, names made lower-case. Raises ValueError."""
    if text.lstrip().startswith("{"):
        pairs = [(str(name), str(value)) for name, value in json.loads(text).items()]
    else:
        lines = [line for line in text.splitlines() if line.strip()]
        if any(":" not in line for line in lines):
            raise ValueError("the file of headers must hold lines like `Name: value`, or a JSON object")
        pairs = [(name, value) for name, _, value in (line.partition(":") for line in lines)]
    return {name.strip().lower(): value.strip() for name, value in pairs}


def payload_report(body: bytes, headers: Mapping[str, str], platform: Platform, *, now: float) -> Report:
    """What becomes of a body, field by field. `now` is in Unix seconds."""
    preset = platform.preset
    try:
        document = parse(body, headers, received_at=now)
        told = find(preset.event, document)
        event = read(document, preset, event_id=identify(document, preset) or "")
    except Malformed as error:
        lines = [f"It would be parked: {error.explanation} ({error.reason})."]
        if error.reason == "no_event_type" and "delivery.headers" in preset.event:
            lines.append("This platform tells the event in a header: give the headers too, with HEADERS=file.")
        return Report(lines, sound=False)
    if event is None:
        meant = ", ".join((*preset.created, *preset.updated, *preset.suspended, *preset.restored, *preset.deleted))
        return Report([f"It would be ignored: the event is {told}, and only these count: {meant}."], sound=True)
    fields = list(_fields(event, str(told), document, platform))
    width = max(len(value) for _, value, _ in fields)
    lines = [f"{name:10}{value:{width}}  {source}".rstrip() for name, value, source in fields]
    remarks = list(_remarks(event, document, platform))
    return Report([*lines, *(["", *remarks] if remarks else [])], sound=True)


def _fields(event: UserEvent, told: str, document: Document, platform: Platform) -> Iterator[tuple[str, str, str]]:
    preset = platform.preset
    moment = datetime.fromtimestamp(event.version / 1_000_000, UTC)
    yield "event", f"{told}: the user is {_MEANING[event.kind]}", preset.event
    yield "event id", event.event_id or "that of the delivery", preset.event_id if event.event_id else ""
    yield "user id", event.user_id, preset.user_id
    yield "e-mail", event.email or "none", preset.email
    yield "name", *_told(event.profile, "name", preset.name, document)
    yield "picture", *_told(event.profile, "picture", preset.picture, document)
    yield "version", f"{moment:%Y-%m-%d %H:%M:%S.%f} UTC", _version_source(document, platform)
    if event.whop_user_id:
        yield "Whop user", event.whop_user_id, preset.whop_user_id


def _told(
    profile: Mapping[ProfileField, str | None], field: ProfileField, expressions: Sequence[str], document: Document
) -> tuple[str, str]:
    """A field's value and the expression that found it."""
    filled = next((expression for expression in expressions if _filled(find(expression, document))), None)
    source = filled or " or ".join(expressions) or "no expression"
    if field not in profile:
        return "not told: stays as it is", source
    return profile[field] or ("a stand-in for none: cleared on Whop" if filled else "empty: cleared on Whop"), source


def _filled(found: Any) -> bool:
    return any(found) if isinstance(found, list) else bool(found)


def _version_source(document: Document, platform: Platform) -> str:
    """The one of the preset's expressions for the version that was filled."""
    for expression in platform.preset.version:
        try:
            read(document, replace(platform.preset, version=(expression,)), event_id="")
        except Malformed:
            continue
        return expression
    return ""


def _remarks(event: UserEvent, document: Document, platform: Platform) -> Iterator[str]:
    if not event.email and not event.whop_user_id:
        if event.kind == "created":
            yield "! No e-mail: Whop enrolls nobody without one. It is parked, and the event that brings one enrolls."
        elif event.profile:
            yield "! No e-mail: fine for a user who is enrolled, else it waits for the event that brings one."
        else:
            yield "! It tells nothing but the id of the user: it would be answered and ignored."
    if event.kind == "created" and not event.profile.get("name"):
        yield "! No name: Whop shows the one that the user has there."
    if _version_source(document, platform) == "delivery.received_at":
        yield "! The body tells no time, so the time of receipt counts: an old event that is sent again late wins."


def signature_report(
    body: bytes, headers: Mapping[str, str] | None, secret: str | None, scheme: Scheme, *, now: float
) -> Report:
    """Whether a captured signature is right. `secret` is one secret, or the JSON list that is stored on AWS."""
    if secret is None:
        return Report(["Not checked: give HEADERS=file and SECRET=... for that."], sound=True)
    try:
        keys = parse_secrets(secret if secret.lstrip().startswith("[") else json.dumps([secret]), scheme)
    except ValueError as error:
        return Report([f"✗ {error}"], sound=False)
    if headers is None:
        return Report(["The secret has the right form. Give HEADERS=file too, to check a signature."], sound=True)

    def refusal(body: bytes = body, scheme: Scheme = scheme) -> str | None:
        try:
            scheme.verify(body, headers, keys, now=now)
        except Unauthentic as error:
            return error.reason
        return None

    trouble = _trouble(body, scheme, refusal)
    if trouble:
        return Report([f"✗ {trouble}"], sound=False)
    old = ", but was not made now: it is taken for some minutes only" if refusal() else ""
    return Report([f"✓ The signature is right{old}."], sound=True)


def _trouble(body: bytes, scheme: Scheme, refusal: Callable[..., str | None]) -> str | None:
    """What is wrong with a signature whatever its age. A JSON Web Token is asked for its age after all else."""
    timeless = replace(scheme, tolerance=_FOREVER) if isinstance(scheme, (Standard, Hmac)) else scheme
    reason = refusal(scheme=timeless)
    if reason == "wrong_signature" and refusal(body.rstrip(b"\r\n"), timeless) is None:
        return "The file has a line break at its end, which is not what was signed."
    if reason in (None, "timestamp_too_old", "timestamp_in_future"):
        if isinstance(scheme, Hmac) and refusal(scheme=replace(scheme, tolerance=_DECADES)):
            return f"The signature's time is not in {scheme.unit}: set SIGNATURE_TIMESTAMP_UNIT to the other one."
        return None
    return _explained(reason, scheme)


def _explained(reason: str, scheme: Scheme) -> str:
    match reason:
        case "missing_header":
            names = (
                "webhook-id, -timestamp, -signature (or svix-...)"
                if isinstance(scheme, Standard)
                else ", ".join(scheme.proving_headers)
            )
            return f"A header that the scheme {scheme.name} needs is missing: {names}."
        case "malformed_timestamp":
            return "The signature's time is missing, or is no whole number."
        case "malformed_signature" if isinstance(scheme, Hmac):
            prefix = f"the prefix {scheme.prefix!r}" if scheme.prefix else "no prefix"
            return f"The header {scheme.header} holds no signature in {scheme.encoding} with {prefix}."
        case "wrong_signature":
            return "The signature is another one: a wrong secret, or the file is not byte for byte what was posted."
        case _:
            return f"The headers do not have the form of the scheme {scheme.name} ({reason})."
