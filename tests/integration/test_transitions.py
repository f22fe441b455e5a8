"""What of a user's life gets into the queue of announcements, and when: against a real table and a real queue."""

from collections.abc import Iterator
from contextlib import suppress

import pytest

from harness import World, created, event
from harness.faults import PICTURE, Point
from local_stack.engine import Engine
from local_stack.pictures import png
from whop_sync.announcements import announcement_id
from whop_sync.batches.retries import RETRIES
from whop_sync.errors import AwaitsTurn, Permanent, Transient
from whop_sync.users.mappings import LEASE_SECONDS


@pytest.fixture
def world(engine: Engine) -> Iterator[World]:
    with World(engine, announces=True, call_timeout=5) as world:
        yield world


def test_an_enrollment_is_announced_before_the_profile_is_touched_and_costs_no_write_more(world: World) -> None:
    world.handle(created(name="Ann", picture=None))
    (announced,) = world.announced()
    row = world.row()
    assert (announced.type, announced.version, announced.user_id) == ("user.enrolled", 1, "u1")
    assert announced.id == announcement_id("u1", 1, "user.enrolled")
    assert announced.occurred_at == world.clock()
    assert announced.data == {"whop_user_id": row["whop_user_id"], "whop_company_id": row["whop_company_id"]}
    assert [point.call for point in world.wire.passed] == [
        "claim",
        world.create_call,
        "record account",
        "announce",
        "PATCH /users/{id}",
        "commit",
    ]
    assert (row["announced"], row["announced_state"]) == ("1", "enrolled")
    assert not {"unannounced", "lease_id"} & set(row)


def test_a_change_that_is_none_for_the_platform_costs_nothing_more(world: World) -> None:
    world.handle(created(name="Ann"))
    world.wire.reset()
    for _ in range(2):
        world.handle(event(version=2, name="Anna"))
    assert [point.call for point in world.wire.passed] == ["claim", "PATCH /users/{id}", "commit", "claim"]
    assert world.announced_types() == ["user.enrolled"]


def test_a_change_of_state_is_recorded_with_the_commit_then_sent_then_taken_out(world: World) -> None:
    world.handle(created(name="Ann"))
    world.wire.reset()
    world.handle(event(version=2, kind="suspended", email=None))
    assert [point.call for point in world.wire.passed] == ["claim", "commit", "announce", "release"]
    assert world.announced_types() == ["user.enrolled", "user.suspended"]
    assert not {"unannounced", "lease_id"} & set(world.row())


def test_a_whole_life_is_announced_in_the_order_of_its_versions(world: World) -> None:
    world.failure(created(version=1, email="u1@example.com", name="Ann"))  # which Whop refuses
    world.settle(
        event(version=2, name="Ann", picture=world.pictures.origin + "/gone.png"),
        event(version=3, kind="suspended", email=None),
        event(version=4, kind="restored", email=None),
        event(version=5, email="ann@new.test"),
        event(version=6, kind="deleted", email=None),
        created(version=7, name="Ann"),
    )
    announced = world.announced()
    assert [(each.version, each.type) for each in announced] == [
        (1, "user.enrollment_failed"),
        (2, "user.recovered"),
        (3, "picture.refused"),
        (4, "user.suspended"),
        (5, "user.restored"),
        (6, "user.email_differs"),
        (7, "user.deleted"),
        (8, "user.restored"),
    ]
    reasons = {each.type: each.data["reason"] for each in announced if "reason" in each.data}
    assert reasons == {"user.enrollment_failed": "whop_refused", "picture.refused": "picture_not_found"}
    assert announced[-1].data["whop_user_id"] == world.row()["whop_user_id"]
    for personal in ("Ann", "shop.test", "example.com", "new.test", world.pictures.origin):
        assert not [each for each in announced if personal in each.to_json()]


def test_a_suspended_user_who_enrolls_is_enrolled_and_suspended(world: World) -> None:
    world.handle(event(version=5, kind="suspended", email=None))
    assert world.announced() == []
    world.handle(created(version=1, name="Ann"))
    assert world.announced_types() == ["user.enrolled", "user.suspended"]


def test_an_event_that_waits_for_an_email_is_not_announced(world: World) -> None:
    bare = event(version=1, email=None, name="Ann")
    assert world.failure(bare).reason == "no_email"
    assert world.handle(bare, age=RETRIES.arrival_patience).outcome == "no_email"
    assert (world.announced(), "announced" in world.row()) == ([], False)


def test_a_second_failure_with_the_same_reason_is_not_announced(world: World) -> None:
    for version in (1, 2):
        assert isinstance(world.failure(created(version=version, email="u1@example.com")), Permanent)
    assert world.announced_types() == ["user.enrollment_failed"]


