"""docs/announcements.md, docs/asyncapi.yaml and the receivers that are shown, against what is announced."""

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import httpcore
import httpx
import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from harness.pages import Page, assert_same
from local_stack import ROOT
from local_stack.announced import ANNOUNCEMENT_SECRET
from local_stack.processes import LOOPBACK, free_port
from local_stack.waiting import becomes_true
from whop_sync.announcements import Announcement, UserAnnouncement, announcement_id
from whop_sync.announcing.event_bus import EventBus
from whop_sync.announcing.webhooks import PlatformWebhook, announcement_keys
from whop_sync.receiving.whop_webhooks import EVENTS

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

    from whop_sync.internet.requests import PublicHttp

PAGE = Page("docs/announcements.md")
EXAMPLES = ROOT / "docs/examples"
PACKAGES = ROOT / ".local/node/node_modules"
TYPES: set[str] = set(get_args(UserAnnouncement.__value__))
OF_WHOP = {f"whop.{event}": fields for event, fields in EVENTS.items()}


@cache
def document() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docs/asyncapi.yaml").read_text())
    return found


def announcement(version: int, type_: UserAnnouncement, user_id: str = "u1", **data: str) -> Announcement:
    id_ = announcement_id(user_id, version, type_)
    return Announcement(id=id_, type=type_, user_id=user_id, version=version, occurred_at=1.5, data=data)


WHOP = {"whop_user_id": "user_1", "whop_company_id": "biz_1"}
DATA: Mapping[str, Mapping[str, str]] = {
    "user.enrolled": WHOP,
    "user.enrollment_failed": {"reason": "whop_refused"},
    "user.recovered": WHOP,
    "user.suspended": WHOP,
    "user.restored": WHOP,
    "user.deleted": {},
    "user.email_differs": WHOP,
    "picture.refused": {**WHOP, "reason": "picture_missing"},
}
"""What goes with each type, as `syncing.transitions` makes it."""


