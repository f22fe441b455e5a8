"""Exactly one connected account a user, ever, on an API whose older create call promises no idempotency.

    the row notes an attempt ── POST /companies ── the mapping is recorded
                                     │
                                     └─ refused (4xx): the attempt is closed, nothing exists
                                     └─ no good answer: the attempt stays open, an account may exist (an orphan)

An open attempt is never followed by a second create before the orphan was looked for in the parent's list, and before
the list had two minutes to show it. Both go by Whop's own clock. Besides, the title is unique under the parent, and
Whop refuses a title twice.

The newer create call, POST /accounts, answers the account that a user has already. It may be repeated at once, so
nothing is looked for before it. If a user's e-mail changed between two such calls, Whop refuses the second, and the
account is found by the user's id. An attempt of the older call is looked for and waited out also after the stack has
moved to the newer one.

A search remembers how far it came, and one that came to its end leaves only younger accounts to the next. So it ends
however many accounts the parent has.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from whop_sync.accounts import Account
from whop_sync.errors import AwaitsTurn, Permanent, SyncError, Transient
from whop_sync.events import MAX_NAME_LENGTH, UserEvent, email_hash
from whop_sync.syncing.deadlines import Deadline
from whop_sync.users.mappings import LEASE_SECONDS, Claim, Mappings
from whop_sync.users.schema import Attempt
from whop_sync.whop.client import AccountExists, Whop

ORPHAN_WAIT_SECONDS = 120
"""How long Whop's list is given to show an account that a lost create may have made. Its lag is not known."""

CLOCK_SKEW_SECONDS = 300
"""How far Whop's clock may be from ours, as long as no answer of Whop has shown its own."""

CLOCK_GRAIN_SECONDS = 2
"""What a Date header leaves out, and a little."""

ANY_AGE = 0.0

SHORT_NAME_LENGTH = 20
"""Of a name in a title that Whop refused for its length."""

