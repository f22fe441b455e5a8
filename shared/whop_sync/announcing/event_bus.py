"""Announcements as events on an EventBridge bus."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from whop_sync.announcements import Announcement
from whop_sync.announcing.bodies import body_of
from whop_sync.aws.boundary import aws_error_code, aws_errors
from whop_sync.errors import OperatorNeeded, Transient

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

SOURCE = "whop-user-sync"

LOOK_EVERY_SECONDS = 120
"""How long a bus that was not missing is taken to be there."""


class EventBus:
    """`bus` is a name or an ARN; `clock` counts seconds from any moment."""

    def __init__(self, client: "EventBridgeClient", bus: str, *, clock: Callable[[], float]) -> None:
        self._client = client
        self._bus = bus
        self._clock = clock
        self._look_again_at: float | None = None
        self._looking = threading.Lock()

    def deliver(self, announcement: Announcement) -> None:
        """Raises OperatorNeeded where there is no such bus, and Transient when EventBridge does not take the event.

        An answer of 200 may refuse single entries
        (https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html).
        """
        self._look_for_bus()
        with aws_errors("event_bus_unavailable"):
            answer = self._client.put_events(
                Entries=[
                    {
                        "EventBusName": self._bus,
                        "Source": SOURCE,
                        "DetailType": announcement.type,
                        "Time": datetime.fromtimestamp(announcement.occurred_at, UTC),
                        "Detail": json.dumps({"id": announcement.id, **body_of(announcement)}),
                    }
                ]
            )
        if answer["FailedEntryCount"]:
            raise Transient("event_bus_unavailable", answer["Entries"][0].get("ErrorCode", ""))

    def _look_for_bus(self) -> None:
        """EventBridge answers 200 to an event for a bus that does not exist, and drops it
        (https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html).

        Only that the bus is missing holds an event back. What else keeps the look-up from an answer is left to the
        call that counts.
        """
        with self._looking:  # one call for all threads that wait for it
            if self._look_again_at is not None and self._clock() < self._look_again_at:
                return
            try:
                self._client.describe_event_bus(Name=self._bus)
            except (ClientError, BotoCoreError) as error:
                if aws_error_code(error) == "ResourceNotFoundException":
                    raise OperatorNeeded(
                        "event_bus_missing", "there is no event bus of the name in AnnouncementEventBus"
                    ) from None
            self._look_again_at = self._clock() + LOOK_EVERY_SECONDS
