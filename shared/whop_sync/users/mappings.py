"""The UserMappings table: one row a platform user, holding identifiers, hashes, versions and times.

The row is the record of what is already done, for good. Two kinds of items share the table:

- `user#<platform user id>`: the mapping and the state of the user's profile,
- `whop_user#<user_...>`: which platform user a Whop user belongs to, at most one.

How two workers stay out of each other's way:

    worker A   claim ──── Whop ──── commit              claim takes the lease, in one conditional write
    worker B          claim: busy                       retried shortly
    worker B                         claim ── Whop ──   only what is newer than the row is claimed
    worker A   claim ──── (dies)                        its lease runs out
    worker B                    claim ── Whop ── commit
    worker A                          (wakes) ─✗        a write after the lease is refused, to Whop and to the row

Between claim and commit nobody can know what Whop shows, so a claim notes its fields as unsettled. A crash leaves the
note behind, and an unsettled field is written again even where the row says that it holds the right value.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from whop_sync.accounts import Account
from whop_sync.aws.boundary import aws_error_code, aws_errors
from whop_sync.errors import AwaitsTurn, Permanent, SyncError, Transient
from whop_sync.events import PROFILE_FIELDS, Position, ProfileField, UserEvent
from whop_sync.users.schema import user_key, whop_user_key

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

LEASE_SECONDS = 180
"""Longer than a worker's timeout, so that Lambda has ended a worker before its lease ends."""

BUSY_RETRY_SECONDS = 5

