"""The simulation's table and queues answer as a real engine does, and as a second one: the same tests, run on each."""

import os
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from harness import Clock, aws_client, create_table
from simulate.expressions import Unsupported
from simulate.queues import Sqs
from simulate.table import Table

if TYPE_CHECKING:
    from local_stack.engine import Engine

SERVICES = ("memory", "engine", "moto")


@dataclass(frozen=True, slots=True)
class Queues:
    """An SQS client, one queue of it, and a way to let time pass."""

    client: Any
    url: str
    sleep: Callable[[float], None]

    def receive(self, **more: Any) -> list[dict[str, Any]]:
        attributes = {"MessageSystemAttributeNames": ["All"], "MessageAttributeNames": ["All"]}
        received: list[dict[str, Any]] = self.client.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=10, **attributes, **more
        ).get("Messages", [])
        return received


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, os.environ.get(name, "us-east-1" if "REGION" in name else "test"))
    with mock_aws():
        yield


@pytest.fixture(params=SERVICES)
def table(request: pytest.FixtureRequest) -> Any:
    """A client of DynamoDB with `table.name` for the one table there is."""
    if request.param == "memory":
        return _Named(Table("user-mappings"), "user-mappings")
    if request.param == "moto":
        request.getfixturevalue("moto")
        client: Any = boto3.client("dynamodb", region_name="us-east-1")
    else:
        engine: Engine = request.getfixturevalue("engine")
        client = aws_client(engine.url, "dynamodb")
    return _Named(client, create_table(client))


@pytest.fixture(params=SERVICES)
def queues(request: pytest.FixtureRequest) -> Queues:
    if request.param == "memory":
        clock = Clock()
        sqs = Sqs(clock)
        sqs.create("queue", visibility=30)
        return Queues(sqs, "queue", clock.sleep)
    if request.param == "moto":
        request.getfixturevalue("moto")
        client = boto3.client("sqs", region_name="us-east-1")
    else:
        engine: Engine = request.getfixturevalue("engine")
        client = aws_client(engine.url, "sqs")
    url = client.create_queue(QueueName=uuid.uuid4().hex, Attributes={"VisibilityTimeout": "30"})["QueueUrl"]
    return Queues(client, url, time.sleep)


class _Named:
    """Calls with the table's name filled in."""

    def __init__(self, client: Any, name: str) -> None:
        self._client, self._name = client, name

    def get(self, key: str) -> dict[str, Any]:
        """The item with its sets in order and its numbers as numbers, which engines write in different ways."""
        answer = self._client.get_item(TableName=self._name, Key={"key": {"S": key}}, ConsistentRead=True)
        return plain(answer.get("Item", {}))

    def update(self, key: str, expression: str, **more: Any) -> dict[str, Any]:
        answer = self._client.update_item(
            TableName=self._name, Key={"key": {"S": key}}, UpdateExpression=expression, **more
        )
        return plain(answer.get("Attributes", {}))

    def put(self, item: dict[str, Any], **more: Any) -> None:
        self._client.put_item(TableName=self._name, Item=item, **more)

    def delete(self, key: str, **more: Any) -> None:
        self._client.delete_item(TableName=self._name, Key={"key": {"S": key}}, **more)

    def transact(self, *writes: dict[str, Any]) -> None:
        entries = [{action: {"TableName": self._name, **write} for action, write in entry.items()} for entry in writes]
        self._client.transact_write_items(TransactItems=entries)


def plain(item: dict[str, Any]) -> dict[str, Any]:
    kinds: dict[str, Callable[[Any], Any]] = {"N": float, "SS": sorted}
    return {
        name: kinds.get(kind, lambda content: content)(content)
        for name, value in item.items()
        for kind, content in value.items()
    }


def refused(call: Callable[[], object]) -> tuple[str, dict[str, Any]]:
    """The error code of a refused call, and the item that came with it."""
    with pytest.raises(ClientError) as caught:
        call()
    response: Any = caught.value.response
    return response["Error"]["Code"], plain(response.get("Item", {}))


def values(**each: Any) -> dict[str, Any]:
    """ExpressionAttributeValues: text as S, numbers as N, lists as sets of text, booleans as BOOL."""

    def typed(value: Any) -> dict[str, Any]:
        if isinstance(value, bool):
            return {"BOOL": value}
        if isinstance(value, list):
            return {"SS": value}
        return {"S": value} if isinstance(value, str) else {"N": str(value)}

    return {"ExpressionAttributeValues": {f":{name}": typed(value) for name, value in each.items()}}


