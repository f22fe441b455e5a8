"""Connected accounts, by their two names: /companies (legacy) and /accounts (current), over the same entities."""

import re
from collections.abc import Callable
from dataclasses import replace

from fake_whop import files, users
from fake_whop.paging import PAGE_QUERY, page
from fake_whop.protocol import (
    ACCOUNT_OWNER,
    INDUSTRY_GROUP_LEFT,
    PARENT_ACCOUNT_OBJECT,
    STABLECOIN_RAILS_LEFT,
    Answer,
    Body,
    Check,
    Json,
    WhopError,
    answer,
    boolean,
    check_fields,
    check_query,
    file_reference,
    instant,
    invalid,
    listing,
    mapping,
    missing,
    not_found,
    one_of,
    or_null,
    slug,
    text,
    texts,
    timestamp,
)
from fake_whop.state import Ask, Company, OwnerMail, new_id

# Observed twice, word for word.
DUPLICATE_TITLE = "You have already created an account with the same name"

_LOWER_COUNTRY: Check = lambda value: isinstance(value, str) and re.fullmatch("[a-z]{2}", value) is not None  # noqa: E731
_UPPER_COUNTRY: Check = lambda value: isinstance(value, str) and re.fullmatch("[A-Z]{2}", value) is not None  # noqa: E731

_COMPANY_CREATE: dict[str, Check] = {
    "title": text,
    "email": or_null(text),
    "parent_company_id": or_null(text),
    "metadata": or_null(mapping),
    "country": or_null(_LOWER_COUNTRY),
    "description": or_null(text),
    "logo": or_null(file_reference),
    "send_customer_emails": or_null(boolean),
}
_COMPANY_UPDATE: dict[str, Check] = {
    "title": or_null(text),
    "description": or_null(text),
    "logo": or_null(file_reference),
    "banner_image": or_null(file_reference),
    "route": or_null(text),
    "send_customer_emails": or_null(boolean),
    "social_links": or_null(listing),
    "target_audience": or_null(text),
    "affiliate_application_required": or_null(boolean),
    "affiliate_instructions": or_null(text),
    "featured_affiliate_product_id": or_null(text),
}
_ACCOUNT_CREATE: dict[str, Check] = {
    "email": or_null(text),
    "title": or_null(text),
    "metadata": or_null(mapping),
    "country": or_null(_UPPER_COUNTRY),
    "external_id": or_null(text),
    "affiliate_code": or_null(text),
    "blueprint_id": or_null(text),
    "send_customer_emails": or_null(boolean),
    "website": or_null(text),
    "dispute_fighter_enabled": or_null(boolean),
    "orchestration_enabled": or_null(boolean),
}
_ACCOUNT_UPDATE: dict[str, Check] = {
    "title": or_null(text),
    "description": or_null(text),
    "metadata": mapping,
    "country": or_null(_UPPER_COUNTRY),
    "external_id": or_null(text),
    "logo": or_null(file_reference),
    "route": or_null(text),
    "send_customer_emails": boolean,
    "target_audience": or_null(text),
    "website": or_null(text),
    # Documented, without effect on what this fake shows.
    "affiliate_application_required": boolean,
    "affiliate_instructions": or_null(text),
    "banner_image": or_null(mapping),
    "business_address": or_null(mapping),
    "business_name": or_null(text),
    "business_type": or_null(text),
    "cancellation_policy": or_null(mapping),
    "collect_vat_id": boolean,
    "dispute_fighter_enabled": boolean,
    "eula": or_null(mapping),
    "featured_affiliate_product_id": or_null(text),
    "home_preferences": texts,
    "industry_group": or_null(text),
    "industry_type": or_null(text),
    "invoice_prefix": or_null(text),
    "onboarding_type": or_null(text),
    "opengraph_image": or_null(mapping),
    "opengraph_image_variant": or_null(text),
    "orchestration_enabled": boolean,
    "other_business_description": or_null(text),
    "other_industry_description": or_null(text),
    "privacy_policy": or_null(mapping),
    "product_tax_code_id": or_null(text),
    "require_2fa": text,
    "return_policy": or_null(mapping),
    "shipping_policy": or_null(mapping),
    "show_joined_whops": boolean,
    "show_reviews_dtc": boolean,
    "show_user_directory": boolean,
    "social_links": listing,
    "store_page_config": or_null(mapping),
    "tax_collection_enabled_states": texts,
    "tax_identifiers": listing,
    "tax_remitted_by": or_null(text),
    "tax_type": or_null(text),
    "terms_of_service": or_null(mapping),
    "three_ds_level": or_null(text),
    "use_logo_as_opengraph_image_fallback": boolean,
    "whop_partner_enabled": boolean,
}

