"""Fetches a picture from an address that a user chose, which is the one dangerous thing this application does.

https only, public addresses only. `streams` looks a host up once for each connection, checks all addresses found and
connects to one of the very addresses checked: a name that resolves to 127.0.0.1 (where Lambda's runtime API listens),
to a private network or to the metadata service never gets there, whatever it resolved to a moment before. Every
redirect is a new connection and is checked again. Size is capped while streaming, time by one deadline over everything,
nothing is ever decompressed, and the bytes alone decide the type.
"""

import hashlib
import io
import re
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpcore
import httpx

from whop_sync.pictures.addresses import addresses_of
from whop_sync.pictures.errors import PictureRefused, PictureUnavailable
from whop_sync.pictures.streams import FetchDeadline, PinnedBackend, connection_to
from whop_sync.tls import default_context

MAX_BYTES = 5 * 1024 * 1024
"""Whop documents no limit for a user's picture; 5 MB is its limit for a company's logo."""

TIMEOUT_SECONDS = 15.0
"""For the whole of a fetch, name look-ups and redirects included."""

MAX_REDIRECTS = 3

MAX_URL_LENGTH = 8192
"""Longer than any server is expected to take (RFC 9110, 4.1: at least 8000)."""

MAX_HEADERS_BYTES = 16 * 1024
"""Of an answer, all together."""

# Accept names what can be used: hosts that convert pictures send AVIF to those who take any image. Some hosts refuse
# clients that do not say who they are and where to read about them.
_HEADERS = (
    ("Accept", "image/png, image/jpeg, image/webp, image/gif, */*;q=0.1"),
    ("Accept-Encoding", "identity"),
    ("User-Agent", "whop-user-sync/1 (+https://docs.whop.com)"),
)

