"""What the page shows, read from the stack: alarms, queues, log lines, rows, Whop, parked events and imports.

Every method raises botocore's errors and Transient. None returns an e-mail address; bodies come by `parked_body` alone.
"""

import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from whop_sync.users.directory import Directory, Entry
from whop_user_sync.logs import LogLine, Logs
from whop_user_sync.parked import QUEUES, Parked, ParkedEvents, RedriveOutcome
from whop_user_sync.stack import Stack

WORK_QUEUES = ("user-created", "profile-updated", "announcements")
SPANS = 30
"""Columns of a chart."""

AGES_REACH_BACK = timedelta(minutes=15)
"""How far back the age of a queue's oldest message is looked for: CloudWatch shows it some minutes late."""

MAX_REJECTED = 1000
"""Rejected rows that a page shows. The bucket has them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """`oldest` is the age of the oldest message in seconds by CloudWatch, None where it has no such metric."""

    name: str
    waiting: int
    in_flight: int
    is_parked: bool
    oldest: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """`state` is OK, ALARM or INSUFFICIENT_DATA, `since` a time of day."""

    name: str
    state: str
    since: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """`outcomes` are counts by span of time, oldest first; `calls` counts Whop's answers by operation and status.
    `announcements` counts what became of announcements to the platform, each try for itself; None if it announces none.
    """

    alarms: Sequence[Alarm]
    queues: Sequence[QueueState]
    outcomes: Sequence[tuple[str, Counter[str]]]
    calls: Mapping[str, Counter[str]]
    announcements: Counter[str] | None
    lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """How far a run is, in parts of about a thousand rows."""

    total: int
    done: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRun:
    """One file's run. `parts` is None until the file is cut; `sent` and `rejected` are None until the run is through.

    `rejected_in` is where its rejected rows lie: a bucket and a prefix of keys.
    """

    name: str
    file: str
    status: str
    began_at: str
    ended_at: str | None
    parts: Parts | None
    sent: int | None
    rejected: int | None
    problem: str | None
    rejected_in: tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedRow:
    line: int
    user_id: str | None
    reason: str
    explanation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One webhook's way. `lines` are its log lines, oldest first."""

    event_id: str
    lines: Sequence[LogLine]

    @property
    def at(self) -> str:
        return self.lines[0].at

    @property
    def outcome(self) -> str:
        outcomes = [str(line.fields["outcome"]) for line in self.lines if "outcome" in line.fields]
        return outcomes[-1] if outcomes else "under way"

    @property
    def reason(self) -> str | None:
        """The newest. Why a try failed counts until the next one is done."""
        is_waiting = self.outcome == "retried"
        lines = [line for line in self.lines if is_waiting or line.fields.get("outcome") != "retried"]
        return next((str(line.fields["reason"]) for line in reversed(lines) if "reason" in line.fields), None)

    @property
    def user_id(self) -> str | None:
        return next((str(line.fields["user_id"]) for line in self.lines if "user_id" in line.fields), None)

    @property
    def calls(self) -> int:
        return sum("operation" in line.fields for line in self.lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A name and a picture's address as Whop shows them, for the company and everywhere else."""

    own: Mapping[str, Any]
    everywhere: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class UserPage:
    entry: Entry
    lines: Sequence[LogLine]
    profile: Profile | None


class Sources:
    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._logs = Logs(stack)
        self._sqs = stack.client("sqs")
        self._holding = threading.Lock()
        self._directory = Directory(stack.client("dynamodb"), stack.table)

    def overview(self, *, hours: float) -> Overview:
        now = time.time()
        lines = self._logs.find({}, since=now - hours * 3600)
        urls = self.stack.queue_urls(self._sqs, (*WORK_QUEUES, *QUEUES))
        ages = self._ages([*urls], datetime.fromtimestamp(now, UTC))
        return Overview(
            alarms=self._alarms(),
            queues=[self._queue(name, url, ages.get(name)) for name, url in urls.items()],
            outcomes=_by_span(lines, now - hours * 3600, now),
            calls=_calls(lines),
            announcements=_announcements(lines) if "announcements" in urls else None,
            lines=len(lines),
        )

    def deliveries(self, *, hours: float, wanted: Mapping[str, str]) -> list[Delivery]:
        """Newest first. `wanted` are values that a delivery's own lines must show: outcome, reason, user_id."""
        found = deliveries_in(self._logs.find({}, since=time.time() - hours * 3600))
        chosen = [each for each in found if all(str(getattr(each, name)) == text for name, text in wanted.items())]
        return sorted(chosen, key=lambda each: each.at, reverse=True)

    def delivery(self, event_id: str, *, days: float) -> Delivery | None:
        wanted = {"event_id": event_id, "claimed_event_id": event_id}
        lines = self._logs.find(wanted, since=time.time() - days * 86400)
        return Delivery(event_id=event_id, lines=lines) if lines else None

    def user(self, wanted: str, *, days: float) -> UserPage | None:
        """By the platform's id, the Whop user's or the connected account's."""
        entry = self._directory.entry(wanted)
        if entry is None and (owner := self._directory.user_of(wanted)) is not None:
            entry = self._directory.entry(owner)
        if entry is None and wanted.startswith("biz_"):
            entry = next((each for each in self._directory.entries() if each.whop_company_id == wanted), None)
        if entry is None:
            return None
        lines = self._logs.find({"user_id": entry.user_id}, since=time.time() - days * 86400)
        return UserPage(entry=entry, lines=lines, profile=self._profile(entry))

    def parked(self) -> list[Parked]:
        with self._held() as events:
            return list(events)

    def hidden(self) -> int:
        """How many parked events another command or page looks at just now, about; they are not among `parked`."""
        with self._holding:
            return self._parked_events.hidden()

    def parked_body(self, event_id: str) -> str | None:
        """What a parked event holds, which is personal data: for one at a time, when it is asked for."""
        return next((event.text for event in self.parked() if event.event_id == event_id), None)

    def redrive(self, event_ids: Sequence[str]) -> list[tuple[Parked, RedriveOutcome]]:
        with self._chosen(event_ids) as chosen:
            return list(self._parked_events.send_again(chosen))

    def discard(self, event_ids: Sequence[str], why: str) -> int:
        with self._chosen(event_ids) as chosen:
            self._parked_events.discard(chosen, why)
            return len(chosen)

    def users(self, *, status: str) -> list[Entry]:
        """All users with this status, those untouched for longest first. Reads the whole table."""
        found = [entry for entry in self._directory.entries() if entry.status == status]
        return sorted(found, key=lambda entry: entry.updated_at or "")

    def imports(self) -> list[ImportRun]:
        """The runs of the state machine that imports files, newest first; none if the stack has no such part."""
        machine = self._import_machine()
        if machine is None:
            return []
        runs = self._machines.list_executions(stateMachineArn=machine, maxResults=50)["executions"]
        return [self._import_run(run["executionArn"]) for run in runs]

    def rejected_rows(self, run_name: str) -> list[RejectedRow] | None:
        """The first rows that a run rejected, by line; None if there is no such run."""
        machine = self._import_machine()
        if machine is None:
            return None
        arn = f"{machine.replace(':stateMachine:', ':execution:')}:{run_name}"
        try:
            bucket, prefix = self._import_run(arn).rejected_in
        except self._machines.exceptions.ExecutionDoesNotExist:
            return None
        s3 = self.stack.client("s3")
        # A key names the first line of its part with leading noughts, so the list is in the order of the file.
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        keys = (each["Key"] for page in pages for each in page.get("Contents", []))
        bodies = (s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys)
        lines = itertools.chain.from_iterable(body.splitlines() for body in bodies)
        return [_rejected_row(json.loads(line)) for line in itertools.islice(lines, MAX_REJECTED)]

    @cached_property
    def _machines(self) -> Any:
        return self.stack.client("stepfunctions")

    def _import_machine(self) -> str | None:
        name = f"{self.stack.name}-import-users"
        pages = self._machines.get_paginator("list_state_machines").paginate()
        machines = (each for page in pages for each in page["stateMachines"])
        return next((str(each["stateMachineArn"]) for each in machines if each["name"] == name), None)

    def _import_run(self, arn: str) -> ImportRun:
        run = self._machines.describe_execution(executionArn=arn)
        maps = self._machines.list_map_runs(executionArn=arn)["mapRuns"]
        counts = self._machines.describe_map_run(mapRunArn=maps[0]["mapRunArn"])["itemCounts"] if maps else None
        return import_run(run, counts)

    @cached_property
    def _parked_events(self) -> ParkedEvents:
        return ParkedEvents(self.stack)

    @contextmanager
    def _held(self) -> Iterator[list[Parked]]:
        """One request at a time, or each would hide events from the others."""
        with self._holding, self._parked_events.held() as events:
            yield events

    @contextmanager
    def _chosen(self, event_ids: Sequence[str]) -> Iterator[list[Parked]]:
        with self._held() as events:
            yield [event for event in events if event.event_id in event_ids]

    def _alarms(self) -> list[Alarm]:
        paginator = self.stack.client("cloudwatch").get_paginator("describe_alarms")
        pages = paginator.paginate(AlarmNamePrefix=f"{self.stack.name}-")
        # The name of another stack may begin with that of this one: the topic is whose alarm it is.
        topic = f":{self.stack.name}-alarms"
        found = [
            each
            for page in pages
            for each in page["MetricAlarms"]
            if any(to.endswith(topic) for to in each.get("AlarmActions", []))
        ]
        return [
            Alarm(
                name=each["AlarmName"].removeprefix(f"{self.stack.name}-"),
                state=each["StateValue"],
                since=f"{each['StateUpdatedTimestamp']:%Y-%m-%d %H:%M}" if "StateUpdatedTimestamp" in each else "",
                description=each.get("AlarmDescription", ""),
            )
            for each in sorted(found, key=lambda each: (each["StateValue"] != "ALARM", each["AlarmName"]))
        ]

    def _ages(self, names: Sequence[str], now: datetime) -> dict[str, float]:
        """The newest age that CloudWatch has of each queue's oldest message. The local AWS keeps no such metric."""
        queries = [
            {
                "Id": f"q{number}",
                "MetricStat": {
                    "Metric": {
                        "Namespace": "AWS/SQS",
                        "MetricName": "ApproximateAgeOfOldestMessage",
                        "Dimensions": [{"Name": "QueueName", "Value": f"{self.stack.name}-{name}"}],
                    },
                    "Period": 60,
                    "Stat": "Maximum",
                },
            }
            for number, name in enumerate(names)
        ]
        results = self.stack.client("cloudwatch").get_metric_data(
            MetricDataQueries=queries, StartTime=now - AGES_REACH_BACK, EndTime=now, ScanBy="TimestampDescending"
        )["MetricDataResults"]
        values = {each["Id"]: each["Values"] for each in results}
        found = {name: values.get(f"q{number}") for number, name in enumerate(names)}
        return {name: float(ages[0]) for name, ages in found.items() if ages}

    def _queue(self, name: str, url: str, oldest: float | None) -> QueueState:
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        counts = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(names))["Attributes"]
        waiting, in_flight = (int(counts[each]) for each in names)
        # CloudWatch is some minutes behind: an empty queue has no oldest message.
        shown = oldest if waiting or in_flight else None
        return QueueState(name=name, waiting=waiting, in_flight=in_flight, is_parked=name in QUEUES, oldest=shown)

    def _profile(self, entry: Entry) -> Profile | None:
        shown = self.stack.shown(entry.whop_user_id) if entry.whop_user_id else None
        return Profile(own=shown[0], everywhere=shown[1]) if shown else None


