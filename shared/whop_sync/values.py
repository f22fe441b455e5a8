"""Single values as platforms and files write them: ids, addresses, names, times. Each is read, or refused by name.

All functions raise Malformed, whose explanation holds no part of the value. JSON null is read as empty text, so None
always means that a value is absent.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Never

from whop_sync.errors import Malformed
from whop_sync.events import INLINE_PICTURE, MAX_NAME_LENGTH, MAX_USER_ID_LENGTH, ProfileField, is_data_url

EMAIL_IN_PLACE_OF_A_NAME = r"[^@\s]+@[^@\s.]+\.[^@\s]+\Z"
"""Platforms fill in the e-mail address for a name that the user has not given. Chat would show it to strangers."""

_WHOP_USER_ID = re.compile(r"user_[A-Za-z0-9]+", re.ASCII)

# A spreadsheet writes 12345 as 12345.0 and 123456789012 as 1.23457E+11, which no longer holds the last digits. In much
# of the world it writes a comma.
_MANGLED_NUMBER = re.compile(r"-?[0-9]+([.,]0+|([.,][0-9]+)?[eE]\+[0-9]+)", re.ASCII)

# 64 characters before the @ and 255 behind it (https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.1). Of ASCII's
# signs a domain has hyphens only, not at an end, and some hosts an underscore.
_EMAIL = re.compile(r"""(?:[^\s@<>()\[\],;:"\\]{1,64}|"[^\s"\\]{1,62}")@(?=.{1,255}\Z)(.+)""")
_LABEL = re.compile(r"(?!-)[^\s\x00-,./:-@\[-^`{-\x7f]+(?<!-)")

# Letters of their own right in Unicode that nothing is drawn for.
_UNDRAWN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_UNSEEN_CATEGORIES = frozenset(("Cc", "Cf", "Zs", "Zl", "Zp"))
_LINE_ENDS = re.compile(r" *[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+ *")
# Direction overrides turn what is written around a name, too; a byte order mark is left over from a file.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]")

# Signs that are drawn around what follows.
_PREPENDED = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\u0d4e\U000110bd\U000110cd")

_MAX_DIGITS = 100
"""Of a number that may be a time. Python's arithmetic fails on much longer ones."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(rf"-?[0-9]{{1,{_MAX_DIGITS}}}(\.[0-9]{{1,{_MAX_DIGITS}}})?", re.ASCII)
# 20260301, 202603011000 and 20260301100000 would be 1970, 1976 and 2612 as Unix times; a longer one has milliseconds.
_CALENDAR = re.compile(
    r"(19|20|21)[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])([0-9]{4}|[0-9]{6}|[0-9]{9})?", re.ASCII
)
_ZONE = re.compile(r" ?(?:(UTC|GMT|Z)|([+-][0-9]{2}:?[0-9]{2})(?: [A-Z]{2,5})?)\Z", re.ASCII)
# Python takes a time in a zone that it does not know, such as CEST, for one in UTC.
_RFC_2822 = re.compile(
    r"([A-Z]{3}, )?[0-9]{1,2} [A-Z]{3} [0-9]{4} [0-9]{2}:[0-9]{2}(:[0-9]{2})?"
    r"( ([+-][0-9]{4}|UTC?|GMT|Z|[ECMP][SD]T)( \([A-Z ]+\))?)?",
    re.ASCII | re.IGNORECASE,
)


# -- JSON ------------------------------------------------------------------------------------------------------------


def json_object(content: bytes) -> dict[str, Any]:
    """A JSON object in UTF-8 whose nulls are read as empty text, which keeps them apart from keys that are absent."""
    try:
        document = decode_json(content.decode("utf-8"))
    except (ValueError, RecursionError):
        raise Malformed("not_json", "the body is not JSON in UTF-8") from None
    if not isinstance(document, dict):
        raise Malformed("not_an_object", "the body is not a JSON object")
    return document


def decode_json(text: str) -> Any:
    """Raises ValueError or RecursionError instead of Malformed."""
    return json.loads(
        text,
        parse_constant=_refuse_constant,
        object_hook=lambda found: {key: "" if value is None else value for key, value in found.items()},
    )


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


def distinct_keys[Value](pairs: Iterable[tuple[str, Value]]) -> dict[str, Value]:
    """The mapping that a setting holds. JSON and YAML would keep the last of two equal keys and lose what the first
    one says. Raises ValueError, with a sentence that names such a key."""
    mapping: dict[str, Value] = {}
    for key, value in pairs:
        if key in mapping:
            raise ValueError(f"{key} stands twice")
        mapping[key] = value
    return mapping


# -- text ------------------------------------------------------------------------------------------------------------


def text(found: object, what: str) -> str | None:
    """None for an absent value, empty text for null, false and blanks; a list means its members joined with blanks."""
    if found is None:
        return None
    if found is False:
        return ""
    if isinstance(found, list) and not any(isinstance(part, list) for part in found):
        parts = [part for part in (text(part, what) for part in found) if part is not None]
        return " ".join(part for part in parts if part) if parts else None
    if not isinstance(found, str) or not _encodable(found):
        raise Malformed("not_text", f"{what} is neither text nor null")
    return found.strip()


def first_filled(texts: Iterable[str | None], stand_ins: Sequence[str] = ()) -> str | None:
    """The first text that is filled and begins with none of the regular expressions `stand_ins`.

    Without one: empty text if any of them was there, None if all are absent.
    """
    present = [each for each in texts if each is not None]
    filled = (each for each in present if each and not any(re.match(stand_in, each) for stand_in in stand_ins))
    return next(filled, "" if present else None)


def strip_unseen(value: str) -> str:
    """Without blanks, byte order marks and other unseen characters around it."""
    value = value.strip()
    if value.isascii():
        return value.strip("\x00 \t\r\n")
    begin, end = 0, len(value)
    while begin < end and _is_unseen(value[begin]):
        begin += 1
    while end > begin and _is_unseen(value[end - 1]):
        end -= 1
    return value[begin:end]


def _is_unseen(character: str) -> bool:
    return (
        character in _UNDRAWN
        or unicodedata.category(character) in _UNSEEN_CATEGORIES
        or "\ufe00" <= character <= "\ufe0f"
        or "\U000e0100" <= character <= "\U000e01ef"
    )


def _encodable(value: str) -> bool:
    """JSON can spell half of a surrogate pair, which no database and no API takes."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


# -- users -----------------------------------------------------------------------------------------------------------


def user_id(found: object) -> str:
    """The platform's id of a user, from a text or a whole number, without blanks around it."""
    if isinstance(found, float):
        raise Malformed("bad_user_id", "the user's id is a number with a fraction or an exponent, such as 42.0")
    if isinstance(found, int) and not isinstance(found, bool):
        found = str(found)
    value = strip_unseen(found) if isinstance(found, str) else ""
    if not value or len(value) > MAX_USER_ID_LENGTH or not _encodable(value):
        raise Malformed(
            "no_user_id", f"the user's id must be a whole number or a text of 1 to {MAX_USER_ID_LENGTH} characters"
        )
    if _MANGLED_NUMBER.fullmatch(value):
        raise Malformed("bad_user_id", "the user's id looks like 42.0 or 1.23E+11, as spreadsheets write whole numbers")
    if any(unicodedata.category(character) == "Cc" for character in value):
        raise Malformed("bad_user_id", "the user's id holds a control character")
    return value


def whop_user_id(found: object) -> str | None:
    """The id of a Whop user, None if it is absent or empty."""
    if isinstance(found, str):
        found = strip_unseen(found)
    if found is None or found == "":
        return None
    if not isinstance(found, str) or not _WHOP_USER_ID.fullmatch(found):
        raise Malformed("bad_whop_user_id", "the Whop user id must have the form user_...")
    return found


def email(found: object) -> str | None:
    """An e-mail address, of a list the first that can be one; None if it is absent or empty."""
    offered = [text(each, "the e-mail") for each in (found if isinstance(found, list) else [found])]
    filled = [address for address in (strip_unseen(each or "") for each in offered) if address]
    for address in filled:
        if _is_email(address):
            return address
    if filled:
        raise Malformed(
            "bad_email",
            "the e-mail cannot be an address: it must be one, such as ann@example.org, without a name beside it, blanks"
            " or unseen characters",
        )
    return None


def _is_email(address: str) -> bool:
    parts = _EMAIL.fullmatch(address)
    if not parts or any(_is_unseen(character) for character in address):
        return False
    labels = parts[1].split(".")
    return all(_LABEL.fullmatch(label) for label in labels) and not labels[-1].isdecimal()


def name(found: Iterable[object]) -> str | None:
    """The first name that can be shown, None if all are absent, empty text if none is left.

    Control characters go, line ends become blanks, and what consists of unseen characters is none. It is cut to what
    Whop takes.
    """
    texts = (text(each, "the name") for each in found)
    chosen = first_filled((each and _visible(each) for each in texts), (EMAIL_IN_PLACE_OF_A_NAME,))
    return chosen and cut(chosen, MAX_NAME_LENGTH)


def picture(found: Iterable[object], stand_ins: Sequence[str] = ()) -> str | None:
    """The address of a picture, None if all are absent, empty text if there is none, INLINE_PICTURE if it is a data:
    URL and there is no address beside it."""
    texts = [text(each, "the picture") for each in found]
    address = first_filled((each for each in texts if not is_data_url(each or "")), stand_ins)
    return INLINE_PICTURE if not address and any(is_data_url(each or "") for each in texts) else address


def profile(name: str | None, picture: str | None) -> dict[ProfileField, str | None]:
    """What an event says of both: a field that is absent is left out, one that is empty is None."""
    found: tuple[tuple[ProfileField, str | None], ...] = (("name", name), ("picture", picture))
    return {field: value or None for field, value in found if value is not None}


def _visible(value: str) -> str:
    if value.isascii() and value.isprintable():
        return value
    value = _CONTROLS.sub("", _LINE_ENDS.sub(" ", value)).strip()
    # What is unseen at the end may be part of an emoji.
    return value[next((at for at, character in enumerate(value) if not _is_unseen(character)), len(value)) :]


def cut(value: str, length: int) -> str:
    """The beginning of a text, which ends where a reader sees a character end.

    It follows the rules of https://www.unicode.org/reports/tr29/ for marks, emoji, flags, Hangul and conjuncts.
    """
    end = length
    while 0 < end < len(value) and not _is_boundary(value, end):
        end -= 1
    return value[: end or length].rstrip()


def _is_boundary(value: str, index: int) -> bool:
    before, after = value[index - 1], value[index]
    if before.isascii() and after.isascii():
        return True
    if (
        unicodedata.category(after).startswith("M")
        or after in "\u0e33\u0eb3\u200c\u200d\uff9e\uff9f"
        or "\U0001f3fb" <= after <= "\U0001f3ff"
        or "\U000e0020" <= after <= "\U000e007f"
        or before == "\u200d"
        or before in _PREPENDED
    ):
        return False
    if unicodedata.combining(before) == 9 and unicodedata.category(after).startswith("L"):  # noqa: PLR2004 - a virama
        return False
    if _is_flag_half(before) and _is_flag_half(after):
        halves = len(value[:index]) - len(value[:index].rstrip("".join(map(chr, range(0x1F1E6, 0x1F200)))))
        return halves % 2 == 0
    if _begins_syllable(before):
        return not _is_hangul(after)
    return not (_is_inside_syllable(after) and _is_hangul(before))


def _is_flag_half(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _begins_syllable(character: str) -> bool:
    """Whether it is a Korean consonant that takes what follows into its syllable."""
    return "\u1100" <= character <= "\u115f" or "\ua960" <= character <= "\ua97c"


def _is_inside_syllable(character: str) -> bool:
    """Whether it is what stands behind such a consonant: a vowel, or a consonant that ends a syllable."""
    return "\u1160" <= character <= "\u11ff" or "\ud7b0" <= character <= "\ud7fb"


def _is_hangul(character: str) -> bool:
    """Whether it is a Korean syllable or a part of one."""
    is_whole = "\uac00" <= character <= "\ud7a3"
    return is_whole or _begins_syllable(character) or _is_inside_syllable(character)


# -- times -----------------------------------------------------------------------------------------------------------


def microseconds(time: object) -> int | None:
    """A point in time as integer microseconds since 1970; None for none.

    Takes ISO 8601, also with a blank in place of the T, in lower case or with UTC behind it; RFC 2822; numbers by
    their size: seconds below 1e11, milliseconds below 1e14, microseconds below 1e17, else nanoseconds. A time without
    a zone is UTC. Empty text and times before 1970, which Go programs write for "never", are none.
    """
    if time is None or time == "":
        return None
    if isinstance(time, str):
        value = strip_unseen(time)
        if not value:
            return None
        result = _from_number(value) if _NUMBER.fullmatch(value) else _from_text(value)
    elif isinstance(time, (int, float)) and not isinstance(time, bool) and abs(time) < 10**_MAX_DIGITS:
        result = _from_number(str(time), time)
    else:
        raise _bad_time()
    return result if result > 0 else None


def _from_number(written: str, number: float | None = None) -> int:
    if _CALENDAR.fullmatch(written.removesuffix(".0")):
        raise Malformed("bad_time", "a time is a date without hyphens, such as 20260301: write 2026-03-01T00:00:00Z")
    if number is None:
        number = float(written) if "." in written else int(written)
    if number < 1e11:  # noqa: PLR2004 - the year 5138 in seconds, 1973 in milliseconds
        return round(number * 1_000_000)
    if number < 1e14:  # noqa: PLR2004 - likewise
        return round(number * 1000)
    return round(number) if number < 1e17 else int(number) // 1000  # noqa: PLR2004 - likewise


def _from_text(written: str) -> int:
    upper = written.upper()
    zone = _ZONE.search(upper)
    if zone:
        upper = upper[: zone.start()] + (zone[2] or "+00:00")
    try:
        moment = datetime.fromisoformat(upper)
    except ValueError:
        if not _RFC_2822.fullmatch(written):
            raise _bad_time() from None
        from email.utils import parsedate_to_datetime  # noqa: PLC0415 - for the few senders that write so

        try:
            moment = parsedate_to_datetime(written)
        except (ValueError, TypeError, IndexError):
            raise _bad_time() from None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def _bad_time() -> Malformed:
    return Malformed("bad_time", "a time is neither ISO 8601 text nor a Unix time")
