"""Whop's REST API, as far as user sync needs it. What Whop does not document is decided here and nowhere else.

Every call carries an Api-Version-Date: without it, the behaviour depends on when the API key was made
(https://docs.whop.com/developer/api/versioning). Which date, and what differs by date, stands in `generations`.

What a method raises (https://docs.whop.com/developer/troubleshooting, and observed where that page is silent):

    SyncError
     ├─ Transient
     │   │                  no connection · no answer · 5xx · 408 · an answer that cannot be read
     │   ├─ AwaitsTurn      429, with the wait that Whop named
     │   └─ OperatorNeeded  401, 403 · 410, an unknown Api-Version-Date, /companies or /accounts not found
     └─ Permanent           404 and other 4xx
         ├─ AccountExists   create_account: the user seems to have an account already
         └─ ProfileRefused  update_user: names the fields that Whop refused
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, cast
from urllib.parse import quote

import httpx

from whop_sync.accounts import Account
from whop_sync.errors import AwaitsTurn, OperatorNeeded, Permanent, Transient, WhopAnswer
from whop_sync.times import iso
from whop_sync.tls import default_context
from whop_sync.whop.answers import (
    OPERATOR_RETRY_SECONDS,
    answer_in,
    date_of,
    named_fields,
    refusal_in,
    request_id_of,
    word_or_none,
)
from whop_sync.whop.generations import (
    GENERATIONS,
    TOKENS_TAKE_ACCOUNT_ID,
    AccountDocument,
    Generation,
    api_version,
    owner_of,
)
from whop_sync.whop.rate_limit import MAX_WAIT_SECONDS

CALL_TIMEOUT = httpx.Timeout(10, read=20, connect=3)

CALL_SECONDS = 35 + MAX_WAIT_SECONDS
"""No call takes longer: the wait for a slot, then the sum of the timeouts and a margin."""

PAGE_SIZE = 50
"""Accounts a page: the most that Whop documents for GET /accounts, observed for GET /companies."""

type AccountLinkUseCase = Literal["account_onboarding", "payouts_portal"]

# Answers of the storage that refuse the content itself. Not 400, which S3 also gives for passing troubles.
_REFUSED_CONTENT = (411, 413, 415, 422)


class AccountExists(Permanent):
    """The parent has a connected account already with this title, or with this user's id and another e-mail."""


class ProfileRefused(Permanent):
    """Whop refused values of a profile, and would refuse them again.

    Attributes:
        fields: the keys of the request that Whop's answer names; all that were sent, if it names none.
    """

    def __init__(self, error: Permanent, fields: frozenset[str]) -> None:
        super().__init__(error.reason, error.explanation, answer=error.answer)
        self.fields = fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What a search for a connected account came to.

    Attributes:
        account: the one that was found.
        email: its e-mail, where Whop's list names it.
        began_at: when the first page of this search was answered, by Whop's clock.
        interruption: why the search did not come to an end.
        cursor: where to continue it.
    """

    account: Account | None = None
    email: str | None = field(default=None, repr=False)
    began_at: float | None = None
    interruption: Transient | None = None
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file at Whop (https://docs.whop.com/developer/guides/direct-file-uploads).

    Attributes:
        status: pending, processing, ready or failed.
        upload_url, upload_headers: only of a file just created.
    """

    id: str
    status: str
    upload_url: str | None = None
    upload_headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A secret: its bearer acts as its user, or for its account. `expires_at` is ISO 8601, as Whop answered it."""

    token: str = field(repr=False)
    expires_at: str


@dataclass(frozen=True, slots=True)
class AccountLink:
    """A secret: the visitor of `url` acts for the account. `expires_at` is ISO 8601, as Whop answered it."""

    url: str = field(repr=False)
    expires_at: str


class Witness(Protocol):
    """Records every call, and knows which delivery the calling thread works for."""

    def correlation_id(self) -> str | None: ...

    def whop_call(self, operation: str, *, status: int | None, seconds: float, request_id: str | None) -> None:
        """`status` is None if no answer came. `operation` is one of a fixed few, such as `PATCH /users/{id}`."""

    def picture_uploaded(self) -> None: ...


class NullWitness:
    """Records nothing."""

    def correlation_id(self) -> str | None:
        return None

    def whop_call(self, operation: str, *, status: int | None, seconds: float, request_id: str | None) -> None:
        pass

    def picture_uploaded(self) -> None:
        pass


class Pace(Protocol):
    """Keeps calls within Whop's rate limit."""

    def wait(self, operation: str) -> None:
        """Returns when the operation may be called. Raises Transient instead if that would take too long."""

    def refused(self, operation: str, seconds: float) -> None:
        """Whop answered 429 and named this wait."""


