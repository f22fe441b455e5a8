"""The template against the code: what goes unnoticed until it is needed."""

import itertools
import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cloudformation import template
from harness.metrics import emitted_metrics
from whop_sync import assembly
from whop_sync.backend_api.enrolling import (
    CALL_SECONDS,
    CALL_TIMEOUT,
    LAST_TRY_SECONDS,
    MAX_SLOT_WAIT_SECONDS,
    WAIT_SECONDS,
    WORK_SECONDS,
)
from whop_sync.batches.retries import RETRIES
from whop_sync.errors import AwaitsTurn
from whop_sync.syncing.user_events import LAST_START_SECONDS
from whop_sync.users.mappings import LEASE_SECONDS
from whop_sync.users.schema import whop_account_key, whop_user_key, whop_webhook_key

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = "WhopUserSync"
CLOUDWATCH = {"Service": "cloudwatch.amazonaws.com"}
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
    "AWS/States": ({"ExecutionsFailed"}, "StateMachineArn"),
}
"""The metrics of AWS that are used, and their dimension: a misspelt one would be watched in silence for ever."""


TEMPLATE = template()
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE["Resources"]


def alternatives(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """An entry of a list, or what may stand in its place under a condition."""
    if "Fn::If" not in entry:
        return [entry]
    return [each for each in entry["Fn::If"][1:] if each != {"Ref": "AWS::NoValue"}]


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    """Properties by logical id. Never empty: a test about nothing proves nothing."""
    found = {name: resource["Properties"] for name, resource in RESOURCES.items() if resource["Type"] == kind}
    assert found, kind
    return found


FUNCTIONS = of_type("AWS::Serverless::Function")
ALARMS = of_type("AWS::CloudWatch::Alarm")
QUEUES = of_type("AWS::SQS::Queue")


@pytest.fixture
def emitted(capsys: pytest.CaptureFixture[str]) -> set[tuple[str, tuple[str, ...]]]:
    return emitted_metrics(capsys)


@pytest.mark.parametrize("output", TEMPLATE["Outputs"])
def test_every_output_says_what_to_do_with_it(output: str) -> None:
    assert TEMPLATE["Outputs"][output]["Description"].endswith(".")


# -- alarms, dashboard and saved queries -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "is_one"), [("", True), ("ops@shop.test", True), ("ops", False), ("a@b c@d", False)]
)
def test_what_is_no_address_for_alarms_fails_before_anything_is_made(address: str, is_one: bool) -> None:
    """SNS would refuse it in the middle of the first deployment."""
    assert bool(re.fullmatch(TEMPLATE["Parameters"]["AlarmEmail"]["AllowedPattern"], address)) is is_one


@pytest.mark.parametrize("alarm", ALARMS)
def test_every_alarm_notifies_when_it_starts_and_when_it_ends(alarm: str) -> None:
    properties = ALARMS[alarm]
    assert properties["AlarmActions"] == [{"Ref": "Alarms"}]
    assert properties["OKActions"] == [{"Ref": "Alarms"}]
    assert properties["AlarmDescription"].endswith(".")
    assert "TreatMissingData" in properties


NEVER_TO_HAPPEN = {"ApproximateNumberOfMessagesVisible", "Errors", "Crash", "ExecutionsFailed"}
NAMED_TIMES = {"15 minutes": 900, "two hours": 7200, "ten days": 864_000}


def test_what_is_never_to_happen_raises_its_alarm_the_first_time() -> None:
    never = {name: alarm for name, alarm in ALARMS.items() if alarm.get("MetricName") in NEVER_TO_HAPPEN}
    assert {alarm["MetricName"] for alarm in never.values()} == NEVER_TO_HAPPEN
    for name, alarm in never.items():
        assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0), name
        assert (alarm["EvaluationPeriods"], alarm["Period"] <= 300) == (1, True), name
        assert alarm["Statistic"] in ("Sum", "Maximum"), name


def test_an_alarm_of_age_begins_at_the_age_that_its_text_names() -> None:
    ages = {name: alarm for name, alarm in ALARMS.items() if re.search("Age|Waiting", alarm.get("MetricName", ""))}
    assert len(ages) > len(QUEUES)
    for name, alarm in ages.items():
        [named] = [age for text, age in NAMED_TIMES.items() if text in alarm["AlarmDescription"]]
        assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", named), name
        assert alarm.get("Statistic", alarm.get("ExtendedStatistic")) in ("Maximum", "p99"), name


