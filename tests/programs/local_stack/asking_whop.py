"""What Whop shows, asked at Whop itself with plain calls: evidence must not come from the code under proof."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

import httpx

VERSION = "2026-08-21-1"
SANDBOX_URL = "https://sandbox-api.whop.com/api/v1"


@dataclass(frozen=True, slots=True)
class WhopAccess:
    """A Whop, and a platform's company with its key there. `sandbox`: it is Whop's own, and no stand-in."""

    api_url: str
    company_id: str
    api_key: str = field(repr=False)
    sandbox: bool = False

    def accounts(self, *, since: datetime) -> list[dict[str, Any]]:
        """The company's connected accounts created since then, as GET /companies lists them."""
        query = {"parent_company_id": self.company_id, "created_after": since.isoformat(), "first": "50"}
        return list(self._pages("/companies", query))

    def user(self, whop_user_id: str) -> dict[str, Any]:
        """A user as the company shows them."""
        return self._get(f"/users/{whop_user_id}", {"account_id": self.company_id})

    def user_everywhere_else(self, whop_user_id: str) -> dict[str, Any]:
        """A user's own, global profile, which only they may change."""
        return self._get(f"/users/{whop_user_id}", {})

    def _pages(self, path: str, query: dict[str, str]) -> Iterator[dict[str, Any]]:
        while True:
            page = self._get(path, query)
            yield from page["data"]
            if not page["page_info"]["has_next_page"]:
                return
            query = {**query, "after": page["page_info"]["end_cursor"]}

    def _get(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.api_key}", "Api-Version-Date": VERSION}
        # A stand-in on this machine is never reached through a proxy, the sandbox may be.
        response = httpx.get(
            self.api_url + path, params=query, headers=headers, timeout=20, trust_env=self.sandbox, verify=_tls()
        ).raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer


@cache
def _tls() -> ssl.SSLContext:
    """Made once: reading all certificates takes longer than a call to a stand-in."""
    return httpx.create_ssl_context()
