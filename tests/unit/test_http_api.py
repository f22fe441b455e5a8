"""Which user a request is about, and how the functions that answer requests start."""

import json
import os
import subprocess
import sys
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_stack import ROOT
from whop_sync.aws.api_gateway import HttpEvent
from whop_sync.backend_api.enrolling import pause_after
from whop_sync.backend_api.http_api import answer, parameter
from whop_sync.errors import AwaitsTurn, Malformed, OperatorNeeded, Transient
from whop_sync.pictures.errors import PictureUnavailable

SETTINGS = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "USER_MAPPINGS_TABLE": "users",
    "WHOP_ENVIRONMENT": "sandbox",
    "WHOP_COMPANY_ID": "biz_1",
    "WHOP_API_VERSION": "",
    "WHOP_ENROLLMENT": "companies",
    "WHOP_API_KEY_ARN": "arn:key",
    "CHAT_TOKEN_ACTIONS": "chat:read,dms:read",
}


def of_path(value: str, path: str | None = None, query: str = "") -> HttpEvent:
    return {"rawPath": path or f"/users/{value}", "rawQueryString": query, "pathParameters": {"user_id": value}}


@pytest.mark.parametrize("user_id", ["12345", "a/b", "ann@shop.test", "🦊", "two words", "a+b", "", "--"])
def test_an_id_in_the_path_is_taken_as_api_gateway_decoded_it(user_id: str) -> None:
    assert parameter(of_path(user_id), "user_id") == user_id


@given(st.text())
def test_an_id_in_the_query_may_be_any_text(user_id: str) -> None:
    user_id = user_id.encode("utf-8", "replace").decode()
    for query in (urlencode({"user_id": user_id}), "user_id=" + quote(user_id, safe="")):
        assert parameter(of_path("-", query=query), "user_id") == user_id


def test_a_hyphen_without_a_query_is_the_id_itself() -> None:
    assert parameter(of_path("-"), "user_id") == "-"


def test_a_query_does_not_overrule_a_path() -> None:
    assert parameter(of_path("u1", query="user_id=u2"), "user_id") == "u1"


@pytest.mark.parametrize("event", [of_path("50%"), of_path("50%25"), of_path("aA", "/users/a%41")])
def test_an_id_that_may_have_been_decoded_twice_is_refused(event: HttpEvent) -> None:
    with pytest.raises(Malformed, match="query"):
        parameter(event, "user_id")


@pytest.mark.parametrize("event", [{}, {"pathParameters": None}, {"pathParameters": {"whop_user_id": "user_1"}}])
def test_a_route_without_the_part_names_no_user(event: HttpEvent) -> None:
    assert parameter(event, "user_id") is None


def test_a_wait_is_answered_in_whole_seconds_and_never_as_none_at_all() -> None:
    assert answer(503, {}, retry_after=0.2)["headers"]["retry-after"] == "1"
    assert answer(503, {}, retry_after=12.4)["headers"]["retry-after"] == "12"
    assert "retry-after" not in answer(200, {})["headers"]


@pytest.mark.parametrize(
    ("error", "tries", "seconds"),
    [
        (AwaitsTurn("busy", retry_after=90), 3, 0.5),
        (AwaitsTurn("whop_rate_limited", retry_after=4), 0, 4),
        (Transient("whop_failed", retry_after=7), 0, 7),
        (Transient("whop_failed"), 1, 1),
        (Transient("whop_failed"), 9, 4),
        (Transient("whop_no_answer", effect="pending"), 0, None),
        (OperatorNeeded("whop_key_rejected", retry_after=1), 0, None),
        (AwaitsTurn("no_email"), 0, None),
        (PictureUnavailable("picture_not_found"), 0, 0.5),
        (PictureUnavailable("picture_not_found"), 1, None),
    ],
)
def test_a_caller_is_kept_waiting_for_what_is_soon_over_alone(
    error: Transient, tries: int, seconds: float | None
) -> None:
    assert pause_after(error, tries) == seconds


def start(function: str, **changed: str) -> subprocess.CompletedProcess[str]:
    """A cold start of a function, which then prints what it imported and which AWS services it has clients of."""
    report = (
        "import gc, json, sys; import app; gc.unfreeze(); from botocore.client import BaseClient;"
        "print(json.dumps([sorted(sys.modules), sorted({c.meta.service_model.service_name"
        " for c in gc.get_objects() if isinstance(c, BaseClient)})]))"
    )
    path = f"{ROOT / 'functions' / function}{os.pathsep}{ROOT / 'shared'}"
    environment = {**SETTINGS, "PYTHONPATH": path, "PATH": os.defpath, **changed}
    command = [sys.executable, "-c", report]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_looking_up_needs_no_http_client() -> None:
    modules, services = json.loads(start("look_up_user").stdout)
    assert "httpx" not in modules
    assert services == ["dynamodb"]


def test_making_tokens_needs_no_queue() -> None:
    modules, services = json.loads(start("mint_chat_token").stdout)
    assert services == ["dynamodb", "secretsmanager"]
    assert not {"whop_sync.aws.queues", "whop_sync.batches.worker", "whop_sync.pictures.fetching"} & set(modules)


@pytest.mark.parametrize("actions", ["", ",", "chat:read,", " chat:read", "*", "chat", "chat:read;dms:read"])
def test_a_function_that_would_make_tokens_without_bounds_does_not_start(actions: str) -> None:
    outcome = start("mint_chat_token", CHAT_TOKEN_ACTIONS=actions)
    assert outcome.returncode
    assert "CHAT_TOKEN_ACTIONS" in outcome.stderr