def watched(alarm: dict[str, Any]) -> list[dict[str, Any]]:
    """The metrics of an alarm: its own, or those of its expression."""
    if "Metrics" not in alarm:
        return [alarm]
    return [each["MetricStat"]["Metric"] for each in alarm["Metrics"] if "MetricStat" in each]


@pytest.mark.parametrize("alarm", ALARMS)
def test_every_alarm_watches_a_metric_that_exists(alarm: str, emitted: set[tuple[str, tuple[str, ...]]]) -> None:
    for metric in watched(ALARMS[alarm]):
        dimensions = tuple(dimension["Name"] for dimension in metric["Dimensions"])
        if metric["Namespace"] == NAMESPACE:
            assert (metric["MetricName"], dimensions) in emitted
            assert metric["Dimensions"][0]["Value"] == {"Ref": "AWS::StackName"}
        else:
            names, dimension = AWS_METRICS[metric["Namespace"]]
            assert metric["MetricName"] in names
            assert dimensions == (dimension,)


def test_an_expression_of_an_alarm_uses_what_it_measures() -> None:
    expressions = [alarm for alarm in ALARMS.values() if "Metrics" in alarm]
    assert expressions
    for alarm in expressions:
        [result] = [each for each in alarm["Metrics"] if "Expression" in each]
        measured = {each["Id"] for each in alarm["Metrics"] if "MetricStat" in each}
        assert measured == set(re.findall(r"[a-z]\w*", result["Expression"]))
        assert all(each["ReturnData"] is False for each in alarm["Metrics"] if "MetricStat" in each)


def test_an_outage_of_whop_alone_does_not_raise_the_alarm_of_the_receiver() -> None:
    """The API's own 5xx would count the routes that ask Whop as well."""
    alarm = ALARMS["Receiver5xxAlarm"]
    assert (alarm["Namespace"], alarm["MetricName"]) == (NAMESPACE, "DeliveryDeferred")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_that_is_ended_or_does_not_start_raises_an_alarm(function: str) -> None:
    if function == "ImportUsersFunction":  # the run that calls it fails
        assert ALARMS["ImportFailedAlarm"]["MetricName"] == "ExecutionsFailed"
        return
    if function == "CheckSettingsFunction":  # the deployment that calls it fails
        return
    assert any(
        (metric["MetricName"], metric["Dimensions"][0]["Value"]) == ("Errors", {"Ref": function})
        for alarm in ALARMS.values()
        for metric in watched(alarm)
    )


@pytest.mark.parametrize(
    "function",
    [
        "ReceiveWebhookFunction",
        "WhopWebhooksFunction",
        "UserCreatedFunction",
        "ProfileUpdatedFunction",
        "AnnounceFunction",
    ],
)
def test_a_function_without_concurrency_raises_an_alarm(function: str) -> None:
    """A new account may have ten in all."""
    assert any(
        (metric["MetricName"], metric["Dimensions"][0]["Value"]) == ("Throttles", {"Ref": function})
        for alarm in ALARMS.values()
        for metric in watched(alarm)
    )


def test_every_queue_where_something_is_left_lying_raises_an_alarm() -> None:
    watching = {
        (alarm["Dimensions"][0]["Value"]["Fn::GetAtt"][0], alarm["MetricName"]): alarm["Threshold"]
        for alarm in ALARMS.values()
        if alarm.get("Namespace") == "AWS/SQS"
    }
    for name, queue in QUEUES.items():
        assert (name, "ApproximateAgeOfOldestMessage") in watching
        if "RedrivePolicy" not in queue:
            assert watching[name, "ApproximateNumberOfMessagesVisible"] == 0
            # And once more while there are days left before SQS forgets them.
            assert watching[name, "ApproximateAgeOfOldestMessage"] == 10 * 86400 < queue["MessageRetentionPeriod"]


