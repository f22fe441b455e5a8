"""How workers take and write the row of a user. `schema` says what it holds, `writes` what is written into it.

How two workers stay out of each other's way:

    worker A   claim ──── Whop ──── commit              claim takes the lease, in one conditional write
    worker B          claim: busy                       retried shortly
    worker B                         claim ── Whop ──   only what is newer than the row is claimed
    worker A   claim ──── (dies)                        its lease runs out
    worker B                    claim ── Whop ── commit
    worker A                          (wakes) ─✗        a write after the lease is refused, to Whop and to the row

Between claim and commit it is not known what Whop shows, so a claim notes its profile fields as unsettled. A crash
leaves the note behind, and an unsettled field is written again even where the row says that it holds the right value.

What is announced to the platform is recorded by the write that makes it true:

    worker A   claim ── Whop ── commit with `unannounced`, lease kept ── queue ── release, without `unannounced`
    worker B   claim ── Whop ── commit with `unannounced` ── (dies)
    worker C                                  any event claims a row that has some: queue ── what is left ── commit
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from whop_sync.accounts import Account
from whop_sync.aws.boundary import aws_error_code, aws_errors
from whop_sync.errors import Permanent, Transient
from whop_sync.events import Field, Position, ProfileField, UserEvent
from whop_sync.users.schema import (
    Announced,
    Attempt,
    Attributes,
    Item,
    Key,
    Row,
    attempt_attributes,
    earlier_attributes,
    iso,
    number,
    position_attribute,
    read_positions,
    read_row,
    user_key,
    whop_account_key,
    whop_user_key,
)
from whop_sync.users.writes import (
    Progress,
    claim_update,
    commit_attributes,
    erased_attributes,
    mapping_attributes,
    position_attributes,
    released_attributes,
    standing_attributes,
    tombstone_attributes,
    update_of,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

LEASE_SECONDS = 180
"""Longer than a worker's timeout, so that Lambda has ended a worker before its lease ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One user's row, which no other worker writes until the deadline, in Unix seconds: the end of the lease or of the
    worker. `row` is what it held before the claim, `attempt` the enrollment attempt to go on with."""

    user_id: str
    lease_id: str
    deadline: float
    row: Row
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Busy:
    """Another worker has the user, for this many seconds at most."""

    seconds_left: float


class Mappings:
    """Every method raises Transient when DynamoDB does not take the call."""

    def __init__(self, client: "DynamoDBClient", table: str, clock: Callable[[], float]) -> None:
        self._client = client
        self._table = table
        self._clock = clock

    # -- the claim -------------------------------------------------------------------------------------------------

    def claim(self, event: UserEvent, *, deadline: float, is_repeatable: bool = False) -> Claim | Busy | None:
        """Takes the user's lease if the event brings anything new, or if the row has something to announce; None if
        there is nothing to do (stale or a duplicate).

        Args:
            deadline: when Lambda ends the worker, in Unix seconds.
            is_repeatable: whether users are enrolled by the call that may be sent again without a second account.
        """
        lease_id = uuid.uuid4().hex
        while True:
            now = self._clock()
            taken, item = self._take(event, lease_id, now, is_repeatable=is_repeatable)
            row = read_row(item)
            if taken:
                return _claim(event, lease_id, row, now, deadline, is_repeatable=is_repeatable)
            if earlier_attributes(item):
                self._migrate(event.user_id, item)
            elif row.is_settled and not row.announced.unsent and not row.outranked_fields(event):
                return None
            else:
                return Busy(max(row.lease_until - now, 1.0))

    def _take(self, event: UserEvent, lease_id: str, now: float, *, is_repeatable: bool) -> tuple[bool, Item]:
        """Tries to claim; returns whether it did, and the item as it was."""
        claim = claim_update(
            event, lease_id=lease_id, now=now, lease_until=now + LEASE_SECONDS, is_repeatable=is_repeatable
        )
        with aws_errors("dynamodb_unavailable"):
            try:
                answer = self._client.update_item(
                    TableName=self._table,
                    Key=user_key(event.user_id),
                    **claim,
                    ReturnValues="ALL_OLD",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ClientError as error:
                if aws_error_code(error) != "ConditionalCheckFailedException":
                    raise
                return False, cast("Item", error.response.get("Item", {}))
        return True, answer.get("Attributes", {})

    def _migrate(self, user_id: str, item: Item) -> None:
        """Writes the positions of a row of an earlier version as this version does, unless another worker has."""
        positions = read_positions(item)
        earlier = sorted(earlier_attributes(item))
        attributes: Attributes = {
            **{position_attribute(name): {"S": str(position)} for name, position in positions.items()},
            **dict.fromkeys(earlier),
        }
        unchanged = " AND ".join(f"#{name} = :was_{name}" for name in earlier)
        was = {f":was_{name}": item[name] for name in earlier}
        with aws_errors("dynamodb_unavailable"):
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key=user_key(user_id),
                    **update_of(attributes, unchanged, was),
                )
            except ClientError as error:
                if aws_error_code(error) != "ConditionalCheckFailedException":
                    raise

    def row(self, user_id: str) -> Row:
        """The user's row as it is now, an empty one if there is none."""
        return read_row(self._item(user_key(user_id)))

    def is_being_freed(self, whop_user_id: str) -> bool:
        """Whether a Whop user is no other user's for long: the deletion of the one who has it is under way or done."""
        reverse = self._item(whop_user_key(whop_user_id))
        return not reverse or self.row(reverse["user_id"]["S"]).standing == "deleted"

    def _item(self, key: Key) -> Item:
        with aws_errors("dynamodb_unavailable"):
            return self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item", {})

    # -- while the lease is held -----------------------------------------------------------------------------------

    def note_standing(self, claim: Claim, position: Position) -> None:
        """Writes a standing ahead of the commit, so that it holds while Whop is asked for what follows from it."""
        positions: Mapping[Field, Position] = {"standing": position}
        self._update_held(claim, {**position_attributes(positions), **standing_attributes(claim.row, positions)})

    def reopen_attempt(self, claim: Claim, attempt: Attempt) -> None:
        """Notes that Whop is about to be asked for an account once more: its list gets its time again."""
        self._update_held(claim, attempt_attributes(attempt))

    def record_account(
        self, claim: Claim, account: Account, enrolled_email: str | None, announced: Announced | None = None
    ) -> None:
        """Writes the mapping and its reverse in one transaction, before the profile is touched. With it goes what is
        announced of it, if anything.

        Raises Permanent("whop_user_taken") if the Whop user belongs to another platform user already, which happens
        when two platform users have one e-mail.
        """
        reverse = {
            **whop_user_key(account.whop_user_id),
            "user_id": {"S": claim.user_id},
            "created_at": iso(self._clock()),
        }
        taken = self._transact(
            claim,
            mapping_attributes(account, enrolled_email, announced),
            {
                "Put": {
                    "TableName": self._table,
                    "Item": reverse,
                    "ConditionExpression": "attribute_not_exists(#key) OR user_id = :user",
                    "ExpressionAttributeNames": {"#key": "key"},
                    "ExpressionAttributeValues": {":user": {"S": claim.user_id}},
                }
            },
            *self._reverse_of_account(claim, account),
        )
        if taken:
            raise Permanent(
                "whop_user_taken",
                f"{account.whop_user_id} belongs to another platform user: do two users share an e-mail?",
            )

    def _reverse_of_account(self, claim: Claim, account: Account) -> list["TransactWriteItemTypeDef"]:
        """Who owns the connected account. It stays when the user is deleted: Whop may go on speaking of the account."""
        if account.company_id is None:
            return []
        item = {
            **whop_account_key(account.company_id),
            "user_id": {"S": claim.user_id},
            "created_at": iso(self._clock()),
        }
        return [{"Put": {"TableName": self._table, "Item": item}}]

    # -- the commit ------------------------------------------------------------------------------------------------

    def commit(self, claim: Claim, progress: Progress) -> None:
        """Writes what was achieved. Gives the lease back, unless something is left to announce: then `release` does."""
        self._update_held(claim, commit_attributes(claim.row, progress, now=self._clock()))

    def release(self, claim: Claim, progress: Progress, *, is_announced: bool) -> None:
        """Gives the lease back after a commit that kept it. What is in the queue by now goes out of the row."""
        over = released_attributes(is_announced=is_announced, is_pending=progress.is_pending)
        if over:
            self._update_held(claim, over)

    def bury(self, claim: Claim, progress: Progress) -> None:
        """Commits a deletion: the mapping and its reverse go in one step. Who the user was is kept for their return."""
        former = progress.former
        if former is None:
            self.commit(claim, progress)
            return
        tombstone = tombstone_attributes(claim.row, former, progress, now=self._clock())
        is_anothers = self._transact(claim, tombstone, self._freed(former.whop_user_id, claim.user_id))
        if is_anothers:  # an operator released the Whop user, and another user has it now
            self._update_held(claim, tombstone)

    def _freed(self, whop_user_id: str, user_id: str) -> "TransactWriteItemTypeDef":
        """The part of a transaction that takes the reverse item away, if it is this user's."""
        return {
            "Delete": {
                "TableName": self._table,
                "Key": whop_user_key(whop_user_id),
                "ConditionExpression": "attribute_not_exists(#key) OR user_id = :user",
                "ExpressionAttributeNames": {"#key": "key"},
                "ExpressionAttributeValues": {":user": {"S": user_id}},
            }
        }

    # -- for operators ---------------------------------------------------------------------------------------------

    def allow_reapply(self, user_id: str, name: ProfileField, position: Position) -> bool:
        """Makes the event at exactly this position apply again, and no older one. False if the row has moved on or a
        worker has it.

        Whop no longer shows what the row says. So the row's position loses its last character: it then sorts right
        before what it was, behind all that it was ahead of, and its content equals the hash of no value.
        """
        attribute = position_attribute(name)
        with aws_errors("dynamodb_unavailable"):
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key=user_key(user_id),
                    UpdateExpression="SET #position = :reapplied ADD unsettled :field",
                    ConditionExpression=(
                        "#position IN (:position, :reapplied)"
                        " AND (attribute_not_exists(lease_id) OR lease_until < :now)"
                    ),
                    ExpressionAttributeNames={"#position": attribute},
                    ExpressionAttributeValues={
                        ":position": {"S": str(position)},
                        ":reapplied": {"S": str(position)[:-1]},
                        ":field": {"SS": [name]},
                        ":now": number(self._clock()),
                    },
                )
            except ClientError as error:
                if aws_error_code(error) == "ConditionalCheckFailedException":
                    return False
                raise
        return True

    def record_owner(self, user_id: str, company_id: str) -> bool:
        """Writes the reverse item of a connected account that the user's row names, for rows from before there were
        such items. False, and nothing is written, if the account has its item or the row does not name it any longer.
        """
        item = {**whop_account_key(company_id), "user_id": {"S": user_id}, "created_at": iso(self._clock())}
        named: Any = {
            "ConditionCheck": {
                "TableName": self._table,
                "Key": user_key(user_id),
                "ConditionExpression": "whop_company_id = :company OR former_whop_company_id = :company",
                "ExpressionAttributeValues": {":company": {"S": company_id}},
            }
        }
        missing: Any = {
            "Put": {
                "TableName": self._table,
                "Item": item,
                "ConditionExpression": "attribute_not_exists(#key)",
                "ExpressionAttributeNames": {"#key": "key"},
            }
        }
        with aws_errors("dynamodb_unavailable"):
            try:
                self._client.transact_write_items(TransactItems=[named, missing])
            except ClientError as error:
                cancelled = cast("Sequence[Mapping[str, str]]", error.response.get("CancellationReasons", []))
                if any(reason.get("Code") == "ConditionalCheckFailed" for reason in cancelled):
                    return False
                raise
        return True

    def erase(self, claim: Claim, deletion: UserEvent, account: Account | None) -> None:
        """Empties a claimed row but for a tombstone, and frees the reverse item in the same step, if it is this user's.

        The connected account's item goes first: only the row knows its key.
        """
        if account is not None and account.company_id is not None:
            with aws_errors("dynamodb_unavailable"):
                self._client.delete_item(TableName=self._table, Key=whop_account_key(account.company_id))
        emptied = erased_attributes(claim.row, deletion.positions, now=self._clock())
        if account is None or self._transact(claim, emptied, self._freed(account.whop_user_id, claim.user_id)):
            self._update_held(claim, emptied)

    # -- writing ---------------------------------------------------------------------------------------------------

    def _update_held(self, claim: Claim, attributes: Attributes) -> None:
        """Sets attributes of a row whose lease is still this claim's."""
        with aws_errors("dynamodb_unavailable"):
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key=user_key(claim.user_id),
                    **update_of(attributes, "lease_id = :lease", {":lease": {"S": claim.lease_id}}),
                )
            except ClientError as error:
                if aws_error_code(error) == "ConditionalCheckFailedException":
                    raise _lease_lost() from None
                raise

    def _transact(
        self,
        claim: Claim,
        attributes: Attributes,
        reverse: "TransactWriteItemTypeDef",
        *more: "TransactWriteItemTypeDef",
    ) -> bool:
        """Writes the row, its reverse item and `more`, or nothing. True if the reverse item belongs to another user."""
        update = update_of(attributes, "lease_id = :lease", {":lease": {"S": claim.lease_id}})
        row: Any = {"Update": {"TableName": self._table, "Key": user_key(claim.user_id), **update}}
        with aws_errors("dynamodb_unavailable"):
            try:
                self._client.transact_write_items(TransactItems=[row, reverse, *more])
            except ClientError as error:
                cancelled = cast("Sequence[Mapping[str, str]]", error.response.get("CancellationReasons", []))
                reasons = [reason.get("Code") for reason in cancelled]
                if reasons and reasons[0] == "ConditionalCheckFailed":
                    raise _lease_lost() from None
                if reasons and reasons[1] == "ConditionalCheckFailed":
                    return True
                raise
        return False


def _claim(event: UserEvent, lease_id: str, row: Row, now: float, deadline: float, *, is_repeatable: bool) -> Claim:
    # Every claim notes an attempt, also the claim of an enrolled user, where it means nothing.
    # One that has this lease is our own: after a lost answer the AWS SDK sends the same claim once more.
    attempt = row.attempt if row.account is None and row.attempt and row.attempt.id != lease_id else None
    return Claim(
        user_id=event.user_id,
        lease_id=lease_id,
        deadline=min(now + LEASE_SECONDS, deadline),
        row=row,
        attempt=attempt or Attempt(id=lease_id, is_open=False, is_repeatable=is_repeatable, started_at=now),
    )


def _lease_lost() -> Transient:
    return Transient("lease_lost", "another worker took the user's row over")
