"""One event after another, from the queue to what Whop shows, against a fake Whop and a real table."""

import itertools
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from fake_whop import Fault, FaultKind
from harness import World, created, event
from harness.faults import PICTURE, Answer, Meanwhile, Point
from local_stack.pictures import png
from whop_sync.accounts import Account
from whop_sync.batches.retries import RETRIES
from whop_sync.errors import AwaitsTurn, Permanent, SyncError, Transient
from whop_sync.events import Kind
from whop_sync.pictures.errors import PictureRefused, PictureUnavailable
from whop_sync.pictures.fetching import PictureFetcher
from whop_sync.syncing.deadlines import Deadline
from whop_sync.syncing.enrollment import ORPHAN_WAIT_SECONDS
from whop_sync.users.mappings import LEASE_SECONDS
from whop_sync.users.writes import Progress
from whop_sync.whop.client import CALL_SECONDS, PAGE_SIZE

PICTURE_PATIENCE_SECONDS = RETRIES.picture_patience

RED, BLUE = png("ff0000"), png("0000ff")


both_generations = pytest.mark.parametrize("enrollment", ["companies", "accounts"])


def deadline(world: World, at: float = float("inf")) -> Deadline:
    return Deadline(at=at, clock=world.clock)


def accounts_of(world: World, user_id: str = "u1") -> int:
    return sum((company.metadata or {}).get("internal_user_id") == user_id for company in world.fake.companies())


def calls_of(world: World) -> list[str]:
    """All calls to the outside, in their order."""
    return [point.call for point in world.wire.passed]


@both_generations
class TestEnrollment:
    def test_a_new_user_gets_one_account_and_their_profile(self, world: World) -> None:
        result = world.handle(created(name="Ann Bee", picture=world.pictures.url("ff0000")))

        assert result.outcome == "enrolled"
        (company,) = world.fake.companies()
        assert (company.title, company.email) == ("Ann Bee (u1)", "u1@shop.test")
        row = world.row()
        assert (row["whop_user_id"], row["whop_company_id"], row["status"]) == (company.owner_id, company.id, "synced")
        assert world.shown() == ("Ann Bee", RED)
        # And nothing is left of the way there
        assert not {"lease_id", "enrollment_attempt", "unsettled", "last_error", "picture_unavailable_since"} & set(row)

    def test_the_row_holds_nothing_personal(self, world: World) -> None:
        world.handle(created(name="Ann Bee", picture=world.pictures.url("ff0000")))
        kept = str(world.row())
        for personal in ("Ann", "shop.test", world.pictures.origin):
            assert personal not in kept

    def test_an_event_sent_twice_changes_nothing_and_asks_whop_nothing(self, world: World) -> None:
        first = created(name="Ann")
        world.handle(first)
        before = world.operations()
        assert world.handle(first).outcome == "stale"
        assert world.operations() == before

    def test_first_sight_without_a_picture_takes_two_calls(self, world: World) -> None:
        world.handle(created(name="Ann", picture=None))
        assert world.operations() == [world.create_call, "PATCH /users/{id}"]

    def test_two_users_of_one_name_get_an_account_each(self, world: World) -> None:
        world.settle(created("u1", name="Jane Doe"), created("u2", name="Jane Doe"))
        assert (accounts_of(world, "u1"), accounts_of(world, "u2")) == (1, 1)
        assert world.row("u1")["whop_user_id"] != world.row("u2")["whop_user_id"]

    def test_an_update_before_the_create_enrolls_with_the_newer_profile(self, world: World) -> None:
        assert world.handle(event(version=2, name="Anna")).outcome == "enrolled"
        world.handle(created(version=1, name="Ann"))
        assert world.handle(created(version=1, name="Ann")).outcome == "stale"
        assert accounts_of(world) == 1
        assert world.shown()[0] == "Anna"

    def test_an_update_without_email_waits_for_the_event_that_brings_one(self, world: World) -> None:
        early = event(version=2, email=None, name="Anna")
        error = world.failure(early)
        assert (type(error), error.reason) == (AwaitsTurn, "no_email")
        assert world.operations() == []

        world.handle(created(version=1, name="Ann"))
        assert world.handle(early).outcome == "synced"
        assert world.shown()[0] == "Anna"

    @pytest.mark.parametrize("kind", ["created", "updated"])
    def test_without_an_email_a_user_waits_for_an_hour_and_has_not_failed(self, world: World, kind: Kind) -> None:
        bare = event(version=1, kind=kind, email=None, name="Ann")
        error = world.failure(bare, age=RETRIES.arrival_patience - 1)
        assert (type(error), error.reason) == (AwaitsTurn, "no_email")
        assert world.handle(bare, age=RETRIES.arrival_patience).outcome == "no_email"
        assert world.row()["status"] == "no_email"
        assert "last_error" not in world.row()
        assert world.operations() == []

        world.handle(event(version=2, picture=None))
        assert (accounts_of(world), world.row()["status"]) == (1, "synced")

    def test_the_name_of_an_event_without_email_is_shown_whichever_comes_first(self, world: World) -> None:
        for user, order in {"u1": (0, 1), "u2": (1, 0)}.items():
            both = (created(user, version=1, email=None, name="Ann"), event(user, version=2))
            first, second = (both[each] for each in order)
            for each in (first, second, first):
                with suppress(AwaitsTurn):
                    world.handle(each)
            assert (accounts_of(world, user), world.shown(user)[0]) == (1, "Ann")

    def test_two_users_of_one_email_never_share_a_chat_identity(self, world: World) -> None:
        world.handle(created("u1", email="shared@shop.test", name="Ann"))
        second = created("u2", email="shared@shop.test", name="Bob")
        error = world.failure(second)
        assert (type(error), error.reason) == (AwaitsTurn, "whop_user_taken")
        error = world.failure(second, age=RETRIES.arrival_patience)
        assert (type(error), error.reason) == (Permanent, "whop_user_taken")
        assert world.row("u2")["status"] == "failed"
        assert world.shown("u1")[0] == "Ann"
        again = world.settle(event("u2", version=2, email="shared@shop.test", name="Rob"))
        assert isinstance(again[0], Permanent)
        assert world.shown("u1")[0] == "Ann"
        assert accounts_of(world, "u2") == 1

    def test_a_user_who_came_by_whop_sign_in_is_mapped_and_never_enrolled(self, world: World) -> None:
        known = world.fake.add_user(email="ann@home.test", name="Global Ann", member_of=world.whop.company_id)
        result = world.handle(created(whop_user_id=known.id, name="Ann"))

        assert result.outcome == "mapped"
        assert world.fake.companies() == []
        assert world.row()["whop_user_id"] == known.id
        assert world.shown()[0] == "Ann"
        assert world.whop.user_everywhere_else(known.id)["name"] == "Global Ann"

    def test_a_whop_user_that_whop_does_not_know_is_refused(self, world: World) -> None:
        error = world.failure(created(whop_user_id="user_unknown", name="Ann"))
        assert (type(error), error.reason) == (Permanent, "whop_not_found")
        assert "whop_user_id" not in world.row()

    def test_a_mapping_is_never_moved_to_another_whop_user_and_the_profile_goes_on(self, world: World) -> None:
        world.handle(created(name="Ann"))
        mapped = world.row()["whop_user_id"]
        other = world.fake.add_user(email="x@home.test", member_of=world.whop.company_id)
        assert world.handle(event(version=2, whop_user_id=other.id, name="Anna")).outcome == "synced"
        assert (world.row()["whop_user_id"], world.row()["sign_in_differs"]) == (mapped, True)
        assert world.shown()[0] == "Anna"
        world.handle(event(version=3, name="Anne"))
        assert world.row()["sign_in_differs"]
        world.handle(event(version=4, whop_user_id=mapped, name="Anne"))
        assert "sign_in_differs" not in world.row()

    def test_an_email_that_whop_refuses_is_refused_for_good_and_a_better_one_is_accepted(self, world: World) -> None:
        error = world.failure(created(email="ann@example.com", name="Ann"))
        assert isinstance(error, Permanent)
        assert error.answer
        assert error.answer.status == 400
        assert "email" in (error.answer.message or "")

        assert world.handle(event(version=2, name="Ann")).outcome == "enrolled"


