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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, cast

import jwt
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives.asymmetric import rsa

from local_stack import ROOT
from whop_sync.aws.api_gateway import HttpAnswer
from whop_sync.aws.queues import EventQueues
from whop_sync.events import UserEvent
from whop_sync.journal import Journal
from whop_sync.receiving.deliveries import Receiver
from whop_sync.receiving.platforms import configured

if TYPE_CHECKING:
    from whop_sync.aws.queues import Queue as SqsQueue

EXAMPLES = ROOT / "docs/examples"
NODE_PACKAGES = ROOT / ".local/node/node_modules"
SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
USER = {"id": "12345", "email": "ada@acme.test", "name": "Ada Lovelace", "avatar_url": "https://cdn.acme.test/ada.png"}
EVENT = {"type": "user.created", "timestamp": "2026-01-05T09:30:00Z", "data": USER}

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

        do_GET = do_PUT = do_POST  # noqa: N815 - the base class looks for these names

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def url(queue: Queue) -> Iterator[str]:
    platform = configured({"PAYLOAD_PRESET": "standard"})
    sink = cast("SqsQueue", queue)
    receiver = Receiver(
        platform=platform,
        signing_keys=lambda: platform.scheme.keys(SECRET),
        queues=EventQueues(created=sink, changed=sink),
        parked=sink,
        journal=Journal(),
        clock=time.time,
    )

    def answer(request: BaseHTTPRequestHandler, body: str) -> HttpAnswer:
        return receiver.answer({"headers": dict(request.headers.items()), "body": body, "isBase64Encoded": False})

    with served(answer) as origin:
        yield origin + "/webhooks"


def run(example: str, url: str, secret: str = SECRET) -> "subprocess.CompletedProcess[str]":
    if not SENDERS[example][0]:
        pytest.skip("node is not installed")
    command = [*SENDERS[example], "msg_1", json.dumps(EVENT)]
    return subprocess.run(
        command, env=environment(url, secret), capture_output=True, text=True, timeout=60, check=False
    )


def environment(url: str, secret: str = SECRET, **more: str) -> dict[str, str]:
    without_proxy = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    path = os.pathsep.join([str(EXAMPLES), str(EXAMPLES / "relays")])
    return {**os.environ, **without_proxy, "WEBHOOK_URL": url, "WEBHOOK_SECRET": secret, "PYTHONPATH": path, **more}


@pytest.mark.parametrize("example", SENDERS)
def test_what_an_example_sends_is_stored(example: str, url: str, queue: Queue) -> None:
    result = run(example, url)
    assert result.returncode == 0, result.stderr
    [event] = map(UserEvent.from_json, queue.bodies)
    assert (event.kind, event.user_id, event.email) == ("created", "12345", "ada@acme.test")
    assert event.event_id == "msg_1"
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


ASKERS = {
    "py": "import ask; print(ask.whop_user('shop 1')['whop_user_id'], ask.chat_token('u1'));"
    " ask.ask('PUT', '/users/u1', type='user.created')",
    "mjs": "import { ask, chatToken, whopUser } from './ask.mjs';"
    "console.log((await whopUser('shop 1')).whop_user_id, await chatToken('u1'));"
    "await ask('PUT', '/users/u1', { type: 'user.created' })",
}


def runner(example: str, folder: Path) -> Sequence[str]:
    """How a program that imports an example of this ending is run, from a folder that has what it imports."""
    if example == "py":
        return sys.executable, "-c"
    node = shutil.which("node")
    if not node or not (NODE_PACKAGES / "@smithy" / "signature-v4").exists():
        pytest.skip("node is not installed, or npm, which brings the packages that sign")
    (folder / "node_modules").symlink_to(NODE_PACKAGES)
    shutil.copy(EXAMPLES / "ask.mjs", folder)
    return node, "--input-type=module", "-e"


def is_signed(request: BaseHTTPRequestHandler, body: str) -> bool:
    """Whether AWS's own library, given the same request and time, comes to the same signature."""
    proof = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/\d{8}/us-east-1/execute-api/aws4_request,"
        r" SignedHeaders=(\S+), Signature=(\S+)",
        request.headers["authorization"],
    )
    assert proof, request.headers["authorization"]
    headers = {name: request.headers[name] for name in proof[1].split(";") if name != "host"}
    url = f"http://{request.headers['host']}{request.path}"
    again = AWSRequest(request.command, url, headers, body.encode())
    again.context["timestamp"] = request.headers["x-amz-date"]
    signer = SigV4Auth(Credentials("AKIDEXAMPLE", "secret"), "execute-api", "us-east-1")
    text = signer.string_to_sign(again, signer.canonical_request(again))
    return bool(signer.signature(text, again) == proof[2])


