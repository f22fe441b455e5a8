"""How often and for how long an event is tried again, in one value."""

from collections.abc import Callable
from dataclasses import dataclass

from whop_sync.errors import AwaitsTurn, OperatorNeeded, Transient


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """All times in seconds.

    Attributes:
        first_backoff: the longest wait after the first failure. It doubles from failure to failure.
        max_backoff: the longest wait that is reached by doubling.
        patience: the age at which an event is given up. An outage of Whop that lasts a weekend loses nothing.
        long_patience: the same for an event with which nothing is wrong: it waits for its turn, or for an operator who
            has to fix a secret or a setting. SQS itself forgets a message after 14 days.
        picture_patience: how long a picture is tried whose host is down. A user may name any dead host.
        arrival_patience: how long an event waits for another one that may be on its way: one that brings an e-mail,
            the deletion that sets a Whop user free, the return of a user who was deleted.
        busy_wait: the longest wait for another worker that has the same user.
        least_wait_a_receive: a named wait is no shorter than this for each receive before. SQS takes a message away
            after a thousand receives at most: however often a short wait is named, that takes more than ten days.
    """

    first_backoff: float = 5.0
    max_backoff: float = 3600.0
    patience: float = 3 * 86400.0
    long_patience: float = 10 * 86400.0
    picture_patience: float = 3600.0
    arrival_patience: float = 3600.0
    busy_wait: float = 5.0
    least_wait_a_receive: float = 2.0

    def gives_up(self, error: Transient, age: float) -> bool:
        """Whether an event of this age is not tried again. A wait that the other side named changes the delay only."""
        is_fine = isinstance(error, (OperatorNeeded, AwaitsTurn))
        return age > (self.long_patience if is_fine else self.patience)

    def delay(self, error: Transient, receives: int, jitter: Callable[[float, float], float]) -> float:
        """Until the next try: the time that the other side named, with a little spread, else doubling, with a wide
        spread. `jitter` returns a number between its two arguments."""
        if error.retry_after is not None:
            return max(error.retry_after, self.least_wait_a_receive * (receives - 1)) * jitter(1.0, 1.1)
        return min(self.first_backoff * 2.0 ** min(receives - 1, 20), self.max_backoff) * jitter(0.5, 1.0)


RETRIES = RetryPolicy()
