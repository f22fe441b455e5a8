"""What Whop leaves unsaid, and what can go wrong: every unknown is a named switch, every failure a named fault."""

from dataclasses import dataclass
from typing import Literal

from fake_whop.protocol import LATEST_VERSION

FaultKind = Literal[
    "timeout_before",
    "timeout_after",
    "error_500_before",
    "error_500_after",
    "rate_limited",
    "unauthorized",
    "forbidden",
    "truncated_json",
    "error_null",
    "connection_reset",
    "html_error",
    "slow",
    "late_commit",
    "stuck_idempotency",
]


@dataclass(slots=True)
class Switches:
    """Behaviour that Whop does not document; each default is the one most likely to catch a careless client.

    All of them may be changed while the fake runs.
    """

    # Versions. Documented: a key may carry a pin; a new key is pinned to the latest version of its day.
    version_without_header: str = LATEST_VERSION
    """The pin of the key, used when no Api-Version-Date is sent."""
    query_account_id_since: str = "2026-06-08"
    """From which version PATCH /users/{id} reads account_id from the query; sure only from 2026-07-08-1 on."""
    companies_at_late_versions: Literal["served", "gone", "not_found"] = "served"
    """What /companies answers from 2026-09-02-1 on, where the official clients no longer know it."""

    token_account_field: Literal["by_version", "either"] = "by_version"
    """What access tokens and account links call the account: guides and official clients contradict each other."""

    # Connected accounts.
    duplicate_title_status: int = 400
    """Observed: a title already used under the same parent is refused; with which status is unknown."""
    unique_title_on_update: bool = False
    unique_title_on_accounts: bool = False
    title_limit: int | None = None
    """The longest title in characters, if there is a limit."""
    undeliverable_email_status: int = 400
    undeliverable_domains: frozenset[str] = frozenset({"example.com", "example.org", "example.net", "mailinator.com"})
    undeliverable_local_parts: frozenset[str] = frozenset({"no-reply", "noreply"})
    metadata_strings_only: bool = True
    metadata_in_company_update: bool = False
    """Whether PATCH /companies/{id} takes metadata, which its schema does not list."""
    metadata_update: Literal["replace", "merge"] = "replace"
    external_id_rules: bool = True
    """Whether POST /accounts knows e-mail and external id; the guides of September 2026 do not mention them."""
    external_id_filter: Literal["honoured", "ignored"] = "honoured"
    """Whether GET /accounts filters by external_id, which the documents up to 2026-09-25 do not have."""
    metadata_external_id_counts: bool = True
    """Whether metadata.external_id still identifies an account as the older pages say."""
    existing_account_status: int = 200
    """Status of POST /accounts when it answers an account that exists already."""
    account_read_needs_scope: bool = True
    """Whether GET /accounts/{id} is 403 without company:balance:read; the texts of its fields rather say null."""
    account_link_needs_scope: bool = True
    """Observed: account links need company:balance:read, which is not documented."""
    owner_mail: bool = True
    """Whether Whop writes to the owner of a new connected account."""
    list_order: Literal["desc", "asc"] = "desc"
    """Order of GET /companies by creation when no direction is asked for."""
    list_lag: float = 0.0
    """Seconds until a new account shows up in a list."""
    list_without_parent: Literal["own", "own_and_children"] = "own"
    """What GET /companies lists for an API key that names no parent; documented for users only: their own."""

    # Users.
    missing_account_id_status: int = 400
    stranger: Literal["forbidden", "not_found", "accept"] = "forbidden"
    """PATCH /users/{id} for a user who has nothing to do with the company; unless accepted, no chat token either."""
    company_id_in_body: Literal["ignore", "honour", "reject"] = "ignore"
    """What the old field does at versions that read account_id from the query."""
    other_fields_in_override: Literal["reject", "ignore"] = "reject"
    """bio, username and banner together with a company: only name and picture are documented as overridable."""
    null_clears: bool = True
    attach_unready_file: bool = False
    update_shows: Literal["override", "global"] = "override"
    """Whose values the answer of PATCH /users/{id} carries."""
    placeholder_pictures: bool = True
    """Whether the current user object always carries a picture, as documented; one official client still has null."""
    users_me_status: int = 403
    """What /users/me answers an API key, which is not a user."""

    # Files.
    processing_polls: int = 1
    """How many reads after the upload still say `processing`."""
    failing_filename: str = "fail"
    """A file whose name contains this ends as `failed`."""
    legacy_files: Literal["served", "refused"] = "served"
    """What /files does before 2026-08-21-1: the upload guide rules it out, the legacy document still lists it."""
    attached_file_is_readable: bool = False
    """Whether GET /files/{id} still answers once the file hangs on a profile or an account."""
    moderated_filename: str = ""
    """A picture whose file name contains this is removed by moderation when it is attached: another one is shown."""
    filename_needs_extension: bool = True
    files_ready_at_once: bool = False
    """The official client is prepared for files that need no upload."""
    legacy_files_creator_only: bool = True

    # Webhooks.
    private_webhook_urls: Literal["refused", "allowed"] = "refused"
    """Whop takes public https addresses only, documented; a stack on this machine has none."""
    webhooks_name: Literal["connected_account", "platform"] = "connected_account"
    """Whose account the envelope names in a webhook for connected accounts."""
    identity_profiles: Literal["full", "id_only"] = "full"
    """What identity_profile events carry: the whole profile in older documents, its id in newer ones."""
    verification_ids: Literal["numbers", "prefixed"] = "numbers"
    """Documented in words as a number, in an example as verf_..."""
    webhook_retries: int = 0
    """Attempts after the first that failed: 12 within 71 hours, documented."""
    webhook_retry_seconds: float = 0.05
    """Seconds of real time between them."""

    # Access tokens and permissions.
    excess_scope_status: int = 403
    unknown_action: Literal["not_granted", "refused"] = "not_granted"
    """What GET /permissions answers about an action that does not exist."""

    # Idempotency-Key.
    legacy_idempotency: bool = False
    """Whether POST on the legacy routes honours the key; documented for the current API only."""
    idempotency_compares: Literal["bytes", "json"] = "bytes"
    idempotency_stores_5xx: bool = False
    idempotency_stores_429: bool = False

    # Limits, transport and load.
    rate_limit: int = 600
    rate_window: float = 60.0
    retry_after_header: bool = False
    request_id_header: str | None = "x-request-id"
    latency: float = 0.0
    """Seconds of real time that every call takes."""
    failure_rate: float = 0.0
    """Share of calls that fail by chance, the same ones for the same seed and order of calls."""
    failure_kind: FaultKind = "error_500_before"
    failure_seed: int = 0


@dataclass(frozen=True, slots=True)
class Fault:
    """One planned failure. It hits `times` calls (None: all), after letting `skip` of them pass.

    operation: the name of one operation, e.g. "PATCH /users/{id}" or "PUT upload"; None means any.
    about:     only calls about this user id, username, e-mail, file or metadata value.
    delay:     seconds: how slow, how late the commit (by the fake's clock), or the wait a rate limit names.
    status:    of `error_null`.
    committed: for the kinds whose name does not say it (connection_reset, html_error, error_null,
               stuck_idempotency): whether Whop had done the work all the same.
    """

    operation: str | None
    kind: FaultKind
    times: int | None = 1
    skip: int = 0
    about: str | None = None
    delay: float = 1.0
    status: int = 500
    committed: bool = False

    @property
    def arrives(self) -> bool:
        """Whether Whop gets to see the request at all."""
        if self.kind in ("connection_reset", "html_error"):
            return self.committed
        return self.kind != "timeout_before"

    @property
    def happens(self) -> bool:
        """Whether the work is done before the client learns of the failure."""
        if self.kind in ("connection_reset", "html_error", "error_null", "stuck_idempotency"):
            return self.committed
        return self.kind in ("timeout_after", "error_500_after", "truncated_json", "slow")
