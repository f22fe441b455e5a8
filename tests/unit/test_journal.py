"""What the application shows of itself: metrics in CloudWatch's embedded format, and log lines."""

import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

import pytest

from harness import Clock, event
from harness.batches import sqs_record, staying
from whop_sync.announcements import Announcement
from whop_sync.errors import OperatorNeeded, Permanent, Reason, SyncError, Transient, Unauthentic, WhopAnswer
from whop_sync.events import UserEvent
from whop_sync.journal import AnnouncementOutcome, DeliveryOutcome, EventOutcome, Journal, RequestOutcome
from whop_sync.syncing.synchronization import Result, SyncOutcome
from whop_sync.syncing.user_events import UserEvents

type Metric = tuple[str, tuple[str, ...]]
"""A metric's name, and the values of its dimensions after the stack's name."""


@dataclass
class Written:
    """What a journal wrote since the last look."""

    capture: pytest.CaptureFixture[str]

    def lines(self) -> Iterator[dict[str, Any]]:
        return map(json.loads, self.capture.readouterr().out.splitlines())

    def metrics(self) -> dict[Metric, list[float]]:
        found: dict[Metric, list[float]] = {}
        for line in self.lines():
            for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
                assert directive["Namespace"] == "WhopUserSync"
                for dimensions in directive["Dimensions"]:
                    assert dimensions[0] == "service"
                    assert line["service"] == "stack"
                    for metric in directive["Metrics"]:
                        key = (metric["Name"], tuple(line[name] for name in dimensions[1:]))
                        found.setdefault(key, []).extend(line[metric["Name"]])
        return found


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Written:
    return Written(capsys)


@pytest.fixture
def journal(written: Written) -> Journal:
    journal = Journal()
    journal.flush()
    written.metrics()
    return journal


class Queues:
    """An SQS client that takes everything."""

    def send_message(self, **_: Any) -> None: ...

    def change_message_visibility(self, **_: Any) -> None: ...


def work(journal: Journal, behaviour: Callable[[], Result], *, age: float = 3) -> None:
    """One event through a worker whose use case ends as `behaviour` does."""

    class Handler:
        def handle(self, event: UserEvent, *, age: float, deadline: float) -> Result:  # noqa: ARG002
            return behaviour()

    clock = Clock()
    record = sqs_record(event().to_json(), sent_at=clock() - age)
    staying([record], UserEvents(handler=Handler(), journal=journal), Queues(), journal, clock, seconds_left=120)


def failing(error: SyncError) -> Callable[[], Result]:
    def fail() -> Result:
        raise error

    return fail


def test_a_cold_start_is_counted_once(written: Written) -> None:
    journal = Journal()
    journal.flush()
    journal.flush()
    assert written.metrics() == {("ColdStart", ()): [1]}


def test_a_rejection_is_counted_for_the_stack_and_by_its_reason(journal: Journal, written: Written) -> None:
    reasons: tuple[Reason, ...] = ("wrong_signature", "wrong_signature", "timestamp_too_old")
    for reason in reasons:
        journal.delivery("rejected", error=Unauthentic(reason))
    journal.flush()
    assert written.metrics() == {
        ("DeliveryRejected", ()): [1, 1, 1],
        ("DeliveryRejected", ("wrong_signature",)): [1, 1],
        ("DeliveryRejected", ("timestamp_too_old",)): [1],
    }


@pytest.mark.parametrize("outcome", ["enrolled", "adopted", "mapped", "synced", "restored", "deleted"])
def test_what_is_done_is_counted_with_its_age(journal: Journal, written: Written, outcome: SyncOutcome) -> None:
    work(journal, lambda: Result(outcome=outcome), age=42)
    assert written.metrics() == {(f"Event{outcome.capitalize()}", ()): [1], ("EventAge", ()): [42]}


@pytest.mark.parametrize(
    ("outcome", "metric"), [("no_email", "EventNoEmail"), ("suspended", "EventSuspended"), ("stale", "EventStale")]
)
def test_an_event_that_waited_for_another_one_is_counted_and_is_not_late(
    journal: Journal, written: Written, outcome: SyncOutcome, metric: str
) -> None:
    work(journal, lambda: Result(outcome=outcome), age=3600)
    assert written.metrics() == {(metric, ()): [1]}


def test_another_email_is_counted_where_it_first_shows(journal: Journal, written: Written) -> None:
    work(journal, lambda: Result(outcome="synced", email_differs=True))
    assert written.metrics()["EmailDiffers", ()] == [1]


def test_a_picture_that_could_not_be_fetched_is_counted_beside_the_outcome(journal: Journal, written: Written) -> None:
    work(journal, lambda: Result(outcome="synced", refused={"picture": Permanent("picture_too_large")}))
    metrics = written.metrics()
    assert metrics["EventSynced", ()] == [1]
    assert metrics["PictureRefused", ("picture_too_large",)] == [1]
    # A picture is tried for an hour: users' dead links must not look like a slow stack.
    assert ("EventAge", ()) not in metrics