def _by_span(lines: Sequence[LogLine], begin: float, end: float) -> list[tuple[str, Counter[str]]]:
    length = (end - begin) / SPANS
    spans = [(f"{datetime.fromtimestamp(begin + index * length, UTC):%H:%M}", Counter[str]()) for index in range(SPANS)]
    for line in lines:
        if line.message in ("delivery", "event") and "outcome" in line.fields:
            index = int((_seconds(line.at) - begin) / length)
            spans[min(max(index, 0), SPANS - 1)][1][str(line.fields["outcome"])] += 1
    return spans


def _calls(lines: Sequence[LogLine]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for line in lines:
        if "operation" in line.fields:
            status = str(line.fields.get("whop_status", "no answer"))
            found.setdefault(str(line.fields["operation"]), Counter())[status] += 1
    return dict(sorted(found.items()))


def _announcements(lines: Sequence[LogLine]) -> Counter[str]:
    return Counter(
        str(line.fields["outcome"]) for line in lines if line.message == "announcement" and "outcome" in line.fields
    )


def _seconds(at: str) -> float:
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError:
        return 0.0


def deliveries_in(lines: Iterable[LogLine]) -> list[Delivery]:
    """The webhooks that lines of the log speak of, each with its lines in their order.

    An announcement alone is no webhook that came. One of Whop's came, and goes on as an announcement under its id.
    """
    ways: dict[str, list[LogLine]] = {}
    for line in lines:
        if event_id := line.fields.get("event_id") or line.fields.get("claimed_event_id"):
            ways.setdefault(str(event_id), []).append(line)
    return [
        Delivery(event_id=event_id, lines=way)
        for event_id, way in ways.items()
        if any(line.message != "announcement" for line in way)
    ]


def import_run(run: Mapping[str, Any], counts: Mapping[str, int] | None) -> ImportRun:
    """`run` is an execution as Step Functions describes it, `counts` the itemCounts of its map run."""
    stored = _object(run.get("input"))
    bucket, key = (
        str(_object(stored.get(name)).get(part, "")) for name, part in (("bucket", "name"), ("object", "key"))
    )
    totals = _object(run.get("output"))
    failed = sum(counts[name] for name in ("failed", "timedOut", "aborted")) if counts else 0
    return ImportRun(
        name=run["name"],
        file=key.removeprefix("users/"),
        status=run["status"].lower().replace("_", " "),
        began_at=f"{run['startDate']:%Y-%m-%d %H:%M:%S}",
        ended_at=f"{run['stopDate']:%Y-%m-%d %H:%M:%S}" if "stopDate" in run else None,
        parts=Parts(total=counts["total"], done=counts["succeeded"], failed=failed) if counts else None,
        sent=totals.get("sent"),
        rejected=totals.get("rejected"),
        problem=run.get("cause") or run.get("error"),
        rejected_in=(bucket, f"rejected/{run['name']}/"),
    )


def _rejected_row(row: Mapping[str, Any]) -> RejectedRow:
    return RejectedRow(line=row["line"], user_id=row["id"], reason=row["reason"], explanation=row["explanation"])


def _object(found: object) -> dict[str, Any]:
    """A JSON object, given as such or as text; empty if it is none."""
    with suppress(ValueError):
        parsed = json.loads(found) if isinstance(found, str) else found
        return parsed if isinstance(parsed, dict) else {}
    return {}
