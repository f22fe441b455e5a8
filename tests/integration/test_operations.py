"""An operator lists what is parked and sends it round again: the real commands on a real SQS API."""

import base64
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from harness import created, event
from harness.interruptions import INTERRUPTED
from harness.template_stack import Surroundings, load
from local_stack import ROOT
from local_stack.engine import Engine
from local_stack.processes import NO_ACCOUNT
from local_stack.waiting import PATIENCE_SECONDS, becomes_true
from whop_sync.announcements import Announcement, announcement_id
from whop_sync.aws.queues import Queue
from whop_sync.errors import Malformed, Permanent, WhopAnswer
from whop_sync.events import UserEvent
from whop_user_sync import cli
from whop_user_sync.parked import QUEUES, RECEIVED_TOO_OFTEN, ParkedEvents
from whop_user_sync.stack import Stack

READABLE = b'{"type":"user.updated","timestamp":"2026-03-01T10:00:00Z","data":{"id":"u7","name":"Ann"}}'
ENROLLED = Announcement(
    id=announcement_id("u4", 1, "user.enrolled"),
    type="user.enrolled",
    user_id="u4",
    version=1,
    occurred_at=1_767_605_400.0,
    data={"whop_user_id": "user_4", "whop_company_id": "biz_4"},
)
PLATFORM_REFUSES = Permanent("whop_refused", "the platform refused it")
REFUSED = Permanent("whop_refused", "Whop refused the request", answer=WhopAnswer(status=422, message="No Ann here"))


@dataclass
class Operator:
    """An operator with a shell, an AWS account (the local engine) and a stack whose functions only run when called."""

    surroundings: Surroundings
    receiver: ModuleType
    printed: Callable[[], str]
    run: Callable[..., int]

    def __post_init__(self) -> None:
        self.sqs = self.surroundings.engine.sqs

    def queue(self, name: str) -> Queue:
        return Queue(self.sqs, self.surroundings.queue_url(name))

    def park(self, parked: UserEvent, error: Permanent = REFUSED) -> None:
        """As a worker does."""
        queue = self.queue(f"{'user-created' if parked.kind == 'created' else 'profile-updated'}-dead-letters")
        queue.park(parked.to_json(), error, event_id=parked.event_id, user_id=parked.user_id)

    def park_announcement(self, announcement: Announcement) -> None:
        """As the function that delivers them does."""
        self.queue("announcements-dead-letters").park(
            announcement.to_json(), PLATFORM_REFUSES, event_id=announcement.id, user_id=announcement.user_id
        )

    def park_delivery(self, body: bytes, event_id: str = "msg_1", headers: dict[str, str] | None = None) -> None:
        """As the receiver does."""
        self.queue("parked-deliveries").park(
            body, Malformed("no_user_id", "the user's id must be a number"), event_id=event_id, headers=headers
        )

    def lies_in(self, queue: str) -> list[str]:
        """The bodies of all messages in a queue, which is empty afterwards."""
        return sorted(message["Body"] for message in self.surroundings.messages(queue))

    def parked(self) -> int:
        """How many events are parked, none taken away."""
        return sum(
            int(
                self.sqs.get_queue_attributes(
                    QueueUrl=self.surroundings.queue_url(queue), AttributeNames=["ApproximateNumberOfMessages"]
                )["Attributes"]["ApproximateNumberOfMessages"]
            )
            for queue in QUEUES
        )


@dataclass
class Functions:
    """The one call of a Lambda client that is made: it runs the real app.py here."""

    app: ModuleType
    stack: str
    invoked: int = 0

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803
        assert FunctionName == f"{self.stack}-receive-webhook"
        self.invoked += 1
        return {"Payload": io.BytesIO(json.dumps(self.app.handler(json.loads(Payload), None)).encode())}


