"""Settings and secrets that cannot be right are named in words that help."""

import re
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from fake_whop.protocol import KNOWN_VERSIONS
from harness import Clock
from local_stack import ROOT
from whop_sync import assembly
from whop_sync.aws.secrets import MAX_AGE_SECONDS, Secret, pasted_texts
from whop_sync.backend_api.enrolling import CALL_SECONDS, PICTURE_SECONDS
from whop_sync.config.syncing import worker_config
from whop_sync.errors import OperatorNeeded
from whop_sync.receiving.platforms import PLATFORMS
from whop_sync.receiving.signatures import signing_keys
from whop_sync.whop.generations import GENERATIONS, OLDEST_VERSION, Generation, api_version, chosen_generation

SECRET = "whsec_" + "a" * 43 + "="

WORKER = {
    "WHOP_ENVIRONMENT": "sandbox",
    "WHOP_COMPANY_ID": "biz_1",
    "WHOP_ENROLLMENT": "companies",
    "WHOP_API_KEY_ARN": "arn:key",
    "TITLE_FORMAT": "{name} ({user_id})",
    "DELETED_USER_NAME": "Deleted user",
    "USER_MAPPINGS_TABLE": "mappings",
    "QUEUE_URL": "https://sqs.test/queue",
    "DEAD_LETTER_QUEUE_URL": "https://sqs.test/dead",
}


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in WORKER.items():
        monkeypatch.setenv(name, value)


def test_a_person_who_waits_waits_less_for_whop_and_for_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_DEFAULT_REGION": "us-east-1",
        "USER_CREATED_QUEUE_URL": "https://sqs.test/created",
        "PROFILE_UPDATED_QUEUE_URL": "https://sqs.test/updated",
    }.items():
        monkeypatch.setenv(name, value)
    waiting: Any = assembly.enroll_user().handler
    messages: Any = assembly.worker().messages
    working = messages.handler
    assert (waiting.call_seconds, waiting.profiles.pictures.seconds) == (CALL_SECONDS, PICTURE_SECONDS)
    assert waiting.profiles.pictures.seconds < working.profiles.pictures.seconds
    assert waiting.call_seconds < working.call_seconds


def chosen() -> Generation:
    """What a worker makes of its environment."""
    settings = worker_config().sync
    return chosen_generation(settings.whop.enrollment, settings.whop.api_version)


@pytest.mark.parametrize(
    ("environment", "url"),
    [("sandbox", "https://sandbox-api.whop.com/api/v1"), ("production", "https://api.whop.com/api/v1")],
)
def test_the_environment_names_the_whop_to_talk_to(monkeypatch: pytest.MonkeyPatch, environment: str, url: str) -> None:
    monkeypatch.setenv("WHOP_ENVIRONMENT", environment)
    assert worker_config().sync.whop.api_url == url


def test_nothing_is_announced_without_a_queue_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert worker_config().sync.announcements_queue_url is None
    for url in ("", "https://sqs.test/announcements"):
        monkeypatch.setenv("ANNOUNCEMENTS_QUEUE_URL", url)
        assert worker_config().sync.announcements_queue_url == (url or None)


@pytest.mark.parametrize("missing", WORKER)
def test_a_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.delenv(missing)
    with pytest.raises(ValueError, match=missing):
        worker_config()


