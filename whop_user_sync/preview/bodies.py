"""What the receiver makes of a body, field by field, with the expression that found each value."""

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from whop_sync.errors import Malformed
from whop_sync.events import Kind, ProfileField, UserEvent
from whop_sync.receiving.deliveries import Accepted, Delivery, Ignored, Unreadable, understood_from, within_limit
from whop_sync.receiving.expressions import Document, find
from whop_sync.receiving.payloads import Preset, identify, is_chosen, parse, read
from whop_sync.receiving.platforms import Platform
from whop_sync.values import strip_unseen
from whop_user_sync.preview.captured import why_not_json
from whop_user_sync.preview.signatures import is_own_test

_KINDS: Mapping[Kind, str] = {
    "created": "the user is new",
    "updated": "the user has changed",
    "suspended": "the user is suspended",
    "restored": "the user is no longer suspended",
    "deleted": "the user is gone",
}
_EVENTS = tuple(_KINDS)
_TIMES = ("version", "event_time", "life_cycle_version")
_PREVIOUS = (
    ("record.updated_at", "old_record.updated_at"),
    ("event.user.lastUpdateInstant", "event.original.lastUpdateInstant"),
    ("data.object.updated_at", "data.previous_object.updated_at"),
)
"""The user's updated-at, and what it was before the change, of the platforms that show both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One line about an event: a value, or what is wrong with it, and the expression that found it."""

    name: str
    value: str
    source: str = ""
    is_wrong: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyReport:
    """`outcome` is a kind of event, `ignored`, `parked` or `refused`; `verdict` says it in a sentence."""

    outcome: str
    verdict: str
    fields: Sequence[Field] = ()
    remarks: Sequence[str] = ()

    @property
    def is_sound(self) -> bool:
        return self.outcome not in ("parked", "refused")


def body_report(
    body: bytes, headers: Mapping[str, str], platform: Platform, *, now: float, signed_at: float | None = None
) -> BodyReport:
    """What becomes of a body. `now` and `signed_at` are in Unix seconds."""
    if is_own_test(body, headers, platform, now=now):
        verdict = "It would be answered 200 and not read: it is the platform's own test of the address."
        return BodyReport(outcome="ignored", verdict=verdict)
    try:
        kept = within_limit(body)
    except Malformed as refusal:
        return BodyReport(outcome="refused", verdict=f"It would be refused (413): {refusal.explanation}.")
    delivery = Delivery(body=kept, headers=headers, event_id="", received_at=now, signed_at=signed_at)
    remarks = [] if kept is body else ["! It is large by the pictures in it: they are dropped, the rest is read."]
    match understood_from(platform, delivery, now=now):
        case Unreadable(error=error):
            return _unreadable(delivery, platform, error, remarks)
        case Ignored(event_type=event_type, event=None):
            meant = ", ".join(_names(platform.preset))
            verdict = f"It would be ignored: the event is {event_type}, and only these count: {meant}."
            return BodyReport(outcome="ignored", verdict=verdict, remarks=remarks)
        case Ignored(event=UserEvent() as event, reason=reason):
            why = "it shows nothing but the id of the user"
            if reason is not None:
                why = f"{platform.enroll_if} is not true of this user, so EnrollIf leaves them out"
            fields = list(_fields(event, _document(delivery, platform), platform.preset))
            return BodyReport(outcome="ignored", verdict=f"It would be ignored: {why}.", fields=fields, remarks=remarks)
        case Accepted(event=event):
            document = _document(delivery, platform)
            if event.kind != "deleted" and platform.enroll_if and not is_chosen(document, platform.enroll_if):
                remarks = [*remarks, "! EnrollIf leaves this user out: the suspension counts, and nothing else."]
            return BodyReport(
                outcome=event.kind,
                verdict="It would be accepted.",
                fields=list(_fields(event, document, platform.preset)),
                remarks=[*remarks, *_remarks(event, document, platform.preset)],
            )
    raise AssertionError  # pragma: no cover - all verdicts are above


def _unreadable(delivery: Delivery, platform: Platform, error: Malformed, remarks: list[str]) -> BodyReport:
    verdict = f"It would be parked: {error.explanation} ({error.reason})."
    reason = why_not_json(delivery.body)
    if error.reason == "not_json" and reason:
        return BodyReport(outcome="parked", verdict=verdict, remarks=[*remarks, reason])
    if error.reason in ("not_json", "not_an_object"):
        return BodyReport(outcome="parked", verdict=verdict, remarks=remarks)
    if error.reason == "no_event_type" and "headers" in platform.preset.event and not delivery.headers:
        remarks = [
            *remarks,
            "The event stands in a header here: give the headers too, with --headers (HEADERS with make).",
        ]
    document = _document(delivery, platform)
    wrong, event, preset = _searched(document, platform.preset)
    fields = list(_fields(event, document, preset)) if event else []
    if event and event.kind != "deleted":
        remarks = [*remarks, *_remarks_on_profile(document, preset)]
    names = {field.name for field in wrong}
    return BodyReport(
        outcome="parked",
        verdict=verdict,
        fields=[*wrong, *(field for field in fields if field.name not in names)],
        remarks=remarks,
    )


