"""The way of one event through a worker, whichever queue it came from: claim the row, do what is missing, commit."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import Literal

from whop_sync.accounts import Account
from whop_sync.announcements import Announcement
from whop_sync.batches.retries import RETRIES, RetryPolicy
from whop_sync.errors import AwaitsTurn, Permanent, SyncError, Transient
from whop_sync.events import FIELDS, PROFILE_FIELDS, Field, Position, ProfileField, Standing, UserEvent, standing_of
from whop_sync.syncing.deadlines import Deadline
from whop_sync.syncing.enrollment import Absent, Enrollment, Located, NotLocated, Origin
from whop_sync.syncing.profiles import Fetched, Profiles
from whop_sync.syncing.transitions import known_before, with_account, with_commit
from whop_sync.users.mappings import Busy, Claim, Mappings
from whop_sync.users.schema import Announced, Shown, Status
from whop_sync.users.writes import Progress, email_differs
from whop_sync.whop.client import CALL_SECONDS

type Announce = Callable[[Announcement], None]
"""Puts an announcement into its queue. Raises Transient."""

type SyncOutcome = Origin | Literal["synced", "stale", "suspended", "restored", "deleted", "no_email"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of an event.

    Attributes:
        refused: the values that were refused for good, and why.
        email_differs: whether this event is the first to bring another e-mail than that of the user's account.
    """

    outcome: SyncOutcome
    refused: Mapping[ProfileField, SyncError] = field(default_factory=dict)
    email_differs: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """The event is done: what to commit, and the result."""

    progress: Progress
    result: Result


@dataclass(frozen=True, slots=True, kw_only=True)
class _NotDone:
    """The event is not done: what to commit all the same, and why. `refused` is what was refused for good before."""

    progress: Progress
    error: SyncError
    refused: Mapping[ProfileField, SyncError] = field(default_factory=dict)


type _Step = _Done | _NotDone


