"""Whop's rate limit, shared by all environments: one token bucket for each operation.

Whop limits how often one API key may call one operation in a minute. The bucket is kept as the generic cell rate
algorithm keeps it (GCRA, https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm): not as a count that is refilled,
but as the time of the next free slot. A slot is a moment at which one call may be made, and slots are evenly spaced.
An environment reserves a few slots with one write to the UserMappings table:

    environment A   reserves 5 ─ call ─ call ─ call ─ call ─ call ─ reserves 5 ── waits ── call ─ ...
    environment B   ───────── reserves 5 ── waits ──────────────────── call ─ call ─ ...

So the limit is used in full by one environment and by twenty, and none has to know of another. A fixed share for each
would leave half of the limit unused whenever only one of the two queues has a backlog.

Two things are added to plain GCRA:

- Burst credit: slots that passed unused are credited, a few dozen of them, and a batch that comes after a pause is
  called at once. But Whop counts the calls of any minute, also of the one that begins with such a burst. So each call
  on credit adds to the debt, and the debt is paid back with slots that are left unused afterwards.
- Unreserved calls: an environment begins with a few calls that it may make without a reservation, so that single events
  cost no write. They are added to the debt at its first reservation.
"""

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import ClientError

from whop_sync.aws.boundary import aws_error_code, aws_errors
from whop_sync.errors import AwaitsTurn
from whop_sync.users.schema import rate_limit_key

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

WINDOW_SECONDS = 60.0
"""Whop counts the calls of a minute (https://docs.whop.com/developer/api/getting-started). That this minute slides is
assumed: it is the stricter reading."""

TARGET_UTILIZATION = 0.98
"""Calls do not reach Whop as evenly as they are sent, so a little of the limit stays unplanned."""

SLOTS_PER_RESERVATION = 5
"""A reservation costs a write to the table. With more slots in it, other environments would wait longer for theirs."""

UNRESERVED_CALLS = 5
"""What an environment begins with. One that joins others at work, or returns after a pause, may exceed the limit by as
many calls."""

MAX_BURST_CREDIT = 60
"""The most slots that can be credited, and never more than a tenth of the limit."""

MAX_LAG_SECONDS = 1.0
"""While the next free slot lies no further in the past, no slot counts as unused: a pause between two batches costs
nothing."""

MAX_WAIT_SECONDS = 25.0
"""Forty environments wait 20 seconds for their next slots. Where it would be more, events go back to their queue."""

_TRIES = 20
"""A try fails when another environment reserved at the same moment, so this many environments may do so."""

# Named in the words of an earlier version. It stays, so that a stack which is updated continues its buckets.
_ATTRIBUTE = "line"


@dataclass(frozen=True, slots=True)
class Bucket:
    """The token bucket of one operation.

    Attributes:
        next_slot_at: the next slot that is not reserved, in Unix seconds (GCRA's theoretical arrival time).
        credit: unused slots of the past that may still be called, at once.
        debt: calls made on credit or without a reservation, for each of which one slot has to stay unused.
    """

    next_slot_at: float
    credit: float
    debt: float

    def to_text(self) -> str:
        return f"{self.next_slot_at:.4f} {self.credit:.4f} {self.debt:.4f}"

    @classmethod
    def from_text(cls, text: str) -> "Bucket":
        return cls(*map(float, text.split()))


@dataclass(frozen=True, slots=True)
class Limit:
    """Whop's rate limit for one operation. No slot is reserved that lies more than `max_wait` seconds ahead."""

    calls_per_minute: int
    max_wait: float = MAX_WAIT_SECONDS

    @property
    def interval(self) -> float:
        """Seconds from slot to slot."""
        return WINDOW_SECONDS / (self.calls_per_minute * TARGET_UTILIZATION)

    @property
    def max_credit(self) -> float:
        return min(MAX_BURST_CREDIT, self.calls_per_minute / 10)

    def reserve(self, bucket: Bucket | None, unreserved: int, now: float) -> tuple[Bucket, Sequence[float]]:
        """Reserves SLOTS_PER_RESERVATION slots. Returns the bucket after that, and the slots in Unix seconds.

        `bucket` is None if the operation was never called. `unreserved` calls were made without a reservation.
        Raises AwaitsTurn if the last slot would be more than `max_wait` from now.
        """
        bucket = bucket or Bucket(now, self.max_credit, 0.0)
        begin, credit, debt = bucket.next_slot_at, bucket.credit, bucket.debt + unreserved
        if begin < now - MAX_LAG_SECONDS:
            unused = (now - begin) / self.interval
            paid = min(debt, unused)
            begin, credit, debt = now, min(self.max_credit, credit + unused - paid), debt - paid
        on_credit = min(SLOTS_PER_RESERVATION, int(credit))
        left_unused = min(debt, SLOTS_PER_RESERVATION - on_credit)
        first = begin + left_unused * self.interval
        later = [first + number * self.interval for number in range(SLOTS_PER_RESERVATION - on_credit)]
        next_slot_at = later[-1] + self.interval if later else begin
        if next_slot_at > now + self.max_wait:
            raise AwaitsTurn("whop_slots_taken", "all calls that Whop allows are reserved", retry_after=first - now)
        return Bucket(next_slot_at, credit - on_credit, debt - left_unused + on_credit), [now] * on_credit + later


