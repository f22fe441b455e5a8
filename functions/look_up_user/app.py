"""GET /users/{user_id}, and the same by Whop user or connected account: what is recorded about a user."""

from typing import Any

from whop_sync import assembly

look_up = assembly.look_up()


def handler(event: Any, _context: object) -> object:
    return look_up.answer(event)
