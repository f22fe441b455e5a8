"""The built functions that answer the platform's backend, and the built worker with Whop's newer calls."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from local_stack import samples
from local_stack.runtime import emulator, running_function
from local_stack.stack import LocalStack

pytestmark = pytest.mark.skipif(emulator() is None, reason="the Runtime Interface Emulator runs on Linux only")

NAMES = {
    "UserCreatedFunction": "user-created",
    "ProfileUpdatedFunction": "profile-updated",
    "LookUpUserFunction": "look-up-user",
    "EnrollUserFunction": "enroll-user",
    "MintChatTokenFunction": "mint-chat-token",
}


def sample(name: str, user_id: str, theirs: str = "12345", local_part: str = "ada") -> dict[str, Any]:
    """A file of events/ about a user of the test, in place of the one that it is about."""
    text = samples.samples(datetime.now(UTC))[samples.FOLDER / name]
    document: dict[str, Any] = json.loads(text.replace(theirs, user_id).replace(f"{local_part}@", f"{user_id}@"))
    return document


def invoke(
    stack: LocalStack, function: str, event: dict[str, Any], settings: Mapping[str, str] | None = None
) -> dict[str, Any]:
    environment = {**stack.deployment.environment(NAMES[function]), **(settings or {})}
    with running_function(stack.built, function, environment) as runtime:
        return runtime.invoke(event)


def test_a_user_enrolled_by_either_generation_is_shown_and_gets_a_token(
    stack: LocalStack, new_id: Callable[[], str]
) -> None:
    newer = {"WHOP_ENROLLMENT": "accounts", "WHOP_API_VERSION": ""}
    for settings in ({}, newer):
        # Given a user whom a worker of this generation has enrolled
        user_id = new_id()
        created = sample("user_created/user_created.json", user_id)
        assert invoke(stack, "UserCreatedFunction", created, settings) == {"batchItemFailures": []}
        row = stack.deployment.row(f"user#{user_id}") or {}
        # When the platform's backend asks for the user and for a token, at the version that goes with it
        answer = invoke(stack, "LookUpUserFunction", sample("look_up_user/user.json", user_id))
        token = invoke(
            stack,
            "MintChatTokenFunction",
            sample("mint_chat_token/for_ten_minutes.json", user_id),
            settings,
        )
        # Then both are there
        assert (answer["statusCode"], json.loads(answer["body"])["whop_user_id"]) == (200, row["whop_user_id"])
        assert (token["statusCode"], set(json.loads(token["body"]))) == (200, {"token", "expires_at"})


def test_a_user_is_enrolled_by_either_generation_while_the_backend_waits(
    stack: LocalStack, new_id: Callable[[], str]
) -> None:
    for settings in ({}, {"WHOP_ENROLLMENT": "accounts", "WHOP_API_VERSION": ""}):
        user_id = new_id()
        request = sample("enroll_user/new_user.json", user_id, "67890", "grace")
        answer = invoke(stack, "EnrollUserFunction", request, settings)
        row = stack.deployment.row(f"user#{user_id}") or {}
        assert (answer["statusCode"], json.loads(answer["body"])["whop_user_id"]) == (200, row["whop_user_id"])
        assert stack.whop.user(row["whop_user_id"])["name"] == "Grace Hopper"


def test_a_stack_that_moves_to_the_newer_calls_enrolls_no_user_again(
    stack: LocalStack, new_id: Callable[[], str]
) -> None:
    user_id = new_id()
    invoke(stack, "UserCreatedFunction", sample("user_created/user_created.json", user_id))
    before = stack.deployment.row(f"user#{user_id}") or {}
    newer = {"WHOP_ENROLLMENT": "accounts", "WHOP_API_VERSION": ""}
    updated = sample("profile_updated/profile_updated.json", user_id)
    assert invoke(stack, "ProfileUpdatedFunction", updated, newer) == {"batchItemFailures": []}
    after = stack.deployment.row(f"user#{user_id}") or {}
    assert after["whop_company_id"] == before["whop_company_id"]
    assert stack.whop.user(after["whop_user_id"])["name"] == "Ada King, Countess of Lovelace"
    assert sum(company.owner_id == after["whop_user_id"] for company in stack.fake.companies()) == 1


def test_a_worker_with_a_version_too_old_for_its_generation_does_not_start(
    stack: LocalStack, new_id: Callable[[], str]
) -> None:
    created = sample("user_created/user_created.json", new_id())
    too_old = {"WHOP_ENROLLMENT": "accounts", "WHOP_API_VERSION": "2026-08-14"}
    assert "2026-08-21 or later" in invoke(stack, "UserCreatedFunction", created, too_old)["errorMessage"]
