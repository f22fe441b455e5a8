"""The UserMappings table: its keys and attributes, stated once for all who read or write it.

Five kinds of items share the table:

- `user#<platform user id>`: the row of a user. It is the record of what is already done, for good, and holds
  identifiers, hashes, versions and times: no name, no e-mail, no URL.
- `whop_user#<user_...>`: the reverse item, which platform user a Whop user belongs to, at most one,
- `whop_account#<biz_...>`: the same for the connected account, so that Whop's own webhooks find their user,
- `turns#<operation>`: the token bucket of one Whop operation, named in the words of an earlier version,
- `whop_webhook#<announcement id>`: one of Whop's own webhooks that was announced. The only kind that expires.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypedDict

from whop_sync import times
from whop_sync.accounts import Account
from whop_sync.announcements import Announcement, announcement_id
from whop_sync.events import FIELDS, PROFILE_FIELDS, Field, Position, ProfileField, Standing, UserEvent, standing_of

type Status = Literal["enrolling", "synced", "failed", "no_email", "deleted"]

type AnnouncedState = Literal["enrolled", "suspended", "failed", "deleted"]
"""A user's state as the platform knows it from announcements. The suspended have an account, the failed have none."""

type Item = Mapping[str, Mapping[str, Any]]
"""An item as DynamoDB returns it."""

type Attributes = Mapping[str, Mapping[str, Any] | None]
"""Attributes to set, as DynamoDB takes them; None takes the attribute out of the item."""


class Text(TypedDict):
    """A text as DynamoDB takes it."""

    S: str


type Key = dict[str, Text]


def user_key(user_id: str) -> Key:
    return {"key": {"S": f"user#{user_id}"}}


def whop_user_key(whop_user_id: str) -> Key:
    return {"key": {"S": f"whop_user#{whop_user_id}"}}


def whop_account_key(company_id: str) -> Key:
    return {"key": {"S": f"whop_account#{company_id}"}}


def rate_limit_key(operation: str) -> Key:
    return {"key": {"S": f"turns#{operation}"}}


def whop_webhook_key(announcement_id: str) -> Key:
    return {"key": {"S": f"whop_webhook#{announcement_id}"}}


EXPIRY_ATTRIBUTE = "expires_at"
"""The table's time to live. A row never has it: an old delivery would enroll its user once more."""


def position_attribute(name: Field) -> str:
    return f"{name}_position"


