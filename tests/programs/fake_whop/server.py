"""HTTP in and out: one port for the API and the control endpoints, another one for uploads and pictures."""

import dataclasses
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from fake_whop.control import add_user, control, picture, set_balance
from fake_whop.protocol import Answer, Body, Request
from fake_whop.state import (
    ALL_SCOPES,
    PLATFORM_COMPANY,
    PLATFORM_KEY,
    Company,
    Credential,
    File,
    User,
)
from fake_whop.switches import Fault, Switches
from fake_whop.webhooks import Sent, with_new_secret
from fake_whop.whop import API_PREFIX, Call, Reply, Whop


class FakeWhop:
    """A running fake of Whop's REST API. Use it as a context manager, or call start() and stop().

    clock:             seconds since the epoch; every rule about time goes by it.
    port, upload_port: 0 picks a free one.
    public_upload_url: how clients reach the upload port, if not by host and port (for example from a container).
    """

    def __init__(
        self,
        *,
        switches: Switches | None = None,
        clock: Callable[[], float] = time.time,
        host: str = "127.0.0.1",
        port: int = 0,
        upload_port: int = 0,
        public_upload_url: str | None = None,
        api_key: str = PLATFORM_KEY,
        company_id: str = PLATFORM_COMPANY,
    ) -> None:
        self.company_id = company_id
        self._stopping = threading.Event()
        self._whop = Whop(Credential(api_key, company_id), switches or Switches(), clock, self._stopping.wait)
        self._api = _Server((host, port), _ApiHandler, self._whop, self._stopping)
        self._storage = _Server((host, upload_port), _StorageHandler, self._whop, self._stopping)
        reachable = "127.0.0.1" if host in ("", "0.0.0.0") else host
        self.api_url = f"http://{reachable}:{self._api.server_port}{API_PREFIX}"
        self.control_url = f"http://{reachable}:{self._api.server_port}"
        self.upload_url = public_upload_url or f"http://{reachable}:{self._storage.server_port}"
        self._whop.uploads_url = self.upload_url

    def start(self) -> Self:
        for server in (self._api, self._storage):
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Close both ports and every connection, also those that a fault keeps waiting."""
        self._stopping.set()
        for server in (self._api, self._storage):
            server.shutdown()
            server.server_close()
            server.close_connections()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def switches(self) -> Switches:
        return self._whop.switches

    @property
    def calls(self) -> list[Call]:
        """All calls up to now, uploads included, in the order in which they ended."""
        return self._whop.calls()

    def calls_to(self, operation: str) -> list[Call]:
        return [call for call in self.calls if call.operation == operation]

    def fault(self, fault: Fault) -> None:
        """Plan a failure. Of several that fit a call, the one planned first hits it."""
        self._whop.plan(fault)

    def reset(self) -> None:
        self._whop.reset()

    def add_user(self, *, email: str, name: str | None = None, member_of: str | None = None) -> User:
        """A person who came by Whop sign-in: known to Whop, and to the company joined, without a connected account."""
        return add_user(self._whop, email, name, member_of)

    def add_api_key(
        self, key: str, *, company_id: str = PLATFORM_COMPANY, scopes: frozenset[str] = ALL_SCOPES
    ) -> Credential:
        """A further key; a company that is new comes into being as another platform."""
        credential = Credential(key, company_id, scopes)
        with self._whop.lock:
            self._whop.state.add_credential(credential, self._whop.now())
        return credential

    def set_balance(self, account_id: str, balance: float) -> None:
        """Money of a connected account, which keeps it from being deleted. Raises KeyError if there is none."""
        set_balance(self._whop, account_id, balance)

    def emit(self, event: str, account_id: str, data: Body | None = None) -> list[Sent]:
        """Something happens to an account (its id): every webhook that takes the event is sent, before this returns.

        `data` changes fields of the object that the event carries. Raises KeyError for an account that is not there.
        """
        return self._whop.emit(event, account_id, data)

    def send_again(self, sent: Sent) -> Sent:
        """Sends a webhook once more under its id, as after an answer that was lost, or when it is replayed."""
        return self._whop.send_again(sent)

    @property
    def sent_webhooks(self) -> list[Sent]:
        return self._whop.sent_webhooks()

    def rotate_webhook_secret(self, hook_id: str) -> str:
        """A new secret, beside which the old one goes on signing."""
        with self._whop.lock:
            hooks = self._whop.settled().hooks
            hooks[hook_id] = with_new_secret(hooks[hook_id])
            return hooks[hook_id].secrets[0]

    def companies(self, parent: str | None = None) -> list[Company]:
        """The connected accounts of the platform (or of another parent), oldest first."""
        with self._whop.lock:
            return self._whop.settled().children(parent or self.company_id)

    def users(self) -> list[User]:
        """Everybody on Whop with their global profile, owners of platforms included."""
        with self._whop.lock:
            return list(self._whop.settled().users.values())

    def profile(self, user: str, company: str | None = None) -> User:
        """A user (by id, e-mail or username) as the platform shows them. Raises KeyError if there is none."""
        with self._whop.lock:
            state = self._whop.settled()
            found = state.find_user(user)
            if found is None:
                raise KeyError(user)
            return state.profile(found, company or self.company_id)

    def picture(self, user: str, company: str | None = None) -> bytes | None:
        """The bytes of the picture that the platform shows for a user."""
        file_id = self.profile(user, company).picture_file
        return None if file_id is None else self.file(file_id).content

    def file(self, file_id: str) -> File:
        with self._whop.lock:
            return self._whop.settled().files[file_id]

    def files(self) -> list[File]:
        """All file records, uploaded or not, oldest first."""
        with self._whop.lock:
            return list(self._whop.settled().files.values())

    @property
    def file_count(self) -> int:
        return len(self.files())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def __init__(
        self,
        address: tuple[str, int],
        handler: type[BaseHTTPRequestHandler],
        whop: Whop,
        stopping: threading.Event,
    ) -> None:
        self.whop = whop
        self.stopping = stopping
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(address, handler)

    def server_bind(self) -> None:
        # The base class asks the name service for the host's full name, which can take seconds.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        # Without the base class's orderly shutdown first, so that a reset is one.
        with self._open_lock:
            self._open.discard(request)
        self.close_request(request)

    def close_connections(self) -> None:
        with self._open_lock:
            still_open = list(self._open)
        for connection in still_open:
            # It may have been closed by the other side in the meantime.
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what many tests are about; anything else is a defect of the fake and is shown."""
        if not self.stopping.is_set():
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    # Head and body in one segment, sent at once: otherwise a delayed ACK costs 40 ms a call.
    wbufsize = -1
    disable_nagle_algorithm = True
    server_version = "fake-whop"
    sys_version = ""

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def finish(self) -> None:
        # A client that is gone can not be sent what is left.
        with suppress(OSError):
            super().finish()

    def read_request(self) -> Request | None:
        """The whole request, or None after an answer to one that names no length of its body."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdigit()):
            self.close_connection = True
            self.send(Answer(411, b""))
            return None
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Request(self.command, path, query, headers, self.rfile.read(int(length)))

    def send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def deliver(self, reply: Reply) -> None:
        if reply.delivery == "send":
            self.send(reply.answer)
            return
        self.close_connection = True
        if reply.delivery == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        # Silence: until the client gives up, which shows as the end of what can be read, or the server stops.
        while not self.server.stopping.is_set():
            readable, _, _ = select.select([self.connection], [], [], 0.05)
            if readable:
                return

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The Date header goes by the fake's clock like everything else."""
        return super().date_time_string(self.server.whop.now() if timestamp is None else timestamp)

    def log_message(self, *_: object) -> None:
        """The log of calls is kept by the fake; the console stays clean."""


class _ApiHandler(_Handler):
    def _serve(self) -> None:
        request = self.read_request()
        if request is None:
            return
        whop = self.server.whop
        if request.path.startswith(API_PREFIX + "/"):
            reply = whop.handle(request)
            name = whop.switches.request_id_header
            if name is not None:
                identified = {**reply.answer.headers, name: f"req_{time.monotonic_ns():x}"}
                reply = dataclasses.replace(reply, answer=dataclasses.replace(reply.answer, headers=identified))
            self.deliver(reply)
        else:
            self.send(control(whop, request))

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve  # noqa: N815


class _StorageHandler(_Handler):
    def do_PUT(self) -> None:
        request = self.read_request()
        if request is not None:
            self.deliver(self.server.whop.upload(request))

    def do_GET(self) -> None:
        """Pictures as Whop's CDN serves them, and generated ones for users who have none."""
        request = self.read_request()
        if request is not None:
            self.send(picture(self.server.whop, request.path))
