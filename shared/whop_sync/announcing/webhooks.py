"""Announcements as signed webhooks to the platform's backend.

The form is that of Standard Webhooks 1.0.0, so that the platform verifies them with an official library
(https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md). The request is as
`internet.requests` makes it: https only, public addresses only, one deadline over everything.
"""

import json
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpcore
import httpx

from whop_sync.announcements import Announcement
from whop_sync.announcing.bodies import body_of
from whop_sync.aws.secrets import pasted_texts
from whop_sync.errors import OperatorNeeded, Permanent, Reason, SyncError, Transient
from whop_sync.http_headers import retry_after
from whop_sync.internet.requests import USER_AGENT, PublicHttp
from whop_sync.internet.streams import NotPublicError, RequestDeadline
from whop_sync.standard_webhooks import sign, signing_key

TIMEOUT_SECONDS = 10.0
"""For the whole of a delivery, from the look-up of the name to the head of the answer."""

MAX_NAMED_WAIT_SECONDS = 3600.0
"""As long as the longest wait that is reached by doubling: a longer Retry-After is cut to it."""

_HEADERS = (
    ("Content-Type", "application/json"),
    ("Accept", "*/*"),
    ("Accept-Encoding", "identity"),
    USER_AGENT,
)


def announcement_keys(text: str) -> tuple[bytes, ...]:
    """The keys in the text of the announcement secrets: all of them sign, so that a rotation loses nothing.

    Raises OperatorNeeded: the announcements are fine and wait.
    """
    try:
        secrets = pasted_texts(text)
    except ValueError as error:
        raise OperatorNeeded("announcement_secrets_invalid", str(error)) from None
    return tuple(_key(secret, f"announcement secret {number}") for number, secret in enumerate(secrets, 1))


def _key(secret: str, which: str) -> bytes:
    try:
        return signing_key(secret)
    except ValueError as error:
        raise OperatorNeeded("announcement_secrets_invalid", f"{which}: {error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformWebhook:
    """The platform's endpoint.

    Args:
        url: passed `checked_platform_url`.
        keys: at least one. Raises OperatorNeeded.
        clock: Unix seconds.
        timer: seconds from any moment.
    """

    url: httpx.URL
    keys: Callable[[], Sequence[bytes]]
    http: PublicHttp
    clock: Callable[[], float]
    timer: Callable[[], float]

    def deliver(self, announcement: Announcement) -> None:
        """Returns once the platform has answered with a status from 200 to 299; the answer's body is not read.

        Raises Permanent for 410, with which the backend wants no more of them, and Transient for all else, since the
        backend can be corrected. No explanation holds any part of the URL, of the body or of a header.
        """
        body = json.dumps(body_of(announcement), separators=(",", ":")).encode()
        timestamp = str(int(self.clock()))
        signatures = [f"v1,{sign(key, announcement.id, timestamp, body)}" for key in self.keys()]
        headers = (
            *_HEADERS,
            ("webhook-id", announcement.id),
            ("webhook-timestamp", timestamp),
            ("webhook-signature", " ".join(signatures)),
        )
        deadline = RequestDeadline(self.timer, self.timer() + TIMEOUT_SECONDS)
        try:
            with self.http.request("POST", self.url, headers=headers, content=body, deadline=deadline) as response:
                failure = _failure(response)
        except NotPublicError:
            raise Transient("platform_not_public", "the host of PlatformUrl is not on the public internet") from None
        except ssl.SSLCertVerificationError:
            raise Transient("platform_untrusted", "the host of PlatformUrl has no valid certificate") from None
        except socket.gaierror:
            raise Transient("platform_no_answer", "the host of PlatformUrl could not be looked up") from None
        except (OSError, httpcore.ProtocolError) as error:
            raise Transient(
                "platform_no_answer", f"the platform's backend did not answer: {type(error).__name__}"
            ) from None
        if failure:
            raise failure


def _failure(response: httpcore.Response) -> SyncError | None:
    status = response.status
    if 200 <= status < 300:  # noqa: PLR2004 - a status speaks for itself
        return None
    if 300 <= status < 400:  # noqa: PLR2004
        # Followed, it would lead to an address that the operator did not choose, and a POST might become a GET.
        return Transient("platform_redirects", f"the platform's backend answered {status}")
    if status == 410:  # noqa: PLR2004
        # https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#delivery-success-and-failure
        return Permanent("platform_gone", "the platform's backend answered 410: it takes no announcements")
    reason: Reason = "platform_failed" if status >= 500 or status == 429 else "platform_refused"  # noqa: PLR2004
    headers = {name.lower(): value for name, value in response.headers}
    wait = retry_after(headers.get(b"retry-after", b"").decode("latin-1"))
    return Transient(
        reason,
        f"the platform's backend answered {status}",
        retry_after=None if wait is None else min(wait, MAX_NAMED_WAIT_SECONDS),
    )
