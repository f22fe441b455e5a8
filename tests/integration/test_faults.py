"""Every call of a worker goes wrong in every way, alone and in pairs: nothing is lost or doubled, the newest shows, and
what was announced says what the row says.

Which calls there are is never written down: a run without failures shows it, and so does a run with one for the second.
"""

import itertools
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from fake_whop import Fault
from harness import WORKER_SECONDS, World, created, event
from harness.announcements import believed, flaws, said
from harness.crashing_worker import Mortals, running_mortals
from harness.faults import AWS_KINDS, KILLS, LATE_SECONDS, PICTURE_KINDS, WHOP_KINDS, Point, kinds_of
from local_stack.engine import Engine
from local_stack.pictures import png
from whop_sync.aws.queues import Queue
from whop_sync.batches.worker import Record, Worker
from whop_sync.errors import Permanent, Transient
from whop_sync.events import UserEvent
from whop_sync.journal import Journal
from whop_sync.syncing.user_events import UserEvents

RETURN_SECONDS = 720
"""The queues' visibility timeout: when a message comes back whose worker was killed."""

type Scenario = Callable[[World, str], UserEvent]
"""Gives a user a past, and returns the event that is tried."""


def new_user(world: World, user_id: str) -> UserEvent:
    return created(user_id, name="Ann", picture=world.pictures.url("ff0000"))


def known_user(world: World, user_id: str) -> UserEvent:
    world.handle(new_user(world, user_id))
    return event(user_id, version=2, name="Anna", picture=world.pictures.url("0000ff"))


def new_user_by_the_newer_call(world: World, user_id: str) -> UserEvent:
    world.move_to("accounts")
    return new_user(world, user_id)


def user_of_whop_sign_in(world: World, user_id: str) -> UserEvent:
    known = world.fake.add_user(email=f"{user_id}@home.test", name="Global Ann", member_of=world.whop.company_id)
    return created(user_id, whop_user_id=known.id, name="Ann", picture=world.pictures.url("ff0000"))


def user_with_an_orphan(world: World, user_id: str) -> UserEvent:
    world.fake.fault(Fault("POST /companies", "error_500_after"))
    world.failure(new_user(world, user_id))
    return new_user(world, user_id)


def user_whose_create_was_lost(world: World, user_id: str) -> UserEvent:
    world.fake.fault(Fault("POST /companies", "error_500_before"))
    world.failure(new_user(world, user_id))
    return new_user(world, user_id)


def user_who_returns(world: World, user_id: str) -> UserEvent:
    world.handle(new_user(world, user_id))
    world.handle(event(user_id, version=2, kind="deleted", email=None))
    return created(user_id, version=3, name="Anna", picture=world.pictures.url("0000ff"))


def user_who_is_suspended(world: World, user_id: str) -> UserEvent:
    """With another e-mail: two things to announce by one commit."""
    world.handle(new_user(world, user_id))
    brings: Any = {"name": "Anna", "picture": world.pictures.url("0000ff")}
    return event(user_id, version=2, kind="suspended", email=f"{user_id}@new.test", **brings)


def user_who_leaves(world: World, user_id: str) -> UserEvent:
    world.handle(new_user(world, user_id))
    return event(user_id, version=2, kind="deleted", email=None)


def user_whom_whop_refuses(world: World, user_id: str) -> UserEvent:
    return created(user_id, email=f"{user_id}@example.com", name="Ann", picture=world.pictures.url("ff0000"))


def user_who_recovers(world: World, user_id: str) -> UserEvent:
    world.failure(user_whom_whop_refuses(world, user_id))
    return created(user_id, version=2, name="Ann", picture=world.pictures.url("ff0000"))


@pytest.fixture(scope="session")
def mortals() -> Iterator[Mortals]:
    with running_mortals() as mortals:
        yield mortals


@pytest.fixture(scope="module")
def trials(engine: Engine, mortals: Mortals) -> Iterator["Trials"]:
    with World(engine, call_timeout=5, announces=True) as world:
        yield Trials(world, mortals)


