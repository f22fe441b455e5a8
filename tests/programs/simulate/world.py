"""One story, lived through: the real use cases over a fake Whop, a table and queues in memory, in virtual time."""

import email.utils
import itertools
import random
import ssl
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast
from unittest import mock

import httpx
from botocore.exceptions import ClientError, ConnectionClosedError

from fake_whop import PLATFORM_COMPANY, PLATFORM_KEY, Switches
from fake_whop import Fault as WhopFault
from fake_whop.control import add_user
from fake_whop.protocol import Request
from fake_whop.state import Company, Credential
from fake_whop.whop import API_PREFIX
from fake_whop.whop import Whop as Platform
from harness import START, TITLE_FORMAT, WORKER_SECONDS
from simulate.expressions import Item
from simulate.queues import Message, Sqs
from simulate.story import ORDINARY, REFUSED_PICTURE, Arrival, Decision, Fault, Point, Story, sign_in_id
from simulate.table import Table
from simulate.virtual_time import Lock, Pool, Task, Timeline
from whop_sync.announcements import Announcement
from whop_sync.aws.queues import Queue
from whop_sync.batches.worker import Record, Worker
from whop_sync.errors import SyncError
from whop_sync.events import ProfileField, UserEvent
from whop_sync.journal import Journal
from whop_sync.pictures.errors import PictureRefused, PictureUnavailable
from whop_sync.pictures.fetching import Picture, PictureFetcher
from whop_sync.syncing.enrollment import Enrollment
from whop_sync.syncing.profiles import Profiles
from whop_sync.syncing.synchronization import Result, Synchronization
from whop_sync.syncing.user_events import UserEvents
from whop_sync.users.mappings import Mappings
from whop_sync.whop.client import Whop
from whop_sync.whop.generations import GENERATIONS
from whop_sync.whop.rate_limit import Limit, Pacer, SharedBuckets

TABLE = "user-mappings"
ANNOUNCEMENTS = "announcements"
"""A queue that the platform reads when all is over: whatever came twice or in another order, it is the same to it."""

API_URL = f"https://whop.test{API_PREFIX}"
UPLOADS_URL = "https://uploads.test"
VISIBILITY_SECONDS = 720.0
"""Of both queues (template.yaml)."""

END_SECONDS = 12 * 86400.0
MOST_CALLS = 15_000
"""Stories end within a few hundred calls; so many mean that something goes round in circles."""

PAGE_SECONDS = 14.0
"""How long Whop's list takes for a page, where it is crowded."""

CALL_SECONDS, WHOP_READ_SECONDS, SDK_PAUSE_SECONDS = 0.02, 20.0, 1.0

_WHOP_FAULTS: Mapping[str, WhopFault] = {
    "timeout_before": WhopFault(None, "timeout_before"),
    "timeout_after": WhopFault(None, "timeout_after"),
    "error_500_before": WhopFault(None, "error_500_before"),
    "error_500_after": WhopFault(None, "error_500_after"),
    "connection_reset": WhopFault(None, "connection_reset"),
    "connection_reset_after": WhopFault(None, "connection_reset", committed=True),
    "html_error": WhopFault(None, "html_error"),
    "html_error_after": WhopFault(None, "html_error", committed=True),
    "truncated_json": WhopFault(None, "truncated_json"),
    "rate_limited": WhopFault(None, "rate_limited", delay=12),
    "unauthorized": WhopFault(None, "unauthorized"),
}

type QueueName = Literal["created", "updated"]


class Died(BaseException):
    """The worker is no more: nothing in it may catch this."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How one delivery of an event ended for good. `outcome` is a result's, or `parked` with its reason."""

    event_id: str
    at: float
    outcome: str
    reason: str | None = None


@dataclass(slots=True, kw_only=True)
class History:
    """All that happened, for the oracle and for the reader. Times are seconds since the beginning."""

    arrivals: list[Arrival] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)
    parked: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    unfinished: list[str] = field(default_factory=list)
    circling: bool = False
    decisions: dict[Point, Decision] = field(default_factory=dict)
    trace: list[tuple[float, str, str]] = field(default_factory=list)
    calls: int = 0
    items: Mapping[str, Item] = field(default_factory=dict)
    past: Mapping[str, Sequence[Item]] = field(default_factory=dict)
    announced: list[Announcement] = field(default_factory=list)
    now: float = 0.0


