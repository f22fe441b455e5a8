"""API Gateway's HTTP API for the platform's backend: what a request asks for, and what an answer looks like."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from whop_sync.aws.api_gateway import HttpAnswer, HttpEvent
from whop_sync.errors import Malformed

IN_QUERY = "-"
"""In a path it says that the id is in the query."""

MAX_BODY_LENGTH = 10_000


def parameter(http_event: HttpEvent, name: str) -> str | None:
    """An id that the path names, as the caller means it; None if the route has no such part. Raises Malformed.

    API Gateway has decoded the path, in part twice. An id with a slash never gets here, and one with a percent sign may
    have become the id of another user. The query alone arrives as it was sent, so such ids have to come there.
    """
    value = (http_event.get("pathParameters") or {}).get(name)
    if value is None:
        return None
    if value == IN_QUERY:
        query: str = http_event.get("rawQueryString") or ""
        return parse_qs(query, keep_blank_values=True).get(name, [IN_QUERY])[0]
    if "%" in value or "%" in (http_event.get("rawPath") or ""):
        raise Malformed("bad_request", f"An id with a percent sign goes in the query, as {name}, and - in the path.")
    return str(value)


def document(http_event: HttpEvent, *allowed: str) -> dict[str, Any]:
    """The body as a JSON object that holds the allowed keys and no other; empty if there is none. Raises Malformed."""
    text = http_event.get("body") or ""
    if len(text) > MAX_BODY_LENGTH:
        raise Malformed("bad_request", "The body is too long for what it may hold.")
    try:
        if http_event.get("isBase64Encoded"):
            text = base64.b64decode(text, validate=True).decode()
        found = json.loads(text) if text.strip() else {}
    except (binascii.Error, ValueError, RecursionError):
        raise Malformed("bad_request", "The body is not JSON.") from None
    if not isinstance(found, dict):
        raise Malformed("bad_request", "The body must be a JSON object.")
    if found.keys() - set(allowed):
        raise Malformed("bad_request", f"The body may hold {', '.join(allowed)} and nothing else.")
    return found


def seconds_in(body: Mapping[str, Any], *, default: int, most: int) -> int:
    """What the body says in `expires_in_seconds`. Raises Malformed."""
    seconds = body.get("expires_in_seconds", default)
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 1 <= seconds <= most:
        raise Malformed("bad_request", f"expires_in_seconds must be a whole number from 1 to {most}.")
    return seconds


def answer(status: int, body: Mapping[str, Any], *, retry_after: float | None = None) -> HttpAnswer:
    """A JSON answer that no cache may store. `retry_after` is in seconds."""
    headers = {"content-type": "application/json", "cache-control": "no-store"}
    if retry_after is not None:
        headers["retry-after"] = str(max(1, round(retry_after)))
    return {"statusCode": status, "headers": headers, "body": json.dumps(body, ensure_ascii=False)}
