"""An API key of Whop: whose it is, what it may do, and whether Whop knows the API version."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from whop_sync.config.whop import WhopConfig
from whop_sync.errors import Permanent, SyncError, Transient
from whop_sync.whop.client import Whop
from whop_user_sync.checks.findings import Finding
from whop_user_sync.stack import whop_config

type KeyUse = Literal["whop_api_key", "whop_payouts_api_key"]
"""The key of users and chat, or the one that links and payout tokens are made with, if that is another one."""

_CALLED: Mapping[KeyUse, str] = {"whop_api_key": "The API key", "whop_payouts_api_key": "The API key for payouts"}

DASHBOARDS = {
    "production": "https://whop.com/dashboard/developer",
    "sandbox": "https://sandbox.whop.com/dashboard/developer",
}
"""Where API keys are made and changed (https://docs.whop.com/developer/quickstart)."""


@dataclass(frozen=True, slots=True)
class Need:
    """Permissions of the API key of which one is needed, the first one being the better one, and what for."""

    any_of: tuple[str, ...]
    purpose: str
    setting: str = ""
    """The parameter that names the permission, where one does."""


def needs(enrollment: str, token_actions: Sequence[str]) -> Iterator[Need]:
    """What the API key must be allowed (https://docs.whop.com/developer/guides/chat/sync-users and the reference of
    each call)."""
    if enrollment == "companies":
        yield Need(("company:create",), "to enroll users")
        yield Need(("company:basic:read",), "to enroll users and to find an account again after a lost answer")
    else:
        # The text of the refusal speaks of connected accounts, the reference allows either.
        yield Need(("company:create_child", "company:create"), "to enroll users")
    yield Need(("user:profile:update",), "to set names and pictures")
    for action in token_actions:
        yield Need((action,), "because ChatTokenActions passes it on to users", "ChatTokenActions")


def payout_needs(*, makes_links: bool, token_actions: Sequence[str]) -> Iterator[Need]:
    """What the API key for payouts must be allowed. `token_actions` are those of payout tokens, none if it makes none.

    No document names the permission for account links; without this one they were refused (observed).
    """
    if makes_links:
        yield Need(("company:balance:read",), "for account links, which AccountLinkHosts allows")
    for action in token_actions:
        yield Need((action,), "because PayoutTokenActions passes it on to users", "PayoutTokenActions")


def check_whop(
    settings: Mapping[str, str],
    needed: Sequence[Need],
    connect: Callable[[WhopConfig], Whop],
    *,
    use: KeyUse = "whop_api_key",
) -> Iterator[Finding]:
    """An API key, its company, its permissions and the API version, asked of Whop by calls that only read.

    `settings` are a worker's environment variables. `connect` makes the client that all commands use.
    """
    environment, config = settings["WHOP_ENVIRONMENT"], whop_config(settings)
    try:
        whop = connect(config)
    except ValueError as error:
        yield Finding("whop_api_version", "wrong", f"{error}.")
        return
    where = DASHBOARDS[environment]
    try:
        yield from _check_key(whop, config.company_id, needed, use, where)
    except SyncError as error:
        yield _whop_finding(error, use, environment=environment, version=whop.version, where=where)
        return
    yield Finding("whop_api_version", "ok", f"Whop takes Api-Version-Date {whop.version}.")


def _check_key(whop: Whop, company: str, needed: Sequence[Need], use: KeyUse, where: str) -> Iterator[Finding]:
    """Raises SyncError where Whop refuses the call as a whole."""
    actions = sorted({action for need in needed for action in need.any_of} | {"company:balance:read"})
    granted, unknown = _permissions(whop, company, actions)
    if not any(granted.values()):
        yield Finding(
            "whop_company",
            "wrong",
            f"{_CALLED[use]} may do nothing in WhopCompanyId {company}: it is the key of another company, or has no"
            f" permissions. Use an account API key of {company}, made at {where}.",
        )
        return
    if granted["company:balance:read"]:
        own = whop.own_account().get("id")
        if own != company:
            yield Finding(
                "whop_company",
                "wrong",
                f"{_CALLED[use]} is that of {own}, and WhopCompanyId is {company}: use the key of the company itself.",
            )
            return
    yield Finding(use, "ok", f"Whop takes {_CALLED[use].replace('The', 'the')}.")
    missing = [need for need in needed if not any(granted[action] for action in need.any_of)]
    for need in missing:
        action = need.any_of[0]
        if action in unknown and need.setting:
            sentence = f"Whop knows no permission {action}: correct {need.setting}."
        else:
            or_else = f", or take it out of {need.setting}" if need.setting else ""
            sentence = f"{_CALLED[use]} lacks {action}, needed {need.purpose}: grant it at {where}{or_else}."
        yield Finding("whop_scope", "wrong", sentence)
    if not missing:
        yield Finding("whop_scope", "ok", f"{_CALLED[use]} has the {len(needed)} permissions that are needed.")


def _permissions(whop: Whop, company: str, actions: Sequence[str]) -> tuple[dict[str, bool], set[str]]:
    """What is granted, and which actions Whop refuses to be asked about. Whether it does so is not documented."""
    try:
        return whop.permissions(company, actions), set()
    except Permanent as error:
        if error.reason != "whop_refused":
            raise
    granted: dict[str, bool] = {}
    unknown: set[str] = set()
    for action in actions:
        try:
            granted |= whop.permissions(company, [action])
        except Permanent:
            granted[action] = False
            unknown.add(action)
    return granted, unknown


def _whop_finding(error: SyncError, use: KeyUse, *, environment: str, version: str, where: str) -> Finding:
    called = _CALLED[use].replace("The", "the")
    match error.reason:
        case "whop_api_key_invalid" | "whop_api_key_unavailable":
            sentence = f"{_CALLED[use]} cannot be used: {error.explanation.rstrip('.')}. Whop was not asked."
            return Finding(use, "wrong", sentence)
        case "whop_key_rejected":
            return Finding(
                use,
                "wrong",
                f"Whop's {environment} refuses {called}: it is one of the other environment, was rotated, has"
                f" expired, or its IP allowlist leaves this machine out. Keys are made at {where}.",
            )
        case "whop_gone":
            return Finding(
                "whop_api_version",
                "wrong",
                f"Whop does not know Api-Version-Date {version}, or has retired this call at it: leave WhopApiVersion"
                " empty.",
            )
        case _:
            said = f"{error.reason}: {error.explanation}" if error.explanation else error.reason
            if isinstance(error, Transient):
                way_out = "Check again in a minute; if it stays so, see whether this machine may reach Whop's API."
                return Finding("whop", "wrong", f"Whop could not be asked ({said}). {way_out}")
            return Finding("whop", "wrong", f"Whop refuses to say what the key may do ({said}). Ask Whop's support.")
