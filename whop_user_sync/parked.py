"""The parked events of a stack: what could not be handled, and the way back for it.

    receive_webhook ──▶ user-created ─────▶ worker ──▶ user-created-dead-letters ────┐
          │      └────▶ profile-updated ──▶ worker ──▶ profile-updated-dead-letters ─┤ sent to its queue again
          └──▶ parked-deliveries ─────────────────────────────────────────────────── ┘ read by the receiver again

    worker ──▶ announcements ──▶ announce ──▶ announcements-dead-letters, where the stack announces: sent again likewise

A parked event is stored in its queue first and deleted from where it was parked afterwards. A crash in between leaves
both, which changes nothing: the user's row decides what is new, and an event that comes twice is not. A delivery that
the receiver still cannot read never moves, so no number of runs makes two of it.
"""

import base64
import binascii
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from botocore.exceptions import BotoCoreError, ClientError

from whop_sync.times import iso
from whop_user_sync.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

DELIVERIES = "parked-deliveries"
_SOURCES = {
    "user-created-dead-letters": "user-created",
    "profile-updated-dead-letters": "profile-updated",
    "announcements-dead-letters": "announcements",
}
QUEUES = (*_SOURCES, DELIVERIES)
"""The last parts of the names of the queues that hold parked events. A stack that announces nothing lacks that of
announcements."""

HOLD_SECONDS = 600
"""How long events are hidden from other runs, if this one dies before it lets go of them."""

RECEIVED_TOO_OFTEN = "received_too_often"
"""The reason of what SQS itself moved here. It notes none."""

_MOVED_BY_SQS = "SQS moved it here because no worker got done with it: look for crashes and timeouts in the logs"

_AT_ONCE = 10

