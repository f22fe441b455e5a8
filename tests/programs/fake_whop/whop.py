"""Whop without sockets: takes requests, applies admission, rules and planned failures, and gives what to send back."""

import json
import random
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import parse_qsl, unquote

from fake_whop import accounts, files, permissions, tokens, users, webhooks
from fake_whop.admission import IdempotencyKeys, RateLimit, fingerprint, rate_limited
from fake_whop.protocol import (
    COMPANIES_LEFT_SDK,
    KNOWN_VERSIONS,
    NATIVE_FILES,
    Answer,
    Body,
    Json,
    Request,
    WhopError,
    invalid,
    not_found,
)
from fake_whop.state import Ask, Credential, Hook, State
from fake_whop.switches import Fault, Switches

API_PREFIX = "/api/v1"
UPLOAD = "PUT upload"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `native_since` is the version from which it belongs to the current surface (None: never)."""

    name: str
    perform: Callable[[Ask], Answer]
    native_since: str | None
    scopes: frozenset[str] = frozenset()
    """All of them are needed."""
    public: bool = False
    """Whether it needs no credential."""
    lists: frozenset[str] = frozenset()
    """Parameters of its query that may be repeated."""

    @property
    def pattern(self) -> str:
        return re.sub(r"\{id\}", "([^/]+)", self.name)


_READ = frozenset({"company:basic:read"})
_WEBHOOKS = frozenset({"developer:manage_webhook"})
# Documented: the scopes and which surface is which; users became current with the version that moved account_id.
# Access tokens and account links are legacy only. The first one that fits a path is taken.
_OPERATIONS = (
    Operation("POST /companies", accounts.create_company, None, _READ | {"company:create"}),
    Operation("GET /companies", accounts.list_companies, None, _READ),
    Operation("GET /companies/{id}", accounts.retrieve_company, None, _READ),
    Operation("PATCH /companies/{id}", accounts.update_company, None, _READ | {"company:update"}),
    Operation("GET /users", users.list_all, "2026-06-08"),
    Operation("GET /users/{id}", users.retrieve, "2026-06-08", public=True),
    Operation("PATCH /users/{id}", users.update, "2026-06-08", frozenset({"user:profile:update"})),
    Operation("POST /files", files.create, NATIVE_FILES),
    Operation("GET /files", files.list_all, NATIVE_FILES, lists=frozenset({"file_ids"})),
    Operation("GET /files/{id}", files.retrieve, NATIVE_FILES),
    Operation("POST /files/{id}/complete", files.complete, NATIVE_FILES),
    Operation("POST /access_tokens", tokens.create, None),
    Operation("POST /account_links", tokens.create_link, None),
    Operation("GET /permissions", permissions.list_permissions, ""),
    Operation("POST /accounts", accounts.create_account, ""),
    Operation("GET /accounts", accounts.list_accounts, ""),
    Operation("GET /accounts/search", accounts.search_accounts, ""),
    Operation("GET /accounts/{id}", accounts.retrieve_account, ""),
    Operation("PATCH /accounts/{id}", accounts.update_account, "", frozenset({"company:update"})),
    Operation("DELETE /accounts/{id}", accounts.delete_account, "", frozenset({"company:delete_child"})),
    Operation("POST /accounts/{id}/suspend", accounts.suspend_account, "", frozenset({"company:suspend_child"})),
    Operation("POST /webhooks", webhooks.create, "", _WEBHOOKS),
    Operation("GET /webhooks", webhooks.list_all, "", _WEBHOOKS),
    Operation("GET /webhooks/{id}", webhooks.retrieve, "", _WEBHOOKS),
    Operation("PATCH /webhooks/{id}", webhooks.update, "", _WEBHOOKS),
    Operation("DELETE /webhooks/{id}", webhooks.delete, "", _WEBHOOKS),
)
OPERATION_NAMES = frozenset({operation.name for operation in _OPERATIONS} | {UPLOAD})


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it was received. `status` is None when the caller got no answer. No credential is kept."""

    operation: str
    status: int | None
    at: float
    path: str
    query: str
    version: str | None
    idempotency_key: str | None
    body: Body | None
    size: int
    replayed: bool = False
    fault: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the transport shall do: send the answer, keep silent, or tear the connection down."""

    answer: Answer
    delivery: Literal["send", "silence", "reset"] = "send"


@dataclass(frozen=True, slots=True)
class _Ticket:
    """An admitted request. `end` gets the answer that Whop, as opposed to something on the way, gives."""

    native: bool
    run: Callable[[float], Answer]
    end: Callable[[Answer], None] = lambda _: None


class Whop:
    """The platform: state, switches, faults and the log of calls. Every public method is safe to call from any thread.

    `wait` passes real time for the faults and the latency that take some; all rules go by `clock`.
    """

    def __init__(
        self, credential: Credential, switches: Switches, clock: Callable[[], float], wait: Callable[[float], object]
    ) -> None:
        self.switches = switches
        self.uploads_url = ""
        self.lock = threading.RLock()
        self._credential = credential
        self._clock = clock
        self._wait = wait
        self.reset()

    def reset(self) -> None:
        """Forget everything but the switches: accounts, users, files, keys, faults and calls."""
        with self.lock:
            self.state = State([self._credential], self._clock())
            self._calls: list[Call] = []
            self._faults: list[_Planned] = []
            self._late: list[tuple[float, _Ticket]] = []
            self._rate_limit = RateLimit()
            self._keys = IdempotencyKeys()
            self._seen = 0
            self._sent_webhooks: list[webhooks.Sent] = []

    def settled(self) -> State:
        """The state with every late commit that is due by now."""
        with self.lock:
            self._settle()
            return self.state

    def now(self) -> float:
        return self._clock()

    def emit(self, event: str, account_id: str, data: Body | None = None) -> list[webhooks.Sent]:
        """Something happens to an account, of which the webhooks that take it are sent. Raises KeyError."""
        with self.lock:
            state, now = self.settled(), self._clock()
            due = webhooks.due(state, self.switches, event=event, account_id=account_id, data=data or {}, now=now)
        return [self._deliver(hook, sent) for hook, sent in due]

    def send_again(self, sent: webhooks.Sent) -> webhooks.Sent:
        """Sends a webhook once more under its id, as after an answer that was lost, or when it is replayed."""
        with self.lock:
            hook = self.settled().hooks[sent.hook_id]
        return self._deliver(hook, sent)

    def sent_webhooks(self) -> list[webhooks.Sent]:
        with self.lock:
            return list(self._sent_webhooks)

    def _deliver(self, hook: Hook, sent: webhooks.Sent) -> webhooks.Sent:
        """Attempts until one succeeds or there have been enough."""
        for number in range(1 + self.switches.webhook_retries):
            if number:
                self._wait(self.switches.webhook_retry_seconds)
            sent = webhooks.attempted(hook, sent, self._clock())
            if sent.delivered:
                break
        with self.lock:
            self._sent_webhooks.append(sent)
        return sent

    def calls(self) -> list[Call]:
        with self.lock:
            return list(self._calls)

    def plan(self, fault: Fault) -> None:
        if fault.operation is not None and fault.operation not in OPERATION_NAMES:
            raise ValueError(f"no such operation: {fault.operation}")
        with self.lock:
            self._faults.append(_Planned(fault))

    def handle(self, request: Request) -> Reply:
        """Answer one request to the API."""
        found = _route(request)
        if found is None:
            return self._exchange("unknown", request, lambda _: not_found("Route").answer(native=True))
        operation, argument = found
        return self._exchange(operation.name, request, lambda now: self._admit(operation, argument, request, now))

    def upload(self, request: Request) -> Reply:
        """Answer one PUT to a presigned URL."""
        file_id = request.path.rpartition("/")[2]

        def store(now: float) -> Answer:
            polls, failing = self.switches.processing_polls, self.switches.failing_filename
            return files.upload(self.state, request, file_id, now, polls=polls, failing=failing)

        return self._exchange(UPLOAD, request, lambda _: _Ticket(native=False, run=store))

    def _exchange(self, name: str, request: Request, admit: Callable[[float], _Ticket | Answer]) -> Reply:
        """Admission, work and answer of one call, with what a planned failure does to each of them."""
        with self.lock:
            arrived = self._settle()
            fault = self._failure(name, request)
            arrives = fault is None or fault.arrives
            admitted = admit(arrived) if arrives else None
            if fault is not None and fault.kind == "late_commit" and isinstance(admitted, _Ticket):
                self._late.append((arrived + fault.delay, admitted))
        # Time passes with the lock released and the key in use, so a second request meets a running first one.
        pause = self.switches.latency + (fault.delay if fault is not None and fault.kind == "slow" else 0)
        if pause:
            self._wait(pause)
        with self.lock:
            refusal = (
                None
                if fault is None
                else _refusal(fault, self.switches, native=isinstance(admitted, _Ticket) and admitted.native)
            )
            if isinstance(admitted, _Ticket):
                result = admitted.run(self._settle()) if fault is None or fault.happens else None
                # A proxy's page is not Whop's answer; a crash and an open commit leave the key in use.
                shown = result if fault is not None and fault.kind == "html_error" else refusal or result
                unknown = fault is not None and fault.kind in ("stuck_idempotency", "late_commit")
                if shown is not None and not unknown:
                    admitted.end(shown)
            else:
                result = admitted
            reply = _reply(fault, refusal or result)
            self._calls.append(_call(name, request, arrived, reply, fault))
        return reply

    def _settle(self) -> float:
        """Do the work whose delayed time has come, in its order, and return the time."""
        now = self._clock()
        due = sorted((entry for entry in self._late if entry[0] <= now), key=lambda entry: entry[0])
        self._late = [entry for entry in self._late if entry[0] > now]
        for at, ticket in due:
            ticket.end(ticket.run(at))
        return now

    def _failure(self, name: str, request: Request) -> Fault | None:
        """The planned failure that hits this call, else one by chance."""
        self._seen += 1
        about = self._about(request)
        chosen = None
        for planned in self._faults:
            if planned.counts(name, about) and chosen is None and planned.fires():
                chosen = planned.fault
        if chosen is None and self.switches.failure_rate > 0:
            chance = random.Random(f"{self.switches.failure_seed}:{self._seen}").random()
            if chance < self.switches.failure_rate:
                chosen = Fault(None, self.switches.failure_kind)
        return chosen

    def _about(self, request: Request) -> set[str]:
        """The names a fault may aim at: all values in path, query and body, and the e-mail of the user in the path."""
        last = unquote(request.path.rpartition("/")[2])
        names = {last} | {value for _, value in parse_qsl(request.query)}
        values: list[Json] = [_json(request.body)]
        while values:
            value = values.pop()
            if isinstance(value, dict):
                values.extend(value.values())
            elif isinstance(value, str):
                names.add(value)
        user = self.state.users.get(last)
        return names if user is None else names | {user.email, user.username}

    def _admit(self, operation: Operation, argument: str, request: Request, now: float) -> _Ticket | Answer:
        """Credential, version, rate limit and idempotency, in this order; then the request may run."""
        native = operation.native_since == ""
        try:
            credential = self._authenticate(request, operation)
            version = self._version(request)
            native = operation.native_since is not None and version >= operation.native_since
            key = request.headers.get("idempotency-key") if request.method == "POST" else None
            if not native and not self.switches.legacy_idempotency:
                key = None
            limited = self._limited(operation, credential, now, keyed=key is not None)
            if key is not None:
                seen = fingerprint(request, version, self.switches)
                stored = self._keys.begin(credential.key, key, seen, now)
                if stored is not None:
                    return stored
        except WhopError as error:
            return error.answer(native=native)

        ask = Ask(self.state, self.switches, credential, version, native, now, self.uploads_url, argument)

        def run(at: float) -> Answer:
            return limited or _perform(operation, replace(ask, now=at), request)

        if key is None:
            return _Ticket(native, run)
        return _Ticket(native, run, lambda shown: self._keys.end(credential.key, key, shown, self.switches))

    def _authenticate(self, request: Request, operation: Operation) -> Credential:
        if operation.public and "authorization" not in request.headers:
            return _ANONYMOUS
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        credential = self.state.credentials.get(key)
        if scheme.lower() != "bearer" or credential is None:
            raise WhopError(401, "Invalid or missing API key")
        return credential

    def _version(self, request: Request) -> str:
        """Documented: the header wins, then the key's pin; an unknown date is refused with the list of known ones."""
        version = request.headers.get("api-version-date") or self.switches.version_without_header
        if version not in KNOWN_VERSIONS:
            raise WhopError(400, f"Unknown Api-Version-Date. Supported versions: {', '.join(KNOWN_VERSIONS)}")
        return version

    def _limited(self, operation: Operation, credential: Credential, now: float, *, keyed: bool) -> Answer | None:
        """The 429 that takes the operation's place where the key remembers it; raised where it does not."""
        wait = self._rate_limit.seconds_to_wait(operation.name, credential.key, now, self.switches)
        if not wait:
            return None
        error = rate_limited(wait, self.switches)
        if keyed and self.switches.idempotency_stores_429:
            return error.answer(native=True)
        raise error


