"""How long a person waits who has just signed up: the built functions on a local AWS, and a Whop that takes its time.

A few sign-ups go on at once, each after the one before it, so that all but the first meet warm environments. When what
happened is read from the functions' own log lines and from the rows, to the millisecond.
"""

import itertools
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import httpx

from bench.calls import WHOP_SECONDS
from local_stack.deployment import Deployment
from local_stack.sending import Delivery, body
from local_stack.stack import LocalStack
from local_stack.terminal import Terminal
from local_stack.waiting import becomes_true
from whop_user_sync.charts import BLUE, COLOURS, INK, ORANGE, beside, drawn

LANES = 2
"""As many batches as each worker handles at once by default (WorkerConcurrency in template.yaml). With more lanes, a
sign-up would wait for another one to end."""

WARMING = 4
"""Sign-ups of each lane that are not counted."""

HOST_SECONDS = 0.2
"""How long the picture's host takes: a look-up, a connection, TLS and a download over the internet."""

GOAL_SECONDS = 1.2
"""Of the median until the row gives a chat token, without a picture."""

type Part = Literal["queue", "Whop", "picture's host", "pause for Whop to process", "table and worker"]
PARTS: tuple[Part, ...] = ("queue", "Whop", "picture's host", "pause for Whop to process", "table and worker")

type Line = Mapping[str, Any]
"""A log line as parsed JSON."""

