"""Fetches a picture from an address that a user chose.

The request is as `internet.requests` makes it: https only, public addresses only. Every redirect is a new connection
and is checked again. Size is capped while streaming, time by one deadline over everything, nothing is ever
decompressed, and the bytes alone decide the type.
"""

import hashlib
import io
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

import httpcore
import httpx

from whop_sync.events import is_data_url
from whop_sync.internet.requests import USER_AGENT, BadUrlError, PublicHttp, parsed_url
from whop_sync.internet.streams import NotPublicError, RequestDeadline
from whop_sync.pictures.errors import PictureRefused, PictureUnavailable

MAX_BYTES = 5 * 1024 * 1024
"""Whop documents no limit for a user's picture; 5 MB is its limit for a company's logo."""

TIMEOUT_SECONDS = 15.0
"""For the whole of a fetch while no person waits, name look-ups and redirects included."""

MAX_REDIRECTS = 3

# Accept names what can be used: hosts that convert pictures send AVIF to those who take any image.
_HEADERS = (
    ("Accept", "image/png, image/jpeg, image/webp, image/gif, */*;q=0.1"),
    ("Accept-Encoding", "identity"),
    USER_AGENT,
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


@dataclass(frozen=True, slots=True)
class Picture:
    content: bytes
    extension: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFetcher:
    """`clock` counts seconds from any moment; a fetch gets so many `seconds`."""

    clock: Callable[[], float]
    http: PublicHttp = field(default_factory=PublicHttp)
    seconds: float = TIMEOUT_SECONDS

    def fetch(self, url: str) -> Picture:
        """Raises PictureRefused or PictureUnavailable, whose texts never hold the URL."""
        if is_data_url(url):
            raise PictureRefused("picture_inline", "the picture is a data: URL, not the address of one")
        deadline = RequestDeadline(self.clock, self.clock() + self.seconds)
        try:
            return self._follow(url, deadline)
        except BadUrlError as error:
            raise PictureRefused("picture_bad_url", f"the picture's URL, or one it redirects to, {error}") from None
        except NotPublicError:
            raise PictureRefused("picture_not_public", "the picture's host is not on the public internet") from None
        except ssl.SSLCertVerificationError as error:
            raise _untrusted(error) from None
        except socket.gaierror as error:
            raise _not_resolved(error) from None
        except (OSError, httpcore.ProtocolError) as error:
            raise PictureUnavailable(
                "picture_unavailable", f"the picture's host did not deliver: {type(error).__name__}"
            ) from None

    def _follow(self, url: str, deadline: RequestDeadline) -> Picture:
        target = parsed_url(url)
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._get(target, deadline)
            if isinstance(answer, Picture):
                return answer
            target = parsed_url(answer, base=target)
        raise PictureRefused("picture_redirects", "the picture's host redirects too often")

    def _get(self, url: httpx.URL, deadline: RequestDeadline) -> Picture | str:
        """The picture, or where a redirect points."""
        with self.http.request("GET", url, headers=_HEADERS, deadline=deadline) as response:
            return _answer(response)


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
