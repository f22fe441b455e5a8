"""The receiver's real app.py, with the environment that template.yaml gives it: what its parts promise, it does."""

import base64
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest

from harness import Later
from harness.openapi import check_answer
from harness.senders import NOW, SENDERS, USER
from harness.template_stack import Surroundings, load
from local_stack import ROOT
from local_stack.engine import Engine
from local_stack.sending import SECRET, Delivery, body
from whop_sync.events import UserEvent

OTHER_SECRET = "whsec_" + base64.b64encode(b"another secret of enough bytes").decode()
SIGNED_UP = {"id": "u1", "email": "u1@people.test", "name": "Ann"}

type Start = Callable[[Surroundings], ModuleType]


@pytest.fixture
def surroundings(engine: Engine) -> Surroundings:
    surroundings = Surroundings(engine)
    surroundings.set_signing_secrets(SECRET)
    return surroundings


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Start:
    def start(surroundings: Surroundings) -> ModuleType:
        for name, value in surroundings.environment("receive_webhook").items():
            monkeypatch.setenv(name, value)
        return load(ROOT / "functions" / "receive_webhook" / "app.py")

    return start


def http_event(content: bytes, headers: dict[str, str], *, encoded: bool = False) -> dict[str, Any]:
    """As API Gateway hands it over, with the keys that it always sets."""
    return {
        "version": "2.0",
        "routeKey": "POST /webhooks",
        "rawPath": "/webhooks",
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {"http": {"method": "POST", "path": "/webhooks"}},
        "body": base64.b64encode(content).decode() if encoded else content.decode(),
        "isBase64Encoded": encoded,
    }


def status(app: ModuleType, delivery: Delivery, **signed: Any) -> int:
    answer = app.handler(http_event(delivery.content, delivery.headers(**signed)), None)
    check_answer("POST /webhooks", answer)
    return int(answer["statusCode"])


def test_what_is_signed_is_stored_and_nothing_else_is(surroundings: Surroundings, start: Start) -> None:
    app = start(surroundings)
    delivery = Delivery(body("created", SIGNED_UP))
    # Given deliveries without a signature, with another sender's, and with one for another body or another time
    headers = delivery.headers()
    forged = [
        http_event(delivery.content, {}),
        http_event(delivery.content, {name: value for name, value in headers.items() if "signature" not in name}),
        http_event(delivery.content, delivery.headers(secret=OTHER_SECRET)),
        http_event(delivery.content + b" ", headers),
        http_event(delivery.content, delivery.headers(at=datetime.now(UTC) - timedelta(seconds=310))),
        http_event(delivery.content, delivery.headers(at=datetime.now(UTC) + timedelta(seconds=310))),
    ]
    # Then each is refused and leaves no trace
    assert [app.handler(event, None)["statusCode"] for event in forged] == [401] * len(forged)
    assert surroundings.messages("user-created") == surroundings.messages("parked-deliveries") == []
    # And the genuine one is stored
    assert app.handler(http_event(delivery.content, headers, encoded=True), None)["statusCode"] == 200
    assert len(surroundings.messages("user-created")) == 1


def test_the_bytes_count_and_not_what_they_mean(surroundings: Surroundings, start: Start) -> None:
    """A body that is decoded and written anew before it is checked would fail for spaces, escapes and repeated keys."""
    app = start(surroundings)
    moment = datetime.now(UTC).isoformat()
    odd = b'{ "data":{"id" : "u1","name":"\\u00e9","name":"\xc3\xa9"},\n"type":"user.updated","timestamp":"%s"}'
    delivery = Delivery(odd % moment.encode())
    assert status(app, delivery) == 200
    same_meaning = json.dumps(json.loads(delivery.content)).encode()
    assert app.handler(http_event(same_meaning, delivery.headers()), None)["statusCode"] == 401


def test_a_repeated_delivery_has_the_version_of_its_first_attempt(surroundings: Surroundings, start: Start) -> None:
    """The signature's time is renewed at each attempt; taken for the data's, it would make an old change the newest."""
    app = start(surroundings)
    delivery = Delivery(body("updated", SIGNED_UP))
    for attempt in range(3):
        assert status(app, delivery, at=datetime.now(UTC) + timedelta(seconds=60 * attempt)) == 200
    stored = {message["Body"] for message in surroundings.messages("profile-updated")}
    assert len(stored) == 1


def test_a_rotated_secret_is_taken_up_within_five_minutes(
    surroundings: Surroundings, later: Later, start: Start
) -> None:
    # Given a receiver that has been at work with a secret
    app = start(surroundings)
    delivery = Delivery(body("created", SIGNED_UP))
    assert status(app, delivery) == 200
    assert status(app, delivery, secret=OTHER_SECRET) == 401
    # When the platform gets a second one and both are set
    surroundings.set_signing_secrets(OTHER_SECRET, SECRET)
    later.five_minutes_pass()
    # Then both are good
    assert [status(app, delivery, secret=secret) for secret in (SECRET, OTHER_SECRET)] == [200, 200]
    # And when the old one is taken away, it is good no longer
    surroundings.set_signing_secrets(OTHER_SECRET)
    later.five_minutes_pass()
    assert [status(app, delivery, secret=secret) for secret in (SECRET, OTHER_SECRET)] == [401, 200]


def test_without_a_usable_secret_senders_are_asked_to_come_again(engine: Engine, later: Later, start: Start) -> None:
    surroundings = Surroundings(engine)
    app = start(surroundings)
    delivery = Delivery(body("created", SIGNED_UP))
    assert status(app, delivery) == 503  # born empty
    surroundings.set_secret("webhook-signing-secrets", "whsec_without_a_list")
    assert status(app, delivery) == 503
    surroundings.set_signing_secrets(SECRET)
    later.five_minutes_pass()
    assert status(app, delivery) == 200


