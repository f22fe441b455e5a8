"""The platform's backend asks the deployed API: signed requests, IAM-authorised routes, and the built functions.

The engine checks signature and policy of an IAM user as AWS does, and lets its root in with any signature.
"""

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import boto3
import pytest
from botocore.credentials import Credentials

from local_stack.backend import Backend
from local_stack.processes import NO_ACCOUNT
from local_stack.sending import Delivery, body
from local_stack.stack import LocalStack
from local_stack.waiting import becomes_true
from whop_sync.events import Position

CHAT_SCOPES = {
    "chat:message:create",
    "chat:read",
    "dms:read",
    "dms:message:manage",
    "dms:channel:manage",
    "support_chat:read",
    "support_chat:message:create",
}


def iam_user(stack: LocalStack, name: str, *routes: str) -> Credentials:
    """A role that may call these routes and do nothing else."""
    engine = stack.deployment.engine
    keys = {
        name.lower(): value for name, value in NO_ACCOUNT.items() if name.startswith("AWS_") and "ACCESS_KEY" in name
    }
    iam: Any = boto3.client("iam", endpoint_url=engine.url, region_name=NO_ACCOUNT["AWS_DEFAULT_REGION"], **keys)  # type: ignore[call-overload]
    iam.create_user(UserName=name)
    if routes:
        api = stack.deployment.webhook_url.partition("/execute-api/")[2].partition("/")[0]
        resources = [f"arn:aws:execute-api:*:*:{api}/*/{route}" for route in routes]
        statement = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": resources}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName=name, PolicyName="routes", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return Credentials(key["AccessKeyId"], key["SecretAccessKey"])


@pytest.fixture(scope="module")
def backend(stack: LocalStack) -> Backend:
    routes = ("GET/users/*", "PUT/users/*", "GET/whop-users/*", "GET/whop-accounts/*", "POST/users/*")
    return Backend(stack.deployment, iam_user(stack, "backend", *routes))


def sign_up(stack: LocalStack, *user_ids: str) -> None:
    for user_id in user_ids:
        address = base64.b32encode(user_id.encode()).decode().rstrip("=").lower()
        user = {"id": user_id, "email": f"{address}@asked.test", "name": "Ann Bee"}
        assert Delivery(body("created", user)).send(stack.deployment.webhook_url).is_success

    def synced(user_id: str) -> bool:
        return (stack.deployment.row(f"user#{user_id}") or {}).get("status") == "synced"

    assert becomes_true(lambda: all(map(synced, user_ids)))


def claims(token: str) -> dict[str, Any]:
    """What the stand-in for Whop wrote into a token."""
    payload = token.split(".")[1]
    document: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return document


def test_a_user_is_found_by_either_id(stack: LocalStack, backend: Backend, new_id: Callable[[], str]) -> None:
    # Given a user who was enrolled
    user_id = new_id()
    sign_up(stack, user_id)
    row = stack.deployment.row(f"user#{user_id}") or {}
    # When the backend asks by the platform's id, and by Whop's
    answer = backend.look_up(user_id)
    shown = answer.json()
    # Then it reads what the row says, and no cache may keep it
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert (shown["user_id"], shown["status"], shown["last_error"]) == (user_id, "synced", None)
    assert (shown["whop_user_id"], shown["whop_company_id"]) == (row["whop_user_id"], row["whop_company_id"])
    assert shown["versions"] == {"name": Position.of(row["name_position"]).version, "picture": None}
    assert backend.look_up_whop_user(shown["whop_user_id"]).json() == shown


def test_an_unknown_user_is_404(backend: Backend) -> None:
    answers = [backend.look_up("unknown"), backend.look_up_whop_user("user_unknown"), backend.chat_token("unknown")]
    assert [(answer.status_code, answer.json()["error"]) for answer in answers] == [(404, "unknown_user")] * 3


def test_a_user_on_the_way_has_no_token_yet(stack: LocalStack, backend: Backend, new_id: Callable[[], str]) -> None:
    # Given an update that waits for the event that brings an e-mail address
    user_id = new_id()
    Delivery(body("updated", {"id": user_id, "name": "Ann"})).send(stack.deployment.webhook_url)
    assert becomes_true(lambda: (stack.deployment.row(f"user#{user_id}") or {}).get("status") == "no_email")
    # When the backend asks, then it reads that the user is known and not there yet
    found, token = backend.look_up(user_id), backend.chat_token(user_id)
    assert (found.status_code, found.json()["error"]) == (404, "no_email")
    assert (token.status_code, token.json()["error"]) == (409, "no_email")
    # And once the event has come, it gets its token
    sign_up(stack, user_id)
    assert backend.chat_token(user_id).status_code == 200


