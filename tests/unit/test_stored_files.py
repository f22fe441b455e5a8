"""What Step Functions gets to see of an import when S3 or the queue fails."""

import io
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from whop_sync.aws.queues import Queue
from whop_sync.errors import Transient
from whop_sync.importing.stored_files import PartOfPlan, StoredFile, StoredImports
from whop_sync.journal import Journal

FILE = b"id,email\nu1,ann@people.test\nu2,\n"
STORED: StoredFile = {"bucket": {"name": "b"}, "object": {"key": "users/a.csv"}}
PART: PartOfPlan = {
    "bucket": "b",
    "key": "users/a.csv",
    "etag": '"1"',
    "as_of": "2026-03-01",
    "columns": {"names": ["id", "email"], "separator": ","},
    "part": (9, len(FILE), 2),
    "run": "r1",
}


def refused(operation: str) -> Callable[..., Any]:
    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "users/a.csv, ann@people.test"}}, operation)

    return refuse


class Body(io.BytesIO):
    """The body of an object whose host falls silent."""

    def readinto(self, _buffer: Any) -> int:
        raise ReadTimeoutError(endpoint_url="https://b.s3.amazonaws.com/users/a.csv")


class AWS:
    """S3 and SQS as far as an import calls them."""

    def get_object(self, **asked: str) -> dict[str, Any]:
        begin = int(asked.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        return {"Metadata": {}, "Body": io.BytesIO(FILE[begin:]), "ContentLength": len(FILE), "ETag": '"1"'}

    def put_object(self, **_: Any) -> None: ...

    def get_queue_attributes(self, **_: Any) -> dict[str, Any]:
        return {"Attributes": {"ApproximateNumberOfMessages": "0"}}

    def send_message_batch(self, **_: Any) -> dict[str, Any]:
        return {}


def imports(aws: Any) -> StoredImports:
    return StoredImports(s3=aws, queue=Queue(aws, "queue"), journal=Journal(), clock=time.time)


def test_a_file_is_planned_and_its_parts_are_sent() -> None:
    plan: Any = imports(AWS()).plan(STORED)
    assert [list(part) for part in plan["parts"]] == [[9, len(FILE), 2]]
    assert imports(AWS()).send_part(PART) == {"waiting": False, "sent": 1, "rejected": 1}


def silent(**_: Any) -> dict[str, Any]:
    return {"Metadata": {}, "Body": Body(), "ContentLength": 1, "ETag": '"1"'}


@pytest.mark.parametrize(
    ("step", "call", "failing", "shown"),
    [
        ("plan", "get_object", refused("GetObject"), "s3_unavailable: AccessDenied"),
        ("plan", "get_object", silent, "s3_unavailable: ReadTimeoutError"),
        ("send", "get_object", refused("GetObject"), "s3_unavailable: AccessDenied"),
        ("send", "get_object", silent, "s3_unavailable: ReadTimeoutError"),
        ("send", "put_object", refused("PutObject"), "s3_unavailable: AccessDenied"),
        ("send", "send_message_batch", refused("SendMessageBatch"), "sqs_unavailable: AccessDenied"),
    ],
)
def test_an_error_of_aws_shows_the_service_and_its_code_and_nothing_of_the_file(
    step: str, call: str, failing: Callable[..., Any], shown: str
) -> None:
    aws = AWS()
    setattr(aws, call, failing)
    with pytest.raises(Transient) as error:
        imports(aws).plan(STORED) if step == "plan" else imports(aws).send_part(PART)
    assert str(error.value) == shown


def test_a_file_that_is_none_of_users_is_named_in_a_sentence() -> None:
    stored = json.loads(json.dumps(STORED).replace(".csv", ".xlsx"))
    assert imports(AWS()).plan(stored) == {"problem": "the file's name must end with .csv, .ndjson or .jsonl"}