# -- the table -----------------------------------------------------------------------------------------------------


def test_an_update_makes_an_item_and_gives_back_the_one_that_was_there(table: Any) -> None:
    assert table.update("a", "SET one = :one, two = :two", ReturnValues="ALL_OLD", **values(one="x", two=1.5)) == {}
    old = table.update("a", "SET one = :one REMOVE two", ReturnValues="ALL_OLD", **values(one="y"))
    assert old == {"key": "a", "one": "x", "two": 1.5}
    assert table.get("a") == {"key": "a", "one": "y"}


def test_all_parts_of_an_update_see_the_item_as_it_was(table: Any) -> None:
    table.update("a", "SET one = :one", **values(one="x"))
    table.update("a", "SET one = :one, two = one, three = if_not_exists(absent, :one)", **values(one="y"))
    assert table.get("a") == {"key": "a", "one": "y", "two": "x", "three": "y"}


def test_a_default_holds_only_for_what_is_absent(table: Any) -> None:
    for value in ("x", "y"):
        table.update("a", "SET one = if_not_exists(one, :one)", **values(one=value))
    assert table.get("a")["one"] == "x"


def test_sets_grow_shrink_and_vanish_when_they_are_empty(table: Any) -> None:
    table.update("a", "ADD unsettled :fields", **values(fields=["name"]))
    table.update("a", "ADD unsettled :fields", **values(fields=["name", "picture"]))
    assert table.get("a")["unsettled"] == ["name", "picture"]
    table.update("a", "DELETE unsettled :fields", **values(fields=["name", "other"]))
    assert table.get("a")["unsettled"] == ["picture"]
    table.update("a", "DELETE unsettled :fields", **values(fields=["picture"]))
    assert "unsettled" not in table.get("a")


def test_numbers_are_added_to_what_is_there_or_to_nothing(table: Any) -> None:
    table.update("a", "ADD seen :one", **values(one=1))
    table.update("a", "ADD seen :one", **values(one=2))
    assert table.get("a")["seen"] == 3


def test_lists_and_maps_are_kept_as_they_are_until_they_are_taken_out(table: Any) -> None:
    outbox = {"L": [{"M": {"type": {"S": "user.enrolled"}, "version": {"N": "1"}, "data": {"M": {}}}}]}
    taken = {"ExpressionAttributeNames": {"#outbox": "outbox"}}
    table.update("a", "SET #outbox = :outbox", **taken, ExpressionAttributeValues={":outbox": outbox})
    assert table.get("a") == {"key": "a", "outbox": outbox["L"]}
    for condition in ("attribute_exists(outbox)", "attribute_not_exists(gone)"):
        table.update("a", "SET seen = :v", ConditionExpression=condition, **values(v="x"))
    table.update("a", "REMOVE #outbox, seen", **taken)
    assert table.get("a") == {"key": "a"}
    with_it = {"ConditionExpression": "attribute_exists(outbox)", **values(v="x")}
    assert refused(lambda: table.update("a", "SET seen = :v", **with_it))[0] == "ConditionalCheckFailedException"


@pytest.mark.parametrize(
    ("condition", "given", "holds"),
    [
        ("attribute_exists(one)", {}, True),
        ("attribute_not_exists(one)", {}, False),
        ("attribute_not_exists(absent) AND one = :v", {"v": "x"}, True),
        ("one = :v", {"v": "y"}, False),
        ("one <> :v", {"v": "y"}, True),
        ("absent = :v", {"v": "x"}, False),
        ("absent <> :v", {"v": "x"}, True),
        ("one < :v", {"v": "y"}, True),
        ("one < :v", {"v": "X"}, False),
        ("absent < :v", {"v": "y"}, False),
        ("num < :v", {"v": 10}, True),
        ("num <= :v", {"v": 9.0}, True),
        ("num >= :v", {"v": 9.0}, True),
        ("num = :v", {"v": 9.00}, True),
        ("num > :v", {"v": 9.5}, False),
        ("one IN (:v, :w)", {"v": "z", "w": "x"}, True),
        ("one IN (:v, :w)", {"v": "z", "w": "y"}, False),
        ("NOT one = :v", {"v": "x"}, False),
        ("one = :v OR num = :w AND num = :u", {"v": "x", "w": 1, "u": 2}, True),
        ("(one = :v OR num = :w) AND num = :u", {"v": "x", "w": 1, "u": 2}, False),
        ("begins_with(one, :v)", {"v": "x"}, True),
        ("contains(unsettled, :v)", {"v": "name"}, True),
        ("contains(unsettled, :v)", {"v": "nam"}, False),
    ],
)
def test_a_condition_holds_or_the_write_is_refused(
    table: Any, condition: str, given: dict[str, Any], holds: bool
) -> None:
    table.put({"key": {"S": "a"}, "one": {"S": "x"}, "num": {"N": "9"}, "unsettled": {"SS": ["name"]}})
    more = {"ConditionExpression": condition, **values(new="new", **given)}
    if holds:
        table.update("a", "SET seen = :new", **more)
    else:
        assert refused(lambda: table.update("a", "SET seen = :new", **more))[0] == "ConditionalCheckFailedException"
    assert ("seen" in table.get("a")) is holds


