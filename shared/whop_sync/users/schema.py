"""The UserMappings table: its keys, stated once for all who read or write it.

Three kinds of items share the table:

- `user#<platform user id>`: the mapping and the state of the user's profile,
- `whop_user#<user_...>`: the reverse item, which platform user a Whop user belongs to, at most one,
- `turns#<operation>`: the token bucket of one Whop operation, named in the words of an earlier version.
"""

from typing import TypedDict


class Text(TypedDict):
    """A text as DynamoDB takes it."""

    S: str


type Key = dict[str, Text]


def user_key(user_id: str) -> Key:
    return {"key": {"S": f"user#{user_id}"}}


def whop_user_key(whop_user_id: str) -> Key:
    return {"key": {"S": f"whop_user#{whop_user_id}"}}


def rate_limit_key(operation: str) -> Key:
    return {"key": {"S": f"turns#{operation}"}}