@pytest.mark.parametrize("name", ["slack", "paddle", "ghost", "zendesk", "polar", "convoy advanced", "outpost"])
def test_a_sender_that_no_preset_names_is_a_matter_of_parameters(
    engine: Engine, later: Later, start: Start, name: str
) -> None:
    sender = SENDERS[name]
    parameters = {"".join(map(str.capitalize, key.split("_"))): value for key, value in sender.settings.items()}
    surroundings = Surroundings(engine, {**parameters, "PayloadPreset": "own", "SignatureScheme": "hmac"})
    surroundings.set_signing_secrets(sender.secret)
    app = start(surroundings)
    later.now = NOW
    assert app.handler(http_event(USER, sender.sent), None)["statusCode"] == 200
    assert app.handler(http_event(USER + b" ", sender.sent), None)["statusCode"] == 401
    (message,) = surroundings.messages("profile-updated")
    assert UserEvent.from_json(message["Body"]).user_id == "u1"


def test_wrong_settings_lose_no_delivery(engine: Engine, start: Start) -> None:
    surroundings = Surroundings(engine, {"PayloadOverrides": '{"event": "delivery.headers."x-topic""}'})
    app = start(surroundings)
    answer = app.handler(http_event(b"{}", {}), None)
    assert (answer["statusCode"], answer["headers"]["retry-after"]) == (503, "5")
    assert app.handler(TestRedelivery.order(b"{}"), None) == {"redelivery": "deferred"}


def test_a_defect_is_answered_without_a_word_so_that_the_delivery_comes_again(
    surroundings: Surroundings, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = start(surroundings)
    delivery = Delivery(body("created", SIGNED_UP))
    monkeypatch.setattr("whop_sync.receiving.deliveries.read", _fail_quoting)
    answer = app.handler(http_event(delivery.content, delivery.headers()), None)
    assert (answer["statusCode"], answer["body"]) == (500, "{}")
    assert surroundings.messages("user-created") == []


def _fail_quoting(document: object, *_: object, **__: object) -> None:
    raise LookupError(document)


class TestRedelivery:
    """An operator may hand a parked delivery back, unsigned. No one else may."""

    @staticmethod
    def order(content: bytes) -> dict[str, Any]:
        body = base64.b64encode(content).decode()
        return {"redelivery": {"body": body, "event_id": "msg_1", "headers": {}, "received_at": time.time()}}

    def test_it_is_read_and_stored(self, surroundings: Surroundings, start: Start) -> None:
        app = start(surroundings)
        assert app.handler(self.order(body("updated", SIGNED_UP)), None) == {"redelivery": "accepted"}
        (message,) = surroundings.messages("profile-updated")
        event = UserEvent.from_json(message["Body"])
        assert (event.event_id, event.user_id) == ("msg_1", "u1")

    def test_what_still_cannot_be_read_is_not_parked_a_second_time(
        self, surroundings: Surroundings, start: Start
    ) -> None:
        app = start(surroundings)
        assert app.handler(self.order(b"not json"), None) == {"redelivery": "parked"}
        assert surroundings.messages("parked-deliveries") == []

    def test_what_could_not_be_stored_is_never_called_accepted(
        self, surroundings: Surroundings, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        app = start(surroundings)
        content = body("updated", SIGNED_UP)
        surroundings.engine.sqs.delete_queue(QueueUrl=surroundings.queue_url("profile-updated"))
        assert app.handler(self.order(content), None) == {"redelivery": "deferred"}
        monkeypatch.setattr("whop_sync.receiving.deliveries.read", _fail_quoting)
        assert app.handler(self.order(content), None) == {"redelivery": "crashed"}
        assert app.handler({"redelivery": "nonsense"}, None) == {"redelivery": "crashed"}

    def test_no_http_request_is_taken_for_one(self, surroundings: Surroundings, start: Start) -> None:
        """Whatever a sender writes ends up in the values of API Gateway's keys."""
        app = start(surroundings)
        order = self.order(body("updated", SIGNED_UP))
        content = json.dumps(order).encode()
        smuggled = [
            http_event(content, {}),
            http_event(content, {}, encoded=True),
            http_event(b"", {"redelivery": json.dumps(order["redelivery"])}),
            {**http_event(b"", {}), "queryStringParameters": order, "rawQueryString": "redelivery=1"},
            {**http_event(b"", {}), "cookies": ["redelivery=1"], "pathParameters": order},
            # Not even beside the keys that a request has, should API Gateway ever merge anything into them.
            {**http_event(b"", {}), **order},
            {**order, "headers": {}},
        ]
        assert [app.handler(event, None).get("statusCode") for event in smuggled] == [401] * len(smuggled)
        assert surroundings.messages("profile-updated") == []

    def test_a_parked_delivery_keeps_its_headers_but_those_that_prove_the_sender(
        self, engine: Engine, start: Start
    ) -> None:
        """Headers hold passwords of platforms that sign nothing."""
        overrides = json.dumps({"event": 'delivery.headers."x-topic"'})
        surroundings = Surroundings(engine, {"PayloadOverrides": overrides})
        surroundings.set_signing_secrets(SECRET)
        app = start(surroundings)
        delivery = Delivery(b'{"data": {}}')
        headers = {**delivery.headers(), "X-Topic": "user.updated", "Authorization": "Bearer password", "topic": "too"}
        assert app.handler(http_event(delivery.content, headers), None)["statusCode"] == 200
        (message,) = surroundings.messages("parked-deliveries")
        kept = json.loads(message["MessageAttributes"]["headers"]["StringValue"])
        assert set(kept) == {"webhook-id", "webhook-timestamp", "content-type", "x-topic", "topic"}
