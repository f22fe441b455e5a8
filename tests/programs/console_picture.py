"""Makes docs/images/console.png again: the console over a local stack, after a short story.

`PYTHONPATH=shared:tests:tests/programs .venv/bin/python -m console_picture`, with Chromium on the path.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import sync_playwright

from local_stack import ROOT
from local_stack.deployment import built
from local_stack.processes import NO_ACCOUNT
from local_stack.sending import Delivery, body
from local_stack.stack import LocalStack, running_stack
from local_stack.terminal import Terminal
from local_stack.waiting import becomes_true

PICTURE = ROOT / "docs" / "images" / "console.png"
WIDTH = 1280
WRONG_SECRET = "whsec_bm90IHRoZSBzZWNyZXQgdGhhdCB3YXMgYWdyZWVkIG9uIQ=="
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")

PEOPLE = (
    ("1001", "ada@people.test", "Ada Lovelace"),
    ("1002", "grace@people.test", "Grace Brewster Hopper"),
    ("1003", "katherine@people.test", "Katherine Johnson"),
    ("1004", "dorothy@people.test", "Dorothy Vaughan"),
)
REFUSED = ("1005", "mary@example.com", "Mary Jackson")
"""Has an address that takes no mail, which Whop refuses."""

OUTCOMES = ("enrolled",) * len(PEOPLE) + ("synced",) * 2 + ("parked", "rejected")
"""Of all deliveries of the story, when each is done."""

PATIENCE = 120
"""Seconds for one step, also on a busy machine."""


def play(stack: LocalStack) -> None:
    """Users who are enrolled and change their name, one whom Whop refuses, and a delivery that is not genuine."""
    url = stack.deployment.webhook_url
    for user_id, email, name in (*PEOPLE, REFUSED):
        user = {"id": user_id, "email": email, "name": name}
        if user_id == PEOPLE[0][0]:
            user["avatar_url"] = stack.pictures.url("c2410c")
        Delivery(body("created", user)).send(url)
    for user_id, *_ in PEOPLE:
        _await(stack, user_id, "synced")
    _await(stack, REFUSED[0], "failed")
    for user_id, _, name in PEOPLE[:2]:
        update = Delivery(body("updated", {"id": user_id, "name": f"Dr {name}"}))
        update.send(url)
        _await(stack, user_id, "synced", by=update)
    Delivery(body("updated", {"id": PEOPLE[0][0], "name": "Not Ada"})).send(url, secret=WRONG_SECRET)


def _await(stack: LocalStack, user_id: str, status: str, *, by: Delivery | None = None) -> None:
    """Who is synced already stays so while an update is handled: `by` is the delivery that has to be recorded."""

    def recorded() -> bool:
        row = stack.deployment.row(f"user#{user_id}") or {}
        return row.get("status") == status and (by is None or row.get("last_event_id") == by.id)

    if not becomes_true(recorded, PATIENCE):
        raise SystemExit(f"user {user_id} did not become {status}")


@contextmanager
def console(stack: LocalStack) -> Iterator[str]:
    """The address of the page, while it is served."""
    where = ["--stack", stack.deployment.stack, "--endpoint-url", stack.deployment.engine.url]
    command = [sys.executable, "-m", "whop_user_sync", "console", *where, "--write", "--no-open"]
    environment = {**os.environ, **NO_ACCOUNT}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip() if process.stdout else ""
        finally:
            process.terminate()


def take(address: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(QUIET))
        page = browser.new_page(viewport={"width": WIDTH, "height": 560})
        page.set_default_timeout(PATIENCE * 1000)
        page.goto(address)
        page.get_by_role("link", name="Deliveries", exact=True).click()
        page.get_by_role("table").wait_for()
        # The last line of a delivery is written after its row. The page asks anew every three seconds.
        page.wait_for_function(
            """outcomes => outcomes === [...document.querySelectorAll("tbody .outcome")]
                .map(each => each.textContent).sort().join()""",
            arg=",".join(sorted(OUTCOMES)),
        )
        PICTURE.parent.mkdir(exist_ok=True)
        page.screenshot(path=PICTURE, full_page=True)
        browser.close()


def main() -> None:
    terminal = Terminal()
    with running_stack(terminal, built(terminal), name="whop-user-sync") as stack:
        with terminal.step("playing a short story"):
            play(stack)
        with terminal.step("taking the picture"), console(stack) as address:
            take(address)
    terminal.line(f"written to {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