def widgets() -> list[dict[str, Any]]:
    [dashboard] = of_type("AWS::CloudWatch::Dashboard").values()
    text, conditional = dashboard["DashboardBody"]["Fn::Sub"]
    for name, value in conditional.items():
        condition, there, absent = value["Fn::If"]
        assert (condition, absent) == (RESOURCES[name]["Condition"], "")
        text = text.replace(f"${{{name}}}", there["Fn::Sub"])
    found: list[dict[str, Any]] = json.loads(text.replace("${!", "${"))["widgets"]
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
    groups = {group["Ref"] for each in properties["LogGroupNames"] for group in alternatives(each)}
    assert {function["LoggingConfig"]["LogGroup"]["Ref"] for function in FUNCTIONS.values()} >= groups
    assert {"ReceiveWebhookLogs", "UserCreatedLogs", "ProfileUpdatedLogs", "EnrollUserLogs", "AnnounceLogs"} <= groups
    # What Whop's receiver logs names no user.
    assert ("WhopWebhooksLogs" in groups) == (query != "UserQuery")
    source = (ROOT / "shared/whop_sync/journal.py").read_text()
    for field in re.findall(r"(?:fields|filter|by|ispresent\(|count_distinct\() ?([a-z_]+)", properties["QueryString"]):
        assert field == "ispresent" or f'"{field}"' in source, field


# -- what each function may do, and where it writes --------------------------------------------------------------------