@dataclass(frozen=True, slots=True)
class Avatar:
    """A picture we uploaded: the hash of its bytes and Whop's file. `attached` once it became the user's picture."""

    sha256: str
    file_id: str
    attached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What is known of what Whop shows.

    Attributes:
        unsettled: fields whose value on Whop is not known for sure. They are written again, whatever the row says.
        picture_unavailable_since: when the host of the newest picture first failed, in Unix seconds, None if it does
            not.
    """

    unsettled: frozenset[ProfileField] = frozenset()
    avatar: Avatar | None = None
    picture_unavailable_since: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt to enroll a user. It is open while an account may exist on Whop that the row does not know of.

    All times are Unix seconds. Where the search for that account starts and since when the list had time to show it
    are two things: an account of any age may have to be waited for.

    Attributes:
        id: part of the Idempotency-Key.
        is_repeatable: whether it was made by the call that may be sent again without a second account.
        started_at: when it was noted, by the worker's clock.
        search_from: the account is not older than this, by Whop's clock; 0 means of any age; None means not known.
        wait_from: since when Whop's list had time to show the account, by Whop's clock; None means not known.
        is_conflict: Whop refused a create because the account exists.
        cursor: how far an interrupted search has come.
        scan_began_at: when that search began, by Whop's clock.
    """

    id: str
    is_open: bool
    is_repeatable: bool
    started_at: float
    search_from: float | None = None
    wait_from: float | None = None
    is_conflict: bool = False
    cursor: str | None = None
    scan_began_at: float | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What the platform knows of a user's state, and, of a failed enrollment, why."""

    state: AnnouncedState
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """What is announced about a user: an outbox, written together with the changes that it speaks of.

    Attributes:
        count: of all announcements there ever were; the version of the last one.
        known: what the last of them that speaks of the user's state says, None if there is none.
        unsent: those that may not be in the queue yet.
    """

    count: int = 0
    known: Known | None = None
    unsent: tuple[Announcement, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is recorded about a user.

    Attributes:
        account: who the user is on Whop, None until they are enrolled and after they were deleted.
        former: who they were before they were deleted.
        enrolled_email: the salted hash of the e-mail that their connected account has, None if not known.
        attempt: the enrollment attempt that a worker noted and did not close.
    """

    account: Account | None = None
    former: Account | None = None
    positions: Mapping[Field, Position] = field(default_factory=dict)
    standing: Standing = "active"
    standing_since: str | None = None
    status: Status | None = None
    shown: Shown = field(default_factory=Shown)
    enrolled_email: str | None = None
    email_differs: bool = False
    attempt: Attempt | None = None
    last_error: str | None = None
    lease_until: float = 0.0
    announced: Announced = field(default_factory=Announced)

    def outranked_fields(self, event: UserEvent) -> frozenset[Field]:
        """The fields of which the event says something newer."""
        return frozenset(
            name
            for name, position in event.positions.items()
            if name not in self.positions or self.positions[name] < position
        )

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing left to do but for newer events: a user who is enrolled, or one who is gone."""
        if self.account is None:
            return self.standing == "deleted"
        return self.standing != "deleted" and self.status != "enrolling"


def read_row(item: Item) -> Row:
    """Reads an item, also one that an earlier version wrote. An empty one is an empty row."""

    def text(name: str) -> str | None:
        return item[name]["S"] if name in item else None

    def number(name: str) -> float | None:
        return float(item[name]["N"]) if name in item else None

    def flag(name: str) -> bool:
        return name in item and bool(item[name]["BOOL"])

    def account(prefix: str) -> Account | None:
        whop_user_id = text(f"{prefix}whop_user_id")
        return Account(whop_user_id, text(f"{prefix}whop_company_id")) if whop_user_id else None

    positions = read_positions(item)
    sha256, file_id = text("avatar_sha256"), text("avatar_file_id")
    unsettled = item["unsettled"]["SS"] if "unsettled" in item else []
    attempt_id, started_at = text("enrollment_attempt"), number("enrollment_started_at")
    standing: Any = text("standing") or standing_of(positions)
    status: Any = text("status")
    return Row(
        account=account(""),
        former=account("former_"),
        positions=positions,
        standing=standing,
        standing_since=text("standing_since"),
        status=status,
        shown=Shown(
            unsettled=frozenset(name for name in PROFILE_FIELDS if name in unsettled),
            avatar=Avatar(sha256, file_id, attached=flag("avatar_attached")) if sha256 and file_id else None,
            picture_unavailable_since=number("picture_unavailable_since"),
        ),
        enrolled_email=text("enrolled_email"),
        email_differs=flag("email_differs"),
        attempt=Attempt(
            id=attempt_id,
            is_open=True,
            is_repeatable=flag("enrollment_repeatable"),
            started_at=started_at or 0.0,
            search_from=0.0 if started_at == 0.0 else number("enrollment_search_from"),
            wait_from=number("enrollment_wait_from"),
            is_conflict=flag("enrollment_conflict"),
            cursor=text("enrollment_cursor"),
            scan_began_at=number("enrollment_scan_began_at"),
        )
        if attempt_id
        else None,
        last_error=text("last_error"),
        lease_until=number("lease_until") or 0.0,
        announced=_read_announced(item),
    )


def _read_announced(item: Item) -> Announced:
    state: Any = item["announced_state"]["S"] if "announced_state" in item else None
    reason = item["announced_reason"]["S"] if "announced_reason" in item else None
    unsent = item["unannounced"]["L"] if "unannounced" in item else []
    return Announced(
        count=int(item["announced"]["N"]) if "announced" in item else 0,
        known=Known(state, reason) if state else None,
        unsent=tuple(_read_announcement(item["user_id"]["S"], entry["M"]) for entry in unsent),
    )


def _read_announcement(user_id: str, entry: Item) -> Announcement:
    version, type_ = int(entry["version"]["N"]), entry["type"]["S"]
    return Announcement(
        id=announcement_id(user_id, version, type_),
        type=type_,
        user_id=user_id,
        version=version,
        occurred_at=float(entry["occurred_at"]["N"]),
        data={name: value["S"] for name, value in entry["data"]["M"].items()},
    )


def announced_attributes(announced: Announced) -> Attributes:
    known = announced.known
    return {
        "announced": {"N": str(announced.count)},
        "announced_state": {"S": known.state} if known else None,
        "announced_reason": {"S": known.reason} if known and known.reason else None,
        "unannounced": {"L": [_announcement(each) for each in announced.unsent]} if announced.unsent else None,
    }


def _announcement(announcement: Announcement) -> Mapping[str, Any]:
    return {
        "M": {
            "type": {"S": announcement.type},
            "version": {"N": str(announcement.version)},
            "occurred_at": number(announcement.occurred_at),
            "data": {"M": {name: {"S": value} for name, value in announcement.data.items()}},
        }
    }


def read_positions(item: Item) -> Mapping[Field, Position]:
    """The position of each field. An earlier version wrote a version and a fingerprint, `<kind>:<content>`, of two."""
    positions = {
        name: Position.of(item[position_attribute(name)]["S"]) for name in FIELDS if position_attribute(name) in item
    }
    for name in PROFILE_FIELDS:
        if name not in positions and f"{name}_version" in item:
            kind, _, content = item[f"{name}_fingerprint"]["S"].partition(":")
            positions[name] = Position(int(item[f"{name}_version"]["N"]), 0, int(kind == "updated"), content)
    return positions


def earlier_attributes(item: Item) -> frozenset[str]:
    """The attributes of an item in whose place an earlier version's claim knows no others."""
    return frozenset(item) & {f"{name}_{part}" for name in PROFILE_FIELDS for part in ("version", "fingerprint")}


def number(seconds: float) -> dict[str, str]:
    return {"N": f"{seconds:.3f}"}


def iso(when: datetime | float) -> Text:
    return {"S": times.iso(when)}


def attempt_attributes(attempt: Attempt | None) -> Attributes:
    """The attributes of an open attempt, or what takes a closed one out of the row."""
    if attempt is None or not attempt.is_open:
        return dict.fromkeys(_ATTEMPT_ATTRIBUTES)

    def optional(seconds: float | None) -> dict[str, str] | None:
        return None if seconds is None else number(seconds)

    return {
        "enrollment_attempt": {"S": attempt.id},
        "enrollment_repeatable": {"BOOL": True} if attempt.is_repeatable else None,
        "enrollment_started_at": number(attempt.started_at),
        "enrollment_search_from": optional(attempt.search_from),
        "enrollment_wait_from": optional(attempt.wait_from),
        "enrollment_conflict": {"BOOL": True} if attempt.is_conflict else None,
        "enrollment_cursor": {"S": attempt.cursor} if attempt.cursor else None,
        "enrollment_scan_began_at": optional(attempt.scan_began_at),
    }


_ATTEMPT_ATTRIBUTES = (
    "enrollment_attempt",
    "enrollment_repeatable",
    "enrollment_started_at",
    "enrollment_search_from",
    "enrollment_wait_from",
    "enrollment_conflict",
    "enrollment_cursor",
    "enrollment_scan_began_at",
)

ERASED_ATTRIBUTES = (
    *_ATTEMPT_ATTRIBUTES,
    "lease_id",
    "lease_until",
    "whop_user_id",
    "whop_company_id",
    "former_whop_user_id",
    "former_whop_company_id",
    "enrolled_email",
    "email_differs",
    "sign_in_differs",
    "unsettled",
    "avatar_sha256",
    "avatar_file_id",
    "avatar_attached",
    "picture_unavailable_since",
    "last_event_id",
    "last_error",
    "created_at",
    "announced_state",
    "announced_reason",
    "unannounced",
)
"""All that an erased row no longer has. What stays is its key, the user's id, the tombstone, and the number of
announcements: should the user come back, a lower version would be taken for an older one."""
