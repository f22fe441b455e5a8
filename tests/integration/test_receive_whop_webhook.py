"""`POST /whop-webhooks` by its real app.py, with the environment of template.yaml: from the fake Whop that signs and
sends over HTTP to a message in a real queue."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any

import httpx
import pytest

from fake_whop import PLATFORM_COMPANY, PLATFORM_KEY, FakeWhop, Sent, Switches
from harness import Later
from harness.openapi import check_answer
from harness.template_stack import Surroundings, load
from local_stack import ROOT
from local_stack.engine import Engine
from whop_sync.announcements import Announcement
from whop_sync.receiving.whop_webhooks import EVENTS

SWITCHED_ON = {"AnnounceTo": "webhook", "PlatformUrl": "https://shop.test/announcements", "WhopWebhooks": "true"}
TWO_MINUTES = 121.0


@contextmanager
def served(app: ModuleType) -> Iterator[str]:
    """The function behind HTTP, as API Gateway hands requests over."""

    class Gateway(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            answer = app.handler(
                {
                    "version": "2.0",
                    "routeKey": "POST /whop-webhooks",
                    "rawPath": self.path,
                    "rawQueryString": "",
                    "headers": {name.lower(): value for name, value in self.headers.items()},
                    "requestContext": {"http": {"method": "POST", "path": self.path}},
                    "body": body,
                    "isBase64Encoded": False,
                },
                None,
            )
            check_answer("POST /whop-webhooks", answer)
            self.send_response(answer["statusCode"])
            self.send_header("content-length", str(len(answer["body"])))
            self.end_headers()
            self.wfile.write(answer["body"].encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/whop-webhooks"
        server.shutdown()


class Stage:
    """A fake Whop with a connected account and a webhook, and the function that takes it."""

    def __init__(self, whop: FakeWhop, surroundings: Surroundings, url: str) -> None:
        self.whop = whop
        self._surroundings = surroundings
        self._api = httpx.Client(
            base_url=whop.api_url,
            headers={"Authorization": f"Bearer {PLATFORM_KEY}", "Api-Version-Date": "2026-09-23"},
            trust_env=False,
        )
        self.account = self._made("/accounts", email="ann@people.test", title="Ann Unseen (u1)")["id"]
        self.hook = self._made(
            "/webhooks",
            url=url,
            events=[*EVENTS, "payment.succeeded"],
            child_resource_events=True,
            api_version_date="2026-09-23",
        )

    def _made(self, path: str, **body: object) -> Any:
        answer = self._api.post(path, json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def store(self, *secrets: str) -> None:
        self._surroundings.set_secret("whop-webhook-secrets", json.dumps(secrets))

    def emit(self, event: str) -> Sent:
        [sent] = self.whop.emit(event, self.account)
        return sent

    def queued(self) -> list[Announcement]:
        """What lies in the queue of announcements, taken out of it."""
        return [Announcement.from_json(each["Body"]) for each in self._surroundings.messages("announcements")]


type Start = Callable[[dict[str, str]], ModuleType]


@pytest.fixture
def surroundings(engine: Engine) -> Surroundings:
    return Surroundings(engine, SWITCHED_ON)


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Start:
    def start(environment: dict[str, str]) -> ModuleType:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return load(ROOT / "functions" / "receive_whop_webhook" / "app.py")

    return start


@pytest.fixture
def stage(surroundings: Surroundings, start: Start, later: Later) -> Iterator[Stage]:  # noqa: ARG001 - the clock first
    environment = surroundings.environment("receive_whop_webhook")
    switches = Switches(private_webhook_urls="allowed")
    with served(start(environment)) as url, FakeWhop(switches=switches) as whop:
        yield Stage(whop, surroundings, url)


def test_every_event_that_matters_arrives_in_the_queue_of_announcements(stage: Stage) -> None:
    stage.store(stage.hook["webhook_secret"])
    sent = {event: stage.emit(event) for event in EVENTS}
    assert all(each.attempts == (200,) for each in sent.values())
    found = {each.type: each for each in stage.queued()}
    assert set(found) == {f"whop.{event}" for event in EVENTS}
    for event, each in sent.items():
        announcement = found[f"whop.{event}"]
        assert announcement.id == f"whop_{each.id}"
        assert announcement.data["whop_company_id"] == stage.account
        assert announcement.user_id is None
        for private in ("Ann", "Unseen", "people.test", "Quiet", "Berlin", "1990", "125.5"):
            assert private not in announcement.to_json()


def test_another_event_is_answered_200_and_stored_nowhere(stage: Stage) -> None:
    stage.store(stage.hook["webhook_secret"])
    assert stage.emit("payment.succeeded").attempts == (200,)
    assert stage.queued() == []


def test_a_repetition_is_stored_under_the_id_of_the_first(stage: Stage) -> None:
    stage.store(stage.hook["webhook_secret"])
    again = stage.whop.send_again(stage.emit("payout.created"))
    assert again.attempts == (200, 200)
    first, second = stage.queued()
    assert first == second


def test_until_the_secret_is_set_whop_is_asked_to_send_again_and_nothing_is_lost(stage: Stage, later: Later) -> None:
    sent = stage.emit("verification.succeeded")
    assert sent.attempts == (503,)
    assert stage.queued() == []
    stage.store(stage.hook["webhook_secret"])
    later.seconds += TWO_MINUTES
    assert stage.whop.send_again(sent).attempts == (503, 200)
    assert [each.id for each in stage.queued()] == [f"whop_{sent.id}"]


def test_a_secret_is_rotated_without_a_webhook_refused(stage: Stage, later: Later) -> None:
    old = stage.hook["webhook_secret"]
    stage.store(old)
    assert stage.emit("payout.created").delivered
    new = stage.whop.rotate_webhook_secret(stage.hook["id"])
    assert stage.emit("payout.created").delivered  # signed with both
    stage.store(new, old)
    later.seconds += TWO_MINUTES
    assert stage.emit("payout.created").delivered
    stage.store(new)
    later.seconds += TWO_MINUTES
    assert stage.emit("payout.created").delivered
    assert len(stage.queued()) == 4


def test_a_webhook_of_another_secret_is_refused_and_stored_nowhere(stage: Stage) -> None:
    stage.store("ws_" + "0" * 64)
    assert stage.emit("payout.created").attempts == (401,)
    assert stage.queued() == []


def test_a_queue_that_is_gone_is_answered_503(surroundings: Surroundings, start: Start, later: Later) -> None:  # noqa: ARG001
    environment = surroundings.environment("receive_whop_webhook")
    gone = {"ANNOUNCEMENTS_QUEUE_URL": environment["ANNOUNCEMENTS_QUEUE_URL"] + "-gone"}
    switches = Switches(private_webhook_urls="allowed")
    with (
        served(start({**environment, **gone})) as url,
        FakeWhop(switches=switches) as whop,
    ):
        stage = Stage(whop, surroundings, url)
        stage.store(stage.hook["webhook_secret"])
        assert stage.emit("payout.created").attempts == (503,)


@pytest.mark.parametrize("setting", ["ANNOUNCEMENTS_QUEUE_URL", "WHOP_WEBHOOK_SECRETS_ARN"])
def test_a_setting_that_is_missing_is_named_in_the_log_and_whop_is_asked_to_send_again(
    surroundings: Surroundings, start: Start, setting: str, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = {**surroundings.environment("receive_whop_webhook"), setting: ""}
    answer = start(environment).handler({"headers": {}, "body": ""}, None)
    assert (answer["statusCode"], answer["headers"]["retry-after"]) == (503, "5")
    assert f"{setting} is not set" in capsys.readouterr().out


def test_it_belongs_to_the_platform_that_has_the_webhook(stage: Stage) -> None:
    """The events of the own account are not those of the connected ones."""
    assert stage.whop.emit("account.updated", PLATFORM_COMPANY) == []
