"""Keeps names and pictures on Whop current: the events of ProfileUpdatedQueue."""

import time
from typing import Any, Protocol

from whop_sync.assembly import worker as assembled

worker = assembled()


class Context(Protocol):
    def get_remaining_time_in_millis(self) -> int: ...


def handler(event: dict[str, Any], context: Context) -> dict[str, Any]:
    try:
        return worker.handle(event["Records"], deadline=time.time() + context.get_remaining_time_in_millis() / 1000)
    finally:
        worker.journal.flush()
