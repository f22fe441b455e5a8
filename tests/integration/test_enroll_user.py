"""`PUT /users/{user_id}`: the same way to Whop as a worker's, while the platform's backend waits for the answer."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest

from fake_whop import ALL_SCOPES, Fault
from harness import WORKER_SECONDS, Clock, World
from harness.crashing_worker import Mortals, running_mortals
from harness.faults import Point
from harness.openapi import Answer
from local_stack.engine import Engine
from whop_sync.aws.queues import EventQueues, Queue
from whop_sync.backend_api.enrolling import CALL_SECONDS, WAIT_SECONDS, WORK_SECONDS, EnrollUser, Handler
from whop_sync.backend_api.lookups import LookUp
from whop_sync.errors import AwaitsTurn, Transient
from whop_sync.events import UserEvent
from whop_sync.journal import Journal
from whop_sync.pictures.errors import PictureUnavailable
from whop_sync.pictures.fetching import Picture, PictureFetcher
from whop_sync.receiving.enroll_requests import RequestReader
from whop_sync.users.directory import Directory
from whop_sync.users.mappings import LEASE_SECONDS

if TYPE_CHECKING:
    from whop_sync.announcements import Announcement

ROUTE = "PUT /users/{user_id}"
LONG_AGO = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)


def user(user_id: str = "u1", **data: Any) -> dict[str, Any]:
    """The body about a user whose e-mail is made from the id, with what is given on top; ... leaves a field out."""
    whole = {"id": user_id, "email": f"{user_id}@shop.test", "updated_at": LONG_AGO.isoformat(), **data}
    return {"type": "user.created", "data": {name: value for name, value in whole.items() if value is not ...}}


@dataclass
class Backend:
    """The function behind API Gateway, with queues that exist."""

    world: World
    created: Queue
    changed: Queue
    received: Callable[[], list[UserEvent]]
    enroll_if: str = ""
    handler: Handler | None = None
    meanwhile: list[Callable[[], object]] = field(default_factory=list)
    """What happens at the first waits of the function, in order."""

    def put(self, body: object, user_id: str = "u1", **event: Any) -> Answer:
        text = body if isinstance(body, str) else json.dumps(body)
        request: Any = {"pathParameters": {"user_id": user_id}, "body": text, **event}
        answer = self.function().answer(request)
        return Answer.documented(ROUTE, answer)

    def function(self) -> EnrollUser:
        return EnrollUser(
            reader=RequestReader(enroll_if=self.enroll_if),
            handler=self.handler or replace(self.world.synchronization, call_seconds=CALL_SECONDS),
            queues=EventQueues(created=self.created, changed=self.changed),
            directory=Directory(self.world.dynamodb, self.world.table),
            journal=Journal(),
            clock=self.world.clock,
            sleep=self._sleep,
        )

    def look_up(self, user_id: str = "u1") -> dict[str, Any]:
        function = LookUp(directory=Directory(self.world.dynamodb, self.world.table), journal=Journal())
        body: dict[str, Any] = json.loads(function.answer({"pathParameters": {"user_id": user_id}})["body"])
        return body

    def event(self, body: dict[str, Any]) -> UserEvent:
        """The event that the webhook with this body becomes, as a worker sees it."""
        reader = RequestReader(enroll_if="")
        return reader.read({"body": json.dumps(body)}, now=self.world.clock())

    def _sleep(self, seconds: float) -> None:
        if self.meanwhile:
            self.meanwhile.pop(0)()
        self.world.clock.sleep(seconds)


@pytest.fixture
def backend(world: World, engine: Engine) -> Iterator[Backend]:
    sqs = engine.sqs
    urls = [sqs.create_queue(QueueName=f"{world.table}-{name}")["QueueUrl"] for name in ("created", "changed")]

    def received() -> list[UserEvent]:
        """What is in the queues: in the first the events about new users, in the second all others."""
        found: list[UserEvent] = []
        for url, kinds in zip(urls, (("created",), ("updated",)), strict=True):
            for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
                event = UserEvent.from_json(message["Body"])
                assert event.kind in kinds
                found.append(event)
        return found

    yield Backend(world, Queue(sqs, urls[0]), Queue(sqs, urls[1]), received)
    for url in urls:
        sqs.delete_queue(QueueUrl=url)


# -- what it does --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("enrollment", ["companies", "accounts"])
def test_a_new_user_is_enrolled_and_shown_as_the_look_up_shows_them(world: World, backend: Backend) -> None:
    picture = world.pictures.url("00aa00")
    answer = backend.put(user(name="Ann", avatar_url=picture))
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.body == backend.look_up()
    assert (answer.body["status"], answer.body["whop_user_id"]) == ("synced", world.row()["whop_user_id"])
    name, shown = world.shown()
    assert name == "Ann"
    assert shown
    assert backend.received() == []


def test_the_same_request_again_asks_whop_nothing_and_answers_the_same(world: World, backend: Backend) -> None:
    first = backend.put(user(name="Ann"))
    before = world.operations()
    assert backend.put(user(name="Ann")) == first
    assert world.operations() == before


def test_a_user_who_is_there_is_updated_and_what_is_older_changes_nothing(world: World, backend: Backend) -> None:
    backend.put(user(name="Ann"))
    newer = user(name="Bea", updated_at="2026-02-01T00:00:00Z") | {"type": "user.updated"}
    assert backend.put(newer).status == 200
    assert world.shown()[0] == "Bea"
    assert backend.put(user(name="Ann", updated_at="2026-01-20T00:00:00Z")).status == 200
    assert world.shown()[0] == "Bea"


def test_a_time_ahead_counts_as_now(world: World, backend: Backend) -> None:
    """Taken as it is, it would outrank all that happens until then."""
    backend.put(user(name="Ann", updated_at="2031-01-01T00:00:00Z"))
    assert world.version("name") == int(world.clock() * 1_000_000)


def test_of_one_version_the_later_request_wins(world: World, backend: Backend) -> None:
    """A table whose updated_at stands still is usual: then the time of the request orders, which AWS has checked."""
    for name in ("Ann", "Bea", "Ada"):
        assert backend.put(user(name=name) | {"type": "user.updated"}).status == 200
        world.clock.sleep(5)
        assert world.shown()[0] == name


def test_a_suspended_user_is_shown_as_such(backend: Backend) -> None:
    backend.put(user(name="Ann"))
    suspended = user(suspended=True, updated_at="2026-02-01T00:00:00Z") | {"type": "user.updated"}
    answer = backend.put(suspended)
    assert (answer.status, answer.body["standing"]) == (200, "suspended")


def test_an_id_that_survives_no_path_comes_in_the_query(world: World, backend: Backend) -> None:
    answer = backend.put(user("shop/1", email="s1@shop.test"), "-", rawQueryString="user_id=shop%2F1")
    assert (answer.status, answer.body["user_id"]) == (200, "shop/1")
    assert world.row("shop/1")["status"] == "synced"


def test_a_body_may_come_as_base64(backend: Backend) -> None:
    body = base64.b64encode(json.dumps(user(name="Ann")).encode()).decode()
    assert backend.put(body, isBase64Encoded=True).status == 200


def test_what_a_request_changes_is_announced_like_a_workers(world: World, backend: Backend) -> None:
    announced: list[Announcement] = []
    backend.handler = replace(world.synchronization, call_seconds=CALL_SECONDS, announce=announced.append)
    backend.put(user(name="Ann"))
    backend.put(user(name="Ann"))
    assert [(each.type, each.user_id) for each in announced] == [("user.enrolled", "u1")]


# -- what it refuses -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("{", "The body is not JSON in UTF-8."),
        ("[]", "The body is not a JSON object."),
        ("", "The body is not JSON in UTF-8."),
        ({}, "The body names no event type at type."),
        ({"type": "user.created"}, "The user's id must be a whole number or a text of 1 to 255 characters."),
        (user("u2"), "data.id is not the id in the path."),
        (user(id=...), None),
        (user(email="ann"), None),
        (user(updated_at=...), "The body holds no time at data.updated_at or timestamp."),
        (user(updated_at="soon"), None),
        (user() | {"type": "user.deleted"}, "type must be user.created or user.updated"),
        (user() | {"type": "user.suspended"}, "type must be user.created or user.updated"),
        (user() | {"type": "order.created"}, "type must be user.created or user.updated"),
        (user(email=...) | {"type": "user.updated"}, "says nothing about them"),
        (user(name="x" * 300_000), "more than 262144 bytes"),
    ],
)
def test_a_wrong_body_is_400_with_a_sentence_and_nothing_is_done(
    world: World, backend: Backend, body: object, sentence: str | None
) -> None:
    answer = backend.put(body)
    assert answer.error == (400, "bad_request")
    message = answer.body["message"]
    assert message[0].isupper() or message.startswith(("data.id", "type"))
    assert message.endswith(".")
    assert sentence is None or sentence in message
    assert (world.row(), world.operations(), backend.received()) == ({}, [], [])


@pytest.mark.parametrize(("body", "encoded"), [("no base64!", True), ("\udcff", False)])
def test_a_body_that_is_no_text_is_400(backend: Backend, *, body: str, encoded: bool) -> None:
    assert backend.put(body, isBase64Encoded=encoded).error == (400, "bad_request")


def test_an_id_with_a_percent_sign_in_the_path_is_refused(world: World, backend: Backend) -> None:
    assert backend.put(user("50%"), "50%").error == (400, "bad_request")
    assert world.operations() == []


def test_a_user_who_is_not_chosen_is_409_and_never_sent_to_whop(world: World, backend: Backend) -> None:
    backend.enroll_if = "data.is_seller"
    refused = backend.put(user(name="Ann"))
    assert refused.error == (409, "not_chosen")
    assert "EnrollIf" in refused.body["message"]
    assert (world.row(), world.operations(), backend.received()) == ({}, [], [])
    assert backend.put(user(name="Ann", is_seller=True)).status == 200


def test_a_picture_in_the_body_is_refused_and_the_user_enrolled(world: World, backend: Backend) -> None:
    answer = backend.put(user(name="Ann", avatar_url="data:image/png;base64," + "A" * 400_000))
    assert answer.status == 200
    assert world.shown() == ("Ann", None)
    assert answer.body["last_error"] == "picture_inline"


# -- users of whom nothing can come now ----------------------------------------------------------------------------


def test_a_user_whom_whop_refuses_is_409_with_the_reason_of_the_look_up(world: World, backend: Backend) -> None:
    answer = backend.put(user(email="ann@example.com", name="Ann"))
    assert answer.error == (409, "enrollment_failed")
    assert "whop_refused" in answer.body["message"]
    assert int(answer.headers["retry-after"]) > 60
    assert answer.body["user"] == backend.look_up()["user"]
    assert backend.received() == []
    # And corrected data enrolls them
    assert backend.put(user(name="Ann", updated_at="2026-02-01T00:00:00Z")).status == 200
    assert world.row()["status"] == "synced"


def test_a_user_without_email_is_409_at_once_and_their_name_is_not_lost(world: World, backend: Backend) -> None:
    before = world.clock()
    answer = backend.put(user(email=..., name="Ann"))
    assert answer.error == (409, "no_email")
    assert world.clock() == before
    # And the one with the e-mail, which knows no name, and the one that waited in the queue make the user whole
    [waiting] = backend.received()
    assert backend.put(user(updated_at="2026-02-01T00:00:00Z") | {"type": "user.updated"}).status == 200
    world.settle(waiting)
    assert world.shown()[0] == "Ann"


def test_a_deleted_user_is_410_unless_what_is_said_is_newer(world: World, backend: Backend) -> None:
    backend.put(user(name="Ann"))
    gone = datetime(2026, 2, 1, tzinfo=UTC)
    deletion = UserEvent(
        kind="deleted", event_id="d", user_id="u1", version=int(gone.timestamp() * 1_000_000), standing="deleted"
    )
    world.handle(deletion)
    answer = backend.put(user(name="Ann"))
    assert answer.error == (410, "user_deleted")
    assert answer.body["user"]["whop_user_id"] is None
    # An update after the deletion waits in the queue for the event that revives them
    assert backend.put(user(name="Bea", updated_at="2026-02-02T00:00:00Z") | {"type": "user.updated"}).status == 410
    [waiting] = backend.received()
    assert backend.put(user(updated_at="2026-02-02T00:00:00Z")).status == 200
    world.settle(waiting)
    assert world.shown()[0] == "Bea"


# -- waiting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("enrollment", ["accounts"])
def test_a_passing_trouble_is_waited_out(world: World, backend: Backend) -> None:
    world.fake.fault(Fault(world.create_call, "error_500_before", times=2))
    world.fake.fault(Fault("PATCH /users/{id}", "rate_limited", delay=7))
    began = world.clock()
    assert backend.put(user(name="Ann")).status == 200
    assert 7 <= world.clock() - began < WAIT_SECONDS
    assert world.shown()[0] == "Ann"


@pytest.mark.parametrize("enrollment", ["accounts"])
def test_who_is_not_done_in_time_is_202_and_a_worker_goes_on(world: World, backend: Backend) -> None:
    world.fake.fault(Fault(world.create_call, "error_500_before", times=12))
    began = world.clock()
    answer = backend.put(user(name="Ann"))
    assert (answer.status, answer.body["status"]) == (202, "queued")
    assert answer.headers["retry-after"] == "5"
    assert world.clock() - began <= WAIT_SECONDS
    assert (answer.body["user"]["status"], answer.body["user"]["last_error"]) == ("enrolling", "whop_failed")
    [event] = backend.received()
    world.settle(event)
    assert world.shown()[0] == "Ann"
    assert backend.put(user(name="Ann")).status == 200


def test_a_lost_create_is_found_again(world: World, backend: Backend) -> None:
    world.fake.fault(Fault(world.create_call, "error_500_after"))
    assert backend.put(user(name="Ann")).status == 200
    assert len(world.fake.companies()) == 1


def test_a_lost_create_that_is_not_listed_is_left_to_a_worker(world: World, backend: Backend) -> None:
    """Whop's list gets two minutes to show what the older create call may have made: no caller waits for that."""
    world.fake.fault(Fault(world.create_call, "error_500_after"))
    world.switches.list_lag = 60
    began = world.clock()
    answer = backend.put(user(name="Ann"))
    assert answer.status == 202
    assert int(answer.headers["retry-after"]) > 100
    assert world.clock() - began < 2
    [event] = backend.received()
    world.settle(event)
    assert backend.put(user(name="Ann")).status == 200
    assert len(world.fake.companies()) == 1


