"""Whop's own webhooks: what counts as Whop's, what is announced of it, and what is not."""

import base64
import dataclasses
import json
import shutil
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from standardwebhooks import Webhook

from fake_whop import Switches
from fake_whop.state import Company, Credential, Hook, State
from fake_whop.webhooks import due
from whop_sync.announcements import Announcement
from whop_sync.aws.api_gateway import HttpAnswer
from whop_sync.aws.queues import Queue
from whop_sync.errors import Malformed, OperatorNeeded
from whop_sync.journal import Journal
from whop_sync.receiving.signatures import Proof
from whop_sync.receiving.whop_webhooks import (
    EVENTS,
    SIGNATURE,
    MisconfiguredWhopReceiver,
    NotAnnounced,
    WhopReceiver,
    read,
    whop_webhook_keys,
)
from whop_sync.standard_webhooks import sign

SECRET = "ws_" + "0123456789abcdef" * 4
NOW = 1_772_359_200.0
PROOF = Proof("msg_1", NOW)
PLATFORM, ACCOUNT, OWNER_NAME, OWNER_EMAIL = "biz_platform", "biz_ann", "Ann Unseen", "ann.unseen@people.test"
VERSIONS = (None, "2026-08-12", "2026-08-14", "2026-10-15-1")
PRIVATE = (
    *(OWNER_NAME, "Unseen", OWNER_EMAIL, "Quiet", "1990-01-01", "+1555", "Berlin", "10115", "6789", "125.5", "blurry"),
    *("session", "March", "0210000", "account_closed", "returned it", "individual"),
)
"""What the bodies of these events hold and nothing may be announced of."""


def webhook(event: str, *, version: str | None = "2026-10-15-1", **switches: Any) -> dict[str, Any]:
    """A body as the fake of Whop sends it for Ann's account, full of what is private."""
    state = State([Credential("key", PLATFORM)], NOW)
    owner = state.user_for(OWNER_EMAIL, NOW)
    owner = state.users[owner.id] = dataclasses.replace(owner, id=owner.id, name=OWNER_NAME)
    state.companies[ACCOUNT] = Company(
        ACCOUNT, f"{OWNER_NAME} (u1)", "ann", owner.id, NOW, NOW, parent_id=PLATFORM, email=OWNER_EMAIL
    )
    state.hooks["hook_1"] = Hook(
        "hook_1",
        PLATFORM,
        "https://platform.test/",
        frozenset({event}),
        children=True,
        enabled=True,
        version=version,
        secrets=(SECRET,),
        created_at=NOW,
    )
    [(_, sent)] = due(state, Switches(**switches), event=event, account_id=ACCOUNT, data={}, now=NOW)
    body: dict[str, Any] = json.loads(sent.body)
    return body


def announced(body: Mapping[str, Any]) -> Announcement:
    found = read(json.dumps(body).encode(), PROOF)
    assert isinstance(found, Announcement)
    return found


@dataclass
class Endpoint:
    """A receiver of Whop's webhooks whose queue only remembers."""

    secrets: str | Exception = SECRET
    now: float = NOW
    failure: Exception | None = None
    sent: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        class Sqs:
            def send_message(_, **message: Any) -> None:  # noqa: N805
                if self.failure:
                    raise self.failure
                self.sent.append(message["MessageBody"])

        self.receiver = WhopReceiver(
            keys=self._keys,
            queue=Queue(Sqs(), "announcements"),  # type: ignore[arg-type]
            journal=Journal(),
            clock=lambda: self.now,
        )

    def _keys(self) -> Sequence[bytes]:
        if isinstance(self.secrets, Exception):
            raise self.secrets
        return whop_webhook_keys(self.secrets)

    def post(self, body: bytes, *, encoded: bool = False, **changed: str) -> HttpAnswer:
        """Posts a body that Whop signed, but for the headers that are given."""
        headers = signed(body) | {name.replace("_", "-"): value for name, value in changed.items()}
        text = base64.b64encode(body).decode() if encoded else body.decode()
        return self.receiver.answer({"headers": headers, "body": text, "isBase64Encoded": encoded})


def signed(body: bytes, *, secret: str = SECRET, delivery_id: str = "msg_1", at: float = NOW) -> dict[str, str]:
    """The headers of a webhook, by the library and with the key that Whop's SDK for Python derives from its secret
    (lib/verify_webhook.py, _hmac_key)."""
    library = Webhook(base64.b64encode(secret.encode("utf-8")).decode("ascii"))
    moment = datetime.fromtimestamp(at, UTC)
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(int(at)),
        "webhook-signature": library.sign(delivery_id, moment, body.decode()),
        "content-type": "application/json",
    }


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    # Another one for each test: Powertools keeps a logger for a name, and with it the output of the test before.
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", f"test-{uuid.uuid4()}")


