"""A backlog against a Whop that keeps to its limit: real processes, real HTTP, a real table, and time run faster.

Each environment is a process with a worker's ten threads. They get batches of ten from one backlog, and what goes back
comes again after the wait that the worker named.
"""

import heapq
import itertools
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Condition

from bench.calls import record, station
from fake_whop import FakeWhop
from harness import WORKER_SECONDS, aws_client, create_table, created, event
from local_stack.engine import Engine
from local_stack.terminal import Terminal
from whop_sync.events import UserEvent
from whop_sync.users.schema import rate_limit_key
from whop_user_sync.charts import INK, beside, drawn

USERS = 500
LATENCY_SECONDS = 0.2
LIMIT = 600

OPERATION = "PATCH /users/{id}"

GOAL = ">= 95%, < 1%"

SPAN_SECONDS = 10.0
"""Of Whop's time, over which its calls are counted in the chart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """How a backlog went.

    Attributes:
        used: the part of Whop's limit that was used.
        refused: the part of the calls that Whop answered 429.
        back: how many events went back to wait for their slot.
        let_in: when Whop let a call in, in seconds since the first one.
    """

    environments: int
    seconds: float
    used: float
    refused: float
    back: int
    let_in: Sequence[float]


class Backlog:
    """Events that wait, as a queue holds them: some of them not before a time."""

    def __init__(self, events: list[UserEvent]) -> None:
        self.back = 0
        self._waiting = [(0.0, number, each) for number, each in enumerate(events)]
        self._left = len(events)
        self._changed = Condition()

    def batch(self) -> list[UserEvent]:
        """Up to ten events, none if all are done."""
        with self._changed:
            while self._left:
                now = time.time()
                due = [
                    heapq.heappop(self._waiting)[2] for _ in range(10) if self._waiting and self._waiting[0][0] <= now
                ]
                if due:
                    return due
                self._changed.wait(0.05)
            return []

    def settle(self, batch: list[UserEvent], postponed: dict[str, float]) -> None:
        """`postponed` gets the ids of events that are not done, and in how many seconds each comes again."""
        with self._changed:
            for number, each in enumerate(batch):
                if each.event_id in postponed:
                    self.back += 1
                    at = time.time() + postponed[each.event_id]
                    heapq.heappush(self._waiting, (at, -self.back * 10 - number, each))
                else:
                    self._left -= 1
            self._changed.notify_all()


def environment(work: Connection, engine_url: str, api_url: str, table: str, calls_per_minute: int) -> None:
    """A process: gets batches of events as JSON, answers which are to come again and when."""
    os.environ["POWERTOOLS_LOG_LEVEL"] = "CRITICAL"
    one = station(engine_url, api_url, "http://nowhere", table, calls_per_minute=calls_per_minute)
    postponed: dict[str, float] = {}
    one.worker.queue.postpone = postponed.__setitem__  # type: ignore[method-assign, assignment]
    while bodies := work.recv():
        postponed.clear()
        records = [record(UserEvent.from_json(body)) for body in bodies]
        answer = one.worker.handle(records, seconds_left=WORKER_SECONDS)
        stay = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        work.send(
            [postponed.get(each["receiptHandle"], 5.0) if each["messageId"] in stay else None for each in records]
        )


@contextmanager
def environments(
    number: int, engine_url: str, api_url: str, table: str, calls_per_minute: int
) -> Iterator[list[Connection]]:
    context = multiprocessing.get_context("spawn")
    ends, processes = [], []
    for _ in range(number):
        ours, theirs = context.Pipe()
        process = context.Process(target=environment, args=(theirs, engine_url, api_url, table, calls_per_minute))
        process.start()
        ends.append(ours)
        processes.append(process)
    try:
        yield ends
    finally:
        for end, process in zip(ends, processes, strict=True):
            end.send([])
            process.join(30)


def report(
    engine: Engine, terminal: Terminal, *, events: int, numbers: tuple[int, ...], faster: float, chart: Path
) -> None:
    window = 60 / faster
    terminal.title(
        f"A backlog of {events} changed names; Whop takes {LIMIT} calls in any {window:g} s,"
        f" {LATENCY_SECONDS * 1000:.0f} ms each (time runs {faster:g} times as fast)"
    )
    drained = [_drained(engine, number, events, faster) for number in numbers]
    rows = [
        (each.environments, f"{each.seconds:.0f}", f"{each.used:.1%}", f"{each.refused:.2%}", each.back, GOAL)
        for each in drained
    ]
    terminal.table(("environments", "seconds", "of the limit used", "answered 429", "went back", "goal"), rows)
    terminal.quiet(
        "used: calls let in, by what Whop would have let in at 600 a minute from the first to the last of them"
    )
    draw(chart, drained, faster)
    terminal.quiet(f"as a picture: {chart}")


def draw(file: Path, drained: Sequence[Drained], faster: float) -> None:
    """Writes an SVG of the calls a minute that Whop let in, in its own time, which runs `faster`."""
    title = f"A backlog of {len(drained[0].let_in):,} changed names against Whop's limit"
    with drawn(file, title, height=3.6) as figure:
        axes = figure.subplots()
        for each in drained:
            spans = Counter(int(at * faster / SPAN_SECONDS) for at in each.let_in)
            whole = range(max(spans))  # the last one is not over when the backlog is
            times = [(span + 0.5) * SPAN_SECONDS for span in whole]
            label = f"{each.environments} environments: {each.used:.1%} of it used"
            axes.plot(times, [spans[span] * 60 / SPAN_SECONDS for span in whole], label=label)
        axes.axhline(LIMIT, linestyle="--", color=INK, label=f"Whop's limit, {LIMIT} a minute")
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=0)
        axes.set_ylabel(f"calls a minute, by {SPAN_SECONDS:g} seconds")
        axes.set_xlabel("seconds since the first call")
        beside(axes)


def _drained(engine: Engine, number: int, events: int, faster: float) -> Drained:
    dynamodb = aws_client(engine.url, "dynamodb")
    table = create_table(dynamodb)
    users = [f"u{user}" for user in range(USERS)]
    with FakeWhop() as fake:
        fake.switches.rate_limit = 10**6
        first = station(engine.url, fake.api_url, "http://nowhere", table, calls_per_minute=10**6)
        for chunk in itertools.batched(users, 10, strict=True):
            first.handle(*(created(user, 1, name="Ann") for user in chunk))
        # What was called up to here is to count neither at Whop nor in the table.
        fake.switches.rate_window = 0.001
        first.handle(event(users[0], 2, name="Anne"))
        dynamodb.delete_item(TableName=table, Key=rate_limit_key(OPERATION))
        before = len(fake.calls)
        fake.switches.rate_limit, fake.switches.rate_window = LIMIT, 60 / faster
        fake.switches.latency = LATENCY_SECONDS
        backlog = Backlog(
            [event(users[index % USERS], 3 + index // USERS, name=f"Name {index}") for index in range(events)]
        )
        with (
            environments(number, engine.url, fake.api_url, table, round(LIMIT * faster)) as ends,
            ThreadPoolExecutor(number) as threads,
        ):
            list(threads.map(lambda end: _feed(end, backlog), ends))
        calls = [call for call in fake.calls[before:] if call.operation == OPERATION]
    dynamodb.delete_table(TableName=table)
    accepted = [call.at for call in calls if call.status == 200]
    refused = sum(call.status == 429 for call in calls)
    took = max(accepted) - min(accepted)
    used = len(accepted) / (took * LIMIT * faster / 60)
    return Drained(
        environments=number,
        seconds=took,
        used=used,
        refused=refused / len(calls),
        back=backlog.back,
        let_in=[at - min(accepted) for at in accepted],
    )


def _feed(end: Connection, backlog: Backlog) -> None:
    while batch := backlog.batch():
        end.send([each.to_json() for each in batch])
        delays = end.recv()
        backlog.settle(
            batch, {each.event_id: delay for each, delay in zip(batch, delays, strict=True) if delay is not None}
        )
