"""Batches of queued messages, and what a worker makes of them."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from whop_sync.aws.queues import Queue
from whop_sync.batches.worker import Messages, Record, Worker
from whop_sync.journal import Journal


def sqs_record(body: str, *, sent_at: float, message_id: str = "m1", receives: int = 1) -> Record:
    """A record as SQS hands it to Lambda. `sent_at` is in Unix seconds."""
    return {
        "messageId": message_id,
        "receiptHandle": f"receipt-{message_id}",
        "body": body,
        "attributes": {"SentTimestamp": str(int(sent_at * 1000)), "ApproximateReceiveCount": str(receives)},
    }


def staying(
    records: Sequence[Record],
    messages: Messages[Any, Any],
    sqs: Any,
    journal: Journal,
    clock: Callable[[], float],
    *,
    seconds_left: float,
) -> set[str]:
    """Runs a worker whose queue and dead letters `sqs` keeps. The ids of the messages that stay in the queue."""
    queue = Queue(sqs, "queue")
    with ThreadPoolExecutor(10) as pool:
        worker = Worker(
            messages=messages,
            queue=queue,
            dead_letters=queue,
            journal=journal,
            clock=clock,
            pool=pool,
            jitter=lambda low, high: (low + high) / 2,
        )
        answer = worker.handle(records, seconds_left=seconds_left)
    return {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
