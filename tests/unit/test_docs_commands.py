"""The commands that the docs show. Those that need no AWS account, no Docker and no stack are run as printed."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.pages import Page, pages
from local_stack import ROOT
from whop_sync.receiving.signatures import Standard

NOT_RUN = {
    r"(\S*/)?(sam|aws) ": "needs an AWS account or Docker",
    r"(uv tool|pipx) ": "installs on the reader's machine; a test of the wheel does the same in an empty environment",
    r"export ": "sets what the next lines read",
    r"make (demo|test|lint|validate|load|simulate|build|containers)\b": "run by the gate, or by hand",
    r"make (up|send|trace|down|event|invoke)\b": "run by tests/e2e/test_docs_local_stack.py and tests/containers",
    r"(make|whop-user-sync) preview .*(HEADERS|--headers)": "needs the reader's captured delivery",
    r"whop-user-sync (?!platform|preview|import)": "needs a stack",
    r"whop-user-sync import .*--stack": "needs a stack",
    r"curl http://127\.0\.0\.1:4680/_fake/events ": "run by tests/e2e/test_docs_local_stack.py",
}
"""Which lines are not run here, and why."""


def command_lines() -> Iterator[tuple[str, str]]:
    """Page and text of each line of a block of commands, without its comment."""
    for page in pages():
        for block in page.code():
            if block.language == "sh":
                for line in block.text.replace("\\\n", " ").splitlines():
                    text = line.partition("  #")[0].strip()
                    if text and not text.startswith("#"):
                        yield page.name, text


def is_run(command: str) -> bool:
    return not any(re.match(pattern, command) for pattern in NOT_RUN)


RUN = [(page, command) for page, command in command_lines() if is_run(command)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout as far as the commands look at it, with the tool on the path and the files that the pages speak of."""
    for name in ("docs", "shared", "tests", "whop_user_sync", ".venv", ".local", ".ci", "pyproject.toml", "Makefile"):
        if (ROOT / name).exists():
            (tmp_path / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "samconfig.toml", tmp_path)
    [table] = [block.text for block in Page("docs/import-and-verify.md").code() if block.language == "csv"]
    (tmp_path / "users.csv").write_text(table)
    tool = tmp_path / "bin" / "whop-user-sync"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT / "shared"}:{ROOT} exec {sys.executable} -m whop_user_sync "$@"\n')
    tool.chmod(0o755)
    return tmp_path


def run(command: str, folder: Path) -> str:
    environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    result = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_there_are_commands_to_run() -> None:
    assert len(RUN) >= 4


@pytest.mark.parametrize(("page", "command"), RUN)
def test_a_command_works_as_it_is_printed(page: str, command: str, folder: Path) -> None:  # noqa: ARG001 - for the report
    assert run(command, folder)


def test_a_platform_file_is_written_where_the_docs_say_so(folder: Path) -> None:
    [write] = [command for page, command in RUN if page == "docs/any-platform.md" and "--write" in command]
    run(write, folder)
    assert "PayloadPreset='own'" in (folder / "samconfig.toml").read_text().partition("[sandbox.")[2]


def test_a_secret_that_is_made_as_the_docs_show_is_one() -> None:
    [make] = [command for page, command in RUN if page == "docs/webhook.md"]
    secret = subprocess.run(["bash", "-c", make], capture_output=True, text=True, check=True).stdout.strip()
    assert Standard().keys(secret)
