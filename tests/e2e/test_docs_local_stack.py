"""The first commands that a reader types after the demo, as docs/local-stack.md prints them."""

import os
import re
import subprocess
from collections.abc import Iterator

import pytest

from harness.pages import Page
from local_stack import ROOT
from local_stack.places import agreed
from local_stack.ports import holder
from local_stack.processes import free_port
from local_stack.up import running

STARTED_BY_THE_READER = "something that `make up` started is running: stop it with `make down`"


def make(command: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "WHOP_"))}
    return subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False
    )


def run(line: str) -> str:
    result = make(line)
    assert result.returncode == 0, f"{line}\n{result.stdout}{result.stderr}"
    return result.stdout


def elsewhere(port: int) -> dict[str, str]:
    """What to replace in the commands of the docs, where something of another owner listens on a port of `make up`."""
    if not any(holder(each) for each in agreed().uses):
        return {}
    return {"make up": f"make up PORT={port}", f":{agreed().whop}/": f":{agreed(port=port).whop}/"}


@pytest.fixture
def lines() -> Iterator[list[str]]:
    if running():
        pytest.skip(STARTED_BY_THE_READER)
    block = next(block for block in Page("docs/local-stack.md").code() if block.text.startswith("make up\n"))
    yield block.text.splitlines()
    if running():
        make("make down")


def test_the_first_commands_do_what_the_docs_say(lines: list[str]) -> None:
    replaced = elsewhere(free_port() % 20000 + 20000)

    def typed(line: str) -> str:
        for ours, theirs in replaced.items():
            line = line.replace(ours, theirs)
        return run(line)

    printed = {line: typed(line) for line in lines[:-1]}
    [trace] = [text for line, text in printed.items() if line.startswith("make trace")]
    assert "synced" in trace
    # And an event of Whop's that a person lets happen, as docs/whop-webhooks.md prints it
    [account] = re.findall(r"biz_\w+", trace)[:1]
    sh = [block.text for block in Page("docs/whop-webhooks.md").code() if block.language == "sh"]
    [event] = [line for text in sh for line in text.splitlines() if line.startswith("curl ")]
    assert re.search(
        r'"attempts": \[(null, )*200\]', typed(event.replace("biz_…", account))
    )  # it starts within 5 s, or not
    typed(lines[-1])
    assert running() is None