@pytest.fixture
def operator(engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Operator:
    surroundings = Surroundings(engine, {"AnnounceTo": "webhook"})
    for name, value in surroundings.environment("receive_webhook").items():
        monkeypatch.setenv(name, value)
    receiver = load(ROOT / "functions" / "receive_webhook" / "app.py")
    functions = Functions(receiver, surroundings.stack)
    client = boto3.client
    monkeypatch.setattr(boto3, "client", lambda service, **how: _client(client, functions, service, how))

    def run(command: str, *options: str, stack: str = surroundings.stack, url: str = engine.url) -> int:
        arguments = [command, "--stack", stack, "--endpoint-url", url, *options]
        monkeypatch.setattr(sys, "argv", ["whop-user-sync", *arguments])
        return cli.main()

    def printed() -> str:
        said = capsys.readouterr()
        return said.out + said.err

    return Operator(surroundings, receiver, printed, run)


def _client(make: Any, functions: Functions, service: str, how: dict[str, Any]) -> Any:
    return functions if service == "lambda" else make(service, **how)


def test_parked_events_are_listed_with_user_reason_and_age_and_nothing_personal(operator: Operator) -> None:
    # Given one event in each of the four queues
    operator.park(created("u1", name="Ann Bee"))
    operator.park(event("u2", name="Ann Bee"), Permanent("whop_not_found", "Whop does not know what the call names"))
    operator.park_delivery(b'{"name":"Ann Bee"}', "msg_3")
    operator.park_announcement(ENROLLED)
    # When the operator asks
    assert operator.run("parked") == 0
    # Then each is printed with its queue, and no name, address or body is
    printed = operator.printed()
    for expected in ("u1", "msg_u1_1", "whop_refused", "u2", "whop_not_found", "msg_3", "no_user_id", " s  ", *QUEUES):
        assert expected in printed
    for expected in ("u4", ENROLLED.id, PLATFORM_REFUSES.reason):
        assert expected in printed
    assert "Whop does not know what the call names" in printed
    assert "4 parked" in printed
    for personal in ("Ann", "shop.test"):
        assert personal not in printed
    # And nothing has left its place or is hidden
    assert operator.parked() == 4


def test_contents_are_shown_only_when_asked_for(operator: Operator) -> None:
    operator.park(created("u1", name="Ann Bee"))
    operator.park_delivery(b'{"name":"Bea\x1b[2J"}')
    assert operator.run("parked", "--show-body") == 0
    printed = operator.printed()
    assert "Ann Bee" in printed
    assert "Whop: No Ann here" in printed
    # And what others wrote cannot move the cursor
    assert "Bea\\x1b[2J" in printed


def test_all_parked_events_are_sent_to_the_queues_they_came_from(operator: Operator) -> None:
    # Given parked events of all kinds, the delivery now readable
    first, second = created("u1", name="Ann"), event("u2", name="Bea")
    operator.park(first)
    operator.park(second)
    operator.park_delivery(READABLE)
    operator.park_announcement(ENROLLED)
    # When they are sent round
    assert operator.run("redrive") == 0
    assert "4 sent again" in operator.printed()
    # Then each lies in its queue as the receiver wrote it, and none is parked any more
    assert operator.lies_in("user-created") == [first.to_json()]
    assert operator.lies_in("announcements") == [ENROLLED.to_json()]
    third, same_second = map(UserEvent.from_json, operator.lies_in("profile-updated"))
    assert {third.user_id: third, same_second.user_id: same_second}["u2"] == second
    assert {third.user_id, same_second.user_id} == {"u2", "u7"}
    assert operator.parked() == 0
    # And a second run finds nothing to do
    assert operator.run("redrive") == 0
    assert "Nothing is parked." in operator.printed()
    assert operator.lies_in("user-created") + operator.lies_in("profile-updated") == []


def test_one_users_or_one_reasons_events_can_be_chosen(operator: Operator) -> None:
    # Given events of two users and two reasons
    operator.park(created("u1", 1))
    operator.park(event("u1", 2), Permanent("whop_not_found"))
    operator.park(event("ü 2", 3), Permanent("whop_not_found"))
    # When one of them is chosen by user and reason, others by the user alone
    assert operator.run("redrive", "--user", "u1", "--reason", "whop_refused") == 0
    assert (len(operator.lies_in("user-created")), operator.parked()) == (1, 2)
    assert operator.run("redrive", "--user", "ü 2") == 0
    assert [UserEvent.from_json(body).user_id for body in operator.lies_in("profile-updated")] == ["ü 2"]
    operator.printed()
    # And the listing goes by the same choice
    assert operator.run("parked", "--reason", "whop_refused") == 0
    assert operator.printed() == "Nothing is parked that fits.\n"
    assert operator.run("redrive", "--reason", "whop_not_found") == 0
    assert operator.parked() == 0


def test_what_sqs_moved_by_itself_is_listed_by_user_and_sent_round(operator: Operator) -> None:
    # Given an event that killed its worker so often that SQS moved it
    dead_letters = operator.surroundings.queue_url("user-created-dead-letters")
    source = operator.surroundings.queue_url("user-created")
    arn = operator.sqs.get_queue_attributes(QueueUrl=dead_letters, AttributeNames=["QueueArn"])["Attributes"]
    policy = json.dumps({"deadLetterTargetArn": arn["QueueArn"], "maxReceiveCount": "1"})
    operator.sqs.set_queue_attributes(QueueUrl=source, Attributes={"RedrivePolicy": policy})
    killing = created("u1", name="Ann")
    operator.queue("user-created").send(killing.to_json())
    for _ in range(3):
        operator.sqs.receive_message(QueueUrl=source, VisibilityTimeout=0)
    # Then it is listed like the others
    assert operator.run("parked", "--user", "u1") == 0
    printed = operator.printed()
    assert RECEIVED_TOO_OFTEN in printed
    assert "look for crashes and timeouts" in printed
    assert "msg_u1_1" in printed
    # And goes round like the others
    assert operator.run("redrive", "--reason", RECEIVED_TOO_OFTEN) == 0
    assert operator.lies_in("user-created") == [killing.to_json()]


def test_a_delivery_that_still_cannot_be_read_stays_parked_and_never_becomes_two(operator: Operator) -> None:
    operator.park_delivery(b"not json")
    for _ in range(3):
        assert operator.run("redrive") == 1
        assert "1 still not readable, still parked" in operator.printed()
        assert operator.parked() == 1
    # And it is kept with all that was noted of it
    assert operator.run("parked", "--show-body") == 0
    printed = operator.printed()
    assert "msg_1" in printed
    assert "not json" in printed


def test_a_delivery_that_is_none_of_ours_any_more_is_deleted(operator: Operator) -> None:
    operator.park_delivery(b'{"type":"order.paid"}')
    assert operator.run("redrive") == 0
    assert "1 not a user event as payloads are read now, deleted" in operator.printed()
    assert operator.parked() == 0


def test_a_delivery_is_read_again_by_its_kept_headers_and_as_of_the_time_it_came(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise an old change, redriven after a week, would be newer than all that came since."""
    surroundings = Surroundings(
        engine,
        {
            "PayloadPreset": "standard",
            "PayloadOverrides": json.dumps({"event": 'delivery.headers."x-topic"', "version": "delivery.received_at"}),
        },
    )
    for name, value in surroundings.environment("receive_webhook").items():
        monkeypatch.setenv(name, value)
    receiver = load(ROOT / "functions" / "receive_webhook" / "app.py")
    delivery = {
        "body": base64.b64encode(b'{"data":{"id":"u1","name":"Ann"}}').decode(),
        "event_id": "msg_1",
        "headers": {"x-topic": "user.updated"},
        "received_at": 1_772_359_200.25,
    }
    assert receiver.handler({"redelivery": delivery}, None) == {"redelivery": "accepted"}
    (message,) = surroundings.messages("profile-updated")
    assert UserEvent.from_json(message["Body"]).version == 1_772_359_200_250_000


@pytest.mark.parametrize(
    ("answer", "says"),
    [({"redelivery": "deferred"}, "still parked"), ({"statusCode": 401}, "still parked"), (None, "still parked")],
)
def test_a_delivery_that_the_receiver_did_not_take_stays_parked(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, answer: object, says: str
) -> None:
    """It cannot reach SQS just now, is of an older version, or crashed."""
    operator.park_delivery(READABLE)
    monkeypatch.setattr(operator.receiver, "handler", lambda *_: answer)
    assert operator.run("redrive") == 1
    assert says in operator.printed()
    assert operator.parked() == 1


def test_an_event_is_stored_before_it_leaves_its_place(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given that storing fails
    operator.park(created("u1"))
    real: Any = boto3.client

    def client(service: str, **how: Any) -> Any:
        made = real(service, **how)
        if service == "sqs":
            made.send_message = _refuse
        return made

    monkeypatch.setattr(boto3, "client", client)
    # Then the operator reads why, and the event is where it was
    assert operator.run("redrive") == 3
    assert "not allowed to SendMessage" in operator.printed()
    assert operator.parked() == 1


def _refuse(**_: Any) -> None:
    raise ClientError({"Error": {"Code": "AccessDenied", "Message": ""}}, "SendMessage")


def test_a_run_that_died_after_storing_doubles_the_event_and_the_next_run_ends_it(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Harmless: the user's row knows that the second one brings nothing new."""
    operator.park(created("u1"))
    real: Any = boto3.client

    def client(service: str, **how: Any) -> Any:
        made = real(service, **how)
        if service == "sqs":
            made.delete_message = _interrupt
        return made

    with monkeypatch.context() as patched:
        patched.setattr(boto3, "client", client)
        assert operator.run("redrive") == 130
    assert (len(operator.lies_in("user-created")), operator.parked()) == (1, 1)
    assert operator.run("redrive") == 0
    assert (len(operator.lies_in("user-created")), operator.parked()) == (1, 0)


def _interrupt(**_: Any) -> None:
    raise KeyboardInterrupt


def test_hundreds_are_listed_and_sent_round_in_one_go(operator: Operator) -> None:
    for number in range(120):
        operator.park(event(f"u{number}"))
    assert operator.run("parked") == 0
    assert "120 parked: 120 whop_refused" in operator.printed()
    assert operator.run("redrive") == 0
    assert len(operator.lies_in("profile-updated")) == 120


def test_a_run_that_is_interrupted_leaves_the_rest_parked(operator: Operator) -> None:
    for number in range(60):
        operator.park(event(f"u{number}"))
    stack = ParkedEvents(Stack(name=operator.surroundings.stack, endpoint_url=operator.surroundings.engine.url))
    with stack.held() as events:
        sending = stack.send_again(events)
        next(sending)
        sending.close()  # type: ignore[attr-defined]  # a generator, which Ctrl-C ends likewise
        gone = sum(map(stack.is_gone, events))
    left = operator.parked()
    assert 0 < left < 60
    assert gone == 60 - left
    assert len(operator.lies_in("profile-updated")) == 60 - left


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_stops_a_redrive_and_what_it_says_is_true(operator: Operator) -> None:
    # Given a redrive that is under way
    for number in range(300):
        operator.park(event(f"u{number}"))
    where = ["--stack", operator.surroundings.stack, "--endpoint-url", operator.surroundings.engine.url]
    sent_to = operator.surroundings.queue_url("profile-updated")
    with subprocess.Popen(
        [sys.executable, "-m", "whop_user_sync", "redrive", *where],
        cwd=ROOT,
        env={**os.environ, **NO_ACCOUNT},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as redrive:
        assert becomes_true(lambda: waiting(operator, sent_to) > 0 or redrive.poll() is not None)
        # When a person presses Ctrl-C
        redrive.send_signal(signal.SIGINT)
        output, errors = redrive.communicate(timeout=PATIENCE_SECONDS)
    # Then it ends with the status for that, and each event is in its queue or parked where all can see it
    assert redrive.returncode in INTERRUPTED, output + errors
    assert "Interrupted. What was not sent again is parked as before." in errors
    assert "Traceback" not in errors
    left = operator.parked()
    assert 0 < left < 300
    assert waiting(operator, sent_to) == 300 - left


def waiting(operator: Operator, url: str) -> int:
    answer = operator.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    return int(answer["Attributes"]["ApproximateNumberOfMessages"])


def test_what_another_run_holds_is_mentioned(operator: Operator) -> None:
    operator.park(event("u1"))
    operator.sqs.receive_message(QueueUrl=operator.surroundings.queue_url(QUEUES[1]), VisibilityTimeout=60)
    assert operator.run("parked") == 0
    printed = operator.printed()
    assert "Nothing is parked." in printed
    assert "1 more are held by another run" in printed


def test_an_announcement_is_chosen_by_its_id_or_its_user(operator: Operator) -> None:
    operator.park_announcement(ENROLLED)
    operator.park_announcement(replace(ENROLLED, id="msg_other", user_id="u5"))
    for choice in (("--user", "u4"), ("--delivery", ENROLLED.id)):
        assert operator.run("parked", *choice) == 0
        assert "1 parked" in operator.printed()
    assert operator.run("redrive", "--delivery", ENROLLED.id) == 0
    assert operator.lies_in("announcements") == [ENROLLED.to_json()]
    assert operator.parked() == 1


def test_a_stack_that_does_not_exist_is_named_in_words_that_help(operator: Operator) -> None:
    assert operator.run("parked", stack="nowhere") == 3
    assert "There is no stack nowhere here" in operator.printed()


def test_an_endpoint_that_does_not_answer_is_named(operator: Operator) -> None:
    assert operator.run("parked", url="http://127.0.0.1:1") == 3
    assert "http://127.0.0.1:1" in operator.printed()


def test_missing_credentials_are_reported(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # which remembers credentials
    for name in NO_ACCOUNT:
        if "KEY" in name:
            monkeypatch.delenv(name)
    assert operator.run("parked") == 3
    assert "Sign in to AWS first" in operator.printed()


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"user_id": 5}', "[" * 100_000, '{"user_id": "\\u001b[2J"}'])
def test_whatever_was_put_into_a_queue_is_listed(operator: Operator, body: str) -> None:
    for queue in QUEUES:
        operator.sqs.send_message(QueueUrl=operator.surroundings.queue_url(queue), MessageBody=body or " ")
    assert operator.run("parked", "--show-body") == 0
    printed = operator.printed()
    assert f"{len(QUEUES)} parked" in printed
    assert "\x1b" not in printed


def test_a_stack_that_announces_nothing_has_no_queue_of_announcements_and_the_commands_do_without(
    operator: Operator, engine: Engine
) -> None:
    silent = Surroundings(engine)
    assert "announcements-dead-letters" not in " ".join(
        engine.sqs.list_queues(QueueNamePrefix=silent.stack)["QueueUrls"]
    )
    for command in ("parked", "redrive"):
        assert operator.run(command, stack=silent.stack) == 0
        assert "Nothing is parked." in operator.printed()
