"""Announcements on their way to the platform: over real sockets to backends of every kind, and to a real bus.

As in the tests of pictures, names resolve to addresses that look public, and the connection to such an address is
turned to a server of the test, whose certificate for the name is good. Everything between is what runs in production.
"""

import base64
import itertools
import json
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks
import trustme
from botocore.exceptions import ClientError, EndpointConnectionError

from harness import Clock, World, aws_client, created, event
from harness.hosts import (
    NO_HTTP,
    PATIENCE,
    SLOW_ANSWERS,
    TLS_ATTACKS,
    Host,
    Script,
    TlsAttack,
    bare_host,
    head,
    hurried,
    redirects,
    repeats,
    says,
    sends,
    server_tls,
)
from local_stack.engine import Engine
from whop_sync.announcements import Announcement
from whop_sync.announcing.event_bus import EventBus
from whop_sync.announcing.platform_url import checked_platform_url
from whop_sync.announcing.queued_announcements import QueuedAnnouncements
from whop_sync.announcing.webhooks import TIMEOUT_SECONDS, PlatformWebhook, announcement_keys
from whop_sync.aws.queues import Queue
from whop_sync.batches.worker import Record, Worker
from whop_sync.errors import OperatorNeeded, Permanent, Transient
from whop_sync.internet.addresses import addresses_of
from whop_sync.internet.requests import PublicHttp
from whop_sync.internet.streams import connection_to
from whop_sync.journal import Journal
from whop_sync.users.announced_webhooks import AnnouncedWebhooks
from whop_sync.users.directory import Directory

NAMES = {
    "api.shop.test": ["93.184.215.14"],
    "other.test": ["93.184.215.15"],
    "inside.test": ["10.0.0.1"],
    "half.test": ["93.184.215.14", "169.254.169.254"],
}
URL = "https://api.shop.test/hooks/s3cr3t-path?key=s3cr3t-query"
OWN_URL = "https://abc123.execute-api.us-east-1.amazonaws.com/webhooks"
OLD_SECRET, NEW_SECRET = ("whsec_" + base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))

ENROLLED = Announcement(
    id="msg_0123456789abcdef",
    type="user.enrolled",
    user_id="ünser:7",
    version=3,
    occurred_at=1_764_115_200.5,
    data={"whop_user_id": "user_1", "whop_company_id": "biz_1"},
)
BODY = {
    "type": "user.enrolled",
    "timestamp": "2025-11-26T00:00:00.500Z",
    "data": {"user_id": "ünser:7", "version": 3, "whop_user_id": "user_1", "whop_company_id": "biz_1"},
}
OF_WHOP = Announcement(
    id="whop_msg_1", type="whop.account.updated", user_id="u1", version=None, occurred_at=0, data={"status": "active"}
)


@dataclass
class Platform:
    """A platform's backend, and the way there: `connections` lists the addresses that were connected to."""

    host: Host
    trust: ssl.SSLContext
    connections: list[tuple[str, int]] = field(default_factory=list)
    lookups: list[str] = field(default_factory=list)

    def resolve(self, host: str) -> Sequence[str]:
        self.lookups.append(host)
        return NAMES[host] if host in NAMES else addresses_of(host)

    def connect(self, address: str, port: int, timeout: float) -> socket.socket:
        self.connections.append((address, port))
        return connection_to("127.0.0.1", self.host.port, timeout)

    def deliver(self, script: Script | None = None, announcement: Announcement = ENROLLED, **changes: Any) -> None:
        if script:
            self.host.scripts["/hooks/s3cr3t-path"] = script
        ways: dict[str, Any] = {"resolve": self.resolve, "connect": self.connect, "tls": lambda: self.trust}
        http = PublicHttp(**{name: changes.get(name, way) for name, way in ways.items()})
        secrets = json.dumps(changes.get("secrets", [NEW_SECRET]))
        PlatformWebhook(
            url=checked_platform_url(changes.get("url", URL), http=http, own_webhook_url=OWN_URL),
            keys=lambda: announcement_keys(secrets),
            http=http,
            clock=changes.get("clock", time.time),
            timer=changes.get("timer", time.monotonic),
        ).deliver(announcement)

    def failure(self, script: Script | None = None, **changes: Any) -> Transient:
        """Why a delivery failed, which shows in less than PATIENCE, after a look whether it gives anything away."""
        began = time.monotonic()
        with pytest.raises(Transient) as error:
            self.deliver(script, **changes)
        assert time.monotonic() - began < PATIENCE * 0.6
        for secret in ("s3cr3t", "shop.test", "93.184", "whsec_", NEW_SECRET[6:], "v1,", "ser:7"):
            assert secret not in f"{error.value!r} {error.value} {error.value.explanation}"
        assert error.value.__cause__ is None
        return error.value

    def request(self) -> tuple[str, dict[str, str], bytes]:
        """The first line, the headers and the body of the only request."""
        (request,) = self.host.requests
        top, _, body = request.partition("\r\n\r\n")
        first, *lines = top.split("\r\n")
        return first, dict(line.split(": ", 1) for line in lines), body.encode("latin-1")


