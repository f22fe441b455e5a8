"""What holds for every command of the operators' tool: help, JSON, exit statuses, and words that help."""

import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, cast, get_args

import click
import httpx
import pytest
import typer
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoRegionError,
    ReadTimeoutError,
    UnauthorizedSSOTokenError,
)
from rich.console import Console

from harness.entries import entry
from local_stack import ROOT
from whop_sync.config.whop import WHOP_API_URLS, WhopConfig
from whop_sync.errors import Malformed, OperatorNeeded, Permanent, Transient
from whop_sync.events import UserEvent
from whop_sync.journal import EventOutcome
from whop_sync.receiving.platforms import Platform
from whop_sync.receiving.signatures import Hmac, Standard
from whop_sync.users.directory import Directory
from whop_user_sync import cli
from whop_user_sync.commands import importing, sending, tracing
from whop_user_sync.commands import parked as parked_commands
from whop_user_sync.commands.common import Interrupted, number
from whop_user_sync.import_course import Course
from whop_user_sync.importing import Import, NoQueue, NotResumableError, Progress
from whop_user_sync.logs import LogLine, Logs
from whop_user_sync.output import Output, age
from whop_user_sync.parked import Parked, ParkedEvents
from whop_user_sync.reconciliation import Drift
from whop_user_sync.sending import Webhook
from whop_user_sync.stack import EndpointError, Stack, explained, is_loopback, whop_config


def commands(group: Any = None, *before: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    group = group or typer.main.get_command(cli.app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *before, name)
        else:
            yield (*before, name), command


ALL = dict(commands())


@pytest.mark.parametrize(
    ("code", "message", "part"),
    [
        (
            "SignatureDoesNotMatch",
            "Signature expired: 20261126T010000Z is now earlier than ...",
            "clock is minutes off",
        ),
        ("InvalidSignatureException", "Signature not yet current: 20261126T03 is still later ...", "clock is minutes"),
        ("RequestTimeTooSkewed", "The difference between the request time and ...", "clock is minutes off"),
        ("RequestExpired", "Request has expired.", "clock is minutes off"),
        ("SignatureDoesNotMatch", "The request signature we calculated does not match ...", "sign in again"),
        ("InvalidSignatureException", "The request signature we calculated does not match ...", "sign in again"),
        ("ExpiredToken", "The security token included in the request is expired", "sign in again"),
        ("AccessDenied", "", "not allowed to ListQueues. This command needs: sqs:ListQueues"),
        ("Throttling", "Rate exceeded", "AWS refused ListQueues: Throttling."),
        ("ResourceNotFoundException", "", "There is no stack shop here: ListQueues found nothing."),
        ("QueueDoesNotExist", "", "There is no stack shop here: its queues do not exist."),
    ],
)
def test_what_aws_refuses_is_explained_by_what_to_do(code: str, message: str, part: str) -> None:
    error = ClientError({"Error": {"Code": code, "Message": message}}, "ListQueues")
    assert part in explained(error, stack="shop", needed="sqs:ListQueues")


@pytest.mark.parametrize(
    ("error", "part"),
    [
        (UnauthorizedSSOTokenError(), "sign in again"),
        (NoRegionError(), "Sign in to AWS first"),
        (EndpointConnectionError(endpoint_url="http://127.0.0.1:9"), "http://127.0.0.1:9"),
        (ReadTimeoutError(endpoint_url="https://sqs.test"), "Read timeout on endpoint URL"),
    ],
)
def test_aws_that_cannot_be_asked_is_explained_too(error: BotoCoreError, part: str) -> None:
    assert part in explained(error, stack="shop", needed="")


@pytest.mark.parametrize("text", ["nan", "-inf", "1e300", "0", "a number", ""])
def test_a_number_out_of_its_bounds_is_none(text: str) -> None:
    read = number(0.001, 3650)
    assert read("3650") == 3650
    with pytest.raises(typer.BadParameter, match=r"must be a number from 0.001 to 3,650"):
        read(text)


def test_a_region_that_can_be_none_is_named_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["parked", "--stack", "acme", "--region", "not a region"]) == 3
    said = capsys.readouterr().err
    assert "'not a region'" in said
    assert "URL" not in said


def test_half_an_address_leads_to_no_machine() -> None:
    assert [is_loopback(url) for url in ("http://[::1]:9/", "http://[::1", None)] == [True, False, False]


def test_an_empty_region_or_endpoint_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a variable of the environment that is set to nothing."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    client = Stack(name="acme", region="", endpoint_url="").client("sqs")
    assert client.meta.region_name == os.environ["AWS_DEFAULT_REGION"]


def test_the_commands_are_found() -> None:
    assert {("preview",), ("users", "show"), ("console",)} <= set(ALL)


