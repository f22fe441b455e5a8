"""What the preview shows a person of a captured body and signature, and that it is what the receiver does."""

import base64
import copy
import datetime
import hashlib
import hmac
import io
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from local_stack import ROOT
from whop_sync.aws.queues import EventQueues, Queue
from whop_sync.events import UserEvent
from whop_sync.journal import Journal
from whop_sync.receiving.deliveries import MAX_BODY_BYTES, Receiver
from whop_sync.receiving.platforms import PLATFORMS, Platform, configured
from whop_sync.receiving.signatures import Hmac, Scheme, parse_secrets
from whop_sync.standard_webhooks import sign
from whop_user_sync import cli
from whop_user_sync.preview.bodies import BodyReport, body_report
from whop_user_sync.preview.captured import CaptureError, header_lines
from whop_user_sync.preview.signatures import http_event, signature_report

NOW = 1_772_500_000.0
PAYLOADS = ROOT / "tests" / "payloads"
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
TEXT = "a secret that is plain text"
BODY = b'{"type":"user.updated"}'


def report(preset: str, body: Any, headers: dict[str, str] | None = None) -> BodyReport:
    return body_report(json.dumps(body).encode(), headers or {}, PLATFORMS[preset], now=NOW)


def text_of(found: BodyReport) -> str:
    lines = [f"{field.name}: {field.value} [{field.source}]" for field in found.fields]
    return "\n".join([found.verdict, *lines, *found.remarks])


# -- the preview is the receiver ------------------------------------------------------------------------------------


class Sqs:
    """An SQS client that remembers the last message."""

    sent: dict[str, Any] | None = None

    def send_message(self, **message: Any) -> None:
        self.sent = message


def received(body: bytes, headers: dict[str, str], platform: Platform, secret: str) -> str:
    """What the receiver makes of a request: an outcome in the preview's words."""
    sqs = Sqs()
    queue, parked = (Queue(sqs, name) for name in ("queue", "parked"))  # type: ignore[arg-type]
    receiver = Receiver(
        platform=platform,
        signing_keys=lambda: parse_secrets(secret, platform.scheme),
        queues=EventQueues(created=queue, changed=queue),
        parked=parked,
        journal=Journal(),
        clock=lambda: NOW,
    )
    status = receiver.answer(http_event(body, headers))["statusCode"]
    if status != 200:
        return {401: "unproven", 413: "refused"}[status]
    if sqs.sent is None:
        return "ignored"
    return "parked" if sqs.sent["QueueUrl"] == "parked" else UserEvent.from_json(sqs.sent["MessageBody"]).kind


def shown(body: bytes, headers: dict[str, str], platform: Platform, secret: str) -> str:
    signature = signature_report(body, headers, secret, platform, now=NOW)
    outcome = body_report(body, headers, platform, now=NOW, signed_at=signature.signed_at).outcome
    return outcome if signature.is_right else "unproven"


def signed_headers(body: bytes, **changed: str) -> dict[str, str]:
    signature = "v1," + sign(b"k" * 32, "msg_1", str(int(NOW)), body)
    return {"webhook-id": "msg_1", "webhook-timestamp": str(int(NOW)), "webhook-signature": signature, **changed}


def user(**data: Any) -> bytes:
    return json.dumps({"type": "user.updated", "timestamp": "2026-03-01T10:00:00Z", "data": data}).encode()


@pytest.mark.parametrize(
    "body",
    [
        user(id="u1", name="Ann"),
        user(id="u1"),
        user(id=[]),
        user(id="u1", updated_at="yesterday"),
        user(id="u1", avatar_url="data:image/png;base64," + "A" * 1_000_000),
        b'{"type":"order.paid"}',
        b"\xef\xbb\xbf" + user(id="u1", name="Ann"),
        user(id="u1", name="Ann").decode().encode("utf-16"),
        b"",
        b"[]",
        b" " * (MAX_BODY_BYTES - 30) + user(id="u1", name="Ann"),
        b" " * (MAX_BODY_BYTES + 1 - len(user(id="u1", name="Ann"))) + user(id="u1", name="Ann"),
        b" " * (MAX_BODY_BYTES + 1),
    ],
    ids=range(13),
)
def test_the_preview_says_of_a_body_what_the_receiver_does(body: bytes) -> None:
    platform = PLATFORMS["standard"]
    outcome = received(body, signed_headers(body), platform, SECRET)
    assert shown(body, signed_headers(body), platform, SECRET) == outcome
    assert outcome != "unproven"
    assert received(body, signed_headers(b"another"), platform, SECRET) == "unproven"
    assert shown(body, signed_headers(b"another"), platform, SECRET) == "unproven"


