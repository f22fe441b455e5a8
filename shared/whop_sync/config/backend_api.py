"""What asks Whop for one user while the platform's backend waits: chat tokens, payout tokens, account links."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from whop_sync.config.settings import setting, user_mappings_table
from whop_sync.config.whop import WhopConfig, whop_config

_ACTION = re.compile(r"[a-z_]+(:[a-z_]+)+", re.ASCII)
_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*(:[0-9]{1,5})?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenConfig:
    """`actions` are the most that a token may allow, never none."""

    whop: WhopConfig
    actions: Sequence[str]
    user_mappings_table: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLinkConfig:
    """`hosts` are those that a link may lead back to, never none."""

    whop: WhopConfig
    hosts: frozenset[str]
    user_mappings_table: str


def chat_token_config() -> TokenConfig:
    """Raises ValueError with a sentence that names the setting and what it must be."""
    return _token_config("CHAT_TOKEN_ACTIONS")


def payout_token_config() -> TokenConfig:
    """Raises ValueError with a sentence that names the setting and what it must be."""
    return _token_config("PAYOUT_TOKEN_ACTIONS")


def account_link_config() -> AccountLinkConfig:
    """Raises ValueError with a sentence that names the setting and what it must be."""
    hosts = setting("ACCOUNT_LINK_HOSTS").split(",")
    if not all(_HOST.fullmatch(host) for host in hosts):
        raise ValueError("ACCOUNT_LINK_HOSTS must be host names with commas between them, such as app.example.com")
    return AccountLinkConfig(whop=whop_config(), hosts=frozenset(hosts), user_mappings_table=user_mappings_table())


def _token_config(name: str) -> TokenConfig:
    """`name` is the setting that holds the actions."""
    actions = setting(name).split(",")
    if not all(_ACTION.fullmatch(action) for action in actions):
        # Never an empty one: to Whop, no actions at all mean everything that the key may do.
        raise ValueError(f"{name} must be actions of Whop with commas between them, such as chat:read,dms:read")
    return TokenConfig(whop=whop_config(), actions=actions, user_mappings_table=user_mappings_table())
