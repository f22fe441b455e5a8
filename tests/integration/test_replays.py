"""A captured delivery of a platform whose signature covers the body alone, sent again: it changes nothing on Whop."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from harness import World
from whop_sync.aws.queues import EventQueues, Queue
from whop_sync.events import UserEvent
from whop_sync.journal import Journal
from whop_sync.receiving.deliveries import Receiver
from whop_sync.receiving.platforms import PLATFORMS, configured

SECRET = "shpss_a_secret_of_one_shop"


@dataclass
class Platform:
    """A platform's deliveries, through the receiver and a real queue to the workers' use cases."""

    world: World
    name: str
    sign: Callable[[bytes], dict[str, str]]

    def __post_init__(self) -> None:
        self.sqs = self.world.client("sqs")
        self.url = self.sqs.create_queue(QueueName=f"{self.world.table}-{self.name}")["QueueUrl"]
        queue = Queue(self.sqs, self.url)
        platform = configured({"PAYLOAD_PRESET": self.name})
        self.receiver = Receiver(
            platform=platform,
            signing_keys=lambda: platform.scheme.keys(SECRET),
            queues=EventQueues(created=queue, changed=queue),
            parked=queue,
            journal=Journal(),
            clock=self.world.clock,
        )

    def post(self, body: dict[str, Any], **headers: str) -> None:
        raw = json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.receiver.answer({"headers": {**self.sign(raw), **named}, "body": raw.decode()})
        assert answer["statusCode"] == 200
        for message in self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages", []):
            self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
            self.world.settle(UserEvent.from_json(message["Body"]))

    def shown(self, user_id: str) -> str | None:
        name, _ = self.world.shown(user_id)
        return name


@pytest.fixture
def shopify(world: World) -> Platform:
    def sign(body: bytes) -> dict[str, str]:
        digest = hmac.new(SECRET.encode(), body, hashlib.sha256).digest()
        return {"x-shopify-hmac-sha256": base64.b64encode(digest).decode()}

    return Platform(world, "shopify", sign)


@pytest.fixture
def logto(world: World) -> Platform:
    def sign(body: bytes) -> dict[str, str]:
        return {"logto-signature-sha-256": hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}

    return Platform(world, "logto", sign)


def customer(day: int, first_name: str, **rest: Any) -> dict[str, Any]:
    at = f"2026-02-{day:02}T10:00:00Z"
    return {"id": 7, "email": "ada@people.test", "first_name": first_name, "updated_at": at, **rest}


def test_a_captured_body_under_new_headers_changes_nothing(shopify: Platform) -> None:
    # Given a customer who was created, and then changed
    shopify.post(customer(1, "Ada"), x_shopify_topic="customers/create", x_shopify_event_id="e1")
    shopify.post(customer(2, "Augusta"), x_shopify_topic="customers/update", x_shopify_event_id="e2")
    calls = shopify.world.operations()
    # When both bodies come again, much later, under other ids and as the other event
    shopify.world.clock.sleep(30 * 86_400)
    for number, topic in enumerate(("customers/create", "customers/update")):
        for body in (customer(1, "Ada"), customer(2, "Augusta")):
            shopify.post(body, x_shopify_topic=topic, x_shopify_event_id=f"forged-{number}")
    # Then Whop was asked nothing, there is one account, and the newest name stays
    assert shopify.world.operations() == calls
    assert len(shopify.world.fake.companies()) == 1
    assert shopify.shown("7") == "Augusta"


def test_another_body_that_the_secret_signs_never_becomes_a_user(shopify: Platform) -> None:
    order = customer(1, "Mallory", id=999, admin_graphql_api_id="gid://shopify/Order/999")
    checkout = customer(1, "Mallory", id=999, token="b1946ac92492d2347c6235b4d2611184", line_items=[])
    cart = customer(1, "Mallory", id=999, line_items=[])
    for body in (order, checkout, cart):
        shopify.post(body, x_shopify_topic="customers/create")
    assert shopify.world.fake.companies() == []


def test_a_captured_body_without_any_id_changes_nothing(logto: Platform) -> None:
    def body(day: int, event: str, name: str) -> dict[str, Any]:
        data = {"id": "u1", "primaryEmail": "u1@shop.test", "name": name, "updatedAt": 1_771_000_000_000 + day}
        return {"event": event, "createdAt": "2026-03-01T09:00:00Z", "params": {"userId": "u1"}, "data": data}

    first, second = body(1, "User.Created", "Ada"), body(2, "User.Data.Updated", "Augusta")
    for arriving in (first, second):
        logto.post(arriving)
    calls = logto.world.operations()
    for replayed in (first, second, first):
        logto.world.clock.sleep(86_400)
        logto.post(replayed)
    assert logto.world.operations() == calls
    assert logto.shown("u1") == "Augusta"


def test_no_platform_whose_deliveries_can_be_replayed_for_ever_goes_by_the_time_of_receipt() -> None:
    for name, platform in PLATFORMS.items():
        if getattr(platform.scheme, "content", "") == "body":
            assert "delivery.received_at" not in platform.preset.version, name
