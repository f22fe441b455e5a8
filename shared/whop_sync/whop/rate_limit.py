"""Whop allows so many calls of an operation a minute, to all environments of all workers together: they take turns.

A turn is a moment at which one call may be made. The turns of an operation lie evenly apart on one time line, and an
item of the UserMappings table, `turns#<operation>`, says up to when it is taken. Who has no turn left takes a few more:

    environment A   takes 5 ─ call ─ call ─ call ─ call ─ call ─ takes 5 ── waits ── call ─ ...
    environment B   ──────── takes 5 ── waits ──────────────────── call ─ call ─ ...

So the limit is used to the full whether one environment works or twenty, and none has to know of another. A fixed share
for each would leave half of the limit unused whenever only one of the two queues has a backlog.

Turns that nobody took are kept, a few dozen of them: a batch that comes after a pause need not be spread over seconds.
Whop looks at any minute, though, the one that begins with such a burst too. So what was called at once is paid for
afterwards with every other turn of the line, or with turns that again nobody takes. And so that single events ask
nobody, an environment begins with a few turns of its own, for which it owes the line as well.
"""

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import ClientError

from whop_sync.aws.boundary import aws_error_code, aws_errors
from whop_sync.errors import AwaitsTurn

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

USED_SHARE = 0.98
"""Calls do not reach Whop as evenly as they are sent, so not quite all of the limit is planned for."""

TURNS_AT_ONCE = 5
"""Taking costs a write to the table. More at once would make other environments wait longer for theirs."""

TURNS_IN_HAND = 5
"""What an environment begins with. One that joins others at work, or does so after a pause, may exceed the limit by so
much."""

MOST_KEPT = 60
"""Turns that nobody took and that can be had at once, at most, and never more than a tenth of the limit."""

CATCH_UP_SECONDS = 1.0
"""A time line that fell behind by no more is continued where it ended: a pause between two batches costs no turns."""

MAX_WAIT_SECONDS = 25.0
"""Forty environments wait 20 seconds for their next turns. Where it would be more, events go back to their queue."""

_TRIES = 20
"""Each loses to another environment that took turns at the same moment, so as many may do so."""


@dataclass(frozen=True, slots=True)
class Line:
    """The time line of one operation: up to when it is taken, in Unix seconds, how many turns before that nobody took
    and are kept, and how many were called without, and have to be paid for."""

    taken_until: float
    kept: float
    owed: float

    def __str__(self) -> str:
        return f"{self.taken_until:.4f} {self.kept:.4f} {self.owed:.4f}"

    @classmethod
    def of(cls, text: str) -> "Line":
        return cls(*map(float, text.split()))


@dataclass(frozen=True, slots=True)
class Limit:
    """Whop's, for each operation."""

    calls_per_minute: int

    @property
    def distance(self) -> float:
        """Seconds from turn to turn."""
        return 60.0 / (self.calls_per_minute * USED_SHARE)

    @property
    def most_kept(self) -> float:
        return min(MOST_KEPT, self.calls_per_minute / 10)

    def take(self, line: Line | None, spent: int, now: float) -> tuple[Line, Sequence[float]]:
        """The next turns, in Unix seconds, and the line after that. `spent` turns were called without asking.

        Without a line, nobody ever called. Raises Transient if the last turn is more than MAX_WAIT_SECONDS from now.
        """
        line = line or Line(now, self.most_kept, 0.0)
        begin, owed, kept = line.taken_until, line.owed + spent, line.kept
        if begin < now - CATCH_UP_SECONDS:
            unused = (now - begin) / self.distance
            forgiven = min(owed, unused)
            begin, owed, kept = now, owed - forgiven, min(self.most_kept, kept + unused - forgiven)
        at_once = min(TURNS_AT_ONCE, int(kept))
        paid = min(owed, TURNS_AT_ONCE - at_once)
        first = begin + paid * self.distance
        later = [first + number * self.distance for number in range(TURNS_AT_ONCE - at_once)]
        taken_until = later[-1] + self.distance if later else begin
        if taken_until > now + MAX_WAIT_SECONDS:
            raise AwaitsTurn("whop_slots_taken", "all calls that Whop allows are taken", retry_after=first - now)
        return Line(taken_until, kept - at_once, owed - paid + at_once), [now] * at_once + later


