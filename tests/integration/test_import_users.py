"""An operator imports users that were there before the webhook: the real command on a real SQS API."""

import itertools
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness import World, aws_client
from harness.interruptions import INTERRUPTED
from local_stack import ROOT
from local_stack.engine import Engine
from local_stack.processes import NO_ACCOUNT
from local_stack.waiting import PATIENCE_SECONDS, becomes_true
from whop_sync.aws.queues import Queue
from whop_sync.errors import Transient
from whop_sync.events import UserEvent
from whop_sync.importing.rows import CHUNK_ROWS, MAX_WAITING
from whop_user_sync import cli
from whop_user_sync.import_course import Course


def line(number: int, **more: Any) -> str:
    return json.dumps({"id": f"u{number}", "email": f"u{number}@shop.test", "name": f"Ann {number}", **more})


@dataclass
class Operator:
    """An operator with a shell, an AWS account (the local engine), a queue and a file."""

    engine: Engine
    stack: str
    file: Path
    run: Callable[..., int]
    printed: Callable[[], str]

    @property
    def queue_url(self) -> str:
        return self.engine.sqs.get_queue_url(QueueName=f"{self.stack}-user-created")["QueueUrl"]

    @property
    def state_file(self) -> Path:
        return self.file.with_name(self.file.name + ".import.json")

    def write(self, *lines: str) -> None:
        self.file.write_text("\n".join(lines) + "\n")

    def rejected(self) -> list[dict[str, Any]]:
        file = self.file.with_name(self.file.name + ".rejected.ndjson")
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def received(self) -> list[UserEvent]:
        """Takes all events out of the queue."""
        taken: list[UserEvent] = []
        while batch := self.engine.sqs.receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10).get("Messages"):
            for message in batch:
                self.engine.sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"])
                taken.append(UserEvent.from_json(message["Body"]))
        return taken


@pytest.fixture
def operator(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Operator]:
    stack = f"s-{os.urandom(6).hex()}"
    url = engine.sqs.create_queue(QueueName=f"{stack}-user-created")["QueueUrl"]
    for name, value in NO_ACCOUNT.items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "users.ndjson"

    def run(*options: str, file: Path = file, command: str = "import") -> int:
        arguments = [command, str(file), "--stack", stack, "--endpoint-url", engine.url, *options]
        monkeypatch.setattr(sys, "argv", ["whop-user-sync", *arguments])
        return cli.main()

    def printed() -> str:
        said = capsys.readouterr()
        return said.out + said.err

    yield Operator(engine, stack, file, run, printed)
    engine.sqs.delete_queue(QueueUrl=url)


def test_every_good_row_becomes_a_user_created_event_and_every_bad_one_a_line(operator: Operator) -> None:
    # Given a file with good and bad rows, more than one batch and one chunk
    good = [line(number) for number in range(CHUNK_ROWS + 25)]
    operator.write(*good[:3], "{bad", json.dumps({"id": "u1000", "name": "Ann Bee"}), line(1001, name=7), *good[3:])
    # When it is imported
    assert operator.run() == 1
    # Then each good one is in the queue once
    events = operator.received()
    assert sorted(event.user_id for event in events) == sorted(f"u{number}" for number in range(CHUNK_ROWS + 25))
    assert {(event.kind, event.version) for event in events} == {("created", 1_000_000)}
    # And of each bad one the line, the id and the reason are recorded, and nothing else of it
    rejected = [(each["line"], each["id"], each["reason"]) for each in operator.rejected()]
    assert rejected == [(4, None, "not_json"), (5, "u1000", "no_email"), (6, "u1001", "not_text")]
    assert "Ann" not in json.dumps(operator.rejected())
    assert "125 sent, 3 rejected" in operator.printed()
    assert not operator.state_file.exists()


def test_csv_is_imported_too(operator: Operator) -> None:
    file = operator.file.with_name("users.csv")
    file.write_bytes(b'id,email,first_name,last_name\r\nu1,u1@shop.test,"Ann,",Bee\r\n')
    assert operator.run("--as-of", "2026-03-01", file=file) == 0
    [event] = operator.received()
    assert (event.profile, event.version) == ({"name": "Ann, Bee"}, 1_772_323_200_000_000)
    assert sorted(each.name for each in file.parent.iterdir()) == ["users.csv"]


def test_rows_as_large_as_they_may_be_fit_the_calls_that_carry_them(operator: Operator) -> None:
    # Two bytes in the file are six in a message
    operator.write(*(line(number, name="é" * 32_000).encode().decode("unicode_escape") for number in range(25)))
    assert operator.run() == 0
    assert len(operator.received()) == 25


