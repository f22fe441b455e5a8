"""A file of users in S3, imported by a state machine: planned once, then sent part by part, each in any order.

    plan ── [start, end, line] of each part ──▶ Map: send_part ── too many events waiting? ── a minute's pause ──┐
                                                     ▲────────────────────────────────────────────────────────── ┘

Step Functions could read the rows itself, but its reader has rules of its own for CSV and gives a file up at the first
line that is not JSON. So it hands out parts, and the rows are read as the operator's command reads them.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, NotRequired, TypedDict, cast

from whop_sync.aws.boundary import aws_errors
from whop_sync.aws.queues import Queue
from whop_sync.errors import Malformed, SyncError
from whop_sync.importing.rows import MAX_WAITING, Source, import_rows
from whop_sync.importing.user_files import LONG_AGO, Format, Offset, open_users, parts, rows
from whop_sync.journal import Journal
from whop_sync.values import microseconds

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PART_BYTES = 256 * 1024
"""A thousand rows or so: what is sent between two looks at the queue."""

MAX_PARTS = 5000
"""A plan has to fit what one state may hand to the next, 256 KB. Larger files have larger parts."""

_BUFFER_BYTES = 1024 * 1024


class _Bucket(TypedDict):
    name: str


class _Object(TypedDict):
    key: str


class StoredFile(TypedDict):
    """An object as S3 names it in its events."""

    bucket: _Bucket
    object: _Object


class Csv(TypedDict):
    names: Sequence[str]
    separator: str


class Plan(TypedDict):
    """`columns` is None for NDJSON; a part is the bytes where it begins and ends, and the number of its first line."""

    bucket: str
    key: str
    etag: str
    as_of: str
    columns: Csv | None
    parts: Sequence[tuple[int, int, int]]


class Problem(TypedDict):
    """A sentence that says why a file is no file of users."""

    problem: str


class PartOfPlan(TypedDict):
    """What the state machine makes of a plan for each part. `run` is the name of its execution."""

    bucket: str
    key: str
    etag: str
    as_of: str
    columns: Csv | None
    part: tuple[int, int, int]
    run: str


class Sent(TypedDict):
    """`waiting`: the workers have enough to do, and nothing was sent."""

    waiting: bool
    sent: NotRequired[int]
    rejected: NotRequired[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImports:
    """Both methods raise Transient, or RuntimeError after a defect, and Step Functions tries again. Neither quotes
    anything of the file."""

    s3: "S3Client"
    queue: Queue
    journal: Journal
    clock: Callable[[], float]

    def plan(self, order: StoredFile) -> Plan | Problem:
        """Where to cut a file. The object's metadata may say `as-of`, the time of rows that have none."""
        try:
            with self._reporting():
                return self._plan(order)
        except Malformed as error:
            return {"problem": error.explanation}

    def _plan(self, order: StoredFile) -> Plan:
        bucket, key = order["bucket"]["name"], order["object"]["key"]
        answer = self.s3.get_object(Bucket=bucket, Key=key)
        as_of = answer["Metadata"].get("as-of", LONG_AGO)
        microseconds(as_of)  # raises Malformed, better now than once a row
        stream = _buffered(answer["Body"])
        file_format, start = open_users(stream, key)
        size = max(PART_BYTES, answer["ContentLength"] // MAX_PARTS)
        return {
            "bucket": bucket,
            "key": key,
            "etag": answer["ETag"],
            "as_of": as_of,
            "columns": {"names": file_format.columns, "separator": file_format.separator}
            if file_format.columns
            else None,
            "parts": [(begin.byte, end, begin.line) for begin, end in parts(rows(stream, file_format, start), size)],
        }

    def send_part(self, order: PartOfPlan) -> Sent:
        """Imports a part. Rejected rows are written to `rejected/<run>/<line>.ndjson` in the same bucket."""
        with self._reporting():
            if self.queue.waiting() > MAX_WAITING:
                return {"waiting": True}
            return self._send_part(order)

    def _send_part(self, order: PartOfPlan) -> Sent:
        offset, end, line = order["part"]
        columns = order["columns"]
        file_format = Format(tuple(columns["names"]), columns["separator"]) if columns else Format(columns=None)
        answer = self.s3.get_object(
            Bucket=order["bucket"],
            Key=order["key"],
            IfMatch=order["etag"],  # the plan is of no use for another file of that name
            Range=f"bytes={offset}-{end - 1}",
        )
        source = Source(format=file_format, name=order["key"].rpartition("/")[2], as_of=order["as_of"])
        found = rows(_buffered(answer["Body"]), file_format, Offset(offset, line))
        sent = 0
        rejections: list[str] = []
        for chunk in import_rows(found, source, self.queue, clock=self.clock):
            sent += chunk.sent
            rejections += [rejection.to_json() for rejection in chunk.rejections]
        if rejections:
            self.s3.put_object(
                Bucket=order["bucket"],
                Key=f"rejected/{order['run']}/{line:012}.ndjson",
                Body="".join(f"{rejection}\n" for rejection in rejections).encode(),
                ContentType="application/x-ndjson",
            )
        return {"waiting": False, "sent": sent, "rejected": len(rejections)}

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """Logs a defect without its message, which Lambda and Step Functions would record."""
        try:
            with aws_errors("s3_unavailable"):
                yield
        except SyncError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, its message may quote a row
            self.journal.crash(error)
            raise RuntimeError("a defect: the line `crash` in the log of the function has the place") from None
        finally:
            self.journal.flush()


def _buffered(body: Any) -> BinaryIO:
    """Botocore's bodies read lines byte by byte."""
    return io.BufferedReader(cast("io.RawIOBase", body), _BUFFER_BYTES)
