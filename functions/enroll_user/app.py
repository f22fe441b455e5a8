"""PUT /users/{user_id}: enrolls or updates a user while the platform's backend waits."""

from typing import Any

from whop_sync import assembly

enroll_user = assembly.enroll_user()


def handler(event: Any, _context: object) -> object:
    return enroll_user.answer(event)
