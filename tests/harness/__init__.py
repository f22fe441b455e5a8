"""The real use cases between a fake Whop over HTTP and a real table, with a clock that tests set.

`World.settle` plays the queue: it delivers an event again after the wait the worker asked for, until it is done.
"""

import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import boto3
import httpx
from botocore.config import Config

from fake_whop import PLATFORM_COMPANY, PLATFORM_KEY, FakeWhop, Switches
from harness.cloudformation import template
from harness.faults import ANNOUNCEMENTS, Wire, http_client, running_door
from local_stack.asking_whop import WhopAccess
from local_stack.engine import Engine
from whop_sync.announcements import Announcement
from whop_sync.aws.queues import Queue
from whop_sync.errors import Permanent, SyncError, Transient
from whop_sync.events import Field, Kind, Position, ProfileField, Standing, UserEvent
from whop_sync.internet.requests import PublicHttp
from whop_sync.pictures.fetching import PictureFetcher
from whop_sync.syncing.enrollment import Enrollment
from whop_sync.syncing.profiles import Profiles
from whop_sync.syncing.synchronization import Result, Synchronization
from whop_sync.users.mappings import Claim, Mappings
from whop_sync.whop.client import Whop
from whop_sync.whop.generations import GENERATIONS

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

START = 1_772_359_200.0
TITLE_FORMAT = "{name} ({user_id})"

WORKER_SECONDS = 120
"""A worker's timeout (template.yaml)."""