def test_a_picture_that_stood_in_the_body_is_refused_as_others_are(world: World) -> None:
    url = world.pictures.url("ff0000")
    world.settle(created(name="Ann", picture=url), *(event(version=number, picture="data:,") for number in (2, 3)))
    assert world.announced_types() == ["user.enrolled", "picture.refused"]
    assert world.announced()[-1].data["reason"] == world.row()["last_error"] == "picture_inline"
    assert world.shown() == ("Ann", png("ff0000"))


def test_a_picture_that_is_refused_beside_a_name_that_fails_is_announced_once(world: World) -> None:
    world.handle(created(name="Ann"))
    world.wire.reset()
    world.wire.planned = {Point(1, "PATCH /users/{id}", 1): "error_500_before"}
    world.settle(event(version=2, name="Anna", picture=world.pictures.origin + "/gone.png"))
    assert world.wire.met
    assert world.announced_types() == ["user.enrolled", "picture.refused"]
    assert world.shown()[0] == "Anna"


class TestGivenUp:
    """An event that is tried for days and then given up leaves a user without account behind: that is a failure."""

    @pytest.mark.parametrize("age", [RETRIES.patience - 1, RETRIES.patience + 1])
    def test_a_user_without_account_is_failed_once_the_event_is_given_up(self, world: World, age: float) -> None:
        world.wire.planned = {Point(1, "POST /companies", 1): "refused"}
        error = world.failure(created(name="Ann"), age=age)
        assert isinstance(error, Transient)
        is_given_up = RETRIES.gives_up(error, age)
        assert world.row()["status"] == ("failed" if is_given_up else "enrolling")
        assert world.announced_types() == (["user.enrollment_failed"] if is_given_up else [])

    def test_one_that_an_operator_sends_again_recovers(self, world: World) -> None:
        world.wire.planned = {Point(1, "POST /companies", 1): "refused"}
        world.failure(created(name="Ann"), age=RETRIES.patience + 1)
        world.settle(created(name="Ann"))
        assert world.announced_types() == ["user.enrollment_failed", "user.recovered"]
        assert world.row()["status"] == "synced"

    def test_a_user_with_an_account_stays_enrolled(self, world: World) -> None:
        world.handle(created(name="Ann"))
        world.wire.planned = {Point(2, "PATCH /users/{id}", 1): "refused"}
        world.failure(event(version=2, name="Anna"), age=RETRIES.patience + 1)
        assert world.row()["status"] == "synced"
        assert world.announced_types() == ["user.enrolled"]

    def test_a_mapping_that_may_be_recorded_is_no_failure(self, world: World) -> None:
        world.wire.planned = {Point(1, "record account", 1): "error_500_after"}
        assert world.failure(created(name="Ann"), age=RETRIES.patience + 1).reason == "dynamodb_unavailable"
        assert world.row()["status"] == "enrolling"
        world.settle(created(name="Ann"))
        assert {(each.version, each.type) for each in world.announced()} == {(1, "user.enrolled")}


class TestLeftOver:
    """What a worker recorded and could not send stays in the row, and whichever event comes next sends it first."""

    def test_an_event_that_is_stale_by_then_sends_it_under_the_same_id(self, world: World) -> None:
        world.handle(created(name="Ann"))
        gone = event(version=2, kind="suspended", email=None)
        world.wire.planned = {Point(2, "announce", 1): "refused"}
        assert world.failure(gone).reason == "sqs_unavailable"
        assert "unannounced" in world.row()
        assert "lease_id" not in world.row()
        assert world.handle(gone).outcome == "stale"
        assert world.announced_types() == ["user.enrolled", "user.suspended"]
        assert not {"unannounced", "lease_id", "unsettled", "enrollment_attempt"} & set(world.row())

    def test_it_is_kept_until_it_is_sent_however_often_the_queue_fails(self, world: World) -> None:
        world.handle(created(name="Ann"))
        gone, renamed = event(version=2, kind="suspended", email=None), event(version=3, name="Anna")
        world.wire.planned = {Point(delivery, "announce", 1): "refused" for delivery in (2, 3, 4)}
        for each in (gone, gone, renamed):
            assert world.failure(each).reason == "sqs_unavailable"
            assert "unannounced" in world.row()
            assert "lease_id" not in world.row()
        assert world.handle(renamed).outcome == "synced"
        assert world.announced_types() == ["user.enrolled", "user.suspended"]

    def test_a_worker_that_died_before_it_sent_keeps_no_event_from_waiting_for_its_lease(self, world: World) -> None:
        world.handle(created(name="Ann"))
        gone = event(version=2, kind="suspended", email=None)
        world.wire.planned = {Point(2, "announce", 1): "refused", Point(2, "release", 1): "refused"}
        world.failure(gone)
        error = world.failure(gone)
        assert (type(error), error.reason) == (AwaitsTurn, "busy")  # and not stale, after which no one would send it
        world.clock.sleep(LEASE_SECONDS + 1)
        assert world.handle(gone).outcome == "stale"
        assert world.announced_types() == ["user.enrolled", "user.suspended"]

    def test_it_is_sent_ahead_of_what_the_next_event_announces(self, world: World) -> None:
        world.handle(created(name="Ann"))
        world.wire.planned = {Point(2, "announce", 1): "refused"}
        world.failure(event(version=2, kind="suspended", email=None))
        world.wire.reset()
        world.handle(event(version=3, kind="restored", email=None))
        assert [point.call for point in world.wire.passed] == ["claim", "announce", "commit", "announce", "release"]
        assert world.announced_types() == ["user.enrolled", "user.suspended", "user.restored"]

    def test_an_enrollment_goes_on_although_the_queue_fails_and_is_announced_after_it(self, world: World) -> None:
        world.wire.planned = {Point(1, "announce", 1): "refused"}
        assert world.handle(created(name="Ann")).outcome == "enrolled"
        assert world.shown()[0] == "Ann"
        assert world.announced_types() == ["user.enrolled"]

    def test_it_is_dropped_once_nothing_is_announced_any_longer(self, world: World) -> None:
        world.handle(created(name="Ann"))
        world.wire.planned = {Point(2, "announce", 1): "refused"}
        world.failure(event(version=2, kind="suspended", email=None))
        world.announces, world.announcements_url, url = False, None, world.announcements_url
        world.synchronization = world.assembled()
        world.handle(event(version=2, kind="suspended", email=None))
        world.announcements_url = url
        assert world.announced_types() == ["user.enrolled"]
        assert "unannounced" not in world.row()


