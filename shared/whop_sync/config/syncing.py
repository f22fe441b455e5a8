"""What brings users to Whop: the workers of the two queues, and `PUT /users/{user_id}`."""

import os
import re
from dataclasses import dataclass

from whop_sync.config.settings import setting, user_mappings_table
from whop_sync.config.whop import WhopConfig, whop_config

CALLS_PER_MINUTE = 600
"""Whop's default limit for one operation and API key (https://docs.whop.com/developer/api/getting-started)."""
FEWEST_CALLS_PER_MINUTE = 30
"""With fewer, the slots that are reserved at once would lie further ahead than any worker waits."""

_COUNTRY = re.compile(r"[a-z]{2}", re.ASCII)


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
class EnrollConfig:
    """What `PUT /users/{user_id}` needs. `enroll_if`, which may be empty, is as given: `receiving` decides what it
    means."""

    sync: SyncConfig
    enroll_if: str
    user_created_queue_url: str
    profile_updated_queue_url: str


def worker_config() -> WorkerConfig:
    """Raises ValueError with a sentence that names the setting and what it must be."""
    return WorkerConfig(
        sync=_sync_config(),
        queue_url=setting("QUEUE_URL"),
        dead_letter_queue_url=setting("DEAD_LETTER_QUEUE_URL"),
    )


def enroll_config() -> EnrollConfig:
    """Raises ValueError with a sentence that names the setting and what it must be."""
    return EnrollConfig(
        sync=_sync_config(),
        enroll_if=os.environ.get("ENROLL_IF", ""),
        user_created_queue_url=setting("USER_CREATED_QUEUE_URL"),
        profile_updated_queue_url=setting("PROFILE_UPDATED_QUEUE_URL"),
    )


def _sync_config() -> SyncConfig:
    whop = whop_config()
    picture_allowed_origin = os.environ.get("PICTURE_ALLOWED_ORIGIN") or None
    if picture_allowed_origin and setting("WHOP_ENVIRONMENT") == "production":
        raise ValueError("PICTURE_ALLOWED_ORIGIN must be empty when WHOP_ENVIRONMENT is production")
    title_format = setting("TITLE_FORMAT")
    if "{user_id}" not in title_format:
        raise ValueError("TITLE_FORMAT must contain {user_id}: Whop refuses two connected accounts with one title")
    return SyncConfig(
        whop=whop,
        account_country=_account_country(),
        whop_calls_per_minute=_calls_per_minute(),
        title_format=title_format,
        deleted_user_name=setting("DELETED_USER_NAME"),
        picture_allowed_origin=picture_allowed_origin,
        user_mappings_table=user_mappings_table(),
        announcements_queue_url=os.environ.get("ANNOUNCEMENTS_QUEUE_URL") or None,
    )


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