def signed(
    announcement: Announcement, *, secret: str = ANNOUNCEMENT_SECRET, at: float | None = None
) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of a delivery, as the platform gets them."""
    sent: list[tuple[bytes, dict[str, str]]] = []

    class Http:
        @contextmanager
        def request(
            self, _method: str, _url: object, *, headers: Any, content: bytes, deadline: object
        ) -> Iterator[Any]:
            del deadline
            sent.append((content, dict(headers)))
            yield httpcore.Response(204)

    webhook = PlatformWebhook(
        url=httpx.URL("https://api.acme.test/"),
        keys=lambda: announcement_keys(json.dumps([secret])),
        http=cast("PublicHttp", Http()),
        clock=lambda: time.time() if at is None else at,
        timer=time.monotonic,
    )
    webhook.deliver(announcement)
    return sent[0]


LIFE = [
    announcement(1, "user.enrollment_failed", reason="whop_refused"),
    announcement(2, "user.recovered", **WHOP),
    announcement(3, "user.suspended", **WHOP),
    announcement(4, "user.restored", **WHOP),
    announcement(5, "picture.refused", **WHOP, reason="picture_missing"),
]
"""Of one user, in order."""


# -- the AsyncAPI document ---------------------------------------------------------------------------------------------


def test_the_document_is_one_of_asyncapi() -> None:
    schema = PACKAGES / "@asyncapi/specs/schemas/3.0.0.json"
    if not schema.exists():
        pytest.skip("npm is not installed, which brings AsyncAPI's schema")
    problems = [
        f"{each.json_path}: {each.message}"
        for each in Draft7Validator(json.loads(schema.read_text())).iter_errors(document())
    ]
    assert not problems


def test_every_type_is_documented_and_every_documented_type_is_announced() -> None:
    messages = document()["components"]["messages"]
    types = TYPES | set(OF_WHOP)
    assert_same(set(messages) - {"event"}, types, "docs/asyncapi.yaml, components.messages")
    channel = document()["channels"]["webhook"]["messages"]
    assert channel == {name: {"$ref": f"#/components/messages/{name}"} for name in types}
    for name in types:
        assert messages[name]["payload"]["allOf"][1]["properties"]["type"] == {"const": name}
    assert_same(PAGE.listed("What is announced") & TYPES, TYPES, f"{PAGE.name}, What is announced")


@cache
def registry() -> Registry[Any]:
    resource: Resource[Any] = Resource.from_contents(document(), default_specification=DRAFT202012)
    found: Registry[Any] = Registry().with_resource("urn:asyncapi", resource)
    return found


def problems(message: str, part: str, instance: object) -> list[str]:
    """What is wrong with the `payload` or the `headers` of a message."""
    schema = {"$ref": f"urn:asyncapi#/components/messages/{message}/{part}"}
    validator = Draft202012Validator(schema, registry=registry(), format_checker=Draft202012Validator.FORMAT_CHECKER)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(instance)]


@pytest.mark.parametrize("type_", sorted(TYPES))
def test_what_is_sent_has_the_documented_form(type_: UserAnnouncement) -> None:
    content, headers = signed(announcement(3, type_, **DATA[type_]))
    body = json.loads(content)
    assert problems(type_, "payload", body) == []
    assert problems(type_, "headers", headers) == []
    # And a body that lacks what the type promises has not
    for name in ("user_id", "version", *(set(DATA[type_]) - {"whop_company_id"})):
        lacking = {**body, "data": {key: value for key, value in body["data"].items() if key != name}}
        assert problems(type_, "payload", lacking), name


@pytest.mark.parametrize("type_", OF_WHOP)
def test_what_whop_says_of_an_account_has_the_documented_form(type_: str) -> None:
    ids = {"whop_company_id": "biz_1", "whop_user_id": "user_1"}
    data = dict.fromkeys(OF_WHOP[type_], "word") | ids
    said = Announcement(id="whop_msg_1", type=type_, user_id="u1", version=None, occurred_at=1.5, data=data)
    body = json.loads(signed(said)[0])
    assert problems(type_, "payload", body) == []
    documented = document()["components"]["messages"][type_]["payload"]["allOf"][1]["properties"]["data"]["allOf"][1]
    assert set(documented["properties"]) == set(OF_WHOP[type_]) - set(ids)
    del body["data"]["whop_company_id"]
    assert problems(type_, "payload", body)


def test_an_event_on_the_bus_has_the_documented_form() -> None:
    entries: list[dict[str, Any]] = []

    class Events:
        def describe_event_bus(self, **_: object) -> None: ...

        def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
            entries.extend(Entries)
            return {"FailedEntryCount": 0, "Entries": [{}]}

    EventBus(cast("EventBridgeClient", Events()), "default", clock=time.monotonic).deliver(LIFE[1])
    [entry] = entries
    received = {
        "source": entry["Source"],
        "detail-type": entry["DetailType"],
        "detail": json.loads(entry["Detail"]),
    }
    assert problems("event", "payload", received) == []
    shown = [json.loads(block.text) for block in PAGE.code() if block.language == "json"]
    assert [problems("event", "payload", each) for each in shown] == [[]]


def test_the_body_that_is_shown_has_the_documented_form() -> None:
    [block] = [block.text for block in PAGE.code() if block.language == "http"]
    body = json.loads(block.partition("\n\n")[2])
    assert problems(body["type"], "payload", body) == []


# -- the receivers -----------------------------------------------------------------------------------------------------


class Receiver:
    """A receiver that the docs show, run as a reader runs it. `printed` are the lines that it wrote."""

    def __init__(self, url: str, process: "subprocess.Popen[str]") -> None:
        self._url = url
        self._process = process

    def post(self, content: bytes, headers: Mapping[str, str]) -> int:
        return httpx.post(self._url, content=content, headers=headers, timeout=30, trust_env=False).status_code

    def printed(self) -> list[str]:
        self._process.terminate()
        return self._process.communicate(timeout=30)[0].splitlines()


def command(example: str, folder: Path) -> Sequence[str | Path]:
    """How an example is started from a folder that has what it imports."""
    shutil.copy(EXAMPLES / example, folder)
    if example.endswith(".py"):
        return sys.executable, folder / example
    node = shutil.which("node")
    if not node or not (PACKAGES / "standardwebhooks").exists():
        pytest.skip("node is not installed, or npm, which brings the package standardwebhooks")
    (folder / "node_modules").symlink_to(PACKAGES)
    return node, folder / example


@pytest.fixture(params=["receive_announcements.py", "receive_announcements.mjs"])
def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Receiver]:
    port = free_port()
    with subprocess.Popen(
        command(request.param, tmp_path),
        env={**os.environ, "ANNOUNCEMENT_SECRET": ANNOUNCEMENT_SECRET, "PORT": str(port)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert becomes_true(lambda: is_listening(port) or process.poll() is not None)
        yield Receiver(f"http://{LOOPBACK}:{port}/", process)
        process.kill()


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


@pytest.mark.parametrize("seed", range(3))
def test_a_receiver_ends_with_the_last_state_whatever_comes_when_and_how_often(receiver: Receiver, seed: int) -> None:
    arriving = [*LIFE, *LIFE, announcement(1, "user.enrolled", "u2", **WHOP)]
    random.Random(seed).shuffle(arriving)
    for each in arriving:
        assert receiver.post(*signed(each)) == 204
    lines = receiver.printed()
    assert [line for line in lines if line.startswith("u1 ")][-1] == "u1 user.restored user_1"
    assert [line for line in lines if line.startswith("u2 ")] == ["u2 user.enrolled user_1"]
    assert len(lines) == len(set(lines)), "a repetition changed something"


def test_a_receiver_refuses_what_another_secret_signed_what_is_old_and_what_was_changed(receiver: Receiver) -> None:
    content, headers = signed(LIFE[1])
    other = signed(LIFE[1], secret="whsec_" + "A" * 43 + "=")
    old = signed(LIFE[1], at=time.time() - 600)
    broken = {**headers, "webhook-signature": "v1"}
    for refused in (other, old, (content.replace(b"u1", b"u9"), headers), (content, broken), (content, {})):
        assert receiver.post(*refused) == 401
    assert receiver.printed() == []


@pytest.mark.parametrize("example", ["receive_announcements.py", "receive_announcements.mjs"])
def test_a_receiver_does_not_start_without_its_secret_rather_than_refuse_everything(
    example: str, tmp_path: Path
) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "ANNOUNCEMENT_SECRET"}
    started = subprocess.run(
        command(example, tmp_path),
        env={**environment, "PORT": str(free_port())},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert started.returncode == 1
    assert "ANNOUNCEMENT_SECRET" in started.stderr or "Expected secret to be" in started.stderr


def test_a_receiver_shows_why_a_user_was_not_enrolled(receiver: Receiver) -> None:
    assert receiver.post(*signed(announcement(1, "user.enrollment_failed", "u3", reason="whop_refused"))) == 204
    assert receiver.printed() == ["u3 user.enrollment_failed whop_refused"]


@pytest.mark.parametrize("example", ["receive_announcements.py", "receive_announcements.mjs"])
def test_a_receiver_is_short_enough_to_be_read(example: str) -> None:
    lines = (EXAMPLES / example).read_text().splitlines()
    assert len([line for line in lines if line]) <= 20
