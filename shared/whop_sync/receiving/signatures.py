"""Is a delivery genuine? Bytes and headers in, a proof out. No I/O, and the clock is passed in.

Platforms prove a delivery in one of four ways, each a `Scheme` here. Which one is configured and never guessed: a
secret that starts with whsec_ is base64 to one platform and plain text to another.

`Standard`  Standard Webhooks 1.0.0, also under `svix-*` header names: id, time and body are signed
`Hmac`      an HMAC (RFC 2104) of a content that a template describes, in a header of the platform's own
`Token`     a secret in a header: proves who sends, not what
`Jwt`       a JSON Web Token in a header, HS256, valid for minutes: proves who sends, not what
"""

import base64
import contextlib
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

from whop_sync.aws.secrets import pasted_texts
from whop_sync.errors import OperatorNeeded, Reason, Unauthentic
from whop_sync.standard_webhooks import HEX, sign, signing_key

TOLERANCE_SECONDS = 300
"""How far a signature's time may be from ours, either way (the tolerance of the Standard Webhooks libraries)."""

MAX_TOKEN_LIFE_SECONDS = 3600
"""A JSON Web Token proves the moment it was made at. One that is valid for longer is a password: who reads it once can
use it until it expires. Frontegg's and Keycloak's are valid for five minutes (observed)."""

MIN_SECRET_LENGTH = 12
"""Characters of a secret that is used as text, or bytes of one that is decoded. Shorter ones can be guessed."""

type Unit = Literal["s", "ms", "iso"]
type Encoding = Literal["hex", "base64"]
type Algorithm = Literal["sha256", "sha512", "sha1"]
type KeyForm = Literal["text", "hex", "base64"]

CONTENTS: Mapping[str, str] = {"body": "{body}", "timestamp.body": "{timestamp}.{body}"}
"""The short names of the usual contents."""

PLACEHOLDER = re.compile(r"(\{(?:timestamp|id|body)\})")

_FAMILIES = ("webhook-", "svix-")
_TIMESTAMP = re.compile(r"[0-9]{1,16}", re.ASCII)
_ISO_TIMESTAMP = re.compile(r"(\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2})(\.\d{1,9})?([Zz]|[+-]\d{2}:?\d{2})", re.ASCII)
# Base64 holds neither comma nor blank, so every `v1,` entry can be cut out exactly, whatever stands between or is
# broken beside it. The specification joins several with blanks, Supabase with a comma and a blank:
# https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
# https://github.com/supabase/auth/blob/master/internal/hooks/hookshttp/hookshttp.go
_STANDARD_SIGNATURE = re.compile(r"(?<![^\s,])v1,([A-Za-z0-9+/]+={0,2})(?![^\s,])")
_DIGESTS: Mapping[tuple[Algorithm, Encoding], str] = {
    ("sha1", "hex"): "[0-9A-Fa-f]{40}",
    ("sha256", "hex"): "[0-9A-Fa-f]{64}",
    ("sha512", "hex"): "[0-9A-Fa-f]{128}",
    ("sha1", "base64"): "[A-Za-z0-9+/_-]{27}=?",
    ("sha256", "base64"): "[A-Za-z0-9+/_-]{43}=?",
    ("sha512", "base64"): "[A-Za-z0-9+/_-]{86}(?:==)?",
}
"""Base64 also in its form for URLs, and without padding (RFC 4648, 5 and 3.2)."""


class Proof(NamedTuple):
    """What a scheme has signed besides the body.

    - `delivery_id`: the sender's id of the delivery, None where the scheme signs none.
    - `signed_at`: the time of the signature in Unix seconds, None where the scheme signs none. A sender that repeats a
      delivery may renew it.
    """

    delivery_id: str | None = None
    signed_at: float | None = None


