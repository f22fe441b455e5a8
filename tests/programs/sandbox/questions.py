"""The open questions, one a line of the table. An answer holds no id and no time, so that two runs can be compared."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from local_stack.pictures import png
from sandbox.calls import ACCOUNTS, BEFORE_FILES, Answer, Probe

LIST_SECONDS = 20
"""How long a new account is looked for in the list."""

FILE_SECONDS = 20
"""How long an uploaded file may take until it is ready."""

NOT_ASKED = (
    "what Whop writes to the owner of a new account (look into the mailbox), how large a picture may be, whether 5xx"
    " and 429 are replayed under one Idempotency-Key, whether company:create alone serves POST /accounts and whether"
    " GET /accounts/{id} needs company:balance:read (both need a second key), what account.updated is sent for, and"
    " whether tokens end when their account is suspended"
)

type Ask = Callable[[Probe], str]


@dataclass(frozen=True, slots=True)
class Question:
    text: str
    ask: Ask


@dataclass(frozen=True, slots=True)
class Subject:
    """The connected account that the questions are about."""

    company_id: str
    whop_user_id: str


def questions(subject: Subject, title: str) -> Iterator[Question]:
    """In their order: some build on what those before them left."""
    company, user = subject.company_id, f"/users/{subject.whop_user_id}"
    yield Question("Seconds until a new account is listed", lambda probe: _seconds_until_listed(probe, company))
    yield Question("GET /companies at 2026-09-23", lambda probe: str(_list(probe, version=ACCOUNTS)))
    yield Question("Explicit Api-Version-Date 2025-01-01", lambda probe: str(_list(probe, version="2025-01-01")))
    yield Question("Unknown Api-Version-Date", lambda probe: str(_list(probe, version="2020-02-02")))
    yield Question("Header with the request's id", _request_id)
    yield Question(
        "POST /companies again under one Idempotency-Key",
        lambda probe: _same(probe.company(title, "a", key=probe.run), company),
    )
    yield Question("POST /companies with a title in use", lambda probe: str(probe.company(title, "b")))
    yield Question("POST /companies for example.com", lambda probe: str(probe.undeliverable(f"{title} c")))
    yield Question("POST /accounts with a title in use", lambda probe: str(probe.account("d", title=title)))
    yield Question(
        "POST /accounts with external_id",
        lambda probe: str(probe.account("e", title=f"{title} e", external_id=probe.run)),
    )
    yield Question(
        "The same once more",
        lambda probe: str(probe.account("e", title=f"{title} e", external_id=probe.run)),
    )
    yield Question(
        "That external_id with another e-mail",
        lambda probe: str(probe.account("f", title=f"{title} f", external_id=probe.run)),
    )
    yield Question("metadata.external_id with another e-mail", lambda probe: _external_id_in_metadata(probe, title))
    yield Question("GET /accounts by an external_id of no account", _filters_by_external_id)
    yield Question("GET /accounts/{id}", lambda probe: str(probe.call("GET", f"/accounts/{company}", version=ACCOUNTS)))
    yield Question("PATCH /accounts/{id} with other metadata", lambda probe: _merges(probe, company))
    yield Question("PATCH /users/{id} answers whose name", lambda probe: _shown_name(probe, user))
    yield Question("GET /files/{id} once it is a user's picture", lambda probe: _read_once_attached(probe, user))
    for field in ("name", "profile_picture"):
        yield Question(f"PATCH /users/{{id}} with {field} null", partial(_nulled, user=user, field=field))
    yield Question("PATCH /users/{id} with a file not uploaded", lambda probe: _attached_early(probe, user))
    yield Question("POST /files at 2026-07-20", lambda probe: str(_file(probe, BEFORE_FILES)))
    for name in ("company_id", "account_id"):
        for version in ("2026-08-21-1", ACCOUNTS):
            yield Question(
                f"POST /access_tokens with {name} at {version}",
                partial(_token, name=name, subject=subject, version=version),
            )
    yield Question("GET /permissions of an unknown action", _unknown_action)


def _list(probe: Probe, *, version: str) -> Answer:
    query = {"parent_company_id": probe.whop.company_id, "first": "1"}
    return probe.call("GET", "/companies", version=version, query=query)


def _seconds_until_listed(probe: Probe, company: str) -> str:
    query = {"parent_company_id": probe.whop.company_id, "first": "10"}
    began = time.monotonic()
    while time.monotonic() - began < LIST_SECONDS:
        found = probe.call("GET", "/companies", query=query)
        if not found.is_success:
            return str(found)
        ids = [each.get("id") for each in found.body.get("data", [])]
        if company in ids:
            order = "first of the list" if ids[0] == company else "not first of the list"
            return f"{time.monotonic() - began:.0f}, {order}"
        time.sleep(1)
    return f"not within {LIST_SECONDS}"


def _request_id(probe: Probe) -> str:
    names = sorted(name.lower() for name in _list(probe, version=ACCOUNTS).headers if "request-id" in name.lower())
    return ", ".join(names) or "none"


def _same(answer: Answer, company: str) -> str:
    if not answer.is_success:
        return str(answer)
    return f"{answer.status}, the same account" if answer.body.get("id") == company else f"{answer.status}, another one"


def _external_id_in_metadata(probe: Probe, title: str) -> str:
    metadata = {"external_id": f"{probe.run}-metadata"}
    first = probe.account("g", title=f"{title} g", metadata=metadata)
    return str(probe.account("h", title=f"{title} h", metadata=metadata) if first.is_success else first)


def _filters_by_external_id(probe: Probe) -> str:
    query = {"external_id": f"{probe.run}-none", "first": "1"}
    found = probe.call("GET", "/accounts", version=ACCOUNTS, query=query)
    if not found.is_success:
        return str(found)
    return f"{found.status}, {'ignored' if found.body.get('data') else 'filtered'}"


def _merges(probe: Probe, company: str) -> str:
    path = f"/accounts/{company}"
    for name in ("one", "two"):
        found = probe.call("PATCH", path, version=ACCOUNTS, body={"metadata": {name: "1"}})
        if not found.is_success:
            return str(found)
    kept = found.body.get("metadata") or {}
    return f"{found.status}, {'merged' if 'one' in kept else 'replaced'}"


def _override(probe: Probe, user: str, body: dict[str, object]) -> Answer:
    return probe.call("PATCH", user, query={"account_id": probe.whop.company_id}, body=body)


def _shown_name(probe: Probe, user: str) -> str:
    name = f"Probe {probe.run}"
    found = _override(probe, user, {"name": name})
    if not found.is_success:
        return str(found)
    return f"{found.status}, {'that of the company' if found.body.get('name') == name else 'the global one'}"


def _nulled(probe: Probe, user: str, field: str) -> str:
    found = _override(probe, user, {field: None})
    if field != "name" or not found.is_success:
        return str(found)
    shown = probe.call("GET", user, query={"account_id": probe.whop.company_id})
    return f"{found.status}, {'stays' if shown.body.get('name') == f'Probe {probe.run}' else 'cleared'}"


def _file(probe: Probe, version: str) -> Answer:
    return probe.call("POST", "/files", version=version, body={"filename": f"{probe.run}.png"})


def _read_once_attached(probe: Probe, user: str) -> str:
    created = _file(probe, ACCOUNTS)
    if not created.is_success:
        return str(created)
    path = f"/files/{created.body.get('id')}"
    headers = {
        name: str(value) for name, value in (created.body.get("upload_headers") or {}).items() if value is not None
    }
    stored = probe.http.put(str(created.body.get("upload_url")), content=png("00aa00"), headers=headers)
    if not stored.is_success:
        return f"upload {stored.status_code}"
    began, pause = time.monotonic(), 0.05
    while (status := probe.call("GET", path, version=ACCOUNTS).body.get("upload_status")) != "ready":
        if status == "failed" or time.monotonic() - began > FILE_SECONDS:
            return f"upload {status}"
        time.sleep(pause)
        pause = min(2 * pause, 1.0)
    attached = _override(probe, user, {"profile_picture": {"id": created.body.get("id")}})
    return str(probe.call("GET", path, version=ACCOUNTS) if attached.is_success else attached)


def _attached_early(probe: Probe, user: str) -> str:
    file = _file(probe, ACCOUNTS)
    if not file.is_success:
        return str(file)
    return str(_override(probe, user, {"profile_picture": {"id": file.body.get("id")}}))


def _token(probe: Probe, name: str, subject: Subject, version: str) -> str:
    body = {name: probe.whop.company_id, "user_id": subject.whop_user_id, "scoped_actions": ["chat:read"]}
    return str(probe.call("POST", "/access_tokens", version=version, body=body))


def _unknown_action(probe: Probe) -> str:
    query = {"resource_id": probe.whop.company_id, "actions": "chat:no_such_action"}
    found = probe.call("GET", "/permissions", version=ACCOUNTS, query=query)
    if not found.is_success:
        return str(found)
    return f"{found.status}, {'listed' if found.body.get('data') else 'left out'}"
