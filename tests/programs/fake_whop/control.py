"""The control endpoints and the pictures: for tests and people, no part of Whop's API."""

import dataclasses
import json
from collections.abc import Callable
from html import escape
from typing import Any, get_args
from urllib.parse import unquote

from fake_whop.page import render
from fake_whop.protocol import Answer, Body, Json, Request, answer, timestamp
from fake_whop.state import User
from fake_whop.switches import Fault, FaultKind, Switches
from fake_whop.webhooks import Sent
from fake_whop.whop import Whop


def control(whop: Whop, request: Request) -> Answer:
    """Answer a request outside the API. A wrong one gets a 400 with the reason."""
    if request.method == "GET" and request.path.startswith(_PICTURES):
        return picture(whop, "/cdn/" + unquote(request.path.removeprefix(_PICTURES)))
    if request.method == "GET" and request.path in _PAGES:
        return _PAGES[request.path](whop)
    if request.method != "POST" or request.path not in _ORDERS:
        return answer({"error": "no such page"}, 404)
    # A page of another origin can not send this type without asking the browser first.
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        return answer({"error": "the Content-Type must be application/json"}, 400)
    try:
        done = _ORDERS[request.path](whop, json.loads(request.body or b"{}"))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return answer({"error": str(error)}, 400)
    return answer(done)


def picture(whop: Whop, path: str) -> Answer:
    """Pictures as Whop's CDN serves them, and generated ones for users who have none."""
    kind, _, rest = path.removeprefix("/").partition("/")
    with whop.lock:
        state = whop.settled()
        if kind == "cdn" and (file := state.files.get(rest.partition("/")[0])) and file.status == "ready":
            # Documented: a removed picture is replaced, while name, size and type go on being those of the original.
            if file.moderated:
                return Answer(200, _initial("!").encode(), content_type="image/svg+xml")
            return Answer(200, file.content, content_type=file.content_type)
        if kind == "placeholders" and (user := state.users.get(rest.removesuffix(".svg"))):
            return Answer(200, _initial(user.username).encode(), content_type="image/svg+xml")
    return Answer(404, b"", content_type="text/plain")


def _initial(username: str) -> str:
    letter = escape(username[:1].upper())
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><rect width="64" height="64" fill="#d8d5ce"/>'
        f'<text x="32" y="43" font-family="sans-serif" font-size="32" text-anchor="middle">{letter}</text></svg>'
    )


def _page(whop: Whop) -> Answer:
    return Answer(200, render(snapshot(whop)).encode(), content_type="text/html; charset=utf-8")


def _state(whop: Whop) -> Answer:
    return answer(snapshot(whop))


def _calls(whop: Whop) -> Answer:
    return answer({"calls": [dataclasses.asdict(call) for call in whop.calls()]})


def _plan_fault(whop: Whop, body: dict[str, Any]) -> Body:
    if body.get("kind") not in get_args(FaultKind):
        raise ValueError(f"kind must be one of {', '.join(get_args(FaultKind))}")
    whop.plan(Fault(**({"operation": None} | body)))
    return {"ok": True}


def _reset(whop: Whop, _: dict[str, Any]) -> Body:
    whop.reset()
    return {"ok": True}


def _new_user(whop: Whop, body: dict[str, Any]) -> Body:
    user = add_user(whop, body["email"], body.get("name"), body.get("member_of"))
    return {"id": user.id, "username": user.username}


def _set_switches(whop: Whop, changes: dict[str, Any]) -> Body:
    """Set switches by name; the type of each must be that of its default."""
    defaults = {field.name: getattr(Switches(), field.name) for field in dataclasses.fields(Switches)}
    for name, value in changes.items():
        if name not in defaults:
            raise ValueError(f"no such switch: {name}")
        if isinstance(defaults[name], frozenset):
            changes[name] = frozenset(value)
        elif isinstance(defaults[name], float) and isinstance(value, int):
            changes[name] = float(value)
        elif type(value) is not type(defaults[name]) and not (name in _NULLABLE and isinstance(value, _NULLABLE[name])):
            raise ValueError(f"wrong type for {name}")
    for name, value in changes.items():
        setattr(whop.switches, name, value)
    return {"ok": True}


_NULLABLE = {"title_limit": int | None, "request_id_header": str | None}


def _set_balance(whop: Whop, body: dict[str, Any]) -> Body:
    set_balance(whop, body["account_id"], float(body["balance"]))
    return {"ok": True}