_ANONYMOUS = Credential("", "", frozenset())


@dataclass(slots=True)
class _Planned:
    """A fault with its counts."""

    fault: Fault
    seen: int = 0
    fired: int = 0

    def counts(self, operation: str, about: set[str]) -> bool:
        fault = self.fault
        if fault.operation not in (None, operation) or (fault.about is not None and fault.about not in about):
            return False
        self.seen += 1
        return True

    def fires(self) -> bool:
        if self.seen <= self.fault.skip or (self.fault.times is not None and self.fired >= self.fault.times):
            return False
        self.fired += 1
        return True


def _route(request: Request) -> tuple[Operation, str] | None:
    wanted = f"{request.method} {request.path.removeprefix(API_PREFIX)}"
    for operation in _OPERATIONS:
        if found := re.fullmatch(operation.pattern, wanted):
            return operation, unquote(found[1]) if found.groups() else ""
    return None


def _perform(operation: Operation, ask: Ask, request: Request) -> Answer:
    """Scopes, retirement, form of query and body; then the rules of the operation."""
    try:
        _permit(operation, ask)
        query, lists = _query(request, operation.lists)
        return operation.perform(replace(ask, query=query, lists=lists, body=_body(request)))
    except WhopError as error:
        return error.answer(native=ask.native)


