"""`POST /users/{user_id}/chat-token`: a short-lived token with which one user chats in the platform's company."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from whop_sync.aws.api_gateway import HttpAnswer, HttpEvent
from whop_sync.backend_api.http_api import document, seconds_in
from whop_sync.backend_api.user_requests import EnrolledUser, UserRequests
from whop_sync.journal import Journal
from whop_sync.users.directory import Directory
from whop_sync.whop.client import Whop

DEFAULT_SECONDS = 3600
MAX_SECONDS = 3 * 3600
"""Whop's own default and limit for the life of a token (https://docs.whop.com/developer/guides/chat/authentication)."""

CLOCK_MARGIN_SECONDS = 5
"""A token is asked to expire this long before Whop's limit, since Whop's clock may be a little behind ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatTokens:
    """`actions` are what a token allows, never none: Whop would allow it all that the API key may do."""

    directory: Directory
    whop: Whop
    company: str
    actions: Sequence[str]
    journal: Journal
    clock: Callable[[], float]

    def answer(self, http_event: HttpEvent) -> HttpAnswer:
        """200 with `token` and `expires_at`; refusals as in `UserRequests`."""
        requests = UserRequests(name="ChatToken", directory=self.directory, journal=self.journal)
        return requests.answer(http_event, _read_seconds, self._mint)

    def _mint(self, user: EnrolledUser, seconds: int) -> Mapping[str, Any]:
        token = self.whop.create_access_token(
            company=self.company,
            whop_user_id=user.whop_user_id,
            actions=self.actions,
            expires_at=self.clock() + min(seconds, MAX_SECONDS - CLOCK_MARGIN_SECONDS),
        )
        return {"token": token.token, "expires_at": token.expires_at}


def _read_seconds(http_event: HttpEvent) -> int:
    return seconds_in(document(http_event, "expires_in_seconds"), default=DEFAULT_SECONDS, most=MAX_SECONDS)
