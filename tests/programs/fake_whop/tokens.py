"""Secrets that are made for others: access tokens, with a part of the key's scopes, and links for an account."""

import base64
import json
import secrets

from fake_whop.protocol import (
    ACCOUNT_ID_IN_TOKENS,
    Answer,
    WhopError,
    answer,
    check_fields,
    check_query,
    instant,
    invalid,
    missing,
    not_found,
    one_of,
    or_null,
    text,
    texts,
    timestamp,
)
from fake_whop.state import Ask, Company

# Documented.
DEFAULT_SECONDS, LIMIT_SECONDS = 3600, 3 * 3600
USE_CASES = ("account_onboarding", "payouts_portal")

# Assumed: no document names the life of a link.
LINK_SECONDS = 300


def create(ask: Ask) -> Answer:
    """POST /access_tokens. Documented: no scoped_actions means everything the key may do."""
    company_field = _account_field(ask)
    check_query(ask.query, set())
    check_fields(
        ask.body,
        {
            company_field: or_null(text),
            "user_id": or_null(text),
            "expires_at": or_null(text),
            "scoped_actions": or_null(texts),
        },
    )
    company_id, user_id = ask.body.get(company_field), ask.body.get("user_id")
    if company_id is None and user_id is None:
        raise missing(company_field)
    if company_id is not None:
        _reachable(ask, str(company_id), company_field)
    if user_id is not None:
        if str(user_id) not in ask.state.users:
            raise not_found("User")
        within = str(company_id or ask.credential.company_id)
        if ask.switches.stranger != "accept" and not ask.state.belongs(str(user_id), within):
            raise WhopError(403, "The API key has no access to this user", param="user_id")
    expires = ask.now + DEFAULT_SECONDS
    if (wanted := ask.body.get("expires_at")) is not None:
        expires = instant(str(wanted), "expires_at")
        if not ask.now < expires <= ask.now + LIMIT_SECONDS:
            raise invalid("expires_at", "at most three hours from now")
    scopes = ask.body.get("scoped_actions")
    granted = sorted(str(scope) for scope in scopes) if isinstance(scopes, list) and scopes else None
    if granted is not None and not ask.credential.scopes.issuperset(granted):
        raise WhopError(
            ask.switches.excess_scope_status, "The API key lacks one of these scopes", param="scoped_actions"
        )
    claims = {
        "sub": user_id,
        "account_id": company_id,
        "scopes": granted or sorted(ask.credential.scopes),
        "exp": int(expires),
    }
    parts = [{"alg": "ES256", "typ": "JWT"}, claims]
    token = ".".join([*(_segment(json.dumps(part).encode()) for part in parts), _segment(b"not a real signature")])
    return answer({"token": token, "expires_at": timestamp(expires)})


def create_link(ask: Ask) -> Answer:
    """POST /account_links: a page for the owner of a connected account of the key's own."""
    account_field = _account_field(ask)
    check_query(ask.query, set())
    check_fields(
        ask.body,
        {account_field: text, "refresh_url": text, "return_url": text, "use_case": one_of(*USE_CASES)},
    )
    for name in (account_field, "refresh_url", "return_url", "use_case"):
        if not ask.body.get(name):
            raise missing(name)
    for name in ("refresh_url", "return_url"):
        if not str(ask.body[name]).startswith("https://"):  # observed
            raise invalid(name, "must be an https URL")
    account = _reachable(ask, str(ask.body[account_field]), account_field)
    if account.parent_id != ask.credential.company_id:
        raise WhopError(403, "This account is not connected to yours", param=account_field)
    if ask.switches.account_link_needs_scope and "company:balance:read" not in ask.credential.scopes:
        raise WhopError(403, "The API key lacks the scope company:balance:read")
    url = f"https://whop.test/{ask.body['use_case']}/{account.id}?token={secrets.token_urlsafe(12)}"
    return answer({"url": url, "expires_at": timestamp(ask.now + LINK_SECONDS)})


def _account_field(ask: Ask) -> str:
    if ask.switches.token_account_field == "either":
        return "account_id" if "account_id" in ask.body else "company_id"
    return "account_id" if ask.version >= ACCOUNT_ID_IN_TOKENS else "company_id"


def _reachable(ask: Ask, account_id: str, param: str) -> Company:
    account = ask.state.companies.get(account_id)
    if account is None or not ask.state.reachable(ask.credential, account):
        raise WhopError(403, "The API key has no access to this account", param=param)
    return account


def _segment(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
