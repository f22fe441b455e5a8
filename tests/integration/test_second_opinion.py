"""Every call of AWS that the code makes, against AWS's own models and on moto: an engine of its own takes what another
refuses."""

import ast
import itertools
import re
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from fake_whop import Fault
from harness import WORKER_SECONDS, World, created, event
from harness.aws_models import note, objections
from local_stack import ROOT
from local_stack.engine import Engine
from whop_sync.announcements import Announcement
from whop_sync.announcing.event_bus import EventBus
from whop_sync.aws.queues import Queue
from whop_sync.aws.secrets import Secret
from whop_sync.batches.retries import RETRIES
from whop_sync.errors import OperatorNeeded, Permanent, Transient
from whop_sync.importing.stored_files import StoredImports
from whop_sync.journal import Journal
from whop_sync.users.announced_webhooks import AnnouncedWebhooks
from whop_sync.users.directory import Directory
from whop_sync.users.mappings import Claim
from whop_sync.whop.rate_limit import Limit, SharedBuckets

CALLS: list[tuple[str, dict[str, Any]]] = []
"""All calls of this module, in order."""


def client(service: str) -> Any:
    """A client of moto whose calls are noted. That they fit AWS's models is seen in all integration tests."""
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    made: Any = boto3.client(service, **keys)  # type: ignore[call-overload]
    note(made, CALLS)
    return made


class MotoWorld(World):
    def client(self, service: str) -> Any:
        return client(service)


@pytest.fixture(autouse=True)
def moto() -> Iterator[None]:
    # Whop's stand-in and the pictures are servers of their own, which moto must let through.
    with mock_aws(config={"core": {"passthrough": {"urls": [r"http://127\.0\.0\.1.*"]}}}):
        yield


@pytest.fixture
def world(enrollment: str) -> Iterator[World]:
    with MotoWorld(Engine("http://engine.test"), enrollment=enrollment) as world:
        yield world


@pytest.fixture
def queue() -> tuple[Queue, str]:
    sqs = client("sqs")
    url = sqs.create_queue(QueueName="events")["QueueUrl"]
    return Queue(sqs, url), url


def received(url: str) -> dict[str, Any]:
    [message] = client("sqs").receive_message(QueueUrl=url, MessageAttributeNames=["All"])["Messages"]
    return dict(message)


@pytest.mark.parametrize("enrollment", ["companies", "accounts"])
def test_a_users_life_is_the_same_on_both_engines(world: World) -> None:
    # Enrolled with name and picture
    world.handle(created(name="Ann", picture=world.pictures.url("ff0000")))
    assert world.row()["status"] == "synced"
    assert world.owner(world.row()["whop_user_id"]) == "u1"
    # Nothing new, something new, something old
    assert world.handle(created(name="Ann", picture=world.pictures.url("ff0000"))).outcome == "stale"
    assert world.handle(event(version=3, name="Cleo")).outcome == "synced"
    assert world.handle(event(version=2, name="Bea")).outcome == "stale"
    assert world.shown()[0] == "Cleo"
    entry = Directory(world.dynamodb, world.table).entry("u1")
    assert entry
    assert entry.whop_user_id == world.row()["whop_user_id"]


def test_a_user_who_leaves_returns_and_is_erased_is_the_same_on_both_engines(world: World) -> None:
    world.handle(created(name="Ann"))
    world.handle(event(version=2, kind="suspended"))
    assert world.row()["standing"] == "suspended"
    world.handle(event(version=3, kind="deleted"))
    assert world.row()["status"] == "deleted"
    world.handle(created(version=4, name="Ann"))
    assert [entry.status for entry in Directory(world.dynamodb, world.table).entries()] == ["synced"]
    mappings = world.synchronization.mappings
    erased = event(version=5, kind="deleted")
    claim = mappings.claim(erased, deadline=world.clock() + WORKER_SECONDS)
    assert isinstance(claim, Claim)
    mappings.erase(claim, erased, claim.row.account)
    assert "whop_user_id" not in world.row()


def test_an_answer_that_is_lost_is_found_again(world: World) -> None:
    world.fake.fault(Fault(world.create_call, "error_500_after"))
    world.settle(created(name="Ann"))
    assert world.row()["status"] == "synced"
    assert len({call.operation for call in world.fake.calls}) > 1


def test_a_second_user_of_one_address_is_refused(world: World) -> None:
    world.handle(created("u1", email="one@people.test"))
    with pytest.raises(Permanent):
        world.handle(created("u2", email="one@people.test"), age=2 * RETRIES.arrival_patience)
    assert world.row("u2")["status"] == "failed"


def test_a_webhook_of_whop_is_known_once_it_was_announced(world: World) -> None:
    announced = AnnouncedWebhooks(world.dynamodb, world.table, world.clock)
    assert not announced.contains("whop_msg_1")
    announced.add("whop_msg_1")
    assert announced.contains("whop_msg_1")


def test_slots_are_reserved(world: World) -> None:
    buckets = SharedBuckets(world.dynamodb, world.table, time.time, Limit(600))
    first, second = buckets.reserve("GET /files/{id}", 0), buckets.reserve("GET /files/{id}", 0)
    assert first
    assert second
    assert first != second