class Environment:
    """One Lambda environment: a worker, its clock, and whether it still lives."""

    def __init__(self, world: "World", name: str, queue: QueueName, skew: float) -> None:
        self.world = world
        self.name = name
        self.queue = queue
        self.skew = skew
        self.dead = False
        self.busy = False
        self.deadline = 0.0
        self.worker = world.assembled(self)

    def clock(self) -> float:
        return self.world.timeline.now + self.skew

    def sleep(self, seconds: float) -> None:
        timeline = self.world.timeline
        if timeline.now + seconds > self.deadline:
            timeline.sleep(self.deadline - timeline.now)
            self.die("its time is over")
        timeline.sleep(seconds)
        if self.dead:
            raise Died

    def freeze(self, seconds: float) -> None:
        """A pause that Lambda's own clock takes part in."""
        self.deadline += seconds
        self.sleep(seconds)

    def die(self, why: str) -> None:
        if not self.dead:
            self.world.note(self.name, f"DIES: {why}")
        self.dead = True
        raise Died


@dataclass(slots=True)
class _Label:
    """What a task works on, for naming its calls."""

    event_id: str
    delivery: int
    call: int = 0


class World:
    def __init__(self, story: Story) -> None:
        self.story = story
        self.history = History()
        self.timeline = Timeline(START)
        settings = story.settings
        self.platform = Platform(
            Credential(PLATFORM_KEY, PLATFORM_COMPANY),
            replace(Switches(), **settings.switches),
            lambda: self.timeline.now,
            self.timeline.sleep,
        )
        self.platform.uploads_url = UPLOADS_URL
        self.table = Table(TABLE)
        self.sqs = Sqs(lambda: self.timeline.now, self._changed)
        for name in ("created", "updated"):
            self.sqs.create(name, visibility=VISIBILITY_SECONDS)
            self.sqs.create(f"{name}-dead")
        self.sqs.create(ANNOUNCEMENTS)
        self._deliveries: Counter[str] = Counter()
        self._labels: dict[Task, _Label] = {}
        self._members = {
            sign_in_id(address): add_user(self.platform, address, None, PLATFORM_COMPANY).id
            for address in settings.members
        }
        self._crowd(settings.crowd)
        skews = itertools.cycle(settings.skews)
        names = iter("ABCDEFGH")
        self._environments = [
            Environment(self, next(names), cast("QueueName", queue), next(skews))
            for queue, number in settings.workers.items()
            for _ in range(number)
        ]

    def _crowd(self, number: int) -> None:
        """Accounts of others, all made within the first seconds. One person owns them all, which spares time."""
        owner = add_user(self.platform, "crowd@shop.test", None, None).id if number else ""
        for each in range(number):
            made = START + 1 + each / 100
            self.platform.settled().companies[f"biz_crowd{each}"] = Company(
                id=f"biz_crowd{each}",
                title=f"crowd{each}",
                route=f"crowd{each}",
                owner_id=owner,
                created_at=made,
                updated_at=made,
                parent_id=PLATFORM_COMPANY,
                metadata={"internal_user_id": f"crowd{each}"},
            )

    # -- life ------------------------------------------------------------------------------------------------------

    def live(self) -> History:
        for arrival in self.story.arrivals:
            event = self._real(arrival.event)
            self.history.arrivals.append(replace(arrival, event=event))
            self.timeline.call_at(START + arrival.at, lambda event=event, arrival=arrival: self._arrive(event, arrival))  # type: ignore[misc]
        ended = self.timeline.run(until=START + END_SECONDS)
        history = self.history
        history.now = self.timeline.now
        for name in ("created", "updated"):
            history.unfinished += [self._event_of(message).event_id for message in self.sqs.messages(name)]
            for message in self.sqs.messages(f"{name}-dead"):
                reason = message.attributes["reason"]["StringValue"]
                history.parked[self._event_of(message).event_id].append(reason)
        if not ended and not history.unfinished:
            history.unfinished.append("a worker")
        history.items, history.past = self.table.items, self.table.past
        history.announced = [Announcement.from_json(message.body) for message in self.sqs.messages(ANNOUNCEMENTS)]
        return history

    def note(self, who: str, what: str) -> None:
        self.history.trace.append((self.timeline.now - START, who, what))

    def _real(self, event: UserEvent) -> UserEvent:
        return replace(event, whop_user_id=self._members[event.whop_user_id]) if event.whop_user_id else event

    def _arrive(self, event: UserEvent, arrival: Arrival) -> None:
        name = "created" if event.kind == "created" else "updated"
        self.note("", f"{event.event_id} is queued")
        message_id = self.sqs.send_message(QueueUrl=name, MessageBody=event.to_json())["MessageId"]
        if arrival.echo is not None:
            (message,) = [message for message in self.sqs.messages(name) if message.id == message_id]
            self.timeline.call_at(self.timeline.now + arrival.echo, lambda: self._echo(name, message))

    def _echo(self, name: str, message: Message) -> None:
        self.note("", f"the queue delivers {self._event_of(message).event_id} once more")
        self.sqs.show_again(name, message)

    @staticmethod
    def _event_of(message: Message) -> UserEvent:
        return UserEvent.from_json(message.body)

    # -- Lambda ----------------------------------------------------------------------------------------------------

    def _changed(self, url: str, moment: float) -> None:
        if not url.endswith("-dead") and url != ANNOUNCEMENTS:
            self.timeline.call_at(moment, lambda: self._dispatch(url))

    def _dispatch(self, url: str) -> None:
        """Hands what is visible to those who are free."""
        for environment in self._environments:
            if environment.queue != url or environment.busy:
                continue
            received = self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=self.story.settings.batch)
            if not received:
                return
            environment.busy = True
            records: list[Record] = [
                {
                    "messageId": message["MessageId"],
                    "receiptHandle": message["ReceiptHandle"],
                    "body": message["Body"],
                    "attributes": message["Attributes"],
                }
                for message in received["Messages"]
            ]
            self.timeline.start(lambda environment=environment, records=records: self._invoke(environment, records))  # type: ignore[misc]

    def _invoke(self, environment: Environment, records: list[Record]) -> None:
        environment.deadline = self.timeline.now + WORKER_SECONDS
        try:
            answer = environment.worker.handle(records, seconds_left=WORKER_SECONDS)
        except Died:
            number = self._environments.index(environment)
            reborn = Environment(self, environment.name + "'", environment.queue, environment.skew)
            self._environments[number] = reborn
        else:
            staying = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
            for record in records:
                if record["messageId"] not in staying:
                    self.sqs.delete_message(QueueUrl=environment.queue, ReceiptHandle=record["receiptHandle"])
            environment.busy = False
        self._dispatch(environment.queue)

    def assembled(self, environment: Environment) -> Worker[UserEvent, Result]:
        """The worker as `assembly` puts it together, over what is in memory."""
        clock, enrollment = environment.clock, self.story.settings.enrollment
        dynamodb: Any = _Client(self, environment, self.table)
        sqs: Any = _Client(self, environment, self.sqs)
        diary = Diary(self, environment)
        buckets = SharedBuckets(dynamodb, TABLE, clock, Limit(self.story.settings.calls_per_minute))
        pacer = Pacer(buckets, clock=clock, sleep=environment.sleep)
        pacer._reserving = cast("Any", Lock(self.timeline))  # tasks wait here, not threads
        whop = Whop(
            httpx.Client(transport=_Transport(self, environment), trust_env=False, verify=_NO_TLS),
            url=API_URL,
            api_key=lambda: PLATFORM_KEY,
            witness=diary,
            generation=GENERATIONS[enrollment],
            pace=pacer,
        )
        mappings = Mappings(dynamodb, TABLE, clock)
        announcements = Queue(sqs, ANNOUNCEMENTS)
        synchronization = Synchronization(
            mappings=mappings,
            enrollment=Enrollment(
                whop=whop, mappings=mappings, company=PLATFORM_COMPANY, title_format=TITLE_FORMAT, clock=clock
            ),
            profiles=Profiles(
                whop=whop,
                pictures=cast("PictureFetcher", _Album(self, environment)),
                pool=_Beside(self),
                company=PLATFORM_COMPANY,
                clock=clock,
                sleep=environment.sleep,
            ),
            clock=clock,
            announce=(lambda announcement: announcements.send(announcement.to_json()))
            if self.story.settings.announces
            else None,
        )
        jitter = random.Random(f"{self.story.seed}:{environment.name}")
        return Worker(
            messages=UserEvents(handler=_Handler(self, environment, synchronization), journal=diary),
            queue=Queue(sqs, environment.queue),
            dead_letters=Queue(sqs, f"{environment.queue}-dead"),
            journal=diary,
            clock=clock,
            pool=cast("Any", Pool(self.timeline)),
            jitter=jitter.uniform,
        )

    # -- calls -----------------------------------------------------------------------------------------------------

    def begin(self, event: UserEvent) -> None:
        self._deliveries[event.event_id] += 1
        self.work_on(event.event_id, self._deliveries[event.event_id])

    def work_on(self, name: str, delivery: int) -> None:
        """The calls of the running task are named so from now on."""
        self._labels[self.timeline.current()] = _Label(name, delivery)

    def label(self) -> tuple[str, int]:
        """What the running task works on, and in which delivery."""
        label = self._labels[self.timeline.current()]
        return label.event_id, label.delivery

    def doing(self) -> str | None:
        label = self._labels.get(self.timeline.current())
        return label.event_id if label else None

    def call(
        self,
        environment: Environment,
        to: str,
        name: str,
        carry_out: Callable[[Fault | None, Decision], Any],
    ) -> Any:
        """One call to the outside: its way there, what it does, its way back, and what goes wrong with it."""
        history = self.history
        history.calls += 1
        if history.calls > MOST_CALLS:
            history.circling = True
            self.timeline.stop()
            self.timeline.give_way()
        label = self._labels.setdefault(self.timeline.current(), _Label("batch", 1))
        label.call += 1
        point = Point(label.event_id, label.delivery, label.call)
        decision = self.story.chance.decide(point, to, name, self.timeline.now - START)
        if decision != ORDINARY:
            history.decisions[point] = decision
        what = f"{label.event_id}: {name}"
        if decision.before >= 1:
            what += f", which takes {decision.before:g} s to arrive"
        environment.sleep(CALL_SECONDS / 2 + decision.before)
        if decision.fault == "dies before":
            self.note(environment.name, what)
            environment.die("before this call is sent")
        try:
            answer = carry_out(decision.fault, decision)
        except Exception as error:
            self.note(environment.name, f"{what} -> {_described(error)}{_named(decision)}")
            self._back(environment, decision)
            raise
        self.note(environment.name, f"{what} -> {_described(answer)}{_named(decision)}")
        if decision.fault == "dies after":
            environment.die("before it reads the answer")
        self._back(environment, decision)
        return answer

    def _back(self, environment: Environment, decision: Decision) -> None:
        if decision.frozen:
            environment.freeze(CALL_SECONDS / 2 + decision.after)
        else:
            environment.sleep(CALL_SECONDS / 2 + decision.after)


