"""`whop-user-sync users` on a real table: who is there, one by one, and as a file."""

import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import World, created, event
from whop_sync.errors import Permanent, Transient
from whop_sync.users.directory import Directory, Entry
from whop_sync.users.mappings import Mappings
from whop_sync.users.schema import user_key, whop_account_key
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
    assert run("show", "ann") == 0
    assert re.search(r"^email_differs +false$", capsys.readouterr().out, re.MULTILINE)
    assert run("show", "unknown") == 1
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


@pytest.mark.usefixtures("three")
def test_half_an_export_is_not_left_for_a_whole_one(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ends_early(directory: Directory) -> Iterator[Entry]:
        yield next(entries(directory))
        raise Transient("dynamodb_unavailable")

    entries = Directory.entries
    monkeypatch.setattr(Directory, "entries", ends_early)
    assert run("export", "--output", str(tmp_path / "mappings.csv")) == 3
    assert "dynamodb_unavailable" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_age_is_a_number_with_a_unit(run: Run, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.settle(created("ann"))
    assert run("list", "--older-than", "soon") == 2
    assert "90min or 3d" in capsys.readouterr().err
    assert run("list", "--older-than", "90min", "--json") == 0
    capsys.readouterr()


def owner(world: World, company_id: str) -> str | None:
    return Directory(world.dynamodb, world.table).user_of_account(company_id)


def forget(world: World, company_id: str) -> None:
    """As it was before there were such items."""
    world.dynamodb.delete_item(TableName=world.table, Key=whop_account_key(company_id))


def test_accounts_of_earlier_rows_are_filled_once_and_what_is_there_is_left(
    run: Run, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    for user_id in ("ann", "bea", "cem"):
        world.settle(created(user_id))
    accounts = {user_id: world.row(user_id)["whop_company_id"] for user_id in ("ann", "bea", "cem")}
    world.settle(event("cem", 2, kind="deleted"))
    forget(world, accounts["ann"])
    forget(world, accounts["cem"])
    assert run("fill-accounts", "--json") == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["written"], first["there"], first["changing"], first["disputed"]) == (2, 1, 0, [])
    assert {user_id: owner(world, company) for user_id, company in accounts.items()} == {
        "ann": "ann",
        "bea": "bea",
        "cem": "cem",
    }
    # And once more, for people
    assert run("fill-accounts") == 0
    assert "0 written, 3 there already" in capsys.readouterr().out


def test_an_account_that_a_deleted_user_had_is_filled_for_the_living_one(run: Run, world: World) -> None:
    world.settle(created("ann"))
    company = world.row("ann")["whop_company_id"]
    forget(world, company)
    world.dynamodb.put_item(
        TableName=world.table,
        Item={**user_key("0old"), "user_id": {"S": "0old"}, "former_whop_company_id": {"S": company}},
    )
    assert run("fill-accounts") == 0
    assert owner(world, company) == "ann"


def test_the_item_of_another_user_is_kept_and_reported(
    run: Run, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.settle(created("ann"))
    company = world.row("ann")["whop_company_id"]
    world.dynamodb.put_item(TableName=world.table, Item={**whop_account_key(company), "user_id": {"S": "bea"}})
    assert run("fill-accounts", "--json") == 1
    assert json.loads(capsys.readouterr().out)["disputed"] == [{"whop_company_id": company, "user_id": "ann"}]
    assert owner(world, company) == "bea"


def test_a_row_that_was_erased_meanwhile_gets_no_item_back(world: World) -> None:
    """Given an account that the row named when the table was read, when it no longer does, then nothing is written."""
    mappings = Mappings(world.dynamodb, world.table, world.clock)
    world.settle(created("ann"))
    assert not mappings.record_owner("ann", "biz_of_before")
    assert owner(world, "biz_of_before") is None
    assert not mappings.record_owner("gone", "biz_of_before")


def test_an_item_that_a_worker_wrote_meanwhile_is_kept(world: World) -> None:
    world.settle(created("ann"))
    company = world.row("ann")["whop_company_id"]
    world.dynamodb.put_item(TableName=world.table, Item={**whop_account_key(company), "user_id": {"S": "bea"}})
    assert not Mappings(world.dynamodb, world.table, world.clock).record_owner("ann", company)
    assert owner(world, company) == "bea"