# -- what is announced -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("event", EVENTS)
def test_an_event_is_announced_with_ids_and_status_words_and_with_nothing_else(event: str, version: str | None) -> None:
    body = webhook(event, version=version)
    announcement = announced(body)
    assert (announcement.type, announcement.user_id, announcement.version) == (f"whop.{event}", None, None)
    assert announcement.occurred_at == NOW
    assert announcement.data["whop_company_id"] == ACCOUNT
    assert set(announcement.data) - {"whop_company_id"} <= set(EVENTS[event])
    assert announcement.data["status"] == body["data"]["status"]
    for private in PRIVATE:
        assert private not in announcement.to_json()


@pytest.mark.parametrize("event", EVENTS)
def test_every_field_of_the_allow_list_is_found_in_what_whop_sends(event: str) -> None:
    assert set(announced(webhook(event)).data) == {"whop_company_id", *EVENTS[event]}


def test_a_profile_of_which_whop_sends_the_id_alone_is_announced_by_its_id() -> None:
    body = webhook("identity_profile.updated", identity_profiles="id_only")
    assert dict(announced(body).data) == {"whop_company_id": ACCOUNT, "identity_profile_id": body["data"]["id"]}


@pytest.mark.parametrize("form", ["numbers", "prefixed"])
def test_the_id_of_a_verification_may_be_a_number(form: str) -> None:
    body = webhook("verification.succeeded", verification_ids=form)
    assert announced(body).data["verification_id"] == str(body["data"]["id"])


@pytest.mark.parametrize(
    "stranger", [OWNER_EMAIL, OWNER_NAME, "Approved by Ann", "a" * 65, "", None, True, 7.5, ["approved"], {"is": "it"}]
)
def test_a_value_that_is_no_word_of_a_program_is_left_out(stranger: object) -> None:
    body = webhook("payout.updated")
    body["data"] |= {"status": stranger, "status_detail": stranger, "payout_request_id": stranger}
    left = set(announced(body).data)
    assert not {"status", "status_detail"} & left
    assert ("payout_request_id" in left) == (stranger == "a" * 65)


def test_an_owner_is_announced_by_an_id_of_whops_only() -> None:
    body = webhook("account.updated")
    assert announced(body).data["whop_user_id"].startswith("user_")
    body["data"]["owner"]["id"] = "ann"
    assert "whop_user_id" not in announced(body).data


# -- whose it is, and when -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [{"account_id": ACCOUNT}, {"company_id": ACCOUNT}])
def test_the_envelope_names_the_account_in_either_way(names: dict[str, str]) -> None:
    body = webhook("payout.created")
    body.pop("account_id")
    assert announced(body | names).data["whop_company_id"] == ACCOUNT


def test_an_updated_account_is_itself_what_the_event_is_about_whichever_the_envelope_names() -> None:
    body = webhook("account.updated", webhooks_name="platform")
    assert body["account_id"] == PLATFORM
    assert announced(body).data["whop_company_id"] == ACCOUNT


@pytest.mark.parametrize("envelope", [PLATFORM, None])
def test_a_new_payout_method_names_its_account_itself(envelope: str | None) -> None:
    body = webhook("payout_method.created") | {"account_id": envelope}
    body["data"]["company"] = {"id": ACCOUNT}
    assert announced(body).data["whop_company_id"] == ACCOUNT
    for unnamed in (None, "biz_other", {"id": None}, {}):  # may be null
        body["data"]["company"] = unnamed
        assert announced(body | {"account_id": ACCOUNT}).data["whop_company_id"] == ACCOUNT


def test_another_object_is_never_taken_for_the_account() -> None:
    body = webhook("payout.created")
    body["data"]["id"] = "biz_of_another"
    assert announced(body).data["whop_company_id"] == ACCOUNT


@pytest.mark.parametrize("version", VERSIONS)
def test_the_owner_of_an_account_is_found_at_every_version(version: str | None) -> None:
    body = webhook("account.updated", version=version)
    [owner] = [body["data"][name] for name in ("owner", "owner_user") if name in body["data"]]
    assert announced(body).data["whop_user_id"] == owner["id"]