class TestOrphans:
    """A create whose answer is lost may have made an account that the row does not know of."""

    @pytest.mark.parametrize("kind", ["timeout_after", "error_500_after", "truncated_json"])
    def test_a_lost_answer_leads_to_adoption_and_never_to_a_second_account(self, world: World, kind: str) -> None:
        world.fake.fault(Fault("POST /companies", kind))  # type: ignore[arg-type]
        (result,) = world.settle(created(name="Ann"))

        assert not isinstance(result, Permanent)
        assert result.outcome == "adopted"
        assert accounts_of(world) == 1
        assert world.shown()[0] == "Ann"

    @pytest.mark.parametrize("kind", ["timeout_before", "error_500_before", "connection_reset"])
    def test_a_create_that_never_happened_is_made_after_the_list_had_its_time(self, world: World, kind: str) -> None:
        world.fake.fault(Fault("POST /companies", kind))  # type: ignore[arg-type]
        started = world.clock()
        (result,) = world.settle(created(name="Ann"))

        assert not isinstance(result, Permanent)
        assert result.outcome == "enrolled"
        assert accounts_of(world) == 1
        assert world.clock() - started >= ORPHAN_WAIT_SECONDS

    def test_an_orphan_is_adopted_although_the_name_has_changed_since(self, world: World) -> None:
        world.fake.fault(Fault("POST /companies", "timeout_after"))
        world.failure(created(version=1, name="Ann"))
        world.settle(event(version=2, name="Anna"), created(version=1, name="Ann"))
        assert accounts_of(world) == 1
        assert world.shown()[0] == "Anna"

    def test_a_list_that_lags_behind_the_create_still_shows_the_orphan_in_time(self, world: World) -> None:
        world.fake.switches.list_lag = ORPHAN_WAIT_SECONDS - 20
        world.fake.fault(Fault("POST /companies", "timeout_after"))
        world.failure(created(version=1, name="Ann"))
        world.settle(event(version=2, name="Anna"))  # another title, so only the list shows it
        assert accounts_of(world) == 1

    def test_a_list_gets_its_time_also_after_a_create_that_took_long(self, world: World) -> None:
        world.fake.switches.list_lag = ORPHAN_WAIT_SECONDS - 20
        slow = Meanwhile("before", lambda: world.clock.sleep(44))
        world.wire.planned = {Point(1, "POST /companies", 1): slow}
        world.fake.fault(Fault("POST /companies", "error_500_after"))
        world.failure(created(name="Ann"))
        results = world.settle(event(version=2, name="Anna"))
        assert not [result for result in results if isinstance(result, Permanent)]
        assert accounts_of(world) == 1

    def test_after_a_title_that_was_taken_a_lost_create_is_waited_for_like_any_other(self, world: World) -> None:
        """Who held the title is not listed, the next create is lost and slow to be listed, and the user is renamed."""
        world.switches.list_lag = 10_000
        world.handle(created(name="Ann"))
        world.dynamodb.delete_item(TableName=world.table, Key={"key": {"S": "user#u1"}})
        assert world.failure(created(name="Ann")).reason == "orphan_not_listed"
        world.clock.sleep(ORPHAN_WAIT_SECONDS)
        before = len(world.fake.calls_to("POST /companies"))
        world.fake.fault(Fault("POST /companies", "error_500_before"))
        assert world.failure(event(version=2, name="Anna")).reason == "whop_failed"
        assert world.failure(event(version=2, name="Anna")).reason == "orphan_not_listed"
        assert len(world.fake.calls_to("POST /companies")) == before + 1

    @pytest.mark.parametrize("failing", ["GET /companies", "record account"])
    def test_an_account_that_whop_answered_is_never_forgotten(self, world: World, failing: str) -> None:
        """The row was lost, Whop says that the title is taken, then a call fails, and the user is renamed."""
        world.handle(created(name="Ann"))
        world.dynamodb.delete_item(TableName=world.table, Key={"key": {"S": "user#u1"}})
        world.clock.sleep(86400)
        world.wire.planned = {Point(world.wire.delivery + 1, failing, 1): "rate_limited"}
        world.failure(created(name="Ann"))
        assert world.wire.met
        world.settle(event(version=2, name="Anna"))
        assert accounts_of(world) == 1

    @pytest.mark.parametrize("kind", ["timeout", "error_500"])
    def test_a_second_lost_create_starts_the_wait_again(self, world: World, kind: str) -> None:
        world.fake.switches.list_lag = ORPHAN_WAIT_SECONDS - 20
        world.fake.fault(Fault("POST /companies", f"{kind}_before"))  # type: ignore[arg-type]
        world.fake.fault(Fault("POST /companies", f"{kind}_after"))  # type: ignore[arg-type]
        (result,) = world.settle(created(version=1, name="Ann"))
        assert not isinstance(result, Permanent)
        assert accounts_of(world) == 1

    def test_an_account_that_could_not_be_recorded_is_adopted_although_the_name_has_changed_since(
        self, world: World
    ) -> None:
        world.wire.planned = {Point(1, "record account", 1): "refused"}
        assert world.failure(created(version=1, name="Ann")).reason == "dynamodb_unavailable"
        (result,) = world.settle(event(version=2, name="Anna"))
        assert not isinstance(result, Permanent)
        assert result.outcome == "adopted"
        assert accounts_of(world) == 1

    def test_an_account_from_before_the_table_was_lost_is_found_by_its_title_and_adopted(self, world: World) -> None:
        world.handle(created(name="Ann"))
        for number in range(PAGE_SIZE):  # the newest are listed first
            world.handle(created(f"other{number}"))
        owner = world.row()["whop_user_id"]
        world.dynamodb.delete_item(TableName=world.table, Key={"key": {"S": "user#u1"}})
        world.clock.sleep(86400)

        assert world.handle(created(name="Ann")).outcome == "adopted"
        assert world.row()["whop_user_id"] == owner
        assert accounts_of(world) == 1

    def test_a_title_held_by_a_stranger_is_refused_for_good(self, world: World) -> None:
        stranger = {"title": "Ann (u1)", "email": "eve@shop.test", "parent_company_id": world.whop.company_id}
        headers = {"Authorization": f"Bearer {world.api_key}", "Api-Version-Date": "2026-07-20"}
        world.http.post(f"{world.fake.api_url}/companies", json=stranger, headers=headers).raise_for_status()

        (result,) = world.settle(created(name="Ann"))
        assert isinstance(result, Permanent)
        assert result.reason == "title_taken"
        assert "whop_user_id" not in world.row()

    def test_a_refusal_closes_the_attempt_so_the_next_create_does_not_wait(self, world: World) -> None:
        world.fake.switches.legacy_idempotency = True
        world.failure(created(version=1, email="ann@example.com", name="Ann"))
        before = world.clock()
        world.settle(event(version=2, name="Ann"))
        assert world.clock() == before
        assert accounts_of(world) == 1

    def test_the_same_attempt_carries_the_same_idempotency_key(self, world: World) -> None:
        world.fake.fault(Fault("POST /companies", "error_500_before", times=2))
        world.settle(created(name="Ann"))
        world.handle(created("u2", name="Ann"))
        *same, other = [call.headers["idempotency-key"] for call in world.fake.calls_to("POST /companies")]
        assert len(same) == 3
        assert {*same} == {same[0]} != {other}

    def test_a_worker_that_dies_in_the_middle_leaves_an_account_that_is_adopted(self, world: World) -> None:
        event_ = created(name="Ann")
        claim = world.claim(event_)
        world.synchronization.enrollment.locate(event_, claim, deadline(world))

        assert world.failure(event_).reason == "busy"
        world.settle(event_)
        assert accounts_of(world) == 1
        assert world.row()["status"] == "synced"


