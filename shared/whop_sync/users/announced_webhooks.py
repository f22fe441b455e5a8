"""Which webhooks of Whop were announced already, kept beside the users for as long as Whop may repeat one.

The mark is written after the announcement was delivered: a crash between the two delivers it once more, under the same
id, and loses nothing.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from whop_sync.aws.boundary import aws_errors
from whop_sync.users.schema import EXPIRY_ATTRIBUTE, iso, whop_webhook_key

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

REMEMBERED_SECONDS = 31 * 86400
"""Whop retries for three days, and keeps deliveries for 30 in which its customers can have them sent again
(https://docs.whop.com/developer/guides/webhooks)."""


class AnnouncedWebhooks:
    """Every method raises Transient when DynamoDB does not take the call. `clock` counts Unix seconds."""

    def __init__(self, client: "DynamoDBClient", table: str, clock: Callable[[], float]) -> None:
        self._client = client
        self._table = table
        self._clock = clock

    def contains(self, announcement_id: str) -> bool:
        with aws_errors("dynamodb_unavailable"):
            answer = self._client.get_item(
                TableName=self._table, Key=whop_webhook_key(announcement_id), ConsistentRead=True
            )
        return "Item" in answer

    def add(self, announcement_id: str) -> None:
        now = self._clock()
        with aws_errors("dynamodb_unavailable"):
            self._client.put_item(
                TableName=self._table,
                Item={
                    **whop_webhook_key(announcement_id),
                    "announced_at": iso(now),
                    # DynamoDB takes whole seconds
                    # (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-before-you-start.html).
                    EXPIRY_ATTRIBUTE: {"N": str(int(now + REMEMBERED_SECONDS))},
                },
            )