class Scheme(Protocol):
    """One way to prove deliveries. Implementations are frozen dataclasses whose fields are its settings.

    Attributes:
        name: what SignatureScheme calls it.
    """

    name: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def is_replayable(self) -> bool:
        """Whether the signature covers no time: a delivery that was captured can then be sent again for ever."""

    @property
    def proving_headers(self) -> tuple[str, ...]:
        """The headers that prove the sender, in lower case. They are never kept."""

    def __hash__(self) -> int:
        """Equal settings have equal keys: `signing_keys` remembers them."""

    def claimed_id(self, headers: Mapping[str, str]) -> str | None:
        """The delivery id that the headers claim, genuine or not."""

    def keys(self, secret: str) -> tuple[bytes, ...]:
        """The keys in a secret as an operator pastes it.

        Raises:
            ValueError: it cannot be right. The sentence names the remedy and holds no part of the secret.
        """

    def verify(self, body: bytes, headers: Mapping[str, str], keys: Sequence[bytes], *, now: float) -> Proof:
        """Proves a delivery. `headers` have lower-case names, `now` is in Unix seconds.

        Raises:
            Unauthentic: the delivery is not proven. Neither the reason nor the explanation holds a part of the
                delivery or of the signature that would have been right.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Standard:
    """Standard Webhooks: `{id}.{timestamp}.{raw body}` is signed with HMAC-SHA256, written `v1,<base64>`.

    The header may list several signatures, since senders sign with the old and the new secret while one is rotated.

    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    https://docs.svix.com/receiving/verifying-payloads/how-manual (the `svix-*` names)
    """

    name: ClassVar[str] = "standard"
    is_replayable: ClassVar[bool] = False
    proving_headers: ClassVar[tuple[str, ...]] = ("webhook-signature", "svix-signature")
    tolerance: int = TOLERANCE_SECONDS

    def claimed_id(self, headers: Mapping[str, str]) -> str | None:
        return next((headers[family + "id"] for family in _FAMILIES if headers.get(family + "id")), None)

    def keys(self, secret: str) -> tuple[bytes, ...]:
        return tuple(signing_key(each) for each in secret.split("|"))  # Supabase joins its secrets so (observed)

    def verify(self, body: bytes, headers: Mapping[str, str], keys: Sequence[bytes], *, now: float) -> Proof:
        delivery_id, timestamp, signatures = _signed_headers(headers)
        signed_at = _checked_time(timestamp, "s", now=now, tolerance=self.tolerance)
        offered = [match.encode() for match in _STANDARD_SIGNATURE.findall(signatures)]
        if not offered:
            raise Unauthentic(
                "malformed_signature", f"the header holds no signature v1,<base64>{looks_like(signatures)}"
            )
        _check(offered, [sign(key, delivery_id, timestamp, body).encode() for key in keys])
        return Proof(delivery_id, signed_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hmac:
    """An HMAC in a header of the platform's own.

    The header lists one or more signatures, each with `prefix` before it; commas, semicolons or blanks stand between.
    After a prefix, several signatures with only commas between share it (`v0=<one>,<other>`).

    What `content` does not name is not signed and proves nothing. Without `{timestamp}` a captured delivery can be sent
    again for ever.

    Attributes:
        content: what is signed, a template: `{body}` once, `{timestamp}` and `{id}` at most once, and literal text; or
            a short name in `CONTENTS`. A literal URL must be the one that was entered at the sender.
        algorithm: the hash. sha1 is for senders that know no other; as an HMAC it is not broken (RFC 6151, 2.3).
        key_form: how the secret spells the key.
        timestamp_header: where the time stands; empty: in an entry of the list of signatures, behind
            `timestamp_prefix`. The signatures are then behind `v1=`, unless `prefix` is set.
        unit: the time is in Unix seconds, in milliseconds, or ISO 8601 with a zone.
        id_header: where `{id}` stands.
        secret_form: a regular expression for the beginning of every secret of this platform.
        secret_rule: the same in words.
    """

    name: ClassVar[str] = "hmac"
    header: str = ""
    prefix: str = ""
    encoding: Encoding = "hex"
    algorithm: Algorithm = "sha256"
    content: str = "body"
    key_form: KeyForm = "text"
    timestamp_header: str = ""
    timestamp_prefix: str = "t="
    unit: Unit = "s"
    id_header: str = ""
    tolerance: int = TOLERANCE_SECONDS
    secret_form: str = field(default="", repr=False)
    secret_rule: str = field(default="", repr=False)

    @property
    def template(self) -> str:
        return CONTENTS.get(self.content, self.content)

    @property
    def signs_time(self) -> bool:
        return "{timestamp}" in self.template

    @property
    def signs_id(self) -> bool:
        return "{id}" in self.template

    @property
    def is_replayable(self) -> bool:
        return not self.signs_time

    @property
    def proving_headers(self) -> tuple[str, ...]:
        return (self.header,)

    def claimed_id(self, headers: Mapping[str, str]) -> str | None:
        return headers.get(self.id_header)

    def keys(self, secret: str) -> tuple[bytes, ...]:
        if not re.match(self.secret_form, secret.strip()):
            raise ValueError(f"this secret is not the platform's: {self.secret_rule}")
        return (_decoded_key(secret, self.key_form),)

    def verify(self, body: bytes, headers: Mapping[str, str], keys: Sequence[bytes], *, now: float) -> Proof:
        value = _header(headers, self.header)
        delivery_id = _header(headers, self.id_header) if self.signs_id else None
        timestamp, signed_at = "", None
        if self.signs_time:
            timestamp = self._timestamp(value, headers)
            signed_at = _checked_time(timestamp, self.unit, now=now, tolerance=self.tolerance)
        offered = self._offered(value)
        if not offered:
            raise Unauthentic("malformed_signature", self._no_signature(value))
        parts = {"{body}": body, "{timestamp}": timestamp.encode(), "{id}": _bytes(delivery_id or "")}
        content = b"".join(parts[part] if part in parts else _bytes(part) for part in PLACEHOLDER.split(self.template))
        _check(offered, [hmac.digest(key, content, self.algorithm) for key in keys])
        return Proof(delivery_id, signed_at)

    @property
    def signature_prefix(self) -> str:
        """What stands before each signature, set or not."""
        in_one_header = self.signs_time and not self.timestamp_header
        return self.prefix.strip() or ("v1=" if in_one_header else "")

    def _offered(self, value: str) -> list[bytes]:
        digest = _DIGESTS[self.algorithm, self.encoding]
        pattern = rf"(?<![^\s,;]){re.escape(self.signature_prefix)}[ \"]?({digest}(?:, ?{digest})*)\"?(?![^\s,;])"
        found = [one.strip() for several in re.findall(pattern, value) for one in several.split(",")]
        return [bytes.fromhex(one) if self.encoding == "hex" else _base64(one) for one in found]

    def _timestamp(self, value: str, headers: Mapping[str, str]) -> str:
        if self.timestamp_header:
            return _header(headers, self.timestamp_header)
        prefix = self.timestamp_prefix.strip()
        timestamps: list[str] = re.findall(rf"(?<![^\s,;]){re.escape(prefix)}([^\s,;]*)", value)
        different = set(timestamps)  # some senders repeat the time before each of several signatures
        if len(different) != 1:
            raise Unauthentic(
                "malformed_timestamp",
                f"the header {self.header} holds {len(different) or 'no'} entries {prefix}<time>, where there is one",
            )
        return timestamps[0]

    def _no_signature(self, value: str) -> str:
        prefix = f"the prefix {self.signature_prefix}" if self.signature_prefix else "no prefix"
        wanted = f"the header {self.header} holds no signature in {self.encoding} of {self.algorithm} with {prefix}"
        return f"{wanted}{looks_like(value)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A secret that the platform sends along in a header.

    `prefix` is what has to stand before it. Without one, `Bearer` (RFC 6750) or `Basic` (RFC 7617) may. What Basic
    encodes may be stored as it is or as `user:password`. The latter counts as secret as a whole: any token may hold a
    colon.
    """

    name: ClassVar[str] = "token"
    is_replayable: ClassVar[bool] = False
    """Who has read a token can send anything: what can be done with a capture is no matter of signed times here."""
    header: str = "authorization"
    prefix: str = ""

    @property
    def proving_headers(self) -> tuple[str, ...]:
        return (self.header,)

    def claimed_id(self, headers: Mapping[str, str]) -> str | None:
        del headers
        return None

    def keys(self, secret: str) -> tuple[bytes, ...]:
        word, credential = self._split(secret) or ("", secret)
        if word == "basic":
            _text_key(_password(credential))  # or it is refused: of user and password, only the second is secret
        # A secret may begin with the very word that the platform puts before it.
        return tuple({_text_key(credential), _text_key(secret)})

    def verify(self, body: bytes, headers: Mapping[str, str], keys: Sequence[bytes], *, now: float) -> Proof:
        del body, now
        found = self._split(_header(headers, self.header))
        if found is None:
            raise Unauthentic("malformed_token", f"the header {self.header} does not begin with {self.prefix.strip()}")
        word, credential = found
        offered = [_bytes(credential)]
        if word == "basic":
            with contextlib.suppress(ValueError):
                offered.append(base64.b64decode(credential, validate=True))
        # Hashed, so that the time taken does not show the length either.
        digests = [[hashlib.sha256(each).digest() for each in side] for side in (offered, keys)]
        _check(*digests)
        return Proof()

    def _split(self, text: str) -> tuple[str, str] | None:
        """The word before the secret, in lower case, and the secret; None if the word is wrong."""
        for word in (self.prefix.strip(),) if self.prefix else ("Bearer ", "Basic ", ""):
            if text.strip().lower().startswith(word.lower()):
                return word.strip().lower(), text.strip()[len(word) :].strip()
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Jwt:
    """A JSON Web Token (RFC 7519) with HS256 (RFC 7518, 3.2) under the secret as text.

    The claims `iat` and `exp`, in Unix seconds, must stand in it, no more than `MAX_TOKEN_LIFE_SECONDS` apart.

    Written by hand although PyJWT does it, for the cold start: PyJWT takes more time to import than all of this module.
    The tests hold it against PyJWT.
    """

    name: ClassVar[str] = "jwt"
    is_replayable: ClassVar[bool] = False
    header: str = "authorization"

    @property
    def proving_headers(self) -> tuple[str, ...]:
        return (self.header,)

    def claimed_id(self, headers: Mapping[str, str]) -> str | None:
        del headers
        return None

    def keys(self, secret: str) -> tuple[bytes, ...]:
        return (_text_key(secret),)

    def verify(self, body: bytes, headers: Mapping[str, str], keys: Sequence[bytes], *, now: float) -> Proof:
        del body
        value = _header(headers, self.header).strip()
        token = re.sub(r"^Bearer\s+", "", value, flags=re.IGNORECASE)
        if token.count(".") != 2:  # noqa: PLR2004 - header, claims, signature
            raise Unauthentic("malformed_token", f"the header {self.header} holds no JSON Web Token{looks_like(value)}")
        signed, _, signature = token.rpartition(".")
        # The algorithm that the token names is ignored: only HS256 is ever computed.
        _check(
            [_base64url(signature)],
            [hmac.digest(key, signed.encode("utf-8", "replace"), "sha256") for key in keys],
        )
        try:
            claims = json.loads(_base64url(signed.rpartition(".")[2]))
            issued, expires = float(claims["iat"]), float(claims["exp"])
        except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError):
            raise Unauthentic("malformed_token", "the token lacks the times iat and exp") from None
        if not now < expires:
            raise Unauthentic("timestamp_too_old")
        if not issued < now + TOLERANCE_SECONDS:
            raise Unauthentic("timestamp_in_future")
        if not expires - issued <= MAX_TOKEN_LIFE_SECONDS:
            raise Unauthentic(
                "token_too_long_lived",
                f"from iat to exp it is valid for more than {MAX_TOKEN_LIFE_SECONDS} seconds: set a few minutes at the"
                " sender",
            )
        return Proof(signed_at=issued)


