"""The receiver's own work on a webhook of 2 KB, without the call to SQS and without the network."""

import statistics
import time
from datetime import UTC, datetime
from typing import Any

from local_stack.sending import SECRET, Delivery, body
from local_stack.terminal import Terminal
from whop_sync.aws.api_gateway import HttpEvent
from whop_sync.aws.queues import EventQueues, Queue
from whop_sync.journal import Journal
from whop_sync.receiving.deliveries import Receiver
from whop_sync.receiving.platforms import PLATFORMS
from whop_sync.receiving.signatures import parse_secrets

BODY_BYTES = 2048


class Sqs:
    """The client of an SQS that takes everything at once, and counts."""

    def __init__(self) -> None:
        self.calls = 0

    def send_message(self, **_: Any) -> None:
        self.calls += 1


def report(terminal: Terminal, *, webhooks: int) -> None:
    sqs = Sqs()
    queue = Queue(sqs, "queue")  # type: ignore[arg-type]
    platform = PLATFORMS["standard"]
    keys = parse_secrets(f'["{SECRET}"]', platform.scheme)
    receiver = Receiver(
        platform=platform,
        signing_keys=lambda: keys,
        queues=EventQueues(created=queue, changed=queue),
        parked=queue,
        journal=Journal(),
        clock=time.time,
    )
    deliveries = [_request(number) for number in range(webhooks)]
    assert receiver.answer(deliveries[0])["statusCode"] == 200
    sqs.calls = 0
    took, worked = [], []
    for delivery in deliveries:
        began, busy = time.perf_counter(), time.thread_time()
        receiver.answer(delivery)
        took.append((time.perf_counter() - began) * 1000)
        worked.append((time.thread_time() - busy) * 1000)
    terminal.title(f"Receiver, warm: own work on {webhooks} webhooks of {BODY_BYTES} bytes")
    rows = []
    for what, times in (("as the clock saw it", took), ("CPU time", worked)):
        cuts = statistics.quantiles(times, n=100)
        rows.append((what, f"{cuts[49]:.2f} ms", f"{cuts[98]:.2f} ms"))
    terminal.table(("", "p50", "p99"), rows)
    terminal.quiet(f"goal: p99 below 5 ms; calls to SQS a webhook: {sqs.calls / webhooks:g}")


def _request(number: int) -> HttpEvent:
    user = {"id": f"u{number}", "email": f"u{number}@shop.test", "name": "Ann Bee", "avatar_url": "https://shop.test/a"}
    padding = BODY_BYTES - len(body("created", {**user, "about": ""}, at=datetime.now(UTC)))
    delivery = Delivery(body("created", {**user, "about": "x" * padding}))
    return {"headers": delivery.headers(), "body": delivery.content.decode(), "isBase64Encoded": False}
