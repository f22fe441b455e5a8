"""What an answer of Whop means: the error that goes with a status, and the parts of an answer that are kept.

https://docs.whop.com/developer/troubleshooting; what that page leaves open is marked as observed or assumed.
"""

import email.utils
import re
from collections.abc import Mapping
from typing import Any

import httpx

from whop_sync.errors import AwaitsTurn, Effect, OperatorNeeded, Permanent, Transient, WhopAnswer
from whop_sync.http_headers import retry_after

OPERATOR_RETRY_SECONDS = 15 * 60
"""How soon to try again after Whop refused the key or the API version: an operator has to act first."""

_IN_PROGRESS = "idempotency_request_in_progress"
"""The code of a 409 that is no conflict: the first request with this Idempotency-Key has not ended
(https://docs.whop.com/developer/api/idempotency)."""

# Documented: the delay of a 429 stands in the message only ("Try again in 12 seconds.").
_DELAY = re.compile(r"(\d+(?:\.\d+)?)\s*(second|minute|hour)", re.IGNORECASE)
_SECONDS = {"second": 1, "minute": 60, "hour": 3600}
_MAX_DELAY_SECONDS = 86400.0
# Documented: an unknown Api-Version-Date is answered 400 with a list of the known ones. The words are assumed.
_UNKNOWN_VERSION = re.compile(r"api.?version|supported versions", re.IGNORECASE)
# Documented: Whop may return a request id. In which header is assumed.
_REQUEST_ID_HEADERS = ("x-request-id", "request-id")
_WORD = re.compile(r"[\w.-]{1,128}", re.ASCII)


def refusal_in(response: httpx.Response) -> Transient | Permanent:  # noqa: PLR0911 - a table, row by row
    """The error for a status other than 2xx (https://docs.whop.com/developer/troubleshooting)."""
    answer = answer_in(response)
    status = answer.status
    if status in (401, 403):
        explanation = "Whop refused the API key: wrong environment, revoked, or a scope is missing"
        return OperatorNeeded("whop_key_rejected", explanation, answer=answer, retry_after=OPERATOR_RETRY_SECONDS)
    if status == 429:  # noqa: PLR2004 - a status speaks for itself
        return AwaitsTurn("whop_rate_limited", answer=answer, retry_after=_delay(response, answer))
    if status == 409 and _IN_PROGRESS in (answer.code, answer.type):  # noqa: PLR2004
        return Transient("whop_in_progress", answer=answer, effect="pending")
    if status == 410 or (status == 400 and _UNKNOWN_VERSION.search(answer.message or "")):  # noqa: PLR2004
        explanation = "Whop retired this call at this Api-Version-Date, or does not know the date"
        return OperatorNeeded("whop_gone", explanation, answer=answer, retry_after=OPERATOR_RETRY_SECONDS)
    if status < 400 or status == 408 or status >= 500:  # noqa: PLR2004
        # A gateway answers for a server that may still be working.
        effect: Effect = "pending" if status in (408, 502, 504) else "possible"
        return Transient("whop_failed", answer=answer, retry_after=_delay(response, answer), effect=effect)
    if status == 404:  # noqa: PLR2004
        return Permanent("whop_not_found", "Whop does not know what the call names", answer=answer)
    return Permanent("whop_refused", "Whop refused the request", answer=answer)


def answer_in(response: httpx.Response) -> WhopAnswer:
    """Documented: legacy calls answer type, message, code and param under `error`, current ones type, message and
    perhaps a code. Observed: `error` may be null, and a gateway answers no JSON."""
    try:
        document = response.json()
    except ValueError:
        document = None
    error = document.get("error") if isinstance(document, dict) else None
    parts: Mapping[str, Any] = error if isinstance(error, dict) else {}
    message = parts.get("message") if parts else error
    return WhopAnswer(
        status=response.status_code,
        type=word_or_none(parts.get("type")),
        code=word_or_none(parts.get("code")),
        message=message if isinstance(message, str) else None,
        param=word_or_none(parts.get("param")),
        request_id=request_id_of(response),
        at=date_of(response),
    )


def named_fields(answer: WhopAnswer | None, sent: Mapping[str, Any]) -> frozenset[str]:
    """The keys of a request that a refusal names: in `param` (documented for legacy calls), else as words of the
    message (assumed). All of them, if it names none."""
    message = (answer.message if answer else None) or ""
    words = set(re.findall(r"[a-z_]+", message.lower()))
    param = (answer.param if answer else None) or ""
    named = {param.partition(".")[0]} & sent.keys() or words & sent.keys()
    return frozenset(named or sent)


def date_of(response: httpx.Response) -> float | None:
    """When the answer was sent, by the clock of the server: its Date header (RFC 9110, 6.6.1)."""
    try:
        return email.utils.parsedate_to_datetime(response.headers.get("date", "")).timestamp()
    except ValueError:
        return None


def request_id_of(response: httpx.Response) -> str | None:
    words = (word_or_none(response.headers.get(name)) for name in _REQUEST_ID_HEADERS)
    return next((word for word in words if word), None)


def word_or_none(value: object) -> str | None:
    """The value if it is shaped like an identifier: such parts are logged, and nothing else of an answer may be."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def _delay(response: httpx.Response, answer: WhopAnswer) -> float | None:
    """Seconds to wait: from Retry-After, which Whop does not document for this API, else from the message."""
    named = _named_delay(response, answer)
    return None if named is None else min(named, _MAX_DELAY_SECONDS)


def _named_delay(response: httpx.Response, answer: WhopAnswer) -> float | None:
    header = response.headers.get("retry-after", "")
    if (wait := retry_after(header)) is not None:
        return wait
    match = _DELAY.search(answer.message or "")
    return float(match[1]) * _SECONDS[match[2].lower()] if match else None