def _permit(operation: Operation, ask: Ask) -> None:
    lacking = operation.scopes - ask.credential.scopes
    if lacking:
        raise WhopError(403, f"The API key lacks the scope {', '.join(sorted(lacking))}")
    retired = "/companies" in operation.name and ask.version >= COMPANIES_LEFT_SDK
    if retired and ask.switches.companies_at_late_versions == "gone":
        raise WhopError(410, "This route is retired at this version")
    if retired and ask.switches.companies_at_late_versions == "not_found":
        raise not_found("Route")


def _query(request: Request, repeatable: frozenset[str]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Parameters that may be there once, and those that may be repeated."""
    pairs = parse_qsl(request.query, keep_blank_values=True)
    single = [(name, value) for name, value in pairs if name not in repeatable]
    query = dict(single)
    if len(query) != len(single):
        raise invalid("query", "a parameter is there twice")
    return query, {name: [value for given, value in pairs if given == name] for name in repeatable}


def _body(request: Request) -> Body:
    """Documented: JSON in and out."""
    if request.method in ("GET", "DELETE"):
        return {}
    if request.method == "POST" and not request.body and request.path.endswith("/suspend"):
        return {}  # documented: it has no body
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise WhopError(400, "The Content-Type must be application/json", code="invalid_json")
    body = _json(request.body)
    if not isinstance(body, dict):
        raise WhopError(400, "The body is not a JSON object", code="invalid_json")
    return body


def _json(body: bytes) -> Json:
    try:
        parsed: Json = json.loads(body)
    except ValueError:
        return None
    return parsed


def _refusal(fault: Fault, switches: Switches, *, native: bool) -> Answer | None:
    """The answer that takes the place of the real one."""
    if fault.kind == "error_null":
        return Answer(fault.status, b'{"error": null}')
    if fault.kind == "html_error":
        page = b"<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>"
        return Answer(502, page, content_type="text/html")
    errors = {
        "error_500_before": WhopError(500, "Something went wrong"),
        "error_500_after": WhopError(500, "Something went wrong"),
        "stuck_idempotency": WhopError(500, "Something went wrong"),
        "unauthorized": WhopError(401, "Invalid or missing API key"),
        "forbidden": WhopError(403, "You are not allowed to do this"),
        "rate_limited": rate_limited(max(1, round(fault.delay)), switches),
    }
    error = errors.get(fault.kind)
    return None if error is None else error.answer(native=native)


def _reply(fault: Fault | None, shown: Answer | None) -> Reply:
    if fault is not None and fault.kind == "connection_reset":
        return Reply(Answer(0, b""), "reset")
    if shown is None or (fault is not None and fault.kind in ("timeout_before", "timeout_after", "late_commit")):
        return Reply(Answer(0, b""), "silence")
    if fault is not None and fault.kind == "truncated_json":
        return Reply(replace(shown, body=shown.body[: len(shown.body) // 2]))
    return Reply(shown)


_LOGGED_HEADERS = ("api-version-date", "content-type", "idempotency-key", "user-agent", "x-correlation-id")


def _call(name: str, request: Request, at: float, reply: Reply, fault: Fault | None) -> Call:
    body = None if name == UPLOAD else _json(request.body)
    return Call(
        operation=name,
        status=reply.answer.status if reply.delivery == "send" else None,
        at=at,
        path=request.path,
        # The query of an upload URL is its signature.
        query="" if name == UPLOAD else request.query,
        version=request.headers.get("api-version-date"),
        idempotency_key=request.headers.get("idempotency-key"),
        body=body if isinstance(body, dict) else None,
        size=len(request.body),
        replayed="Idempotent-Replayed" in reply.answer.headers,
        fault=None if fault is None else fault.kind,
        headers={header: request.headers[header] for header in _LOGGED_HEADERS if header in request.headers},
    )
