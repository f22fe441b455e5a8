"""Calls as they are made, without the application's client: evidence must not come from the code under proof."""

from dataclasses import dataclass, field
from typing import Any, Self

import httpx

from local_stack.asking_whop import WhopAccess

COMPANIES, ACCOUNTS, BEFORE_FILES = "2026-08-21-1", "2026-09-23", "2026-07-20"
"""The dates of the two generations, and one before native files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    body: dict[str, Any]
    headers: httpx.Headers

    @classmethod
    def of(cls, response: httpx.Response) -> Self:
        try:
            body = response.json()
        except ValueError:
            body = {}
        return cls(status=response.status_code, body=body if isinstance(body, dict) else {}, headers=response.headers)

    @property
    def is_success(self) -> bool:
        return httpx.codes.is_success(self.status)

    def __str__(self) -> str:
        """The status, with type and code of an error: neither ids nor what was sent."""
        error = self.body.get("error")
        words = [error.get("type"), error.get("code")] if isinstance(error, dict) else []
        return " ".join([str(self.status), *(str(word) for word in words if word)])


@dataclass(slots=True, kw_only=True)
class Probe:
    """One run against one Whop. `run` is part of all that it creates, `mailbox` receives what Whop may write."""

    whop: WhopAccess
    http: httpx.Client
    run: str
    mailbox: str
    created: dict[str, str] = field(default_factory=dict)
    """Titles by the ids of the accounts that were created."""

    def call(
        self,
        method: str,
        path: str,
        *,
        version: str = COMPANIES,
        query: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
        key: str | None = None,
    ) -> Answer:
        """Raises httpx.HTTPError if no answer comes."""
        headers = {"Authorization": f"Bearer {self.whop.api_key}", "Api-Version-Date": version}
        if key:
            headers["Idempotency-Key"] = key
        found = Answer.of(self.http.request(method, self.whop.api_url + path, params=query, json=body, headers=headers))
        if method == "POST" and path in ("/companies", "/accounts") and found.is_success and "id" in found.body:
            self.created[str(found.body["id"])] = str(found.body.get("title", ""))
        return found

    def email(self, name: str) -> str:
        """An address of the mailbox, which must take plus addresses."""
        local, _, domain = self.mailbox.partition("@")
        return f"{local}+{self.run}{name}@{domain}"

    def company(self, title: str, name: str, *, key: str | None = None) -> Answer:
        return self.call("POST", "/companies", body=self._company(title, self.email(name)), key=key)

    def undeliverable(self, title: str) -> Answer:
        return self.call("POST", "/companies", body=self._company(title, f"{self.run}@example.com"))

    def account(self, name: str, **fields: Any) -> Answer:
        body = {"email": self.email(name), "send_customer_emails": False, **fields}
        return self.call("POST", "/accounts", version=ACCOUNTS, body=body)

    def _company(self, title: str, email: str) -> dict[str, Any]:
        parent = self.whop.company_id
        return {"title": title, "email": email, "parent_company_id": parent, "send_customer_emails": False}