@pytest.mark.parametrize(
    ("changed", "hint"),
    [
        ({"WHOP_ENVIRONMENT": "prod"}, "sandbox or production"),
        ({"TITLE_FORMAT": "{name}"}, "user_id"),
        ({"WHOP_CALLS_PER_MINUTE": "0"}, "WHOP_CALLS_PER_MINUTE must be a whole number"),
        ({"WHOP_CALLS_PER_MINUTE": "29"}, "WHOP_CALLS_PER_MINUTE must be a whole number from 30"),
        ({"WHOP_CALLS_PER_MINUTE": "1e3"}, "WHOP_CALLS_PER_MINUTE must be a whole number"),
        ({"WHOP_ENROLLMENT": "users"}, "WHOP_ENROLLMENT must be companies or accounts"),
        (
            {"WHOP_ENROLLMENT": "accounts", "WHOP_API_VERSION": "2026-08-14"},
            "WHOP_API_VERSION is 2026-08-14, and WHOP_ENROLLMENT accounts needs 2026-08-21 or later: .* empty",
        ),
        ({"WHOP_API_VERSION": "2026-09-02-1"}, "needs a date before 2026-09-02-1: .* empty.* or set WhopEnrollment to"),
        ({"WHOP_API_VERSION": "2026-10-15-1"}, "needs a date before 2026-09-02-1"),
        ({"WHOP_ACCOUNT_COUNTRY": "US"}, "two lower-case letters, not US"),
        ({"WHOP_ACCOUNT_COUNTRY": "usa"}, "two lower-case letters"),
        ({"WHOP_API_VERSION": "2026-07-08"}, "2026-07-08-1 or later"),
        ({"WHOP_API_VERSION": "2025-01-01"}, "2026-07-08-1 or later"),
        ({"WHOP_API_VERSION": "latest"}, "WHOP_API_VERSION is latest, and an Api-Version-Date is a date"),
        ({"WHOP_ENVIRONMENT": "production", "WHOP_API_URL": "http://127.0.0.1"}, "must be empty"),
        ({"WHOP_ENVIRONMENT": "production", "PICTURE_ALLOWED_ORIGIN": "http://127.0.0.1"}, "must be empty"),
    ],
)
def test_a_wrong_setting_is_refused_with_a_hint(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, str], hint: str
) -> None:
    for name, value in changed.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=hint):
        chosen()


@pytest.mark.parametrize(
    ("enrollment", "version"),
    [
        ("companies", ""),
        ("companies", "2026-07-08-1"),
        ("companies", "2026-07-20"),
        ("companies", "2026-09-02"),
        ("accounts", ""),
        ("accounts", "2026-08-21"),
        ("accounts", "2026-08-21-1"),
        ("accounts", "2026-10-15-1"),
        ("accounts", "2027-01-01"),
    ],
)
def test_each_generation_goes_with_its_versions(monkeypatch: pytest.MonkeyPatch, enrollment: str, version: str) -> None:
    monkeypatch.setenv("WHOP_ENROLLMENT", enrollment)
    monkeypatch.setenv("WHOP_API_VERSION", version)
    assert chosen() is GENERATIONS[enrollment]


def test_a_later_change_of_one_day_is_later() -> None:
    versions = ["2026-07-20", "2026-08-21", "2026-08-21-1", "2026-08-21-2", "2026-08-21-10", "2026-08-25"]
    assert sorted(versions, key=api_version) == versions


@pytest.mark.parametrize("text", ["", "2026-07", "2026-07-20-1-1", "2026-07-2O", "2026-07--1", "٢٠٢٦-07-20"])
def test_a_version_is_a_date(text: str) -> None:
    with pytest.raises(ValueError, match="Api-Version-Date is a date"):
        api_version(text)


def refused(enrollment: str, version: str) -> bool:
    try:
        chosen_generation(enrollment, version)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize(("enrollment", "version"), [("companies", "2026-08-21-1"), ("accounts", "2026-09-23")])
def test_without_a_version_each_generation_sends_the_one_that_goes_with_it(enrollment: str, version: str) -> None:
    assert GENERATIONS[enrollment].default_version == version
    assert not refused(enrollment, version)


def test_the_template_refuses_the_versions_that_a_function_would_refuse_at_its_start() -> None:
    """Given the versions of Whop that are known, when a stack is deployed, then none fails at its first event."""
    rules = (ROOT / "template.yaml").read_text().partition("CompaniesHaveTheirVersions:")[2].partition("Conditions:")[0]
    companies, _, accounts = rules.partition("AccountsShowTheirOwner:")
    allowed, too_old = (re.findall(r"'(\d[\d-]+)'", rule) for rule in (companies, accounts))
    assert allowed == [version for version in KNOWN_VERSIONS if not refused("companies", version)]
    known = [version for version in KNOWN_VERSIONS if api_version(version) >= OLDEST_VERSION]
    assert too_old == [version for version in known if refused("accounts", version)]