@pytest.mark.parametrize("call", ["create", "PATCH /users/{id}"])
def test_a_call_without_an_answer_is_not_waited_for(
    world: World, backend: Backend, caplog: pytest.LogCaptureFixture, call: str
) -> None:
    """It may take effect later, so the user's row is kept for longer than any caller waits."""
    world.fake.fault(Fault(world.create_call if call == "create" else call, "timeout_after", times=None))
    began = world.clock()
    answer = backend.put(user(name="Ann"))
    assert (answer.status, world.clock()) == (202, began)
    [line] = [vars(record) for record in caplog.records if vars(record).get("what") == "EnrollUser"]
    assert line["reason"] != "busy"
    assert [event.user_id for event in backend.received()] == ["u1"]


def test_a_picture_whose_host_knows_it_a_moment_late_is_shown(world: World, backend: Backend) -> None:
    url = world.pictures.url("00aa00")
    backend.handler = _Late(world, missing=1)
    assert backend.put(user(name="Ann", avatar_url=url)).status == 200
    assert world.shown()[1]


def test_a_picture_that_does_not_come_costs_the_caller_two_tries_and_no_name(world: World, backend: Backend) -> None:
    backend.handler = late = _Late(world, missing=99)
    answer = backend.put(user(name="Ann", avatar_url=world.pictures.url("00aa00")))
    assert answer.status == 202
    assert answer.body["user"]["whop_user_id"] == world.row()["whop_user_id"]
    assert world.shown() == ("Ann", None)
    assert late.fetched == 2
    [event] = backend.received()
    world.settle(event)
    assert world.shown()[1]


