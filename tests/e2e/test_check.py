"""`whop-user-sync check` on the deployed stack: what it finds there, and that it leaves all as it was."""

import json
from urllib.parse import parse_qs

import pytest

from local_stack.stack import LocalStack
from whop_user_sync import cli


def findings(stack: LocalStack, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, tuple[str, str]]]:
    capsys.readouterr()
    where = ["--stack", stack.deployment.stack, "--endpoint-url", stack.deployment.engine.url]
    status = cli.main(["check", *where, "--json"])
    answer = json.loads(capsys.readouterr().out)
    return status, {each["about"]: (each["verdict"], each["sentence"]) for each in answer["findings"]}


def test_a_deployed_stack_can_work_and_nothing_is_created(
    stack: LocalStack, capsys: pytest.CaptureFixture[str]
) -> None:
    before = len(stack.fake.companies()), stack.deployment.rows()
    status, found = findings(stack, capsys)
    wrong = {about: each for about, each in found.items() if each[0] == "wrong"}
    assert (status, wrong) == (0, {})
    assert {about for about, (verdict, _) in found.items() if verdict == "ok"} >= {
        "whop_api_key",
        "whop_scope",
        "whop_api_version",
        "signing_secret",
        "queues",
        "concurrency",
        "clock",
    }
    assert (len(stack.fake.companies()), stack.deployment.rows()) == before


def test_permissions_of_the_doors_to_payouts_are_asked_for(
    stack: LocalStack, capsys: pytest.CaptureFixture[str]
) -> None:
    findings(stack, capsys)
    [asked] = [parse_qs(call.query) for call in stack.fake.calls if call.operation == "GET /permissions"][-1:]
    assert {"company:balance:read", "identity:read", "chat:read"} <= set(asked["actions"][0].split(","))
