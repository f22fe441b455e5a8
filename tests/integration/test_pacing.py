"""Environments take their turns from one item of a real table."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from local_stack.engine import Engine
from whop_sync.errors import Transient
from whop_sync.pacing import CATCH_UP_SECONDS, MAX_WAIT_SECONDS, SharedSchedule
from world import Clock, aws_client, create_table

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


def schedule(table: tuple["DynamoDBClient", str], clock: Clock) -> SharedSchedule:
    return SharedSchedule(*table, clock)


def test_turns_follow_each_other_whichever_environment_takes_them(
    table: tuple["DynamoDBClient", str], operation: str
) -> None:
    clock = Clock()
    began = clock()
    one, other = schedule(table, clock), schedule(table, clock)
    assert [one.take(operation, 2), other.take(operation, 0.5), one.take(operation, 2)] == [
        pytest.approx(began + taken, abs=0.001) for taken in (0, 2, 2.5)
    ]


def test_time_that_nobody_took_is_gone(table: tuple["DynamoDBClient", str], operation: str) -> None:
    clock = Clock()
    environment = schedule(table, clock)
    environment.take(operation, 1)
    clock.sleep(60)
    assert environment.take(operation, 1) == pytest.approx(clock(), abs=0.001)


def test_a_time_line_that_fell_behind_a_little_is_continued(
    table: tuple["DynamoDBClient", str], operation: str
) -> None:
    clock = Clock()
    environment = schedule(table, clock)
    began = environment.take(operation, 1)
    clock.sleep(1 + CATCH_UP_SECONDS / 2)
    assert environment.take(operation, 1) == pytest.approx(began + 1, abs=0.001)


def test_nobody_waits_longer_than_agreed(table: tuple["DynamoDBClient", str], operation: str) -> None:
    clock = Clock()
    environment = schedule(table, clock)
    environment.take(operation, MAX_WAIT_SECONDS)
    with pytest.raises(Transient) as caught:
        environment.take(operation, 2)
    assert caught.value.retry_after == pytest.approx(MAX_WAIT_SECONDS, abs=0.001)
    # And what was not taken is still there for who comes later
    clock.sleep(1)
    assert environment.take(operation, 0.5) == pytest.approx(clock() + MAX_WAIT_SECONDS - 1, abs=0.001)


def test_operations_have_time_lines_of_their_own(table: tuple["DynamoDBClient", str], operation: str) -> None:
    environment = schedule(table, Clock())
    assert environment.take(operation, 20) == environment.take(f"{operation}/other", 20)


def test_no_two_environments_ever_get_the_same_time(table: tuple["DynamoDBClient", str], operation: str) -> None:
    clock = Clock()
    environments = [schedule(table, clock) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        begins = sorted(threads.map(lambda number: environments[number % 8].take(operation, 0.25), range(40)))
    assert begins == [pytest.approx(begins[0] + 0.25 * number, abs=0.001) for number in range(40)]


def test_a_table_that_cannot_be_had_is_a_matter_of_time(table: tuple["DynamoDBClient", str], operation: str) -> None:
    nowhere = aws_client("http://127.0.0.1:1", "dynamodb")
    for away in (SharedSchedule(nowhere, table[1], Clock()), SharedSchedule(table[0], "no-such-table", Clock())):
        with pytest.raises(Transient) as caught:
            away.take(operation, 1)
        assert caught.value.reason == "dynamodb_unavailable"