def statements(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for policy in resource.get("Policies", []):
        for each in policy["PolicyDocument"]["Statement"]:
            yield from alternatives(each)


# Step Functions delivers its logs by these, and X-Ray takes traces; AWS lets no resource be named for them.
WITHOUT_RESOURCES = {
    *("logs:CreateLogDelivery", "logs:GetLogDelivery", "logs:UpdateLogDelivery", "logs:DeleteLogDelivery"),
    *("logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:DescribeResourcePolicies", "logs:DescribeLogGroups"),
    *("xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:GetSamplingRules", "xray:GetSamplingTargets"),
}


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
        assert "*" not in resources or set(actions) <= WITHOUT_RESOURCES


@pytest.mark.parametrize("role", of_type("AWS::IAM::Role"))
def test_a_role_may_trace_from_the_moment_that_it_is_there_and_only_when_tracing_is_switched_on(role: str) -> None:
    """Lambda makes no function that traces whose role may not yet (PutTraceSegments), and nothing would have a function
    wait for a policy beside its role (https://github.com/serverless/serverless/issues/6931)."""
    [statement] = only_under("Traces", role)
    assert all(action.startswith("xray:") for action in statement["Action"])
    assert str(RESOURCES[role]).count("xray:Put") == 2
    assert TEMPLATE["Parameters"]["Tracing"]["Default"] == "false"
    assert not {"AWS::IAM::ManagedPolicy", "AWS::IAM::Policy"} & {each["Type"] for each in RESOURCES.values()}


def test_an_import_reaches_the_runs_of_its_parts_in_both_forms_that_aws_documents() -> None:
    """https://docs.aws.amazon.com/step-functions/latest/dg/iam-policies-eg-dist-map.html"""
    [reaching] = [
        each
        for each in statements(RESOURCES["ImportStateMachineRole"]["Properties"])
        if "states:DescribeExecution" in each["Action"]
    ]
    forms = {each["Fn::Sub"].rpartition(":execution:")[2] for each in reaching["Resource"]}
    assert forms == {"${AWS::StackName}-import-users:*", "${AWS::StackName}-import-users/*"}


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


def only_under(condition: str, role: str) -> list[dict[str, Any]]:
    """The statements that a role has under a condition alone."""
    [policy] = RESOURCES[role]["Properties"]["Policies"]
    conditional = [each["Fn::If"] for each in policy["PolicyDocument"]["Statement"] if "Fn::If" in each]
    return [there for name, there, absent in conditional if name == condition and absent == {"Ref": "AWS::NoValue"}]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_who_is_given_the_queue_of_announcements_may_send_to_it_and_no_other(function: str) -> None:
    role = RESOURCES[FUNCTIONS[function]["Role"]["Fn::GetAtt"][0]]["Properties"]
    sending = [each["Resource"] for each in statements(role) if each["Action"] == "sqs:SendMessage"]
    is_given = "ANNOUNCEMENTS_QUEUE_URL" in FUNCTIONS[function].get("Environment", {}).get("Variables", {})
    assert ("'AnnouncementsQueue'" in str(sending)) == is_given


@pytest.mark.parametrize("worker", ["UserCreated", "ProfileUpdated"])
def test_a_worker_may_announce_only_where_something_is_announced(worker: str) -> None:
    [sending] = [
        each for each in statements(RESOURCES[f"{worker}Role"]["Properties"]) if each["Action"] == "sqs:SendMessage"
    ]
    assert sending["Resource"] == [
        {"Fn::GetAtt": [f"{worker}DeadLetterQueue", "Arn"]},
        {"Fn::If": ["Announces", {"Fn::GetAtt": ["AnnouncementsQueue", "Arn"]}, {"Ref": "AWS::NoValue"}]},
    ]


def test_announcements_go_one_way_alone() -> None:
    """Who puts events on a bus reads no secret, and who signs webhooks puts no events."""
    [secret] = only_under("AnnouncesByWebhook", "AnnounceRole")
    assert (secret["Action"], secret["Resource"]) == (
        "secretsmanager:GetSecretValue",
        {"Fn::GetAtt": ["AnnouncementSecrets", "Id"]},
    )
    [bus] = only_under("AnnouncesOnBus", "AnnounceRole")
    assert bus["Action"] == ["events:PutEvents", "events:DescribeEventBus"]
    assert bus["Resource"]["Fn::Sub"].endswith(":event-bus/${AnnouncementEventBus}")


def test_who_announces_reads_of_the_table_no_users_row() -> None:
    [reading] = [each for each in statements(RESOURCES["AnnounceRole"]["Properties"]) if "GetItem" in str(each)]
    keys = [key("")["key"]["S"] for key in (whop_account_key, whop_user_key, whop_webhook_key)]
    assert reading["Condition"] == {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": [f"{key}*" for key in keys]}}


def test_who_announces_writes_to_the_table_nothing_but_notes_on_whops_webhooks() -> None:
    role = RESOURCES["AnnounceRole"]["Properties"]
    [writing] = [each for each in statements(role) if "dynamodb:PutItem" in each["Action"]]
    key = whop_webhook_key("")["key"]["S"]
    assert writing["Condition"] == {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": [f"{key}*"]}}
    actions = {action for each in statements(role) for action in str(each["Action"]).split("'") if ":" in action}
    assert {action for action in actions if "dynamodb" in action} == {"dynamodb:PutItem", "dynamodb:GetItem"}


@pytest.mark.parametrize("name", [name for name in RESOURCES if name.startswith(("Announce", "Announcements"))])
def test_a_stack_that_announces_nothing_has_nothing_of_it(name: str) -> None:
    assert RESOURCES[name]["Condition"] in ("Announces", "AnnouncesByWebhook")
    assert TEMPLATE["Parameters"]["AnnounceTo"]["Default"] == "none"


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


def test_what_takes_whops_webhooks_is_there_only_where_they_are_announced() -> None:
    names = [name for name in RESOURCES if name.startswith("WhopWebhook")]
    assert len(names) >= 12
    assert {RESOURCES[name]["Condition"] for name in names} == {"TakesWhopWebhooks"}
    announces, on = TEMPLATE["Conditions"]["TakesWhopWebhooks"]["Fn::And"]
    assert announces == {"Condition": "Announces"}
    assert on == {"Fn::Equals": [{"Ref": "WhopWebhooks"}, "true"]}
    rule = TEMPLATE["Rules"]["WhopWebhooksAreAnnounced"]
    assert rule["RuleCondition"] == on
    [assertion] = rule["Assertions"]
    assert assertion["Assert"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "AnnounceTo"}, "none"]}]}
    assert TEMPLATE["Parameters"]["WhopWebhooks"]["Default"] == "false"


