"""Fetches a picture from an address that a user chose, which is the one dangerous thing this application does.

https only, public addresses only. A host is looked up once for each connection, all addresses found are checked, and
the connection is made to one of the very addresses checked: a name that resolves to 127.0.0.1 (where Lambda's runtime
API listens), to a private network or to the metadata service never gets there, whatever it resolved to a moment before.
Every redirect is a new connection and is checked again. Size is capped while streaming, time by one deadline over
everything, nothing is ever decompressed, and the bytes alone decide the type.
"""

import hashlib
import io
import ipaddress
import re
import socket
import ssl
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpcore
import httpx

from whop_sync.errors import Permanent, Transient
from whop_sync.tls import trusted

MAX_BYTES = 5 * 1024 * 1024
"""Whop documents no limit for a user's picture; 5 MB is its limit for a company's logo."""

TIMEOUT_SECONDS = 15.0
"""For the whole of a fetch, name look-ups and redirects included."""

MAX_REDIRECTS = 3

MAX_URL_LENGTH = 8192
"""Longer than any server is expected to take (RFC 9110, 4.1: at least 8000)."""

_SPOONFUL_BYTES = 4096
"""So much is read at once, at most. Between any two reads the deadline is looked at."""

_MAX_HEADERS_BYTES = 8192
"""Of an answer, all together; those of pictures have one or two thousand."""

_HEADERS = (("Accept", "image/*"), ("Accept-Encoding", "identity"), ("User-Agent", "whop-user-sync"))

