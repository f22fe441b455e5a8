"""Who may use the page: the browser of the person who started it, and no page of another origin.

- The address that is opened holds a token. The first request trades it for a cookie, which is HttpOnly and SameSite.
- Host must be loopback with our port, so a name that another site points at 127.0.0.1 gets nothing (DNS rebinding).
- A change needs the same Origin and a form token that is derived from the session, so no other page can post (CSRF).
- The content security policy lets the page load its own files only, and lets no page frame it. A page that is one of
  its tabs, as that of the local stand-in for Whop, is framed on that tab alone.
"""

import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ORIGIN = re.compile(r"https?://(\[[0-9a-f:]+\]|[a-z0-9.-]+)(:[0-9]{1,5})?", re.IGNORECASE | re.ASCII)


def policy(*, frames: str = "'none'") -> str:
    """The content security policy of a page that frames this origin, or none."""
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
        f" form-action 'self'; base-uri 'none'; frame-ancestors 'none'; frame-src {frames}"
    )


def origin(url: str) -> str:
    """Scheme, host and port of an address. Raises ValueError if it has none, or more than a policy can name."""
    found = _ORIGIN.match(url)
    if found is None or url[found.end() : found.end() + 1] not in ("", "/", "?", "#"):
        raise ValueError("no URL of a page")
    return found[0]


HEADERS: Mapping[str, str] = {
    "content-security-policy": policy(),
    "cache-control": "no-store",
    "referrer-policy": "same-origin",  # with no-referrer, a browser hides the Origin of our own forms too
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """`port` is that of the server. `token` is made anew at each start."""

    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @property
    def cookie(self) -> str:
        """Its name. A browser separates the ports of one host for pages, and not for cookies: two of these pages side
        by side would throw each other out."""
        return f"whop_user_sync_console_{self.port}"

    @property
    def hosts(self) -> tuple[str, ...]:
        return (f"127.0.0.1:{self.port}", f"localhost:{self.port}")

    @property
    def address(self) -> str:
        """What the person opens."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    @property
    def form_token(self) -> str:
        """Stands in every form. Another origin can neither read nor guess it."""
        return hmac.digest(self.token.encode(), b"form", "sha256").hex()

    def refusal(self, request: Request) -> Response | None:
        """Why a request is not answered, None if it may pass. The forms themselves are checked by `is_form_ours`."""
        if request.headers.get("host") not in self.hosts:
            return PlainTextResponse("This page is served for 127.0.0.1 only.", 421)
        offered = request.query_params.get("token")
        if offered is not None:
            return self._traded(request, offered)
        if not _equal(request.cookies.get(self.cookie, ""), self.token):
            return PlainTextResponse("Open the address that the command printed: it holds the key to this page.", 403)
        origin = request.headers.get("origin")
        if request.method not in ("GET", "HEAD") and origin not in {f"http://{host}" for host in self.hosts}:
            return PlainTextResponse("This request comes from another page.", 403)
        return None

    def is_form_ours(self, form_token: object) -> bool:
        return isinstance(form_token, str) and _equal(form_token, self.form_token)

    def _traded(self, request: Request, offered: str) -> Response:
        if not _equal(offered, self.token):
            return PlainTextResponse("This address is of an earlier start: open the one that the command printed.", 403)
        rest = [(name, value) for name, value in parse_qsl(request.url.query) if name != "token"]
        path = f"/{request.url.path.lstrip('/')}"  # two slashes before it would lead to another host
        response = RedirectResponse(path + (f"?{urlencode(rest)}" if rest else ""), 303)
        response.set_cookie(self.cookie, self.token, httponly=True, samesite="strict", path="/")
        return response


def _equal(offered: str, secret: str) -> bool:
    """In the same time wherever they differ. What is offered may be any text, also such as no encoding takes."""
    return hmac.compare_digest(offered.encode(errors="replace"), secret.encode())


class GuardMiddleware:
    """Puts the guard before every request, and its headers on every answer."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._guard.refusal(Request(scope, receive))
        await (refusal or self._app)(scope, receive, send_with_headers)
