"""Files of users, as a platform exports them: rows in, user events out, and a reason for every row that is none.

NDJSON (a JSON object a line) or CSV (RFC 4180, with a header; separated by commas, semicolons, tabs or bars), in UTF-8,
with or without a byte order mark. The fields are those of our own webhook form: id, email, name or first_name and
last_name, avatar_url, updated_at, whop_user_id, and status (active, suspended or deleted). A field that is missing, or
a column that the header lacks, is not spoken of; null, an empty cell, and the NULL and \\N of database exports clear.

Nothing here holds more than a row at a time, and no row can be longer than MAX_ROW_BYTES, so a file may be of any size.
A row is read the same from wherever reading begins, as long as a row begins there: files can be cut up and resumed.
"""

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, get_args

from whop_sync import values
from whop_sync.errors import Malformed
from whop_sync.events import MAX_USER_ID_LENGTH, Standing, UserEvent

MAX_ROW_BYTES = 64 * 1024

LONG_AGO = "1970-01-01T00:00:01Z"
"""The version of a row that has no time of its own, if the import names none, which is `events.UNDATED`: any webhook
outranks it, and the same row sent twice changes nothing."""

COLUMNS = (
    *("id", "email", "name", "first_name", "last_name"),
    *("avatar_url", "updated_at", "whop_user_id", "status"),
)
"""What is read of a row; a header may name them in capitals."""

SEPARATORS = (",", ";", "\t", "|")

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_WORKBOOK_MARK = b"PK\x03\x04"
_SEPARATOR_LINE = re.compile(rb'"?sep=(\\t|.)"?\1*\r?\n?', re.IGNORECASE)
"""Excel reads one above the header. Programs that save it again may add empty cells to it."""
_EXCEL_TEXT = re.compile(r'\A="([^"]*)"\Z')
"""What exports write around digits, so that Excel keeps the zeros before them."""
_NO_VALUE = ("NULL", "\\N")


@dataclass(frozen=True, slots=True)
class Offset:
    """Where a row begins: the number of its first byte, from 0, and of its line, from 1."""

    byte: int = 0
    line: int = 1


@dataclass(frozen=True, slots=True)
class Format:
    """NDJSON where `columns` is None, else CSV. Columns without a name are not read."""

    columns: tuple[str, ...] | None
    separator: str = ","


@dataclass(frozen=True, slots=True)
class FileRow:
    """What lies between two offsets: a line of NDJSON, the cells of CSV, or why it is neither."""

    start: Offset
    end: Offset
    content: bytes | list[str] | Malformed


def open_users(stream: BinaryIO, name: str) -> tuple[Format, Offset]:
    """The format of a file, by its name and header, and where its first row begins, which is read next.

    Raises Malformed with a sentence for the person who made the file.
    """
    if name.lower().endswith((".ndjson", ".jsonl")):
        return Format(columns=None), Offset()
    if not name.lower().endswith(".csv"):
        raise Malformed("unknown_format", "the file's name must end with .csv, .ndjson or .jsonl")
    separators: Sequence[str] = SEPARATORS
    for line in _lines(stream, Offset()):
        if not isinstance(line.content, bytes):
            break
        if line.content.startswith(_WORKBOOK_MARK):
            raise Malformed("unknown_format", "the file is an Excel workbook: save it as CSV UTF-8")
        _check_encoding(line.content)
        if line.start.byte == 0 and (named := _SEPARATOR_LINE.fullmatch(line.content)):
            separators = (named[1].replace(b"\\t", b"\t").decode("latin-1"),)
        elif line.content.strip():
            return _csv_format(line.content, separators), line.end
    raise Malformed("bad_header", "the first line must name the columns, and there is none to be read")


def _check_encoding(line: bytes) -> None:
    if line.startswith(_UTF_16_MARKS) or b"\x00" in line:
        raise Malformed("not_utf8", "the file is in UTF-16: save it as UTF-8, which Excel calls CSV UTF-8")
    try:
        line.decode()
    except UnicodeDecodeError:
        raise Malformed("not_utf8", "the line is not in UTF-8: save the file as UTF-8") from None
    if b"\r" in line.rstrip(b"\r\n"):
        raise Malformed("bad_line_ends", "the lines end with CR alone: save the file with LF or CRLF")


