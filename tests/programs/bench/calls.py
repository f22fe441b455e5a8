"""What one event costs: calls to Whop and round trips to DynamoDB, counted, and batches against a slow Whop, timed."""

import json
import statistics
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fake_whop import PLATFORM_COMPANY, PLATFORM_KEY, FakeWhop
from harness import TITLE_FORMAT, WORKER_SECONDS, aws_client, create_table, created, event
from harness.faults import http_client
from local_stack.engine import Engine
from local_stack.pictures import running_pictures
from local_stack.terminal import Terminal
from whop_sync.aws.queues import Queue
from whop_sync.batches.worker import Record, Worker
from whop_sync.config.syncing import CALLS_PER_MINUTE
from whop_sync.events import UserEvent
from whop_sync.internet.requests import PublicHttp
from whop_sync.journal import Journal
from whop_sync.pictures.fetching import PictureFetcher
from whop_sync.syncing.enrollment import Enrollment
from whop_sync.syncing.profiles import Profiles
from whop_sync.syncing.synchronization import Result, Synchronization
from whop_sync.syncing.user_events import UserEvents
from whop_sync.users.mappings import Mappings
from whop_sync.whop.client import Whop
from whop_sync.whop.rate_limit import Limit, Pacer, SharedBuckets

WHOP_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Station:
    """One environment of a worker with its ten threads, for real time and a table of its own or of others.

    `to_dynamodb` counts round trips about `rows`, and those that take `turns`.
    """

    worker: Worker[UserEvent, Result]
    dynamodb: Any
    table: str
    to_dynamodb: Counter[str]

    def handle(self, *events: UserEvent) -> float:
        """One batch; the seconds it took. Raises AssertionError if a message goes back to its queue."""
        began = time.perf_counter()
        answer = self.worker.handle([record(each) for each in events], seconds_left=WORKER_SECONDS)
        took = time.perf_counter() - began
        assert answer == {"batchItemFailures": []}, answer
        return took


def record(event: UserEvent) -> Record:
    """A message as Lambda hands it over."""
    message = uuid.uuid4().hex
    return {
        "messageId": message,
        "receiptHandle": message,
        "body": event.to_json(),
        "attributes": {"SentTimestamp": str(int(time.time() * 1000)), "ApproximateReceiveCount": "1"},
    }


def station(
    engine_url: str, api_url: str, picture_origin: str, table: str | None, *, calls_per_minute: int = CALLS_PER_MINUTE
) -> Station:
    """The parts as `assembly.worker` joins them, on a local engine."""
    dynamodb = aws_client(engine_url, "dynamodb")
    table = table or create_table(dynamodb)
    mappings = Mappings(dynamodb, table, time.time)
    whop = Whop(
        http_client(),
        url=api_url,
        api_key=lambda: PLATFORM_KEY,
        pace=Pacer(
            SharedBuckets(dynamodb, table, time.time, Limit(calls_per_minute)), clock=time.time, sleep=time.sleep
        ),
    )
    nowhere = Queue(aws_client(engine_url, "sqs"), f"{engine_url}/000000000000/nowhere")
    handler = Synchronization(
        mappings=mappings,
        enrollment=Enrollment(
            whop=whop, mappings=mappings, company=PLATFORM_COMPANY, title_format=TITLE_FORMAT, clock=time.time
        ),
        profiles=Profiles(
            whop=whop,
            pictures=PictureFetcher(clock=time.time, http=PublicHttp(allowed_origin=picture_origin)),
            pool=ThreadPoolExecutor(10),
            company=PLATFORM_COMPANY,
            clock=time.time,
            sleep=time.sleep,
        ),
        clock=time.time,
    )
    journal = Journal()
    worker = Worker(
        messages=UserEvents(handler=handler, journal=journal),
        queue=nowhere,
        dead_letters=nowhere,
        journal=journal,
        clock=time.time,
        pool=ThreadPoolExecutor(10),
    )
    counted: Counter[str] = Counter()
    dynamodb.meta.events.register(
        "before-send.dynamodb.*",
        lambda request, **_: counted.update(["turns" if b"turns#" in request.body else "rows"]),
    )
    return Station(worker, dynamodb, table, counted)