def _document(delivery: Delivery, platform: Platform) -> Document:
    return parse(
        delivery.body,
        delivery.headers,
        received_at=delivery.received_at,
        signed_at=delivery.signed_at,
        replayable=platform.scheme.is_replayable,
    )


# -- the expressions that found what cannot be used -----------------------------------------------------------------


def _searched(document: Document, preset: Preset) -> tuple[list[Field], UserEvent | None, Preset]:
    """All that is wrong in a document, the event that is left without it, and the preset that reads that event.

    Each expression is tried with something harmless in the place of what comes after it and of all other fields.
    """
    names = [field.name for field in dataclasses.fields(Preset) if field.name not in (*_EVENTS, "default_pictures")]
    names = [name for name in names if getattr(preset, name)]
    wrong: list[Field] = []
    trial = preset
    for name in names:
        trial = _with(trial, name, [_harmless(name, preset)])
    rest = preset
    for name in names:  # "event" is the first: it decides what else is read
        setting, good = getattr(preset, name), list[str]()
        for expression in (setting,) if isinstance(setting, str) else setting:
            error = _problem(document, _with(trial, name, [*good, expression, _harmless(name, preset)]))
            if error:
                wrong.append(_wrong(name, error, expression, _shown(expression, document)))
            good.append(_harmless(name, preset) if error else expression)
        trial = _with(trial, name, [*good, _harmless(name, preset)])
        rest = _with(rest, name, good)
    error = _problem(document, rest)
    if error and error.reason == "no_version":
        wrong.append(_wrong("version", error, " or ".join(preset.version), "nothing is there"))
        for name in {"version", "life_cycle_version"} & {*names}:
            rest = _with(rest, name, [*getattr(rest, name), _harmless(name, preset)])
    elif error:
        return wrong, None, rest
    return wrong, read(document, rest, event_id=identify(document, rest) or ""), rest


def _wrong(name: str, error: Malformed, expression: str, found: str) -> Field:
    value = f"✗ {error.explanation} ({error.reason}): {found}"
    return Field(name=_LABELS.get(name, name), value=value, source=expression, is_wrong=True)


def _problem(document: Document, preset: Preset) -> Malformed | None:
    try:
        read(document, preset, event_id=identify(document, preset) or "")
    except Malformed as error:
        return error
    return None


def _harmless(name: str, preset: Preset) -> str:
    """An expression that every body fits."""
    if name == "event":
        return f"'{preset.created[0]}'"
    if name in ("user_id", "deleted_user_id"):
        return "'u'"
    return "`1`" if name in _TIMES else "`null`"


def _with(preset: Preset, name: str, expressions: Sequence[str]) -> Preset:
    """A preset with other expressions for a field; a field that holds one takes the first."""
    changed: dict[str, Any] = {name: expressions[0] if isinstance(getattr(preset, name), str) else tuple(expressions)}
    return replace(preset, **changed)


def _shown(expression: str, document: Document) -> str:
    try:
        found = find(expression, document)
    except Malformed:
        return "it cannot be read from this body"
    if found in (None, ""):
        return "nothing is there"
    text = json.dumps(found, ensure_ascii=False)
    return f"there is {text if len(text) <= 60 else text[:60] + '…'}"  # noqa: PLR2004 - a line's rest


# -- an event, line by line -----------------------------------------------------------------------------------------

_LABELS = {
    "user_id": "user id",
    "deleted_user_id": "user id",
    "event_id": "event id",
    "email": "e-mail",
    "life_cycle_version": "version",
    "event_time": "event time",
    "whop_user_id": "Whop user",
    "blocked": "standing",
    "active": "standing",
}