class Buckets(Protocol):
    """The buckets of all operations, for all environments."""

    def reserve(self, operation: str, unreserved: int) -> Sequence[float]:
        """The next slots of an operation, in Unix seconds. `unreserved` calls were made without a reservation.

        Raises Transient when the last slot would be further from now than the limit allows, or when the bucket cannot
        be read or written.
        """


class SharedBuckets:
    """Buckets as items of the UserMappings table."""

    def __init__(self, client: "DynamoDBClient", table: str, clock: Callable[[], float], limit: Limit) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._limit = limit
        self._seen: dict[str, Bucket | None] = {}

    def reserve(self, operation: str, unreserved: int) -> Sequence[float]:
        """Reserves on the bucket as this environment saw it last; if another one has written since, on what it wrote.

        Raises Transient.
        """
        for _ in range(_TRIES):
            bucket = self._seen.get(operation)
            following, slots = self._limit.reserve(bucket, unreserved, self._clock())
            stored = self._replace(operation, bucket, following)
            self._seen[operation] = stored
            if stored is following:
                return slots
        raise AwaitsTurn("whop_slots_taken", "too many environments reserved slots at the same moment", retry_after=1)

    def _replace(self, operation: str, bucket: Bucket | None, following: Bucket) -> Bucket | None:
        """Compare and swap. Returns the bucket that is stored afterwards: `following`, or the one of another
        environment."""
        with aws_errors("dynamodb_unavailable"):
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key=rate_limit_key(operation),
                    UpdateExpression="SET #bucket = :following",
                    ConditionExpression="#bucket = :bucket" if bucket else "attribute_not_exists(#bucket)",
                    ExpressionAttributeNames={"#bucket": _ATTRIBUTE},
                    ExpressionAttributeValues={
                        ":following": {"S": following.to_text()},
                        **({":bucket": {"S": bucket.to_text()}} if bucket else {}),
                    },
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ClientError as error:
                if aws_error_code(error) != "ConditionalCheckFailedException":
                    raise
                answer: Any = error.response
                item = answer.get("Item", {})
                return Bucket.from_text(item[_ATTRIBUTE]["S"]) if _ATTRIBUTE in item else None
        return following


class _Slots:
    """One operation as one environment knows it.

    Attributes:
        reserved: the slots to use next. An unreserved call is a slot at time zero.
        unreserved: calls made without a reservation since the last one.
        closed_until: the end of the wait that Whop named, in Unix seconds.
    """

    def __init__(self) -> None:
        self.reserved = deque([0.0] * UNRESERVED_CALLS)
        self.unreserved = 0
        self.closed_until = 0.0


class Pacer:
    """The slots of one environment, for all of its threads."""

    def __init__(
        self,
        buckets: Buckets,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        max_wait: float = MAX_WAIT_SECONDS,
    ) -> None:
        self._buckets = buckets
        self._max_wait = max_wait
        self._clock = clock
        self._sleep = sleep
        self._slots: defaultdict[str, _Slots] = defaultdict(_Slots)
        self._reserving = threading.Lock()

    def wait(self, operation: str) -> None:
        """Returns when the operation may be called. Raises Transient if that takes more than `max_wait` seconds."""
        with self._reserving:
            left = self._next_slot(self._slots[operation], operation) - self._clock()
        if left > 0:
            self._sleep(left)

    def refused(self, operation: str, seconds: float) -> None:
        """Whop answered 429 and named this wait. This environment keeps to it; others get answers of their own."""
        with self._reserving:
            slots = self._slots[operation]
            slots.closed_until = max(slots.closed_until, self._clock() + seconds)

    def _next_slot(self, slots: _Slots, operation: str) -> float:
        now = self._clock()
        if slots.closed_until > now + self._max_wait:
            raise AwaitsTurn(
                "whop_rate_limited", "Whop named a wait that has not ended", retry_after=slots.closed_until - now
            )
        if not slots.reserved:
            slots.reserved.extend(self._buckets.reserve(operation, slots.unreserved))
            slots.unreserved = 0
        slot = slots.reserved.popleft()
        if slot < now - WINDOW_SECONDS:  # the minute of this slot is over for Whop, so the call counts in another one
            slots.unreserved += 1
        return max(slot, slots.closed_until)
