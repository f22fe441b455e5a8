"""Announcements as events on an EventBridge bus."""

import json
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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


class EventBus:
    """A bus, which may not exist: EventBridge answers 200 to an event for it all the same, and drops the event
    (https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html).

        thread A   put ──┬─ look for the bus ─── there: delivered
        thread B   put ──┘  └ begun after both puts, so it serves both
        thread C                  put ────────── look once more

    Args:
        bus: a name or an ARN.
        clock: counts seconds from any moment.
    """

    def __init__(self, client: "EventBridgeClient", bus: str, *, clock: Callable[[], float]) -> None:
        self._client = client
        self._bus = bus
        self._clock = clock
        self._looked_at = -math.inf
        self._looking = threading.Lock()

    def deliver(self, announcement: Announcement) -> None:
        """Raises OperatorNeeded where there is no such bus, and Transient when EventBridge does not take the event.

        An answer of 200 may refuse single entries
        (https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html).
        """
        with aws_errors("event_bus_unavailable"), _missing_bus():
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
        self._look_for_bus(put_at=self._clock())

    def _look_for_bus(self, *, put_at: float) -> None:
        """Raises OperatorNeeded if there is no bus after a put. What else keeps the look from an answer is no reason to
        put the event once more."""
        with self._looking:
            if self._looked_at > put_at:
                return
            looked_at = self._clock()
            with suppress(ClientError, BotoCoreError), _missing_bus():
                self._client.describe_event_bus(Name=self._bus)
            self._looked_at = looked_at


@contextmanager
def _missing_bus() -> Iterator[None]:
    """Raises OperatorNeeded where AWS says that there is no such bus."""
    try:
        yield
    except ClientError as error:
        if aws_error_code(error) != "ResourceNotFoundException":
            raise
        raise OperatorNeeded("event_bus_missing", "there is no event bus of the name in AnnouncementEventBus") from None
