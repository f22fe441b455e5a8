"""API Gateway's HTTP API for the platform's backend: which user a request is about, and what an answer looks like."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from whop_sync.aws.api_gateway import HttpEvent
from whop_sync.errors import Malformed

IN_QUERY = "-"
"""In a path it says that the id is in the query."""


def parameter(http_event: HttpEvent, name: str) -> str | None:
    """An id that the path names, as the caller means it; None if the route has no such part. Raises Malformed.

    API Gateway has decoded the path, in part twice. An id with a slash never gets here, and one with a percent sign may
    have become another user's. The query alone arrives as it was sent, so such ids have to come there.
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


def answer(status: int, document: Mapping[str, Any], *, retry_after: float | None = None) -> dict[str, Any]:
    """A JSON answer that no cache may keep. `retry_after` is in seconds."""
    headers = {"content-type": "application/json", "cache-control": "no-store"}
    if retry_after is not None:
        headers["retry-after"] = str(max(1, round(retry_after)))
    return {"statusCode": status, "headers": headers, "body": json.dumps(document, ensure_ascii=False)}


def refusal(status: int, error: str, message: str, *, retry_after: float | None = None, **more: Any) -> dict[str, Any]:
    """An answer other than 200: `error` is a short fixed word for programs, `message` a sentence for people."""
    return answer(status, {"error": error, "message": message, **more}, retry_after=retry_after)