@pytest.mark.parametrize("name", ALL, ids=" ".join)
def test_every_command_has_help_and_speaks_json(name: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Usage" in shown
    assert any("--json" in parameter.opts for parameter in ALL[name].params)


@pytest.mark.parametrize("name", [name for name in ALL if name[0] not in ("preview", "platform")], ids=" ".join)
def test_a_command_without_a_stack_says_so_and_prints_it_as_its_document(
    name: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.delenv("WHOP_USER_SYNC_STACK", raising=False)
    assert cli.main([*name, *arguments_of(name, tmp_path), "--json"]) == 2
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"error": printed.err.strip(), "status": 2}
    assert "--stack" in printed.err or "WHOP_USER_SYNC" in printed.err
    assert "Traceback" not in printed.err


def test_one_json_document_is_printed_and_nothing_beside_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "users.csv"
    file.write_text("id,email\nu1,u1@people.test\nu2,\n")
    assert cli.main(["import", str(file), "--dry-run", "--json"]) == 1
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["by_reason"] == {"no_email": 1}


@pytest.mark.parametrize(("header", "is_warned"), [("ID,Email,Full Name,plan", True), ("ID,Email,Name,Status", False)])
def test_a_column_that_is_not_read_is_named_before_anything_is_sent(
    header: str, is_warned: bool, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "users.csv"
    file.write_text(f"{header}\nu1,u1@people.test,Ann,active\n")
    assert cli.main(["import", str(file), "--dry-run"]) == 0
    said = "Columns that are not read: full name, plan. Those that are: id, email, name,"
    assert (said in capsys.readouterr().err) is is_warned


@pytest.mark.parametrize(
    "arguments",
    [
        ["redrive", "--nope"],
        ["users", "nope"],
        ["discard"],
        ["import", "x.csv", "--as-of", "tomorrow"],
        ["trace", "--user", "u1", "--days", "nan"],
        ["trace", "--user", "u1", "--days", "1e300"],
        ["send", "standard", "created", "--wait", "inf"],
        ["trace", "--stack", "acme"],
        ["trace", "--stack", "acme", "--user", "u1", "--delivery", "msg_1"],
        ["users", "show", "\udcff", "--stack", "acme"],
        ["users", "list", "--stack", "acme", "--endpoint-url", "acme"],
        ["users", "list", "--stack", "acme", "--endpoint-url", "http://["],
        ["send", "standard", "created", "--url", "acme"],
        ["send", "standard", "created", "--url", "http://a:b/"],
    ],
)
def test_options_that_cannot_be_used_are_a_document_too(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHOP_USER_SYNC_SIGNING_SECRET", "whsec_Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFy")
    assert cli.main([*arguments, "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["status"] == 2
    assert cli.main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert document["error"] in printed.err


@pytest.mark.parametrize("command", [["discard", "--why", "a test"], ["erase", "u1"], ["release", "u1"]])
def test_what_was_not_confirmed_is_not_done_and_says_so_in_one_document(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    parked = ParkedStub()
    monkeypatch.setattr(parked_commands, "ParkedEvents", lambda _: parked)
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    assert cli.main([*command, "--stack", "acme", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"error": "Not confirmed: nothing was done.", "status": 1}
    assert parked.discarded == []


class ParkedStub:
    """Two parked events. Ctrl-C is pressed after the first is deleted, if `is_interrupted`."""

    def __init__(self, *, is_interrupted: bool = False, number: int = 2) -> None:
        self._number = number
        self.discarded: list[Parked] = []
        self._is_interrupted = is_interrupted

    def hidden(self) -> int:
        return 0

    @contextmanager
    def held(self) -> Iterator[list[Parked]]:
        yield [Parked.of(sqs_message(f"msg_{number}"), "parked-deliveries") for number in range(self._number)]

    def discard(self, events: Sequence[Parked], _why: str) -> None:
        for event in events:
            self.discarded.append(event)
            if self._is_interrupted:
                raise KeyboardInterrupt

    def is_gone(self, event: Parked) -> bool:
        return event in self.discarded


def sqs_message(event_id: str) -> Any:
    attributes = {"reason": "not_json", "event_id": event_id}
    return {
        "MessageId": event_id,
        "ReceiptHandle": "r",
        "Body": "e30=",
        "Attributes": {"SentTimestamp": "0"},
        "MessageAttributes": {name: {"StringValue": text} for name, text in attributes.items()},
    }


def test_an_interrupted_discard_says_how_many_are_deleted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parked_commands, "ParkedEvents", lambda _: ParkedStub(is_interrupted=True))
    assert cli.main(["discard", "--why", "a test", "--yes", "--stack", "acme"]) == 130
    assert "Interrupted: 1 of 2 are deleted" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "said"), [(0, "Nothing is parked.\n"), (2, "Nothing is parked that fits.\n")])
@pytest.mark.parametrize("command", ["parked", "redrive"])
def test_that_nothing_is_parked_is_said_of_what_was_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str, number: int, said: str
) -> None:
    monkeypatch.setattr(parked_commands, "ParkedEvents", lambda _: ParkedStub(number=number))
    assert cli.main([command, "--user", "u1", "--stack", "acme"]) == 0
    assert capsys.readouterr().out == said


def test_deleting_none_writes_no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(Stack, "client", lambda _, service: asked.append(service))
    monkeypatch.setattr(Stack, "queue_urls", lambda *_: {})
    ParkedEvents(Stack(name="acme")).discard([], "a test")
    assert "logs" not in asked


def test_a_parked_event_that_cannot_be_let_go_of_shows_again_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    class Parking:
        """The queues of a stack, of which one holds an event."""

        left: ClassVar = [sqs_message("msg_1")]

        def receive_message(self, **_: Any) -> dict[str, Any]:
            return {"Messages": [self.left.pop()]} if self.left else {}

        def change_message_visibility(self, **_: Any) -> None:
            raise ClientError({"Error": {"Code": "Throttling"}}, "ChangeMessageVisibility")

    monkeypatch.setattr(Stack, "client", lambda *_: Parking())
    monkeypatch.setattr(Stack, "queue_urls", lambda *_: {"parked-deliveries": "http://q"})
    with ParkedEvents(Stack(name="acme")).held() as events:
        assert [event.event_id for event in events] == ["msg_1"]


def test_a_parked_message_may_hold_anything() -> None:
    message = sqs_message("msg_1")
    message["MessageAttributes"]["signed_at"] = {"StringValue": "yesterday"}
    assert Parked.of(message, "parked-deliveries").signed_at is None
    message["MessageAttributes"]["signed_at"] = {"StringValue": "1767605400.5"}
    assert Parked.of(message, "parked-deliveries").signed_at == 1767605400.5
    message["Body"] = "[" * 100_000
    found = Parked.of(message, "user-created-dead-letters")
    assert (found.event_id, found.user_id) == ("msg_1", None)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "0 s"), (59.9, "59 s"), (60, "1 min"), (3600, "1 h 0 min"), (90_000, "1 d 1 h"), (86_399, "23 h 59 min")],
)
def test_an_age_is_said_in_its_two_largest_units(seconds: float, said: str) -> None:
    assert age(seconds) == said