def test_the_receiver_of_whops_webhooks_may_queue_announcements_and_read_its_secret_and_no_more() -> None:
    allowed = {
        action: json.dumps(statement["Resource"])
        for statement in statements(RESOURCES["WhopWebhooksRole"]["Properties"])
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
        if not action.startswith(("logs:", "xray:"))
    }
    assert allowed == {
        "sqs:SendMessage": json.dumps({"Fn::GetAtt": ["AnnouncementsQueue", "Arn"]}),
        "secretsmanager:GetSecretValue": json.dumps({"Fn::GetAtt": ["WhopWebhookSecrets", "Id"]}),
    }
    # Whop signs its webhooks and has no credentials of AWS; API Gateway may call for this route alone.
    assert RESOURCES["WhopWebhooksRoute"]["Properties"]["RouteKey"] == "POST /whop-webhooks"
    assert "AuthorizationType" not in RESOURCES["WhopWebhooksRoute"]["Properties"]
    source = RESOURCES["WhopWebhooksMayBeInvoked"]["Properties"]["SourceArn"]["Fn::Sub"]
    assert source.endswith("/*/POST/whop-webhooks")


def test_api_gateway_may_call_each_function_for_its_own_routes_alone() -> None:
    """A permission that names no route would let every API of AWS, of any account, call the function."""
    integrations = of_type("AWS::ApiGatewayV2::Integration")
    routes = {  # as API Gateway writes them: POST /users/{id} is POST/users/*
        re.sub(r"\{\w+\}", "*", route["RouteKey"].replace(" ", "")): str(
            integrations[re.findall(r"\w+", route["Target"]["Fn::Sub"])[-1]]["IntegrationUri"]
        )
        for route in of_type("AWS::ApiGatewayV2::Route").values()
    }
    permissions = of_type("AWS::Lambda::Permission").values()
    for permission in permissions:
        assert permission["Principal"] == "apigateway.amazonaws.com"
        api, _, pattern = permission["SourceArn"]["Fn::Sub"].partition("/*/")
        assert api == "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${WebhookApi}"
        called = {uri for route, uri in routes.items() if fnmatch(route, pattern)}
        assert [uri.endswith(f":function:${{{permission['FunctionName']['Ref']}}}'}}") for uri in called] == [True]
    assert len(permissions) == len(set(routes.values()))


# -- what is kept, and how ---------------------------------------------------------------------------------------------


def test_the_table_can_be_restored_and_outlives_the_stack() -> None:
    [table] = of_type("AWS::DynamoDB::Table").values()
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["DeletionProtectionEnabled"] == {"Ref": "TableDeletionProtection"}
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert RESOURCES["UserMappings"]["UpdateReplacePolicy"] == "Retain"


def test_the_table_costs_nothing_for_its_encryption() -> None:
    """SSEEnabled would take the key aws/dynamodb, whose use costs; DynamoDB's own key is free and always on."""
    [table] = of_type("AWS::DynamoDB::Table").values()
    assert "SSESpecification" not in table


def test_a_table_that_was_kept_blocks_no_later_deployment() -> None:
    """A first deployment that fails cannot delete a protected table, and who comes back has one of before."""
    [table] = of_type("AWS::DynamoDB::Table").values()
    assert RESOURCES["UserMappings"]["DeletionPolicy"] == "Retain"
    assert table["TableName"]["Fn::If"][:2] == ["OnAws", {"Ref": "AWS::NoValue"}]
    # And a later stack takes it by name: nothing else speaks of the stack's own.
    either = {"Fn::If": ["MakesTable", {"Ref": "UserMappings"}, {"Ref": "UserMappingsTable"}]}
    assert RESOURCES["UserMappings"]["Condition"] == "MakesTable"
    assert TEMPLATE["Outputs"]["UserMappingsTableName"]["Value"] == either
    variables = [each["Environment"]["Variables"] for each in FUNCTIONS.values() if "Environment" in each]
    tables = [each["USER_MAPPINGS_TABLE"] for each in variables if "USER_MAPPINGS_TABLE" in each]
    assert len(tables) >= 4
    assert all(table == either for table in tables)
    text = json.dumps(TEMPLATE)
    assert text.count('"UserMappings"') == text.count(json.dumps(either)) + 1  # the resource itself


def test_nothing_else_that_stays_has_a_name_that_a_later_stack_needs() -> None:
    for name, each in RESOURCES.items():
        assert each.get("DeletionPolicy", "Delete") == "Delete" or name == "UserMappings"


@pytest.mark.parametrize("queue", QUEUES)
def test_every_queue_is_encrypted_and_keeps_its_messages_as_long_as_sqs_can(queue: str) -> None:
    assert QUEUES[queue]["SqsManagedSseEnabled"] is True
    assert QUEUES[queue]["MessageRetentionPeriod"] == 14 * 86400


