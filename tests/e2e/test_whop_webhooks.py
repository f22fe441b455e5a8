"""What Whop says about an account reaches the platform as an announcement about its user, by the deployed template."""

from collections.abc import Callable

from local_stack.announced import Announced
from local_stack.sending import Delivery, body
from local_stack.stack import LocalStack
from local_stack.waiting import becomes_true


def announced(stack: LocalStack, user_id: str) -> list[Announced]:
    """What the platform learnt of a user from Whop's own webhooks, repetitions among it."""
    return [each for each in stack.announced.taken if each.user_id == user_id and each.type.startswith("whop.")]


def enrolled(stack: LocalStack, user_id: str) -> str:
    """Enrolls a user and returns the connected account."""
    user = {"id": user_id, "email": f"{user_id}@people.test", "name": "Ann Unseen"}
    assert Delivery(body("created", user)).send(stack.deployment.webhook_url).status_code == 200
    assert becomes_true(lambda: (stack.deployment.row(f"user#{user_id}") or {}).get("status") == "synced")
    return str((stack.deployment.row(f"user#{user_id}") or {})["whop_company_id"])


def test_a_payout_is_announced_once_with_the_platforms_own_user(stack: LocalStack, new_id: Callable[[], str]) -> None:
    user_id = new_id()
    account = enrolled(stack, user_id)
    # When Whop sends a webhook about the user's account, and again after a lost answer
    [sent] = stack.fake.emit("payout.updated", account)
    assert sent.delivered
    assert becomes_true(lambda: bool(announced(stack, user_id)))
    assert stack.fake.send_again(sent).delivered
    assert becomes_true(lambda: stack.deployment.unannounced() == 0)
    # Then the platform learns of it once, about its own user, and nothing private
    [found] = announced(stack, user_id)
    assert (found.id, found.type, found.version) == (f"whop_{sent.id}", "whop.payout.updated", None)
    assert found.body["data"]["whop_company_id"] == account
    assert found.body["data"]["status"] == "completed"
    assert not {"amount", "metadata", "notes", "payout_method", "trace_code"} & set(found.body["data"])
    lines = [line for line in stack.deployment.log_lines("whop-webhooks") if sent.id in line]
    assert lines
    assert not [line for line in lines if "Unseen" in line or "people.test" in line]


def test_an_account_of_no_user_waits_for_its_user(stack: LocalStack, new_id: Callable[[], str]) -> None:
    """Whop may be faster than the worker that records the account."""
    user_id = new_id()
    account = enrolled(stack, user_id)
    key = {"key": f"whop_account#{account}"}
    table = stack.deployment.engine.dynamodb.Table(stack.deployment.table)
    item = table.get_item(Key=key)["Item"]
    table.delete_item(Key=key)
    [sent] = stack.fake.emit("verification.succeeded", account)
    assert sent.delivered
    assert becomes_true(
        lambda: any(sent.id in line and "unknown_account" in line for line in stack.deployment.log_lines("announce"))
    )
    assert announced(stack, user_id) == []
    table.put_item(Item=item)
    assert becomes_true(lambda: bool(announced(stack, user_id)))
    assert [each.id for each in announced(stack, user_id)] == [f"whop_{sent.id}"]
