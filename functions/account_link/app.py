"""POST /users/{user_id}/account-link: makes a link to a page at Whop for the owner of a connected account."""

from typing import Any

from whop_sync import assembly

account_links = assembly.account_links()


def handler(event: Any, _context: object) -> object:
    return account_links.answer(event)