class TestProfile:
    def test_the_newest_event_wins_in_any_order(self, world: World) -> None:
        world.settle(created(version=1, name="Ann"), event(version=3, name="Anna"), event(version=2, name="Anni"))
        assert world.shown()[0] == "Anna"

    def test_each_field_has_its_own_newest_event(self, world: World) -> None:
        world.settle(
            created(version=1, name="Ann", picture=None),
            event(version=3, picture=world.pictures.url("ff0000")),
            event(version=2, name="Anna"),
        )
        assert world.shown() == ("Anna", RED)

    def test_of_an_event_only_what_is_newer_is_set(self, world: World) -> None:
        world.settle(
            created(version=1, name="Ann", picture=None),
            event(version=3, name="Anna"),
            event(version=2, name="Anni", picture=world.pictures.url("ff0000")),
        )
        assert world.shown() == ("Anna", RED)
        assert (world.version("name"), world.version("picture")) == (3, 2)

    def test_of_two_events_with_one_version_the_same_one_wins_in_both_orders(self, world: World) -> None:
        for user, names in {"u1": ("Ann", "Bea"), "u2": ("Bea", "Ann")}.items():
            world.settle(created(user, version=1, name="X"), *(event(user, version=2, name=name) for name in names))
        assert world.shown("u1") == world.shown("u2")

    def test_an_update_outranks_the_create_of_the_same_version(self, world: World) -> None:
        for user, arrivals in {"u1": [created, event], "u2": [event, created]}.items():
            for arrival in arrivals:
                world.settle(arrival(user, version=1, name="New" if arrival is event else "Old"))
            assert world.shown(user)[0] == "New"

    def test_a_changed_name_takes_one_call(self, world: World) -> None:
        world.handle(created(name="Ann", picture=world.pictures.url("ff0000")))
        before = len(world.operations())
        world.handle(event(version=2, name="Anna", picture=world.pictures.url("ff0000")))
        assert world.operations()[before:] == ["PATCH /users/{id}"]
        assert world.shown() == ("Anna", RED)

    def test_an_event_that_changes_nothing_takes_no_call(self, world: World) -> None:
        world.handle(created(name="Ann", picture=world.pictures.url("ff0000")))
        before = len(world.operations())
        result = world.handle(event(version=2, name="Ann", picture=world.pictures.url("ff0000") + "?signed=again"))
        assert result.outcome == "synced"
        assert world.operations()[before:] == []
        assert world.version("name") == 2

    def test_null_clears_and_absent_leaves(self, world: World) -> None:
        world.handle(created(name="Ann", picture=world.pictures.url("ff0000")))
        world.handle(event(version=2, picture=None))
        assert world.shown() == ("Ann", None)
        world.handle(event(version=3, name=None))
        assert world.shown() == (None, None)
        world.handle(event(version=4, picture=world.pictures.url("ff0000")))
        assert world.shown() == (None, RED)

    def test_clearing_a_picture_that_was_never_set_takes_no_call(self, world: World) -> None:
        world.handle(created(name="Ann"))
        before = world.operations()
        world.handle(event(version=2, picture=None))
        assert world.operations() == before

    def test_a_name_longer_than_whop_takes_is_cut(self, world: World) -> None:
        world.handle(created(name="é" * 150))
        assert world.shown()[0] == "é" * 100

    def test_the_global_profile_is_never_touched(self, world: World) -> None:
        world.handle(created(name="Ann", picture=world.pictures.url("ff0000")))
        whop_user_id = world.row()["whop_user_id"]
        assert world.whop.user_everywhere_else(whop_user_id)["name"] != "Ann"

    def test_a_refused_name_is_noted_in_the_row_and_a_newer_one_takes_its_place(self, world: World) -> None:
        world.handle(created(name="Ann"))
        world.fake.fault(Fault("PATCH /users/{id}", "error_null", status=422, times=2))
        for version in (2, 3):  # the same name again is asked for again, since Whop does not show it
            result = world.handle(event(version=version, name="Anna"))
            assert result.refused["name"].reason == "name_refused"
            assert (world.row()["status"], world.row()["last_error"]) == ("synced", "name_refused")
            assert world.shown()[0] == "Ann"
        world.handle(event(version=4, name="Ann"))
        assert (world.row()["status"], world.shown()[0]) == ("synced", "Ann")
        assert not {"last_error", "unsettled"} & set(world.row())


