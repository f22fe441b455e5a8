"""The environment that the template gives the functions, read and checked.

What a payload preset or an API version means is decided where it is used.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

WHOP_API_URLS = {
    "production": "https://api.whop.com/api/v1",
    "sandbox": "https://sandbox-api.whop.com/api/v1",
}
"""By WhopEnvironment (https://docs.whop.com/developer/api/getting-started)."""
CALLS_PER_MINUTE = 600
"""Whop's default limit for one operation and API key (https://docs.whop.com/developer/api/getting-started)."""
FEWEST_CALLS_PER_MINUTE = 30
"""With fewer, the slots that are reserved at once would lie further ahead than any worker waits."""

_ACTION = re.compile(r"[a-z_]+(:[a-z_]+)+", re.ASCII)
_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*(:[0-9]{1,5})?", re.ASCII)
_COUNTRY = re.compile(r"[a-z]{2}", re.ASCII)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class WhopConfig:
    """How to reach Whop. `enrollment` and `api_version`, which may be empty, are as given: `whop.generations` decides
    what they mean."""

    api_url: str
    enrollment: str
    api_version: str
    api_key_arn: str
    company_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenConfig:
    """`actions` are the most that a token may allow, never none."""

    whop: WhopConfig
    actions: Sequence[str]
    user_mappings_table: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLinkConfig:
    """`hosts` are those that a link may lead back to, never none."""

    whop: WhopConfig
    hosts: frozenset[str]
    user_mappings_table: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncConfig:
    """What brings a user to Whop.

    Attributes:
        account_country: of the connected accounts it creates, ISO 3166-1 alpha-2 in lower case; None for the parent's.
        picture_allowed_origin: the one `http://host:port` whose pictures need neither https nor a public address.
        announcements_queue_url: where announcements to the platform go, None if nothing is announced.
    """

    whop: WhopConfig
    account_country: str | None
    whop_calls_per_minute: int
    title_format: str
    deleted_user_name: str
    picture_allowed_origin: str | None
    user_mappings_table: str
    announcements_queue_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    sync: SyncConfig
    queue_url: str
    dead_letter_queue_url: str


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


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollConfig:
    """What `PUT /users/{user_id}` needs. `enroll_if`, which may be empty, is as given: `receiving` decides what it
    means."""

    sync: SyncConfig
    enroll_if: str
    user_created_queue_url: str
    profile_updated_queue_url: str


def receiver_config() -> ReceiverConfig:
    """Raises ValueError with a sentence that names the setting and what it must be."""
    return ReceiverConfig(
        signing_secrets_arn=_setting("WEBHOOK_SIGNING_SECRETS_ARN"),
        user_created_queue_url=_setting("USER_CREATED_QUEUE_URL"),
        profile_updated_queue_url=_setting("PROFILE_UPDATED_QUEUE_URL"),
        parked_deliveries_queue_url=_setting("PARKED_DELIVERIES_QUEUE_URL"),
    )


def whop_receiver_config() -> WhopReceiverConfig:
    """Raises ValueError with a sentence that names the setting and what it must be."""
    return WhopReceiverConfig(
        secrets_arn=_setting("WHOP_WEBHOOK_SECRETS_ARN"),
        announcements_queue_url=_setting("ANNOUNCEMENTS_QUEUE_URL"),
    )


def worker_config() -> WorkerConfig:
    """Raises ValueError with a sentence that names the setting and what it must be."""
    return WorkerConfig(
        sync=_sync_config(),
        queue_url=_setting("QUEUE_URL"),
        dead_letter_queue_url=_setting("DEAD_LETTER_QUEUE_URL"),
    )


def announce_config() -> AnnounceConfig:
    """Raises ValueError with a sentence that names the setting and what it must be."""
    return AnnounceConfig(
        target=_announcement_target(),
        user_mappings_table=user_mappings_table(),
        queue_url=_setting("QUEUE_URL"),
        dead_letter_queue_url=_setting("DEAD_LETTER_QUEUE_URL"),
    )


def enroll_config() -> EnrollConfig:
    """Raises ValueError with a sentence that names the setting and what it must be."""
    return EnrollConfig(
        sync=_sync_config(),
        enroll_if=os.environ.get("ENROLL_IF", ""),
        user_created_queue_url=_setting("USER_CREATED_QUEUE_URL"),
        profile_updated_queue_url=_setting("PROFILE_UPDATED_QUEUE_URL"),
    )


def chat_token_config() -> TokenConfig:
    """Raises ValueError with a sentence that names the setting and what it must be."""
    return _token_config("CHAT_TOKEN_ACTIONS")


def payout_token_config() -> TokenConfig:
    """Raises ValueError with a sentence that names the setting and what it must be."""
    return _token_config("PAYOUT_TOKEN_ACTIONS")


def account_link_config() -> AccountLinkConfig:
    """Raises ValueError with a sentence that names the setting and what it must be."""
    hosts = _setting("ACCOUNT_LINK_HOSTS").split(",")
    if not all(_HOST.fullmatch(host) for host in hosts):
        raise ValueError("ACCOUNT_LINK_HOSTS must be host names with commas between them, such as app.example.com")
    return AccountLinkConfig(whop=_whop_config(), hosts=frozenset(hosts), user_mappings_table=user_mappings_table())


def user_mappings_table() -> str:
    return _setting("USER_MAPPINGS_TABLE")


def user_created_queue_url() -> str:
    return _setting("USER_CREATED_QUEUE_URL")


def is_local() -> bool:
    """Whether a local engine stands in for AWS."""
    return bool(os.environ.get("AWS_ENDPOINT_URL"))


def _whop_config() -> WhopConfig:
    environment = _setting("WHOP_ENVIRONMENT")
    if environment not in WHOP_API_URLS:
        raise ValueError(f"WHOP_ENVIRONMENT must be sandbox or production, not {environment}")
    stand_in = os.environ.get("WHOP_API_URL") or None
    if stand_in and environment == "production":
        raise ValueError("WHOP_API_URL must be empty when WHOP_ENVIRONMENT is production")
    return WhopConfig(
        api_url=stand_in or WHOP_API_URLS[environment],
        enrollment=_setting("WHOP_ENROLLMENT"),
        api_version=os.environ.get("WHOP_API_VERSION", ""),
        api_key_arn=_setting("WHOP_API_KEY_ARN"),
        company_id=_setting("WHOP_COMPANY_ID"),
    )


def _announcement_target() -> WebhookTarget | EventBusTarget:
    match _setting("ANNOUNCE_TO"):
        case "eventbridge":
            return EventBusTarget(bus=_setting("ANNOUNCEMENT_EVENT_BUS"))
        case "webhook":
            allowed_origin = os.environ.get("PLATFORM_ALLOWED_ORIGIN") or None
            if allowed_origin and _setting("WHOP_ENVIRONMENT") == "production":
                raise ValueError("PLATFORM_ALLOWED_ORIGIN must be empty when WHOP_ENVIRONMENT is production")
            return WebhookTarget(
                url=_setting("PLATFORM_URL"),
                secrets_arn=_setting("ANNOUNCEMENT_SECRETS_ARN"),
                allowed_origin=allowed_origin,
                own_webhook_url=_setting("OWN_WEBHOOK_URL"),
            )
        case other:
            raise ValueError(f"ANNOUNCE_TO must be webhook or eventbridge, not {other}")


def _sync_config() -> SyncConfig:
    whop = _whop_config()
    picture_allowed_origin = os.environ.get("PICTURE_ALLOWED_ORIGIN") or None
    if picture_allowed_origin and os.environ["WHOP_ENVIRONMENT"] == "production":
        raise ValueError("PICTURE_ALLOWED_ORIGIN must be empty when WHOP_ENVIRONMENT is production")
    title_format = _setting("TITLE_FORMAT")
    if "{user_id}" not in title_format:
        raise ValueError("TITLE_FORMAT must contain {user_id}: Whop refuses two connected accounts with one title")
    return SyncConfig(
        whop=whop,
        account_country=_account_country(),
        whop_calls_per_minute=_calls_per_minute(),
        title_format=title_format,
        deleted_user_name=_setting("DELETED_USER_NAME"),
        picture_allowed_origin=picture_allowed_origin,
        user_mappings_table=user_mappings_table(),
        announcements_queue_url=os.environ.get("ANNOUNCEMENTS_QUEUE_URL") or None,
    )


def _token_config(name: str) -> TokenConfig:
    """`name` is the setting that holds the actions."""
    actions = _setting(name).split(",")
    if not all(_ACTION.fullmatch(action) for action in actions):
        # Never an empty one: to Whop, no actions at all mean everything that the key may do.
        raise ValueError(f"{name} must be actions of Whop with commas between them, such as chat:read,dms:read")
    return TokenConfig(whop=_whop_config(), actions=actions, user_mappings_table=user_mappings_table())


def _account_country() -> str | None:
    country = os.environ.get("WHOP_ACCOUNT_COUNTRY") or None
    if country and not _COUNTRY.fullmatch(country):
        raise ValueError(f"WHOP_ACCOUNT_COUNTRY must be a country code of two lower-case letters, not {country}")
    return country


def _calls_per_minute() -> int:
    text = os.environ.get("WHOP_CALLS_PER_MINUTE") or str(CALLS_PER_MINUTE)
    if not re.fullmatch(r"[1-9][0-9]{1,5}", text, re.ASCII) or int(text) < FEWEST_CALLS_PER_MINUTE:
        raise ValueError(
            f"WHOP_CALLS_PER_MINUTE must be a whole number from {FEWEST_CALLS_PER_MINUTE} to 999999, not {text}"
        )
    return int(text)


def _setting(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise ValueError(f"{name} is not set: the functions expect the environment that template.yaml gives them")
    return value
