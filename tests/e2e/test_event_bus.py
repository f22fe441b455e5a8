"""Announcements on an EventBridge bus, by the deployed template, with what the function's role allows."""

import json
from collections.abc import Callable
from typing import Any

from harness import aws_client
from local_stack.deployment import Deployment, deploy
from local_stack.sending import SECRET, Delivery, body
from local_stack.stack import LocalStack
from local_stack.waiting import becomes_true

BUS = "news"


def deployed(stack: LocalStack) -> Deployment:
    """A second stack on the same engine."""
    engine = stack.deployment.engine
    deployment = deploy(
        engine,
        stack.built,
        stack="bus",
        signing_secrets=[SECRET],
        whop_api_key=stack.whop.api_key,
        parameters={
            "WhopEnvironment": "sandbox",
            "WhopCompanyId": stack.whop.company_id,
            "WhopApiUrl": stack.fake.api_url,
            "AnnounceTo": "eventbridge",
            "AnnouncementEventBus": BUS,
            "PlatformUrl": "",
            "WhopWebhooks": "false",
        },
    )
    # The engine takes the name of a bus that is looked for for that of a rule.
    role = engine.functions.get_function_configuration(FunctionName="bus-announce")["Role"].rpartition("/")[2]
    rule = f"arn:aws:events:us-east-1:000000000000:rule/default/{BUS}"
    statement = {"Effect": "Allow", "Action": "events:DescribeEventBus", "Resource": rule}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    engine.iam.put_role_policy(RoleName=role, PolicyName="looking", PolicyDocument=policy)
    return deployment


def test_an_announcement_waits_for_a_bus_that_is_missing(stack: LocalStack, new_id: Callable[[], str]) -> None:
    deployment, user_id = deployed(stack), new_id()
    events, sqs = (aws_client(deployment.engine.url, service) for service in ("events", "sqs"))
    user = {"id": user_id, "email": f"{user_id}@people.test", "name": "Ann Unseen"}
    assert Delivery(body("created", user)).send(deployment.webhook_url).status_code == 200
    assert becomes_true(lambda: any("event_bus_missing" in line for line in deployment.log_lines("announce"))), (
        deployment.log_lines("announce")
    )
    # Once there is one
    events.create_event_bus(Name=BUS)
    queue = sqs.create_queue(QueueName=BUS)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="all", EventBusName=BUS, EventPattern=json.dumps({"source": ["whop-user-sync"]}))
    events.put_targets(Rule="all", EventBusName=BUS, Targets=[{"Id": "queue", "Arn": arn}])
    taken: list[dict[str, Any]] = []

    def take() -> bool:
        messages = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages", [])
        taken.extend(json.loads(message["Body"]) for message in messages)
        return bool(taken)

    assert becomes_true(take), deployment.log_lines("announce")
    row = deployment.row(f"user#{user_id}") or {}
    assert (taken[0]["detail-type"], taken[0]["detail"]["type"]) == ("user.enrolled", "user.enrolled")
    assert taken[0]["detail"]["data"] == {
        "user_id": user_id,
        "version": 1,
        "whop_user_id": row["whop_user_id"],
        "whop_company_id": row["whop_company_id"],
    }
