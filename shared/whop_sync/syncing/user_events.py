"""The messages of the two workers' queues: events of users."""

from dataclasses import dataclass
from typing import Protocol

from whop_sync.batches.worker import Readable
from whop_sync.errors import SyncError, Transient
from whop_sync.events import UserEvent
from whop_sync.journal import Journal
from whop_sync.syncing.synchronization import Result

LAST_START_SECONDS = 75.0
"""An event is not begun with less time left: a picture, its processing and the calls around them take up to this."""


class Handler(Protocol):
    def handle(self, event: UserEvent, *, age: float, deadline: float) -> Result: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class UserEvents:
    """What a worker needs to know of events: those of one user go one after the other, the oldest first."""

    handler: Handler
    journal: Journal
    seconds_needed: float = LAST_START_SECONDS

    def read(self, body: str) -> Readable[UserEvent]:
        event = UserEvent.from_json(body)
        return Readable(
            content=event,
            event_id=event.event_id,
            user_id=event.user_id,
            sequence=event.user_id,
            position=event.order,
        )

    def handle(self, content: UserEvent, *, age: float, deadline: float) -> Result:
        """Brings the event to Whop. Raises Transient and Permanent."""
        with self.journal.about(content):
            return self.handler.handle(content, age=age, deadline=deadline)

    def done(self, content: UserEvent, result: Result, *, age: float) -> None:
        self.journal.event(result.outcome, content, age=age, refused=result.refused)
        if result.email_differs:
            self.journal.email_differs()

    def retried(
        self, content: UserEvent | None, *, message_id: str, age: float, error: Transient, retry_in: float | None
    ) -> None:
        self.journal.event("retried", content, age=age, event_id=message_id, error=error, retry_in=retry_in)

    def parked(self, content: UserEvent | None, *, message_id: str, age: float, error: SyncError) -> None:
        self.journal.event("parked", content, age=age, event_id=message_id, error=error)