def _fields(event: UserEvent, document: Document, preset: Preset) -> Iterator[Field]:
    is_deletion = event.kind == "deleted"
    event_type = find(preset.event, document)
    yield Field(name="event", value=f"{event_type}: {event.kind}, {_KINDS[event.kind]}", source=preset.event)
    source = preset.event_id if event.event_id else ""
    yield Field(name="event id", value=event.event_id or "that of the delivery", source=source)
    source = (preset.deleted_user_id if is_deletion else "") or preset.user_id
    yield Field(name="user id", value=event.user_id, source=source)
    yield Field(name="standing", value=event.standing or "not spoken of: stays as it is")
    if not is_deletion:
        yield Field(name="e-mail", value=event.email or "none", source=preset.email)
        yield _profile_field(event.profile, "name", preset.name, document)
        yield _profile_field(event.profile, "picture", preset.picture, document)
    yield Field(name="version", value=_moment(event.version), source=_source(event.version, document, preset))
    value = _moment(event.event_time) if event.event_time else "none that is signed"
    yield Field(name="event time", value=value, source=_source(event.event_time, document, preset, ("event_time",)))
    if event.whop_user_id:
        yield Field(name="Whop user", value=event.whop_user_id, source=preset.whop_user_id)


def _profile_field(
    profile: Mapping[ProfileField, str | None], field: ProfileField, expressions: Sequence[str], document: Document
) -> Field:
    filled = _first_filled(expressions, document)
    source = filled or " or ".join(expressions) or "no expression"
    if field not in profile:
        return Field(name=field, value="not spoken of: stays as it is", source=source)
    cleared = "a stand-in for none: cleared on Whop" if filled else "empty: cleared on Whop"
    return Field(name=field, value=profile[field] or cleared, source=source)


def _first_filled(expressions: Sequence[str], document: Document) -> str | None:
    for expression in expressions:
        try:
            found = find(expression, document)
        except Malformed:
            continue
        if any(found) if isinstance(found, list) else found:
            return expression
    return None


def _moment(microseconds: int) -> str:
    return f"{datetime.fromtimestamp(microseconds / 1_000_000, UTC):%Y-%m-%d %H:%M:%S.%f} UTC"


def _source(value: int, document: Document, preset: Preset, fields: Sequence[str] = _TIMES) -> str:
    """The expression that found a time."""
    if not value:
        return ""
    alone = replace(preset, email="`null`", name=(), picture=(), whop_user_id="`null`", life_cycle_version=())
    expressions: list[str] = [each for field in fields for each in getattr(preset, field)]
    for expression in dict.fromkeys(expressions):
        try:
            event = read(document, replace(alone, version=(expression,), event_time=()), event_id="")
        except Malformed:
            continue
        if event and event.version == value:
            return expression
    return "delivery.signed_at" if document["delivery"]["signed_at"] else ""


# -- what a person should know before it is too late ----------------------------------------------------------------


def _remarks(event: UserEvent, document: Document, preset: Preset) -> Iterator[str]:
    if event.kind in ("created", "updated") and not event.email and not event.whop_user_id:
        if event.kind == "created":
            yield "! No e-mail: Whop enrolls no user without one. It waits for an hour for the event that brings one."
        else:
            yield "! No e-mail: fine for a user who is enrolled; for another it waits for the event that brings one."
    if event.kind == "created" and not event.profile.get("name"):
        yield "! No name: Whop shows the one that the user has there."
    yield from _remarks_on_times(event, document, preset)
    if event.kind != "deleted":
        yield from _remarks_on_profile(document, preset)


def _remarks_on_times(event: UserEvent, document: Document, preset: Preset) -> Iterator[str]:
    source = _source(event.version, document, preset)
    if source == "delivery.received_at":
        yield "! Nothing in the body orders it, so the time of receipt counts: an old event that is sent late wins."
    if event.kind != "updated":
        return
    if re.search(r"created_?at", source, re.IGNORECASE):
        yield f"! The version comes from {source}, which does not move when a user changes."
    for now, before in _PREVIOUS:
        moved = find(now, document)
        if moved and moved == find(before, document):
            yield f"! {now} is what it was before the change: it does not move, so it cannot order changes."


def _remarks_on_profile(document: Document, preset: Preset) -> Iterator[str]:
    for expression in preset.name:
        name = find(expression, document)
        filled = [
            each for each in (name if isinstance(name, list) else [name]) if isinstance(each, str) and each.strip()
        ]
        if filled and not any(map(strip_unseen, filled)):
            yield f"! The name at {expression} has no character that can be seen."
    picture = _first_filled(preset.picture, document)
    url = find(picture, document) if picture else None
    if not isinstance(url, str):
        return
    if url.lower().startswith("data:"):
        yield "! The picture stands in the body (data:): it is refused. Send the https address of one."
    elif url.lower().startswith("http:"):
        yield "! The picture's address is http: only https is fetched."
    elif not url.lower().startswith("https:"):
        yield "! The picture's address is no https URL, so it can never be fetched: send the whole address."


def _names(preset: Preset) -> list[str]:
    return [name for kind in _EVENTS for name in getattr(preset, kind)]
