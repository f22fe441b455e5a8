"""Users: the global profile, and what one company shows instead of it."""

import re
from dataclasses import replace
from typing import Any

from fake_whop import files
from fake_whop.paging import PAGE_QUERY, page
from fake_whop.protocol import (
    SOCIAL_LINKS,
    USER_OBJECT_CURRENT,
    Answer,
    Body,
    Json,
    WhopError,
    answer,
    anything,
    check_fields,
    check_query,
    file_reference,
    invalid,
    mapping,
    missing,
    not_found,
    or_null,
    text,
    timestamp,
)
from fake_whop.state import Ask, Company, Override, User

# Documented for the legacy form; assumed to hold on.
NAME_LIMIT = 100
USERNAME = re.compile("[A-Za-z0-9-]{1,42}")

_PROFILE = {"name": or_null(text), "bio": or_null(text), "username": or_null(text)}
_LEGACY_FIELDS = _PROFILE | {"profile_picture": or_null(file_reference), "company_id": or_null(text)}
_CURRENT_FIELDS = _PROFILE | {"profile_picture": or_null(mapping), "banner": or_null(mapping)}
_READ_QUERY = {
    "account_id",
    "from",
    "include_balance",
    "include_balance_history",
    "include_trading",
    "interval",
    "time_zone",
    "to",
}


def list_all(ask: Ask) -> Answer:
    """GET /users. Documented: searches by name or username; without words it answers whom the caller follows, and an
    API key follows no user. The order of what was found, by nearness to the caller, is that of creation here."""
    check_query(ask.query, PAGE_QUERY | {"query"})
    words = ask.query.get("query", "").casefold()
    found = [user for user in ask.state.users.values() if words and _is_called(user, words)]
    return page(ask.query, found, lambda user: _object(ask, user))


def _is_called(user: User, words: str) -> bool:
    return words in user.username.casefold() or words in (user.name or "").casefold()


def retrieve(ask: Ask) -> Answer:
    """GET /users/{id}. Documented: with an account it shows that account's values for name and picture. The account is
    `company_id` where PATCH takes it in the body (whop-sdk 0.0.40) and `account_id` later."""
    account_field = "account_id" if _account_id_in_query(ask) else "company_id"
    check_query(ask.query, _READ_QUERY if _account_id_in_query(ask) else {account_field})
    user = _named(ask)
    account_id = ask.query.get(account_field)
    company = None if account_id is None else _company(ask, account_id, account_field)
    return answer(_object(ask, ask.state.profile(user, company.id if company else None)))


def update(ask: Ask) -> Answer:
    """PATCH /users/{id}: for an API key the override of one company, never the global profile.

    Documented: the company is `account_id` in the query at current versions and `company_id` in the body before.
    """
    if _account_id_in_query(ask):
        check_query(ask.query, {"account_id"})
        stray = ask.switches.company_id_in_body != "reject"
        check_fields(ask.body, _CURRENT_FIELDS | ({"company_id": anything} if stray else {}))
        named = ask.query.get("account_id")
        if named is None and ask.switches.company_id_in_body == "honour":
            named = str(ask.body["company_id"]) if ask.body.get("company_id") else None
        if not named:
            refusal = missing("account_id")
            refusal.status = ask.switches.missing_account_id_status
            raise refusal
    else:
        check_query(ask.query, set())
        check_fields(ask.body, _LEGACY_FIELDS)
        named = str(ask.body["company_id"]) if ask.body.get("company_id") else None

    user = _named(ask)
    changes = _changes(ask, override=named is not None)
    if named is None:
        user = ask.state.users[user.id] = _changed(user, changes)
        return answer(_object(ask, user))
    company = _company(ask, named, "account_id" if _account_id_in_query(ask) else "company_id")
    if ask.switches.stranger != "accept" and not ask.state.belongs(user.id, company.id):
        if ask.switches.stranger == "forbidden":
            raise WhopError(403, "This user does not belong to the account")
        raise not_found("User")
    before = ask.state.overrides.get((company.id, user.id), Override())
    ask.state.set_override(company.id, user.id, _changed(before, changes))
    return answer(
        _object(ask, ask.state.profile(user, company.id if ask.switches.update_shows == "override" else None))
    )


