"""The template against the code: what goes unnoticed until it is needed."""

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cloudformation import template
from harness.metrics import emitted_metrics
from whop_sync import assembly
from whop_sync.syncing.retries import RETRIES
from whop_sync.syncing.worker import LAST_START_SECONDS
from whop_sync.users.mappings import LEASE_SECONDS

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = "WhopUserSync"
AWS_METRICS = {
    "AWS/SQS": (
        {
            "ApproximateNumberOfMessagesVisible",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateAgeOfOldestMessage",
        },
        "QueueName",
    ),
    "AWS/Lambda": ({"Errors", "Throttles", "Duration", "ConcurrentExecutions"}, "FunctionName"),
    "AWS/ApiGateway": ({"Count", "4xx", "5xx", "Latency"}, "ApiId"),
}
"""The metrics of AWS that are used, and their dimension: a misspelt one would be watched in silence for ever."""


TEMPLATE = template()
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    """Properties by logical id. Never empty: a test about nothing proves nothing."""
    found = {name: resource["Properties"] for name, resource in RESOURCES.items() if resource["Type"] == kind}
    assert found, kind
    return found


FUNCTIONS = of_type("AWS::Serverless::Function")
ALARMS = of_type("AWS::CloudWatch::Alarm")
QUEUES = of_type("AWS::SQS::Queue")


@pytest.fixture
def emitted(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, tuple[str, ...]]]:
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", NAMESPACE)
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "stack")
    return emitted_metrics(capsys)


@pytest.mark.parametrize("output", TEMPLATE["Outputs"])
def test_every_output_says_what_to_do_with_it(output: str) -> None:
    assert TEMPLATE["Outputs"][output]["Description"].endswith(".")


# -- alarms, dashboard and saved queries -------------------------------------------------------------------------------


@pytest.mark.parametrize("alarm", ALARMS)
def test_every_alarm_tells_somebody_when_it_starts_and_when_it_ends(alarm: str) -> None:
    properties = ALARMS[alarm]
    assert properties["AlarmActions"] == [{"Ref": "Alarms"}]
    assert properties["OKActions"] == [{"Ref": "Alarms"}]
    assert properties["AlarmDescription"].endswith(".")
    assert "TreatMissingData" in properties


@pytest.mark.parametrize("alarm", ALARMS)
def test_every_alarm_watches_a_metric_that_exists(alarm: str, emitted: set[tuple[str, tuple[str, ...]]]) -> None:
    properties = ALARMS[alarm]
    dimensions = tuple(dimension["Name"] for dimension in properties["Dimensions"])
    if properties["Namespace"] == NAMESPACE:
        assert (properties["MetricName"], dimensions) in emitted
        assert properties["Dimensions"][0]["Value"] == {"Ref": "AWS::StackName"}
    else:
        names, dimension = AWS_METRICS[properties["Namespace"]]
        assert properties["MetricName"] in names
        assert dimensions == (dimension,)


def test_every_queue_where_something_is_left_lying_raises_an_alarm() -> None:
    watched = {
        alarm["Dimensions"][0]["Value"]["Fn::GetAtt"][0]: alarm["MetricName"]
        for alarm in ALARMS.values()
        if alarm["Namespace"] == "AWS/SQS"
    }
    for name, queue in QUEUES.items():
        worked = "RedrivePolicy" in queue
        assert watched[name] == ("ApproximateAgeOfOldestMessage" if worked else "ApproximateNumberOfMessagesVisible")


def widgets() -> list[dict[str, Any]]:
    [dashboard] = of_type("AWS::CloudWatch::Dashboard").values()
    found: list[dict[str, Any]] = json.loads(dashboard["DashboardBody"]["Fn::Sub"].replace("${!", "${"))["widgets"]
    return found


def test_the_dashboard_shows_metrics_that_exist(emitted: set[tuple[str, tuple[str, ...]]]) -> None:
    metrics = [metric for widget in widgets() for metric in widget["properties"].get("metrics", [])]
    assert metrics
    for metric in metrics:
        if isinstance(metric[0], dict):
            found = re.match(
                r"SEARCH\('\{(\w+),([\w,]+)\} service=\"\S+\" MetricName=\"(\w+)\"'", metric[0]["expression"]
            )
            assert found, metric
            assert found[1] == NAMESPACE
            assert (found[3], tuple(found[2].split(","))) in emitted, metric
        elif metric[0] == NAMESPACE:
            assert (metric[1], (metric[2],)) in emitted, metric
        else:
            names, dimension = AWS_METRICS[metric[0]]
            assert metric[1] in names, metric
            assert metric[2] == dimension, metric


