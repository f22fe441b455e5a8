"""The layer's build, whatever the shell of the person who builds has set for pip."""

import os
import subprocess
from pathlib import Path

import pytest

from local_stack import ROOT

STUB = """#!/bin/sh
# Stands in for Python: shows what pip would be started with, and does nothing.
case "$*" in
*" install "*) env | grep -E '^(PIP_|PYTHON)' >"$SEEN"; exit 7 ;;
esac
"""
HOSTILE = {
    "PIP_USER": "1",
    "PIP_PREFIX": "/somewhere",
    "PIP_ROOT": "/somewhere",
    "PIP_REQUIRE_VIRTUALENV": "true",
    "PIP_NO_BINARY": ":all:",
    "PIP_PLATFORM": "win_amd64",
    "PIP_CONSTRAINT": "/somewhere/constraints.txt",
    "PIP_DRY_RUN": "1",
    "PYTHONPATH": "/somewhere",
    "PYTHONHOME": "/somewhere",
}
FETCHING = {
    "PIP_INDEX_URL": "http://index.test/simple",
    "PIP_NO_INDEX": "1",
    "PIP_FIND_LINKS": "/wheels",
    "PIP_CERT": "/ca.pem",
    "PIP_CONFIG_FILE": "/pip.conf",
}


@pytest.fixture
def seen(tmp_path: Path) -> dict[str, str]:
    """Pip's and Python's settings as the build's pip gets them."""
    python = tmp_path / "python"
    python.write_text(STUB)
    python.chmod(0o755)
    seen = tmp_path / "seen"
    given = {"PYTHON": str(python), "SEEN": str(seen), "ARTIFACTS_DIR": str(tmp_path / "layer"), **HOSTILE, **FETCHING}
    subprocess.run(
        ["make", "build-SharedLayer"],
        cwd=ROOT / "shared",
        env={"PATH": os.environ["PATH"], **given},
        capture_output=True,
        check=False,
    )
    return dict(line.split("=", 1) for line in seen.read_text().splitlines())


def test_no_setting_of_the_shell_changes_what_is_installed(seen: dict[str, str]) -> None:
    del seen["PYTHON"]
    assert seen == {**FETCHING, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
