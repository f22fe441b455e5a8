"""What rows say against what Whop shows: drift is found, shown by ids and kinds only, and repaired, never set back."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from fake_whop import Fault
from harness import TITLE_FORMAT, World, aws_client, created, event
from local_stack.pictures import png
from whop_sync.aws.queues import Queue
from whop_sync.errors import Transient
from whop_sync.events import PROFILE_FIELDS, Kind, Standing, UserEvent
from whop_sync.users.mappings import Mappings
from whop_user_sync.reconciliation import Drift, Reconciliation

RED = png("ff0000")


@dataclass
class Operator:
    world: World
    url: str

    def __post_init__(self) -> None:
        world = self.world
        self.sqs = world.client("sqs")
        self.reconciliation = Reconciliation(
            whop=world.synchronization.profiles.whop,
            company=world.whop.company_id,
            mappings=world.synchronization.mappings,
            queue=Queue(self.sqs, self.url),
            title_format=None,
            sleep=world.clock.sleep,
        )

    def drifts(self, row: UserEvent) -> list[Drift]:
        return list(self.reconciliation.drifts(row))

    def kinds(self, row: UserEvent) -> list[tuple[str, bool]]:
        """Each drift with whether the file's row can repair it."""
        return [(drift.kind, drift.cure is not None) for drift in self.drifts(row)]

    def repair(self, row: UserEvent) -> list[bool]:
        return [self.reconciliation.repair(drift) for drift in self.drifts(row)]

    def sent(self) -> list[UserEvent]:
        found = self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages", [])
        for message in found:
            self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return [UserEvent.from_json(message["Body"]) for message in found]

    def change_on_whop(self, user_id: str = "u1", **changes: Any) -> None:
        """What another program does with the same key."""
        headers = {"Authorization": f"Bearer {self.world.api_key}", "Api-Version-Date": "2026-07-20"}
        whop_user_id = self.world.row(user_id)["whop_user_id"]
        url = f"{self.world.fake.api_url}/users/{whop_user_id}?account_id={self.world.whop.company_id}"
        self.world.http.patch(url, json=changes, headers=headers).raise_for_status()


@pytest.fixture
def operator(world: World) -> Iterator[Operator]:
    sqs = world.client("sqs")
    url = sqs.create_queue(QueueName=world.table)["QueueUrl"]
    yield Operator(world, url)
    sqs.delete_queue(QueueUrl=url)


def whole(world: World, version: int = 1, **more: Any) -> UserEvent:
    return created(version=version, **{"name": "Ann", "picture": world.pictures.url("ff0000"), **more})


def test_where_all_is_as_it_was_sent_there_is_no_drift(operator: Operator, world: World) -> None:
    row = whole(world)
    world.settle(row)
    assert operator.drifts(row) == []
    # Nor after a webhook, whose values the file does not know
    world.settle(event(version=5, name="Anna", picture=None))
    assert operator.drifts(row) == []
    world.settle(event(version=6, name=None))
    assert operator.drifts(row) == []
    # Nor for a name that Whop takes only a part of, in the file or not, nor for what is no picture
    world.settle(event(version=7, name="é" * 150, picture="/media/1.png"))
    assert operator.drifts(row) == []
    assert operator.drifts(created(version=1, name="é" * 150)) == []


@pytest.mark.parametrize("earlier", [True, False])
def test_a_picture_whose_address_expired_before_its_turn_came_is_found(
    operator: Operator, world: World, earlier: bool
) -> None:
    expired = world.pictures.origin + "/gone.png"
    world.settle(created(version=1, name="Ann", picture=world.pictures.url("ff0000") if earlier else None))
    world.settle(event(version=5, picture=expired))
    row = whole(world, version=1, picture=expired)
    assert operator.kinds(row) == [("picture_not_taken", True)]
    # Nor is it forgotten when the name changes, as long as Whop shows none
    world.settle(event(version=6, name="Anna"))
    assert (("picture_not_taken", True) in operator.kinds(row)) is not earlier
    # And a file with a fresh address puts it right
    world.settle(whole(world, version=9, name="Anna"))
    assert operator.drifts(whole(world, version=9, name="Anna")) == []
    assert world.shown() == ("Anna", RED)


