"""What stands before every operation: the rate limit and the memory of Idempotency-Keys."""

import hashlib
import json
import math
from collections import defaultdict, deque
from contextlib import suppress
from dataclasses import dataclass

from fake_whop.protocol import Answer, Request, WhopError
from fake_whop.switches import Switches

# Documented.
KEY_SECONDS = 24 * 3600
KEY_BYTES = 255


class RateLimit:
    """Documented: 600 requests a minute per operation and credential, the delay named in the message text only.

    That the window slides, and that refused calls do not count, is assumed.
    """

    def __init__(self) -> None:
        self._taken: defaultdict[tuple[str, str], deque[float]] = defaultdict(deque)

    def seconds_to_wait(self, operation: str, key: str, now: float, switches: Switches) -> int:
        """Take a place in the window; 0 if there was one."""
        taken = self._taken[operation, key]
        while taken and taken[0] <= now - switches.rate_window:
            taken.popleft()
        if len(taken) < switches.rate_limit:
            taken.append(now)
            return 0
        oldest = taken[0] if taken else now
        return max(1, math.ceil(oldest + switches.rate_window - now))


def rate_limited(seconds: int, switches: Switches) -> WhopError:
    return WhopError(
        429,
        f"Rate limit exceeded. Try again in {seconds} seconds.",
        retry_after=seconds if switches.retry_after_header else None,
    )


@dataclass(slots=True)
class Attempt:
    """One Idempotency-Key in use; without an answer the first request has not ended, or how it did is unknown."""

    fingerprint: bytes
    started_at: float
    answer: Answer | None = None


class IdempotencyKeys:
    """Documented: kept for 24 hours per caller, replayed byte for byte, 4xx answers included."""

    def __init__(self) -> None:
        self._attempts: dict[tuple[str, str], Attempt] = {}

    def begin(self, caller: str, key: str, fingerprint: bytes, now: float) -> Answer | None:
        """Start on a key (None), or give the answer it had. Refuses a key that is in use, reused or too long."""
        if len(key.encode("latin-1", "replace")) > KEY_BYTES:
            raise WhopError(400, f"The Idempotency-Key is longer than {KEY_BYTES} bytes", code="parameter_invalid")
        attempt = self._attempts.get((caller, key))
        if attempt is None or now >= attempt.started_at + KEY_SECONDS:
            self._attempts[caller, key] = Attempt(fingerprint, now)
            return None
        if attempt.fingerprint != fingerprint:
            raise WhopError(
                400,
                "This Idempotency-Key was already used with a different request",
                code="idempotency_key_mismatch",
            )
        if attempt.answer is None:
            raise WhopError(
                409,
                "The first request with this Idempotency-Key has not ended",
                code="idempotency_request_in_progress",
            )
        stored = attempt.answer
        return Answer(
            stored.status, stored.body, {**stored.headers, "Idempotent-Replayed": "true"}, stored.content_type
        )

    def end(self, caller: str, key: str, answer: Answer, switches: Switches) -> None:
        """Keep the answer for replays, or forget the attempt where the switches say that it is not kept."""
        forgotten = (
            answer.status == 401
            or (answer.status == 429 and not switches.idempotency_stores_429)
            or (answer.status >= 500 and not switches.idempotency_stores_5xx)
        )
        if forgotten:
            self._attempts.pop((caller, key), None)
        elif (caller, key) in self._attempts:
            self._attempts[caller, key].answer = answer


def fingerprint(request: Request, version: str, switches: Switches) -> bytes:
    """Documented: method, path, query, body and version. Whether the body counts as bytes or as JSON is unknown."""
    body = request.body
    if switches.idempotency_compares == "json":
        with suppress(ValueError):
            body = json.dumps(json.loads(body), sort_keys=True).encode()
    parts = [request.method.encode(), request.path.encode(), request.query.encode(), version.encode(), body]
    return hashlib.sha256(b"\0".join(parts)).digest()
