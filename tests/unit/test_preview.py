"""What `make preview` tells a person about a body and a captured signature."""

import base64
import datetime
import hashlib
import hmac
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from local_stack import IMPORT_PATH, ROOT
from whop_sync.receiving.platforms import PLATFORMS
from whop_sync.receiving.signatures import Hmac, Scheme
from whop_user_sync.preview import Report, header_lines, payload_report, signature_report

NOW = 1_772_500_000.0
PAYLOADS = ROOT / "tests" / "payloads"
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
TEXT = "a secret that is plain text"
BODY = b'{"type":"user.updated"}'


def told(preset: str, body: Any, headers: dict[str, str] | None = None) -> Report:
    return payload_report(json.dumps(body).encode(), headers or {}, PLATFORMS[preset], now=NOW)


@pytest.mark.parametrize("path", sorted(PAYLOADS.glob("*/*.json")), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_sample_is_shown_field_by_field(path: Path) -> None:
    file = path.with_suffix(".headers")
    headers = header_lines(file.read_text()) if file.exists() else {}
    report = payload_report(path.read_bytes(), headers, PLATFORMS[path.parent.name], now=NOW)
    assert report.sound
    text = "\n".join(report.lines)
    if text.startswith("It would be ignored"):
        return
    for field in ("event ", "user id ", "e-mail ", "name ", "picture ", "version "):
        assert f"\n{field}" in f"\n{text}"


def test_a_value_is_shown_with_the_expression_that_found_it() -> None:
    body = {"type": "user.created", "timestamp": 1, "data": {"id": "u1", "first_name": "Ada", "avatar_url": None}}
    text = "\n".join(told("standard", body).lines)
    for shown in (
        "Ada                                 data.[first_name, last_name]",
        "empty: cleared on Whop              data.avatar_url",
        "1970-01-01 00:00:01.000000 UTC      timestamp",
        "No e-mail: Whop enrolls nobody",
    ):
        assert " ".join(shown.split()) in " ".join(text.split())


@pytest.mark.parametrize(
    ("preset", "body", "sentence", "sound"),
    [
        ("standard", {"type": "user.merged"}, "ignored: the event is user.merged", True),
        ("standard", {"type": "user.created", "data": {}}, "parked: the user's id", False),
        ("standard", {}, "parked: the body names no event type", False),
        ("shopify", {}, "give the headers too", False),
        ("propelauth", {"event_type": "user.updated", "user_id": "u1"}, "nothing but the id", True),
        ("propelauth", {"event_type": "user.created", "user_id": "u1"}, "the time of receipt counts", True),
        ("stripe", {"type": "customer.updated", "created": 1, "data": {"object": {"id": "c"}}}, "not told", True),
    ],
)  # fmt: skip
def test_what_is_missing_is_said_in_words(preset: str, body: Any, sentence: str, sound: bool) -> None:
    report = told(preset, body)
    assert report.sound is sound
    assert any(sentence in line for line in report.lines)


@pytest.mark.parametrize("text", ["X-A: b\nX-C:  d:e \n\n", '{"x-A": "b", "X-C": "d:e"}'])
def test_headers_are_read_from_lines_or_from_json(text: str) -> None:
    assert header_lines(text) == {"x-a": "b", "x-c": "d:e"}


def signed(at: float = NOW, *, secret: str = TEXT, body: bytes = BODY, name: str = "x-s") -> dict[str, str]:
    signature = hmac.new(secret.encode(), f"{int(at)}.".encode() + body, hashlib.sha256).hexdigest()
    return {name: f"t={int(at)},v1={signature}"}


TIMED = Hmac(header="x-s", content="timestamp.body")
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJpYXQiOjEsImV4cCI6Mn0"


@pytest.mark.parametrize(
    ("scheme", "headers", "secret", "sentence", "sound"),
    [
        (TIMED, signed(), TEXT, "is right.", True),
        (TIMED, signed(), json.dumps(["of old, another secret", TEXT]), "is right.", True),
        (TIMED, signed(NOW - 86_400), TEXT, "is right, but was not made now", True),
        (TIMED, signed(NOW - 86_400), TEXT + "!", "a wrong secret", False),
        (TIMED, signed(NOW * 1000), TEXT, "not in s: set SIGNATURE_TIMESTAMP_UNIT", False),
        (TIMED, signed(body=BODY[:-1]), TEXT, "a wrong secret", False),
        (TIMED, {}, TEXT, "is missing: x-s", False),
        (TIMED, {"x-s": "abc"}, TEXT, "time is missing", False),
        (TIMED, {"x-s": "t=1772500000,v0=abc"}, TEXT, "no signature in hex", False),
        (TIMED, signed(), "short", "can be guessed", False),
        (TIMED, None, TEXT, "has the right form", True),
        (TIMED, signed(), None, "Not checked", True),
        (PLATFORMS["stripe"].scheme, None, "sk_live_abcdefghijklmnop", "start with whsec_", False),
        (PLATFORMS["clerk"].scheme, None, "ab12" * 16, "must start with whsec_", False),
        (PLATFORMS["clerk"].scheme, {}, SECRET, "webhook-id", False),
        (PLATFORMS["auth0"].scheme, {"authorization": f"Bearer {TEXT}"}, TEXT, "is right.", True),
        (PLATFORMS["auth0"].scheme, {"authorization": "Bearer wrong"}, TEXT, "a wrong secret", False),
        (
            PLATFORMS["frontegg"].scheme,
            {
                "x-webhook-secret": JWT
                + "."
                + base64.urlsafe_b64encode(hmac.digest(TEXT.encode(), JWT.encode(), "sha256")).decode().rstrip("=")
            },
            TEXT,
            "was not made now",
            True,
        ),
    ],
)
def test_a_captured_signature_is_checked_whatever_its_age(
    scheme: Scheme, headers: dict[str, str] | None, secret: str | None, sentence: str, sound: bool
) -> None:
    report = signature_report(BODY, headers, secret, scheme, now=NOW)
    assert (report.sound, len(report.lines)) == (sound, 1)
    assert sentence in report.lines[0]
    assert not secret or secret not in report.lines[0]


def test_a_line_break_that_an_editor_added_is_recognized() -> None:
    report = signature_report(BODY + b"\n", signed(), TEXT, TIMED, now=NOW)
    assert not report.sound
    assert "line break" in report.lines[0]


def run(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": IMPORT_PATH, **variables}
    command = [sys.executable, "-m", "whop_user_sync.preview", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_command_shows_body_and_signature(tmp_path: Path) -> None:
    body = PAYLOADS / "clerk" / "created.json"
    moment = datetime.datetime.now(datetime.UTC)
    headers = tmp_path / "headers.txt"
    signature = Webhook(SECRET).sign("msg_1", moment, body.read_text())
    headers.write_text(f"Svix-Id: msg_1\nSvix-Timestamp: {int(moment.timestamp())}\nSvix-Signature: {signature}\n")

    shown = run(body, "--preset", "clerk", "--headers", headers, "--secret", SECRET)
    assert (shown.returncode, shown.stderr) == (0, "")
    for text in ("Ada Lovelace", "user_29w83sxmDNGwOuEthce5gg56FcC", "✓ The signature is right."):
        assert text in shown.stdout

    assert run(body, "--preset", "clerk", "--headers", headers, "--secret", SECRET[:-4] + "AAA=").returncode == 1


@pytest.mark.parametrize(
    ("arguments", "variables", "sentence"),
    [
        (["nowhere.json", "--preset", "clerk"], {}, "FILE=payload.json"),
        ([PAYLOADS / "own" / "created.json", "--preset", "klerk"], {}, "PAYLOAD_PRESET must be one of"),
        (
            [PAYLOADS / "own" / "created.json", "--preset", "own"],
            {"SIGNATURE_ENCODING": "x"},
            "SIGNATURE_ENCODING must",
        ),
        ([PAYLOADS / "own" / "created.json", "--preset", "own", "--overrides", '{"x": "y"}'], {}, "there is no x"),
        ([PAYLOADS / "own" / "created.json", "--preset", "own", "--overrides", "nowhere"], {}, "nowhere"),
    ],
)
def test_what_is_wrong_with_the_settings_is_said_in_one_sentence(
    arguments: list[str | Path], variables: dict[str, str], sentence: str
) -> None:
    shown = run(*arguments, **variables)
    assert shown.returncode == 1
    assert sentence in shown.stderr
    assert "Traceback" not in shown.stderr


def test_overrides_may_come_from_a_file(tmp_path: Path) -> None:
    overrides = tmp_path / "overrides.json"
    overrides.write_text('{"email": "\'ada@elsewhere.test\'"}')
    shown = run(PAYLOADS / "own" / "created.json", "--preset", "own", "--overrides", overrides)
    assert "ada@elsewhere.test" in shown.stdout