def test_a_user_without_a_mapping_is_enrolled_if_the_file_has_an_email(operator: Operator, world: World) -> None:
    assert operator.kinds(created(name="Ann")) == [("not_enrolled", True)]
    assert operator.kinds(created(name="Ann", email=None)) == [("not_enrolled", False)]
    assert operator.repair(created(name="Ann")) == [True]
    world.settle(*operator.sent())
    assert world.shown()[0] == "Ann"


def test_a_row_of_the_file_that_is_newer_is_sent(operator: Operator, world: World) -> None:
    world.settle(whole(world))
    newer = created(version=9, name="Anna")
    assert operator.kinds(newer) == [("not_applied", True)]
    assert operator.repair(newer) == [True]
    world.settle(*operator.sent())
    assert world.shown() == ("Anna", RED)


def test_an_account_that_is_titled_otherwise_than_by_its_users_name_is_a_drift_without_a_repair(
    operator: Operator, world: World
) -> None:
    operator.reconciliation = replace(operator.reconciliation, title_format=TITLE_FORMAT)
    row = whole(world)
    world.settle(row)
    assert operator.drifts(row) == []
    # Given a name that was changed since the account was made
    world.settle(event(version=5, name="Anna"))
    # Then a file that knows the name that is right shows the title, and an older one has nothing to say
    assert operator.kinds(created(version=1, name="Anna")) == [("title_differs", False)]
    assert operator.drifts(row) == []
    # And where the key may not read accounts, the rest is compared
    operator.reconciliation = replace(operator.reconciliation, title_format=None)
    assert operator.drifts(created(version=1, name="Anna")) == []


@pytest.mark.parametrize("standing", ["suspended", "deleted"])
def test_a_standing_that_the_file_knows_better_is_a_drift_until_it_is_applied(
    operator: Operator, world: World, standing: Standing
) -> None:
    world.settle(whole(world))
    kind: Kind = "deleted" if standing == "deleted" else "created"
    row = event(version=9, kind=kind, standing=standing, email=None if standing == "deleted" else "")
    assert operator.kinds(row) == [("not_applied", True)]
    assert operator.repair(row) == [True]
    world.settle(*operator.sent())
    assert operator.kinds(row) == []
    # An older row says nothing against it
    assert operator.kinds(whole(world)) == []


def test_a_user_who_is_deleted_and_was_never_enrolled_is_no_drift(operator: Operator) -> None:
    assert operator.kinds(event(version=9, kind="deleted", standing="deleted", email=None)) == []


@pytest.mark.parametrize(
    ("sent", "changes", "kind"),
    [
        ({"name": "Ann"}, {"name": "Eve"}, "name_differs"),
        ({"name": "Ann"}, {"name": None}, "name_differs"),
        ({"name": None}, {"name": "Eve"}, "name_differs"),
        ({"name": "é" * 150}, {"name": "Eve"}, "name_differs"),
        ({"picture": "ff0000"}, {"profile_picture": None}, "picture_missing"),
    ],
)
def test_what_another_changed_on_whop_is_found_and_repaired(
    operator: Operator, world: World, sent: dict[str, Any], changes: dict[str, Any], kind: str
) -> None:
    # Given a user whose row came by webhook, and the same user in a file without a time
    sent = {name: world.pictures.url(value) if name == "picture" else value for name, value in sent.items()}
    world.settle(created(version=1, name="Ann"), event(version=7, **sent))
    before = world.shown()
    row = created(version=1, **sent)
    operator.change_on_whop(**changes)
    assert operator.kinds(row) == [(kind, True)]
    # When it is repaired
    assert operator.repair(row) == [True]
    cures = operator.sent()
    world.settle(*cures)
    # Then Whop shows what it was sent, the row is what it was, and there is nothing left to do
    assert world.shown() == before
    assert operator.drifts(row) == []
    assert {world.version(name) for name in PROFILE_FIELDS if name in sent} == {7}
    # And the cure sent twice, or an older event, changes nothing
    calls = world.operations()
    older: dict[str, Any] = dict.fromkeys(sent)
    world.settle(*cures, event(version=6, **older))
    assert world.operations() == calls


def test_a_picture_that_should_not_be_there_is_taken_away(operator: Operator, world: World) -> None:
    world.settle(created(name="Ann"), created("u2", name="Bea", picture=world.pictures.url("ff0000")))
    world.settle(event(version=7, picture=None))
    operator.change_on_whop(profile_picture={"id": world.row("u2")["avatar_file_id"]})
    row = created(version=1, picture=None)
    assert operator.kinds(row) == [("picture_left", True)]
    operator.repair(row)
    world.settle(*operator.sent())
    assert world.shown() == ("Ann", None)


