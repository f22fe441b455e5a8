"""What a function writes is shown with its call, however busy the machine is, by the engine as it is started here."""

import io
import json
import queue
import threading
import zipfile
from typing import Any

import pytest

from harness import aws_client
from local_stack.engine import Engine
from local_stack.whole_logs import MARK, lines_of_a_call, marking

FUNCTION = """
import os

def handler(event, context):
    print("began", event["call"])
    if event["ends"] == "dies":
        os._exit(3)
    return 1 / event["divisor"]
"""


def reader_of(lines: "queue.Queue[str]", *written: str, after: threading.Event | None = None) -> threading.Thread:
    """Reads what a process wrote, and does not come to it before the event."""

    def read() -> None:
        if after:
            after.wait()
        for line in written:
            lines.put(line)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def test_lines_that_come_late_are_shown_with_their_own_call() -> None:
    lines, is_its_turn = queue.Queue[str](), threading.Event()
    reader = reader_of(lines, "one", "two", MARK, "of the next call", after=is_its_turn)
    threading.Timer(0.3, is_its_turn.set).start()
    assert lines_of_a_call(lines, reader) == "one\ntwo"
    assert lines.get(timeout=10) == "of the next call"


def test_the_last_words_of_a_process_that_died_are_shown_without_a_mark() -> None:
    lines = queue.Queue[str]()
    reader = reader_of(lines, "one", "two")
    assert lines_of_a_call(lines, reader) == "one\ntwo"


def test_a_program_that_answers_in_another_way_is_not_changed() -> None:
    with pytest.raises(ValueError, match="in another way"):
        marking("import sys\n\nwhile True:\n    print('an answer')\n")


def test_each_call_of_a_function_shows_its_lines_and_no_mark(engine: Engine) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("app.py", FUNCTION)
    name = "whole-logs"
    role = engine.iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    functions: Any = aws_client(engine.url, "lambda")
    functions.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=role,
        Handler="app.handler",
        Code={"ZipFile": packed.getvalue()},
    )
    for call, (ends, divisor) in enumerate((("answers", 1), ("raises", 0), ("dies", 1), ("answers", 1))):
        functions.invoke(FunctionName=name, Payload=json.dumps({"call": call, "ends": ends, "divisor": divisor}))
        pages = engine.logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{name}")
        written = [event["message"].rstrip() for page in pages for event in page["events"]]
        assert [line for line in written if line.startswith("began")] == [f"began {each}" for each in range(call + 1)]
        assert MARK not in written
    functions.delete_function(FunctionName=name)
