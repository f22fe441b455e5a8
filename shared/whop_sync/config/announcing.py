"""What brings announcements to the platform."""

import os
from dataclasses import dataclass

from whop_sync.config.settings import setting, user_mappings_table


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookTarget:
    """Where announcements go as webhooks. `url` is as given: `announcing.platform_url` decides whether it is fit.

    Attributes:
        allowed_origin: the one `http://host:port` that needs neither https nor a public address.
        own_webhook_url: where this stack itself takes webhooks.
    """

    url: str
    secrets_arn: str
    allowed_origin: str | None
    own_webhook_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EventBusTarget:
    """Where announcements go as events. `bus` is a name or an ARN."""

    bus: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnounceConfig:
    target: WebhookTarget | EventBusTarget
    user_mappings_table: str
    queue_url: str
    dead_letter_queue_url: str


def announce_config() -> AnnounceConfig:
    """Raises ValueError with a sentence that names the setting and what it must be."""
    return AnnounceConfig(
        target=_announcement_target(),
        user_mappings_table=user_mappings_table(),
        queue_url=setting("QUEUE_URL"),
        dead_letter_queue_url=setting("DEAD_LETTER_QUEUE_URL"),
    )


def _announcement_target() -> WebhookTarget | EventBusTarget:
    match setting("ANNOUNCE_TO"):
        case "eventbridge":
            return EventBusTarget(bus=setting("ANNOUNCEMENT_EVENT_BUS"))
        case "webhook":
            allowed_origin = os.environ.get("PLATFORM_ALLOWED_ORIGIN") or None
            if allowed_origin and setting("WHOP_ENVIRONMENT") == "production":
                raise ValueError("PLATFORM_ALLOWED_ORIGIN must be empty when WHOP_ENVIRONMENT is production")
            return WebhookTarget(
                url=setting("PLATFORM_URL"),
                secrets_arn=setting("ANNOUNCEMENT_SECRETS_ARN"),
                allowed_origin=allowed_origin,
                own_webhook_url=setting("OWN_WEBHOOK_URL"),
            )
        case other:
            raise ValueError(f"ANNOUNCE_TO must be webhook or eventbridge, not {other}")
