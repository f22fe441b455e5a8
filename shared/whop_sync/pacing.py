"""Whop allows so many calls of an operation a minute, to all environments of all workers together: they take turns.

A turn is a moment at which one call may be made. The turns of an operation lie evenly apart on one time line, and an
item of the UserMappings table, `turns#<operation>`, says up to when it is taken. Who has no turn left takes a few more:

    environment A   takes 5 ─ call ─ call ─ call ─ call ─ call ─ takes 5 ── waits ── call ─ ...
    environment B   ──────── takes 5 ── waits ──────────────────── call ─ call ─ ...

So the limit is used to the full whether one environment works or twenty, and none has to know of another. A fixed share
for each would leave half of the limit unused whenever only one of the two queues has a backlog.

An environment begins with a few turns in hand, so that single events wait for nothing and ask nobody. It pays for them
with the next ones that it takes, as it does for turns that it had kept so long that Whop has forgotten their time.
"""

import threading
from collections import defaultdict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from whop_sync.errors import Transient

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

USED_SHARE = 0.98
"""Calls do not reach Whop as evenly as they are sent, so not quite all of the limit is planned for."""

TURNS_AT_ONCE = 5
"""Taking costs a write to the table. More at once would make other environments wait longer for theirs."""

TURNS_IN_HAND = 10
"""What an environment begins with: a batch."""

CATCH_UP_SECONDS = 1.0
"""A time line that fell behind by no more is continued where it ended: a pause between two batches costs no turns."""

MAX_WAIT_SECONDS = 25.0
"""Twenty environments wait 20 seconds for their next turns. Where it would be more, events go back to their queue."""

_TRIES = 3


class Schedule(Protocol):
    """The time lines of all operations, for all environments."""

    def take(self, operation: str, seconds: float) -> float:
        """Takes the next so many seconds of an operation's time line and tells where they begin, in Unix seconds.

        Raises Transient when they would end more than MAX_WAIT_SECONDS from now.
        """


class SharedSchedule:
    """The time lines as items of the UserMappings table. Raises Transient too when DynamoDB does not take the call."""

    def __init__(self, client: "DynamoDBClient", table: str, clock: Callable[[], float]) -> None:
        self._client = client
        self._table = table
        self._clock = clock

    def take(self, operation: str, seconds: float) -> float:
        for _ in range(_TRIES):
            now = self._clock()
            earliest, latest = now - CATCH_UP_SECONDS, now + MAX_WAIT_SECONDS - seconds
            try:
                continued = self._client.update_item(
                    TableName=self._table,
                    Key={"key": {"S": f"turns#{operation}"}},
                    UpdateExpression="SET taken_until = taken_until + :seconds",
                    ConditionExpression="taken_until BETWEEN :earliest AND :latest",
                    ExpressionAttributeValues={
                        ":seconds": _number(seconds),
                        ":earliest": _number(earliest),
                        ":latest": _number(latest),
                    },
                    ReturnValues="UPDATED_OLD",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
                return float(continued["Attributes"]["taken_until"]["N"])
            except ClientError as error:
                item: Any = _conflict(error).get("Item", {})
            except BotoCoreError as error:
                raise Transient("dynamodb_unavailable", type(error).__name__) from None
            taken_until = float(item["taken_until"]["N"]) if item else 0.0
            if taken_until > latest:
                raise Transient(
                    "whop_turns_taken", "all calls that Whop allows are taken", retry_after=taken_until - now
                )
            if self._begin(operation, now, seconds):
                return now
        raise Transient("whop_turns_taken", "too many environments took turns at the same moment")

    def _begin(self, operation: str, begin: float, seconds: float) -> bool:
        """Begins a time line that lies behind, or none yet; False if another environment did so first."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"key": {"S": f"turns#{operation}"}},
                UpdateExpression="SET taken_until = :end",
                ConditionExpression="attribute_not_exists(taken_until) OR taken_until < :earliest",
                ExpressionAttributeValues={
                    ":earliest": _number(begin - CATCH_UP_SECONDS),
                    ":end": _number(begin + seconds),
                },
            )
        except ClientError as error:
            _conflict(error)
            return False
        except BotoCoreError as error:
            raise Transient("dynamodb_unavailable", type(error).__name__) from None
        return True


class _Lane:
    """What one environment knows of one operation: its turns, how many used ones it has yet to pay for, and until when
    Whop wants no call."""

    def __init__(self) -> None:
        self.turns = deque([0.0] * TURNS_IN_HAND)
        self.owed = 0
        self.closed_until = 0.0


class Pacer:
    """The turns of one environment, for all of its threads. The limit is the same for each operation."""

    def __init__(
        self,
        schedule: Schedule,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        calls_per_minute: int,
    ) -> None:
        self._schedule = schedule
        self._clock = clock
        self._sleep = sleep
        self._distance = 60.0 / (calls_per_minute * USED_SHARE)
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
            raise Transient("whop_rate_limited", "Whop wants no calls for a while", retry_after=lane.closed_until - now)
        if not lane.turns:
            paid = min(lane.owed, TURNS_AT_ONCE)
            begin = self._schedule.take(operation, (paid + TURNS_AT_ONCE) * self._distance)
            lane.turns.extend(begin + number * self._distance for number in range(paid, paid + TURNS_AT_ONCE))
            lane.owed -= paid
        turn = lane.turns.popleft()
        if turn < now - 60.0:
            lane.owed += 1
        return max(turn, lane.closed_until)


def _number(seconds: float) -> dict[str, str]:
    return {"N": f"{seconds:.4f}"}


def _conflict(error: ClientError) -> dict[str, Any]:
    """The answer to a write whose condition did not hold. Raises Transient for any other error."""
    code = error.response.get("Error", {}).get("Code", "")
    if code != "ConditionalCheckFailedException":
        raise Transient("dynamodb_unavailable", code) from None
    return dict(error.response)
