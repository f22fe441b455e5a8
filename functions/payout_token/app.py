"""POST /users/{user_id}/payout-token: makes a token for the payout elements of one connected account."""

from typing import Any

from whop_sync import assembly

payout_tokens = assembly.payout_tokens()


def handler(event: Any, _context: object) -> object:
    return payout_tokens.answer(event)
