"""The receiver's use case: a webhook delivery becomes a message in a queue, and the answer says what became of it."""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from whop_sync.errors import Malformed, Transient, Unauthentic
from whop_sync.events import Kind
from whop_sync.journal import Journal
from whop_sync.payloads import Preset, read
from whop_sync.queues import Queue
from whop_sync.signatures import verify

MAX_BODY_BYTES = 256 * 1024
"""Real senders stay below 20 KB. Parked as base64, a body of this size still fits a message of 1 MiB."""

RETRY_AFTER_SECONDS = 5

type HttpEvent = Mapping[str, Any]
"""What API Gateway's HTTP API hands over (payload format 2.0): `headers`, `body`, `isBase64Encoded`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    preset: Preset
    signing_keys: Callable[[], Sequence[bytes]]
    queues: Mapping[Kind, Queue]
    parked: Queue
    journal: Journal
    clock: Callable[[], float]

    def answer(self, http_event: HttpEvent) -> dict[str, Any]:
        """The HTTP answer to a delivery. A 2xx means: stored for good, or none of our business.

        200 accepted, ignored or parked, since senders switch off endpoints that refuse what a retry cannot mend;
        401 not genuine, without detail; 413 too large; 503 with Retry-After when it could not be stored.
        """
        try:
            return self._answer(http_event)
        finally:
            self.journal.flush()

    def _answer(self, http_event: HttpEvent) -> dict[str, Any]:
        try:
            body = _raw_body(http_event)
            if body is None:
                self.journal.delivery("rejected", error=Malformed("too_large"))
                return _response(413)
            headers = {name.lower(): value for name, value in (http_event.get("headers") or {}).items()}
            delivery_id = verify(body, headers, self.signing_keys(), now=self.clock())
            self._accept(body, delivery_id)
        except Unauthentic as error:
            self.journal.delivery("rejected", error=error)
            return _response(401)
        except Transient as error:
            self.journal.delivery("deferred", error=error)
            return _response(503, {"retry-after": str(RETRY_AFTER_SECONDS)})
        return _response(200)

    def _accept(self, body: bytes, delivery_id: str) -> None:
        try:
            event = read(body, self.preset, event_id=delivery_id, now=self.clock())
        except Malformed as error:
            self.parked.park(body, error, event_id=delivery_id)
            self.journal.delivery("parked", event_id=delivery_id, error=error)
            return
        if event is None:
            self.journal.delivery("ignored", event_id=delivery_id)
            return
        self.queues[event.kind].send(event.to_json())
        self.journal.delivery("accepted", event=event)


def _raw_body(http_event: HttpEvent) -> bytes | None:
    """The body as the sender signed it, None if it is too large. Raises Unauthentic if there is no telling it."""
    text = http_event.get("body") or ""
    if not http_event.get("isBase64Encoded"):
        body = text.encode("utf-8", "surrogatepass")
    elif len(text) > MAX_BODY_BYTES * 2:  # not worth decoding: base64 adds a third
        return None
    else:
        try:
            body = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise Unauthentic("malformed_body") from None
    return body if len(body) <= MAX_BODY_BYTES else None


def _response(status: int, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    # Some senders take a success only with a JSON body and its content type.
    return {"statusCode": status, "headers": {"content-type": "application/json", **(headers or {})}, "body": "{}"}
