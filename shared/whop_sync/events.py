"""The one event this application is about: something happened to a user of the platform."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

type Kind = Literal["created", "updated", "suspended", "restored", "deleted"]
type Standing = Literal["active", "suspended", "deleted"]
type ProfileField = Literal["name", "picture"]

PROFILE_FIELDS: tuple[ProfileField, ...] = ("name", "picture")

MAX_USER_ID_LENGTH = 255


class Position(NamedTuple):
    """Where a field's value stands in the total order of all values that field may ever be told.

    Newer means: higher version, then updated over created, then the higher fingerprint. The last two only make every
    order of arrival end the same; equal in all three is the same news told twice.
    """

    version: int
    fingerprint: str

    @property
    def content(self) -> str:
        """The part of the fingerprint that tells two values apart, whichever kind of event brought them."""
        return self.fingerprint.partition(":")[2]


def content_hash(value: str | None) -> str:
    return "none" if value is None else hashlib.sha256(value.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class UserEvent:
    """A user-created or profile-updated event, the same whichever platform sent it.

    - `event_id`: the sender's delivery id, for people who search; nothing is decided by it.
    - `version`: integer microseconds of the user's updated-at, else of the event; never of the signature, which is
      renewed at every attempt.
    - `event_time`: integer microseconds of when the event happened, 0 where nothing signed and no honest time of
      receipt says so.
    - `standing`: what the event says of the user's standing, None if it does not speak of it.
    - `profile`: only the fields the event speaks of. A missing key means unknown, None means cleared.
    - `whop_user_id`: set when the user came by Whop sign-in and so has a Whop account already.
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

    def position(self, of: ProfileField) -> Position:
        # "created" sorts before "updated", so text order is the order wanted.
        return Position(self.version, f"{self.kind}:{content_hash(self.profile[of])}")

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
            or not isinstance(stored.get("event_time", 0), int)
            or not all(isinstance(stored[name], str) for name in ("event_id", "user_id"))
            or not isinstance(stored["version"], int)
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
