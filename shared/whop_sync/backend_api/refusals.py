"""Every answer other than 200: `error` is a fixed word for programs, `message` a sentence for people.

docs/api.md and docs/openapi.yaml explain each of them.
"""

from dataclasses import asdict
from typing import Any, Literal

from whop_sync.aws.api_gateway import HttpAnswer
from whop_sync.backend_api.http_api import answer
from whop_sync.errors import Malformed, Permanent, SyncError, Transient
from whop_sync.users.directory import Entry

type Refusal = Literal[
    "bad_request",
    "unknown_user",
    "not_enrolled_yet",
    "no_email",
    "enrollment_failed",
    "user_suspended",
    "user_deleted",
    "no_account",
    "not_chosen",
    "whop_refused",
    "whop_unavailable",
    "unavailable",
]

RETRY_SECONDS = 5
"""When to ask again for a user who is on the way: most are enrolled sooner."""

FAILED_RETRY_SECONDS = 3600


def bad_request(error: Malformed) -> HttpAnswer:
    return _refusal(400, "bad_request", error.explanation)


def unknown_user() -> HttpAnswer:
    return _refusal(404, "unknown_user", "No event about this user has been handled.")


def unknown_at_whop(what: Literal["Whop user", "Whop account"]) -> HttpAnswer:
    return _refusal(404, "unknown_user", f"No user is mapped to this {what}.")


def not_enrolled(status: int, entry: Entry, **more: Any) -> HttpAnswer:
    """The user is known and has no Whop user: not yet, or not until an event with corrected data arrives."""
    if entry.status == "no_email":
        message = "The user has no e-mail, and Whop enrolls by e-mail. An event that brings one enrolls them."
        return _refusal(status, "no_email", message, **more)
    if entry.status == "failed":
        message = (
            f"The user could not be enrolled on Whop: {entry.last_error}. It is retried when corrected data arrives."
        )
        return _refusal(status, "enrollment_failed", message, retry_after=FAILED_RETRY_SECONDS, **more)
    message = "The user is being enrolled on Whop and has no Whop user yet."
    return _refusal(status, "not_enrolled_yet", message, retry_after=RETRY_SECONDS, **more)


def recorded(entry: Entry, *, not_enrolled_status: int) -> HttpAnswer:
    """What is recorded about a user: 200, 410 if the platform has deleted them, or why there is no Whop user."""
    if entry.standing == "deleted":
        return deleted_user(entry, user=asdict(entry))
    if entry.whop_user_id is None:
        return not_enrolled(not_enrolled_status, entry, user=asdict(entry))
    return answer(200, asdict(entry))


def not_chosen(error: Permanent) -> HttpAnswer:
    return _refusal(409, "not_chosen", f"{error.explanation}, so the user is not enrolled.")


def deleted_user(entry: Entry, **more: Any) -> HttpAnswer:
    message = "The platform has deleted this user."
    return _refusal(410, "user_deleted", message, standing=entry.standing, since=entry.standing_since, **more)


def suspended_user(entry: Entry) -> HttpAnswer:
    message = "The platform has suspended this user."
    return _refusal(403, "user_suspended", message, standing=entry.standing, since=entry.standing_since)


def no_account() -> HttpAnswer:
    message = "The user came by Whop sign-in and has no connected account: payouts belong to connected accounts."
    return _refusal(409, "no_account", message)


def unreadable_table() -> HttpAnswer:
    return _refusal(503, "unavailable", "The users' records cannot be read now.", retry_after=1)


def not_stored() -> HttpAnswer:
    message = "The request could neither be finished nor stored now. Send it again."
    return _refusal(503, "unavailable", message, retry_after=1)


def crashed() -> HttpAnswer:
    return _refusal(503, "unavailable", "The request met a defect. The function's log has it as a line crash.")


def whop_trouble(error: SyncError) -> HttpAnswer:
    """Whop's own words are left out: they may quote anything, and the caller cannot fix what they are about."""
    status = error.answer.status if error.answer else None
    if status and 400 <= status < 500 and status not in (408, 429):  # noqa: PLR2004 - statuses speak for themselves
        return _refusal(
            502, "whop_refused", "Whop refused. The function's log names the reason; a retry will not help."
        )
    retry_after = error.retry_after if isinstance(error, Transient) else None
    return _refusal(503, "whop_unavailable", "Whop did not answer as it should.", retry_after=retry_after)


def _refusal(status: int, error: Refusal, message: str, *, retry_after: float | None = None, **more: Any) -> HttpAnswer:
    return answer(status, {"error": error, "message": message, **more}, retry_after=retry_after)
