"""What comes in and what goes out: the secrets of webhooks and of announcements, and where announcements go."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
from botocore.exceptions import ClientError

from whop_sync.announcing.webhooks import announcement_keys
from whop_sync.errors import OperatorNeeded
from whop_sync.receiving.platforms import configured
from whop_sync.receiving.signatures import parse_secrets
from whop_sync.receiving.whop_webhooks import whop_webhook_keys
from whop_sync.whop.client import http_client
from whop_user_sync.checks.findings import Finding, as_sentence
from whop_user_sync.stack import is_loopback


def check_signing_secret(settings: Mapping[str, str], secret: Callable[[], str]) -> Iterator[Finding]:
    """Whether the receiver's settings can be read, and its signing secrets go with its scheme."""
    try:
        scheme = configured(settings).scheme
    except ValueError as error:
        yield Finding("settings", "wrong", as_sentence(str(error)))
        return
    try:
        keys = parse_secrets(secret(), scheme)
    except OperatorNeeded as error:
        yield Finding("signing_secret", "wrong", f"There are no signing secrets: {error.explanation}.")
    except ValueError as error:
        yield Finding("signing_secret", "wrong", f"The signing secrets cannot be used: {error}.")
    else:
        yield Finding("signing_secret", "ok", f"{len(keys)} signing secret(s) of the form of scheme {scheme.name}.")


def check_whop_webhook_secret(secret: Callable[[], str]) -> Finding:
    """Whether the secrets of Whop's own webhooks are there and can be such."""
    try:
        keys = whop_webhook_keys(secret())
    except OperatorNeeded as error:
        unset = error.reason == "whop_webhook_secrets_unavailable"
        problem = "There is no secret of Whop's webhooks" if unset else "The secrets of Whop's webhooks cannot be used"
        return Finding("whop_webhook_secret", "wrong", f"{problem}: {error.explanation}.")
    return Finding("whop_webhook_secret", "ok", f"{len(keys)} secret(s) of Whop's webhooks.")


def check_announcement_secrets(secret: Callable[[], str]) -> Finding:
    """Whether announcements can be signed."""
    try:
        keys = announcement_keys(secret())
    except OperatorNeeded as error:
        explanation = error.explanation.rstrip(".")
        return Finding(
            "announcement_secrets",
            "wrong",
            f"Announcements cannot be signed: {explanation}. The output SetAnnouncementSecrets is the command.",
        )
    return Finding("announcement_secrets", "ok", f"{len(keys)} secret(s) sign announcements.")


def check_platform_url(url: str, *, http: httpx.Client | None = None) -> Finding:
    """Whether the platform's backend answers at all. It is asked by HEAD, so it is sent no announcement."""
    try:
        status = (http or http_client(proxied=not is_loopback(url))).head(url).status_code
    except httpx.RequestError as error:
        return Finding(
            "platform_url",
            "wrong",
            f"PlatformUrl does not answer ({type(error).__name__}): announcements wait until it does.",
        )
    if status >= 500:  # noqa: PLR2004 - a status speaks for itself
        return Finding("platform_url", "warning", f"PlatformUrl answers {status}: see what ails your backend.")
    if status == httpx.codes.GONE:
        return Finding(
            "platform_url", "warning", "PlatformUrl answers 410 (Gone): an announcement that is answered so is parked."
        )
    if 300 <= status < 400:  # noqa: PLR2004
        return Finding(
            "platform_url", "warning", f"PlatformUrl answers {status}, and announcements follow no redirect."
        )
    return Finding("platform_url", "ok", "PlatformUrl answers. No announcement was sent to it.")


def check_event_bus(events: Any, bus: str) -> Finding:
    """Whether the bus is there that announcements are put on."""
    try:
        events.describe_event_bus(Name=bus)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        return Finding(
            "event_bus", "wrong", f"There is no event bus {bus}: create it, or correct AnnouncementEventBus."
        )
    return Finding("event_bus", "ok", f"The event bus {bus} is there.")