class TestPicture:
    def test_a_picture_is_uploaded_once_as_long_as_its_bytes_stay(self, world: World) -> None:
        world.handle(created(name="Ann", picture=world.pictures.url("ff0000")))
        world.handle(event(version=2, name="Anna"))
        world.handle(event(version=3, picture=world.pictures.url("ff0000") + "?v=2"))
        assert len(world.fake.calls_to("POST /files")) == 1
        world.handle(event(version=4, picture=world.pictures.url("0000ff")))
        assert world.shown()[1] == BLUE

    @pytest.mark.parametrize(
        ("picture", "reason"),
        [
            ("/gone.png", "picture_not_found"),
            ("http://shop.test/a.png", "picture_bad_url"),
            ("https://127.0.0.1:1/a.png", "picture_not_public"),
            ("https://localhost/a.png", "picture_not_public"),
            ("not a url", "picture_bad_url"),
        ],
    )
    def test_a_picture_that_cannot_be_had_never_holds_back_the_name(
        self, world: World, picture: str, reason: str
    ) -> None:
        picture = world.pictures.origin + picture if picture.startswith("/") else picture
        result = world.handle(created(name="Ann", picture=picture))

        assert result.refused
        assert result.refused["picture"].reason == reason
        assert world.shown() == ("Ann", None)
        assert (world.row()["status"], world.row()["last_error"]) == ("synced", reason)
        assert world.handle(created(name="Ann", picture=picture)).outcome == "stale"

    def test_a_broken_new_picture_leaves_the_old_one(self, world: World) -> None:
        world.handle(created(name="Ann", picture=world.pictures.url("ff0000")))
        world.handle(event(version=2, picture=world.pictures.origin + "/gone.png"))
        assert world.shown() == ("Ann", RED)
        world.handle(event(version=3, picture=None))
        assert world.shown() == ("Ann", None)

    def test_a_picture_whose_host_is_down_is_tried_again_after_the_name_is_set(self, world: World) -> None:
        elsewhere = "http://127.0.0.1:1"
        world.synchronization = world.assembled(picture_origin=elsewhere)
        first = created(name="Ann", picture=elsewhere + "/a.png")
        assert world.failure(first).reason == "picture_unavailable"
        assert world.shown() == ("Ann", None)
        world.clock.sleep(PICTURE_PATIENCE_SECONDS - 1)
        assert world.failure(first, age=PICTURE_PATIENCE_SECONDS).reason == "picture_unavailable"

        world.clock.sleep(2)
        assert world.handle(first, age=PICTURE_PATIENCE_SECONDS + 2).refused
        assert world.handle(first).outcome == "stale"
        assert "picture_unavailable_since" not in world.row()

    def test_a_picture_that_is_not_there_yet_is_tried_for_an_hour(self, world: World) -> None:
        """Given a webhook that comes before the file is on its host, and a host that shows it later."""
        early = created(name="Ann", picture=world.pictures.origin + "/nothing-here.png")
        assert world.failure(early).reason == "picture_not_found"
        assert world.shown() == ("Ann", None)
        world.clock.sleep(PICTURE_PATIENCE_SECONDS + 1)
        refused = world.handle(early, age=PICTURE_PATIENCE_SECONDS + 1).refused
        assert refused
        assert refused["picture"].reason == "picture_not_found"

    @pytest.mark.parametrize("gone", [PictureUnavailable("picture_not_found"), PictureRefused("picture_redirects")])
    def test_an_address_that_expires_after_its_picture_was_taken_costs_nothing(
        self, world: World, monkeypatch: pytest.MonkeyPatch, gone: SyncError
    ) -> None:
        picture = world.pictures.url("ff0000")
        world.handle(created(name="Ann", picture=picture))

        def expired(*_: object) -> None:
            raise gone

        monkeypatch.setattr(PictureFetcher, "fetch", expired)
        assert not world.handle(event(version=2, name="Ann 2", picture=picture)).refused
        assert world.shown() == ("Ann 2", RED)

    def test_a_host_that_fails_an_old_event_once_is_tried_again(self, world: World) -> None:
        """The event may be old because of anything: a wrong key, an outage of Whop, a backlog."""
        change = created(name="Ann", picture=world.pictures.url("ff0000"))
        world.wire.planned = {Point(1, PICTURE, 1): "error_500_before"}
        assert world.failure(change, age=86400).reason == "picture_unavailable"
        world.handle(change, age=86400)
        assert world.shown() == ("Ann", RED)
        assert "picture_unavailable_since" not in world.row()

    def test_a_host_that_delivers_is_noted_no_more_whatever_whop_says_then(self, world: World) -> None:
        change = created(name="Ann", picture=world.pictures.url("ff0000"))
        world.wire.planned = {Point(number, PICTURE, 1): "error_500_before" for number in (1, 3)}
        assert world.failure(change).reason == "picture_unavailable"
        world.fake.fault(Fault("POST /files", "error_500_before"))
        assert world.failure(change, age=60).reason == "whop_failed"
        world.clock.sleep(PICTURE_PATIENCE_SECONDS * 2)
        assert world.failure(change, age=PICTURE_PATIENCE_SECONDS * 2).reason == "picture_unavailable"

    def test_a_new_picture_is_not_given_up_for_the_old_ones_host(self, world: World) -> None:
        world.wire.planned = {Point(number, PICTURE, 1): "error_500_before" for number in (1, 2)}
        world.failure(created(name="Ann", picture=world.pictures.url("ff0000")))
        world.clock.sleep(PICTURE_PATIENCE_SECONDS * 2)
        assert world.failure(event(version=2, picture=world.pictures.url("0000ff"))).reason == "picture_unavailable"
        world.settle(event(version=2, picture=world.pictures.url("0000ff")))
        assert world.shown() == ("Ann", BLUE)

    @pytest.mark.parametrize("operation", ["POST /files", "GET /files/{id}"])
    @pytest.mark.parametrize("status", [404, 413, 422])
    def test_whatever_whop_says_of_a_file_never_holds_back_the_name(
        self, world: World, operation: str, status: int
    ) -> None:
        world.handle(created(name="Ann"))
        world.fake.fault(Fault(operation, "error_null", status=status))
        change = event(version=2, name="Anna", picture=world.pictures.url("ff0000"))
        world.failure(change)
        assert world.shown() == ("Anna", None)
        world.settle(change)  # an operator sends it round again
        assert world.shown() == ("Anna", RED)

    @pytest.mark.parametrize("status", [411, 413, 415, 422])
    def test_an_upload_that_is_refused_for_its_content_is_not_tried_for_days(self, world: World, status: int) -> None:
        red, blue = (world.pictures.url(colour) for colour in ("ff0000", "0000ff"))
        world.handle(created(name="Ann", picture=red))
        world.fake.fault(Fault("PUT upload", "error_null", status=status))
        result = world.handle(event(version=2, name="Anna", picture=blue))
        assert result.refused
        assert result.refused["picture"].reason == "picture_refused"
        assert world.shown() == ("Anna", RED)

    @pytest.mark.parametrize("status", [400, 403, 408, 429, 503])
    def test_an_upload_that_may_work_the_next_time_is_tried_again(self, world: World, status: int) -> None:
        world.fake.fault(Fault("PUT upload", "error_null", status=status))
        first = created(name="Ann", picture=world.pictures.url("ff0000"))
        assert world.failure(first).reason == "upload_refused"
        world.settle(first)
        assert world.shown() == ("Ann", RED)

    def test_an_upload_whose_answer_was_lost_is_not_made_twice(self, world: World) -> None:
        world.fake.fault(Fault("PUT upload", "timeout_after"))
        world.settle(created(name="Ann", picture=world.pictures.url("ff0000")))
        assert world.shown() == ("Ann", RED)
        assert world.fake.file_count == 1

    @pytest.mark.parametrize("refusing", ["PATCH /users/{id}", "GET /files/{id}", "PUT upload"])
    def test_after_a_refused_picture_the_one_still_shown_is_known(self, world: World, refusing: str) -> None:
        red, blue = (world.pictures.url(colour) for colour in ("ff0000", "0000ff"))
        world.handle(created(name="Ann", picture=red))
        if refusing == "GET /files/{id}":
            world.fake.switches.failing_filename = "avatar"
        else:
            world.fake.fault(Fault(refusing, "error_null", status=422))
        assert world.handle(event(version=2, picture=blue)).refused
        before = world.operations()
        world.settle(event(version=3, picture=red))
        assert world.operations() == before
        assert world.shown()[1] == RED

    def test_however_old_an_event_only_the_pictures_own_host_makes_it_give_up(self, world: World) -> None:
        world.handle(created(name="Ann"))
        world.fake.fault(Fault("POST /files", "error_500_before"))
        change = event(version=2, picture=world.pictures.url("ff0000"))
        assert world.failure(change, age=PICTURE_PATIENCE_SECONDS * 2).reason == "whop_failed"
        world.settle(change)
        assert world.shown() == ("Ann", RED)

    def test_a_picture_that_whop_cannot_process_is_refused(self, world: World) -> None:
        world.fake.switches.failing_filename = "avatar"
        result = world.handle(created(name="Ann", picture=world.pictures.url("ff0000")))
        assert result.refused
        assert result.refused["picture"].reason == "picture_failed"
        assert world.shown() == ("Ann", None)
        assert "avatar_file_id" not in world.row()

    def test_a_picture_still_in_processing_is_attached_later_without_a_second_upload(self, world: World) -> None:
        world.fake.switches.processing_polls = 50
        first = created(name="Ann", picture=world.pictures.url("ff0000"))
        assert world.failure(first).reason == "picture_not_ready"
        assert world.shown() == ("Ann", None)
        world.settle(first)
        assert world.shown() == ("Ann", RED)
        assert world.fake.file_count == 1

    def test_a_picture_in_processing_is_asked_for_after_pauses_that_double_up_to_two_seconds(
        self, world: World
    ) -> None:
        world.fake.switches.processing_polls = 50
        world.failure(created(name="Ann", picture=world.pictures.url("ff0000")))
        polls = [call.at for call in world.fake.calls_to("GET /files/{id}")]
        pauses = [later - earlier for earlier, later in itertools.pairwise(polls)]
        assert pauses[:4] == pytest.approx([0.25, 0.5, 1, 2])
        assert set(map(round, pauses[4:])) == {2}
        assert 18 < polls[-1] - polls[0] <= 20

    def test_a_picture_that_is_soon_ready_costs_a_quarter_of_a_second(self, world: World) -> None:
        world.fake.switches.processing_polls = 1
        began = world.clock()
        world.handle(created(name="Ann", picture=world.pictures.url("ff0000")))
        assert world.clock() - began == pytest.approx(0.25)

    def test_a_new_users_picture_is_fetched_while_their_account_is_made(self, world: World) -> None:
        asked_for = threading.Event()
        meanwhile: list[bool] = []
        world.wire.planned = {
            Point(1, PICTURE, 1): Meanwhile("before", asked_for.set),
            Point(1, "POST /companies", 1): Meanwhile("before", lambda: meanwhile.append(asked_for.wait(3))),
        }
        world.handle(created(name="Ann", picture=world.pictures.url("ff0000")))
        assert meanwhile == [True]
        assert world.shown() == ("Ann", RED)
        assert calls_of(world).count(PICTURE) == 1

    def test_a_fetch_that_was_begun_ends_before_its_event_does(self, world: World) -> None:
        answered = threading.Event()

        def slowly() -> None:
            time.sleep(0.3)
            answered.set()

        world.wire.planned = {Point(1, PICTURE, 1): Meanwhile("before", slowly)}
        refused = created(email="ann@example.com", name="Ann", picture=world.pictures.url("ff0000"))
        assert world.failure(refused).reason == "whop_refused"
        assert answered.is_set()

    @pytest.mark.parametrize("failure", ["error_500_before", "forbidden"])
    def test_after_an_enrollment_that_failed_a_picture_is_fetched_once_there_is_an_account(
        self, world: World, failure: FaultKind
    ) -> None:
        first = created(name="Ann", picture=world.pictures.url("ff0000"))
        world.fake.fault(Fault("POST /companies", failure, times=3))
        for _ in range(3):
            world.failure(first)
            world.clock.sleep(ORPHAN_WAIT_SECONDS * 2)
        assert calls_of(world).count(PICTURE) == 1
        world.settle(first)
        calls = calls_of(world)
        assert calls.count(PICTURE) == 2
        assert calls.index("record account") < len(calls) - 1 - calls[::-1].index(PICTURE)
        assert world.shown() == ("Ann", RED)

    def test_nothing_is_fetched_for_those_who_are_not_enrolled_yet(self, world: World) -> None:
        picture = world.pictures.url("ff0000")
        assert world.failure(created(email=None, name="Ann", picture=picture)).reason == "no_email"
        assert world.failure(event("u2", kind="suspended", picture=picture)).reason == "user_suspended"
        with pytest.raises(AwaitsTurn):
            world.synchronization.handle(
                created("u3", picture=picture), age=0.0, deadline=world.clock() + CALL_SECONDS - 1
            )
        assert PICTURE not in calls_of(world)

    def test_who_brings_an_e_mail_later_signs_up_then(self, world: World) -> None:
        world.failure(created(email=None, name="Ann", picture=world.pictures.url("ff0000")))
        world.wire.reset()
        asked_for = threading.Event()
        meanwhile: list[bool] = []
        world.wire.planned = {
            Point(1, PICTURE, 1): Meanwhile("before", asked_for.set),
            Point(1, "POST /companies", 1): Meanwhile("before", lambda: meanwhile.append(asked_for.wait(3))),
        }
        world.handle(event(version=2, name="Ann", picture=world.pictures.url("ff0000")))
        assert meanwhile == [True]

    def test_a_picture_that_whop_refuses_to_attach_does_not_hold_back_the_name(self, world: World) -> None:
        world.handle(created(name="Ann"))
        world.fake.fault(Fault("PATCH /users/{id}", "error_null", status=422))
        result = world.handle(event(version=2, name="Anna", picture=world.pictures.url("ff0000")))
        assert result.refused
        assert result.refused["picture"].reason == "picture_refused"
        assert world.shown() == ("Anna", None)

    def test_a_picture_alone_that_whop_refuses_to_attach_leaves_nothing_to_set(self, world: World) -> None:
        world.handle(created(name="Ann"))
        world.fake.fault(Fault("PATCH /users/{id}", "error_null", status=422))
        before = len(world.fake.calls_to("PATCH /users/{id}"))
        assert world.handle(event(version=2, picture=world.pictures.url("ff0000"))).refused
        assert len(world.fake.calls_to("PATCH /users/{id}")) == before + 1

    def test_a_user_whom_whop_no_longer_has_is_no_matter_of_the_picture(self, world: World) -> None:
        world.handle(created(name="Ann"))
        world.fake.fault(Fault("PATCH /users/{id}", "error_null", status=404))
        error = world.failure(event(version=2, picture=world.pictures.url("ff0000")))
        assert (type(error), error.reason) == (Permanent, "whop_not_found")

    def test_a_file_that_whop_no_longer_has_is_uploaded_again(self, world: World) -> None:
        world.fake.switches.processing_polls = 50
        first = created(name="Ann", picture=world.pictures.url("ff0000"))
        world.failure(first)
        world.fake.fault(Fault("GET /files/{id}", "error_null", status=404))
        world.settle(first)
        assert world.shown() == ("Ann", RED)
        assert world.fake.file_count == 2

    def test_a_file_that_failed_meanwhile_is_uploaded_again(self, world: World) -> None:
        switches = world.fake.switches
        switches.processing_polls = 50
        first = created(name="Ann", picture=world.pictures.url("ff0000"))
        world.failure(first)
        switches.processing_polls, switches.failing_filename = 0, "avatar"

        def fixed() -> None:
            switches.failing_filename = ""

        world.wire.planned = {Point(world.wire.delivery + 1, "GET /files/{id}", 1): Meanwhile("after", fixed)}
        assert not world.handle(first).refused
        assert world.shown() == ("Ann", RED)

    def test_a_file_that_is_ready_at_once_is_not_uploaded(self, world: World) -> None:
        world.fake.switches.files_ready_at_once = True
        world.handle(created(name="Ann", picture=world.pictures.url("ff0000")))
        assert world.operations() == ["POST /companies", "POST /files", "PATCH /users/{id}"]


