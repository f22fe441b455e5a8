"""What the template tells the functions, read once from the environment and checked."""

import os
from dataclasses import dataclass
from functools import cache

from whop_sync.payloads import PRESETS, Preset

_WHOP_API_URLS = {
    "production": "https://api.whop.com/api/v1",
    "sandbox": "https://sandbox-api.whop.com/api/v1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverConfig:
    preset: Preset
    signing_secrets_arn: str
    user_created_queue_url: str
    profile_updated_queue_url: str
    parked_deliveries_queue_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """`picture_allowed_origin` is the one `http://host:port` whose pictures need neither https nor a public address."""

    whop_api_url: str
    whop_api_version: str
    whop_api_key_arn: str
    whop_company_id: str
    title_format: str
    picture_allowed_origin: str | None
    user_mappings_table: str
    queue_url: str
    dead_letter_queue_url: str


@cache
def receiver_config() -> ReceiverConfig:
    """Raises ValueError with a sentence that names the setting and what it must be."""
    preset = _setting("PAYLOAD_PRESET")
    if preset not in PRESETS:
        raise ValueError(f"PAYLOAD_PRESET must be one of {', '.join(PRESETS)}, not {preset}")
    return ReceiverConfig(
        preset=PRESETS[preset],
        signing_secrets_arn=_setting("WEBHOOK_SIGNING_SECRETS_ARN"),
        user_created_queue_url=_setting("USER_CREATED_QUEUE_URL"),
        profile_updated_queue_url=_setting("PROFILE_UPDATED_QUEUE_URL"),
        parked_deliveries_queue_url=_setting("PARKED_DELIVERIES_QUEUE_URL"),
    )


@cache
def worker_config() -> WorkerConfig:
    """Raises ValueError with a sentence that names the setting and what it must be."""
    environment = _setting("WHOP_ENVIRONMENT")
    if environment not in _WHOP_API_URLS:
        raise ValueError(f"WHOP_ENVIRONMENT must be sandbox or production, not {environment}")
    stand_in = os.environ.get("WHOP_API_URL") or None
    picture_allowed_origin = os.environ.get("PICTURE_ALLOWED_ORIGIN") or None
    if environment == "production" and (stand_in or picture_allowed_origin):
        raise ValueError("WHOP_API_URL and PICTURE_ALLOWED_ORIGIN must be empty when WHOP_ENVIRONMENT is production")
    title_format = _setting("TITLE_FORMAT")
    if "{user_id}" not in title_format:
        raise ValueError("TITLE_FORMAT must contain {user_id}: Whop refuses two connected accounts with one title")
    return WorkerConfig(
        whop_api_url=stand_in or _WHOP_API_URLS[environment],
        whop_api_version=_setting("WHOP_API_VERSION"),
        whop_api_key_arn=_setting("WHOP_API_KEY_ARN"),
        whop_company_id=_setting("WHOP_COMPANY_ID"),
        title_format=title_format,
        picture_allowed_origin=picture_allowed_origin,
        user_mappings_table=_setting("USER_MAPPINGS_TABLE"),
        queue_url=_setting("QUEUE_URL"),
        dead_letter_queue_url=_setting("DEAD_LETTER_QUEUE_URL"),
    )


def _setting(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise ValueError(f"{name} is not set: the functions expect the environment that template.yaml gives them")
    return value