class _Late:
    """A worker's way, with a picture host that does not know a picture the first times."""

    def __init__(self, world: World, *, missing: int) -> None:
        self.fetched, self.missing = 0, missing
        inner = replace(world.synchronization, call_seconds=CALL_SECONDS)
        self.pictures = inner.profiles.pictures
        self.inner = replace(inner, profiles=replace(inner.profiles, pictures=cast("PictureFetcher", self)))

    def handle(self, event: UserEvent, *, age: float, deadline: float) -> Any:
        return self.inner.handle(event, age=age, deadline=deadline)

    def fetch(self, url: str) -> Picture:
        self.fetched += 1
        if self.fetched <= self.missing:
            raise PictureUnavailable("picture_not_found", "the picture's host answered 404")
        return self.pictures.fetch(url)


def test_an_enrolled_user_whose_profile_is_not_done_is_202_with_who_they_are(world: World, backend: Backend) -> None:
    world.fake.fault(Fault("PATCH /users/{id}", "error_500_before", times=None))
    answer = backend.put(user(name="Ann"))
    assert answer.status == 202
    assert answer.body["user"]["whop_user_id"] == world.row()["whop_user_id"]


@pytest.mark.parametrize("lacks", ["user:profile:update", "company:create"])
def test_a_caller_does_not_wait_for_an_operator(world: World, backend: Backend, lacks: str) -> None:
    world.fake.add_api_key("apik_narrow", scopes=ALL_SCOPES - {lacks})
    world.api_key = "apik_narrow"
    before = world.clock()
    answer = backend.put(user(name="Ann"))
    assert answer.status == 202
    assert world.clock() == before
    assert answer.headers["retry-after"] == "900"
    assert len(backend.received()) == 1


