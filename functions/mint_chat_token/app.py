"""POST /users/{user_id}/chat-token: makes a token with which one user chats in the platform's company."""

from typing import Any

from whop_sync import assembly

chat_tokens = assembly.chat_tokens()


def handler(event: Any, _context: object) -> object:
    return chat_tokens.answer(event)
