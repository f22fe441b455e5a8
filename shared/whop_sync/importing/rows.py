"""Users that were there before the webhook: the rows of a file become user-created events in the workers' queue.

From there on they are events like all others, so a file that is imported twice, or a row that is sent twice because a
run was interrupted, changes nothing. New sign-ups go through the same queue, and Whop takes 600 calls a minute: an
import looks first how many events are waiting (MAX_WAITING), so that no sign-up waits behind a million users.
"""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from whop_sync.errors import Malformed, Reason
from whop_sync.events import UserEvent
from whop_sync.importing.user_files import FileRow, Format, Offset, event, user_id

MAX_WAITING = 1000
"""Events in the queue above which an import waits: less than two minutes' work at Whop's rate limit."""

CHUNK_ROWS = 100
"""Rows that are stored together. An interrupted run sends no more than these a second time."""


class Sink(Protocol):
    def send_all(self, bodies: Iterable[str]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file: its format, its name for people who search, and the time (ISO 8601) of rows that have none."""

    format: Format
    name: str
    as_of: str

    def event(self, row: FileRow, now: float) -> UserEvent:
        """The event that a row stands for. `now` is in Unix seconds. Raises Malformed."""
        return event(row, self.format, source=self.name, as_of=self.as_of, now=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A row that no event can be made of. Of the row it holds the line and the id, and nothing else."""

    line: int
    user_id: str | None
    reason: Reason
    explanation: str

    @classmethod
    def of(cls, row: FileRow, source: Source, error: Malformed) -> "Rejection":
        return cls(
            line=row.start.line,
            user_id=user_id(row, source.format),
            reason=error.reason,
            explanation=error.explanation,
        )

    def to_json(self) -> str:
        return json.dumps(
            {"line": self.line, "id": self.user_id, "reason": self.reason, "explanation": self.explanation}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Rows that are done: stored or rejected. `end` is where the next one begins. `people` is how many are to be
    enrolled by their e-mail, from the first row to here."""

    end: Offset
    sent: int
    people: int
    rejections: Sequence[Rejection]


def import_rows(rows: Iterable[FileRow], source: Source, sink: Sink, *, clock: Callable[[], float]) -> Iterator[Chunk]:
    """Sends rows on in chunks, and yields each when it is stored.

    A user whose e-mail an earlier row has for another user is rejected: Whop enrolls no two users with one address.

    Raises Transient when the queue does not take a chunk; continue from the end of the last one that was yielded.
    """
    addresses = _Addresses()
    for chunk in itertools.batched(rows, CHUNK_ROWS, strict=False):
        bodies: list[str] = []
        rejections: list[Rejection] = []
        for row in chunk:
            try:
                found = source.event(row, clock())
                addresses.check(found)
            except Malformed as error:
                rejections.append(Rejection.of(row, source, error))
            else:
                bodies.append(found.to_json())
        sink.send_all(bodies)
        yield Chunk(end=chunk[-1].end, sent=len(bodies), people=len(addresses), rejections=rejections)


class _Addresses:
    """The users of the rows so far by their e-mail. Of both, hashes only: a file may have millions of rows."""

    def __init__(self) -> None:
        self._users: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._users)

    def check(self, event: UserEvent) -> None:
        """Raises Malformed if nothing could come of an event, else remembers whose its address is."""
        if event.standing == "deleted":
            return
        if not (event.email or event.whop_user_id):
            raise Malformed("no_email", "Whop enrolls no user without an e-mail")
        if event.email and not event.whop_user_id:
            user = hash(event.user_id)
            if self._users.setdefault(hash(event.email.lower()), user) != user:
                raise Malformed("duplicate_email", "an earlier row has this e-mail for another user")
