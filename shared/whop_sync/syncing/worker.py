"""A batch of queued events: each goes its own way, for good, back to the queue, or to the dead-letter queue."""

import contextlib
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, Self, TypedDict

from whop_sync.aws.queues import Queue
from whop_sync.errors import AwaitsTurn, Malformed, Permanent, SyncError, Transient
from whop_sync.events import UserEvent
from whop_sync.journal import Journal
from whop_sync.syncing.retries import RETRIES, RetryPolicy
from whop_sync.syncing.synchronization import Result

LAST_START_SECONDS = 75.0
"""An event is not begun with less time left: a picture, its processing and the calls around them take up to this."""


class RecordAttributes(TypedDict):
    """The attributes of an SQS record that are read here. Both are numbers, as text."""

    SentTimestamp: str
    ApproximateReceiveCount: str


class Record(TypedDict):
    """An SQS record as Lambda hands it over (https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html)."""

    messageId: str
    receiptHandle: str
    body: str
    attributes: RecordAttributes


class BatchItemFailure(TypedDict):
    itemIdentifier: str


class BatchResponse(TypedDict):
    """Lambda's partial batch response: the messages that stay in the queue."""

    batchItemFailures: list[BatchItemFailure]


class Handler(Protocol):
    def handle(self, event: UserEvent, *, age: float, deadline: float) -> Result: ...


@dataclass(frozen=True, slots=True)
class Done:
    """The event is handled for good."""

    result: Result


@dataclass(frozen=True, slots=True)
class Retry:
    """The event goes back to its queue for `delay` seconds."""

    error: Transient
    delay: float


@dataclass(frozen=True, slots=True)
class Park:
    """The event goes to the dead-letter queue."""

    error: SyncError


type Disposition = Done | Retry | Park
"""What is to become of a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Message:
    """`sent_at` is in Unix seconds, `event` None if the body is none that the receiver wrote."""

    id: str
    receipt_handle: str
    body: str
    sent_at: float
    receives: int
    event: UserEvent | None

    @classmethod
    def of(cls, record: Record) -> Self:
        try:
            event = UserEvent.from_json(record["body"])
        except (ValueError, KeyError, TypeError, RecursionError):
            event = None
        return cls(
            id=record["messageId"],
            receipt_handle=record["receiptHandle"],
            body=record["body"],
            sent_at=int(record["attributes"]["SentTimestamp"]) / 1000,
            receives=int(record["attributes"]["ApproximateReceiveCount"]),
            event=event,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    handler: Handler
    queue: Queue
    dead_letters: Queue
    journal: Journal
    clock: Callable[[], float]
    pool: ThreadPoolExecutor
    retries: RetryPolicy = RETRIES
    jitter: Callable[[float, float], float] = random.uniform

    def handle(self, records: Sequence[Record], *, seconds_left: float) -> BatchResponse:
        """Handles a batch: users side by side, the events of one user one after the other, in their order."""
        try:
            staying = self._handle(records, self.clock() + seconds_left)
        except Exception as error:  # noqa: BLE001 - Lambda would log its message, which may quote events
            self.journal.crash(error)
            staying = [record["messageId"] for record in records]
        self.journal.flush()
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in staying]}

    def _handle(self, records: Sequence[Record], deadline: float) -> list[str]:
        by_user: defaultdict[str, list[_Message]] = defaultdict(list)
        for message in map(_Message.of, records):
            by_user[message.event.user_id if message.event else ""].append(message)
        for messages in by_user.values():
            messages.sort(key=lambda message: message.event.order if message.event else (0, 0, 0))
        futures = [self.pool.submit(self._handle_user, messages, deadline) for messages in by_user.values()]
        return [message_id for future in futures for message_id in future.result()]

    def _handle_user(self, messages: Sequence[_Message], deadline: float) -> list[str]:
        return [message.id for message in messages if not self._settle(message, deadline)]

    def _settle(self, message: _Message, deadline: float) -> bool:
        """Handles a message; returns whether it leaves the queue."""
        try:
            match self._process(message, deadline):
                case Done(result):
                    self._finish(message, result)
                    return True
                case Park(error):
                    return self._park(message, error)
                case Retry(error, delay):
                    self._postpone(message, error, delay)
        except Exception as error:  # noqa: BLE001 - a defect that one event meets must not cost its whole batch
            self.journal.crash(error, message.event)
        return False

    def _process(self, message: _Message, deadline: float) -> Disposition:
        """Brings the event to Whop, and decides what is to become of its message."""
        event = message.event
        if event is None:
            return Park(Malformed("unreadable_message", "the message is not one that the receiver wrote"))
        if self.clock() > deadline - LAST_START_SECONDS:
            return self._again(message, AwaitsTurn("out_of_time", retry_after=0))
        try:
            with self.journal.about(event):
                return Done(self.handler.handle(event, age=self._age(message), deadline=deadline))
        except Permanent as error:
            return Park(error)
        except Transient as error:
            given_up = self.retries.gives_up(error, self._age(message))
            return Park(error) if given_up else self._again(message, error)

    def _again(self, message: _Message, error: Transient) -> Retry:
        return Retry(error, self.retries.delay(error, message.receives, self.jitter))

    def _finish(self, message: _Message, result: Result) -> None:
        self.journal.event(result.outcome, message.event, age=self._age(message), refused=result.refused)
        if result.email_differs:
            self.journal.email_differs()

    def _postpone(self, message: _Message, error: Transient, delay: float) -> None:
        self.journal.event("retried", message.event, age=self._age(message), error=error, retry_in=delay)
        # If this fails, the queue's own visibility timeout brings the message back, only later.
        with contextlib.suppress(Transient):
            self.queue.postpone(message.receipt_handle, delay)

    def _park(self, message: _Message, error: SyncError) -> bool:
        """Returns whether the message is in the dead-letter queue."""
        event = message.event
        try:
            self.dead_letters.park(
                message.body,
                error,
                event_id=event.event_id if event else message.id,
                user_id=event.user_id if event else None,
            )
        except Transient as unparked:
            self.journal.event("retried", event, age=self._age(message), event_id=message.id, error=unparked)
            return False
        self.journal.event("parked", event, age=self._age(message), event_id=message.id, error=error)
        return True

    def _age(self, message: _Message) -> float:
        """Seconds since the receiver accepted the event."""
        return self.clock() - message.sent_at