def test_what_the_file_does_not_know_is_reported_and_left(operator: Operator, world: World) -> None:
    world.settle(whole(world), event(version=7, name="Anna"))
    operator.change_on_whop(name="Eve")
    assert operator.kinds(whole(world)) == [("name_differs", False)]
    assert operator.repair(whole(world)) == [False]
    assert operator.sent() == []


def test_a_change_during_the_repair_wins_in_every_order(operator: Operator, world: World) -> None:
    for newer_first in (True, False):
        user = "u1" if newer_first else "u2"
        world.settle(created(user, version=5, name="Ann"))
        operator.change_on_whop(user, name="Eve")
        assert operator.repair(created(user, version=1, name="Ann")) == [True]
        cures, newer = operator.sent(), event(user, version=6, name="Anna")
        older = event(user, version=4, name="Old")
        world.settle(older, *([newer, *cures] if newer_first else [*cures, newer]), older)
        assert world.shown(user)[0] == "Anna"


def test_a_repair_that_died_halfway_can_be_repeated(operator: Operator, world: World) -> None:
    world.settle(created(version=5, name="Ann"))
    operator.change_on_whop(name="Eve")
    row = created(version=1, name="Ann")
    [drift] = operator.drifts(row)
    assert drift.cure
    world.synchronization.mappings.allow_reapply("u1", "name", drift.cure.positions["name"])  # and dies
    assert operator.repair(row) == [True]
    world.settle(*operator.sent())
    assert world.shown()[0] == "Ann"


def test_a_row_that_has_moved_on_or_is_worked_on_is_left_alone(operator: Operator, world: World) -> None:
    world.settle(created(version=5, name="Ann"))
    operator.change_on_whop(name="Eve")
    [drift] = operator.drifts(created(version=1, name="Ann"))
    claim = world.synchronization.mappings.claim(event(version=6, name="Anna"), deadline=world.clock() + 120)
    assert claim
    assert operator.reconciliation.repair(drift) is False
    world.clock.sleep(200)
    world.settle(event(version=6, name="Anna"))
    assert operator.reconciliation.repair(drift) is False
    assert (world.shown()[0], operator.sent()) == ("Anna", [])


def test_a_user_whom_whop_does_not_know_any_more_is_reported(operator: Operator, world: World) -> None:
    world.settle(whole(world))
    world.fake.fault(Fault("GET /users/{id}", "error_null", status=404, times=None))
    assert operator.kinds(whole(world)) == [("gone", False)]


def test_a_rate_limit_is_waited_out_and_a_wrong_key_is_not(operator: Operator, world: World) -> None:
    row = whole(world)
    world.settle(row)
    world.fake.fault(Fault("GET /users/{id}", "rate_limited", delay=12))
    before = world.clock()
    assert operator.drifts(row) == []
    assert world.clock() - before == 12
    world.api_key = "apik_wrong"
    with pytest.raises(Transient, match="refused the API key"):
        operator.drifts(replace(row, version=2))


def test_only_what_the_row_still_stands_at_is_doubted(world: World) -> None:
    """The same name sent anew stands at another place: the old event sent again would change nothing, or too much."""
    first, again = created(version=1, name="Ann"), created(version=2, name="Ann")
    world.settle(first, again)
    mappings = world.synchronization.mappings
    assert not mappings.allow_reapply("u1", "name", first.positions["name"])
    assert not mappings.allow_reapply("u1", "name", created(version=2, name="Bea").positions["name"])
    assert "unsettled" not in world.row()
    assert mappings.allow_reapply("u1", "name", again.positions["name"])


def test_a_table_that_cannot_be_had_is_no_sign_that_a_row_moved_on(world: World) -> None:
    world.settle(created(name="Ann"))
    nowhere = Mappings(aws_client("http://127.0.0.1:1", "dynamodb"), world.table, world.clock)
    elsewhere = Mappings(world.dynamodb, "no-such-table", world.clock)
    for mappings in (nowhere, elsewhere):
        with pytest.raises(Transient) as caught:
            mappings.row("u1")
        assert caught.value.reason == "dynamodb_unavailable"
        with pytest.raises(Transient) as caught:
            mappings.allow_reapply("u1", "name", created(name="Ann").positions["name"])
        assert caught.value.reason == "dynamodb_unavailable"
