"""What a webhook body means: JMESPath expressions find in it what a user event is made of."""

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Never

import jmespath
import jmespath.exceptions
import jmespath.functions

from whop_sync.errors import Malformed
from whop_sync.events import MAX_USER_ID_LENGTH, Kind, ProfileField, Standing, UserEvent

MAX_CLOCK_LEAD = timedelta(days=1)
"""A version further ahead than this is a wrong unit or clock. Taken as it is, it would outrank every later change."""

_WHOP_USER_ID = re.compile(r"user_[A-Za-z0-9]+", re.ASCII)
_EVENT_ID = re.compile(r"[!-~]{1,255}", re.ASCII)
_EMAIL = r"[^@\s]+@[^@\s.]+\.[^@\s]+\Z"
_LONGEST_LAG = 600.0
"""Seconds between signing and receipt. Beyond them it no longer matters how long it took."""
_MAX_DIGITS = 100
"""Of a number that may be a time. Python's arithmetic fails on much longer ones."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A platform's webhook body: JMESPath expressions, but for the lists of events and `default_pictures`.

    They are evaluated on the body, beside whose own keys stands `delivery`: its `headers`, with lower-case names, and
    two times, `received_at` and, where the signature covers one, `signed_at`. No signature covers the headers, so only
    `event` and `event_id` may read them.
    A null in the body reads as empty text. So an expression that finds nothing says that the body does not speak of
    a field, and one that finds empty text or false says that the field is empty.
    """

    event: str
    created: tuple[str, ...]
    """The values of `event` that mean a new user. Below: a changed one, one who must not chat for now, one who may
    again, and one who is gone. All others are ignored."""
    updated: tuple[str, ...]
    suspended: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    event_id: str = "`null`"
    """For people who search. Where it finds none, the signed id of the delivery serves, else a hash of the body."""
    user_id: str
    deleted_user_id: str = ""
    """In deletions, where the id stands elsewhere than in other events. Empty: `user_id`."""
    email: str
    name: tuple[str, ...]
    """The first that is filled counts; a list means its members joined with blanks."""
    picture: tuple[str, ...]
    version: tuple[str, ...]
    """The user's own updated-at first, then the time of the event; the first that is filled counts."""
    event_time: tuple[str, ...] = ()
    """When the event happened, which orders events of one version. Where none is filled, `delivery.signed_at` counts:
    a delivery that is sent again unchanged keeps it."""
    life_cycle_version: tuple[str, ...] = ()
    """In place of `version` where a user is suspended, restored or deleted: the user's own updated-at is often that of
    the update before. Empty: `event_time`, then `version`."""
    blocked: str = "`null`"
    """A flag of the user in created and updated events: true, or a time ahead, is suspended; false, empty, or a time
    that is over, is active; nothing says nothing."""
    active: str = "`null`"
    """The same the other way round, for platforms whose flag says that the user is allowed."""
    default_pictures: tuple[str, ...] = ()
    """Regular expressions for the beginnings of picture URLs that stand for no picture."""
    whop_user_id: str = "`null`"

    def kind(self, event: str) -> Kind | None:
        """What an event means, None for one that is not about a user's life."""
        kinds: tuple[tuple[Kind, tuple[str, ...]], ...] = (
            ("created", self.created),
            ("updated", self.updated),
            ("suspended", self.suspended),
            ("restored", self.restored),
            ("deleted", self.deleted),
        )
        return next((kind for kind, events in kinds if event in events), None)


_EVENT_LISTS = ("created", "updated", "suspended", "restored", "deleted")
_OPTIONAL = ("deleted_user_id",)

type Document = Mapping[str, Any]
"""A parsed body with `delivery` beside its own keys."""


def check(preset: Preset) -> None:
    """Raises ValueError if a setting can never be right, with a sentence that names it and says why."""
    for field in dataclasses.fields(preset):
        setting = getattr(preset, field.name)
        if field.name in (*_EVENT_LISTS, "default_pictures") or (field.name in _OPTIONAL and not setting):
            continue
        for expression in (setting,) if isinstance(setting, str) else setting:
            problem = _problem(field.name, expression)
            if problem:
                raise ValueError(f"{field.name}: {expression or 'the empty text'} {problem}")
    for pattern in preset.default_pictures:
        try:
            re.compile(pattern)
        except re.PatternError as error:
            raise ValueError(f"default_pictures: {pattern} is not a regular expression: {error}") from None
    if not preset.created:
        raise ValueError("created: at least one event must mean a new user")
    if not preset.version:
        raise ValueError("version: at least one expression must find a time")
    seen: dict[str, str] = {}
    for kind in _EVENT_LISTS:
        for event in getattr(preset, kind):
            if seen.setdefault(event, kind) != kind:
                raise ValueError(f"{kind}: {event} cannot stand in both {seen[event]} and {kind}")


