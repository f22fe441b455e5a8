"""The senders that the docs show, run as a reader runs them, against the receiver behind a real HTTP server."""

import base64
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, cast

import pytest

from local_stack import ROOT
from whop_sync.aws.api_gateway import HttpAnswer
from whop_sync.events import UserEvent
from whop_sync.journal import Journal
from whop_sync.receiving.deliveries import Receiver
from whop_sync.receiving.platforms import configured

if TYPE_CHECKING:
    from whop_sync.aws.queues import Queue as SqsQueue

EXAMPLES = ROOT / "docs/examples"
SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
USER = {"id": "12345", "email": "ada@acme.test", "name": "Ada Lovelace", "avatar_url": "https://cdn.acme.test/ada.png"}

_NODE = f"""
import {{ send }} from '{EXAMPLES.as_uri()}/send_webhook.mjs';
await send(process.argv[1], JSON.parse(process.argv[2]));
"""

SENDERS = {
    "send_webhook.py": (
        sys.executable,
        "-c",
        "import json, sys; from send_webhook import send; send(sys.argv[1], json.loads(sys.argv[2]))",
    ),
    "send_webhook.mjs": (
        shutil.which("node") or "",
        "--input-type=module",
        "--eval",
        _NODE,
    ),
}


@dataclass
class Queue:
    """Keeps what is sent."""

    bodies: list[str] = field(default_factory=list)

    def send(self, body: str) -> None:
        self.bodies.append(body)


@pytest.fixture
def queue() -> Queue:
    return Queue()


@contextmanager
def served(answer: Callable[[BaseHTTPRequestHandler, str], HttpAnswer]) -> Iterator[str]:
    """The address of a server that answers each request with a function's answer (payload format 2.0)."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            found = answer(self, body)
            self.send_response(found["statusCode"])
            self.end_headers()
            self.wfile.write(found["body"].encode())

        do_GET = do_POST  # noqa: N815 - the base class looks for these names

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def url(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "WhopUserSync")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "stack")
    platform = configured({"PAYLOAD_PRESET": "standard"})
    sink = cast("SqsQueue", queue)
    receiver = Receiver(
        platform=platform,
        signing_keys=lambda: platform.scheme.keys(SECRET),
        created=sink,
        changed=sink,
        parked=sink,
        journal=Journal(),
        clock=time.time,
    )

    def answer(request: BaseHTTPRequestHandler, body: str) -> HttpAnswer:
        return receiver.answer({"headers": dict(request.headers.items()), "body": body, "isBase64Encoded": False})

    with served(answer) as origin:
        yield origin + "/webhooks"


def run(
    example: str, url: str, secret: str = SECRET, event_type: str = "user.created"
) -> "subprocess.CompletedProcess[str]":
    if not SENDERS[example][0]:
        pytest.skip("node is not installed")
    environment = {**os.environ, "WEBHOOK_URL": url, "WEBHOOK_SECRET": secret, "PYTHONPATH": str(EXAMPLES)}
    environment |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    command = [*SENDERS[example], event_type, json.dumps(USER)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("example", SENDERS)
def test_what_an_example_sends_is_stored(example: str, url: str, queue: Queue) -> None:
    result = run(example, url)
    assert result.returncode == 0, result.stderr
    [event] = map(UserEvent.from_json, queue.bodies)
    assert (event.kind, event.user_id, event.email) == ("created", "12345", "ada@acme.test")
    assert event.profile == {"name": "Ada Lovelace", "picture": "https://cdn.acme.test/ada.png"}


@pytest.mark.parametrize("example", SENDERS)
def test_an_example_fails_loudly_when_its_event_was_not_stored(example: str, url: str, queue: Queue) -> None:
    result = run(example, url, secret="whsec_" + base64.b64encode(b"another secret of enough bytes").decode())
    assert result.returncode != 0
    assert "401" in result.stderr
    assert queue.bodies == []


def test_every_sender_that_is_shown_is_run() -> None:
    assert set(SENDERS) == {path.name for path in EXAMPLES.glob("send_webhook.*")}


@pytest.mark.parametrize("example", SENDERS)
def test_an_example_is_short_enough_to_be_read(example: str) -> None:
    assert len((EXAMPLES / example).read_text().splitlines()) <= 15


def test_the_example_for_a_backend_signs_as_api_gateway_wants_it() -> None:
    asked: list[tuple[str, str, str]] = []

    def answer(request: BaseHTTPRequestHandler, body: str) -> HttpAnswer:
        scope = re.search(r"Credential=AKIDEXAMPLE/\d{8}/(\S+),", request.headers["authorization"])
        asked.append((f"{request.command} {request.path}", body, scope[1] if scope else ""))
        return {"statusCode": 200, "headers": {}, "body": json.dumps({"token": "t", "whop_user_id": "user_1"})}

    with served(answer) as origin:
        environment = {
            **os.environ,
            "USERS_URL": origin + "/users",
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "PYTHONPATH": str(EXAMPLES),
            "NO_PROXY": "127.0.0.1",
        }
        program = "import ask; print(ask.whop_user('shop 1')['whop_user_id'], ask.chat_token('u1'))"
        result = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
    assert result.stdout == "user_1 t\n", result.stderr
    scope = "us-east-1/execute-api/aws4_request"
    assert asked == [("GET /users/shop%201", "", scope), ("POST /users/u1/chat-token", "", scope)]