@pytest.mark.parametrize(("body", "outcome"), [(b"webhook_id=5", "ignored"), (b"webhook_id=5&x", "unproven")])
def test_a_platforms_own_test_of_the_address_is_shown_as_it_is_answered(body: bytes, outcome: str) -> None:
    platform = PLATFORMS["woocommerce"]
    assert received(body, {}, platform, TEXT) == outcome
    signature = signature_report(body, {}, TEXT, platform, now=NOW)
    found = body_report(body, {}, platform, now=NOW)
    assert (signature.is_right is None, found.outcome) == (
        (True, "ignored") if outcome == "ignored" else (False, "parked")
    )


@given(body=st.binary(max_size=60) | st.builds(user, id=st.text() | st.integers() | st.floats(), name=st.text()))
def test_so_it_does_of_any_body(body: bytes) -> None:
    platform = PLATFORMS["standard"]
    assert shown(body, signed_headers(body), platform, SECRET) == received(body, signed_headers(body), platform, SECRET)


ODD: tuple[Any, ...] = (None, True, "\ud800", {"a": [None]})


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a document anything stands."""
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        yield from places(inner, (*path, key))


@pytest.mark.parametrize("path", sorted(PAYLOADS.glob("*/*.json")), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_whatever_stands_at_a_place_of_a_sample_is_shown_and_breaks_nothing(path: Path) -> None:
    platform, file = PLATFORMS[path.parent.name], path.with_suffix(".headers")
    headers = header_lines(file.read_text()) if file.exists() else {}
    document = json.loads(path.read_text())
    for place in places(document):
        for odd in ODD:
            changed = copy.deepcopy({"": document})
            inner: Any = changed
            *way, last = ("", *place)
            for key in way:
                inner = inner[key]
            inner[last] = odd
            found = body_report(json.dumps(changed[""]).encode(), headers, platform, now=NOW)
            assert found.verdict
            assert (
                found.outcome != "parked" or found.remarks or any(field.is_wrong for field in found.fields) or not way
            )


@pytest.mark.parametrize("good_first", [True, False])
def test_a_header_that_came_twice_is_joined_as_api_gateway_joins_it(good_first: bool) -> None:
    good = signed_headers(user(id="u1", name="Ann"))
    values = [good["webhook-signature"], "v1," + "A" * 43 + "="]
    lines = [f"{name}: {value}" for name, value in good.items() if name != "webhook-signature"]
    lines += [f"Webhook-Signature: {value}" for value in (values if good_first else values[::-1])]
    headers = header_lines("\n".join(lines))
    assert headers["webhook-signature"] == ",".join(values if good_first else values[::-1])
    assert shown(user(id="u1", name="Ann"), headers, PLATFORMS["standard"], SECRET) == "updated"


# -- a body, field by field -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(PAYLOADS.glob("*/*.json")), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_sample_is_shown_field_by_field(path: Path) -> None:
    file = path.with_suffix(".headers")
    headers = header_lines(file.read_text()) if file.exists() else {}
    found = body_report(path.read_bytes(), headers, PLATFORMS[path.parent.name], now=NOW + 10**6)
    assert found.is_sound
    if found.outcome == "ignored":
        assert found.remarks == []
        return
    names = [field.name for field in found.fields]
    expected = ["event", "event id", "user id", "standing", "e-mail", "name", "picture", "version", "event time"]
    if found.outcome == "deleted":
        expected = [name for name in expected if name not in ("e-mail", "name", "picture")]
    assert [name for name in names if name != "Whop user"] == expected


def test_a_value_is_shown_with_the_expression_that_found_it() -> None:
    body = {"type": "user.created", "timestamp": 1, "data": {"id": "u1", "first_name": "Ada", "avatar_url": None}}
    text = text_of(report("standard", body))
    for line in (
        "event: user.created: created, the user is new [type]",
        "standing: active []",
        "name: Ada [data.[first_name, last_name]]",
        "picture: empty: cleared on Whop [data.avatar_url]",
        "version: 1970-01-01 00:00:01.000000 UTC [timestamp]",
        "No e-mail: Whop enrolls no user without one",
    ):
        assert line in text


@pytest.mark.parametrize(
    ("preset", "body", "sentence", "sound"),
    [
        ("standard", {"type": "user.merged"}, "ignored: the event is user.merged", True),
        ("standard", {"type": "user.created", "data": {}}, "parked: the user's id", False),
        ("standard", {}, "parked: the body names no event type", False),
        (
            "standard",
            {"type": "user.updated", "timestamp": "soon", "data": {"id": "u1", "avatar_url": "/media/1.png"}},
            "it can never be fetched",
            False,
        ),
        ("shopify", {}, "give the headers too", False),
        ("propelauth", {"event_type": "user.updated", "user_id": "u1"}, "nothing but the id", True),
        ("propelauth", {"event_type": "user.created", "user_id": "u1"}, "the time of receipt counts", True),
        ("stripe", {"type": "customer.updated", "created": 1, "data": {"object": {"id": "c"}}}, "of the user", True),
        (
            "stripe",
            {"type": "customer.updated", "created": 1, "data": {"object": {"id": "c", "email": "a@b.test"}}},
            "name: not spoken of: stays as it is",
            True,
        ),
        (
            "supabase-db",
            {
                "schema": "public",
                "table": "profiles",
                "type": "UPDATE",
                "record": {"id": "u1", "full_name": "Ann", "updated_at": "2026-03-01T10:00:00Z"},
                "old_record": {"id": "u1", "full_name": "An", "updated_at": "2026-03-01T10:00:00Z"},
            },
            "it does not move",
            True,
        ),
        (
            "standard",
            {"type": "user.updated", "timestamp": 5, "data": {"id": "u1", "name": "\u200b\u2060"}},
            "no character that can be seen",
            True,
        ),
        (
            "standard",
            {"type": "user.updated", "timestamp": 5, "data": {"id": "u1", "first_name": "\u034f"}},
            "no character that can be seen",
            True,
        ),
        *(
            (
                "standard",
                {"type": "user.updated", "timestamp": 5, "data": {"id": "u1", "name": "Ann", "avatar_url": url}},
                sentence,
                True,
            )
            for url, sentence in (
                ("/images/ann.png", "no https URL"),
                ("http://people.test/ann.png", "only https is fetched"),
                ("data:image/png;base64,AAAA", "stands in the body"),
            )
        ),
    ],
)  # fmt: skip
def test_what_is_missing_or_will_not_work_is_named(preset: str, body: Any, sentence: str, sound: bool) -> None:
    found = report(preset, body)
    assert found.is_sound is sound
    assert sentence in text_of(found)


def test_a_time_of_creation_is_named_as_one_that_does_not_move() -> None:
    overrides = {"version": "data.created_at", "event_time": []}
    platform = configured({"PAYLOAD_PRESET": "standard", "PAYLOAD_OVERRIDES": json.dumps(overrides)})
    body = {"type": "user.updated", "data": {"id": "u1", "name": "Ann", "created_at": 1}}
    assert "data.created_at, which does not move" in text_of(
        body_report(json.dumps(body).encode(), {}, platform, now=NOW)
    )


def test_a_user_whom_enroll_if_leaves_out_is_said_to_be() -> None:
    platform = configured({"PAYLOAD_PRESET": "standard", "ENROLL_IF": "data.role == 'seller'"})
    data = {"id": "u1", "email": "ann@people.test", "name": "Ann", "updated_at": "2026-03-01T10:00:00Z"}

    def reported(kind: str, **changed: str) -> Any:
        body = {"type": f"user.{kind}", "data": {**data, **changed}}
        return body_report(json.dumps(body).encode(), {}, platform, now=NOW)

    left_out = reported("created", role="buyer")
    assert left_out.outcome == "ignored"
    assert "data.role == 'seller' is not true of this user" in left_out.verdict
    assert "u1" in text_of(left_out)
    assert reported("created", role="seller").outcome == "created"
    assert "EnrollIf leaves this user out" in text_of(reported("suspended", role="buyer"))
    assert "EnrollIf" not in text_of(reported("suspended", role="seller"))
    assert "EnrollIf" not in text_of(reported("deleted", role="buyer"))


GOOD = {"id": "u1", "email": "ann@people.test", "name": "Ann", "updated_at": "2026-03-01T10:00:00Z"}


@pytest.mark.parametrize(
    ("changed", "field", "expression", "found"),
    [
        ({"id": {"value": 1}}, "user id", "data.id", '{"value": 1}'),
        ({"id": None}, "user id", "data.id", "nothing is there"),
        ({"updated_at": "yesterday"}, "version", "data.updated_at", '"yesterday"'),
        ({"updated_at": True}, "version", "data.updated_at", "true"),
        ({"email": {"address": "ann@people.test"}}, "e-mail", "data.email", '{"address": "ann@people.test"}'),
        ({"name": 5}, "name", "data.name", "5"),
        ({"avatar_url": {"small": "x" * 100}}, "picture", "data.avatar_url", '{"small": "xxx'),
        ({"whop_user_id": "ann"}, "Whop user", "data.whop_user_id", '"ann"'),
    ],
)
def test_a_bad_value_is_shown_with_its_expression_beside_the_other_fields(
    changed: dict[str, Any], field: str, expression: str, found: str
) -> None:
    body = {"type": "user.created", "timestamp": "2026-03-01T10:00:00Z", "data": {**GOOD, **changed}}
    shown_report = report("standard", body)
    assert shown_report.outcome == "parked"
    [wrong] = [each for each in shown_report.fields if each.is_wrong]
    assert (wrong.name, wrong.source) == (field, expression)
    assert found in wrong.value
    others = {each.name: each.value for each in shown_report.fields if not each.is_wrong}
    assert field not in others
    readable = {"user id": "u1", "e-mail": "ann@people.test", "name": "Ann"}
    assert {**readable, **others} == {**others, **{name: readable[name] for name in readable if name != field}} | {
        name: readable[name] for name in readable if name == field
    }


def test_all_that_is_wrong_is_shown_at_once() -> None:
    body = {"type": "user.created", "data": {**GOOD, "id": [], "email": 5, "updated_at": "yesterday"}}
    wrong = {each.name for each in report("standard", body).fields if each.is_wrong}
    assert wrong == {"user id", "e-mail", "version"}


def test_a_body_of_another_platform_shows_nothing_that_only_stands_in_for_what_is_missing() -> None:
    fields = {each.name: each for each in report("clerk", {"action": "member.joined"}).fields}
    assert fields["version"].is_wrong
    assert fields["event time"].value == "none that is signed"
    assert not [each.source for each in fields.values() if "`" in each.source]


def test_an_expression_that_breaks_on_a_body_is_named() -> None:
    body = {"type": "admin.USER-CREATE", "uid": "e1", "time": 1, "resourceId": "u1", "resourcePath": "users/u1"}
    body["representation"] = "{"
    found = report("keycloak", body)
    assert any("from_json(representation)" in each.source for each in found.fields if each.is_wrong)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "empty"),
        (b'{"a": 1,}', "Line 1, column 8"),
        (b'{\n "a" 1}', "Line 2, column 6"),
        (b'\xef\xbb\xbf{"a": 1}', "byte order mark"),
        ('{"a": 1}'.encode("utf-16"), "UTF-16"),
        ('{"a": 1}'.encode("utf-16-le"), "UTF-16"),
        (b'{"a": "\xe9"}', "Byte 8 is not UTF-8"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": ' + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_where_a_body_stops_being_json_is_said(body: bytes, sentence: str) -> None:
    found = body_report(body, {}, PLATFORMS["standard"], now=NOW)
    assert found.outcome == "parked"
    assert sentence in found.remarks[0]


@pytest.mark.parametrize(
    "text", ["X-A: b\nX-C:  d:e \n\n", '{"x-A": "b", "X-C": "d:e"}', "POST / HTTP/1.1\nx-a: b\nx-c: d:e"]
)
def test_headers_are_read_from_lines_or_from_json(text: str) -> None:
    assert header_lines(text) == {"x-a": "b", "x-c": "d:e"}


@pytest.mark.parametrize("text", ['{"x-a": "b", "X-A": "c"}', '{"x-a": "b", "x-a": "c"}', '{"x-a": ["b", "c"]}'])
def test_a_header_that_came_twice_may_be_written_in_json_in_each_way(text: str) -> None:
    assert header_lines(text) == {"x-a": "b,c"}


@pytest.mark.parametrize("text", ["no colon", '{"a": '])
def test_what_are_no_headers_is_said(text: str) -> None:
    with pytest.raises(CaptureError, match="headers"):
        header_lines(text)


# -- a signature ----------------------------------------------------------------------------------------------------


def signed(
    at: float = NOW, *, secret: bytes = TEXT.encode(), body: bytes = BODY, form: str = "{t}.{body}"
) -> dict[str, str]:
    content = form.format(t=int(at), body=body.decode()).encode()
    return {"x-s": f"t={int(at)},v1={hmac.new(secret, content, hashlib.sha256).hexdigest()}"}


def platform_of(scheme: Scheme) -> Platform:
    return Platform(scheme=scheme, preset=PLATFORMS["standard"].preset)


TIMED = Hmac(header="x-s", content="timestamp.body")
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJpYXQiOjEsImV4cCI6Mn0"
HEX_KEY = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("scheme", "headers", "secret", "sentence", "right"),
    [
        (TIMED, signed(), TEXT, "is right.", True),
        (TIMED, signed(), json.dumps(["of old, another secret", TEXT]), "is right.", True),
        (TIMED, signed(), json.dumps({"signing": TEXT}), "is right.", True),
        (TIMED, signed(NOW - 86_400), TEXT, "is right, but was not made now", True),
        (TIMED, signed(NOW - 86_400), TEXT + "!", "a wrong secret", False),
        (TIMED, signed(NOW * 1000), TEXT, "it looks like SignatureTimestampUnit ms", False),
        (TIMED, signed(body=BODY[:-1]), TEXT, "a wrong secret", False),
        (TIMED, {}, TEXT, "header x-s is missing", False),
        (TIMED, {"x-s": "abc"}, TEXT, "no entries t=", False),
        (TIMED, {"x-s": "t=1772500000,v0=abc"}, TEXT, "no signature in hex", False),
        (TIMED, {"x-s": "t=1772500000,v1=" + "a" * 40}, TEXT, "hex of sha1", False),
        (TIMED, signed(), "short", "can be guessed", False),
        (TIMED, None, TEXT, "has the right form", None),
        (TIMED, signed(), None, "Not checked", None),
        (TIMED, signed(form="{t}:{body}"), TEXT, "right with SignatureContent {timestamp}:{body}", False),
        (TIMED, signed(form="{body}"), TEXT, "right with SignatureContent body", False),
        (TIMED, signed(secret=bytes.fromhex(HEX_KEY)), HEX_KEY, "right with SignatureKey hex", False),
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
    scheme: Scheme, headers: dict[str, str] | None, secret: str | None, sentence: str, right: bool | None
) -> None:
    found = signature_report(BODY, headers, secret, platform_of(scheme), now=NOW)
    assert found.is_right is right
    assert sentence in found.verdict
    assert not secret or secret not in found.verdict


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda body: body + b"\n", "line break"),
        (lambda body: b"\xef\xbb\xbf" + body, "byte order mark"),
        (lambda body: body.replace(b"\n", b"\r\n"), "as on Windows"),
        (lambda body: body[:-1], "lacks the line break"),
    ],
)
def test_what_an_editor_did_to_a_file_is_recognized(change: Callable[[bytes], bytes], sentence: str) -> None:
    body = b'{"type":\n"user.updated"}' + (b"\n" if "lacks" in sentence else b"")
    found = signature_report(change(body), signed(body=body), TEXT, platform_of(TIMED), now=NOW)
    assert found.is_right is False
    assert sentence in found.verdict


def test_a_secret_whose_text_is_the_key_is_recognized() -> None:
    """Polar's headers are those of Standard Webhooks, its keys are not."""
    secret = SECRET
    headers = {**signed_headers(BODY), "webhook-signature": "v1," + sign(secret.encode(), "msg_1", str(int(NOW)), BODY)}
    found = signature_report(BODY, headers, secret, PLATFORMS["standard"], now=NOW)
    assert "the secret's text is the key" in found.verdict