class TestTakingTurns:
    def test_while_one_worker_has_the_user_another_is_busy(self, world: World) -> None:
        world.handle(created(name="Ann"))
        world.claim(event(version=2, name="Anna"))
        error = world.failure(event(version=3, name="Anne"))
        assert (type(error), error.reason) == (AwaitsTurn, "busy")
        assert world.failure(event(version=2, name="Anna")).reason == "busy"
        assert world.handle(created(version=1, name="Ann")).outcome == "stale"

        world.clock.sleep(LEASE_SECONDS + 1)
        assert world.handle(event(version=3, name="Anne")).outcome == "synced"

    @pytest.mark.parametrize(("passed", "wait"), [(1, 5), (LEASE_SECONDS - 3, 3), (LEASE_SECONDS, 1)])
    def test_who_is_busy_says_when_to_come_again(self, world: World, passed: float, wait: float) -> None:
        assert world.synchronization.mappings.claim(created(name="Ann"), deadline=world.clock() + 120)
        world.clock.sleep(passed)
        error = world.failure(event(version=2, name="Anna"))
        assert isinstance(error, Transient)
        assert error.reason == "busy"
        assert error.retry_after == pytest.approx(wait, abs=0.01)

    def test_a_worker_whose_claim_was_taken_and_never_answered_is_not_locked_out_by_itself(self, world: World) -> None:
        world.wire.planned = {Point(1, "claim", 1): "connection_reset_after_once"}
        assert world.handle(created(name="Ann")).outcome == "enrolled"
        assert world.wire.met

    def test_an_event_that_brings_nothing_but_a_user_is_not_stale_until_they_are_enrolled(self, world: World) -> None:
        bare = created()
        world.claim(bare)
        assert world.failure(bare).reason == "busy"

        (result,) = world.settle(bare)
        assert not isinstance(result, Permanent)
        assert result.outcome == "enrolled"
        assert world.handle(bare).outcome == "stale"

    def test_of_many_workers_at_once_one_enrolls(self, world: World) -> None:
        world.http.timeout = 5
        with ThreadPoolExecutor(8) as pool:
            for outcome in pool.map(lambda _: self._attempt(world), range(8)):
                assert outcome in ("enrolled", "busy", "stale")
        assert accounts_of(world) == 1

    @staticmethod
    def _attempt(world: World) -> str:
        try:
            return world.handle(created(name="Ann")).outcome
        except Transient as error:
            return error.reason

    def test_a_worker_that_wakes_up_after_its_lease_writes_nothing(self, world: World) -> None:
        world.handle(created(name="Ann"))
        slow = world.synchronization
        claim = world.claim(event(version=2, name="Old"), seconds=10_000)
        world.clock.sleep(LEASE_SECONDS + 1)
        world.handle(event(version=3, name="New"))

        before = world.operations()
        account = claim.row.account
        assert account
        applied = slow.profiles.apply({"name": "Old"}, account, claim.row, deadline(world, claim.deadline), age=0)
        assert applied.failure
        assert (applied.failure.reason, applied.settled) == ("out_of_time", frozenset())
        with pytest.raises(Transient, match="took the user's row over"):
            slow.mappings.commit(claim, Progress(account=account))
        assert world.operations() == before
        assert world.version("name") == 3

    def test_a_worker_that_wakes_up_after_its_lease_does_not_move_the_mapping(self, world: World) -> None:
        mappings = world.synchronization.mappings
        claim = world.claim(created(name="Ann"), seconds=10_000)
        world.clock.sleep(LEASE_SECONDS + 1)
        known = world.fake.add_user(email="ann@home.test", member_of=world.whop.company_id)
        world.settle(event(version=2, whop_user_id=known.id, name="Ann"))

        with pytest.raises(Transient, match="took the user's row over"):
            mappings.record_account(claim, Account("user_late", "biz_late"), None)
        assert world.row()["whop_user_id"] == known.id
        assert world.owner("user_late") is None

    def test_after_an_answer_that_never_came_the_next_worker_waits_for_the_lease(self, world: World) -> None:
        world.handle(created(name="Ann"))
        world.fake.fault(Fault("PATCH /users/{id}", "late_commit", delay=30))
        assert world.failure(event(version=2, name="Old")).reason == "whop_no_answer"
        world.settle(event(version=3, name="New"))
        world.clock.sleep(60)
        assert world.shown()[0] == "New"

    def test_a_name_that_may_have_been_written_is_not_trusted(self, world: World) -> None:
        """The row still says Ann, Whop may say Bob, and the newest event says Ann again."""
        world.handle(created(version=1, name="Ann"))
        world.fake.fault(Fault("PATCH /users/{id}", "error_500_after"))
        world.failure(event(version=2, name="Bob"))
        assert world.shown()[0] == "Bob"
        world.settle(event(version=4, picture=None))
        world.settle(event(version=3, name="Ann"))
        world.settle(event(version=2, name="Bob"))
        assert world.shown()[0] == "Ann"

    def test_a_picture_that_may_have_been_cleared_is_not_trusted_after_one_that_cannot_be_had(
        self, world: World
    ) -> None:
        """The row still says red, Whop may show none, then comes a dead link, and the newest event says red again."""
        red = world.pictures.url("ff0000")
        world.handle(created(version=1, picture=red))
        world.fake.fault(Fault("PATCH /users/{id}", "error_500_after"))
        world.failure(event(version=2, picture=None))
        world.settle(event(version=3, picture=world.pictures.origin + "/gone.png"), event(version=4, picture=red))
        assert world.shown()[1] == RED

    def test_doubt_ends_when_the_field_is_set_again(self, world: World) -> None:
        world.fake.fault(Fault("PATCH /users/{id}", "error_500_after"))
        first = created(name="Ann", picture=world.pictures.url("ff0000"))
        world.failure(first)
        assert sorted(world.row()["unsettled"]) == ["name", "picture"]
        world.settle(first)
        assert "unsettled" not in world.row()

    def test_doubt_about_one_field_is_no_doubt_about_the_other(self, world: World) -> None:
        world.handle(created(version=1, name="Ann", picture=world.pictures.url("ff0000")))
        world.fake.fault(Fault("PATCH /users/{id}", "error_500_after"))
        world.failure(event(version=2, picture=None))
        before = world.operations()
        # Given a name that was sent before, twice: neither event needs a call
        world.settle(event(version=3, name="Ann"), event(version=4, name="Ann"))
        assert world.operations() == before
        assert world.row()["unsettled"] == ["picture"]

    def test_a_name_that_a_dead_worker_may_have_written_is_not_trusted(self, world: World) -> None:
        world.handle(created(version=1, name="Ann"))
        world.claim(event(version=2, name="Bob"))
        headers = {"Authorization": f"Bearer {world.api_key}", "Api-Version-Date": "2026-07-20"}
        url = f"{world.fake.api_url}/users/{world.row()['whop_user_id']}?account_id={world.whop.company_id}"
        world.http.patch(url, json={"name": "Bob"}, headers=headers).raise_for_status()  # and dies

        world.settle(event(version=3, name="Ann"))
        assert world.shown()[0] == "Ann"
        assert "unsettled" not in world.row()


