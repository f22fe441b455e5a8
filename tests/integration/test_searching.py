"""The search for an account that a lost create may have made: where it starts, how long it waits, where it goes on."""

from contextlib import suppress
from dataclasses import replace

import pytest

from fake_whop import Fault
from harness import World, created, event
from harness.faults import Meanwhile, Point
from whop_sync.batches.retries import RETRIES
from whop_sync.errors import AwaitsTurn, Permanent, Transient
from whop_sync.syncing.deadlines import Deadline
from whop_sync.syncing.enrollment import CLOCK_GRAIN_SECONDS, CLOCK_SKEW_SECONDS, ORPHAN_WAIT_SECONDS, NotLocated
from whop_sync.users.mappings import LEASE_SECONDS
from whop_sync.whop.client import CALL_SECONDS, PAGE_SIZE

both_generations = pytest.mark.parametrize("enrollment", ["companies", "accounts"])


class Death(BaseException):
    """Ends a worker on the spot."""


def die() -> None:
    raise Death


def accounts_of(world: World, user_id: str = "u1") -> int:
    return sum((company.metadata or {}).get("internal_user_id") == user_id for company in world.fake.companies())


def dies(world: World, change: object, call: str, when: object) -> None:
    """Handles an event with a worker that dies before or after its first call of that name."""
    point = Point(world.wire.delivery + 1, call, 1)
    world.wire.planned = {point: Meanwhile(when, die)}  # type: ignore[arg-type]
    with suppress(Death, Transient):
        world.handle(change)  # type: ignore[arg-type]
    assert point in world.wire.met


@pytest.mark.parametrize("enrollment", ["accounts"])
class TestTheNewerCall:
    def test_the_newest_event_is_not_parked_while_the_list_may_still_show_the_account(self, world: World) -> None:
        """The create's answer is lost, another e-mail waits for the list, and the newest event comes meanwhile."""
        world.fake.switches.list_lag = 30
        world.fake.fault(Fault("POST /accounts", "error_500_after"))
        world.failure(created(version=1, email="old@shop.test", name="Ann"))
        second, third = (event(version=n, email="new@shop.test", name=name) for n, name in ((2, "Anna"), (3, "Anne")))
        assert world.failure(second).reason == "orphan_not_listed"
        world.clock.sleep(2)
        error = world.failure(third)
        assert (type(error), error.reason) == (AwaitsTurn, "orphan_not_listed")
        world.settle(third, second)
        assert (accounts_of(world), world.shown()[0]) == (1, "Anne")
        assert world.row()["email_differs"]

    def test_a_worker_that_died_before_its_create_leaves_nothing_to_look_for(self, world: World) -> None:
        dies(world, created(name="Ann"), "POST /accounts", "before")
        world.clock.sleep(LEASE_SECONDS + 1)
        world.settle(created(name="Ann"))
        assert "GET /accounts" not in world.operations()
        assert accounts_of(world) == 1


@both_generations
class TestAnIdThatIsBrought:
    """A user who comes by Whop sign-in while an earlier create may have made them an account."""

    @pytest.mark.parametrize("lost", ["error_500_after", "timeout_after"])
    def test_the_account_is_found_first_and_the_difference_noted(self, world: World, lost: str) -> None:
        world.fake.switches.list_lag = 20
        world.fake.fault(Fault(world.create_call, lost))  # type: ignore[arg-type]
        world.failure(created(version=1, name="Ann"))
        known = world.fake.add_user(email="ann@home.test", member_of=world.whop.company_id)
        (result,) = world.settle(event(version=2, whop_user_id=known.id, name="Anna"))
        assert not isinstance(result, Permanent)
        assert result.outcome == "adopted"
        (account,) = world.fake.companies()
        assert world.row()["whop_user_id"] == account.owner_id
        assert world.row()["sign_in_differs"]
        assert world.shown()[0] == "Anna"

    def test_also_after_the_mapping_could_not_be_written(self, world: World) -> None:
        world.wire.planned = {Point(1, "record account", 1): "refused"}
        world.failure(event(version=2, name="Anna"))
        known = world.fake.add_user(email="ann@home.test", member_of=world.whop.company_id)
        world.settle(created(version=1, whop_user_id=known.id, name="Ann"))
        (account,) = world.fake.companies()
        assert world.row()["whop_user_id"] == account.owner_id

    def test_where_no_account_was_made_the_id_is_mapped(self, world: World) -> None:
        world.fake.fault(Fault(world.create_call, "error_500_before"))
        world.failure(created(version=1, name="Ann"))
        known = world.fake.add_user(email="ann@home.test", member_of=world.whop.company_id)
        world.settle(event(version=2, whop_user_id=known.id, name="Anna"))
        assert world.row()["whop_user_id"] == known.id
        assert world.fake.companies() == []
        # And the e-mail that comes later changes nothing
        world.settle(event(version=3, name="Anne"))
        assert (world.row()["whop_user_id"], world.shown()[0]) == (known.id, "Anne")
        assert not {"sign_in_differs", "email_differs"} & set(world.row())


