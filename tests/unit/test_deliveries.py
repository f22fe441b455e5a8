"""What the receiver answers to a delivery, and what it keeps."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st

from whop_sync.aws.api_gateway import HttpAnswer, HttpEvent
from whop_sync.aws.queues import EventQueues, Queue
from whop_sync.errors import Transient
from whop_sync.events import Kind, UserEvent
from whop_sync.journal import Journal
from whop_sync.receiving.deliveries import (
    MAX_BODY_BYTES,
    MisconfiguredReceiver,
    Receiver,
    Redelivery,
    kept_headers,
    within_limit,
)
from whop_sync.receiving.platforms import PLATFORMS, Platform, configured
from whop_sync.receiving.signatures import Token
from whop_sync.standard_webhooks import sign

KEY = b"k" * 32
NOW = 1_772_359_200.0
UPDATED = {"type": "user.updated", "timestamp": "2026-03-01T10:00:00Z", "data": {"id": "u1", "name": "Ann"}}


@dataclass
class Sqs:
    """The two calls of an SQS client that are used here."""

    sent: list[dict[str, Any]] = field(default_factory=list)
    failure: Exception | None = None

    def send_message(self, **message: Any) -> None:
        if self.failure:
            raise self.failure
        if not message["MessageBody"]:
            raise ClientError({"Error": {"Code": "MissingParameter", "Message": "MessageBody"}}, "SendMessage")
        self.sent.append(message)


@dataclass
class Endpoint:
    """A receiver whose queues only remember."""

    sqs: Sqs = field(default_factory=Sqs)
    keys: Sequence[bytes] | Exception = (KEY,)
    platform: Platform = PLATFORMS["standard"]

    def __post_init__(self) -> None:
        def queue(name: str) -> Queue:
            return Queue(self.sqs, name)  # type: ignore[arg-type]

        self.receiver = Receiver(
            platform=self.platform,
            signing_keys=self._keys,
            queues=EventQueues(created=queue("created"), changed=queue("changed")),
            parked=queue("parked"),
            journal=Journal(),
            clock=lambda: NOW,
        )

    def _keys(self) -> Sequence[bytes]:
        if isinstance(self.keys, Exception):
            raise self.keys
        return self.keys

    def post(self, body: bytes, *, encoded: bool = False, **changed: str) -> HttpAnswer:
        """Posts a body with a good signature, but for the headers that are given."""
        headers = {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(int(NOW)),
            "webhook-signature": "v1," + sign(KEY, "msg_1", str(int(NOW)), body),
            **{name.replace("_", "-"): value for name, value in changed.items()},
        }
        text = base64.b64encode(body).decode() if encoded else body.decode()
        return self.receiver.answer({"headers": headers, "body": text, "isBase64Encoded": encoded})

    @property
    def queues(self) -> list[str]:
        return [message["QueueUrl"] for message in self.sqs.sent]


@pytest.mark.parametrize("kind", get_args(Kind.__value__))
@pytest.mark.parametrize("encoded", [False, True])
def test_a_genuine_event_is_stored_in_the_queue_of_its_kind(kind: Kind, encoded: bool) -> None:
    endpoint = Endpoint()
    answer = endpoint.post(json.dumps({**UPDATED, "type": f"user.{kind}"}).encode(), encoded=encoded)

    assert answer == {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": "{}"}
    (message,) = endpoint.sqs.sent
    assert message["QueueUrl"] == ("created" if kind == "created" else "changed")
    stored = UserEvent.from_json(message["MessageBody"])
    assert (stored.kind, stored.event_id, stored.user_id) == (kind, "msg_1", "u1")


def test_where_the_body_names_no_time_of_the_event_that_of_the_signature_counts() -> None:
    endpoint = Endpoint()
    body = {"type": "user.updated", "data": {"id": "u1", "name": "Ann", "updated_at": "2026-03-01T09:00:00Z"}}
    assert endpoint.post(json.dumps(body).encode())["statusCode"] == 200
    (message,) = endpoint.sqs.sent
    event_time = UserEvent.from_json(message["MessageBody"]).event_time
    assert int(NOW) * 1_000_000 <= event_time < (int(NOW) + 1) * 1_000_000


def test_header_names_count_whatever_their_case() -> None:
    endpoint = Endpoint()
    body = json.dumps(UPDATED).encode()
    signature = "v1," + sign(KEY, "msg_1", str(int(NOW)), body)
    headers = {"Webhook-ID": "msg_1", "WEBHOOK-TIMESTAMP": str(int(NOW)), "Webhook-Signature": signature}
    assert endpoint.receiver.answer({"headers": headers, "body": body.decode()})["statusCode"] == 200


def test_an_event_of_another_type_is_answered_and_not_kept() -> None:
    endpoint = Endpoint()
    assert endpoint.post(json.dumps({**UPDATED, "type": "session.created"}).encode())["statusCode"] == 200
    assert endpoint.sqs.sent == []


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook_signature": ""},
        {"webhook_signature": "v1,AAAA"},
        {"webhook_id": "msg_2"},
        {"webhook_timestamp": str(int(NOW) - 301)},
        {"webhook_timestamp": str(int(NOW) + 301)},
        {"webhook_timestamp": "1_772_359_200"},
    ],
)
def test_what_is_not_genuine_is_refused_without_detail_and_not_kept(changed: dict[str, str]) -> None:
    endpoint = Endpoint()
    answer = endpoint.post(json.dumps(UPDATED).encode(), encoded=False, **changed)
    assert (answer["statusCode"], answer["body"]) == (401, "{}")
    assert endpoint.sqs.sent == []


@pytest.mark.parametrize("body", [b"not json", b"\xff\xfe", b"[]", b'{"type":"user.created","data":{}}'])
def test_a_genuine_body_that_cannot_be_read_is_parked_whole_with_the_reason(body: bytes) -> None:
    endpoint = Endpoint()
    assert endpoint.post(body, encoded=True)["statusCode"] == 200

    (message,) = endpoint.sqs.sent
    assert message["QueueUrl"] == "parked"
    assert base64.b64decode(message["MessageBody"]) == body
    details = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert details["reason"]
    assert (details["event_id"], details["encoding"]) == ("msg_1", "base64")


@pytest.mark.parametrize("encoded", [False, True])
def test_a_body_over_the_limit_is_refused(encoded: bool) -> None:
    endpoint = Endpoint()
    assert endpoint.post(b" " * (MAX_BODY_BYTES + 1), encoded=encoded)["statusCode"] == 413
    assert endpoint.post(b" " * 10_000_000, encoded=encoded)["statusCode"] == 413
    assert endpoint.post(b" " * MAX_BODY_BYTES, encoded=encoded)["statusCode"] == 200
    assert endpoint.queues == ["parked"]


def with_picture(size: int, *, nested: bool = False, escaped: bool = False) -> bytes:
    picture = "data:image/png;base64," + base64.b64encode(b"\xff\xef" * (size // 2)).decode()
    data: dict[str, Any] = {**UPDATED["data"], "avatar_url": picture}  # type: ignore[dict-item]
    text = json.dumps({**UPDATED, "data": data, "copy": json.dumps(data) if nested else None})
    return (text.replace("/", "\\/") if escaped else text).encode()


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("escaped", [False, True])
def test_a_picture_in_the_body_never_costs_the_user(nested: bool, escaped: bool) -> None:
    endpoint = Endpoint()
    assert endpoint.post(with_picture(1_000_000, nested=nested, escaped=escaped))["statusCode"] == 200
    (message,) = endpoint.sqs.sent
    assert message["QueueUrl"] == "changed"
    stored = UserEvent.from_json(message["MessageBody"])
    assert (stored.user_id, stored.profile["name"]) == ("u1", "Ann")
    assert len(message["MessageBody"]) < 1000


LARGE = base64.b64encode(bytes(range(256)) * 1200).decode()


@pytest.mark.parametrize(
    "picture",
    [
        f'"data:image/png;base64,{LARGE}"'.replace("+", "\\u002B"),  # as .NET writes it
        f'"data:image/png;base64,{LARGE}"'.replace("/", "\\u002f"),
        f'"\\u0064ata:image/png;base64,{LARGE}"',
        json.dumps("\n data:image/png;base64," + LARGE),
        json.dumps("data:image/png;base64," + "\r\n".join(LARGE[at : at + 76] for at in range(0, len(LARGE), 76))),
        json.dumps('data:image/svg+xml,<svg xmlns="http://www.w3.org/2000/svg">' + '<path d="M0 0"/>' * 20_000),
    ],
    ids=["escaped plus", "escaped slash", "escaped letter", "blanks before it", "lines", "quotes"],
)
def test_a_picture_in_the_body_makes_no_body_too_large_however_json_spells_it(picture: str) -> None:
    whole = {**UPDATED, "data": {**UPDATED["data"], "avatar_url": "?"}}  # type: ignore[dict-item]
    body = json.dumps(whole).replace('"?"', picture)
    for posted in (body, json.dumps({**UPDATED, "copy": body}), json.dumps({**UPDATED, "copy": json.dumps([body])})):
        endpoint = Endpoint()
        assert endpoint.post(posted.encode())["statusCode"] == 200
        assert endpoint.queues == ["changed"]


def test_what_cannot_be_read_is_parked_without_the_picture_that_made_it_large() -> None:
    endpoint = Endpoint()
    assert endpoint.post(with_picture(4_000_000).replace(b'"u1"', b"[]"))["statusCode"] == 200
    (message,) = endpoint.sqs.sent
    assert (message["QueueUrl"], len(message["MessageBody"]) < 1000) == ("parked", True)
    parked = json.loads(base64.b64decode(message["MessageBody"]))
    assert (parked["data"]["name"], parked["data"]["avatar_url"]) == ("Ann", "data:,")


def test_a_large_body_is_refused_as_unproven_first() -> None:
    endpoint = Endpoint()
    assert endpoint.post(with_picture(1_000_000), webhook_signature="v1,AAAA")["statusCode"] == 401


def test_a_large_picture_takes_no_time_that_a_sender_would_notice() -> None:
    body = with_picture(4_500_000, nested=True, escaped=True) + b'"data:\\' * 20_000
    began = time.process_time()
    assert within_limit(body).count(b"data:,") == 2
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "failure",
    [
        ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, "SendMessage"),
        EndpointConnectionError(endpoint_url="https://sqs.test"),
    ],
)
@pytest.mark.parametrize("body", [json.dumps(UPDATED).encode(), b"not json"])
def test_what_could_not_be_stored_is_never_acknowledged(failure: Exception, body: bytes) -> None:
    endpoint = Endpoint(sqs=Sqs(failure=failure))
    answer = endpoint.post(body)
    assert (answer["statusCode"], answer["headers"]["retry-after"]) == (503, "5")


def test_a_genuine_delivery_without_a_body_is_parked_too() -> None:
    endpoint = Endpoint()
    assert endpoint.post(b"")["statusCode"] == 200
    assert endpoint.queues == ["parked"]


def test_a_signed_id_that_no_text_can_hold_is_replaced() -> None:
    endpoint = Endpoint()
    signature = "v1," + sign(KEY, "m\ud800", str(int(NOW)), GOOD)
    assert endpoint.post(GOOD, webhook_id="m\ud800", webhook_signature=signature)["statusCode"] == 200
    assert UserEvent.from_json(endpoint.sqs.sent[0]["MessageBody"]).event_id == "m?"


@pytest.mark.parametrize("text", ["YQ", "YQ=", "Y Q==", "YQ==\n", "\u00e9", "Y*Q="])
def test_a_body_that_is_not_what_its_encoding_says_is_refused(text: str) -> None:
    # Given a sender whose proof does not cover the body
    endpoint = Endpoint(platform=PLATFORMS["ory"], keys=(b"token",))
    event: HttpEvent = {"headers": {"authorization": "Bearer token"}, "body": text, "isBase64Encoded": True}
    assert endpoint.receiver.answer(event)["statusCode"] == 401
    assert endpoint.sqs.sent == []


def test_without_a_usable_signing_secret_senders_are_asked_to_come_again() -> None:
    endpoint = Endpoint(keys=Transient("signing_secrets_unavailable"))
    assert endpoint.post(json.dumps(UPDATED).encode())["statusCode"] == 503
    assert endpoint.sqs.sent == []


@given(
    headers=st.none()
    | st.dictionaries(
        st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature", "svix-id", "svix-signature"])
        | st.text(),
        st.text(max_size=60),
    ),
    body=st.none() | st.text(),
    encoded=st.booleans(),
)
def test_whatever_is_posted_unsigned_is_a_plain_refusal(headers: Any, body: Any, encoded: bool) -> None:
    endpoint = Endpoint()
    answer = endpoint.receiver.answer({"headers": headers, "body": body, "isBase64Encoded": encoded})
    assert answer["statusCode"] == 401
    assert endpoint.sqs.sent == []


@given(body=st.binary(max_size=300))
def test_whatever_is_posted_signed_is_kept_or_none_of_ours(body: bytes) -> None:
    endpoint = Endpoint()
    assert endpoint.post(body, encoded=True)["statusCode"] == 200
    assert endpoint.queues == ["parked"]


# -- platforms whose signature covers the body and nothing else ----------------------------------------------------


def post_by_hmac(body: bytes, platform: str = "own", header: str = "x-signature", **headers: str) -> Endpoint:
    """An endpoint that was posted a body with its hexadecimal HMAC and any other headers."""
    endpoint = Endpoint(platform=PLATFORMS[platform])
    signature = hmac.new(KEY, body, hashlib.sha256).hexdigest()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = endpoint.receiver.answer({"headers": {header: signature, **named}, "body": body.decode()})
    assert (answer["statusCode"], answer["headers"]["content-type"]) == (200, "application/json")
    return endpoint


def test_without_a_signed_id_the_event_is_known_by_its_own_id_else_by_a_hash_of_the_body() -> None:
    (with_id,) = post_by_hmac(json.dumps({"id": "evt_1", **UPDATED}).encode()).sqs.sent
    assert UserEvent.from_json(with_id["MessageBody"]).event_id == "evt_1"

    body = json.dumps(UPDATED).encode()
    first, second = (post_by_hmac(body, webhook_id=unsigned).sqs.sent[0] for unsigned in ("msg_1", "msg_2"))
    assert first == second
    assert UserEvent.from_json(first["MessageBody"]).event_id == f"body-{hashlib.sha256(body).hexdigest()[:32]}"


def test_what_is_parked_carries_the_senders_id_too() -> None:
    (parked,) = post_by_hmac(json.dumps({"id": "evt_1", **UPDATED, "data": {}}).encode()).sqs.sent
    assert parked["MessageAttributes"]["event_id"]["StringValue"] == "evt_1"
    (parked,) = post_by_hmac(b"not json").sqs.sent
    assert parked["MessageAttributes"]["event_id"]["StringValue"].startswith("body-")


def test_an_update_that_names_a_user_and_nothing_else_is_answered_and_not_kept() -> None:
    body = json.dumps({"event": "User.Data.Updated", "params": {"userId": "u1"}, "createdAt": 1, "data": {"a": 1}})
    assert post_by_hmac(body.encode(), "logto", "logto-signature-sha-256").sqs.sent == []


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("user.created", {}),  # a user all the same, whom the worker may know already
        ("user.updated", {"email": "ann@shop.test"}),  # enrolls whom an update without one could not
        ("user.updated", {"whop_user_id": "user_1"}),
        ("user.updated", {"name": None}),
        ("user.updated", {"avatar_url": None}),
        ("user.updated", {"suspended": True}),
    ],
)
def test_an_event_that_says_anything_is_kept(kind: str, data: dict[str, Any]) -> None:
    endpoint = Endpoint()
    body = {**UPDATED, "type": kind, "data": {"id": "u1", **data}}
    assert endpoint.post(json.dumps(body).encode())["statusCode"] == 200
    assert endpoint.queues == ["created" if kind == "user.created" else "changed"]


GOOD = json.dumps(UPDATED).encode()


@pytest.mark.parametrize(
    ("keys", "body", "expected"),
    [
        ((KEY,), GOOD, ("DeliveryAccepted", "accepted", "msg_1", None)),
        ((KEY,), b'{"type": "order.paid"}', ("DeliveryIgnored", "ignored", "msg_1", None)),
        ((KEY,), b"[]", ("DeliveryParked", "parked", "msg_1", "not_an_object")),
        ((KEY,), b" " * (MAX_BODY_BYTES + 1), ("DeliveryRejected", "rejected", None, "too_large")),
        ((b"another",), GOOD, ("DeliveryRejected", "rejected", None, "wrong_signature")),
        (Transient("busy"), GOOD, ("DeliveryDeferred", "deferred", None, "busy")),
        (RuntimeError(), GOOD, ("Crash", None, None, None)),
    ],
)
def test_whatever_becomes_of_a_delivery_is_logged_once_and_counted_at_once(
    logged_lines: "LoggedLines",
    keys: Sequence[bytes] | Exception,
    body: bytes,
    expected: tuple[str, str | None, str | None, str | None],
) -> None:
    Endpoint(keys=keys).post(body)
    assert logged_lines(expected[0]) == [expected[1:]]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", ("DeliveryParked", "parked", "msg_1", "not_json")),
        ("!", ("Crash", None, None, None)),
        (base64.b64encode(GOOD).decode(), ("DeliveryDeferred", "deferred", "msg_1", "sqs_unavailable")),
    ],
)
def test_so_is_whatever_becomes_of_a_redelivery(
    logged_lines: "LoggedLines", body: str, expected: tuple[str, str | None, str | None, str | None]
) -> None:
    endpoint = Endpoint(Sqs(failure=EndpointConnectionError(endpoint_url="x")))
    endpoint.receiver.redeliver({"event_id": "msg_1", "headers": {}, "received_at": NOW, "body": body})
    assert logged_lines(expected[0]) == [expected[1:]]


# -- what an operator can find afterwards --------------------------------------------------------------------------


def logged(caplog: pytest.LogCaptureFixture, *names: str) -> list[Any]:
    """The fields of the last log line."""
    return [getattr(caplog.records[-1], name, None) for name in names]


@pytest.mark.parametrize(
    ("event_type", "shown"),
    [
        ("order.paid", True),
        ("customers/data_request", True),
        ("admin.USER-LOGIN_FAILURE:x", True),
        ("a" * 64, True),
        ("a" * 65, False),
        ("ann@people.test", False),
        ("Ann Bee", False),
        ("line\nbreak", False),
        ("caf\u00e9", False),
    ],
)
def test_an_ignored_delivery_is_logged_with_its_type_where_that_is_a_programs_word(
    caplog: pytest.LogCaptureFixture, event_type: str, shown: bool
) -> None:
    Endpoint().post(json.dumps({**UPDATED, "type": event_type}).encode())
    assert logged(caplog, "outcome", "event_type") == ["ignored", event_type if shown else None]


@pytest.mark.parametrize(
    ("claimed", "shown"), [("msg_other", True), ("m" * 129, False), ("ann@people.test", False), ("two words", False)]
)
def test_a_refused_delivery_is_logged_with_the_id_it_claims_marked_as_unproven(
    caplog: pytest.LogCaptureFixture, claimed: str, shown: bool
) -> None:
    Endpoint().post(GOOD, webhook_id=claimed)
    assert logged(caplog, "outcome", "event_id", "claimed_event_id") == ["rejected", None, claimed if shown else None]


def test_so_it_is_where_the_id_stands_in_the_body(caplog: pytest.LogCaptureFixture) -> None:
    endpoint = Endpoint(platform=PLATFORMS["own"])
    body = json.dumps({"id": "evt_1", **UPDATED})
    endpoint.receiver.answer({"headers": {"x-signature": "0" * 64}, "body": body})
    assert logged(caplog, "reason", "event_id", "claimed_event_id") == ["wrong_signature", None, "evt_1"]
    for unreadable in ("not json", "[]", json.dumps({**UPDATED, "id": ["evt_1"]}), "\ud800"):
        endpoint.receiver.answer({"headers": {"x-signature": "0" * 64}, "body": unreadable})
        assert logged(caplog, "reason", "claimed_event_id") == ["wrong_signature", None]


@pytest.mark.parametrize(
    "changed", [{"updated_at": "yesterday"}, {"name": [[1]]}, {"whop_user_id": "ann"}, {"avatar_url": 5}]
)
def test_a_parked_delivery_is_kept_and_logged_under_its_user(
    caplog: pytest.LogCaptureFixture, changed: dict[str, Any]
) -> None:
    endpoint = Endpoint()
    endpoint.post(json.dumps({**UPDATED, "data": {"id": "u1", **changed}}).encode())
    (message,) = endpoint.sqs.sent
    assert (message["QueueUrl"], message["MessageAttributes"]["user_id"]["StringValue"]) == ("parked", "u1")
    assert logged(caplog, "outcome", "user_id") == ["parked", "u1"]


def test_what_names_no_user_is_parked_under_none(caplog: pytest.LogCaptureFixture) -> None:
    endpoint = Endpoint()
    endpoint.post(json.dumps({**UPDATED, "data": {"id": []}}).encode())
    assert "user_id" not in endpoint.sqs.sent[0]["MessageAttributes"]
    assert logged(caplog, "outcome", "user_id") == ["parked", None]


def test_a_parked_delivery_keeps_every_header_but_those_that_prove_the_sender() -> None:
    secret = dict.fromkeys(
        [
            "Authorization",
            "Cookie",
            "Proxy-Authorization",
            "X-Api-Key",
            "X-Hook-Token",
            "X-Hub-Signature",
            "X-Password",
        ],
        "a password",
    )
    kept = {"x-wc-webhook-topic": "customer.updated", "content-type": "application/json", "x-long": "\u00e9" * 3000}
    endpoint = Endpoint()
    sent: dict[str, Any] = {name.replace("-", "_"): value for name, value in {**secret, **kept}.items()}
    endpoint.post(b"{}", **sent)
    (message,) = endpoint.sqs.sent
    headers = json.loads(message["MessageAttributes"]["headers"]["StringValue"])
    assert headers == {**kept, "webhook-id": "msg_1", "webhook-timestamp": str(int(NOW))}
    assert float(message["MessageAttributes"]["signed_at"]["StringValue"]) == NOW
    assert len(message["MessageAttributes"]) <= 10


@pytest.mark.parametrize("platform", PLATFORMS)
def test_no_header_that_proves_the_sender_is_ever_kept(platform: str) -> None:
    scheme = PLATFORMS[platform].scheme
    headers = {**dict.fromkeys([*scheme.proving_headers, "cookie", "authorization"], "x"), "x-topic": "kept"}
    assert kept_headers(headers, scheme) == {"x-topic": "kept"}
    odd = Token(header="x-hook")
    assert kept_headers({"x-hook": "x", "x-topic": "kept"}, odd) == {"x-topic": "kept"}


def test_an_event_header_that_was_configured_wrongly_is_read_once_the_setting_is_right() -> None:
    def platform(header: str) -> Platform:
        overrides = json.dumps({"event": f'delivery.headers."{header}"', "updated": ["customer.updated"]})
        return configured({"PAYLOAD_PRESET": "standard", "PAYLOAD_OVERRIDES": overrides})

    # Given a delivery that was parked, since its event stands in another header than is configured
    endpoint = Endpoint(platform=platform("x-topic"))
    endpoint.post(GOOD, x_wc_webhook_topic="customer.updated")
    (message,) = endpoint.sqs.sent
    attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert attributes["reason"] == "no_event_type"
    redelivery: Redelivery = {
        "body": message["MessageBody"],
        "event_id": attributes["event_id"],
        "headers": json.loads(attributes["headers"]),
        "received_at": NOW - 3600,
        "signed_at": float(attributes["signed_at"]),
    }
    # When it is read again as it was, then it stays where it is
    assert endpoint.receiver.redeliver(redelivery) == {"redelivery": "parked"}
    assert endpoint.queues == ["parked"]
    # When the setting is right, then it is stored
    corrected = Endpoint(platform=platform("x-wc-webhook-topic"))
    assert corrected.receiver.redeliver(redelivery) == {"redelivery": "accepted"}
    assert UserEvent.from_json(corrected.sqs.sent[0]["MessageBody"]).event_id == "msg_1"


def test_a_parked_delivery_is_judged_by_the_clock_of_now() -> None:
    """A ban that had not ended when the delivery came, and has ended when an operator lets it be read again."""
    body = {
        "schema": "auth",
        "table": "users",
        "type": "UPDATE",
        "old_record": {},
        "record": {"id": "u1", "updated_at": NOW - 7200, "banned_until": NOW - 1800},
    }
    endpoint = Endpoint(platform=PLATFORMS["supabase-db"])
    content = base64.b64encode(json.dumps(body).encode()).decode()
    endpoint.receiver.redeliver({"event_id": "x", "headers": {}, "received_at": NOW - 3600, "body": content})
    assert UserEvent.from_json(endpoint.sqs.sent[0]["MessageBody"]).standing == "active"


def test_a_time_ahead_in_a_body_that_can_be_sent_again_for_ever_never_becomes_that_of_receipt() -> None:
    endpoint = Endpoint(platform=PLATFORMS["own"])
    body = json.dumps({**UPDATED, "timestamp": NOW - 60, "data": {"id": "u1", "name": "Ann", "updated_at": NOW + 3600}})
    endpoint.post(body.encode(), x_signature=hmac.digest(KEY, body.encode(), "sha256").hex())
    assert UserEvent.from_json(endpoint.sqs.sent[0]["MessageBody"]).version == (NOW - 60) * 1_000_000


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ("webhook_id=7", {}, 200),
        ("webhook_id=7", {"x-signature": "0" * 64}, 401),
        ("webhook_id=7&more=1", {}, 401),
        ('{"type": "user.created"}', {}, 401),
    ],
)
def test_a_platforms_own_test_of_the_address_is_answered_and_not_read(
    caplog: pytest.LogCaptureFixture, body: str, headers: dict[str, str], status: int
) -> None:
    """WooCommerce posts a form without a signature when a webhook is made, and wants it answered 200."""
    endpoint = Endpoint(platform=replace(PLATFORMS["own"], ping=r"webhook_id=\d+"))
    assert endpoint.receiver.answer({"headers": headers, "body": body})["statusCode"] == status
    assert endpoint.sqs.sent == []
    assert logged(caplog, "event_type") == ["ping" if status == 200 else None]
    assert Endpoint(platform=PLATFORMS["own"]).receiver.answer({"headers": {}, "body": body})["statusCode"] == 401


def test_a_deletion_is_never_stopped_by_what_it_shows_of_the_user() -> None:
    endpoint = Endpoint()
    shown = {"email": 5, "name": [[1]], "avatar_url": {"small": 1}, "whop_user_id": "ann", "updated_at": "x"}
    endpoint.post(json.dumps({**UPDATED, "type": "user.deleted", "data": {"id": "u1", **shown}}).encode())
    assert endpoint.queues == ["changed"]


# -- settings that are wrong ---------------------------------------------------------------------------------------


def test_wrong_settings_ask_senders_to_come_again_and_are_named_in_the_log(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver = MisconfiguredReceiver(problem="SIGNATURE_ENCODING must be hex or base64, not hexa", journal=Journal())
    answer = receiver.answer({"headers": {}, "body": "{}"})
    assert (answer["statusCode"], answer["headers"]["retry-after"], answer["body"]) == (503, "5", "{}")
    assert logged(caplog, "outcome", "reason", "explanation") == [
        "deferred",
        "settings_invalid",
        "SIGNATURE_ENCODING must be hex or base64, not hexa",
    ]
    metrics = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    assert [each.get("reason") for each in metrics if "DeliveryDeferred" in each] == ["settings_invalid"]
    assert [each["OperatorNeeded"] for each in metrics if "OperatorNeeded" in each] == [[1.0]]

    redelivery: Redelivery = {"body": "", "event_id": "msg_1", "headers": {}, "received_at": NOW}
    assert receiver.redeliver(redelivery) == {"redelivery": "deferred"}
    assert logged(caplog, "outcome", "event_id") == ["deferred", "msg_1"]


type LoggedLines = Callable[[str], list[tuple[str | None, str | None, str | None]]]


@pytest.fixture
def logged_lines(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> LoggedLines:
    """Outcome, event id and reason of all log lines; asserts that the metric named was counted and written."""

    def look(metric: str) -> list[tuple[str | None, str | None, str | None]]:
        metrics = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
        assert [each[metric] for each in metrics if metric in each] == [[1.0]]
        return [
            (getattr(line, "outcome", None), getattr(line, "event_id", None), getattr(line, "reason", None))
            for line in caplog.records
        ]

    return look


@given(body=st.binary(max_size=100), platform=st.sampled_from(sorted(PLATFORMS)), value=st.text(max_size=40))
def test_no_platform_takes_what_is_not_proven(body: bytes, platform: str, value: str) -> None:
    endpoint = Endpoint(platform=PLATFORMS[platform])
    scheme = endpoint.platform.scheme
    names = ["webhook-id", "webhook-timestamp", "webhook-signature", getattr(scheme, "header", "x-other")]
    text = base64.b64encode(body).decode()
    answer = endpoint.receiver.answer({"headers": dict.fromkeys(names, value), "body": text, "isBase64Encoded": True})
    assert answer["statusCode"] == 401
    assert endpoint.sqs.sent == []


@pytest.mark.parametrize("encoded", [False, True])
def test_woocommerces_ping_needs_no_signature_and_is_not_read(encoded: bool) -> None:
    endpoint = Endpoint(platform=PLATFORMS["woocommerce"])
    body = "webhook_id=17"
    text = base64.b64encode(body.encode()).decode() if encoded else body
    answer = endpoint.receiver.answer({"headers": {}, "body": text, "isBase64Encoded": encoded})
    assert answer["statusCode"] == 200
    assert endpoint.sqs.sent == []


@pytest.mark.parametrize("body", ["webhook_id=17&id=25", '{"id": 25}', "webhook_id=", "webhook_id=17\n", "!"])
def test_nothing_else_passes_as_a_ping(body: str) -> None:
    for platform in ("woocommerce", "standard"):
        endpoint = Endpoint(platform=PLATFORMS[platform])
        for encoded in (False, True):
            assert (
                endpoint.receiver.answer({"headers": {}, "body": body, "isBase64Encoded": encoded})["statusCode"] == 401
            )
    assert Endpoint().receiver.answer({"headers": {}, "body": "webhook_id=17"})["statusCode"] == 401


# -- platforms that enroll only some users -------------------------------------------------------------------------

SELLERS = replace(PLATFORMS["standard"], enroll_if="data.role == 'seller'")


def delivered(kind: str, platform: Platform = SELLERS, **data: Any) -> list[tuple[str, UserEvent]]:
    """The queue and the event of each message that a delivery became."""
    endpoint = Endpoint(platform=platform)
    body = {**UPDATED, "type": f"user.{kind}", "data": {"id": "u1", "email": "ann@shop.test", "name": "Ann", **data}}
    assert endpoint.post(json.dumps(body).encode())["statusCode"] == 200
    return [(sent["QueueUrl"], UserEvent.from_json(sent["MessageBody"])) for sent in endpoint.sqs.sent]


@pytest.mark.parametrize("kind", ["created", "updated", "suspended", "restored"])
def test_users_of_whom_enroll_if_is_true_are_read_as_ever(kind: str) -> None:
    assert delivered(kind, role="seller") == delivered(kind, PLATFORMS["standard"], role="seller")


@pytest.mark.parametrize("kind", ["created", "updated", "restored"])
@pytest.mark.parametrize("role", [{}, {"role": "buyer"}, {"role": None}])
def test_nothing_of_users_who_are_left_out_is_kept(kind: str, role: dict[str, Any]) -> None:
    assert delivered(kind, **role) == []


def test_a_deletion_counts_whatever_enroll_if_says() -> None:
    [(queue, event)] = delivered("deleted", role="buyer")
    assert (queue, event.kind) == ("changed", "deleted")
    # And where the expression cannot even be evaluated
    assert delivered("deleted", replace(SELLERS, enroll_if="contains(data.role, 'a')")) != []


@pytest.mark.parametrize(("kind", "flag"), [("suspended", {}), ("updated", {"suspended": True})])
def test_a_user_who_is_left_out_can_be_suspended_and_never_be_enrolled_by_that(kind: str, flag: dict[str, Any]) -> None:
    [(queue, event)] = delivered(kind, role="buyer", whop_user_id="user_1", **flag)
    assert (queue, event.kind, event.standing) == ("changed", kind, "suspended")
    assert (event.email, event.profile, event.whop_user_id) == (None, {}, None)


def test_a_new_user_who_is_left_out_is_ignored_although_suspended() -> None:
    assert delivered("created", role="buyer", suspended=True) == []


@pytest.mark.parametrize(
    ("flag", "chosen"),
    [
        (True, True), ("yes", True), (1, True), ("true", True), (["a"], True),
        (False, False), (None, False), ("", False), (0, False), ("0", False), ("false", False), ("False", False),
        ([], False), ({}, False),
    ],
)  # fmt: skip
def test_a_flag_is_true_as_databases_spell_it(flag: object, chosen: bool) -> None:
    assert bool(delivered("created", replace(SELLERS, enroll_if="data.sells"), sells=flag)) is chosen


def test_a_user_whom_enroll_if_cannot_judge_is_parked(logged_lines: "LoggedLines") -> None:
    endpoint = Endpoint(platform=replace(SELLERS, enroll_if="contains(data.roles, 'seller')"))
    endpoint.post(json.dumps({**UPDATED, "data": {"id": "u1", "name": "Ann", "roles": 5}}).encode())
    assert endpoint.queues == ["parked"]
    assert logged_lines("DeliveryParked") == [("parked", "msg_1", "unexpected_shape")]


def test_who_was_left_out_is_logged_under_their_id_with_a_reason(
    logged_lines: "LoggedLines", caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        Endpoint(platform=SELLERS).post(GOOD)
    assert logged_lines("DeliveryIgnored") == [("ignored", "msg_1", "not_chosen")]
    assert logged(caplog, "user_id", "kind", "reason") == ["u1", "updated", "not_chosen"]