def test_alarms_are_encrypted_with_a_key_that_cloudwatch_may_use() -> None:
    [topic] = of_type("AWS::SNS::Topic").values()
    key = RESOURCES[topic["KmsMasterKeyId"]["Ref"]]["Properties"]
    assert key["EnableKeyRotation"] is True
    [cloudwatch] = [each for each in key["KeyPolicy"]["Statement"] if each["Principal"] == CLOUDWATCH]
    # For alarms of this account alone.
    assert cloudwatch["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_dead_letters_come_from_one_queue_alone() -> None:
    for queue in QUEUES.values():
        if "RedrivePolicy" in queue:
            dead_letters = QUEUES[queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]]
            [allowed] = dead_letters["RedriveAllowPolicy"]["sourceQueueArns"]
            account = "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:"
            assert allowed["Fn::Sub"] == account + queue["QueueName"]["Fn::Sub"]
    assert QUEUES["ParkedDeliveriesQueue"]["RedriveAllowPolicy"] == {"redrivePermission": "denyAll"}


def test_what_a_local_engine_lacks_is_asked_for_only_when_it_is_wanted() -> None:
    [stage] = of_type("AWS::ApiGatewayV2::Stage").values()
    condition, settings, absent = stage["AccessLogSettings"]["Fn::If"]
    assert (condition, absent) == ("HasAccessLogs", {"Ref": "AWS::NoValue"})
    assert json.loads(settings["Format"])["status"] == "$context.status"
    assert TEMPLATE["Parameters"]["AccessLogs"]["Default"] == "false"


def test_the_dashboards_address_is_right_in_every_partition() -> None:
    text, parts = TEMPLATE["Outputs"]["DashboardUrl"]["Value"]["Fn::Sub"]
    assert text.startswith("https://${AWS::Region}.${Console}/cloudwatch/")
    assert parts["Console"]["Fn::If"][:2] == ["InChina", "console.amazonaws.cn"]
    condition, in_gov_cloud, elsewhere = parts["Console"]["Fn::If"][2]["Fn::If"]
    assert (condition, in_gov_cloud) == ("InGovCloud", "console.amazonaws-us-gov.com")
    assert elsewhere == {"Fn::If": ["InSovereignEurope", "console.amazonaws-eusc.eu", "console.aws.amazon.com"]}
    partitions = {"InChina": "aws-cn", "InGovCloud": "aws-us-gov", "InSovereignEurope": "aws-eusc"}
    for name, partition in partitions.items():
        assert TEMPLATE["Conditions"][name] == {"Fn::Equals": [{"Ref": "AWS::Partition"}, partition]}


def named_functions() -> dict[str, dict[str, Any]]:
    """All but the one that refuses a stack's name, which must not be named after it."""
    named = {name: each for name, each in FUNCTIONS.items() if name != "CheckSettingsFunction"}
    assert "FunctionName" not in FUNCTIONS["CheckSettingsFunction"]
    return named


def test_the_longest_name_that_a_stack_may_have_leaves_room_for_every_function() -> None:
    """Lambda allows 64 characters, the docs promise 48 for the stack."""
    for function in named_functions().values():
        assert (
            len(function["FunctionName"]["Fn::Sub"].removeprefix("${AWS::StackName}"))
            <= 64 - assembly.MAX_STACK_NAME_LENGTH
        )


# -- settings are checked while deploying --------------------------------------------------------------------------

CHECKED = RESOURCES["CheckedSettings"]["Properties"]


def test_what_is_checked_is_what_the_functions_get() -> None:
    for name, function in FUNCTIONS.items():
        for variable, value in function.get("Environment", {}).get("Variables", {}).items():
            is_known = value.get("Ref") in TEMPLATE["Parameters"] or variable == "OWN_WEBHOOK_URL"
            assert CHECKED["Environment"][variable] == (value if is_known else "-"), (name, variable)


def test_no_function_and_no_table_is_made_with_settings_that_were_not_checked() -> None:
    waiting = {name for name, each in RESOURCES.items() if each.get("DependsOn") == "CheckedSettings"}
    assert waiting == {*named_functions(), "UserMappings"}


