"""A stack's life beside another one in the same account: deployed, used, changed, rolled back, removed.

The steps build on each other, so they are one story in one module and run in the order they stand here.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError

from local_stack import ROOT
from local_stack.deployment import Deployment, DeploymentError, deploy
from local_stack.engine import Engine
from local_stack.processes import NO_ACCOUNT
from local_stack.sending import Delivery, body
from local_stack.stack import LocalStack
from local_stack.waiting import becomes_true

STACK = "e2e-second"
SECRET = "whsec_" + "c2Vjb25kIHN0YWNrLCBhIHNlY3JldCBvZiBpdHMgb3du"


IMPOSSIBLE = """Resources:
  Impossible:
    Type: AWS::CloudWatch::Alarm
    DependsOn: [UserCreatedFunction, ProfileUpdatedFunction]
    Properties: {Namespace: WhopUserSync, MetricName: EventAge, Threshold: 1}
"""


def client(engine: Engine, service: str) -> Any:
    return boto3.client(  # type: ignore[call-overload]
        service,
        endpoint_url=engine.url,
        region_name=NO_ACCOUNT["AWS_DEFAULT_REGION"],
        aws_access_key_id=NO_ACCOUNT["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=NO_ACCOUNT["AWS_SECRET_ACCESS_KEY"],
    )


def deployed(stack: LocalStack, built: Path, *, name: str = STACK, **parameters: str) -> Deployment:
    return deploy(
        stack.deployment.engine,
        built,
        stack=name,
        signing_secrets=[SECRET],
        whop_api_key=stack.whop.api_key,
        parameters={
            "WhopEnvironment": "sandbox",
            "WhopCompanyId": stack.whop.company_id,
            "WhopApiUrl": stack.fake.api_url,
            "PictureAllowedOrigin": stack.pictures.origin,
            **parameters,
        },
    )


@pytest.fixture(scope="module")
def second(stack: LocalStack) -> Deployment:
    return deployed(stack, stack.built)


def sign_up(deployment: Deployment, user_id: str, *, secret: str = SECRET) -> httpx.Response:
    user = {"id": user_id, "email": f"{user_id}@people.test", "name": "Ada"}
    return Delivery(body("created", user)).send(deployment.webhook_url, secret=secret)


def is_synced(deployment: Deployment, user_id: str) -> bool:
    return (deployment.row(f"user#{user_id}") or {}).get("status") == "synced"


def status(deployment: Deployment) -> str:
    return deployment.engine.cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]["StackStatus"]


def metrics(deployment: Deployment, function: str) -> list[dict[str, Any]]:
    """What CloudWatch would read out of a function's log, in the form of PutMetricData."""
    found: list[dict[str, Any]] = []
    for line in deployment.log_lines(function):
        document = json.loads(line) if line.startswith("{") else {}
        for directive in document.get("_aws", {}).get("CloudWatchMetrics", []):
            found += [
                {
                    "MetricName": metric["Name"],
                    "Dimensions": [{"Name": name, "Value": document[name]} for name in names],
                    "Values": document[metric["Name"]],
                }
                for names in directive["Dimensions"]
                for metric in directive["Metrics"]
            ]
    return found


def test_two_environments_live_side_by_side(stack: LocalStack, second: Deployment) -> None:
    # Given two stacks in one account, each with a secret of its own
    # When each gets a sign-up
    assert sign_up(second, "side-by-side").status_code == 200
    # Then only the one that took it knows the user, and neither takes the other's signatures
    assert becomes_true(lambda: is_synced(second, "side-by-side")), second.log_lines("user-created")
    assert stack.deployment.row("user#side-by-side") is None
    assert sign_up(stack.deployment, "side-by-side").status_code == 401


