"""The one event this application is about: something happened to a user of the platform."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Self, get_args

type Kind = Literal["created", "updated", "suspended", "restored", "deleted"]
type Standing = Literal["active", "suspended", "deleted"]
type ProfileField = Literal["name", "picture"]
type Field = Literal["name", "picture", "standing", "flag", "email", "sign_in"]
"""What an event may speak of. Each is versioned on its own.

`standing` is what the life-cycle events say, `flag` what a flag inside an update says of it, `sign_in` the Whop user
that the platform names.
"""

PROFILE_FIELDS: tuple[ProfileField, ...] = ("name", "picture")
FIELDS: tuple[Field, ...] = ("name", "picture", "standing", "flag", "email", "sign_in")

MAX_USER_ID_LENGTH = 255

MAX_NAME_LENGTH = 100
"""Characters of a name that Whop takes: documented for the older form of PATCH /users, assumed for ours
(https://docs.whop.com/api-reference/users/update-user)."""

INLINE_PICTURE = "data:,"
"""Stands for a picture that is not at an address but in the body: the shortest data: URL, which holds nothing."""

MAX_MICROSECONDS = 10**18
"""Versions and times lie between this and its negative: 31,688 years on both sides of 1970."""

UNDATED = 1_000_000
"""The version of a row of an import that has no time: one second after 1970 began, older than every webhook."""

_RANKS: Mapping[Kind, int] = {"created": 0, "updated": 1, "restored": 2, "suspended": 3, "deleted": 4}

# What the kinds say of the standing where the event itself says nothing.
_IMPLIED: Mapping[Kind, Standing] = {
    "created": "active",
    "restored": "active",
    "suspended": "suspended",
    "deleted": "deleted",
}

_NOTHING = "none"


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where one value of a field stands in the total order of all values of that field.

    Newer means: the higher version, then the later event, then the kind of the higher rank, then the greater content.
    The last two only make every order of arrival end alike. Equal in all four is the same statement, received twice.

    Attributes:
        version: microseconds of the user's updated-at.
        event_time: microseconds of the event, 0 if unknown.
        rank: of the event's kind: created < updated < restored < suspended < deleted.
        content: distinguishes two values of the field, whichever event brought them.
    """

    version: int
    event_time: int
    rank: int
    content: str

    def __str__(self) -> str:
        """The position as text, which sorts as positions do."""
        version, event_time = (f"{number + MAX_MICROSECONDS:019d}" for number in (self.version, self.event_time))
        return f"{version}.{event_time}.{self.rank}.{self.content}"

    @classmethod
    def of(cls, text: str) -> Self:
        version, event_time, rank, content = text.split(".", 3)
        return cls(int(version) - MAX_MICROSECONDS, int(event_time) - MAX_MICROSECONDS, int(rank), content)

    @property
    def kind(self) -> Kind:
        return next(kind for kind, rank in _RANKS.items() if rank == self.rank)

    @property
    def time(self) -> int:
        """The time of the statement in microseconds, as far as the event has one."""
        return self.event_time or self.version


def is_data_url(value: str) -> bool:
    """Whether it is a picture itself (https://www.rfc-editor.org/rfc/rfc2397) and not the address of one."""
    return value[:5].lower() == "data:"


def content_hash(value: str | None) -> str:
    return _NOTHING if value is None else hashlib.sha256(value.encode()).hexdigest()[:32]


def email_hash(user_id: str, email: str) -> str:
    """A hash that is salted with the user's id: equal addresses of two users cannot be recognized."""
    return hashlib.sha256(f"{user_id}\0{email.casefold()}".encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class UserEvent:
    """An event about one user, the same whichever platform sent it.

    Attributes:
        event_id: the sender's delivery id, for people who search; nothing is decided by it.
        version: integer microseconds of the user's updated-at, else of the event; never of the signature, which is
            renewed at every attempt.
        event_time: integer microseconds of when the event happened, 0 where nothing signed and no honest time of
            receipt says so.
        standing: what the event says of the user's standing, None if it does not speak of it.
        profile: only the fields the event speaks of. A missing key means unknown, None means cleared.
        whop_user_id: set when the user came by Whop sign-in and so has a Whop account already.
    """

    kind: Kind
    event_id: str
    user_id: str
    version: int
    event_time: int = 0
    standing: Standing | None = None
    email: str | None = None
    profile: Mapping[ProfileField, str | None] = field(default_factory=dict)
    whop_user_id: str | None = None

    @property
    def order(self) -> tuple[int, int, int]:
        """Sorts the events of one user."""
        return self.version, self.event_time, _RANKS[self.kind]

    @property
    def is_deletion(self) -> bool:
        return (self.standing or _IMPLIED.get(self.kind)) == "deleted"

    @property
    def positions(self) -> Mapping[Field, Position]:
        """The position of each field that the event speaks of.

        A deletion speaks of all of them: what was known of the user before does not come back with them.
        """
        return {name: Position(*self.order, content) for name, content in self._contents().items()}

    def _contents(self) -> dict[Field, str]:
        if self.is_deletion:
            return {name: "deleted" if name == "standing" else _NOTHING for name in FIELDS}
        contents: dict[Field, str] = {name: content_hash(value) for name, value in self.profile.items()}
        standing = self.standing or _IMPLIED.get(self.kind)
        if standing is not None:
            contents["flag" if self.kind == "updated" else "standing"] = standing
        if self.email is not None:
            contents["email"] = email_hash(self.user_id, self.email)
        if self.whop_user_id is not None:
            contents["sign_in"] = self.whop_user_id
        return contents

    def to_json(self) -> str:
        return json.dumps(
            {
                "kind": self.kind,
                "event_id": self.event_id,
                "user_id": self.user_id,
                "version": self.version,
                "event_time": self.event_time,
                "standing": self.standing,
                "email": self.email,
                "profile": dict(self.profile),
                "whop_user_id": self.whop_user_id,
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> "UserEvent":
        """Reads what `to_json` wrote. Raises ValueError, KeyError or TypeError on anything else."""
        stored = json.loads(text)
        profile = stored["profile"]
        if (
            not isinstance(profile, dict)
            or stored["kind"] not in get_args(Kind.__value__)
            or stored.get("standing") not in (None, *get_args(Standing.__value__))
            or not all(_is_time(time) for time in (stored["version"], stored.get("event_time", 0)))
            or not all(isinstance(stored[name], str) for name in ("event_id", "user_id"))
            or not all(isinstance(stored[name], str | None) for name in ("email", "whop_user_id"))
            or not all(name in PROFILE_FIELDS and isinstance(value, str | None) for name, value in profile.items())
        ):
            raise ValueError("not an event as it is stored")
        return cls(
            kind=stored["kind"],
            event_id=stored["event_id"],
            user_id=stored["user_id"],
            version=stored["version"],
            event_time=stored.get("event_time", 0),  # absent from messages that an earlier version queued
            standing=stored.get("standing"),
            email=stored["email"],
            profile=profile,
            whop_user_id=stored["whop_user_id"],
        )


def standing_of(positions: Mapping[Field, Position]) -> Standing:
    """The standing that a user's fields say: the newest wins, but a flag inside an update never revives the deleted."""
    lifecycle, flag = positions.get("standing"), positions.get("flag")
    said = [each for each in (lifecycle, flag) if each is not None and each.content != _NOTHING]
    if not said or (lifecycle is not None and lifecycle.content == "deleted"):
        return "deleted" if said else "active"
    return "suspended" if max(said).content == "suspended" else "active"


def _is_time(value: object) -> bool:
    return isinstance(value, int) and abs(value) < MAX_MICROSECONDS