class TestSwitchedOnLater:
    @pytest.fixture
    def known(self, world: World) -> World:
        """A user who was enrolled while nothing was announced."""
        url, world.announcements_url = world.announcements_url, None
        world.synchronization = world.assembled()
        world.handle(created(name="Ann"))
        assert not {"announced", "announced_state", "unannounced"} & set(world.row())
        world.announcements_url = url
        world.synchronization = world.assembled()
        return world

    def test_a_user_from_before_is_not_announced(self, known: World) -> None:
        known.settle(event(version=2, name="Anna"), created(version=1, name="Ann"))
        assert (known.announced(), "announced" in known.row()) == ([], False)

    def test_what_changes_from_then_on_is(self, known: World) -> None:
        known.handle(event(version=2, kind="suspended", email=None))
        assert [(each.version, each.type) for each in known.announced()] == [(1, "user.suspended")]

    def test_what_changed_while_it_was_off_is_announced_once_it_is_on_again(self, world: World) -> None:
        world.handle(created(name="Ann"))
        url, world.announcements_url = world.announcements_url, None
        world.synchronization = world.assembled()
        world.handle(event(version=2, kind="deleted", email=None))
        world.announcements_url = url
        world.synchronization = world.assembled()
        world.handle(event(version=3, name="Anna"), age=RETRIES.arrival_patience)
        assert [(each.version, each.type) for each in world.announced()] == [(1, "user.enrolled"), (2, "user.deleted")]
        world.handle(event(version=4, name="Anna"), age=RETRIES.arrival_patience)
        assert world.row()["announced"] == "2"


def test_an_erased_user_who_comes_back_is_announced_under_higher_versions(world: World) -> None:
    world.handle(created(name="Ann"))
    world.wire.planned = {Point(2, "announce", 1): "refused"}
    world.failure(event(version=2, kind="suspended", email=None))
    erased = event("u1", 10, kind="deleted", email=None)
    claim = world.claim(erased)
    world.synchronization.mappings.erase(claim, erased, claim.row.account)
    row = world.row()
    assert row["announced"] == "2"
    assert not {"unannounced", "announced_state", "announced_reason"} & set(row)
    world.settle(created(version=11, name="Ann"))
    assert world.announced()[-1].version == 3


def test_a_deletion_is_announced_once_it_is_done_and_not_when_it_is_noted(world: World) -> None:
    world.settle(created(version=1, name="Ann"), event(version=12, name="Anna"))
    gone = event(version=6, kind="deleted", email=None)
    assert world.failure(gone).reason == "user_deleted"  # a newer change waits for a return
    assert (world.row()["standing"], world.announced_types()) == ("deleted", ["user.enrolled"])
    with suppress(AwaitsTurn):
        world.handle(gone, age=RETRIES.arrival_patience)
    assert world.announced_types() == ["user.enrolled", "user.deleted"]
    assert not {"unannounced", "lease_id"} & set(world.row())


def test_a_picture_whose_host_is_down_is_announced_when_it_is_given_up(world: World) -> None:
    world.handle(created(name="Ann"))
    world.wire.reset()
    world.wire.planned = {Point(number, PICTURE, 1): "connection_reset" for number in range(1, 60)}
    world.settle(event(version=2, picture=world.pictures.url("ff0000")))
    (refused,) = [each for each in world.announced() if each.type == "picture.refused"]
    assert refused.data["reason"] == "picture_unavailable"