@pytest.mark.parametrize("about", [["--user", "side-by-side"], ["--delivery", "DELIVERY"]])
def test_an_operator_sees_all_that_happened_to_a_user_and_to_a_delivery(
    stack: LocalStack, second: Deployment, about: list[str]
) -> None:
    # Given a user who was enrolled
    row = second.row("user#side-by-side") or {}
    # When an operator asks for the user, or for the delivery about them
    command = [sys.executable, "-m", "whop_user_sync", "trace", "--stack", STACK, "--endpoint-url", second.engine.url]
    asked = [option.replace("DELIVERY", str(row["last_event_id"])) for option in about]
    expected = [
        'receive-webhook: delivery outcome="accepted"',
        'user-created: whop call operation="POST /companies"',
        'user-created: whop call operation="PATCH /users/{id}"',
        'user-created: event outcome="enrolled"',
    ]

    def printed() -> list[str]:
        answer = subprocess.run(
            [*command, *asked], cwd=ROOT, env={**os.environ, **NO_ACCOUNT}, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stderr
        assert "people.test" not in answer.stdout
        return answer.stdout.splitlines()

    def steps() -> list[str]:
        lines = [line.partition("  ")[2] for line in printed()[1 if "--user" in about else 0 :]]
        named = [line.split(" event_id=")[0].split(" kind=")[0].partition(" whop_status")[0] for line in lines]
        return [line for line in named if not line.startswith("announce: ")]  # which has no secret here

    # Then the receiver, each call to Whop and the worker are printed in this order, once their lines are in the log
    assert becomes_true(lambda: steps() == expected), printed()
    # And nothing personal; of a user first of all what is recorded
    if "--user" in about:
        assert printed()[0].startswith(f"Recorded: synced, on Whop {row['whop_user_id']}")
    # And Whop got the delivery's id too
    headers = [{name.lower(): value for name, value in call.headers.items()} for call in stack.fake.calls]
    assert [each.get("x-correlation-id") for each in headers].count(row["last_event_id"]) == 2


@pytest.mark.parametrize(
    ("function", "may", "may_not"),
    [
        (
            "receive-webhook",
            {"sqs:SendMessage": ["user-created", "profile-updated", "parked-deliveries"]},
            {
                "sqs:SendMessage": ["user-created-dead-letters"],
                "sqs:ReceiveMessage": ["user-created", "parked-deliveries"],
                "dynamodb:GetItem": ["table"],
                "dynamodb:UpdateItem": ["table"],
                "secretsmanager:GetSecretValue": ["whop-api-key"],
                "secretsmanager:PutSecretValue": ["webhook-signing-secrets"],
            },
        ),
        (
            "user-created",
            {
                "sqs:SendMessage": ["user-created-dead-letters"],
                "dynamodb:UpdateItem": ["table"],
                "dynamodb:GetItem": ["table"],  # whether the user who has a Whop user is about to leave
            },
            {
                "sqs:SendMessage": ["user-created", "profile-updated", "profile-updated-dead-letters"],
                "sqs:ReceiveMessage": ["profile-updated", "user-created-dead-letters"],
                "dynamodb:Scan": ["table"],
                "secretsmanager:GetSecretValue": ["webhook-signing-secrets"],
            },
        ),
        (
            "profile-updated",
            {
                "sqs:SendMessage": ["profile-updated-dead-letters"],
                "dynamodb:UpdateItem": ["table"],
                "dynamodb:GetItem": ["table"],
                "dynamodb:DeleteItem": ["table"],  # the reverse item of a user who is gone
            },
            {
                "sqs:SendMessage": ["user-created", "profile-updated", "user-created-dead-letters"],
                "sqs:ReceiveMessage": ["user-created"],
                "dynamodb:Scan": ["table"],
                "secretsmanager:GetSecretValue": ["webhook-signing-secrets"],
            },
        ),
    ],
)
def test_a_role_may_do_what_its_function_does_and_no_more(
    stack: LocalStack,
    second: Deployment,
    function: str,
    may: dict[str, list[str]],
    may_not: dict[str, list[str]],
) -> None:
    # Given the role of a function, in an engine that enforces roles: that it is enough, the other tests show
    engine = second.engine
    role = engine.functions.get_function_configuration(FunctionName=f"{STACK}-{function}")["Role"]

    def arn(deployment: Deployment, name: str) -> str:
        if name == "table":
            return engine.dynamodb.Table(deployment.table).table_arn
        if name in ("whop-api-key", "webhook-signing-secrets"):
            return engine.secrets.describe_secret(SecretId=f"{deployment.stack}/{name}")["ARN"]
        url = deployment.queue_url(name)
        attributes = engine.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
        return attributes["QueueArn"]

    def decision(action: str, resource: str) -> bool:
        answer = client(engine, "iam").simulate_principal_policy(
            PolicySourceArn=role, ActionNames=[action], ResourceArns=[resource]
        )
        return bool(answer["EvaluationResults"][0]["EvalDecision"] == "allowed")

    # Then it is allowed its own resources, and neither others nor those of the other stack
    for action, names in may.items():
        for name in names:
            assert decision(action, arn(second, name)), (action, name)
            assert not decision(action, arn(stack.deployment, name)), (action, name)
    for action, names in may_not.items():
        for name in names:
            assert not decision(action, arn(second, name)), (action, name)


def test_forgeries_move_the_metric_that_the_alarm_watches(second: Deployment) -> None:
    # Given an alarm that is quiet
    cloudwatch = client(second.engine, "cloudwatch")
    name = f"{STACK}-rejections"

    def state() -> str:
        return str(cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"])

    assert state() != "ALARM"
    # When an attacker forges webhooks
    for number in range(6):
        assert sign_up(second, f"forged-{number}", secret="whsec_" + "x" * 44).status_code == 401
    # Then what the receiver wrote for CloudWatch, which reads it on AWS, raises the alarm
    assert becomes_true(
        lambda: sum(metric["MetricName"] == "DeliveryRejected" for metric in metrics(second, "receive-webhook")) >= 12
    )
    cloudwatch.put_metric_data(Namespace="WhopUserSync", MetricData=metrics(second, "receive-webhook"))
    assert becomes_true(lambda: state() == "ALARM")


def test_an_update_in_place_keeps_address_and_users(stack: LocalStack, second: Deployment) -> None:
    # When the stack is deployed again with a changed parameter
    changed = deployed(stack, stack.built, TitleFormat="Seller-{user_id}")
    # Then address and mappings are what they were, and the change is in effect
    assert changed == second
    assert status(second) == "UPDATE_COMPLETE"
    assert is_synced(second, "side-by-side")
    assert sign_up(second, "after-the-update").status_code == 200
    assert becomes_true(lambda: is_synced(second, "after-the-update")), second.log_lines("user-created")
    assert "Seller-after-the-update" in [company.title for company in stack.fake.companies()]


def test_an_update_that_fails_is_rolled_back_and_no_caller_notices(
    stack: LocalStack, second: Deployment, tmp_path: Path
) -> None:
    # Given a template whose last resource cannot be made: an alarm that compares nothing
    shutil.copytree(stack.built, tmp_path / "built")
    template = tmp_path / "built" / "template.yaml"
    template.write_text(template.read_text().replace("Resources:\n", IMPOSSIBLE, 1))
    # When it is deployed with a changed parameter
    with pytest.raises(DeploymentError):
        deployed(stack, tmp_path / "built", TitleFormat="Never-{user_id}")
    # Then all is as before
    assert status(second) == "UPDATE_ROLLBACK_COMPLETE"
    assert second.environment("user-created")["TITLE_FORMAT"] == "Seller-{user_id}"
    assert sign_up(second, "after-the-rollback").status_code == 200
    assert becomes_true(lambda: is_synced(second, "after-the-rollback")), second.log_lines("user-created")


def test_a_removed_stack_leaves_its_table_and_nothing_else(stack: LocalStack, second: Deployment) -> None:
    # When the stack is deleted
    engine = second.engine
    engine.cloudformation.delete_stack(StackName=STACK)
    engine.cloudformation.get_waiter("stack_delete_complete").wait(StackName=STACK, WaiterConfig={"Delay": 1})
    # Then nothing of its name is left but the table with who is who
    names = [function["FunctionName"] for function in engine.functions.list_functions()["Functions"]]
    names += engine.sqs.list_queues().get("QueueUrls", [])
    names += [group["logGroupName"] for group in engine.logs.describe_log_groups()["logGroups"]]
    names += [alarm["AlarmName"] for alarm in client(engine, "cloudwatch").describe_alarms()["MetricAlarms"]]
    assert [name for name in names if STACK in name] == []
    assert is_synced(second, "side-by-side")
    with pytest.raises(ClientError):
        engine.cloudformation.describe_stacks(StackName=STACK)
    # And the other stack is as it was
    assert sign_up(stack.deployment, "afterwards").status_code == 401


def test_a_stack_that_comes_back_takes_the_table_it_left(stack: LocalStack, second: Deployment) -> None:
    # Given the table that a removed stack has left
    tables = second.engine.dynamodb.meta.client.list_tables()["TableNames"]
    # When the stack is deployed again with its name
    again = deployed(stack, stack.built, UserMappingsTable=second.table)
    # Then it made none of its own
    assert second.engine.dynamodb.meta.client.list_tables()["TableNames"] == tables
    # And who was enrolled before is still that one
    assert sign_up(again, "side-by-side").status_code == 200
    assert sign_up(again, "after-the-return").status_code == 200
    assert becomes_true(lambda: is_synced(again, "after-the-return")), again.log_lines("user-created")
    assert becomes_true(lambda: again.waiting() == 0)
    assert sum(company.title.endswith("side-by-side)") for company in stack.fake.companies()) == 1
    removed(again.engine, STACK)
    assert is_synced(second, "after-the-return")


def test_a_first_deployment_that_failed_blocks_no_second_one(stack: LocalStack, tmp_path: Path) -> None:
    """With the table's name left to CloudFormation, as on AWS; only the local stack's samples need to know it."""
    shutil.copytree(stack.built, tmp_path / "built")
    template = tmp_path / "built" / "template.yaml"
    as_on_aws, replaced = re.subn(
        r"Fn::Sub: \$\{AWS::StackName\}-user-mappings", "Ref: AWS::NoValue", template.read_text()
    )
    assert replaced == 1
    template.write_text(as_on_aws.replace("Resources:\n", IMPOSSIBLE, 1))
    with pytest.raises(DeploymentError):
        deployed(stack, tmp_path / "built", name="e2e-third", TableDeletionProtection="true")
    removed(stack.deployment.engine, "e2e-third")
    # When what was wrong is put right, then the same deployment works
    template.write_text(as_on_aws)
    third = deployed(stack, tmp_path / "built", name="e2e-third", TableDeletionProtection="true")
    assert sign_up(third, "first").status_code == 200
    table = third.environment("look-up-user")["USER_MAPPINGS_TABLE"]
    assert becomes_true(
        lambda: "Item" in third.engine.dynamodb.Table(table).get_item(Key={"key": "user#first"}, ConsistentRead=True)
    )
    removed(third.engine, "e2e-third")


def removed(engine: Engine, name: str) -> None:
    engine.cloudformation.delete_stack(StackName=name)
    engine.cloudformation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})


def test_settings_that_the_functions_would_refuse_fail_the_deployment_with_a_sentence(stack: LocalStack) -> None:
    tables = stack.deployment.engine.dynamodb.meta.client.list_tables()["TableNames"]
    with pytest.raises(DeploymentError):
        deployed(stack, stack.built, name="e2e-bad", PayloadOverrides='{"user_id": "a..b"}')
    pages = stack.deployment.engine.cloudformation.get_paginator("describe_stack_events").paginate(StackName="e2e-bad")
    reasons = [
        each["ResourceStatusReason"]
        for page in pages
        for each in page["StackEvents"]
        if (each["LogicalResourceId"], each["ResourceStatus"]) == ("CheckedSettings", "CREATE_FAILED")
    ]
    assert ["a..b" in reason and "user_id" in reason for reason in reasons] == [True], reasons
    # And nothing is left that would stand in the way of the next attempt
    assert stack.deployment.engine.dynamodb.meta.client.list_tables()["TableNames"] == tables
    removed(stack.deployment.engine, "e2e-bad")
