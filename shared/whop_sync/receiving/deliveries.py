"""The receiver's use case: a webhook delivery becomes a message in a queue, and the answer says what became of it.

    HTTP event ──▶ authenticated() ──▶ Delivery ──▶ understood() ──▶ Accepted   a queue of events
                    │ Unauthentic         ▲                      ├─▶ Ignored    nowhere
                    ▼                     │                      └─▶ Unreadable the queue of parked deliveries
                   401                redelivery, by an operator

Both functions decide and do nothing; `Receiver` does what was decided. The operators' preview calls the same two.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict

from whop_sync.aws.api_gateway import HttpAnswer, HttpEvent
from whop_sync.aws.queues import EventQueues, Queue
from whop_sync.errors import Malformed, OperatorNeeded, Permanent, SyncError, Transient, Unauthentic
from whop_sync.events import INLINE_PICTURE, UserEvent, is_data_url
from whop_sync.journal import DeliveryOutcome, Journal
from whop_sync.receiving.expressions import find
from whop_sync.receiving.payloads import (
    Preset,
    identify,
    is_chosen,
    parse,
    read,
    suspension_in,
    user_id_of,
)
from whop_sync.receiving.requests import CLAIMED_ID, loggable_event_type, lower_case, raw_body, response, try_again

if TYPE_CHECKING:  # PUT /users reads bodies too, of one preset and without a signature
    from whop_sync.receiving.platforms import Platform
    from whop_sync.receiving.signatures import Scheme

MAX_BODY_BYTES = 256 * 1024
"""Real senders stay below 20 KB, but for pictures. Parked as base64, such a body still fits a message of 1 MiB."""

# A text of JSON with its quotes. One that is never closed goes to the end, so that none is looked at twice.
_JSON_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_LONG_TEXT_BYTES = 256
"""Shorter ones are not looked into when a body is too large."""

_SECRET_HEADER = re.compile(r"authorization|cookie|signature|hmac|token|secret|password|credential|api-?key", re.ASCII)


class Redelivery(TypedDict):
    """A delivery that was genuine when it came and was parked.

    `body` is base64, `headers` are those that were kept with it, the times are in Unix seconds.
    """

    body: str
    event_id: str
    headers: Mapping[str, str]
    received_at: float
    signed_at: NotRequired[float | None]


type RedeliveryOutcome = DeliveryOutcome | Literal["crashed"]


class RedeliveryAnswer(TypedDict):
    redelivery: RedeliveryOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A genuine delivery. `headers` have lower-case names; `event_id` is the signed id, else made of the body."""

    body: bytes
    headers: Mapping[str, str]
    event_id: str
    received_at: float
    signed_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    event: UserEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """Not a user event, by its type; or, with `event`, an update that changes nothing; or, with `reason` too, an event
    about a user who is not to be enrolled."""

    event_id: str
    event_type: str
    event: UserEvent | None = None
    reason: SyncError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """`user_id` is set if it could be read all the same."""

    event_id: str
    user_id: str | None
    error: Malformed


def authenticated(http_event: HttpEvent, platform: "Platform", keys: Sequence[bytes], *, now: float) -> Delivery:
    """The delivery in an HTTP event. `now` is in Unix seconds.

    Raises:
        Unauthentic: it is not proven to come from the platform.
        Malformed: too_large, even without the pictures in it.
    """
    body = raw_body(http_event)
    headers = lower_case(http_event)
    proof = platform.scheme.verify(body, headers, keys, now=now)
    event_id = proof.delivery_id or id_of(body)
    return Delivery(
        body=within_limit(body),
        headers=headers,
        event_id=event_id.encode("utf-8", "replace").decode(),  # half a surrogate pair can be signed, not stored
        received_at=now,
        signed_at=proof.signed_at,
    )


def understood_from(platform: "Platform", delivery: Delivery, *, now: float) -> Accepted | Ignored | Unreadable:
    """What a delivery of a platform means, by all of its settings. `now` is as for `understood`."""
    return understood(
        delivery,
        platform.preset,
        enroll_if=platform.enroll_if,
        replayable=platform.scheme.is_replayable,
        now=now,
    )