def test_a_chat_token_is_for_one_user_and_chat_alone(
    stack: LocalStack, backend: Backend, new_id: Callable[[], str]
) -> None:
    user_id = new_id()
    sign_up(stack, user_id)
    answer = backend.chat_token(user_id, expires_in_seconds=600)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    token = answer.json()["token"]
    shown = claims(token)
    assert shown["sub"] == backend.look_up(user_id).json()["whop_user_id"]
    assert (shown["account_id"], set(shown["scopes"])) == (stack.whop.company_id, CHAT_SCOPES)
    # And it is in no log line
    logs = stack.deployment.log_lines("mint-chat-token")
    assert any('"answered"' in line and user_id in line for line in logs)
    assert not any(token in line for line in logs)


LINK = {
    "use_case": "payouts_portal",
    "return_url": "https://app.example.com/back",
    "refresh_url": "https://app.example.com/again",
}


def webhook_about(user_id: str, **data: object) -> dict[str, Any]:
    user = {"id": user_id, "email": f"{user_id}@asked.test", "name": "Ann Bee", **data}
    document: dict[str, Any] = json.loads(body("created", user))
    return document


def test_a_user_is_enrolled_while_the_backend_waits(
    stack: LocalStack, backend: Backend, new_id: Callable[[], str]
) -> None:
    user_id = new_id()
    webhook = webhook_about(user_id)
    # When the backend enrolls a user, and the webhook about the same sign-up comes too
    sent = Delivery(json.dumps(webhook).encode()).send(stack.deployment.webhook_url)
    answer = backend.enroll(user_id, webhook)
    # Then it reads what a look-up says, the user can chat, and there is one account
    assert (sent.status_code, answer.status_code, answer.headers["cache-control"]) == (200, 200, "no-store")
    assert answer.json()["whop_user_id"] == backend.look_up(user_id).json()["whop_user_id"]
    assert backend.chat_token(user_id).status_code == 200
    owner = answer.json()["whop_user_id"]
    assert sum(company.owner_id == owner for company in stack.fake.companies()) == 1
    # And neither name nor address are in a log line
    logs = stack.deployment.log_lines("enroll-user")
    assert any('"EnrollUser"' in line and user_id in line for line in logs)
    assert not any("Ann Bee" in line or "asked.test" in line for line in logs)


def test_a_user_whom_whop_refuses_is_answered_with_the_reason(backend: Backend, new_id: Callable[[], str]) -> None:
    user_id = new_id()
    answer = backend.enroll(user_id, webhook_about(user_id, email=f"{user_id}@example.com"))
    assert (answer.status_code, answer.json()["error"]) == (409, "enrollment_failed")
    assert "whop_refused" in answer.json()["message"]


def test_links_and_payout_tokens_are_for_the_account_of_one_user(
    stack: LocalStack, backend: Backend, new_id: Callable[[], str]
) -> None:
    user_id = new_id()
    sign_up(stack, user_id)
    account = backend.look_up(user_id).json()["whop_company_id"]
    # When the backend asks for both
    link, token = backend.account_link(user_id, **LINK), backend.payout_token(user_id, actions=["identity:read"])
    # Then they are for that account, with what was asked for and no more
    assert (link.status_code, account in link.json()["url"]) == (200, True)
    assert (token.status_code, token.headers["cache-control"]) == (200, "no-store")
    shown = claims(token.json()["token"])
    assert (shown["sub"], shown["account_id"], shown["scopes"]) == (None, account, ["identity:read"])
    # And neither is in a log line
    for function, secret in (("account-link", link.json()["url"]), ("payout-token", token.json()["token"])):
        logs = stack.deployment.log_lines(function)
        assert any('"answered"' in line and user_id in line for line in logs)
        assert not any(secret in line for line in logs)


def test_a_link_leads_back_to_an_allowed_host_only(
    stack: LocalStack, backend: Backend, new_id: Callable[[], str]
) -> None:
    user_id = new_id()
    sign_up(stack, user_id)
    answer = backend.account_link(user_id, **{**LINK, "return_url": "https://evil.test/"})
    assert (answer.status_code, answer.json()["error"]) == (400, "bad_request")


def test_the_user_of_an_account_is_found_by_it(stack: LocalStack, backend: Backend, new_id: Callable[[], str]) -> None:
    user_id = new_id()
    sign_up(stack, user_id)
    account = backend.look_up(user_id).json()["whop_company_id"]
    assert backend.look_up_whop_account(account).json() == backend.look_up(user_id).json()
    assert backend.look_up_whop_account("biz_unknown").json()["error"] == "unknown_user"


