"""Whatever the order, the repetitions and the company of events: in the end Whop shows the newest of each field.

Two ways of proof: workers that fall asleep at each of their calls, and arrivals made up at random by Hypothesis.
"""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, ClassVar, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from fake_whop import Fault
from harness import World, created, event
from harness.faults import PICTURE, Meanwhile, Point, kinds_of
from local_stack.engine import Engine
from local_stack.pictures import png
from whop_sync.batches.retries import RETRIES
from whop_sync.errors import Permanent, Transient
from whop_sync.events import PROFILE_FIELDS, UserEvent
from whop_sync.users.mappings import LEASE_SECONDS

NEVER = float("inf")


@pytest.fixture(scope="module")
def world(engine: Engine) -> Iterator[World]:
    with World(engine, call_timeout=5) as world:
        yield world


users = (f"u{number}" for number in itertools.count())


def fresh_user(world: World) -> str:
    world.fake.reset()
    world.wire.reset()
    world.clock.sleep(86400)
    return next(users)


# -- a worker that sleeps ----------------------------------------------------------------------------------------------


type Meeting = Callable[[World, str], tuple[UserEvent, UserEvent]]
"""Gives a user a past; returns the event of the worker who falls asleep, and that of the one who comes by meanwhile."""


def a_newer_event_of_a_new_user(world: World, user: str) -> tuple[UserEvent, UserEvent]:
    return (
        created(user, version=1, name="Old", picture=world.pictures.url("ff0000")),
        event(user, version=2, name="New", picture=world.pictures.url("0000ff")),
    )


def the_same_event_of_a_new_user(world: World, user: str) -> tuple[UserEvent, UserEvent]:
    same, _ = a_newer_event_of_a_new_user(world, user)
    return same, same


def an_older_event_of_a_new_user(world: World, user: str) -> tuple[UserEvent, UserEvent]:
    old, new = a_newer_event_of_a_new_user(world, user)
    return new, old


def a_newer_event_of_a_known_user(world: World, user: str) -> tuple[UserEvent, UserEvent]:
    world.handle(created(user, version=0, name="First", picture=world.pictures.url("00ff00")))
    return a_newer_event_of_a_new_user(world, user)


def an_older_event_of_a_known_user(world: World, user: str) -> tuple[UserEvent, UserEvent]:
    old, new = a_newer_event_of_a_known_user(world, user)
    return new, old


def a_newer_event_of_a_user_with_an_orphan(world: World, user: str) -> tuple[UserEvent, UserEvent]:
    world.fake.fault(Fault("POST /companies", "error_500_after"))
    world.failure(created(user, version=0, name="First"))
    return a_newer_event_of_a_new_user(world, user)


def a_newer_event_of_a_user_whose_create_was_lost(world: World, user: str) -> tuple[UserEvent, UserEvent]:
    world.fake.fault(Fault("POST /companies", "error_500_before"))
    world.failure(created(user, version=0, name="First"))
    world.clock.sleep(120)
    return a_newer_event_of_a_new_user(world, user)


@pytest.mark.parametrize(
    "meeting",
    [
        a_newer_event_of_a_new_user,
        the_same_event_of_a_new_user,
        an_older_event_of_a_new_user,
        a_newer_event_of_a_known_user,
        an_older_event_of_a_known_user,
        a_newer_event_of_a_user_with_an_orphan,
        a_newer_event_of_a_user_whose_create_was_lost,
    ],
)
def test_a_worker_that_wakes_up_after_its_lease_does_not_win(world: World, meeting: Meeting) -> None:
    """It falls asleep after each of its calls in turn, and another one does its work while it sleeps."""
    user = fresh_user(world)
    mine, _ = meeting(world, user)
    world.wire.reset()
    world.handle(mine)
    for point in list(world.wire.passed):
        user = fresh_user(world)
        mine, others = meeting(world, user)

        def meanwhile(others: UserEvent = others) -> None:
            world.clock.sleep(LEASE_SECONDS + 1)
            world.settle(others)

        world.wire.reset()
        world.wire.planned = {Point(0, point.call, point.nth): Meanwhile("after", meanwhile)}
        with suppress(Transient):
            world.synchronization.handle(mine, age=0, deadline=NEVER)
        assert not world.wire.planned, f"never came to {point}"
        world.settle(mine, others)
        flaws = disagreements(world, user, [mine, others])
        assert not flaws, f"asleep after {point}: {flaws}"


