"""Environments take their turns from one item of a real table."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from harness import START, Clock, aws_client, create_table
from local_stack.engine import Engine
from whop_sync.config import CALLS_PER_MINUTE
from whop_sync.errors import Transient
from whop_sync.whop.rate_limit import MAX_WAIT_SECONDS, MOST_KEPT, TURNS_AT_ONCE, Limit, Line, SharedSchedule

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@pytest.fixture(scope="module")
def table(engine: Engine) -> Iterator[tuple["DynamoDBClient", str]]:
    client = aws_client(engine.url, "dynamodb")
    name = create_table(client)
    yield client, name
    client.delete_table(TableName=name)


@pytest.fixture
def operation() -> str:
    return f"PATCH /{uuid.uuid4().hex}"


LIMIT = Limit(CALLS_PER_MINUTE)
TAKEN = TURNS_AT_ONCE * LIMIT.distance
"""Seconds of the line that are taken at once."""


def schedule(table: tuple["DynamoDBClient", str], clock: Clock) -> SharedSchedule:
    return SharedSchedule(*table, clock, LIMIT)


def use_up(environment: SharedSchedule, operation: str) -> None:
    """All that was kept, and what was owed for it."""
    for _ in range(2 * MOST_KEPT // TURNS_AT_ONCE + 2):
        with suppress(Transient):
            environment.take(operation, 0)


def test_turns_follow_each_other_whichever_environment_takes_them(
    table: tuple["DynamoDBClient", str], operation: str
) -> None:
    clock = Clock()
    one, other = schedule(table, clock), schedule(table, clock)
    use_up(one, operation)
    takes = [each.take(operation, 0) for each in (one, other, other, one)]
    turns = [turn for take in takes for turn in take]
    assert turns == [pytest.approx(turns[0] + number * LIMIT.distance, abs=0.01) for number in range(len(turns))]


def test_an_environment_that_was_away_learns_how_the_line_is_now(
    table: tuple["DynamoDBClient", str], operation: str
) -> None:
    clock = Clock()
    away, busy = schedule(table, clock), schedule(table, clock)
    before = away.take(operation, 0)
    use_up(busy, operation)
    [last, *_] = busy.take(operation, 0)
    assert min(away.take(operation, 0)) > last > max(before)


def test_what_was_called_without_asking_is_paid_for(table: tuple["DynamoDBClient", str], operation: str) -> None:
    clock = Clock()
    environment = schedule(table, clock)
    use_up(environment, operation)
    [*_, last] = environment.take(operation, 0)
    [first, *_] = environment.take(operation, 3)
    assert first - last == pytest.approx(4 * LIMIT.distance, abs=0.01)


def test_nobody_waits_longer_than_agreed(table: tuple["DynamoDBClient", str], operation: str) -> None:
    clock = Clock()
    environment = schedule(table, clock)
    taken = 0
    with pytest.raises(Transient) as caught:  # noqa: PT012 - how many it takes is what this is about
        for taken in range(1000):  # noqa: B007
            environment.take(operation, 0)
    assert caught.value.retry_after == pytest.approx(MAX_WAIT_SECONDS, abs=2 * TAKEN)
    assert taken < 1000
    # And what was not taken is still there for who comes later
    clock.sleep(2 * TAKEN)
    assert max(environment.take(operation, 0)) <= clock() + MAX_WAIT_SECONDS


def test_operations_have_time_lines_of_their_own(table: tuple["DynamoDBClient", str], operation: str) -> None:
    environment = schedule(table, Clock())
    use_up(environment, operation)
    assert environment.take(f"{operation}/other", 0) == [START] * TURNS_AT_ONCE


def test_no_two_environments_ever_get_the_same_turn(table: tuple["DynamoDBClient", str], operation: str) -> None:
    clock = Clock()
    environments = [schedule(table, clock) for _ in range(8)]
    use_up(environments[0], operation)
    with ThreadPoolExecutor(8) as threads:
        takes = list(threads.map(lambda environment: environment.take(operation, 0), environments * 2))
    turns = sorted(turn for take in takes for turn in take)
    assert turns == [pytest.approx(turns[0] + LIMIT.distance * number, abs=0.01) for number in range(len(turns))]


def test_a_line_that_somebody_deleted_begins_anew(table: tuple["DynamoDBClient", str], operation: str) -> None:
    client, name = table
    environment = schedule(table, Clock())
    environment.take(operation, 0)
    client.delete_item(TableName=name, Key={"key": {"S": f"turns#{operation}"}})
    assert environment.take(operation, 0) == [START] * TURNS_AT_ONCE


def test_who_always_comes_too_late_is_told_to_come_again(
    table: tuple["DynamoDBClient", str], operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    fast, slow = schedule(table, clock), schedule(table, clock)
    replace = SharedSchedule._replace

    def meanwhile(self: SharedSchedule, *how: Any) -> Line | None:
        clock.sleep(5)
        replace(fast, operation, fast._seen.get(operation), LIMIT.take(None, 0, clock())[0])
        fast._seen[operation] = LIMIT.take(None, 0, clock())[0]
        return replace(self, *how)

    monkeypatch.setattr(SharedSchedule, "_replace", meanwhile)
    with pytest.raises(Transient, match="at the same moment") as caught:
        slow.take(operation, 0)
    assert caught.value.retry_after


def test_a_table_that_cannot_be_had_is_a_matter_of_time(table: tuple["DynamoDBClient", str], operation: str) -> None:
    nowhere = aws_client("http://127.0.0.1:1", "dynamodb")
    for away in (SharedSchedule(nowhere, table[1], Clock(), LIMIT), SharedSchedule(table[0], "none", Clock(), LIMIT)):
        with pytest.raises(Transient) as caught:
            away.take(operation, 0)
        assert caught.value.reason == "dynamodb_unavailable"