type Origin = Literal["enrolled", "adopted", "mapped"]
"""How a user got their account: created for them, found as an orphan, or brought along from Whop sign-in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """The user's account at Whop, not yet recorded. The attempt is open while it may be unknown to the row."""

    account: Account
    origin: Origin
    attempt: Attempt
    enrolled_email: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotLocated:
    """Why there is no account yet, and the attempt as it is now."""

    error: SyncError
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Absent:
    """No account is there: none was asked for, or none is listed and the list had its time."""

    attempt: Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrollment:
    whop: Whop
    mappings: Mappings
    company: str
    title_format: str
    clock: Callable[[], float]

    @property
    def is_repeatable(self) -> bool:
        return self.whop.create_is_repeatable

    def locate(self, event: UserEvent, claim: Claim, deadline: Deadline) -> Located | NotLocated | None:
        """Finds or makes the account of the claimed user, who has none in the row.

        None if there is nothing to enroll them by: no e-mail, no Whop user, no account from before a deletion.
        """
        if (former := _former(claim)) is not None:
            return former
        attempt, email, whop_user_id = claim.attempt, event.email, event.whop_user_id
        if email is None and whop_user_id is None:
            return None
        try:
            if attempt.is_open and (whop_user_id is not None or not self._is_repeated(attempt)):
                found = self._search(claim, attempt, deadline)
                if not isinstance(found, Absent):
                    return found
                attempt = found.attempt
            if whop_user_id is not None:
                self.whop.user(whop_user_id, company=self.company)  # refuses an id that Whop does not know
                account = Account(whop_user_id, company_id=None)
                return Located(account=account, origin="mapped", attempt=attempt)
            return None if email is None else self._create(event, email, claim, attempt, deadline)
        except (Transient, Permanent) as error:
            return NotLocated(error=error, attempt=attempt)

    def adopt(self, claim: Claim, deadline: Deadline) -> Located | NotLocated | Absent:
        """Finds the account that the claimed user may have, who has none in the row, and makes none: the one from
        before a deletion, or the one of a lost create."""
        attempt = claim.attempt
        if (former := _former(claim)) is not None:
            return former
        if not attempt.is_open:
            return Absent(attempt)
        try:
            return self._search(claim, attempt, deadline)
        except (Transient, Permanent) as error:
            return NotLocated(error=error, attempt=attempt)

    def _is_repeated(self, attempt: Attempt) -> bool:
        """Whether the create of an open attempt is just sent again: the answer is the account that there is."""
        return attempt.is_repeatable and self.is_repeatable and not attempt.is_conflict

    # -- making one ------------------------------------------------------------------------------------------------

    def _create(
        self, event: UserEvent, email: str, claim: Claim, attempt: Attempt, deadline: Deadline
    ) -> Located | NotLocated:
        if attempt.is_open and self._is_repeated(attempt):
            # Whop may keep the key of a lost call for a day, and answer nothing else to it.
            attempt = replace(attempt, id=claim.lease_id)
        elif attempt.is_open:
            attempt = replace(attempt, started_at=self.clock(), wait_from=None, is_repeatable=False)
            self.mappings.reopen_attempt(claim, attempt)
        refusal: SyncError = Permanent("whop_refused", "Whop refuses every title")
        for title in titles(self.title_format, event):
            deadline.ensure_a_call()
            try:
                account = self.whop.create_account(
                    parent=self.company, title=title, email=email, user_id=event.user_id, attempt=attempt.id
                )
            except AccountExists as error:
                return self._existing(claim, attempt, error, deadline)
            except Permanent as error:
                refusal = error
                if not _is_about_title(error):
                    break
            except Transient as error:
                return NotLocated(error=error, attempt=self._after(attempt, error))
            else:
                made = replace(attempt, is_open=True)
                hashed = email_hash(event.user_id, email)
                return Located(account=account, origin="enrolled", attempt=made, enrolled_email=hashed)
        is_open = attempt.is_open and self._is_repeated(attempt)
        return NotLocated(error=refusal, attempt=replace(attempt, is_open=is_open))

    def _after(self, attempt: Attempt, error: Transient) -> Attempt:
        """The attempt after a create that may have made an account."""
        return replace(
            attempt,
            # What an earlier create may have made is there all the same, where it was not looked for.
            is_open=error.effect != "none" or (attempt.is_open and self._is_repeated(attempt)),
            is_repeatable=attempt.is_repeatable and self.is_repeatable,
            wait_from=error.answer.at if error.answer else None,
        )

    def _existing(
        self, claim: Claim, attempt: Attempt, error: AccountExists, deadline: Deadline
    ) -> Located | NotLocated:
        """Title and external id name the user, so the account that has them should be an orphan, of whatever age."""
        was_known = attempt.is_conflict
        at = error.answer.at if error.answer else None
        conflict = replace(
            attempt,
            is_open=True,
            is_conflict=True,
            search_from=attempt.search_from if was_known else ANY_AGE,
            wait_from=self.clock() if at is None else at,
        )
        found = self._search(claim, conflict, deadline)
        is_unlisted = isinstance(found, NotLocated) and found.error.reason == "orphan_not_listed"
        if not isinstance(found, Absent) and not (is_unlisted and was_known):
            return found
        explanation = "Whop has an account like this already, and lists none that carries this user's id"
        refusal = Permanent(error.reason, explanation, answer=error.answer)
        return NotLocated(error=refusal, attempt=replace(attempt, is_open=False))

    # -- looking for one -------------------------------------------------------------------------------------------

    def _search(self, claim: Claim, attempt: Attempt, deadline: Deadline) -> Located | NotLocated | Absent:
        """Looks for the orphan of an open attempt. Absent only if the list had its time before the search began."""
        search = self.whop.find_account(
            parent=self.company,
            user_id=claim.user_id,
            created_after=_earliest(attempt),
            cursor=attempt.cursor,
            has_time=deadline.allows_a_call,
        )
        if search.account is not None:
            hashed = email_hash(claim.user_id, search.email) if search.email else None
            return Located(account=search.account, origin="adopted", attempt=attempt, enrolled_email=hashed)
        now = self.clock() if search.began_at is None else search.began_at
        began_at = now if attempt.scan_began_at is None else attempt.scan_began_at
        if search.interruption is not None:
            came_far = search.cursor is not None
            interrupted = replace(attempt, cursor=search.cursor, scan_began_at=began_at if came_far else None)
            return NotLocated(error=search.interruption, attempt=interrupted)
        # What was made two minutes before this search began would have been listed.
        # A worker that got no answer with Whop's time asked for the account while it had its lease, if at all.
        latest = min(began_at, attempt.started_at + LEASE_SECONDS + CLOCK_SKEW_SECONDS)
        wait_from = latest if attempt.wait_from is None else attempt.wait_from
        searched = replace(
            attempt,
            cursor=None,
            scan_began_at=None,
            search_from=max(_earliest(attempt) or ANY_AGE, began_at - ORPHAN_WAIT_SECONDS - CLOCK_GRAIN_SECONDS),
            wait_from=wait_from,
        )
        left = wait_from + ORPHAN_WAIT_SECONDS - began_at
        if left > 0:
            waiting = AwaitsTurn("orphan_not_listed", "an earlier create may still show up on Whop", retry_after=left)
            return NotLocated(error=waiting, attempt=searched)
        return Absent(searched)


def _former(claim: Claim) -> Located | None:
    """The account from before a deletion. Whop was asked for no other since."""
    row = claim.row
    if row.former is None:
        return None
    return Located(account=row.former, origin="adopted", attempt=claim.attempt, enrolled_email=row.enrolled_email)


def _earliest(attempt: Attempt) -> float | None:
    """When the orphan of an open attempt was made at the earliest, None if it may be of any age."""
    if attempt.search_from is None:
        return attempt.started_at - CLOCK_SKEW_SECONDS
    return attempt.search_from or None


def _is_about_title(error: Permanent) -> bool:
    """Whether Whop may have refused a title: it names it in `param` (documented for the older call) or, assumed, in
    words. An answer that cannot be read may mean the title too, and another one is harmless after a refusal."""
    answer = error.answer
    if answer is None:
        return False
    is_silent = answer.param is None and answer.message is None
    return is_silent or answer.param == "title" or "title" in (answer.message or "").lower()


def titles(title_format: str, event: UserEvent) -> Iterator[str]:
    """The titles to try for a user's connected account, in case that Whop refuses a long one. Each is unique by the
    user's id, since Whop refuses one title twice."""
    name = " ".join((event.profile.get("name") or "")[:MAX_NAME_LENGTH].split())
    long, short = (_title(title_format, event, each) for each in (name, name[:SHORT_NAME_LENGTH].rstrip()))
    yield from dict.fromkeys((long, short, event.user_id))


def _title(title_format: str, event: UserEvent, name: str) -> str:
    return title_format.replace("{name}", name).replace("{user_id}", event.user_id).strip()
