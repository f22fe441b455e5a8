"""The operator's commands on the deployed stack, with its real receiver and workers."""

import os
import subprocess
from collections.abc import Callable
from typing import Any

import httpx

from fake_whop import Fault
from local_stack import ROOT
from local_stack.processes import NO_ACCOUNT
from local_stack.sending import Delivery, body
from local_stack.stack import LocalStack
from local_stack.waiting import becomes_true
from whop_sync.aws.queues import Queue
from whop_sync.errors import Malformed


def make(stack: LocalStack, target: str, *variables: str, status: int = 0) -> str:
    """What `make parked` or `make redrive` prints for an operator whose AWS account the local engine is."""
    environment = {**os.environ, **NO_ACCOUNT, "AWS_ENDPOINT_URL": stack.deployment.engine.url}
    outcome = subprocess.run(
        ["make", "--no-print-directory", target, f"STACK={stack.deployment.stack}", *variables],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == status, outcome.stdout + outcome.stderr
    return outcome.stdout


def settled(stack: LocalStack, user_id: str) -> Callable[[], bool]:
    """Whether the user's row says that all is well."""
    return lambda: (stack.deployment.row(f"user#{user_id}") or {}).get("status") == "synced"


def test_a_refused_user_gets_through_once_the_trouble_is_over(stack: LocalStack, new_id: Callable[[], str]) -> None:
    # Given a user whom Whop refused, so the event was parked
    user_id = new_id()
    both_titles = 2  # the long one, and the id alone, which is tried since the refusal does not say what it is about
    stack.fake.fault(
        Fault("POST /companies", "error_null", times=both_titles, status=422, about=f"{user_id}@people.test")
    )
    delivery = Delivery(body("created", {"id": user_id, "email": f"{user_id}@people.test", "name": "Ada Lovelace"}))
    delivery.send(stack.deployment.webhook_url)
    assert becomes_true(lambda: user_id in make(stack, "parked", f"USER_ID={user_id}"))
    printed = make(stack, "parked", f"USER_ID={user_id}")
    assert "whop_refused" in printed
    assert "Ada" not in printed
    # When the operator sends it round again
    assert "1 sent again" in make(stack, "redrive", f"USER_ID={user_id}", "REASON=whop_refused")
    # Then the user is enrolled, once, however often it is sent round
    assert becomes_true(settled(stack, user_id))
    assert "Nothing is parked" in make(stack, "redrive", f"USER_ID={user_id}")
    assert sum(company.metadata == {"internal_user_id": user_id} for company in stack.fake.companies()) == 1


def test_a_parked_delivery_goes_through_the_deployed_receiver_again(
    stack: LocalStack, new_id: Callable[[], str]
) -> None:
    # Given a delivery that an earlier configuration could not read and this one can, and one that none can
    user_id = new_id()
    parked = Queue(stack.deployment.engine.sqs, stack.deployment.queue_url("parked-deliveries"))
    readable = body("created", {"id": user_id, "email": f"{user_id}@people.test", "name": "Ada Lovelace"})
    reason: Any = f"unreadable_{user_id}"  # its own, so that only these two are redriven
    for content, event_id in ((readable, f"msg_{user_id}"), (b"not json", f"msg_never_{user_id}")):
        parked.park(content, Malformed(reason), event_id=event_id)
    # When they are sent again
    printed = make(stack, "redrive", f"REASON={reason}", status=2)
    # Then the one leads to an account, and the other stays
    assert "1 sent again" in printed
    assert "1 still not readable, still parked" in printed
    assert becomes_true(settled(stack, user_id))
    printed = make(stack, "parked", f"REASON={reason}")
    assert f"msg_never_{user_id}" in printed
    assert f"msg_{user_id}" not in printed


def test_no_caller_can_hand_back_a_delivery_over_http(stack: LocalStack, new_id: Callable[[], str]) -> None:
    """What an operator's invocation says in one key stays inside the keys that API Gateway sets."""
    user_id = new_id()
    content = body("created", {"id": user_id, "email": f"{user_id}@people.test"}).decode()
    order: dict[str, Any] = {"redelivery": {"body": content, "event_id": "x", "headers": {}, "received_at": 1.0}}
    url = stack.deployment.webhook_url
    answers = [
        httpx.post(url, json=order, timeout=60),
        httpx.post(url, json=order, timeout=60, headers={"redelivery": "1", "x-amz-invocation-type": "Event"}),
        httpx.post(f"{url}?redelivery=1", json=order, timeout=60, cookies={"redelivery": "1"}),
    ]
    assert [(answer.status_code, answer.text) for answer in answers] == [(401, "{}")] * len(answers)
    assert stack.deployment.row(f"user#{user_id}") is None
