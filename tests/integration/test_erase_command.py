"""`whop-user-sync erase` and `release`, on a real table and a Whop that answers over HTTP."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from harness import World, created
from whop_sync.errors import Permanent
from whop_sync.events import UserEvent
from whop_user_sync import cli
from whop_user_sync.commands import erasing
from whop_user_sync.erasing import Erasure

type Run = Callable[..., int]


class StubQueue:
    def __init__(self) -> None:
        self.sent: list[UserEvent] = []

    def send(self, body: str) -> None:
        self.sent.append(UserEvent.from_json(body))


@pytest.fixture
def queue() -> StubQueue:
    return StubQueue()


@pytest.fixture
def run(world: World, queue: Any, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command on the table and the Whop of the world; parked messages are counted and none is there."""
    synchronization = world.synchronization
    erasure = Erasure(
        enrollment=synchronization.enrollment,
        deleted_user_name="Deleted user",
        queue=queue,
    )
    monkeypatch.setattr(erasing, "_erasure", lambda _: erasure)
    monkeypatch.setattr(erasing, "_purge_parked", lambda *_: 2)

    def run(*arguments: str) -> int:
        return cli.main([*arguments, "--stack", "any"])

    return run


def test_an_erased_user_leaves_a_receipt_and_a_tombstone(
    run: Run, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.settle(created(name="Ann Bee"))
    whop_user_id = world.row()["whop_user_id"]
    # When they are erased, twice
    assert run("erase", "u1", "--yes", "--json") == 0
    receipt = json.loads(capsys.readouterr().out)
    assert run("erase", "u1", "--yes") == 0
    # Then the receipt says what is gone, what Whop keeps, and what only the person can delete
    assert (receipt["whop_user_id"], receipt["account"]) == (whop_user_id, "removed")
    assert receipt["parked_messages_deleted"] == 2
    assert receipt["erased"]
    assert any(whop_user_id in sentence for sentence in receipt["kept_by_whop"])
    assert any("whop.com" in sentence for sentence in receipt["person"])
    printed = capsys.readouterr().out
    assert "Ann" not in printed + json.dumps(receipt)
    # And an old event does not bring them back
    world.settle(created(name="Ann Bee"))
    assert "whop_user_id" not in world.row()


@pytest.mark.usefixtures("run")
def test_erasing_asks_first(world: World) -> None:
    world.settle(created(name="Ann Bee"))
    answer = CliRunner().invoke(cli.app, ["erase", "u1", "--stack", "any"], input="n\n")
    assert answer.exit_code == 1
    assert world.row()["status"] == "synced"
    assert CliRunner().invoke(cli.app, ["erase", "u1", "--stack", "any"], input="y\n").exit_code == 0
    assert world.row()["status"] == "deleted"


def test_a_user_of_whom_nothing_is_recorded_is_no_failure(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("erase", "u9", "--yes", "--json") == 0
    assert json.loads(capsys.readouterr().out)["is_known"] is False
    assert run("erase", "u9", "--yes") == 0
    assert "Whop" not in capsys.readouterr().out  # no heading above nothing


def test_a_released_whop_user_can_be_taken_by_another_user(run: Run, world: World, queue: StubQueue) -> None:
    """The platform never said that the first one is gone."""
    world.settle(created("u1", email="ann@shop.test"))
    world.clock.sleep(3700)
    with pytest.raises(Permanent, match="belongs to another"):
        world.handle(created("u2", 2, email="ann@shop.test"), age=3700)
    assert run("release", "u1", "--yes") == 0
    world.settle(*queue.sent)
    world.settle(created("u2", 3, email="ann@shop.test"))
    assert world.row("u2")["status"] == "synced"