@pytest.fixture(scope="module")
def host_tls(authority: trustme.CA) -> ssl.SSLContext:
    return server_tls(authority, "api.shop.test", "inside.test", "half.test")


@pytest.fixture
def platform(host_tls: ssl.SSLContext, trust: ssl.SSLContext) -> Iterator[Platform]:
    with Host(host_tls) as host:
        yield Platform(host, trust)


class TestADelivery:
    def test_is_one_request_with_the_headers_of_standard_webhooks(self, platform: Platform) -> None:
        platform.deliver(sends(b"thanks"), clock=lambda: 1_764_115_260.9)
        first, headers, body = platform.request()
        assert first == "POST /hooks/s3cr3t-path?key=s3cr3t-query HTTP/1.1"
        signature = headers.pop("webhook-signature")
        assert signature.startswith("v1,")
        assert headers == {
            "Host": "api.shop.test",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "User-Agent": "whop-user-sync/1 (+https://docs.whop.com)",
            "webhook-id": "msg_0123456789abcdef",
            "webhook-timestamp": "1764115260",
        }
        assert json.loads(body) == BODY

    def test_verifies_with_the_official_library(self, platform: Platform) -> None:
        platform.deliver(sends())
        _, headers, body = platform.request()
        assert standardwebhooks.Webhook(NEW_SECRET).verify(body, headers) == BODY
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            standardwebhooks.Webhook(OLD_SECRET).verify(body, headers)
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            standardwebhooks.Webhook(NEW_SECRET).verify(body.replace(b"7", b"8"), headers)

    def test_verifies_with_either_secret_while_they_rotate(self, platform: Platform) -> None:
        platform.deliver(sends(), secrets=[OLD_SECRET, NEW_SECRET])
        _, headers, body = platform.request()
        for secret in (OLD_SECRET, NEW_SECRET):
            assert standardwebhooks.Webhook(secret).verify(body, headers) == BODY

    def test_has_the_same_id_and_body_at_every_try_and_a_new_time(self, platform: Platform) -> None:
        clock = Clock(time.time() - 60)
        platform.failure(sends(status="503 x"), clock=clock)
        first = platform.request()
        platform.host.requests.clear()
        clock.sleep(60)
        platform.deliver(sends(), clock=clock)
        second = platform.request()
        assert (second[1]["webhook-id"], second[2]) == (first[1]["webhook-id"], first[2])
        assert int(second[1]["webhook-timestamp"]) == int(first[1]["webhook-timestamp"]) + 60
        standardwebhooks.Webhook(NEW_SECRET).verify(second[2], second[1])

    def test_of_whop_has_no_version(self, platform: Platform) -> None:
        platform.deliver(sends(), OF_WHOP)
        assert json.loads(platform.request()[2]) == {
            "type": "whop.account.updated",
            "timestamp": "1970-01-01T00:00:00.000Z",
            "data": {"user_id": "u1", "status": "active"},
        }

    @pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
    def test_goes_by_no_proxy(self, platform: Platform, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
        with Host() as proxy:
            monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.port}")
            platform.deliver(sends())
        assert proxy.connections == 0

    def test_reaches_the_allowed_origin_of_a_local_stack(self) -> None:
        with Host() as host:
            origin = f"http://127.0.0.1:{host.port}"
            host.scripts |= {"/hook": sends(), "/moved": redirects(f"{origin}/hook")}
            http = PublicHttp(allowed_origin=origin)
            for path in ("hook", "moved"):
                webhook = PlatformWebhook(
                    url=checked_platform_url(f"{origin}/{path}", http=http, own_webhook_url=OWN_URL),
                    keys=lambda: announcement_keys(NEW_SECRET),
                    http=http,
                    clock=time.time,
                    timer=time.monotonic,
                )
                if path == "hook":
                    webhook.deliver(ENROLLED)
                else:
                    with pytest.raises(Transient, match="302"):
                        webhook.deliver(ENROLLED)
        assert len(host.requests) == 2