@lru_cache(maxsize=1)
def signing_keys(text: str, scheme: Scheme) -> tuple[bytes, ...]:
    """The keys in the text of the signing secrets. Raises OperatorNeeded: the deliveries are fine and come again."""
    try:
        return parse_secrets(text, scheme)
    except ValueError as error:
        raise OperatorNeeded("signing_secrets_invalid", str(error)) from None


def parse_secrets(text: str, scheme: Scheme) -> tuple[bytes, ...]:
    """The keys in the signing secrets as they are stored: a JSON list, or what people paste in its place.

    Raises ValueError, with a sentence that holds no part of a secret.
    """
    secrets = pasted_texts(text)
    keys: list[bytes] = []
    for number, secret in enumerate(secrets, 1):
        try:
            keys += scheme.keys(secret)
        except ValueError as error:
            raise ValueError(f"signing secret {number} of {len(secrets)}, scheme {scheme.name}: {error}") from None
    return tuple(keys)


_KNOWN_HEADERS = (
    *("webhook-signature", "svix-signature", "stripe-signature", "workos-signature", "x-hub-signature-256"),
    *("x-hub-signature", "x-shopify-hmac-sha256", "x-wc-webhook-signature", "logto-signature-sha-256"),
    *("x-keycloak-signature", "x-slack-signature", "x-webhook-secret", "x-signature", "authorization"),
)
"""Headers that prove deliveries, of senders that are often met."""

