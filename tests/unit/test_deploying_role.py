"""docs/deploying-role.json against what the template makes: enough for each type of resource, and nothing at large."""

import json
import re
from fnmatch import fnmatchcase
from typing import Any

import pytest

from harness.cloudformation import template
from local_stack import ROOT
from whop_sync.assembly import MAX_STACK_NAME_LENGTH

STATEMENTS: list[dict[str, Any]] = json.loads((ROOT / "docs/deploying-role.json").read_text())["Statement"]

START_LENGTH = 25
"""Of the stack's name and a hyphen, as docs/deploying-from-ci.md has it: so much stands in every name of 64 characters
that CloudFormation makes."""

NEEDED: dict[str, tuple[str, str]] = {
    "AWS::ApiGatewayV2::Api": ("apigateway:POST apigateway:PATCH apigateway:DELETE", "apigateway:R::/apis"),
    "AWS::ApiGatewayV2::Integration": ("apigateway:POST apigateway:DELETE", "apigateway:R::/apis/a1/integrations"),
    "AWS::ApiGatewayV2::Route": ("apigateway:POST apigateway:DELETE", "apigateway:R::/apis/a1/routes"),
    "AWS::ApiGatewayV2::Stage": ("apigateway:POST apigateway:PATCH", "apigateway:R::/apis/a1/stages"),
    "AWS::CloudWatch::Alarm": ("cloudwatch:PutMetricAlarm cloudwatch:DeleteAlarms", "cloudwatch:R:A:alarm:S-crash"),
    "AWS::CloudWatch::Dashboard": (
        "cloudwatch:PutDashboard cloudwatch:DeleteDashboards",
        "cloudwatch::A:dashboard/S",
    ),
    "AWS::DynamoDB::Table": (
        "dynamodb:CreateTable dynamodb:UpdateTable dynamodb:UpdateContinuousBackups dynamodb:UpdateTimeToLive",
        "dynamodb:R:A:table/S-UserMappings-1X",
    ),
    "AWS::IAM::Role": (
        "iam:CreateRole iam:PutRolePolicy iam:DeleteRole iam:PassRole",
        "iam::A:role/S-UserCreatedRole-1X",
    ),
    "AWS::KMS::Key": ("kms:CreateKey kms:PutKeyPolicy kms:EnableKeyRotation kms:ScheduleKeyDeletion", "kms:R:A:key/1"),
    "AWS::Lambda::Permission": ("lambda:AddPermission lambda:RemovePermission", "lambda:R:A:function:S-user-created"),
    "AWS::Logs::LogGroup": (
        "logs:CreateLogGroup logs:PutRetentionPolicy logs:DeleteLogGroup",
        "logs:R:A:log-group:/aws/vendedlogs/states/S-import-users",
    ),
    "AWS::Logs::QueryDefinition": ("logs:PutQueryDefinition logs:DeleteQueryDefinition", "logs:R:A:query:1"),
    "AWS::S3::Bucket": ("s3:CreateBucket s3:PutLifecycleConfiguration s3:DeleteBucket", "s3:::S-importbucket-1x"),
    "AWS::S3::BucketPolicy": ("s3:PutBucketPolicy s3:DeleteBucketPolicy", "s3:::S-importbucket-1x"),
    "AWS::SNS::Subscription": ("sns:Subscribe", "sns:R:A:S-alarms"),
    "AWS::SNS::Topic": ("sns:CreateTopic sns:SetTopicAttributes sns:DeleteTopic", "sns:R:A:S-alarms"),
    "AWS::SQS::Queue": ("sqs:CreateQueue sqs:SetQueueAttributes sqs:DeleteQueue", "sqs:R:A:S-user-created"),
    "AWS::SecretsManager::Secret": (
        "secretsmanager:CreateSecret secretsmanager:DeleteSecret",
        "secretsmanager:R:A:secret:S/whop-api-key-1X",
    ),
    "AWS::Serverless::Function": (
        "lambda:CreateFunction lambda:UpdateFunctionCode lambda:UpdateFunctionConfiguration lambda:DeleteFunction",
        "lambda:R:A:function:S-user-created",
    ),
    "AWS::Serverless::LayerVersion": ("lambda:PublishLayerVersion", "lambda:R:A:layer:S-shared"),
    "AWS::Serverless::StateMachine": (
        "states:CreateStateMachine states:UpdateStateMachine states:DeleteStateMachine",
        "states:R:A:stateMachine:S-import-users",
    ),
    "Custom::CheckedSettings": ("lambda:InvokeFunction", "lambda:R:A:function:S-CheckSettingsFunction-1X"),
}
"""For each type in the template what making, changing and removing it takes, and the name of one, in short: R, A and S
are region, account and stack."""


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def allows(action: str, resource: str, stack: str = "S") -> bool:
    filled_in = {"REGION": "R", "ACCOUNT": "A", "STACK": stack, "START": f"{stack}-"[:START_LENGTH]}
    patterns = [
        re.sub("|".join(filled_in), lambda found: filled_in[found[0]], pattern)
        for statement in STATEMENTS
        if action in listed(statement["Action"])
        for pattern in listed(statement["Resource"])
    ]
    return any(fnmatchcase(f"arn:aws:{resource}", pattern) for pattern in patterns)


