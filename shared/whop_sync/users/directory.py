"""The UserMappings table for those who only read it: what is recorded about one user."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from whop_sync.aws.boundary import aws_errors
from whop_sync.events import MAX_USER_ID_LENGTH, PROFILE_FIELDS, ProfileField, Standing
from whop_sync.users.schema import (
    Item,
    Key,
    Status,
    read_positions,
    read_row,
    user_key,
    whop_account_key,
    whop_user_key,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the row of a user says.

    Attributes:
        standing_since: ISO 8601 in UTC, the time of the event that said so.
        whop_user_id: who the user is on Whop (user_...), None until they are enrolled.
        whop_company_id: their connected account (biz_...), None for good if they came by Whop sign-in.
        email_differs: whether the newest e-mail is another one than that of the connected account.
        sign_in_differs: whether the platform names another Whop user than the one the user has.
        versions: the version of the newest value, in integer microseconds, None for a field never set.
        created_at, updated_at: ISO 8601 in UTC.
    """

    user_id: str
    status: Status
    standing: Standing
    standing_since: str | None
    whop_user_id: str | None
    whop_company_id: str | None
    email_differs: bool
    sign_in_differs: bool
    versions: Mapping[ProfileField, int | None]
    last_error: str | None
    last_event_id: str | None
    created_at: str | None
    updated_at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedAccount:
    """A connected account (biz_...) that a user's row names. `former`: the user was deleted since."""

    user_id: str
    company_id: str
    former: bool


class Directory:
    """Every method raises Transient when DynamoDB does not take the call."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def entry(self, user_id: str) -> Entry | None:
        """What is recorded about a platform user, None if nothing ever came of them."""
        if len(user_id) > MAX_USER_ID_LENGTH:  # no such user gets in, and DynamoDB takes no key of any length
            return None
        item = self._item(user_key(user_id))
        return _entry(item) if item else None

    def entries(self) -> Iterator[Entry]:
        """Every user's row, in no order. Reads the whole table, a page at a time: for people, not for functions."""
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._table, FilterExpression="attribute_exists(#status)", ExpressionAttributeNames=_STATUS
        )
        with aws_errors("dynamodb_unavailable"):
            for page in pages:
                yield from map(_entry, page["Items"])

    def accounts(self) -> Iterator[OwnedAccount]:
        """The connected accounts that rows name, in no order. Reads the whole table, as `entries` does."""
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._table,
            FilterExpression="attribute_exists(whop_company_id) OR attribute_exists(former_whop_company_id)",
            ProjectionExpression="user_id, whop_company_id, former_whop_company_id",
        )
        with aws_errors("dynamodb_unavailable"):
            for page in pages:
                for item in page["Items"]:
                    former = "whop_company_id" not in item
                    company = item["former_whop_company_id" if former else "whop_company_id"]
                    yield OwnedAccount(user_id=item["user_id"]["S"], company_id=company["S"], former=former)

    def user_of(self, whop_user_id: str) -> str | None:
        """The platform user whom a Whop user belongs to."""
        return self._owner(whop_user_id, whop_user_key)

    def user_of_account(self, company_id: str) -> str | None:
        """The platform user whom a connected account belongs to."""
        return self._owner(company_id, whop_account_key)

    def _owner(self, whop_id: str, key: Callable[[str], Key]) -> str | None:
        if len(whop_id) > MAX_USER_ID_LENGTH:
            return None
        item = self._item(key(whop_id))
        return item["user_id"]["S"] if item else None

    def _item(self, key: Key) -> Mapping[str, Any]:
        with aws_errors("dynamodb_unavailable"):
            return self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item", {})


_STATUS = {"#status": "status"}
"""The one attribute that rows of users have and the other items of the table have not. It is a reserved word."""


def _entry(item: Item) -> Entry:
    positions = read_positions(item)

    def text(name: str) -> str | None:
        return item[name]["S"] if name in item else None

    return Entry(
        user_id=item["user_id"]["S"],
        status=item["status"]["S"],
        whop_user_id=text("whop_user_id"),
        whop_company_id=text("whop_company_id"),
        standing=read_row(item).standing,
        standing_since=text("standing_since"),
        email_differs="email_differs" in item,
        sign_in_differs="sign_in_differs" in item,
        versions={name: positions[name].version if name in positions else None for name in PROFILE_FIELDS},
        last_error=text("last_error"),
        last_event_id=text("last_event_id"),
        created_at=text("created_at"),
        updated_at=text("updated_at"),
    )
