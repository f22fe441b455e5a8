"""POST /whop-webhooks: checks Whop's signature and stores what its event means in the queue of announcements."""

from typing import Any

from whop_sync import assembly

receiver = assembly.whop_receiver()


def handler(event: Any, _context: object) -> Any:
    return receiver.answer(event)