@pytest.mark.parametrize("nameless", [None, "", "ann@people.test", "user_1", 7, {"id": "biz_1"}])
def test_an_event_that_names_no_account_is_ignored_with_that_reason(nameless: object) -> None:
    found = read(json.dumps(webhook("payout.created") | {"account_id": nameless}).encode(), PROOF)
    assert isinstance(found, NotAnnounced)
    assert found.reason
    assert found.reason.reason == "no_account"


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        ("2026-03-01T09:59:58.250Z", NOW - 1.75),
        ("2026-02-01T00:00:00Z", 1_769_904_000.0),
        ("9999-01-01T00:00:00Z", NOW),
        ("1969-01-01T00:00:00Z", NOW),
        ("yesterday", NOW),
        (None, NOW),
        ([], NOW),
    ],
)
def test_an_event_happened_at_the_time_of_its_envelope_or_else_of_its_signature(
    timestamp: object, expected: float
) -> None:
    assert announced(webhook("payout.created") | {"timestamp": timestamp}).occurred_at == expected


def test_a_repetition_is_announced_under_the_same_id_and_another_webhook_under_another() -> None:
    body = json.dumps(webhook("payout.created")).encode()
    ids = []
    for delivery_id in ("msg_1", "msg_1", "msg_2", "msg.1", "msg 1", "m" * 129):
        found = read(body, Proof(delivery_id, NOW))
        assert isinstance(found, Announcement)
        ids.append(found.id)
    assert ids[0] == ids[1] == "whop_msg_1"
    assert len(set(ids)) == 5
    assert all(each.replace("_", "").isalnum() and len(each) <= 133 for each in ids)


# -- what is not announced -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event", ["payment.succeeded", "member.created", "account.financing_approved", "payout", "PAYOUT.CREATED", "user.x"]
)
def test_an_event_that_does_not_matter_is_ignored(event: str) -> None:
    body = webhook("payout.created") | {"type": event, "data": None}
    assert read(json.dumps(body).encode(), PROOF) == NotAnnounced(event_type=event)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not_json"),
        (b"\xff", "not_json"),
        (b"[" * 100_000, "not_json"),
        (b"[]", "not_an_object"),
        (b"{}", "no_event_type"),
        (b'{"type": 7}', "no_event_type"),
        (b'{"type": "payout.created"}', "unexpected_shape"),
        (b'{"type": "payout.created", "data": []}', "unexpected_shape"),
    ],
)
def test_what_is_not_the_documented_envelope_is_refused_by_name(body: bytes, reason: str) -> None:
    with pytest.raises(Malformed) as error:
        read(body, PROOF)
    assert error.value.reason == reason


# -- what counts as Whop's -------------------------------------------------------------------------------------------

BODY = json.dumps(webhook("payout.created")).encode()
OTHER = "ws_" + "fedcba9876543210" * 4


def accepted(headers: Mapping[str, str], *, body: bytes = BODY, secrets: str = SECRET, now: float = NOW) -> bool:
    endpoint = Endpoint(secrets=secrets, now=now)
    answer = endpoint.receiver.answer({"headers": headers, "body": body.decode(), "isBase64Encoded": False})
    assert answer["statusCode"] in (200, 401)
    assert (answer["statusCode"] == 200) == (len(endpoint.sent) == 1)
    return answer["statusCode"] == 200


def test_whops_published_helper_signs_what_is_accepted() -> None:
    assert accepted(signed(BODY))
    assert accepted({name.title(): value for name, value in signed(BODY).items()})


# As Whop's guide says under "Verify without an SDK" (https://docs.whop.com/developer/guides/webhooks).
_NODE = """
import { createHmac } from 'node:crypto';
const [secret, id, at, body] = process.argv.slice(1);
process.stdout.write('v1,' + createHmac('sha256', secret).update(`${id}.${at}.${body}`).digest('base64'));
"""


def test_what_node_signs_as_whops_guide_says_is_accepted() -> None:
    node = shutil.which("node")
    if not node:
        pytest.skip("node is not installed")
    body = json.dumps(webhook("payout.created") | {"note": "Zoë 👩‍🚀"}, ensure_ascii=False)
    at = str(int(NOW))
    command = [node, "--input-type=module", "--eval", _NODE, SECRET, "msg_1", at, body]
    signature = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    headers = {"webhook-id": "msg_1", "webhook-timestamp": at, "webhook-signature": signature}
    assert headers["webhook-signature"] == signed(body.encode())["webhook-signature"]
    assert accepted(headers, body=body.encode())


