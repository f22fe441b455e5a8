"""What each function loads and opens at its start, which is most of a cold start: what it needs, and no more."""

import json
import subprocess
import sys

import pytest

from harness.template_stack import Surroundings
from local_stack import IMPORT_PATH, ROOT
from local_stack.engine import Engine

_LOADED = """
import json, sys
import boto3
clients = []
def client(name, **settings):
    clients.append(name)
    return original(name, **settings)
original, boto3.client = boto3.client, client
import app
import gc
print(json.dumps({"clients": clients, "modules": list(sys.modules), "collecting": gc.isenabled()}))
"""

CLIENTS: dict[str, set[str]] = {
    "receive_webhook": {"sqs", "secretsmanager"},
    "receive_whop_webhook": {"sqs", "secretsmanager"},
    "user_created": {"dynamodb", "sqs", "secretsmanager"},
    "profile_updated": {"dynamodb", "sqs", "secretsmanager"},
    "look_up_user": {"dynamodb"},
    "enroll_user": {"dynamodb", "sqs", "secretsmanager"},
    "mint_chat_token": {"dynamodb", "secretsmanager"},
    "account_link": {"dynamodb", "secretsmanager"},
    "payout_token": {"dynamodb", "secretsmanager"},
    "import_users": {"s3", "sqs"},
    "announce": {"dynamodb", "sqs", "secretsmanager"},
    "check_settings": set(),
}
USE_CASES = {
    "receive_webhook": {"receiving"},
    "receive_whop_webhook": {"receiving"},
    "user_created": {"syncing"},
    "profile_updated": {"syncing"},
    "look_up_user": {"backend_api"},
    "enroll_user": {"backend_api", "syncing"},
    "mint_chat_token": {"backend_api"},
    "account_link": {"backend_api"},
    "payout_token": {"backend_api"},
    "import_users": {"importing"},
    "announce": {"announcing"},
    "check_settings": {"receiving"},
}
SETTINGS: dict[str, set[str]] = {
    "receive_webhook": {"receiving"},
    "receive_whop_webhook": {"receiving"},
    "user_created": {"whop", "syncing"},
    "profile_updated": {"whop", "syncing"},
    "look_up_user": set(),
    "enroll_user": {"whop", "syncing"},
    "mint_chat_token": {"whop", "backend_api"},
    "account_link": {"whop", "backend_api"},
    "payout_token": {"whop", "backend_api"},
    "import_users": set(),
    "announce": {"announcing"},
    "check_settings": set(),
}
WITHOUT_HTTPX = {"receive_webhook", "receive_whop_webhook", "look_up_user", "import_users", "check_settings"}


@pytest.fixture(scope="module")
def surroundings(engine: Engine) -> Surroundings:
    switched_on = {"AccountLinkHosts": "app.shop.test", "PayoutTokenActions": "identity:read"}
    announced = {"AnnounceTo": "webhook", "PlatformUrl": "https://shop.test/announcements", "WhopWebhooks": "true"}
    return Surroundings(engine, switched_on | announced)


def test_every_function_is_looked_at() -> None:
    assert (
        set(CLIENTS)
        == set(USE_CASES)
        == set(SETTINGS)
        == {path.parent.name for path in (ROOT / "functions").glob("*/app.py")}
    )


@pytest.mark.parametrize("function", sorted(CLIENTS))
def test_a_function_loads_and_opens_what_it_needs_and_no_more(surroundings: Surroundings, function: str) -> None:
    path = f"{ROOT / 'functions' / function}:{IMPORT_PATH}"
    environment = {**surroundings.environment(function), "PYTHONPATH": path, "POWERTOOLS_METRICS_NAMESPACE": "Test"}
    command = [sys.executable, "-c", _LOADED]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    seen = json.loads(ran.stdout.splitlines()[-1])
    assert (sorted(seen["clients"]), seen["collecting"]) == (sorted(CLIENTS[function]), True)
    loaded = set(seen["modules"])
    assert ("httpx" in loaded) is (function not in WITHOUT_HTTPX)
    rooms = {name.split(".")[1] for name in loaded if name.startswith("whop_sync.")}
    assert rooms & set().union(*USE_CASES.values()) <= {*USE_CASES[function], "receiving"}
    settings = {name.split(".")[2] for name in loaded if name.startswith("whop_sync.config.")}
    assert settings - {"settings"} == SETTINGS[function]
    if function in ("user_created", "profile_updated"):  # no value of a platform is read
        assert "whop_sync.values" not in loaded
    if function == "enroll_user":  # it reads bodies of one preset, which no signature proves
        assert not loaded & {"whop_sync.receiving.platforms", "whop_sync.receiving.signatures"}
    if function in ("receive_webhook", "receive_whop_webhook"):
        assert not rooms & {"batches", "users", "whop", "pictures", "internet"}
    if function == "receive_whop_webhook":  # it reads one platform's bodies, whose places it knows
        assert not loaded & {"whop_sync.receiving.platforms", "whop_sync.receiving.payloads"}