_SIGNATURES = ((b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpg"), (b"GIF87a", "gif"), (b"GIF89a", "gif"))

# https://www.iana.org/assignments/http-parameters, "HTTP Content Coding Registry". What else stands in the header is
# no coding: S3 gives back whatever the uploader wrote there, such as `aws-chunked`, `UTF-8` or nothing.
_CODINGS = frozenset(
    {"aes128gcm", "br", "compress", "dcb", "dcz", "deflate", "exi", "gzip", "x-compress", "x-gzip", "zstd"}
)

_REDIRECTS = (301, 302, 303, 307, 308)

# Right after an upload some hosts do not know the file yet, or do not let anyone at it.
_NOT_YET_FOUND = (403, 404)

_NOT_NOW = (202, 408, 425, 429)

# Of OpenSSL's X509_V_ERR_: clocks and renewals of certificates put these right.
_CERT_NOT_YET_VALID = 9
_CERT_HAS_EXPIRED = 10

# A name that can be looked up and stand in a certificate, or an address without a zone.
_HOST = re.compile(r"(?=.{1,254}\Z)([a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Picture:
    content: bytes
    extension: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFetcher:
    """`allowed_origin` is one `http://host:port` that is exempt from https and public addresses, for local stacks.

    `clock` counts seconds from any moment. `resolve`, `connect` and `tls` are the ways out to the internet; every check
    is made on this side of them.
    """

    clock: Callable[[], float]
    allowed_origin: str | None = None
    resolve: Callable[[str], Sequence[str]] = addresses_of
    connect: Callable[[str, int, float], socket.socket] = connection_to
    tls: Callable[[], ssl.SSLContext] = default_context

    def fetch(self, url: str) -> Picture:
        """Raises PictureRefused or PictureUnavailable, whose texts never hold the URL."""
        deadline = FetchDeadline(self.clock, self.clock() + TIMEOUT_SECONDS)
        try:
            return self._follow(url, deadline)
        except ssl.SSLCertVerificationError as error:
            raise _untrusted(error) from None
        except socket.gaierror as error:
            raise _not_resolved(error) from None
        except (OSError, httpcore.ProtocolError) as error:
            raise PictureUnavailable(
                "picture_unavailable", f"the picture's host did not deliver: {type(error).__name__}"
            ) from None

    def _follow(self, url: str, deadline: FetchDeadline) -> Picture:
        target = _parsed(url)
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._get(target, deadline)
            if isinstance(answer, Picture):
                return answer
            target = _parsed(answer, base=target)
        raise PictureRefused("picture_redirects", "the picture's host redirects too often")

    def _get(self, url: httpx.URL, deadline: FetchDeadline) -> Picture | str:
        """The picture, or where a redirect points."""
        netloc = url.netloc.decode("ascii")
        is_exempt = f"{url.scheme}://{netloc}" == self.allowed_origin
        if url.scheme != "https" and not is_exempt:
            raise PictureRefused("picture_bad_url", "a picture's URL must be https")
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        backend = PinnedBackend(deadline=deadline, resolve=self.resolve, connect=self.connect, any_address=is_exempt)
        host = target.host.decode("ascii")
        stream: httpcore.NetworkStream = backend.connect_tcp(host, target.origin.port)
        try:
            if target.scheme == b"https":
                stream = stream.start_tls(self.tls(), host)
            with _Http(target.origin, stream).stream("GET", target, headers=[("Host", netloc), *_HEADERS]) as response:
                return _answer(response)
        finally:
            stream.close()


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


def _untrusted(error: ssl.SSLCertVerificationError) -> PictureRefused | PictureUnavailable:
    if error.verify_code in (_CERT_NOT_YET_VALID, _CERT_HAS_EXPIRED):
        return PictureUnavailable(
            "picture_untrusted", "the certificate of the picture's host is not valid at this time"
        )
    return PictureRefused("picture_untrusted", "the picture's host has no valid certificate")


def _not_resolved(error: socket.gaierror) -> PictureUnavailable:
    if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):  # also while a new name spreads
        return PictureUnavailable("picture_not_found", "the picture's host does not exist")
    return PictureUnavailable("picture_unavailable", "the picture's host could not be looked up")


def _answer(response: httpcore.Response) -> Picture | str:
    headers = [(name.lower(), value) for name, value in response.headers]
    if response.status in _REDIRECTS:
        location = dict(headers).get(b"location")
        if not location:
            raise PictureRefused("picture_redirects", "the picture's host redirects to nowhere")
        return location.decode("utf-8", "replace")
    if response.status in _NOT_NOW or response.status >= 500:  # noqa: PLR2004 - a status speaks for itself
        raise PictureUnavailable("picture_unavailable", f"the picture's host answered {response.status}")
    if response.status in _NOT_YET_FOUND:
        raise PictureUnavailable("picture_not_found", f"the picture's host answered {response.status}")
    if response.status != 200:  # noqa: PLR2004
        raise PictureRefused("picture_not_found", f"the picture's host answered {response.status}")
    content = _body(response)
    extension = _type_of(content)
    if extension:
        return Picture(content, extension)
    encodings = b",".join(value for name, value in headers if name == b"content-encoding").decode("latin-1")
    if _CODINGS & {each.strip().lower() for each in encodings.split(",")}:
        raise PictureRefused("picture_compressed", "the picture came compressed although that was not asked for")
    raise PictureRefused("picture_not_an_image", "the picture is no PNG, JPEG, GIF or WebP")


def _body(response: httpcore.Response) -> bytes:
    content = io.BytesIO()
    for chunk in response.iter_stream():
        if content.tell() + len(chunk) > MAX_BYTES:
            raise PictureRefused("picture_too_large", f"the picture has more than {MAX_BYTES} bytes")
        content.write(chunk)
    return content.getvalue()


def _type_of(content: bytes) -> str | None:
    """The extension that goes with the first bytes, whatever any header names."""
    for signature, extension in _SIGNATURES:
        if content.startswith(signature):
            return extension
    return "webp" if content[:4] == b"RIFF" and content[8:12] == b"WEBP" else None


class _Http(httpcore.HTTP11Connection):
    """With a smaller cap on incomplete headers: reading them takes the square of their length for some.

    The constant is not documented; a test notices when httpcore heeds it no more.
    """

    MAX_INCOMPLETE_EVENT_SIZE = MAX_HEADERS_BYTES