_LIST_QUERY = PAGE_QUERY | {"direction", "created_after", "created_before"}
_VOLUME_QUERY = {"volume_min", "volume_max"}
_ACCOUNT_QUERY = (
    _LIST_QUERY | _VOLUME_QUERY | {"order", "status", "query", "parent_account_id", "owner_id", "external_id"}
)
# Documented.
_LOGO_TYPES = {"image/png", "image/jpeg", "image/gif"}


def create_company(ask: Ask) -> Answer:
    """POST /companies: a connected account under the parent, owned by the Whop user of that e-mail."""
    check_query(ask.query, set())
    check_fields(ask.body, _COMPANY_CREATE)
    parent_id = _text(ask, "parent_company_id")
    title = _title(ask)
    if parent_id is None:
        owner_id = ask.state.companies[ask.credential.company_id].owner_id
        return answer(_company(ask, _add(ask, title, owner_id, parent_id=None, email=_text(ask, "email"))))
    email = _text(ask, "email")
    if email is None:
        raise missing("email")
    _own(ask, parent_id, "parent_company_id")
    _deliverable(ask, email)
    _check_metadata(ask)
    _unique_title(ask, parent_id, title)
    owner = ask.state.user_for(email, ask.now)
    return answer(_company(ask, _add(ask, title, owner.id, parent_id=parent_id, email=email)))


def list_companies(ask: Ask) -> Answer:
    """GET /companies. Nothing but the parent and the time of creation can be searched for."""
    check_query(ask.query, _LIST_QUERY | {"parent_company_id"})
    parent_id = ask.query.get("parent_company_id")
    if parent_id is not None:
        _own(ask, parent_id, "parent_company_id")
    left_out = {"affiliate_instructions", "featured_affiliate_product", "social_links"}

    def item(company: Company) -> Body:
        return {name: value for name, value in _company(ask, company).items() if name not in left_out}

    own = parent_id is None
    children = not own or ask.switches.list_without_parent == "own_and_children"
    return _page(ask, _listed(ask, own=own, children=children), item, ask.switches.list_order)


def retrieve_company(ask: Ask) -> Answer:
    check_query(ask.query, set())
    return answer(_company(ask, _reachable(ask, "Company")))


def update_company(ask: Ask) -> Answer:
    """PATCH /companies/{id}. Documented: only the fields sent change."""
    check_query(ask.query, set())
    metadata: dict[str, Check] = {"metadata": or_null(mapping)} if ask.switches.metadata_in_company_update else {}
    check_fields(ask.body, _COMPANY_UPDATE | metadata)
    return answer(_company(ask, _change(ask, _reachable(ask, "Company"))))


def create_account(ask: Ask) -> Answer:
    """POST /accounts. Documented: (e-mail, external id) names an account, so a repeated call returns the first one."""
    check_query(ask.query, set())
    check_fields(ask.body, _ACCOUNT_CREATE)
    if not {"company:create", "company:create_child"} & ask.credential.scopes:
        raise WhopError(403, "The API key lacks a scope for connected accounts: company:create_child")
    email = _text(ask, "email")
    if email is None:
        raise missing("email")
    _deliverable(ask, email)
    _check_metadata(ask)
    external_id = _external_id(ask)
    parent_id = ask.credential.company_id
    for child in ask.state.children(parent_id) if ask.switches.external_id_rules else []:
        same_email = (child.email or "").casefold() == email.casefold()
        if child.external_id == external_id and same_email:
            return answer(_account(ask, child), ask.switches.existing_account_status)
        if external_id is not None and child.external_id == external_id:
            raise WhopError(409, "This external_id is already used with another e-mail", param="external_id")
    title = _text(ask, "title") or external_id or email
    if ask.switches.unique_title_on_accounts:
        _unique_title(ask, parent_id, title)
    owner = ask.state.user_for(email, ask.now)
    return answer(
        _account(ask, _add(ask, title, owner.id, parent_id=parent_id, email=email, external_id=external_id)), 201
    )


