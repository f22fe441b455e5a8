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
from whop_sync.config import CALLS_PER_MINUTE, FEWEST_CALLS_PER_MINUTE
from whop_sync.errors import Transient
from whop_sync.whop.rate_limit import (
    MAX_WAIT_SECONDS,
    MOST_KEPT,
    TURNS_AT_ONCE,
    TURNS_IN_HAND,
    USED_SHARE,
    Limit,
    Line,
    Pacer,
)

OPERATION = "PATCH /users/{id}"

LIMIT = Limit(CALLS_PER_MINUTE)


class Schedule:
    """The time lines in memory, by the same rules as in the table."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.lines: dict[str, Line] = {}
        self.takes = 0

    def take(self, operation: str, spent: int) -> Sequence[float]:
        self.takes += 1
        self.lines[operation], turns = LIMIT.take(self.lines.get(operation), spent, self.clock())
        return turns


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
    clock: Clock, schedule: Schedule, limit: Whop, stops: float, latencies: Iterator[float]
) -> Iterator[float]:
    """A worker with a backlog, ten events a batch side by side. Yields when it wants to go on."""
    slept = [0.0]
    pacer = Pacer(schedule, clock=clock, sleep=slept.append)
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
    schedule = Schedule(clock)
    running = [
        (START + begins, number, environment(clock, schedule, limit, START + stops, latencies))
        for number, (begins, stops) in enumerate(workers)
    ]
    heapq.heapify(running)
    while running and running[0][0] < START + seconds:
        at, number, worker = heapq.heappop(running)
        clock.now = max(clock.now, at)
        following = next(worker, None)
        if following is not None:
            heapq.heappush(running, (following, number, worker))
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
    """Whatever comes after whichever pauses: each pause, then so many calls as fast as their turns allow.

    Environments that join one that works already may exceed the limit by what they begin with, once.
    """
    allowed = CALLS_PER_MINUTE + (environments - 1) * TURNS_IN_HAND
    clock, called = Clock(), deque[float]()
    schedule = Schedule(clock)
    pacers = [Pacer(schedule, clock=clock, sleep=clock.sleep) for _ in range(environments)]
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
    pacer = Pacer(Schedule(clock), clock=clock, sleep=clock.sleep)
    for _ in range(300):
        pacer.wait(OPERATION)
    clock.sleep(60)
    began = clock()
    for _ in range(MOST_KEPT):
        pacer.wait(OPERATION)
    assert clock() == began
    # And what was called at once is paid for: the next turns are twice as far apart
    for _ in range(20):
        pacer.wait(OPERATION)
    assert clock() - began == pytest.approx(40 * LIMIT.distance, abs=5 * LIMIT.distance)


def test_the_smallest_limit_still_lets_calls_through() -> None:
    """Also to environments that all begin with debts, time and again."""
    clock = Clock()
    lines: dict[str, Line] = {}
    limit = Limit(FEWEST_CALLS_PER_MINUTE)
    called = 0
    for _ in range(300):
        with suppress(Transient):
            lines[OPERATION], turns = limit.take(lines.get(OPERATION), TURNS_IN_HAND, clock())
            called += len(turns)
        clock.sleep(10)
    assert called > 0.3 * 3000 * FEWEST_CALLS_PER_MINUTE / 60


def test_of_a_small_limit_less_is_kept() -> None:
    line, turns = Limit(30).take(None, 0, START)
    # Three that were kept, and two of the line, which begins now
    assert turns == [START] * 4 + [START + Limit(30).distance]
    assert (line.kept, line.owed) == (0, 3)


def test_a_line_that_nobody_uses_forgives_and_then_keeps() -> None:
    owing = Line(START, 0, 30)
    for pause, kept, owed in [(2, 0, 10), (3.1, 0, 0), (5, 19, 0), (600, 60, 0)]:
        line, _ = LIMIT.take(owing, 0, START + pause)
        taken = min(TURNS_AT_ONCE, int(kept))
        assert line.kept == pytest.approx(max(kept - taken, 0), abs=1)
        assert line.owed == pytest.approx(max(owed - (TURNS_AT_ONCE - taken), 0) + taken, abs=1)


def test_a_single_event_waits_for_nothing_and_asks_nobody() -> None:
    clock = Clock()
    schedule = Schedule(clock)
    pacer = Pacer(schedule, clock=clock, sleep=lambda _: pytest.fail("waited"))
    for operation in ("POST /companies", OPERATION):
        for _ in range(TURNS_IN_HAND):
            pacer.wait(operation)
    assert schedule.takes == 0


def test_one_write_buys_the_turns_of_several_calls() -> None:
    clock = Clock()
    schedule = Schedule(clock)
    pacer = Pacer(schedule, clock=clock, sleep=clock.sleep)
    for _ in range(100):
        pacer.wait(OPERATION)
    assert schedule.takes == math.ceil((100 - TURNS_IN_HAND) / TURNS_AT_ONCE)


def test_turns_lie_evenly_apart_and_those_in_hand_are_paid_for_later() -> None:
    clock = Clock()
    began = clock()
    pacer = Pacer(Schedule(clock), clock=clock, sleep=clock.sleep)
    for _ in range(CALLS_PER_MINUTE + 1):
        pacer.wait(OPERATION)
    assert clock() - began == pytest.approx(60 / USED_SHARE)


def test_operations_do_not_wait_for_each_other() -> None:
    clock = Clock()
    began = clock()
    schedule = Schedule(clock)
    schedule.lines["POST /files"] = Line(clock() + MAX_WAIT_SECONDS - 2, 0, 0)
    pacer = Pacer(schedule, clock=clock, sleep=clock.sleep)
    for _ in range(TURNS_IN_HAND + 1):
        pacer.wait(OPERATION)
    assert clock() - began < 1
    for _ in range(TURNS_IN_HAND + 1):
        pacer.wait("POST /files")
    assert clock() - began > MAX_WAIT_SECONDS - 2


def test_who_would_wait_too_long_hands_the_event_back_with_the_time_to_come_again() -> None:
    clock = Clock()
    schedule = Schedule(clock)
    schedule.lines[OPERATION] = Line(clock() + 100, 0, 0)
    pacer = Pacer(schedule, clock=clock, sleep=clock.sleep)
    for _ in range(TURNS_IN_HAND):
        pacer.wait(OPERATION)
    with pytest.raises(Transient) as caught:
        pacer.wait(OPERATION)
    assert (caught.value.reason, caught.value.effect) == ("whop_slots_taken", "none")
    assert caught.value.retry_after == pytest.approx(100 + TURNS_IN_HAND * LIMIT.distance)


def test_the_wait_that_whop_names_is_kept_to() -> None:
    clock = Clock()
    began = clock()
    pacer = Pacer(Schedule(clock), clock=clock, sleep=clock.sleep)
    pacer.refused(OPERATION, 12)
    pacer.wait("GET /files/{id}")
    assert clock() == began
    pacer.wait(OPERATION)
    assert clock() == began + 12
    pacer.refused(OPERATION, MAX_WAIT_SECONDS + 12)
    with pytest.raises(Transient) as caught:
        pacer.wait(OPERATION)
    assert caught.value.retry_after == pytest.approx(MAX_WAIT_SECONDS + 12)
