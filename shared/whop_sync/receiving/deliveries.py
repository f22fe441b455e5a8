"""The receiver's use case: a webhook delivery becomes a message in a queue, and the answer says what became of it."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from whop_sync.aws.queues import Queue
from whop_sync.errors import Malformed, Transient, Unauthentic
from whop_sync.events import Kind, UserEvent
from whop_sync.journal import DeliveryOutcome, Journal
from whop_sync.receiving.payloads import Preset, identify, parse, read
from whop_sync.receiving.platforms import Platform

MAX_BODY_BYTES = 256 * 1024
"""Real senders stay below 20 KB. Parked as base64, a body of this size still fits a message of 1 MiB."""

RETRY_AFTER_SECONDS = 5

type HttpEvent = Mapping[str, Any]
"""What API Gateway's HTTP API hands over (payload format 2.0): `headers`, `body`, `isBase64Encoded`."""

type Redelivery = Mapping[str, Any]
"""A delivery that was genuine when it came and was parked: `body` in base64, `event_id`, `received_at` in Unix seconds,
and those of its `headers` that were kept with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    platform: Platform
    signing_keys: Callable[[], Sequence[bytes]]
    queues: Mapping[Kind, Queue]
    parked: Queue
    journal: Journal
    clock: Callable[[], float]

    def answer(self, http_event: HttpEvent) -> dict[str, Any]:
        """The HTTP answer to a delivery. A 2xx means: stored for good, or none of our business.

        200 accepted, ignored or parked, since senders switch off endpoints that refuse what a retry cannot mend;
        401 not genuine, without detail; 413 too large; 503 with Retry-After when it could not be stored; 500 after a
        defect, so that the delivery comes again.
        """
        try:
            return self._answer(http_event)
        except Exception as error:  # noqa: BLE001 - Lambda would log its message, which may quote the delivery
            self.journal.crash(error)
            return _response(500)
        finally:
            self.journal.flush()

    def redeliver(self, parked: Redelivery) -> dict[str, str]:
        """Reads a parked delivery once more, for an operator, and says under `redelivery` what became of it.

        `accepted` (stored) or `ignored` (none of our business): it need not be kept any longer. `parked` (still not
        readable), `deferred` (could not be stored just now), `crashed`: nothing was stored, so it has to stay.
        """
        try:
            body, headers = base64.b64decode(parked["body"], validate=True), parked["headers"]
            outcome = self._accept(body, headers, parked["event_id"], parked["received_at"], is_parked=True)
        except Transient as error:
            outcome = "deferred"
            self.journal.delivery(outcome, event_id=parked["event_id"], error=error)
        except Exception as error:  # noqa: BLE001 - as above
            self.journal.crash(error)
            return {"redelivery": "crashed"}
        finally:
            self.journal.flush()
        return {"redelivery": outcome}

    def _answer(self, http_event: HttpEvent) -> dict[str, Any]:
        try:
            body = _raw_body(http_event)
            if body is None:
                self.journal.delivery("rejected", error=Malformed("too_large"))
                return _response(413)
            headers = {name.lower(): value for name, value in (http_event.get("headers") or {}).items()}
            proof = self.platform.scheme.verify(body, headers, self.signing_keys(), now=self.clock())
            event_id = proof.delivery_id or f"body-{hashlib.sha256(body).hexdigest()[:32]}"
            event_id = event_id.encode("utf-8", "replace").decode()  # half a surrogate pair can be signed, not stored
            self._accept(body, headers, event_id, self.clock(), signed_at=proof.signed_at)
        except Unauthentic as error:
            self.journal.delivery("rejected", error=error)
            return _response(401)
        except Transient as error:
            self.journal.delivery("deferred", error=error)
            return _response(503, {"retry-after": str(RETRY_AFTER_SECONDS)})
        return _response(200)

    def _accept(
        self,
        body: bytes,
        headers: Mapping[str, str],
        event_id: str,
        received_at: float,
        *,
        signed_at: float | None = None,
        is_parked: bool = False,
    ) -> DeliveryOutcome:
        """Raises Transient when it could not be stored. What is parked already is left where it is."""
        preset = self.platform.preset
        try:
            document = parse(
                body,
                headers,
                received_at=received_at,
                signed_at=signed_at,
                judged_at=self.clock() if is_parked else None,
                replayable=self.platform.scheme.is_replayable,
            )
            event_id = identify(document, preset) or event_id
            event = read(document, preset, event_id=event_id)
        except Malformed as error:
            if not is_parked:
                # SQS takes no message without content.
                self.parked.park(body or b"\n", error, event_id=event_id, headers=_read_headers(headers, preset))
            self.journal.delivery("parked", event_id=event_id, error=error)
            return "parked"
        if event is None or _tells_nothing(event):
            self.journal.delivery("ignored", event_id=event_id, event=event)
            return "ignored"
        self.queues["created" if event.kind == "created" else "updated"].send(event.to_json())
        self.journal.delivery("accepted", event=event)
        return "accepted"


def _tells_nothing(event: UserEvent) -> bool:
    """Some platforms send updates that only name the user. Nobody could be enrolled by one, and no profile changed."""
    return event.kind == "updated" and not (event.profile or event.email or event.whop_user_id or event.standing)


def _read_headers(headers: Mapping[str, str], preset: Preset) -> dict[str, str]:
    """The headers that a second reading needs. No others are kept: some prove the sender, as a password does."""
    return {
        name: value
        for name, value in headers.items()
        if any(f"delivery.headers.{spelt}" in preset.event for spelt in (name, f'"{name}"'))
    }


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
