"""Files of users, as a platform exports them: rows in, user events out, and a reason for every row that is none.

NDJSON (a JSON object a line) or CSV (RFC 4180, with a header), in UTF-8, with or without a byte order mark. The fields
are those of our own webhook form: id, email, name or first_name and last_name, avatar_url, updated_at, whop_user_id.
A field that is missing, or a column that the header lacks, is not spoken of; null or an empty cell clears.

Nothing here holds more than a row at a time, and no row can be longer than MAX_ROW_BYTES, so a file may be of any size.
A row is read the same from wherever reading begins, as long as a row begins there: files can be cut up and resumed.
"""

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

from whop_sync.errors import Malformed
from whop_sync.events import MAX_USER_ID_LENGTH, UserEvent
from whop_sync.receiving.payloads import Document, Preset, parse, read

MAX_ROW_BYTES = 64 * 1024

LONG_AGO = "1970-01-01T00:00:01Z"
"""The version of a row that tells no time of its own, if nobody says when the file was written: any webhook outranks
it, and the same row told twice is old news."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_FIELDS = Preset(
    event="'row'",
    created=("row",),
    updated=(),
    user_id="id",
    email="email",
    name=("name", "[first_name, last_name]"),
    picture=("avatar_url",),
    version=("updated_at", "delivery.as_of"),
    whop_user_id="whop_user_id",
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row begins: bytes from the file's start, and the number of its line, from 1."""

    offset: int = 0
    line: int = 1


@dataclass(frozen=True, slots=True)
class Form:
    """How a file tells of users: CSV with these columns, NDJSON with None."""

    columns: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Row:
    """What lies between two places: a line of NDJSON, the cells of CSV, or why it is neither."""

    start: Place
    end: Place
    content: bytes | list[str] | Malformed


def open_users(stream: BinaryIO, name: str) -> tuple[Form, Place]:
    """The form of a file, by its name and header, and where its first row begins, which is read next.

    Raises Malformed with a sentence for the person who made the file.
    """
    if name.lower().endswith((".ndjson", ".jsonl")):
        return Form(columns=None), Place()
    if not name.lower().endswith(".csv"):
        raise Malformed("unknown_format", "the file's name must end with .csv, .ndjson or .jsonl")
    for line in _lines(stream, Place()):
        cells = _cells(line.content) if isinstance(line.content, bytes) else None
        if cells == []:
            continue
        columns = tuple(cell.strip().lower() for cell in cells or ())
        if "id" not in columns or len(set(columns)) < len(columns):
            raise Malformed(
                "bad_header", "the first line must name the columns, separated by commas, and id among them"
            )
        return Form(columns), line.end
    raise Malformed("bad_header", "the file is empty")


def rows(stream: BinaryIO, form: Form, start: Place) -> Iterator[Row]:
    """The rows of a stream that stands at `start`. Blank lines are none."""
    lines = _lines(stream, start)
    found = lines if form.columns is None else _records(lines, len(form.columns))
    return (row for row in found if not _blank(row))


def parts(rows: Iterable[Row], size: int) -> Iterator[tuple[Place, int]]:
    """Where to cut a file into parts of about `size` bytes: where each begins, and the offset where it ends."""
    start: Place | None = None
    end = 0
    for row in rows:
        if start and row.end.offset - start.offset > size:
            yield start, end
            start = None
        start = start or row.start
        end = row.end.offset
    if start:
        yield start, end


def event(row: Row, form: Form, *, source: str, as_of: str, now: float) -> UserEvent:
    """The user-created event that a row stands for. `source` names the file to people who search.

    `as_of`, ISO 8601, is the version of a row without updated_at; `now` is in Unix seconds. Raises Malformed, whose
    explanation holds no value of the row.
    """
    document = {**_document(row, form, now)}
    document["delivery"] = {**document["delivery"], "as_of": as_of}
    # Every row is an event, unlike webhooks.
    return cast("UserEvent", read(document, _FIELDS, event_id=f"{source}:{row.start.line}"))


