"""What a check found."""

from dataclasses import dataclass
from typing import Literal

type About = Literal[
    "settings",
    "whop_api_key",
    "whop_payouts_api_key",
    "whop_company",
    "whop_scope",
    "whop_api_version",
    "whop",
    "signing_secret",
    "whop_webhook_secret",
    "announcement_secrets",
    "platform_url",
    "event_bus",
    "queues",
    "alarms",
    "alarm_mail",
    "concurrency",
    "clock",
]

type Verdict = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`about` is a fixed word for programs. `wrong` means that something does not work; a `warning` leaves the choice
    to a person."""

    about: About
    verdict: Verdict
    sentence: str


def as_sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""