_NAMES_OF_PAIRS = ("t", "ts", "s", "v0", "v1", "v2", "h1", "sha1", "sha256", "sha512")
_LOOKS = tuple(
    (re.compile(rf"(?<![A-Za-z0-9+/_-])(?:{pattern})(?![A-Za-z0-9+/=_-])"), form)
    for pattern, form in (
        ("v1,[A-Za-z0-9+/]{43}=", "Standard Webhooks (SignatureScheme standard)"),
        (r"[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}", "a JSON Web Token (SignatureScheme jwt)"),
        *(
            (pattern, f"{encoding} of {algorithm} (SignatureEncoding {encoding}, SignatureAlgorithm {algorithm})")
            for (algorithm, encoding), pattern in _DIGESTS.items()
        ),
        ("(?:Bearer|Basic) .*", "a token (SignatureScheme token)"),
    )
)


def looks_like(value: str) -> str:
    """What a header's value seems to hold, as the end of a sentence for an operator; empty if it is nothing known.

    Only words of our own come out, never a part of the value.
    """
    for pattern, form in _LOOKS:
        found = pattern.search(value)
        if found:
            before = re.search(r"(\w{1,6})=$", value[: found.start()], re.ASCII)
            prefix = f" with the prefix {before[1]}=" if before and before[1] in _NAMES_OF_PAIRS else ""
            return f"; it looks like {form}{prefix}"
    return ""