MOVES_THE_CURSOR = "\x1b[2J[bold]Ann[/bold]"
AS_TEXT = "\\x1b[2J[bold]Ann[/bold]"


def test_what_others_wrote_moves_no_cursor_and_sets_no_colours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Output(as_json=False)
    out.say(MOVES_THE_CURSOR)
    out.line(MOVES_THE_CURSOR, {})
    out.warn(MOVES_THE_CURSOR)
    out.table(["name"], [[MOVES_THE_CURSOR]])
    assert capsys.readouterr() == (f"{AS_TEXT}\n{AS_TEXT}\nname\n{AS_TEXT}\n", f"{AS_TEXT}\n")
    out.say("one line,\n\tand another")
    assert capsys.readouterr().out == "one line,\n\tand another\n"
    terminal = io.StringIO()
    monkeypatch.setattr(out, "_console", Console(file=terminal, force_terminal=True, width=80))
    out.table(["name"], [[MOVES_THE_CURSOR]])
    assert AS_TEXT in terminal.getvalue()


@pytest.mark.parametrize(
    ("error", "status", "part"),
    [
        (ClientError({"Error": {"Code": "Throttling"}}, "ListQueues"), 3, "AWS refused ListQueues: Throttling."),
        (NoRegionError(), 3, "Sign in to AWS first"),
        (Transient("sqs_unavailable", "ServiceUnavailable"), 3, "Not possible just now: sqs_unavailable."),
        (Malformed("not_json", "the file is no JSON"), 2, "the file is no JSON"),
        (Malformed("not_json"), 2, "not_json"),
        (NotResumableError("no such run"), 2, "no such run"),
        (EndpointError("no URL"), 2, "no URL"),
        (OSError("the disk is full"), 2, "the disk is full"),
        (KeyboardInterrupt(), 130, "Interrupted."),
    ],
)
def test_each_error_is_a_sentence_and_the_status_that_goes_with_it(
    error: BaseException,
    status: int,
    part: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: Stack) -> None:
        raise error

    monkeypatch.setattr(parked_commands, "ParkedEvents", fail)
    assert cli.main(["parked", "--stack", "acme", "--json"]) == status
    printed = capsys.readouterr()
    assert part in printed.err
    assert json.loads(printed.out) == {"error": printed.err.strip(), "status": status}