@pytest.mark.parametrize("times", [1, 4, 99])
def test_what_sqs_refuses_of_a_batch_is_sent_again_and_nothing_else(engine: Engine, times: int) -> None:
    # Given an SQS that takes only the first half of some batches
    sqs = aws_client(engine.url, "sqs")
    url = sqs.create_queue(QueueName=f"halves-{times}-{os.urandom(4).hex()}")["QueueUrl"]
    halves = itertools.repeat(True, times)
    refused: list[str] = []

    def halve(params: dict[str, Any], **_: Any) -> None:
        refused.clear()
        if next(halves, False):
            half = math.ceil(len(params["Entries"]) / 2) if times < 99 else 0
            refused.extend(entry["Id"] for entry in params["Entries"][half:])
            params["Entries"] = params["Entries"][: max(half, 1)]

    def note(parsed: dict[str, Any], **_: Any) -> None:
        parsed["Failed"] = [{"Id": id_, "SenderFault": False, "Code": "InternalError"} for id_ in refused]

    sqs.meta.events.register("provide-client-params.sqs.SendMessageBatch", halve)
    sqs.meta.events.register("after-call.sqs.SendMessageBatch", note)
    # When ten messages are sent
    bodies = [str(number) for number in range(10)]
    waits: list[float] = []
    if times == 99:
        with pytest.raises(Transient):
            Queue(sqs, url).send_all(bodies, sleep=waits.append)
        return
    Queue(sqs, url).send_all(bodies, sleep=waits.append)
    # Then each is there once
    found: list[str] = []
    while batch := engine.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        found += [message["Body"] for message in batch]
    assert sorted(found) == bodies
    assert waits == sorted(waits)


def test_a_dry_run_prints_the_same_and_sends_nothing(operator: Operator) -> None:
    operator.write(line(1), "{bad", line(2))
    assert operator.run("--dry-run") == 1
    printed = operator.printed()
    assert "2 would be sent, 1 rejected" in printed
    # And that Whop may write to so many people
    assert "would enroll 2 people, less those who are enrolled already. Whop may write to everyone" in printed
    assert [each["line"] for each in operator.rejected()] == [2]
    assert operator.received() == []
    assert not operator.state_file.exists()


def test_a_dry_run_counts_the_people_whom_whop_would_enroll_by_their_email(operator: Operator) -> None:
    # Given a user of two rows, one who is suspended, one who came by Whop sign-in, one who was deleted
    operator.write(
        line(1),
        line(1, name="Ann"),
        line(2, status="suspended"),
        line(3, whop_user_id="user_3"),
        line(4, status="deleted"),
    )
    assert operator.run("--dry-run", "--json") == 0
    found = json.loads(operator.printed().splitlines()[0])
    assert (found["sent"], found["would_be_sent"], found["people"]) == (0, 5, 2)
    # And one of them alone
    assert operator.run("--dry-run", "--user", "u1") == 0
    assert "would enroll 1 person" in operator.printed()
    assert operator.run("--dry-run", "--user", "u4") == 0
    assert "enroll" not in operator.printed()


def test_before_people_are_enrolled_their_operator_reads_that_whop_may_write_to_them(operator: Operator) -> None:
    operator.write(line(1))
    assert operator.run() == 0
    assert "Whop may write to everyone who is enrolled" in operator.printed()


def test_one_user_can_be_sent_alone(operator: Operator) -> None:
    operator.write(*map(line, range(300)), line(7, name="Newer", updated_at="2026-03-01"))
    assert operator.run("--user", "u7") == 0
    assert sorted(str(event.profile["name"]) for event in operator.received()) == ["Ann 7", "Newer"]
    assert operator.run("--user", "u9999") == 1
    assert "no row of this user" in operator.printed()


