"""How deliveries are proven where the settings differ from the row of the platform."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, get_args

from whop_sync.receiving.signatures import (
    CONTENTS,
    PLACEHOLDER,
    Algorithm,
    Encoding,
    Hmac,
    Jwt,
    KeyForm,
    Scheme,
    Standard,
    Token,
    Unit,
)

SCHEMES: Mapping[str, Scheme] = {scheme.name: scheme for scheme in (Standard(), Hmac(), Token(), Jwt())}

_OF_TIME = ("timestamp_header", "timestamp_prefix", "unit", "tolerance")
"""The fields of a scheme that mean nothing where no time is signed."""


def configured_scheme(scheme: Scheme, settings: Mapping[str, str]) -> Scheme:
    """The scheme of a platform's row with what is set on top of it.

    `settings` are environment variables as template.yaml names them; an empty one counts as not set.

    Raises ValueError with a sentence that names the setting and what it must be.
    """
    wanted = settings.get("SIGNATURE_SCHEME") or scheme.name
    if wanted not in SCHEMES:
        raise ValueError(f"SIGNATURE_SCHEME must be one of {', '.join(SCHEMES)}, not {wanted}")
    if wanted != scheme.name:
        scheme = SCHEMES[wanted]
    known = {field.name for field in dataclasses.fields(scheme)}
    changes: dict[str, Any] = {}
    for setting, (field, read) in _SETTINGS.items():
        text = settings.get(setting, "").strip()
        if text and field not in known:
            raise ValueError(f"{setting} means nothing to the signature scheme {wanted}: leave it empty")
        if text:
            try:
                changes[field] = read(text)
            except ValueError as error:
                raise ValueError(f"{setting} must be {error}") from None
    scheme = replace(scheme, **changes)
    if isinstance(scheme, Hmac):
        _check(scheme, {setting for setting, (field, _) in _SETTINGS.items() if field in changes})
    return scheme


def _check(scheme: Hmac, changed: set[str]) -> None:
    """Raises ValueError if settings contradict each other. `changed` are the names of those that are set."""
    if not scheme.header:
        raise ValueError("SIGNATURE_HEADER must name the header that holds the signature")
    for setting in sorted(changed):
        field, _ = _SETTINGS[setting]
        if field in _OF_TIME and not scheme.signs_time:
            raise ValueError(f"{setting} means nothing while SIGNATURE_CONTENT holds no {{timestamp}}: leave it empty")
    if scheme.timestamp_header:
        _check_timestamp_header(scheme, changed)
    elif scheme.signs_time and scheme.signature_prefix == scheme.timestamp_prefix:
        raise ValueError(
            "SIGNATURE_TIMESTAMP_PREFIX and SIGNATURE_PREFIX (v1= unless set) must differ: both stand in one header,"
            " before the time and before each signature"
        )
    if scheme.signs_id and scheme.id_header in ("", scheme.header):
        raise ValueError("SIGNATURE_ID_HEADER must name the header that holds the {id} of SIGNATURE_CONTENT")
    if scheme.id_header and not scheme.signs_id:
        raise ValueError("SIGNATURE_ID_HEADER means nothing while SIGNATURE_CONTENT holds no {id}: leave it empty")


def _check_timestamp_header(scheme: Hmac, changed: set[str]) -> None:
    if "SIGNATURE_TIMESTAMP_PREFIX" in changed:
        raise ValueError("SIGNATURE_TIMESTAMP_PREFIX means nothing beside SIGNATURE_TIMESTAMP_HEADER: leave it empty")
    if scheme.timestamp_header == scheme.header:
        raise ValueError(
            "SIGNATURE_TIMESTAMP_HEADER must be another one than SIGNATURE_HEADER: leave it empty where the time stands"
            " beside the signature"
        )


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"{' or '.join(words)}, not {text}")
        return text

    return read


def _header(text: str) -> str:
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", text):  # a token of RFC 9110, 5.6.2
        raise ValueError("the name of a header, like x-signature")
    return text.lower()


def _tolerance(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text, re.ASCII):
        raise ValueError(f"a whole number from 1 to 9999, not {text}")
    return int(text)


def _content(text: str) -> str:
    template = CONTENTS.get(text, text)
    parts = PLACEHOLDER.split(template)
    literal, placeholders = "".join(parts[::2]), parts[1::2]
    if placeholders.count("{body}") != 1 or len(set(placeholders)) != len(placeholders) or re.search("[{}]", literal):
        raise ValueError(
            f"{' or '.join(CONTENTS)}, or a template with {{body}} once, with {{timestamp}} and {{id}} at most once and"
            f" no other braces, not {text}"
        )
    return text


_SETTINGS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "SIGNATURE_HEADER": ("header", _header),
    "SIGNATURE_PREFIX": ("prefix", str),
    "SIGNATURE_ENCODING": ("encoding", _one_of(*get_args(Encoding.__value__))),
    "SIGNATURE_ALGORITHM": ("algorithm", _one_of(*get_args(Algorithm.__value__))),
    "SIGNATURE_CONTENT": ("content", _content),
    "SIGNATURE_KEY": ("key_form", _one_of(*get_args(KeyForm.__value__))),
    "SIGNATURE_TIMESTAMP_HEADER": ("timestamp_header", _header),
    "SIGNATURE_TIMESTAMP_PREFIX": ("timestamp_prefix", str),
    "SIGNATURE_TIMESTAMP_UNIT": ("unit", _one_of(*get_args(Unit.__value__))),
    "SIGNATURE_ID_HEADER": ("id_header", _header),
    "SIGNATURE_TOLERANCE_SECONDS": ("tolerance", _tolerance),
}
"""The field that a setting fills, and how it is read. A reader raises ValueError with what the setting must be."""
