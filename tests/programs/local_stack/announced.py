"""The platform's receiving end: takes announcements, checks them by the official library, and shows what came."""

import html
import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

from local_stack.processes import LOOPBACK, reachable
from local_stack.serving import serving

ANNOUNCEMENT_SECRET = "whsec_ZGVtbyBhbm5vdW5jZW1lbnRzLCBuZXZlciBmb3IgcmVhbCE="
"""Base64 of "demo announcements, never for real!"."""

ANNOUNCEMENTS_PATH = "/whop-announcements"


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """One announcement that was taken. `body` is its JSON."""

    id: str
    at: datetime
    body: Mapping[str, Any]

    @property
    def type(self) -> str:
        return str(self.body["type"])

    @property
    def user_id(self) -> str:
        return str(self.body["data"]["user_id"])

    @property
    def facts(self) -> str:
        """What it says beside user and version."""
        data = self.body["data"]
        return ", ".join(f"{name} {data[name]}" for name in data if name not in ("user_id", "version"))

    @property
    def version(self) -> int | None:
        """None for what Whop's own webhooks made."""
        version: int | None = self.body["data"].get("version")
        return version


@dataclass(slots=True)
class Failures:
    """How the receiving end fails: the next so many calls, and a share of all of them, the first one among it. Half of
    the share, it fails only after it took what came: such an announcement comes once more."""

    next: int = 0
    share: float = 0.0
    _came: int = 0
    _taken: int = 0

    def before(self) -> bool:
        if self.next > 0:
            self.next -= 1
            return True
        self._came += bool(self.share)
        return self._is_one_of_the_share(self._came)

    def after(self) -> bool:
        self._taken += bool(self.share)
        return self._is_one_of_the_share(self._taken)

    def _is_one_of_the_share(self, number: int) -> bool:
        return math.ceil(number * self.share / 2) > math.ceil((number - 1) * self.share / 2)


class AnnouncementReceiver:
    """Takes POST at ANNOUNCEMENTS_PATH; GET shows what came, for a person."""

    def __init__(self, host: str, port: int, secret: str = ANNOUNCEMENT_SECRET) -> None:
        self.taken: list[Announced] = []
        """In the order of arrival, repetitions among them."""
        self.failures = Failures()
        self.calls = 0
        self.failed = 0
        self.rejected = 0
        self._lock = threading.Lock()
        self._webhook = Webhook(secret)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                self._answer(
                    receiver.take(dict(self.headers.items()), body) if self.path == ANNOUNCEMENTS_PATH else 404, b""
                )

            def do_GET(self) -> None:
                self._answer(200, receiver.page().encode())

            def do_HEAD(self) -> None:
                self._answer(405, b"")

            def _answer(self, status: int, content: bytes) -> None:
                self.send_response(status)
                if content:
                    self.send_header("Content-Type", "text/html; charset=utf-8")
                if status != 204:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Silent: what came is shown."""

        self.server = ThreadingHTTPServer((host, port), Handler)
        self.origin = f"http://{reachable(host)}:{self.server.server_address[1]}"
        self.url = self.origin + ANNOUNCEMENTS_PATH

    def take(self, headers: Mapping[str, str], body: bytes) -> int:
        """Takes one call, and returns the status to answer it with."""
        with self._lock:
            self.calls += 1
            if self.failures.before():
                self.failed += 1
                return 503
            try:
                announcement = self._webhook.verify(body, dict(headers))
            except (WebhookVerificationError, ValueError):
                self.rejected += 1
                return 401
            ids = {name.lower(): value for name, value in headers.items()}
            self.taken.append(Announced(id=ids["webhook-id"], at=datetime.now(UTC), body=announcement))
            if self.failures.after():
                self.failed += 1
                return 500
            return 204

    def of(self, user_id: str) -> list[Announced]:
        """What was announced about a user, each once, in the order of versions; Whop's last."""
        with self._lock:
            once = {each.id: each for each in self.taken if each.user_id == user_id}
        return sorted(once.values(), key=lambda each: (each.version is None, each.version or 0))

    def page(self) -> str:
        with self._lock:
            taken = [*reversed(self.taken)]
        rows = "".join(
            "<tr>"
            + "".join(
                f"<td>{html.escape(str(cell))}</td>"
                for cell in (f"{each.at:%H:%M:%S}", each.user_id, each.version or "", each.type, each.facts, each.id)
            )
            + "</tr>"
            for each in taken
        )
        head = "".join(f'<th scope="col">{name}</th>' for name in ("at", "user", "version", "type", "with", "id"))
        return (
            '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            '<meta http-equiv="refresh" content="2"><title>Announcements</title>'
            "<style>body{font:15px system-ui;margin:1rem}td,th{padding:.2rem .8rem .2rem 0;text-align:left}</style>"
            f"<h1>Announcements to your platform</h1><p>{len(taken)} came.</p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></html>"
        )


@contextmanager
def running_announcement_receiver(*, host: str = LOOPBACK, port: int = 0) -> Iterator[AnnouncementReceiver]:
    receiver = AnnouncementReceiver(host, port)
    with serving(receiver.server):
        yield receiver
