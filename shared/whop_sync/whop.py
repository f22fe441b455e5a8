"""Whop's REST API, as far as user sync needs it. What Whop has not documented is decided here and nowhere else.

Contract: the calls of the official SDKs at Api-Version-Date 2026-07-20 (`/companies`, `/users`, `/files`). The header
goes along with every call: without it the behaviour depends on when the API key was made.
"""

import email.utils
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx

from whop_sync.errors import Outcome, Permanent, Transient, WhopAnswer

CALL_TIMEOUT = httpx.Timeout(10, read=20, connect=3)

CALL_SECONDS = 35
"""No call takes longer: the sum of the timeouts, and a little."""

OPERATOR_RETRY_SECONDS = 15 * 60
"""How soon to try again when the key or the API version is refused: an operator has to act, and the events are fine."""

MAX_NAME_LENGTH = 100
"""Whop's limit for a user's name, in characters (documented for the older form of PATCH /users, assumed since)."""

PAGE_SIZE = 50
"""Companies a page: the largest that Whop documents for the sibling list of accounts."""

# The one sign of a title that is taken under the parent; status and code are not known (seen by two integrators).
_TITLE_TAKEN = "already created an account with the same name"
# Whop tells the delay of a 429 in the message only ("Try again in 12 seconds.").
_DELAY = re.compile(r"(\d+(?:\.\d+)?)\s*(second|minute|hour)", re.IGNORECASE)
_SECONDS = {"second": 1, "minute": 60, "hour": 3600}
# Whop documents that it may return a request id, and not where.
_REQUEST_ID_HEADERS = ("x-request-id", "request-id")
_WORD = re.compile(r"[\w.:/-]{1,128}", re.ASCII)


class TitleTaken(Permanent):
    """The parent has a connected account with this title already."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who a user is on Whop: `owner_user.id` (user_...) and, if enrolled by us, the connected account (biz_...)."""

    whop_user_id: str
    company_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """`status` is pending, processing, ready or failed. The upload fields are only set on a file just created."""

    id: str
    status: str
    upload_url: str | None = None
    upload_headers: Mapping[str, str] = field(default_factory=dict)


class Whop:
    """Every method raises Transient or Permanent, with Whop's answer where there was one.

    Nothing is retried in here: the queue does that, so no worker sleeps through an outage.
    """

    def __init__(self, http: httpx.Client, *, url: str, version: str, api_key: Callable[[], str]) -> None:
        self._http = http
        self._url = url.rstrip("/")
        self._version = version
        self._api_key = api_key

    # -- connected accounts ----------------------------------------------------------------------------------------

    def create_account(self, *, parent: str, title: str, email: str, user_id: str, attempt: str) -> Account:
        """POST /companies. Raises TitleTaken too.

        Whop documents the Idempotency-Key for its current API and not for this call, so it goes along and nothing
        relies on it. The key names the attempt: Whop replays 4xx answers, so a corrected request needs a new one.
        """
        body = {
            "title": title,
            "email": email,
            "parent_company_id": parent,
            "metadata": {"internal_user_id": user_id},
        }
        key = hashlib.sha256(json.dumps([user_id, attempt, self._version, body]).encode()).hexdigest()
        try:
            return _account(self._call("POST", "/companies", json=body, headers={"Idempotency-Key": key}))
        except Permanent as error:
            if error.answer and _TITLE_TAKEN in (error.answer.message or "").lower():
                raise TitleTaken("title_taken", "Whop has an account of this title", answer=error.answer) from None
            raise

    def find_account(
        self, *, parent: str, user_id: str, before_page: Callable[[], None], created_after: float | None = None
    ) -> Account | None:
        """The connected account whose metadata names this user, through all pages of GET /companies.

        `created_after` is in Unix seconds. There is no filter by metadata, title or e-mail. `before_page` is called
        before each page and may raise to end a search that takes too long.
        """
        for company in self._companies(parent, created_after, before_page):
            if (company.get("metadata") or {}).get("internal_user_id") == user_id:
                return _account(company)
        return None

    def _companies(
        self, parent: str, created_after: float | None, before_page: Callable[[], None]
    ) -> Iterator[dict[str, Any]]:
        query = {"parent_company_id": parent, "first": str(PAGE_SIZE)}
        if created_after is not None:
            query["created_after"] = datetime.fromtimestamp(created_after, UTC).isoformat().replace("+00:00", "Z")
        while True:
            before_page()
            page = self._call("GET", "/companies", params=query)
            try:
                companies, info = page["data"], page["page_info"]
                following = info["end_cursor"] if info["has_next_page"] else None
            except (KeyError, TypeError):
                raise Transient("whop_unreadable", "Whop's list has no data or no page_info") from None
            yield from companies
            if following is None:
                return
            query["after"] = following

    # -- users -----------------------------------------------------------------------------------------------------

    def user(self, whop_user_id: str, *, company: str) -> dict[str, Any]:
        """GET /users/{id}: the user as the company sees it, its own name and picture where it set any."""
        return self._call("GET", f"/users/{quote(whop_user_id, safe='')}", params={"account_id": company})

    def update_user(self, whop_user_id: str, *, company: str, changes: Mapping[str, Any]) -> None:
        """PATCH /users/{id} for one company: `name` and `profile_picture` ({"id": file}), None clears.

        The company goes into the query. In the body, where older versions took it, it would be ignored and the
        user's global profile be asked for.
        """
        path = f"/users/{quote(whop_user_id, safe='')}"
        self._call("PATCH", path, params={"account_id": company}, json=dict(changes))

    # -- files -----------------------------------------------------------------------------------------------------

    def create_file(self, filename: str) -> File:
        """POST /files. Whop takes the content type from the filename's extension."""
        return _file(self._call("POST", "/files", json={"filename": filename}))

    def upload(self, file: File, content: bytes) -> None:
        """PUT to the presigned URL, which is not Whop's API: exactly the headers it came with, and no key."""
        if file.upload_url is None:
            raise Transient("whop_unreadable", "Whop named no place to upload to")
        response = self._send("PUT", file.upload_url, content=content, headers=dict(file.upload_headers))
        if not response.is_success:
            # Refused for age or by the storage: the next try makes a new file.
            raise Transient("upload_refused", answer=WhopAnswer(status=response.status_code))

    def file(self, file_id: str) -> File:
        """GET /files/{id}."""
        return _file(self._call("GET", f"/files/{quote(file_id, safe='')}"))

    # -- HTTP ------------------------------------------------------------------------------------------------------

    def _call(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **request: Any
    ) -> dict[str, Any]:
        response = self._send(
            method,
            self._url + path,
            headers={
                "Authorization": f"Bearer {self._api_key()}",
                "Api-Version-Date": self._version,
                **(headers or {}),
            },
            **request,
        )
        if not response.is_success:
            raise _refusal(response)
        try:
            document = response.json()
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise Transient("whop_unreadable", "Whop's answer is not a JSON object", outcome="maybe_done")
        return document

    def _send(self, method: str, url: str, **request: Any) -> httpx.Response:
        try:
            return self._http.request(method, url, **request)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            raise Transient("whop_unreachable", "no connection to Whop could be made") from None
        except httpx.TransportError as error:
            raise Transient("whop_no_answer", type(error).__name__, outcome="maybe_under_way") from None


