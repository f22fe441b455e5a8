"""Environments reservation their slots from one item of a real table."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from harness import START, Clock, aws_client, create_table
from local_stack.engine import Engine
from whop_sync.config.syncing import CALLS_PER_MINUTE
from whop_sync.errors import Transient
from whop_sync.whop.rate_limit import (
    MAX_BURST_CREDIT,
    MAX_WAIT_SECONDS,
    SLOTS_PER_RESERVATION,
    Bucket,
    Limit,
    SharedBuckets,
)

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
RESERVED_SECONDS = SLOTS_PER_RESERVATION * LIMIT.interval
"""Seconds between the first slots of two reservations."""


def buckets_for(table: tuple["DynamoDBClient", str], clock: Clock) -> SharedBuckets:
    return SharedBuckets(*table, clock, LIMIT)


def use_up(environment: SharedBuckets, operation: str) -> None:
    """The whole burst credit, and the debt that it makes."""
    for _ in range(2 * MAX_BURST_CREDIT // SLOTS_PER_RESERVATION + 2):
        with suppress(Transient):
            environment.reserve(operation, 0)


def test_slots_follow_each_other_whichever_environment_reserves_them(
    table: tuple["DynamoDBClient", str], operation: str
) -> None:
    clock = Clock()
    one, other = buckets_for(table, clock), buckets_for(table, clock)
    use_up(one, operation)
    reservations = [each.reserve(operation, 0) for each in (one, other, other, one)]
    slots = [slot for reservation in reservations for slot in reservation]
    assert slots == [pytest.approx(slots[0] + number * LIMIT.interval, abs=0.01) for number in range(len(slots))]


def test_an_environment_that_was_away_continues_on_the_bucket_as_it_is_now(
    table: tuple["DynamoDBClient", str], operation: str
) -> None:
    clock = Clock()
    away, busy = buckets_for(table, clock), buckets_for(table, clock)
    before = away.reserve(operation, 0)
    use_up(busy, operation)
    [last, *_] = busy.reserve(operation, 0)
    assert min(away.reserve(operation, 0)) > last > max(before)


def test_unreserved_calls_are_paid_back(table: tuple["DynamoDBClient", str], operation: str) -> None:
    clock = Clock()
    environment = buckets_for(table, clock)
    use_up(environment, operation)
    [*_, last] = environment.reserve(operation, 0)
    [first, *_] = environment.reserve(operation, 3)
    assert first - last == pytest.approx(4 * LIMIT.interval, abs=0.01)


def test_no_reservation_lies_further_ahead_than_a_worker_waits(
    table: tuple["DynamoDBClient", str], operation: str
) -> None:
    clock = Clock()
    environment = buckets_for(table, clock)
    count = 0
    with pytest.raises(Transient) as caught:  # noqa: PT012 - how many it reservations is what this is about
        for count in range(1000):  # noqa: B007
            environment.reserve(operation, 0)
    assert caught.value.retry_after == pytest.approx(MAX_WAIT_SECONDS, abs=2 * RESERVED_SECONDS)
    assert count < 1000
    # And what was not reserved is still there for later
    clock.sleep(2 * RESERVED_SECONDS)
    assert max(environment.reserve(operation, 0)) <= clock() + MAX_WAIT_SECONDS


def test_operations_have_buckets_of_their_own(table: tuple["DynamoDBClient", str], operation: str) -> None:
    environment = buckets_for(table, Clock())
    use_up(environment, operation)
    assert environment.reserve(f"{operation}/other", 0) == [START] * SLOTS_PER_RESERVATION


def test_no_two_environments_ever_get_the_same_slot(table: tuple["DynamoDBClient", str], operation: str) -> None:
    clock = Clock()
    environments = [buckets_for(table, clock) for _ in range(8)]
    use_up(environments[0], operation)
    with ThreadPoolExecutor(8) as threads:
        reservations = list(threads.map(lambda environment: environment.reserve(operation, 0), environments * 2))
    slots = sorted(slot for reservation in reservations for slot in reservation)
    assert slots == [pytest.approx(slots[0] + LIMIT.interval * number, abs=0.01) for number in range(len(slots))]


def test_a_deleted_bucket_begins_anew(table: tuple["DynamoDBClient", str], operation: str) -> None:
    client, name = table
    environment = buckets_for(table, Clock())
    environment.reserve(operation, 0)
    client.delete_item(TableName=name, Key={"key": {"S": f"turns#{operation}"}})
    assert environment.reserve(operation, 0) == [START] * SLOTS_PER_RESERVATION


def test_the_bucket_of_an_earlier_version_is_continued(table: tuple["DynamoDBClient", str], operation: str) -> None:
    """Given what version 0 stored, in its words, when a stack is updated, then its next slot is where it was."""
    client, name = table
    stored = f"{START + 10:.4f} 0.0000 2.0000"
    client.put_item(TableName=name, Item={"key": {"S": f"turns#{operation}"}, "line": {"S": stored}})
    [first, *_] = buckets_for(table, Clock()).reserve(operation, 0)
    assert first == pytest.approx(START + 10 + 2 * LIMIT.interval, abs=0.01)


def test_an_environment_that_always_loses_comes_again_later(
    table: tuple["DynamoDBClient", str], operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    fast, slow = buckets_for(table, clock), buckets_for(table, clock)
    replace = SharedBuckets._replace

    def meanwhile(self: SharedBuckets, *how: Any) -> Bucket | None:
        clock.sleep(5)
        replace(fast, operation, fast._seen.get(operation), LIMIT.reserve(None, 0, clock())[0])
        fast._seen[operation] = LIMIT.reserve(None, 0, clock())[0]
        return replace(self, *how)

    monkeypatch.setattr(SharedBuckets, "_replace", meanwhile)
    with pytest.raises(Transient, match="at the same moment") as caught:
        slow.reserve(operation, 0)
    assert caught.value.retry_after


def test_a_table_that_is_unavailable_is_a_matter_of_time(table: tuple["DynamoDBClient", str], operation: str) -> None:
    nowhere = aws_client("http://127.0.0.1:1", "dynamodb")
    for away in (SharedBuckets(nowhere, table[1], Clock(), LIMIT), SharedBuckets(table[0], "none", Clock(), LIMIT)):
        with pytest.raises(Transient) as caught:
            away.reserve(operation, 0)
        assert caught.value.reason == "dynamodb_unavailable"