type Span = tuple[float, float]
"""A begin and an end, in Unix seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignUp:
    """One user's way. All times are Unix seconds.

    Attributes:
        answered_at: when the platform had the answer to its webhook.
        claimed_at: when a worker claimed the user.
        enrolled_at: when the row named the Whop user, so that a chat token was given.
        synced_at: when name and picture were set and the row said so.
        calls: to Whop, in their order, with their operations.
        fetch: of the picture.
    """

    answered_at: float
    claimed_at: float
    enrolled_at: float
    synced_at: float
    calls: Sequence[tuple[str, Span]]
    fetch: Span | None = None

    def seconds(self, *, until_synced: bool) -> float:
        return (self.synced_at if until_synced else self.enrolled_at) - self.answered_at

    def parts(self, *, until_synced: bool) -> Mapping[Part, float]:
        """Where the time went. What happens during a call to Whop costs no time of its own."""
        end = self.synced_at if until_synced else self.enrolled_at
        spent: dict[Part, float] = dict.fromkeys(PARTS, 0.0)
        marks = {self.answered_at, self.claimed_at, end, *itertools.chain.from_iterable(span for _, span in self.calls)}
        edges = sorted(each for each in marks | set(self.fetch or ()) if self.answered_at <= each <= end)
        for begin, following in itertools.pairwise(edges):
            spent[self._part((begin + following) / 2)] += following - begin
        return spent

    def _part(self, moment: float) -> Part:
        if any(begin <= moment <= end for _, (begin, end) in self.calls):
            return "Whop"
        if moment < self.claimed_at:
            return "queue"
        if self.fetch and self.fetch[0] <= moment <= self.fetch[1]:
            return "picture's host"
        files = [span for operation, span in self.calls if operation == "GET /files/{id}"]
        if files and files[0][1] <= moment <= files[-1][0]:
            return "pause for Whop to process"
        return "table and worker"


def report(stack: LocalStack, terminal: Terminal, *, sign_ups: int, chart: Path) -> None:
    terminal.title(
        f"From the webhook's answer to a chat token: {sign_ups} sign-ups, warm,"
        f" Whop {WHOP_SECONDS * 1000:.0f} ms a call, a picture's host {HOST_SECONDS * 1000:.0f} ms"
    )
    stack.fake.switches.latency, stack.pictures.latency = WHOP_SECONDS, HOST_SECONDS
    kinds = {
        "without a picture": _measured(stack, sign_ups, pictured=False),
        "with a picture": _measured(stack, sign_ups, pictured=True),
    }
    rows = []
    for kind, found in kinds.items():
        for until_synced, what in ((False, "chat token"), (True, "name and picture set")):
            seconds = [each.seconds(until_synced=until_synced) for each in found]
            parts = typical_parts(found, until_synced=until_synced)
            goal = f"p50 <= {GOAL_SECONDS:g} s" if kind == "without a picture" and not until_synced else ""
            figures = [f"{statistics.median(seconds):.2f} s", f"{_percentile(seconds, 99):.2f} s", goal]
            rows.append((kind, what, *figures, *(f"{parts[part]:.2f} s" for part in PARTS)))
    terminal.table(("sign-up", "until", "p50", "p99", "goal", *PARTS), rows)
    terminal.quiet(
        "the parts are means of the middle half; what the picture's host takes beside the create costs nothing"
    )
    draw(chart, kinds)
    terminal.quiet(f"as a picture: {chart}")


def _measured(stack: LocalStack, sign_ups: int, *, pictured: bool) -> list[SignUp]:
    """Raises AssertionError if a user is not synced."""
    kind = "pictured" if pictured else "plain"
    users = iter([f"{kind}-{number}" for number in range(sign_ups + LANES * WARMING)])
    colours = {f"{kind}-{number}": f"{number:06x}" for number in range(sign_ups + LANES * WARMING)} if pictured else {}
    began = datetime.now(UTC)
    answered: dict[str, float] = {}

    def lane(_: int) -> None:
        with httpx.Client(timeout=30, trust_env=False) as client:
            for user in users:
                picture = {"avatar_url": stack.pictures.url(colours[user])} if pictured else {}
                data = {"id": user, "email": f"{user}@people.test", "name": f"Ann {user}", **picture}
                delivery = Delivery(body("created", data))
                response = client.post(
                    stack.deployment.webhook_url, content=delivery.content, headers=delivery.headers()
                )
                assert response.status_code == 200, response.text
                answered[user] = time.time()
                synced = becomes_true(lambda: _is_synced(stack.deployment, user), seconds=60)  # noqa: B023 - used at once
                assert synced, f"{user} is not synced"

    with ThreadPoolExecutor(LANES) as lanes:
        list(lanes.map(lane, range(LANES)))
    lines: Mapping[str, Sequence[Line]] = {}

    def all_logged() -> bool:  # the engine keeps what a function wrote when the function is done
        nonlocal lines
        lines = _lines_by_user(stack.deployment.log_lines("user-created", since=began))
        return all(any(line.get("outcome") == "enrolled" for line in lines.get(user, ())) for user in answered)

    assert becomes_true(all_logged, seconds=60), "the functions' log lines are not all there"
    fetches = {user: stack.pictures.answered[f"/{colour}.png"] for user, colour in colours.items()}
    warm = sorted(answered, key=lambda user: answered[user])[-sign_ups:]
    return [_sign_up(stack.deployment, user, answered[user], lines[user], fetches.get(user)) for user in warm]


def _is_synced(deployment: Deployment, user: str) -> bool:
    return (deployment.row(f"user#{user}") or {}).get("status") == "synced"


def _sign_up(
    deployment: Deployment, user: str, answered_at: float, lines: Sequence[Line], fetch: Span | None
) -> SignUp:
    row = deployment.row(f"user#{user}")
    assert row is not None
    calls = []
    for line in lines:
        if line["message"] == "whop call":
            end = _unix(line["timestamp"])
            calls.append((str(line["operation"]), (end - line["milliseconds"] / 1000, end)))
    [synced_at] = [_unix(line["timestamp"]) for line in lines if line.get("outcome") == "enrolled"]
    # The first call after the account is made comes right after the row names it.
    [enrolled_at] = [following[1][0] for call, following in itertools.pairwise(calls) if call[0] == "POST /companies"]
    return SignUp(
        answered_at=answered_at,
        claimed_at=max(_unix(row["created_at"]), answered_at),
        enrolled_at=enrolled_at,
        synced_at=synced_at,
        calls=calls,
        fetch=fetch,
    )


def _lines_by_user(lines: Sequence[str]) -> Mapping[str, Sequence[Line]]:
    by_user: defaultdict[str, list[Line]] = defaultdict(list)
    for text in lines:
        for line in _documents(text):
            if "user_id" in line:
                by_user[line["user_id"]].append(line)
    for found in by_user.values():
        found.sort(key=lambda line: line["timestamp"])
    return by_user


def _documents(text: str) -> Iterator[Line]:
    for line in text.splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def _unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def typical_parts(sign_ups: Sequence[SignUp], *, until_synced: bool) -> Mapping[Part, float]:
    """The means of the parts over the middle half, so that they come to about the median."""
    ordered = sorted(sign_ups, key=lambda each: each.seconds(until_synced=until_synced))
    middle = ordered[len(ordered) // 4 : -(len(ordered) // 4) or None]
    parts = [each.parts(until_synced=until_synced) for each in middle]
    return {part: statistics.fmean(each[part] for each in parts) for part in PARTS}


def draw(file: Path, kinds: Mapping[str, Sequence[SignUp]]) -> None:
    """Writes an SVG: how many sign-ups took how long, and where the time of a typical one went."""
    number = len(next(iter(kinds.values())))
    title = f"{number} sign-ups, warm, Whop {WHOP_SECONDS * 1000:.0f} ms a call: from the webhook's answer"
    with drawn(file, title, height=5.6) as figure:
        shares, parts = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        bars: dict[str, Mapping[Part, float]] = {}
        for (kind, found), colour in zip(kinds.items(), (BLUE, ORANGE), strict=True):
            for until_synced, style, what in ((False, "-", "chat token"), (True, "--", "all set")):
                seconds = sorted(each.seconds(until_synced=until_synced) for each in found)
                p50, p99 = statistics.median(seconds), _percentile(seconds, 99)
                ranks = [(rank + 1) / len(seconds) * 100 for rank in range(len(seconds))]
                label = f"{kind}, {what}: p50 {p50:.2f} s, p99 {p99:.2f} s"
                shares.plot(seconds, ranks, style, color=colour, label=label)
                shares.plot([p50, p99], [50, 99], "o", color=colour, markersize=4)
                bars[f"{kind},\n{what}"] = typical_parts(found, until_synced=until_synced)
        shares.axvline(GOAL_SECONDS, linestyle=":", color=INK, label="goal for p50 of the first")
        shares.set_ylabel("% of sign-ups done")
        shares.set_ylim(0, 102)
        shares.set_title("How many are done after how long")
        lefts = [0.0] * len(bars)
        for part, colour in zip(PARTS, COLOURS, strict=False):
            widths = [each[part] for each in bars.values()]
            if max(widths) > 0:
                parts.barh(list(bars), widths, left=lefts, color=colour, label=part, height=0.6)
            lefts = [left + width for left, width in zip(lefts, widths, strict=True)]
        parts.invert_yaxis()
        parts.grid(visible=False, axis="y")
        parts.set_xlim(left=0)
        parts.set_xlabel("seconds")
        parts.set_title("Where the time of a typical one goes")
        beside(shares)
        beside(parts)