_SIGNATURES = ((b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpg"), (b"GIF87a", "gif"), (b"GIF89a", "gif"))

# A name that can be looked up and stand in a certificate, or an address without a zone.
_HOST = re.compile(r"(?=.{1,254}\Z)([a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+", re.ASCII)

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All that IANA has given out of IPv6. Outside are mapped, compatible, translated, local and multicast addresses."""

# Marks the lower half of an ISATAP address (RFC 5214, 6.1), in front of an IPv4 address to tunnel to.
_ISATAP = 0x5EFE
_ISATAP_BITS = 0xFDFF_FFFF

# What IANA keeps for special purposes and `is_global` lets pass, all of it or in part.
_SPECIAL = (
    ipaddress.IPv4Network("192.0.0.0/24"),  # protocol assignments
    ipaddress.IPv4Network("192.88.99.0/24"),  # relays to 6to4
    ipaddress.IPv6Network("2001::/23"),  # protocol assignments, among them Teredo, which has an IPv4 address inside
    ipaddress.IPv6Network("3fff::/20"),  # documentation
)


class PictureRefused(Permanent):
    """This picture will not be had: wrong kind of address, not there, too large, not an image."""


class PictureUnavailable(Transient):
    """The picture's host did not deliver just now."""


@dataclass(frozen=True, slots=True)
class Picture:
    content: bytes
    extension: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def addresses_of(host: str) -> Sequence[str]:
    """All addresses of a name or, unchanged in meaning, of an address. Raises PictureRefused and OSError."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno not in (socket.EAI_NONAME, socket.EAI_NODATA):
            raise
        raise PictureRefused("picture_not_found", "the picture's host does not exist") from None
    return [str(entry[4][0]) for entry in found]


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
class Avatars:
    """`allowed_origin` is one `http://host:port` that is exempt from https and public addresses, for local stacks.

    `clock` counts seconds from any moment. `resolve`, `connect` and `tls` are the ways out to the internet; every check
    is made on this side of them.
    """

    clock: Callable[[], float]
    allowed_origin: str | None = None
    resolve: Callable[[str], Sequence[str]] = addresses_of
    connect: Callable[[str, int, float], socket.socket] = connection_to
    tls: Callable[[], ssl.SSLContext] = trusted

    def fetch(self, url: str) -> Picture:
        """Raises PictureRefused or PictureUnavailable, which never tell the URL."""
        deadline = _Deadline(self.clock, self.clock() + TIMEOUT_SECONDS)
        try:
            content = self._follow(url, deadline)
        except ssl.SSLCertVerificationError:
            raise PictureRefused("picture_untrusted", "the picture's host has no valid certificate") from None
        except (OSError, httpcore.ProtocolError) as error:
            raise PictureUnavailable(
                "picture_unavailable", f"the picture's host did not deliver: {type(error).__name__}"
            ) from None
        return Picture(content, _type_of(content))

    def _follow(self, url: str, deadline: "_Deadline") -> bytes:
        target = _parsed(url)
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._get(target, deadline)
            if isinstance(answer, bytes):
                return answer
            target = _parsed(answer, base=target)
        raise PictureRefused("picture_redirects", "the picture's host redirects too often")

    def _get(self, url: httpx.URL, deadline: "_Deadline") -> bytes | str:
        """The body, or where a redirect points."""
        netloc = url.netloc.decode("ascii")
        exempt = f"{url.scheme}://{netloc}" == self.allowed_origin
        if url.scheme != "https" and not exempt:
            raise PictureRefused("picture_bad_url", "a picture's URL must be https")
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        with self._connected(target, deadline, exempt=exempt) as connection:
            stream: httpcore.NetworkStream = _BoundedStream(connection, deadline)
            if target.scheme == b"https":
                stream = _SecuredStream(stream, self.tls(), target.host.decode("ascii"))
            http = _Http(target.origin, stream)
            with http.stream("GET", target, headers=[("Host", netloc), *_HEADERS]) as response:
                return _answer(response)

    def _connected(self, target: httpcore.URL, deadline: "_Deadline", *, exempt: bool) -> socket.socket:
        addresses = self._looked_up(target.host.decode("ascii"), deadline)
        if not exempt and not all(map(is_public, addresses)):
            raise PictureRefused("picture_not_public", "the picture's host is not on the public internet")
        failure = OSError("the name has no address")
        for address in addresses:
            try:
                return self.connect(address, target.origin.port, deadline.left())
            except OSError as error:
                failure = error
        raise failure

    def _looked_up(self, host: str, deadline: "_Deadline") -> Sequence[str]:
        """The system's look-up takes no timeout, and whoever owns the name may stretch it to tens of seconds.

        So it gets a thread of its own, which is left to end by itself.
        """
        lookup = ThreadPoolExecutor(max_workers=1)
        try:
            return lookup.submit(self.resolve, host).result(timeout=deadline.left())
        finally:
            lookup.shutdown(wait=False)


def _parsed(url: str, *, base: httpx.URL | None = None) -> httpx.URL:
    """A URL whose every part is fit for use. What comes after the host is percent-encoded where needed."""
    try:
        parsed = base.join(url) if base else httpx.URL(url)
        fit = (
            len(url) <= MAX_URL_LENGTH
            and _HOST.fullmatch(parsed.raw_host.decode("ascii"))
            and not parsed.userinfo
            and (parsed.port is None or 0 < parsed.port < 2**16)
        )
    except (httpx.InvalidURL, ValueError):
        fit = False
    if not fit:
        raise PictureRefused("picture_bad_url", "the picture's URL, or one it redirects to, is not valid")
    return parsed


def _answer(response: httpcore.Response) -> bytes | str:
    headers = [(name.lower(), value) for name, value in response.headers]
    if response.status in (301, 302, 303, 307, 308):
        location = dict(headers).get(b"location")
        if not location:
            raise PictureRefused("picture_redirects", "the picture's host redirects to nowhere")
        return location.decode("utf-8", "replace")
    if response.status in (408, 429) or response.status >= 500:  # noqa: PLR2004 - a status speaks for itself
        raise PictureUnavailable("picture_unavailable", f"the picture's host answered {response.status}")
    if response.status != 200:  # noqa: PLR2004
        raise PictureRefused("picture_not_found", f"the picture's host answered {response.status}")
    if any(name == b"content-encoding" and value.lower() != b"identity" for name, value in headers):
        raise PictureRefused("picture_compressed", "the picture came compressed although that was not asked for")
    content = io.BytesIO()
    for chunk in response.iter_stream():
        if content.tell() + len(chunk) > MAX_BYTES:
            raise PictureRefused("picture_too_large", f"the picture has more than {MAX_BYTES} bytes")
        content.write(chunk)
    return content.getvalue()


def _type_of(content: bytes) -> str:
    for signature, extension in _SIGNATURES:
        if content.startswith(signature):
            return extension
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    raise PictureRefused("picture_not_an_image", "the picture is no PNG, JPEG, GIF or WebP")


def is_public(address: str) -> bool:
    """Whether an address, as text, is one that anybody on the internet may connect to."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and (ip not in _GLOBAL_UNICAST or int(ip) >> 32 & _ISATAP_BITS == _ISATAP):
        return False
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _SPECIAL)


@dataclass(frozen=True, slots=True)
class _Deadline:
    clock: Callable[[], float]
    at: float

    def left(self) -> float:
        """Seconds, more than none. Raises TimeoutError."""
        left = self.at - self.clock()
        if left <= 0:
            raise TimeoutError
        return left


class _BoundedStream(httpcore.NetworkStream):
    """No read or write outlasts the deadline, so a host that sends a byte now and then gains nothing."""

    def __init__(self, connection: socket.socket, deadline: _Deadline) -> None:
        self._connection = connection
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the deadline decides
        self._connection.settimeout(self._deadline.left())
        return self._connection.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._connection.settimeout(self._deadline.left())
        self._connection.sendall(buffer)

    def close(self) -> None:
        self._connection.close()


class _SecuredStream(httpcore.NetworkStream):
    """TLS over another stream, fed by spoonfuls.

    A TLS socket looks at no deadline while messages without content keep coming in, which a host can send for ever: new
    tickets, new keys, empty hellos. Here every few kilobytes pass the deadline of the stream below first.
    """

    def __init__(self, stream: httpcore.NetworkStream, context: ssl.SSLContext, host: str) -> None:
        self._stream = stream
        self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._received, self._to_send, server_hostname=host)
        self._do(self._tls.do_handshake)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the deadline decides
        try:
            return self._do(lambda: self._tls.read(max_bytes))
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
                received = self._stream.read(_SPOONFUL_BYTES)
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


class _Http(httpcore.HTTP11Connection):
    """With less patience for what has no end yet: what reads headers takes the square of their length for some."""

    READ_NUM_BYTES = _SPOONFUL_BYTES
    MAX_INCOMPLETE_EVENT_SIZE = _MAX_HEADERS_BYTES