class TestTheStartOfTheSearch:
    def test_a_worker_that_paused_inside_the_create_still_finds_its_account(self, world: World) -> None:
        """The account is made, then the worker sleeps for longer than the clocks may differ, and gets no answer."""
        pause = CLOCK_SKEW_SECONDS + 100
        slow = Meanwhile("after", lambda: world.clock.sleep(pause))
        world.wire.planned = {Point(1, "POST /companies", 1): slow}
        world.fake.fault(Fault("POST /companies", "error_500_after"))
        with suppress(Transient):
            world.synchronization.handle(created(name="Ann"), age=0, deadline=world.clock() + 10_000)
        world.settle(event(version=2, name="Anna"))
        assert accounts_of(world) == 1

    def test_it_stays_where_the_first_worker_noted_it(self, world: World) -> None:
        """One worker makes the account and dies, the next dies at once, the third has to look for an old account."""
        dies(world, created(name="Ann"), "POST /companies", "after")
        for _ in range(2):
            world.clock.sleep(CLOCK_SKEW_SECONDS + LEASE_SECONDS)
            world.claim(event(version=2, name="Anna"))  # and dies
        world.clock.sleep(CLOCK_SKEW_SECONDS + LEASE_SECONDS)
        world.settle(event(version=2, name="Anna"))
        assert accounts_of(world) == 1


class TestTheWait:
    def test_it_goes_by_whops_clock_and_not_by_the_workers(self, world: World) -> None:
        """A worker whose clock is behind makes the account; one whose clock is ahead looks for it too early."""
        world.fake.switches.list_lag = 60
        world.fake.fault(Fault("POST /companies", "error_500_after"))
        slow = Meanwhile("before", lambda: world.clock.sleep(10))
        world.wire.planned = {Point(1, "POST /companies", 1): slow}
        world.failure(created(name="Ann"))
        assert float(world.row()["enrollment_wait_from"]) >= world.clock() - CLOCK_GRAIN_SECONDS
        row = {"key": {"S": "user#u1"}}
        behind = {":at": {"N": str(world.clock() - 70)}}
        world.dynamodb.update_item(
            TableName=world.table,
            Key=row,
            UpdateExpression="SET enrollment_started_at = :at",
            ExpressionAttributeValues=behind,
        )
        world.clock.sleep(51)
        right = world.synchronization
        ahead = replace(right.enrollment, clock=lambda: world.clock() + 70)
        world.synchronization = replace(right, enrollment=ahead)
        error = world.failure(event(version=2, name="Anna"))
        world.synchronization = right
        assert error.reason == "orphan_not_listed"
        world.settle(event(version=2, name="Anna"))
        assert accounts_of(world) == 1

    def test_a_second_create_whose_worker_died_is_waited_for_too(self, world: World) -> None:
        """The next worker's clock is ahead, so it takes the lease over before the list shows what the second create
        made. Nothing but the note before that create says that the wait began anew."""
        world.fake.fault(Fault("POST /companies", "error_500_before"))
        world.failure(created(name="Ann"))
        world.clock.sleep(ORPHAN_WAIT_SECONDS + 5)
        world.fake.switches.list_lag = ORPHAN_WAIT_SECONDS - 1
        dies(world, created(name="Ann"), "POST /companies", "after")
        assert accounts_of(world) == 1
        world.dynamodb.update_item(
            TableName=world.table,
            Key={"key": {"S": "user#u1"}},
            UpdateExpression="SET lease_until = :until",
            ExpressionAttributeValues={":until": {"N": str(world.clock() + LEASE_SECONDS - 70)}},
        )
        world.clock.sleep(LEASE_SECONDS - 69)
        assert world.failure(event(version=2, name="Anna")).reason == "orphan_not_listed"
        world.settle(event(version=2, name="Anna"))
        assert accounts_of(world) == 1


