"""Is a delivery genuine? Bytes and headers in, the delivery's signed id out. No I/O, and the clock is passed in.

Platforms prove a delivery in one of four ways, each a class here. Which one is a matter of configuration and never
guessed: a secret with whsec_ before it is base64 to one platform and plain text to another.

`Standard`  Standard Webhooks 1.0.0, also under `svix-*` header names: id, time and body are signed
`Hmac`      HMAC-SHA256 of the body, or of `{timestamp}.{body}`, in a header of the platform's own
`Token`     a secret in a header; proves who sends, not what
`Jwt`       a JSON Web Token in a header, HS256, that soon expires; proves who sends, not what

All four have the same two methods. `keys(secret)` gives the keys in a secret as an operator pastes it, and raises
ValueError if it cannot be right, with a sentence that says what to do and holds no part of the secret.
`verify(body, headers, keys, now=...)` gives the delivery's id if the scheme signs one, and raises Unauthentic, whose
reason never tells the expected signature; `headers` have lower-case names, `now` is in Unix seconds.
"""

import base64
import binascii
import contextlib
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

from whop_sync.errors import OperatorNeeded, Unauthentic

TOLERANCE_SECONDS = 300
"""How far a signature's time may be from ours, either way (the tolerance of the Standard Webhooks libraries)."""

MIN_SECRET_LENGTH = 12
"""Characters of a secret that is used as text. Shorter ones can be tried out until one fits."""

