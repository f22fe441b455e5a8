"""Standard Webhooks 1.0.0: the key behind a secret, and the signature of a delivery.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hashlib
import hmac
import re

_SECRET_BYTES = range(24, 65)
HEX = re.compile(r"[0-9A-Fa-f]{32,}", re.ASCII)
"""A key in hex, which is valid base64, too, of another key."""


def signing_key(secret: str) -> bytes:
    """The key behind a `whsec_<base64 of 24 to 64 bytes>` secret.

    Raises ValueError, with a sentence that names the remedy and holds no part of the secret.
    """
    text = secret.strip().removeprefix("v1,")  # Supabase prints its secrets as v1,whsec_... (observed)
    if text.startswith(("v1a,", "whpk_", "whsk_")):
        raise ValueError("keys of asymmetric signatures (v1a) are not taken: ask the sender for a whsec_ secret")
    if text.count("whsec_") > 1:
        raise ValueError('these are several signing secrets: store them as a JSON list, ["whsec_...", "whsec_..."]')
    if not text.startswith("whsec_"):
        raise ValueError(
            "a signing secret must start with whsec_ (if your sender shows bare base64, put whsec_ before it; if it"
            " shows hex or other text, its scheme is another one)"
        )
    encoded = text.removeprefix("whsec_")
    if HEX.fullmatch(encoded):
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
