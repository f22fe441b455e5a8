"""Every metric that the application can write, as CloudWatch's embedded format names it."""

import json
from typing import get_args

import pytest

from harness import event
from whop_sync import journal
from whop_sync.errors import OperatorNeeded
from whop_sync.journal import Journal


def emitted_metrics(capture: pytest.CaptureFixture[str]) -> set[tuple[str, tuple[str, ...]]]:
    """Name and dimensions of every metric that the application can write."""
    written = Journal()
    error = OperatorNeeded("whop_key_rejected")
    for delivery in get_args(journal.DeliveryOutcome.__value__):
        written.delivery(delivery, error=error if delivery in ("parked", "rejected", "deferred") else None)
    for outcome in get_args(journal.EventOutcome.__value__):
        failed = outcome in ("retried", "parked")
        if failed:
            written.event(outcome, event(), age=0, error=error)
        else:
            written.event(outcome, event(), age=0)
            written.event(outcome, event(), age=0, refused={"name": error, "picture": error})
    for announced in get_args(journal.AnnouncementOutcome.__value__):
        failed = announced in ("retried", "parked")
        written.announcement(announced, None, age=0, error=error if failed else None)
    for webhook in get_args(journal.WhopWebhookOutcome.__value__):
        written.whop_webhook(webhook, error=error if webhook in ("unreadable", "rejected", "deferred") else None)
    written.whop_webhook("ignored", error=error)
    written.email_differs()
    for outcome in get_args(journal.RequestOutcome.__value__):
        for what in get_args(journal.RequestName.__value__):
            if outcome != "queued" or what == "EnrollUser":
                failure = error if outcome in ("refused", "failed", "queued") else None
                written.request(what, outcome, user_id="u1", error=failure)
    for status in (None, 200, 302, 400, 401, 429, 500):
        written.whop_call("POST /companies", status=status, seconds=1, request_id=None)
    written.picture_uploaded()
    written.crash(ValueError())
    written.flush()
    return {
        (metric["Name"], tuple(dimensions))
        for line in capture.readouterr().out.splitlines()
        for directive in json.loads(line).get("_aws", {}).get("CloudWatchMetrics", [])
        for dimensions in directive["Dimensions"]
        for metric in directive["Metrics"]
    }