class _Handler:
    """Says which event the calls that follow are about."""

    def __init__(self, world: World, environment: Environment, synchronization: Synchronization) -> None:
        self._world, self._environment, self._synchronization = world, environment, synchronization

    def handle(self, event: UserEvent, *, age: float, deadline: float) -> Result:
        self._world.begin(event)
        return self._synchronization.handle(event, age=age, deadline=deadline)


class _Beside:
    """A pool whose tasks work for the event of the task that starts them, and name their calls after it."""

    def __init__(self, world: World) -> None:
        self._world = world

    def submit[Found](self, call: Callable[[str], Found], argument: str, /) -> Task:
        event_id, delivery = self._world.label()

        def run() -> Found:
            self._world.work_on(f"{event_id} beside", delivery)
            return call(argument)

        return self._world.timeline.start(run)


class Diary(Journal):
    """Writes into the history what the journal would log."""

    def __init__(self, world: World, environment: Environment) -> None:
        self._world, self._environment = world, environment

    def event(
        self,
        outcome: str,
        event: UserEvent | None,
        *,
        error: SyncError | None = None,
        refused: Mapping[ProfileField, SyncError] | None = None,
        retry_in: float | None = None,
        **_: Any,
    ) -> None:
        name = event.event_id if event else "?"
        refusal = error or next(iter((refused or {}).values()), None)
        reason = refusal and refusal.reason
        again = f", again in {retry_in:.0f} s" if retry_in is not None else ""
        self._world.note(self._environment.name, f"{name}: {outcome}{f' ({reason})' if reason else ''}{again}")
        if outcome != "retried":
            now = self._world.timeline.now - START
            self._world.history.endings.append(Ending(name, now, outcome, error.reason if error else None))

    @contextmanager
    def about(self, event: UserEvent) -> Iterator[None]:  # noqa: ARG002
        yield

    def correlation_id(self) -> str | None:
        return self._world.doing()

    def whop_call(self, operation: str, *, status: int | None, seconds: float, request_id: str | None) -> None:
        """Noted where it is carried out."""

    def picture_uploaded(self) -> None:
        """Noted where it is carried out."""

    def email_differs(self) -> None:
        """Shows in the row."""

    def crash(self, error: BaseException, *, event_id: str | None = None, user_id: str | None = None) -> None:  # noqa: ARG002
        if isinstance(error, AssertionError):  # a matter of the simulation, not of the worker
            self._world.timeline.stop(error)
            self._world.timeline.give_way()
        trace = error.__traceback__
        while trace and trace.tb_next:
            trace = trace.tb_next
        place = f" in line {trace.tb_lineno} of {trace.tb_frame.f_code.co_filename}" if trace else ""
        self._world.history.crashes.append(f"{type(error).__name__}: {error}{place}, at {event_id}")

    def flush(self) -> None:
        """Nothing is kept back."""


