"""What the platform was sent of its users, held against what their rows count."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from local_stack.announced import Announced

ENROLLED = ("user.enrolled", "user.recovered", "user.restored")
STATES = (*ENROLLED, "user.enrollment_failed", "user.suspended", "user.deleted")
"""The types that say how a user stands; the others say something beside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """Of users who all are enrolled in the end.

    Attributes:
        came: all that was taken, repetitions among it.
        repeated: how much of it came before.
        silent: users about whom nothing came.
        lost: announcements that a row counts and that never came.
        unrecorded: those that came and that no row counts.
        wrong: users whose last state, by version, is not that they are enrolled.
    """

    came: int
    repeated: int
    silent: int
    lost: int
    unrecorded: int
    wrong: int

    @property
    def hold(self) -> bool:
        return not (self.silent or self.lost or self.unrecorded or self.wrong)

    @classmethod
    def of(cls, recorded: Mapping[str, int], taken: Sequence[Announced]) -> Self:
        """`recorded` is how many announcements the row of each user counts. Their versions are 1 and so on."""
        ids = Counter(each.id for each in taken)
        types: defaultdict[str, dict[int, str]] = defaultdict(dict)
        for each in taken:
            if each.version is not None:
                types[each.user_id][each.version] = each.type
        counted = {user_id: set(range(1, count + 1)) for user_id, count in recorded.items()}
        return cls(
            came=len(taken),
            repeated=len(taken) - len(ids),
            silent=sum(user_id not in types for user_id in recorded),
            lost=sum(len(versions - set(types[user_id])) for user_id, versions in counted.items()),
            unrecorded=sum(len(set(came) - counted.get(user_id, set())) for user_id, came in types.items()),
            wrong=sum(_last_state(types[user_id]) not in ENROLLED for user_id in recorded),
        )


def _last_state(types: Mapping[int, str]) -> str | None:
    return next((types[version] for version in sorted(types, reverse=True) if types[version] in STATES), None)
