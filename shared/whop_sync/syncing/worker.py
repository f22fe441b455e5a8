"""A batch of queued events: each goes its own way, for good, back to the queue, or to the dead-letter queue."""

import contextlib
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, Self

from whop_sync.aws.queues import Queue
from whop_sync.errors import AwaitsTurn, Malformed, OperatorNeeded, Permanent, SyncError, Transient
from whop_sync.events import UserEvent
from whop_sync.journal import Journal
from whop_sync.syncing.synchronization import Result

FIRST_BACKOFF_SECONDS = 5.0
MAX_BACKOFF_SECONDS = 3600.0

GIVE_UP_SECONDS = 3 * 86400
"""A Whop outage of a weekend loses nothing and needs nobody."""

LONG_GIVE_UP_SECONDS = 10 * 86400
"""Nothing is wrong with events that wait as long as they are told, for their turn, or for an operator to mend key or
version. So neither a key that was wrong for days nor a long backlog parks them; SQS itself forgets after 14 days."""

LAST_START_SECONDS = 75.0
"""An event is not begun with less time left: a picture, its processing and the calls around them take up to this."""

type Record = Mapping[str, Any]
"""An SQS record as Lambda hands it over: `messageId`, `receiptHandle`, `body`, `attributes`."""


class Handler(Protocol):
    def handle(self, event: UserEvent, *, age: float, deadline: float) -> Result: ...


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
    jitter: Callable[[float, float], float] = random.uniform

    def handle(self, records: Sequence[Record], *, seconds_left: float) -> dict[str, Any]:
        """Lambda's partial batch response: the messages that stay in the queue.

        Users are handled side by side, the events of one user one after the other in the order of their versions.
        """
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
            messages.sort(key=lambda message: message.event.version if message.event else 0)
        futures = [self.pool.submit(self._handle_user, messages, deadline) for messages in by_user.values()]
        return [message_id for future in futures for message_id in future.result()]

    def _handle_user(self, messages: Sequence[_Message], deadline: float) -> list[str]:
        staying = []
        for message in messages:
            try:
                done = self._is_done(message, deadline)
            except Exception as error:  # noqa: BLE001 - a defect that one event meets must not cost its whole batch
                self.journal.crash(error, message.event)
                done = False
            if not done:
                staying.append(message.id)
        return staying

    def _is_done(self, message: _Message, deadline: float) -> bool:
        """Whether the message may leave the queue."""
        event = message.event
        if event is None:
            unreadable = Malformed("unreadable_message", "the message is not one that the receiver wrote")
            return self._park(message, unreadable)
        if self.clock() > deadline - LAST_START_SECONDS:
            return self._postpone(message, AwaitsTurn("out_of_time", retry_after=0))
        try:
            with self.journal.about(event):
                result = self.handler.handle(event, age=self._age(message), deadline=deadline)
        except Permanent as error:
            return self._park(message, error)
        except Transient as error:
            is_fine = isinstance(error, (OperatorNeeded, AwaitsTurn))
            patience = LONG_GIVE_UP_SECONDS if is_fine else GIVE_UP_SECONDS
            given_up = self._age(message) > patience
            return self._park(message, error) if given_up else self._postpone(message, error)
        self.journal.event(result.outcome, event, age=self._age(message), picture_refused=result.refused)
        return True

    def _postpone(self, message: _Message, error: Transient) -> bool:
        delay = self._delay(error, message.receives)
        self.journal.event("retried", message.event, age=self._age(message), error=error, retry_in=delay)
        # If this fails, the queue's own visibility timeout brings the message back, only later.
        with contextlib.suppress(Transient):
            self.queue.postpone(message.receipt_handle, delay)
        return False

    def _park(self, message: _Message, error: SyncError) -> bool:
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

    def _delay(self, error: Transient, receives: int) -> float:
        """Seconds until the next try: what the other side named, a little spread, else doubling with wide spread.

        SQS takes a message away after a thousand receives at most. So a wait that the other side named is never shorter
        than two seconds for each receive before: however often it is named, it takes more than ten days to get there.
        """
        if error.retry_after is not None:
            return max(error.retry_after, 2.0 * (receives - 1)) * self.jitter(1.0, 1.1)
        backoff = min(FIRST_BACKOFF_SECONDS * 2.0 ** min(receives - 1, 20), MAX_BACKOFF_SECONDS)
        return backoff * self.jitter(0.5, 1.0)
