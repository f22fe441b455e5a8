"""Streams a file of users to a stack's queue, at the pace of its workers, and continues an interrupted run.

Beside the file it keeps FILE.import.json, how far it is, until it is through; and FILE.rejected.ndjson, a line for each
row that no event can be made of. Neither holds more of a row than the user's id.
"""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from whop_sync.aws.queues import Queue
from whop_sync.importing.rows import MAX_WAITING, Chunk, Sink, Source, import_rows
from whop_sync.importing.user_files import FileRow, Offset, open_users, rows, user_id
from whop_user_sync.import_course import Course

if TYPE_CHECKING:
    from whop_sync.errors import Reason

PAUSE_SECONDS = 5.0
"""Between two looks at a queue that is full."""

REPORT_SECONDS = 2.0
"""Between two lines of progress."""


class NotResumableError(Exception):
    """The state of an earlier run does not fit the file, and the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How far a run is. `size` and `changed_at` are the file's, so that no other file is taken for it."""

    size: int
    changed_at: int
    as_of: str
    offset: int = 0
    line: int = 1
    sent: int = 0
    rejected: int = 0
    rejected_bytes: int = 0

    @classmethod
    def new(cls, file: Path, as_of: str) -> Self:
        found = file.stat()
        return cls(size=found.st_size, changed_at=found.st_mtime_ns, as_of=as_of)

    @property
    def remaining(self) -> int:
        """Rows not yet read, about: as many as fit into the rest if they are as long as those so far."""
        done = self.sent + self.rejected
        return round((self.size - self.offset) * done / self.offset) if self.offset else 0

    def __str__(self) -> str:
        return f"{self.sent:,} done, {self.rejected:,} rejected, about {self.remaining:,} remaining"


class NoQueue:
    """Where the events of a dry run go."""

    def send_all(self, bodies: Iterable[str]) -> None:
        pass


@dataclass(frozen=True, slots=True, kw_only=True)
class PacedQueue:
    """A queue that takes more only while its workers are not behind, since sign-ups wait in it too."""

    queue: Queue
    wait: Callable[[int], None]
    """Called with the number of waiting events while these are too many."""
    course: Course

    def send_all(self, bodies: Iterable[str]) -> None:
        while (waiting := self.queue.waiting()) > MAX_WAITING:
            self.course.note_waiting(waiting)
            self.wait(waiting)
        self.course.note_waiting(waiting)
        self.queue.send_all(bodies)


class Import:
    """One file on its way, reported after each chunk. A dry run leaves no state behind.

    Attributes:
        reasons, people: of the rows that this run has read: why some were rejected, and how many people are to be
            enrolled by their e-mail.
    """

    def __init__(self, file: Path, sink: Sink, *, as_of: str, dry: bool, report: "Progress", course: Course) -> None:
        self._file = file
        self._dry = dry
        self._sink = sink
        self._report = report
        self._course = course
        self.reasons: Counter[Reason] = Counter()
        self.people = 0
        self._state_file = file.with_name(file.name + ".import.json")
        self.rejected_file = file.with_name(file.name + ".rejected.ndjson")
        self.state = self._resumed_from = State.new(file, as_of)

    @property
    def is_interrupted(self) -> bool:
        """Whether an earlier run of this file did not end."""
        return self._state_file.exists()

    def resume(self) -> None:
        """Continues an interrupted run. Raises NotResumableError if there is none, or if it was of another file."""
        try:
            last = State(**json.loads(self._state_file.read_text()))
        except FileNotFoundError:
            raise NotResumableError(
                f"No run of {self._file} was interrupted, so there is nothing to resume: nothing was sent."
            ) from None
        except (ValueError, TypeError):
            raise NotResumableError(f"{self._state_file} is damaged. Begin anew with --restart.") from None
        if replace(self.state, **{name: getattr(last, name) for name in _COUNTS}) != last:
            raise NotResumableError(
                "The file or --as-of is not that of the interrupted run. Begin anew with --restart: rows that are sent"
                " twice change nothing."
            )
        self.state = last
        self._resumed_from = last

    def run(self) -> State:
        """Raises Malformed if it is no file of users, and Transient when the queue does not take a chunk."""
        with self._file.open("rb") as stream:
            file_format, start = open_users(stream, self._file.name)
            if self.state.offset:
                start = Offset(self.state.offset, self.state.line)
                stream.seek(start.byte)
            source = Source(format=file_format, name=self._file.name, as_of=self.state.as_of)
            with self.rejected_file.open("a+b") as rejected:
                rejected.truncate(self.state.rejected_bytes)
                for chunk in import_rows(rows(stream, file_format, start), source, self._sink, clock=time.time):
                    self._note(chunk, rejected)
        self.state = replace(self.state, offset=self.state.size)
        if not self._dry:
            self._state_file.unlink(missing_ok=True)
        if not self.state.rejected:
            self.rejected_file.unlink()
        return self.state

    def _note(self, chunk: Chunk, rejected: BinaryIO) -> None:
        for rejection in chunk.rejections:
            self.reasons[rejection.reason] += 1
            rejected.write(rejection.to_json().encode() + b"\n")
        rejected.flush()
        self.people = chunk.people
        self.state = replace(
            self.state,
            offset=chunk.end.byte,
            line=chunk.end.line,
            sent=self.state.sent + chunk.sent,
            rejected=self.state.rejected + len(chunk.rejections),
            rejected_bytes=rejected.tell(),
        )
        of_this_run = (self.state.sent - self._resumed_from.sent, self.state.rejected - self._resumed_from.rejected)
        self._report(self.state, done=sum(of_this_run))
        self._course.note(*of_this_run)
        if self._dry:
            return
        draft = self._state_file.with_name(self._state_file.name + ".new")
        draft.write_text(json.dumps(asdict(self.state)))
        draft.replace(self._state_file)


_COUNTS = ("offset", "line", "sent", "rejected", "rejected_bytes")


def import_user(file: Path, wanted: str, sink: Sink, *, as_of: str) -> Iterator[Chunk]:
    """Sends the rows of one user only. Raises as Import.run does."""
    with file.open("rb") as stream:
        file_format, start = open_users(stream, file.name)
        source = Source(format=file_format, name=file.name, as_of=as_of)
        theirs: Iterator[FileRow] = (
            row for row in rows(stream, file_format, start) if user_id(row, file_format) == wanted
        )
        yield from import_rows(theirs, source, sink, clock=time.time)


class Progress:
    """One line on a terminal that is written over, else a line now and then. `done` gives it a rate."""

    def __init__(self) -> None:
        self._began_at = time.monotonic()
        self._reported_at = 0.0

    def __call__(self, text: object, *, done: int | None = None) -> None:
        if done:
            seconds = max(time.monotonic() - self._began_at, 0.001)
            text = f"{text}, {done / seconds:,.0f} a second"
        if time.monotonic() - self._reported_at >= REPORT_SECONDS:
            self._reported_at = time.monotonic()
            over = sys.stderr.isatty()
            print(f"\r\x1b[K{text}" if over else text, end="" if over else os.linesep, file=sys.stderr, flush=True)

    def end(self) -> None:
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
