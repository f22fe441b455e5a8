"""What the local engine takes but does not apply, asserted on the template as CloudFormation gets it."""

from typing import Any

import pytest

from local_stack.stack import LocalStack
from whop_sync.mappings import LEASE_SECONDS
from whop_sync.worker import GIVE_UP_SECONDS, LAST_START_SECONDS, OPERATOR_GIVE_UP_SECONDS


@pytest.fixture(scope="module")
def resources(stack: LocalStack) -> dict[str, Any]:
    processed: Any = stack.deployment.engine.cloudformation.get_template(
        StackName=stack.deployment.stack, TemplateStage="Processed"
    )["TemplateBody"]
    found: dict[str, Any] = processed["Resources"]
    return found


def of_type(resources: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Properties by logical id. Never empty: a test about nothing proves nothing."""
    found = {name: resource["Properties"] for name, resource in resources.items() if resource["Type"] == kind}
    assert found
    return found


def test_the_table_can_be_restored_is_encrypted_and_outlives_the_stack(resources: dict[str, Any]) -> None:
    [table] = of_type(resources, "AWS::DynamoDB::Table").values()
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["SSESpecification"] == {"SSEEnabled": True}
    assert table["DeletionProtectionEnabled"] == {"Ref": "TableDeletionProtection"}
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert resources["UserMappings"]["DeletionPolicy"] == "RetainExceptOnCreate"
    assert resources["UserMappings"]["UpdateReplacePolicy"] == "Retain"


def test_every_queue_is_encrypted_and_keeps_its_messages_as_long_as_sqs_can(resources: dict[str, Any]) -> None:
    for name, queue in of_type(resources, "AWS::SQS::Queue").items():
        assert queue["SqsManagedSseEnabled"] is True, name
        assert queue["MessageRetentionPeriod"] == 14 * 86400, name


def sources(resources: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
    """Each event source with its queue and its function."""
    return [
        (
            source,
            resources[source["EventSourceArn"]["Fn::GetAtt"][0]]["Properties"],
            resources[source["FunctionName"]["Ref"]]["Properties"],
        )
        for source in of_type(resources, "AWS::Lambda::EventSourceMapping").values()
    ]


def test_each_queue_is_read_as_lambda_asks(resources: dict[str, Any]) -> None:
    assert len(sources(resources)) == 2
    for source, queue, function in sources(resources):
        assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert queue["VisibilityTimeout"] >= 6 * function["Timeout"]


def test_each_queue_has_dead_letters_where_its_function_parks_too(resources: dict[str, Any]) -> None:
    for _, queue, function in sources(resources):
        dead_letters = queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
        # High, because a busy or limited Whop is no fault of the event: the worker gives up by age.
        assert queue["RedrivePolicy"]["maxReceiveCount"] >= 500
        assert function["Environment"]["Variables"]["DEAD_LETTER_QUEUE_URL"] == {"Ref": dead_letters}


def test_a_function_is_ended_before_its_lease_on_a_users_row_is(resources: dict[str, Any]) -> None:
    for _, _, function in sources(resources):
        assert function["Timeout"] < LEASE_SECONDS


def test_a_worker_has_the_time_to_begin_an_event(resources: dict[str, Any]) -> None:
    for _, _, function in sources(resources):
        assert function["Timeout"] > LAST_START_SECONDS


def test_events_are_kept_in_the_queue_for_longer_than_the_worker_is_patient(resources: dict[str, Any]) -> None:
    for _, queue, _ in sources(resources):
        assert max(GIVE_UP_SECONDS, OPERATOR_GIVE_UP_SECONDS) < queue["MessageRetentionPeriod"]
        assert GIVE_UP_SECONDS < OPERATOR_GIVE_UP_SECONDS