# -- the command ----------------------------------------------------------------------------------------------------


type Printed = tuple[int, str, str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Printed]:
    def run(*arguments: str | Path) -> Printed:
        status = cli.main(["preview", *map(str, arguments)])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


@pytest.fixture
def captured(tmp_path: Path) -> tuple[Path, Path]:
    """A body and its headers, signed now."""
    body = PAYLOADS / "clerk" / "created.json"
    moment = datetime.datetime.now(datetime.UTC)
    headers = tmp_path / "headers.txt"
    signature = Webhook(SECRET).sign("msg_1", moment, body.read_text())
    headers.write_text(f"Svix-Id: msg_1\nSvix-Timestamp: {int(moment.timestamp())}\nSvix-Signature: {signature}\n")
    return body, headers


def test_the_command_shows_body_and_signature(
    run: Callable[..., Printed], captured: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    body, headers = captured
    status, out, err = run(body, "--preset", "clerk", "--headers", headers, "--secret", SECRET)
    assert (status, err) == (0, "")
    for text in ("Ada Lovelace", "user_29w83sxmDNGwOuEthce5gg56FcC", "✓ The signature is right."):
        assert text in out

    assert run(body, "--preset", "clerk", "--headers", headers, "--secret", SECRET[:-4] + "AAA=")[0] == 1
    monkeypatch.setenv("WHOP_USER_SYNC_SIGNING_SECRET", SECRET)
    assert "✓ The signature is right." in run(body, "--preset", "clerk", "--headers", headers)[1]


def test_a_program_reads_one_document(run: Callable[..., Printed]) -> None:
    status, out, _ = run(PAYLOADS / "own" / "updated.json", "--preset", "own", "--json")
    document = json.loads(out)
    assert (status, document["outcome"], document["signature"]["right"]) == (0, "updated", None)
    assert document["fields"]["user id"]["source"] == "data.id"


def test_a_body_may_come_from_standard_input(run: Callable[..., Printed], monkeypatch: pytest.MonkeyPatch) -> None:
    content = (PAYLOADS / "own" / "updated.json").read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert "It would be accepted." in run("-", "--preset", "own")[1]


OWN = PAYLOADS / "own" / "created.json"


@pytest.mark.parametrize(
    ("arguments", "variables", "sentence"),
    [
        (["nowhere.json", "--preset", "clerk"], {}, "There is no file nowhere.json"),
        ([PAYLOADS, "--preset", "clerk"], {}, "is a directory"),
        (["", "--preset", "clerk"], {}, "FILE=payload.json"),
        ([OWN], {}, "Name a preset"),
        ([OWN, "--preset", "klerk"], {}, "There is no preset klerk."),
        ([OWN, "--preset", "own"], {"SIGNATURE_ENCODING": "x"}, "SIGNATURE_ENCODING must"),
        ([OWN, "--preset", "own", "--overrides", '{"x": "y"}'], {}, "there is no x"),
        ([OWN, "--preset", "own", "--overrides", "nowhere"], {}, "There is no file nowhere"),
        ([OWN, "--preset", "own", "--headers", "nowhere"], {}, "There is no file nowhere"),
        ([OWN, "--preset", "own", "--headers", PAYLOADS], {}, "is a directory"),
        ([OWN, "--platform", "nowhere.yaml"], {}, "nowhere.yaml"),
    ],
)
def test_what_is_wrong_with_the_settings_is_said_in_one_sentence(
    run: Callable[..., Printed],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str | Path],
    variables: dict[str, str],
    sentence: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert sentence in err
    assert "Traceback" not in err


def test_overrides_may_come_from_a_file(run: Callable[..., Printed], tmp_path: Path) -> None:
    overrides = tmp_path / "overrides.json"
    overrides.write_text('\ufeff{"email": "\'ada@elsewhere.test\'"}')
    assert "ada@elsewhere.test" in run(OWN, "--preset", "own", "--overrides", overrides)[1]


def test_make_hands_over_what_was_typed(tmp_path: Path) -> None:
    """A dollar sign, quotes and blanks in a secret or an expression are what they are."""
    secret, body, headers = "pa$word '1\" $(x) 2345678", tmp_path / "a body.json", tmp_path / "headers.txt"
    content = b'{"type":"user.created","timestamp":1,"data":{"$id":"u1","email":"ann@people.test"}}'
    body.write_bytes(content)
    headers.write_text("X-Signature: " + hmac.new(secret.encode(), content, hashlib.sha256).hexdigest())
    overrides = '{"user_id": "data.\\"$id\\"", "version": "timestamp"}'
    variables = {"FILE": body, "PRESET": "own", "HEADERS": headers, "SECRET": secret, "OVERRIDES": overrides}
    shown_by_make = subprocess.run(
        ["make", "--silent", "preview", *(f"{name}={value}" for name, value in variables.items())],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "✓ The signature is right." in shown_by_make.stdout, shown_by_make.stderr
    assert "u1" in shown_by_make.stdout
