"""What the receiver answers to a delivery, and what it keeps."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st

from whop_sync.aws.queues import Queue
from whop_sync.errors import Transient
from whop_sync.events import UserEvent
from whop_sync.journal import Journal
from whop_sync.receiving.deliveries import MAX_BODY_BYTES, Receiver
from whop_sync.receiving.platforms import PLATFORMS, Platform
from whop_sync.receiving.signatures import sign

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
            queues={"created": queue("created"), "updated": queue("updated")},
            parked=queue("parked"),
            journal=Journal(),
            clock=lambda: NOW,
        )

    def _keys(self) -> Sequence[bytes]:
        if isinstance(self.keys, Exception):
            raise self.keys
        return self.keys

    def post(self, body: bytes, *, encoded: bool = False, **changed: str) -> dict[str, Any]:
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


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "WhopUserSync")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "test")


@pytest.mark.parametrize(
    ("kind", "queue"),
    [
        ("user.created", "created"),
        ("user.updated", "updated"),
        ("user.suspended", "updated"),
        ("user.restored", "updated"),
    ],
)
@pytest.mark.parametrize("encoded", [False, True])
def test_a_genuine_event_is_stored_in_the_queue_of_its_kind(kind: str, queue: str, encoded: bool) -> None:
    endpoint = Endpoint()
    answer = endpoint.post(json.dumps({**UPDATED, "type": kind}).encode(), encoded=encoded)

    assert answer == {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": "{}"}
    (message,) = endpoint.sqs.sent
    assert message["QueueUrl"] == queue
    stored = UserEvent.from_json(message["MessageBody"])
    assert (stored.event_id, stored.user_id, stored.profile) == ("msg_1", "u1", {"name": "Ann"})


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
    assert endpoint.post(json.dumps({**UPDATED, "type": "user.merged"}).encode())["statusCode"] == 200
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
def test_a_body_over_the_limit_is_refused_before_anything_else(encoded: bool) -> None:
    endpoint = Endpoint()
    assert endpoint.post(b" " * (MAX_BODY_BYTES + 1), encoded=encoded)["statusCode"] == 413
    assert endpoint.post(b" " * 10_000_000, encoded=encoded)["statusCode"] == 413
    assert endpoint.post(b" " * MAX_BODY_BYTES, encoded=encoded)["statusCode"] == 200
    assert endpoint.queues == ["parked"]


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


def test_a_signed_id_that_no_text_can_hold_is_mended() -> None:
    endpoint = Endpoint()
    signature = "v1," + sign(KEY, "m\ud800", str(int(NOW)), GOOD)
    assert endpoint.post(GOOD, webhook_id="m\ud800", webhook_signature=signature)["statusCode"] == 200
    assert UserEvent.from_json(endpoint.sqs.sent[0]["MessageBody"]).event_id == "m?"


@pytest.mark.parametrize("text", ["YQ", "YQ=", "Y Q==", "YQ==\n", "\u00e9", "Y*Q="])
def test_a_body_that_is_not_what_its_encoding_says_is_refused(text: str) -> None:
    endpoint = Endpoint()
    event = {"headers": {}, "body": text, "isBase64Encoded": True}
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
def test_an_event_that_tells_anything_is_kept(kind: str, data: dict[str, Any]) -> None:
    endpoint = Endpoint()
    body = {**UPDATED, "type": kind, "data": {"id": "u1", **data}}
    assert endpoint.post(json.dumps(body).encode())["statusCode"] == 200
    assert endpoint.queues == [kind.removeprefix("user.")]


GOOD = json.dumps(UPDATED).encode()


@pytest.mark.parametrize(
    ("keys", "body", "told"),
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
def test_whatever_becomes_of_a_delivery_is_told_once_and_counted_at_once(
    told_lines: "ToldLines",
    keys: Sequence[bytes] | Exception,
    body: bytes,
    told: tuple[str, str | None, str | None, str | None],
) -> None:
    Endpoint(keys=keys).post(body)
    assert told_lines(told[0]) == [told[1:]]


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ({"body": ""}, ("DeliveryParked", "parked", "msg_1", "not_json")),
        ({"body": "!"}, ("Crash", None, None, None)),
        ({"body": base64.b64encode(GOOD).decode()}, ("DeliveryDeferred", "deferred", "msg_1", "sqs_unavailable")),
    ],
)
def test_so_is_whatever_becomes_of_a_redelivery(
    told_lines: "ToldLines", order: dict[str, str], told: tuple[str, str | None, str | None, str | None]
) -> None:
    endpoint = Endpoint(Sqs(failure=EndpointConnectionError(endpoint_url="x")))
    endpoint.receiver.redeliver({"event_id": "msg_1", "headers": {}, "received_at": NOW, **order})
    assert told_lines(told[0]) == [told[1:]]


type ToldLines = Callable[[str], list[tuple[str | None, str | None, str | None]]]


@pytest.fixture
def told_lines(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> ToldLines:
    """Outcome, event id and reason of all log lines; asserts that the metric named was counted and written."""
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "WhopUserSync")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "test")

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