type RedriveOutcome = Literal["sent", "ignored", "unreadable", "failed"]
"""Sent again; not a user event as payloads are read now, so deleted; still not readable and still parked; the receiver
could not do it just now and it is still parked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """One parked event.

    `queue` is the last part of a queue's name, `event_id` the id of a webhook or of an announcement. `sent_at`, in Unix
    seconds, is when it was parked, or accepted if SQS moved it here; `signed_at` is when its sender signed it, None
    where nothing says so. `body` (base64 of a delivery) and `whop_message` may hold personal data. `headers` are those
    that a delivery is read by.
    """

    id: str
    receipt_handle: str
    queue: str
    sent_at: float
    event_id: str
    user_id: str | None
    reason: str
    explanation: str
    whop_message: str | None
    body: str
    headers: Mapping[str, str]
    signed_at: float | None

    @classmethod
    def of(cls, message: "MessageTypeDef", queue: str) -> Self:
        noted = {name: value.get("StringValue", "") for name, value in message.get("MessageAttributes", {}).items()}
        event = _object(message["Body"]) if queue in _SOURCES else {}
        return cls(
            id=message["MessageId"],
            receipt_handle=message["ReceiptHandle"],
            queue=queue,
            sent_at=int(message["Attributes"]["SentTimestamp"]) / 1000,
            event_id=str(event.get("event_id") or event.get("id") or noted.get("event_id") or message["MessageId"]),
            user_id=str(event["user_id"]) if event.get("user_id") is not None else noted.get("user_id"),
            reason=noted.get("reason") or RECEIVED_TOO_OFTEN,
            explanation=noted.get("explanation", "") if "reason" in noted else _MOVED_BY_SQS,
            whop_message=noted.get("whop_message"),
            body=message["Body"],
            headers=_object(noted.get("headers", "")),
            signed_at=_seconds(noted.get("signed_at")),
        )

    @property
    def text(self) -> str:
        """The body as the platform or the receiver wrote it."""
        with suppress(binascii.Error):
            if self.queue == DELIVERIES:
                return base64.b64decode(self.body).decode(errors="replace")
        return self.body


class ParkedEvents:
    """Every method raises botocore's ClientError and BotoCoreError as they come: they name the call that failed."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._sqs: SQSClient = stack.client("sqs")
        self._functions: LambdaClient = stack.client("lambda")
        self._urls = stack.queue_urls(self._sqs, QUEUES)
        self._gone: set[str] = set()

    def hidden(self) -> int:
        """How many events another run holds just now, about."""
        return sum(
            int(
                self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessagesNotVisible"])[
                    "Attributes"
                ]["ApproximateNumberOfMessagesNotVisible"]
            )
            for url in self._urls.values()
        )

    @contextmanager
    def held(self) -> Iterator[list[Parked]]:
        """All parked events, oldest first, hidden from other runs until the end of the block.

        Events that are parked again meanwhile are not among them, so a run ends however fast a worker refuses.
        """
        held: dict[str, dict[str, Parked]] = {queue: {} for queue in self._urls}
        try:
            with ThreadPoolExecutor(len(held)) as pool:
                list(pool.map(self._receive_all, held, held.values()))
            yield sorted(_all(held), key=lambda event: event.sent_at)
        finally:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                list(pool.map(self._release, (event for event in _all(held) if event.id not in self._gone)))

    def send_again(self, events: Sequence[Parked]) -> Iterator[tuple[Parked, RedriveOutcome]]:
        """Sends held events to where they came from. Yields what became of each."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            try:
                yield from zip(events, pool.map(self._send_again, events), strict=True)
            finally:
                pool.shutdown(cancel_futures=True)

    def discard(self, events: Sequence[Parked], why: str) -> None:
        """Deletes held events for good, after `why` was logged with the ids of each, where `trace` finds it."""
        if not events:
            return
        logs: CloudWatchLogsClient = self._stack.client("logs")
        group, stream = f"/aws/lambda/{self._stack.name}-receive-webhook", "operator"
        with suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_stream(logGroupName=group, logStreamName=stream)
        now = time.time()
        for event in events:
            line = {
                "timestamp": iso(now),
                "level": "WARNING",
                "message": "operator",
                "outcome": "discarded",
                "event_id": event.event_id,
                "user_id": event.user_id,
                "reason": event.reason,
                "explanation": why,
            }
            logs.put_log_events(
                logGroupName=group,
                logStreamName=stream,
                logEvents=[{"timestamp": int(now * 1000), "message": json.dumps(line)}],
            )
            self._delete(event)

    def is_gone(self, event: Parked) -> bool:
        """Whether a held event was deleted here, after it was sent again or was discarded."""
        return event.id in self._gone

    def _send_again(self, event: Parked) -> RedriveOutcome:
        if event.queue in _SOURCES:
            self._sqs.send_message(QueueUrl=self._url(_SOURCES[event.queue]), MessageBody=event.body)
            outcome: RedriveOutcome = "sent"
        else:
            outcome = self._deliver_again(event)
        if outcome in ("sent", "ignored"):
            self._delete(event)
        return outcome

    def _delete(self, event: Parked) -> None:
        self._sqs.delete_message(QueueUrl=self._urls[event.queue], ReceiptHandle=event.receipt_handle)
        self._gone.add(event.id)

    def _deliver_again(self, event: Parked) -> RedriveOutcome:
        """Lets the deployed receiver read a delivery again, by an invocation that no HTTP request can imitate."""
        # Received when it was parked, not now: where a body has no time of its own, that one decides what is newest.
        delivery = {
            "body": event.body,
            "event_id": event.event_id,
            "headers": event.headers,
            "received_at": event.sent_at,
            "signed_at": event.signed_at,
        }
        order = json.dumps({"redelivery": delivery}).encode()
        answer = self._functions.invoke(FunctionName=f"{self._stack.name}-receive-webhook", Payload=order)
        answered = json.loads(answer["Payload"].read())
        # A receiver that crashed, or is too old to know redeliveries, answers something else.
        outcomes: dict[Any, RedriveOutcome] = {"accepted": "sent", "ignored": "ignored", "parked": "unreadable"}
        is_known = isinstance(answered, dict) and "FunctionError" not in answer
        outcome = answered.get("redelivery") if is_known else None
        return outcomes.get(outcome, "failed")

    def _receive_all(self, queue: str, held: dict[str, Parked]) -> None:
        while True:
            known = len(held)
            # Waiting asks all of SQS's servers; a receive that does not wait may miss messages.
            messages = self._sqs.receive_message(
                QueueUrl=self._urls[queue],
                MaxNumberOfMessages=10,
                WaitTimeSeconds=1,
                VisibilityTimeout=HOLD_SECONDS,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["SentTimestamp"],
            ).get("Messages", [])
            held.update({message["MessageId"]: Parked.of(message, queue) for message in messages})
            if len(held) == known:
                return

    def _release(self, event: Parked) -> None:
        # If this fails, the event shows again by itself, only later.
        with suppress(ClientError, BotoCoreError):
            self._sqs.change_message_visibility(
                QueueUrl=self._urls[event.queue], ReceiptHandle=event.receipt_handle, VisibilityTimeout=0
            )

    def _url(self, queue: str) -> str:
        return self._stack.queue_url(self._sqs, queue)


def _all(held: Mapping[str, Mapping[str, Parked]]) -> list[Parked]:
    return [event for events in held.values() for event in events.values()]


def _seconds(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _object(text: str) -> dict[str, Any]:
    """A JSON object, empty if the text is none: a queue may hold anything."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