def list_accounts(ask: Ask) -> Answer:
    """GET /accounts: the key's own account and those connected to it, or the latter only.

    Documented: external_id is exact, or a prefix when it ends with a percent sign.
    """
    check_query(ask.query, _ACCOUNT_QUERY)
    parent_id, owner_id = ask.query.get("parent_account_id"), ask.query.get("owner_id")
    external_id = ask.query.get("external_id")
    if parent_id is not None and owner_id is not None:
        raise invalid("owner_id", "can not be combined with parent_account_id")
    if parent_id is not None:
        _own(ask, parent_id, "parent_account_id")
        _need_scope(ask, "payout:account:read")
    if ask.query.get("order") == "volume" or _VOLUME_QUERY & set(ask.query):
        _need_scope(ask, "stats:read")
    found = _listed(ask, own=parent_id is None, children=True)
    if owner_id is not None:
        found = [company for company in found if company.owner_id == owner_id]
    if external_id is not None and ask.switches.external_id_filter == "honoured":
        found = [company for company in found if _external_id_matches(company, external_id)]
    if (status := ask.query.get("status")) is not None:
        if not one_of("active", "suspended")(status):
            raise invalid("status", "active or suspended")
        found = [company for company in found if company.suspended == (status == "suspended")]
    if words := ask.query.get("query", "").casefold():
        found = [company for company in found if words in company.title.casefold() or words in company.id]
    return _page(ask, found, lambda company: _account(ask, company, status=True), "desc")


def search_accounts(ask: Ask) -> Answer:
    """GET /accounts/search: ids and titles only."""
    check_query(ask.query, PAGE_QUERY | {"direction", "order", "query"})
    words = ask.query.get("query", "").casefold()
    if not words:
        raise missing("query")
    found = [company for company in _listed(ask, own=True, children=True) if words in company.title.casefold()]

    def item(company: Company) -> Body:
        created_at = timestamp(company.created_at)
        return {"id": company.id, "title": company.title, "route": company.route, "created_at": created_at}

    return _page(ask, found, item, "desc")


def retrieve_account(ask: Ask) -> Answer:
    check_query(ask.query, {"include_trading"})
    if ask.switches.account_read_needs_scope:
        _need_scope(ask, "company:balance:read")
    return answer(_account(ask, _reachable(ask, "Account"), status=True))


def update_account(ask: Ask) -> Answer:
    """PATCH /accounts/{id}. Documented: takes metadata; only the platform may change the external id; an account key
    cannot edit its own account."""
    check_query(ask.query, set())
    check_fields(ask.body, _ACCOUNT_UPDATE)
    if ask.id == "me":
        raise WhopError(403, "An API key cannot change its own account")
    return answer(_account(ask, _change(ask, _reachable(ask, "Account"))))


def delete_account(ask: Ask) -> Answer:
    """DELETE /accounts/{id}. Documented: direct children without money only, gone from look-ups at once, for good."""
    check_query(ask.query, set())
    company = _child(ask)
    if company.balance:
        raise WhopError(400, "This account has a balance")
    del ask.state.companies[company.id]
    return answer({"id": company.id, "deleted": True})


def suspend_account(ask: Ask) -> Answer:
    """POST /accounts/{id}/suspend. Documented: direct children only; no call takes it back."""
    check_query(ask.query, set())
    check_fields(ask.body, {})
    company = _child(ask)
    if company.suspended:
        raise WhopError(409, "This account is suspended already")
    company = ask.state.companies[company.id] = replace(company, suspended=True, updated_at=ask.now)
    return answer(_account(ask, company, status=True))