def _decoded_key(secret: str, form: KeyForm) -> bytes:
    text = secret.strip()
    if form == "text":
        return _text_key(text)
    if form == "base64" and HEX.fullmatch(text):
        raise ValueError("this secret is hex, and SignatureKey is base64: set it to hex")
    try:
        key = bytes.fromhex(text) if form == "hex" else _base64(text)
    except ValueError:
        raise ValueError(f"SignatureKey is {form} and this secret is not: copy it once more, or set another") from None
    if len(key) < MIN_SECRET_LENGTH:
        raise ValueError(f"a secret of {len(key)} bytes can be guessed, it must hold {MIN_SECRET_LENGTH} or more")
    return key


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
        raise Unauthentic("missing_header", f"the header {name} is missing{_others(headers)}")
    return value


def _others(headers: Mapping[str, str]) -> str:
    """Which headers of other schemes came instead, as the end of a sentence."""
    found = [name for name in _KNOWN_HEADERS if headers.get(name)]
    return f"; there is {', '.join(found)}" if found else ""


def _signed_headers(headers: Mapping[str, str]) -> tuple[str, str, str]:
    for family in _FAMILIES:
        values = tuple(headers.get(family + name, "") for name in ("id", "timestamp", "signature"))
        if all(values):
            return values[0], values[1], values[2]
    missing = "one of webhook-id, -timestamp, -signature (or svix-...) is missing"
    raise Unauthentic("missing_header", f"{missing}{_others(headers)}")


def _checked_time(text: str, unit: Unit, *, now: float, tolerance: int) -> float:
    """The time of a signature in Unix seconds. Raises Unauthentic if it is none or is too far from `now`."""
    moment = _moment(text, unit)
    if moment is None:
        raise Unauthentic("malformed_timestamp", f"the time is not in {unit}{_looks_like_time(text, unit)}")
    age = now - moment
    if abs(age) > tolerance:
        reason: Reason = "timestamp_too_old" if age > 0 else "timestamp_in_future"
        where = f"{abs(age):.0f} seconds {'old' if age > 0 else 'ahead'}, and {tolerance} are allowed"
        raise Unauthentic(reason, f"the signature is {where}{_looks_like_time(text, unit)}")
    return moment


def _moment(text: str, unit: Unit) -> float | None:
    if unit == "iso":
        if not _ISO_TIMESTAMP.fullmatch(text):
            return None
        try:
            return datetime.fromisoformat(text.upper()).timestamp()
        except (ValueError, OverflowError):
            return None
    if not _TIMESTAMP.fullmatch(text):
        return None
    return int(text) / (1000 if unit == "ms" else 1)


def _looks_like_time(text: str, unit: Unit) -> str:
    forms: tuple[tuple[Unit, str], ...] = (("s", r"[0-9]{10}"), ("ms", r"[0-9]{13}"), ("iso", _ISO_TIMESTAMP.pattern))
    for form, pattern in forms:
        if form != unit and re.fullmatch(pattern, text, re.ASCII):
            return f"; it looks like SignatureTimestampUnit {form}"
    return ""


def _base64(text: str) -> bytes:
    """Of both alphabets, with or without padding. Raises ValueError."""
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def _base64url(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise Unauthentic("malformed_token") from None


def _bytes(text: str) -> bytes:
    """What a sender signed of a header: half of a surrogate pair, which no sender can sign, fits nothing then."""
    return text.encode("utf-8", "surrogatepass")


def _check(offered: Sequence[bytes], expected: Sequence[bytes]) -> None:
    # Not `any` over a generator: every pair is compared, so the time taken does not show which one fitted.
    if not sum(hmac.compare_digest(one, other) for one in offered for other in expected):
        raise Unauthentic("wrong_signature")