def check_times(preset: Preset, *, replayable: bool) -> None:
    """Raises ValueError if a replay could become the newest event. `replayable` means that the signature covers the
    body alone, so that whoever has a delivery can send it again for ever."""
    if not replayable:
        return
    for name in ("version", "event_time", "life_cycle_version"):
        if name == "life_cycle_version" and not (preset.suspended or preset.restored):
            continue  # a deletion that is repeated changes nothing where ids are never given again
        if any("delivery.received_at" in expression for expression in getattr(preset, name)):
            raise ValueError(
                f"{name} must not fall back to delivery.received_at where SIGNATURE_CONTENT holds no {{timestamp}}:"
                " such a delivery can be sent again for ever, and each time it would be the newest"
            )


def parse(
    body: bytes,
    headers: Mapping[str, str],
    *,
    received_at: float,
    signed_at: float | None = None,
    judged_at: float | None = None,
    replayable: bool = False,
) -> Document:
    """A body with what is known of its delivery. Raises Malformed if the body is no object.

    Args:
        headers: with lower-case names.
        received_at: Unix seconds of when the delivery came.
        signed_at: Unix seconds that the signature covers, None where it covers none.
        judged_at: Unix seconds of now, where that is not `received_at`: of a delivery that was parked meanwhile.
        replayable: whether the signature covers the body alone, so that a copy can be sent again at any time.
    """
    return {
        **_parse(body),
        "delivery": {
            "headers": headers,
            "received_at": received_at,
            "signed_at": None if signed_at is None else _signed_microseconds(signed_at, received_at),
            "judged_at": received_at if judged_at is None else judged_at,
            "replayable": replayable,
        },
    }


def identify(document: Document, preset: Preset) -> str | None:
    """The sender's id of the event, None if the document names none that can be kept. Raises Malformed."""
    found = find(preset.event_id, document)
    if isinstance(found, int) and not isinstance(found, bool):
        found = str(found)
    return found if isinstance(found, str) and _EVENT_ID.fullmatch(found) else None


def read(document: Document, preset: Preset, *, event_id: str) -> UserEvent | None:
    """The user event in a webhook body, or None for an event of another type.

    Raises Malformed, whose explanation names the field and holds no value of it.
    """
    event = find(preset.event, document)
    if not isinstance(event, str) or not event:
        raise Malformed("no_event_type", f"the body names no event type at {preset.event}")
    kind = preset.kind(event)
    if kind is None:
        return None
    if kind == "deleted":
        # What it shows of the user, if anything, is how they were before.
        return UserEvent(
            kind=kind,
            event_id=event_id,
            user_id=_user_id(find(preset.deleted_user_id or preset.user_id, document)),
            version=_version(document, _life_cycle_version(preset)),
            event_time=_event_time(document, preset),
            standing="deleted",
        )
    return UserEvent(
        kind=kind,
        event_id=event_id,
        user_id=_user_id(find(preset.user_id, document)),
        version=_version(document, preset.version if kind in ("created", "updated") else _life_cycle_version(preset)),
        event_time=_event_time(document, preset),
        standing=_standing(kind, document, preset),
        email=_text(find(preset.email, document), "the e-mail") or None,
        profile=_profile(document, preset),
        whop_user_id=_whop_user_id(find(preset.whop_user_id, document)),
    )


def user_id_of(document: Document, preset: Preset) -> str | None:
    """The user's id in a document of which something else cannot be read; None where the id cannot be read either."""
    for expression in dict.fromkeys((preset.user_id, preset.deleted_user_id or preset.user_id)):
        try:
            return _user_id(find(expression, document))
        except Malformed:
            continue
    return None


