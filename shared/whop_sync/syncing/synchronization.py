"""The way of one event through a worker, whichever queue it came from: claim the row, do what is missing, commit."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from whop_sync.errors import Permanent, SyncError
from whop_sync.events import UserEvent
from whop_sync.syncing.deadlines import Deadline
from whop_sync.syncing.enrollment import Enrollment, Origin
from whop_sync.syncing.profiles import Profiles
from whop_sync.users.mappings import Changes, Claim, Mappings

type Outcome = Origin | Literal["synced", "stale"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of an event. `refused` tells of a picture that could not be had."""

    outcome: Outcome
    refused: SyncError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Synchronization:
    mappings: Mappings
    enrollment: Enrollment
    profiles: Profiles
    clock: Callable[[], float]

    def handle(self, event: UserEvent, *, age: float, deadline: float) -> Result:
        """Doing it twice changes nothing. Raises Transient and Permanent.

        `age` of the event is in seconds, `deadline` of the worker in Unix seconds.
        """
        claim = self.mappings.claim(event, deadline=deadline)
        if claim is None:
            return Result(outcome="stale")
        changes = Changes.none(claim.row)
        try:
            outcome = self._bring_about(event, claim, changes, age, Deadline(at=claim.deadline, clock=self.clock))
        except SyncError as error:
            self.mappings.commit(claim, changes, error=error)
            raise
        self.mappings.commit(claim, changes)
        return Result(outcome=outcome, refused=changes.picture_refused)

    def _bring_about(self, event: UserEvent, claim: Claim, changes: Changes, age: float, deadline: Deadline) -> Outcome:
        outcome: Outcome = "synced"
        account = claim.row.account
        if account is None:
            account, outcome = self.enrollment.enroll(event, claim, deadline)
        elif event.whop_user_id not in (None, account.whop_user_id):
            raise Permanent("whop_user_differs", "the user is mapped to another Whop user than the event names")
        self.profiles.apply(event, account, claim, changes, age=age, deadline=deadline)
        return outcome