@dataclass
class Trials:
    """One user after another goes through the same: a past without failures, then the event on trial."""

    world: World
    mortals: Mortals
    users: Iterator[str] = field(default_factory=lambda: (f"u{number}" for number in itertools.count()))
    recorded: dict[Scenario, list[Point]] = field(default_factory=dict)

    def calls(self, scenario: Scenario) -> list[Point]:
        """All calls of a run without failures."""
        if scenario not in self.recorded:
            self.recorded[scenario] = self.run(scenario, {})
        return self.recorded[scenario]

    def run(self, scenario: Scenario, faults: Mapping[Point, str]) -> list[Point]:
        """All calls of the way of the event. Raises AssertionError if it did not end as it should."""
        world, wire = self.world, self.world.wire
        world.fake.reset()
        world.move_to("companies")
        world.clock.sleep(86400)
        wire.reset()
        event = scenario(world, next(self.users))
        wire.reset()
        wire.planned = dict(faults)
        self._settle(event)
        passed, met = list(wire.passed), set(wire.met)
        survived = {point for point in faults if not self._kills(faults, point.delivery)}
        assert survived <= met, f"never came to {survived - met}"
        self._check(event)
        return passed

    def expect_no_flaw(self, scenario: Scenario, trials: Iterable[Mapping[Point, str]]) -> None:
        """Runs them all and names all that went wrong."""
        flaws = []
        for faults in trials:
            try:
                self.run(scenario, faults)
            except AssertionError as flaw:
                plan = ", then ".join(f"{kind} at {point}" for point, kind in faults.items())
                flaws.append(f"{plan}: {flaw}")
        assert not flaws, "\n".join(flaws)

    @staticmethod
    def _kills(faults: Mapping[Point, str], delivery: int) -> bool:
        return any(point.delivery == delivery and kind in KILLS for point, kind in faults.items())

    def _settle(self, event: UserEvent) -> None:
        """Plays the queue, which brings the event back later and later."""
        world, wire = self.world, self.world.wire
        for wait in (40 * 2**number for number in range(12)):
            try:
                if self._kills(wire.planned, wire.delivery + 1):  # type: ignore[arg-type]
                    wire.begin_delivery()
                    self.mortals.handle(event, world)
                    world.clock.sleep(RETURN_SECONDS)
                else:
                    world.handle(event)
                    return
            except Permanent:
                return
            except Transient as error:
                world.clock.sleep(max(wait, error.retry_after or 0))
        raise AssertionError("it never ends")

    def _check(self, event: UserEvent) -> None:
        """All is done, for good: neither what is still under way changes it, nor the same event once more."""
        world, user_id = self.world, event.user_id
        world.clock.sleep(3600)
        world.wire.settle()
        is_refused = event.email is not None and event.email.endswith("@example.com")
        if is_refused:
            assert isinstance(world.failure(event), Permanent)
        else:
            calls = len(world.fake.calls)
            assert world.handle(event).outcome == "stale"
            assert len(world.fake.calls) == calls
        row, announced = world.row(user_id), world.announced(user_id)
        assert not flaws(row, announced)
        assert believed(announced) == said(row)
        assert not {"lease_id", "enrollment_attempt"} & set(row)
        if is_refused:
            assert (row["status"], "whop_user_id" in row) == ("failed", False)
        elif event.kind == "deleted":
            assert (row["status"], world.owner(row["former_whop_user_id"])) == ("deleted", None)
        else:
            self._check_account(event)

    def _check_account(self, event: UserEvent) -> None:
        world, user_id = self.world, event.user_id
        row = world.row(user_id)
        accounts = [each.owner_id for each in world.fake.companies() if user_id in (each.metadata or {}).values()]
        assert accounts == ([] if event.whop_user_id else [row["whop_user_id"]])
        assert event.whop_user_id in (None, row["whop_user_id"])
        assert world.owner(row["whop_user_id"]) == user_id
        assert world.shown(user_id) == (event.profile["name"], png(str(event.profile["picture"])[-10:-4]))
        assert {world.position(name, user_id) for name in ("name", "picture")} == {
            event.positions["name"],
            event.positions["picture"],
        }
        assert row["status"] == "synced"
        assert "last_error" not in row
        # A worker killed over the picture leaves the name noted too, set long before: that costs a call, some day. So
        # does one that is killed while it sends what an earlier one left over, since the event is stale by then.
        may_be_noted = {"name", "picture"} if event.kind == "suspended" else {"name"}
        assert set(row.get("unsettled", ())) <= may_be_noted


