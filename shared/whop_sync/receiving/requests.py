"""The HTTP side of both receivers: what of a request is read, what of it may be logged, and what is answered."""

import base64
import binascii
import re
from collections.abc import Mapping

from whop_sync.aws.api_gateway import HttpAnswer, HttpEvent
from whop_sync.errors import Unauthentic

RETRY_AFTER_SECONDS = 5

# What may stand in a log line although a sender wrote it: words of a program, neither sentences nor addresses.
_EVENT_TYPE = re.compile(r"[A-Za-z0-9._:/-]{1,64}", re.ASCII)
CLAIMED_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)


def raw_body(http_event: HttpEvent) -> bytes:
    """The body as the sender signed it. Raises Unauthentic if it is not what its encoding says."""
    text = http_event.get("body") or ""
    if not http_event.get("isBase64Encoded"):
        return text.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Unauthentic("malformed_body") from None


def loggable_event_type(event_type: str) -> str | None:
    """The name that a sender gives its event, None if it may not be logged."""
    return event_type if _EVENT_TYPE.fullmatch(event_type) else None


def lower_case(http_event: HttpEvent) -> dict[str, str]:
    """The headers of a request, their names in lower case."""
    return {name.lower(): value for name, value in (http_event.get("headers") or {}).items()}


def response(status: int, headers: Mapping[str, str] | None = None) -> HttpAnswer:
    # Supabase takes a success only with a JSON body and its content type (observed).
    return {"statusCode": status, "headers": {"content-type": "application/json", **(headers or {})}, "body": "{}"}


def try_again() -> HttpAnswer:
    """The delivery could not be stored just now."""
    return response(503, {"retry-after": str(RETRY_AFTER_SECONDS)})