def _standing(kind: Kind, document: Document, preset: Preset) -> Standing | None:
    if kind == "suspended":
        return "suspended"
    if kind == "restored":
        return "active"
    blocked = _flag(find(preset.blocked, document), document)
    allowed = _flag(find(preset.active, document), document)
    if blocked or allowed is False:
        return "suspended"
    if kind == "created" or blocked is False or allowed:
        return "active"
    return None


def _flag(found: object, document: Document) -> bool | None:
    """None if the body does not speak of it. A time means true until then, by the clock of the receiver."""
    if found is None or isinstance(found, bool):
        return found
    until = microseconds(found)
    return until is not None and until > document["delivery"]["judged_at"] * 1_000_000


def _parse(body: bytes) -> dict[str, Any]:
    try:
        document = _decode(body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise Malformed("not_json", "the body is not JSON in UTF-8") from None
    if not isinstance(document, dict):
        raise Malformed("not_an_object", "the body is not a JSON object")
    return document


def _decode(text: str) -> Any:
    """JSON whose nulls are empty text wherever they are a key's value: so they are told from keys that are absent."""
    return json.loads(
        text,
        parse_constant=_refuse_constant,
        object_hook=lambda found: {key: "" if value is None else value for key, value in found.items()},
    )


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


def _user_id(found: object) -> str:
    if isinstance(found, int) and not isinstance(found, bool):
        found = str(found)
    user_id = found if isinstance(found, str) else ""
    if not user_id.strip() or len(user_id) > MAX_USER_ID_LENGTH or not _encodable(user_id):
        raise Malformed(
            "no_user_id", f"the user's id must be a number or a text of 1 to {MAX_USER_ID_LENGTH} characters"
        )
    return user_id


def _whop_user_id(found: object) -> str | None:
    if found is None or found == "":
        return None
    if not isinstance(found, str) or not _WHOP_USER_ID.fullmatch(found):
        raise Malformed("bad_whop_user_id", "the Whop user id must have the form user_...")
    return found


def _profile(document: Document, preset: Preset) -> dict[ProfileField, str | None]:
    profile: dict[ProfileField, str | None] = {}
    # Platforms fill in for what a user has not told: for the picture a generated one, for the name the e-mail address,
    # which chat would show to strangers.
    fields: tuple[tuple[ProfileField, tuple[str, ...], tuple[str, ...]], ...] = (
        ("name", preset.name, (_EMAIL,)),
        ("picture", preset.picture, preset.default_pictures),
    )
    for name, expressions, stopgaps in fields:
        found = (_text(find(expression, document), f"the {name}") for expression in expressions)
        told = [text for text in found if text is not None]
        if told:
            chosen = (text for text in told if text and not any(re.match(stopgap, text) for stopgap in stopgaps))
            profile[name] = next(chosen, None)
    return profile


def _text(found: object, what: str) -> str | None:
    """None if the body does not speak of it, empty text if it is empty."""
    if found is None:
        return None
    if found is False:
        return ""
    if isinstance(found, list) and not any(isinstance(part, list) for part in found):
        parts = [part for part in (_text(part, what) for part in found) if part is not None]
        return " ".join(part for part in parts if part) if parts else None
    if not isinstance(found, str) or not _encodable(found):
        raise Malformed("not_text", f"{what} is neither text nor null")
    return found.strip()


def _encodable(text: str) -> bool:
    """JSON can spell half of a surrogate pair, which no database and no API takes."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _life_cycle_version(preset: Preset) -> tuple[str, ...]:
    return preset.life_cycle_version or (*preset.event_time, *preset.version)


def _version(document: Document, expressions: Sequence[str]) -> int:
    version = _first_time(document, expressions)
    if version is None:
        raise Malformed("no_version", f"the body holds no time at {' or '.join(expressions)}")
    if version > (document["delivery"]["judged_at"] + MAX_CLOCK_LEAD.total_seconds()) * 1_000_000:
        raise Malformed("version_in_future", "the user's updated-at lies more than a day ahead")
    return version


def _event_time(document: Document, preset: Preset) -> int:
    """Microseconds, 0 if nothing that is signed names a time."""
    found = _first_time(document, preset.event_time)
    return found if found is not None else _first_time(document, ("delivery.signed_at",)) or 0


def _first_time(document: Document, expressions: Iterable[str]) -> int | None:
    """Of the first expression that finds a time."""
    for expression in expressions:
        found = microseconds(find(expression, document))
        if found is not None:
            return found
    return None


def _signed_microseconds(signed_at: float, received_at: float) -> int:
    """The signed time, where what was signed at the same time differs by the time of receipt.

        signed_at ──────────────────────────────────────── the next time that could be signed
           └ received ten minutes before it … ten minutes after it ┘

    So a copy that is sent again never gets past what was signed later.
    """
    unit = 1_000_000 if signed_at == int(signed_at) else 1000
    lag = min(max(received_at - signed_at, -_LONGEST_LAG), _LONGEST_LAG)
    return round(signed_at * 1_000_000) + int((lag + _LONGEST_LAG) / (2 * _LONGEST_LAG) * (unit - 1))


def microseconds(time: object) -> int | None:
    """A point in time as integer microseconds since 1970, from what platforms write; None if it tells none.

    Takes ISO 8601 text (without a zone: UTC) and numbers by their size: seconds below 1e11, milliseconds below 1e14,
    else microseconds. Empty text and times before 1970, which Go programs write for "never", count as none.
    Raises Malformed.
    """
    if time is None or time == "":
        return None
    if isinstance(time, str):
        text = time.strip()
        is_number = text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
        result = _scaled(int(text)) if is_number else _from_iso(text)
    elif isinstance(time, (int, float)) and not isinstance(time, bool) and abs(time) < 10**_MAX_DIGITS:
        result = _scaled(time)
    else:
        raise Malformed("bad_time", "a time is neither ISO 8601 text nor a number")
    return result if result > 0 else None


def _scaled(number: float) -> int:
    if number < 1e11:  # noqa: PLR2004 - the year 5138 in seconds, 1973 in milliseconds
        return round(number * 1_000_000)
    return round(number * 1000) if number < 1e14 else round(number)  # noqa: PLR2004 - likewise


def _from_iso(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Malformed("bad_time", "a time is neither ISO 8601 text nor a number") from None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


class _Functions(jmespath.functions.Functions):
    @jmespath.functions.signature({"types": ["array", "string", "null"]}, {"types": ["string"]}, {"types": []})
    def _func_find_by(self, items: object, key: str, value: object) -> Any:
        """The first object of a list whose `key` has the value, else null. Plain JMESPath cannot ask for it."""
        if not isinstance(items, list) or value in (None, ""):
            return None
        return next((item for item in items if isinstance(item, dict) and item.get(key) == value), None)

    @jmespath.functions.signature({"types": ["string", "null"]})
    def _func_from_json(self, text: str | None) -> Any:
        """What a text says that is JSON itself, null for none."""
        return _decode(text) if text else None


_OPTIONS = jmespath.Options(custom_functions=_Functions())


def find(expression: str, document: Document) -> Any:
    """What an expression finds in a document, None for nothing. Raises Malformed."""
    # JMESPath keeps what it compiled, so an expression is parsed once per environment.
    try:
        return jmespath.search(expression, document, options=_OPTIONS)
    except (ValueError, TypeError, ArithmeticError, RecursionError):  # functions on values they are not made for
        raise Malformed("unexpected_shape", f"{expression} cannot be read from the body") from None


def _problem(field: str, text: str) -> str | None:
    """Why an expression of a preset can never be evaluated, None if it can."""
    try:
        tree = jmespath.compile(text).parsed
    except (jmespath.exceptions.JMESPathError, RecursionError) as error:
        return f"is not a JMESPath expression: {' '.join(str(error).split())}"
    for node in _nodes(tree):
        # JMESPath itself would only notice when a body comes along.
        if node["type"] == "function_expression":
            function = _Functions.FUNCTION_TABLE.get(node["value"])
            if function is None:
                return f"calls {node['value']}(), which is no function"
            given, wanted = len(node["children"]), function["signature"]
            if given < len(wanted) or (given > len(wanted) and not wanted[-1].get("variadic")):
                return f"calls {node['value']}() with {given} arguments in place of {len(wanted)}"
    if field not in ("event", "event_id") and "delivery.headers" in text:
        return "reads a header, which no signature covers: only event and event_id may"
    return None


def _nodes(tree: Any) -> Iterator[Any]:
    yield tree
    for child in tree["children"]:
        if isinstance(child, dict):  # a slice has numbers
            yield from _nodes(child)