def test_the_dashboard_shows_every_alarm_and_places_no_widget_on_another() -> None:
    [alarms] = [widget["properties"]["alarms"] for widget in widgets() if widget["type"] == "alarm"]
    assert sorted(alarms) == sorted(f"${{{alarm}.Arn}}" for alarm in ALARMS)
    cells = [
        (widget["x"] + x, widget["y"] + y)
        for widget in widgets()
        for x in range(widget["width"])
        for y in range(widget["height"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@pytest.mark.parametrize("query", of_type("AWS::Logs::QueryDefinition"))
def test_a_saved_query_looks_at_what_is_logged(query: str) -> None:
    properties = RESOURCES[query]["Properties"]
    groups = {group["Ref"] for group in properties["LogGroupNames"]}
    assert {function["LoggingConfig"]["LogGroup"]["Ref"] for function in FUNCTIONS.values()} >= groups
    assert {"ReceiveWebhookLogs", "UserCreatedLogs", "ProfileUpdatedLogs"} <= groups
    source = (ROOT / "shared/whop_sync/journal.py").read_text()
    for field in re.findall(r"(?:fields|filter|by|ispresent\(|count_distinct\() ?([a-z_]+)", properties["QueryString"]):
        assert field == "ispresent" or f'"{field}"' in source, field


# -- what each function may do, and where it writes --------------------------------------------------------------------


def statements(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for policy in resource.get("Policies", []):
        yield from policy["PolicyDocument"]["Statement"]


@pytest.mark.parametrize("role", of_type("AWS::IAM::Role"))
def test_no_role_has_more_than_named_actions_on_named_resources(role: str) -> None:
    properties = RESOURCES[role]["Properties"]
    assert "ManagedPolicyArns" not in properties
    assert list(statements(properties))
    for statement in statements(properties):
        actions, resources = (
            entry if isinstance(entry, list) else [entry] for entry in (statement["Action"], statement["Resource"])
        )
        assert not [action for action in actions if "*" in action]
        assert "*" not in resources


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_has_a_role_of_its_own(function: str) -> None:
    # With Policies in place of a role, SAM would make one that may write to every log group and read every queue.
    assert "Policies" not in FUNCTIONS[function]
    roles = [other["Role"]["Fn::GetAtt"][0] for other in FUNCTIONS.values()]
    assert roles.count(FUNCTIONS[function]["Role"]["Fn::GetAtt"][0]) == 1


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_writes_to_a_log_group_of_its_own_that_forgets(function: str) -> None:
    group = FUNCTIONS[function]["LoggingConfig"]["LogGroup"]["Ref"]
    assert of_type("AWS::Logs::LogGroup")[group]["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    role = RESOURCES[FUNCTIONS[function]["Role"]["Fn::GetAtt"][0]]["Properties"]
    written = [statement["Resource"] for statement in statements(role) if "logs:PutLogEvents" in statement["Action"]]
    assert written == [{"Fn::GetAtt": [group, "Arn"]}]


NAMES = ("Name", "FunctionName", "LayerName", "QueueName", "TableName", "TopicName", "LogGroupName", "AlarmName")


def test_two_stacks_in_one_account_share_no_name() -> None:
    named = 0
    for logical_id, resource in RESOURCES.items():
        for key in (*NAMES, "BucketName", "DashboardName", "RoleName", "StateMachineName"):
            name = resource.get("Properties", {}).get(key)
            if name is not None and resource["Type"] != "AWS::Lambda::Permission":
                named += 1
                assert "AWS::StackName" in json.dumps(name), logical_id
    assert named > len(FUNCTIONS)


# -- what is kept, and how ---------------------------------------------------------------------------------------------


def test_the_table_can_be_restored_is_encrypted_and_outlives_the_stack() -> None:
    [table] = of_type("AWS::DynamoDB::Table").values()
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["SSESpecification"] == {"SSEEnabled": True}
    assert table["DeletionProtectionEnabled"] == {"Ref": "TableDeletionProtection"}
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert RESOURCES["UserMappings"]["DeletionPolicy"] == "RetainExceptOnCreate"
    assert RESOURCES["UserMappings"]["UpdateReplacePolicy"] == "Retain"


@pytest.mark.parametrize("queue", QUEUES)
def test_every_queue_is_encrypted_and_keeps_its_messages_as_long_as_sqs_can(queue: str) -> None:
    assert QUEUES[queue]["SqsManagedSseEnabled"] is True
    assert QUEUES[queue]["MessageRetentionPeriod"] == 14 * 86400


def test_alarms_are_encrypted_with_a_key_that_cloudwatch_may_use() -> None:
    [topic] = of_type("AWS::SNS::Topic").values()
    key = RESOURCES[topic["KmsMasterKeyId"]["Ref"]]["Properties"]
    assert key["EnableKeyRotation"] is True
    users = [statement["Principal"] for statement in key["KeyPolicy"]["Statement"]]
    assert {"Service": "cloudwatch.amazonaws.com"} in users


# -- times and sizes that have to fit ----------------------------------------------------------------------------------

SOURCES = [
    (source["Properties"], function)
    for function in FUNCTIONS.values()
    for source in function.get("Events", {}).values()
    if source["Type"] == "SQS"
]
assert len(SOURCES) == 2


@pytest.mark.parametrize(("source", "function"), SOURCES)
class TestWorker:
    def queue(self, source: dict[str, Any]) -> dict[str, Any]:
        return QUEUES[source["Queue"]["Fn::GetAtt"][0]]

    def test_gets_no_more_events_at_once_than_it_has_threads(
        self, source: dict[str, Any], function: dict[str, Any]
    ) -> None:
        assert source["BatchSize"] == assembly.BATCH_SIZE
        assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert source["ScalingConfig"] == {"MaximumConcurrency": {"Ref": "WorkerConcurrency"}}
        assert function["Environment"]["Variables"]["QUEUE_URL"] == {"Ref": source["Queue"]["Fn::GetAtt"][0]}

    def test_is_ended_before_its_lease_on_a_row_is(self, source: dict[str, Any], function: dict[str, Any]) -> None:
        assert function["Timeout"] < LEASE_SECONDS
        assert function["Timeout"] > LAST_START_SECONDS
        assert self.queue(source)["VisibilityTimeout"] >= 6 * function["Timeout"]

    def test_parks_where_sqs_would_put_what_kills_it(self, source: dict[str, Any], function: dict[str, Any]) -> None:
        dead_letters = self.queue(source)["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
        assert function["Environment"]["Variables"]["DEAD_LETTER_QUEUE_URL"] == {"Ref": dead_letters}

    def test_gives_up_by_itself_before_sqs_does(self, source: dict[str, Any], function: dict[str, Any]) -> None:  # noqa: ARG002
        receives = self.queue(source)["RedrivePolicy"]["maxReceiveCount"]
        backoffs = (min(RETRIES.first_backoff * 2**number, RETRIES.max_backoff) for number in itertools.count())
        shortest = sum(itertools.islice(backoffs, receives)) / 2  # jitter may halve each
        assert shortest > RETRIES.patience
        # A wait that the other side names is two seconds at least for each receive before.
        assert sum(2 * number for number in range(receives)) > RETRIES.long_patience
        assert RETRIES.patience < RETRIES.long_patience < self.queue(source)["MessageRetentionPeriod"]


# -- the gate ----------------------------------------------------------------------------------------------------------


def test_every_exception_from_the_security_check_has_its_reason() -> None:
    lines = (ROOT / ".checkov.yaml").read_text().split("skip-check:\n")[1].splitlines()
    reasoned = False
    for line in lines:
        reasoned = line.strip().startswith("#") or (reasoned and line.strip().startswith("- "))
        assert reasoned, line


@pytest.mark.parametrize("workflow", sorted((ROOT / ".github/workflows").glob("*.yml")), ids=lambda path: path.name)
def test_a_workflow_pins_its_actions_and_asks_for_least(workflow: Path) -> None:
    document = yaml.safe_load(workflow.read_text())
    assert document["permissions"] == {}
    for name, job in document["jobs"].items():
        assert "permissions" in job, name
        for step in job["steps"]:
            assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", step.get("uses", "a/b@" + "0" * 40)), step
    assert "secrets." not in workflow.read_text()
