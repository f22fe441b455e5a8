"""What a platform believes that takes announcements as it should: each id once, in the order of versions."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from whop_sync.announcements import Announcement, announcement_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """What is believed of one user, or what their row says."""

    state: str | None = None
    whop_user_id: str | None = None
    whop_company_id: str | None = None
    reason: str | None = None


_ENROLLED = frozenset({"user.enrolled", "user.recovered", "user.restored"})
_SPEAKING = _ENROLLED | {"user.suspended", "user.enrollment_failed", "user.deleted"}


def believed(announcements: Iterable[Announcement]) -> Belief:
    """What announcements about one user add up to, in whatever order and however often they came."""
    last = max(
        (each for each in announcements if each.type in _SPEAKING), key=lambda each: each.version or 0, default=None
    )
    if last is None:
        return Belief()
    if last.type == "user.deleted":
        return Belief(state="deleted")
    if last.type == "user.enrollment_failed":
        return Belief(state="failed", reason=last.data["reason"])
    return Belief(
        state="enrolled" if last.type in _ENROLLED else "suspended",
        whop_user_id=last.data["whop_user_id"],
        whop_company_id=last.data.get("whop_company_id"),
    )


def said(row: Mapping[str, Any]) -> Belief:
    """What a row says, with plain values."""
    if "whop_user_id" in row:
        return Belief(
            state="suspended" if row.get("standing") == "suspended" else "enrolled",
            whop_user_id=row["whop_user_id"],
            whop_company_id=row.get("whop_company_id"),
        )
    if row.get("status") == "deleted":
        return Belief(state="deleted")
    return Belief(state="failed", reason=row.get("last_error")) if row.get("status") == "failed" else Belief()


def flaws(row: Mapping[str, Any], announcements: Iterable[Announcement]) -> list[str]:
    """What is wrong with what was sent about one user, in view of their row; nothing, if all is well."""
    count, announcements = int(row.get("announced", 0)), list(announcements)
    ids: dict[int, set[str]] = {}
    for each in announcements:
        ids.setdefault(each.version or 0, set()).add(each.id)
    found = []
    if missing := [version for version in range(1, count + 1) if version not in ids]:
        found.append(f"never sent, though recorded: {missing}")
    if unknown := [version for version in ids if not 1 <= version <= count]:
        found.append(f"sent, though not recorded: {unknown}")
    if ambiguous := [version for version, theirs in ids.items() if len(theirs) > 1]:
        found.append(f"sent under several ids: {ambiguous}")
    if any(each.id != announcement_id(str(each.user_id), each.version or 0, each.type) for each in announcements):  # type: ignore[arg-type]
        found.append("an id that is not made of user, version and type")
    if "unannounced" in row:
        found.append("something is still to be sent")
    return found


def first_missed(past: Iterable[Mapping[str, Any]], announcements: Iterable[Announcement]) -> str | None:
    """The first state that a row had and that was not announced in its turn. `past` is the row after each write; while
    a worker has it, or a deletion is under way, its state is not settled."""
    settled = [row for row in past if not {"lease_id", "unannounced"} & set(row)]
    held = [said(row).state for row in settled if row.get("standing") != "deleted" or row.get("status") == "deleted"]
    states = [state for state, _ in itertools.groupby(state for state in held if state is not None)]
    speaking = sorted({each.version or 0: each for each in announcements if each.type in _SPEAKING}.items())
    in_turn = iter([believed([each]).state for _, each in speaking])
    return next((state for state in states if state not in in_turn), None)