def test_a_worker_that_wakes_up_after_a_refusal_does_not_set_the_rest(world: World) -> None:
    user = fresh_user(world)
    old, new = a_newer_event_of_a_known_user(world, user)

    def meanwhile() -> None:
        world.clock.sleep(LEASE_SECONDS + 1)
        world.settle(new)

    world.wire.reset()
    world.fake.fault(Fault("PATCH /users/{id}", "error_null", status=422))
    world.wire.planned = {Point(0, "PATCH /users/{id}", 1): Meanwhile("after", meanwhile)}
    with pytest.raises(Transient):
        world.synchronization.handle(old, age=0, deadline=NEVER)
    assert world.shown(user)[0] == "New"


def disagreements(world: World, user: str, events: list[UserEvent]) -> list[str]:
    """What differs between Whop, the row and the newest events of a user."""
    row = world.row(user)
    owners = [each.owner_id for each in world.fake.companies() if each.metadata == {"internal_user_id": user}]
    shown = dict(zip(PROFILE_FIELDS, world.shown(user), strict=True))
    found: list[tuple[str, object, object]] = [
        ("accounts", owners, [row["whop_user_id"]]),
        ("owner", world.owner(row["whop_user_id"]), user),
        ("status", row["status"], "synced"),
        ("left", {"lease_id", "enrollment_attempt"} & set(row), set()),
    ]
    for name in PROFILE_FIELDS:
        sent = [each for each in events if name in each.profile]
        newest = max(sent, key=lambda each: each.positions[name], default=None)
        value = newest.profile[name] if newest else None
        found.append((f"{name} position", world.position(name, user), newest and newest.positions[name]))
        if name == "name":
            found.append((name, shown[name], value))
        elif value is None or "broken" not in value:
            found.append((name, shown[name], value and png(value[-10:-4])))
    return [f"{what} is {actual}, not {wanted}" for what, actual, wanted in found if actual != wanted]


# -- arrivals at random ------------------------------------------------------------------------------------------------

CALLS = (
    "claim",
    "POST /companies",
    "record account",
    PICTURE,
    "POST /files",
    "PUT upload",
    "GET /files/{id}",
    "PATCH /users/{id}",
    "commit",
)
SILENT = {"timeout_before", "timeout_after", "late_commit"}
"""Kinds of failure that take real time."""

NAMES = (None, "Ann", "Bea", "Cleo")


class Death(BaseException):
    """Ends a worker on the spot."""


