"""What can go wrong, told apart by what has to be done about it."""

from dataclasses import dataclass
from typing import Literal

type Outcome = Literal["not_done", "maybe_done", "maybe_under_way"]
"""What is known of a request that failed: it had no effect; it may have had; it may still have, later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhopAnswer:
    """What Whop said when it refused a call. Every part but the status may be missing.

    `message` may quote what was sent, so it is kept with the event and never logged.
    """

    status: int
    type: str | None = None
    code: str | None = None
    message: str | None = None
    param: str | None = None
    request_id: str | None = None


OPERATOR_REASONS = frozenset({"whop_key_rejected", "whop_gone", "whop_api_key_unavailable", "whop_api_key_invalid"})
"""The events are fine: they wait until an operator has mended the key or the API version."""


class SyncError(Exception):
    """Root of every error this package raises on purpose.

    `reason` is a short fixed word for logs, metrics and rows: it never carries anything a user or Whop wrote.
    `explanation` is a sentence for the person who looks at the event.
    """

    def __init__(self, reason: str, explanation: str = "", *, answer: WhopAnswer | None = None) -> None:
        super().__init__(explanation or reason)
        self.reason = reason
        self.explanation = explanation
        self.answer = answer


class Unauthentic(SyncError):  # noqa: N818 - the four leaves are named for the state of the event
    """Not proven to come from the platform: refused, nothing is kept."""


class Malformed(SyncError):  # noqa: N818
    """Genuine, but not readable as a user event: parked, since sending it again cannot help."""


class Transient(SyncError):  # noqa: N818
    """Did not work now and may work later: the event goes back to its queue.

    `retry_after` is the wait in seconds that the other side named, None when it named none.
    `outcome` says whether the request may have been carried out although no good answer came back.
    """

    def __init__(
        self,
        reason: str,
        explanation: str = "",
        *,
        answer: WhopAnswer | None = None,
        retry_after: float | None = None,
        outcome: Outcome = "not_done",
    ) -> None:
        super().__init__(reason, explanation, answer=answer)
        self.retry_after = retry_after
        self.outcome = outcome


class Permanent(SyncError):  # noqa: N818
    """Will never work as it is: the row says why and the event is parked at once."""
