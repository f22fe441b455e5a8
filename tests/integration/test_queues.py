"""What is sent to SQS, against its real API: SQS refuses some texts, empty ones and too long ones."""

import base64

import pytest

from harness import event
from harness.template_stack import Surroundings
from local_stack.engine import Engine
from whop_sync.aws.queues import Queue
from whop_sync.errors import Malformed, Permanent, Transient, WhopAnswer
from whop_sync.receiving.deliveries import MAX_BODY_BYTES


@pytest.fixture
def surroundings(engine: Engine) -> Surroundings:
    return Surroundings(engine)


def queue(surroundings: Surroundings, name: str = "user-created") -> Queue:
    return Queue(surroundings.engine.sqs, surroundings.queue_url(name))


def test_an_event_arrives_as_it_was_sent(surroundings: Surroundings) -> None:
    sent = event("ü\u0007 1", name="Änn\n\u0000😀", picture=None)
    queue(surroundings).send(sent.to_json())
    (message,) = surroundings.messages("user-created")
    assert message["Body"] == sent.to_json()


@pytest.mark.parametrize("said", ["", "plain", "é\n\u0000\u0007😀\ufffe", "x" * 5000])
def test_whatever_whop_said_can_be_kept_with_a_parked_event(surroundings: Surroundings, said: str) -> None:
    error = Permanent("whop_refused", said, answer=WhopAnswer(status=422, message=said))
    queue(surroundings).park("{}", error, event_id=said or "msg_1", user_id=said)
    (message,) = surroundings.messages("user-created")
    noted = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert (noted["reason"], noted["encoding"]) == ("whop_refused", "text")
    assert noted.get("whop_message", "").startswith(said[:1].encode("ascii", "backslashreplace").decode())


def test_the_largest_body_that_is_taken_can_be_parked(surroundings: Surroundings) -> None:
    body = bytes(range(256)) * (MAX_BODY_BYTES // 256)
    parked = queue(surroundings, "parked-deliveries")
    parked.park(body, Malformed("not_json", "x" * 2000), event_id="e" * 2000, headers={"x-topic": "t" * 2000})
    (message,) = surroundings.messages("parked-deliveries")
    assert base64.b64decode(message["Body"]) == body


def test_a_postponed_message_is_hidden_and_then_shows_again(surroundings: Surroundings) -> None:
    sqs, url = surroundings.engine.sqs, surroundings.queue_url("user-created")
    queue(surroundings).send("{}")
    (message,) = sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)["Messages"]
    # Given a wait that is longer than SQS can hide a message, it is hidden for as long as SQS can
    queue(surroundings).postpone(message["ReceiptHandle"], 10**6)
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    # And without a wait it shows at once
    queue(surroundings).postpone(message["ReceiptHandle"], 0)
    assert sqs.receive_message(QueueUrl=url)["Messages"]


def test_a_queue_that_does_not_take_it_is_a_matter_of_time(surroundings: Surroundings) -> None:
    gone = Queue(surroundings.engine.sqs, surroundings.queue_url("user-created") + "-gone")
    with pytest.raises(Transient, match="NonExistentQueue"):
        gone.send("{}")
    with pytest.raises(Transient, match="NonExistentQueue"):
        gone.park("{}", Malformed("not_json"), event_id="msg_1")
    with pytest.raises(Transient, match="NonExistentQueue"):
        gone.postpone("receipt", 5)