def _child(ask: Ask) -> Company:
    company = _reachable(ask, "Account")
    if company.parent_id != ask.credential.company_id:
        raise WhopError(403, "This account is not connected to yours")
    return company


def _text(ask: Ask, name: str) -> str | None:
    value = ask.body.get(name)
    return None if value is None else str(value)


def _title(ask: Ask) -> str:
    title = ask.body.get("title")
    if not isinstance(title, str) or not title.strip():
        raise missing("title")
    if ask.switches.title_limit is not None and len(title) > ask.switches.title_limit:
        raise invalid("title", f"longer than {ask.switches.title_limit} characters")
    return title


def _own(ask: Ask, company_id: str, param: str) -> None:
    if company_id != ask.credential.company_id:
        raise WhopError(403, "The API key does not belong to this account", param=param)


def _deliverable(ask: Ask, email: str) -> None:
    """Observed: reserved domains, disposable mail and no-reply addresses are refused."""
    local_part, _, domain = email.rpartition("@")
    status = ask.switches.undeliverable_email_status
    if not local_part or not domain or any(character.isspace() for character in email):
        raise invalid("email", "not an email address", status)
    if (
        domain.casefold() in ask.switches.undeliverable_domains
        or local_part.casefold() in ask.switches.undeliverable_local_parts
    ):
        raise invalid("email", "this email can not receive mail", status)


def _check_metadata(ask: Ask) -> None:
    metadata = ask.body.get("metadata")
    if isinstance(metadata, dict) and ask.switches.metadata_strings_only:
        for name, value in metadata.items():
            if not isinstance(value, str):
                raise invalid(f"metadata.{name}", "must be a string")


def _unique_title(ask: Ask, parent_id: str, title: str, but: str | None = None) -> None:
    if any(child.title == title and child.id != but for child in ask.state.children(parent_id)):
        raise WhopError(ask.switches.duplicate_title_status, DUPLICATE_TITLE, param="title")


def _external_id(ask: Ask) -> str | None:
    """Documented as metadata.external_id first and as a field of its own later."""
    external_id = _text(ask, "external_id")
    metadata = ask.body.get("metadata")
    if external_id is None and isinstance(metadata, dict) and ask.switches.metadata_external_id_counts:
        external_id = str(metadata["external_id"]) if metadata.get("external_id") is not None else None
    if external_id is not None and "%" in external_id:
        raise invalid("external_id", "must not contain %")
    return external_id


def _external_id_matches(company: Company, wanted: str) -> bool:
    if wanted.endswith("%"):
        return (company.external_id or "").startswith(wanted[:-1]) and company.external_id is not None
    return company.external_id == wanted


def _add(
    ask: Ask, title: str, owner_id: str, *, parent_id: str | None, email: str | None, external_id: str | None = None
) -> Company:
    metadata, country = ask.body.get("metadata"), ask.body.get("country")
    mails = ask.body.get("send_customer_emails")
    parent = ask.state.companies.get(parent_id or "")
    company_id = new_id("biz")
    company = Company(
        company_id,
        title,
        f"{slug(title)[:40]}-{company_id[-6:]}".lstrip("-"),
        owner_id,
        ask.now,
        ask.now,
        parent_id=parent_id,
        email=email,
        external_id=external_id,
        metadata=metadata if isinstance(metadata, dict) else None,
        country=str(country).lower() if country else parent.country if parent else None,
        description=_text(ask, "description"),
        logo_file=_logo(ask),
        # Documented for /accounts: off by default. For /companies, whose default is unknown, the bad case is assumed.
        send_customer_emails=not ask.native if mails is None else mails is True,
        website=_text(ask, "website"),
    )
    ask.state.companies[company.id] = company
    if parent_id is not None and email is not None and ask.switches.owner_mail:
        ask.state.owner_mails.append(OwnerMail(company.id, email, ask.now))
    return company