class TestAnAnswer:
    @pytest.mark.parametrize(
        "script",
        [
            *(sends(status=f"{status} x") for status in (200, 201, 202, 299)),
            says(head(status="204 No Content")),
            says(head(status="103 Early Hints"), head("Content-Length: 0")),
            says(head("Content-Length: 1000000000000")),
            repeats(b"x" * 65536, first=head("Content-Length: 1000000000000")),
            repeats(b"10000\r\n" + b"x" * 65536 + b"\r\n", first=head("Transfer-Encoding: chunked")),
            repeats(b"", first=head("Content-Length: 5"), every=0.05),
            sends(b"\x1f\x8b broken", "Content-Encoding: gzip"),
        ],
        ids=[
            *("200", "201", "202", "299", "204", "early hints", "cut off", "a terabyte", "endless chunks"),
            *("a body that never comes", "a coding that is none"),
        ],
    )
    def test_of_2xx_is_all_that_is_waited_for(self, platform: Platform, script: Script) -> None:
        began = time.monotonic()
        platform.deliver(script)
        assert time.monotonic() - began < PATIENCE * 0.6

    @pytest.mark.parametrize(
        ("status", "reason"),
        [
            *((status, "platform_redirects") for status in (300, 301, 302, 303, 304, 307, 308)),
            *((status, "platform_refused") for status in (400, 401, 403, 404, 409, 422)),
            *((status, "platform_failed") for status in (429, 500, 502, 503, 504, 599, 999)),
        ],
    )
    def test_of_any_other_status_is_named_and_tried_again(self, platform: Platform, status: int, reason: str) -> None:
        failure = platform.failure(sends(status=f"{status} s3cr3t"))
        assert (failure.reason, failure.retry_after) == (reason, None)
        assert failure.explanation == f"the platform's backend answered {status}"

    def test_of_410_wants_no_more_of_them_so_this_one_is_not_tried_again(self, platform: Platform) -> None:
        with pytest.raises(Permanent) as error:
            platform.deliver(sends(b"", "Retry-After: 60", status="410 s3cr3t"))
        assert error.value.reason == "platform_gone"
        assert error.value.explanation == "the platform's backend answered 410: it takes no announcements"

    @pytest.mark.parametrize("status", [404, 429, 503])
    @pytest.mark.parametrize(
        ("header", "wait"),
        [
            ("120", 120),
            (" 0 ", 0),
            ("3600", 3600),
            ("3601", 3600),
            ("9" * 400, 3600),
            ("Thu, 31 Dec 2099 23:59:59 GMT", 3600),
            ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
            *((header, None) for header in ("", "soon", "-5", "1.5", "\u00b2", "1,2")),
        ],
    )
    def test_may_name_a_wait_of_up_to_an_hour(
        self, platform: Platform, status: int, header: str, wait: float | None
    ) -> None:
        failure = platform.failure(sends(b"", f"Retry-After: {header}", status=f"{status} x"))
        assert failure.retry_after == wait

    @pytest.mark.parametrize(
        "to", ["https://127.0.0.1/", "https://169.254.169.254/latest/meta-data/", "/again", "https://other.test/", ""]
    )
    def test_that_redirects_is_not_followed(self, platform: Platform, to: str) -> None:
        failure = platform.failure(redirects(to, "307 Temporary Redirect"))
        assert failure.reason == "platform_redirects"
        assert (platform.connections, len(platform.host.requests)) == ([("93.184.215.14", 443)], 1)

    @pytest.mark.parametrize("script", NO_HTTP.values(), ids=NO_HTTP)
    def test_that_is_no_http_is_none(self, platform: Platform, script: Script) -> None:
        assert platform.failure(script).reason == "platform_no_answer"