def user_id(row: Row, form: Form) -> str | None:
    """The id that a row carries, for people who look for the row, None if it carries none that could be one."""
    try:
        found = _document(row, form, 0.0).get("id")
    except Malformed:
        return None
    return str(found)[:MAX_USER_ID_LENGTH] if type(found) in (str, int) and found != "" else None


def _document(row: Row, form: Form, now: float) -> Document:
    if isinstance(row.content, Malformed):
        raise row.content
    if isinstance(row.content, bytes):
        return parse(row.content, {}, received_at=now)
    return {
        **dict(zip(form.columns or (), row.content, strict=True)),
        "delivery": {"received_at": now, "judged_at": now, "signed_at": None},
    }


def _blank(row: Row) -> bool:
    return row.content == [] or (isinstance(row.content, bytes) and not row.content.strip())


def _lines(stream: BinaryIO, start: Place) -> Iterator[Row]:
    place = start
    while content := stream.readline(MAX_ROW_BYTES + 1):
        size = len(content)
        too_long = size > MAX_ROW_BYTES
        while not content.endswith(b"\n") and too_long and (content := stream.readline(MAX_ROW_BYTES)):
            size += len(content)
        end = Place(place.offset + size, place.line + 1)
        if too_long:
            yield Row(place, end, Malformed("too_long", f"the line has more than {MAX_ROW_BYTES} bytes"))
        else:
            yield Row(place, end, content if place.offset else content.removeprefix(_BYTE_ORDER_MARK))
        place = end


def _records(lines: Iterator[Row], columns: int) -> Iterator[Row]:
    """Rows of CSV, whose cells may span lines. A quote that is never closed costs its own line and no other."""
    ahead: deque[Row] = deque()
    while line := ahead.popleft() if ahead else next(lines, None):
        if not isinstance(line.content, bytes):
            yield line
            continue
        cells = _cells(line.content)
        if cells is None and line.content.count(b'"') % 2:
            taken = [line]
            cells = _spanning(taken, ahead, lines)
            if cells is not None and len(cells) == columns:
                yield Row(line.start, taken[-1].end, _checked(b"".join(_bytes(taken)), cells, columns))
                continue
            ahead.extendleft(reversed(taken[1:]))
            cells = None
        yield Row(line.start, line.end, _checked(line.content, cells, columns))


def _spanning(taken: list[Row], ahead: deque[Row], lines: Iterator[Row]) -> list[str] | None:
    """Adds to `taken` what follows, up to the line that closes the open cell; the cells, or None if none closes it."""
    size = len(b"".join(_bytes(taken)))
    while line := ahead.popleft() if ahead else next(lines, None):
        taken.append(line)
        size += line.end.offset - line.start.offset
        if not isinstance(line.content, bytes) or size > MAX_ROW_BYTES:
            return None
        if b'"' in line.content:
            together = b"".join(_bytes(taken))
            cells = _cells(together)
            if cells is not None or together.count(b'"') % 2 == 0:
                return cells
    return None


def _bytes(taken: Iterable[Row]) -> Iterator[bytes]:
    return (line.content for line in taken if isinstance(line.content, bytes))


def _cells(content: bytes) -> list[str] | None:
    """The cells of one record, none for a blank one, None if it is no CSV by itself."""
    try:
        return next(csv.reader([content.decode("utf-8", "surrogateescape")], strict=True))
    except csv.Error:
        return None


def _checked(content: bytes, cells: list[str] | None, columns: int) -> list[str] | Malformed:
    try:
        content.decode()
    except UnicodeDecodeError:
        return Malformed("not_utf8", "the row is not in UTF-8")
    if cells is None:
        return Malformed("not_csv", "a quote is never closed, or stands where none may")
    if cells and len(cells) != columns:
        return Malformed("wrong_columns", f"the row has {len(cells)} cells and the header {columns}")
    return cells