def test_a_user_whom_a_worker_has_is_waited_for(world: World, backend: Backend) -> None:
    """Given a worker on the way with the webhook of the same change, then its result is the answer."""
    event = backend.event(user(name="Ann"))
    claim = world.claim(event)

    def ends() -> None:
        mappings = world.synchronization.mappings
        located = world.synchronization.enrollment.whop.create_account(
            parent=world.whop.company_id, title="Ann (u1)", email="u1@shop.test", user_id="u1", attempt=claim.attempt.id
        )
        mappings.record_account(claim, located, None)
        world.clock.now += LEASE_SECONDS  # and dies before it sets the name

    backend.meanwhile = [lambda: None, lambda: None, ends]
    answer = backend.put(user(name="Ann"))
    assert answer.status == 202  # its lease has to end first
    assert len(world.fake.companies()) == 1
    assert backend.put(user(name="Ann")).status == 200
    assert world.shown()[0] == "Ann"
    assert len(world.fake.companies()) == 1


def test_a_worker_that_does_not_end_is_waited_for_twenty_seconds(world: World, backend: Backend) -> None:
    world.claim(backend.event(user(name="Ann")))
    began = world.clock()
    answer = backend.put(user(name="Ann"))
    assert (answer.status, world.row()["status"]) == (202, "enrolling")
    assert WAIT_SECONDS - 1 < world.clock() - began <= WAIT_SECONDS
    assert world.operations() == []
    assert [event.user_id for event in backend.received()] == ["u1"]


