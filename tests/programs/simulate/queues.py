"""SQS in memory: queues that hide what was received, show it again, and show a message twice when asked to.

Held against a real engine by tests/integration/test_simulated_services.py.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from simulate.expressions import Unsupported

MAX_VISIBILITY_SECONDS = 12 * 3600


@dataclass(slots=True)
class Message:
    """`handle` is the receipt handle of the latest receive; older ones are as good for deletion."""

    id: str
    body: str
    attributes: dict[str, Any]
    sent_at: float
    visible_at: float
    receives: int = 0
    first_received_at: float | None = None
    received_at: float = 0.0
    handle: str = ""


@dataclass(slots=True)
class _Queue:
    visibility: float
    messages: dict[str, Message] = field(default_factory=dict)


class Sqs:
    """Those calls of the SQS client that the application and Lambda's poller make. All else raises.

    `changed` is called with a queue's URL and the moment at which a message of it becomes visible.
    """

    def __init__(self, clock: Callable[[], float], changed: Callable[[str, float], None] = lambda *_: None) -> None:
        self._clock = clock
        self._changed = changed
        self._queues: dict[str, _Queue] = {}
        self._numbers = itertools.count(1)

    def create(self, url: str, *, visibility: float = 30.0) -> None:
        self._queues[url] = _Queue(visibility)

    def send_message(self, **request: Any) -> dict[str, Any]:
        _only(request, {"QueueUrl", "MessageBody", "MessageAttributes"})
        queue = self._queue(request, "SendMessage")
        body = request["MessageBody"]
        if not body:
            raise _refusal("InvalidParameterValue", "The message body is empty", "SendMessage")
        now = self._clock()
        message = Message(f"m{next(self._numbers)}", body, dict(request.get("MessageAttributes", {})), now, now)
        queue.messages[message.id] = message
        self._changed(request["QueueUrl"], now)
        return {"MessageId": message.id}

    def receive_message(self, **request: Any) -> dict[str, Any]:
        """Those longest visible come first; real queues promise no order at all."""
        _only(
            request,
            {"QueueUrl", "MaxNumberOfMessages", "MessageSystemAttributeNames", "MessageAttributeNames"}
            | {"VisibilityTimeout", "WaitTimeSeconds"},
        )
        queue, now = self._queue(request, "ReceiveMessage"), self._clock()
        visible = sorted(
            (message for message in queue.messages.values() if message.visible_at <= now),
            key=lambda message: message.visible_at,
        )
        received = []
        for message in visible[: request.get("MaxNumberOfMessages", 1)]:
            message.receives += 1
            message.received_at = now
            message.first_received_at = now if message.first_received_at is None else message.first_received_at
            message.handle = f"{message.id}/{message.receives}"
            message.visible_at = now + request.get("VisibilityTimeout", queue.visibility)
            self._changed(request["QueueUrl"], message.visible_at)
            received.append(
                {
                    "MessageId": message.id,
                    "ReceiptHandle": message.handle,
                    "Body": message.body,
                    "Attributes": {
                        "SentTimestamp": str(int(message.sent_at * 1000)),
                        "ApproximateReceiveCount": str(message.receives),
                        "ApproximateFirstReceiveTimestamp": str(int(message.first_received_at * 1000)),
                    },
                    **({"MessageAttributes": message.attributes} if message.attributes else {}),
                }
            )
        return {"Messages": received} if received else {}

    def delete_message(self, **request: Any) -> dict[str, Any]:
        """As on AWS, one that is there no more is no error."""
        _only(request, {"QueueUrl", "ReceiptHandle"})
        queue = self._queue(request, "DeleteMessage")
        queue.messages.pop(request["ReceiptHandle"].partition("/")[0], None)
        return {}

    def change_message_visibility(self, **request: Any) -> dict[str, Any]:
        """Documented: twelve hours at most, counted from the receive."""
        _only(request, {"QueueUrl", "ReceiptHandle", "VisibilityTimeout"})
        name = "ChangeMessageVisibility"
        queue, now = self._queue(request, name), self._clock()
        seconds = request["VisibilityTimeout"]
        message = queue.messages.get(request["ReceiptHandle"].partition("/")[0])
        if message is None or message.visible_at <= now:
            raise _refusal("MessageNotInflight", "the message is visible", name)
        if not 0 <= seconds <= MAX_VISIBILITY_SECONDS:
            raise _refusal("InvalidParameterValue", "outside of what is allowed", name)
        if now + seconds > message.received_at + MAX_VISIBILITY_SECONDS:
            raise _refusal("InvalidParameterValue", "Total VisibilityTimeout is beyond the limit", name)
        if message.handle != request["ReceiptHandle"]:
            return {}  # of an earlier receive: another worker has the message now
        message.visible_at = now + seconds
        self._changed(request["QueueUrl"], message.visible_at)
        return {}

    # -- for the simulation ----------------------------------------------------------------------------------------

    def messages(self, url: str) -> list[Message]:
        return list(self._queues[url].messages.values())

    def show_again(self, url: str, message: Message) -> None:
        """Delivered at least once means: now and then once more, also after it was deleted."""
        message.visible_at = self._clock()
        self._queues[url].messages[message.id] = message
        self._changed(url, message.visible_at)

    def _queue(self, request: dict[str, Any], operation: str) -> _Queue:
        queue = self._queues.get(request["QueueUrl"])
        if queue is None:
            raise _refusal("AWS.SimpleQueueService.NonExistentQueue", "no such queue", operation)
        return queue


def _only(request: dict[str, Any], known: set[str]) -> None:
    unknown = set(request) - known
    if unknown:
        raise Unsupported(f"{sorted(unknown)} in a request")


def _refusal(code: str, message: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)
