"""What the page shows, read from the stack: alarms, queues, log lines, rows, Whop, parked events and imports.

Every method raises botocore's errors and Transient. None returns an e-mail address; bodies come by `parked_body` alone.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from whop_sync.users.directory import Directory, Entry
from whop_user_sync.logs import LogLine, Logs
from whop_user_sync.parked import QUEUES, Outcome, Parked, ParkedEvents
from whop_user_sync.stack import Stack

WORK_QUEUES = ("user-created", "profile-updated")
SPANS = 30
"""Columns of a chart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    name: str
    waiting: int
    in_flight: int
    is_parked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """`state` is OK, ALARM or INSUFFICIENT_DATA, `since` a time of day."""

    name: str
    state: str
    since: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """`outcomes` are counts by span of time, oldest first; `calls` counts Whop's answers by operation and status."""

    alarms: Sequence[Alarm]
    queues: Sequence[QueueState]
    outcomes: Sequence[tuple[str, Counter[str]]]
    calls: Mapping[str, Counter[str]]
    lines: int


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
        return next((str(line.fields["reason"]) for line in reversed(self.lines) if "reason" in line.fields), None)

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
        self._directory = Directory(stack.client("dynamodb"), stack.table)

    def overview(self, *, hours: float) -> Overview:
        now = time.time()
        lines = self._logs.find({}, since=now - hours * 3600)
        return Overview(
            alarms=self._alarms(),
            queues=[self._queue(name) for name in (*WORK_QUEUES, *QUEUES)],
            outcomes=_by_span(lines, now - hours * 3600, now),
            calls=_calls(lines),
            lines=len(lines),
        )

    def deliveries(self, *, hours: float, wanted: Mapping[str, str]) -> list[Delivery]:
        """Newest first. `wanted` are values that a delivery's own lines must show: outcome, reason, user_id."""
        ways: dict[str, list[LogLine]] = {}
        for line in self._logs.find({}, since=time.time() - hours * 3600):
            event_id = line.fields.get("event_id") or line.fields.get("claimed_event_id")
            if event_id:
                ways.setdefault(str(event_id), []).append(line)
        found = [Delivery(event_id=event_id, lines=lines) for event_id, lines in ways.items()]
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
        with self._parked_events.held() as events:
            return list(events)

    def parked_body(self, event_id: str) -> str | None:
        """What a parked event holds, which is personal data: for one at a time, when it is asked for."""
        return next((event.text for event in self.parked() if event.event_id == event_id), None)

    def redrive(self, event_ids: Sequence[str]) -> list[tuple[Parked, Outcome]]:
        with self._chosen(event_ids) as chosen:
            return list(self._parked_events.send_again(chosen))

    def discard(self, event_ids: Sequence[str], why: str) -> int:
        with self._chosen(event_ids) as chosen:
            self._parked_events.discard(chosen, why)
            return len(chosen)

    def imports(self) -> list[Mapping[str, Any]]:
        """The runs of the state machine that imports files, newest first; none if the stack has no such part."""
        machines = self.stack.client("stepfunctions")
        name = f"{self.stack.name}-import-users"
        arns = [
            each["stateMachineArn"] for each in machines.list_state_machines()["stateMachines"] if each["name"] == name
        ]
        if not arns:
            return []
        runs: list[Mapping[str, Any]] = machines.list_executions(stateMachineArn=arns[0], maxResults=50)["executions"]
        return [{**run, **_result(machines.describe_execution(executionArn=run["executionArn"]))} for run in runs]

    @cached_property
    def _parked_events(self) -> ParkedEvents:
        return ParkedEvents(self.stack)

    @contextmanager
    def _chosen(self, event_ids: Sequence[str]) -> Iterator[list[Parked]]:
        with self._parked_events.held() as events:
            yield [event for event in events if event.event_id in event_ids]

    def _alarms(self) -> list[Alarm]:
        found = self.stack.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"{self.stack.name}-")["MetricAlarms"]
        return [
            Alarm(
                name=each["AlarmName"].removeprefix(f"{self.stack.name}-"),
                state=each["StateValue"],
                since=f"{each['StateUpdatedTimestamp']:%Y-%m-%d %H:%M}" if "StateUpdatedTimestamp" in each else "",
                description=each.get("AlarmDescription", ""),
            )
            for each in sorted(found, key=lambda each: (each["StateValue"] != "ALARM", each["AlarmName"]))
        ]

    def _queue(self, name: str) -> QueueState:
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        url = self.stack.queue_url(self._sqs, name)
        counts = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(names))["Attributes"]
        waiting, in_flight = (int(counts[each]) for each in names)
        return QueueState(name=name, waiting=waiting, in_flight=in_flight, is_parked=name in QUEUES)

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


def _seconds(at: str) -> float:
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError:
        return 0.0


def _result(run: Mapping[str, Any]) -> dict[str, Any]:
    return {name: run[name] for name in ("input", "output", "error", "cause") if name in run}
