"""`GET /users/{user_id}`, `GET /whop-users/{whop_user_id}` and `GET /whop-accounts/{whop_company_id}`: what is recorded
about a user, for the platform."""

from dataclasses import dataclass

from whop_sync.aws.api_gateway import HttpAnswer, HttpEvent
from whop_sync.backend_api.http_api import parameter
from whop_sync.backend_api.refusals import (
    bad_request,
    crashed,
    recorded,
    unknown_at_whop,
    unknown_user,
    unreadable_table,
)
from whop_sync.errors import Malformed, Transient
from whop_sync.journal import Journal
from whop_sync.users.directory import Directory


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUp:
    directory: Directory
    journal: Journal

    def answer(self, http_event: HttpEvent) -> HttpAnswer:
        """200 with the user.

        400 for an id that cannot be what was meant; 404 with the reason why there is no Whop user; 410 for a user whom
        the platform has deleted; 503 when the table cannot be read, or after a defect.
        """
        return self.journal.guarded(lambda: self._answer(http_event), after_crash=crashed())

    def _answer(self, http_event: HttpEvent) -> HttpAnswer:
        user_id = None
        unknown = unknown_user()
        try:
            user_id = parameter(http_event, "user_id")
            whop_user_id = parameter(http_event, "whop_user_id")
            company_id = parameter(http_event, "whop_company_id")
            if whop_user_id is not None:
                user_id, unknown = self.directory.user_of(whop_user_id), unknown_at_whop("Whop user")
            elif company_id is not None:
                user_id, unknown = self.directory.user_of_account(company_id), unknown_at_whop("Whop account")
            entry = None if user_id is None else self.directory.entry(user_id)
        except Malformed as error:
            self.journal.request("LookUp", "refused", user_id=user_id, error=error)
            return bad_request(error)
        except Transient as error:
            self.journal.request("LookUp", "failed", user_id=user_id, error=error)
            return unreadable_table()
        self.journal.request("LookUp", "answered" if entry and entry.whop_user_id else "absent", user_id=user_id)
        return unknown if entry is None else recorded(entry, not_enrolled_status=404)