def understood(
    delivery: Delivery, preset: Preset, *, enroll_if: str, replayable: bool, now: float
) -> Accepted | Ignored | Unreadable:
    """What a delivery means.

    Args:
        enroll_if: an expression that is true of users who are to be enrolled; empty where all are.
        replayable: whether the signature covers the body alone, so that a copy can be sent again at any time.
        now: in Unix seconds, later than the receipt if it was parked meanwhile.
    """
    event_id, document = delivery.event_id, None
    try:
        document = parse(
            delivery.body,
            delivery.headers,
            received_at=delivery.received_at,
            signed_at=delivery.signed_at,
            judged_at=now,
            replayable=replayable,
        )
        event_id = identify(document, preset) or event_id
        event = read(document, preset, event_id=event_id)
        if event is None or _changes_nothing(event):
            return Ignored(event_id=event_id, event_type=find(preset.event, document), event=event)
        if event.kind != "deleted" and enroll_if and not is_chosen(document, enroll_if):
            suspension = suspension_in(event)
            if suspension is None:
                reason = Permanent("not_chosen", "EnrollIf is not true of this user")
                event_type = find(preset.event, document)
                return Ignored(event_id=event_id, event_type=event_type, event=event, reason=reason)
            return Accepted(event=suspension)
    except Malformed as error:
        user_id = user_id_of(document, preset) if document else None
        return Unreadable(event_id=event_id, user_id=user_id, error=error)
    return Accepted(event=event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    platform: "Platform"
    signing_keys: Callable[[], Sequence[bytes]]
    queues: EventQueues
    parked: Queue
    journal: Journal
    clock: Callable[[], float]

    def answer(self, http_event: HttpEvent) -> HttpAnswer:
        """The HTTP answer to a delivery. A 2xx means: stored for good, or not a user event.

        200 accepted, ignored, parked, or the platform's own test of the address, since senders switch off endpoints
        that refuse what a retry cannot change;
        401 not genuine, without detail; 413 too large; 503 with Retry-After when it could not be stored; 500 after a
        defect, so that the delivery comes again.
        """
        return self.journal.guarded(lambda: self._answer(http_event), after_crash=response(500))

    def redeliver(self, parked: Redelivery) -> RedeliveryAnswer:
        """Reads a parked delivery once more, for an operator.

        `accepted` (stored) or `ignored` (not a user event): it need not be kept any longer. `parked` (still not
        readable), `deferred` (could not be stored just now), `crashed`: nothing was stored, so it has to stay.
        """
        return {"redelivery": self.journal.guarded(lambda: self._redeliver(parked), after_crash="crashed")}

    def _answer(self, http_event: HttpEvent) -> HttpAnswer:
        try:
            delivery = authenticated(http_event, self.platform, self.signing_keys(), now=self.clock())
            verdict = understood_from(self.platform, delivery, now=delivery.received_at)
            if isinstance(verdict, Unreadable):
                self._park(delivery, verdict)
            self._conclude(verdict)
        except Unauthentic as error:
            if is_ping(http_event, self.platform, error):
                self.journal.delivery("ignored", event_type="ping")
                return response(200)
            self.journal.delivery("rejected", error=error, claimed_event_id=claimed_id(http_event, self.platform))
            return response(401)
        except Malformed as error:
            self.journal.delivery("rejected", error=error)
            return response(413)
        except Transient as error:
            self.journal.delivery("deferred", error=error)
            return try_again()
        return response(200)

    def _redeliver(self, parked: Redelivery) -> RedeliveryOutcome:
        delivery = Delivery(
            body=base64.b64decode(parked["body"], validate=True),
            headers=parked["headers"],
            event_id=parked["event_id"],
            received_at=parked["received_at"],
            signed_at=parked.get("signed_at"),
        )
        try:
            # What is still not readable is left where it is.
            return self._conclude(understood_from(self.platform, delivery, now=self.clock()))
        except Transient as error:
            self.journal.delivery("deferred", event_id=delivery.event_id, error=error)
            return "deferred"

    def _park(self, delivery: Delivery, verdict: Unreadable) -> None:
        self.parked.park(
            delivery.body or b"\n",  # SQS takes no message without content
            verdict.error,
            event_id=verdict.event_id,
            user_id=verdict.user_id,
            headers=kept_headers(delivery.headers, self.platform.scheme),
            signed_at=delivery.signed_at,
        )

    def _conclude(self, verdict: Accepted | Ignored | Unreadable) -> DeliveryOutcome:
        """Stores what was accepted and logs the verdict. Raises Transient when it could not be stored."""
        match verdict:
            case Accepted(event=event):
                self.queues.send(event)
                self.journal.delivery("accepted", event=event)
                return "accepted"
            case Ignored(event_id=event_id, event_type=event_type, event=left_out, reason=reason):
                shown = loggable_event_type(event_type)
                self.journal.delivery("ignored", event_id=event_id, event=left_out, event_type=shown, error=reason)
                return "ignored"
            case Unreadable(event_id=event_id, user_id=user_id, error=error):
                self.journal.delivery("parked", event_id=event_id, user_id=user_id, error=error)
                return "parked"


@dataclass(frozen=True, slots=True, kw_only=True)
class MisconfiguredReceiver:
    """Stands in for a receiver whose settings are wrong: no delivery is lost while an operator corrects them.

    `problem` is a sentence that names the setting.
    """

    problem: str
    journal: Journal

    def answer(self, http_event: HttpEvent) -> HttpAnswer:
        del http_event
        self.journal.delivery("deferred", error=self._error())
        self.journal.flush()
        return try_again()

    def redeliver(self, parked: Redelivery) -> RedeliveryAnswer:
        self.journal.delivery("deferred", event_id=parked["event_id"], error=self._error())
        self.journal.flush()
        return {"redelivery": "deferred"}

    def _error(self) -> SyncError:
        return OperatorNeeded("settings_invalid", self.problem)


def id_of(body: bytes) -> str:
    """An id for a delivery that has none: the same for the same body."""
    return f"body-{hashlib.sha256(body).hexdigest()[:32]}"


def is_ping(http_event: HttpEvent, platform: "Platform", refusal: Unauthentic) -> bool:
    """Whether a refused request is the one with which the platform tries an address. It is answered and not read."""
    if not platform.ping or refusal.reason != "missing_header":
        return False
    return re.fullmatch(platform.ping.encode(), raw_body(http_event)) is not None


def within_limit(body: bytes) -> bytes:
    """A body that can be read and kept. One that is too large loses the pictures in it, which nothing could use: a
    platform that puts them into the body must not lose the user for it. Raises Malformed if it is still too large."""
    if len(body) > MAX_BODY_BYTES:
        body = _without_inline_pictures(body)
    if len(body) > MAX_BODY_BYTES:
        raise Malformed("too_large", f"the body has more than {MAX_BODY_BYTES} bytes")
    return body


def _without_inline_pictures(body: bytes) -> bytes:
    """A body without the data: URLs (RFC 2397) among its texts, however a JSON encoder writes them, and among those of
    JSON that is a text itself. All other bytes stay as they are."""
    return _JSON_TEXT.sub(lambda found: _without_inline_picture(found[0]), body)


def _without_inline_picture(written: bytes) -> bytes:
    if len(written) < _LONG_TEXT_BYTES:
        return written
    try:
        text: str = json.loads(written, strict=False)
    except ValueError:
        return written
    if is_data_url(text.strip()):
        return json.dumps(INLINE_PICTURE).encode()
    if not text.lstrip().startswith(("{", "[")):
        return written
    inner = text.encode("utf-8", "surrogatepass")
    shorter = _without_inline_pictures(inner)
    return written if shorter == inner else json.dumps(shorter.decode("utf-8", "surrogatepass")).encode()


def kept_headers(headers: Mapping[str, str], scheme: "Scheme") -> dict[str, str]:
    """The headers that are kept with a parked delivery: all but those that prove the sender, as a password does.

    So a delivery whose event stands in a header can be read again, once the setting that reads it is corrected.
    """
    return {
        name: value
        for name, value in headers.items()
        if name not in scheme.proving_headers and not _SECRET_HEADER.search(name)
    }


def claimed_id(http_event: HttpEvent, platform: "Platform") -> str | None:
    """The id that an unproven delivery claims, for an operator who searches it; None if it does not look like one."""
    headers = lower_case(http_event)
    claimed = platform.scheme.claimed_id(headers)
    if not claimed:
        try:
            document = parse(within_limit(raw_body(http_event)), headers, received_at=0)
            claimed = identify(document, platform.preset)
        except (Malformed, Unauthentic):
            return None
    return claimed if claimed and CLAIMED_ID.fullmatch(claimed) else None


def _changes_nothing(event: UserEvent) -> bool:
    """Some platforms send updates that only name the user: no user could be enrolled by one, and no profile changed."""
    return event.kind == "updated" and not (event.profile or event.email or event.whop_user_id or event.standing)
