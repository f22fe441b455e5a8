"""What the gate makes of cfn-guard's report, and that a missing npm is said and not fatal."""

import re
from pathlib import Path

import pytest

import cfn_guard
from cfn_guard import EXCEPTIONS, judged


def report(*names: str) -> dict[str, list[dict[str, dict[str, str]]]]:
    return {"not_compliant": [{"Rule": {"name": name}} for name in names]}


def test_the_exceptions_are_all_there_is() -> None:
    assert judged(report(*EXCEPTIONS)) == []


def test_a_new_finding_fails_and_so_does_an_exception_that_is_not_needed() -> None:
    first, *rest = EXCEPTIONS
    problems = judged(report(*rest, "a_new_rule"))
    assert len(problems) == 2
    assert "a_new_rule does not hold" in problems[0]
    assert first in problems[1]


def test_every_exception_has_its_reason() -> None:
    assert all(re.fullmatch(r".{20,}", reason) for reason in EXCEPTIONS.values())


def test_without_npm_the_check_says_so_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(cfn_guard, "INSTALLED", tmp_path / "guard")
    assert cfn_guard.main() == 0
    assert "left out" in capsys.readouterr().out