class TestRaces:
    """By the real clock, on several threads, with a Whop that takes its time for the create."""

    @pytest.fixture
    def world(self, engine: Engine, enrollment: str) -> Iterator[World]:
        with World(engine, enrollment=enrollment, call_timeout=10, clock=_RealClock()) as world:
            yield world

    @pytest.mark.parametrize("enrollment", ["companies", "accounts"])
    @pytest.mark.parametrize("first", ["request", "webhook"])
    def test_a_request_and_the_webhook_of_the_same_sign_up_make_one_account(
        self, world: World, backend: Backend, first: str
    ) -> None:
        world.fake.fault(Fault(world.create_call, "slow", delay=1.5))
        body = user(name="Ann")
        event = backend.event(body)
        worker = world.assembled()

        def webhook() -> None:
            """A worker with the event of a webhook, until it is done."""
            for _ in range(100):
                try:
                    worker.handle(event, age=0, deadline=world.clock() + WORKER_SECONDS)
                except AwaitsTurn:
                    time.sleep(0.2)
                else:
                    return
            raise AssertionError("never done")

        with ThreadPoolExecutor(2) as pool:
            if first == "webhook":
                other = pool.submit(webhook)
                time.sleep(0.4)
                answer = pool.submit(backend.put, body).result()
            else:
                request = pool.submit(backend.put, body)
                time.sleep(0.4)
                other = pool.submit(webhook)
                answer = request.result()
            other.result()
        assert (answer.status, answer.body["status"]) == (200, "synced")
        assert answer.body["whop_user_id"] == world.row()["whop_user_id"]
        assert len(world.fake.calls_to(world.create_call)) == len(world.fake.companies()) == 1
        assert world.shown()[0] == "Ann"

    def test_many_requests_at_once_make_one_account(self, world: World, backend: Backend) -> None:
        world.fake.fault(Fault(world.create_call, "slow", delay=0.5))
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: backend.put(user(name="Ann")), range(6)))
        assert [answer.status for answer in answers] == [200] * 6
        assert len(world.fake.companies()) == 1


