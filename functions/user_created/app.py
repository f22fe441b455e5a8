"""Enrolls users on Whop as connected accounts: the events of UserCreatedQueue."""

from typing import Any

from whop_sync import assembly

worker = assembly.worker()


def handler(event: dict[str, Any], context: Any) -> object:
    return worker.handle(event["Records"], seconds_left=context.get_remaining_time_in_millis() / 1000)
