"""What a user needs to be paid: `POST /users/{user_id}/account-link` and `POST /users/{user_id}/payout-token`.

Both are about the user's own connected account. A link opens a page at Whop for the user to visit; a token is for the
payout elements in the platform's own page.
(https://docs.whop.com/developer/platforms/enroll-connected-accounts,
https://docs.whop.com/developer/platforms/render-payout-portal)
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from whop_sync.aws.api_gateway import HttpAnswer, HttpEvent
from whop_sync.backend_api.http_api import document, seconds_in
from whop_sync.backend_api.user_requests import EnrolledUser, UserRequests
from whop_sync.errors import Malformed
from whop_sync.journal import Journal
from whop_sync.users.directory import Directory
from whop_sync.whop.client import AccountLinkUseCase, Whop

DEFAULT_SECONDS = 15 * 60
MAX_SECONDS = 3600
"""Ours: such a token moves money, so it lives shorter than Whop allows."""

MAX_URL_LENGTH = 2000

_USE_CASES: Mapping[str, AccountLinkUseCase] = {
    "account_onboarding": "account_onboarding",
    "payouts_portal": "payouts_portal",
}
# No user name before the host, no blank, no backslash, no HTTPS: what browsers and parsers read in different ways.
_HTTPS_URL = re.compile(r"https://([A-Za-z0-9.-]+(?::[0-9]{1,5})?)(?:[/?#][!-\[\]-~]*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRequest:
    use_case: AccountLinkUseCase
    refresh_url: str
    return_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLinks:
    """`hosts` are those that a link may lead back to, with a port where it is not the usual one."""

    directory: Directory
    whop: Whop
    hosts: frozenset[str]
    journal: Journal

    def answer(self, http_event: HttpEvent) -> HttpAnswer:
        """200 with `url` and `expires_at`; refusals as in `UserRequests`."""
        requests = UserRequests(name="AccountLink", directory=self.directory, journal=self.journal, needs_account=True)
        return requests.answer(http_event, self._read, self._create)

    def _read(self, http_event: HttpEvent) -> LinkRequest:
        found = document(http_event, "use_case", "refresh_url", "return_url")
        use_case = _USE_CASES.get(str(found.get("use_case")))
        if use_case is None:
            raise Malformed("bad_request", f"use_case must be {' or '.join(_USE_CASES)}.")
        return LinkRequest(
            use_case=use_case,
            refresh_url=self._url(found, "refresh_url"),
            return_url=self._url(found, "return_url"),
        )

    def _url(self, found: Mapping[str, Any], name: str) -> str:
        url = found.get(name)
        parts = _HTTPS_URL.fullmatch(url) if isinstance(url, str) and len(url) <= MAX_URL_LENGTH else None
        if not isinstance(url, str) or parts is None:
            raise Malformed("bad_request", f"{name} must be an https URL of at most {MAX_URL_LENGTH} characters.")
        if parts[1].lower() not in self.hosts:
            raise Malformed("bad_request", f"The host of {name} is not among AccountLinkHosts.")
        return url

    def _create(self, user: EnrolledUser, wanted: LinkRequest) -> Mapping[str, Any]:
        link = self.whop.create_account_link(
            account=user.whop_company_id or "",
            use_case=wanted.use_case,
            refresh_url=wanted.refresh_url,
            return_url=wanted.return_url,
        )
        return {"url": link.url, "expires_at": link.expires_at}


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    actions: Sequence[str]
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutTokens:
    """`actions` are the most that a token may allow, never none: Whop would allow it all that the API key may do."""

    directory: Directory
    whop: Whop
    actions: Sequence[str]
    journal: Journal
    clock: Callable[[], float]

    def answer(self, http_event: HttpEvent) -> HttpAnswer:
        """200 with `token`, `expires_at` and `actions`; refusals as in `UserRequests`."""
        requests = UserRequests(name="PayoutToken", directory=self.directory, journal=self.journal, needs_account=True)
        return requests.answer(http_event, self._read, self._mint)

    def _read(self, http_event: HttpEvent) -> TokenRequest:
        found = document(http_event, "actions", "expires_in_seconds")
        actions = found.get("actions", list(self.actions))
        if not isinstance(actions, list) or not actions or any(action not in self.actions for action in actions):
            raise Malformed(
                "bad_request", f"actions must be a list of some of PayoutTokenActions: {', '.join(self.actions)}."
            )
        return TokenRequest(
            actions=sorted(set(actions)), seconds=seconds_in(found, default=DEFAULT_SECONDS, most=MAX_SECONDS)
        )

    def _mint(self, user: EnrolledUser, wanted: TokenRequest) -> Mapping[str, Any]:
        token = self.whop.create_access_token(
            company=user.whop_company_id or "",
            whop_user_id=None,
            actions=wanted.actions,
            expires_at=self.clock() + wanted.seconds,
        )
        return {"token": token.token, "expires_at": token.expires_at, "actions": list(wanted.actions)}
