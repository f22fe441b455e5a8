"""What workers write into the row of a user, as DynamoDB takes it. Decided here, written by `mappings`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict

from whop_sync.accounts import Account
from whop_sync.events import PROFILE_FIELDS, UNDATED, Field, Position, UserEvent, standing_of
from whop_sync.users.schema import (
    ERASED_ATTRIBUTES,
    Announced,
    Attempt,
    Attributes,
    Row,
    Shown,
    Status,
    announced_attributes,
    attempt_attributes,
    iso,
    number,
    position_attribute,
)

_FREE: Attributes = {"lease_id": None, "lease_until": None}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RowUpdate(TypedDict):
    """The parts of an UpdateItem, or of an Update in a transaction, that say what is written and on which condition
    (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateItem.html)."""

    UpdateExpression: str
    ConditionExpression: str
    ExpressionAttributeNames: dict[str, str]
    ExpressionAttributeValues: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a worker achieved, for the commit.

    Attributes:
        positions: of the fields that are settled now.
        shown: what is known now of what Whop shows.
        attempt: the enrollment attempt as it is now.
        account: who the user is on Whop now.
        former: who they were until this deletion, with which their mapping ends.
        enrolled_email: the salted hash of the e-mail of their connected account, None if not known.
        status: what the row is to say; None leaves it as it is.
        last_error: what the row is to say of what went wrong.
        is_pending: whether a request to Whop may still be under way. The lease is then left to run out, so that the
            request cannot take effect on top of what the next worker writes.
        announced: what is announced about the user; None leaves it as it is. As long as some of it is unsent, the
            lease is kept.
    """

    positions: Mapping[Field, Position] = field(default_factory=dict)
    shown: Shown = field(default_factory=Shown)
    attempt: Attempt | None = None
    account: Account | None = None
    former: Account | None = None
    enrolled_email: str | None = None
    status: Status | None = None
    last_error: str | None = None
    is_pending: bool = False
    announced: Announced | None = None


def email_differs(row: Row, progress: Progress) -> bool:
    """Whether the newest e-mail is another one than that of the user's connected account."""
    newest = {**row.positions, **progress.positions}.get("email")
    has_account = progress.account is not None and progress.account.company_id is not None
    return (
        has_account
        and newest is not None
        and newest.content != "none"
        and progress.enrolled_email not in (None, newest.content)
    )


def sign_in_differs(row: Row, progress: Progress) -> bool:
    """Whether the platform names another Whop user than the one the user has."""
    newest = {**row.positions, **progress.positions}.get("sign_in")
    account = progress.account
    return newest is not None and account is not None and newest.content not in ("none", account.whop_user_id)


def claim_update(event: UserEvent, *, lease_id: str, now: float, lease_until: float, is_repeatable: bool) -> RowUpdate:
    """Takes a free lease of a row that lacks something: an account, an end, what the event says, or an announcement.

    Times are in Unix seconds. `is_repeatable` is noted with the enrollment attempt that the claim begins.
    """
    wanted = [
        "attribute_not_exists(whop_user_id) AND (attribute_not_exists(#standing) OR #standing <> :deleted)",
        "attribute_exists(whop_user_id) AND (#standing = :deleted OR #status = :enrolling)",
        "attribute_exists(unannounced)",
    ]
    values: dict[str, Any] = {
        ":lease": {"S": lease_id},
        ":until": number(lease_until),
        ":now": number(now),
        ":iso": iso(now),
        ":user": {"S": event.user_id},
        ":event": {"S": event.event_id},
        ":enrolling": {"S": "enrolling"},
        ":repeatable": {"BOOL": is_repeatable},
        ":deleted": {"S": "deleted"},
    }
    for name, position in event.positions.items():
        attribute = position_attribute(name)
        values[f":{attribute}"] = {"S": str(position)}
        wanted.append(f"attribute_not_exists({attribute}) OR {attribute} < :{attribute}")
    update = (
        "SET lease_id = :lease, lease_until = :until, user_id = :user, last_event_id = :event, updated_at = :iso,"
        " created_at = if_not_exists(created_at, :iso), #status = if_not_exists(#status, :enrolling),"
        " enrollment_attempt = if_not_exists(enrollment_attempt, :lease),"
        " enrollment_repeatable = if_not_exists(enrollment_repeatable, :repeatable),"
        " enrollment_started_at = if_not_exists(enrollment_started_at, :now)"
    )
    if profile := [name for name in PROFILE_FIELDS if name in event.positions]:
        values[":fields"] = {"SS": profile}
        update += " ADD unsettled :fields"
    earlier = " AND ".join(f"attribute_not_exists({name}_version)" for name in PROFILE_FIELDS)
    # Our own lease counts as free: after a lost answer the AWS SDK sends the same claim once more.
    is_free = "attribute_not_exists(lease_id) OR lease_until < :now OR lease_id = :lease"
    is_wanted = " OR ".join(f"({each})" for each in wanted)
    return {
        "UpdateExpression": update,
        "ConditionExpression": f"({is_free}) AND {earlier} AND ({is_wanted})",
        "ExpressionAttributeNames": {"#status": "status", "#standing": "standing"},
        "ExpressionAttributeValues": values,
    }