def test_the_key_is_the_whole_secret_and_neither_a_part_of_it_nor_what_it_encodes() -> None:
    content = f"v1,{sign(SECRET.encode(), 'msg_1', str(int(NOW)), BODY)}"
    assert content == signed(BODY)["webhook-signature"]
    hexadecimal = SECRET.removeprefix("ws_")
    for wrong in (hexadecimal.encode(), bytes.fromhex(hexadecimal), base64.b64decode(hexadecimal), b""):
        signature = "v1," + sign(wrong, "msg_1", str(int(NOW)), BODY)
        assert not accepted(signed(BODY) | {"webhook-signature": signature})


@pytest.mark.parametrize(
    ("age", "expected"), [(0, True), (300, True), (301, False), (-300, True), (-301, False), (86400, False)]
)
def test_a_signature_is_good_for_five_minutes_either_way(age: int, expected: bool) -> None:
    assert accepted(signed(BODY, at=NOW - age)) is expected


def test_while_a_secret_is_rotated_either_signs_and_either_is_accepted() -> None:
    both = signed(BODY, secret=OTHER)["webhook-signature"] + " " + signed(BODY)["webhook-signature"]
    assert accepted(signed(BODY) | {"webhook-signature": both})
    assert accepted(signed(BODY) | {"webhook-signature": both}, secrets=OTHER)
    for secret in (SECRET, OTHER):
        assert accepted(signed(BODY, secret=secret), secrets=json.dumps([OTHER, SECRET]))
    assert not accepted(signed(BODY, secret=OTHER))


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook-id": "msg_2"},
        {"webhook-id": ""},
        {"webhook-timestamp": str(int(NOW) - 1)},
        {"webhook-timestamp": "now"},
        {"webhook-timestamp": ""},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1a," + "A" * 43 + "="},
        {"webhook-signature": signed(BODY + b" ")["webhook-signature"]},
        {"webhook-signature": signed(BODY)["webhook-signature"].removeprefix("v1,")},
        {"webhook-signature": "\u00e9, v1,\x00"},
    ],
    ids=["id", "no id", "time", "no number", "no time", "none", "empty", "v1a", "other body", "no prefix", "garbage"],
)
def test_what_is_not_proven_is_refused_without_detail(
    changes: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint = Endpoint()
    headers = signed(BODY) | changes
    answer = endpoint.receiver.answer({"headers": headers, "body": BODY.decode(), "isBase64Encoded": False})
    assert answer == {"statusCode": 401, "headers": {"content-type": "application/json"}, "body": "{}"}
    assert endpoint.sent == []
    logged = capsys.readouterr().out
    assert '"WhopWebhookRejected"' in logged
    assert OWNER_EMAIL not in logged


def test_a_forged_webhook_shows_what_it_claims_to_be_and_only_if_it_looks_like_an_id(
    capsys: pytest.CaptureFixture[str],
) -> None:
    forged = signed(BODY) | {"webhook-signature": signed(b"{}")["webhook-signature"]}
    for delivery_id, shown in (("msg_9", "whop_msg_9"), (OWNER_EMAIL, None), ("a b", None)):
        Endpoint().receiver.answer({"headers": forged | {"webhook-id": delivery_id}, "body": BODY.decode()})
        [line] = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"whop webhook"' in line]
        assert (line["outcome"], line.get("claimed_event_id")) == ("rejected", shown)
        assert "event_id" not in line


@pytest.mark.parametrize(
    "text",
    ["whsec_" + "A" * 44, "ws_", "ws_short", "0123456789abcdef" * 4, f"{SECRET} {SECRET}", "[]", "{", '["ws_é"]'],
)
def test_a_secret_that_cannot_be_whops_is_refused_with_a_sentence_that_does_not_show_it(text: str) -> None:
    with pytest.raises(OperatorNeeded) as error:
        whop_webhook_keys(text)
    assert error.value.reason == "whop_webhook_secrets_invalid"
    assert text not in error.value.explanation or len(text) < 4


@pytest.mark.parametrize("form", ["{}", "  {}\n", '["{}"]', '"{}"', "WHOP_SECRET={}"])
def test_a_secret_is_taken_as_people_paste_it(form: str) -> None:
    assert whop_webhook_keys(form.format(SECRET)) == (SECRET.encode(),)


def test_a_secret_never_shows_where_a_scheme_is_printed() -> None:
    assert SECRET not in repr(SIGNATURE)


# -- what is answered ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize("event", EVENTS)
def test_a_200_means_that_the_announcement_is_stored(event: str, encoded: bool) -> None:
    endpoint = Endpoint()
    body = json.dumps(webhook(event)).encode()
    answer = endpoint.post(body, encoded=encoded)
    assert answer == {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": "{}"}
    assert [Announcement.from_json(each) for each in endpoint.sent] == [announced(json.loads(body))]


def test_what_could_not_be_stored_is_asked_for_again(capsys: pytest.CaptureFixture[str]) -> None:
    endpoint = Endpoint(failure=EndpointConnectionError(endpoint_url="http://sqs"))
    answer = endpoint.post(BODY)
    assert (answer["statusCode"], answer["headers"]["retry-after"]) == (503, "5")
    logged = capsys.readouterr().out
    assert '"reason":"sqs_unavailable"' in logged.replace(" ", "")
    assert '"WhopWebhookDeferred"' in logged
    assert '"WhopWebhookAccepted"' not in logged


def test_without_a_secret_whop_is_asked_to_send_again_and_an_operator_is_needed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    endpoint = Endpoint(secrets=OperatorNeeded("whop_webhook_secrets_unavailable", "the secret has no value yet"))
    assert endpoint.post(BODY)["statusCode"] == 503
    assert endpoint.sent == []
    logged = capsys.readouterr().out
    assert '"OperatorNeeded"' in logged
    assert "whop_webhook_secrets_unavailable" in logged


def test_a_wrong_setting_is_named_and_every_webhook_asked_for_again(capsys: pytest.CaptureFixture[str]) -> None:
    receiver = MisconfiguredWhopReceiver(problem="ANNOUNCEMENTS_QUEUE_URL is not set", journal=Journal())
    answer = receiver.answer({"headers": signed(BODY), "body": BODY.decode()})
    assert (answer["statusCode"], answer["headers"]["retry-after"]) == (503, "5")
    logged = capsys.readouterr().out
    assert "ANNOUNCEMENTS_QUEUE_URL is not set" in logged
    assert '"OperatorNeeded"' in logged


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (json.dumps(webhook("payout.created") | {"type": "payment.succeeded"}).encode(), "ignored"),
        (json.dumps(webhook("payout.created") | {"account_id": None}).encode(), "ignored"),
        (b"not JSON, by ann.unseen@people.test", "unreadable"),
    ],
    ids=["another event", "no account", "no JSON"],
)
def test_what_no_retry_can_change_is_answered_200_and_counted(
    body: bytes, outcome: str, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint = Endpoint()
    assert endpoint.post(body)["statusCode"] == 200
    assert endpoint.sent == []
    logged = capsys.readouterr().out
    [line] = [json.loads(line) for line in logged.splitlines() if '"whop webhook"' in line]
    assert (line["outcome"], line["event_id"]) == (outcome, "whop_msg_1")
    assert f'"WhopWebhook{outcome.title()}"' in logged
    for private in PRIVATE:
        assert private not in logged


@pytest.mark.parametrize("event_type", ["payment.succeeded", f"of {OWNER_NAME}", OWNER_EMAIL])
def test_of_an_ignored_event_only_a_type_that_is_one_is_logged(
    event_type: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Endpoint().post(json.dumps(webhook("payout.created") | {"type": event_type}).encode())
    logged = capsys.readouterr().out
    assert ("payment.succeeded" in logged) == (event_type == "payment.succeeded")
    assert OWNER_NAME not in logged
    assert OWNER_EMAIL not in logged


def test_a_defect_is_answered_500_and_logged_without_what_it_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    answer = Endpoint(failure=RuntimeError(OWNER_EMAIL)).post(BODY)
    assert answer["statusCode"] == 500
    logged = capsys.readouterr().out
    assert '"Crash"' in logged
    assert OWNER_EMAIL not in logged


def test_an_accepted_webhook_is_logged_by_ids_alone(capsys: pytest.CaptureFixture[str]) -> None:
    Endpoint().post(json.dumps(webhook("account.updated")).encode())
    logged = capsys.readouterr().out
    [line] = [json.loads(line) for line in logged.splitlines() if '"whop webhook"' in line]
    assert {
        "event_id": "whop_msg_1",
        "event_type": "account.updated",
        "whop_company_id": ACCOUNT,
    }.items() <= line.items()
    for private in PRIVATE:
        assert private not in logged