def _change(ask: Ask, company: Company) -> Company:
    """Apply the fields that show; documented null-able ones are cleared by null, the others keep their value."""
    body = ask.body
    if body.get("title") is not None:
        title = _title(ask)
        if ask.switches.unique_title_on_update and company.parent_id is not None:
            _unique_title(ask, company.parent_id, title, but=company.id)
        company = replace(company, title=title)
    if body.get("route") is not None:
        company = replace(company, route=str(body["route"]))
    if isinstance(sends := body.get("send_customer_emails"), bool):
        company = replace(company, send_customer_emails=sends)
    if isinstance(metadata := body.get("metadata"), dict):
        _check_metadata(ask)
        kept = (company.metadata or {}) if ask.switches.metadata_update == "merge" else {}
        company = replace(company, metadata=kept | metadata)
    if "external_id" in body:  # documented: null clears it
        company = replace(company, external_id=_external_id(ask))
    if body.get("country") is not None:
        company = replace(company, country=str(body["country"]).lower())
    if "description" in body:
        company = replace(company, description=_text(ask, "description"))
    if "target_audience" in body:
        company = replace(company, target_audience=_text(ask, "target_audience"))
    if "website" in body:
        company = replace(company, website=_text(ask, "website"))
    if "logo" in body:
        company = replace(company, logo_file=_logo(ask))
    company = ask.state.companies[company.id] = replace(company, updated_at=ask.now)
    return company


def _reachable(ask: Ask, kind: str) -> Company:
    company = ask.state.find_company(ask.credential.company_id if ask.id == "me" else ask.id)
    if company is None or not ask.state.reachable(ask.credential, company):
        raise not_found(kind)
    return company


def _logo(ask: Ask) -> str | None:
    reference = ask.body.get("logo")
    if reference is None:
        return None
    file_id = files.attachable(ask, reference, "logo")
    if ask.state.files[file_id].content_type not in _LOGO_TYPES:
        raise invalid("logo", "must be PNG, JPEG or GIF")
    return file_id


def _need_scope(ask: Ask, scope: str) -> None:
    if scope not in ask.credential.scopes:
        raise WhopError(403, f"The API key lacks the scope {scope}")


def _listed(ask: Ask, *, own: bool, children: bool) -> list[Company]:
    company_id = ask.credential.company_id
    found = [ask.state.companies[company_id]] if own else []
    if children:
        found += ask.state.children(company_id)
    return [company for company in found if company.created_at <= ask.now - ask.switches.list_lag]


def _page(ask: Ask, found: list[Company], item: Callable[[Company], Body], order: str) -> Answer:
    """One page of accounts, cut and ordered as the query says."""
    if (created_after := ask.query.get("created_after")) is not None:
        earliest = instant(created_after, "created_after")
        found = [company for company in found if company.created_at > earliest]
    if (created_before := ask.query.get("created_before")) is not None:
        latest = instant(created_before, "created_before")
        found = [company for company in found if company.created_at < latest]
    direction = ask.query.get("direction", order)
    if not one_of("asc", "desc")(direction):
        raise invalid("direction", "asc or desc")
    if ask.query.get("order", "created_at") not in ("created_at", "volume"):
        raise invalid("order", "created_at or volume")
    # Entities are kept in the order of creation, so a stable order needs no second key.
    found = sorted(found, key=lambda company: company.created_at)
    if direction == "desc":
        found.reverse()

    return page(ask.query, found, item)


def _company(ask: Ask, company: Company) -> Body:
    """All keys are documented; neither the e-mail nor the parent is among them."""
    owner = ask.state.users[company.owner_id]
    return {
        "id": company.id,
        "title": company.title,
        "route": company.route,
        "description": company.description,
        "logo": None if company.logo_file is None else {"url": _logo_url(ask, company)},
        "metadata": company.metadata,
        "owner_user": {"id": owner.id, "name": owner.name, "username": owner.username},
        "member_count": 0,
        "published_reviews_count": 0,
        "send_customer_emails": company.send_customer_emails,
        "social_links": [],
        "target_audience": company.target_audience,
        "affiliate_instructions": None,
        "featured_affiliate_product": None,
        "verified": False,
        "created_at": timestamp(company.created_at),
        "updated_at": timestamp(company.updated_at),
    }