class TestTrouble:
    def test_a_wrong_key_is_the_operators_fault_and_no_events(self, world: World) -> None:
        world.api_key = "apik_wrong"
        error = world.failure(created(name="Ann"))
        assert isinstance(error, Transient)
        assert error.reason == "whop_key_rejected"
        world.api_key = world.whop.api_key
        before = world.clock()
        world.settle(created(name="Ann"))
        assert accounts_of(world) == 1
        assert world.clock() == before

    def test_a_rate_limit_names_its_delay_in_words_only(self, world: World) -> None:
        world.fake.fault(Fault("POST /companies", "rate_limited", delay=12))
        error = world.failure(created(name="Ann"))
        assert isinstance(error, Transient)
        assert (error.reason, error.retry_after) == ("whop_rate_limited", 12)
        # What only has to wait has not failed
        assert (world.row()["status"], world.row()["last_error"]) == ("enrolling", "whop_rate_limited")

    def test_a_user_whose_change_has_to_wait_is_still_synced(self, world: World) -> None:
        world.handle(created(name="Ann"))
        world.fake.fault(Fault("PATCH /users/{id}", "rate_limited"))
        world.failure(event(version=2, name="Anna"))
        assert (world.row()["status"], world.row()["last_error"]) == ("synced", "whop_rate_limited")

    @pytest.mark.parametrize("call", ["claim", "record account", "commit"])
    @pytest.mark.parametrize("kind", ["refused", "rate_limited"])
    def test_a_table_that_cannot_be_had_is_a_matter_of_time(self, world: World, call: str, kind: str) -> None:
        world.wire.planned = {Point(1, call, 1): kind}
        error = world.failure(created(name="Ann"))
        assert (type(error), error.reason) == (Transient, "dynamodb_unavailable")
        world.settle(created(name="Ann"))
        assert (accounts_of(world), world.row()["status"]) == (1, "synced")

    def test_a_mapping_that_another_transaction_stood_in_the_way_of_is_tried_again(self, world: World) -> None:
        """DynamoDB cancels a transaction also for a conflict, which says nothing about whose the Whop user is."""
        reasons = [{"Code": "None"}, {"Code": "TransactionConflict"}]
        cancelled = {"__type": "#TransactionCanceledException", "message": "cancelled", "CancellationReasons": reasons}
        world.wire.planned = {Point(1, "record account", 1): Answer(400, json.dumps(cancelled).encode())}
        first = created(name="Ann")
        error = world.failure(first)
        assert (type(error), error.reason) == (Transient, "dynamodb_unavailable")
        world.settle(first)
        assert (accounts_of(world), world.row()["status"]) == (1, "synced")

    def test_a_worker_near_its_end_looks_for_no_orphan(self, world: World) -> None:
        world.fake.fault(Fault("POST /companies", "error_500_after"))
        world.failure(created(name="Ann"))
        with pytest.raises(Transient, match="too little time"):
            world.synchronization.handle(created(name="Ann"), age=0, deadline=world.clock() + CALL_SECONDS - 1)
        assert world.operations() == ["POST /companies"]

    def test_a_worker_near_its_end_begins_no_call(self, world: World) -> None:
        with pytest.raises(Transient, match="too little time"):
            world.synchronization.handle(created(name="Ann"), age=0, deadline=world.clock() + 20)
        assert world.operations() == []
        assert world.handle(created(name="Ann")).outcome == "enrolled"

    def test_a_worker_near_its_end_begins_no_picture(self, world: World) -> None:
        world.handle(created(name="Ann"))
        world.wire.reset()
        change = event(version=2, picture=world.pictures.url("ff0000"))
        with pytest.raises(Transient, match="too little time"):
            world.synchronization.handle(change, age=0, deadline=world.clock() + 20)
        assert PICTURE not in [point.call for point in world.wire.passed]

    def test_a_worker_near_its_end_begins_no_upload(self, world: World) -> None:
        world.handle(created(name="Ann"))
        world.wire.planned = {Point(1, PICTURE, 1): Meanwhile("before", lambda: world.clock.sleep(10))}
        change = event(version=2, picture=world.pictures.url("ff0000"))
        with pytest.raises(Transient, match="too little time"):
            world.synchronization.handle(change, age=0, deadline=world.clock() + CALL_SECONDS + 5)
        assert world.wire.met
        assert world.fake.file_count == 0

    def test_a_worker_near_its_end_asks_no_longer_whether_a_file_is_ready(self, world: World) -> None:
        world.handle(created(name="Ann"))
        world.fake.switches.processing_polls = 50
        change = event(version=2, picture=world.pictures.url("ff0000"))
        with pytest.raises(Transient, match="too little time"):
            world.synchronization.handle(change, age=0, deadline=world.clock() + CALL_SECONDS + 5)
        world.settle(change)
        assert world.shown() == ("Ann", RED)
        assert world.fake.file_count == 1
