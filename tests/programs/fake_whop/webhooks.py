"""Whop's own webhooks: /webhooks of the API, and the sender behind it, which is as strict as Whop's guide says it is.

https://docs.whop.com/developer/guides/webhooks; the fields of the events are those of the types of Whop's SDK for
Python 2.6.0. What these leave open is a switch.
"""

import base64
import hashlib
import hmac
import ipaddress
import json
import secrets
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from fake_whop.paging import PAGE_QUERY, page
from fake_whop.protocol import (
    ACCOUNT_ID_IN_WEBHOOKS,
    KNOWN_VERSIONS,
    WEBHOOK_API_VERSION_LEFT,
    Answer,
    Body,
    Check,
    Json,
    WhopError,
    answer,
    boolean,
    check_fields,
    check_query,
    invalid,
    missing,
    not_found,
    or_null,
    text,
    texts,
    timestamp,
)
from fake_whop.state import Ask, Company, Hook, State, User, new_id
from fake_whop.switches import Switches

ANSWER_SECONDS = 5.0
"""Documented: a later answer is a failed attempt."""

# Documented, one by one, but that of payouts, which were called withdrawals: assumed.
_PERMISSIONS = {
    "account": "webhook_receive:accounts",
    "verification": "webhook_receive:verifications",
    "identity_profile": "webhook_receive:identity_profiles",
    "payout_account": "webhook_receive:payout_accounts",
    "payout_method": "webhook_receive:payout_methods",
    "payout": "webhook_receive:withdrawals",
    "payment": "webhook_receive:payments",
    "member": "webhook_receive:members",
}

_CREATE: dict[str, Check] = {
    "url": text,
    "events": texts,
    "resource_id": or_null(text),
    "child_resource_events": or_null(boolean),
    "enabled": or_null(boolean),
    "api_version_date": or_null(text),
}


# Documented: the account of a webhook stays.
_UPDATE = {name: check for name, check in _CREATE.items() if name != "resource_id"}


@dataclass(frozen=True, slots=True)
class Sent:
    """One event as it was sent to one webhook. `attempts` holds the status of each, None where no answer came in time
    or it led elsewhere."""

    id: str
    hook_id: str
    event: str
    account_id: str
    body: bytes = field(repr=False)
    attempts: tuple[int | None, ...] = ()

    @property
    def delivered(self) -> bool:
        return bool(self.attempts) and _is_success(self.attempts[-1])


# -- the API ---------------------------------------------------------------------------------------------------------


def create(ask: Ask) -> Answer:
    """POST /webhooks. Documented: the secret is shown in this answer and never again."""
    _check(ask, _CREATE)
    if not isinstance(ask.body.get("url"), str):
        raise missing("url")
    resource = str(ask.body.get("resource_id") or ask.credential.company_id)
    if resource != ask.credential.company_id:
        raise WhopError(403, "The API key does not belong to this account", param="resource_id")
    made = Hook(
        new_id("hook"),
        resource,
        url="",
        events=frozenset(),
        children=False,
        enabled=True,
        version=None,
        secrets=(f"ws_{secrets.token_hex(32)}",),
        created_at=ask.now,
    )
    hook = ask.state.hooks[made.id] = _changed(made, ask.body)
    return answer(_shown(hook) | {"webhook_secret": hook.secrets[0]}, 201)


def retrieve(ask: Ask) -> Answer:
    check_query(ask.query, set())
    return answer(_shown(_hook(ask)))


def list_all(ask: Ask) -> Answer:
    """GET /webhooks, newest first. There are no apps here, and none of the webhooks counts as failing."""
    older = ask.version < WEBHOOK_API_VERSION_LEFT
    own = "company_id" if older else "account_id"
    filters = set() if older else {"app_id", "has_failures", "include_app_webhooks"}
    check_query(ask.query, PAGE_QUERY | filters | {own})
    if older and own not in ask.query:
        raise missing(own)
    if ask.query.get(own, ask.credential.company_id) != ask.credential.company_id:
        raise WhopError(403, "The API key does not belong to this account", param=own)
    none = "app_id" in ask.query or ask.query.get("has_failures") == "true"
    hooks = [hook for hook in ask.state.hooks.values() if hook.company_id == ask.credential.company_id and not none]
    return page(ask.query, hooks[::-1], _shown)


def update(ask: Ask) -> Answer:
    """PATCH /webhooks/{id}. Documented: only the fields sent change, and a null version takes the pin away."""
    _check(ask, _UPDATE)
    hook = _hook(ask)
    hook = ask.state.hooks[hook.id] = _changed(hook, ask.body)
    return answer(_shown(hook))


def delete(ask: Ask) -> Answer:
    check_query(ask.query, set())
    hook = _hook(ask)
    del ask.state.hooks[hook.id]
    return answer({"id": hook.id, "deleted": True})


