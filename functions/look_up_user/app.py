"""GET /users/{user_id} and GET /whop-users/{whop_user_id}: what is recorded about a user, for the platform."""

from typing import Any

from whop_sync import assembly

look_up = assembly.look_up()


def handler(event: Any, _context: object) -> object:
    return look_up.answer(event)
