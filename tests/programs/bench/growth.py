"""How it grows: the claim with more and more rows, and events a second with more and more at once, on this machine."""

import itertools
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bench.calls import running_station
from harness import created, event
from local_stack.engine import Engine
from local_stack.terminal import Terminal
from whop_sync.events import Position
from whop_sync.users.mappings import Claim, Mappings
from whop_sync.users.writes import Progress


def report_rows(engine: Engine, terminal: Terminal, *, sizes: tuple[int, ...], claims: int) -> None:
    terminal.title(f"The claim in a table that grows, median of {claims}, in turns with the commit")
    rows = []
    smallest = 0.0
    with running_station(engine) as (one, _, _):
        mappings = Mappings(one.dynamodb, one.table, time.time)
        held = 0
        for size in sizes:
            began = time.perf_counter()
            _fill(one.dynamodb, one.table, held, size)
            filled = time.perf_counter() - began
            held = size
            times = []
            for number in range(claims):
                version = size * 1000 + number
                began = time.perf_counter()
                claim = mappings.claim(
                    event(f"filler{number * 7 % size}", version, name="Ann"), deadline=time.time() + 60
                )
                times.append((time.perf_counter() - began) * 1000)
                assert isinstance(claim, Claim)
                mappings.commit(claim, Progress(status="synced"))
            median = statistics.median(times)
            smallest = smallest or median
            rows.append((f"{size:,}", f"{median:.1f} ms", f"{median / smallest:.2f}", f"{filled:.0f} s"))
    terminal.table(("rows", "claim", "to the smallest", "time to fill"), rows)
    terminal.quiet("one UpdateItem by key: DynamoDB's own promise is that it does not depend on the number of rows")


def report_events(engine: Engine, terminal: Terminal, *, events: int, widths: tuple[int, ...]) -> None:
    terminal.title(
        f"Events a second on this machine, changed names, a Whop without limit that answers at once; {events} each"
    )
    rows = []
    with running_station(engine) as (one, _, _):
        users = [f"u{number}" for number in range(events)]
        for new in itertools.batched(users, 10, strict=False):
            one.handle(*(created(user, 1, name="Ann") for user in new))
        for version, width in enumerate(widths, 2):
            batches = list(
                itertools.batched((event(user, version, name=f"N{version}") for user in users), width, strict=False)
            )
            began, worked = time.perf_counter(), time.process_time()
            for batch in batches:
                one.handle(*batch)
            took, busy = time.perf_counter() - began, time.process_time() - worked
            rows.append((width, f"{events / took:.0f}", f"{busy / events * 1000:.1f} ms"))
    terminal.table(("at once", "events a second", "CPU time an event, Whop's stand-in included"), rows)
    terminal.quiet(
        "limited by this machine's processors, which also run the table and Whop; on AWS by Whop's 10 a second"
    )


def _fill(client: Any, table: str, held: int, size: int) -> None:
    """Rows of synced users, as an import of so many leaves them."""

    def put(numbers: tuple[int, ...]) -> None:
        requests = [{"PutRequest": {"Item": _row(number)}} for number in numbers]
        while requests:
            answer = client.batch_write_item(RequestItems={table: requests})
            requests = answer.get("UnprocessedItems", {}).get(table, [])

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(put, itertools.batched(range(held, size), 25, strict=False)))


def _row(number: int) -> dict[str, Any]:
    return {
        "key": {"S": f"user#filler{number}"},
        "user_id": {"S": f"filler{number}"},
        "whop_user_id": {"S": f"user_{number}"},
        "whop_company_id": {"S": f"biz_{number}"},
        "status": {"S": "synced"},
        "name_position": {"S": str(Position(1, 0, 0, "0123456789abcdef0123456789abcdef"))},
        "created_at": {"S": "2026-03-01T10:00:00.000Z"},
        "updated_at": {"S": "2026-03-01T10:00:00.000Z"},
    }
