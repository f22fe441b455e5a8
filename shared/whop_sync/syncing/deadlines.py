"""How long a worker may go on asking Whop for things."""

from collections.abc import Callable
from dataclasses import dataclass

from whop_sync.errors import AwaitsTurn
from whop_sync.whop.client import CALL_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """`at`, in Unix seconds, is the end of the lease or of the worker, whichever comes first. No call takes longer than
    `call_seconds`."""

    at: float
    clock: Callable[[], float]
    call_seconds: float = CALL_SECONDS

    def allows_a_call(self) -> bool:
        """Whether a call to Whop that begins now ends before, however long it takes."""
        return self.clock() <= self.at - self.call_seconds

    def ensure_a_call(self) -> None:
        """Raises AwaitsTurn if a call to Whop that begins now might end after the lease or after the worker."""
        if not self.allows_a_call():
            raise AwaitsTurn("out_of_time", "too little time is left for another call to Whop")