def test_another_version_of_the_code_checks_once_more() -> None:
    assert CHECKED["Code"] == {"Ref": "SharedLayer"}


# -- times and sizes that have to fit ----------------------------------------------------------------------------------

SOURCES = [
    (source["Properties"], function)
    for function in FUNCTIONS.values()
    for source in function.get("Events", {}).values()
    if source["Type"] == "SQS"
]
assert len(SOURCES) == 3


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


@pytest.mark.parametrize("began", range(0, 900, 30))
def test_one_webhook_of_whop_that_meets_a_wrong_secret_raises_the_alarm(began: int) -> None:
    alarm = RESOURCES["WhopWebhooksRejectedAlarm"]["Properties"]
    attempts = [began, began + 30, began + 150, began + 630]  # the first ones of Whop's guide
    in_a_period = Counter(moment // alarm["Period"] for moment in attempts)
    assert max(in_a_period.values()) > alarm["Threshold"]


@pytest.mark.parametrize("alarm", ["UserCreatedBehindAlarm", "ProfileUpdatedBehindAlarm", "AnnouncementsBehindAlarm"])
def test_an_event_that_waits_on_purpose_does_not_make_its_queue_look_behind(alarm: str) -> None:
    """SQS leaves a message that was received more than three times out of the age of the oldest one
    (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html)."""
    waiting = AwaitsTurn("no_email")
    fourth_receive = sum(RETRIES.delay(waiting, receives, lambda _, most: most) for receives in (1, 2, 3))
    assert fourth_receive < ALARMS[alarm]["Threshold"] / 10


def test_an_event_that_waits_on_purpose_is_over_before_its_waiting_raises_an_alarm() -> None:
    assert max(RETRIES.arrival_patience, RETRIES.picture_patience) < ALARMS["EventWaitingAlarm"]["Threshold"]


def test_a_request_that_enrolls_is_answered_before_api_gateway_gives_up() -> None:
    """It waits for 30 seconds (https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html)."""
    timeout = CALL_TIMEOUT
    assert timeout.connect is not None
    assert timeout.write is not None
    assert timeout.read is not None
    assert timeout.connect + timeout.write + timeout.read + MAX_SLOT_WAIT_SECONDS < CALL_SECONDS
    assert 10 < LAST_TRY_SECONDS == WORK_SECONDS - CALL_SECONDS
    # A user whom another worker has is waited for as long as is promised, and there is time left for the answer.
    assert WAIT_SECONDS == 20 < WORK_SECONDS <= FUNCTIONS["EnrollUserFunction"]["Timeout"] - 2 < 30 - 2


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


@pytest.mark.parametrize(("email", "expected"), [("", []), ("ops@shop.test", ["AlarmEmail=ops@shop.test"])])
def test_a_deployment_by_tag_keeps_an_alarm_address_that_was_set_by_hand(
    tmp_path: Path, email: str, expected: list[str]
) -> None:
    """SAM keeps the value of a parameter that is not named; an empty one would take the alarms' mail away."""
    document = yaml.safe_load((ROOT / ".github/workflows/deploy.yml").read_text())
    [step] = [step for step in document["jobs"]["deploy"]["steps"] if step.get("name") == "sam deploy"]
    sam = tmp_path / ".local/sam/bin/sam"
    sam.parent.mkdir(parents=True)
    sam.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    sam.chmod(0o755)
    given = {"STACK_NAME": "s", "WHOP_ENVIRONMENT": "sandbox", "WHOP_COMPANY_ID": "biz_1", "ALARM_EMAIL": email}
    run = subprocess.run(
        ["bash", "-euc", step["run"]], cwd=tmp_path, env=given, capture_output=True, text=True, check=True
    )
    arguments = run.stdout.splitlines()
    overrides = arguments[arguments.index("--parameter-overrides") + 1 :]
    assert overrides == ["WhopEnvironment=sandbox", "WhopCompanyId=biz_1", *expected]


def test_reading_the_template_leaves_the_yaml_of_all_others_as_it_is() -> None:
    assert template()["Resources"]
    with pytest.raises(yaml.constructor.ConstructorError):
        yaml.safe_load("!Ref WebhookApi")