def test_a_reader_that_has_seen_enough_gets_no_traceback(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `| head` is."""
    turned_away: list[int] = []

    def broken(*_: Any) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(parked_commands, "ParkedEvents", broken)
    monkeypatch.setattr(os, "dup2", lambda _, stream: turned_away.append(stream))
    assert cli.main(["parked", "--stack", "acme"]) == 1
    assert turned_away == [sys.stdout.fileno()]
    assert tuple(capfd.readouterr()) == ("", "")


def test_a_program_reads_documents_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(as_json=True)
    out.say("a sentence")
    out.table(["name"], [["Ann"]])
    out.line("a line", {"name": "Ann"})
    out.document({"name": "Bea"})
    assert capsys.readouterr().out == '{"name": "Ann"}\n{"name": "Bea"}\n'


def test_text_that_a_terminal_cannot_show_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    Output(as_json=False).say("Jörg")
    assert shown.getvalue() == b"J\\xf6rg\n"


_SENTENCES_OF = {
    "sent again": ("redrive",),
    "--resume": ("import",),
    "are deleted": ("discard",),
    "Run it again": ("erase",),
    "run it again": ("users fill-accounts",),
    "users compared": ("verify",),
}
"""Words of one command that no other may say."""


@pytest.mark.parametrize("name", [name for name in ALL if name[0] not in ("preview", "platform")], ids=" ".join)
def test_ctrl_c_is_answered_by_no_sentence_of_another_command(
    name: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Stack, "client", interrupt)
    monkeypatch.setattr(socket, "create_server", interrupt)
    assert cli.main([*name, *arguments_of(name, tmp_path), "--stack", "acme"]) == 130
    said = capsys.readouterr().err
    assert "Interrupted" in said
    assert [words for words, owners in _SENTENCES_OF.items() if words in said and " ".join(name) not in owners] == []


def arguments_of(name: tuple[str, ...], folder: Path) -> list[str]:
    file = folder / "users.csv"
    file.write_text("id,email\nu1,u1@people.test\n")
    needed: Mapping[str, list[str]] = {
        "send": ["standard", "user.created", "--user", "u1"],
        "discard": ["--why", "a test"],
        "erase": ["u1", "--yes"],
        "release": ["u1", "--yes"],
        "import": [str(file)],
        "verify": [str(file)],
        "trace": ["--user", "u1"],
    }
    return ["u1"] if name == ("users", "show") else needed.get(name[0], [])


# -- files ---------------------------------------------------------------------------------------------------------

BODY = str(ROOT / "docs" / "examples" / "acme" / "joined.json")
PLATFORM = str(ROOT / "docs" / "examples" / "acme" / "platform.yaml")
NOWHERE = ["--url", "http://127.0.0.1:9/webhooks"]
TAKES_A_FILE = {
    "import": ["import", "FILE", "--dry-run"],
    "verify": ["verify", "FILE", "--stack", "acme", "--endpoint-url", "http://127.0.0.1:9"],
    "preview": ["preview", "FILE", "--preset", "standard"],
    "preview --headers": ["preview", BODY, "--preset", "standard", "--headers", "FILE"],
    "preview --overrides": ["preview", BODY, "--preset", "standard", "--overrides", "FILE"],
    "preview --platform": ["preview", BODY, "--platform", "FILE"],
    "platform": ["platform", "FILE"],
    "platform --write": ["platform", PLATFORM, "--write", "FILE"],
    "send --file": ["send", "standard", "--file", "FILE", *NOWHERE],
    "send --headers": ["send", "standard", "--file", BODY, "--headers", "FILE", *NOWHERE],
}


UNUSABLE: Mapping[str, tuple[bytes | None, str]] = {
    "missing": (None, "There is no file {file}."),
    "directory": (None, "{file} is a directory"),
    "empty": (b"", "empty"),
    "UTF-16": ('{"id": "J\xf6rg"}'.encode("utf-16"), "UTF-16"),
}
"""Content and what is said of it."""
USABLE = {("platform --write", "empty"), ("send --file", "UTF-16")}
"""What is written to may be empty, and a body is posted as it is."""


@pytest.mark.parametrize(
    ("given", "how"), [(given, how) for given in TAKES_A_FILE for how in UNUSABLE if (given, how) not in USABLE]
)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(
    given: str, how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHOP_USER_SYNC_SIGNING_SECRET", "whsec_Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFy")
    file = tmp_path / "given.csv"
    content, sentence = UNUSABLE[how]
    if content is not None:
        file.write_bytes(content)
    elif how == "directory":
        file.mkdir()
    status = cli.main([str(file) if each == "FILE" else each for each in TAKES_A_FILE[given]])
    printed = capsys.readouterr()
    assert status in (1, 2)
    assert sentence.format(file=file) in printed.out + printed.err


def test_a_file_that_is_refused_as_a_whole_leaves_nothing_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "users.txt"
    file.write_text("id,email\n")
    assert cli.main(["import", str(file), "--dry-run"]) == 2
    assert [*tmp_path.iterdir()] == [file]


@pytest.mark.parametrize("state", ["", "[]", '{"size": 1}'])
def test_a_state_that_cannot_be_read_is_no_run_to_continue(tmp_path: Path, state: str) -> None:
    file = tmp_path / "users.csv"
    file.write_text("id,email\n")
    (tmp_path / "users.csv.import.json").write_text(state)
    run = Import(file, NoQueue(), as_of="2026-03-01", dry=False, report=Progress(), course=Course())
    with pytest.raises(NotResumableError, match="is damaged"):
        run.resume()


def test_verify_without_its_file_asks_for_it_before_it_asks_aws(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `make verify` without FILE= runs it."""
    monkeypatch.setattr(Stack, "client", lambda *_: pytest.fail("AWS was asked"))
    assert cli.main(["verify", "", "--stack", "acme"]) == 2
    assert "Which file?" in capsys.readouterr().err


def test_a_row_in_another_encoding_is_counted_by_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "users.csv"
    file.write_bytes("id,email,name\nu1,u1@people.test,Jörg\n".encode("latin-1"))
    assert cli.main(["import", str(file), "--dry-run"]) == 1
    assert "1 rejected (1 not_utf8)" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["preview", "-", "--preset", "standard"], ["send", "standard", "--file", "-"]])
