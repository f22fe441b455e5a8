"""How to reach Whop."""

import os
from dataclasses import dataclass

from whop_sync.config.settings import setting

WHOP_API_URLS = {
    "production": "https://api.whop.com/api/v1",
    "sandbox": "https://sandbox-api.whop.com/api/v1",
}
"""By WhopEnvironment (https://docs.whop.com/developer/api/getting-started)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhopConfig:
    """How to reach Whop. `enrollment` and `api_version`, which may be empty, are as given: `whop.generations` decides
    what they mean."""

    api_url: str
    enrollment: str
    api_version: str
    api_key_arn: str
    company_id: str


def whop_config() -> WhopConfig:
    """Raises ValueError with a sentence that names the setting and what it must be."""
    environment = setting("WHOP_ENVIRONMENT")
    if environment not in WHOP_API_URLS:
        raise ValueError(f"WHOP_ENVIRONMENT must be sandbox or production, not {environment}")
    stand_in = os.environ.get("WHOP_API_URL") or None
    if stand_in and environment == "production":
        raise ValueError("WHOP_API_URL must be empty when WHOP_ENVIRONMENT is production")
    return WhopConfig(
        api_url=stand_in or WHOP_API_URLS[environment],
        enrollment=setting("WHOP_ENROLLMENT"),
        api_version=os.environ.get("WHOP_API_VERSION", ""),
        api_key_arn=setting("WHOP_API_KEY_ARN"),
        company_id=setting("WHOP_COMPANY_ID"),
    )
