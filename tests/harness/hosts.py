"""Hosts on loopback that answer well, badly, slowly or not at all: what requests to the internet must bear."""

import contextlib
import itertools
import queue
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

HURRY = 0.4
"""Seconds of real time that a request has in the tests of its deadline."""
PATIENCE = 5.0
"""Seconds that a server keeps up its attack, far longer than any request may take."""

type Script = Callable[[socket.socket], None]
"""What a host does with a connection, once it has read the request; then it says no more."""


def hurried(total: float) -> Callable[[], float]:
    """A real clock by which a request that has `total` seconds began almost all of them ago."""
    looks = itertools.count()
    return lambda: time.monotonic() - (total - HURRY if next(looks) == 0 else 0)


def head(*headers: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode("latin-1")


def says(*parts: bytes) -> Script:
    def script(connection: socket.socket) -> None:
        for part in parts:
            connection.sendall(part)

    return script


def sends(body: bytes = b"", *headers: str, status: str = "200 OK") -> Script:
    return says(head(f"Content-Length: {len(body)}", *headers, status=status), body)


def redirects(to: str, status: str = "302 Found") -> Script:
    return sends(b"moved", f"Location: {to}", "Set-Cookie: session=1", status=status)


def repeats(part: bytes, *, first: bytes = b"", every: float = 0.0) -> Script:
    """For as long as the other side listens, and no longer than PATIENCE."""

    def script(connection: socket.socket) -> None:
        connection.sendall(first)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            connection.sendall(part)
            time.sleep(every)

    return script


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def hangs(_connection: socket.socket) -> None:
    time.sleep(PATIENCE)


SLOW_ANSWERS: Mapping[str, Script] = {
    "silence": hangs,
    "a header": repeats(b"x", first=b"HTTP/1.1 200 OK\r\nX-Slow: ", every=0.05),
    "headers": repeats(b"X-More: x\r\n", first=b"HTTP/1.1 200 OK\r\n", every=0.05),
    "1xx flood": repeats(head(status="100 Continue")),
    "1xx drip": repeats(head(status="103 Early Hints"), every=0.05),
    "empty lines": repeats(b"\r\n" * 100),
}
"""Answers whose head never comes to an end."""

NO_HTTP: Mapping[str, Script] = {
    "nothing": says(),
    "garbage": says(b"GARBAGE\r\n\r\n"),
    "HTTP/2": says(b"HTTP/2 200 OK\r\n\r\n"),
    "half a line": says(b"HTTP/1.1 200"),
    "no header": says(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"),
    "a header with a null": says(b"HTTP/1.1 200 OK\r\nX: \0\r\n\r\n"),
    "101": says(head("Upgrade: h2c", status="101 Switching Protocols")),
    "endless headers": repeats(b"X-More: x\r\n" * 1000, first=b"HTTP/1.1 200 OK\r\n"),
    "an endless header": repeats(b"x" * 65536, first=b"HTTP/1.1 200 OK\r\nX-Long: "),
    "an endless line": repeats(b"x" * 65536, first=b"HTTP/1.1 200 "),
}
"""Answers that are none, or go beyond what is read of one."""


@dataclass
class Host:
    """A server with one script for every path it knows; without `tls` it speaks plain HTTP."""

    tls: ssl.SSLContext | None = None
    scripts: dict[str, Script] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    connections: int = 0
    hung_up: "queue.SimpleQueue[bool]" = field(default_factory=queue.SimpleQueue)
    """Whether the other side closed, for each connection whose script has ended."""

    def __enter__(self) -> "Host":
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Wakes the thread that accepts, which closing alone does not.
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._accepting.join(PATIENCE)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with plain, contextlib.suppress(OSError):
            connection = self.tls.wrap_socket(plain, server_side=True) if self.tls else plain
            with connection:
                request = b""
                while not _is_whole(request):
                    received = connection.recv(65536)
                    if not received:
                        return
                    request += received
                self.requests.append(request.decode("latin-1"))
                self._play(connection, request.split(b" ")[1].decode().partition("?")[0])

    def _play(self, connection: socket.socket, path: str) -> None:
        try:
            self.scripts.get(path, sends(b"nothing", status="404 Not Found"))(connection)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(PATIENCE)
            self.hung_up.put(connection.recv(1) == b"")
        except OSError as error:
            self.hung_up.put(not isinstance(error, TimeoutError))


def _is_whole(request: bytes) -> bool:
    head, end, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return bool(end) and len(body) >= int(length[1] if length else 0)


@contextlib.contextmanager
def bare_host(script: Script) -> Iterator[Host]:
    """A host that takes one connection and begins at once, whatever it is sent."""

    def serve() -> None:
        with contextlib.suppress(OSError), server.accept()[0] as connection:
            script(connection)

    with socket.create_server(("127.0.0.1", 0)) as server:
        host = Host()
        host.port = server.getsockname()[1]
        threading.Thread(target=serve, daemon=True).start()
        yield host


def floods_with_hellos(connection: socket.socket) -> None:
    """OpenSSL passes over a server's requests for a new hello, and looks at no clock while there are more."""
    connection.recv(65536)
    repeats(b"\x16\x03\x03\x00\x04\0\0\0\0" * 7000)(connection)


def floods_with_tickets(authority: trustme.CA, key_log: Path, name: str) -> Script:
    """A TLS 1.3 server that goes on with session tickets (RFC 8446, 4.6.1), encrypted here since ssl sends but one."""

    def derived(secret: bytes, label: bytes, length: int, digest: hashes.HashAlgorithm) -> bytes:
        name = b"tls13 " + label
        info = struct.pack(">HB", length, len(name)) + name + b"\0"
        return HKDFExpand(algorithm=digest, length=length, info=info).derive(secret)

    def script(plain: socket.socket) -> None:
        tls = server_tls(authority, name)
        tls.minimum_version, tls.num_tickets, tls.keylog_filename = ssl.TLSVersion.TLSv1_3, 0, str(key_log)
        raw = plain.dup()
        with raw, tls.wrap_socket(plain, server_side=True) as connection:
            connection.recv(65536)
            cipher = connection.cipher()
            assert cipher
            digest = hashes.SHA384() if cipher[0].endswith("384") else hashes.SHA256()
            logged = [line.split() for line in key_log.read_text().splitlines()]
            secret = next(bytes.fromhex(line[2]) for line in logged if line[0] == "SERVER_TRAFFIC_SECRET_0")
            kind = ChaCha20Poly1305 if "CHACHA" in cipher[0] else AESGCM
            aead = kind(derived(secret, b"key", 16 if "128" in cipher[0] else 32, digest))
            nonce = int.from_bytes(derived(secret, b"iv", 12, digest))
            ticket = struct.pack(">IIBHsH", 7200, 0, 0, 1, b"t", 0)
            message = b"\x04" + len(ticket).to_bytes(3) + ticket
            content = message * (16384 // len(message)) + b"\x16"
            header = b"\x17\x03\x03" + struct.pack(">H", len(content) + 16)
            end = time.monotonic() + PATIENCE
            for number in itertools.takewhile(lambda _: time.monotonic() < end, itertools.count()):
                raw.sendall(header + aead.encrypt((nonce ^ number).to_bytes(12), content, header))

    return script


type TlsAttack = Callable[[trustme.CA, Path, str], Script]
"""By the authority that is trusted, a file for keys, and the name that the host is called by."""

TLS_ATTACKS: Mapping[str, TlsAttack] = {
    "a silent handshake": lambda *_: hangs,
    "a slow handshake": lambda *_: repeats(b"\x03", first=b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03", every=0.05),
    "empty messages": lambda *_: floods_with_hellos,
    "tickets": floods_with_tickets,  # after the handshake; a record has many, of which OpenSSL takes one at a time
}
"""What a bare host does to hold a connection for ever before it answers."""


def server_tls(authority: trustme.CA, *names: str, **rest: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names, key_type=trustme.KeyType.ECDSA, **rest).configure_cert(context)
    return context