@dataclass(frozen=True, slots=True, kw_only=True)
class _Enrolled:
    """The user has an account now, and the row says so."""

    progress: Progress
    account: Account
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """One claimed event, and what follows from it alone. `announced` is what was before it."""

    event: UserEvent
    claim: Claim
    age: float
    deadline: Deadline
    newer: frozenset[Field]
    announced: Announced

    @property
    def positions(self) -> Mapping[Field, Position]:
        """The positions of what the event says that is newer than the row."""
        return {name: self.event.positions[name] for name in self.newer}

    @property
    def standing(self) -> Standing:
        """The user's standing with this event."""
        return standing_of({**self.claim.row.positions, **self.positions})

    @property
    def is_stale(self) -> bool:
        """Whether the row was claimed only for what it has to announce."""
        return self.claim.row.is_settled and not self.newer

    @property
    def is_deletion_under_way(self) -> bool:
        row = self.claim.row
        return row.standing == "deleted" and row.account is not None

    @property
    def is_unfinished(self) -> bool:
        """Whether Whop may show a user of whom the row has no account: one whose create got no answer, or one who was
        about to return from a deletion."""
        row = self.claim.row
        return self.claim.attempt.is_open or (row.former is not None and row.standing != "deleted")

    @property
    def profile(self) -> Mapping[ProfileField, tuple[str | None, Position]]:
        """The values to bring to Whop, with their positions.

        A deletion clears both fields. One that is under way when a newer event revives the user still clears what is
        older than it.
        """
        row, event = self.claim.row, self.event
        profile = {
            name: (None if event.is_deletion else event.profile[name], event.positions[name])
            for name in PROFILE_FIELDS
            if name in self.newer
        }
        if self.is_deletion_under_way:
            cleared = replace(row.positions["standing"], content="none")
            for name in PROFILE_FIELDS:
                if name not in profile and (name not in row.positions or row.positions[name] < cleared):
                    profile[name] = (None, cleared)
        return profile

    def unchanged(self) -> Progress:
        """Progress that leaves the row as it is."""
        row = self.claim.row
        return Progress(
            shown=row.shown,
            attempt=self.claim.attempt,
            account=row.account,
            enrolled_email=row.enrolled_email,
            last_error=row.last_error,
            announced=self.announced,
        )

    def bookkeeping(self) -> Mapping[Field, Position]:
        """What needs no call to Whop."""
        return {name: position for name, position in self.positions.items() if name not in PROFILE_FIELDS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Synchronization:
    """
    Attributes:
        announce: None where nothing is announced to the platform.
        call_seconds: the longest that a call to Whop takes with this client, from the wait for its slot on.
    """

    mappings: Mappings
    enrollment: Enrollment
    profiles: Profiles
    clock: Callable[[], float]
    retries: RetryPolicy = RETRIES
    announce: Announce | None = None
    call_seconds: float = CALL_SECONDS

    def handle(self, event: UserEvent, *, age: float, deadline: float) -> Result:
        """Doing it twice changes nothing. Raises Transient and Permanent.

        `age` of the event is in seconds, `deadline` of the worker in Unix seconds.
        """
        claim = self.mappings.claim(event, deadline=deadline, is_repeatable=self.enrollment.is_repeatable)
        if claim is None:
            return Result(outcome="stale")
        if isinstance(claim, Busy):
            wait = min(claim.seconds_left, self.retries.busy_wait)
            raise AwaitsTurn("busy", "another worker has this user", retry_after=wait)
        task = _Task(
            event=event,
            claim=claim,
            age=age,
            deadline=Deadline(at=claim.deadline, clock=self.clock, call_seconds=self.call_seconds),
            newer=claim.row.outranked_fields(event),
            announced=replace(claim.row.announced, known=known_before(claim.row), unsent=()),
        )
        self._announce_left_over(task)
        if task.is_stale:
            step: _Step = _Done(progress=task.unchanged(), result=Result(outcome="stale"))
        else:
            step = self._delete(task) if task.standing == "deleted" else self._synchronize(task)
        self._commit(task, step)
        if isinstance(step, _NotDone):
            raise step.error
        return step.result

    # -- the commit, and what is announced with it -----------------------------------------------------------------

    def _announce_left_over(self, task: _Task) -> None:
        """Announces what an earlier worker recorded and may not have sent. Raises Transient."""
        left_over = task.claim.row.announced
        try:
            self._send(left_over)
        except Transient:
            self.mappings.commit(task.claim, replace(task.unchanged(), announced=None))
            raise

    def _commit(self, task: _Task, step: _Step) -> None:
        """Commits a step. What there is to announce is recorded by the same write, sent, and then taken out."""
        claim, progress = task.claim, self._announcing(task, step)
        if progress.status == "deleted":
            self.mappings.bury(claim, progress)
        else:
            self.mappings.commit(claim, progress)
        if progress.announced is None or not progress.announced.unsent:
            return
        try:
            self._send(progress.announced)
        except Transient:
            with suppress(Transient):  # else the lease runs out
                self.mappings.release(claim, progress, is_announced=False)
            raise
        self.mappings.release(claim, progress, is_announced=True)

    def _announcing(self, task: _Task, step: _Step) -> Progress:
        """The step's progress with what it announces; with None where the row has it already, or has nothing."""
        progress, row = step.progress, task.claim.row
        announced = progress.announced
        if announced is not None and self.announce is not None:
            refused = (step.result if isinstance(step, _Done) else step).refused.get("picture")
            announced = with_commit(announced, task.claim, progress, refused, at=self.clock())
        is_new = announced is not None and announced.count > row.announced.count
        return replace(progress, announced=announced if is_new or row.announced.unsent else None)

    def _send(self, announced: Announced) -> Announced:
        """Sends what is unsent, in order. Raises Transient."""
        for announcement in announced.unsent:
            if self.announce is not None:
                self.announce(announcement)
        return replace(announced, unsent=())

    # -- a user who is there ---------------------------------------------------------------------------------------

    def _synchronize(self, task: _Task) -> _Step:
        row, account, origin = task.claim.row, task.claim.row.account, None
        progress, fetched = task.unchanged(), None
        if account is None:
            with self._fetching(task) as fetched:
                enrolled = self._enroll(task)
            if not isinstance(enrolled, _Enrolled):
                return enrolled
            progress, account, origin = enrolled.progress, enrolled.account, enrolled.origin
        profile = task.profile
        if task.is_deletion_under_way and "name" not in profile:
            try:
                self.profiles.lift_placeholder(account, task.deadline)
            except (Transient, Permanent) as error:
                return self._failed(task, progress, error)
        values = {name: value for name, (value, _) in profile.items()}
        applied = self.profiles.apply(values, account, row, task.deadline, age=task.age, fetched=fetched)
        settled: dict[Field, Position] = {name: profile[name][1] for name in applied.settled}
        progress = replace(progress, shown=applied.shown, positions=settled)
        if applied.failure is not None:
            return replace(self._failed(task, progress, applied.failure), refused=applied.refused)
        refusal = next(iter(applied.refused.values()), None)
        progress = _with_first_email(
            replace(
                progress,
                positions={**settled, **task.bookkeeping()},
                attempt=None,
                status="synced",
                last_error=refusal.reason if refusal else None,
            )
        )
        result = Result(
            outcome=origin or _change_of_standing(task) or "synced",
            refused=applied.refused,
            email_differs=email_differs(row, progress) and not row.email_differs,
        )
        return _Done(progress=progress, result=result)

    def _fetching(self, task: _Task) -> AbstractContextManager[Fetched | None]:
        """Fetches the picture of someone who signs up while their account is made.

        After an enrollment that failed it is fetched when there is an account: it would be fetched in vain at each try.
        """
        is_first_try = task.claim.row.status in (None, "no_email")
        enrolls = is_first_try and task.event.kind != "suspended" and (task.event.email or task.event.whop_user_id)
        url, _ = task.profile.get("picture", (None, None))
        if url is None or not enrolls or not task.deadline.allows_a_call():
            return nullcontext()
        return self.profiles.fetching(url)

    def _enroll(self, task: _Task) -> _Enrolled | _Step:
        """Finds or makes the user's account and records it.

        A suspension enrolls no user. It only gives back the account from before a deletion, so that orders end alike.
        """
        if task.event.kind == "suspended" and task.claim.row.former is None:
            return self._without_account(task)
        located = self.enrollment.locate(task.event, task.claim, task.deadline)
        if located is None:
            return self._without_account(task)
        progress = replace(task.unchanged(), attempt=located.attempt)
        if isinstance(located, NotLocated):
            return self._failed(task, progress, located.error)
        progress = replace(progress, enrolled_email=located.enrolled_email)
        try:
            name, _ = task.profile.get("name", (None, None))
            if name is None:
                self.profiles.lift_placeholder(located.account, task.deadline)
        except (Transient, Permanent) as error:
            return self._failed(task, progress, error)
        return self._record(task, progress, located)

    def _record(self, task: _Task, progress: Progress, located: Located) -> _Enrolled | _NotDone:
        """Records the user's account, and announces it at once: the profile may take a while."""
        account, announced = located.account, task.announced
        if self.announce is not None:
            announced = with_account(announced, task.claim, account, task.standing, at=self.clock())
        to_record = announced if announced.unsent else None
        try:
            self.mappings.record_account(task.claim, account, located.enrolled_email, to_record)
        except Permanent as error:
            return self._failed(task, progress, self._patient(error, account, task.age))
        except Transient as error:
            # The mapping may be written all the same, with what is announced of it, and no later answer says by which
            # e-mail it came about.
            return self._failed(task, replace(progress, announced=None), error)
        with suppress(Transient):  # it is sent again after the commit
            announced = self._send(announced)
        mapped = replace(progress, account=account, attempt=None, announced=announced)
        return _Enrolled(progress=mapped, account=account, origin=located.origin)

    def _patient(self, error: Permanent, account: Account, age: float) -> SyncError:
        """The deletion that sets a Whop user free may be on its way for an hour. One that is under way may take longer:
        Whop is down, or the deletion itself waits for a return."""
        if error.reason != "whop_user_taken":
            return error
        is_awaited = age < self.retries.arrival_patience or self.mappings.is_being_freed(account.whop_user_id)
        return AwaitsTurn(error.reason, error.explanation) if is_awaited else error

    def _without_account(self, task: _Task) -> _Step:
        """Without an e-mail Whop enrolls no user, and a suspension enrolls none either. The event that does may be on
        its way, and this one's name and picture are kept nowhere else, so it waits."""
        row = task.claim.row
        if task.event.is_deletion:  # an older one than the row's standing: what it clears was never shown
            progress = replace(task.unchanged(), positions=task.positions)
            return _Done(progress=progress, result=Result(outcome="stale"))
        is_bare = task.event.email is None and task.event.whop_user_id is None
        progress = task.unchanged()
        if is_bare and row.status != "failed":
            progress = replace(progress, status="no_email", last_error=None)
        elif row.status == "deleted":
            progress = replace(progress, status="enrolling")
        has_more = bool(task.event.profile) or task.event.kind in ("created", "updated")
        if has_more and task.age < self.retries.arrival_patience:
            waiting = _awaited_email() if is_bare else _awaited_enrollment()
            # The standing counts at once: an older deletion that arrives meanwhile must find it.
            said: dict[Field, Position] = {
                name: position for name, position in task.bookkeeping().items() if name in ("standing", "flag")
            }
            return _NotDone(progress=replace(progress, positions=said), error=waiting)
        outcome: SyncOutcome = "suspended" if task.event.kind == "suspended" else "no_email"
        return _Done(progress=replace(progress, positions=task.bookkeeping()), result=Result(outcome=outcome))

    # -- a user who is gone ----------------------------------------------------------------------------------------

    def _delete(self, task: _Task) -> _Step:
        """Shows the user as deleted and leaves a tombstone: nothing that is older than it ever revives them."""
        row, event = task.claim.row, task.event
        is_early = task.age < self.retries.arrival_patience
        if not event.is_deletion:
            # A change after the deletion shows that the user is about to return. Its name and picture are kept nowhere
            # else, nor what it may enroll them by, so it waits for the event that revives them.
            if is_early and task.newer - {"flag"}:
                return _NotDone(progress=task.unchanged(), error=_awaited_return())
            progress = replace(task.unchanged(), positions=task.bookkeeping())
            return _Done(progress=progress, result=Result(outcome="stale"))
        deletion = {**row.positions, **task.positions}["standing"]
        cleared: dict[Field, Position] = dict.fromkeys(PROFILE_FIELDS, replace(deletion, content="none"))
        refusal: SyncError | None = None
        if "standing" in task.newer and (row.account is not None or task.is_unfinished):
            self.mappings.note_standing(task.claim, deletion)
        adopted = self._adopt(task) if task.is_unfinished else task.unchanged()
        if isinstance(adopted, _NotDone):
            return adopted
        account = adopted.account
        if account is not None:
            if is_early and any(row.positions[name] > deletion for name in PROFILE_FIELDS if name in row.positions):
                # The same, with the change come first: once blanked, what it said would be lost.
                return _NotDone(progress=adopted, error=_awaited_return())
            try:
                refusal = self.profiles.blank(account, task.deadline)
            except (Transient, Permanent) as error:
                if error.reason != "whop_not_found":
                    unknown = replace(row.shown, unsettled=frozenset(PROFILE_FIELDS))
                    return self._failed(task, replace(adopted, shown=unknown), error)
        progress = replace(
            adopted,
            positions={**task.positions, **(cleared if account is not None else {}), "standing": deletion},
            shown=Shown(),
            account=None,
            former=account,
            status="deleted",
            last_error=refusal.reason if refusal else None,
        )
        return _Done(progress=progress, result=Result(outcome="deleted"))

    def _adopt(self, task: _Task) -> Progress | _NotDone:
        """Records the account of a user who leaves before the row has it, so that they are shown as deleted too.

        If its owner is another platform user's, Whop shows what the events of that one say.
        """
        located = self.enrollment.adopt(task.claim, task.deadline)
        progress = replace(task.unchanged(), attempt=located.attempt)
        if isinstance(located, NotLocated):
            return self._failed(task, progress, located.error)
        if isinstance(located, Absent):
            return progress
        recorded = self._record(task, replace(progress, enrolled_email=located.enrolled_email), located)
        if isinstance(recorded, _Enrolled):
            return recorded.progress
        return progress if recorded.error.reason == "whop_user_taken" else recorded

    # -- an event that is not done ---------------------------------------------------------------------------------

    def _failed(self, task: _Task, progress: Progress, error: SyncError) -> _NotDone:
        """What to commit of an event that is not done, or never will be.

        Of a user who had no account before, the e-mail and the Whop user are not recorded: an event may come again for
        these alone. The standing is: a user whose Whop user is taken is no longer deleted all the same.
        """
        row = task.claim.row
        recorded = set(FIELDS if row.account is not None else ("standing", "flag"))
        kept = {name: position for name, position in task.bookkeeping().items() if name in recorded}
        is_pending = isinstance(error, Transient) and error.effect == "pending"
        committed = replace(
            progress,
            positions={**progress.positions, **kept},
            status=self._status_after(task, progress, error),
            last_error=error.reason,
            is_pending=is_pending,
        )
        return _NotDone(progress=committed, error=error)

    def _status_after(self, task: _Task, progress: Progress, error: SyncError) -> Status | None:
        """A user is failed by what is permanent, and without an account also by an event that is given up."""
        if isinstance(error, Permanent):
            return "failed"
        # Where it is not known what is announced, it is not known either whether the account is recorded.
        is_without_account = progress.account is None and progress.announced is not None
        if is_without_account and isinstance(error, Transient) and self.retries.gives_up(error, task.age):
            return "failed"
        if task.claim.row.status in ("deleted", "no_email") and task.standing != "deleted":
            return "enrolling"
        return None


def _awaited_return() -> AwaitsTurn:
    return AwaitsTurn("user_deleted", "the user is deleted, and no event has revived them")


def _awaited_email() -> AwaitsTurn:
    return AwaitsTurn("no_email", "the user has no account on Whop and this event brings no e-mail for one")


def _awaited_enrollment() -> AwaitsTurn:
    return AwaitsTurn("user_suspended", "the user has no account on Whop, and a suspension makes none")


def _with_first_email(progress: Progress) -> Progress:
    """An account whose e-mail is not known is taken to have the first one that an event brings."""
    email = progress.positions.get("email")
    if progress.account is None or progress.account.company_id is None or progress.enrolled_email or email is None:
        return progress
    return progress if email.content == "none" else replace(progress, enrolled_email=email.content)


def _change_of_standing(task: _Task) -> SyncOutcome | None:
    """What the event made of the standing of an enrolled user."""
    before, after = task.claim.row.standing, task.standing
    if before == after:
        return None
    return "suspended" if after == "suspended" else "restored"