def _csv_format(header: bytes, separators: Iterable[str]) -> Format:
    found = [Format(_columns(_cells(header, separator) or ()), separator) for separator in separators]
    with_id = [each for each in found if "id" in (each.columns or ())]
    if not with_id:
        raise Malformed("bad_header", "the first line must name the columns, and one of them must be called id")
    chosen = max(with_id, key=lambda each: len(each.columns or ()))
    named = [column for column in chosen.columns or () if column]
    twice = next((column for column in named if named.count(column) > 1), None)
    if twice:
        raise Malformed("bad_header", f"two columns are called {twice}")
    return chosen


def _columns(cells: Iterable[str]) -> tuple[str, ...]:
    """The names in a header, without empty ones at its end, which spreadsheets add."""
    return _trimmed([values.strip_unseen(cell).lower() for cell in cells])


def rows(stream: BinaryIO, file_format: Format, start: Offset) -> Iterator[FileRow]:
    """The rows of a stream that stands at `start`. Blank ones are left out."""
    lines = _lines(stream, start)
    found = lines if file_format.columns is None else _records(_Lines(lines), file_format)
    return (row for row in found if not _blank(row))


def parts(rows: Iterable[FileRow], size: int) -> Iterator[tuple[Offset, int]]:
    """Where to cut a file into parts of about `size` bytes: where each begins, and the byte where it ends."""
    start: Offset | None = None
    end = 0
    for row in rows:
        if start and row.end.byte - start.byte > size:
            yield start, end
            start = None
        start = start or row.start
        end = row.end.byte
    if start:
        yield start, end


def event(row: FileRow, file_format: Format, *, source: str, as_of: str, now: float) -> UserEvent:
    """The event that a row stands for: a user who was created, or one who was deleted.

    Args:
        source: names the file to people who search.
        as_of: ISO 8601, the version of a row without updated_at, or with one that lies ahead: such a clock is wrong.
        now: Unix seconds.

    Raises Malformed, whose explanation holds no value of the row.
    """
    found = _fields(row, file_format)
    user_id = values.user_id(found.get("id"))
    event_id = f"{source}:{row.start.line}"
    version = values.microseconds(found.get("updated_at"))
    if version is None or version > now * 1_000_000:
        version = values.microseconds(as_of) or 1
    standing = _standing(found.get("status"))
    if standing == "deleted":
        return UserEvent(kind="deleted", event_id=event_id, user_id=user_id, version=version, standing=standing)
    return UserEvent(
        kind="created",
        event_id=event_id,
        user_id=user_id,
        version=version,
        standing=standing,
        email=values.email(found.get("email")),
        profile=values.profile(
            values.name((found.get("name"), [found.get("first_name"), found.get("last_name")])),
            values.picture((found.get("avatar_url"),)),
        ),
        whop_user_id=values.whop_user_id(found.get("whop_user_id")),
    )


def user_id(row: FileRow, file_format: Format) -> str | None:
    """The id that a row carries, for people who look for the row, None if it carries none that could be one."""
    try:
        found = _fields(row, file_format).get("id")
    except Malformed:
        return None
    return values.strip_unseen(str(found))[:MAX_USER_ID_LENGTH] or None if type(found) in (str, int, float) else None


def _standing(found: object) -> Standing:
    written = (values.text(found, "the status") or "active").lower()
    standings: tuple[Standing, ...] = get_args(Standing.__value__)
    for standing in standings:
        if standing == written:
            return standing
    raise Malformed("bad_status", f"the status must be {', '.join(standings[:-1])} or {standings[-1]}")


def _fields(row: FileRow, file_format: Format) -> Mapping[str, Any]:
    if isinstance(row.content, Malformed):
        raise row.content
    if isinstance(row.content, bytes):
        try:
            found = values.json_object(row.content)
        except Malformed:
            _check_encoding(row.content)  # says more, if that is why
            raise
    else:
        cells = (_EXCEL_TEXT.sub(r"\1", cell.strip(), count=1) for cell in row.content)
        found = dict(zip(file_format.columns or (), cells, strict=True))
    return {
        name: "" if isinstance(value, str) and value.strip() in _NO_VALUE else value for name, value in found.items()
    }


