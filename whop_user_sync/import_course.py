"""How an import went, second by second, and its chart."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from whop_sync.importing.rows import MAX_WAITING
from whop_user_sync.charts import INK, beside, drawn

RESOLUTION_SECONDS = 1.0
"""What is noted sooner than this after the note before it takes its place, so that a long import stays drawable."""


@dataclass(frozen=True, slots=True)
class Moment:
    """`at` is in seconds since the import began; `sent` and `rejected` are rows of this run."""

    at: float
    sent: int
    rejected: int


@dataclass(slots=True)
class Course:
    """How far a run was, and how many events waited in the queue, from moment to moment."""

    clock: Callable[[], float] = time.monotonic
    moments: list[Moment] = field(default_factory=lambda: [Moment(0.0, 0, 0)])
    waiting: list[tuple[float, int]] = field(default_factory=list)
    began_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.began_at = self.clock()

    def note(self, sent: int, rejected: int) -> None:
        at = self.clock() - self.began_at
        if len(self.moments) > 1 and at - self.moments[-2].at < RESOLUTION_SECONDS:
            self.moments.pop()
        self.moments.append(Moment(at, sent, rejected))

    def note_waiting(self, events: int) -> None:
        at = self.clock() - self.began_at
        if len(self.waiting) > 1 and at - self.waiting[-2][0] < RESOLUTION_SECONDS:
            self.waiting.pop()
        self.waiting.append((at, events))


def draw(file: Path, course: Course) -> None:
    """Writes an SVG: the rows that were done, and the events that waited meanwhile."""
    last = course.moments[-1]
    title = f"An import: {last.sent:,} rows sent, {last.rejected:,} rejected, in {last.at:,.0f} s"
    with drawn(file, title, height=5.0) as figure:
        done, queue = figure.subplots(2, 1, sharex=True)
        times = [each.at for each in course.moments]
        done.set_title("Rows done")
        done.plot(times, [each.sent for each in course.moments], label="sent to the queue")
        done.plot(times, [each.rejected for each in course.moments], label="rejected")
        done.set_ylabel("rows")
        queue.set_title("Events that wait in the queue, new sign-ups among them")
        queue.plot([at for at, _ in course.waiting], [events for _, events in course.waiting], label="waiting")
        queue.axhline(MAX_WAITING, linestyle="--", color=INK, label="above it the import pauses")
        queue.set_ylabel("events")
        queue.set_xlabel("seconds since the import began")
        for axes in (done, queue):
            axes.set_ylim(bottom=0)
            axes.set_xlim(left=0)
            beside(axes)