_FAMILIES = ("webhook-", "svix-")
_TIMESTAMP = re.compile(r"[0-9]{1,16}", re.ASCII)
# Senders join several signatures with blanks, some with commas. Base64 holds neither, so every `v1,` entry can be cut
# out exactly, whatever stands between or is broken beside it.
_SIGNATURE = re.compile(r"(?<![^\s,])v1,([A-Za-z0-9+/]+={0,2})(?![^\s,])")
_DIGESTS = {"hex": "[0-9A-Fa-f]{64}", "base64": "[A-Za-z0-9+/]{43}="}
_SECRET_BYTES = range(24, 65)
_HEX = re.compile(r"[0-9A-Fa-f]{32,}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standard:
    """Standard Webhooks: signed is `{id}.{timestamp}.{raw body}` with HMAC-SHA256, written `v1,<base64>`.

    The header may list several signatures, since senders sign with the old and the new secret while one is rotated.
    """

    name: ClassVar[str] = "standard"
    tolerance: int = TOLERANCE_SECONDS

    def keys(self, secret: str) -> tuple[bytes, ...]:
        return tuple(signing_key(each) for each in secret.split("|"))  # Supabase joins its secrets so

    def verify(self, body: bytes, headers: Mapping[str, str], keys: Sequence[bytes], *, now: float) -> str:
        delivery_id, timestamp, signatures = _signed_headers(headers)
        _check_age(timestamp, now, self.tolerance)
        offered = [match.encode() for match in _SIGNATURE.findall(signatures)]
        _check(offered, [sign(key, delivery_id, timestamp, body).encode() for key in keys])
        return delivery_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Hmac:
    """HMAC-SHA256 under the secret as text, in a header of the platform's own.

    The header lists one or more signatures, each with `prefix` before it, parted by commas or blanks. With
    `timestamp.body` the time comes from `timestamp_header`, or where that is empty from an entry `t=` of the list,
    whose signatures are then `v1=` unless `prefix` says otherwise. What is not signed proves nothing: with `body`
    that is every header, and a captured delivery can be sent again for ever.
    """

    name: ClassVar[str] = "hmac"
    header: str = ""
    prefix: str = ""
    encoding: Literal["hex", "base64"] = "hex"
    content: Literal["body", "timestamp.body"] = "body"
    timestamp_header: str = ""
    unit: Literal["s", "ms"] = "s"
    tolerance: int = TOLERANCE_SECONDS
    secret_form: str = ""
    """A regular expression for the beginning of every secret of this platform, and in words:"""
    secret_rule: str = ""

    def keys(self, secret: str) -> tuple[bytes, ...]:
        if not re.match(self.secret_form, secret.strip()):
            raise ValueError(f"this secret is not the platform's: {self.secret_rule}")
        return (_text_key(secret),)

    def verify(self, body: bytes, headers: Mapping[str, str], keys: Sequence[bytes], *, now: float) -> None:
        value = _header(headers, self.header)
        prefix, content = self.prefix.strip(), body
        if self.content == "timestamp.body":
            timestamp = self._timestamp(value, headers)
            _check_age(timestamp, now, self.tolerance, self.unit)
            content = timestamp.encode() + b"." + body
            prefix = prefix or ("" if self.timestamp_header else "v1=")
        pattern = rf"(?<![^\s,]){re.escape(prefix)} ?({_DIGESTS[self.encoding]})(?![^\s,])"
        offered = [self._bytes(signature) for signature in re.findall(pattern, value)]
        _check(offered, [hmac.digest(key, content, hashlib.sha256) for key in keys])

    def _timestamp(self, value: str, headers: Mapping[str, str]) -> str:
        if self.timestamp_header:
            return _header(headers, self.timestamp_header)
        timestamps = re.findall(r"(?<![^\s,])t=([^\s,]*)", value)
        if len(timestamps) != 1:
            raise Unauthentic("malformed_timestamp")
        return str(timestamps[0])

    def _bytes(self, signature: str) -> bytes:
        return bytes.fromhex(signature) if self.encoding == "hex" else base64.b64decode(signature)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A secret that the platform sends along in a header.

    `prefix` is what has to stand before it. Without one, `Bearer` or `Basic` may. What HTTP's Basic authentication
    encodes may be given as it is or as `user:password`. The latter counts as secret as a whole: any token may hold a
    colon.
    """

    name: ClassVar[str] = "token"
    header: str = "authorization"
    prefix: str = ""

    def keys(self, secret: str) -> tuple[bytes, ...]:
        word, credential = self._split(secret) or ("", secret)
        if word == "basic":
            _text_key(_password(credential))  # or it is refused: of user and password, only the second is secret
        # A secret may begin with the very word that the platform puts before it.
        return tuple({_text_key(credential), _text_key(secret)})

    def verify(self, body: bytes, headers: Mapping[str, str], keys: Sequence[bytes], *, now: float) -> None:
        del body, now
        found = self._split(_header(headers, self.header))
        if found is None:
            raise Unauthentic("malformed_token")
        word, credential = found
        offered = [credential.encode("utf-8", "surrogatepass")]
        if word == "basic":
            with contextlib.suppress(ValueError):
                offered.append(base64.b64decode(credential, validate=True))
        # Hashed, so that the time taken does not tell the length either.
        digests = [[hashlib.sha256(each).digest() for each in side] for side in (offered, keys)]
        _check(*digests)

    def _split(self, text: str) -> tuple[str, str] | None:
        """The word before the secret, in lower case, and the secret; None if the word is wrong."""
        for word in (self.prefix.strip(),) if self.prefix else ("Bearer ", "Basic ", ""):
            if text.strip().lower().startswith(word.lower()):
                return word.strip().lower(), text.strip()[len(word) :].strip()
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Jwt:
    """A JSON Web Token (RFC 7519), HS256 under the secret as text, with the claims `iat` and `exp` in Unix seconds."""

    name: ClassVar[str] = "jwt"
    header: str = "authorization"

    def keys(self, secret: str) -> tuple[bytes, ...]:
        return (_text_key(secret),)

    def verify(self, body: bytes, headers: Mapping[str, str], keys: Sequence[bytes], *, now: float) -> None:
        del body
        token = re.sub(r"^Bearer\s+", "", _header(headers, self.header).strip(), flags=re.IGNORECASE)
        signed, _, signature = token.rpartition(".")
        # The token's own word for its algorithm is not asked: nothing but HS256 is ever computed.
        _check(
            [_base64url(signature)],
            [hmac.digest(key, signed.encode("utf-8", "replace"), hashlib.sha256) for key in keys],
        )
        try:
            claims = json.loads(_base64url(signed.rpartition(".")[2]))
            issued, expires = float(claims["iat"]), float(claims["exp"])
        except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError):
            raise Unauthentic("malformed_token") from None
        if not now < expires:
            raise Unauthentic("timestamp_too_old")
        if not issued < now + TOLERANCE_SECONDS:
            raise Unauthentic("timestamp_in_future")


type Scheme = Standard | Hmac | Token | Jwt


@lru_cache(maxsize=1)
def signing_keys(text: str, scheme: Scheme) -> tuple[bytes, ...]:
    """The keys in the text of the signing secrets. Raises OperatorNeeded: the deliveries are fine and come again."""
    try:
        return parse_secrets(text, scheme)
    except ValueError as error:
        raise OperatorNeeded("signing_secrets_invalid", str(error)) from None


def parse_secrets(text: str, scheme: Scheme) -> tuple[bytes, ...]:
    """The keys in a JSON list of secrets. Raises ValueError, with a sentence that holds no part of a secret."""
    try:
        secrets = json.loads(text)
    except (ValueError, RecursionError):
        secrets = None
    if not isinstance(secrets, list) or not secrets or not all(isinstance(secret, str) for secret in secrets):
        raise ValueError('the signing secrets must be a JSON list of texts, like ["..."]; also when there is only one')
    keys: list[bytes] = []
    for number, secret in enumerate(secrets, 1):
        try:
            keys += scheme.keys(secret)
        except ValueError as error:
            raise ValueError(f"signing secret {number} of {len(secrets)}, scheme {scheme.name}: {error}") from None
    return tuple(keys)


def signing_key(secret: str) -> bytes:
    """The key behind a `whsec_<base64 of 24 to 64 bytes>` secret.

    Raises ValueError, with a sentence that says what to do and holds no part of the secret.
    """
    text = secret.strip().removeprefix("v1,")  # Supabase prints its secrets as v1,whsec_...
    if text.startswith(("v1a,", "whpk_", "whsk_")):
        raise ValueError("keys of asymmetric signatures (v1a) are not taken: ask the sender for a whsec_ secret")
    if not text.startswith("whsec_"):
        raise ValueError(
            "a signing secret must start with whsec_ (if your sender shows bare base64, put whsec_ before it; if it"
            " shows hex or other text, its scheme is another one)"
        )
    encoded = text.removeprefix("whsec_")
    if _HEX.fullmatch(encoded):  # hex is valid base64 too, of another key
        raise ValueError("the part of a signing secret after whsec_ must be base64, this one is hex: copy it once more")
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the part of a signing secret after whsec_ must be base64: copy it once more") from None
    if len(key) not in _SECRET_BYTES:
        raise ValueError(f"a signing secret must hold 24 to 64 bytes, this one holds {len(key)}: copy it once more")
    return key


def sign(key: bytes, delivery_id: str, timestamp: str, body: bytes) -> str:
    """The base64 signature of a delivery in the Standard Webhooks form, without its `v1,`."""
    content = f"{delivery_id}.{timestamp}.".encode("utf-8", "surrogatepass") + body
    return base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()


def _text_key(secret: str) -> bytes:
    text = secret.strip()
    if len(text) < MIN_SECRET_LENGTH:
        raise ValueError(f"a secret of {len(text)} characters can be guessed, it must have {MIN_SECRET_LENGTH} or more")
    if not text.isprintable():
        raise ValueError("a secret is one line of printable text: copy it once more")
    return text.encode()


def _password(credential: str) -> str:
    """The password in what HTTP's Basic authentication encodes; all of it if it is none of that."""
    try:
        _, colon, password = base64.b64decode(credential, validate=True).decode().partition(":")
    except ValueError:
        return credential
    return password if colon else credential


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name, "")
    if not value:
        raise Unauthentic("missing_header")
    return value


def _signed_headers(headers: Mapping[str, str]) -> tuple[str, str, str]:
    for family in _FAMILIES:
        values = tuple(headers.get(family + name, "") for name in ("id", "timestamp", "signature"))
        if all(values):
            return values[0], values[1], values[2]
    raise Unauthentic("missing_header")


def _check_age(timestamp: str, now: float, tolerance: int, unit: Literal["s", "ms"] = "s") -> None:
    if not _TIMESTAMP.fullmatch(timestamp):
        raise Unauthentic("malformed_timestamp")
    age = now - int(timestamp) / (1000 if unit == "ms" else 1)
    if age > tolerance:
        raise Unauthentic("timestamp_too_old")
    if age < -tolerance:
        raise Unauthentic("timestamp_in_future")


def _base64url(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise Unauthentic("malformed_token") from None


def _check(offered: Sequence[bytes], expected: Sequence[bytes]) -> None:
    if not offered:
        raise Unauthentic("malformed_signature")
    # Not `any` over a generator: every pair is compared, so the time taken tells nothing of which one fitted.
    if not sum(hmac.compare_digest(one, other) for one in offered for other in expected):
        raise Unauthentic("wrong_signature")