class Arrivals(RuleBasedStateMachine):
    """Events of three users come in any order, again and again, one by one or together."""

    world: ClassVar[World]

    def __init__(self) -> None:
        super().__init__()
        self.users = [fresh_user(self.world) for _ in range(3)]
        self.sent: dict[str, list[UserEvent]] = {user: [] for user in self.users}
        self.queue: list[UserEvent] = []
        self.parked: list[UserEvent] = []

    @rule(
        user=st.integers(0, 2),
        version=st.integers(1, 5),
        kind=st.sampled_from(["created", "updated", "updated"]),
        has_email=st.sampled_from([True, True, True, False]),
        name=st.sampled_from(["absent", *NAMES]),
        picture=st.sampled_from(["absent", None, "1", "2", "broken"]),
    )
    def send(  # noqa: PLR0917
        self, user: int, version: int, kind: Any, has_email: bool, name: str | None, picture: str | None
    ) -> None:
        profile: dict[str, str | None] = {}
        if name != "absent":
            profile["name"] = name
        if picture != "absent":
            path = picture if picture in (None, "broken") else self._colour(user, picture)
            profile["picture"] = path and self.world.pictures.url(path)
        user_id = self.users[user]
        change = event(user_id, version, kind=kind, email="" if has_email else None, **cast("Any", profile))
        self.sent[user_id].append(change)
        self.queue.append(change)

    @rule(which=st.integers(0, 99))
    def deliver(self, which: int) -> None:
        for change in self._take([which]):
            self._deliver(change)

    @rule(which=st.integers(0, 99))
    def repeat(self, which: int) -> None:
        self.queue += 2 * self._take([which])

    @rule(which=st.lists(st.integers(0, 99), min_size=2, max_size=4))
    def deliver_together(self, which: list[int]) -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self._deliver, self._take(which)))

    @rule(seconds=st.sampled_from([1, 30, LEASE_SECONDS + 1]))
    def wait(self, seconds: int) -> None:
        self.world.clock.sleep(seconds)

    def teardown(self) -> None:
        for user in self.users:
            if self.sent[user] and not any(each.email for each in self.sent[user]):
                self._send_email(user)
        for number in range(60):
            waiting, self.queue = self.queue, []
            for change in waiting:
                # At last the events are as old as a picture is tried that is not there.
                self._deliver(change, age=0 if number < 40 else 2 * RETRIES.picture_patience)
            if not self.queue:
                waiting, self.parked = self.parked, []
                if not waiting:
                    break
                self.queue = waiting
            self.world.clock.sleep(20 if number < 30 else RETRIES.picture_patience / 5)
        assert not self.queue
        flaws = [flaw for user in self.users for flaw in self._flaws(user)]
        assert not flaws, flaws

    def _flaws(self, user: str) -> list[str]:
        events = self.sent[user]
        return disagreements(self.world, user, events) + self._doubled_uploads(user) if events else []

    def _doubled_uploads(self, user: str) -> list[str]:
        """Uploads of the very picture that was uploaded last, unless it was cleared since."""
        whop_user_id = self.world.row(user)["whop_user_id"]
        own = [png(self._colour(self.users.index(user), variant)) for variant in "12"]
        doubled: list[str] = []
        last = None
        for call in self.world.fake.calls:
            if call.operation == "PUT upload":
                content = self.world.fake.file(call.path.rpartition("/")[2]).content
                if content in own:
                    doubled += [f"{call.path} was uploaded before"] if content == last else []
                    last = content
            elif call.operation == "PATCH /users/{id}" and call.path.endswith(whop_user_id):
                last = None if (call.body or {}).get("profile_picture", "") is None else last
        return doubled

    @staticmethod
    def _colour(user: int, variant: str) -> str:
        return f"{user:03}00{variant}"

    def _send_email(self, user: str) -> None:
        change = created(user, version=0)
        self.sent[user].append(change)
        self.queue.append(change)

    def _take(self, which: list[int]) -> list[UserEvent]:
        """Out of the queue, as many as there are; numbers of any size say which."""
        return [self.queue.pop(each % len(self.queue)) for each in which[: len(self.queue)]]

    def _deliver(self, change: UserEvent, *, age: float = 0) -> None:
        try:
            self.world.handle(change, age=age)
        except Permanent:
            self.parked.append(change)
        except Transient:
            self.queue.append(change)


class TroubledArrivals(Arrivals):
    """The same, with failing calls, and workers that die or sleep in the middle."""

    @rule(call=st.sampled_from(CALLS), kind=st.integers(0, 99))
    def fail_next(self, call: str, kind: int) -> None:
        kinds = sorted(kinds_of(call) - SILENT - {"killed_before", "killed_after"})
        self._plan(call, kinds[kind % len(kinds)])

    @rule(
        which=st.integers(0, 99),
        call=st.sampled_from([call for call in CALLS if call != PICTURE]),
        when=st.sampled_from(["before", "after"]),
    )
    def die(self, which: int, call: str, when: Any) -> None:
        def death() -> None:
            raise Death

        for change in self._take([which]):
            self._plan(call, Meanwhile(when, death))
            try:
                self._deliver(change)
            except Death:
                self.queue.append(change)

    @rule(which=st.integers(0, 99), call=st.sampled_from(CALLS))
    def sleep(self, which: int, call: str) -> None:
        def meanwhile() -> None:
            self.world.clock.sleep(LEASE_SECONDS + 1)
            for change in self._take([0] * len(self.queue)):
                self._deliver(change)

        for change in self._take([which]):
            self._plan(call, Meanwhile("after", meanwhile))
            self._deliver(change)

    def _flaws(self, user: str) -> list[str]:
        """A worker that died over an upload leaves nothing to find the file by, so there may be two of it."""
        return disagreements(self.world, user, self.sent[user]) if self.sent[user] else []

    def _plan(self, call: str, trouble: Any) -> None:
        self.world.wire.planned[Point(self.world.wire.delivery + 1, call, 1)] = trouble


@pytest.mark.parametrize("machine", [Arrivals, TroubledArrivals])
def test_in_the_end_whop_shows_the_newest_event_of_every_user(world: World, machine: type[Arrivals]) -> None:
    machine.world = world
    run_state_machine_as_test(
        machine, settings=settings(max_examples=20, stateful_step_count=30, derandomize=True, deadline=None)
    )