def test_a_body_may_come_by_standard_input(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    posted: list[bytes] = []

    def post(_: str, webhook: Webhook, *__: Any) -> httpx.Response:
        posted.append(webhook.body)
        return httpx.Response(200)

    monkeypatch.setattr(sending, "_post", post)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path(BODY).read_bytes())))
    assert cli.main([*command, *(NOWHERE if command[0] == "send" else [])]) == (0 if command[0] == "send" else 1)
    assert posted == ([Path(BODY).read_bytes()] if command[0] == "send" else [])
    capsys.readouterr()


def test_a_file_may_come_by_standard_input() -> None:
    rows = '{"id": "u1", "email": "u1@people.test"}\n{"id": "u2"}\n'
    command = [sys.executable, "-m", "whop_user_sync", "import", "-", "--dry-run", "--json"]
    done = subprocess.run(command, input=rows, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, json.loads(done.stdout)["would_be_sent"]) == (1, 1), done.stderr


@pytest.mark.parametrize("name", ["AWS_CA_BUNDLE", "SSL_CERT_FILE"])
@pytest.mark.parametrize("file", ["/nowhere/authorities.pem", __file__])
def test_a_file_of_certificates_that_is_missing_or_none_is_named(
    name: str, file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, file)
    assert cli.main(["parked", "--stack", "acme", "--endpoint-url", "http://127.0.0.1:9"]) == 2
    assert f"{name} names {file}" in capsys.readouterr().err