class _Client:
    """A client of an AWS service, in one environment: every call may go wrong in the ways of AWS and its SDK."""

    def __init__(self, world: World, environment: Environment, service: Table | Sqs) -> None:
        self._world, self._environment, self._service = world, environment, service

    def __getattr__(self, name: str) -> Callable[..., Any]:
        perform = getattr(self._service, name)

        def call(**request: Any) -> Any:
            if name == "transact_write_items":
                request.setdefault("ClientRequestToken", "given by the SDK")

            def carry_out(fault: Fault | None, decision: Decision) -> Any:
                return self._carry_out(name, perform, request, fault, decision)

            return self._world.call(self._environment, "aws", _aws_name(name, request), carry_out)

        return call

    def _carry_out(
        self,
        name: str,
        perform: Callable[..., Any],
        request: dict[str, Any],
        fault: Fault | None,
        decision: Decision,
    ) -> Any:
        if fault == "refused":
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}, name)
        lost = ConnectionClosedError(endpoint_url="https://aws.test")
        if fault == "carried out late":
            timeline = self._world.timeline

            def late() -> None:
                try:
                    perform(**request)
                except ClientError as error:
                    self._world.note("", f"late {_aws_name(name, request)} -> {_described(error)}")
                else:
                    self._world.note("", f"late {_aws_name(name, request)} -> carried out")

            timeline.call_at(timeline.now + decision.late, late)
            raise lost
        try:
            answer = perform(**request)
        except ClientError:
            if fault == "answer lost":
                raise lost from None
            if fault != "answer lost, sent again":
                raise
            answer = None
        if fault == "answer lost":
            raise lost
        if fault == "answer lost, sent again":
            self._environment.sleep(SDK_PAUSE_SECONDS)
            if name == "transact_write_items" and answer is not None:
                return answer  # documented: one token is carried out once
            return perform(**request)
        return answer