@contextmanager
def running_station(engine: Engine, *, calls_per_minute: int = 1_000_000) -> Iterator[tuple[Station, FakeWhop, str]]:
    """A station of its own with a Whop that has no rate limit worth the name, and where pictures are."""
    with FakeWhop() as fake, running_pictures() as pictures:
        fake.switches.rate_limit = 1_000_000
        one = station(engine.url, fake.api_url, pictures.origin, None, calls_per_minute=calls_per_minute)
        yield one, fake, pictures.origin
        one.dynamodb.delete_table(TableName=one.table)


def report_costs(engine: Engine, terminal: Terminal) -> None:
    terminal.title("What one event costs, counted where the calls arrive")
    with running_station(engine) as (one, fake, pictures):
        first, second = (f"{pictures}/{colour}.png" for colour in ("ff0000", "0000ff"))
        known = fake.add_user(email="eve@home.test", member_of=PLATFORM_COMPANY)
        kinds = [
            ("first sight, without picture", created("a", 1, name="Ann")),
            ("first sight, with picture", created("b", 1, name="Ann", picture=first)),
            ("first sight of a Whop user", created("c", 1, whop_user_id=known.id, name="Eve")),
            ("new name", event("a", 2, name="Anna")),
            ("new picture", event("b", 2, picture=second)),
            ("new name, the same picture", event("b", 3, name="Anna", picture=second)),
            ("picture taken away", event("b", 4, picture=None)),
            ("newer, and nothing changed", event("a", 3, name="Anna")),
            ("sent twice", event("a", 3, name="Anna")),
            ("older than what is known", event("a", 2, name="Anna")),
        ]
        rows = []
        for what, each in kinds:
            one.to_dynamodb.clear()
            before = len(fake.calls)
            one.handle(each)
            calls = Counter(call.operation for call in fake.calls[before:])
            whop = ", ".join(f"{count} x {name}" if count > 1 else name for name, count in calls.items())
            rows.append((what, one.to_dynamodb["rows"], one.to_dynamodb["turns"], calls.total(), whop))
        terminal.table(("event", "DynamoDB", "for turns", "Whop", "which"), rows)
    terminal.quiet(
        "a first sight writes the mapping before the profile is touched; GET /files waits for Whop to process"
    )
    terminal.quiet("a write to DynamoDB takes turns for five calls of an operation, after the first five")


def report_batches(engine: Engine, terminal: Terminal, *, rounds: int) -> None:
    terminal.title(f"Batches against a Whop that takes {WHOP_SECONDS * 1000:.0f} ms, {rounds} rounds, in turns")
    versions = iter(range(10, 10_000_000))
    with running_station(engine, calls_per_minute=CALLS_PER_MINUTE) as (one, fake, _):

        def renamed(user_ids: Sequence[str]) -> list[UserEvent]:
            return [event(user, next(versions), name=f"Name {next(versions)}") for user in user_ids]

        users = [f"u{number}" for number in range(10)]
        one.handle(*(created(user, 1, name="Ann") for user in users))
        fake.switches.latency = WHOP_SECONDS
        alone, ten, same = [], [], []
        for _ in range(rounds):
            alone.append(one.handle(*renamed(users[:1])))
            ten.append(one.handle(*renamed(users)))
            before = len(fake.calls)
            same.append(one.handle(*reversed(renamed(users[:1] * 3))))
            names = [json.loads(json.dumps(call.body))["name"] for call in fake.calls[before:]]
            assert names == sorted(names, key=lambda name: int(name.split()[1])), "out of order"
    ratio = statistics.median(many / single for many, single in zip(ten, alone, strict=True))
    ratio_same = statistics.median(many / single for many, single in zip(same, alone, strict=True))
    terminal.table(
        ("batch", "median", "to one record", "goal"),
        [
            ("one record", f"{statistics.median(alone) * 1000:.0f} ms", "1", ""),
            ("ten records of ten users", f"{statistics.median(ten) * 1000:.0f} ms", f"{ratio:.2f}", "1.5"),
            ("three records of one user", f"{statistics.median(same) * 1000:.0f} ms", f"{ratio_same:.2f}", ""),
        ],
    )
    terminal.quiet("three of one user go one after the other, oldest first, in one batch: none went back to its queue")
