"""Fetches a picture from an address that a user chose, which is the one dangerous thing this application does.

https only, public addresses only. The address is checked where the connection is made, on the very address connected
to, so a name that resolves to 127.0.0.1 (where Lambda's runtime API listens), to a private network or to the metadata
service never gets there, whatever it resolved to a moment before. Every redirect is a new connection and is checked
again. Size is capped while streaming, time by one deadline over everything, and the bytes alone decide the type.
"""

import hashlib
import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpcore
import httpx

from whop_sync.errors import Permanent, Transient

MAX_BYTES = 5 * 1024 * 1024
"""Whop documents no limit for a user's picture; 5 MB is its limit for a company's logo."""

TIMEOUT_SECONDS = 15.0
"""For the whole of a fetch, redirects included."""

MAX_REDIRECTS = 3

_SIGNATURES = ((b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpg"), (b"GIF87a", "gif"), (b"GIF89a", "gif"))
# Ranges that carry an IPv4 address inside, which the gateway behind them would reach: NAT64, 6to4, Teredo.
_TRANSLATED = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Avatars:
    """`allowed_origin` is one `http://host:port` that is exempt from https and public addresses, for local stacks."""

    clock: Callable[[], float]
    allowed_origin: str | None = None

    def fetch(self, url: str) -> Picture:
        """Raises PictureRefused or PictureUnavailable."""
        deadline = _Deadline(self.clock, self.clock() + TIMEOUT_SECONDS)
        try:
            content = self._follow(url, deadline)
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError) as error:
            raise PictureUnavailable("picture_unavailable", type(error).__name__) from None
        return Picture(content, _type_of(content))

    def _follow(self, url: str, deadline: "_Deadline") -> bytes:
        target = _parsed(url)
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._get(target, deadline)
            if isinstance(answer, bytes):
                return answer
            try:
                target = target.join(answer)
            except httpx.InvalidURL:
                raise PictureRefused("picture_bad_url", "the picture's host redirects to no valid URL") from None
        raise PictureRefused("picture_redirects", "the picture's host redirects too often")

    def _get(self, url: httpx.URL, deadline: "_Deadline") -> bytes | str:
        """The body, or where a redirect points."""
        origin = f"{url.scheme}://{url.netloc.decode('ascii')}"
        exempt = origin == self.allowed_origin
        if not url.host or url.userinfo or (url.scheme != "https" and not exempt):
            raise PictureRefused("picture_bad_url", "a picture's URL must be https, without user name or password")
        backend = _GuardedBackend(deadline, exempt=exempt)
        headers = {"Host": url.netloc.decode("ascii"), "Accept": "image/*", "Accept-Encoding": "identity"}
        request = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        with (
            httpcore.ConnectionPool(ssl_context=_tls(), network_backend=backend, max_connections=1) as pool,
            pool.stream("GET", request, headers=list(headers.items())) as response,
        ):
            return _body(response)


def _parsed(url: str) -> httpx.URL:
    try:
        return httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        raise PictureRefused("picture_bad_url", "the picture's URL is not valid") from None


def _body(response: httpcore.Response) -> bytes | str:
    headers = {name.lower(): value for name, value in response.headers}
    if response.status in (301, 302, 303, 307, 308):
        return headers.get(b"location", b"").decode("latin-1")
    if response.status == 429 or response.status >= 500:  # noqa: PLR2004 - a status speaks for itself
        raise PictureUnavailable("picture_unavailable", f"the picture's host answered {response.status}")
    if response.status != 200:  # noqa: PLR2004
        raise PictureRefused("picture_not_found", f"the picture's host answered {response.status}")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise PictureRefused("picture_compressed", "the picture came compressed although that was not asked for")
    content = bytearray()
    for chunk in response.iter_stream():
        content += chunk
        if len(content) > MAX_BYTES:
            raise PictureRefused("picture_too_large", f"the picture has more than {MAX_BYTES} bytes")
    return bytes(content)


def _type_of(content: bytes) -> str:
    for signature, extension in _SIGNATURES:
        if content.startswith(signature):
            return extension
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    raise PictureRefused("picture_not_an_image", "the picture is no PNG, JPEG, GIF or WebP")


def is_public(address: str) -> bool:
    """Whether an address, as text, is one that anybody on the internet may connect to."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped:
            ip = ip.ipv4_mapped
        elif any(ip in network for network in _TRANSLATED):
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


@cache
def _tls() -> ssl.SSLContext:
    return httpcore.default_ssl_context()


@dataclass(frozen=True, slots=True)
class _Deadline:
    clock: Callable[[], float]
    at: float

    def left(self) -> float:
        left = self.at - self.clock()
        if left <= 0:
            raise httpcore.ReadTimeout("the whole fetch took too long")
        return left


class _GuardedBackend(httpcore.NetworkBackend):
    def __init__(self, deadline: _Deadline, *, exempt: bool) -> None:
        self._deadline = deadline
        self._exempt = exempt
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline decides
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = _resolve(host, port)
        if not self._exempt and not all(map(is_public, addresses)):
            raise PictureRefused("picture_not_public", "the picture's host is not on the public internet")
        failure: Exception = httpcore.ConnectError("no address")
        for address in addresses:
            try:
                stream = self._sockets.connect_tcp(address, port, self._deadline.left(), local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _BoundedStream(stream, self._deadline)
        raise failure


class _BoundedStream(httpcore.NetworkStream):
    """No read or write outlasts the deadline, so a host that sends a byte now and then gains nothing."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, self._deadline.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, self._deadline.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        return _BoundedStream(
            self._stream.start_tls(ssl_context, server_hostname, self._deadline.left()), self._deadline
        )

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _resolve(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise PictureUnavailable(
                "picture_unavailable", "the picture's host could not be resolved just now"
            ) from None
        raise PictureRefused("picture_not_found", "the picture's host does not exist") from None
    except (UnicodeError, OSError):
        raise PictureRefused("picture_bad_url", "the picture's host is not a valid name") from None
    return [str(entry[4][0]) for entry in found]