def test_a_message_is_sent_parked_and_counted(queue: tuple[Queue, str]) -> None:
    events, _ = queue
    waiting = events.waiting()
    events.send_all(str(number) for number in range(25))
    assert events.waiting() == waiting + 25
    parked_url = client("sqs").create_queue(QueueName="parked")["QueueUrl"]
    parked = Queue(client("sqs"), parked_url)
    parked.park(b"\xff", Permanent("whop_refused", "x" * 3000), event_id="msg_1", user_id="u", headers={"a": "b"})
    assert received(parked_url)["MessageAttributes"]["reason"]["StringValue"] == "whop_refused"


@pytest.mark.parametrize("seconds", [0, 5, 43_200, 10**6])
def test_a_message_is_hidden_some_seconds_after_its_receive(queue: tuple[Queue, str], seconds: int) -> None:
    """SQS counts its twelve hours from the receive; the local engine takes any number."""
    events, url = queue
    events.send("{}")
    handle = received(url)["ReceiptHandle"]
    time.sleep(0.01)
    with pytest.raises(client("sqs").exceptions.ClientError):
        client("sqs").change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=43_200)
    events.postpone(handle, seconds)


def test_a_secret_is_read_and_one_without_value_is_named() -> None:
    secrets = client("secretsmanager")
    full = secrets.create_secret(Name="full", SecretString="apik_1")["ARN"]
    empty = secrets.create_secret(Name="empty")["ARN"]
    clock = itertools.count().__next__

    def text(arn: str) -> str:
        return Secret(secrets, arn, unavailable="whop_api_key_unavailable", clock=clock).text()

    assert text(full) == "apik_1"
    with pytest.raises(Transient, match="no value yet"):
        text(empty)


def test_a_file_of_users_is_imported(queue: tuple[Queue, str]) -> None:
    events, _ = queue
    s3 = client("s3")
    s3.create_bucket(Bucket="imports")
    s3.put_object(Bucket="imports", Key="users/a.csv", Body=b"id,email\nu1,u1@people.test\nu2,\n")
    imports = StoredImports(s3=s3, queue=events, journal=Journal(), clock=time.time)
    plan: Any = imports.plan({"bucket": {"name": "imports"}, "object": {"key": "users/a.csv"}})
    orders: list[Any] = [{**plan, "run": "r1", "part": part} for part in plan["parts"]]
    counts = [imports.send_part(order) for order in orders]
    assert [(count["sent"], count["rejected"]) for count in counts] == [(1, 1)]
    assert s3.list_objects_v2(Bucket="imports", Prefix="rejected/r1/")["KeyCount"] == 1


def test_an_announcement_goes_to_a_bus_that_is_there() -> None:
    def announce(bus: str) -> None:
        EventBus(client("events"), bus, clock=time.monotonic).deliver(
            Announcement(id="msg_1", type="user.deleted", user_id="u1", version=1, occurred_at=time.time())
        )

    announce("default")
    with pytest.raises(OperatorNeeded):
        announce("gone")


def test_no_call_of_the_code_is_left_out_here(world: World, queue: tuple[Queue, str]) -> None:
    """Runs the stories above once more and compares their calls with those that stand in the code."""
    CALLS.clear()
    test_a_users_life_is_the_same_on_both_engines(world)
    test_a_user_who_leaves_returns_and_is_erased_is_the_same_on_both_engines(world)
    test_a_webhook_of_whop_is_known_once_it_was_announced(world)
    test_slots_are_reserved(world)
    test_a_message_is_hidden_some_seconds_after_its_receive(queue, 5)
    test_a_secret_is_read_and_one_without_value_is_named()
    test_a_file_of_users_is_imported(queue)
    test_an_announcement_goes_to_a_bus_that_is_there()
    test_a_message_is_sent_parked_and_counted(queue)
    made = {re.sub(r"(?<!^)(?=[A-Z])", "_", call.partition(".")[2]).lower() for call, _ in CALLS}
    # A paginator makes the calls of the operation that it is asked for.
    written = {
        "scan" if node.func.attr == "get_paginator" else node.func.attr
        for source in (ROOT / "shared/whop_sync").rglob("*.py")
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Attribute)
        and node.func.value.attr in ("_client", "s3")
    }
    assert len(written) >= 9
    assert written <= made


def test_every_client_in_these_tests_is_compared_with_the_models() -> None:
    with pytest.raises(AssertionError, match="is none of"):
        boto3.client("dynamodb").get_item(TableName="t", Key={}, ReturnConsumedCapacity="SOME")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "objection"),
    [
        ("secretsmanager", "GetSecretValue", {"SecretId": ""}, "length"),
        ("dynamodb", "GetItem", {"TableName": "t", "Key": {}, "ReturnConsumedCapacity": "SOME"}, "is none of"),
        ("dynamodb", "TransactWriteItems", {"TransactItems": []}, "length"),
        ("sqs", "SendMessage", {"QueueUrl": "q", "Body": "b"}, "has no member Body"),
        ("sqs", "SendMessage", {"QueueUrl": "q"}, "lacks MessageBody"),
        ("s3", "GetObject", {"Bucket": "b", "Key": ""}, "length"),
    ],
)
def test_the_comparison_with_the_models_finds_what_is_wrong(
    service: str, operation: str, parameters: dict[str, Any], objection: str
) -> None:
    model = client(service).meta.service_model.operation_model(operation)
    assert any(objection in found for found in objections(model, parameters))
