"""What holds for every command of the operators' tool: help, JSON, exit statuses, and words that help."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
import typer

from local_stack import ROOT
from whop_sync.config import WhopConfig
from whop_sync.errors import OperatorNeeded, Permanent, Transient
from whop_user_sync import cli
from whop_user_sync.commands import importing
from whop_user_sync.output import Output
from whop_user_sync.stack import Stack


def commands(group: Any = None, *before: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    group = group or typer.main.get_command(cli.app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *before, name)
        else:
            yield (*before, name), command


ALL = dict(commands())


def test_the_commands_are_found() -> None:
    assert {("preview",), ("users", "show"), ("console",)} <= set(ALL)


@pytest.mark.parametrize("name", ALL, ids=" ".join)
def test_every_command_has_help_and_speaks_json(name: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Usage" in shown
    assert any("--json" in parameter.opts for parameter in ALL[name].params)


@pytest.mark.parametrize("name", [name for name in ALL if name[0] not in ("preview", "platform")], ids=" ".join)
def test_a_command_without_a_stack_says_so_and_prints_no_document(
    name: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.delenv("WHOP_USER_SYNC_STACK", raising=False)
    file = tmp_path / "users.csv"
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
    arguments = ["u1"] if name == ("users", "show") else needed.get(name[0], [])
    assert cli.main([*name, *arguments, "--json"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "--stack" in printed.err or "WHOP_USER_SYNC" in printed.err
    assert "Traceback" not in printed.err


def test_one_json_document_is_printed_and_nothing_beside_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "users.csv"
    file.write_text("id,email\nu1,u1@people.test\nu2,\n")
    assert cli.main(["import", str(file), "--dry-run", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["by_reason"] == {"no_email": 1}


def test_a_file_may_come_by_standard_input() -> None:
    rows = '{"id": "u1", "email": "u1@people.test"}\n{"id": "u2"}\n'
    command = [sys.executable, "-m", "whop_user_sync", "import", "-", "--dry-run", "--json"]
    done = subprocess.run(command, input=rows, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, json.loads(done.stdout)["would_be_sent"]) == (1, 1), done.stderr


@pytest.mark.parametrize("name", ["AWS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_missing_file_of_certificates_is_named(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "/nowhere/authorities.pem")
    assert cli.main(["parked", "--stack", "acme", "--endpoint-url", "http://127.0.0.1:9"]) == 2
    assert f"{name} names /nowhere/authorities.pem" in capsys.readouterr().err


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

    settings = {
        "TITLE_FORMAT": "{name} ({user_id})",
        "USER_MAPPINGS_TABLE": "t",
        "WHOP_ENVIRONMENT": "sandbox",
        "WHOP_ENROLLMENT": "companies",
        "WHOP_API_VERSION": "",
        "WHOP_API_KEY_ARN": "arn:of:a:key",
        "WHOP_COMPANY_ID": "biz_1",
    }
    monkeypatch.setattr(Stack, "settings", lambda *_: settings)
    monkeypatch.setattr(Stack, "client", lambda *_: object())
    monkeypatch.setattr(Stack, "queue_url", lambda *_: "http://q")
    monkeypatch.setattr(Stack, "whop_client", lambda *_: Whop())
    reconciliation = importing._reconciliation(Stack(name="acme"), Output(as_json=False))
    assert (reconciliation.title_format is not None) is compared
    assert ("titles of accounts are not compared" in capsys.readouterr().err) is not compared


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