class TestTheCursor:
    def test_a_search_that_no_delivery_can_finish_ends_all_the_same(self, world: World) -> None:
        """Given a worker that died before its create, and more accounts since than one delivery can read."""
        dies(world, created(name="Ann"), "POST /companies", "before")
        world.clock.sleep(LEASE_SECONDS + 1)
        headers = {"Authorization": f"Bearer {world.api_key}", "Api-Version-Date": "2026-08-21-1"}
        for number in range(PAGE_SIZE * 4):
            other = {"title": f"o{number}", "email": f"o{number}@x.test", "parent_company_id": world.whop.company_id}
            world.http.post(f"{world.fake.api_url}/companies", json=other, headers=headers).raise_for_status()
        world.clock.sleep(ORPHAN_WAIT_SECONDS * 2)
        before = len(world.operations())

        # When each delivery has time for one page
        for page in range(1, 5):
            slow = Meanwhile("after", lambda: world.clock.sleep(10))
            world.wire.planned = {Point(world.wire.delivery + 1, "GET /companies", 1): slow}
            world.wire.begin_delivery()
            deadline = world.clock() + CALL_SECONDS + 5
            with suppress(Transient):
                world.synchronization.handle(created(name="Ann"), age=0, deadline=deadline)
            assert len(world.operations()) == before + page
        # Then the fourth has come to the end, and once the list had its time, the user is enrolled by few calls
        world.settle(created(name="Ann"))
        assert accounts_of(world) == 1
        assert len(world.fake.calls_to("GET /companies")) <= 4 + 2

    def test_a_search_in_full_leaves_only_younger_accounts_to_the_next(self, world: World) -> None:
        dies(world, created(name="Ann"), "POST /companies", "before")
        world.clock.sleep(LEASE_SECONDS + 1)
        assert world.failure(created(name="Ann")).reason == "orphan_not_listed"
        world.settle(created(name="Ann"))
        first, *later = (call.query for call in world.fake.calls_to("GET /companies"))
        assert first not in later
        assert accounts_of(world) == 1


class TestTitles:
    @pytest.mark.parametrize("enrollment", ["companies"])
    @pytest.mark.parametrize(("limit", "title"), [(60, "Annabella Annabella (u1)"), (100, None), (10, "u1")])
    def test_one_that_is_too_long_for_whop_is_shortened(self, world: World, limit: int, title: str | None) -> None:
        world.fake.switches.title_limit = limit
        name = ("Annabella " * 10)[:95]
        assert world.handle(created(name=name)).outcome == "enrolled"
        (account,) = world.fake.companies()
        assert account.title == (title or f"{name} (u1)")
        assert world.shown()[0] == name.rstrip()

    def test_it_is_shortened_also_after_a_refusal_that_cannot_be_read(self, world: World) -> None:
        world.fake.switches.title_limit = 10
        world.fake.fault(Fault("POST /companies", "truncated_json"))
        assert world.handle(created(name="Annabella " * 9)).outcome == "enrolled"

    def test_a_refusal_of_something_else_is_not_tried_with_other_titles(self, world: World) -> None:
        world.failure(created(email="ann@example.com", name="Annabella " * 9))
        assert world.operations() == ["POST /companies"]

    def test_an_id_that_is_too_long_itself_is_refused(self, world: World) -> None:
        world.fake.switches.title_limit = 10
        error = world.failure(created("u" * 20, name="Ann"))
        assert (type(error), error.reason) == (Permanent, "whop_refused")


class TestEmails:
    @both_generations
    def test_another_email_is_flagged_once_and_never_stored(self, world: World) -> None:
        world.handle(created(version=1, email="old@shop.test", name="Ann"))
        assert "email_differs" not in world.row()
        results = [world.handle(event(version=n, email="new@shop.test", name="Ann")) for n in (2, 3)]
        assert [result.email_differs for result in results] == [True, False]
        assert world.row()["email_differs"]
        assert world.handle(event(version=1, email="older@shop.test")).outcome == "stale"
        assert "shop.test" not in str(world.row())
        world.handle(event(version=4, email="OLD@shop.test", name="Ann"))
        assert "email_differs" not in world.row()

    @both_generations
    def test_the_first_one_is_known_although_the_answer_of_the_mapping_was_lost(self, world: World) -> None:
        world.wire.planned = {Point(1, "record account", 1): "connection_reset_after"}
        world.failure(created(version=1, email="old@shop.test", name="Ann"))
        world.clock.sleep(LEASE_SECONDS + 1)
        world.handle(event(version=2, email="new@shop.test", name="Ann"))
        assert world.row()["email_differs"]

    def test_the_same_address_of_two_users_has_two_hashes(self, world: World) -> None:
        world.handle(created("u1", email="a@shop.test", name="Ann"))
        world.failure(created("u2", email="a@shop.test", name="Bob"))
        assert world.row("u1")["enrolled_email"] != world.row("u2").get("enrolled_email")

    def test_an_account_from_before_is_taken_to_have_the_first_email_that_comes(self, world: World) -> None:
        world.handle(created(version=1, name="Ann"))
        world.dynamodb.update_item(
            TableName=world.table,
            Key={"key": {"S": "user#u1"}},
            UpdateExpression="REMOVE enrolled_email, email_position",
        )
        world.handle(event(version=2, email="one@shop.test", name="Ann"))
        assert "email_differs" not in world.row()
        world.handle(event(version=3, email="two@shop.test", name="Ann"))
        assert world.row()["email_differs"]