class TestTime:
    @pytest.mark.parametrize("script", SLOW_ANSWERS.values(), ids=SLOW_ANSWERS)
    def test_a_backend_that_takes_its_time_gets_no_more_than_there_is(self, platform: Platform, script: Script) -> None:
        failure = platform.failure(script, timer=hurried(TIMEOUT_SECONDS))
        assert failure.reason == "platform_no_answer"

    @pytest.mark.parametrize("attack", TLS_ATTACKS.values(), ids=TLS_ATTACKS)
    def test_a_connection_that_never_comes_to_an_answer_is_cut_off(
        self, authority: trustme.CA, trust: ssl.SSLContext, tmp_path: Path, attack: TlsAttack
    ) -> None:
        with bare_host(attack(authority, tmp_path / "keys", "api.shop.test")) as host:
            assert "Timeout" in Platform(host, trust).failure(timer=hurried(TIMEOUT_SECONDS)).explanation

    def test_a_look_up_that_never_ends_is_not_waited_for(self, platform: Platform) -> None:
        def resolve(_host: str) -> Sequence[str]:
            time.sleep(PATIENCE)
            return ["93.184.215.14"]

        assert platform.failure(resolve=resolve, timer=hurried(TIMEOUT_SECONDS)).reason == "platform_no_answer"
        assert platform.connections == []

    @pytest.mark.parametrize(
        ("looks", "connections"),
        [(1, 0), (2, 0), (3, 1), (4, 1)],
        ids=["look-up", "connection", "handshake", "request"],
    )
    def test_after_the_deadline_nothing_is_begun(self, platform: Platform, looks: int, connections: int) -> None:
        ticks = itertools.chain([0.0] * looks, itertools.repeat(TIMEOUT_SECONDS))
        platform.failure(sends(), timer=lambda: next(ticks))
        assert (len(platform.connections), platform.host.requests) == (connections, [])


