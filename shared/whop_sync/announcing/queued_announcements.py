"""The messages of the announcements' queue."""

from dataclasses import dataclass, replace
from typing import Literal, Protocol

from whop_sync.announcements import Announcement
from whop_sync.batches.retries import RETRIES, RetryPolicy
from whop_sync.batches.worker import Readable
from whop_sync.errors import AwaitsTurn, SyncError, Transient
from whop_sync.journal import Journal
from whop_sync.users.announced_webhooks import AnnouncedWebhooks
from whop_sync.users.directory import Directory

LAST_START_SECONDS = 20.0
"""An announcement is not begun with less time left: half of it for the delivery, half for the secret and the table."""


class Target(Protocol):
    def deliver(self, announcement: Announcement) -> None:
        """Raises Transient and Permanent. A repetition has the same id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handled:
    """What became of an announcement.

    Attributes:
        outcome: `repeated` if Whop sent its webhook before, `unknown_account` if no user has the account.
        announcement: as it was delivered, or would have been.
    """

    outcome: Literal["delivered", "repeated", "unknown_account"]
    announcement: Announcement


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedAnnouncements:
    """What a worker needs to know of announcements: those about one user go one after the other, by version."""

    target: Target
    directory: Directory
    announced: AnnouncedWebhooks
    journal: Journal
    retries: RetryPolicy = RETRIES
    seconds_needed: float = LAST_START_SECONDS

    def read(self, body: str) -> Readable[Announcement]:
        announcement = Announcement.from_json(body)
        return Readable(
            content=announcement,
            event_id=announcement.id,
            user_id=announcement.user_id,
            # Of Whop's webhooks the same one twice: the second is to find the note of the first.
            sequence=announcement.id if announcement.user_id is None else f"user {announcement.user_id}",
            position=(announcement.version or 0, announcement.occurred_at),
        )

    def handle(self, content: Announcement, *, age: float, deadline: float) -> Handled:  # noqa: ARG002
        """Brings the announcement to the platform. Raises Transient and Permanent."""
        if content.user_id is not None:
            self.target.deliver(content)
            return Handled(outcome="delivered", announcement=content)
        if self.announced.contains(content.id):
            return Handled(outcome="repeated", announcement=content)
        user_id = self._user_of(content)
        if user_id is None:
            if age < self.retries.arrival_patience:  # the account may just be being made
                raise AwaitsTurn("unknown_account", "no user has the account that Whop's webhook is about")
            return Handled(outcome="unknown_account", announcement=content)
        addressed = replace(content, user_id=user_id)
        self.target.deliver(addressed)
        self.announced.add(content.id)
        return Handled(outcome="delivered", announcement=addressed)

    def done(self, content: Announcement, result: Handled, *, age: float) -> None:  # noqa: ARG002
        self.journal.announcement(result.outcome, result.announcement, age=age)

    def retried(
        self, content: Announcement | None, *, message_id: str, age: float, error: Transient, retry_in: float | None
    ) -> None:
        self.journal.announcement("retried", content, age=age, message_id=message_id, error=error, retry_in=retry_in)

    def parked(self, content: Announcement | None, *, message_id: str, age: float, error: SyncError) -> None:
        self.journal.announcement("parked", content, age=age, message_id=message_id, error=error)

    def _user_of(self, announcement: Announcement) -> str | None:
        """The user whom the account, or else the Whop user, belongs to that Whop's webhook names."""
        company_id = announcement.data.get("whop_company_id")
        user_id = self.directory.user_of_account(company_id) if company_id else None
        whop_user_id = announcement.data.get("whop_user_id")
        if user_id is None and whop_user_id:
            return self.directory.user_of(whop_user_id)
        return user_id
