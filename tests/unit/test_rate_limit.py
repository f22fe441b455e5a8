"""Calls stay within Whop's rate limit and use it, however many environments make them."""

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import START, Clock
from whop_sync.config.syncing import CALLS_PER_MINUTE, FEWEST_CALLS_PER_MINUTE
from whop_sync.errors import Transient
from whop_sync.whop.rate_limit import (
    MAX_BURST_CREDIT,
    MAX_WAIT_SECONDS,
    SLOTS_PER_RESERVATION,
    TARGET_UTILIZATION,
    UNRESERVED_CALLS,
    Bucket,
    Limit,
    Pacer,
)

OPERATION = "PATCH /users/{id}"

LIMIT = Limit(CALLS_PER_MINUTE)


class Buckets:
    """The buckets in memory, by the same rules as in the table."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.stored: dict[str, Bucket] = {}
        self.reservations = 0

    def reserve(self, operation: str, unreserved: int) -> Sequence[float]:
        self.reservations += 1
        self.stored[operation], slots = LIMIT.reserve(self.stored.get(operation), unreserved, self.clock())
        return slots


class Whop:
    """Whop's limit on a window that slides: 0 if the call is let in, else the wait that Whop would name."""

    def __init__(self) -> None:
        self.taken: deque[float] = deque()
        self.accepted = self.refused = 0

    def wait(self, now: float) -> int:
        while self.taken and self.taken[0] <= now - 60:
            self.taken.popleft()
        if len(self.taken) < CALLS_PER_MINUTE:
            self.taken.append(now)
            self.accepted += 1
            return 0
        self.refused += 1
        return max(1, math.ceil(self.taken[0] + 60 - now))


def environment(
    clock: Clock, buckets: Buckets, limit: Whop, stops: float, latencies: Iterator[float]
) -> Iterator[float]:
    """A worker with a backlog, ten events a batch side by side. Yields when it wants to go on."""
    slept = [0.0]
    pacer = Pacer(buckets, clock=clock, sleep=slept.append)
    while clock() < stops:
        sent = []
        for _ in range(10):
            slept.clear()
            try:
                pacer.wait(OPERATION)
            except Transient:
                continue
            wait = slept[0] if slept else 0.0
            assert wait <= MAX_WAIT_SECONDS
            sent.append(clock() + wait + next(latencies))
        for at in sorted(sent):
            yield at
            named = limit.wait(clock())
            if named:
                pacer.refused(OPERATION, named)
        yield clock() + 0.2


def drain(workers: list[tuple[float, float]], seconds: float, latencies: Iterator[float]) -> Whop:
    """Runs environments, each from and until a second, against a backlog that does not end."""
    clock, limit = Clock(), Whop()
    buckets = Buckets(clock)
    running = [
        (START + begins, number, environment(clock, buckets, limit, START + stops, latencies))
        for number, (begins, stops) in enumerate(workers)
    ]
    heapq.heapify(running)
    while running and running[0][0] < START + seconds:
        at, number, worker = heapq.heappop(running)
        clock.now = max(clock.now, at)
        follindebted = next(worker, None)
        if follindebted is not None:
            heapq.heappush(running, (follindebted, number, worker))
    return limit


def uneven() -> Iterator[float]:
    """Latencies from 0.1 to 0.4 seconds."""
    return (0.1 + 0.3 * (step * 0.618 % 1) for step in itertools.count())


@pytest.mark.parametrize("environments", [1, 2, 4, 10, 20, 40])
def test_a_backlog_uses_nearly_all_that_whop_allows_and_is_hardly_ever_refused(environments: int) -> None:
    seconds = 600.0
    limit = drain([(0.0, seconds)] * environments, seconds, uneven())
    assert limit.accepted >= 0.95 * CALLS_PER_MINUTE * seconds / 60
    assert limit.refused < 0.01 * limit.accepted


@settings(max_examples=25)
@given(st.lists(st.tuples(st.floats(0, 300), st.floats(30, 300)), min_size=1, max_size=20))
def test_environments_may_come_and_go(lives: list[tuple[float, float]]) -> None:
    limit = drain([(begin, begin + length) for begin, length in lives], 600.0, uneven())
    assert limit.refused <= 0.01 * limit.accepted + len(lives)


@given(
    st.lists(st.tuples(st.floats(0, 70), st.integers(1, 300)), min_size=1, max_size=30),
    st.integers(1, 5),
)
def test_no_minute_ever_sees_more_calls_than_allowed(demand: list[tuple[float, int]], environments: int) -> None:
    """Whatever comes after whichever pauses: each pause, then so many calls as fast as their slots allow.

    Environments that join one that works already may exceed the limit by what they begin with, once.
    """
    allowed = CALLS_PER_MINUTE + (environments - 1) * UNRESERVED_CALLS
    clock, called = Clock(), deque[float]()
    buckets = Buckets(clock)
    pacers = [Pacer(buckets, clock=clock, sleep=clock.sleep) for _ in range(environments)]
    for pause, calls in demand:
        clock.sleep(pause)
        for number in range(calls):
            pacers[number % environments].wait(OPERATION)
            called.append(clock())
            while called[0] <= clock() - 60:
                called.popleft()
            assert len(called) <= allowed


def test_a_batch_after_a_pause_need_not_wait() -> None:
    clock = Clock()
    pacer = Pacer(Buckets(clock), clock=clock, sleep=clock.sleep)
    for _ in range(300):
        pacer.wait(OPERATION)
    clock.sleep(60)
    began = clock()
    for _ in range(MAX_BURST_CREDIT):
        pacer.wait(OPERATION)
    assert clock() == began
    # And what was called at once is paid for: the next slots are twice as far apart
    for _ in range(20):
        pacer.wait(OPERATION)
    assert clock() - began == pytest.approx(40 * LIMIT.interval, abs=5 * LIMIT.interval)