ALL_KINDS = WHOP_KINDS | AWS_KINDS | PICTURE_KINDS
DONE = {"timeout_after", "late_commit", "truncated_json"} | {kind for kind in ALL_KINDS - KILLS if "_after" in kind}
CLASSES = {"not done": ALL_KINDS - KILLS - DONE, "done or maybe": DONE, "killed": KILLS}


@pytest.mark.parametrize("kind", sorted(ALL_KINDS))
class TestSingleFaults:
    @pytest.mark.parametrize("scenario", [new_user, known_user])
    def test_wherever_it_hits(self, trials: Trials, scenario: Scenario, kind: str) -> None:
        points = trials.calls(scenario)
        trials.expect_no_flaw(scenario, ({point: kind} for point in points if kind in kinds_of(point.call)))

    @pytest.mark.parametrize(
        "scenario",
        [
            new_user_by_the_newer_call,
            user_of_whop_sign_in,
            user_with_an_orphan,
            user_whose_create_was_lost,
            user_who_returns,
            user_who_recovers,
        ],
    )
    def test_wherever_it_hits_an_enrollment(self, trials: Trials, scenario: Scenario, kind: str) -> None:
        """What follows once the account is recorded is the way of a new user."""
        points = trials.calls(scenario)
        points = points[: [point.call for point in points].index("announce") + 1]
        trials.expect_no_flaw(scenario, ({point: kind} for point in points if kind in kinds_of(point.call)))

    @pytest.mark.parametrize("scenario", [user_who_is_suspended, user_who_leaves, user_whom_whop_refuses])
    def test_wherever_it_hits_what_is_announced_with_a_commit(
        self, trials: Trials, scenario: Scenario, kind: str
    ) -> None:
        """From the last call to Whop on: what comes before is the way of all events."""
        points = trials.calls(scenario)
        first = max(number for number, point in enumerate(points) if " /" in point.call)
        points = points[first:]
        assert {point.call for point in points} & {"commit", "bury"}
        assert points[-1].call == "release"
        trials.expect_no_flaw(scenario, ({point: kind} for point in points if kind in kinds_of(point.call)))


@pytest.mark.parametrize("second", CLASSES)
@pytest.mark.parametrize("first", CLASSES)
@pytest.mark.parametrize("scenario", [new_user, known_user, user_who_is_suspended])
def test_any_two_faults(trials: Trials, scenario: Scenario, first: str, second: str) -> None:
    """Every class of fault at every call, before every class of fault at every call of what follows.

    The kinds of a class take turns. Of a suspension it is the calls from the commit on.
    """
    turns = itertools.count()

    def pairs() -> Iterator[Mapping[Point, str]]:
        points = list(_firsts(trials.calls(scenario)))
        if scenario is user_who_is_suspended:
            points = points[[point.call for point in points].index("commit") :]
        for one in points:
            for kind in _in_turn(turns, first, one):
                passed = trials.run(scenario, {one: kind})
                later = passed[passed.index(one) + 1 :] if one in passed else passed
                for other in _firsts(point for point in later if one in passed or point.delivery > one.delivery):
                    for other_kind in _in_turn(turns, second, other):
                        yield {one: kind, other: other_kind}

    trials.expect_no_flaw(scenario, pairs())


