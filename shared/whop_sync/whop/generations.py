"""Whop's two generations of connected accounts, and everything that tells them apart.

|                 | companies                                     | accounts                                        |
| --------------- | --------------------------------------------- | ----------------------------------------------- |
| call            | `/companies`, as in Whop's guide              | `/accounts`, with `owner` since 2026-08-21      |
| parent          | in the body                                   | the company of the API key                      |
| the user's id   | `owner_user.id`                               | `owner.id`                                      |
| told twice      | refused for its title, or a second account    | the first account again, by e-mail and own id   |
| the user's own  | `metadata.internal_user_id`, compared by us   | `external_id`, which the list can be filtered by|

Both keep accounts of the other kind, since to Whop they are the same thing: every account carries our user's id in its
metadata, whichever generation made it, and is found by it.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from whop_sync.errors import Reason, WhopAnswer

type ApiVersion = tuple[int, ...]

OLDEST_VERSION = (2026, 7, 8, 1)
"""Before, it is not known for sure that PATCH /users takes the company from the query. It must: where the company is
overlooked, the user's global profile is changed."""

TOKENS_TAKE_ACCOUNT_ID = (2026, 9, 15)
"""POST /access_tokens names the company `company_id` before and `account_id` from here on."""

# The one sign of a title that is taken under the parent; status and code are not known (seen by two integrators).
_TITLE_TAKEN = "already created an account with the same name"


def api_version(text: str) -> ApiVersion:
    """An Api-Version-Date such as 2026-07-20 or 2026-08-21-1, to be compared. Raises ValueError on any other text."""
    parts = text.split("-")
    if len(parts) not in (3, 4) or not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError("an Api-Version-Date is a date such as 2026-07-20, or one with a number such as 2026-08-21-1")
    return tuple(map(int, parts))


class Generation(Protocol):
    """One way to enroll: what to send, and how to read what comes back."""

    @property
    def path(self) -> str:
        """Of the create call and of the list."""

    @property
    def since(self) -> ApiVersion: ...

    @property
    def owner(self) -> str:
        """The key of an account under which its user is told."""

    @property
    def repeatable(self) -> bool:
        """Whether a create whose answer was lost can be told once more and still leads to one account."""

    def creation(self, *, parent: str, title: str, email: str, user_id: str) -> dict[str, Any]:
        """The body that creates an account."""

    def conflict_reason(self, refusal: WhopAnswer) -> Reason | None:
        """The reason, if Whop refused to create because the user's account seems to exist already."""

    def list_queries(self, *, parent: str, user_id: str, since: Mapping[str, str]) -> Iterator[dict[str, str]]:
        """The list queries that together show a user's account, the quickest first. `since` limits those over all."""

    def is_of(self, account: Mapping[str, Any], user_id: str) -> bool:
        """Whether a listed account is that user's."""


class _Companies:
    path = "/companies"
    since = OLDEST_VERSION
    owner = "owner_user"
    repeatable = False

    def creation(self, *, parent: str, title: str, email: str, user_id: str) -> dict[str, Any]:
        return {
            "title": title,
            "email": email,
            "parent_company_id": parent,
            "metadata": {"internal_user_id": user_id},
        }

    def conflict_reason(self, refusal: WhopAnswer) -> Reason | None:
        return _title_taken(refusal)

    def list_queries(self, *, parent: str, user_id: str, since: Mapping[str, str]) -> Iterator[dict[str, str]]:  # noqa: ARG002
        yield {"parent_company_id": parent, **since}

    def is_of(self, account: Mapping[str, Any], user_id: str) -> bool:
        return _metadata(account).get("internal_user_id") == user_id


class _Accounts:
    path = "/accounts"
    since = (2026, 8, 21)
    owner = "owner"
    repeatable = True

    def creation(self, *, parent: str, title: str, email: str, user_id: str) -> dict[str, Any]:  # noqa: ARG002
        """The external id goes along in both places that Whop has documented, the older one being the metadata."""
        own_id = external_id(user_id)
        return {
            "title": title,
            "email": email,
            "external_id": own_id,
            "metadata": {"internal_user_id": user_id, "external_id": own_id},
        }

    def conflict_reason(self, refusal: WhopAnswer) -> Reason | None:
        # Documented: 409 when the external id is in use with another e-mail, so when the user's has changed since.
        return _title_taken(refusal) or ("external_id_taken" if refusal.status == 409 else None)  # noqa: PLR2004

    def list_queries(self, *, parent: str, user_id: str, since: Mapping[str, str]) -> Iterator[dict[str, str]]:  # noqa: ARG002
        yield {"external_id": external_id(user_id)}
        yield dict(since)  # an account made as a company has no external id

    def is_of(self, account: Mapping[str, Any], user_id: str) -> bool:
        # Only the platform may change an external id, so it is believed before the metadata.
        told = account.get("external_id") or _metadata(account).get("external_id")
        return told == external_id(user_id) if told else _metadata(account).get("internal_user_id") == user_id


GENERATIONS: Mapping[str, Generation] = {"companies": _Companies(), "accounts": _Accounts()}


def chosen_generation(name: str, version: str) -> Generation:
    """The generation that WHOP_ENROLLMENT names, if WHOP_API_VERSION goes with it.

    Raises ValueError with a sentence that names the setting and what it must be.
    """
    try:
        date = api_version(version)
    except ValueError as error:
        raise ValueError(f"WHOP_API_VERSION is {version}, and {error}") from None
    if date < OLDEST_VERSION:
        raise ValueError(
            f"WHOP_API_VERSION is {version}, and must be 2026-07-08-1 or later: before that, changes meant for your"
            " company alone might reach a user's global profile"
        )
    generation = GENERATIONS.get(name)
    if generation is None:
        raise ValueError(f"WHOP_ENROLLMENT must be {' or '.join(GENERATIONS)}, not {name}")
    if date < generation.since:
        raise ValueError(
            f"WHOP_ENROLLMENT is {name}, and needs a WHOP_API_VERSION of 2026-08-21 or later, not {version}: before"
            " that, Whop does not tell whose an account is"
        )
    return generation


def external_id(user_id: str) -> str:
    """The user's id without `%`, which Whop's external ids may not hold; no two users get the same."""
    return user_id.replace("~", "~0").replace("%", "~1")


def _title_taken(refusal: WhopAnswer) -> Reason | None:
    return "title_taken" if _TITLE_TAKEN in (refusal.message or "").lower() else None


def _metadata(account: Mapping[str, Any]) -> Mapping[str, Any]:
    return account.get("metadata") or {}
