"""The local stack's decisions: what is built, for which platform it runs, and which message says why it cannot."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from harness.interruptions import HalfMade
from load import __main__ as load_program
from local_stack import ROOT, deployment, guard, invoking, program, samples, send, up
from local_stack import __main__ as local_stack_main
from local_stack.deployment import DeploymentError
from local_stack.errors import UsageError
from local_stack.invoking import changes, choose, refreshed, worked
from local_stack.places import agreed
from local_stack.ports import holder
from local_stack.processes import GuardedProcess, bare_environment, direct_to
from local_stack.sending import SECRET
from local_stack.settings import Settings
from local_stack.terminal import Terminal
from local_stack.up import PortTakenError, Running, start
from whop_sync.receiving.platforms import PLATFORMS, configured

AT = datetime(2026, 3, 1, 10, tzinfo=UTC)


# -- building ------------------------------------------------------------------------------------------------------


class Builder:
    """In SAM's place: counts, and fails where it is asked to."""

    def __init__(self) -> None:
        self.builds = 0
        self.fails = False

    def __call__(self, into: Path) -> None:
        self.builds += 1
        into.mkdir()
        (into / "template.yaml").write_text("half")
        if self.fails:
            raise DeploymentError("sam build failed")


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("template.yaml", "tests/requirements-sam.txt", "functions/one/app.py", "shared/Makefile"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(deployment, "ROOT", tmp_path)
    monkeypatch.setattr(deployment, "BUILDS", tmp_path / ".local" / "build")
    return tmp_path


@pytest.fixture
def builder(sources: Path, monkeypatch: pytest.MonkeyPatch) -> Builder:  # noqa: ARG001 - builds those
    builder = Builder()
    monkeypatch.setattr(deployment, "build", builder)
    return builder


def test_only_changed_sources_are_built(sources: Path, builder: Builder) -> None:
    first = deployment.built(Terminal())
    (sources / "functions/one/__pycache__").mkdir()
    (sources / "functions/one/__pycache__/app.pyc").write_text("no source")
    assert deployment.built(Terminal()) == first
    assert builder.builds == 1
    for changed in ("template.yaml", "tests/requirements-sam.txt", "functions/one/app.py", "shared/Makefile"):
        (sources / changed).write_text("changed")
        assert deployment.built(Terminal()) != first
    assert builder.builds == 5


def test_a_build_that_fails_leaves_the_good_one_and_nothing_else(sources: Path, builder: Builder) -> None:
    good = deployment.built(Terminal())
    before = (sources / "template.yaml").read_text()
    (sources / "template.yaml").write_text("broken")
    builder.fails = True
    with pytest.raises(DeploymentError):
        deployment.built(Terminal())
    assert [path for path in good.parent.iterdir() if path.is_dir()] == [good]
    (sources / "template.yaml").write_text(before)
    assert deployment.built(Terminal()) == good
    assert builder.builds == 2


# -- for which platform --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PLATFORMS)
def test_every_preset_gets_a_secret_that_fits_it(preset: str) -> None:
    settings = Settings.from_environment({"PRESET": preset})
    assert settings.preset == preset
    assert configured(settings.variables).scheme.keys(settings.signing_secret)


def test_what_is_said_becomes_the_parameters_of_the_template(tmp_path: Path) -> None:
    overrides = tmp_path / "overrides.json"
    overrides.write_text('{\n  "name": "data.first_name"\n}')
    said = {"PRESET": "clerk", "OVERRIDES": str(overrides), "SIGNATURE_TOLERANCE_SECONDS": "60", "HOME": "/root"}
    assert Settings.from_environment(said).parameters() == {
        "PayloadPreset": "clerk",
        "PayloadOverrides": '{"name": "data.first_name"}',
        "SignatureToleranceSeconds": "60",
    }
    assert Settings.from_environment(said).signing_secret == SECRET


def test_announcements_go_to_a_backend_on_this_machine_where_one_is_named() -> None:
    url = "http://127.0.0.1:3000/whop?a=1"
    parameters = Settings.from_environment({"PLATFORM_URL": url}).parameters()
    assert parameters["PlatformUrl"] == url
    assert parameters["PlatformAllowedOrigin"] == "http://127.0.0.1:3000"
    assert "PlatformUrl" not in Settings.from_environment({}).parameters()


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"PRESET": "clark"}, "clark"),
        ({"PLATFORM_URL": "127.0.0.1:3000"}, "PLATFORM_URL is a URL"),
        ({"OVERRIDES": "missing.json"}, "neither JSON nor a file"),
        ({"OVERRIDES": "{"}, "no JSON"),
        ({"OVERRIDES": '{"nmae": "x"}'}, "nmae"),
        ({"OVERRIDES": '{"name": "x", "name": "y"}'}, "OVERRIDES: name stands twice"),
        ({"PRESET": "workos", "SECRET": "whsec_" + "x" * 30}, "SECRET does not fit"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_sentence(said: dict[str, str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        Settings.from_environment(said)


def test_a_parameter_keeps_the_quotes_of_its_json() -> None:
    written = deployment.override("PayloadOverrides", json.dumps({"name": 'data."first name"'}))
    name, _, quoted = written.partition("=")
    assert name == "PayloadOverrides"
    # SAM takes the outer quotes off, and one escape off each inner one.
    assert json.loads(quoted[1:-1].replace('\\"', '"')) == {"name": 'data."first name"'}
    assert deployment.override("TitleFormat", "{name} ({user_id})") == "TitleFormat={name} ({user_id})"


def test_ctrl_c_is_answered_also_while_the_program_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt() -> None:
        HalfMade()
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "main", interrupt)
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    assert local_stack_main.run() == 130
    assert capsys.readouterr().err == "\nInterrupted. Nothing had been started.\n"


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("up", "Everything that was started has been stopped."),
        ("send", "What `make up` left running runs on."),
        ("down", "It is being stopped all the same"),
    ],
)
def test_ctrl_c_says_that_all_is_stopped_only_where_it_is(
    command: str, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "_run", interrupt)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["local_stack", command])
    assert program.main() == 130
    said = capsys.readouterr().err
    assert sentence in said
    assert ("has been stopped" in said) is (command == "up")


