"""What becomes of queued announcements, whom those of Whop are about, and which settings cannot be right."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from harness import Clock
from harness.batches import sqs_record, staying
from whop_sync.announcements import Announcement
from whop_sync.announcing.platform_url import checked_platform_url
from whop_sync.announcing.queued_announcements import LAST_START_SECONDS, QueuedAnnouncements
from whop_sync.announcing.webhooks import TIMEOUT_SECONDS, announcement_keys
from whop_sync.batches.retries import RETRIES
from whop_sync.config.announcing import announce_config
from whop_sync.errors import OperatorNeeded, Permanent, Transient
from whop_sync.internet.requests import PublicHttp
from whop_sync.journal import Journal

OWN_URL = "https://abc123.execute-api.eu-central-1.amazonaws.com/webhooks"
SECRET = "whsec_" + "a" * 43 + "="


def about(user_id: str | None, version: int | None = 1, **data: str) -> Announcement:
    return Announcement(
        id=f"msg_{user_id}_{version}",
        type="whop.account.updated" if user_id is None else "user.enrolled",
        user_id=user_id,
        version=version,
        occurred_at=1_772_359_200.0,
        data=data,
    )


@dataclass
class Bench:
    """A worker over a platform, a table and queues that tests write."""

    behaviour: Callable[[Announcement], object] = lambda _: None
    accounts: dict[str, str] = field(default_factory=dict)
    whop_users: dict[str, str] = field(default_factory=dict)
    noted: set[str] = field(default_factory=set)
    note_fails: bool = False
    delivered: list[Announcement] = field(default_factory=list)
    parked: list[tuple[str, str, str]] = field(default_factory=list)
    """Reason, event id and user id, empty if there is none."""
    postponed: dict[str, int] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)

    # What a target, a directory, the notes and SQS are to the worker.

    def deliver(self, announcement: Announcement) -> None:
        self.behaviour(announcement)
        self.delivered.append(announcement)

    def user_of_account(self, company_id: str) -> str | None:
        return self.accounts.get(company_id)

    def user_of(self, whop_user_id: str) -> str | None:
        return self.whop_users.get(whop_user_id)

    def contains(self, announcement_id: str) -> bool:
        return announcement_id in self.noted

    def add(self, announcement_id: str) -> None:
        if self.note_fails:
            raise Transient("dynamodb_unavailable")
        self.noted.add(announcement_id)

    def send_message(self, *, MessageAttributes: Any, **_: Any) -> None:  # noqa: N803
        details = {name: value["StringValue"] for name, value in MessageAttributes.items()}
        self.parked.append((details["reason"], details["event_id"], details.get("user_id", "")))

    def change_message_visibility(self, *, ReceiptHandle: str, VisibilityTimeout: int, **_: Any) -> None:  # noqa: N803
        self.postponed[ReceiptHandle.removeprefix("receipt-")] = VisibilityTimeout

    def run(self, *bodies: Announcement | str, age: float = 0, seconds_left: float = 60) -> list[int]:
        """The places of the messages that stay in the queue."""
        journal = Journal()
        texts = [body if isinstance(body, str) else body.to_json() for body in bodies]
        records = [
            sqs_record(text, sent_at=self.clock() - age, message_id=f"m{place}") for place, text in enumerate(texts)
        ]
        messages = QueuedAnnouncements(target=self, directory=self, announced=self, journal=journal)  # type: ignore[arg-type]
        stay = staying(records, messages, self, journal, self.clock, seconds_left=seconds_left)
        return sorted(int(message_id[1:]) for message_id in stay)


def spoilt(**changed: Any) -> str:
    return json.dumps({**json.loads(about("u1").to_json()), **changed})


def failing(error: Exception, *, only: str | None = None) -> Callable[[Announcement], object]:
    def fail(announcement: Announcement) -> None:
        if only in (None, announcement.user_id):
            raise error

    return fail


def outcomes(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    names = ("outcome", "event_id", "event_type", "user_id", "reason")
    lines = [vars(line) for line in caplog.records if line.msg == "announcement"]
    return [{name: line[name] for name in names if name in line} for line in lines]


class TestWhatBecomesOfIt:
    def test_what_is_delivered_leaves_the_queue_and_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        bench = Bench()
        caplog.set_level("INFO")
        assert bench.run(about("u1"), about("u2")) == []
        assert {each.user_id for each in bench.delivered} == {"u1", "u2"}
        assert {
            "outcome": "delivered",
            "event_id": "msg_u1_1",
            "event_type": "user.enrolled",
            "user_id": "u1",
        } in outcomes(caplog)

    def test_one_that_fails_costs_the_others_nothing(self) -> None:
        bench = Bench(failing(Transient("platform_no_answer"), only="u2"))
        assert bench.run(about("u1"), about("u2"), about("u3")) == [1]
        assert (list(bench.postponed), bench.parked) == (["m1"], [])

    def test_a_wait_that_the_platform_names_is_kept_to(self) -> None:
        bench = Bench(failing(Transient("platform_failed", retry_after=120)))
        assert bench.run(about("u1")) == [0]
        assert 120 <= bench.postponed["m0"] <= 132

    @pytest.mark.parametrize("error", [Transient("platform_refused"), Transient("platform_failed", retry_after=60)])
    def test_after_three_days_it_is_parked_with_its_reason(self, error: Transient) -> None:
        bench = Bench(failing(error))
        assert bench.run(about("u1"), age=3 * 86400 - 60) == [0]
        assert bench.run(about("u1"), age=3 * 86400 + 60) == []
        assert bench.parked == [(error.reason, "msg_u1_1", "u1")]

    def test_one_that_the_platform_does_not_want_is_parked_at_once(self) -> None:
        bench = Bench(failing(Permanent("platform_gone"), only="u1"))
        assert bench.run(about("u1"), about("u2")) == []
        assert bench.parked == [("platform_gone", "msg_u1_1", "u1")]

    def test_without_a_secret_it_waits_for_ten_days(self) -> None:
        bench = Bench(failing(OperatorNeeded("announcement_secrets_unavailable")))
        assert bench.run(about("u1"), age=10 * 86400 - 60) == [0]
        assert bench.run(about("u1"), age=10 * 86400 + 60) == []

    @pytest.mark.parametrize(
        "body",
        [
            *("", "{}", "[]", "null", "no json", "[" * 100_000),
            spoilt(data=None),
            spoilt(data=[]),
            spoilt(data="x"),
            spoilt(data=5),
            spoilt(user_id=["u1"]),
            spoilt(version="one"),
            *(spoilt(id=id_) for id_ in ("", "a\r\nX: 1", "\u00fc", "x" * 300, None, 5)),
            spoilt(occurred_at=-1),
            about("u1").to_json().replace("1772359200.0", "NaN"),
            about("u1").to_json().replace("1772359200.0", "1e300"),
        ],
        ids=lambda body: body[-40:],
    )
    def test_what_is_no_announcement_is_parked_and_costs_the_others_nothing(self, body: str) -> None:
        bench = Bench()
        assert bench.run(body, about("u2")) == []
        assert [each.user_id for each in bench.delivered] == ["u2"]
        assert bench.parked == [("unreadable_message", "m0", "")]

    def test_one_users_go_one_after_the_other_by_version(self) -> None:
        running = threading.Lock()

        def alone(_: Announcement) -> None:
            assert running.acquire(blocking=False)
            running.release()

        bench = Bench(alone)
        assert bench.run(*(about("u1", version) for version in (10, 3, 1, 2))) == []
        assert [each.version for each in bench.delivered] == [1, 2, 3, 10]

    def test_users_go_side_by_side(self) -> None:
        all_are_here = threading.Barrier(10, timeout=10)
        bench = Bench(lambda _: all_are_here.wait())
        assert bench.run(*(about(f"u{number}") for number in range(10))) == []

    def test_near_its_end_the_worker_begins_none(self) -> None:
        bench = Bench()
        assert bench.run(about("u1"), seconds_left=LAST_START_SECONDS - 1) == [0]
        assert (bench.delivered, bench.postponed) == ([], {"m0": 0})

    def test_a_delivery_ends_in_the_time_that_a_worker_has_left_at_least(self) -> None:
        # Around it: a secret, a look-up by account and one by user, a look at the notes and a note, each at most two
        # tries of a second to connect and two to read - all at their longest would be another fault than a slow one.
        assert LAST_START_SECONDS >= TIMEOUT_SECONDS + 10


class TestWhopsOwn:
    @pytest.mark.parametrize(
        "data",
        [
            {"whop_company_id": "biz_1"},
            {"whop_company_id": "biz_1", "whop_user_id": "user_9"},
            {"whop_company_id": "biz_9", "whop_user_id": "user_1"},
            {"whop_user_id": "user_1"},
        ],
    )
    def test_go_to_the_user_whose_account_they_name_or_else_whose_whop_user(
        self, data: dict[str, str], caplog: pytest.LogCaptureFixture
    ) -> None:
        bench = Bench(accounts={"biz_1": "u1"}, whop_users={"user_1": "u1", "user_9": "u9"})
        caplog.set_level("INFO")
        assert bench.run(about(None, None, **data)) == []
        assert [(each.user_id, each.data) for each in bench.delivered] == [("u1", data)]
        assert [(line["outcome"], line["user_id"]) for line in outcomes(caplog)] == [("delivered", "u1")]

    def test_of_unknown_accounts_wait_for_an_hour_and_are_dropped_then(self, caplog: pytest.LogCaptureFixture) -> None:
        bench, unknown = Bench(), about(None, None, whop_company_id="biz_9")
        caplog.set_level("INFO")
        assert bench.run(unknown, age=RETRIES.arrival_patience - 60) == [0]
        assert bench.run(unknown, age=RETRIES.arrival_patience + 60) == []
        assert (bench.delivered, bench.parked, bench.noted) == ([], [], set())
        assert [(line["outcome"], line.get("reason")) for line in outcomes(caplog)] == [
            ("retried", "unknown_account"),
            ("unknown_account", None),
        ]

    def test_of_an_account_that_becomes_known_meanwhile_are_delivered(self) -> None:
        bench, early = Bench(), about(None, None, whop_company_id="biz_1")
        assert bench.run(early) == [0]
        bench.accounts["biz_1"] = "u1"
        assert bench.run(early) == []
        assert [each.user_id for each in bench.delivered] == ["u1"]

    def test_are_delivered_once_however_often_whop_sends_them(self, caplog: pytest.LogCaptureFixture) -> None:
        bench, event = Bench(accounts={"biz_1": "u1"}), about(None, None, whop_company_id="biz_1")
        caplog.set_level("INFO")
        assert bench.run(event, event) == []
        assert bench.run(event) == []
        assert len(bench.delivered) == 1
        assert sorted(line["outcome"] for line in outcomes(caplog)) == ["delivered", "repeated", "repeated"]

    def test_are_noted_only_once_they_are_delivered(self) -> None:
        bench = Bench(failing(Transient("platform_failed")), accounts={"biz_1": "u1"})
        assert bench.run(about(None, None, whop_company_id="biz_1")) == [0]
        assert bench.noted == set()

    def test_come_again_if_the_note_fails(self) -> None:
        bench = Bench(accounts={"biz_1": "u1"}, note_fails=True)
        assert bench.run(about(None, None, whop_company_id="biz_1")) == [0]

    def test_of_several_accounts_go_side_by_side(self) -> None:
        both_are_here = threading.Barrier(2, timeout=10)
        bench = Bench(lambda _: both_are_here.wait(), accounts={"biz_1": "u1", "biz_2": "u2"})
        first, second = (
            Announcement(
                id=f"whop_{number}",
                type="whop.account.updated",
                user_id=None,
                version=None,
                occurred_at=0,
                data={"whop_company_id": f"biz_{number}"},
            )
            for number in (1, 2)
        )
        assert bench.run(first, second) == []

    def test_users_own_announcements_are_neither_looked_up_nor_noted(self) -> None:
        bench = Bench(noted={"msg_u1_1"})
        assert bench.run(about("u1")) == []
        assert [each.user_id for each in bench.delivered] == ["u1"]


class TestPlatformUrl:
    @pytest.mark.parametrize(
        "url",
        [
            "https://api.shop.test",
            "https://api.shop.test:8443/hooks/whop?key=1",
            "https://93.184.215.14/hooks",
            "https://xyz789.execute-api.eu-central-1.amazonaws.com/webhooks",
        ],
    )
    def test_is_https_to_the_public_internet(self, url: str) -> None:
        assert checked_platform_url(url, http=PublicHttp(), own_webhook_url=OWN_URL)

    @pytest.mark.parametrize(
        ("url", "sentence"),
        [
            *((url, "is not https") for url in ("http://api.shop.test/s3cr3t", "ftp://api.shop.test/s3cr3t")),
            *((url, "is not valid") for url in ("s3cr3t", "https://", "https://s3cr3t:x@api.shop.test/")),
            ("https://api.shop.test:0/s3cr3t", "is not valid"),
            *(
                (f"https://{host}/s3cr3t", "public internet")
                for host in (
                    *("127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "localhost"),
                    *("127.1", "2130706433", "0x7f.0.0.1", "10.0.0.1.", "localhost.", "shop.localhost"),
                )
            ),
            *(
                (f"https://{host}/s3cr3t", "public internet")
                for host in ("LOCALHOST:3000", "my-mac.local", "my-mac.local.", "host.docker.internal", "backend")
            ),
            *(
                (url, "this stack's own API")
                for url in (
                    OWN_URL,
                    OWN_URL.replace("/webhooks", "/whop-webhooks"),
                    OWN_URL.replace("/webhooks", ":443/webhooks/?s3cr3t"),
                    OWN_URL.replace("abc123", "ABC123"),
                    OWN_URL.replace(".com/", ".com./"),
                )
            ),
        ],
    )
    def test_that_cannot_be_right_is_named_in_a_sentence(self, url: str, sentence: str) -> None:
        with pytest.raises(ValueError, match="^PLATFORM_URL .*" + sentence) as error:
            checked_platform_url(url, http=PublicHttp(), own_webhook_url=OWN_URL)
        assert "s3cr3t" not in str(error.value)
        assert error.value.__cause__ is None

    def test_of_a_local_stack_may_be_the_one_origin_that_is_allowed(self) -> None:
        http = PublicHttp(allowed_origin="http://127.0.0.1:9000")
        assert checked_platform_url("http://127.0.0.1:9000/hook", http=http, own_webhook_url=OWN_URL)
        with pytest.raises(ValueError, match="is not https"):
            checked_platform_url("http://127.0.0.1:9001/hook", http=http, own_webhook_url=OWN_URL)


class TestSecrets:
    @pytest.mark.parametrize("text", [SECRET, json.dumps([SECRET]), f"ANNOUNCEMENT_SECRET={SECRET}", f" {SECRET}\n"])
    def test_are_read_as_people_paste_them(self, text: str) -> None:
        assert [len(key) for key in announcement_keys(text)] == [32]

    def test_sign_together_while_they_rotate(self) -> None:
        other = SECRET.replace("a", "b")
        assert len(set(announcement_keys(json.dumps([other, SECRET])))) == 2

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("s3cr3t", "announcement secret 1: a signing secret must start with whsec_"),
            (json.dumps([SECRET, "whsec_s3cr3t!"]), "announcement secret 2: the part .* must be base64"),
            (json.dumps([SECRET, "whsec_c2hvcnQ="]), "announcement secret 2: .* must hold 24 to 64 bytes"),
            ("whsec_" + "0123456789abcdef" * 4, "announcement secret 1: .* this one is hex"),
            ("[s3cr3t", "begins like JSON"),
            ("[]", "must be a text, or a JSON list of texts"),
        ],
    )
    def test_that_cannot_be_right_wait_for_an_operator(self, text: str, sentence: str) -> None:
        with pytest.raises(OperatorNeeded, match=sentence) as error:
            announcement_keys(text)
        assert error.value.reason == "announcement_secrets_invalid"
        assert "s3cr3t" not in str(error.value)
        assert error.value.__cause__ is None


WEBHOOK = {
    "ANNOUNCE_TO": "webhook",
    "PLATFORM_URL": "https://api.shop.test/hook",
    "ANNOUNCEMENT_SECRETS_ARN": "arn:secret",
    "OWN_WEBHOOK_URL": OWN_URL,
    "USER_MAPPINGS_TABLE": "mappings",
    "QUEUE_URL": "https://sqs.test/queue",
    "DEAD_LETTER_QUEUE_URL": "https://sqs.test/dead",
}
BUS = {
    "ANNOUNCE_TO": "eventbridge",
    "ANNOUNCEMENT_EVENT_BUS": "default",
    "USER_MAPPINGS_TABLE": "mappings",
    "QUEUE_URL": "https://sqs.test/queue",
    "DEAD_LETTER_QUEUE_URL": "https://sqs.test/dead",
}


class TestSettings:
    @pytest.mark.parametrize(("settings", "missing"), [(s, name) for s in (WEBHOOK, BUS) for name in s])
    def test_one_that_is_missing_is_named(
        self, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], missing: str
    ) -> None:
        for name in WEBHOOK | BUS:
            monkeypatch.delenv(name, raising=False)
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        assert announce_config()
        monkeypatch.delenv(missing)
        with pytest.raises(ValueError, match=missing):
            announce_config()

    @pytest.mark.parametrize("to", ["none", "Webhook", "sns"])
    def test_another_target_is_refused(self, monkeypatch: pytest.MonkeyPatch, to: str) -> None:
        monkeypatch.setenv("ANNOUNCE_TO", to)
        with pytest.raises(ValueError, match=f"ANNOUNCE_TO must be webhook or eventbridge, not {to}"):
            announce_config()

    def test_in_production_no_origin_is_exempt(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in WEBHOOK.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PLATFORM_ALLOWED_ORIGIN", "http://127.0.0.1:9000")
        monkeypatch.setenv("WHOP_ENVIRONMENT", "sandbox")
        assert announce_config()
        monkeypatch.setenv("WHOP_ENVIRONMENT", "production")
        with pytest.raises(ValueError, match="PLATFORM_ALLOWED_ORIGIN must be empty"):
            announce_config()
