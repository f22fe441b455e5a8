"""What an operator does when a person asks to be forgotten, and when a platform never sends deletions.

Both are safe twice: what is done already is found done.
"""

from dataclasses import dataclass
from typing import Literal

from whop_sync.accounts import Account
from whop_sync.aws.queues import Queue
from whop_sync.errors import AwaitsTurn, OperatorNeeded, Permanent, SyncError, Transient
from whop_sync.events import UserEvent
from whop_sync.syncing.deadlines import Deadline
from whop_sync.syncing.enrollment import Enrollment, Located, NotLocated
from whop_sync.users.mappings import Busy, Claim

LEASE_SECONDS = 150
"""How long an erasure may take."""

_REFUSALS = ("whop_refused", "whop_key_rejected")
"""Whop does not let it be done: by its rules, or by what the key may do."""

type AccountFate = Literal["removed", "gone", "blanked", "kept", "none"]
"""The connected account was removed; was not there any more; could not be removed, and its title and metadata no longer
name the user; could be neither; there is none, since the user came by Whop sign-in or was never enrolled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What an erasure came to. It holds no e-mail and no name.

    Attributes:
        is_known: whether there was a row of the user at all.
        profile_blanked: whether the company-specific name and picture are gone; None where there were none to blank,
            or where they are another user's, who has the Whop user since this one was deleted.
        account: what became of the connected account.
        why: what kept Whop from removing the account, as a reason.
    """

    user_id: str
    is_known: bool
    whop_user_id: str | None = None
    whop_company_id: str | None = None
    profile_blanked: bool | None = None
    account: AccountFate = "none"
    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    enrollment: Enrollment
    deleted_user_name: str
    queue: Queue

    def release(self, user_id: str) -> None:
        """Sends a deletion on its way, as the platform would: the user is blanked, and their Whop user set free for
        another. A newer event of the platform brings the user back. Raises Transient."""
        self.queue.send(self._deletion(user_id).to_json())

    def erase(self, user_id: str) -> Receipt:
        """Removes what there is of a user, at Whop and in the row. Only a tombstone stays, without which an old event
        would enroll them again. Raises Transient; what was done until then is found done the next time.
        """
        mappings, clock = self.enrollment.mappings, self.enrollment.clock
        row = mappings.row(user_id)
        if row.status is None:
            return Receipt(user_id=user_id, is_known=False)
        deletion = self._deletion(user_id)
        claim = mappings.claim(deletion, deadline=clock() + LEASE_SECONDS)
        if isinstance(claim, Busy):
            raise AwaitsTurn("busy", "a worker has this user just now", retry_after=claim.seconds_left)
        if claim is None:
            if row.standing == "deleted" and row.account is None and row.former is None:
                return Receipt(user_id=user_id, is_known=True)
            raise Transient("lease_lost", "the row says something of a time that is still to come")
        account = claim.row.account
        if account is None:
            located = self.enrollment.adopt(claim, Deadline(at=claim.deadline, clock=clock))
            if isinstance(located, NotLocated):
                raise located.error
            account = located.account if isinstance(located, Located) else None
        receipt = Receipt(user_id=user_id, is_known=True) if account is None else self._erase_at_whop(claim, account)
        mappings.erase(claim, deletion, account)
        return receipt

    def _erase_at_whop(self, claim: Claim, account: Account) -> Receipt:
        blanked = self._blank(account) if self._takes(claim, account) else None
        fate, why = self._remove(account)
        if not blanked and fate == "kept":
            # The row alone knows who the user is at Whop, so it stays until the key may do something.
            raise OperatorNeeded("whop_key_rejected", "the API key may neither blank nor remove this user at Whop")
        return Receipt(
            user_id=claim.user_id,
            is_known=True,
            whop_user_id=account.whop_user_id,
            whop_company_id=account.company_id,
            profile_blanked=blanked,
            account=fate,
            why=why,
        )

    def _takes(self, claim: Claim, account: Account) -> bool:
        """Whether the Whop user is this user's, whom it is kept for until the row is empty. After a deletion another
        user with the same e-mail may have it."""
        if claim.row.account is not None:
            return True
        try:
            self.enrollment.mappings.record_account(claim, account, claim.row.enrolled_email)
        except Permanent:
            return False
        return True

    def _deletion(self, user_id: str) -> UserEvent:
        now = int(self.enrollment.clock() * 1_000_000)
        return UserEvent(kind="deleted", event_id="operator", user_id=user_id, version=now, event_time=now)

    def _blank(self, account: Account) -> bool:
        """Each field for itself: Whop may refuse to clear the picture."""
        blanked = True
        for change in ({"name": self.deleted_user_name}, {"profile_picture": None}):
            try:
                self.enrollment.whop.update_user(account.whop_user_id, company=self.enrollment.company, changes=change)
            except SyncError as error:
                if error.reason not in (*_REFUSALS, "whop_not_found"):
                    raise
                blanked = blanked and error.reason == "whop_not_found"
        return blanked

    def _remove(self, account: Account) -> tuple[AccountFate, str | None]:
        if account.company_id is None:
            return "none", None
        try:
            self.enrollment.whop.delete_account(account.company_id)
        except SyncError as error:
            if error.reason == "whop_not_found":
                return "gone", None
            if error.reason not in _REFUSALS:
                raise
            return self._disguise(account.company_id), error.reason
        return "removed", None

    def _disguise(self, company_id: str) -> AccountFate:
        """Takes title, metadata and external id away. That null clears the last stands in Whop's newest guides only, so
        a Whop that refuses it is assumed to know none."""
        blank = {"title": f"Erased {company_id}", "metadata": {}}
        for changes in ({**blank, "external_id": None}, blank):
            try:
                self.enrollment.whop.update_account(company_id, changes)
            except SyncError as error:
                if error.reason not in _REFUSALS:
                    raise
            else:
                return "blanked"
        return "kept"
