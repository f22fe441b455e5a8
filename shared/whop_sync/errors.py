"""Every error that this package raises on purpose, sorted by what has to be done about it.

    SyncError
     ├─ Unauthentic       not proven to come from the platform        refuse it, keep nothing
     ├─ Malformed         genuine, but not readable as a user event   park it
     ├─ Transient         may work later                              back to the queue, for three days
     │   ├─ AwaitsTurn      another event or call comes first         back to the queue, for ten days
     │   └─ OperatorNeeded  an operator has to fix secret or setting  back to the queue, for ten days, and an alarm
     └─ Permanent         will never work as it is                    the row says why, and the event is parked

Errors of libraries are turned into these with `from None`, everywhere: their messages quote requests, and so e-mail
addresses and names, which a traceback would carry into the log.
"""

from dataclasses import dataclass
from typing import Literal

type Effect = Literal["none", "possible", "pending"]
"""What a failed request may have done at Whop: nothing; its work, perhaps; its work, perhaps later than now."""

type Reason = Literal[
    # Unauthentic
    "malformed_body",
    "malformed_signature",
    "malformed_timestamp",
    "malformed_token",
    "missing_header",
    "timestamp_in_future",
    "timestamp_too_old",
    "token_too_long_lived",
    "wrong_signature",
    # Malformed, of a delivery
    "bad_email",
    "bad_time",
    "bad_user_id",
    "bad_whop_user_id",
    "no_event_type",
    "no_user_id",
    "no_version",
    "not_an_object",
    "not_json",
    "not_text",
    "too_large",
    "unexpected_shape",
    "unreadable_message",
    "version_in_future",
    # Malformed, of a file of users or of one of its rows
    "bad_header",
    "bad_line_ends",
    "bad_status",
    "duplicate_email",
    "not_csv",
    "not_utf8",
    "too_long",
    "unknown_format",
    "wrong_columns",
    # Malformed, of a request to the backend API
    "bad_request",
    # Of a delivery, or of a webhook of Whop, that is ignored
    "no_account",
    "not_chosen",
    # Transient
    "dynamodb_unavailable",
    "event_bus_unavailable",
    "lease_lost",
    "picture_not_ready",
    "picture_unavailable",
    "platform_failed",
    "platform_no_answer",
    "platform_not_public",
    "platform_redirects",
    "platform_refused",
    "platform_untrusted",
    "s3_unavailable",
    "sqs_unavailable",
    "upload_refused",
    "whop_failed",
    "whop_in_progress",
    "whop_no_answer",
    "whop_unreachable",
    "whop_unreadable",
    # AwaitsTurn
    "busy",
    "no_email",
    "orphan_not_listed",
    "out_of_time",
    "unknown_account",
    "user_deleted",
    "user_suspended",
    "whop_rate_limited",
    "whop_slots_taken",
    # OperatorNeeded
    "announcement_secrets_invalid",
    "announcement_secrets_unavailable",
    "event_bus_missing",
    "settings_invalid",
    "signing_secrets_invalid",
    "signing_secrets_unavailable",
    "whop_api_key_invalid",
    "whop_api_key_unavailable",
    "whop_gone",
    "whop_key_rejected",
    "whop_webhook_secrets_invalid",
    "whop_webhook_secrets_unavailable",
    # Permanent, of a user
    "external_id_taken",
    "name_refused",
    "title_taken",
    "whop_not_found",
    "whop_refused",
    "whop_user_taken",
    # Permanent, of an announcement
    "platform_gone",
    # Permanent, of a picture
    "picture_bad_url",
    "picture_compressed",
    "picture_failed",
    "picture_inline",
    "picture_not_an_image",
    "picture_not_found",
    "picture_not_public",
    "picture_redirects",
    "picture_refused",
    "picture_too_large",
    "picture_untrusted",
]
"""The closed set of words that stand in log lines, metrics, rows and parked messages. docs/troubleshooting.md has a
paragraph on each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhopAnswer:
    """What Whop answered when it refused a call. Every part but the status may be missing.

    `message` may quote what was sent, so it is kept with the event and never logged. `at` is the time of the answer by
    Whop's clock, in Unix seconds.
    """

    status: int
    type: str | None = None
    code: str | None = None
    message: str | None = None
    param: str | None = None
    request_id: str | None = None
    at: float | None = None


class SyncError(Exception):
    """Root of the tree.

    Attributes:
        reason: one word of a closed set, for logs, metrics and rows. It never holds what a user or Whop wrote.
        explanation: a sentence for the person who looks at the event, also free of what others wrote.
        answer: what Whop answered, if this comes from a refused call.
    """

    def __init__(self, reason: Reason, explanation: str = "", *, answer: WhopAnswer | None = None) -> None:
        super().__init__(f"{reason}: {explanation}" if explanation else reason)
        self.reason: Reason = reason
        self.explanation = explanation
        self.answer = answer


class Unauthentic(SyncError):  # noqa: N818 - the leaves are named for the state of the event
    """Not proven to come from the platform: refused, nothing is kept."""


class Malformed(SyncError):  # noqa: N818
    """Genuine, but not readable as a user event: parked, since sending it again cannot help."""


class Transient(SyncError):  # noqa: N818
    """Did not work now and may work later: the event goes back to its queue.

    Attributes:
        retry_after: the wait in seconds that the other side named, None when it named none.
        effect: what the failed request may have done all the same.
    """

    def __init__(
        self,
        reason: Reason,
        explanation: str = "",
        *,
        answer: WhopAnswer | None = None,
        retry_after: float | None = None,
        effect: Effect = "none",
    ) -> None:
        super().__init__(reason, explanation, answer=answer)
        self.retry_after = retry_after
        self.effect = effect


class AwaitsTurn(Transient):
    """Nothing is wrong: the event waits for another worker, for Whop's list, or for its turn within the rate limit."""


class OperatorNeeded(Transient):
    """The event is fine and waits until an operator has fixed a secret, a setting or the API version."""


class Permanent(SyncError):  # noqa: N818
    """Will never work as it is: the row says why and the event is parked at once."""