class _RealClock(Clock):
    def __call__(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


# -- dying and failing ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mortals() -> Iterator[Mortals]:
    with running_mortals() as mortals:
        yield mortals


@pytest.mark.parametrize("enrollment", ["companies", "accounts"])
@pytest.mark.parametrize("takes_up", ["request", "webhook"])
@pytest.mark.parametrize("death", ["claim", "create", "record account", "PATCH /users/{id}"])
def test_a_request_that_dies_on_the_way_is_taken_up_by_the_next_event(
    world: World, backend: Backend, mortals: Mortals, death: str, takes_up: str
) -> None:
    body = user(name="Ann")
    call = world.create_call if death == "create" else death
    world.wire.begin_delivery()
    world.wire.planned = {Point(world.wire.delivery, call, 1): "killed_after"}
    mortals.handle(backend.event(body), world)
    world.wire.planned = {}
    # While its lease lasts, the next request waits, and is put into the queue
    assert backend.put(body).status == 202
    [event] = backend.received()
    world.clock.sleep(LEASE_SECONDS)
    if takes_up == "webhook":
        world.settle(event)
    else:
        while backend.put(body).status == 202:
            world.clock.sleep(30)
            assert world.clock() < 2_000_000_000
    answer = backend.put(body)
    assert (answer.status, answer.body["status"]) == (200, "synced")
    assert len(world.fake.companies()) == 1
    assert world.shown()[0] == "Ann"


class _Broken:
    """A queue that takes nothing."""

    def send(self, body: str) -> None:
        raise Transient("sqs_unavailable", body)


def test_what_can_neither_be_done_nor_stored_is_503(world: World, backend: Backend) -> None:
    backend.created = _Broken()  # type: ignore[assignment]
    world.fake.fault(Fault(world.create_call, "error_500_before", times=None))
    answer = backend.put(user(name="Ann"))
    assert answer.error == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"


def test_a_defect_is_503_and_its_words_are_not_logged(
    backend: Backend, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    class Defect:
        def handle(self, event: UserEvent, *, age: float, deadline: float) -> Any:  # noqa: ARG002
            raise ValueError(event.email)

    backend.handler = Defect()
    assert backend.put(user(name="Ann")).error == (503, "unavailable")
    logged = str([vars(record) for record in caplog.records]) + capfd.readouterr().out
    assert "crash" in logged
    assert "u1@shop.test" not in logged


def test_a_request_is_logged_and_counted_by_its_ids_alone(
    world: World, backend: Backend, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    backend.put(user(name="Ann Bee", avatar_url=world.pictures.url("00aa00")))
    backend.put(user(name=5))
    world.fake.fault(Fault("PATCH /users/{id}", "error_500_before", times=None))
    backend.put(user(name="Bea Bee", updated_at="2026-02-01T00:00:00Z"))
    lines = [vars(record) for record in caplog.records]
    requests = [(line["outcome"], line["user_id"]) for line in lines if line.get("what") == "EnrollUser"]
    assert requests == [("answered", "u1"), ("refused", "u1"), ("queued", "u1")]
    assert [line["outcome"] for line in lines if line["msg"] == "event"] == ["enrolled"]
    printed = capfd.readouterr().out
    for metric in ("EnrollUserAnswered", "EnrollUserRefused", "EnrollUserQueued", "EventEnrolled"):
        assert metric in printed
    for word in ("Ann", "Bea", "Bee", "u1@shop.test", "00aa00"):
        assert word not in str(lines) + printed


# -- time ----------------------------------------------------------------------------------------------------------


def test_nothing_is_asked_of_whop_that_could_end_after_the_caller_is_gone(world: World, backend: Backend) -> None:
    seen: list[float] = []

    class Recording:
        def handle(self, event: UserEvent, *, age: float, deadline: float) -> Any:  # noqa: ARG002
            seen.append(deadline)
            raise AwaitsTurn("whop_slots_taken", retry_after=4)

    began = world.clock()
    backend.handler = Recording()
    assert backend.put(user(name="Ann")).status == 202
    assert len(seen) == 4
    assert set(seen) == {began + WORK_SECONDS}
