"""`whop-user-sync users` on a real table: who is there, one by one, and as a file."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import World, created, event
from whop_sync.errors import Permanent
from whop_user_sync import cli

type Run = Callable[..., int]


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command on the table of the world."""
    monkeypatch.setattr("whop_user_sync.stack.Stack.table", property(lambda _: world.table))

    def run(*arguments: str) -> int:
        return cli.main(["users", *arguments, "--stack", "any", "--endpoint-url", world.engine.url])

    return run


@pytest.fixture
def three(world: World) -> None:
    """Ann is enrolled, Bea was refused, and Cem waits."""
    world.settle(created("ann", name="Ann Bee"))
    with pytest.raises(Permanent):
        world.handle(created("bea", email="bea@example.com"))
    world.settle(event("ann", 2, name="Ann Cee"))


@pytest.mark.usefixtures("three")
def test_users_are_listed_and_chosen_by_what_is_recorded(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "--json") == 0
    everyone = json.loads(capsys.readouterr().out)
    assert {each["user_id"]: each["status"] for each in everyone} == {"ann": "synced", "bea": "failed"}
    for options, expected in (
        (["--status", "failed"], ["bea"]),
        (["--reason", "whop_refused"], ["bea"]),
        (["--standing", "active", "--status", "synced"], ["ann"]),
        (["--standing", "deleted"], []),
    ):
        assert run("list", "--json", *options) == 0
        assert [each["user_id"] for each in json.loads(capsys.readouterr().out)] == expected
    assert run("list") == 0
    printed = capsys.readouterr().out
    assert "2 users: 1 synced, 1 failed." in printed or "2 users: 1 failed, 1 synced." in printed
    assert "Ann" not in printed


@pytest.mark.usefixtures("three")
def test_one_is_shown_by_either_id(run: Run, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "ann", "--json") == 0
    ann = json.loads(capsys.readouterr().out)
    assert run("show", world.row("ann")["whop_user_id"], "--json") == 0
    assert json.loads(capsys.readouterr().out) == ann
    assert run("show", "nobody") == 1
    assert "Nothing is recorded" in capsys.readouterr().err


@pytest.mark.usefixtures("three")
def test_mappings_are_exported_whole_and_without_personal_data(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mappings.csv"
    assert run("export", "--output", str(file)) == 0
    rows = {row["user_id"]: row for row in csv.DictReader(file.open())}
    assert set(rows) == {"ann", "bea"}
    assert rows["ann"]["whop_user_id"].startswith("user_")
    assert rows["ann"]["whop_company_id"].startswith("biz_")
    assert "shop.test" not in file.read_text()
    # And a file that is there is not written over
    capsys.readouterr()
    assert run("export", "--output", str(file)) == 2
    assert "exists already" in capsys.readouterr().err
    # And as NDJSON, on standard output
    assert run("export", "--format", "ndjson", "--status", "failed") == 0
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["last_error"] == "whop_refused"


def test_an_age_is_a_number_with_a_unit(run: Run, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.settle(created("ann"))
    assert run("list", "--older-than", "soon") == 2
    assert "90min or 3d" in capsys.readouterr().err
    assert run("list", "--older-than", "90min", "--json") == 0
    capsys.readouterr()