@pytest.mark.parametrize("example", ASKERS)
def test_the_example_for_a_backend_signs_as_api_gateway_wants_it(example: str, tmp_path: Path) -> None:
    asked: list[tuple[str, str, bool]] = []

    def answer(request: BaseHTTPRequestHandler, body: str) -> HttpAnswer:
        asked.append((f"{request.command} {request.path}", body, is_signed(request, body)))
        return {"statusCode": 200, "headers": {}, "body": json.dumps({"token": "t", "whop_user_id": "user_1"})}

    command = runner(example, tmp_path)
    with served(answer) as origin:
        settings = environment(
            "",
            USERS_URL=origin + "/users",
            AWS_ACCESS_KEY_ID="AKIDEXAMPLE",
            AWS_SECRET_ACCESS_KEY="secret",
            AWS_DEFAULT_REGION="us-east-1",
        )
        result = subprocess.run(
            [*command, ASKERS[example]],
            cwd=tmp_path,
            env=settings,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (result.returncode, result.stdout) == (0, "user_1 t\n"), result.stderr
    put = "".join(body for line, body, _ in asked if line.startswith("PUT"))
    assert json.loads(put) == {"type": "user.created"}
    assert asked == [
        ("GET /users/shop%201", "", True),
        ("POST /users/u1/chat-token", "", True),
        ("PUT /users/u1", put, True),
    ]


# -- relays for platforms that sign with keys of their own or send no webhooks -----------------------------------------


@dataclass(frozen=True)
class Issuer:
    """A platform that signs tokens and publishes its key at `url`."""

    key: rsa.RSAPrivateKey
    url: str

    def token(self, claims: dict[str, object], key: rsa.RSAPrivateKey | None = None) -> str:
        return jwt.encode(claims, key or self.key, algorithm="RS256", headers={"kid": "k1"})


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    document = json.dumps({"keys": [{**public, "kid": "k1", "use": "sig", "alg": "RS256"}]})

    def answer(*_: object) -> HttpAnswer:
        return {"statusCode": 200, "headers": {}, "body": document}

    with served(answer) as origin:
        yield Issuer(key, origin + "/jwks")


def relay(module: str, request: object, url: str, **settings: str) -> tuple[object, str]:
    """What a relay's handler returns, and what it printed."""
    program = (
        f"import json, sys; from {module} import handler;"
        " returned = handler(json.loads(sys.argv[1]), None); print(json.dumps(returned))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, json.dumps(request)],
        env=environment(url, **settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    *printed, returned = result.stdout.splitlines()
    return json.loads(returned), "\n".join(printed)


@pytest.mark.parametrize("kind", ["created", "updated", "deleted"])
def test_kindes_tokens_become_events(kind: str, url: str, issuer: Issuer, queue: Queue) -> None:
    user = {"id": "kp_1"}
    if kind != "deleted":
        user |= {"email": "ada@acme.test", "first_name": "Ada", "last_name": "Lovelace"}
    claims: dict[str, object] = {
        "type": f"user.{kind}",
        "event_id": "event_1",
        "event_timestamp": "2026-01-05T09:30:00Z",
        "data": {"user": user},
    }
    answer, _ = relay("kinde", {"body": issuer.token(claims)}, url, KINDE_JWKS_URL=issuer.url)
    assert answer == {"statusCode": 200}
    [event] = map(UserEvent.from_json, queue.bodies)
    assert (event.kind, event.user_id, event.event_id) == (kind, "kp_1", "event_1")
    assert event.email == (None if kind == "deleted" else "ada@acme.test")
    assert event.profile.get("name") == (None if kind == "deleted" else "Ada Lovelace")


@pytest.mark.parametrize(
    ("evt", "kind"),
    [("user.create", "created"), ("user.update.email.primary", "updated"), ("user.delete", "deleted")],
)
def test_hankos_tokens_become_events(evt: str, kind: str, url: str, issuer: Issuer, queue: Queue) -> None:
    emails = [{"address": "old@acme.test"}, {"address": "ada@acme.test", "is_primary": True}]
    now = int(time.time())
    claims: dict[str, object] = {
        "evt": evt,
        "iat": now,
        "exp": now + 300,
        "aud": ["somewhere"],
        "data": {"id": "h1", "emails": emails, "updated_at": "2026-01-05T09:30:00Z"},
    }
    answer, _ = relay("hanko", {"body": json.dumps({"token": issuer.token(claims)})}, url, HANKO_JWKS_URL=issuer.url)
    assert answer == {"statusCode": 200}
    [event] = map(UserEvent.from_json, queue.bodies)
    assert (event.kind, event.user_id) == (kind, "h1")
    assert event.email == (None if kind == "deleted" else "ada@acme.test")


@pytest.mark.parametrize(("module", "setting"), [("kinde", "KINDE_JWKS_URL"), ("hanko", "HANKO_JWKS_URL")])
def test_a_token_of_another_key_is_refused(module: str, setting: str, url: str, issuer: Issuer, queue: Queue) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    forged = issuer.token({"type": "user.created", "evt": "user.create"}, other)
    body = forged if module == "kinde" else json.dumps({"token": forged})
    answer, _ = relay(module, {"body": body}, url, **{setting: issuer.url})
    assert answer == {"statusCode": 401}
    assert queue.bodies == []


COGNITO = {
    "triggerSource": "PostConfirmation_ConfirmSignUp",
    "request": {
        "userAttributes": {"sub": "c1", "email": "ada@acme.test", "given_name": "Ada", "family_name": "Lovelace"}
    },
}


def test_cognitos_sign_ups_become_events_and_its_changed_passwords_do_not(url: str, queue: Queue) -> None:
    assert relay("cognito", COGNITO, url)[0] == COGNITO
    changed = {**COGNITO, "triggerSource": "PostConfirmation_ConfirmForgotPassword"}
    assert relay("cognito", changed, url)[0] == changed
    [event] = map(UserEvent.from_json, queue.bodies)
    assert (event.kind, event.user_id, event.profile["name"]) == ("created", "c1", "Ada Lovelace")


def test_a_sign_up_at_cognito_goes_on_when_its_event_cannot_be_sent() -> None:
    answer, printed = relay("cognito", COGNITO, "http://127.0.0.1:9/webhooks")
    assert answer == COGNITO
    assert printed.startswith("not sent:")
    assert "ada" not in printed


def test_firebases_functions_send_sign_ups_changes_and_deletions(url: str, queue: Queue, tmp_path: Path) -> None:
    node = shutil.which("node")
    if not node:
        pytest.skip("node is not installed")
    # Given Firebase's library as far as the relay uses it: a trigger is its handler
    library = tmp_path / "node_modules" / "firebase-functions"
    library.mkdir(parents=True)
    (library / "package.json").write_text('{"name": "firebase-functions", "exports": {"./v1": "./v1.mjs"}}')
    (library / "v1.mjs").write_text("export const auth = {user: () => ({onCreate: (f) => f, onDelete: (f) => f})};")
    for name in ("send_webhook.mjs", "relays/firebase.mjs"):
        shutil.copy(EXAMPLES / name, tmp_path)
    program = """
        import { created, changed, deleted } from "./firebase.mjs";
        const user = { uid: "f1", email: "ada@acme.test", displayName: "Ada" };
        await created(user, { eventId: "e1", timestamp: "2026-01-05T09:30:00Z" });
        await changed({ ...user, displayName: "Ada King" });
        await deleted(user, { eventId: "e2", timestamp: "2026-02-05T09:30:00Z" });
    """
    command = [node, "--input-type=module", "--eval", program]
    result = subprocess.run(
        command, cwd=tmp_path, env=environment(url), capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    events = [UserEvent.from_json(body) for body in queue.bodies]
    assert [(event.kind, event.user_id) for event in events] == [
        (kind, "f1") for kind in ("created", "updated", "deleted")
    ]
    assert [event.profile.get("name") for event in events] == ["Ada", "Ada King", None]


def test_every_relay_is_run() -> None:
    assert {path.name for path in (EXAMPLES / "relays").iterdir() if path.is_file()} == {
        "cognito.py",
        "firebase.mjs",
        "hanko.py",
        "kinde.py",
    }
