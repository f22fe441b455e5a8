"""What has changed about a user for the platform, decided from what it knows and from what the row is about to say.

    known          the row says next    announced
    ─────          ─────────────────    ─────────
    nothing        an account           user.enrolled
    failed         an account           user.recovered
    deleted        an account           user.restored
    an account     suspended            user.suspended (also right after one of those above)
    suspended      active               user.restored
    anything       no account: failed   user.enrollment_failed, again for another reason
    anything       deleted              user.deleted, once the user is blanked and their mapping has ended

What the platform knows is compared, and not what the row said before: a state that is on its way for long, such as a
deletion, or that came about while nothing was announced, is announced once it holds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from whop_sync.accounts import Account
from whop_sync.announcements import Announcement, UserAnnouncement, announcement_id
from whop_sync.errors import SyncError
from whop_sync.events import Standing, standing_of
from whop_sync.users.mappings import Claim
from whop_sync.users.schema import Announced, AnnouncedState, Known, Row
from whop_sync.users.writes import Progress, email_differs

_GAINED: Mapping[AnnouncedState | None, UserAnnouncement] = {
    None: "user.enrolled",
    "failed": "user.recovered",
    "deleted": "user.restored",
    "suspended": "user.restored",
}
"""What is announced of a user who has an account and is not suspended any longer, by what the platform knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One change to announce, and what there is to say of it: ids and a reason."""

    type: UserAnnouncement
    data: Mapping[str, str] = field(default_factory=dict)


def known_before(row: Row) -> Known | None:
    """What the platform knows of a user. Where nothing was announced yet, that is what the row says: what was so before
    announcements were turned on is not announced. An account that was recorded and not shown yet was not so: a deletion
    records one and announces nothing of it."""
    if row.announced.known is not None or row.status in (None, "enrolling"):
        return row.announced.known
    if row.account is not None:
        return Known("suspended" if row.standing == "suspended" else "enrolled")
    if row.status == "deleted":
        return Known("deleted")
    return Known("failed", row.last_error) if row.status == "failed" else None


def with_account(announced: Announced, claim: Claim, account: Account, standing: Standing, *, at: float) -> Announced:
    """What is announced with an account that is about to be recorded. `standing` is what the event leads to."""
    known = _known_with_account(announced.known, standing)
    return _grown(announced, known, _of_state(announced.known, known, account), user_id=claim.user_id, at=at)


def with_commit(
    announced: Announced, claim: Claim, progress: Progress, refused: SyncError | None, *, at: float
) -> Announced:
    """What is announced with a commit. `refused` is why the picture of the event was refused for good."""
    known = _known_after(announced.known, claim.row, progress)
    transitions = list(_of_state(announced.known, known, progress.account))
    ids = _ids(progress.account)
    if email_differs(claim.row, progress) and not claim.row.email_differs:
        transitions.append(Transition(type="user.email_differs", data=ids))
    if refused is not None and not _was_refused(claim.row, progress, refused):
        transitions.append(Transition(type="picture.refused", data={**ids, "reason": refused.reason}))
    return _grown(announced, known, transitions, user_id=claim.user_id, at=at)


def _known_after(before: Known | None, row: Row, progress: Progress) -> Known | None:
    standing = standing_of({**row.positions, **progress.positions})
    if progress.account is not None:
        return _known_with_account(before, standing)
    if (progress.status or row.status) == "deleted":
        return Known("deleted")
    return Known("failed", progress.last_error) if progress.status == "failed" else before


def _known_with_account(before: Known | None, standing: Standing) -> Known | None:
    if standing == "deleted":  # while a deletion is under way, the user still is what the platform knows
        return before
    return Known("suspended" if standing == "suspended" else "enrolled")


def _of_state(before: Known | None, after: Known | None, account: Account | None) -> Sequence[Transition]:
    if after is None or after == before:
        return ()
    if after.state == "deleted":
        return (Transition(type="user.deleted"),)
    if after.state == "failed":
        return (Transition(type="user.enrollment_failed", data={"reason": str(after.reason)}),)
    gained = _GAINED.get(before.state if before else None)
    types: list[UserAnnouncement] = [gained] if gained else []
    if after.state == "suspended":
        types.append("user.suspended")
    return [Transition(type=type_, data=_ids(account)) for type_ in types]


def _was_refused(row: Row, progress: Progress, refused: SyncError) -> bool:
    """Whether an event before brought the same picture, and it was refused for the same reason."""
    last, now = row.positions.get("picture"), progress.positions.get("picture")
    is_same = last is not None and now is not None and last.content == now.content
    return is_same and row.last_error == refused.reason


def _ids(account: Account | None) -> Mapping[str, str]:
    if account is None:
        return {}
    company = {"whop_company_id": account.company_id} if account.company_id else {}
    return {"whop_user_id": account.whop_user_id, **company}


def _grown(
    announced: Announced, known: Known | None, transitions: Sequence[Transition], *, user_id: str, at: float
) -> Announced:
    added = tuple(
        Announcement(
            id=announcement_id(user_id, version, each.type),
            type=each.type,
            user_id=user_id,
            version=version,
            occurred_at=round(at, 3),  # as the row has it: a repetition from there says the same
            data=each.data,
        )
        for version, each in enumerate(transitions, start=announced.count + 1)
    )
    return replace(announced, count=announced.count + len(added), known=known, unsent=(*announced.unsent, *added))
