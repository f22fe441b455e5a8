"""For which platform the local stack runs: what one says to `make up`, and the template's parameters for it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from local_stack.errors import UsageError
from local_stack.sending import SECRET
from whop_sync.receiving.platforms import configured
from whop_sync.values import distinct_keys

PLAIN_SECRET = "demo-secret-never-use-it-for-real"
"""Signs for platforms whose secrets are plain text; the other one has the form of Standard Webhooks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A platform's preset with what differs from it: environment variables of the receiver by their names.

    `platform_url` is where announcements go, empty for the small receiving end of the local stack.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    platform_url: str = ""
    signing_secret: str = field(default=SECRET, repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Reads PRESET, SCHEME, OVERRIDES (JSON or a file of it), SIGNATURE_..., ENROLL_IF, SECRET and PLATFORM_URL.

        Raises UsageError.
        """
        variables = {name: text for name, text in environment.items() if name.startswith("SIGNATURE_") and text}
        if enroll_if := environment.get("ENROLL_IF"):
            variables["ENROLL_IF"] = enroll_if
        variables["PAYLOAD_PRESET"] = environment.get("PRESET") or "standard"
        if scheme := environment.get("SCHEME"):
            variables["SIGNATURE_SCHEME"] = scheme
        if overrides := environment.get("OVERRIDES"):
            variables["PAYLOAD_OVERRIDES"] = _json(overrides)
        try:
            scheme_of_it = configured(variables).scheme
        except ValueError as error:
            raise UsageError(str(error)) from None
        platform_url = _platform_url(environment.get("PLATFORM_URL", ""))
        for secret in [environment["SECRET"]] if environment.get("SECRET") else [SECRET, PLAIN_SECRET]:
            try:
                scheme_of_it.keys(secret)
            except ValueError as error:
                reason = str(error)
            else:
                return cls(variables=variables, platform_url=platform_url, signing_secret=secret)
        raise UsageError(f"SECRET does not fit: {reason}")

    @property
    def preset(self) -> str:
        return self.variables.get("PAYLOAD_PRESET", "standard")

    @property
    def standard_secret(self) -> str:
        """What signs webhooks of the form of Standard Webhooks: the stack's own secret, if its platform has it."""
        scheme = configured({**self.variables, "PAYLOAD_PRESET": self.preset}).scheme
        return self.signing_secret if scheme.name == "standard" else SECRET

    def parameters(self) -> dict[str, str]:
        """The template's parameters with their values."""
        parameters = {name.title().replace("_", ""): text for name, text in self.variables.items()}
        if self.platform_url:
            parts = urlsplit(self.platform_url)
            parameters |= {
                "PlatformUrl": self.platform_url,
                "PlatformAllowedOrigin": f"{parts.scheme}://{parts.netloc}",
            }
        return parameters


def _platform_url(text: str) -> str:
    if text and not (text.startswith(("http://", "https://")) and urlsplit(text).hostname):
        raise UsageError("PLATFORM_URL is a URL of your backend, such as http://127.0.0.1:3000/whop-announcements.")
    return text


def _json(text: str) -> str:
    if not text.lstrip().startswith("{"):
        try:
            text = Path(text).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise UsageError(f"OVERRIDES is neither JSON nor a file of it: {error}") from None
    try:
        return json.dumps(json.loads(text, object_pairs_hook=distinct_keys))
    except json.JSONDecodeError as error:
        raise UsageError(f"OVERRIDES is no JSON: {error}") from None
    except ValueError as error:
        raise UsageError(f"OVERRIDES: {error}") from None