def _blank(row: FileRow) -> bool:
    return row.content == [] or (isinstance(row.content, bytes) and not row.content.strip())


def _lines(stream: BinaryIO, start: Offset) -> Iterator[FileRow]:
    at = start
    while content := stream.readline(MAX_ROW_BYTES + 1):
        size = len(content)
        too_long = size > MAX_ROW_BYTES
        while not content.endswith(b"\n") and too_long and (content := stream.readline(MAX_ROW_BYTES)):
            size += len(content)
        end = Offset(at.byte + size, at.line + 1)
        if too_long:
            yield FileRow(at, end, Malformed("too_long", f"the line has more than {MAX_ROW_BYTES} bytes"))
        else:
            yield FileRow(at, end, content if at.byte else content.removeprefix(_BYTE_ORDER_MARK))
        at = end


class _Lines:
    """Lines of a file. Some can be put back, to be read once more."""

    def __init__(self, lines: Iterator[FileRow]) -> None:
        self._lines = lines
        self._put_back: deque[FileRow] = deque()

    def __iter__(self) -> Iterator[FileRow]:
        return self

    def __next__(self) -> FileRow:
        return self._put_back.popleft() if self._put_back else next(self._lines)

    def put_back(self, lines: Sequence[FileRow]) -> None:
        self._put_back.extendleft(reversed(lines))


def _records(lines: _Lines, file_format: Format) -> Iterator[FileRow]:
    """Rows of CSV, whose cells may span lines. A quote that is never closed costs its own line and no other."""
    columns = len(file_format.columns or ())
    for line in lines:
        if not isinstance(line.content, bytes):
            yield line
            continue
        cells = _cells(line.content, file_format.separator)
        if cells is None and line.content.count(b'"') % 2:
            record, cells = _spanning(line, lines, file_format.separator)
            if cells is not None and len(_trimmed(cells, columns)) == columns:
                yield FileRow(line.start, record[-1].end, _checked(b"".join(_bytes(record)), cells, columns))
                continue
            lines.put_back(record[1:])
            cells = None
        yield FileRow(line.start, line.end, _checked(line.content, cells, columns))


def _spanning(first: FileRow, lines: _Lines, separator: str) -> tuple[Sequence[FileRow], list[str] | None]:
    """The lines from one with an open cell up to the one that closes it, and their cells; None if none closes it."""
    record = [first]
    size = first.end.byte - first.start.byte
    for line in lines:
        record.append(line)
        size += line.end.byte - line.start.byte
        if not isinstance(line.content, bytes) or size > MAX_ROW_BYTES:
            break
        if b'"' in line.content:
            together = b"".join(_bytes(record))
            cells = _cells(together, separator)
            if cells is not None or together.count(b'"') % 2 == 0:
                return record, cells
    return record, None


def _bytes(taken: Iterable[FileRow]) -> Iterator[bytes]:
    return (line.content for line in taken if isinstance(line.content, bytes))


def _cells(content: bytes, separator: str) -> list[str] | None:
    """The cells of one record, none for a blank one, None if it is no CSV by itself."""
    try:
        return next(csv.reader([content.decode("utf-8", "surrogateescape")], delimiter=separator, strict=True))
    except csv.Error:
        return None


def _trimmed(cells: Sequence[str], length: int = 0) -> tuple[str, ...]:
    """Without the empty cells at the end that go beyond `length`."""
    end = len(cells)
    while end > length and not cells[end - 1].strip():
        end -= 1
    return tuple(cells[:end])


def _checked(content: bytes, cells: list[str] | None, columns: int) -> list[str] | Malformed:
    try:
        content.decode()
    except UnicodeDecodeError:
        return Malformed("not_utf8", "the row is not in UTF-8")
    if cells is None:
        return Malformed("not_csv", "a quote is never closed, or stands where none may")
    if not any(cell.strip() for cell in cells):
        return []
    found = list(_trimmed(cells, columns))
    if len(found) != columns:
        return Malformed(
            "wrong_columns", f"the row has {len(found)} cells and the header {columns}: empty cells count too"
        )
    return found