# -- ports and proxies ---------------------------------------------------------------------------------------------


def test_the_holder_of_a_taken_port_is_named_with_another_way() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert f"process {Path('/proc/self').resolve().name} (" in str(holder(port))
        with pytest.raises(PortTakenError, match=r"the local AWS.*process \d+ .* listens there.*make up PORT="):
            start(Terminal(), agreed(port=port), Settings())
    assert holder(port) is None


RUNNING = Running(
    process=1,
    places=agreed(),
    stack="s",
    engine_url="http://127.0.0.1:4566",
    webhook_url="http://127.0.0.1:4566/webhooks",
    users_url="http://127.0.0.1:4566/users/",
    whop_page="http://127.0.0.1:4680/",
    whop_api_url="http://127.0.0.1:4680/api/v1",
    whop_company_id="biz_1",
    pictures_origin="http://127.0.0.1:4682",
)
"""What `make up` left running, without anything asked of it."""


def test_a_change_carries_what_it_is_asked_to_and_the_address_that_enrolls() -> None:
    created = send.arguments(RUNNING, {"USER_ID": "12345", "NAME": "Ada Lovelace"})
    assert {"--name", "--picture", "Ada Lovelace"} <= set(created)
    updated = send.arguments(RUNNING, {"USER_ID": "12345", "NAME": "Ada King", "TYPE": "updated"})
    assert updated[2:8] == ["--user", "12345", "--email", "user-12345@people.test", "--name", "Ada King"]
    assert "--picture" not in updated
    deleted = send.arguments(RUNNING, {"USER_ID": "12345", "TYPE": "deleted"})
    assert set(deleted).isdisjoint({"--email", "--name", "--picture"})


def test_a_webhook_of_another_platform_than_the_one_that_runs_is_not_sent_as_one_of_this() -> None:
    assert send.arguments(RUNNING, {"PRESET": "standard"})[0] == "standard"
    with pytest.raises(UsageError, match="make up PRESET=clerk"):
        send.arguments(RUNNING, {"PRESET": "clerk"})


