"""Every call that a worker makes to the outside, one by one: each can go wrong, or have something happen around it.

Nothing of the application is patched. The HTTP client and the AWS SDK have hooks, the fake Whop fails on demand,
and the door is a server that hosts the pictures and answers the way troubled servers do.
"""

import copy
import dataclasses
import json
import os
import re
import signal
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, NamedTuple

import httpx
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.httpsession import URLLib3Session

from fake_whop import Fault
from local_stack.pictures import png
from local_stack.processes import LOOPBACK
from local_stack.serving import serving

LATE_SECONDS = 60.0
"""How much later a late call is carried out: within the lease, and within the wait for an orphan."""

SILENCE_SECONDS = 0.15
"""Real time after which a worker gives up on a Whop that keeps silent."""

PICTURE = "GET picture"

_WHOP_FAULTS = {
    "timeout_before": Fault(None, "timeout_before"),
    "timeout_after": Fault(None, "timeout_after"),
    "late_commit": Fault(None, "late_commit", delay=LATE_SECONDS),
    "error_500_before": Fault(None, "error_500_before"),
    "error_500_after": Fault(None, "error_500_after"),
    "error_null": Fault(None, "error_null"),
    "error_null_after": Fault(None, "error_null", committed=True),
    "html_error": Fault(None, "html_error"),
    "html_error_after": Fault(None, "html_error", committed=True),
    "connection_reset": Fault(None, "connection_reset"),
    "connection_reset_after": Fault(None, "connection_reset", committed=True),
    "truncated_json": Fault(None, "truncated_json"),
    "rate_limited": Fault(None, "rate_limited", delay=12),
    "unauthorized": Fault(None, "unauthorized"),
    "forbidden": Fault(None, "forbidden"),
}
_SILENT = {"timeout_before", "timeout_after", "late_commit"}

KILLS = frozenset({"killed_before", "killed_after"})
WHOP_KINDS = frozenset(_WHOP_FAULTS) | {"refused", "garbled"} | KILLS
AWS_KINDS = KILLS | {
    "refused",
    "rate_limited",
    "rate_limited_once",
    "error_500_before",
    "error_500_after",
    "connection_reset",
    "connection_reset_after",
    "connection_reset_after_once",
    "late_commit",
}
"""The SDK repeats a failed call by itself: those that end in `_once` it gets over, the others outlast it."""
PICTURE_KINDS = frozenset({"error_500_before", "rate_limited", "connection_reset", "truncated"})

ANNOUNCEMENTS = "-announcements"
"""How the name of the queue of announcements ends."""

_CLOSED = f"{LOOPBACK}:1"
_AWS_CALLS = {"TransactWriteItems": "record account", "SendMessage": "park", "ChangeMessageVisibility": "postpone"}
_ROW_CALLS = (
    ("lease_until = :until", "claim"),
    ("#updated_at", "commit"),
    ("#lease_until", "release"),
    ("#unannounced", "release"),
    ("#enrollment_started_at", "reopen attempt"),
    ("#name_version", "migrate"),
    ("#standing_position", "note standing"),
)


class Point(NamedTuple):
    """The nth call of one name in one delivery, both counted from 1."""

    delivery: int
    call: str
    nth: int

    def __str__(self) -> str:
        return f"{self.call} ({self.delivery}.{self.nth})"


