"""A part of `make demo`: the platform's backend asks who a user is on Whop, and for a token to chat as them."""

import json

from local_stack.backend import Backend
from local_stack.stack import LocalStack
from local_stack.terminal import Terminal


def show_answers(terminal: Terminal, stack: LocalStack, *, enrolled: str, refused: str) -> None:
    """Asks about two users of the platform, by their ids: one who is enrolled and one who could not be."""
    backend = Backend(stack.deployment)
    terminal.title("What the platform's backend learns, by requests signed with AWS credentials")
    answer = backend.look_up(enrolled)
    found = answer.json()
    terminal.line(f"GET /users/{enrolled}")
    terminal.table(("field", "value"), [(name, _shown(value)) for name, value in found.items()])
    terminal.expect(answer.status_code == 200, f"user {enrolled} is found", found=answer.status_code)
    again = backend.look_up_whop_user(found.get("whop_user_id") or "-")
    terminal.expect(again.json() == found, "and found by the id that Whop knows them by", found=again.status_code)

    absent = backend.look_up(refused)
    reason = absent.json().get("error")
    terminal.expect(
        (absent.status_code, reason) == (404, "enrollment_failed"),
        f"user {refused} is not there, and the answer says that they could not be enrolled",
        found=(absent.status_code, reason),
    )
    unsigned = backend.ask_unsigned("GET", f"/users/{enrolled}").status_code
    terminal.expect(unsigned == 403, "a request without a signature is refused", found=unsigned)

    minted = backend.chat_token(enrolled, expires_in_seconds=600)
    if stack.whop.sandbox and minted.status_code == 502:
        terminal.line("no chat token: the key of the sandbox has not all the scopes that chat needs")
        return
    terminal.expect(minted.status_code == 200, f"user {enrolled} gets a chat token", found=minted.status_code)
    token = minted.json().get("token", "")
    terminal.line(
        f"POST /users/{enrolled}/chat-token: {len(token)} characters, until {minted.json().get('expires_at')}"
    )
    logs = [line for name in ("look-up-user", "mint-chat-token") for line in stack.deployment.log_lines(name)]
    terminal.expect(bool(token) and not any(token in line for line in logs), "the token is in no log line")


def _shown(value: object) -> str:
    """As the answer has it, without the quotes around a text."""
    return value if isinstance(value, str) else json.dumps(value)