def test_a_country_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    assert worker_config().sync.account_country is None
    monkeypatch.setenv("WHOP_ACCOUNT_COUNTRY", "de")
    assert worker_config().sync.account_country == "de"


class Secrets:
    """The one call of a Secrets Manager client that is used. Without a value it is refused with this code."""

    def __init__(self, value: str | bytes | None, *, refusal: str = "ResourceNotFoundException") -> None:
        self.value = value
        self.refusal = refusal
        self.reads = 0

    def get_secret_value(self, **_: Any) -> dict[str, Any]:
        self.reads += 1
        if self.value is None:
            raise ClientError({"Error": {"Code": self.refusal, "Message": ""}}, "GetSecretValue")
        return {"SecretBinary" if isinstance(self.value, bytes) else "SecretString": self.value}


def secret(value: str | bytes | Secrets | None, clock: Clock | None = None) -> Secret:
    client: Any = value if isinstance(value, Secrets) else Secrets(value)
    return Secret(client, "arn", unavailable="whop_api_key_unavailable", clock=clock or Clock())


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_secret_without_value_is_a_matter_of_time(value: str | None) -> None:
    with pytest.raises(OperatorNeeded, match="no value yet"):
        secret(value).text()


@pytest.mark.parametrize(
    ("code", "way_out"),
    [
        ("InvalidRequestException", "marked for deletion, which `aws secretsmanager restore-secret` takes back"),
        ("AccessDeniedException", "allow secretsmanager:GetSecretValue on it"),
        ("InternalServiceError", ""),
    ],
)
def test_a_secret_that_cannot_be_read_says_why_and_what_to_do(code: str, way_out: str) -> None:
    with pytest.raises(OperatorNeeded) as refusal:
        secret(Secrets(None, refusal=code)).text()
    assert refusal.value.explanation.startswith(f"the secret cannot be read: {code}")
    assert way_out in refusal.value.explanation


def test_a_secret_that_no_answer_comes_for_is_a_matter_of_time() -> None:
    class Silent(Secrets):
        def get_secret_value(self, **_: Any) -> dict[str, Any]:
            raise ReadTimeoutError(endpoint_url="https://secretsmanager.test")

    with pytest.raises(OperatorNeeded, match="the secret cannot be read: ReadTimeoutError"):
        secret(Silent(None)).text()


def test_a_secret_is_read_once_and_again_after_its_time() -> None:
    """Given a secret that was read, when it is rotated, then it is read anew once the old value is too old."""
    secrets = Secrets("apik_old")
    clock = Clock()
    reader = secret(secrets, clock)
    assert [reader.text() for _ in range(3)] == ["apik_old"] * 3
    assert secrets.reads == 1
    secrets.value = "apik_new"
    clock.sleep(MAX_AGE_SECONDS)
    assert reader.text() == "apik_new"
    assert MAX_AGE_SECONDS <= 300


def test_a_secret_that_was_stored_as_binary_is_its_text_if_it_is_one() -> None:
    assert secret(b"apik_1").text() == "apik_1"
    with pytest.raises(ValueError, match="SecretBinary"):
        pasted_texts(secret(b"\xff\x00").text())


def test_a_signing_secret_of_another_kind_waits_for_an_operator_and_the_log_says_why() -> None:
    scheme = PLATFORMS["stripe"].scheme
    for wrong in ('["sk_live_abcdefghijklmnop"]', '["whsec_1"]', '{"whsec_abcdefghijklmnop": "", "a": ""}'):
        with pytest.raises(OperatorNeeded) as refusal:
            signing_keys(wrong, scheme)
        assert refusal.value.reason == "signing_secrets_invalid"
        assert not set(re.findall(r"[a-z]+_\w+", wrong)) & set(refusal.value.explanation.split())
    assert signing_keys('["whsec_abcdefghijklmnop"]', scheme) == (b"whsec_abcdefghijklmnop",)
