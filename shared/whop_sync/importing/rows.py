"""Users that were there before the webhook: the rows of a file become user-created events in the workers' queue.

From there on they are events like all others, so a file that is imported twice, or a row that is sent twice because a
run was interrupted, changes nothing. New sign-ups go through the same queue, and Whop takes 600 calls a minute: who
sends looks first how many events are waiting (MAX_WAITING), so that nobody's sign-up waits behind a million users.
"""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from whop_sync.errors import Malformed
from whop_sync.events import UserEvent
from whop_sync.importing.user_files import Form, Place, Row, event, user_id

MAX_WAITING = 1000
"""Events in the queue above which an import waits: less than two minutes' work at Whop's rate limit."""

CHUNK_ROWS = 100
"""Rows that are stored together. An interrupted run sends no more than these a second time."""


class Sink(Protocol):
    def send_all(self, bodies: Iterable[str]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where rows come from: how the file tells of users, its name for people who search, and the time (ISO 8601) of
    rows that tell none themselves."""

    form: Form
    name: str
    as_of: str

    def event(self, row: Row, now: float) -> UserEvent:
        """The event that a row stands for. `now` is in Unix seconds. Raises Malformed."""
        return event(row, self.form, source=self.name, as_of=self.as_of, now=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A row that no event can be made of. Of the row it tells the line and the id, and nothing else."""

    line: int
    user_id: str | None
    reason: str
    explanation: str

    @classmethod
    def of(cls, row: Row, source: Source, error: Malformed) -> "Rejection":
        return cls(
            line=row.start.line,
            user_id=user_id(row, source.form),
            reason=error.reason,
            explanation=error.explanation,
        )

    def to_json(self) -> str:
        told = {"line": self.line, "id": self.user_id, "reason": self.reason, "explanation": self.explanation}
        return json.dumps(told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Rows that are done: stored or rejected. `end` is where the next one begins."""

    end: Place
    sent: int
    rejections: Sequence[Rejection]


def import_rows(rows: Iterable[Row], source: Source, sink: Sink, *, clock: Callable[[], float]) -> Iterator[Chunk]:
    """Sends rows on in chunks, and tells of each when it is stored.

    Raises Transient when the queue does not take a chunk; the place to go on from is the end of the last one told.
    """
    for chunk in itertools.batched(rows, CHUNK_ROWS, strict=False):
        bodies: list[str] = []
        rejections: list[Rejection] = []
        for row in chunk:
            try:
                found = source.event(row, clock())
                if not (found.email or found.whop_user_id):
                    raise Malformed("no_email", "Whop enrolls nobody without an e-mail")  # noqa: TRY301 - joins the rest
            except Malformed as error:
                rejections.append(Rejection.of(row, source, error))
            else:
                bodies.append(found.to_json())
        sink.send_all(bodies)
        yield Chunk(end=chunk[-1].end, sent=len(bodies), rejections=rejections)