type _Item = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Avatar:
    """A picture we uploaded: the hash of its bytes and Whop's file. `attached` once it became the user's picture."""

    sha256: str
    file_id: str
    attached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What the row held before the claim."""

    account: Account | None = None
    positions: Mapping[ProfileField, Position] = field(default_factory=dict)
    unsettled: frozenset[ProfileField] = frozenset()
    avatar: Avatar | None = None
    enrollment_attempt: str | None = None
    enrollment_started_at: float | None = None
    picture_unavailable_since: float | None = None
    lease_until: float = 0.0

    def outranked_by(self, event: UserEvent, name: ProfileField) -> bool:
        return name not in self.positions or self.positions[name] < event.position(name)


@dataclass(slots=True, kw_only=True)
class Claim:
    """One user's row, ours until the deadline in Unix seconds: the end of the lease or of the worker.

    `attempt` names the open enrollment attempt. `attempt_open` says whether an account may exist on Whop that the row
    does not know of: true if an earlier worker left it so, and from the moment we ask Whop for one.
    """

    user_id: str
    lease_id: str
    deadline: float
    row: Row
    attempt: str
    attempt_open: bool
    attempt_started_at: float


@dataclass(slots=True, kw_only=True)
class Changes:
    """What a worker achieved, for the commit; what nobody changes stays as it was in the row.

    `unsettled` are fields whose value on Whop is not known for sure. `picture_unavailable_since`, in Unix seconds, is
    when the host of the newest picture first failed, None if it does not.
    """

    applied: dict[ProfileField, Position] = field(default_factory=dict)
    unsettled: frozenset[ProfileField] = frozenset()
    avatar: Avatar | None = None
    picture_unavailable_since: float | None = None
    picture_refused: SyncError | None = None

    @classmethod
    def none(cls, row: Row) -> "Changes":
        return cls(unsettled=row.unsettled, avatar=row.avatar, picture_unavailable_since=row.picture_unavailable_since)


class Mappings:
    """Every method raises Transient when DynamoDB does not take the call."""

    def __init__(self, client: "DynamoDBClient", table: str, clock: Callable[[], float]) -> None:
        self._client = client
        self._table = table
        self._clock = clock

    def claim(self, event: UserEvent, *, deadline: float) -> Claim | None:
        """Takes the user's lease if the event brings anything new; None if it brings nothing (stale or a duplicate).

        `deadline`, in Unix seconds, is when Lambda ends the worker, whatever the lease.
        Raises AwaitsTurn("busy") while another worker holds the lease.
        """
        now = self._clock()
        lease_id = uuid.uuid4().hex
        until = now + LEASE_SECONDS
        values: dict[str, Any] = {
            ":lease": {"S": lease_id},
            ":until": _number(until),
            ":now": _number(now),
            ":iso": _iso(now),
            ":user": {"S": event.user_id},
            ":event": {"S": event.event_id},
            ":enrolling": {"S": "enrolling"},
        }
        wanted = ["attribute_not_exists(whop_user_id)"]
        for name in event.profile:
            version, fingerprint = event.position(name)
            values |= {f":{name}_version": {"N": str(version)}, f":{name}_fingerprint": {"S": fingerprint}}
            wanted.append(
                f"attribute_not_exists({name}_version) OR {name}_version < :{name}_version"
                f" OR ({name}_version = :{name}_version AND {name}_fingerprint < :{name}_fingerprint)"
            )
        update = (
            "SET lease_id = :lease, lease_until = :until, user_id = :user, last_event_id = :event, updated_at = :iso,"
            " created_at = if_not_exists(created_at, :iso), #status = if_not_exists(#status, :enrolling),"
            " enrollment_attempt = if_not_exists(enrollment_attempt, :lease),"
            " enrollment_started_at = if_not_exists(enrollment_started_at, :now)"
        )
        if event.profile:
            values[":fields"] = {"SS": list(event.profile)}
            update += " ADD unsettled :fields"
        with aws_errors("dynamodb_unavailable"):
            try:
                old = self._client.update_item(
                    TableName=self._table,
                    Key=user_key(event.user_id),
                    UpdateExpression=update,
                    # Our own lease counts as free: after a lost answer the AWS SDK sends the same claim once more.
                    ConditionExpression=(
                        "(attribute_not_exists(lease_id) OR lease_until < :now OR lease_id = :lease)"
                        f" AND ({' OR '.join(wanted)})"
                    ),
                    ExpressionAttributeNames={"#status": "status"},
                    ExpressionAttributeValues=values,
                    ReturnValues="ALL_OLD",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                ).get("Attributes", {})
            except ClientError as error:
                if aws_error_code(error) != "ConditionalCheckFailedException":
                    raise
                row = _row(cast("_Item", error.response.get("Item", {})))
                if row.account and not any(row.outranked_by(event, name) for name in event.profile):
                    return None
                remaining = max(row.lease_until - now, 1.0)
                raise AwaitsTurn(
                    "busy", "another worker has this user", retry_after=min(remaining, BUSY_RETRY_SECONDS)
                ) from None
        row = _row(old)
        # Every claim notes an attempt, also the claim of an enrolled user: there it means nothing.
        resuming = row.account is None and row.enrollment_attempt not in (None, lease_id)
        return Claim(
            user_id=event.user_id,
            lease_id=lease_id,
            deadline=min(until, deadline),
            row=row,
            attempt=row.enrollment_attempt or lease_id,
            attempt_open=resuming,
            attempt_started_at=now if row.enrollment_started_at is None else row.enrollment_started_at,
        )

    def row(self, user_id: str) -> Row:
        """The user's row as it is now, an empty one if there is none."""
        with aws_errors("dynamodb_unavailable"):
            item = self._client.get_item(TableName=self._table, Key=user_key(user_id), ConsistentRead=True).get(
                "Item", {}
            )
        return _row(item)

    def doubt(self, user_id: str, name: ProfileField, position: Position) -> bool:
        """Lets the news that stands at this position be told once more, and no older one. False if the row has moved on
        or a worker has it.

        What Whop shows is no longer what it was told. So the row's fingerprint loses its last character: it then sorts
        right before what it was, behind all that it was ahead of, and equals the hash of no value.
        """
        with aws_errors("dynamodb_unavailable"):
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key=user_key(user_id),
                    UpdateExpression="SET #fingerprint = :doubted ADD unsettled :field",
                    ConditionExpression=(
                        "#version = :version AND #fingerprint IN (:fingerprint, :doubted)"
                        " AND (attribute_not_exists(lease_id) OR lease_until < :now)"
                    ),
                    ExpressionAttributeNames={"#version": f"{name}_version", "#fingerprint": f"{name}_fingerprint"},
                    ExpressionAttributeValues={
                        ":version": {"N": str(position.version)},
                        ":fingerprint": {"S": position.fingerprint},
                        ":doubted": {"S": position.fingerprint[:-1]},
                        ":field": {"SS": [name]},
                        ":now": _number(self._clock()),
                    },
                )
            except ClientError as error:
                if aws_error_code(error) == "ConditionalCheckFailedException":
                    return False
                raise
        return True

    def reopen_attempt(self, claim: Claim) -> None:
        """Counts the wait for an orphan from now, because Whop is about to be asked once more."""
        self._update_held(claim, {"enrollment_started_at": _number(self._clock())})

    def record_account(self, claim: Claim, account: Account) -> None:
        """Writes the mapping and its reverse in one transaction, before the profile is touched.

        Raises Permanent("whop_user_taken") if the Whop user belongs to another platform user already, which happens
        when two platform users have one e-mail.
        """
        company = {":company": {"S": account.company_id}} if account.company_id else {}
        with aws_errors("dynamodb_unavailable"):
            try:
                self._client.transact_write_items(
                    TransactItems=[
                        {
                            "Update": {
                                "TableName": self._table,
                                "Key": user_key(claim.user_id),
                                "UpdateExpression": "SET whop_user_id = :whop_user"
                                + (", whop_company_id = :company" if company else ""),
                                "ConditionExpression": "lease_id = :lease",
                                "ExpressionAttributeValues": {
                                    ":whop_user": {"S": account.whop_user_id},
                                    ":lease": {"S": claim.lease_id},
                                    **company,
                                },
                            }
                        },
                        {
                            "Put": {
                                "TableName": self._table,
                                "Item": {
                                    **whop_user_key(account.whop_user_id),
                                    "user_id": {"S": claim.user_id},
                                    "created_at": _iso(self._clock()),
                                },
                                "ConditionExpression": "attribute_not_exists(#key) OR user_id = :user",
                                "ExpressionAttributeNames": {"#key": "key"},
                                "ExpressionAttributeValues": {":user": {"S": claim.user_id}},
                            }
                        },
                    ]
                )
            except ClientError as error:
                cancelled = cast("Sequence[Mapping[str, str]]", error.response.get("CancellationReasons", []))
                reasons = [reason.get("Code") for reason in cancelled]
                if reasons and reasons[0] == "ConditionalCheckFailed":
                    raise _lease_lost() from None
                if reasons and reasons[1] == "ConditionalCheckFailed":
                    raise Permanent(
                        "whop_user_taken",
                        f"{account.whop_user_id} belongs to another platform user: do two users share an e-mail?",
                    ) from None
                raise

    def commit(self, claim: Claim, changes: Changes, *, error: SyncError | None = None) -> None:
        """Writes what was achieved and gives the lease back.

        After a request that may still be under way the lease is left to run out, so that it cannot land on top of
        what the next worker writes.
        """
        attributes: dict[str, Any] = {"updated_at": _iso(self._clock())}
        if not (isinstance(error, Transient) and error.effect == "pending"):
            attributes |= {"lease_id": None, "lease_until": None}
        if error is None:
            attributes["status"] = {"S": "synced"}
        elif isinstance(error, Permanent):
            attributes["status"] = {"S": "failed"}
        trouble, avatar, since = error or changes.picture_refused, changes.avatar, changes.picture_unavailable_since
        attributes |= {
            "last_error": {"S": trouble.reason} if trouble else None,
            "unsettled": {"SS": sorted(changes.unsettled)} if changes.unsettled else None,
            "avatar_sha256": {"S": avatar.sha256} if avatar else None,
            "avatar_file_id": {"S": avatar.file_id} if avatar else None,
            "avatar_attached": {"BOOL": avatar.attached} if avatar else None,
            "picture_unavailable_since": None if since is None else _number(since),
            "enrollment_started_at": _number(claim.attempt_started_at) if claim.attempt_open else None,
        }
        if not claim.attempt_open:
            attributes["enrollment_attempt"] = None
        for name, position in changes.applied.items():
            attributes[f"{name}_version"] = {"N": str(position.version)}
            attributes[f"{name}_fingerprint"] = {"S": position.fingerprint}
        self._update_held(claim, attributes)

    def _update_held(self, claim: Claim, attributes: Mapping[str, Any]) -> None:
        """Sets attributes of a row that is ours still, and takes out those whose value is None."""
        values = {f":{name}": value for name, value in attributes.items() if value is not None}
        removals = [f"#{name}" for name, value in attributes.items() if value is None]
        expression = "SET " + ", ".join(f"#{name[1:]} = {name}" for name in values)
        if removals:
            expression += " REMOVE " + ", ".join(removals)
        with aws_errors("dynamodb_unavailable"):
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key=user_key(claim.user_id),
                    UpdateExpression=expression,
                    ConditionExpression="lease_id = :lease",
                    ExpressionAttributeNames={f"#{name}": name for name in attributes},
                    ExpressionAttributeValues={**values, ":lease": {"S": claim.lease_id}},
                )
            except ClientError as error:
                if aws_error_code(error) == "ConditionalCheckFailedException":
                    raise _lease_lost() from None
                raise


