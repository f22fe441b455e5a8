"""What a webhook body means: JMESPath expressions find in it what a user event is made of."""

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Never

import jmespath
import jmespath.exceptions
import jmespath.functions

from whop_sync.errors import Malformed
from whop_sync.events import MAX_USER_ID_LENGTH, Kind, ProfileField, UserEvent

MAX_CLOCK_LEAD = timedelta(days=1)
"""A version further ahead than this is a wrong unit or clock. Taken as it is, it would outrank every later change."""

_WHOP_USER_ID = re.compile(r"user_[A-Za-z0-9]+", re.ASCII)
_EVENT_ID = re.compile(r"[!-~]{1,255}", re.ASCII)
_EMAIL = r"[^@\s]+@[^@\s.]+\.[^@\s]+\Z"
_MAX_DIGITS = 100
"""Of a number that may be a time. Python's arithmetic fails on much longer ones."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A platform's webhook body: JMESPath expressions, but for `created`, `updated` and `default_pictures`.

    They are evaluated on the body, beside whose own keys stands `delivery`: its `headers`, with lower-case names, and
    `received_at` in Unix seconds. No signature covers the headers, so only `event` and `event_id` may read them.
    A null in the body reads as empty text. So an expression that finds nothing says that the body does not speak of
    a field, and one that finds empty text or false says that the field is empty.
    """

    event: str
    created: tuple[str, ...]
    """The values of `event` that mean a new user, and below those that mean a changed one. All others are ignored."""
    updated: tuple[str, ...]
    event_id: str = "`null`"
    """For people who search. Where it finds none, the signed id of the delivery serves, else a hash of the body."""
    user_id: str
    email: str
    name: tuple[str, ...]
    """The first that is filled counts; a list means its members joined with blanks."""
    picture: tuple[str, ...]
    version: tuple[str, ...]
    """The user's own updated-at first, then the time of the event; the first that is filled counts."""
    default_pictures: tuple[str, ...] = ()
    """Regular expressions for the beginnings of picture URLs that stand for no picture."""
    whop_user_id: str = "`null`"


type Document = Mapping[str, Any]
"""A parsed body with `delivery` beside its own keys."""


def check(preset: Preset) -> None:
    """Raises ValueError if a setting can never be right, with a sentence that names it and says why."""
    for field in dataclasses.fields(preset):
        setting = getattr(preset, field.name)
        if field.name not in ("created", "updated", "default_pictures"):
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
    if set(preset.created) & set(preset.updated):
        raise ValueError("updated: an event cannot stand in both created and updated")


def parse(body: bytes, headers: Mapping[str, str], *, received_at: float) -> Document:
    """`headers` have lower-case names, `received_at` is in Unix seconds. Raises Malformed if the body is no object."""
    return {**_parse(body), "delivery": {"headers": headers, "received_at": received_at}}


def identify(document: Document, preset: Preset) -> str | None:
    """The sender's id of the event, None if the document tells none that can be kept. Raises Malformed."""
    found = find(preset.event_id, document)
    if isinstance(found, int) and not isinstance(found, bool):
        found = str(found)
    return found if isinstance(found, str) and _EVENT_ID.fullmatch(found) else None


def read(document: Document, preset: Preset, *, event_id: str) -> UserEvent | None:
    """The user event in a webhook body, or None for a type of event that is none of ours.

    Raises Malformed, whose explanation names the field and holds no value of it.
    """
    kind = _kind(document, preset)
    if kind is None:
        return None
    return UserEvent(
        kind=kind,
        event_id=event_id,
        user_id=_user_id(find(preset.user_id, document)),
        version=_version(document, preset),
        email=_text(find(preset.email, document), "the e-mail") or None,
        profile=_profile(document, preset),
        whop_user_id=_whop_user_id(find(preset.whop_user_id, document)),
    )


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


def _kind(document: Document, preset: Preset) -> Kind | None:
    event = find(preset.event, document)
    if not isinstance(event, str) or not event:
        raise Malformed("no_event_type", f"the body names no event type at {preset.event}")
    if event in preset.created:
        return "created"
    return "updated" if event in preset.updated else None


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


def _version(document: Document, preset: Preset) -> int:
    for expression in preset.version:
        version = microseconds(find(expression, document))
        if version is not None:
            break
    else:
        raise Malformed("no_version", f"the body tells no time at {' or '.join(preset.version)}")
    if version > (document["delivery"]["received_at"] + MAX_CLOCK_LEAD.total_seconds()) * 1_000_000:
        raise Malformed("version_in_future", "the user's updated-at lies more than a day ahead")
    return version


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
