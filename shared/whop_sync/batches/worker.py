"""A batch of queued messages: each goes its own way, for good, back to the queue, or to the dead-letter queue.

Written by hand although Powertools has a batch processor: ours handles users side by side and the messages of one user
in their order, and decides for each message how long it waits and when it is given up.
"""

import contextlib
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, Self, TypedDict

from whop_sync.aws.queues import Queue
from whop_sync.batches.retries import RETRIES, RetryPolicy
from whop_sync.errors import AwaitsTurn, Malformed, Permanent, SyncError, Transient
from whop_sync.journal import Journal


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Readable[Content]:
    """A message whose body is understood.

    Attributes:
        event_id: what log lines and the dead-letter queue call it.
        user_id: the platform's id of the user whom it is about, if it holds one.
        sequence: messages of the same sequence are handled one after the other.
        position: in the sequence; the lowest comes first.
    """

    content: Content
    event_id: str
    user_id: str | None
    sequence: str
    position: tuple[float, ...]


class Messages[Content, Result](Protocol):
    """The messages of one queue: how they are read and handled, and what is logged of them.

    Ages are seconds since the message was sent. A content is None if the body could not be read; `message_id` is SQS's.
    """

    @property
    def seconds_needed(self) -> float:
        """A message is not begun with less time left."""

    def read(self, body: str) -> Readable[Content]:
        """Raises ValueError, KeyError, TypeError or RecursionError for a body that this application did not write."""

    def handle(self, content: Content, *, age: float, deadline: float) -> Result:
        """Doing it twice changes nothing. Raises Transient and Permanent. `deadline` is in Unix seconds."""

    def done(self, content: Content, result: Result, *, age: float) -> None: ...

    def retried(
        self, content: Content | None, *, message_id: str, age: float, error: Transient, retry_in: float | None
    ) -> None: ...

    def parked(self, content: Content | None, *, message_id: str, age: float, error: SyncError) -> None: ...


@dataclass(frozen=True, slots=True)
class Done[Content, Result]:
    """The message is handled for good."""

    content: Content
    result: Result


@dataclass(frozen=True, slots=True)
class Retry:
    """The message goes back to its queue for `delay` seconds."""

    error: Transient
    delay: float


@dataclass(frozen=True, slots=True)
class Park:
    """The message goes to the dead-letter queue."""

    error: SyncError


type Disposition[Content, Result] = Done[Content, Result] | Retry | Park
"""What is to become of a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Message[Content]:
    """`sent_at` is in Unix seconds; `readable` is None if this application did not write the body."""

    id: str
    receipt_handle: str
    body: str
    sent_at: float
    receives: int
    readable: Readable[Content] | None

    @classmethod
    def of(cls, record: Record, read: Callable[[str], Readable[Content]]) -> Self:
        try:
            readable = read(record["body"])
        except (ValueError, KeyError, TypeError, RecursionError):
            readable = None
        return cls(
            id=record["messageId"],
            receipt_handle=record["receiptHandle"],
            body=record["body"],
            sent_at=int(record["attributes"]["SentTimestamp"]) / 1000,
            receives=int(record["attributes"]["ApproximateReceiveCount"]),
            readable=readable,
        )

    @property
    def content(self) -> Content | None:
        return self.readable.content if self.readable else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker[Content, Result]:
    messages: Messages[Content, Result]
    queue: Queue
    dead_letters: Queue
    journal: Journal
    clock: Callable[[], float]
    pool: ThreadPoolExecutor
    retries: RetryPolicy = RETRIES
    jitter: Callable[[float, float], float] = random.uniform

    def handle(self, records: Sequence[Record], *, seconds_left: float) -> BatchResponse:
        """Handles a batch: sequences side by side, the messages of one sequence one after the other, in their order."""
        staying = self.journal.guarded(
            lambda: self._handle(records, self.clock() + seconds_left),
            after_crash=[record["messageId"] for record in records],
        )
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in staying]}

    def _handle(self, records: Sequence[Record], deadline: float) -> list[str]:
        sequences: defaultdict[str, list[_Message[Content]]] = defaultdict(list)
        for record in records:
            message = _Message[Content].of(record, self.messages.read)
            sequences[message.readable.sequence if message.readable else ""].append(message)
        for sequence in sequences.values():
            sequence.sort(key=lambda message: message.readable.position if message.readable else ())
        futures = [self.pool.submit(self._handle_sequence, sequence, deadline) for sequence in sequences.values()]
        return [message_id for future in futures for message_id in future.result()]

    def _handle_sequence(self, messages: Sequence[_Message[Content]], deadline: float) -> list[str]:
        return [message.id for message in messages if not self._settle(message, deadline)]

    def _settle(self, message: _Message[Content], deadline: float) -> bool:
        """Handles a message; returns whether it leaves the queue."""
        try:
            match self._process(message, deadline):
                case Done(content, result):
                    self.messages.done(content, result, age=self._age(message))
                    return True
                case Park(error):
                    return self._park(message, error)
                case Retry(error, delay):
                    self._postpone(message, error, delay)
        except Exception as error:  # noqa: BLE001 - a defect that one message meets must not cost its whole batch
            readable = message.readable
            ids = {"event_id": readable.event_id, "user_id": readable.user_id} if readable else {}
            self.journal.crash(error, **ids)
        return False

    def _process(self, message: _Message[Content], deadline: float) -> Disposition[Content, Result]:
        """Handles the content, and decides what is to become of its message."""
        readable = message.readable
        if readable is None:
            return Park(Malformed("unreadable_message", "the message is not one that this application wrote"))
        if self.clock() > deadline - self.messages.seconds_needed:
            return self._again(message, AwaitsTurn("out_of_time", retry_after=0))
        age = self._age(message)  # one for both decisions: what is given up may be recorded as such while it is handled
        try:
            result = self.messages.handle(readable.content, age=age, deadline=deadline)
            return Done(readable.content, result)
        except Permanent as error:
            return Park(error)
        except Transient as error:
            given_up = self.retries.gives_up(error, age)
            return Park(error) if given_up else self._again(message, error)

    def _again(self, message: _Message[Content], error: Transient) -> Retry:
        return Retry(error, self.retries.delay(error, message.receives, self.jitter))

    def _postpone(self, message: _Message[Content], error: Transient, delay: float) -> None:
        self._log_retry(message, error, delay)
        # If this fails, the queue's own visibility timeout brings the message back, only later.
        with contextlib.suppress(Transient):
            self.queue.postpone(message.receipt_handle, delay)

    def _park(self, message: _Message[Content], error: SyncError) -> bool:
        """Returns whether the message is in the dead-letter queue."""
        readable = message.readable
        try:
            self.dead_letters.park(
                message.body,
                error,
                event_id=readable.event_id if readable else message.id,
                user_id=readable.user_id if readable else None,
            )
        except Transient as unparked:
            self._log_retry(message, unparked, None)
            return False
        self.messages.parked(message.content, message_id=message.id, age=self._age(message), error=error)
        return True

    def _log_retry(self, message: _Message[Content], error: Transient, retry_in: float | None) -> None:
        age = self._age(message)
        self.messages.retried(message.content, message_id=message.id, age=age, error=error, retry_in=retry_in)

    def _age(self, message: _Message[Content]) -> float:
        """Seconds since the message was sent."""
        return self.clock() - message.sent_at