class Schedule(Protocol):
    """The time lines of all operations, for all environments."""

    def take(self, operation: str, spent: int) -> Sequence[float]:
        """The next turns of an operation, in Unix seconds. `spent` turns were called without asking.

        Raises Transient when the last of them would be more than MAX_WAIT_SECONDS from now.
        """


class SharedSchedule:
    """The time lines as items of the UserMappings table. Raises Transient too when DynamoDB does not take the call."""

    def __init__(self, client: "DynamoDBClient", table: str, clock: Callable[[], float], limit: Limit) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._limit = limit
        self._seen: dict[str, Line | None] = {}

    def take(self, operation: str, spent: int) -> Sequence[float]:
        """Takes from the line as this environment saw it last; if others did so since, it is told how it is now."""
        for _ in range(_TRIES):
            line = self._seen.get(operation)
            following, turns = self._limit.take(line, spent, self._clock())
            there = self._replace(operation, line, following)
            self._seen[operation] = there
            if there is following:
                return turns
        raise AwaitsTurn("whop_slots_taken", "too many environments took turns at the same moment", retry_after=1)

    def _replace(self, operation: str, line: Line | None, following: Line) -> Line | None:
        """The line that is there afterwards: `following`, or if it was another one than expected, that one."""
        with aws_errors("dynamodb_unavailable"):
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key={"key": {"S": f"turns#{operation}"}},
                    UpdateExpression="SET #line = :following",
                    ConditionExpression="#line = :line" if line else "attribute_not_exists(#line)",
                    ExpressionAttributeNames={"#line": "line"},
                    ExpressionAttributeValues={
                        ":following": {"S": str(following)},
                        **({":line": {"S": str(line)}} if line else {}),
                    },
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ClientError as error:
                if aws_error_code(error) != "ConditionalCheckFailedException":
                    raise
                answer: Any = error.response
                item = answer.get("Item", {})
                return Line.of(item["line"]["S"]) if "line" in item else None
        return following


class _Lane:
    """What one environment knows of one operation: its turns, how many it called before it took any, and until when
    Whop wants no call."""

    def __init__(self) -> None:
        self.turns = deque([0.0] * TURNS_IN_HAND)
        self.spent = 0
        self.closed_until = 0.0


class Pacer:
    """The turns of one environment, for all of its threads."""

    def __init__(self, schedule: Schedule, *, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._schedule = schedule
        self._clock = clock
        self._sleep = sleep
        self._lanes: defaultdict[str, _Lane] = defaultdict(_Lane)
        self._taking = threading.Lock()

    def wait(self, operation: str) -> None:
        """Returns when the operation may be called. Raises Transient if that is more than MAX_WAIT_SECONDS from now."""
        with self._taking:
            left = self._turn(self._lanes[operation], operation) - self._clock()
        if left > 0:
            self._sleep(left)

    def refused(self, operation: str, seconds: float) -> None:
        """Whop answered 429 and named this wait: this environment keeps to it. Others meet their own answers."""
        with self._taking:
            lane = self._lanes[operation]
            lane.closed_until = max(lane.closed_until, self._clock() + seconds)

    def _turn(self, lane: _Lane, operation: str) -> float:
        now = self._clock()
        if lane.closed_until > now + MAX_WAIT_SECONDS:
            raise AwaitsTurn(
                "whop_rate_limited", "Whop wants no calls for a while", retry_after=lane.closed_until - now
            )
        if not lane.turns:
            lane.turns.extend(self._schedule.take(operation, lane.spent))
            lane.spent = 0
        turn = lane.turns.popleft()
        if turn < now - 60.0:  # Whop has forgotten the minute in which this turn was good
            lane.spent += 1
        return max(turn, lane.closed_until)
