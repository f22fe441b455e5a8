"""Whop's two generations of connected accounts: the Api-Version-Dates that go with each, and everything that differs.

|                   | companies                                   | accounts                                          |
| ----------------- | ------------------------------------------- | ------------------------------------------------- |
| call              | `/companies`                                | `/accounts`                                       |
| default version   | 2026-08-21-1                                | 2026-09-23                                        |
| parent            | in the body                                 | the account of the API key                        |
| create, repeated  | refused for its title, or a second account  | returns the first one, by e-mail and external id  |
| our user's id     | `metadata.internal_user_id`, compared by us | `external_id`, by which the list can be filtered  |

To Whop both are one object with two names: every account carries our user's id in its metadata, whichever generation
made it, and is found by it.

Sources:
- companies: https://docs.whop.com/developer/guides/chat/sync-users as it was until August 2026
- accounts: the same page since September 2026, and https://docs.whop.com/api-reference/beta/accounts/account
- dates: https://docs.whop.com/developer/api/versioning, and the official SDKs where the changelog is silent
"""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, TypedDict

from whop_sync.errors import Reason, WhopAnswer

type ApiVersion = tuple[int, ...]

OLDEST_VERSION = (2026, 7, 8, 1)
"""Before this date it is not documented that PATCH /users takes the account from the query. It must: where Whop
overlooks the account, the user's global profile is changed."""

COMPANIES_LEFT = (2026, 9, 2, 1)
"""From this date on no official SDK has /companies. Whether Whop still answers there is not documented."""

TOKENS_TAKE_ACCOUNT_ID = (2026, 9, 2, 2)
"""POST /access_tokens and POST /account_links name the account `company_id` before this date and `account_id` from it
on (official SDKs 1.1.0 and 1.1.1; the changelog does not mention it)."""

# Observed by two integrators: the one sign that another account of the parent has this title. Status and code of that
# answer are unknown.
_TITLE_TAKEN = "already created an account with the same name"


class AccountDocument(TypedDict, total=False):
    """An account as Whop shows it, as far as it is read here. What a value is, is checked where it is read.

    - `id`: biz_...
    - `title`, `email`: what it was made with.
    - `owner`, `owner_user`: an object with the `id` of the Whop user; see `owner_of`.
    - `parent_account`: an object with the `id` of the company whose connected account it is.
    - `external_id`, `metadata`: what names our user.
    """

    id: object
    title: object
    email: object
    owner: object
    owner_user: object
    parent_account: object
    external_id: object
    metadata: object


def api_version(text: str) -> ApiVersion:
    """An Api-Version-Date such as 2026-07-20 or 2026-08-21-1, to be compared. Raises ValueError on any other text."""
    parts = text.split("-")
    if len(parts) not in (3, 4) or not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError("an Api-Version-Date is a date such as 2026-07-20, or one with a number such as 2026-08-21-1")
    return tuple(map(int, parts))


class Generation(Protocol):
    """One way to enroll: what to send, and how to read the answer.

    Attributes:
        path: the path of the create call and of the list call.
        default_version: the Api-Version-Date to send when none is configured.
        repeatable: a create whose answer was lost may be sent again, and still leads to one account.
    """

    @property
    def path(self) -> str: ...

    @property
    def default_version(self) -> str: ...

    @property
    def repeatable(self) -> bool: ...

    def refuse(self, version: ApiVersion) -> str | None:
        """Why this generation does not work at this version, and what does; None if it works."""

    def creation(self, *, parent: str, title: str, email: str, user_id: str, country: str | None) -> dict[str, Any]:
        """The body that creates an account. `country` is ISO 3166-1 alpha-2 in lower case."""

    def conflict_reason(self, refusal: WhopAnswer) -> Reason | None:
        """The reason, if Whop refused to create because the user's account seems to exist already."""

    def list_queries(self, *, parent: str, user_id: str, since: Mapping[str, str]) -> Iterator[dict[str, str]]:
        """The list queries that together find a user's account, the quickest first. Only the last of them lists all
        accounts, limited by `since`. No query is trusted alone: `is_of` decides."""

    def is_of(self, account: AccountDocument, user_id: str) -> bool:
        """Whether a listed account is that user's."""


