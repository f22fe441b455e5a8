"""What the fake remembers. Entities are immutable, so a snapshot handed to a test never changes under it."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from fake_whop.protocol import Body, slug
from fake_whop.switches import Switches

PLATFORM_KEY = "apik_demo_platform_key"
PLATFORM_COMPANY = "biz_platformdemo"

# Documented: the scopes of the operations here, the seven that a chat token may carry, those of the payout portal, and
# those of the events of webhooks.
ALL_SCOPES = frozenset(
    {
        "company:create",
        "company:create_child",
        "company:basic:read",
        "company:update",
        "company:delete_child",
        "company:suspend_child",
        "company:balance:read",
        "user:profile:update",
        "payout:account:read",
        "payout:withdraw_funds",
        "payout:destination:read",
        "payout:create_destination",
        "identity:read",
        "identity:write",
        "developer:manage_webhook",
        "webhook_receive:accounts",
        "webhook_receive:identity_profiles",
        "webhook_receive:members",
        "webhook_receive:payments",
        "webhook_receive:payout_accounts",
        "webhook_receive:payout_methods",
        "webhook_receive:verifications",
        "webhook_receive:withdrawals",
        "chat:message:create",
        "chat:read",
        "dms:read",
        "dms:message:manage",
        "dms:channel:manage",
        "support_chat:read",
        "support_chat:message:create",
    }
)


@dataclass(frozen=True, slots=True)
class Credential:
    """An account API key: it acts for one company and that company's connected accounts."""

    key: str = field(repr=False)
    company_id: str
    scopes: frozenset[str] = ALL_SCOPES


@dataclass(frozen=True, slots=True)
class Company:
    """A company, alias account: one object, served in both shapes.

    `parent_id` is set on connected accounts; `email` is that of the invited owner. `balance` is any money that keeps
    the account from being deleted.
    """

    id: str
    title: str
    route: str
    owner_id: str
    created_at: float
    updated_at: float
    parent_id: str | None = None
    email: str | None = None
    external_id: str | None = None
    metadata: Body | None = None
    country: str | None = None
    description: str | None = None
    logo_file: str | None = None
    send_customer_emails: bool = True
    target_audience: str | None = None
    website: str | None = None
    suspended: bool = False
    balance: float = 0.0


@dataclass(frozen=True, slots=True)
class OwnerMail:
    """A mail that Whop may send to the owner of a new connected account.

    Documented: owners get account set-up and payment notices. Which of them a plain create triggers is unknown.
    """

    company_id: str
    email: str = field(repr=False)
    at: float


@dataclass(frozen=True, slots=True)
class User:
    """A person on Whop with the global profile; `picture_file` is a file id."""

    id: str
    email: str
    username: str
    created_at: float
    name: str | None = None
    bio: str | None = None
    picture_file: str | None = None


@dataclass(frozen=True, slots=True)
class Override:
    """What one company shows for one user; None means: the global value."""

    name: str | None = None
    picture_file: str | None = None


@dataclass(frozen=True, slots=True)
class File:
    """A file of any state. `signature` is the secret part of its upload URLs, `reads` counts polls after the upload.
    `part_count` is that of a multipart upload, whose parts are kept by number until it is completed."""

    id: str
    filename: str
    content_type: str
    visibility: str
    creator: str = field(repr=False)
    created_at: float
    signature: str = field(repr=False)
    status: str = "pending"
    content: bytes = field(default=b"", repr=False)
    reads: int = 0
    attached: bool = False
    moderated: bool = False
    part_count: int = 0
    parts: Mapping[int, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Hook:
    """A webhook of an account. `children`: it gets the events of the connected accounts in place of the own ones;
    `version` is its pin, None without one; `secrets` are what deliveries are signed with, the newest first."""

    id: str
    company_id: str
    url: str
    events: frozenset[str]
    children: bool
    enabled: bool
    version: str | None
    secrets: tuple[str, ...] = field(repr=False)
    created_at: float


class State:
    """All entities and the look-ups the rules need. Not thread-safe by itself."""

    def __init__(self, credentials: list[Credential], now: float) -> None:
        self.companies: dict[str, Company] = {}
        self.users: dict[str, User] = {}
        self.overrides: dict[tuple[str, str], Override] = {}
        self.members: set[tuple[str, str]] = set()
        self.files: dict[str, File] = {}
        self.owner_mails: list[OwnerMail] = []
        self.hooks: dict[str, Hook] = {}
        self.credentials: dict[str, Credential] = {}
        self._user_ids: dict[str, str] = {}
        for credential in credentials:
            self.add_credential(credential, now)

    def add_credential(self, credential: Credential, now: float) -> None:
        """Make a key known, and its company if it is new."""
        self.credentials[credential.key] = credential
        if credential.company_id not in self.companies:
            route = slug(credential.company_id.removeprefix("biz_"))
            owner = self.user_for(f"owner@{route}.test", now)
            self.companies[credential.company_id] = Company(
                credential.company_id, "The platform", route, owner.id, now, now
            )

    def user_for(self, email: str, now: float) -> User:
        """The user with that e-mail, made on first sight.

        Inferred: a known e-mail keeps its Whop user. Observed: a new user's public username comes from the local part.
        """
        known = self._user_ids.get(email.casefold())
        if known is not None:
            return self.users[known]
        local_part = slug(email.partition("@")[0])[:32] or "user"
        user = User(new_id("user"), email, f"{local_part}-{secrets.token_hex(3)}", now)
        self.users[user.id] = user
        self._user_ids[email.casefold()] = user.id
        return user

    def find_user(self, name: str) -> User | None:
        """By id, e-mail or username."""
        user_id = self._user_ids.get(name.casefold(), name)
        return self.users.get(user_id) or next((user for user in self.users.values() if user.username == name), None)

    def find_company(self, name: str) -> Company | None:
        """By id or route."""
        return self.companies.get(name) or next((c for c in self.companies.values() if c.route == name), None)

    def children(self, company_id: str) -> list[Company]:
        return [company for company in self.companies.values() if company.parent_id == company_id]

    def reachable(self, credential: Credential, company: Company) -> bool:
        """Whether the key acts for that company: its own, or one connected to it."""
        return credential.company_id in (company.id, company.parent_id)

    def belongs(self, user_id: str, company_id: str) -> bool:
        """Whether the user owns the company or one connected to it, or joined it."""
        return (company_id, user_id) in self.members or any(
            company.owner_id == user_id and company_id in (company.id, company.parent_id)
            for company in self.companies.values()
        )

    def profile(self, user: User, company_id: str | None) -> User:
        """The user as one company shows them (None: globally)."""
        override = self.overrides.get((company_id or "", user.id), Override())
        return replace(
            user,
            name=user.name if override.name is None else override.name,
            picture_file=user.picture_file if override.picture_file is None else override.picture_file,
        )

    def set_override(self, company_id: str, user_id: str, override: Override) -> None:
        self.overrides[company_id, user_id] = override


@dataclass(frozen=True, slots=True)
class Ask:
    """One admitted request. `id` is the variable part of its path, `uploads` the URL of the storage; `lists` has the
    parameters of the query that may be repeated."""

    state: State
    switches: Switches
    credential: Credential
    version: str
    native: bool
    now: float
    uploads: str
    id: str
    query: Mapping[str, str] = field(default_factory=dict)
    lists: Mapping[str, Sequence[str]] = field(default_factory=dict)
    body: Body = field(default_factory=dict)


def new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(7)}"