def test_a_command_that_asks_no_server_wants_no_certificates(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nowhere/authorities.pem")
    assert cli.main(["platform", PLATFORM]) == 0
    assert "AWS_CA_BUNDLE" not in capsys.readouterr().err


def test_certificates_may_stand_in_a_folder(tmp_path: Path) -> None:
    cli.ensure_authorities({"REQUESTS_CA_BUNDLE": str(tmp_path)})


# -- proxies -------------------------------------------------------------------------------------------------------


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A proxy that the environment names and that lets nothing through. Holds the first line of each request."""
    asked: list[str] = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            with client:
                asked.append(client.recv(4096).split(b"\r\n", 1)[0].decode())
                client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.getsockname()[1]}"
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, address)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield asked
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(5)


@pytest.mark.parametrize(("endpoint", "goes_by_it"), [(None, True), ("http://127.0.0.1:9", False)])
def test_aws_is_reached_by_the_proxy_of_the_environment_and_a_local_one_is_not(
    proxy: list[str], endpoint: str | None, *, goes_by_it: bool
) -> None:
    client = Stack(name="acme", region="eu-west-1", endpoint_url=endpoint).client("sqs")
    with pytest.raises(BotoCoreError):
        client.get_queue_url(QueueName="acme-user-created")
    asked = {"CONNECT sqs.eu-west-1.amazonaws.com:443 HTTP/1.0", "CONNECT sqs.eu-west-1.amazonaws.com:443 HTTP/1.1"}
    assert bool(proxy) is goes_by_it
    assert set(proxy) <= asked


@pytest.mark.parametrize(("url", "goes_by_it"), [("https://hooks.acme.test/", True), ("http://127.0.0.1:9/", False)])
def test_a_webhook_is_sent_by_the_proxy_of_the_environment_and_past_it_on_this_machine(
    proxy: list[str], monkeypatch: pytest.MonkeyPatch, url: str, *, goes_by_it: bool
) -> None:
    monkeypatch.setenv("WHOP_USER_SYNC_SIGNING_SECRET", "whsec_Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFy")
    assert cli.main(["send", "standard", "created", "--url", url]) == 3
    assert proxy == (["CONNECT hooks.acme.test:443 HTTP/1.1"] if goes_by_it else [])


class _Secrets:
    """Secrets Manager, with one key for everything."""

    def get_secret_value(self, **_: Any) -> dict[str, Any]:
        return {"SecretString": "apik_test_key", "VersionStages": ["AWSCURRENT"]}


@pytest.mark.parametrize(
    ("url", "goes_by_it"), [("https://api.whop.test/api/v1", True), ("http://127.0.0.1:9/api/v1", False)]
)
def test_whop_is_reached_by_the_proxy_of_the_environment_and_a_stand_in_is_not(
    proxy: list[str], monkeypatch: pytest.MonkeyPatch, url: str, *, goes_by_it: bool
) -> None:
    monkeypatch.setattr(Stack, "client", lambda *_: _Secrets())
    config = WhopConfig(
        api_url=url, enrollment="companies", api_version="", api_key_arn="arn:of:a:key", company_id="biz_1"
    )
    with pytest.raises(Transient):
        Stack(name="acme").whop_client(config).user("user_1", company=None)
    assert proxy == (["CONNECT api.whop.test:443 HTTP/1.1"] if goes_by_it else [])


WORKER_SETTINGS = {
    "TITLE_FORMAT": "{name} ({user_id})",
    "USER_MAPPINGS_TABLE": "t",
    "WHOP_ENVIRONMENT": "sandbox",
    "WHOP_ENROLLMENT": "companies",
    "WHOP_API_VERSION": "",
    "WHOP_API_KEY_ARN": "arn:of:a:key",
    "WHOP_COMPANY_ID": "biz_1",
}
"""The environment variables of a worker, as far as the tool reads them."""


def test_whop_is_that_of_the_stacks_environment_or_what_stands_in_for_it() -> None:
    assert whop_config(WORKER_SETTINGS).api_url == WHOP_API_URLS["sandbox"]
    assert whop_config({**WORKER_SETTINGS, "WHOP_API_URL": "http://127.0.0.1:9"}).api_url == "http://127.0.0.1:9"


def test_a_user_whom_whop_does_not_know_is_shown_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Whop:
        def user(self, _: str, *, company: str | None) -> dict[str, Any]:
            raise Permanent("whop_not_found", company or "")

    monkeypatch.setattr(Stack, "settings", lambda *_: WORKER_SETTINGS)
    monkeypatch.setattr(Stack, "whop_client", lambda *_: Whop())
    assert Stack(name="acme").shown("user_1") is None


# -- titles of accounts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refusal", "compared"),
    [(None, True), (OperatorNeeded("whop_key_rejected"), False), (Permanent("whop_not_found"), False)],
)
def test_titles_are_left_out_with_a_warning_where_the_key_may_not_read_accounts(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    refusal: Exception | None,
    *,
    compared: bool,
) -> None:
    class Whop:
        def account(self, account_id: str) -> dict[str, Any]:
            assert account_id == "biz_1"
            if refusal:
                raise refusal
            return {}

    monkeypatch.setattr(Stack, "settings", lambda *_: WORKER_SETTINGS)
    monkeypatch.setattr(Stack, "client", lambda *_: object())
    monkeypatch.setattr(Stack, "queue_url", lambda *_: "http://q")
    monkeypatch.setattr(Stack, "whop_client", lambda *_: Whop())
    halted = threading.Event()
    reconciliation = importing._reconciliation(Stack(name="acme"), Output(as_json=False), halted)
    assert (reconciliation.title_format is not None) is compared
    assert ("titles of accounts are not compared" in capsys.readouterr().err) is not compared
    # And an interruption, which reaches one thread, ends the waits of the others
    halted.set()
    with pytest.raises(Interrupted):
        reconciliation.sleep(0)


def test_an_outcome_of_an_event_is_the_end_of_it_unless_it_waits_or_is_parked() -> None:
    assert {*sending.DONE} == {*get_args(EventOutcome.__value__), "ignored"} - {"retried", "parked"}


@pytest.mark.parametrize(
    ("typed", "sentence"), [(["created"], "There is no preset created."), (["standard"], "Which event?")]
)
def test_what_send_needs_is_shown_by_an_example(
    typed: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["send", *typed, "--url", "http://127.0.0.1:9"]) == 2
    assert f"{sentence} For example: send standard created. Presets: standard, clerk" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "secret", "sentence"),
    [
        (["standard", "nosuch"], "whsec_Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFy", "There is no sample of nosuch"),
        (["standard", "created"], "", "Set WHOP_USER_SYNC_SIGNING_SECRET"),
        (["standard", "created"], "hunter2", "WHOP_USER_SYNC_SIGNING_SECRET: "),
    ],
)
def test_what_cannot_be_sent_is_said_and_its_secret_is_not(
    typed: list[str],
    secret: str,
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WHOP_USER_SYNC_SIGNING_SECRET", secret)
    assert cli.main(["send", *typed, *NOWHERE]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("status", "exit_status", "hint"), [(202, 0, ""), (401, 1, "is the secret that of the stack?"), (500, 1, "")]
)
def test_what_the_receiver_answers_decides_where_no_stack_is_watched(
    status: int, exit_status: int, hint: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_post", lambda *_: httpx.Response(status))
    assert cli.main(["send", "standard", "created", *NOWHERE]) == exit_status
    printed = capsys.readouterr()
    assert f"answered {status}" in printed.out
    assert bool(printed.err) is bool(hint)
    assert hint in printed.err
    assert cli.main(["send", "standard", "created", *NOWHERE, "--json"]) == exit_status
    assert json.loads(capsys.readouterr().out)["status"] == status


@pytest.mark.parametrize(
    ("step", "sentence"), [("_post", "was taken is unknown"), ("_outcome", "The webhook was taken.")]
)
def test_an_interrupted_send_says_whether_the_webhook_was_taken(
    step: str, sentence: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Stack, "settings", lambda *_: {"PAYLOAD_PRESET": "standard"})
    monkeypatch.setattr(sending, "_post", lambda *_: httpx.Response(200))
    monkeypatch.setattr(sending, step, interrupt)
    assert cli.main(["send", "standard", "created", "--stack", "acme", *NOWHERE]) == 130
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("outcome", "status", "said"),
    [
        ("enrolled", 0, "Whop shows: Ann, no picture."),
        ("parked", 1, "Whop shows: Ann, no picture."),
        (None, 1, "No outcome within 60 seconds. Follow it with: whop-user-sync trace --stack acme --delivery msg_"),
    ],
)
def test_what_became_of_a_webhook_is_said_and_is_the_exit_status(
    outcome: str | None, status: int, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = {"name": "Ann", "profile_picture": None}
    monkeypatch.setattr(Stack, "settings", lambda *_: {"PAYLOAD_PRESET": "standard", "USER_MAPPINGS_TABLE": "t"})
    monkeypatch.setattr(Stack, "client", lambda *_: object())
    monkeypatch.setattr(Stack, "shown", lambda *_: (shown, shown))
    monkeypatch.setattr(Directory, "entry", lambda *_: entry("12345"))
    monkeypatch.setattr(sending, "_post", lambda *_: httpx.Response(200))
    monkeypatch.setattr(sending, "_outcome", lambda *_: outcome and log_line(outcome))
    assert cli.main(["send", "standard", "created", "--stack", "acme", *NOWHERE]) == status
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(("preset", "scheme"), [("standard", Hmac), ("clerk", Standard)])
def test_the_stacks_settings_count_for_its_own_preset_and_for_no_other(
    preset: str, scheme: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    stacks = {"PAYLOAD_PRESET": "standard", "SIGNATURE_SCHEME": "hmac", "SIGNATURE_HEADER": "x-acme"}
    posted: list[Platform] = []

    def post(_: str, __: Webhook, platform: Platform, *___: Any) -> httpx.Response:
        posted.append(platform)
        return httpx.Response(500)

    monkeypatch.setattr(Stack, "settings", lambda *_: stacks)
    monkeypatch.setattr(sending, "_post", post)
    assert cli.main(["send", preset, "created", "--stack", "acme", *NOWHERE]) == 1
    assert [type(platform.scheme) for platform in posted] == [scheme]


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        (
            [{"OutputKey": "Other", "OutputValue": "x"}, {"OutputKey": "WebhookUrl", "OutputValue": "https://h.test/"}],
            "",
        ),
        ([], "The stack acme has no output WebhookUrl"),
    ],
)
def test_a_webhook_is_posted_where_the_stacks_output_says(
    outputs: list[dict[str, str]], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class CloudFormation:
        def describe_stacks(self, **_: str) -> dict[str, Any]:
            return {"Stacks": [{"Outputs": outputs}]}

    posted: list[str] = []

    def post(url: str, *_: Any) -> httpx.Response:
        posted.append(url)
        return httpx.Response(500)

    for name in ("AWS_ENDPOINT_URL", "WHOP_USER_SYNC_WEBHOOK_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Stack, "settings", lambda *_: {"PAYLOAD_PRESET": "standard"})
    monkeypatch.setattr(Stack, "client", lambda *_: CloudFormation())
    monkeypatch.setattr(sending, "_post", post)
    assert cli.main(["send", "standard", "created", "--stack", "acme"]) == (2 if said else 1)
    assert posted == ([] if said else ["https://h.test/"])
    assert said in capsys.readouterr().err


class Clock:
    """Time that passes by sleeping alone."""

    def __init__(self) -> None:
        self._now = 1_800_000_000.0

    def time(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds


def log_line(outcome: str, user_id: str = "u1") -> LogLine:
    fields = {"outcome": outcome, "user_id": user_id}
    return LogLine(at="2026-11-25T10:00:00.000Z", function="user-created", message="event", fields=fields)


@pytest.mark.parametrize(
    ("looks", "found"),
    [
        ([["accepted"]], None),
        ([["accepted"], ["accepted", "synced"]], "synced"),
        ([["accepted", "retried"], ["accepted", "retried", "enrolled"]], "enrolled"),
        ([["accepted", "retried"]], "retried"),
    ],
)
def test_the_outcome_of_a_delivery_is_the_last_one_once_it_is_decided_or_time_is_out(
    looks: list[list[str]], found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, left = Clock(), [*looks]
    monkeypatch.setattr(sending, "time", clock)
    monkeypatch.setattr(Stack, "client", lambda *_: object())
    monkeypatch.setattr(Logs, "find", lambda *_, **__: [*map(log_line, left.pop(0) if len(left) > 1 else left[0])])
    began = clock.time()
    line = sending._outcome(Stack(name="acme"), "msg_1", began, wait=5)
    assert (line and line.fields["outcome"]) == found
    is_decided = found not in (None, "retried")
    assert (clock.time() < began + 5) is is_decided


def test_a_tail_prints_each_line_that_fits_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """CloudWatch shows lines late, so that each look reaches back over what was shown before."""
    first, other, late = log_line("parked"), log_line("synced"), log_line("parked", "u2")
    looks: Iterator[list[LogLine]] = iter([[first, other], [first, other], [first, late]])

    def find(*_: Any, **__: Any) -> list[LogLine]:
        try:
            return next(looks)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(tracing, "time", Clock())
    monkeypatch.setattr(Stack, "client", lambda *_: object())
    monkeypatch.setattr(Logs, "groups", lambda _: ["a group"])
    monkeypatch.setattr(Logs, "find", find)
    assert cli.main(["tail", "--stack", "acme", "--outcome", "parked"]) == 0
    assert capsys.readouterr().out.splitlines() == [str(first), str(late)]


def test_nothing_is_deleted_without_a_reason(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `make discard` without WHY= runs it."""
    monkeypatch.setattr(Stack, "client", lambda *_: pytest.fail("AWS was asked"))
    assert cli.main(["discard", "--why", "", "--yes", "--stack", "acme"]) == 2
    assert "WHY='a test webhook'" in capsys.readouterr().err


@pytest.mark.parametrize(("preset", "warned"), [("clerk", True), ("standard", False)])
def test_a_form_that_is_not_the_stacks_is_named(
    preset: str, warned: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stack, "settings", lambda *_: {"PAYLOAD_PRESET": "standard"})
    monkeypatch.setattr(sending, "_post", lambda *_: httpx.Response(401))
    assert cli.main(["send", preset, "created", "--stack", "acme", "--url", "http://127.0.0.1:9"]) == 1
    said = "acme reads webhooks as those of standard, and this one has the form of clerk."
    assert (said in capsys.readouterr().err) is warned


# -- what is not there, or elsewhere -------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["tail"], ["trace", "--user", "u1"]])
def test_a_stack_without_logs_is_none_and_is_not_watched(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stack, "client", lambda *_: object())
    monkeypatch.setattr(Logs, "groups", lambda _: [])
    monkeypatch.setattr(Logs, "find", lambda *_, **__: pytest.fail("it was watched"))
    assert cli.main([*command, "--stack", "acme"]) == 3
    assert "There is no stack acme here" in capsys.readouterr().err


def test_a_webhook_for_what_stands_in_for_aws_is_not_sent_to_aws(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # as what `make up` prints to paste
    monkeypatch.delenv("WHOP_USER_SYNC_WEBHOOK_URL", raising=False)
    monkeypatch.setattr(Stack, "settings", lambda *_: {"PAYLOAD_PRESET": "standard"})
    monkeypatch.setattr(sending, "_post", lambda *_: pytest.fail("it was posted"))
    assert cli.main(["send", "standard", "created", "--stack", "acme"]) == 2
    assert "name it by --url or WHOP_USER_SYNC_WEBHOOK_URL" in capsys.readouterr().err


# -- many users ----------------------------------------------------------------------------------------------------


class Reconciling:
    """Users of whom each is compared once four are, and of whom one cannot be while Whop asks for patience."""

    def __init__(self, halted: threading.Event, *, waits: bool = False) -> None:
        self._four = threading.Barrier(4)
        self._halted = halted
        self._waits = waits
        self.was_halted = False

    def drifts(self, event: UserEvent) -> Iterator[Drift]:
        self._four.wait(20)
        if self._waits and event.user_id == "u2":
            self.was_halted = self._halted.wait(5)
        if self._waits and event.user_id == "u1":
            raise KeyboardInterrupt
        yield Drift(user_id=event.user_id, kind="gone")


EIGHT = [UserEvent(kind="updated", event_id="import", user_id=f"u{number}", version=1) for number in range(8)]


def test_a_sample_is_as_large_as_it_is_asked_for_or_everyone() -> None:
    chosen = importing._sample(EIGHT, 3)
    assert len({event.user_id for event in chosen}) == 3
    assert importing._sample(EIGHT, 20) == EIGHT


def test_four_users_are_compared_side_by_side_and_listed_in_the_order_of_the_file() -> None:
    halted = threading.Event()
    found: Any = importing._compared(cast("Any", Reconciling(halted)), EIGHT, halted)
    assert [drift.user_id for [drift] in found] == [f"u{number}" for number in range(8)]


def test_an_interruption_does_not_wait_for_whop() -> None:
    halted = threading.Event()
    reconciling = Reconciling(halted, waits=True)
    with pytest.raises(KeyboardInterrupt):
        list(importing._compared(cast("Any", reconciling), EIGHT, halted))
    assert reconciling.was_halted


# -- make ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["USERID=12345", "user_id=12345", "REASONS=not_json"])
def test_a_misspelt_variable_of_make_is_named_and_nothing_is_done(typed: str) -> None:
    done = subprocess.run(
        ["make", "--no-print-directory", "help", typed],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert f"There is no variable {typed.partition('=')[0]} here" in done.stderr
    assert "USER_ID" in done.stderr


def test_each_variable_that_makes_list_shows_is_taken() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    typed = [f"{name}=x" for name in sorted(set(re.findall(r"\b([A-Z_]{3,})=", listed)))]
    assert len(typed) > 10
    done = subprocess.run(
        ["make", "help", *typed, "SIGNATURE_HEADER=x"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