def commit_attributes(row: Row, progress: Progress, *, now: float) -> Attributes:
    """What a commit writes into a claimed row, which held `row` before. `now` is in Unix seconds."""
    avatar, since = progress.shown.avatar, progress.shown.picture_unavailable_since
    announced = progress.announced
    return {
        "updated_at": iso(now),
        **({} if progress.is_pending or (announced and announced.unsent) else _FREE),
        **(announced_attributes(announced) if announced else {}),
        **({"status": {"S": progress.status}} if progress.status else {}),
        "last_error": {"S": progress.last_error} if progress.last_error else None,
        "unsettled": {"SS": sorted(progress.shown.unsettled)} if progress.shown.unsettled else None,
        "avatar_sha256": {"S": avatar.sha256} if avatar else None,
        "avatar_file_id": {"S": avatar.file_id} if avatar else None,
        "avatar_attached": {"BOOL": avatar.attached} if avatar else None,
        "picture_unavailable_since": None if since is None else number(since),
        "enrolled_email": {"S": progress.enrolled_email} if progress.enrolled_email else None,
        "email_differs": {"BOOL": True} if email_differs(row, progress) else None,
        "sign_in_differs": {"BOOL": True} if sign_in_differs(row, progress) else None,
        **attempt_attributes(progress.attempt),
        **position_attributes(progress.positions),
        **standing_attributes(row, progress.positions),
    }


def tombstone_attributes(row: Row, account: Account, progress: Progress, *, now: float) -> Attributes:
    """What the commit of a deletion writes: the mapping ends, and who the user was is kept for their return."""
    return {
        **commit_attributes(row, progress, now=now),
        "whop_user_id": None,
        "whop_company_id": None,
        "former_whop_user_id": {"S": account.whop_user_id},
        "former_whop_company_id": {"S": account.company_id} if account.company_id else None,
    }


def erased_attributes(row: Row, positions: Mapping[Field, Position], *, now: float) -> Attributes:
    """What leaves nothing but a tombstone of a row. `positions` are those of the deletion."""
    return {
        **dict.fromkeys(ERASED_ATTRIBUTES),
        "status": {"S": "deleted"},
        "updated_at": iso(now),
        **position_attributes(positions),
        **standing_attributes(row, positions),
    }


def mapping_attributes(account: Account, enrolled_email: str | None, announced: Announced | None) -> Attributes:
    """What records an account. What was kept from before a deletion ends with it. Until a commit says otherwise, the
    enrollment is not done, whatever the row said before."""
    return {
        "status": {"S": "enrolling"},
        "whop_user_id": {"S": account.whop_user_id},
        "whop_company_id": {"S": account.company_id} if account.company_id else None,
        "enrolled_email": {"S": enrolled_email} if enrolled_email else None,
        "former_whop_user_id": None,
        "former_whop_company_id": None,
        **(announced_attributes(announced) if announced else {}),
    }


def released_attributes(*, is_announced: bool, is_pending: bool) -> Attributes:
    """What gives a lease back that a commit kept. Nothing, if a request to Whop may still be under way and what was
    announced has to stay."""
    return {
        **({"unannounced": None} if is_announced else {}),
        **({} if is_pending else _FREE),
    }


def position_attributes(positions: Mapping[Field, Position]) -> Attributes:
    return {position_attribute(name): {"S": str(position)} for name, position in positions.items()}


def standing_attributes(row: Row, positions: Mapping[Field, Position]) -> Attributes:
    """The standing that follows, and since when it holds: the time of the event that said so, if it had one."""
    if not {"standing", "flag"} & positions.keys():
        return {}
    merged = {**row.positions, **positions}
    standing = standing_of(merged)
    attributes: Attributes = {"standing": {"S": standing}}
    if standing == row.standing and row.standing_since is not None:
        return attributes
    said = [merged[name] for name in ("standing", "flag") if name in merged and merged[name].content == standing]
    if not said or max(said).time == UNDATED:
        return attributes
    try:
        since = _EPOCH + timedelta(microseconds=max(said).time)
    except OverflowError:  # a year that no calendar here has
        return attributes
    return {**attributes, "standing_since": iso(since)}


def update_of(attributes: Attributes, condition: str, values: Mapping[str, Any]) -> RowUpdate:
    """An update that sets attributes, and takes out those whose value is None."""
    present = {name: value for name, value in attributes.items() if value is not None}
    set_ = [f"#{name} = :{name}" for name in present]
    removed = [f"#{name}" for name, value in attributes.items() if value is None]
    clauses = (("SET", set_), ("REMOVE", removed))
    return {
        "UpdateExpression": " ".join(f"{action} {', '.join(names)}" for action, names in clauses if names),
        "ConditionExpression": condition,
        "ExpressionAttributeNames": {f"#{name}": name for name in attributes},
        "ExpressionAttributeValues": {**{f":{name}": value for name, value in present.items()}, **values},
    }
