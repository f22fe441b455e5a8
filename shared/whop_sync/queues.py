"""SQS: where accepted events wait, and where events that cannot be handled are parked with their reason."""

import base64
import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from whop_sync.errors import SyncError, Transient

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_MAX_ATTRIBUTE_LENGTH = 1000
_MAX_VISIBILITY_SECONDS = 12 * 3600


class Queue:
    """Raises Transient from every method when SQS does not take the call."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url

    def send(self, body: str) -> None:
        self._send(body, {})

    def park(self, body: str | bytes, error: SyncError, *, event_id: str, user_id: str | None = None) -> None:
        """Keeps what could not be handled, and why. Bytes, which may be no text at all, are kept as base64."""
        details = {
            "reason": error.reason,
            "explanation": error.explanation,
            "whop_message": (error.answer and error.answer.message) or "",
            "event_id": event_id,
            "user_id": user_id or "",
            "encoding": "text" if isinstance(body, str) else "base64",
            "parked_at": str(int(time.time())),
        }
        self._send(body if isinstance(body, str) else base64.b64encode(body).decode(), details)

    def postpone(self, receipt_handle: str, seconds: float) -> None:
        """Shows a received message to no worker for so long, counted from now."""
        try:
            self._client.change_message_visibility(
                QueueUrl=self._url,
                ReceiptHandle=receipt_handle,
                VisibilityTimeout=min(math.ceil(seconds), _MAX_VISIBILITY_SECONDS),
            )
        except (ClientError, BotoCoreError) as error:
            raise Transient("sqs_unavailable", type(error).__name__) from None

    def _send(self, body: str, details: Mapping[str, str]) -> None:
        try:
            self._client.send_message(
                QueueUrl=self._url,
                MessageBody=body,
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": _attribute(value)}
                    for name, value in details.items()
                    if value
                },
            )
        except (ClientError, BotoCoreError) as error:
            raise Transient("sqs_unavailable", type(error).__name__) from None


def _attribute(value: str) -> str:
    """SQS refuses some characters and empty text, and an attribute is for reading by people: plain ASCII does."""
    printable = "".join(character if character.isprintable() else " " for character in value)
    return printable.encode("ascii", "backslashreplace").decode()[:_MAX_ATTRIBUTE_LENGTH]
