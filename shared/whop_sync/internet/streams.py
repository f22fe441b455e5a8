"""Connections to a host that others chose: to an address that was checked, and within one deadline over everything.

`PinnedBackend` is httpcore's NetworkBackend and gives NetworkStreams. TLS is written by hand although a stream of
httpcore has `start_tls`: that one leaves messages without content to OpenSSL, which passes over a flood of them without
a look at any clock (tests/integration/test_pictures.py floods with empty hellos and with tickets).
"""

import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpcore

from whop_sync.internet.addresses import is_public

MAX_READ_BYTES = 4096
"""Read at once, at most. Between any two reads the deadline is checked."""

MIN_CONNECT_SECONDS = 1.0
"""What each of a host's addresses gets at least, as long as there is time."""


class NotPublicError(Exception):
    """The host has an address that is not on the public internet."""


@dataclass(frozen=True, slots=True)
class RequestDeadline:
    """`clock` counts seconds from any moment, `at` is when the time is over."""

    clock: Callable[[], float]
    at: float

    def left(self) -> float:
        """Seconds, more than none. Raises TimeoutError."""
        left = self.at - self.clock()
        if left <= 0:
            raise TimeoutError
        return left


def connection_to(address: str, port: int, timeout: float) -> socket.socket:
    """Raises OSError. Not `socket.create_connection`, which would hand the address to a look-up again."""
    connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect((address, port))
    except OSError:
        connection.close()
        raise
    return connection


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedBackend(httpcore.NetworkBackend):
    """Looks a host up once, checks all its addresses and connects to one of the very addresses checked.

    Args:
        deadline: for look-up, connection and all that the stream does later; time-outs that httpcore names are ignored.
        resolve: a host's addresses as text. Raises OSError.
        connect: a connection to an address and a port, within a number of seconds. Raises OSError.
        any_address: leaves out the check, for the one origin that a local stack allows.
    """

    deadline: RequestDeadline
    resolve: Callable[[str], Sequence[str]]
    connect: Callable[[str, int, float], socket.socket]
    any_address: bool

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline decides
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> "BoundedStream":
        """Raises NotPublicError and OSError.

        An address that never answers must not cost the others their chance: each gets an even part of the time that is
        left, and one part more is kept for the transfer.
        """
        addresses = list(dict.fromkeys(self._addresses_of(host)))
        if not self.any_address and not all(map(is_public, addresses)):
            raise NotPublicError
        failure = OSError("the name has no address")
        for tried, address in enumerate(addresses):
            left = self.deadline.left()
            share = min(left, max(left / (len(addresses) - tried + 1), MIN_CONNECT_SECONDS))
            try:
                return BoundedStream(self.connect(address, port, share), self.deadline)
            except OSError as error:
                failure = error
        raise failure

    def _addresses_of(self, host: str) -> Sequence[str]:
        """The system's look-up takes no time-out, and the owner of a name can stretch it to tens of seconds.

        So it gets a thread of its own, which is left to end by itself.
        """
        lookup = ThreadPoolExecutor(max_workers=1)
        try:
            return lookup.submit(self.resolve, host).result(timeout=self.deadline.left())
        finally:
            lookup.shutdown(wait=False)


class BoundedStream(httpcore.NetworkStream):
    """No read or write outlasts the deadline, so a host that sends a byte now and then gains nothing."""

    def __init__(self, connection: socket.socket, deadline: RequestDeadline) -> None:
        self._connection = connection
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the deadline decides
        self._connection.settimeout(self._deadline.left())
        return self._connection.recv(min(max_bytes, MAX_READ_BYTES))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._connection.settimeout(self._deadline.left())
        self._connection.sendall(buffer)

    def close(self) -> None:
        self._connection.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> "_TlsStream":
        """A name's trailing dot is left out: no certificate has one, and RFC 6066, 3 forbids it in a hello."""
        return _TlsStream(self, ssl_context, server_hostname and server_hostname.removesuffix("."))


class _TlsStream(httpcore.NetworkStream):
    """TLS over another stream, which is asked for a few kilobytes at a time and so keeps its deadline."""

    def __init__(self, stream: httpcore.NetworkStream, context: ssl.SSLContext, host: str | None) -> None:
        self._stream = stream
        self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._received, self._to_send, server_hostname=host)
        self._do(self._tls.do_handshake)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the deadline decides
        try:
            return self._do(lambda: self._tls.read(min(max_bytes, MAX_READ_BYTES)))
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return b""

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._do(lambda: self._tls.write(buffer))

    def close(self) -> None:
        self._stream.close()

    def _do[Result](self, step: Callable[[], Result]) -> Result:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self._send()
                received = self._stream.read(MAX_READ_BYTES)
                if received:
                    self._received.write(received)
                else:
                    self._received.write_eof()
            else:
                self._send()
                return result

    def _send(self) -> None:
        if self._to_send.pending:
            self._stream.write(self._to_send.read())