def test_who_may_chat_may_not_pay(stack: LocalStack) -> None:
    chatting = Backend(stack.deployment, iam_user(stack, "chatting", "GET/users/*", "POST/users/*/chat-token"))
    refused = [
        chatting.account_link("unknown", **LINK),
        chatting.payout_token("unknown"),
        chatting.look_up_whop_account("biz_1"),
        chatting.enroll("unknown", webhook_about("unknown")),
        chatting.ask_unsigned("POST", "/users/unknown/account-link"),
        chatting.ask_unsigned("POST", "/users/unknown/payout-token"),
        chatting.ask_unsigned("GET", "/whop-accounts/biz_1"),
        chatting.ask_unsigned("PUT", "/users/unknown", body("created", {"id": "unknown"})),
    ]
    assert [answer.status_code for answer in refused] == [403] * 8
    assert stack.deployment.row("user#unknown") is None
    assert chatting.chat_token("unknown").status_code == 404


def test_an_id_may_be_any_text(stack: LocalStack, backend: Backend) -> None:
    in_path = ["two words", "ann@asked.test", "größe", "🦊", "a+b=c;d,e:f|g"]
    in_query = ["a/b", "50%", "50%25", "a?b=c&d", "a#b", "-", "..", "%2F"]
    sign_up(stack, *in_path, *in_query)
    for user_id in in_path:
        assert backend.look_up(user_id).json()["user_id"] == user_id
        assert backend.chat_token(user_id).status_code == 200
    for user_id in in_query:
        query = urlencode({"user_id": user_id})
        assert backend.ask("GET", f"/users/-?{query}").json()["user_id"] == user_id
        assert backend.ask("POST", f"/users/-/chat-token?{query}").status_code == 200


def test_an_id_with_a_percent_sign_in_the_path_is_refused_and_never_taken_for_another(backend: Backend) -> None:
    answers = [backend.look_up("50%"), backend.chat_token("50%")]
    assert [(answer.status_code, answer.json()["error"]) for answer in answers] == [(400, "bad_request")] * 2
    assert "in the query" in answers[0].json()["message"]


def test_only_those_who_may_get_an_answer(stack: LocalStack, backend: Backend) -> None:
    def answers(credentials: Credentials) -> tuple[int, int, int]:
        asking = Backend(stack.deployment, credentials)
        enrolling = asking.enroll("unknown", {"type": "user.created"})
        return asking.look_up("unknown").status_code, asking.chat_token("unknown").status_code, enrolling.status_code

    reader = iam_user(stack, "reader", "GET/users/*")
    assert answers(reader) == (404, 403, 403)
    assert answers(iam_user(stack, "enroller", "PUT/users/*")) == (403, 403, 400)
    assert answers(iam_user(stack, "stranger")) == (403, 403, 403)
    assert answers(Credentials(reader.access_key, "wrong")) == (403, 403, 403)
    assert answers(Credentials("AKIANOBODY", "wrong")) == (403, 403, 403)
    # A signature is for one body: the backend's is not good for another
    assert backend.ask_with_another_body("PUT", "/users/unknown", webhook_about("unknown")).status_code == 403
    assert backend.ask_unsigned("GET", "/users/unknown").status_code == 403
    assert backend.ask_unsigned("POST", "/users/unknown/chat-token").status_code == 403


@pytest.fixture(scope="module")
def resources(stack: LocalStack) -> dict[str, Any]:
    processed: Any = stack.deployment.engine.cloudformation.get_template(
        StackName=stack.deployment.stack, TemplateStage="Processed"
    )["TemplateBody"]
    found: dict[str, Any] = processed["Resources"]
    return found


def test_the_functions_that_answer_may_read_one_row_and_change_nothing(resources: dict[str, Any]) -> None:
    def allowed(role: str) -> set[str]:
        policies = [policy["PolicyDocument"] for policy in resources[role]["Properties"]["Policies"]]
        statements = [statement for policy in policies for statement in policy["Statement"]]
        # One of them is made where the stack traces.
        given = [statement["Fn::If"][1] if "Fn::If" in statement else statement for statement in statements]
        actions = [statement["Action"] for statement in given]
        return {action for one in actions for action in ([one] if isinstance(one, str) else one)}

    tracing = {"PutTraceSegments", "PutTelemetryRecords", "GetSamplingRules", "GetSamplingTargets"}
    logging = {"logs:CreateLogStream", "logs:PutLogEvents", *(f"xray:{action}" for action in tracing)}
    assert allowed("LookUpUserRole") - logging == {"dynamodb:GetItem"}
    for role in ("MintChatTokenRole", "AccountLinkRole", "PayoutTokenRole"):
        assert allowed(role) - logging == {"dynamodb:GetItem", "secretsmanager:GetSecretValue"}


def test_the_routes_about_users_are_for_callers_of_aws(resources: dict[str, Any]) -> None:
    routes = [one["Properties"] for one in resources.values() if one["Type"] == "AWS::ApiGatewayV2::Route"]
    open_ = {route["RouteKey"] for route in routes if route.get("AuthorizationType") != "AWS_IAM"}
    assert open_ == {"POST /webhooks", "POST /whop-webhooks"}  # which the sender's signature proves