def _check(ask: Ask, known: Mapping[str, Check]) -> None:
    """Refuses what neither a create nor an update may hold."""
    check_query(ask.query, set())
    check_fields(
        ask.body, known if ask.version >= WEBHOOK_API_VERSION_LEFT else {**known, "api_version": or_null(text)}
    )
    url, version, events = (ask.body.get(name) for name in ("url", "api_version_date", "events"))
    if isinstance(url, str) and not _is_public(url) and ask.switches.private_webhook_urls == "refused":
        raise invalid("url", "must be a public https address")
    if version is not None and version not in KNOWN_VERSIONS:
        raise invalid("api_version_date", "no such version")
    for event in sorted(map(str, events)) if isinstance(events, list) else []:
        _permitted(ask, event)


def _changed(hook: Hook, body: Body) -> Hook:
    """The webhook with what a body that was checked says of it."""
    changes: dict[str, Any] = {}
    if isinstance(url := body.get("url"), str):
        changes["url"] = url
    if isinstance(events := body.get("events"), list):
        changes["events"] = frozenset(map(str, events))
    for name, attribute in (("child_resource_events", "children"), ("enabled", "enabled")):
        if isinstance(said := body.get(name), bool):
            changes[attribute] = said
    if "api_version_date" in body:
        changes["version"] = body["api_version_date"]
    return replace(hook, **changes)


def _permitted(ask: Ask, event: str) -> None:
    resource, dot, action = event.partition(".")
    if not dot or not action or resource not in _PERMISSIONS:
        raise invalid("events", f"no such event: {event}")
    if _PERMISSIONS[resource] not in ask.credential.scopes:
        raise WhopError(403, f"The API key lacks the scope {_PERMISSIONS[resource]}")


def _hook(ask: Ask) -> Hook:
    hook = ask.state.hooks.get(ask.id)
    if hook is None or hook.company_id != ask.credential.company_id:
        raise not_found("Webhook")
    return hook


def _shown(hook: Hook) -> Body:
    events: list[Json] = [*sorted(hook.events)]
    return {
        "id": hook.id,
        "url": hook.url,
        "events": events,
        "resource_id": hook.company_id,
        "child_resource_events": hook.children,
        "enabled": hook.enabled,
        "api_version": "v1",
        "api_version_date": hook.version,
        "webhook_secret": None,
        "created_at": timestamp(hook.created_at),
        "testable_events": [],
        "consecutive_failures": 0,
        "disabled_at": None,
        "disabled_reason": None,
        "failing_since": None,
        "last_failure_at": None,
    }


