"""What CloudFormation is answered by the check of a deployment's settings."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from whop_sync import assembly
from whop_sync.aws.custom_resources import MAX_REASON_LENGTH, Check, Request
from whop_sync.journal import Journal


@dataclass
class CloudFormation:
    """Asks and keeps the answers. Properties with a `problem` are wrong, those that `raise` meet a defect."""

    answers: list[dict[str, Any]] = field(default_factory=list)

    def ask(
        self, kind: Literal["Create", "Update", "Delete"], known: str | None = None, **properties: str
    ) -> dict[str, Any]:
        request: Request = {
            "RequestType": kind,
            "ResponseURL": "https://answers.test/1",
            "StackId": "stack",
            "RequestId": "request",
            "LogicalResourceId": "CheckedSettings",
            "ResourceProperties": properties,
        }
        if known:
            request["PhysicalResourceId"] = known
        Check(problem=problem, journal=Journal(), put=self.put).handle(request)
        return self.answers[-1]

    def put(self, url: str, body: bytes) -> None:
        assert url == "https://answers.test/1"
        self.answers.append(json.loads(body))


def problem(properties: Mapping[str, object]) -> str | None:
    if "raises" in properties:
        raise KeyError("secret")
    found = properties.get("problem")
    return str(found) if found else None


@pytest.fixture
def cloudformation() -> CloudFormation:
    return CloudFormation()


def test_good_settings_let_a_deployment_go_on(cloudformation: CloudFormation) -> None:
    answer = cloudformation.ask("Create", settings="good")
    assert (answer["Status"], answer["StackId"], answer["RequestId"]) == ("SUCCESS", "stack", "request")


def test_bad_settings_fail_it_with_their_sentence(cloudformation: CloudFormation) -> None:
    answer = cloudformation.ask("Create", problem="TITLE_FORMAT must contain {user_id}")
    assert (answer["Status"], answer["Reason"]) == ("FAILED", "TITLE_FORMAT must contain {user_id}")


def test_a_long_sentence_still_fits_into_the_answer(cloudformation: CloudFormation) -> None:
    answer = cloudformation.ask("Create", problem="é" * 10_000)
    assert len(answer["Reason"]) == MAX_REASON_LENGTH
    assert len(json.dumps(answer).encode()) > MAX_REASON_LENGTH


def test_a_defect_is_answered_too_and_quotes_nothing(cloudformation: CloudFormation) -> None:
    """An unanswered CloudFormation waits for an hour."""
    answer = cloudformation.ask("Update", raises="yes")
    assert answer["Status"] == "FAILED"
    assert "KeyError" in answer["Reason"]
    assert "secret" not in answer["Reason"]


def test_a_rollback_to_settings_that_passed_is_never_stopped(cloudformation: CloudFormation) -> None:
    """Even where a check that is new by now would refuse them."""
    passed = cloudformation.ask("Create", settings="good")["PhysicalResourceId"]
    failed = cloudformation.ask("Update", passed, settings="bad", problem="bad")
    assert (failed["Status"], failed["PhysicalResourceId"]) == ("FAILED", passed)
    stricter = Check(problem=lambda _: "no longer", journal=Journal(), put=cloudformation.put)
    stricter.handle(
        {
            "RequestType": "Update",
            "ResponseURL": "https://answers.test/1",
            "StackId": "stack",
            "RequestId": "request",
            "LogicalResourceId": "CheckedSettings",
            "PhysicalResourceId": passed,
            "ResourceProperties": {"settings": "good"},
        }
    )
    assert cloudformation.answers[-1]["Status"] == "SUCCESS"


def test_a_stack_that_goes_is_not_held_up(cloudformation: CloudFormation) -> None:
    answer = cloudformation.ask("Delete", "checked-1", problem="whatever")
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", "checked-1")


SETTINGS = {
    "PAYLOAD_PRESET": "standard",
    "WEBHOOK_SIGNING_SECRETS_ARN": "-",
    "USER_CREATED_QUEUE_URL": "-",
    "PROFILE_UPDATED_QUEUE_URL": "-",
    "PARKED_DELIVERIES_QUEUE_URL": "-",
    "USER_MAPPINGS_TABLE": "-",
    "QUEUE_URL": "-",
    "DEAD_LETTER_QUEUE_URL": "-",
    "WHOP_API_KEY_ARN": "-",
    "WHOP_ENVIRONMENT": "sandbox",
    "WHOP_COMPANY_ID": "biz_1",
    "WHOP_ENROLLMENT": "companies",
    "WHOP_API_VERSION": "",
    "WHOP_CALLS_PER_MINUTE": "600",
    "TITLE_FORMAT": "{user_id}",
    "DELETED_USER_NAME": "Deleted user",
    "CHAT_TOKEN_ACTIONS": "chat:read",
    "ACCOUNT_LINK_HOSTS": "",
    "PAYOUT_TOKEN_ACTIONS": "",
    "PAYLOAD_OVERRIDES": "",
    "ENROLL_IF": "",
    "ANNOUNCE_TO": "none",
    "PLATFORM_URL": "",
    "PLATFORM_ALLOWED_ORIGIN": "",
    "ANNOUNCEMENT_EVENT_BUS": "default",
    "ANNOUNCEMENT_SECRETS_ARN": "-",
    "OWN_WEBHOOK_URL": "https://abc123.execute-api.us-east-1.amazonaws.com/webhooks",
}
TO_WEBHOOK = {"ANNOUNCE_TO": "webhook", "PLATFORM_URL": "https://api.shop.test/hook"}


@pytest.mark.parametrize(
    ("stack", "changes", "expected"),
    [
        ("s" * 48, {}, None),
        ("s" * 49, {}, "49 characters; 48 are possible"),
        ("stack", {"PAYLOAD_OVERRIDES": '{"user_id": "a..b"}'}, "user_id"),
        ("stack", {"PAYLOAD_OVERRIDES": "{"}, "PAYLOAD_OVERRIDES"),
        ("stack", {"ENROLL_IF": "data.is_seller &&"}, "ENROLL_IF: data.is_seller && is not a JMESPath expression"),
        ("stack", {"TITLE_FORMAT": "same for all"}, "TITLE_FORMAT must contain"),
        ("stack", {"WHOP_API_VERSION": "yesterday"}, "WHOP_API_VERSION"),
        ("stack", {"CHAT_TOKEN_ACTIONS": ","}, "CHAT_TOKEN_ACTIONS"),
        ("stack", {"ACCOUNT_LINK_HOSTS": "https://shop.test"}, "ACCOUNT_LINK_HOSTS must be host names"),
        ("stack", {"PAYOUT_TOKEN_ACTIONS": "identity"}, "PAYOUT_TOKEN_ACTIONS"),
        ("stack", {"ACCOUNT_LINK_HOSTS": "shop.test", "PAYOUT_TOKEN_ACTIONS": "identity:read"}, None),
        ("stack", TO_WEBHOOK, None),
        ("stack", {"ANNOUNCE_TO": "eventbridge"}, None),
        ("stack", {**TO_WEBHOOK, "PLATFORM_URL": "http://api.shop.test/hook"}, "PLATFORM_URL is not https"),
        (
            "stack",
            {**TO_WEBHOOK, "PLATFORM_URL": SETTINGS["OWN_WEBHOOK_URL"]},
            "PLATFORM_URL leads to this stack's own",
        ),
        ("stack", {**TO_WEBHOOK, "PLATFORM_URL": "https://10.0.0.1/"}, "PLATFORM_URL does not lead to the public"),
    ],
)
def test_the_functions_own_checks_decide(
    monkeypatch: pytest.MonkeyPatch, stack: str, changes: dict[str, str], expected: str | None
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name in SETTINGS:
        monkeypatch.setenv(name, "")  # and taken back afterwards
    check = assembly.settings_check()
    found = check.problem({"StackName": stack, "Environment": {**SETTINGS, **changes}})
    assert (found is None) if expected is None else expected in str(found)
    # And what was wrong once is not remembered.
    assert check.problem({"StackName": "stack", "Environment": SETTINGS}) is None
