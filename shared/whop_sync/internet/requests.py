"""One request to an address that a user or an operator chose, which is the one dangerous thing this application does.

https only, public addresses only. `streams` looks a host up once for each connection, checks all addresses found and
connects to one of the very addresses checked: a name that resolves to 127.0.0.1 (where Lambda's runtime API listens),
to a private network or to the metadata service never gets there, whatever it resolved to a moment before. Redirects are
answers like any other. Headers are capped, time by one deadline over everything, and nothing is ever decompressed.
"""

import re
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httpcore
import httpx

from whop_sync.internet.addresses import addresses_of
from whop_sync.internet.streams import PinnedBackend, RequestDeadline, connection_to
from whop_sync.tls import default_context

MAX_URL_LENGTH = 8192
"""Longer than any server is expected to take (RFC 9110, 4.1: at least 8000)."""

USER_AGENT = ("User-Agent", "whop-user-sync/1 (+https://docs.whop.com)")
"""Some hosts refuse clients that do not say who they are and where to read about them."""

MAX_HEADERS_BYTES = 16 * 1024
"""Of an answer, all together."""

# A name that can be looked up and stand in a certificate, or an address without a zone.
_HOST = re.compile(r"(?=.{1,254}\Z)([a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+", re.ASCII)


class BadUrlError(Exception):
    """The URL is not valid, or not https. The message is a predicate without any part of it."""


def parsed_url(url: str, *, base: httpx.URL | None = None) -> httpx.URL:
    """A URL whose every part is fit for use. What comes after the host is percent-encoded where needed.

    Raises BadUrlError.
    """
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
        raise BadUrlError("is not valid")
    return parsed


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicHttp:
    """`allowed_origin` is one `http://host:port` that is exempt from https and public addresses, for local stacks.

    `resolve`, `connect` and `tls` are the ways out to the internet; every check is made on this side of them.
    """

    allowed_origin: str | None = None
    resolve: Callable[[str], Sequence[str]] = addresses_of
    connect: Callable[[str, int, float], socket.socket] = connection_to
    tls: Callable[[], ssl.SSLContext] = default_context

    def is_exempt(self, url: httpx.URL) -> bool:
        return f"{url.scheme}://{url.netloc.decode('ascii')}" == self.allowed_origin

    @contextmanager
    def request(
        self,
        method: str,
        url: httpx.URL,
        *,
        headers: Sequence[tuple[str, str]],
        deadline: RequestDeadline,
        content: bytes = b"",
    ) -> Iterator[httpcore.Response]:
        """The answer, whose body is still to be read, on a connection of its own that ends with the block.

        Raises BadUrlError, NotPublicError, OSError and httpcore.ProtocolError.
        """
        is_exempt = self.is_exempt(url)
        if url.scheme != "https" and not is_exempt:
            raise BadUrlError("is not https")
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        backend = PinnedBackend(deadline=deadline, resolve=self.resolve, connect=self.connect, any_address=is_exempt)
        host = target.host.decode("ascii")
        stream: httpcore.NetworkStream = backend.connect_tcp(host, target.origin.port)
        all_headers = [("Host", url.netloc.decode("ascii")), *headers]
        try:
            if target.scheme == b"https":
                stream = stream.start_tls(self.tls(), host)
            http = _Http(target.origin, stream)
            with http.stream(method, target, headers=all_headers, content=content or None) as response:
                yield response
        finally:
            stream.close()


class _Http(httpcore.HTTP11Connection):
    """A smaller cap on incomplete headers: some take a time to read that grows with the square of their length.

    The constant is not documented. A test fails when httpcore stops using it.
    """

    MAX_INCOMPLETE_EVENT_SIZE = MAX_HEADERS_BYTES