class Clock:
    """Seconds since 1970. They pass by a call, or when a sleep is asked of it."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Later:
    """The clocks of a started function, in place of the module `time`: they run ahead by what passed."""

    seconds: float = 0.0
    now: float | None = None

    def monotonic(self) -> float:
        return time.monotonic() + self.seconds

    def time(self) -> float:
        return self.now or time.time()

    def five_minutes_pass(self) -> None:
        self.seconds += 300


def event(
    user_id: str = "u1",
    version: int = 1,
    *,
    kind: Kind = "updated",
    email: str | None = "",
    whop_user_id: str | None = None,
    event_time: int = 0,
    standing: Standing | None = None,
    **profile: str | None,
) -> UserEvent:
    """An event of a user whose e-mail is made from the id; name and picture only if given."""
    fields: dict[ProfileField, str | None] = {key: profile[key] for key in ("name", "picture") if key in profile}
    return UserEvent(
        kind=kind,
        event_id=f"msg_{user_id}_{version}",
        user_id=user_id,
        version=version,
        event_time=event_time,
        standing=standing,
        email=f"{user_id}@shop.test" if email == "" else email,
        profile=fields,
        whop_user_id=whop_user_id,
    )


def created(user_id: str = "u1", version: int = 1, **rest: Any) -> UserEvent:
    return event(user_id, version, kind="created", **rest)


def create_table(client: "DynamoDBClient") -> str:
    """A table as template.yaml describes it, so that keys cannot drift apart."""
    properties = template()["Resources"]["UserMappings"]["Properties"]
    name = f"user-mappings-{uuid.uuid4().hex[:12]}"
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=properties["AttributeDefinitions"],
        KeySchema=properties["KeySchema"],
    )
    return name


def aws_client(url: str, service: str) -> Any:
    """A client whose SDK repeats a failed call once, as good as at once."""
    return boto3.client(  # type: ignore[call-overload]
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"mode": "legacy", "total_max_attempts": 2}),
    )


def assembled(
    *,
    api_url: str,
    api_key: Callable[[], str],
    http: httpx.Client,
    dynamodb: "DynamoDBClient",
    table: str,
    picture_origin: str,
    clock: Clock,
    enrollment: str = "companies",
    announcements: Queue | None = None,
) -> Synchronization:
    """The use cases as one worker has them."""
    whop = Whop(
        http,
        url=api_url,
        api_key=api_key,
        generation=GENERATIONS[enrollment],
    )
    mappings = Mappings(dynamodb, table, clock)
    return Synchronization(
        mappings=mappings,
        enrollment=Enrollment(
            whop=whop, mappings=mappings, company=PLATFORM_COMPANY, title_format=TITLE_FORMAT, clock=clock
        ),
        profiles=Profiles(
            whop=whop,
            pictures=PictureFetcher(clock=clock, http=PublicHttp(allowed_origin=picture_origin)),
            pool=ThreadPoolExecutor(1),
            company=PLATFORM_COMPANY,
            clock=clock,
            sleep=clock.sleep,
        ),
        clock=clock,
        announce=(lambda announcement: announcements.send(announcement.to_json())) if announcements else None,
    )


@dataclass
class World:
    engine: Engine
    switches: Switches = field(default_factory=Switches)
    clock: Clock = field(default_factory=Clock)
    call_timeout: float = 0.25
    """Seconds of real time after which a call to Whop counts as unanswered."""
    enrollment: str = "companies"
    """The generation of Whop's connected accounts that users are enrolled by."""
    announces: bool = False
    """Whether changes are announced to the platform."""

    def __enter__(self) -> Self:
        self._running = ExitStack()
        self.fake = self._running.enter_context(FakeWhop(switches=self.switches, clock=self.clock))
        self.whop = WhopAccess(self.fake.api_url, PLATFORM_COMPANY, PLATFORM_KEY)
        self.dynamodb = self.client("dynamodb")
        self.table = create_table(self.dynamodb)
        self.http = self._running.enter_context(http_client(self.call_timeout))
        self._eyes = self._running.enter_context(http_client())
        self.api_key = PLATFORM_KEY
        self.pictures = self._running.enter_context(running_door(lambda call: self.wire.trouble(call)))  # noqa: PLW0108
        self.wire = Wire(control_url=self.fake.control_url, door=self.pictures.origin, clock=self.clock)
        self.sqs = self.client("sqs")
        self.announcements_url = self._make_announcements() if self.announces else None
        self._announced: list[Announcement] = []
        self.wire.attach(self.http, self.dynamodb, self.sqs)
        self.synchronization = self.assembled()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()
        if self.announcements_url:
            self.sqs.delete_queue(QueueUrl=self.announcements_url)
        self.dynamodb.delete_table(TableName=self.table)

    def client(self, service: str) -> Any:
        return aws_client(self.engine.url, service)

    def assembled(self, *, picture_origin: str | None = None) -> Synchronization:
        """The use cases as one worker has them."""
        return assembled(
            api_url=self.fake.api_url,
            api_key=lambda: self.api_key,
            http=self.http,
            dynamodb=self.dynamodb,
            table=self.table,
            picture_origin=picture_origin or self.pictures.origin,
            clock=self.clock,
            enrollment=self.enrollment,
            announcements=Queue(self.sqs, self.announcements_url) if self.announcements_url else None,
        )

    def _make_announcements(self) -> str:
        name = f"{uuid.uuid4().hex[:12]}{ANNOUNCEMENTS}"
        return str(self.sqs.create_queue(QueueName=name)["QueueUrl"])

    def move_to(self, enrollment: str) -> None:
        """The stack is deployed with the other generation; the table stays."""
        self.enrollment = enrollment
        self.synchronization = self.assembled()

    @property
    def create_call(self) -> str:
        return f"POST {GENERATIONS[self.enrollment].path}"

    # -- delivering ------------------------------------------------------------------------------------------------

    def handle(self, event: UserEvent, *, age: float = 0.0) -> Result:
        self.wire.begin_delivery()
        return self.synchronization.handle(event, age=age, deadline=self.clock() + WORKER_SECONDS)

    def claim(self, event: UserEvent, *, seconds: float = WORKER_SECONDS) -> Claim:
        """Claims the user of an event for a worker with so many seconds left, and nothing more."""
        synchronization = self.synchronization
        claim = synchronization.mappings.claim(
            event, deadline=self.clock() + seconds, is_repeatable=synchronization.enrollment.is_repeatable
        )
        assert isinstance(claim, Claim)
        return claim

    def settle(self, *events: UserEvent, rounds: int = 200) -> list[Result | Permanent]:
        """Delivers each event until it is done or refused for good, waiting in between; returns how each ended."""
        return [self._settle(event, rounds) for event in events]

    def _settle(self, event: UserEvent, rounds: int) -> Result | Permanent:
        sent_at = self.clock()
        for number in range(rounds):
            try:
                return self.handle(event, age=self.clock() - sent_at)
            except Permanent as error:
                return error
            except Transient as error:
                doubling = min(5.0 * 2.0 ** min(number, 10), 1800.0)
                self.clock.sleep(doubling if error.retry_after is None else error.retry_after)
        raise AssertionError(f"{event.event_id} is not done after {rounds} deliveries")

    def failure(self, event: UserEvent, *, age: float = 0.0) -> SyncError:
        """The error that one delivery ends in."""
        try:
            result = self.handle(event, age=age)
        except SyncError as error:
            return error
        raise AssertionError(f"no error but {result}")

    # -- looking ---------------------------------------------------------------------------------------------------

    def row(self, user_id: str = "u1") -> dict[str, Any]:
        """The user's row with plain values, empty if there is none."""
        item = self.dynamodb.get_item(TableName=self.table, Key={"key": {"S": f"user#{user_id}"}}, ConsistentRead=True)
        return {name: next(iter(value.values())) for name, value in item.get("Item", {}).items()}

    def position(self, name: Field, user_id: str = "u1") -> Position | None:
        """Where the row says that a field of a user stands."""
        text = self.row(user_id).get(f"{name}_position")
        return Position.of(text) if text else None

    def version(self, name: Field, user_id: str = "u1") -> int | None:
        position = self.position(name, user_id)
        return position.version if position else None

    def owner(self, whop_user_id: str) -> str | None:
        """The platform user whom the table says a Whop user belongs to."""
        key = {"key": {"S": f"whop_user#{whop_user_id}"}}
        item = self.dynamodb.get_item(TableName=self.table, Key=key, ConsistentRead=True).get("Item", {})
        return item["user_id"]["S"] if item else None

    def shown(self, user_id: str = "u1") -> tuple[str | None, bytes | None]:
        """The company-specific name and picture that Whop shows for a mapped user, asked through GET."""
        whop_user_id = self.row(user_id)["whop_user_id"]
        user = self.whop.user(whop_user_id)
        globally = self.whop.user_everywhere_else(whop_user_id)
        name = user["name"] if user["name"] != globally["name"] else None
        url, global_url = ((each.get("profile_picture") or {}).get("url") for each in (user, globally))
        picture = self._eyes.get(url).content if url and url != global_url else None
        return name, picture

    def announced(self, user_id: str = "u1") -> list[Announcement]:
        """What was put into the queue of announcements about a user, in the order of their versions, each as often as
        it was sent."""
        url = self.announcements_url
        while messages := self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            self._announced += [Announcement.from_json(message["Body"]) for message in messages]
            receipts = [{"Id": each["MessageId"], "ReceiptHandle": each["ReceiptHandle"]} for each in messages]
            self.sqs.delete_message_batch(QueueUrl=url, Entries=receipts)
        theirs = [each for each in self._announced if each.user_id == user_id]
        return sorted(theirs, key=lambda each: each.version or 0)

    def announced_types(self, user_id: str = "u1") -> list[str]:
        return [each.type for each in self.announced(user_id)]

    def operations(self) -> list[str]:
        """The calls that Whop got, in order."""
        return [call.operation for call in self.fake.calls]