class Whop:
    """One client of the API.

    Every method raises Transient or Permanent, with Whop's answer where there was one. Nothing is retried in here: the
    queue does that, and no worker sleeps through an outage.

    Args:
        version: the Api-Version-Date; by default the one that goes with the generation.
        country: of the accounts it creates, ISO 3166-1 alpha-2 in lower case. By default Whop takes the parent's.
        pace: keeps calls within Whop's rate limit. Without one, calls are made at once.
    """

    def __init__(
        self,
        http: httpx.Client,
        *,
        url: str,
        version: str = "",
        api_key: Callable[[], str],
        witness: Witness | None = None,
        generation: Generation = GENERATIONS["companies"],
        country: str | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._http = http
        self._url = url.rstrip("/")
        self._version = version or generation.default_version
        self._account_field = "account_id" if api_version(self._version) >= TOKENS_TAKE_ACCOUNT_ID else "company_id"
        self._country = country
        self._api_key = api_key
        self._witness: Witness = witness or NullWitness()
        self._generation = generation
        self._pace = pace

    @property
    def version(self) -> str:
        """The Api-Version-Date of every call."""
        return self._version

    # -- connected accounts ----------------------------------------------------------------------------------------

    def create_account(self, *, parent: str, title: str, email: str, user_id: str, attempt: str) -> Account:
        """POST /companies or /accounts. Raises AccountExists too.

        The Idempotency-Key is documented for Whop's current API and not for /companies, so it is sent and nothing
        relies on it. It names the attempt: Whop replays 4xx answers, so a corrected request needs a new one
        (https://docs.whop.com/developer/api/idempotency).
        """
        body = self._generation.creation(
            parent=parent, title=title, email=email, user_id=user_id, country=self._country
        )
        key = hashlib.sha256(json.dumps([user_id, attempt, self._version, body]).encode()).hexdigest()
        try:
            document, _ = self._call_accounts("POST", json=body, headers={"Idempotency-Key": key})
        except Permanent as error:
            reason = error.answer and self._generation.conflict_reason(error.answer)
            if reason:
                raise AccountExists(reason, "Whop has an account like this already", answer=error.answer) from None
            raise
        return self._account(cast("AccountDocument", document), parent)

    @property
    def create_is_repeatable(self) -> bool:
        """Whether a create whose answer was lost may be sent again and still leads to one account."""
        return self._generation.repeatable

    def find_account(
        self,
        *,
        parent: str,
        user_id: str,
        has_time: Callable[[], bool],
        created_after: float | None = None,
        cursor: str | None = None,
    ) -> Search:
        """Looks for the connected account that names this user, page by page in GET /companies or /accounts.

        There is no filter by metadata, title or e-mail. Raises nothing that a later search could not continue after:
        what interrupts this one is returned, with the cursor to continue from.

        Args:
            has_time: asked before each page; the search is interrupted once it is false.
            created_after: Unix seconds, by Whop's clock. None for accounts of any age.
            cursor: of an interrupted search for the same.
        """
        since = {} if created_after is None else {"created_after": iso(created_after)}
        queries = list(self._generation.list_queries(parent=parent, user_id=user_id, since=since))
        number, _, after = (cursor or "0:").partition(":")
        began_at = None
        for index in range(int(number), len(queries)):
            following: str | None = after if index == int(number) else ""
            while following is not None:
                place = f"{index}:{following}" if index or following else None
                if not has_time():
                    return Search(cursor=place, began_at=began_at, interruption=_out_of_time())
                query = {**queries[index], "first": str(PAGE_SIZE), **({"after": following} if following else {})}
                try:
                    accounts, following, at = self._page(query)
                except Transient as error:
                    return Search(cursor=place, began_at=began_at, interruption=error)
                except Permanent:
                    if not following:
                        raise
                    return Search(interruption=_out_of_time())  # whatever the cursor named is gone: begin anew
                began_at = at if began_at is None else began_at
                for account in accounts:
                    if self._generation.is_of(account, user_id):
                        email = account.get("email")
                        return Search(
                            account=self._account(account, parent),
                            email=email if isinstance(email, str) else None,
                            began_at=began_at,
                        )
        return Search(began_at=began_at)

    def _page(self, query: Mapping[str, str]) -> tuple[list[AccountDocument], str | None, float | None]:
        """One page of the list, the cursor of the next one, and when Whop answered by its clock."""
        page, at = self._call_accounts("GET", params=query)
        try:
            info = page["page_info"]
            return list(page["data"]), info["end_cursor"] if info["has_next_page"] else None, at
        except (KeyError, TypeError):
            raise Transient("whop_unreadable", "Whop's list has no data or no page_info") from None

    def _call_accounts(self, method: str, **request: Any) -> tuple[dict[str, Any], float | None]:
        """An account or a page of them, and the time of the answer by Whop's clock."""
        try:
            return self._dated_call(f"{method} {self._generation.path}", **request)
        except Permanent as error:
            if error.reason != "whop_not_found":
                raise
            # Nothing in these calls names a user, so the event is fine.
            explanation = "Whop has no such call at this Api-Version-Date, or no such company"
            raise OperatorNeeded(
                "whop_gone", explanation, answer=error.answer, retry_after=OPERATOR_RETRY_SECONDS
            ) from None

    def _account(self, document: AccountDocument, parent: str) -> Account:
        # POST /accounts takes the parent from the key, so Whop does not refuse the key of another company.
        actual = document.get("parent_account")
        if isinstance(actual, dict) and actual.get("id", parent) != parent:
            explanation = "the API key is that of another company than WhopCompanyId"
            raise OperatorNeeded("whop_key_rejected", explanation, retry_after=OPERATOR_RETRY_SECONDS)
        whop_user_id, account_id = owner_of(document), document.get("id")
        if whop_user_id is None or not isinstance(account_id, str):
            raise Transient("whop_unreadable", "Whop's account names no owner", effect="possible")
        return Account(whop_user_id=whop_user_id, company_id=account_id)

    def own_account(self) -> AccountDocument:
        """GET /accounts/me: the account of the API key. Wants the permission company:balance:read."""
        return cast("AccountDocument", self._call("GET /accounts/{id}", "me"))

    def account(self, account_id: str) -> AccountDocument:
        """GET /companies/{id} or /accounts/{id}: a connected account, or the own one.

        Wants the permission company:basic:read, or company:balance:read for the newer call. Raises Permanent if there
        is no such account.
        """
        return cast("AccountDocument", self._call(f"GET {self._generation.path}/{{id}}", account_id))

    def update_account(self, account_id: str, changes: Mapping[str, Any]) -> None:
        """PATCH /accounts/{id} of a connected account; only the keys sent change."""
        self._call("PATCH /accounts/{id}", account_id, json=dict(changes))

    def delete_account(self, account_id: str) -> None:
        """DELETE /accounts/{id} of a connected account: irreversible, documented since 2026-09-25 for every version.

        Raises Permanent while it has a balance or a live membership (400), or if there is none (404).
        """
        self._call("DELETE /accounts/{id}", account_id)

    def create_account_link(
        self, *, account: str, use_case: AccountLinkUseCase, refresh_url: str, return_url: str
    ) -> AccountLink:
        """POST /account_links: a page at Whop where the owner of a connected account does what `use_case` names."""
        body = {
            self._account_field: account,
            "use_case": use_case,
            "refresh_url": refresh_url,
            "return_url": return_url,
        }
        document = self._call("POST /account_links", json=body)
        return AccountLink(*_secret_and_expiry(document, "url"))

    def permissions(self, resource: str, actions: Sequence[str]) -> dict[str, bool]:
        """GET /permissions: which actions the API key may do on a resource (biz_...). Needs no permission itself.

        A resource that the key cannot see is answered with no action granted, and not with an error.
        """
        document = self._call("GET /permissions", params={"resource_id": resource, "actions": ",".join(actions)})
        try:
            granted = {str(entry["action"]): entry["granted"] is True for entry in document["data"]}
        except (KeyError, TypeError):
            raise Transient("whop_unreadable", "Whop's permissions have no data") from None
        return {action: granted.get(action, False) for action in actions}

    # -- users -----------------------------------------------------------------------------------------------------

    def user(self, whop_user_id: str, *, company: str | None) -> dict[str, Any]:
        """GET /users/{id}: the user as the company sees it, its own name and picture where it set any.

        For no company: the user's global profile.
        """
        return self._call("GET /users/{id}", whop_user_id, params={"account_id": company} if company else {})

    def update_user(self, whop_user_id: str, *, company: str, changes: Mapping[str, Any]) -> None:
        """PATCH /users/{id} for one company: `name` and `profile_picture` ({"id": file}). Raises ProfileRefused too.

        None clears a field. That is documented for the older form of this call only, so Whop may refuse it.
        The company goes into the query. In the body, where older versions took it, Whop may overlook it and change the
        user's global profile (https://docs.whop.com/api-reference/beta/users/user).
        """
        try:
            self._call("PATCH /users/{id}", whop_user_id, params={"account_id": company}, json=dict(changes))
        except Permanent as error:
            if error.reason != "whop_refused":
                raise
            raise ProfileRefused(error, named_fields(error.answer, changes)) from None

    def create_access_token(
        self, *, company: str, whop_user_id: str | None, actions: Sequence[str], expires_at: float
    ) -> AccessToken:
        """POST /access_tokens (https://docs.whop.com/api-reference/access-tokens/create-access-token).

        Args:
            company: the account in which the token acts.
            whop_user_id: the user as whom it acts; None for the account itself, as the payout elements want it.
            actions: what it may do. Raises ValueError without any: Whop would allow it all that the API key may do.
            expires_at: Unix seconds, three hours from now at most.
        """
        if not actions:
            raise ValueError("a token without actions inherits all that the API key may do")
        body = {
            self._account_field: company,
            **({"user_id": whop_user_id} if whop_user_id else {}),
            "scoped_actions": list(actions),
            "expires_at": iso(expires_at),
        }
        document = self._call("POST /access_tokens", json=body)
        return AccessToken(*_secret_and_expiry(document, "token"))

    # -- files -----------------------------------------------------------------------------------------------------

    def create_file(self, filename: str) -> File:
        """POST /files. Whop derives the content type from the filename's extension."""
        return _file(self._call("POST /files", json={"filename": filename}))

    def upload(self, file: File, content: bytes) -> None:
        """PUT to the presigned URL, which is not Whop's API: exactly the headers it came with, and no key.

        Raises Permanent if the storage refuses the content.
        """
        if file.upload_url is None:
            raise Transient("whop_unreadable", "Whop's file has no URL to upload to")
        response = self._send("PUT upload", file.upload_url, content=content, headers=dict(file.upload_headers))
        if not response.is_success:
            answer = WhopAnswer(status=response.status_code)
            if answer.status in _REFUSED_CONTENT:
                raise Permanent("upload_refused", answer=answer)
            # 403 may mean that the URL has expired; the next try makes a new file.
            raise Transient("upload_refused", answer=answer)
        self._witness.picture_uploaded()

    def file(self, file_id: str) -> File:
        """GET /files/{id}."""
        return _file(self._call("GET /files/{id}", file_id))

    # -- HTTP ------------------------------------------------------------------------------------------------------

    def _call(self, operation: str, argument: str = "", **request: Any) -> dict[str, Any]:
        document, _ = self._dated_call(operation, argument, **request)
        return document

    def _dated_call(
        self, operation: str, argument: str = "", *, headers: Mapping[str, str] | None = None, **request: Any
    ) -> tuple[dict[str, Any], float | None]:
        path = operation.partition(" ")[2].replace("{id}", quote(argument, safe=""))
        # For people who search for the call. An id that is no plain word could not stand in a header.
        correlation_id = word_or_none(self._witness.correlation_id())
        if self._pace:
            self._pace.wait(operation)
        response = self._send(
            operation,
            self._url + path,
            headers={
                "Authorization": f"Bearer {self._api_key()}",
                "Api-Version-Date": self._version,
                **({"X-Correlation-Id": correlation_id} if correlation_id else {}),
                **(headers or {}),
            },
            **request,
        )
        if not response.is_success:
            refusal = refusal_in(response)
            if self._pace and response.status_code == 429 and isinstance(refusal, Transient):  # noqa: PLR2004
                self._pace.refused(operation, refusal.retry_after or 0.0)
            raise refusal
        try:
            document = response.json()
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise Transient(
                "whop_unreadable", "Whop's answer is not a JSON object", answer=answer_in(response), effect="possible"
            )
        return document, date_of(response)

    def _send(self, operation: str, url: str, **request: Any) -> httpx.Response:
        started = time.monotonic()
        response = None
        try:
            with _httpx_errors():
                response = self._http.request(operation.partition(" ")[0], url, **request)
        finally:
            self._witness.whop_call(
                operation,
                status=response.status_code if response else None,
                seconds=time.monotonic() - started,
                request_id=request_id_of(response) if response else None,
            )
        return response


def http_client(timeout: httpx.Timeout = CALL_TIMEOUT, *, proxied: bool = False) -> httpx.Client:
    """One client for the life of an environment. Its connections outlive the pause between two batches. Redirects are
    off, since they could carry the key elsewhere, and so are proxies; `proxied` uses those of the environment."""
    return httpx.Client(
        timeout=timeout,
        verify=default_context(),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=10, keepalive_expiry=30),
        trust_env=proxied,
        follow_redirects=False,
        headers={"User-Agent": "whop-user-sync"},
    )


@contextmanager
def _httpx_errors() -> Iterator[None]:
    """Raises ours in place of httpx's errors, whose messages quote URLs."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
        raise Transient("whop_unreachable", "no connection to Whop could be made") from None
    except httpx.RequestError as error:  # also an answer that cannot be decompressed
        raise Transient("whop_no_answer", type(error).__name__, effect="pending") from None
    except httpx.InvalidURL:  # an upload URL of Whop's
        raise Transient("whop_unreadable", "Whop named a URL that cannot be read") from None


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
        raise Transient("whop_unreadable", "Whop's file has no id or no status", effect="possible") from None


def _secret_and_expiry(document: Mapping[str, Any], name: str) -> tuple[str, str]:
    secret, expires_at = document.get(name), document.get("expires_at")
    if not isinstance(secret, str) or not secret or not isinstance(expires_at, str):
        raise Transient("whop_unreadable", f"Whop's answer has no {name} or no expires_at", effect="possible")
    return secret, expires_at


def _out_of_time() -> AwaitsTurn:
    return AwaitsTurn("out_of_time", "too little time is left for another page of Whop's list")