def _account(ask: Ask, company: Company, *, status: bool = False) -> Body:
    """The documented keys of all readable versions; those about money and business stay empty.

    Documented: `status` is null in answers of create and update.
    """
    body: Body = dict.fromkeys(_EMPTY_ACCOUNT_KEYS)
    body |= dict.fromkeys(_FALSE_ACCOUNT_KEYS, False)
    for name, left in (("industry_group", INDUSTRY_GROUP_LEFT), ("stablecoin_rails", STABLECOIN_RAILS_LEFT)):
        if ask.version >= left:
            del body[name]
    if status:
        body["status"] = "suspended" if company.suspended else "active"
    for name in _LIST_ACCOUNT_KEYS:
        body[name] = []
    body |= {
        "id": company.id,
        "title": company.title,
        "route": company.route,
        "email": company.email,
        "external_id": company.external_id,
        "metadata": company.metadata or {},
        "country": company.country,
        "description": company.description,
        "logo_url": _logo_url(ask, company),
        "send_customer_emails": company.send_customer_emails,
        "store_page_config": {
            "accent_color": None,
            "layout": None,
            "profile_variant": None,
            "whop_affiliate_link": False,
        },
        "target_audience": company.target_audience,
        "verification": {"individual": None, "business": None},
        "website": company.website,
        "created_at": timestamp(company.created_at),
    }
    parent = ask.state.companies.get(company.parent_id or "")
    if ask.version < PARENT_ACCOUNT_OBJECT:
        body["parent_account_id"] = company.parent_id
    elif parent is None:
        body["parent_account"] = None
    else:
        body["parent_account"] = {
            "id": parent.id,
            "title": parent.title,
            "route": parent.route,
            "logo_url": _logo_url(ask, parent),
        }
    if ask.version < ACCOUNT_OWNER:
        body["llc_formation"] = {}
    else:
        owner = ask.state.users[company.owner_id]
        picture: Json = users.placeholder(ask.uploads, owner)
        if owner.picture_file is not None:
            picture = {"url": files.picture_url(ask.uploads, ask.state.files[owner.picture_file])}
        body["company_formation"] = {}
        body["owner"] = {
            "id": owner.id,
            "name": owner.name,
            "username": owner.username,
            "profile_picture": picture,
        }
    return body


def _logo_url(ask: Ask, company: Company) -> str | None:
    return None if company.logo_file is None else files.picture_url(ask.uploads, ask.state.files[company.logo_file])


_LIST_ACCOUNT_KEYS = (
    "balances",
    "home_preferences",
    "platform_credits",
    "social_links",
    "tax_collection_enabled_states",
    "tax_identifiers",
)
_FALSE_ACCOUNT_KEYS = (
    "can_transfer_pending_balance_to_children",
    "collect_vat_id",
    "dispute_fighter_enabled",
    "economic_intelligence",
    "orchestration_enabled",
    "require_2fa",
    "show_joined_whops",
    "show_reviews_dtc",
    "show_user_directory",
    "stablecoin_rails",
    "use_logo_as_opengraph_image_fallback",
)
_EMPTY_ACCOUNT_KEYS = (
    "ads_spend_usd",
    "banner_image_url",
    "business_address",
    "business_name",
    "business_type",
    "cancellation_policy",
    "capabilities",
    "cards",
    "direct_reports_count",
    "eula",
    "financing",
    "industry_group",
    "industry_type",
    "invoice_prefix",
    "level",
    "onboarding_type",
    "opengraph_image_url",
    "opengraph_image_variant",
    "other_business_description",
    "other_industry_description",
    "partner",
    "payment_controls",
    "privacy_policy",
    "product_tax_code",
    "recommended_actions",
    "required_actions",
    "return_policy",
    "rewards",
    "shipping_policy",
    "status",
    "status_reason",
    "tax_remitted_by",
    "tax_type",
    "terms_of_service",
    "three_ds_level",
    "total_earned_usd",
    "total_usd",
    "trading",
    "volume_l30d_usd",
    "volume_usd",
    "wallet",
    "whop_partner_enabled_at",
)
