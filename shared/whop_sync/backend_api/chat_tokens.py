"""`POST /users/{user_id}/chat-token`: a short-lived token with which one user chats in the platform's company.

A token is shown once, to the caller: it is in no log line, no table and no cache. What it may do is named here, always:
Whop gives a token without scopes everything that the API key may do.
"""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from whop_sync.aws.api_gateway import HttpEvent
from whop_sync.backend_api.http_api import answer, parameter, refusal
from whop_sync.backend_api.lookups import (
    bad_request,
    deleted_user,
    not_enrolled,
    suspended_user,
    unknown_user,
    unreadable_table,
)
from whop_sync.errors import Malformed, Permanent, SyncError, Transient
from whop_sync.journal import Journal
from whop_sync.users.directory import Directory
from whop_sync.whop.client import Whop

DEFAULT_SECONDS = 3600
MAX_SECONDS = 3 * 3600
"""Whop's own default and limit for the life of a token."""

CLOCK_MARGIN_SECONDS = 5
"""So much less than Whop's limit is asked for at most: its clock may be a little behind ours."""

MAX_BODY_LENGTH = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatTokens:
    directory: Directory
    whop: Whop
    company: str
    actions: Sequence[str]
    journal: Journal
    clock: Callable[[], float]

    def answer(self, http_event: HttpEvent) -> dict[str, Any]:
        """200 with `token` and `expires_at`.

        400 for a wrong id or body; 404 for an unknown user; 403 or 410 for one whom the platform has suspended or
        deleted; 409 for one who is not enrolled, with Retry-After if they may soon be; 502 when Whop refuses, which an
        operator has to look into; 503 when it, or the table, is unavailable just now.
        """
        try:
            return self._answer(http_event)
        finally:
            self.journal.flush()

    def _answer(self, http_event: HttpEvent) -> dict[str, Any]:
        user_id = ""
        try:
            user_id = parameter(http_event, "user_id") or ""
            seconds = _wanted_seconds(http_event)
            entry = self.directory.entry(user_id)
        except Malformed as error:
            self.journal.request("ChatToken", "refused", user_id=user_id, error=error)
            return bad_request(error)
        except Transient as error:
            self.journal.request("ChatToken", "failed", user_id=user_id, error=error)
            return unreadable_table()
        if entry is not None and entry.standing != "active":
            self.journal.request("ChatToken", "refused", user_id=user_id)
            return deleted_user(entry) if entry.standing == "deleted" else suspended_user(entry)
        if entry is None or entry.whop_user_id is None:
            self.journal.request("ChatToken", "absent", user_id=user_id)
            return unknown_user() if entry is None else not_enrolled(409, entry)
        try:
            token = self.whop.create_access_token(
                company=self.company,
                whop_user_id=entry.whop_user_id,
                actions=self.actions,
                expires_at=self.clock() + min(seconds, MAX_SECONDS - CLOCK_MARGIN_SECONDS),
            )
        except (Transient, Permanent) as error:
            self.journal.request("ChatToken", "failed", user_id=user_id, error=error)
            return _whop_trouble(error)
        self.journal.request("ChatToken", "answered", user_id=user_id)
        return answer(200, {"token": token.token, "expires_at": token.expires_at})


def _wanted_seconds(http_event: HttpEvent) -> int:
    document = _document(http_event)
    if set(document) - {"expires_in_seconds"}:
        raise Malformed("bad_request", "The body may hold expires_in_seconds and nothing else.")
    seconds = document.get("expires_in_seconds", DEFAULT_SECONDS)
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 1 <= seconds <= MAX_SECONDS:
        explanation = f"expires_in_seconds must be a whole number from 1 to {MAX_SECONDS}, which is three hours."
        raise Malformed("bad_request", explanation)
    return seconds


def _document(http_event: HttpEvent) -> dict[str, Any]:
    """The body as a JSON object, empty if there is none. Raises Malformed."""
    text = http_event.get("body") or ""
    if len(text) > MAX_BODY_LENGTH:
        raise Malformed("bad_request", "The body is too long for what it may hold.")
    try:
        if http_event.get("isBase64Encoded"):
            text = base64.b64decode(text, validate=True).decode()
        document = json.loads(text) if text.strip() else {}
    except (binascii.Error, ValueError):
        raise Malformed("bad_request", "The body is not JSON.") from None
    if not isinstance(document, dict):
        raise Malformed("bad_request", "The body must be a JSON object.")
    return document


def _whop_trouble(error: SyncError) -> dict[str, Any]:
    """What Whop said stays here: it may quote anything, and the caller cannot fix it."""
    status = error.answer.status if error.answer else None
    if status and 400 <= status < 500 and status not in (408, 429):  # noqa: PLR2004 - statuses speak for themselves
        message = "Whop refused to make a token. The function's log says why; asking again will not help."
        return refusal(502, "whop_refused", message)
    retry_after = error.retry_after if isinstance(error, Transient) else None
    return refusal(503, "whop_unavailable", "Whop could not make a token just now.", retry_after=retry_after)