def _row(item: _Item) -> Row:
    def text(name: str) -> str | None:
        return item[name]["S"] if name in item else None

    def number(name: str) -> float | None:
        return float(item[name]["N"]) if name in item else None

    whop_user_id, sha256, file_id = text("whop_user_id"), text("avatar_sha256"), text("avatar_file_id")
    unsettled = item["unsettled"]["SS"] if "unsettled" in item else []
    return Row(
        account=Account(whop_user_id, text("whop_company_id")) if whop_user_id else None,
        positions={
            name: Position(int(item[f"{name}_version"]["N"]), item[f"{name}_fingerprint"]["S"])
            for name in PROFILE_FIELDS
            if f"{name}_version" in item
        },
        unsettled=frozenset(name for name in PROFILE_FIELDS if name in unsettled),
        avatar=Avatar(sha256, file_id, attached=item["avatar_attached"]["BOOL"]) if sha256 and file_id else None,
        enrollment_attempt=text("enrollment_attempt"),
        enrollment_started_at=number("enrollment_started_at"),
        picture_unavailable_since=number("picture_unavailable_since"),
        lease_until=number("lease_until") or 0.0,
    )


def _number(seconds: float) -> dict[str, str]:
    return {"N": f"{seconds:.3f}"}


def _iso(seconds: float) -> dict[str, str]:
    return {"S": datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")}


def _lease_lost() -> Transient:
    return Transient("lease_lost", "another worker took the user's row over")
