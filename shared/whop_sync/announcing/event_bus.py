"""Announcements as events on an EventBridge bus."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from whop_sync.announcements import Announcement
from whop_sync.announcing.bodies import body_of
from whop_sync.aws.boundary import aws_errors
from whop_sync.errors import Transient

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

SOURCE = "whop-user-sync"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventBus:
    """`bus` is a name or an ARN."""

    client: "EventBridgeClient"
    bus: str

    def deliver(self, announcement: Announcement) -> None:
        """Raises Transient when EventBridge does not take the event.

        An answer of 200 may refuse single entries
        (https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html).
        """
        with aws_errors("event_bus_unavailable"):
            answer = self.client.put_events(
                Entries=[
                    {
                        "EventBusName": self.bus,
                        "Source": SOURCE,
                        "DetailType": announcement.type,
                        "Time": datetime.fromtimestamp(announcement.occurred_at, UTC),
                        "Detail": json.dumps({"id": announcement.id, **body_of(announcement)}),
                    }
                ]
            )
        if answer["FailedEntryCount"]:
            raise Transient("event_bus_unavailable", answer["Entries"][0].get("ErrorCode", ""))
