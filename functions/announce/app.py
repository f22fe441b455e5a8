"""Brings announcements to the platform: the messages of AnnouncementsQueue."""

from typing import Any

from whop_sync import assembly

worker = assembly.announcer()


def handler(event: dict[str, Any], context: Any) -> object:
    return worker.handle(event["Records"], seconds_left=context.get_remaining_time_in_millis() / 1000)