def test_what_waits_is_counted_with_its_age_so_far_and_not_as_done(journal: Journal, written: Written) -> None:
    work(journal, failing(Transient("whop_failed")), age=42)
    metrics = written.metrics()
    assert metrics["EventRetried", ("whop_failed",)] == [1]
    assert metrics["EventWaiting", ()] == [42]
    assert ("EventAge", ()) not in metrics
    assert ("OperatorNeeded", ()) not in metrics


def test_what_waits_for_an_operator_is_counted_by_itself(journal: Journal, written: Written) -> None:
    work(journal, failing(OperatorNeeded("whop_key_rejected")))
    assert written.metrics()["OperatorNeeded", ()] == [1]


def test_what_is_given_up_is_counted_by_its_reason(journal: Journal, written: Written) -> None:
    work(journal, failing(Permanent("no_email")))
    assert written.metrics() == {("EventParked", ()): [1], ("EventParked", ("no_email",)): [1]}


def test_what_whop_refused_is_logged_with_its_answer(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    answer = WhopAnswer(status=422, code="invalid", request_id="req_1")
    work(journal, failing(Permanent("whop_refused", answer=answer)))
    [line] = [vars(record) for record in caplog.records]
    assert (line["reason"], line["whop_status"], line["whop_code"]) == ("whop_refused", 422, "invalid")
    assert line["whop_request_id"] == "req_1"


def test_what_waits_is_logged_with_the_whole_seconds_until_its_next_try(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    work(journal, failing(Transient("whop_failed", retry_after=60)))
    [line] = [vars(record) for record in caplog.records]
    assert line["retry_in_seconds"] in range(60, 67)
    assert isinstance(line["retry_in_seconds"], int)


ANNOUNCEMENT = Announcement(id="msg_1", type="user.enrolled", user_id="u1", version=1, occurred_at=0)


def test_an_announcement_is_counted_with_its_age_once_it_is_delivered(journal: Journal, written: Written) -> None:
    journal.announcement("delivered", ANNOUNCEMENT, age=42)
    journal.flush()
    assert written.metrics() == {("AnnouncementDelivered", ()): [1], ("AnnouncementAge", ()): [42]}


@pytest.mark.parametrize(
    ("outcome", "metric"),
    [("repeated", "AnnouncementRepeated"), ("unknown_account", "AnnouncementUnknownAccount")],
)
def test_an_announcement_that_reaches_no_platform_is_counted_and_is_not_late(
    journal: Journal, written: Written, outcome: AnnouncementOutcome, metric: str
) -> None:
    journal.announcement(outcome, ANNOUNCEMENT, age=3600)
    journal.flush()
    assert written.metrics() == {(metric, ()): [1]}


def test_an_announcement_that_waits_is_counted_by_reason_with_its_age_so_far(
    journal: Journal, written: Written
) -> None:
    journal.announcement("retried", ANNOUNCEMENT, age=42, error=Transient("platform_failed"))
    journal.announcement("retried", ANNOUNCEMENT, age=7, error=OperatorNeeded("announcement_secrets_unavailable"))
    journal.announcement("parked", None, age=9, message_id="m1", error=Transient("platform_refused"))
    journal.flush()
    assert written.metrics() == {
        ("AnnouncementRetried", ()): [1, 1],
        ("AnnouncementRetried", ("platform_failed",)): [1],
        ("AnnouncementRetried", ("announcement_secrets_unavailable",)): [1],
        ("AnnouncementWaiting", ()): [42, 7],
        ("AnnouncementParked", ()): [1],
        ("AnnouncementParked", ("platform_refused",)): [1],
        ("OperatorNeeded", ()): [1],
    }


@pytest.mark.parametrize(
    ("status", "metric"),
    [
        (200, "Succeeded"),
        (201, "Succeeded"),
        (302, "Failed"),
        (400, "Refused"),
        (401, "Unauthorized"),
        (403, "Unauthorized"),
        (404, "Refused"),
        (429, "RateLimited"),
        (500, "Failed"),
        (None, "Unanswered"),
    ],
)
def test_a_call_to_whop_is_counted_by_operation_and_kind_of_answer(
    journal: Journal, written: Written, status: int | None, metric: str
) -> None:
    journal.whop_call("POST /companies", status=status, seconds=0.25, request_id=None)
    journal.flush()
    assert written.metrics() == {
        (name, by): values
        for name, values in {f"WhopCall{metric}": [1], "WhopCallTime": [250]}.items()
        for by in ((), ("POST /companies",))
    }


def test_a_batch_writes_one_line_a_dimension_whatever_its_size(journal: Journal, written: Written) -> None:
    for _ in range(99):
        journal.whop_call("POST /files", status=200, seconds=0.1, request_id=None)
        journal.whop_call("POST /companies", status=200, seconds=0.1, request_id=None)
        journal.picture_uploaded()
    journal.flush()
    assert sum("_aws" in line for line in written.lines()) == 3


def test_no_value_is_lost_in_a_large_batch(journal: Journal, written: Written) -> None:
    for _ in range(250):
        journal.picture_uploaded()
    journal.flush()
    assert written.metrics() == {("PictureUploaded", ()): [1] * 250}


def test_with_nothing_to_count_nothing_is_written(journal: Journal, written: Written) -> None:
    journal.flush()
    assert list(written.lines()) == []


def test_a_call_to_whop_is_logged_with_the_delivery_it_was_made_for(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    with journal.about(event("u7", 3)):
        journal.whop_call("PATCH /users/{id}", status=502, seconds=0.1234, request_id="req_1")
    journal.whop_call("POST /files", status=None, seconds=20, request_id=None)

    first, second = (vars(record) for record in caplog.records)
    assert {name: first[name] for name in ("message", "operation", "whop_status", "milliseconds")} == {
        "message": "whop call",
        "operation": "PATCH /users/{id}",
        "whop_status": 502,
        "milliseconds": 123,
    }
    assert (first["event_id"], first["user_id"], first["whop_request_id"]) == ("msg_u7_3", "u7", "req_1")
    assert not {"event_id", "user_id", "whop_status"} & set(second)


def test_a_worker_says_which_delivery_it_works_for(journal: Journal) -> None:
    seen: list[str | None] = []

    def look() -> Result:
        seen.append(journal.correlation_id())
        return Result(outcome="synced")

    work(journal, look)
    assert seen == [event().event_id]


def test_threads_do_not_mix_up_their_deliveries(journal: Journal) -> None:
    both_at_work = threading.Barrier(2, timeout=10)

    def id_within(user_id: str) -> str | None:
        with journal.about(event(user_id)):
            both_at_work.wait()
            return journal.correlation_id()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(id_within, ("u1", "u2"))) == ["msg_u1_1", "msg_u2_1"]
    assert journal.correlation_id() is None


def fresh_journal(monkeypatch: pytest.MonkeyPatch) -> Journal:
    """With a logger of its own, as a new environment has it."""
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", f"stack-{uuid.uuid4()}")
    return Journal()


def logged_at(level: str, written: Written, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Level and message of all that is logged when everything happens once."""
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", level)
    monkeypatch.setenv("AWS_LAMBDA_LOG_LEVEL", "INFO")  # as Lambda sets it for functions that log JSON
    journal = fresh_journal(monkeypatch)
    error = Permanent("whop_refused")
    for delivery in get_args(DeliveryOutcome.__value__):
        journal.delivery(delivery, error=error)
    for outcome in get_args(EventOutcome.__value__):
        journal.event(outcome, event(), age=0, error=error)
    for announced in get_args(AnnouncementOutcome.__value__):
        journal.announcement(announced, ANNOUNCEMENT, age=0, error=error)
    for request in get_args(RequestOutcome.__value__):
        journal.request("LookUp", request, user_id="u1", error=error)
    journal.whop_call("POST /companies", status=200, seconds=1, request_id=None)
    journal.crash(ValueError(), event_id="msg_1", user_id="u1")
    return [(line["level"], line.get("outcome", line["message"])) for line in written.lines()]


@pytest.mark.parametrize(
    ("level", "missing"),
    [
        ("INFO", set()),
        ("", set()),  # a parameter that was left empty
        ("WARN", {"INFO"}),
        ("ERROR", {"INFO", "WARNING"}),
    ],
)
def test_no_log_level_drops_what_was_parked_deferred_failed_or_crashed(
    written: Written, monkeypatch: pytest.MonkeyPatch, level: str, missing: set[str]
) -> None:
    everything = logged_at("INFO", written, monkeypatch)
    kept = logged_at(level, written, monkeypatch) if level != "INFO" else everything
    assert kept == [entry for entry in everything if entry[0] not in missing]
    assert [outcome for _, outcome in kept].count("parked") == 3  # a delivery, an event and an announcement
    assert {"deferred", "failed", "crash"} <= {outcome for _, outcome in kept}
    assert {"rejected", "retried"} <= {outcome for _, outcome in kept} or level == "ERROR"


def test_metrics_are_whole_at_every_log_level(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", "ERROR")
    journal = Journal()
    journal.delivery("accepted")
    journal.flush()
    assert written.metrics()[("DeliveryAccepted", ())] == [1]


def test_lines_hold_the_time_as_lambda_reads_it(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lambda takes a line whose time is not of RFC 3339 for one of level INFO."""
    fresh_journal(monkeypatch).crash(ValueError())
    [line] = [line for line in written.lines() if line.get("message") == "crash"]
    assert datetime.fromisoformat(line["timestamp"]).tzinfo
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", line["timestamp"])
