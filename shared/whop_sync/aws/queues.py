"""SQS: where accepted events wait, and where events that cannot be handled are parked with their reason."""

import base64
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from whop_sync.aws.boundary import aws_errors
from whop_sync.errors import SyncError, Transient
from whop_sync.events import UserEvent

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_MAX_ATTRIBUTE_LENGTH = 1000

# SQS counts its twelve hours from the receive, and refuses what would go beyond
# (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html). A quarter of
# an hour covers a worker's two minutes and the time for which Lambda holds a message before it calls one.
_MAX_VISIBILITY_SECONDS = 12 * 3600 - 900

# SQS's limits for one call that sends several messages.
_BATCH_MESSAGES = 10
_BATCH_BYTES = 1024 * 1024
_BATCH_TRIES = 5


class Queue:
    """Raises Transient from every method when SQS does not take the call."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url

    def send(self, body: str) -> None:
        self._send(body, {})

    def send_all(self, bodies: Iterable[str], *, sleep: Callable[[float], None] = time.sleep) -> None:
        """Stores all bodies, in as few calls as SQS allows. After Transient any of them may be stored: send all again.

        SQS may take a part of a batch only; the rest is sent again, at longer and longer intervals.
        """
        for batch in _batches(bodies):
            for attempt in range(_BATCH_TRIES):
                batch = self._send_batch(batch)  # noqa: PLW2901 - what is left of it
                if not batch:
                    break
                sleep(0.1 * 2**attempt)
            else:
                raise Transient("sqs_unavailable", "SQS did not take all messages of a batch")

    def waiting(self) -> int:
        """About how many messages no worker has begun with."""
        name: Literal["ApproximateNumberOfMessages"] = "ApproximateNumberOfMessages"
        with aws_errors("sqs_unavailable"):
            answer = self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=[name])
        return int(answer["Attributes"][name])

    def park(
        self,
        body: str | bytes,
        error: SyncError,
        *,
        event_id: str,
        user_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        signed_at: float | None = None,
    ) -> None:
        """Keeps what could not be handled, and why. Bytes, which may be no text at all, are kept as base64.

        `signed_at` is in Unix seconds.
        """
        details = {  # SQS takes ten
            "reason": error.reason,
            "explanation": error.explanation,
            "whop_message": (error.answer and error.answer.message) or "",
            "event_id": event_id,
            "user_id": user_id or "",
            "encoding": "text" if isinstance(body, str) else "base64",
            "parked_at": str(int(time.time())),
            "headers": json.dumps(headers) if headers else "",
            "signed_at": "" if signed_at is None else repr(signed_at),
        }
        self._send(body if isinstance(body, str) else base64.b64encode(body).decode(), details)

    def postpone(self, receipt_handle: str, seconds: float) -> None:
        """Hides a received message for this long, counted from now, or for as long as SQS can hide it."""
        with aws_errors("sqs_unavailable"):
            self._client.change_message_visibility(
                QueueUrl=self._url,
                ReceiptHandle=receipt_handle,
                VisibilityTimeout=min(math.ceil(seconds), _MAX_VISIBILITY_SECONDS),
            )

    def _send_batch(self, bodies: list[str]) -> list[str]:
        """What SQS did not take."""
        with aws_errors("sqs_unavailable"):
            answer = self._client.send_message_batch(
                QueueUrl=self._url,
                Entries=[{"Id": str(index), "MessageBody": body} for index, body in enumerate(bodies)],
            )
        return [bodies[int(failed["Id"])] for failed in answer.get("Failed", [])]

    def _send(self, body: str, details: Mapping[str, str]) -> None:
        with aws_errors("sqs_unavailable"):
            self._client.send_message(
                QueueUrl=self._url,
                MessageBody=body,
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value if name == "headers" else _attribute(value)}
                    for name, value in details.items()
                    if value
                },
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class EventQueues:
    """The queues of the two workers. `created` takes the events that may enroll a user, `changed` all others, so that
    sign-ups do not wait behind changes."""

    created: Queue
    changed: Queue

    def send(self, event: UserEvent) -> None:
        """Stores an event in the queue of its kind. Raises Transient."""
        (self.created if event.kind == "created" else self.changed).send(event.to_json())


def _batches(bodies: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for body in bodies:
        length = len(body.encode())
        if len(batch) == _BATCH_MESSAGES or (batch and size + length > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(body)
        size += length
    if batch:
        yield batch


def _attribute(value: str) -> str:
    """SQS refuses some characters and empty text, and an attribute is for reading by people: plain ASCII does."""
    printable = "".join(character if character.isprintable() else " " for character in value)
    return printable.encode("ascii", "backslashreplace").decode()[:_MAX_ATTRIBUTE_LENGTH]
