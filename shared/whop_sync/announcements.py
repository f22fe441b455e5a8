"""What the platform learns: one announcement for each change of a user's state that it can act on."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, Self

type UserAnnouncement = Literal[
    "user.enrolled",
    "user.enrollment_failed",
    "user.recovered",
    "user.suspended",
    "user.restored",
    "user.deleted",
    "user.email_differs",
    "picture.refused",
]


_ID = re.compile(r"[!-~]{1,256}", re.ASCII)
"""It goes into a header."""
_END_OF_TIME = 253402300800
"""The year 10000, which no text of a time reaches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """One thing that happened to one user. It holds ids, reasons, versions and times: no e-mail, no name, no URL.

    Attributes:
        id: the same however often it is sent; a receiver that has seen it is done with it.
        type: a `UserAnnouncement`, or `whop.` and the name of an event of Whop.
        user_id: the platform's id of the user. None until the account that an event of Whop names is looked up.
        version: counts the announcements about this user, from 1: the higher one is the later. None for Whop's events,
            which Whop sends in no order.
        occurred_at: Unix seconds.
        data: what else there is to say, such as `whop_user_id`, `whop_company_id` or `reason`.
    """

    id: str
    type: str
    user_id: str | None
    version: int | None
    occurred_at: float
    data: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises ValueError, KeyError or TypeError for a text that `to_json` did not write."""
        values = json.loads(text)
        id_, user_id, version, data = (values[name] for name in ("id", "user_id", "version", "data"))
        occurred_at = float(values["occurred_at"])
        if not _ID.fullmatch(id_) or not 0 <= occurred_at < _END_OF_TIME:
            raise ValueError
        if not isinstance(user_id, str | None) or not isinstance(data, dict):
            raise TypeError
        return cls(
            id=id_,
            type=str(values["type"]),
            user_id=user_id,
            version=None if version is None else int(version),
            occurred_at=occurred_at,
            data={name: str(value) for name, value in data.items()},
        )


def announcement_id(user_id: str, version: int, type_: UserAnnouncement) -> str:
    """The id of an announcement about a user: made of who and what, so that a repetition has the same."""
    digest = hashlib.sha256(json.dumps([user_id, version, type_]).encode()).hexdigest()
    return f"msg_{digest[:32]}"
