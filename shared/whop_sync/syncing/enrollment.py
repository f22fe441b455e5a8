"""Exactly one connected account a user, ever, on an API whose older create call promises no idempotency.

    the row notes an attempt ── POST /companies ── the mapping is recorded
                                     │
                                     └─ refused (4xx): the attempt is closed, nothing exists
                                     └─ no good answer: the attempt stays open, an account may exist (an orphan)

An open attempt is never followed by a second create before the orphan was looked for in the parent's list, and before
the list had two minutes to show it. Besides, the title is unique under the parent, and Whop refuses a title twice.

The newer create call, POST /accounts, answers the account that a user has already. It may be repeated at once, so it
leaves no attempt open. One that is open all the same, from a worker that died or from before the stack moved to the
newer call, is looked for and waited out like any other. If a user's e-mail changed between two such calls, Whop refuses
the second, and the account is found by the user's id.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from whop_sync.accounts import Account
from whop_sync.errors import AwaitsTurn, Permanent, Transient
from whop_sync.events import UserEvent
from whop_sync.syncing.deadlines import Deadline
from whop_sync.users.mappings import Claim, Mappings
from whop_sync.whop.client import MAX_NAME_LENGTH, AccountExists, Whop

ORPHAN_WAIT_SECONDS = 120
"""How long Whop's list is given to show an account that a lost create may have made. Its lag is not known."""

CLOCK_SKEW_SECONDS = 300
"""How far Whop's clock may be from ours when it is asked for accounts created since an attempt."""

LONG_AGO = 0.0
"""When an attempt began that met an account of whatever age, in Unix seconds."""

type Origin = Literal["enrolled", "adopted", "mapped"]
"""How a user got their account: created for them, found as an orphan, or brought along from Whop sign-in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrollment:
    whop: Whop
    mappings: Mappings
    company: str
    title_format: str
    clock: Callable[[], float]

    def enroll(self, event: UserEvent, claim: Claim, deadline: Deadline) -> tuple[Account, Origin]:
        """Makes sure that the claimed user, who has no mapping, has a connected account, and records the mapping.

        Raises Transient and Permanent. `claim.attempt_open` then says whether the attempt has to stay open.
        """
        account, origin = self._account(event, claim, deadline)
        self.mappings.record_account(claim, account)
        claim.attempt_open = False
        return account, origin

    def _account(self, event: UserEvent, claim: Claim, deadline: Deadline) -> tuple[Account, Origin]:
        if event.whop_user_id:
            self.whop.user(event.whop_user_id, company=self.company)  # refuses an id that Whop does not know
            return Account(event.whop_user_id, company_id=None), "mapped"
        if event.email is None:
            raise self._no_email(event)
        resuming = claim.attempt_open
        if resuming:
            orphan = self._find_orphan(claim, deadline, created_after=_earliest(claim))
            if orphan:
                return orphan, "adopted"
            self._wait_for_orphan(claim)
            self.mappings.reopen_attempt(claim)
        try:
            return self._create(event, event.email, claim, deadline), "enrolled"
        except AccountExists as error:
            claim.attempt_started_at = LONG_AGO
            return self._existing(claim, deadline, error, resuming=resuming), "adopted"

    def _create(self, event: UserEvent, email: str, claim: Claim, deadline: Deadline) -> Account:
        deadline.ensure_a_call()
        claim.attempt_open = True
        try:
            return self.whop.create_account(
                parent=self.company,
                title=title(self.title_format, event),
                email=email,
                user_id=event.user_id,
                attempt=claim.attempt,
            )
        except Permanent as error:
            claim.attempt_open = isinstance(error, AccountExists)
            raise
        except Transient as error:
            claim.attempt_open = error.effect != "none" and not self.whop.create_is_repeatable
            raise
        finally:
            # Whop's list gets its time from when the account was made, and the call may have taken most of a minute.
            claim.attempt_started_at = self.clock()

    def _existing(self, claim: Claim, deadline: Deadline, error: AccountExists, *, resuming: bool) -> Account:
        """Title and external id name the user, so the account that has them should be an orphan, of whatever age."""
        orphan = self._find_orphan(claim, deadline, created_after=None)
        if orphan:
            return orphan
        if resuming:
            claim.attempt_open = False
            explanation = "Whop has an account like this already, and lists none that carries this user's id"
            raise Permanent(error.reason, explanation, answer=error.answer)
        raise AwaitsTurn("orphan_not_listed", retry_after=ORPHAN_WAIT_SECONDS)

    def _find_orphan(self, claim: Claim, deadline: Deadline, *, created_after: float | None) -> Account | None:
        return self.whop.find_account(
            parent=self.company,
            user_id=claim.user_id,
            created_after=created_after,
            before_page=deadline.ensure_a_call,
        )

    def _wait_for_orphan(self, claim: Claim) -> None:
        left = claim.attempt_started_at + ORPHAN_WAIT_SECONDS - self.clock()
        if left > 0:
            raise AwaitsTurn("orphan_not_listed", "an earlier create may still show up on Whop", retry_after=left)

    @staticmethod
    def _no_email(event: UserEvent) -> Permanent | Transient:
        if event.kind == "updated":
            return Transient("not_enrolled", "the user has no account on Whop and this event brings no e-mail for one")
        return Permanent("no_email", "Whop enrolls nobody without an e-mail; a later event that brings one will do")


def _earliest(claim: Claim) -> float | None:
    """When the orphan of an open attempt was made at the earliest, None if there is no telling."""
    started_at = claim.attempt_started_at
    return None if started_at == LONG_AGO else started_at - CLOCK_SKEW_SECONDS


def title(title_format: str, event: UserEvent) -> str:
    """The title of a user's connected account: unique by the user's id, since Whop refuses one title twice."""
    name = " ".join((event.profile.get("name") or "")[:MAX_NAME_LENGTH].split())
    return title_format.replace("{name}", name).replace("{user_id}", event.user_id).strip()