def generated_name(stack: str, logical_id: str, most: int) -> str:
    """The name that CloudFormation makes where the template gives none: stack, logical id and something random, where
    the first two are shortened alike until all of it fits (IdentifierUtils in
    https://github.com/aws-cloudformation/cloudformation-cli-java-plugin)."""
    free = most - len("--") - 12
    half = free // 2
    of_stack = min(len(stack), max(half, free - len(logical_id)))
    return f"{stack[:of_stack]}-{logical_id[: free - of_stack]}-{'X' * 12}"


TYPES = sorted({resource["Type"] for resource in template()["Resources"].values()})


@pytest.mark.parametrize("kind", TYPES)
def test_the_role_may_make_change_and_remove_what_the_template_has(kind: str) -> None:
    assert kind in NEEDED, f"say here what a {kind} takes, and let docs/deploying-role.json allow it"
    actions, resource = NEEDED[kind]
    for action in actions.split():
        assert allows(action, resource), action


@pytest.mark.parametrize("kind", sorted(NEEDED))
def test_it_may_not_touch_what_another_stack_has(kind: str) -> None:
    actions, resource = NEEDED[kind]
    other = re.sub(r"(?<![A-Za-z])S(?=[-/]|$)", "T", resource)
    if other != resource:
        assert not [action for action in actions.split() if allows(action, other)]


MADE_NAMES = {
    "AWS::DynamoDB::Table": ("dynamodb:CreateTable", "dynamodb:R:A:table/", 255),
    "AWS::IAM::Role": ("iam:CreateRole", "iam::A:role/", 64),
    "AWS::S3::Bucket": ("s3:CreateBucket", "s3:::", 63),
    "AWS::Serverless::Function": ("lambda:CreateFunction", "lambda:R:A:function:", 64),
}
"""What CloudFormation names by itself, and how long a name may be."""

UNNAMED = [
    (logical_id, *MADE_NAMES[resource["Type"]])
    for logical_id, resource in template()["Resources"].items()
    if resource["Type"] in MADE_NAMES and "FunctionName" not in resource["Properties"]
]
# SAM makes these of the event that starts an import.
UNNAMED += [
    ("ImportStateMachineUploadedRole", "iam:PassRole", "iam::A:role/", 64),
    ("ImportStateMachineUploaded", "events:PutRule", "events:R:A:rule/", 64),
]


@pytest.mark.parametrize("length", [1, 14, 24, 25, 26, 37, MAX_STACK_NAME_LENGTH])
def test_names_that_are_shortened_for_a_long_stack_are_covered_too(length: int) -> None:
    stack = ("whop-user-sync-of-a-marketplace-with-a-long-name-")[:length].rstrip("-").ljust(length, "x")
    assert len(UNNAMED) > len(MADE_NAMES)
    for logical_id, action, place, most in UNNAMED:
        name = generated_name(stack, logical_id, most)
        assert len(name) <= most
        name = name.lower() if action == "s3:CreateBucket" else name
        assert allows(action, f"{place}{name}", stack), name


def test_it_names_every_action_and_gives_roles_to_few_services() -> None:
    for statement in STATEMENTS:
        assert not [action for action in listed(statement["Action"]) if "*" in action]
        if "*" in listed(statement["Resource"]):
            services = {action.partition(":")[0] for action in listed(statement["Action"])}
            assert services <= {"lambda", "kms", "logs", "states", "cloudwatch"}
            assert "lambda:CreateFunction" not in listed(statement["Action"])
        if "iam:PassRole" in listed(statement["Action"]):
            assert statement["Condition"]["StringEquals"]["iam:PassedToService"]


@pytest.mark.parametrize(
    "action",
    [
        *("secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue", "dynamodb:GetItem", "dynamodb:Scan"),
        *("dynamodb:DeleteTable", "sqs:ReceiveMessage", "sqs:PurgeQueue", "s3:DeleteObject", "iam:CreateUser"),
        *("iam:AttachRolePolicy", "iam:CreatePolicy"),
    ],
)
def test_it_may_read_no_secret_no_user_and_no_event(action: str) -> None:
    """And not delete the table, which no deployment does, nor give a role a policy that stands elsewhere."""
    assert not [statement for statement in STATEMENTS if action in listed(statement["Action"])]


def test_it_fits_into_a_role() -> None:
    """IAM counts characters without blanks: a role's own policies may have 10,240 (a managed policy only 6,144)."""
    assert len(json.dumps(json.loads((ROOT / "docs/deploying-role.json").read_text()), separators=(",", ":"))) < 10_240
