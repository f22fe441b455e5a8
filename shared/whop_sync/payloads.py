"""What each platform's webhook body means, as one table of JMESPath expressions. A new platform is a new row."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Never

import jmespath
import jmespath.exceptions
import jmespath.functions

from whop_sync.errors import Malformed
from whop_sync.events import Kind, ProfileField, UserEvent

MAX_USER_ID_LENGTH = 255
MAX_CLOCK_LEAD = timedelta(days=1)
"""A version further ahead than this is a wrong unit or clock. Taken as it is, it would outrank every later change."""

_WHOP_USER_ID = re.compile(r"user_[A-Za-z0-9]+", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """How to read one profile field.

    The body speaks of the field if the object at `within` has any of `keys`; its value is then the first of `values`
    that is not empty, a list meaning its members joined with blanks. None of them filled means cleared.
    """

    within: str
    keys: tuple[str, ...]
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A platform's webhook body. Every string is a JMESPath expression but those in `created` and `updated`."""

    event: str
    created: frozenset[str]
    updated: frozenset[str]
    user_id: str
    email: str
    name: Field
    picture: Field
    version: tuple[str, ...]
    """The user's own updated-at first, then the time of the event; the first that is filled counts."""
    whop_user_id: str = "`null`"


PRESETS: Mapping[str, Preset] = {
    # The form the Standard Webhooks specification recommends, and what we recommend to a platform's own backend.
    "standard": Preset(
        event="type",
        created=frozenset({"user.created"}),
        updated=frozenset({"user.updated"}),
        user_id="data.id",
        email="data.email",
        name=Field(
            within="data",
            keys=("name", "first_name", "last_name"),
            values=("data.name", "data.[first_name, last_name]"),
        ),
        picture=Field(within="data", keys=("avatar_url",), values=("data.avatar_url",)),
        version=("data.updated_at", "timestamp"),
        whop_user_id="data.whop_user_id",
    ),
    # Clerk: the primary address is named by id and may not exist; image_url is always filled, with a generated
    # picture unless has_image says otherwise; times are in milliseconds.
    "clerk": Preset(
        event="type",
        created=frozenset({"user.created"}),
        updated=frozenset({"user.updated"}),
        user_id="data.id",
        email="find_by(data.email_addresses, 'id', data.primary_email_address_id).email_address",
        name=Field(
            within="data",
            keys=("first_name", "last_name", "username"),
            values=("data.[first_name, last_name]", "data.username"),
        ),
        picture=Field(
            within="data",
            keys=("has_image", "image_url"),
            values=("data.has_image && data.image_url || null",),
        ),
        version=("data.updated_at", "timestamp"),
    ),
}


def read(body: bytes, preset: Preset, *, event_id: str, now: float) -> UserEvent | None:
    """The user event in a webhook body, or None for a type of event that is none of ours.

    `now` is in Unix seconds. Raises Malformed, whose explanation names the field and holds no value of it.
    """
    document = _parse(body)
    kind = _kind(document, preset)
    if kind is None:
        return None
    return UserEvent(
        kind=kind,
        event_id=event_id,
        user_id=_user_id(_find(preset.user_id, document)),
        version=_version(document, preset, now),
        email=_text(_find(preset.email, document), "the e-mail"),
        profile=_profile(document, preset),
        whop_user_id=_whop_user_id(_find(preset.whop_user_id, document)),
    )


def _parse(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Malformed("not_json", "the body is not JSON in UTF-8") from None
    if not isinstance(document, dict):
        raise Malformed("not_an_object", "the body is not a JSON object")
    return document


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


def _kind(document: dict[str, Any], preset: Preset) -> Kind | None:
    event = _find(preset.event, document)
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


def _profile(document: dict[str, Any], preset: Preset) -> dict[ProfileField, str | None]:
    profile: dict[ProfileField, str | None] = {}
    fields: tuple[tuple[ProfileField, Field], ...] = (("name", preset.name), ("picture", preset.picture))
    for name, field in fields:
        within = _find(field.within, document)
        if isinstance(within, dict) and any(key in within for key in field.keys):
            values = (_text(_find(value, document), f"the {name}") for value in field.values)
            profile[name] = next((value for value in values if value is not None), None)
    return profile


def _text(found: object, what: str) -> str | None:
    if found is None:
        return None
    if isinstance(found, list):
        found = " ".join(part for part in (_text(part, what) for part in found) if part)
    if not isinstance(found, str) or not _encodable(found):
        raise Malformed("not_text", f"{what} is neither text nor null")
    return found.strip() or None


def _encodable(text: str) -> bool:
    """JSON can spell half of a surrogate pair, which no database and no API takes."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _version(document: dict[str, Any], preset: Preset, now: float) -> int:
    for expression in preset.version:
        version = microseconds(_find(expression, document))
        if version is not None:
            break
    else:
        raise Malformed("no_version", f"the body tells no time at {' or '.join(preset.version)}")
    if version > (now + MAX_CLOCK_LEAD.total_seconds()) * 1_000_000:
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
        result = _scaled(int(text)) if text.isascii() and text.isdigit() else _from_iso(text)
    elif isinstance(time, (int, float)) and not isinstance(time, bool) and math.isfinite(time):
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
    @jmespath.functions.signature({"types": ["array", "null"]}, {"types": ["string"]}, {"types": ["string", "null"]})
    def _func_find_by(self, items: list[Any] | None, key: str, value: str | None) -> Any:
        """The first object of a list whose `key` has the value, else null. Plain JMESPath cannot ask for it."""
        matching = (item for item in items or [] if isinstance(item, dict) and item.get(key) == value)
        return None if value is None else next(matching, None)


_OPTIONS = jmespath.Options(custom_functions=_Functions())


def _find(expression: str, document: dict[str, Any]) -> Any:
    # JMESPath keeps what it compiled, so an expression is parsed once per environment.
    try:
        return jmespath.search(expression, document, options=_OPTIONS)
    except jmespath.exceptions.JMESPathError:
        raise Malformed("unexpected_shape", f"{expression} cannot be read from the body") from None