class _Transport(httpx.BaseTransport):
    """The way to the fake Whop and its storage, in one environment."""

    def __init__(self, world: World, environment: Environment) -> None:
        self._world, self._environment = world, environment

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        uploading = request.url.host == "uploads.test"
        path = request.url.path
        name = "PUT upload" if uploading else f"{request.method} {path.removeprefix(API_PREFIX)}"
        answer: httpx.Response = self._world.call(
            self._environment, "whop", name, lambda fault, decision: self._carry_out(request, fault, decision)
        )
        return answer

    def _carry_out(self, request: httpx.Request, fault: Fault | None, decision: Decision) -> httpx.Response:
        if fault == "unreachable":
            raise httpx.ConnectError("no connection")
        platform = self._world.platform
        if fault == "late_commit":
            platform.plan(WhopFault(None, "late_commit", delay=decision.late))
        elif fault in _WHOP_FAULTS and fault:
            platform.plan(_WHOP_FAULTS[fault])
        target = request.url.raw_path.decode()
        path, _, query = target.partition("?")
        if self._world.story.settings.crowd and request.method == "GET" and request.url.path in _LISTS:
            self._environment.sleep(PAGE_SECONDS)
        headers = {name.decode().lower(): value.decode() for name, value in request.headers.raw}
        taken = Request(request.method, path, query, headers, request.content)
        reply = platform.upload(taken) if request.url.host == "uploads.test" else platform.handle(taken)
        if reply.delivery == "silence":
            self._environment.sleep(WHOP_READ_SECONDS)
            raise httpx.ReadTimeout("no answer")
        if reply.delivery == "reset":
            raise httpx.ReadError("connection reset")
        answer = reply.answer
        return httpx.Response(
            answer.status,
            headers={
                "Content-Type": answer.content_type,
                "Date": email.utils.formatdate(self._world.timeline.now, usegmt=True),
                **answer.headers,
            },
            content=answer.body,
        )


