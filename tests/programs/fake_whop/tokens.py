"""Access tokens for chat: short-lived, for one user in one company, with a part of the key's scopes."""

import base64
import json

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
    or_null,
    text,
    texts,
    timestamp,
)
from fake_whop.state import Ask

# Documented.
DEFAULT_SECONDS, LIMIT_SECONDS = 3600, 3 * 3600


def create(ask: Ask) -> Answer:
    """POST /access_tokens. Documented: no scoped_actions means everything the key may do."""
    company_field = "account_id" if ask.version >= ACCOUNT_ID_IN_TOKENS else "company_id"
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
        company = ask.state.companies.get(str(company_id))
        if company is None or not ask.state.reachable(ask.credential, company):
            raise WhopError(403, "The API key has no access to this account", param=company_field)
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


def _segment(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
