"""The operators' tool without an endpoint, as on AWS, on moto: the local engine lacks what it asks AWS."""

import json
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from local_stack.processes import NO_ACCOUNT
from whop_user_sync.console.sources import WORK_QUEUES, Sources
from whop_user_sync.logs import Logs
from whop_user_sync.parked import QUEUES, ParkedEvents
from whop_user_sync.stack import Stack

STACK = "shop"
BESIDE = "shop-production"
"""Another stack, whose name begins with that of the first."""


@pytest.fixture(autouse=True)
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield


def client(service: str) -> Any:
    return boto3.client(service, region_name=NO_ACCOUNT["AWS_DEFAULT_REGION"])  # type: ignore[call-overload]


def log(stack: str, function: str, **fields: str) -> None:
    group = f"/aws/lambda/{stack}-{function}"
    logs = client("logs")
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="one")
    now = int(time.time() * 1000)
    line = json.dumps({"timestamp": "2026-03-01T10:00:00.000Z", "message": "event", **fields})
    logs.put_log_events(logGroupName=group, logStreamName="one", logEvents=[{"timestamp": now, "message": line}])


def test_lines_are_asked_of_logs_insights_and_those_of_a_stack_beside_it_are_left_out() -> None:
    log(STACK, "user-created", outcome="enrolled", user_id="12345")
    log(STACK, "profile-updated", outcome="synced", user_id="67890")
    log(BESIDE, "user-created", outcome="enrolled", user_id="12345")
    found = Logs(Stack(name=STACK)).find({"user_id": "12345"}, since=time.time() - 60)
    assert [(line.function, line.fields["outcome"]) for line in found] == [("user-created", "enrolled")]


def test_every_alarm_of_the_stack_is_shown_and_none_of_a_stack_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given more alarms than one answer of CloudWatch holds, and another stack's
    monkeypatch.setattr(Stack, "settings", lambda *_: {"USER_MAPPINGS_TABLE": "users"})
    queues(STACK)
    topics = {stack: client("sns").create_topic(Name=f"{stack}-alarms")["TopicArn"] for stack in (STACK, BESIDE)}
    own = [f"alarm-{number}" for number in range(60)]
    for stack, name in [(BESIDE, "crash"), *((STACK, name) for name in own)]:
        client("cloudwatch").put_metric_alarm(
            AlarmName=f"{stack}-{name}",
            Namespace="WhopUserSync",
            MetricName="Crash",
            ComparisonOperator="GreaterThanThreshold",
            EvaluationPeriods=1,
            Period=60,
            Statistic="Sum",
            Threshold=0,
            AlarmActions=[topics[stack]],
        )
    # When the page asks for what it shows first
    overview = Sources(Stack(name=STACK)).overview(hours=1)
    # Then it has all of its own
    assert sorted(alarm.name for alarm in overview.alarms) == sorted(own)
    assert [queue.waiting for queue in overview.queues] == [0] * len(overview.queues)


def test_parked_events_are_sent_again_and_discarded() -> None:
    # Given three events in the dead letters
    urls = queues(STACK)
    log(STACK, "receive-webhook")
    for event_id in ("msg_1", "msg_2", "msg_3"):
        event = {"event_id": event_id, "user_id": "u1"}
        client("sqs").send_message(QueueUrl=urls["user-created-dead-letters"], MessageBody=json.dumps(event))
    parked = ParkedEvents(Stack(name=STACK))
    # When one is sent again and the others are discarded, one after the other
    with parked.held() as events:
        first, second, third = sorted(events, key=lambda event: event.event_id)
        outcomes = [outcome for _, outcome in parked.send_again([first])]
        for each in (second, third):
            parked.discard([each], "a test")
    # Then one is back in its queue, the end of the others stands in the log, and no more is parked
    assert outcomes == ["sent"]
    [again] = client("sqs").receive_message(QueueUrl=urls["user-created"])["Messages"]
    assert json.loads(again["Body"])["event_id"] == "msg_1"
    for event_id in ("msg_2", "msg_3"):
        lines = Logs(Stack(name=STACK)).find({"event_id": event_id}, since=time.time() - 60)
        assert [line.fields["outcome"] for line in lines] == ["discarded"]
    with parked.held() as events:
        assert events == []


def queues(stack: str) -> dict[str, str]:
    """Makes the queues of a stack. Returns their URLs by the last parts of their names."""
    return {
        name: client("sqs").create_queue(QueueName=f"{stack}-{name}")["QueueUrl"] for name in (*WORK_QUEUES, *QUEUES)
    }
