"""Whop's own webhooks on this machine: the stand-in for Whop sends them to the deployed stack."""

import base64
import json
from datetime import datetime

import httpx

from fake_whop import PLATFORM_KEY, FakeWhop
from local_stack.deployment import Deployment
from local_stack.sending import Delivery
from whop_sync.receiving.whop_webhooks import EVENTS
from whop_sync.times import iso

API_VERSION = "2026-09-23"
"""As docs/whop-webhooks.md pins the webhook."""

SAMPLE_SECRET = "ws_" + "5a" * 32
"""Signs the sample events. It is stored beside the secret that the stand-in showed, as while one is rotated."""


def signing_form(secret: str) -> str:
    """A secret of Whop's for the library of Standard Webhooks, which takes base64 of the key: Whop's is the text itself
    (lib/verify_webhook.py of Whop's SDK for Python)."""
    return base64.b64encode(secret.encode()).decode()


def signed(delivery: Delivery, *, at: datetime) -> dict[str, str]:
    """The headers with which Whop would send this, signed with the sample secret."""
    return delivery.headers(secret=signing_form(SAMPLE_SECRET), at=at)


def sample(event: str, account: str, data: dict[str, str], *, at: datetime) -> bytes:
    """The body of a webhook of Whop's about a connected account, as far as anything of it is read."""
    moment = iso(at)
    envelope = {"type": event, "api_version": "v1", "api_version_date": API_VERSION, "timestamp": moment}
    return json.dumps(envelope | {"account_id": account, "data": data}).encode()


def connect(fake: FakeWhop, deployment: Deployment) -> None:
    """Creates a webhook at the stand-in, as docs/whop-webhooks.md says for Whop, and stores its secret."""
    fake.switches.private_webhook_urls = "allowed"
    # As Whop does, but within seconds: the first webhook may meet a cold start of more than the five it waits.
    fake.switches.webhook_retries, fake.switches.webhook_retry_seconds = 12, 1.0
    body = {
        "url": deployment.webhook_url.removesuffix("/webhooks") + "/whop-webhooks",
        "child_resource_events": True,
        "api_version_date": API_VERSION,
        "events": sorted(EVENTS),
    }
    headers = {"Authorization": f"Bearer {PLATFORM_KEY}", "Api-Version-Date": API_VERSION}
    answer = httpx.post(f"{fake.api_url}/webhooks", json=body, headers=headers, timeout=20, trust_env=False)
    secret = answer.raise_for_status().json()["webhook_secret"]
    deployment.engine.secrets.put_secret_value(
        SecretId=f"{deployment.stack}/whop-webhook-secrets", SecretString=json.dumps([secret, SAMPLE_SECRET])
    )