_LISTS = frozenset({f"{API_PREFIX}/companies", f"{API_PREFIX}/accounts"})


class _Album:
    """The hosts of pictures. What a URL shows never changes, and two of them show the same."""

    def __init__(self, world: World, environment: Environment) -> None:
        self._world, self._environment = world, environment

    def fetch(self, url: str) -> Picture:
        def carry_out(fault: Fault | None, decision: Decision) -> Picture:  # noqa: ARG001
            if fault == "unavailable":
                raise PictureUnavailable("picture_unavailable", "the picture's host did not deliver")
            if url == REFUSED_PICTURE:
                raise PictureRefused("picture_not_an_image", "neither PNG nor JPEG")
            return Picture(picture_of(url), "png")

        answer: Picture = self._world.call(self._environment, "picture", f"GET {url}", carry_out)
        return answer


def picture_of(url: str) -> bytes:
    """The bytes at an address of a story."""
    return b"picture " + url[-1].replace("y", "x").encode()


def _aws_name(name: str, request: Mapping[str, Any]) -> str:
    operation = "".join(part.capitalize() for part in name.split("_"))
    if "Key" in request:
        return f"{operation} {request['Key']['key']['S']}"
    return f"{operation} {request['QueueUrl']}" if "QueueUrl" in request else operation


def _described(answer: object) -> str:
    if isinstance(answer, httpx.Response):
        return str(answer.status_code)
    if isinstance(answer, ClientError):
        return str(answer.response["Error"]["Code"])
    return type(answer).__name__ if isinstance(answer, Exception) else "done"


def _named(decision: Decision) -> str:
    named = (
        f" [{decision.fault}{f' by {decision.late:g} s' if 'late' in decision.fault else ''}]" if decision.fault else ""
    )
    if decision.after >= 1:
        named += f", and {'stands still' if decision.frozen else 'waits'} for {decision.after:g} s"
    return named


@contextmanager
def numbered_ids() -> Iterator[None]:
    """Random ids become numbers, so that one seed gives one story to the letter."""
    numbers = itertools.count(1)

    class _Id:
        @property
        def hex(self) -> str:
            return f"lease{next(numbers)}"

    def number(_: int) -> str:
        return str(next(numbers))

    with (
        mock.patch("uuid.uuid4", _Id),
        mock.patch("secrets.token_hex", number),
        mock.patch("secrets.token_urlsafe", number),
    ):
        yield


_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""One for all clients: making one takes longer than a story."""
