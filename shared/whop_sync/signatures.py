"""Standard Webhooks signatures: bytes and headers in, delivery id out. No I/O, and the clock is passed in.

Protocol: the Standard Webhooks specification 1.0.0. Signed is `{id}.{timestamp}.{raw body}` with HMAC-SHA256, written
`v1,<base64>`; the header may list several signatures, since senders sign with the old and the new secret while a
secret is rotated. Svix and the platforms that deliver through it use the same scheme under `svix-*` header names.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence

from whop_sync.errors import Unauthentic

TOLERANCE_SECONDS = 300
"""How far a signature's time may be from ours, either way (the tolerance of the specification's own libraries)."""

_FAMILIES = ("webhook-", "svix-")
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
# Senders join several signatures with blanks, some with commas. Base64 holds neither, so every `v1,` entry can be cut
# out exactly, whatever stands between or is broken beside it.
_SIGNATURE = re.compile(r"(?<![^\s,])v1,([A-Za-z0-9+/]+={0,2})(?![^\s,])")
_SECRET_BYTES = range(24, 65)


def signing_key(secret: str) -> bytes:
    """The key behind a `whsec_<base64 of 24 to 64 bytes>` secret.

    Raises ValueError, with a sentence that says what to do and holds no part of the secret.
    """
    text = secret.strip().removeprefix("v1,")  # Supabase prints its secrets as v1,whsec_...
    if not text.startswith("whsec_"):
        raise ValueError(
            "a signing secret must start with whsec_ (if your sender shows bare base64, put whsec_ before it)"
        )
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the part of a signing secret after whsec_ must be base64: copy it once more") from None
    if len(key) not in _SECRET_BYTES:
        raise ValueError(f"a signing secret must hold 24 to 64 bytes, this one holds {len(key)}: copy it once more")
    return key


def sign(key: bytes, delivery_id: str, timestamp: str, body: bytes) -> str:
    """The base64 signature of a delivery, without its `v1,`."""
    content = f"{delivery_id}.{timestamp}.".encode("utf-8", "surrogatepass") + body
    return base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()


def verify(body: bytes, headers: Mapping[str, str], keys: Iterable[bytes], *, now: float) -> str:
    """Returns the delivery id of a genuine webhook delivery.

    `headers` have lower-case names; `now` is in Unix seconds. Raises Unauthentic, whose reason never tells the
    expected signature.
    """
    delivery_id, timestamp, signatures = _signed_headers(headers)
    if not _TIMESTAMP.fullmatch(timestamp):
        raise Unauthentic("malformed_timestamp")
    age = now - int(timestamp)
    if age > TOLERANCE_SECONDS:
        raise Unauthentic("timestamp_too_old")
    if age < -TOLERANCE_SECONDS:
        raise Unauthentic("timestamp_in_future")
    offered = [match.encode() for match in _SIGNATURE.findall(signatures)]
    if not offered:
        raise Unauthentic("malformed_signature")
    expected = [sign(key, delivery_id, timestamp, body).encode() for key in keys]
    if not _any_equal(offered, expected):
        raise Unauthentic("wrong_signature")
    return delivery_id


def _signed_headers(headers: Mapping[str, str]) -> tuple[str, str, str]:
    for family in _FAMILIES:
        values = tuple(headers.get(family + name, "") for name in ("id", "timestamp", "signature"))
        if all(values):
            return values[0], values[1], values[2]
    raise Unauthentic("missing_header")


def _any_equal(offered: Sequence[bytes], expected: Sequence[bytes]) -> bool:
    # Not `any` over a generator: every pair is compared, so the time taken tells nothing of which one fitted.
    return sum(hmac.compare_digest(one, other) for one in offered for other in expected) > 0