class _Companies:
    path = "/companies"
    default_version = "2026-08-21-1"
    repeatable = False

    def refuse(self, version: ApiVersion) -> str | None:
        if version < COMPANIES_LEFT:
            return None
        return (
            "needs a date before 2026-09-02-1: from then on, companies are no part of Whop's documented API. Leave"
            f" WhopApiVersion empty, which sends {self.default_version}, or set WhopEnrollment to accounts"
        )

    def creation(self, *, parent: str, title: str, email: str, user_id: str, country: str | None) -> dict[str, Any]:
        # send_customer_emails is about mail to the customers of the connected account; its default is not documented.
        return {
            "title": title,
            "email": email,
            "parent_company_id": parent,
            "metadata": {"internal_user_id": user_id},
            "send_customer_emails": False,
            **({"country": country} if country else {}),
        }

    def conflict_reason(self, refusal: WhopAnswer) -> Reason | None:
        return _title_taken(refusal)

    def list_queries(self, *, parent: str, user_id: str, since: Mapping[str, str]) -> Iterator[dict[str, str]]:  # noqa: ARG002
        yield {"parent_company_id": parent, **since}

    def is_of(self, account: AccountDocument, user_id: str) -> bool:
        return _metadata(account).get("internal_user_id") == user_id


class _Accounts:
    path = "/accounts"
    default_version = "2026-09-23"
    repeatable = True

    def refuse(self, version: ApiVersion) -> str | None:
        if version >= (2026, 8, 21):
            return None
        return (
            "needs 2026-08-21 or later: before that, Whop does not show who owns an account. Leave WhopApiVersion"
            f" empty, which sends {self.default_version}"
        )

    def creation(self, *, parent: str, title: str, email: str, user_id: str, country: str | None) -> dict[str, Any]:  # noqa: ARG002
        # The external id is sent in both places that Whop has documented, of which metadata is the older one. The
        # country's only documented example here is in upper case.
        own_id = external_id(user_id)
        return {
            "title": title,
            "email": email,
            "external_id": own_id,
            "metadata": {"internal_user_id": user_id, "external_id": own_id},
            "send_customer_emails": False,
            **({"country": country.upper()} if country else {}),
        }

    def conflict_reason(self, refusal: WhopAnswer) -> Reason | None:
        # Documented: 409 when the external id is in use with another e-mail, so when the user's has changed since. The
        # 409 of a request that is still running is no refusal: it may yet succeed.
        return _title_taken(refusal) or ("external_id_taken" if refusal.status == 409 else None)  # noqa: PLR2004

    def list_queries(self, *, parent: str, user_id: str, since: Mapping[str, str]) -> Iterator[dict[str, str]]:  # noqa: ARG002
        # `query` is free text on title or id, and each title holds the user's id. `external_id` stands in the newest
        # guides only: an older Whop may ignore it, and then `query` keeps the list short.
        own_id = external_id(user_id)
        yield {"external_id": own_id, "query": user_id}
        yield {"external_id": own_id}  # the owner may have changed the title
        yield dict(since)  # an account made as a company has no external id

    def is_of(self, account: AccountDocument, user_id: str) -> bool:
        # Only the platform may change an external id, so it counts before the metadata.
        own_id = account.get("external_id") or _metadata(account).get("external_id")
        return own_id == external_id(user_id) if own_id else _metadata(account).get("internal_user_id") == user_id


GENERATIONS: Mapping[str, Generation] = {"companies": _Companies(), "accounts": _Accounts()}


def chosen_generation(name: str, version: str) -> Generation:
    """The generation that WHOP_ENROLLMENT names, if WHOP_API_VERSION goes with it or is empty.

    Raises ValueError with a sentence that names the setting and what it must be.
    """
    generation = GENERATIONS.get(name)
    if generation is None:
        raise ValueError(f"WHOP_ENROLLMENT must be {' or '.join(GENERATIONS)}, not {name}")
    if not version:
        return generation
    try:
        date = api_version(version)
    except ValueError as error:
        raise ValueError(f"WHOP_API_VERSION is {version}, and {error}") from None
    if date < OLDEST_VERSION:
        raise ValueError(
            f"WHOP_API_VERSION is {version}, and must be 2026-07-08-1 or later: before that, changes meant for your"
            " company alone might reach a user's global profile"
        )
    refusal = generation.refuse(date)
    if refusal:
        raise ValueError(f"WHOP_API_VERSION is {version}, and WHOP_ENROLLMENT {name} {refusal}")
    return generation


def external_id(user_id: str) -> str:
    """The user's id without `%`, which Whop's external ids may not hold; no two users get the same."""
    return user_id.replace("~", "~0").replace("%", "~1")


def _title_taken(refusal: WhopAnswer) -> Reason | None:
    return "title_taken" if _TITLE_TAKEN in (refusal.message or "").lower() else None


def owner_of(account: AccountDocument) -> str | None:
    """The Whop user who owns a connected account: `owner` in the newer documents, `owner_user` in the older ones.

    Whop's quickstart of September 2026 shows the old key beside the new call, so both are read, whichever call answers.
    """
    for owner in (account.get("owner"), account.get("owner_user")):
        if isinstance(owner, dict) and isinstance(owner.get("id"), str) and owner["id"]:
            return str(owner["id"])
    return None


def _metadata(account: AccountDocument) -> Mapping[str, object]:
    metadata = account.get("metadata")
    return metadata if isinstance(metadata, dict) else {}
