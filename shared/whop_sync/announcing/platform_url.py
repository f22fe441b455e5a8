"""The URL of the platform's backend that takes announcements: what it must be, checked before the first one is sent."""

import socket
from contextlib import suppress

import httpx

from whop_sync.internet.addresses import is_public
from whop_sync.internet.requests import BadUrlError, PublicHttp, parsed_url

_NEVER_PUBLIC = frozenset(("localhost", "local", "internal", "invalid"))
"""Last parts of names that public DNS never has: https://www.iana.org/assignments/special-use-domain-names, and
`internal` by ICANN's resolution of 2024-07-29."""


def checked_platform_url(url: str, *, http: PublicHttp, own_webhook_url: str) -> httpx.URL:
    """Raises ValueError, with a sentence for the operator that holds no part of the URL.

    No announcement goes to the stack's own API: it would come back as a webhook. A domain of the operator's own in
    front of that API is not recognized here; what is announced there is refused for its signature, whose secret is
    another one than that of the platform's webhooks.
    """
    try:
        parsed = parsed_url(url)
    except BadUrlError as error:
        raise ValueError(f"PLATFORM_URL {error}") from None
    if http.is_exempt(parsed):
        return parsed
    if parsed.scheme != "https":
        raise ValueError("PLATFORM_URL is not https")
    if parsed.host.removesuffix(".") == httpx.URL(own_webhook_url).host:
        raise ValueError(
            "PLATFORM_URL leads to this stack's own API, which would take announcements for webhooks: give the URL of"
            " your backend"
        )
    if _is_inside(parsed.host):
        raise ValueError("PLATFORM_URL does not lead to the public internet")
    return parsed


def _is_inside(host: str) -> bool:
    """Whether no delivery could go to this host, by its text alone. Other names are looked up at each delivery."""
    name = host.lower().removesuffix(".")
    with suppress(OSError):  # a look-up takes 127.1 for an address, too
        name = socket.inet_ntoa(socket.inet_aton(name))
    try:
        return not is_public(name)
    except ValueError:
        *above, last = name.split(".")
        return not above or last in _NEVER_PUBLIC
