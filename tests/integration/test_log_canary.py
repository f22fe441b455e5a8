"""Nothing that a user, the platform or Whop wrote, and no secret, is ever logged, counted or answered.

Everything that goes through the functions here carries the word below: secrets, addresses, names, picture URLs, bodies,
headers, what Whop says and what errors quote. The real app.py runs in a process of its own, with every logger at its
most talkative, and all that it prints or answers is searched.
"""

import base64
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fake_whop import PLATFORM_COMPANY, FakeWhop
from harness import created, event
from harness.lambda_process import AWS
from harness.template_stack import Surroundings
from local_stack import IMPORT_PATH, ROOT
from local_stack.engine import Engine
from local_stack.pictures import running_pictures
from local_stack.processes import bare_environment
from local_stack.sending import Delivery
from local_stack.serving import serving
from whop_sync.announcements import Announcement
from whop_sync.events import UserEvent
from whop_sync.standard_webhooks import sign

WORD = "canary"
SECRET = "whsec_" + base64.b64encode(WORD.encode() * 5).decode()
API_KEY = f"apik_{WORD}_key"
NAME, ADDRESS = f"Ann {WORD}", f"{WORD}@people.test"
URL = f"https://{WORD}.invalid/{WORD}.png"


def forms_of(word: str) -> Iterator[str]:
    """The word as base64 shows it at each of its three offsets, and as hex."""
    for offset in range(3):
        text = base64.b64encode(b"\0" * offset + word.encode()).decode()
        yield text[-(-offset * 8 // 6) : (offset + len(word)) * 8 // 6]
    yield word.encode().hex()


def leaks(text: str, also: Sequence[str] = ()) -> list[str]:
    """The lines that hold anything of what must not be printed."""
    needles = (*forms_of(WORD), *also)
    return [line for line in text.splitlines() if WORD in line.casefold() or any(needle in line for needle in needles)]


@dataclass
class Ended:
    """What one environment of a function printed and answered."""

    output: str
    answers: list[Any] = field(default_factory=list)

    @property
    def all(self) -> str:
        return self.output + "\n" + json.dumps(self.answers)


def run(app: Path, environment: dict[str, str], folder: Path, *steps: dict[str, Any]) -> Ended:
    answers = folder / "answers.json"
    answers.unlink(missing_ok=True)
    outcome = subprocess.run(
        [sys.executable, "-m", "harness.lambda_process", app, answers],
        input=json.dumps(steps),
        env={
            **bare_environment(),
            "PYTHONPATH": IMPORT_PATH,
            **environment,
            "POWERTOOLS_LOG_LEVEL": "DEBUG",
            "AWS_LAMBDA_LOG_LEVEL": "DEBUG",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return Ended(outcome.stdout, json.loads(answers.read_text()) if answers.exists() else [])


def of_function(name: str) -> Path:
    return ROOT / "functions" / name / "app.py"


def step(given: dict[str, Any], sabotage: str | None = None) -> dict[str, Any]:
    return {"event": given, "sabotage": sabotage}


# -- the receiver ------------------------------------------------------------------------------------------------------


def document(**data: Any) -> bytes:
    user = {"id": "u1", "email": ADDRESS, "name": NAME, "avatar_url": URL, "bio": WORD, **data}
    return json.dumps({"type": "user.created", "timestamp": "2026-03-01T10:00:00Z", "data": user}).encode()


def http(content: bytes, headers: Mapping[str, str] | None = None, *, encoded: bool = False) -> dict[str, Any]:
    signed = Delivery(content, "msg_1").headers(secret=SECRET) if not encoded else {}
    return {
        "headers": {**signed, "user-agent": WORD, "cookie": WORD, **(headers or {})},
        "rawPath": f"/{WORD}",
        "rawQueryString": WORD,
        "body": content.decode(),
        "isBase64Encoded": encoded,
        "requestContext": {"http": {"sourceIp": "192.0.2.1", "userAgent": WORD}},
    }


UNREADABLE = (
    f"{WORD} is not JSON".encode(),
    f'["{WORD}"]'.encode(),
    f'{{"type": ["{WORD}"]}}'.encode(),
    document(id=None),
    document(id=WORD * 60),
    document(id=[WORD]),
    document(email={WORD: WORD}),
    document(name=[[WORD], 5]),
    document(avatar_url={WORD: 1}),
    document(updated_at=WORD),
    document(updated_at="9999-01-01T00:00:00Z"),
    document(whop_user_id=WORD),
    f'{{"type": "user.created", "{WORD}": {"[" * 100_000}'.encode(),
)

REFUSED = (
    {"webhook-signature": f"v1,{WORD}"},
    {"webhook-signature": f"v1,{base64.b64encode(WORD.encode() * 6).decode()}"},
    {"webhook-signature": f"{WORD} {WORD}"},
    {"webhook-timestamp": WORD},
    {"webhook-timestamp": "1"},
    {"webhook-id": f"{WORD} {ADDRESS}"},  # what looks like an id is logged, as a claim
    {"webhook-id": ""},
)

RECEIVER_PARTS = (
    "whop_sync.receiving.deliveries.parse",
    "whop_sync.receiving.deliveries.read",
    "whop_sync.receiving.deliveries.raw_body",
    "whop_sync.receiving.signatures.Standard.verify",
    "whop_sync.aws.queues.Queue.send",
    "whop_sync.aws.queues.Queue.park",
    "whop_sync.journal.Journal.delivery",
    "whop_sync.aws.secrets.Secret.text",
    AWS,
)


@pytest.fixture
def surroundings(engine: Engine) -> Surroundings:
    surroundings = Surroundings(engine)
    surroundings.set_signing_secrets(SECRET)
    return surroundings


def test_the_receiver_reveals_nothing_whatever_it_is_sent(surroundings: Surroundings, tmp_path: Path) -> None:
    # Given deliveries that are accepted, ignored, unreadable, forged, spoilt, and a parked one that comes again
    genuine = http(document())
    redelivery = {"body": "", "event_id": "msg_1", "headers": {"x": WORD}, "received_at": 1.0}
    steps = [
        step(genuine),
        step(http(document().replace(b"user.created", f"user {WORD}".encode()))),
        *(step(http(body)) for body in UNREADABLE),
        *(step(http(document(), headers)) for headers in REFUSED),
        step({**genuine, "headers": None}),
        step(http(f"{WORD}!".encode(), encoded=True)),
        step(http(WORD.encode() * 100_000)),
        *(
            step({"redelivery": {**redelivery, "body": base64.b64encode(body).decode()}})
            for body in (document(), *UNREADABLE)
        ),
        step({"redelivery": {**redelivery, "body": f"{WORD}!"}}),
    ]
    ended = run(of_function("receive_webhook"), surroundings.environment("receive_webhook"), tmp_path, *steps)
    # Then all of them are answered, none by an error, and no word of theirs nor their signature is logged
    assert len(ended.answers) == len(steps)
    statuses = [answer.get("statusCode") for answer in ended.answers]
    assert statuses[: 2 + len(UNREADABLE)] == [200] * (2 + len(UNREADABLE))
    assert {status for status in statuses if status} == {200, 401, 413}
    assert leaks(ended.all, also=[genuine["headers"]["webhook-signature"].removeprefix("v1,")]) == []


def test_the_receiver_reveals_nothing_when_its_parts_fail(surroundings: Surroundings, tmp_path: Path) -> None:
    # Given that each part in turn fails with an error that quotes what it was given: AWS when the secrets are still to
    # be read, and again when they are known
    bodies = (document(), UNREADABLE[0])
    steps = [step(http(body), part) for part in (AWS, *RECEIVER_PARTS) for body in bodies]
    ended = run(of_function("receive_webhook"), surroundings.environment("receive_webhook"), tmp_path, *steps)
    # Then the sender learns that it has to come again, and nothing more
    assert {answer["statusCode"] for answer in ended.answers} <= {200, 500, 503}
    assert len([answer for answer in ended.answers if answer["statusCode"] == 500]) >= len(RECEIVER_PARTS)
    assert leaks(ended.all) == []


@pytest.mark.parametrize(
    "value",
    [
        f"whsec_{WORD}",
        f'["{WORD}',
        json.dumps([WORD]),
        json.dumps(["whsec_" + base64.b64encode(WORD.encode()).decode()]),
    ],
)
def test_a_signing_secret_that_cannot_be_right_is_not_logged(engine: Engine, tmp_path: Path, value: str) -> None:
    surroundings = Surroundings(engine)
    surroundings.set_secret("webhook-signing-secrets", value)
    ended = run(
        of_function("receive_webhook"), surroundings.environment("receive_webhook"), tmp_path, step(http(document()))
    )
    assert [answer["statusCode"] for answer in ended.answers] == [503]
    assert leaks(ended.all) == []


# -- the receiver of Whop's webhooks -----------------------------------------------------------------------------------

WHOP_SECRET = "ws_" + "0123456789abcdef" * 4
WHOP_PARTS = (
    "whop_sync.receiving.whop_webhooks.raw_body",
    "whop_sync.receiving.whop_webhooks.read",
    "whop_sync.receiving.signatures.Standard.verify",
    "whop_sync.aws.queues.Queue.send",
    "whop_sync.journal.Journal.whop_webhook",
    "whop_sync.aws.secrets.Secret.text",
    AWS,
)


def of_whop(event: str = "payout_account.status_updated", **changed: object) -> bytes:
    person = {"first_name": NAME, "email": ADDRESS, "address": {"line1": WORD}, "metadata": {WORD: WORD}}
    data = {"id": "poact_1", "status": "connected", "business_representative": person, **person}
    envelope = {"id": "msg_1", "type": event, "account_id": "biz_1", "previous_attributes": {WORD: WORD}, "data": data}
    return json.dumps(envelope | changed).encode()


def http_of_whop(content: bytes, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    at = str(int(time.time()))
    proven = {
        "webhook-id": "msg_1",
        "webhook-timestamp": at,
        "webhook-signature": f"v1,{sign(WHOP_SECRET.encode(), 'msg_1', at, content)}",
    }
    return {**http(content), "headers": {**proven, "user-agent": WORD, **(headers or {})}}


WHOP_ODD = (
    f"{WORD} is not JSON".encode(),
    f'["{WORD}"]'.encode(),
    f'{{"type": ["{WORD}"]}}'.encode(),
    of_whop(event=f"of {WORD}"),
    of_whop(account_id=f"{WORD}@people.test"),
    of_whop(data=WORD),
    of_whop(data={"id": f"id of {WORD}", "status": f"said {WORD}", "latest_verification": WORD}),
    of_whop(timestamp=WORD),
)


@pytest.fixture
def of_whops(engine: Engine) -> Surroundings:
    switched_on = {"AnnounceTo": "webhook", "PlatformUrl": "https://shop.test/announcements", "WhopWebhooks": "true"}
    surroundings = Surroundings(engine, switched_on)
    surroundings.set_secret("whop-webhook-secrets", WHOP_SECRET)
    return surroundings


def test_of_whops_webhooks_nothing_private_is_logged_or_announced(of_whops: Surroundings, tmp_path: Path) -> None:
    steps = [
        step(http_of_whop(of_whop())),
        *(step(http_of_whop(body)) for body in WHOP_ODD),
        *(step(http_of_whop(of_whop(), headers)) for headers in REFUSED),
    ]
    environment = of_whops.environment("receive_whop_webhook")
    ended = run(of_function("receive_whop_webhook"), environment, tmp_path, *steps)
    statuses = [answer["statusCode"] for answer in ended.answers]
    assert statuses == [200] * (1 + len(WHOP_ODD)) + [401] * len(REFUSED)
    assert leaks(ended.all, also=[WHOP_SECRET, WHOP_SECRET.removeprefix("ws_")]) == []
    announced = [message["Body"] for message in of_whops.messages("announcements")]
    assert len(announced) == 3
    assert leaks("\n".join(announced)) == []


def test_the_receiver_of_whops_webhooks_reveals_nothing_when_its_parts_fail(
    of_whops: Surroundings, tmp_path: Path
) -> None:
    steps = [step(http_of_whop(body), part) for part in (AWS, *WHOP_PARTS) for body in (of_whop(), WHOP_ODD[0])]
    environment = of_whops.environment("receive_whop_webhook")
    ended = run(of_function("receive_whop_webhook"), environment, tmp_path, *steps)
    assert {answer["statusCode"] for answer in ended.answers} <= {200, 500, 503}
    assert len([answer for answer in ended.answers if answer["statusCode"] == 500]) >= len(WHOP_PARTS)
    assert leaks(ended.all, also=[WHOP_SECRET]) == []


@pytest.mark.parametrize("value", [f"whsec_{WORD}", f'["{WORD}', json.dumps([f"ws_{WORD}", WORD])])
def test_a_secret_of_whops_webhooks_that_cannot_be_right_is_not_logged(
    of_whops: Surroundings, tmp_path: Path, value: str
) -> None:
    of_whops.set_secret("whop-webhook-secrets", value)
    environment = of_whops.environment("receive_whop_webhook")
    ended = run(of_function("receive_whop_webhook"), environment, tmp_path, step(http_of_whop(of_whop())))
    assert [answer["statusCode"] for answer in ended.answers] == [503]
    assert leaks(ended.all) == []


# -- the workers -------------------------------------------------------------------------------------------------------


def batch(*events: UserEvent | str) -> dict[str, Any]:
    return {
        "Records": [
            {
                "messageId": f"m{number}",
                "receiptHandle": f"r{number}",
                "body": each if isinstance(each, str) else each.to_json(),
                "attributes": {"SentTimestamp": str(int(time.time() * 1000)), "ApproximateReceiveCount": "1"},
            }
            for number, each in enumerate(events)
        ]
    }


def marked(user_id: str, version: int = 1, **profile: str | None) -> UserEvent:
    return created(user_id, version, email=f"{user_id}.{ADDRESS}", **{"name": NAME, **profile})


def words_in(surroundings: Surroundings) -> list[str]:
    """What the table holds of what it must not hold."""
    [table] = [
        name
        for name in surroundings.engine.dynamodb.meta.client.list_tables()["TableNames"]
        if surroundings.stack in name
    ]
    return leaks("\n".join(map(str, surroundings.engine.dynamodb.Table(table).scan()["Items"])))


WORKER_PARTS = (
    "whop_sync.events.UserEvent.from_json",
    "whop_sync.syncing.synchronization.Synchronization.handle",
    "whop_sync.users.mappings.Mappings.claim",
    "whop_sync.users.mappings.Mappings.record_account",
    "whop_sync.users.mappings.Mappings.commit",
    "whop_sync.syncing.profiles.Profiles.apply",
    "whop_sync.pictures.fetching.PictureFetcher.fetch",
    "whop_sync.whop.client.Whop._call",
    "whop_sync.whop.client.Whop._send",
    "httpx.Client.request",
    "httpcore.ConnectionPool.handle_request",
    "socket.getaddrinfo",
    "whop_sync.aws.queues.Queue.park",
    "whop_sync.aws.queues.Queue.postpone",
    "whop_sync.journal.Journal.event",
    "whop_sync.journal.Journal.whop_call",
    AWS,
)


@pytest.mark.parametrize("function", ["user_created", "profile_updated"])
def test_a_worker_reveals_nothing_of_what_it_does(engine: Engine, tmp_path: Path, function: str) -> None:
    with FakeWhop(api_key=API_KEY) as whop, running_pictures() as pictures:
        surroundings = Surroundings(
            engine,
            {
                "WhopCompanyId": PLATFORM_COMPANY,
                "WhopApiUrl": whop.api_url,
                "PictureAllowedOrigin": pictures.origin,
            },
        )
        surroundings.set_secret("whop-api-key", API_KEY)
        # Given users who are enrolled, changed, refused for their address or picture, or share one address
        picture = f"{pictures.origin}/aa00aa.png?{WORD}"
        refused = (
            URL,
            f"http://{WORD}.test/a.png",
            f"https://{WORD}:{WORD}@people.test/a.png",
            f"{WORD} is no URL",
            f"https://127.0.0.1/{WORD}",
            f"{pictures.origin}/{WORD}.png",
            f"https://{'x' * 70}.{WORD}",
        )
        events: list[UserEvent | str] = [
            marked("u1", picture=picture),
            marked("u1", 2, name=f"Bea {WORD}", picture=None),
            marked("u1", 1),
            created("u2", email=f"{WORD}@example.com", name=NAME),
            created("u3", email=None, name=NAME),
            event("u4", email=None, name=NAME),
            created("u5", email=f"u1.{ADDRESS}", name=NAME),
            created("u6", name=NAME, whop_user_id="user_unknown"),
            *(marked(f"p{number}", picture=url) for number, url in enumerate(refused)),
            WORD,
            json.dumps({WORD: WORD}),
            json.dumps({"kind": WORD, "user_id": [WORD]}),
        ]
        ended = run(of_function(function), surroundings.environment(function), tmp_path, *map(step, map(batch, events)))
        # Then they end as they should, and neither log nor metrics nor table hold a word
        assert len(ended.answers) == len(events)
        for outcome in ('"enrolled"', '"synced"', '"stale"', "no_email", "whop_user_taken"):
            assert outcome in ended.output
        assert leaks(ended.all) == []
        assert words_in(surroundings) == []

        # And when each part in turn fails with an error that quotes what it was given, still nothing is logged
        steps = [
            step(batch(marked(f"s{number}", picture=picture), created(f"t{number}", email=None, name=NAME), WORD), part)
            for number, part in enumerate(WORKER_PARTS)
        ]
        ended = run(of_function(function), surroundings.environment(function), tmp_path, *steps)
        assert all("batchItemFailures" in answer for answer in ended.answers)
        assert ended.output.count('"crash"') >= len(WORKER_PARTS) - 3
        assert leaks(ended.all) == []
        assert words_in(surroundings) == []


# -- the request that enrolls ------------------------------------------------------------------------------------------


def request(user_id: str, content: bytes | None = None, **data: Any) -> dict[str, Any]:
    body = content if content is not None else document(id=user_id, email=f"{user_id}.{ADDRESS}", **data)
    return {**http(body, {"authorization": WORD}, encoded=False), "pathParameters": {"user_id": user_id}}


REQUEST_PARTS = (
    "whop_sync.receiving.enroll_requests.RequestReader.read",
    "whop_sync.receiving.deliveries.parse",
    "whop_sync.syncing.synchronization.Synchronization.handle",
    "whop_sync.users.mappings.Mappings.claim",
    "whop_sync.users.mappings.Mappings.commit",
    "whop_sync.pictures.fetching.PictureFetcher.fetch",
    "whop_sync.whop.client.Whop._call",
    "whop_sync.users.directory.Directory.entry",
    "whop_sync.journal.Journal.event",
    "whop_sync.journal.Journal.request",
    "httpx.Client.request",
    AWS,
)


def test_a_request_to_enroll_a_user_reveals_nothing_of_what_it_does(engine: Engine, tmp_path: Path) -> None:
    with FakeWhop(api_key=API_KEY) as whop, running_pictures() as pictures:
        settings = {
            "WhopCompanyId": PLATFORM_COMPANY,
            "WhopApiUrl": whop.api_url,
            "PictureAllowedOrigin": pictures.origin,
        }
        surroundings = Surroundings(engine, settings)
        surroundings.set_secret("whop-api-key", API_KEY)
        environment = surroundings.environment("enroll_user")
        picture = f"{pictures.origin}/aa00aa.png?{WORD}"
        # Given requests that enroll, change, are refused by Whop, by the body or for another id
        requests = [
            request("u1", avatar_url=picture, updated_at="2026-03-01T10:00:00Z"),
            request("u1", name=f"Bea {WORD}", avatar_url=None, updated_at="2026-03-02T10:00:00Z"),
            request("u2", document(id="u2", email=f"{WORD}@example.com")),
            request("u3", document(id="u3", email=None)),
            request("u4", document(id="u5")),
            *(request("u1", body) for body in UNREADABLE),
            request("u6", f'{{"type": "user {WORD}"}}'.encode()),
        ]
        ended = run(of_function("enroll_user"), environment, tmp_path, *map(step, requests))
        # Then the answers about users hold what the table holds, and neither log nor answer a word of the request
        statuses = [answer["statusCode"] for answer in ended.answers]
        assert statuses[:4] == [200, 200, 409, 409]
        # One of the rest has nothing wrong but a time that lies ahead and a picture whose host is unknown
        assert sorted(statuses[4:]) == [202] + [400] * (len(requests) - 5)
        assert leaks(ended.all) == []
        assert words_in(surroundings) == []

        # And when each part in turn fails with an error that quotes what it was given, still nothing is logged
        steps = [step(request(f"s{number}", avatar_url=picture), part) for number, part in enumerate(REQUEST_PARTS)]
        ended = run(of_function("enroll_user"), environment, tmp_path, *steps)
        assert {answer["statusCode"] for answer in ended.answers} <= {200, 202, 503}
        assert ended.output.count('"crash"') >= len(REQUEST_PARTS) - 3
        assert leaks(ended.all) == []
        assert words_in(surroundings) == []


STATUSES = (302, 400, 401, 403, 404, 408, 409, 410, 422, 429, 500, 503)
FORMS = ("json", "words", "html", "list", "cut", "reset")


@contextmanager
def quoting_whop() -> Iterator[str]:
    """A Whop that quotes the whole request in whatever it answers: how, the user's id says, as create-409-json."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            plan = re.search(r"(create|patch)[-_](\d{3})[-_]([a-z]+)", content.decode() + self.path)
            operation, status, form = plan.groups() if plan else ("", "500", "html")
            quoted = f"{self.path} {self.headers} {content.decode()}"
            if operation == "patch" and self.command == "POST":
                self.reply(200, json.dumps({"id": "biz_1", "owner_user": {"id": f"user_patch_{status}_{form}"}}))
            elif form == "reset":
                self.connection.close()
            else:
                self.reply(int(status), self.body(form, quoted))

        def body(self, form: str, quoted: str) -> str:
            error = {"message": f"{quoted} Try again in 5 seconds.", "type": NAME, "code": ADDRESS, "param": URL}
            forms = {
                "json": json.dumps({"error": error}),
                "words": json.dumps({"error": quoted}),
                "html": f"<html>{quoted}</html>",
                "list": json.dumps([quoted]),
                "cut": json.dumps({"error": error})[:-30],
            }
            return forms[form]

        def reply(self, status: int, body: str) -> None:
            self.send_response(status, WORD)
            for name, value in (("x-request-id", ADDRESS), ("retry-after", WORD), ("location", f"http://{WORD}.test")):
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_GET = do_PATCH = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with serving(server):
        yield f"http://127.0.0.1:{server.server_port}/api/v1"


def test_a_worker_reveals_nothing_of_what_whop_says(engine: Engine, tmp_path: Path) -> None:
    with quoting_whop() as url:
        surroundings = Surroundings(engine, {"WhopApiUrl": url})
        surroundings.set_secret("whop-api-key", API_KEY)
        # Given a Whop that refuses in every way, quoting key, address and name
        users = [
            f"{operation}-{status}-{form}" for operation in ("create", "patch") for status in STATUSES for form in FORMS
        ]
        ended = run(
            of_function("user_created"),
            surroundings.environment("user_created"),
            tmp_path,
            *(step(batch(marked(user))) for user in users),
        )
    # Then each refusal is logged by status and reason, and by nothing that Whop said
    assert len(ended.answers) == len(users)
    for status in STATUSES:
        assert f'"whop_status":{status}' in ended.output
    for reason in ("whop_refused", "whop_key_rejected", "whop_rate_limited", "whop_failed", "whop_no_answer"):
        assert reason in ended.output
    assert leaks(ended.all) == []
    assert words_in(surroundings) == []


@pytest.mark.parametrize("key", [f"{WORD} {WORD}", f"ü{WORD}", f"{WORD}\n{WORD}", None])
def test_an_api_key_that_cannot_be_one_is_not_logged(engine: Engine, tmp_path: Path, key: str | None) -> None:
    surroundings = Surroundings(engine, {"WhopApiUrl": f"http://{WORD}.invalid"})
    if key:
        surroundings.set_secret("whop-api-key", key)
    ended = run(
        of_function("user_created"), surroundings.environment("user_created"), tmp_path, step(batch(marked("u1")))
    )
    assert ended.answers == [{"batchItemFailures": [{"itemIdentifier": "m0"}]}]
    assert "whop_api_key" in ended.output
    assert leaks(ended.all) == []


@pytest.mark.parametrize("function", ["receive_webhook", "user_created", "profile_updated"])
def test_a_start_that_fails_names_a_setting_and_no_secret(
    surroundings: Surroundings, tmp_path: Path, function: str
) -> None:
    environment = {**surroundings.environment(function), "AWS_SECRET_ACCESS_KEY": WORD, "AWS_SESSION_TOKEN": WORD}
    [missing] = [name for name in environment if name in ("USER_CREATED_QUEUE_URL", "WHOP_COMPANY_ID")]
    # The receiver starts all the same: it asks senders to come again, and names the setting each time.
    ended = run(of_function(function), {**environment, missing: ""}, tmp_path, step(http(document())))
    assert f"{missing} is not set" in ended.output
    assert leaks(ended.all) == []


# -- announcing --------------------------------------------------------------------------------------------------------


def announced(user_id: str | None, number: int = 1, **data: str) -> str:
    type_ = "whop.account.updated" if user_id is None else "user.enrollment_failed"
    return Announcement(
        id=f"msg_{number}", type=type_, user_id=user_id, version=number, occurred_at=0, data={"reason": WORD, **data}
    ).to_json()


@contextmanager
def quoting_platform() -> Iterator[str]:
    """A backend that quotes the whole request in whatever it answers: with which status, the user's id says."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
            quoted = f"{self.path} {self.headers} {content}"
            user_id = json.loads(content)["data"]["user_id"]
            if user_id == "reset":
                self.connection.close()
                return
            self.send_response(int(user_id), WORD)
            for name, value in (("retry-after", WORD), ("location", f"http://{WORD}.test"), ("x-request-id", WORD)):
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(quoted.encode())))
            self.end_headers()
            self.wfile.write(quoted.encode())

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with serving(server):
        yield f"http://127.0.0.1:{server.server_port}"


def announcing(engine: Engine, origin: str, url: str) -> Surroundings:
    parameters = {"AnnounceTo": "webhook", "PlatformUrl": url, "PlatformAllowedOrigin": origin}
    surroundings = Surroundings(engine, parameters)
    surroundings.set_secret("announcement-secrets", json.dumps([SECRET]))
    return surroundings


ANNOUNCER_PARTS = (
    "whop_sync.announcements.Announcement.from_json",
    "whop_sync.announcing.webhooks.PlatformWebhook.deliver",
    "whop_sync.announcing.webhooks.sign",
    "whop_sync.announcing.webhooks.announcement_keys",
    "whop_sync.internet.requests.PublicHttp.request",
    "whop_sync.internet.streams.BoundedStream.write",
    "socket.getaddrinfo",
    "whop_sync.users.directory.Directory.user_of_account",
    "whop_sync.users.announced_webhooks.AnnouncedWebhooks.contains",
    "whop_sync.aws.secrets.Secret.text",
    "whop_sync.aws.queues.Queue.park",
    "whop_sync.aws.queues.Queue.postpone",
    "whop_sync.journal.Journal.announcement",
    AWS,
)


def test_the_announcer_logs_nothing_of_what_it_sends_or_is_answered(engine: Engine, tmp_path: Path) -> None:
    with quoting_platform() as origin:
        surroundings = announcing(engine, origin, f"{origin}/{WORD}?{WORD}={WORD}")
        environment = surroundings.environment("announce")
        # Given a backend that takes, refuses, redirects and fails, quoting body, headers and signature
        users = ("200", "204", "302", "400", "401", "404", "410", "429", "500", "503", "reset")
        bodies = [announced(user, number) for number, user in enumerate(users)]
        bodies += [announced(None, 99, whop_company_id=f"biz_{WORD}"), WORD, json.dumps({WORD: WORD})]
        ended = run(of_function("announce"), environment, tmp_path, *map(step, map(batch, bodies)))
        # Then they end as they should, and no word of URL, secret, body or answer is logged
        assert len(ended.answers) == len(bodies)
        for outcome in ('"delivered"', '"retried"', "platform_redirects", "platform_refused", "platform_failed"):
            assert outcome in ended.output
        for outcome in ("platform_no_answer", "unknown_account", "unreadable_message"):
            assert outcome in ended.output
        assert leaks(ended.all) == []

        # And when each part in turn fails with an error that quotes what it was given, still nothing is logged
        steps = [
            step(batch(announced("200", number), announced(None, 1000 + number, whop_company_id=WORD), WORD), part)
            for number, part in enumerate(ANNOUNCER_PARTS)
        ]
        ended = run(of_function("announce"), environment, tmp_path, *steps)
        assert all("batchItemFailures" in answer for answer in ended.answers)
        assert ended.output.count('"crash"') >= len(ANNOUNCER_PARTS) - 4
        assert leaks(ended.all) == []


@pytest.mark.parametrize("host", [f"{WORD}.test", "no-such-host.test"])
def test_a_backend_that_is_not_there_is_not_named(engine: Engine, tmp_path: Path, host: str) -> None:
    surroundings = announcing(engine, "", f"https://{host}/{WORD}")
    ended = run(of_function("announce"), surroundings.environment("announce"), tmp_path, step(batch(announced("u1"))))
    assert "platform_no_answer" in ended.output
    assert leaks(ended.all, also=[host]) == []


@pytest.mark.parametrize(
    "value", [f"whsec_{WORD}", WORD, f'["{WORD}', "whsec_" + base64.b64encode(WORD.encode()).decode()]
)
def test_an_announcement_secret_that_cannot_be_right_is_not_shown(engine: Engine, tmp_path: Path, value: str) -> None:
    surroundings = announcing(engine, "", "https://shop.test/")
    surroundings.set_secret("announcement-secrets", value)
    ended = run(of_function("announce"), surroundings.environment("announce"), tmp_path, step(batch(announced("u1"))))
    assert ended.answers == [{"batchItemFailures": [{"itemIdentifier": "m0"}]}]
    assert "announcement_secrets_invalid" in ended.output
    assert leaks(ended.all) == []


@pytest.mark.parametrize(
    "url", [f"http://{WORD}.test/", f"https://{WORD}:{WORD}@shop.test/", f"https://10.0.0.1/{WORD}"]
)
def test_a_start_with_a_url_that_cannot_be_right_does_not_show_it(engine: Engine, tmp_path: Path, url: str) -> None:
    surroundings = announcing(engine, "", url)
    ended = run(of_function("announce"), surroundings.environment("announce"), tmp_path, step(batch(announced("u1"))))
    assert "PLATFORM_URL" in ended.output
    assert leaks(ended.all) == []


# -- the import --------------------------------------------------------------------------------------------------------

IMPORT_PARTS = (
    "whop_sync.importing.stored_files.open_users",
    "whop_sync.importing.stored_files.rows",
    "whop_sync.importing.stored_files.import_rows",
    "whop_sync.importing.stored_files.Queue.waiting",
    "whop_sync.importing.stored_files.Queue.send_all",
    AWS,
)


def test_an_import_reveals_nothing_of_its_file(engine: Engine, tmp_path: Path) -> None:
    # Given a file with good and bad rows
    surroundings = Surroundings(engine, {"ImportEnabled": "true"})
    bucket = f"{surroundings.stack}-import"
    engine.s3.create_bucket(Bucket=bucket)
    row = {"id": "u1", "email": ADDRESS, "name": NAME, "avatar_url": URL}
    lines = [json.dumps(each) for each in (row, {**row, "id": "u2", "email": WORD}, {"id": "u3"})]
    content = "\n".join([*lines, WORD, ""]).encode()
    engine.s3.put_object(Bucket=bucket, Key="users/users.ndjson", Body=content)
    stored = {"bucket": {"name": bucket}, "object": {"key": "users/users.ndjson"}}
    environment = surroundings.environment("import_users")
    [plan] = run(of_function("import_users"), environment, tmp_path, step(stored)).answers
    part = {**plan, "run": "r1", "part": plan["parts"][0]}
    # When it is planned and sent, also while each part in turn fails with an error that quotes what it was given
    steps = [step(order, sabotage) for sabotage in (None, *IMPORT_PARTS) for order in (stored, part)]
    ended = run(of_function("import_users"), environment, tmp_path, *steps)
    # Then neither log nor answer holds a word
    assert ended.answers[1] == {"waiting": False, "sent": 1, "rejected": 3}
    assert ended.output.count('"crash"') == 6
    assert leaks(ended.all) == []


# -- the net itself ----------------------------------------------------------------------------------------------------


LEAKS = (
    "print(event)",
    "print(event['body'].upper())",
    *(f"print(base64.b64encode(b'x' * {count} + event['body'].encode()))" for count in range(3)),
    "logging.getLogger('anybody').debug('got %s', event['body'])",
    "print(event['headers']['webhook-signature'], file=sys.stderr)",
    "raise ValueError(event['body'])",
    "print(event['body'].encode().hex())",
    "thread = threading.Thread(target=print, args=(event,)); thread.start(); thread.join()",
    "os.write(1, event['body'].encode())",
)


def test_whatever_leaks_is_caught(tmp_path: Path) -> None:
    """These tests prove nothing unless they see each way in which a word can get out."""
    app = tmp_path / "app.py"
    app.write_text(
        "import base64, logging, os, sys, threading\n"
        "def handler(event, context):\n"
        "    print('step')\n"
        "    exec(event['leak'])\n"
    )
    given = http(document(), {"webhook-signature": "v1,S1GNATURE"})
    ended = run(app, {"PYTHONUNBUFFERED": "1"}, tmp_path, *(step({**given, "leak": leak}) for leak in LEAKS))
    sections = ended.output.split("step\n")[1:]
    assert len(sections) == len(LEAKS)
    for leak, section in zip(LEAKS, sections, strict=True):
        assert leaks(section, also=["S1GNATURE"]), leak
    # And an answer is searched too
    assert leaks(Ended("", [{"body": WORD}]).all)
