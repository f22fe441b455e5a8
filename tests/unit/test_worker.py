"""What becomes of the messages of a batch."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError

from harness import Clock, event
from harness.batches import sqs_record, staying
from whop_sync.aws.queues import Queue
from whop_sync.batches.retries import RETRIES
from whop_sync.batches.worker import Record
from whop_sync.errors import AwaitsTurn, OperatorNeeded, Permanent, Transient, WhopAnswer
from whop_sync.events import UserEvent
from whop_sync.journal import Journal
from whop_sync.syncing.synchronization import Result
from whop_sync.syncing.user_events import LAST_START_SECONDS, UserEvents


@dataclass
class Sqs:
    """The two calls of an SQS client that a worker makes."""

    parked: list[dict[str, Any]] = field(default_factory=list)
    postponed: dict[str, int] = field(default_factory=dict)
    broken: bool = False

    def send_message(self, **message: Any) -> None:
        self._maybe_fail("SendMessage")
        self.parked.append(message)

    def change_message_visibility(self, *, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: int) -> None:  # noqa: ARG002, N803
        self._maybe_fail("ChangeMessageVisibility")
        self.postponed[ReceiptHandle] = VisibilityTimeout

    def _maybe_fail(self, operation: str) -> None:
        if self.broken:
            raise ClientError({"Error": {"Code": "ServiceUnavailable", "Message": ""}}, operation)


@dataclass
class Bench:
    """A worker over a handler that tests write, and the queues it answers to."""

    behaviour: Callable[[UserEvent], object] = lambda _: None
    sqs: Sqs = field(default_factory=Sqs)
    clock: Clock = field(default_factory=Clock)
    handled: list[UserEvent] = field(default_factory=list)

    def handle(self, event: UserEvent, *, age: float, deadline: float) -> Result:  # noqa: ARG002
        self.handled.append(event)
        self.behaviour(event)
        return Result(outcome="synced")

    def run(self, *records: Record, seconds_left: float = 120) -> set[str]:
        """The ids of the messages that stay in the queue."""
        journal = Journal()
        messages = UserEvents(handler=self, journal=journal)
        return staying(records, messages, self.sqs, journal, self.clock, seconds_left=seconds_left)

    def record(self, body: UserEvent | str, *, id: str = "m1", receives: int = 1, age: float = 0) -> Record:  # noqa: A002
        text = body if isinstance(body, str) else body.to_json()
        return sqs_record(text, sent_at=self.clock() - age, message_id=id, receives=receives)

    def reasons(self) -> list[str]:
        return [message["MessageAttributes"]["reason"]["StringValue"] for message in self.sqs.parked]


def failing(error: Exception) -> Callable[[UserEvent], object]:
    def fail(_: UserEvent) -> None:
        raise error

    return fail


def test_what_is_done_leaves_the_queue() -> None:
    bench = Bench()
    assert bench.run(bench.record(event("u1")), bench.record(event("u2"), id="m2")) == set()
    assert {each.user_id for each in bench.handled} == {"u1", "u2"}


def test_only_what_failed_goes_back() -> None:
    bench = Bench(lambda each: failing(Transient("whop_failed"))(each) if each.user_id == "u2" else None)
    records = [bench.record(event(f"u{number}"), id=f"m{number}") for number in range(1, 4)]
    assert bench.run(*records) == {"m2"}
    assert list(bench.sqs.postponed) == ["receipt-m2"]


@pytest.mark.parametrize(("receives", "seconds"), [(1, 3.75), (2, 7.5), (5, 60), (10, 1920), (11, 2700), (500, 2700)])
def test_the_wait_doubles_from_five_seconds_to_an_hour_with_spread(receives: int, seconds: float) -> None:
    bench = Bench(failing(Transient("whop_failed")))
    bench.run(bench.record(event(), receives=receives))
    assert bench.sqs.postponed["receipt-m1"] == pytest.approx(seconds, abs=1)


def test_whops_own_delay_is_kept_to() -> None:
    bench = Bench(failing(Transient("whop_rate_limited", retry_after=40)))
    bench.run(bench.record(event(), receives=7))
    assert 40 <= bench.sqs.postponed["receipt-m1"] <= 44


def test_a_short_wait_named_again_and_again_does_not_use_up_the_receives() -> None:
    bench = Bench(failing(Transient("whop_rate_limited", retry_after=1)))
    waits = []
    for receives in (1, 2, 10, 500):
        bench.run(bench.record(event(), receives=receives))
        waits.append(bench.sqs.postponed["receipt-m1"])
    assert waits == [2, 3, 19, 1048]


def test_a_wait_is_never_longer_than_sqs_can_hide_a_message() -> None:
    bench = Bench(failing(Transient("whop_rate_limited", retry_after=10**6)))
    bench.run(bench.record(event()))
    # Counted from the receive, of which some time has gone by.
    assert 11 * 3600 < bench.sqs.postponed["receipt-m1"] <= 12 * 3600 - 900


def test_what_can_never_work_is_parked_at_once_with_its_reason() -> None:
    answer = WhopAnswer(status=422, message="E-mail cannot be used: é\n")
    bench = Bench(failing(Permanent("whop_refused", "Whop refused the request", answer=answer)))
    assert bench.run(bench.record(event("u1", version=7))) == set()

    (message,) = bench.sqs.parked
    details = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert (details["reason"], details["user_id"], details["event_id"]) == ("whop_refused", "u1", "msg_u1_7")
    assert details["whop_message"].startswith("E-mail cannot be used")
    assert UserEvent.from_json(message["MessageBody"]) == event("u1", version=7)


def spoilt(**changed: Any) -> str:
    return json.dumps({**json.loads(event("u1", version=1, name="Ann").to_json()), **changed})


@pytest.mark.parametrize(
    "body",
    [
        *("", "no json", "[]", "{}", "null", "[" * 100_000),
        spoilt(kind="merged"),
        spoilt(standing="away"),
        spoilt(event_time="now"),
        spoilt(kind=["created"]),
        spoilt(user_id=["u1"]),
        spoilt(event_id=None),
        spoilt(version="7"),
        spoilt(email=5),
        spoilt(profile=[]),
        spoilt(profile={"nickname": "Ann"}),
        spoilt(profile={"name": 5}),
        spoilt(whop_user_id={}),
    ],
)
def test_a_message_that_the_receiver_did_not_write_is_parked_as_it_is(body: str) -> None:
    bench = Bench()
    # Also beside one that it did write
    assert bench.run(bench.record(body), bench.record(event("u1", version=2), id="m2")) == set()
    assert [each.version for each in bench.handled] == [2]
    assert bench.reasons() == ["unreadable_message"]
    assert bench.sqs.parked[0]["MessageBody"] == body


@pytest.mark.parametrize(
    ("error", "patience"),
    [
        (Transient("whop_failed"), RETRIES.patience),
        # A named wait changes the delay and not the patience.
        (Transient("whop_failed", retry_after=30), RETRIES.patience),
        (OperatorNeeded("whop_key_rejected"), RETRIES.long_patience),
        # Only in the way of others: so does an event that waited long for an operator, once the key is fixed.
        (AwaitsTurn("whop_slots_taken", retry_after=30), RETRIES.long_patience),
        (AwaitsTurn("busy", retry_after=0), RETRIES.long_patience),
    ],
)
def test_an_event_is_given_up_by_its_age_and_parked(error: Transient, patience: float) -> None:
    bench = Bench(failing(error))
    assert bench.run(bench.record(event(), age=patience - 60, receives=90)) == {"m1"}
    assert bench.reasons() == []
    assert bench.run(bench.record(event(), age=patience + 60, receives=90)) == set()
    assert bench.reasons() == [error.reason]


def test_an_event_that_grows_too_old_while_it_is_handled_is_tried_once_more() -> None:
    """The handler may record that an event is given up, so it has to know of it beforehand."""
    bench = Bench()

    def fail(_: UserEvent) -> None:
        bench.clock.sleep(20)
        raise Transient("whop_failed")

    bench.behaviour = fail
    assert bench.run(bench.record(event(), age=RETRIES.patience - 10)) == {"m1"}


def test_a_backlog_that_is_older_than_the_patience_is_tried_all_the_same() -> None:
    bench = Bench()
    assert bench.run(bench.record(event(), age=RETRIES.patience * 2)) == set()
    assert len(bench.handled) == 1
    assert bench.reasons() == []


def test_what_cannot_be_parked_stays_in_the_queue(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(failing(Permanent("no_email")), sqs=Sqs(broken=True))
    assert bench.run(bench.record(event())) == {"m1"}
    assert [getattr(line, "reason", None) for line in caplog.records] == ["sqs_unavailable"]


def test_what_cannot_be_postponed_stays_in_the_queue() -> None:
    bench = Bench(failing(Transient("whop_failed")), sqs=Sqs(broken=True))
    assert bench.run(bench.record(event())) == {"m1"}


def test_a_defect_that_one_event_meets_costs_only_that_event(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(lambda each: failing(ZeroDivisionError())(each) if each.user_id == "u1" else None)
    assert bench.run(bench.record(event("u1")), bench.record(event("u2"), id="m2")) == {"m1"}
    assert crashes(caplog) == [("ZeroDivisionError", "u1")]


def test_a_defect_in_parking_costs_only_that_event_too(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(lambda each: failing(Permanent("no_email"))(each) if each.user_id == "u1" else None)
    monkeypatch.setattr(Queue, "park", lambda *_, **__: failing(OSError())(event()))
    assert bench.run(bench.record(event("u1")), bench.record(event("u2"), id="m2")) == {"m1"}


def test_a_defect_in_parking_what_cannot_be_read_costs_only_that_message(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Queue, "park", lambda *_, **__: failing(OSError())(event()))
    bench = Bench()
    assert bench.run(bench.record("{}"), bench.record(event("u2"), id="m2")) == {"m1"}
    assert crashes(caplog) == [("OSError", None)]


def crashes(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str | None]]:
    """The defects that were logged, and the users whose events met them."""
    return [
        (getattr(line, "error", ""), getattr(line, "user_id", None)) for line in caplog.records if line.msg == "crash"
    ]


def test_a_defect_outside_all_events_leaves_the_whole_batch_in_the_queue(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Raised on, its message would be logged by Lambda, and might quote an event."""
    monkeypatch.setattr(UserEvent, "from_json", lambda _: failing(OSError())(event()))
    bench = Bench()
    assert bench.run(bench.record(event("u1")), bench.record(event("u2"), id="m2")) == {"m1", "m2"}
    assert crashes(caplog) == [("OSError", None)]


def test_near_its_end_a_worker_hands_back_what_is_left() -> None:
    bench = Bench()
    assert bench.run(bench.record(event()), seconds_left=LAST_START_SECONDS - 1) == {"m1"}
    assert bench.handled == []
    assert bench.sqs.postponed["receipt-m1"] == 0


def test_events_of_one_user_are_handled_one_after_the_other_by_version() -> None:
    running = threading.Lock()

    def alone(_: UserEvent) -> None:
        assert running.acquire(blocking=False)
        running.release()

    bench = Bench(alone)
    records = [bench.record(event("u1", version=version), id=f"m{version}") for version in (3, 1, 2)]
    assert bench.run(*records) == set()
    assert [each.version for each in bench.handled] == [1, 2, 3]


def test_users_are_handled_side_by_side() -> None:
    everybody_is_here = threading.Barrier(10, timeout=10)
    bench = Bench(lambda _: everybody_is_here.wait())
    assert bench.run(*(bench.record(event(f"u{number}"), id=f"m{number}") for number in range(10))) == set()