def test_a_refused_write_shows_the_item_that_refused_it_if_asked(table: Any) -> None:
    asked = {"ConditionExpression": "one = :one", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    nothing = refused(lambda: table.update("a", "SET two = :one", **asked, **values(one="y")))
    assert nothing == ("ConditionalCheckFailedException", {})
    assert table.get("a") == {}
    table.update("a", "SET one = :one", **values(one="x"))
    shown = refused(lambda: table.update("a", "SET two = :one", **asked, **values(one="y")))
    assert shown == ("ConditionalCheckFailedException", {"key": "a", "one": "x"})


@pytest.mark.parametrize(
    ("expression", "more"),
    [
        ("SET one = :none", values(one="x")),
        ("SET one = :one", values(one="x", more="y")),
        ("SET none = :one", values(one="x")),
        ("SET #one = :one", {"ExpressionAttributeNames": {"#one": "a", "#two": "b"}, **values(one="x")}),
        ("SET one = absent", {}),
        ("SET #one = :one", {"ExpressionAttributeNames": {"#one": "key"}, **values(one="x")}),
    ],
)
def test_an_update_that_makes_no_sense_is_refused(table: Any, expression: str, more: dict[str, Any]) -> None:
    assert refused(lambda: table.update("a", expression, **more))[0] == "ValidationException"
    assert table.get("a") == {}


def test_items_are_put_and_deleted_under_conditions(table: Any) -> None:
    table.put({"key": {"S": "a"}, "one": {"S": "x"}})
    absent = {"ConditionExpression": "attribute_not_exists(#key)", "ExpressionAttributeNames": {"#key": "key"}}
    assert refused(lambda: table.put({"key": {"S": "a"}}, **absent))[0] == "ConditionalCheckFailedException"
    other = {"ConditionExpression": "one = :one", **values(one="y")}
    assert refused(lambda: table.delete("a", **other))[0] == "ConditionalCheckFailedException"
    assert table.get("a")["one"] == "x"
    table.delete("a", **{**other, **values(one="x")})
    assert table.get("a") == {}
    table.delete("a")


def test_a_transaction_is_carried_out_as_a_whole_or_not_at_all(table: Any) -> None:
    put = {"Put": {"Item": {"key": {"S": "b"}, "user_id": {"S": "a"}}}}
    update = {
        "Update": {
            "Key": {"key": {"S": "a"}},
            "UpdateExpression": "SET one = :one",
            "ConditionExpression": "lease_id = :lease",
            **values(one="x", lease="mine"),
        }
    }
    with pytest.raises(ClientError) as caught:
        table.transact(update, put)
    response: Any = caught.value.response
    assert response["Error"]["Code"] == "TransactionCanceledException"
    assert [reason["Code"] for reason in response["CancellationReasons"]] == ["ConditionalCheckFailed", "None"]
    assert (table.get("a"), table.get("b")) == ({}, {})
    table.update("a", "SET lease_id = :lease", **values(lease="mine"))
    table.transact(update, put)
    assert (table.get("a")["one"], table.get("b")["user_id"]) == ("x", "a")
    table.transact({"Delete": {"Key": {"key": {"S": "b"}}, "ConditionExpression": "user_id = :a", **values(a="a")}})
    assert table.get("b") == {}


# -- the queues ----------------------------------------------------------------------------------------------------


def test_a_message_arrives_with_its_attributes_and_its_count_of_receives(queues: Queues) -> None:
    attributes = {"reason": {"DataType": "String", "StringValue": "no_email"}}
    queues.client.send_message(QueueUrl=queues.url, MessageBody="hello", MessageAttributes=attributes)
    (message,) = queues.receive(VisibilityTimeout=0)
    assert message["Body"] == "hello"
    assert message["MessageAttributes"]["reason"]["StringValue"] == "no_email"
    assert message["Attributes"]["SentTimestamp"].isdigit()
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"
    (again,) = queues.receive()
    assert (again["MessageId"], again["Attributes"]["ApproximateReceiveCount"]) == (message["MessageId"], "2")


def test_what_was_received_is_hidden_until_its_time_is_up_or_changed(queues: Queues) -> None:
    queues.client.send_message(QueueUrl=queues.url, MessageBody="hello")
    queues.receive(VisibilityTimeout=1)
    assert queues.receive() == []
    queues.sleep(1.2)
    (message,) = queues.receive(VisibilityTimeout=600)
    visibility = {"QueueUrl": queues.url, "ReceiptHandle": message["ReceiptHandle"]}
    queues.client.change_message_visibility(VisibilityTimeout=0, **visibility)
    assert len(queues.receive()) == 1


def test_a_deleted_message_is_gone(queues: Queues) -> None:
    queues.client.send_message(QueueUrl=queues.url, MessageBody="hello")
    (message,) = queues.receive(VisibilityTimeout=0)
    queues.client.delete_message(QueueUrl=queues.url, ReceiptHandle=message["ReceiptHandle"])
    assert queues.receive() == []


def test_a_queue_that_is_not_there_is_refused(queues: Queues) -> None:
    call = {"QueueUrl": queues.url + "-gone", "MessageBody": "hello"}
    assert "NonExistentQueue" in refused(lambda: queues.client.send_message(**call))[0]


# -- what only the simulation can say, where an engine is laxer than AWS -------------------------------------------


def test_a_message_may_be_deleted_twice() -> None:
    """Documented for DeleteMessage; the local engine refuses it."""
    sqs = Sqs(Clock())
    sqs.create("queue")
    sqs.send_message(QueueUrl="queue", MessageBody="hello")
    handle = sqs.receive_message(QueueUrl="queue")["Messages"][0]["ReceiptHandle"]
    for _ in range(2):
        sqs.delete_message(QueueUrl="queue", ReceiptHandle=handle)


@pytest.mark.parametrize("expression", ["SET one = :one, one = :one", "SET #one = :one"])
def test_an_update_that_an_engine_lets_pass_is_refused(expression: str) -> None:
    """Documented: paths may not overlap, and every placeholder stands for something."""
    table = _Named(Table("user-mappings"), "user-mappings")
    assert refused(lambda: table.update("a", expression, **values(one="x")))[0] == "ValidationException"


@pytest.mark.parametrize("seconds", [43_200, 43_201])
def test_twelve_hours_count_from_the_receive(seconds: int) -> None:
    clock = Clock()
    sqs = Sqs(clock)
    sqs.create("queue")
    sqs.send_message(QueueUrl="queue", MessageBody="hello")
    handle = sqs.receive_message(QueueUrl="queue")["Messages"][0]["ReceiptHandle"]
    clock.sleep(1)
    change = {"QueueUrl": "queue", "ReceiptHandle": handle}
    code, _ = refused(lambda: sqs.change_message_visibility(VisibilityTimeout=seconds, **change))
    assert code == "InvalidParameterValue"
    sqs.change_message_visibility(VisibilityTimeout=43_199, **change)


@pytest.mark.parametrize(
    "request_",
    [
        {"UpdateExpression": "SET one.two = :one"},
        {"UpdateExpression": "SET one = list_append(one, :one)"},
        {"UpdateExpression": "SET one = :one", "ConditionExpression": "size(one) = :one"},
        {"UpdateExpression": "SET one = :one", "ConditionExpression": "one BETWEEN :one AND :one"},
        {"UpdateExpression": "SET one = :one", "ConditionExpression": "one < :one"},
        {"UpdateExpression": "SET one = :one", "Expected": {}},
        {"UpdateExpression": "SET one = :one", "ReturnValues": "UPDATED_NEW"},
    ],
)
def test_what_the_table_in_memory_does_not_know_raises(request_: dict[str, Any]) -> None:
    table = Table("user-mappings")
    table.put_item(TableName="user-mappings", Item={"key": {"S": "a"}, "one": {"N": "1"}})
    with pytest.raises(Unsupported):
        table.update_item(TableName="user-mappings", Key={"key": {"S": "a"}}, **request_, **values(one="x"))


def test_a_read_that_may_be_stale_is_no_read_of_the_application() -> None:
    with pytest.raises(Unsupported):
        Table("user-mappings").get_item(TableName="user-mappings", Key={"key": {"S": "a"}})