def http_client() -> httpx.Client:
    """One for the life of an environment. Connections outlive the pause between two batches; proxies and redirects,
    which could carry the key elsewhere, are off."""
    return httpx.Client(
        timeout=CALL_TIMEOUT,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=10, keepalive_expiry=30),
        trust_env=False,
        follow_redirects=False,
        headers={"User-Agent": "whop-user-sync"},
    )


def _account(company: Mapping[str, Any]) -> Account:
    try:
        account = Account(whop_user_id=company["owner_user"]["id"], company_id=company["id"])
    except (KeyError, TypeError):
        raise Transient("whop_unreadable", "Whop's account names no owner", outcome="maybe_done") from None
    return account


def _file(document: Mapping[str, Any]) -> File:
    try:
        headers = document.get("upload_headers") or {}
        return File(
            id=document["id"],
            status=document["upload_status"],
            upload_url=document.get("upload_url"),
            upload_headers={name: str(value) for name, value in headers.items() if value is not None},
        )
    except KeyError:
        raise Transient("whop_unreadable", "Whop's file has no id or no status", outcome="maybe_done") from None


def _refusal(response: httpx.Response) -> Transient | Permanent:  # noqa: PLR0911 - a table, row by row
    """The error that a status other than 2xx means (the table of Whop's error statuses, documented)."""
    answer = _answer(response)
    status = answer.status
    if status in (401, 403):
        explanation = "Whop refused the API key: wrong environment, revoked, or a scope is missing"
        return Transient("whop_key_rejected", explanation, answer=answer, retry_after=OPERATOR_RETRY_SECONDS)
    if status == 429:  # noqa: PLR2004 - a status speaks for itself
        return Transient("whop_rate_limited", answer=answer, retry_after=_delay(response, answer))
    if status == 409 and answer.code == "idempotency_request_in_progress":  # noqa: PLR2004
        return Transient("whop_in_progress", answer=answer, outcome="maybe_under_way")
    if status == 410:  # noqa: PLR2004
        explanation = "Whop retired this call at this Api-Version-Date"
        return Transient("whop_gone", explanation, answer=answer, retry_after=OPERATOR_RETRY_SECONDS)
    if status < 400 or status == 408 or status >= 500:  # noqa: PLR2004
        # A gateway's word says nothing of the server behind it, which may be working still.
        outcome: Outcome = "maybe_under_way" if status in (408, 502, 504) else "maybe_done"
        return Transient("whop_failed", answer=answer, retry_after=_delay(response, answer), outcome=outcome)
    if status == 404:  # noqa: PLR2004
        return Permanent("whop_not_found", "Whop does not know what the call names", answer=answer)
    return Permanent("whop_refused", "Whop refused the request", answer=answer)


def _answer(response: httpx.Response) -> WhopAnswer:
    """Legacy bodies have type, message, code and param under `error`, newer ones fewer, some are null or no JSON."""
    try:
        document = response.json()
    except ValueError:
        document = None
    error = document.get("error") if isinstance(document, dict) else None
    parts: Mapping[str, Any] = error if isinstance(error, dict) else {}
    message = parts.get("message") if parts else error
    request_ids = (response.headers.get(name) for name in _REQUEST_ID_HEADERS)
    return WhopAnswer(
        status=response.status_code,
        type=_word(parts.get("type")),
        code=_word(parts.get("code")),
        message=message if isinstance(message, str) else None,
        param=_word(parts.get("param")),
        request_id=next((word for word in map(_word, request_ids) if word), None),
    )


def _word(value: object) -> str | None:
    """Only what is shaped like an identifier: these parts are logged, and must not smuggle anything into a log."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def _delay(response: httpx.Response, answer: WhopAnswer) -> float | None:
    """Seconds to wait: from Retry-After, which Whop does not document, else from the message, which it does."""
    header = response.headers.get("retry-after", "").strip()
    if header.isascii() and header.isdigit():
        return float(header)
    if header:
        try:
            moment = email.utils.parsedate_to_datetime(header)
        except ValueError:
            pass
        else:
            return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    match = _DELAY.search(answer.message or "")
    return float(match[1]) * _SECONDS[match[2].lower()] if match else None