@both_generations
class TestBareEvents:
    """Events without name or picture."""

    @pytest.mark.parametrize("kind", ["created", "updated"])
    @pytest.mark.parametrize("fault", ["connection_reset_after", "error_500_after"])
    @pytest.mark.parametrize("call", ["record account", "commit"])
    def test_a_row_whose_mapping_was_written_unanswered_becomes_synced(
        self, world: World, kind: str, fault: str, call: str
    ) -> None:
        bare = event(kind=kind)  # type: ignore[arg-type]
        world.wire.planned = {Point(1, call, 1): fault}
        world.failure(bare)
        world.clock.sleep(LEASE_SECONDS + 1)
        world.settle(bare)
        row = world.row()
        assert row["status"] == "synced"
        assert not {"last_error", "lease_id", "enrollment_attempt"} & set(row)

    @pytest.mark.parametrize("fault", ["connection_reset_after", "error_500_after"])
    @pytest.mark.parametrize("before", ["deleted", "failed"])
    def test_a_return_whose_mapping_was_written_unanswered_becomes_synced(
        self, world: World, before: str, fault: str
    ) -> None:
        """All that it says is recorded by then, so it brings nothing new when it comes again."""
        world.settle(created(version=1, email="a@shop.test"), event(version=2, kind="deleted", email=None))
        back = event(version=5, kind="restored", email=None)
        if before == "failed":
            world.handle(created("u2", version=3, email="a@shop.test"))
            world.failure(back, age=2 * RETRIES.arrival_patience)
            world.handle(event("u2", version=4, kind="deleted", email=None))
        assert world.row()["status"] == before
        world.wire.reset()
        world.wire.planned = {Point(1, "record account", 1): fault}
        world.failure(back)
        world.clock.sleep(LEASE_SECONDS + 1)
        world.settle(back)
        row = world.row()
        assert (row["status"], row["standing"]) == ("synced", "active")
        assert not {"last_error", "lease_id", "enrollment_attempt"} & set(row)

    def test_an_old_sign_up_of_a_suspended_user_whose_worker_died_becomes_synced(self, world: World) -> None:
        """It enrolls them although it says nothing new: all of it was cleared by a deletion that is over."""
        old = created(version=2)
        world.settle(event(version=3, kind="deleted", email=None), event(version=4, kind="suspended", email=None))
        dies(world, old, "record account", "after")
        world.clock.sleep(LEASE_SECONDS + 1)
        world.settle(old)
        row = world.row()
        assert (row["status"], row["standing"]) == ("synced", "suspended")
        assert not {"lease_id", "enrollment_attempt"} & set(row)

    def test_one_that_waits_is_not_stale_while_another_worker_has_its_user(self, world: World) -> None:
        bare = created(email=None)
        assert world.failure(bare).reason == "no_email"
        world.claim(event(version=2))
        assert world.failure(bare).reason == "busy"


class TestRowsOfAnEarlierVersion:
    def test_what_they_say_is_understood(self, world: World) -> None:
        world.handle(created(version=5, name="Ann", picture=None))
        position = world.position("name")
        assert position
        world.dynamodb.update_item(
            TableName=world.table,
            Key={"key": {"S": "user#u1"}},
            UpdateExpression=(
                "SET name_version = :version, name_fingerprint = :fingerprint"
                " REMOVE name_position, picture_position, standing_position, email_position, standing, enrolled_email"
            ),
            ExpressionAttributeValues={
                ":version": {"N": "5"},
                ":fingerprint": {"S": f"updated:{position.content}"},
            },
        )
        before = world.operations()
        world.handle(event(version=4, name="Old"))
        assert (world.operations(), world.version("name")) == (before, 5)
        world.handle(event(version=6, name="Anna"))
        assert world.shown()[0] == "Anna"
        assert not {"name_version", "name_fingerprint"} & set(world.row())

    def test_an_attempt_that_they_left_open_is_looked_for(self, world: World) -> None:
        world.fake.fault(Fault("POST /companies", "error_500_after"))
        world.failure(created(version=1, name="Ann"))
        world.dynamodb.update_item(
            TableName=world.table,
            Key={"key": {"S": "user#u1"}},
            UpdateExpression="REMOVE enrollment_wait_from, enrollment_repeatable, standing_position, email_position",
        )
        world.settle(event(version=2, name="Anna"))
        assert accounts_of(world) == 1


def test_a_claim_whose_deadline_has_come_looks_for_nothing(world: World) -> None:
    claim = world.claim(created(name="Ann"))
    found = world.synchronization.enrollment.locate(
        created(name="Ann"), claim, Deadline(at=world.clock(), clock=world.clock)
    )
    assert isinstance(found, NotLocated)
    assert found.error.reason == "out_of_time"