@dataclasses.dataclass(frozen=True, slots=True)
class Meanwhile:
    """Something that happens just before a call is sent or just after its answer came."""

    when: Literal["before", "after"]
    happens: Callable[[], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What AWS answers to a call that it does not carry out."""

    status: int
    content: bytes


type Trouble = str | Meanwhile | Answer
"""A kind of failure, something that happens meanwhile, or an answer of AWS."""


def kinds_of(call: str) -> frozenset[str]:
    """What can go wrong with a call."""
    if call == PICTURE:
        return PICTURE_KINDS
    if call == "PUT upload":
        return WHOP_KINDS - {"garbled", "truncated_json"}  # its answer has no body
    return WHOP_KINDS if " /" in call else AWS_KINDS


def http_client(timeout: float = 5.0) -> httpx.Client:
    """For plain HTTP on this machine: without the certificates that take a client longest to begin with."""
    return httpx.Client(timeout=timeout, trust_env=False, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


class Wire:
    """`control_url` is the fake Whop's, `door` the door's origin. All calls are listed in `passed`.

    What is `planned` happens once, and is then found in `met`.
    """

    def __init__(self, *, control_url: str, door: str, clock: Callable[[], float]) -> None:
        self.planned: dict[Point, Trouble] = {}
        self.passed: list[Point] = []
        self.met: list[Point] = []
        self.delivery = 0
        self._control_url = control_url
        self._door = door
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._invocations: dict[str, Trouble | None] = {}
        self._late: list[tuple[float, AWSPreparedRequest]] = []
        self._counting = threading.RLock()  # a picture is fetched while other calls go on
        at_once = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._aws = URLLib3Session(socket_options=[at_once])  # type: ignore[list-item]  # the stub is wrong
        self._control = http_client()

    def attach(self, http: httpx.Client, *aws: Any) -> None:
        """`aws` are clients of the AWS SDK."""
        http.event_hooks = {"request": [self._request], "response": [self._response]}
        for client in aws:
            client.meta.events.register("before-send", self._before_send)

    def reset(self) -> None:
        """Forgets all calls and plans, also the calls that are late."""
        self.planned, self.passed, self.met, self.delivery = {}, [], [], 0
        self._late = []
        self._counts.clear()
        self._invocations.clear()

    def begin_delivery(self) -> None:
        self.settle()
        self.delivery += 1
        self._counts.clear()

    def settle(self) -> None:
        """Carries out the late calls whose time has come."""
        due = [request for at, request in self._late if at <= self._clock()]
        self._late = [(at, request) for at, request in self._late if at > self._clock()]
        for request in due:
            self._aws.send(request)

    def trouble(self, call: str) -> Trouble | None:
        """Counts a call; returns what is planned for it."""
        with self._counting:
            self.settle()
            self._counts[call] += 1
            point = Point(self.delivery, call, self._counts[call])
            self.passed.append(point)
            trouble = self.planned.pop(point, None)
            if trouble is not None:
                self.met.append(point)
            return trouble

    # -- Whop ------------------------------------------------------------------------------------------------------

    def _request(self, request: httpx.Request) -> None:
        call = _whop_call(request)
        trouble = self.trouble(call)
        if trouble == "refused":
            request.url = httpx.URL(f"http://{_CLOSED}/")
        elif trouble == "garbled":
            request.url = httpx.URL(f"{self._door}/garbled")
        elif isinstance(trouble, str) and trouble not in KILLS:
            fault = dataclasses.asdict(_WHOP_FAULTS[trouble]) | {"operation": call}
            self._control.post(f"{self._control_url}/_fake/faults", json=fault).raise_for_status()
            if trouble in _SILENT:
                request.extensions["timeout"]["read"] = SILENCE_SECONDS
        else:
            request.extensions["after"] = _around(trouble)

    @staticmethod
    def _response(response: httpx.Response) -> None:
        response.request.extensions.get("after", _nothing)()

    # -- AWS -------------------------------------------------------------------------------------------------------

    def _before_send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse | None:
        call = _aws_call(request)
        if call is None:
            return None
        invocation = str(request.headers["amz-sdk-invocation-id"])
        if invocation not in self._invocations:
            self._invocations[invocation] = self.trouble(call)
        elif str(self._invocations[invocation]).endswith("_once"):
            self._invocations[invocation] = None
        trouble = self._invocations[invocation]
        if trouble is None:
            return None
        if isinstance(trouble, Answer):
            return AWSResponse(request.url, trouble.status, HTTPHeaders(), _Raw(trouble.content))
        if isinstance(trouble, str) and trouble not in KILLS:
            self._fail(trouble.removesuffix("_once"), request)
            return None
        after = _around(trouble)
        response = self._aws.send(request)
        after()
        return response

    def _fail(self, kind: str, request: AWSPreparedRequest) -> None:
        if kind == "late_commit":
            self._late.append((self._clock() + LATE_SECONDS, copy.copy(request)))
        elif kind.endswith("_after"):
            self._aws.send(copy.copy(request))
        answers = {"refused": f"http://{_CLOSED}/", "rate_limited": f"{self._door}/throttled"}
        otherwise = "error" if kind.startswith("error_500") else "reset"
        request.url = answers.get(kind, f"{self._door}/{otherwise}")


class _Raw:
    """The little that the AWS SDK asks of a response's body."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self) -> Iterator[bytes]:
        yield self._content


def _around(trouble: Trouble | None) -> Callable[[], None]:
    """Does what has to happen before a call, returns what has to happen after it."""
    if trouble in KILLS:
        trouble = Meanwhile("before" if trouble == "killed_before" else "after", _die)
    if not isinstance(trouble, Meanwhile):
        return _nothing
    if trouble.when == "after":
        return trouble.happens
    trouble.happens()
    return _nothing


def _nothing() -> None:
    return


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _whop_call(request: httpx.Request) -> str:
    if request.method == "PUT":
        return "PUT upload"
    return f"{request.method} {re.sub('/(users|files)/.+', r'/\1/{id}', request.url.path).removeprefix('/api/v1')}"


def _aws_call(request: AWSPreparedRequest) -> str | None:
    """A name for what a worker asks of AWS; None for what only tests ask."""
    target = request.headers["X-Amz-Target"]
    operation = (target.decode() if isinstance(target, bytes) else target).rpartition(".")[2]
    body: Any = request.body
    if operation == "TransactWriteItems" and b"#updated_at" in body:
        return "bury"
    if operation == "SendMessage" and json.loads(body)["QueueUrl"].endswith(ANNOUNCEMENTS):
        return "announce"
    if operation != "UpdateItem":
        return _AWS_CALLS.get(operation)
    expression = json.loads(body)["UpdateExpression"]
    return next((name for part, name in _ROW_CALLS if part in expression), None)


@dataclasses.dataclass(frozen=True, slots=True)
class Door:
    """Serves /RRGGBB.png and the answers of troubled servers; /gone.png is gone for good, all else is not found."""

    origin: str

    def url(self, colour: str) -> str:
        return f"{self.origin}/{colour}.png"


@contextmanager
def running_door(trouble: Callable[[str], Trouble | None]) -> Iterator[Door]:
    """`trouble` is asked at each picture."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            page = self.path.removeprefix("/")
            {
                "garbled": lambda: self._answer(200, b"no gzip", {"Content-Encoding": "gzip"}),
                "throttled": lambda: self._answer(400, b'{"__type": "#ThrottlingException", "message": "slow down"}'),
                "error": lambda: self._answer(500, b'{"__type": "#InternalServerError", "message": "broken"}'),
                "reset": lambda: None,
            }.get(page, self._picture)()

        do_GET = do_POST = do_PATCH = do_PUT = _serve  # noqa: N815

        def _picture(self) -> None:
            found = re.fullmatch(r"/([0-9a-f]{6})\.png(\?.*)?", self.path)
            picture = png(found[1]) if found else b""
            match trouble(PICTURE):
                case None:
                    self._answer(200 if found else 410 if self.path == "/gone.png" else 404, picture)
                case "error_500_before":
                    self._answer(500, b"")
                case "rate_limited":
                    self._answer(429, b"")
                case "truncated":
                    self._answer(200, picture[:-20], {"Content-Length": str(len(picture))})
                case Meanwhile(happens=happens):
                    happens()
                    self._answer(200, picture)

        def _answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(content))} | (headers or {})).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Silent: what matters is counted."""

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    with serving(server):
        yield Door(f"http://{LOOPBACK}:{server.server_port}")