class TestWhereTo:
    @pytest.mark.parametrize("url", ["https://inside.test/hook", "https://half.test/hook"])
    def test_no_host_but_a_public_one_hears_of_it(self, platform: Platform, url: str) -> None:
        assert platform.failure(sends(), url=url).reason == "platform_not_public"
        assert (platform.connections, platform.host.connections) == ([], 0)

    def test_a_name_is_looked_up_once_for_each_delivery(self, platform: Platform) -> None:
        platform.deliver(sends())
        platform.deliver(sends())
        assert platform.lookups == ["api.shop.test"] * 2

    def test_a_name_that_is_not_found_may_be_found_later(
        self, platform: Platform, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def getaddrinfo(*_: object, **__: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, URL)

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        assert platform.failure(url="https://gone.test/").reason == "platform_no_answer"

    def test_a_certificate_for_another_name_ends_it(self, platform: Platform) -> None:
        assert platform.failure(sends(), url="https://other.test/").reason == "platform_untrusted"
        assert platform.host.requests == []

    def test_an_authority_that_the_world_does_not_trust_ends_it(self, platform: Platform) -> None:
        assert platform.failure(sends(), tls=ssl.create_default_context).reason == "platform_untrusted"
        assert platform.host.requests == []


@dataclass
class Line:
    """The announcer over real queues and the table of a world, and what Lambda does for it."""

    world: World
    platform: Platform

    def __post_init__(self) -> None:
        self.sqs = self.world.client("sqs")
        self.queue = Queue(self.sqs, str(self.world.announcements_url))
        journal = Journal()
        way = self.platform
        http = PublicHttp(resolve=way.resolve, connect=way.connect, tls=lambda: way.trust)
        self.worker = Worker(
            messages=QueuedAnnouncements(
                target=PlatformWebhook(
                    url=checked_platform_url(URL, http=http, own_webhook_url=OWN_URL),
                    keys=lambda: announcement_keys(NEW_SECRET),
                    http=http,
                    clock=time.time,
                    timer=time.monotonic,
                ),
                directory=Directory(self.world.dynamodb, self.world.table),
                announced=AnnouncedWebhooks(self.world.dynamodb, self.world.table, self.world.clock),
                journal=journal,
            ),
            queue=self.queue,
            dead_letters=self.queue,
            journal=journal,
            clock=time.time,
            pool=ThreadPoolExecutor(10),
            jitter=lambda _low, _high: 0.0,  # what is put off comes back at once
        )

    def run(self) -> None:
        """Hands batches to the worker until the queue is empty."""
        url = self.world.announcements_url
        while messages := self.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
        ).get("Messages"):
            records: list[Record] = [
                {
                    "messageId": message["MessageId"],
                    "receiptHandle": message["ReceiptHandle"],
                    "body": message["Body"],
                    "attributes": message["Attributes"],
                }
                for message in messages
            ]
            answer = self.worker.handle(records, seconds_left=120)
            staying = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
            for message in messages:
                if message["MessageId"] not in staying:
                    self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def received(self) -> list[dict[str, Any]]:
        """The bodies of all requests, in their order, each with its id."""
        found = []
        for request in self.platform.host.requests:
            top, _, body = request.partition("\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in top.split("\r\n")[1:])
            verified = standardwebhooks.Webhook(NEW_SECRET).verify(body.encode("latin-1"), headers)
            found.append({"id": headers["webhook-id"], **verified})
        return found


class TestTheWholeWay:
    @pytest.fixture
    def line(self, engine: Engine, platform: Platform) -> Iterator[Line]:
        with World(engine, announces=True) as world:
            yield Line(world, platform)

    def test_a_platform_that_fails_half_of_all_calls_learns_everything_in_an_order_it_can_restore(
        self, line: Line
    ) -> None:
        # Given a backend that fails every other call, and users who go through all that there is
        statuses = itertools.cycle(("503 x", "200 OK"))

        def unsteady(connection: socket.socket) -> None:
            sends(status=next(statuses))(connection)

        line.platform.host.scripts["/hooks/s3cr3t-path"] = unsteady
        users = ("u1", "u2", "u3")
        for user in users:
            line.world.handle(created(user, name="Ann"))
            for version, kind in enumerate(("suspended", "restored", "deleted"), 2):
                line.world.handle(event(user, version=version, kind=kind, email=None))  # type: ignore[arg-type]
        # When the announcer works through the queue
        line.run()
        # Then the backend has each announcement of a user's row, under one id however often it came
        received = line.received()
        for user in users:
            theirs = [each for each in received if each["data"]["user_id"] == user]
            types = {each["data"]["version"]: each["type"] for each in theirs}
            assert sorted(types) == list(range(1, int(line.world.row(user)["announced"]) + 1))
            in_order = [types[version] for version in sorted(types)]
            assert in_order == ["user.enrolled", "user.suspended", "user.restored", "user.deleted"]
            assert len({(each["data"]["version"], each["id"]) for each in theirs}) == len(types)
        assert len(received) > 12

    def test_what_whop_says_of_an_account_reaches_its_user_once(self, line: Line) -> None:
        line.platform.host.scripts["/hooks/s3cr3t-path"] = sends()
        line.world.handle(created("u1", name="Ann"))
        line.run()
        line.platform.host.requests.clear()
        account = line.world.row("u1")["whop_company_id"]
        said = Announcement(
            id="whop_msg_1",
            type="whop.account.updated",
            user_id=None,
            version=None,
            occurred_at=1_772_359_200,
            data={"whop_company_id": account, "status": "active"},
        )
        for _ in range(2):
            line.queue.send(said.to_json())
            line.queue.send(said.to_json())
            line.run()
        assert line.received() == [
            {
                "id": "whop_msg_1",
                "type": "whop.account.updated",
                "timestamp": "2026-03-01T10:00:00.000Z",
                "data": {"user_id": "u1", "whop_company_id": account, "status": "active"},
            }
        ]


class TestTheBus:
    @pytest.fixture
    def bus(self, engine: Engine) -> tuple[EventBus, str]:
        """A bus, and a queue for all that it takes."""
        events, sqs = aws_client(engine.url, "events"), aws_client(engine.url, "sqs")
        name = f"bus-{uuid.uuid4().hex[:12]}"
        events.create_event_bus(Name=name)
        queue = sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        events.put_rule(Name=name, EventBusName=name, EventPattern=json.dumps({"source": ["whop-user-sync"]}))
        events.put_targets(Rule=name, EventBusName=name, Targets=[{"Id": "queue", "Arn": arn}])
        return EventBus(events, name, clock=time.monotonic), queue

    def test_takes_an_announcement_as_an_event(self, engine: Engine, bus: tuple[EventBus, str]) -> None:
        target, queue = bus
        target.deliver(ENROLLED)
        messages = aws_client(engine.url, "sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
        (event,) = (json.loads(message["Body"]) for message in messages)
        assert (event["source"], event["detail-type"]) == ("whop-user-sync", "user.enrolled")
        assert event["detail"] == {"id": ENROLLED.id, **BODY}

    def test_that_does_not_exist_is_no_delivery_although_eventbridge_answers_200(self, engine: Engine) -> None:
        events, name = aws_client(engine.url, "events"), f"bus-{uuid.uuid4().hex[:12]}"
        target = EventBus(events, name, clock=time.monotonic)
        entry = {"EventBusName": name, "Source": "s", "DetailType": "t", "Detail": "{}"}
        assert events.put_events(Entries=[entry])["FailedEntryCount"] == 0  # as AWS does
        with pytest.raises(OperatorNeeded) as error:
            target.deliver(ENROLLED)
        assert error.value.reason == "event_bus_missing"
        assert name not in error.value.explanation
        events.create_event_bus(Name=name)
        target.deliver(ENROLLED)
        events.delete_event_bus(Name=name)
        with pytest.raises(OperatorNeeded):
            target.deliver(ENROLLED)

    def test_that_goes_while_it_is_used_costs_no_announcement(self) -> None:
        class Events:
            """One whose bus is deleted right before the second event."""

            def __init__(self) -> None:
                self.puts = 0

            def describe_event_bus(self, **_: object) -> None:
                if self.puts == 2:
                    raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "DescribeEventBus")

            def put_events(self, **_: object) -> dict[str, Any]:
                self.puts += 1
                return {"FailedEntryCount": 0, "Entries": [{}]}

        target = EventBus(Events(), "b", clock=time.monotonic)  # type: ignore[arg-type]
        target.deliver(ENROLLED)
        with pytest.raises(OperatorNeeded):
            target.deliver(ENROLLED)
        target.deliver(ENROLLED)

    def test_is_looked_for_once_for_all_that_was_put_before(self) -> None:
        looks: list[str] = []
        all_are_put = threading.Barrier(10, timeout=30)

        class Events:
            def describe_event_bus(self, *, Name: str) -> None:  # noqa: N803
                looks.append(Name)

            def put_events(self, **_: object) -> dict[str, Any]:
                return {"FailedEntryCount": 0, "Entries": [{}]}

        ticks = itertools.count()

        def clock() -> float:
            tick = next(ticks)
            if tick < 10:
                all_are_put.wait()
            return tick

        target = EventBus(Events(), "b", clock=clock)  # type: ignore[arg-type]
        with ThreadPoolExecutor(10) as pool:
            list(pool.map(target.deliver, [ENROLLED] * 10))
        assert looks == ["b"]
        target.deliver(ENROLLED)
        assert looks == ["b"] * 2

    def test_that_refuses_an_entry_with_200_has_not_taken_it(self) -> None:
        class Refusing:
            def describe_event_bus(self, **_: object) -> None: ...

            def put_events(self, **_: object) -> dict[str, Any]:
                entry = {"ErrorCode": "ThrottlingException", "ErrorMessage": "s3cr3t"}
                return {"FailedEntryCount": 1, "Entries": [entry]}

        with pytest.raises(Transient) as error:
            EventBus(Refusing(), "b", clock=Clock()).deliver(ENROLLED)  # type: ignore[arg-type]
        assert (error.value.reason, error.value.explanation) == ("event_bus_unavailable", "ThrottlingException")

    def test_that_cannot_be_asked_has_not_taken_it(self) -> None:
        class Broken:
            def describe_event_bus(self, **_: object) -> None: ...

            def put_events(self, **_: object) -> None:
                raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "s3cr3t"}}, "PutEvents")

        with pytest.raises(Transient) as error:
            EventBus(Broken(), "b", clock=Clock()).deliver(ENROLLED)  # type: ignore[arg-type]
        assert (error.value.reason, error.value.explanation) == ("event_bus_unavailable", "AccessDeniedException")

    @pytest.mark.parametrize(
        "failure",
        [
            ClientError({"Error": {"Code": "ThrottlingException", "Message": "s3cr3t"}}, "DescribeEventBus"),
            EndpointConnectionError(endpoint_url="s3cr3t"),
        ],
    )
    def test_that_cannot_be_looked_for_takes_it_all_the_same(self, failure: Exception) -> None:
        taken = []

        class Events:
            def describe_event_bus(self, **_: object) -> None:
                raise failure

            def put_events(self, *, Entries: list[Any]) -> dict[str, Any]:  # noqa: N803
                taken.extend(Entries)
                return {"FailedEntryCount": 0, "Entries": [{}]}

        EventBus(Events(), "b", clock=Clock()).deliver(ENROLLED)  # type: ignore[arg-type]
        assert len(taken) == 1
