"""`python -m whop_user_sync` by a Python that cannot run it: a sentence, never a traceback."""

import subprocess
import sys

import pytest

from harness.interruptions import HalfMade
from local_stack import ROOT
from whop_user_sync import cli
from whop_user_sync.__main__ import entry_point

AS_OLDER = """
import runpy, sys
sys.version_info = (3, 11, 9, "final", 0)
runpy.run_module("whop_user_sync", run_name="__main__")
"""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-c", AS_OLDER], "whop-user-sync needs Python 3.13; this is 3.11."),
        # Without the packages of the virtual environment.
        (["-S", "-m", "whop_user_sync", "parked"], "typer is not installed for this Python."),
    ],
)
def test_a_python_that_cannot_run_the_tool_is_named_with_the_one_that_can(arguments: list[str], sentence: str) -> None:
    run = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr == f"{sentence} In a checkout, run .venv/bin/python -m whop_user_sync (make test installs it).\n"


@pytest.mark.parametrize(
    ("options", "document"), [([], ""), (["--json"], '{"error": "Interrupted.", "status": 130}\n')]
)
def test_ctrl_c_is_answered_also_while_the_tool_is_loaded(
    options: list[str], document: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        HalfMade()
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "main", interrupt)
    monkeypatch.setattr(sys, "argv", ["whop-user-sync", "parked", *options])
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    assert entry_point() == 130
    assert tuple(capsys.readouterr()) == (document, "Interrupted.\n")


def test_an_import_without_its_file_asks_for_it() -> None:
    """As `make import` without FILE= runs it."""
    asked = ["-m", "whop_user_sync", "import", "", "--stack", "s", "--endpoint-url", "http://127.0.0.1:9"]
    run = subprocess.run([sys.executable, *asked], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert run.stderr.startswith("Which file? ")