def test_an_interrupted_import_goes_on_where_it_was(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an import that AWS stops in its third chunk
    rows = [line(number) if number % 50 else "{bad" for number in range(CHUNK_ROWS * 4)]
    operator.write(*rows)
    whole, calls = Queue.send_all, []

    def failing(queue: Queue, bodies: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise Transient("sqs_unavailable", "ConnectionClosedError")
        whole(queue, bodies)

    monkeypatch.setattr(Queue, "send_all", failing)
    assert operator.run() == 3
    printed = operator.printed()
    assert "196 done, 4 rejected, about 20" in printed
    assert "--resume" in printed
    # And that recorded a bad row of the chunk which it did not finish
    with operator.file.with_name("users.ndjson.rejected.ndjson").open("a") as file:
        file.write('{"line": 201, "id": null, "reason": "not_json"}\n')
    # When it is resumed
    assert operator.run("--resume") == 1
    # Then every row was sent once, and every bad one is recorded once
    assert len(operator.received()) == 392
    assert [each["line"] for each in operator.rejected()] == list(range(1, 400, 50))
    assert "392 sent, 8 rejected" in operator.printed()
    assert not operator.state_file.exists()


def test_an_import_that_is_killed_goes_on_too(operator: Operator) -> None:
    # Given an import in a process of its own, killed while it waits for a full queue
    operator.write(*map(line, range(MAX_WAITING + CHUNK_ROWS * 5)))
    arguments = ["import", str(operator.file), "--stack", operator.stack, "--endpoint-url", operator.engine.url]
    command = [sys.executable, "-m", "whop_user_sync", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert becomes_true(lambda: Queue(operator.engine.sqs, operator.queue_url).waiting() > MAX_WAITING)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    first = operator.received()
    # When it is resumed once the queue has been worked on
    assert operator.run("--resume") == 0
    # Then all are there, and at most one chunk twice
    events = [*first, *operator.received()]
    assert {event.user_id for event in events} == {f"u{number}" for number in range(MAX_WAITING + CHUNK_ROWS * 5)}
    assert len(events) <= MAX_WAITING + CHUNK_ROWS * 6


def test_sign_ups_never_wait_behind_more_than_a_few_minutes_of_imported_users(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given workers that only begin when the import pauses
    operator.write(*map(line, range(MAX_WAITING + 500)))
    depths, worked = [], []

    def work(_: float) -> None:
        depths.append(Queue(operator.engine.sqs, operator.queue_url).waiting())
        worked.extend(operator.received())

    monkeypatch.setattr(time, "sleep", work)
    # When the file is imported
    assert operator.run() == 0
    # Then the queue never held much more than the limit, and all went through
    assert depths
    assert max(depths) <= MAX_WAITING + CHUNK_ROWS
    assert len(worked) + len(operator.received()) == MAX_WAITING + 500


@pytest.mark.parametrize(
    ("content", "options", "sentence"),
    [
        (line(2), ["--resume"], "The file or --as-of is not that of the interrupted run"),
        (line(1), ["--resume", "--as-of", "2026-03-01"], "The file or --as-of is not that"),
    ],
)
def test_another_file_is_not_taken_for_the_one_that_was_interrupted(
    operator: Operator, content: str, options: list[str], sentence: str
) -> None:
    operator.write(line(1))
    found = operator.file.stat()
    state = {"size": found.st_size, "changed_at": found.st_mtime_ns, "as_of": "1970-01-01T00:00:01Z"}
    operator.state_file.write_text(json.dumps(state))
    if content != line(1):
        time.sleep(0.01)
        operator.write(content)
    assert operator.run(*options) == 2
    assert sentence in operator.printed()
    assert operator.received() == []


@pytest.mark.parametrize(
    ("command", "options", "sentence"),
    [
        ("import", ["--sample", "3"], "No such option: --sample"),
        ("import", ["--repair"], "No such option: --repair"),
        ("verify", ["--dry-run"], "No such option: --dry-run"),
        ("verify", ["--sample", "0"], "greater than or equal to 1"),
        ("import", ["--as-of", "2099-01-01"], "must be a time in the past"),
        ("import", ["--as-of", "yesterday"], "must be a time in the past"),
    ],
)
def test_options_that_cannot_be_used_are_refused(
    operator: Operator, command: str, options: list[str], sentence: str
) -> None:
    operator.write(line(1))
    assert operator.run(*options, command=command) == 2
    assert sentence in operator.printed()


def test_a_file_or_stack_that_is_not_there_is_said_so(operator: Operator) -> None:
    assert operator.run() == 2
    assert "There is no file" in operator.printed()
    operator.write(line(1))
    assert operator.run("--stack", "nowhere") == 3
    assert "There is no stack nowhere here" in operator.printed()


def test_a_file_that_cannot_be_one_of_users_is_refused_with_the_reason(operator: Operator) -> None:
    other = operator.file.with_name("users.xlsx")
    other.write_bytes(b"PK")
    assert (operator.run(file=other), "must end with" in operator.printed()) == (2, True)
    assert (operator.run(file=operator.file.parent), "is a directory" in operator.printed()) == (2, True)
    operator.file.write_bytes(b"")
    assert (operator.run(), "is empty" in operator.printed()) == (2, True)
    assert operator.received() == []


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_stops_an_import_and_what_it_says_is_true(operator: Operator) -> None:
    # Given an import that waits for the workers, since the queue is full
    operator.write(*(line(number) for number in range(MAX_WAITING + 10 * CHUNK_ROWS)))
    where = ["--stack", operator.stack, "--endpoint-url", operator.engine.url]
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "whop_user_sync", "import", operator.file, *where],
        cwd=ROOT,
        env={**os.environ, **NO_ACCOUNT},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stderr
        for said in run.stderr:
            if "pausing" in said:
                break
        # When a person presses Ctrl-C
        run.send_signal(signal.SIGINT)
        output, errors = run.communicate(timeout=PATIENCE_SECONDS)
    # Then it says how far it is and how to continue
    assert run.returncode in INTERRUPTED, output + errors
    [done] = re.findall(
        r"Stopped: ([\d,]+) done, 0 rejected, about [\d,]+ remaining\. Continue with --resume\.", errors
    )
    assert "Traceback" not in errors
    # And so many are in the queue
    sent = {each.user_id for each in operator.received()}
    assert int(done.replace(",", "")) == len(sent) > 0
    # And the rest comes by what it said
    assert operator.run("--resume") == 0
    assert len(sent | {each.user_id for each in operator.received()}) == MAX_WAITING + 10 * CHUNK_ROWS


def test_a_run_that_was_interrupted_is_resumed_or_begun_anew_on_purpose(operator: Operator) -> None:
    # Given the state of a run that did not end
    operator.write(line(1), line(2))
    found = operator.file.stat()
    state = {"size": found.st_size, "changed_at": found.st_mtime_ns, "as_of": "1970-01-01T00:00:01Z"}
    operator.state_file.write_text(json.dumps(state))
    # Then a plain import asks which is meant, and sends nothing
    assert operator.run() == 2
    assert "--resume" in operator.printed()
    assert operator.received() == []
    # And does as it is asked
    assert operator.run("--restart") == 0
    assert len(operator.received()) == 2
    # And once it is through, there is nothing to resume
    assert operator.run("--resume") == 2
    assert "nothing to resume" in operator.printed()
    assert operator.received() == []


# -- the same rules ------------------------------------------------------------------------------------------------


def test_imported_twice_changes_nothing_and_never_outranks_a_webhook(operator: Operator, world: World) -> None:
    # Given two users, of whom one has changed since by webhook
    operator.write(line(1), line(2))
    operator.run()
    first = operator.received()
    world.settle(*first)
    world.settle(UserEvent(kind="updated", event_id="m", user_id="u2", version=5_000_000, profile={"name": "Anna"}))
    before = world.operations()
    # When the file is imported again
    operator.run()
    again = world.settle(*operator.received())
    # Then Whop is not asked for anything, and shows what the webhook said
    assert {getattr(result, "outcome", None) for result in again} == {"stale"}
    assert world.operations() == before
    assert [world.shown(user)[0] for user in ("u1", "u2")] == ["Ann 1", "Anna"]


# -- how it went ---------------------------------------------------------------------------------------------------


def test_the_course_of_an_import_is_drawn_where_a_chart_is_asked_for(operator: Operator) -> None:
    operator.write(*(line(number) for number in range(2 * CHUNK_ROWS)), "no JSON")
    chart = operator.file.with_name("course.svg")
    assert operator.run("--chart", str(chart)) == 1
    text = chart.read_text()
    for words in ("200 rows sent, 1 rejected", "sent to the queue", "above it the import pauses", "seconds"):
        assert words in text


def test_a_chart_that_cannot_be_drawn_is_refused_before_anything_is_sent(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.write(line(1))
    svg = str(operator.file.with_name("course.svg"))
    assert (operator.run("--chart", "course.png"), "must end with .svg" in operator.printed()) == (2, True)
    assert (operator.run("--chart", "nowhere/a.svg"), "There is no folder nowhere" in operator.printed()) == (2, True)
    assert (operator.run("--chart", svg, "--user", "u1"), "leave out --user" in operator.printed()) == (2, True)
    monkeypatch.setattr("whop_user_sync.commands.importing.can_be_drawn", lambda: False)
    assert (operator.run("--chart", svg), "matplotlib, which is not installed" in operator.printed()) == (2, True)
    assert operator.received() == []


def test_the_course_of_a_long_import_keeps_its_last_moment_and_no_more_than_one_a_second() -> None:
    now = itertools.count(0.0, 0.1)
    course = Course(clock=lambda: next(now))
    for chunk in range(1, 101):
        course.note(chunk * CHUNK_ROWS, chunk)
    assert len(course.moments) <= 13
    last = course.moments[-1]
    assert (last.sent, last.rejected, round(last.at, 3)) == (100 * CHUNK_ROWS, 100, 10.0)