@pytest.mark.parametrize(
    "asked", [{"LISTEN": "172.17.0.1"}, {"PORT": "7000"}, {"PRESET": "stripe"}, {"SECRET": "whsec_" + "Zm9v" * 10}]
)
def test_what_runs_already_is_not_another_one_and_says_how_to_change_it(
    asked: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(up, "running", lambda: RUNNING)
    monkeypatch.setattr(up, "start", lambda *_: pytest.fail("another one was started"))
    for name in ("PRESET", "SCHEME", "OVERRIDES", "SECRET", "PORT", "LISTEN"):
        monkeypatch.delenv(name, raising=False)
    # Without a wish it is shown as it is
    assert program._up(Terminal(), program._places(), Settings.from_environment(os.environ))
    assert "it is running already" in capsys.readouterr().out
    # With another one than it was started with, it is named with the way to change it
    for name, text in asked.items():
        monkeypatch.setenv(name, text)
    with pytest.raises(
        UsageError, match=r"running already, for standard on 127\.0\.0\.1:4566\. Stop it first: make down"
    ):
        program._up(Terminal(), program._places(), Settings.from_environment(os.environ))


@pytest.mark.parametrize("asked", [["--webhooks", "10", "--users", "20"], ["--users", "0"]])
def test_a_load_of_fewer_webhooks_than_users_is_refused_before_anything_starts(
    asked: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(load_program, "built", lambda *_: pytest.fail("it was built"))
    monkeypatch.setattr(sys, "argv", ["load", *asked])
    assert load_program.main() == 2
    assert "Each user needs a webhook at least" in capsys.readouterr().err


def test_a_local_stack_is_reached_past_the_proxy_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "intranet.test")
    assert direct_to("127.0.0.1", "172.17.0.1")["no_proxy"] == "intranet.test,127.0.0.1,172.17.0.1"


@pytest.mark.parametrize("spelling", ["NO_PROXY", "no_proxy"])
def test_make_reaches_what_runs_on_another_address_past_the_proxy_too(tmp_path: Path, spelling: str) -> None:
    # Given a local stack that was started with LISTEN=
    (tmp_path / ".local").mkdir()
    state = {"process": 1, "places": asdict(agreed("172.17.0.1"))}
    (tmp_path / ".local" / "up.json").write_text(json.dumps(state, indent=2))
    # When make runs a command
    shown = subprocess.run(
        ["make", "--silent", "-f", ROOT / "Makefile", "-f", "-", "show"],
        input="show:\n\t@echo $$NO_PROXY $$no_proxy\n",
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], spelling: "intranet.test"},
        capture_output=True,
        text=True,
        check=True,
    )
    # Then no proxy stands between, by either spelling
    assert shown.stdout.split() == ["intranet.test,127.0.0.1,localhost,172.17.0.1"] * 2


# -- ending what was started -----------------------------------------------------------------------------------------


WINDS_UP = """
import pathlib, signal, sys
try:
    print("ready", flush=True)
    signal.pause()
except KeyboardInterrupt:
    pathlib.Path(sys.argv[1]).touch()
"""


def test_a_command_that_winds_up_on_ctrl_c_is_ended_by_it_even_where_ctrl_c_is_ignored(tmp_path: Path) -> None:
    # Given a command that removes what it made when it is interrupted, started from a shell's background
    inherited = signal.signal(signal.SIGINT, signal.SIG_IGN)
    command = [sys.executable, "-c", WINDS_UP, str(tmp_path / "wound-up")]
    process = GuardedProcess(command, environment=bare_environment(), ended_by=signal.SIGINT, grace_seconds=60)
    signal.signal(signal.SIGINT, inherited)
    process.wait_until(lambda: "ready" in process.output(), seconds=60, what="the command")
    # When it is stopped
    process.stop()
    # Then it did so
    assert (tmp_path / "wound-up").exists()


STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
print("ready", flush=True)
time.sleep(300)
"""


def test_a_command_that_ignores_its_end_ends_with_its_children_and_its_folder_when_its_starter_does(
    tmp_path: Path,
) -> None:
    # Given a guarded command with a child; both hold the other end of the pipe that is read here
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    guarded = [sys.executable, guard.__file__, str(scratch), str(int(signal.SIGTERM)), "0.1"]
    with subprocess.Popen(
        [*guarded, sys.executable, "-c", STUBBORN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        # When the starter is gone, which closes the pipe of its guard
        process.communicate(timeout=120)
    # Then all that held that end is gone, as is the folder
    assert not scratch.exists()


# -- make invoke ---------------------------------------------------------------------------------------------------


def test_without_a_choice_every_function_gets_every_sample_event() -> None:
    chosen = choose(None, None, AT, agreed())
    assert {each.function for each in chosen} == set(invoking.FUNCTIONS.values())
    assert [each.name for each in chosen] == list(samples.events(AT))


@pytest.mark.parametrize("function", ["user_created", "user-created", "UserCreatedFunction"])
def test_a_function_is_chosen_by_any_of_its_names(function: str) -> None:
    names = [each.name for each in choose(function, None, AT, agreed())]
    assert names == ["user_created/user_created.json", "user_created/user_created_with_picture.json"]


@pytest.mark.parametrize("event", ["look_up_user/user", "events/look_up_user/user.json"])
def test_a_sample_event_finds_its_function(event: str) -> None:
    [chosen] = choose(None, event, AT, agreed())
    assert chosen.function == "LookUpUserFunction"


def test_an_event_of_ones_own_is_signed_and_dated_anew(tmp_path: Path) -> None:
    # Given events that were signed and sent long ago
    old = samples.events(AT)
    later = datetime(2026, 4, 1, tzinfo=UTC)
    own = tmp_path / "own.json"
    own.write_text(json.dumps(old["receive_webhook/user_created.json"]))
    # When they are chosen for a later time
    [webhook] = choose("receive_webhook", str(own), later, agreed())
    message = refreshed(old["user_created/user_created.json"], later)
    # Then they are as if they had been sent then
    assert webhook.event["headers"]["webhook-timestamp"] == str(int(later.timestamp()))
    signed = samples.events(later)["receive_webhook/user_created.json"]["headers"]["webhook-signature"]
    assert webhook.event["headers"]["webhook-signature"] == signed
    assert message == samples.events(later)["user_created/user_created.json"]


SIGNED = samples.events(AT)["receive_webhook/user_created.json"]
OTHER_SECRET = "whsec_" + "QUJD" * 11


@pytest.mark.parametrize("is_encoded", [True, False])
def test_an_own_event_gets_a_signature_of_what_it_holds(*, is_encoded: bool) -> None:
    # Given a webhook of one's own, with headers in another spelling, whose body was changed since it was signed
    body = SIGNED["body"].replace("Ada Lovelace", "Grace")
    text = base64.b64encode(body.encode()).decode() if is_encoded else body
    headers = {name.title(): value for name, value in SIGNED["headers"].items()} | {"Content-Type": "text/plain"}
    own = {**SIGNED, "body": text, "isBase64Encoded": is_encoded, "headers": headers}
    # When it is signed anew, with the secret that the stack has
    found = refreshed(own, AT, secret=OTHER_SECRET)
    # Then that signature is good, and the rest is as it was
    id_ = SIGNED["headers"]["webhook-id"]
    assert found["headers"]["webhook-signature"] == Webhook(OTHER_SECRET).sign(id_, AT, body)
    assert "Webhook-Signature" not in found["headers"]
    assert found["headers"]["Content-Type"] == "text/plain"
    assert {**found, "headers": None} == {**own, "headers": None}


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": {**SIGNED["headers"], "webhook-signature": "v1,forged"}},
        {"headers": {**SIGNED["headers"], "webhook-signature": None}},
        {"headers": {"webhook-id": "msg_1"}},
        {"headers": None},
        {"Records": None, "headers": []},
        {"Records": ["no record"], "headers": {}},
    ],
)
def test_what_is_forged_or_odd_comes_to_the_function_as_it_is(changes: dict[str, Any]) -> None:
    assert refreshed({**SIGNED, **changes}, AT) == {**SIGNED, **changes}


def test_a_body_that_cannot_be_signed_is_refused_with_a_sentence() -> None:
    with pytest.raises(UsageError, match="cannot be signed anew"):
        refreshed({**SIGNED, "isBase64Encoded": True, "body": "not base64!"}, AT)


def test_samples_are_signed_with_the_secret_of_a_stack_whose_platform_signs_like_them() -> None:
    plain = Settings(variables={"PAYLOAD_PRESET": "stripe"}, signing_secret="plain")
    assert plain.standard_secret == SECRET
    secret = Settings(signing_secret=OTHER_SECRET).standard_secret
    [chosen] = choose(None, "receive_webhook/base64_body", AT, agreed(), secret=secret)
    headers, body = chosen.event["headers"], base64.b64decode(chosen.event["body"]).decode()
    assert headers["webhook-signature"] == Webhook(OTHER_SECRET).sign(headers["webhook-id"], AT, body)


@pytest.mark.parametrize(
    ("function", "event", "sentence"),
    [
        ("user_deleted", None, "no function user_deleted"),
        (None, "own.json", "Which function"),
        ("user_created", "missing.json", r"missing\.json cannot be read"),
        ("user_created", "README.md", r"README\.md cannot be read"),
    ],
)
def test_what_cannot_be_invoked_is_refused_with_a_sentence(
    function: str | None, event: str | None, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        choose(function, event, AT, agreed())


@pytest.mark.parametrize(
    ("answer", "good"),
    [
        ({"statusCode": 200}, True),
        ({"statusCode": 404}, True),
        ({"batchItemFailures": []}, True),
        ({"statusCode": 503}, False),
        ({"batchItemFailures": [{"itemIdentifier": "1"}]}, False),
        ({"errorType": "KeyError", "errorMessage": "x"}, False),
        (None, False),
    ],
)
def test_a_function_is_judged_by_its_answer(answer: Any, *, good: bool) -> None:
    assert worked(answer) is good


def test_every_change_of_a_record_is_shown_and_nothing_else() -> None:
    before = {"a": {"status": "enrolling", "attempt": "1", "kept": "x"}, "b": {}}
    after = {"a": {"status": "synced", "kept": "x"}, "c": {"id": "1"}}
    assert changes("row", before, after) == [
        "row a: status = synced (was enrolling)",
        "row a: no attempt any more",
        "row c: id = 1",
        "row b is gone",
    ]