def test_the_smallest_limit_still_lets_calls_through() -> None:
    """Also to environments that all begin with debts, time and again."""
    clock = Clock()
    stored: dict[str, Bucket] = {}
    limit = Limit(FEWEST_CALLS_PER_MINUTE)
    called = 0
    for _ in range(300):
        with suppress(Transient):
            stored[OPERATION], slots = limit.reserve(stored.get(OPERATION), UNRESERVED_CALLS, clock())
            called += len(slots)
        clock.sleep(10)
    assert called > 0.3 * 3000 * FEWEST_CALLS_PER_MINUTE / 60


def test_a_small_limit_gives_less_burst_credit() -> None:
    bucket, slots = Limit(30).reserve(None, 0, START)
    # Three on credit, and two of the slots that begin now
    assert slots == [START] * 4 + [START + Limit(30).interval]
    assert (bucket.credit, bucket.debt) == (0, 3)


def test_slots_that_pass_unused_pay_the_debt_first_and_are_credited_then() -> None:
    indebted = Bucket(START, 0, 30)
    for pause, credit, debt in [(2, 0, 10), (3.1, 0, 0), (5, 19, 0), (600, 60, 0)]:
        bucket, _ = LIMIT.reserve(indebted, 0, START + pause)
        on_credit = min(SLOTS_PER_RESERVATION, int(credit))
        assert bucket.credit == pytest.approx(max(credit - on_credit, 0), abs=1)
        assert bucket.debt == pytest.approx(max(debt - (SLOTS_PER_RESERVATION - on_credit), 0) + on_credit, abs=1)


def test_a_single_event_neither_waits_nor_reserves() -> None:
    clock = Clock()
    buckets = Buckets(clock)
    pacer = Pacer(buckets, clock=clock, sleep=lambda _: pytest.fail("waited"))
    for operation in ("POST /companies", OPERATION):
        for _ in range(UNRESERVED_CALLS):
            pacer.wait(operation)
    assert buckets.reservations == 0


def test_one_write_reserves_the_slots_of_several_calls() -> None:
    clock = Clock()
    buckets = Buckets(clock)
    pacer = Pacer(buckets, clock=clock, sleep=clock.sleep)
    for _ in range(100):
        pacer.wait(OPERATION)
    assert buckets.reservations == math.ceil((100 - UNRESERVED_CALLS) / SLOTS_PER_RESERVATION)


def test_slots_are_evenly_spaced_and_unreserved_calls_are_paid_back() -> None:
    clock = Clock()
    began = clock()
    pacer = Pacer(Buckets(clock), clock=clock, sleep=clock.sleep)
    for _ in range(CALLS_PER_MINUTE + 1):
        pacer.wait(OPERATION)
    assert clock() - began == pytest.approx(60 / TARGET_UTILIZATION)


def test_operations_do_not_wait_for_each_other() -> None:
    clock = Clock()
    began = clock()
    buckets = Buckets(clock)
    buckets.stored["POST /files"] = Bucket(clock() + MAX_WAIT_SECONDS - 2, 0, 0)
    pacer = Pacer(buckets, clock=clock, sleep=clock.sleep)
    for _ in range(UNRESERVED_CALLS + 1):
        pacer.wait(OPERATION)
    assert clock() - began < 1
    for _ in range(UNRESERVED_CALLS + 1):
        pacer.wait("POST /files")
    assert clock() - began > MAX_WAIT_SECONDS - 2


def test_an_event_that_would_wait_too_long_goes_back_with_the_time_of_the_next_slot() -> None:
    clock = Clock()
    buckets = Buckets(clock)
    buckets.stored[OPERATION] = Bucket(clock() + 100, 0, 0)
    pacer = Pacer(buckets, clock=clock, sleep=clock.sleep)
    for _ in range(UNRESERVED_CALLS):
        pacer.wait(OPERATION)
    with pytest.raises(Transient) as caught:
        pacer.wait(OPERATION)
    assert (caught.value.reason, caught.value.effect) == ("whop_slots_taken", "none")
    assert caught.value.retry_after == pytest.approx(100 + UNRESERVED_CALLS * LIMIT.interval)


def test_the_wait_that_whop_names_is_observed() -> None:
    clock = Clock()
    began = clock()
    pacer = Pacer(Buckets(clock), clock=clock, sleep=clock.sleep)
    pacer.refused(OPERATION, 12)
    pacer.wait("GET /files/{id}")
    assert clock() == began
    pacer.wait(OPERATION)
    assert clock() == began + 12
    pacer.refused(OPERATION, MAX_WAIT_SECONDS + 12)
    with pytest.raises(Transient) as caught:
        pacer.wait(OPERATION)
    assert caught.value.retry_after == pytest.approx(MAX_WAIT_SECONDS + 12)


def test_who_may_wait_less_reserves_no_slot_that_lies_further_ahead() -> None:
    """A caller is waiting: an event can go back to its queue, a request cannot."""
    ahead = Bucket(START + 4, 0, 0)
    LIMIT.reserve(ahead, 0, START)
    with pytest.raises(Transient, match="reserved") as caught:
        Limit(CALLS_PER_MINUTE, max_wait=2).reserve(ahead, 0, START)
    assert caught.value.retry_after == pytest.approx(4)
    clock = Clock()
    pacer = Pacer(Buckets(clock), clock=clock, sleep=clock.sleep, max_wait=2)
    pacer.refused(OPERATION, 3)
    with pytest.raises(Transient) as caught:
        pacer.wait(OPERATION)
    assert caught.value.reason == "whop_rate_limited"
    assert caught.value.retry_after == pytest.approx(3)