def _emit(whop: Whop, body: dict[str, Any]) -> Body:
    """{"event": "payout.updated", "account_id": "biz_...", "data": {...}}, of which the last may be missing."""
    event, account_id = body["event"], body["account_id"]
    with whop.lock:
        state = whop.settled()
    if account_id not in state.companies:
        raise ValueError(f"there is no connected account {account_id}: the page at / lists those there are")
    if not any(event in hook.events for hook in state.hooks.values()):
        taken = sorted({each for hook in state.hooks.values() for each in hook.events})
        raise ValueError(f"no webhook takes {event}, only {', '.join(taken) or 'nothing: create one first'}")
    sent = whop.emit(event, account_id, body.get("data"))
    return {"sent": [_sent(each) for each in sent]}


def set_balance(whop: Whop, account_id: str, balance: float) -> None:
    with whop.lock:
        companies = whop.settled().companies
        companies[account_id] = dataclasses.replace(companies[account_id], balance=balance)


def add_user(whop: Whop, email: str, name: str | None, member_of: str | None) -> User:
    with whop.lock:
        state = whop.settled()
        user = state.user_for(email, whop.now())
        if name is not None:
            user = state.users[user.id] = dataclasses.replace(user, name=name)
        if member_of is not None:
            state.members.add((member_of, user.id))
        return user


def _sent(sent: Sent) -> Body:
    attempts: list[Json] = [*sent.attempts]
    return {
        "id": sent.id,
        "hook_id": sent.hook_id,
        "event": sent.event,
        "account_id": sent.account_id,
        "attempts": attempts,
        "delivered": sent.delivered,
    }


def snapshot(whop: Whop) -> Body:
    """Everything there is to see, without keys, tokens and upload signatures."""
    with whop.lock:
        state = whop.settled()
        accounts: list[Json] = []
        for company in state.companies.values():
            owner = state.users[company.owner_id]
            shown = state.profile(owner, company.parent_id)
            accounts.append(
                {
                    "id": company.id,
                    "title": company.title,
                    "parent_id": company.parent_id,
                    "email": company.email,
                    "external_id": company.external_id,
                    "metadata": company.metadata,
                    "owner": {"id": owner.id, "username": owner.username, "name": owner.name},
                    "shown_name": shown.name,
                    "picture_file": shown.picture_file,
                    "suspended": company.suspended,
                    "balance": company.balance,
                    "created_at": timestamp(company.created_at),
                }
            )
        return {
            "accounts": accounts,
            "users": [
                {
                    "id": user.id,
                    "email": user.email,
                    "username": user.username,
                    "name": user.name,
                    "picture_file": user.picture_file,
                    "overrides": [
                        {"company_id": company_id, "name": override.name, "picture_file": override.picture_file}
                        for (company_id, user_id), override in state.overrides.items()
                        if user_id == user.id
                    ],
                }
                for user in state.users.values()
            ],
            "files": [
                {
                    "id": file.id,
                    "filename": file.filename,
                    "content_type": file.content_type,
                    "status": file.status,
                    "size": len(file.content),
                    "created_at": timestamp(file.created_at),
                }
                for file in state.files.values()
            ],
            "owner_mails": [
                {"account_id": mail.company_id, "email": mail.email, "at": timestamp(mail.at)}
                for mail in state.owner_mails
            ],
            "webhooks": [
                {"id": hook.id, "url": hook.url, "child_resource_events": hook.children, "enabled": hook.enabled}
                for hook in state.hooks.values()
            ],
            "sent_webhooks": [_sent(sent) for sent in whop.sent_webhooks()[-50:]],
            "calls": [
                {
                    "at": timestamp(call.at),
                    "operation": call.operation,
                    "path": call.path,
                    "status": call.status,
                    "fault": call.fault,
                    "replayed": call.replayed,
                }
                for call in whop.calls()[-50:]
            ],
            "call_count": len(whop.calls()),
        }


_PICTURES = "/_fake/pictures/"
_PAGES: dict[str, Callable[[Whop], Answer]] = {"/": _page, "/_fake/state": _state, "/_fake/calls": _calls}
_ORDERS: dict[str, Callable[[Whop, dict[str, Any]], Body]] = {
    "/_fake/faults": _plan_fault,
    "/_fake/switches": _set_switches,
    "/_fake/reset": _reset,
    "/_fake/users": _new_user,
    "/_fake/balances": _set_balance,
    "/_fake/events": _emit,
}
