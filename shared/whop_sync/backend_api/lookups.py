"""`GET /users/{user_id}` and `GET /whop-users/{whop_user_id}`: what is recorded about a user, for the platform."""

from dataclasses import asdict, dataclass
from typing import Any

from whop_sync.aws.api_gateway import HttpEvent
from whop_sync.backend_api.http_api import answer, parameter, refusal
from whop_sync.errors import Malformed, Transient
from whop_sync.journal import Journal
from whop_sync.users.directory import Directory, Entry

RETRY_SECONDS = 5
"""When to ask again for a user who is on the way: most are enrolled sooner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUp:
    directory: Directory
    journal: Journal

    def answer(self, http_event: HttpEvent) -> dict[str, Any]:
        """200 with the user; 400 for an id that cannot be what was meant; 404 that says why there is no Whop user;
        410 for a user whom the platform deleted; 503 when the table cannot be read.
        """
        try:
            return self._answer(http_event)
        finally:
            self.journal.flush()

    def _answer(self, http_event: HttpEvent) -> dict[str, Any]:
        user_id = None
        try:
            user_id = parameter(http_event, "user_id")
            whop_user_id = parameter(http_event, "whop_user_id")
            if whop_user_id is not None:
                user_id = self.directory.user_of(whop_user_id)
            entry = None if user_id is None else self.directory.entry(user_id)
        except Malformed as error:
            self.journal.request("LookUp", "refused", user_id=user_id, error=error)
            return bad_request(error)
        except Transient as error:
            self.journal.request("LookUp", "failed", user_id=user_id, error=error)
            return unreadable_table()
        self.journal.request("LookUp", "answered" if entry and entry.whop_user_id else "absent", user_id=user_id)
        if entry is None:
            return unknown_user() if whop_user_id is None else _unknown_whop_user()
        if entry.standing == "deleted":
            return deleted_user(entry, user=asdict(entry))
        if entry.whop_user_id is None:
            return not_enrolled(404, entry, user=asdict(entry))
        return answer(200, asdict(entry))


def bad_request(error: Malformed) -> dict[str, Any]:
    return refusal(400, error.reason, error.explanation)


def unknown_user() -> dict[str, Any]:
    return refusal(404, "unknown_user", "No event about this user has been handled.")


def _unknown_whop_user() -> dict[str, Any]:
    return refusal(404, "unknown_user", "No user is mapped to this Whop user.")


def not_enrolled(status: int, entry: Entry, **more: Any) -> dict[str, Any]:
    """The user is known and has no Whop user: not yet, or not until what is wrong is fixed."""
    if entry.status == "no_email":
        message = "The user has no e-mail, and Whop enrolls by e-mail. An event that brings one enrolls them."
        return refusal(status, "no_email", message, **more)
    if entry.status == "failed":
        problem = f"The user could not be enrolled on Whop: {entry.last_error}."
        message = f"{problem} It is retried when corrected data arrives."
        return refusal(status, "enrollment_failed", message, retry_after=3600, **more)
    message = "The user is on the way to Whop and has no Whop user yet."
    return refusal(status, "not_enrolled_yet", message, retry_after=RETRY_SECONDS, **more)


def deleted_user(entry: Entry, **more: Any) -> dict[str, Any]:
    message = "The platform has deleted this user."
    return refusal(410, "user_deleted", message, standing=entry.standing, since=entry.standing_since, **more)


def suspended_user(entry: Entry) -> dict[str, Any]:
    message = "The platform has suspended this user."
    return refusal(403, "user_suspended", message, standing=entry.standing, since=entry.standing_since)


def unreadable_table() -> dict[str, Any]:
    return refusal(503, "unavailable", "The users' records cannot be read just now.", retry_after=1)