def _is_public(url: str) -> bool:
    """Documented: localhost and private addresses are refused."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https" or not host or host == "localhost" or host.endswith(".localhost"):
        return False
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host


# -- the sender ------------------------------------------------------------------------------------------------------


def due(
    state: State, switches: Switches, *, event: str, account_id: str, data: Body, now: float
) -> list[tuple[Hook, Sent]]:
    """What is to be sent, and to which webhooks, when something happens to an account.

    `data` changes fields of the object that the event carries. Raises KeyError for an account that is not there.
    """
    company = state.companies[account_id]
    owner = state.users[company.owner_id]
    found = []
    for hook in state.hooks.values():
        if hook.enabled and event in hook.events and _covers(hook, company):
            envelope = _envelope(_About(switches, hook, event, company, owner, now), data)
            body = json.dumps(envelope, ensure_ascii=False).encode()
            found.append((hook, Sent(str(envelope["id"]), hook.id, event, company.id, body)))
    return found


def attempted(hook: Hook, sent: Sent, now: float) -> Sent:
    """What is known of a delivery after one more attempt, at this time."""
    return replace(sent, attempts=(*sent.attempts, _attempt(hook, sent, now)))


def with_new_secret(hook: Hook) -> Hook:
    """Documented: while a secret is rotated, deliveries are signed with both."""
    return replace(hook, secrets=(f"ws_{secrets.token_hex(32)}", hook.secrets[0]))


def signature(secret: str, delivery_id: str, at: str, body: bytes) -> str:
    """Documented: HMAC-SHA256 of `id.timestamp.body`; the key is the whole `ws_...` text."""
    mac = hmac.new(secret.encode(), f"{delivery_id}.{at}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(mac.digest()).decode()


def _covers(hook: Hook, company: Company) -> bool:
    """Documented: either the events of the own account or those of its connected accounts, never both."""
    return company.parent_id == hook.company_id if hook.children else company.id == hook.company_id


def _attempt(hook: Hook, sent: Sent, now: float) -> int | None:
    """The status of the answer. Assumed: each attempt is signed anew, since a signature is good for five minutes."""
    at = str(int(now))
    headers = {
        "content-type": "application/json",
        "webhook-id": sent.id,
        "webhook-timestamp": at,
        "webhook-signature": " ".join(signature(secret, sent.id, at, sent.body) for secret in hook.secrets),
    }
    request = urllib.request.Request(hook.url, sent.body, headers, method="POST")  # noqa: S310 - checked on creation
    try:
        with _OPENER.open(request, timeout=ANSWER_SECONDS) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except (OSError, HTTPException):
        return None


def _is_success(status: int | None) -> bool:
    return status is not None and 200 <= status < 300


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Documented: a redirect is a failed attempt."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects)


# -- what an event carries -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _About:
    switches: Switches
    hook: Hook
    event: str
    company: Company
    owner: User
    now: float

    @property
    def action(self) -> str:
        return self.event.partition(".")[2]

    @property
    def is_pinned(self) -> bool:
        """To a version that speaks of accounts."""
        return self.hook.version is not None and self.hook.version >= ACCOUNT_ID_IN_WEBHOOKS


def _envelope(about: _About, changes: Body) -> Body:
    """Documented: `account_id` from the version 2026-08-14 on, `company_id` before it and without a pin."""
    company = about.company
    of_platform = about.switches.webhooks_name == "platform"
    envelope: Body = {
        "id": new_id("msg"),
        "type": about.event,
        "api_version": "v1",
        "api_version_date": about.hook.version,
        "timestamp": timestamp(about.now),
        "account_id" if about.is_pinned else "company_id": company.parent_id if of_platform else company.id,
        "data": _OBJECTS.get(about.event.partition(".")[0], _anything)(about) | changes,
    }
    if about.event == "account.updated":
        # Documented: the old values of the fields that changed.
        envelope["previous_attributes"] = {"title": f"formerly {company.title}"}
    return envelope


def _account(about: _About) -> Body:
    company, owner = about.company, about.owner
    return {
        "id": company.id,
        "title": company.title,
        "email": company.email,
        "metadata": company.metadata or {},
        "owner" if about.is_pinned else "owner_user": {"id": owner.id, "name": owner.name, "username": owner.username},
        "status": "suspended" if company.suspended else "active",
        "business_address": {"line1": "1 Quiet Street", "city": "Berlin", "country": "DE"},
        "updated_at": timestamp(about.now),
    }


def _person(about: _About) -> Body:
    """What makes these bodies a matter of privacy."""
    return {
        "first_name": about.owner.name or "Ann",
        "last_name": "Quiet",
        "date_of_birth": "1990-01-01",
        "email": about.company.email,
        "phone": "+15551234567",
        "country": "DE",
    }


def _verification(about: _About) -> Body:
    number: Json = 4711 if about.switches.verification_ids == "numbers" else new_id("verf")
    status = "verified" if about.action == "succeeded" else "review"
    return {"id": number, "status": status, "last_error_reason": "The document is too blurry to read."}


def _identity_profile(about: _About) -> Body:
    if about.switches.identity_profiles == "id_only":
        return {"id": new_id("idpf")}
    return {
        "id": new_id("idpf"),
        "profile_type": "individual",
        "status": about.action if about.action in ("approved", "rejected") else "pending",
        "personal_address": {"line1": "1 Quiet Street", "postal_code": "10115", "city": "Berlin"},
        "verifications": [_verification(about) | {"session_url": "https://verify.whop.com/session/quiet"}],
        **_person(about),
    }


def _payout_account(about: _About) -> Body:
    return {
        "id": new_id("poact"),
        "status": "connected",
        "address": {"line1": "1 Quiet Street", "city": "Berlin"},
        "business_name": about.company.title,
        "business_representative": _person(about),
        "email": about.company.email,
        "phone": "+15551234567",
        "latest_verification": _verification(about),
    }


def _payout_method(about: _About) -> Body:
    return {
        "id": new_id("potk"),
        "object": "payout_method",
        "status": "created",
        "account_reference": "****6789",
        "institution_name": "Quiet Bank",
        "nickname": f"{about.owner.name or 'Ann'}'s account",
        "destination_currency": "eur",
        "created_at": timestamp(about.now),
    }


def _payout(about: _About) -> Body:
    status = {"created": "requested", "reversed": "reversed"}.get(about.action, "completed")
    failure: Body = {"code": "account_closed", "message": f"The bank of {about.owner.name or 'Ann'} returned it."}
    return {
        "id": new_id("wdrl"),
        "object": "payout",
        "amount": "125.5",
        "currency": "usd",
        "status": status,
        "status_detail": status,
        "failure": failure if status == "reversed" else None,
        "metadata": {"note": about.company.email},
        "notes": "March",
        "trace_code": "021000021234567",
        "payout_request_id": new_id("cofr"),
        "payout_method": {"nickname": "Operating account"},
        "created_at": timestamp(about.now),
    }


def _anything(about: _About) -> Body:
    return {"id": new_id("obj"), "user": {"id": about.owner.id, "email": about.owner.email}}


_OBJECTS: dict[str, Callable[[_About], Body]] = {
    "account": _account,
    "verification": _verification,
    "identity_profile": _identity_profile,
    "payout_account": _payout_account,
    "payout_method": _payout_method,
    "payout": _payout,
}
