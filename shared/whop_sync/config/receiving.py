"""What the two receivers need."""

from dataclasses import dataclass

from whop_sync.config.settings import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverConfig:
    signing_secrets_arn: str
    user_created_queue_url: str
    profile_updated_queue_url: str
    parked_deliveries_queue_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WhopReceiverConfig:
    secrets_arn: str
    announcements_queue_url: str


def receiver_config() -> ReceiverConfig:
    """Raises ValueError with a sentence that names the setting and what it must be."""
    return ReceiverConfig(
        signing_secrets_arn=setting("WEBHOOK_SIGNING_SECRETS_ARN"),
        user_created_queue_url=setting("USER_CREATED_QUEUE_URL"),
        profile_updated_queue_url=setting("PROFILE_UPDATED_QUEUE_URL"),
        parked_deliveries_queue_url=setting("PARKED_DELIVERIES_QUEUE_URL"),
    )


def whop_receiver_config() -> WhopReceiverConfig:
    """Raises ValueError with a sentence that names the setting and what it must be."""
    return WhopReceiverConfig(
        secrets_arn=setting("WHOP_WEBHOOK_SECRETS_ARN"),
        announcements_queue_url=setting("ANNOUNCEMENTS_QUEUE_URL"),
    )
