"""A trial as a picture: how far it was at each moment, how quickly webhooks were answered, and how Whop was called."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from whop_user_sync.charts import INK, beside, drawn

SPAN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Moment:
    """`at` is in seconds since the trial began."""

    at: float
    accepted: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Answered:
    """A webhook that was accepted: when, in seconds since the trial began, and after how many milliseconds."""

    at: float
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Called:
    """A call to Whop, in seconds since the trial began. `status` is None if no answer was given."""

    at: float
    operation: str
    status: int | None


def draw(
    file: Path,
    moments: Sequence[Moment],
    answers: Sequence[Answered],
    calls: Sequence[Called],
    *,
    sent_at: float,
    per_minute: float,
) -> None:
    """Writes an SVG. `sent_at` is when the last webhook was sent, in seconds since the trial began; `per_minute` is how
    many calls of one operation Whop allows."""
    accepted = moments[-1].accepted if moments else 0
    with drawn(file, f"{accepted:,} webhooks to the whole application on one machine", height=7.2) as figure:
        backlog, latency, rate = figure.subplots(3, 1, sharex=True)
        backlog.set_title("Webhooks accepted, and events that wait for a worker or for their next try")
        backlog.plot([each.at for each in moments], [each.accepted for each in moments], label="accepted")
        backlog.plot([each.at for each in moments], [each.waiting for each in moments], label="waiting")
        backlog.set_ylabel("events")
        latency.set_title(f"How soon a webhook was answered, by {SPAN_SECONDS:g} seconds")
        times, medians, slowest = _by_span(answers)
        latency.plot(times, medians, label="p50")
        latency.plot(times, slowest, label="p99")
        latency.set_ylabel("milliseconds")
        latency.set_yscale("log")
        latency.yaxis.set_major_formatter("{x:,g}")
        rate.set_title(f"Calls to Whop that it did not refuse for their rate, by {SPAN_SECONDS:g} seconds")
        for operation, counts in _rates(calls).items():
            rate.plot(list(counts), list(counts.values()), label=operation)
        rate.axhline(per_minute, linestyle="--", color=INK, label="Whop's limit, for each")
        rate.set_ylabel("calls a minute")
        rate.set_xlabel("seconds since the first webhook")
        for axes in (backlog, rate):
            axes.set_ylim(bottom=0)
        for axes in (backlog, latency, rate):
            axes.axvline(sent_at, linestyle=":", color=INK, label="all are sent")
            axes.set_xlim(left=0)
            beside(axes)


def _by_span(answers: Sequence[Answered]) -> tuple[list[float], list[float], list[float]]:
    spans: defaultdict[int, list[float]] = defaultdict(list)
    for each in answers:
        spans[int(each.at / SPAN_SECONDS)].append(each.milliseconds)
    ordered = sorted(spans)
    times = [span * SPAN_SECONDS for span in ordered]
    return (
        times,
        [statistics.median(spans[span]) for span in ordered],
        [sorted(spans[span])[int(len(spans[span]) * 0.99)] for span in ordered],
    )


def _rates(calls: Sequence[Called]) -> dict[str, dict[float, float]]:
    """Calls a minute by operation, over spans of time, of those that Whop did not refuse for their rate."""
    counted: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for call in calls:
        if call.status != 429:
            counted[call.operation][int(call.at / SPAN_SECONDS)] += 1
    last = max((int(call.at / SPAN_SECONDS) for call in calls), default=0)
    per_minute = 60 / SPAN_SECONDS
    return {
        operation: {span * SPAN_SECONDS: counts[span] * per_minute for span in range(last + 1)}
        for operation, counts in sorted(counted.items())
    }
