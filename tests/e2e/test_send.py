"""`whop-user-sync send` on the running stack: a webhook goes in, and its own outcome comes back."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from local_stack import ROOT
from local_stack.processes import NO_ACCOUNT
from local_stack.sending import SECRET
from local_stack.stack import LocalStack


def send(stack: LocalStack, *arguments: str, secret: str = SECRET) -> tuple[int, dict[str, Any], str]:
    where = ["--stack", stack.deployment.stack, "--endpoint-url", stack.deployment.engine.url]
    where += ["--url", stack.deployment.webhook_url]
    done = subprocess.run(
        [sys.executable, "-m", "whop_user_sync", "send", *arguments, *where, "--wait", "240", "--json"],
        cwd=ROOT,
        env={**os.environ, **NO_ACCOUNT, "WHOP_USER_SYNC_SIGNING_SECRET": secret},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


def test_a_user_is_enrolled_and_changed_by_two_commands(stack: LocalStack, new_id: Callable[[], str]) -> None:
    user_id = new_id()
    about = ("--user", user_id, "--email", f"{user_id}@people.test")
    code, answer, said = send(stack, "standard", "created", *about, "--name", "Bea Cee")
    assert (code, answer.get("outcome"), answer.get("status")) == (0, "enrolled", 200), said
    assert answer["row"]["status"] == "synced"
    assert answer["whop"]["name"] == "Bea Cee"
    code, answer, said = send(stack, "standard", "user.updated", *about, "--name", "Bea Dee")
    assert (code, answer.get("outcome")) == (0, "synced"), said
    assert stack.whop.user(answer["row"]["whop_user_id"])["name"] == "Bea Dee"


def test_what_was_not_done_is_said_and_fails(stack: LocalStack, new_id: Callable[[], str]) -> None:
    # A signature that the stack does not take
    code, answer, said = send(stack, "standard", "created", "--user", new_id(), secret="whsec_" + "Zm9y" * 10)
    assert (code, answer["status"]) == (1, 401)
    assert "is the secret that of the stack?" in said
    # An address that Whop refuses
    code, answer, said = send(stack, "standard", "created", "--user", new_id(), "--email", "ada@example.com")
    assert (code, answer["outcome"], answer["reason"]) == (1, "parked", "whop_refused"), said
    # No event, and none that there is
    assert send(stack, "standard")[0] == 2
    assert send(stack, "standard", "renamed")[0] == 2