def _account_id_in_query(ask: Ask) -> bool:
    return ask.version >= ask.switches.query_account_id_since


def _named(ask: Ask) -> User:
    if ask.id == "me":
        raise WhopError(ask.switches.users_me_status, "An API key is not a user")
    user = ask.state.find_user(ask.id)
    if user is None or "@" in ask.id:
        raise not_found("User")
    return user


def _company(ask: Ask, company_id: str, param: str) -> Company:
    company = ask.state.companies.get(company_id)
    if company is None:
        raise WhopError(404, "Account was not found", param=param)
    if not ask.state.reachable(ask.credential, company):
        raise WhopError(403, "The API key has no access to this account", param=param)
    return company


def _changes(ask: Ask, *, override: bool) -> dict[str, str | None]:
    """The fields to set, None to clear. Documented: only name and picture can differ per company."""
    changes: dict[str, str | None] = {}
    for name in ("name", "bio", "username"):
        if name not in ask.body or (override and name != "name" and ask.switches.other_fields_in_override == "ignore"):
            continue
        if override and name != "name":
            raise invalid(name, "can not differ per account")
        changes[name] = _text(ask, name)
    if ask.body.get("banner") is not None and (not override or ask.switches.other_fields_in_override == "reject"):
        raise invalid("banner", "can not be set here")
    if "profile_picture" in ask.body:
        picture = ask.body["profile_picture"]
        if picture is None:
            _refuse_null(ask, "profile_picture")
        changes["picture_file"] = None if picture is None else files.attachable(ask, picture, "profile_picture")
    return changes


def _changed[T: (User, Override)](entity: T, changes: dict[str, Any]) -> T:
    return replace(entity, **changes)


def _text(ask: Ask, name: str) -> str | None:
    value: Json = ask.body[name]
    if name == "username" and not USERNAME.fullmatch(str(value or "")):
        raise invalid(name, "letters, digits and hyphens, at most 42")
    if value is None:
        _refuse_null(ask, name)
        return None
    if name == "name" and len(str(value)) > NAME_LIMIT:
        raise invalid("name", f"longer than {NAME_LIMIT} characters")
    return str(value)


def _refuse_null(ask: Ask, name: str) -> None:
    """Documented for the legacy form only: null clears an override."""
    if _account_id_in_query(ask) and not ask.switches.null_clears:
        raise invalid(name, "null is not accepted")


def _object(ask: Ask, user: User) -> Body:
    """Documented: the short legacy object, or the current one, whose picture is always there (maybe generated)."""
    picture: Json = None
    if user.picture_file is not None:
        picture = {"url": files.picture_url(ask.uploads, ask.state.files[user.picture_file])}
    common: Body = {
        "id": user.id,
        "username": user.username,
        "name": user.name,
        "bio": user.bio,
        "created_at": timestamp(user.created_at),
        "profile_picture": picture,
    }
    if ask.version < USER_OBJECT_CURRENT:
        return common
    if picture is None and ask.switches.placeholder_pictures:
        common["profile_picture"] = placeholder(ask.uploads, user)
    return common | {
        "balance": None,
        "balance_history": None,
        "balances": [],
        "banner": None,
        "cards": None,
        "earnings_usd": None,
        "email": None,
        "level": None,
        "social_accounts" if ask.version < SOCIAL_LINKS else "social_links": [],
        "staff": None,
        "total_usd": None,
        "trading": None,
        "verification": {"individual": None, "business": None},
        "whop_partner_enabled_at": None,
        "whop_partner_onboarded_accounts_count": None,
        "whop_partner_verified_at": None,
    }


def placeholder(uploads: str, user: User) -> Body:
    return {"url": f"{uploads}/placeholders/{user.id}.svg"}
