"""How deliveries are proven, where the settings say something else than the row of the platform."""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from whop_sync.receiving.signatures import Hmac, Jwt, Scheme, Standard, Token

_SCHEMES: Mapping[str, Scheme] = {scheme.name: scheme for scheme in (Standard(), Hmac(), Token(), Jwt())}
_SETTINGS = {
    "SIGNATURE_HEADER": "header",
    "SIGNATURE_PREFIX": "prefix",
    "SIGNATURE_ENCODING": "encoding",
    "SIGNATURE_CONTENT": "content",
    "SIGNATURE_TIMESTAMP_HEADER": "timestamp_header",
    "SIGNATURE_TIMESTAMP_UNIT": "unit",
    "SIGNATURE_TOLERANCE_SECONDS": "tolerance",
}
_CHOICES = {"encoding": ("hex", "base64"), "content": ("body", "timestamp.body"), "unit": ("s", "ms")}
_OF_TIME = ("timestamp_header", "unit", "tolerance")


def configured_scheme(scheme: Scheme, settings: Mapping[str, str]) -> Scheme:
    wanted = settings.get("SIGNATURE_SCHEME") or scheme.name
    if wanted not in _SCHEMES:
        raise ValueError(f"SIGNATURE_SCHEME must be one of {', '.join(_SCHEMES)}, not {wanted}")
    if wanted != scheme.name:
        scheme = _SCHEMES[wanted]
    known = {field.name for field in dataclasses.fields(scheme)}
    changes: dict[str, Any] = {}
    for setting, field in _SETTINGS.items():
        text = settings.get(setting, "").strip()
        if text and field not in known:
            raise ValueError(f"{setting} means nothing to the signature scheme {wanted}: leave it empty")
        if text:
            changes[field] = _value(setting, field, text)
    scheme = replace(scheme, **changes)
    if isinstance(scheme, Hmac):
        if not scheme.header:
            raise ValueError("SIGNATURE_HEADER must name the header that holds the signature")
        for setting, field in _SETTINGS.items():
            if scheme.content == "body" and field in changes and field in _OF_TIME:
                raise ValueError(f"{setting} means nothing while SIGNATURE_CONTENT is body: leave it empty")
    return scheme


def _value(setting: str, field: str, text: str) -> str | int:
    if field in _CHOICES and text not in _CHOICES[field]:
        raise ValueError(f"{setting} must be {' or '.join(_CHOICES[field])}, not {text}")
    if field in ("header", "timestamp_header"):
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", text):
            raise ValueError(f"{setting} must be the name of a header, like x-signature")
        return text.lower()
    if field == "tolerance":
        if not re.fullmatch(r"[1-9][0-9]{0,3}", text, re.ASCII):
            raise ValueError(f"{setting} must be a whole number from 1 to 9999, not {text}")
        return int(text)
    return text
