"""What the routes that ask Whop for one user have in common: who the user is, whether they may, and what is logged.

What Whop answers is shown once, to the caller: it is in no log line, no table and no cache.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from whop_sync.aws.api_gateway import HttpAnswer, HttpEvent
from whop_sync.backend_api.http_api import answer, parameter
from whop_sync.backend_api.refusals import (
    bad_request,
    crashed,
    deleted_user,
    no_account,
    not_enrolled,
    suspended_user,
    unknown_user,
    unreadable_table,
    whop_trouble,
)
from whop_sync.errors import Malformed, Permanent, Transient
from whop_sync.journal import Journal, RequestName
from whop_sync.users.directory import Directory, Entry


@dataclass(frozen=True, slots=True)
class EnrolledUser:
    """The user whom a request is about. `whop_company_id` is None for one who came by Whop sign-in."""

    whop_user_id: str
    whop_company_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRequests:
    """One route. `needs_account` says that it is about the user's connected account, and not about the user."""

    name: RequestName
    directory: Directory
    journal: Journal
    needs_account: bool = False

    def answer[Wanted](
        self,
        http_event: HttpEvent,
        read: Callable[[HttpEvent], Wanted],
        ask_whop: Callable[[EnrolledUser, Wanted], Mapping[str, Any]],
    ) -> HttpAnswer:
        """200 with what `ask_whop` returns.

        400 for a wrong id or body; 404 for an unknown user; 403 or 410 for one whom the platform has suspended or
        deleted; 409 for one who is not enrolled, with Retry-After if they may soon be, and for one who has no account
        where one is needed; 502 when Whop refuses, which an operator has to look into; 503 when Whop or the table is
        unavailable, or after a defect.

        `read` raises Malformed, `ask_whop` raises Transient and Permanent.
        """
        return self.journal.guarded(lambda: self._answer(http_event, read, ask_whop), after_crash=crashed())

    def _answer[Wanted](
        self,
        http_event: HttpEvent,
        read: Callable[[HttpEvent], Wanted],
        ask_whop: Callable[[EnrolledUser, Wanted], Mapping[str, Any]],
    ) -> HttpAnswer:
        user_id = ""
        try:
            user_id = parameter(http_event, "user_id") or ""
            wanted = read(http_event)
            entry = self.directory.entry(user_id)
        except Malformed as error:
            self.journal.request(self.name, "refused", user_id=user_id, error=error)
            return bad_request(error)
        except Transient as error:
            self.journal.request(self.name, "failed", user_id=user_id, error=error)
            return unreadable_table()
        if entry is not None and entry.standing != "active":
            self.journal.request(self.name, "refused", user_id=user_id)
            return deleted_user(entry) if entry.standing == "deleted" else suspended_user(entry)
        user = self._user(entry)
        if not isinstance(user, EnrolledUser):
            self.journal.request(self.name, "absent", user_id=user_id)
            return user
        try:
            found = ask_whop(user, wanted)
        except (Transient, Permanent) as error:
            self.journal.request(self.name, "failed", user_id=user_id, error=error)
            return whop_trouble(error)
        self.journal.request(self.name, "answered", user_id=user_id)
        return answer(200, found)

    def _user(self, entry: Entry | None) -> EnrolledUser | HttpAnswer:
        """The user if Whop may be asked about them, else the answer that says why not."""
        if entry is None:
            return unknown_user()
        if entry.whop_user_id is None:
            return not_enrolled(409, entry)
        if self.needs_account and entry.whop_company_id is None:
            return no_account()
        return EnrolledUser(entry.whop_user_id, entry.whop_company_id)
