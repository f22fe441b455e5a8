"""The built functions in containers of Lambda's image, as `sam local` runs them: answers, rows and what Whop shows.

SAM's exit status is no evidence: it is 0 when a function timed out, and start-lambda never says that one failed.
"""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from local_stack import samples
from local_stack.backend import Backend
from local_stack.deployment import SWITCHED_ON, Deployment
from local_stack.invoking import FUNCTIONS
from local_stack.sam_local import Invocation, LambdaService, SamLocal
from local_stack.sending import Delivery, body
from local_stack.stack import LocalStack
from local_stack.waiting import becomes_true

USER = "12345"
HANDLED: dict[str, list[str]] = {"batchItemFailures": []}
ACCEPTED = {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": "{}"}


@pytest.fixture(scope="module")
def service(sam: SamLocal) -> Iterator[LambdaService]:
    with sam.lambda_service() as service:
        yield service


def row(stack: LocalStack, user_id: str = USER) -> dict[str, Any]:
    return stack.deployment.row(f"user#{user_id}") or {}


def shown(stack: LocalStack, user_id: str = USER) -> tuple[str | None, bytes | None]:
    """The name and the picture that Whop shows for a user of the company; None for the picture of everywhere else."""
    whop = stack.whop
    whop_user_id = row(stack, user_id)["whop_user_id"]
    here, elsewhere = whop.user(whop_user_id), whop.user_everywhere_else(whop_user_id)
    url = here["profile_picture"]["url"]
    has_own = url != elsewhere["profile_picture"]["url"]
    return here["name"], httpx.get(url, trust_env=False).content if has_own else None


def body_of(invocation: Invocation) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(invocation.answer["body"])
    return answer


def settled(deployment: Deployment) -> bool:
    return becomes_true(lambda: deployment.waiting() == 0)


def test_every_sample_event_does_its_work_in_a_container(
    stack: LocalStack, service: LambdaService, events: dict[str, samples.Event]
) -> None:
    left = dict(events)

    def invoke(name: str) -> Invocation:
        return service.invoke(FUNCTIONS[name.partition("/")[0]], left.pop(name))

    # When a user signs up, gets a picture, changes the name and loses the picture
    # Then row and Whop show each step
    assert invoke("user_created/user_created.json").answer == HANDLED
    assert row(stack)["status"] == "synced"
    assert shown(stack) == ("Ada Lovelace", None)
    assert invoke("user_created/user_created_with_picture.json").answer == HANDLED
    name, picture = shown(stack)
    assert name == "Ada Lovelace"
    assert picture is not None
    assert picture.startswith(b"\x89PNG")
    assert invoke("profile_updated/profile_updated.json").answer == HANDLED
    assert invoke("profile_updated/picture_removed.json").answer == HANDLED
    assert shown(stack) == ("Ada King, Countess of Lovelace", None)
    # When the platform asks about them
    found = body_of(invoke("look_up_user/user.json"))
    # Then it learns what the row holds; a user of whom no event came is unknown
    assert found["whop_user_id"] == row(stack)["whop_user_id"]
    assert found["status"] == "synced"
    unknown = invoke("look_up_user/id_in_query.json")
    assert unknown.answer["statusCode"] == 404
    assert body_of(unknown)["error"] == "unknown_user"
    for name in ("mint_chat_token/for_an_hour.json", "mint_chat_token/for_ten_minutes.json"):
        assert body_of(invoke(name))["token"].count(".") == 2
    # And another user is enrolled and renamed while the platform's backend waits
    enrolled = body_of(invoke("enroll_user/new_user.json"))
    assert (enrolled["status"], enrolled["whop_user_id"]) == ("synced", row(stack, "67890")["whop_user_id"])
    assert body_of(invoke("enroll_user/new_name.json"))["whop_user_id"] == enrolled["whop_user_id"]
    assert shown(stack, "67890") == ("Amazing Grace", None)
    # And the first one gets links and payout tokens for their own connected account
    account = row(stack)["whop_company_id"]
    for name in ("account_link/payouts_portal.json", "account_link/account_onboarding.json"):
        assert account in body_of(invoke(name))["url"]
    allowed = SWITCHED_ON["PayoutTokenActions"].split(",")
    assert body_of(invoke("payout_token/all_actions.json"))["actions"] == allowed
    assert body_of(invoke("payout_token/one_action.json"))["actions"] == ["company:balance:read"]
    # When their webhooks come
    for name in ("user_created.json", "profile_updated.json", "base64_body.json"):
        assert invoke(f"receive_webhook/{name}").answer == ACCEPTED
    assert invoke("receive_whop_webhook/payout_updated.json").answer == ACCEPTED
    # And an announcement reaches the platform
    assert invoke("announce/user_enrolled.json").answer == HANDLED
    assert "user_sample" in [each.body["data"].get("whop_user_id") for each in stack.announced.of(USER)]
    # Then they are really queued, and hold nothing new for the deployed functions
    assert settled(stack.deployment)
    outcomes = [json.loads(line)["outcome"] for line in logged(stack, "user-created", "profile-updated")]
    assert outcomes
    assert set(outcomes) == {"stale"}
    assert shown(stack) == ("Ada King, Countess of Lovelace", None)
    # When a file of users is put into the import's bucket
    plan = invoke("import_users/plan.json").answer
    # Then it says how the file is cut up
    assert plan["columns"]["names"] == ["id", "email", "name"]
    assert len(plan["parts"]) == 1
    # And there is no other sample event
    assert not left


def logged(stack: LocalStack, *functions: str) -> list[str]:
    """The lines of the deployed functions that say how an event ended."""
    lines = [line for function in functions for line in stack.deployment.log_lines(function)]
    return [line for line in lines if '"message":"event"' in line]


def test_a_forged_webhook_is_refused_in_a_container(
    stack: LocalStack, service: LambdaService, events: dict[str, samples.Event]
) -> None:
    # Given a webhook whose body was changed after it was signed
    event = events["receive_webhook/user_created.json"]
    event["body"] = event["body"].replace("12345", "54321")
    # When the container gets it
    refused = service.invoke("ReceiveWebhookFunction", event)
    # Then it is refused without detail, and no user is enrolled
    assert refused.answer["statusCode"] == 401
    assert settled(stack.deployment)
    assert row(stack, "54321") == {}


def test_sam_local_invoke_enrolls_a_user(stack: LocalStack, sam: SamLocal, events: dict[str, samples.Event]) -> None:
    # Given an event about a new user
    text = json.dumps(events["user_created/user_created.json"])
    event = json.loads(text.replace("12345", "invoked").replace("ada@", "invoked@").replace("Ada Lovelace", "Grace"))
    # When it is handed to one container
    outcome = sam.invoke("UserCreatedFunction", event)
    # Then the user has an account under the name, and the log says so
    assert outcome.answer == HANDLED, outcome.log
    assert row(stack, "invoked")["status"] == "synced"
    assert shown(stack, "invoked") == ("Grace", None)
    assert '"outcome":"enrolled"' in outcome.log
    # And no line of a library, which Lambda's root logger would print
    assert '"logger": "boto' not in outcome.log


def test_sam_local_invoke_takes_a_webhook(stack: LocalStack, sam: SamLocal, events: dict[str, samples.Event]) -> None:
    outcome = sam.invoke("ReceiveWebhookFunction", events["receive_webhook/user_created.json"])
    assert outcome.answer == ACCEPTED, outcome.log
    assert settled(stack.deployment)


def test_sam_local_start_api_serves_all_routes(stack: LocalStack, sam: SamLocal) -> None:
    # Given the HTTP API on this machine
    with sam.api() as url:
        # When a webhook is posted to it
        delivery = Delivery(body("created", {"id": "by-api", "email": "by-api@people.test", "name": "Ada"}))
        assert delivery.send(f"{url}/webhooks").status_code == 200
        # Then the user is enrolled by the deployed functions
        assert becomes_true(lambda: row(stack, "by-api").get("status") == "synced")
        # And the other routes know them; SAM checks no AWS credentials
        backend = Backend(Deployment(stack.deployment.engine, stack.deployment.stack, f"{url}/webhooks"))
        found = backend.look_up("by-api")
        assert found.status_code == 200
        assert found.json()["whop_user_id"] == row(stack, "by-api")["whop_user_id"]
        assert backend.look_up_whop_user(found.json()["whop_user_id"]).json() == found.json()
        assert backend.chat_token("by-api", expires_in_seconds=600).json()["token"].count(".") == 2
