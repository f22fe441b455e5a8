"""Users who are suspended, restored, deleted, who come back, and who hand on their e-mail."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fake_whop import Fault
from harness import World, created, event
from harness.faults import KILLS, Meanwhile, Point, kinds_of
from local_stack.engine import Engine
from local_stack.pictures import png
from whop_sync.batches.retries import RETRIES
from whop_sync.errors import AwaitsTurn, Permanent, Transient
from whop_sync.events import UNDATED, Position, Standing, UserEvent, standing_of
from whop_sync.receiving.payloads import suspension_in
from whop_sync.syncing.enrollment import ORPHAN_WAIT_SECONDS
from whop_sync.users.directory import Directory
from whop_sync.users.mappings import LEASE_SECONDS

RED = png("ff0000")
DELETED = "Deleted user"

both_generations = pytest.mark.parametrize("enrollment", ["companies", "accounts"])


def suspended(user_id: str = "u1", version: int = 1, **rest: Any) -> UserEvent:
    return event(user_id, version, kind="suspended", email=None, **rest)


def restored(user_id: str = "u1", version: int = 1, **rest: Any) -> UserEvent:
    return event(user_id, version, kind="restored", email=None, **rest)


def deleted(user_id: str = "u1", version: int = 1, **rest: Any) -> UserEvent:
    return event(user_id, version, kind="deleted", email=None, **rest)


def standing(world: World, user_id: str = "u1") -> Standing:
    entry = Directory(world.dynamodb, world.table).entry(user_id)
    assert entry
    return entry.standing


def shown_of(world: World, whop_user_id: str) -> tuple[str | None, bool]:
    """The company-specific name of a Whop user, and whether they have a picture of their own there."""
    user, globally = world.whop.user(whop_user_id), world.whop.user_everywhere_else(whop_user_id)
    name = user["name"] if user["name"] != globally["name"] else None
    return name, user["profile_picture"] != globally["profile_picture"]


@both_generations
class TestDeletionsOutOfOrder:
    """Deletions between, before and after newer events."""

    def test_one_that_is_older_than_the_standing_still_clears_what_is_older_than_it(self, world: World) -> None:
        for number, order in enumerate(itertools.permutations(range(3))):
            user = f"u{number}"
            events = (
                created(user, version=1, name="Ann", picture=world.pictures.url("ff0000")),
                deleted(user, version=4),
                event(user, version=5, kind="suspended"),
            )
            world.settle(*(events[each] for each in order))
            assert standing(world, user) == "suspended", order
            if "whop_user_id" in world.row(user):  # else the created came too late, and a suspension enrolls no user
                assert world.shown(user) == (None, None), order

    def test_a_change_that_is_newer_than_it_is_shown_once_the_user_is_back(self, world: World) -> None:
        for number, order in enumerate(itertools.permutations(range(4))):
            user, picture = f"u{number}", world.pictures.url("ff0000")
            events = (
                created(user, version=1, name="Ann"),
                deleted(user, version=6),
                restored(user, version=7),
                event(user, version=12, picture=picture),
            )
            _arrive(world, [events[each] for each in order])
            assert (world.shown(user), standing(world, user)) == ((None, RED), "active"), order

    def test_a_change_without_name_and_picture_enrolls_once_the_user_is_no_longer_deleted(self, world: World) -> None:
        for number, order in enumerate(itertools.permutations(range(3))):
            user = f"u{number}"
            events = (deleted(user, version=1), event(user, version=3), event(user, version=4, kind="suspended"))
            _arrive(world, [events[each] for each in order])
            assert (world.row(user)["status"], standing(world, user)) == ("synced", "suspended"), order

    def test_without_a_return_the_change_does_not_keep_the_deletion_for_longer_than_an_hour(self, world: World) -> None:
        world.settle(created(version=1, name="Ann"), event(version=12, name="Anna"))
        whop_user = world.row()["whop_user_id"]
        gone = deleted(version=6)
        assert world.failure(gone).reason == "user_deleted"
        assert standing(world) == "deleted"  # at once
        assert world.handle(gone, age=RETRIES.arrival_patience).outcome == "deleted"
        assert shown_of(world, whop_user) == (DELETED, False)


@both_generations
class TestDeletion:
    def test_a_deleted_user_is_blanked_and_their_whop_user_set_free(self, world: World) -> None:
        world.handle(created(version=1, name="Ann", picture=world.pictures.url("ff0000")))
        whop_user = world.row()["whop_user_id"]
        assert world.handle(deleted(version=2)).outcome == "deleted"

        assert shown_of(world, whop_user) == (DELETED, False)
        row = world.row()
        assert (row["status"], row["standing"]) == ("deleted", "deleted")
        assert not {"whop_user_id", "whop_company_id", "lease_id", "avatar_file_id", "unsettled"} & set(row)
        assert world.owner(whop_user) is None
        assert len(world.fake.companies()) == 1  # nothing irreversible

    def test_an_older_event_never_revives_and_asks_whop_nothing(self, world: World) -> None:
        world.settle(created(version=1, name="Ann"), deleted(version=5))
        before = world.operations()
        late = (
            created(version=1, name="Ann"),
            event(version=4, name="Anna"),
            restored(version=3),
            suspended(version=4),
        )
        assert [world.handle(each).outcome for each in late] == ["stale"] * 4
        assert world.operations() == before
        assert standing(world) == "deleted"

    def test_a_deletion_that_comes_first_keeps_the_created_out(self, world: World) -> None:
        assert world.handle(deleted(version=5)).outcome == "deleted"
        assert world.handle(created(version=1, name="Ann")).outcome == "stale"
        assert world.operations() == []

    def test_an_update_that_says_active_does_not_revive(self, world: World) -> None:
        world.settle(created(version=1, name="Ann"), deleted(version=5))
        newer = event(version=6, standing="active", name="Anna")
        assert world.failure(newer).reason == "user_deleted"
        assert world.handle(newer, age=RETRIES.arrival_patience).outcome == "stale"
        assert (standing(world), world.row()["status"]) == ("deleted", "deleted")
        # And once they are created again, the update that was done without effect may still come again
        world.handle(created(version=7))
        world.settle(newer)
        assert world.shown()[0] == "Anna"

    @pytest.mark.parametrize("kind", ["created", "restored"])
    def test_a_newer_created_or_restored_brings_back_the_same_account(self, world: World, kind: Any) -> None:
        world.handle(created(version=1, name="Ann", picture=world.pictures.url("ff0000")))
        account = world.row()["whop_company_id"]
        world.handle(deleted(version=5))
        back = event(version=7, kind=kind, email=None if kind == "restored" else "", name="Anne")
        assert world.handle(back).outcome == "adopted"
        assert (world.row()["whop_company_id"], world.row()["status"]) == (account, "synced")
        assert not {"former_whop_user_id", "former_whop_company_id"} & set(world.row())
        assert (world.shown(), standing(world)) == (("Anne", None), "active")
        assert len(world.fake.companies()) == 1

    def test_who_comes_back_without_a_name_does_not_go_on_as_deleted(self, world: World) -> None:
        world.settle(created(version=1, name="Ann"), deleted(version=5), created(version=7))
        assert world.shown()[0] is None

    def test_another_user_with_the_same_email_is_enrolled(self, world: World) -> None:
        world.settle(created("u1", version=1, email="a@shop.test", name="Ann"), deleted("u1", version=5))
        assert world.handle(created("u2", version=6, email="a@shop.test", name="Anna")).outcome == "enrolled"
        assert world.shown("u2")[0] == "Anna"
        assert world.owner(world.row("u2")["whop_user_id"]) == "u2"

    def test_another_user_without_a_name_does_not_inherit_the_placeholder(self, world: World) -> None:
        world.settle(created("u1", version=1, email="a@shop.test", name="Ann"), deleted("u1", version=5))
        world.handle(created("u2", version=6, email="a@shop.test"))
        assert world.shown("u2")[0] is None

    def test_another_user_waits_for_the_deletion_that_is_on_its_way(self, world: World) -> None:
        world.handle(created("u1", version=1, email="a@shop.test", name="Ann"))
        second = created("u2", version=6, email="a@shop.test", name="Anna")
        error = world.failure(second, age=RETRIES.arrival_patience - 1)
        assert (type(error), error.reason) == (AwaitsTurn, "whop_user_taken")
        world.handle(deleted("u1", version=5))
        world.settle(second)
        assert world.shown("u2")[0] == "Anna"
        accounts = [each.metadata for each in world.fake.companies()]
        assert len(accounts) == 2

    def test_another_user_waits_for_longer_than_an_hour_while_the_deletion_is_under_way(self, world: World) -> None:
        world.settle(created("u1", version=1, email="a@shop.test", name="Ann"), event("u1", version=9, name="Anna"))
        gone, second = deleted("u1", version=5), created("u2", version=6, email="a@shop.test", name="Bob")
        assert world.failure(gone).reason == "user_deleted"
        assert type(world.failure(second, age=3 * RETRIES.arrival_patience)) is AwaitsTurn
        world.handle(gone, age=RETRIES.arrival_patience)
        assert world.handle(second, age=4 * RETRIES.arrival_patience).outcome in ("enrolled", "adopted")
        assert world.shown("u2")[0] == "Bob"
        # And where the first one stays, another is refused after the hour
        third = created("u3", version=6, email="a@shop.test", name="Cy")
        assert type(world.failure(third, age=RETRIES.arrival_patience)) is Permanent

    def test_a_created_that_waits_for_its_email_is_newer_than_an_old_deletion(self, world: World) -> None:
        world.failure(created(version=5, email=None, name="Ann"))
        world.handle(deleted(version=2))
        assert world.handle(event(version=4)).outcome == "enrolled"
        world.settle(created(version=5, email=None, name="Ann"))
        assert (standing(world), world.shown()[0]) == ("active", "Ann")

    def test_who_is_deleted_is_refused_while_whop_is_down(self, world: World) -> None:
        world.handle(created(version=1, name="Ann"))
        whop_user = world.row()["whop_user_id"]
        world.fake.fault(Fault("PATCH /users/{id}", "error_500_before", times=2))
        gone = deleted(version=5)
        for _ in range(2):
            assert world.failure(gone).reason == "whop_failed"
            assert standing(world) == "deleted"
        assert world.owner(whop_user) == "u1"  # still theirs: the name has not been taken away
        world.settle(gone)
        assert shown_of(world, whop_user)[0] == DELETED
        assert world.owner(whop_user) is None

    def test_the_standing_is_known_before_whop_is_asked(self, world: World) -> None:
        world.handle(created(version=1, name="Ann"))
        seen: list[Standing] = []
        look = Meanwhile("before", lambda: seen.append(standing(world)))
        world.wire.planned = {Point(world.wire.delivery + 1, "PATCH /users/{id}", 1): look}
        world.handle(deleted(version=5))
        assert seen == ["deleted"]

    def test_who_returns_while_the_deletion_is_under_way_is_first_deleted(self, world: World) -> None:
        world.handle(created(version=1, name="Ann", picture=world.pictures.url("ff0000")))
        world.fake.fault(Fault("PATCH /users/{id}", "error_500_before"))
        world.failure(deleted(version=5))
        world.settle(created(version=7))
        assert (world.shown(), standing(world)) == ((None, None), "active")
        assert world.handle(deleted(version=5)).outcome == "stale"

    def test_a_whop_that_takes_no_null_still_gets_the_name(self, world: World) -> None:
        world.fake.switches.null_clears = False
        world.handle(created(version=1, name="Ann", picture=world.pictures.url("ff0000")))
        whop_user = world.row()["whop_user_id"]
        world.handle(deleted(version=5))
        assert shown_of(world, whop_user) == (DELETED, True)
        assert (world.row()["status"], world.row()["last_error"]) == ("deleted", "picture_refused")
        assert world.owner(whop_user) is None

    def test_a_user_whom_whop_no_longer_knows_can_be_deleted(self, world: World) -> None:
        world.handle(created(version=1, name="Ann"))
        world.fake.fault(Fault("PATCH /users/{id}", "error_null", status=404))
        assert world.handle(deleted(version=5)).outcome == "deleted"

    def test_a_user_of_whop_sign_in_is_blanked_in_the_company_alone(self, world: World) -> None:
        known = world.fake.add_user(email="ann@home.test", name="Global Ann", member_of=world.whop.company_id)
        world.settle(created(version=1, whop_user_id=known.id, name="Ann"), deleted(version=5))
        assert shown_of(world, known.id)[0] == DELETED
        assert world.whop.user_everywhere_else(known.id)["name"] == "Global Ann"

    def test_an_account_whose_create_got_no_answer_is_shown_as_deleted_too_and_kept_for_a_return(
        self, world: World
    ) -> None:
        world.fake.switches.list_lag = 60
        world.fake.fault(Fault(world.create_call, "error_500_after"))
        world.failure(created(version=1, name="Ann"))
        assert world.failure(deleted(version=5)).reason == "orphan_not_listed"
        assert standing(world) == "deleted"  # at once
        world.settle(deleted(version=5))
        row = world.row()
        assert (row["status"], "whop_user_id" in row, "enrollment_attempt" in row) == ("deleted", False, False)
        assert shown_of(world, row["former_whop_user_id"])[0] == DELETED
        world.settle(created(version=7, name="Anna"))
        assert (len(world.fake.companies()), world.shown()[0]) == (1, "Anna")

    def test_a_create_that_made_no_account_keeps_a_deletion_for_the_lists_two_minutes_alone(self, world: World) -> None:
        world.fake.fault(Fault(world.create_call, "error_500_before"))
        world.failure(created(version=1, name="Ann"))
        begun = world.clock()
        assert getattr(world.settle(deleted(version=5))[0], "outcome", None) == "deleted"
        assert world.clock() - begun <= ORPHAN_WAIT_SECONDS
        assert (world.row()["status"], world.fake.companies()) == ("deleted", [])

    def test_an_account_without_an_answer_whose_owner_is_another_user_shows_that_one(self, world: World) -> None:
        world.fake.fault(Fault(world.create_call, "error_500_after"))
        world.failure(created("u1", version=1, email="team@shop.test", name="Ann"))
        world.settle(created("u2", version=1, email="team@shop.test", name="Bob"))
        assert getattr(world.settle(deleted("u1", version=5))[0], "outcome", None) == "deleted"
        assert (world.row("u1")["status"], world.shown("u2")[0]) == ("deleted", "Bob")

    def test_who_leaves_again_before_a_return_was_done_is_blanked_again(self, world: World) -> None:
        world.settle(created(version=1, name="Ann"), deleted(version=2))
        whop_user = world.row()["former_whop_user_id"]
        world.fake.fault(Fault("PATCH /users/{id}", "error_500_after"))
        world.failure(restored(version=3))
        assert shown_of(world, whop_user)[0] is None
        world.settle(deleted(version=4))
        assert (shown_of(world, whop_user)[0], world.owner(whop_user)) == (DELETED, None)


class TestSuspension:
    def test_a_suspended_user_is_noted_and_nothing_is_changed_at_whop(self, world: World) -> None:
        world.handle(created(version=1, name="Ann"))
        before = world.operations()
        assert world.handle(suspended(version=2)).outcome == "suspended"
        assert (standing(world), world.operations()) == ("suspended", before)
        assert world.handle(restored(version=3)).outcome == "restored"
        assert (standing(world), world.operations()) == ("active", before)

    def test_what_changes_meanwhile_is_shown_in_every_order(self, world: World) -> None:
        for number, order in enumerate(itertools.permutations(range(3))):
            user = f"u{number}"
            world.handle(created(user, version=1, name="Ann"))
            events = (suspended(user, 2), event(user, version=3, name="Bea"), restored(user, 4))
            world.settle(*(events[each] for each in order))
            assert (standing(world, user), world.shown(user)[0]) == ("active", "Bea")

    def test_a_flag_in_an_update_counts_where_it_is_the_newest(self, world: World) -> None:
        world.settle(created(version=1, name="Ann"), event(version=3, standing="suspended"))
        assert standing(world) == "suspended"
        world.settle(event(version=2, standing="active"))
        assert standing(world) == "suspended"
        world.settle(event(version=4, standing="active"))
        assert standing(world) == "active"

    def test_since_when_is_the_time_of_the_event_that_changed_it(self, world: World) -> None:
        second = 1_000_000
        world.settle(
            created(version=1 * second, name="Ann"),
            suspended(version=2 * second, event_time=3 * second),
            event(version=5 * second, standing="suspended"),
        )
        assert world.row()["standing_since"] == "1970-01-01T00:00:03.000Z"

    def test_what_has_no_time_says_no_since(self, world: World) -> None:
        world.settle(created(version=UNDATED, name="Ann"))
        assert (standing(world), "standing_since" in world.row()) == ("active", False)
        world.settle(suspended(version=2 * UNDATED))
        assert world.row()["standing_since"] == "1970-01-01T00:00:02.000Z"

    def test_the_standing_is_kept_although_the_user_could_not_be_enrolled(self, world: World) -> None:
        world.handle(created("u1", email="a@shop.test", name="Ann"))
        taken = event("u2", version=5, standing="suspended", email="a@shop.test")
        world.failure(taken, age=RETRIES.arrival_patience)
        assert standing(world, "u2") == "suspended"
        world.handle(deleted("u1", version=9))
        world.settle(event("u2", version=4, email="a@shop.test", name="Bob"))
        assert (standing(world, "u2"), world.shown("u2")[0]) == ("suspended", "Bob")

    def test_a_dead_workers_claim_does_not_hide_that_there_is_no_email(self, world: World) -> None:
        bare = created(email=None, name="Ann")
        world.claim(bare)  # and dies
        world.clock.sleep(LEASE_SECONDS + 1)
        assert world.handle(bare, age=RETRIES.arrival_patience).outcome == "no_email"
        assert world.row()["status"] == "no_email"

    def test_of_a_user_who_is_not_enrolled_the_standing_is_kept(self, world: World) -> None:
        assert world.handle(suspended(version=5)).outcome == "suspended"
        assert (standing(world), world.row()["status"]) == ("suspended", "no_email")
        world.handle(created(version=1, name="Ann"))
        assert (standing(world), world.shown()[0]) == ("suspended", "Ann")

    @both_generations
    @pytest.mark.parametrize("brought", ["email", "whop_user_id"])
    def test_a_suspension_enrolls_no_user_and_the_next_event_does(self, world: World, brought: str) -> None:
        for number, name in enumerate((None, "Bea")):
            user = f"u{number}"
            named = {} if name is None else {"name": name}
            value = f"{user}@shop.test" if brought == "email" else world.fake.add_user(email=f"{user}@home.test").id
            brings: dict[str, Any] = {"email": None, brought: value, **named}
            gone = event(user, 5, kind="suspended", **brings)
            before = world.operations()
            if name is not None:  # kept nowhere else
                assert world.failure(gone).reason == "user_suspended"
            assert world.handle(gone, age=RETRIES.arrival_patience).outcome == "suspended"
            assert world.operations() == before
            assert (standing(world, user), world.row(user)["status"]) == ("suspended", "enrolling")
            assert "whop_user_id" not in world.row(user)
            world.handle(restored(user, 7), age=RETRIES.arrival_patience)
            assert "whop_user_id" not in world.row(user)
            world.handle(event(user, 3, name="Ann", email=f"{user}@shop.test"))
            assert (standing(world, user), world.shown(user)[0]) == ("active", "Ann")

    @both_generations
    def test_the_name_that_a_suspension_brings_is_shown_whichever_comes_first(self, world: World) -> None:
        for number, order in enumerate(itertools.permutations(range(2))):
            user = f"u{number}"
            events = (created(user, version=1, name="Ann"), event(user, 2, kind="suspended", name="Bea"))
            _arrive(world, [events[each] for each in order])
            assert (standing(world, user), world.shown(user)[0]) == ("suspended", "Bea"), order

    @both_generations
    @pytest.mark.parametrize(("kind", "expected"), [("suspended", "suspended"), ("restored", "active")])
    def test_the_standing_of_a_returner_counts_although_their_whop_user_is_taken(
        self, world: World, kind: Any, expected: Standing
    ) -> None:
        world.settle(created("u1", version=1, email="a@shop.test", name="Ann"), deleted("u1", version=2))
        world.handle(created("u2", version=1, email="a@shop.test", name="Bob"))
        back = event("u1", version=5, kind=kind, email="a@shop.test")
        assert world.failure(back).reason == "whop_user_taken"
        assert standing(world, "u1") == expected
        world.failure(back, age=RETRIES.arrival_patience)
        assert (standing(world, "u1"), world.row("u1")["status"]) == (expected, "failed")
        # Once the other one is gone, what an operator sends again enrolls them
        world.handle(deleted("u2", version=9))
        world.handle(back)
        assert (standing(world, "u1"), world.row("u1")["status"]) == (expected, "synced")


def test_a_deletion_is_undone_by_no_fault_at_any_of_its_calls(world: World) -> None:
    """Every call of it fails before or after its work, and the worker is interrupted there."""
    world.handle(created("probe", version=1, name="Ann", picture=world.pictures.url("ff0000")))
    world.wire.reset()
    world.handle(deleted("probe", version=5))
    points = list(world.wire.passed)
    assert [point.call for point in points] == ["claim", "note standing", "PATCH /users/{id}", "bury"]
    slow = {"timeout_before", "timeout_after", "late_commit", *KILLS}
    trials = [(point, kind) for point in points for kind in sorted(kinds_of(point.call) - slow)]
    for number, (point, kind) in enumerate(trials):
        user = f"u{number}"
        world.wire.reset()
        world.handle(created(user, version=1, name="Ann", picture=world.pictures.url("ff0000")))
        whop_user = world.row(user)["whop_user_id"]
        world.wire.reset()
        world.wire.planned = {point: kind}
        world.settle(deleted(user, version=5))
        assert world.wire.met, (point, kind)
        assert (shown_of(world, whop_user), world.owner(whop_user)) == ((DELETED, False), None), (point, kind)
        assert not {"lease_id", "whop_user_id"} & set(world.row(user)), (point, kind)
        world.settle(created(user, version=7, name="Anne"))
        assert world.shown(user) == ("Anne", None), (point, kind)


# -- every order -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def worlds(engine: Engine) -> Iterator[dict[str, World]]:
    with World(engine, call_timeout=5) as older, World(engine, call_timeout=5, enrollment="accounts") as newer:
        yield {"companies": older, "accounts": newer}


KINDS = ("created", "updated", "restored", "suspended", "deleted")

statements = st.builds(
    lambda kind, version, time, name, flag: (kind, version, time, name, flag if kind == "updated" else None),
    st.sampled_from(KINDS),
    st.integers(1, 3),
    st.integers(0, 2),
    st.sampled_from(["Ann", "Bea"]),
    st.sampled_from([None, None, "active", "suspended"]),
)

numbers = itertools.count()


def wanted(events: Sequence[UserEvent]) -> tuple[Standing, str | None]:
    """Standing and name, from the events alone."""
    lifecycle = max((each for each in events if each.kind != "updated"), key=lambda each: each.order, default=None)
    flags = [each for each in events if each.kind == "updated" and each.standing]
    said: Standing = "active"
    if lifecycle is not None and lifecycle.kind == "deleted":
        said = "deleted"
    else:
        newest = max([*flags, *([lifecycle] if lifecycle else [])], key=lambda each: each.order, default=None)
        if newest is not None and "suspended" in (newest.kind, newest.standing):
            said = "suspended"
    values = [(each.order, each.profile.get("name") or "", each) for each in events]
    _, _, last = max(values, key=lambda value: (value[0], value[2].positions["name"].content))
    return said, None if last.kind == "deleted" else last.profile["name"]


@pytest.mark.parametrize("enrollment", ["companies", "accounts"])
@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=st.lists(statements, min_size=2, max_size=5, unique_by=lambda each: each[:3]), data=st.data())
def test_every_order_of_arrival_ends_alike(
    worlds: dict[str, World], enrollment: str, drawn: list[tuple[Any, int, int, str, Any]], data: st.DataObject
) -> None:
    world = worlds[enrollment]
    user = f"order{next(numbers)}"
    events = [
        event(user, version, kind=kind, event_time=time, name=name, standing=flag)
        for kind, version, time, name, flag in drawn
    ]
    arrivals = data.draw(st.permutations(events))
    _arrive(world, arrivals)
    said, name = wanted(events)
    assert standing(world, user) == said
    if said == "deleted":
        assert "whop_user_id" not in world.row(user)
        former = world.row(user).get("former_whop_user_id")
        assert former is None or shown_of(world, former) == (DELETED, False)
    elif "whop_user_id" not in world.row(user):  # a suspension enrolls no user
        deletion = max((each.order for each in events if each.kind == "deleted"), default=(0, 0, 0))
        assert all(each.kind == "suspended" for each in events if each.order > deletion)
    else:
        assert world.shown(user)[0] == name
        assert world.owner(world.row(user)["whop_user_id"]) == user
    assert sum(user in (each.metadata or {}).values() for each in world.fake.companies()) <= 1
    assert "lease_id" not in world.row(user)


@pytest.mark.parametrize("enrollment", ["companies", "accounts"])
@settings(max_examples=40, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_an_email_that_is_handed_on_ends_with_its_new_user_in_every_order(
    worlds: dict[str, World], enrollment: str, data: st.DataObject
) -> None:
    world = worlds[enrollment]
    first, second = f"first{next(numbers)}", f"second{next(numbers)}"
    email = f"{first}@shop.test"
    events = [
        created(first, version=1, email=email, name="Ann"),
        event(first, version=2, email=email, name="Anna"),
        deleted(first, version=3),
        created(second, version=4, email=email, name="Bob"),
        event(second, version=5, email=email, name="Rob"),
    ]
    _arrive(world, data.draw(st.permutations(events)))
    assert (standing(world, first), standing(world, second)) == ("deleted", "active")
    assert world.shown(second)[0] == "Rob"
    assert world.owner(world.row(second)["whop_user_id"]) == second


def _arrive(world: World, arrivals: Sequence[UserEvent]) -> None:
    """Each event is tried in turn, again and again as its queue would, within the hour and after it."""
    waiting, sent_at = list(arrivals), world.clock()
    for _ in range(400):
        still = []
        for each in waiting:
            try:
                world.handle(each, age=world.clock() - sent_at)
            except Transient:
                still.append(each)
        if not still:
            return
        waiting = still
        world.clock.sleep(60)
    raise AssertionError("it never ends")


# -- the order itself --------------------------------------------------------------------------------------------------

positions = st.builds(
    Position,
    st.integers(-(10**17), 10**17),
    st.integers(-(10**17), 10**17),
    st.integers(0, 4),
    st.text("0123456789abcdef", max_size=4),
)


@given(one=positions, other=positions)
def test_positions_sort_as_their_texts_do(one: Position, other: Position) -> None:
    assert (one < other) == (str(one) < str(other))
    assert Position.of(str(one)) == one


@pytest.mark.parametrize(
    ("lifecycle", "flag", "expected"),
    [
        (None, None, "active"),
        (("created", 1, "active"), None, "active"),
        (("deleted", 1, "deleted"), ("updated", 2, "active"), "deleted"),
        (("suspended", 2, "suspended"), ("updated", 1, "active"), "suspended"),
        (("suspended", 1, "suspended"), ("updated", 2, "active"), "active"),
        (("created", 1, "active"), ("updated", 2, "suspended"), "suspended"),
    ],
)
def test_the_newest_statement_is_the_standing_and_a_flag_never_revives(
    lifecycle: Any, flag: Any, expected: Standing
) -> None:
    ranks = {"created": 0, "updated": 1, "restored": 2, "suspended": 3, "deleted": 4}
    fields: dict[Any, Position] = {}
    for name, said in (("standing", lifecycle), ("flag", flag)):
        if said:
            kind, version, content = said
            fields[name] = Position(version, 0, ranks[kind], content)
    assert standing_of(fields) == expected


def test_a_suspension_of_a_user_whom_enroll_if_leaves_out_asks_whop_nothing_and_holds_once_they_enroll(
    world: World,
) -> None:
    left_out = suspension_in(event("u1", 2, kind="suspended", standing="suspended", name="Ann"))
    assert left_out is not None
    world.settle(left_out)
    assert world.fake.calls == []
    world.settle(event("u1", 3, name="Ann"))
    assert world.row("u1")["standing"] == "suspended"
    assert len(world.fake.companies()) == 1
