"""The operators' tool as it is installed: from a built wheel, into an environment that holds nothing else."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from local_stack import ROOT
from local_stack.engine import Engine
from local_stack.processes import NO_ACCOUNT, TOOLS, installing_environment

UV = TOOLS / "uv"


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command in an environment of its own."""
    folder = tmp_path_factory.mktemp("installed")
    environment = installing_environment()

    def uv(*arguments: str | Path) -> None:
        subprocess.run([UV, *arguments], env=environment, check=True, timeout=600)

    uv("build", "--quiet", "--wheel", "--out-dir", folder / "dist", ROOT)
    uv("venv", "--quiet", "--python", TOOLS / "python3.13", folder / "venv")
    [wheel] = (folder / "dist").glob("*.whl")
    uv("pip", "install", "--quiet", "--python", folder / "venv" / "bin" / "python", wheel)
    return folder / "venv" / "bin" / "whop-user-sync"


def run(tool: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    variables = {"PATH": os.defpath, **NO_ACCOUNT, **environment}
    return subprocess.run([tool, *arguments], env=variables, cwd="/", capture_output=True, text=True, check=False)


def test_it_runs_outside_a_checkout_and_names_its_version(tool: Path) -> None:
    shown = run(tool, "--version")
    assert shown.returncode == 0
    assert shown.stdout.strip() == "whop-user-sync 0.1.0"
    assert run(tool, "--help").returncode == 0


def test_it_checks_a_file_without_a_stack(tool: Path, tmp_path: Path) -> None:
    file = tmp_path / "users.csv"
    file.write_text("id,email\nu1,u1@shop.test\nu2,\n")
    checked = run(tool, "import", str(file), "--dry-run", "--json")
    assert checked.returncode == 1
    assert json.loads(checked.stdout)["by_reason"] == {"no_email": 1}


@pytest.mark.parametrize(
    ("typed", "offered"), [("whop-user-sync re", {"redrive", "release"}), ("whop-user-sync users ex", {"export"})]
)
def test_a_shell_completes_commands(tool: Path, typed: str, offered: set[str]) -> None:
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    completed = run(tool, _WHOP_USER_SYNC_COMPLETE="complete_bash", **words)
    assert (completed.returncode, set(completed.stdout.split())) == (0, offered)
    script = run(tool, _WHOP_USER_SYNC_COMPLETE="source_bash")
    assert "_WHOP_USER_SYNC_COMPLETE=complete_bash" in script.stdout


def test_a_stack_that_is_not_there_is_a_sentence_and_no_traceback(tool: Path, engine: Engine) -> None:
    answer = run(tool, "parked", "--endpoint-url", engine.url, WHOP_USER_SYNC_STACK="nowhere")
    assert (answer.returncode, "There is no stack nowhere here" in answer.stderr) == (3, True)
    assert "Traceback" not in answer.stderr
