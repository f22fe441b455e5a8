"""Ctrl-C by a real signal while a command works on the running stack: it stops, and what it says of it is true."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local_stack import ROOT
from local_stack.processes import NO_ACCOUNT
from local_stack.sending import SECRET, Delivery, body
from local_stack.stack import LocalStack
from local_stack.waiting import PATIENCE_SECONDS, becomes_true

pytestmark = pytest.mark.usefixtures("interruptible")


class Command:
    """A command under way, with what it has printed so far."""

    def __init__(self, process: "subprocess.Popen[bytes]", folder: Path) -> None:
        self._process = process
        self._folder = folder

    @property
    def printed(self) -> str:
        return (self._folder / "out").read_text()

    @property
    def said(self) -> str:
        return (self._folder / "err").read_text()

    def interrupted_once(self, is_under_way: Callable[[], bool]) -> int:
        """Presses Ctrl-C at that moment. Returns the exit status."""
        assert becomes_true(lambda: is_under_way() or self._process.poll() is not None)
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(PATIENCE_SECONDS)


@contextmanager
def running(stack: LocalStack, folder: Path, *arguments: str) -> Iterator[Command]:
    where = ["--stack", stack.deployment.stack, "--endpoint-url", stack.deployment.engine.url]
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "whop_user_sync", *arguments, *where],
            cwd=ROOT,
            env={**os.environ, **NO_ACCOUNT, "WHOP_USER_SYNC_SIGNING_SECRET": SECRET},
            stdout=out,
            stderr=errors,
        )
        try:
            yield Command(process, folder)
        finally:
            process.kill()
            process.wait()


def test_a_send_that_waits_says_that_the_webhook_was_taken_and_how_to_follow_it(
    stack: LocalStack, new_id: Callable[[], str], tmp_path: Path
) -> None:
    # Given a user without an e-mail, whose event waits for an hour
    file, user_id = tmp_path / "body.json", new_id()
    file.write_bytes(body("created", {"id": user_id, "name": "Ada"}))

    def is_waiting() -> bool:
        row = stack.deployment.row(f"user#{user_id}") or {}
        return "answered 200" in send.printed and row.get("status") == "no_email"

    with running(
        stack, tmp_path, "send", "--file", str(file), "--url", stack.deployment.webhook_url, "--wait", "600"
    ) as send:
        assert send.interrupted_once(is_waiting) == 130
    assert "Interrupted while waiting. The webhook was taken." in send.said
    assert "--delivery msg_" in send.said
    assert "Traceback" not in send.said
    # The event is in no other test's way.
    stack.deployment.engine.sqs.purge_queue(QueueUrl=stack.deployment.queue_url("user-created"))


@pytest.mark.parametrize(
    ("options", "says"), [([], "and nothing was changed."), (["--repair"], "repairs of which are on their way.")]
)
def test_an_interrupted_verification_says_how_far_it_came_and_what_it_changed(
    stack: LocalStack, tmp_path: Path, options: list[str], says: str
) -> None:
    file = tmp_path / "users.ndjson"
    # Users without an e-mail: nothing can be repaired, and no other test gets to see them.
    file.write_text("".join(json.dumps({"id": f"never-{number}"}) + "\n" for number in range(100_000)))
    with running(stack, tmp_path, "verify", str(file), *options) as verify:
        assert verify.interrupted_once(lambda: "users compared" in verify.said) == 130
    assert "Interrupted after " in verify.said
    assert says in verify.said
    assert "Traceback" not in verify.said


def test_a_tail_ends_in_peace(stack: LocalStack, new_id: Callable[[], str], tmp_path: Path) -> None:
    user_id, sent_at = new_id(), -math.inf
    delivery = Delivery(body("created", {"id": user_id, "email": f"{user_id}@people.test"}))

    def follows() -> bool:
        nonlocal sent_at
        if time.monotonic() > sent_at + 10:  # and again: it reaches back for less time than a busy machine takes for it
            delivery.send(stack.deployment.webhook_url)
            sent_at = time.monotonic()
        return '"function": "user-created"' in tail.printed

    with running(stack, tmp_path, "tail", "--user", user_id, "--json") as tail:
        assert tail.interrupted_once(follows) == 0
    assert tail.said == ""
    assert {json.loads(line)["user_id"] for line in tail.printed.splitlines()} == {user_id}
