"""What the platform receives of an announcement."""

from typing import Any

from whop_sync.announcements import Announcement
from whop_sync.times import iso


def body_of(announcement: Announcement) -> dict[str, Any]:
    """`type`, `timestamp` (ISO 8601 in UTC, when it happened) and `data`, as Standard Webhooks recommend a payload
    (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#payload-structure)."""
    data: dict[str, Any] = {"user_id": announcement.user_id}
    if announcement.version is not None:
        data["version"] = announcement.version
    return {
        "type": announcement.type,
        "timestamp": iso(announcement.occurred_at),
        "data": data | dict(announcement.data),
    }