def _firsts(points: Iterable[Point]) -> Iterable[Point]:
    """The first point of each call."""
    firsts: dict[str, Point] = {}
    for point in points:
        firsts.setdefault(point.call, point)
    return firsts.values()


def _in_turn(turns: Iterator[int], fault_class: str, point: Point) -> list[str]:
    """One kind of the class, none if the call knows none, or is one that only reads, to which all faults are alike."""
    kinds = sorted(CLASSES[fault_class] & kinds_of(point.call))
    if not kinds or (point.call.startswith("GET") and fault_class != "not done"):
        return []
    return [kinds[next(turns) % len(kinds)]]


class TestQueue:
    """The worker and its queues: SQS fails when a message is to wait or to be parked."""

    @pytest.mark.parametrize("kind", sorted(AWS_KINDS - KILLS))
    def test_a_message_whose_wait_cannot_be_set_comes_back(self, line: "Line", kind: str) -> None:
        line.world.fake.fault(Fault("POST /companies", "rate_limited"))
        line.world.wire.planned = {Point(0, "postpone", 1): kind}
        line.run(created("u1", name="Ann"))
        assert line.world.wire.met
        assert line.world.shown("u1")[0] == "Ann"
        assert line.parked() == []

    @pytest.mark.parametrize("kind", sorted(AWS_KINDS - KILLS))
    def test_a_message_that_cannot_be_parked_stays_until_it_can(self, line: "Line", kind: str) -> None:
        line.world.wire.planned = {Point(0, "park", 1): kind}
        line.run(created("u1", email="ann@example.com", name="Ann"))
        line.world.clock.sleep(LATE_SECONDS)
        line.world.wire.settle()
        assert line.world.wire.met
        # Twice if an answer was lost: better than never.
        assert set(line.parked()) == {"whop_refused"}


@dataclass
class Line:
    """A worker with its queues, and what Lambda does for them."""

    world: World

    def __post_init__(self) -> None:
        sqs = self.world.client("sqs")
        self.world.wire.attach(self.world.http, sqs)
        name = f"line-{uuid.uuid4().hex[:12]}"
        self.url, self.dead_url = (
            sqs.create_queue(QueueName=name + suffix)["QueueUrl"] for suffix in ("", "-dead-letters")
        )
        self.sqs = self.world.client("sqs")
        journal = Journal()
        self.worker = Worker(
            messages=UserEvents(handler=self.world.synchronization, journal=journal),
            queue=Queue(sqs, self.url),
            dead_letters=Queue(sqs, self.dead_url),
            journal=journal,
            clock=self.world.clock,
            pool=ThreadPoolExecutor(1),
        )

    def run(self, event: UserEvent) -> None:
        """Hands the event to the worker, again and again, until it has left the queue."""
        self.sqs.send_message(QueueUrl=self.url, MessageBody=event.to_json())
        for _ in range(20):
            messages = self._receive(self.url)
            if not messages:
                return
            [message] = messages
            record: Record = {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
            }
            staying = self.worker.handle([record], seconds_left=WORKER_SECONDS)["batchItemFailures"]
            receipt = {"QueueUrl": self.url, "ReceiptHandle": message["ReceiptHandle"]}
            if staying:
                self.sqs.change_message_visibility(**receipt, VisibilityTimeout=0)
                self.world.clock.sleep(RETURN_SECONDS)
            else:
                self.sqs.delete_message(**receipt)
        raise AssertionError("it never ends")

    def parked(self) -> list[str]:
        """The reasons of what lies in the dead-letter queue."""
        return [message["MessageAttributes"]["reason"]["StringValue"] for message in self._receive(self.dead_url)]

    def _receive(self, url: str) -> list[Any]:
        received = self.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"], MessageAttributeNames=["All"]
        )
        return list(received.get("Messages", []))


@pytest.fixture
def line(world: World) -> Line:
    return Line(world)
