"""`check` finds each single defect of a configuration, says it in one sentence, and creates nothing."""

import json
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from fake_whop import ALL_SCOPES, PLATFORM_COMPANY, PLATFORM_KEY, FakeWhop, Fault
from local_stack.announced import running_announcement_receiver
from whop_sync.assembly import whop_client
from whop_sync.config.whop import WhopConfig
from whop_sync.errors import OperatorNeeded
from whop_sync.whop.client import Whop
from whop_user_sync import cli
from whop_user_sync.checks import whole
from whop_user_sync.checks.account import (
    MAX_CLOCK_SECONDS,
    check_alarm_mail,
    check_alarms,
    check_clock,
    check_concurrency,
    check_queues,
)
from whop_user_sync.checks.api_key import check_whop, needs, payout_needs
from whop_user_sync.checks.findings import Finding
from whop_user_sync.checks.webhooks import (
    check_event_bus,
    check_platform_url,
    check_signing_secret,
    check_whop_webhook_secret,
)
from whop_user_sync.stack import Stack

ACTIONS = ("chat:read", "dms:read")
SECRET = "whsec_" + "a" * 43 + "="


@pytest.fixture
def fake() -> Iterator[FakeWhop]:
    with FakeWhop() as running:
        yield running


def settings(fake: FakeWhop, **changes: str) -> dict[str, str]:
    return {
        "WHOP_ENVIRONMENT": "sandbox",
        "WHOP_COMPANY_ID": PLATFORM_COMPANY,
        "WHOP_ENROLLMENT": "companies",
        "WHOP_API_VERSION": "",
        "WHOP_API_URL": fake.api_url,
        "WHOP_API_KEY_ARN": "key",
        **changes,
    }


def with_key(key: str) -> Callable[[WhopConfig], Whop]:
    """The client of the operators' tool, with this in the secret of the API key."""

    class Secrets:
        def get_secret_value(self, **_: str) -> dict[str, str]:
            return {"SecretString": key}

    return lambda config: whop_client(config, Secrets())


def problems(
    fake: FakeWhop, key: str = PLATFORM_KEY, actions: tuple[str, ...] = ACTIONS, **changes: str
) -> list[tuple[str, str]]:
    found_settings = settings(fake, **changes)
    needed = list(needs(found_settings["WHOP_ENROLLMENT"], actions))
    found = check_whop(found_settings, needed, with_key(key))
    return [(finding.about, finding.sentence) for finding in found if finding.verdict != "ok"]


@pytest.mark.parametrize("enrollment", ["companies", "accounts"])
def test_a_right_configuration_has_no_findings_and_nothing_is_created(fake: FakeWhop, enrollment: str) -> None:
    assert problems(fake, WHOP_ENROLLMENT=enrollment) == []
    assert {call.operation.partition(" ")[0] for call in fake.calls} == {"GET"}
    assert fake.companies() == []


def narrow(*missing: str) -> Callable[[FakeWhop], dict[str, Any]]:
    """A key without these permissions."""

    def make(fake: FakeWhop) -> dict[str, Any]:
        fake.add_api_key("apik_narrow", scopes=ALL_SCOPES - set(missing))
        return {"key": "apik_narrow"}

    return make


def other_company(fake: FakeWhop) -> dict[str, Any]:
    fake.add_api_key("apik_other", company_id="biz_other")
    return {"key": "apik_other"}


def whops_trouble(fake: FakeWhop) -> dict[str, Any]:
    fake.fault(Fault("GET /permissions", "error_500_before"))
    return {}


def whop_knows_no_permissions(fake: FakeWhop) -> dict[str, Any]:
    fake.fault(Fault("GET /permissions", "error_null", status=404, times=None))
    return {}


def whops_strict_permissions(fake: FakeWhop) -> dict[str, Any]:
    fake.switches.unknown_action = "refused"
    return {"actions": ("chat:read", "chat:raed")}


@pytest.mark.parametrize(
    ("defect", "about", "part"),
    [
        (lambda _: {"key": "apik_of_production"}, "whop_api_key", "refuses the API key"),
        (lambda _: {"key": '{"a": "b", "c": "d"}'}, "whop_api_key", "object with 2 keys"),
        (lambda _: {"key": SECRET}, "whop_api_key", "signing secret of a webhook"),
        (other_company, "whop_company", "key of another company"),
        (lambda _: {"WHOP_COMPANY_ID": "biz_unknown"}, "whop_company", "may do nothing in WhopCompanyId biz_unknown"),
        (narrow("company:create"), "whop_scope", "lacks company:create, needed to enroll users: grant it at https://"),
        (narrow("company:basic:read"), "whop_scope", "lacks company:basic:read"),
        (narrow("user:profile:update"), "whop_scope", "lacks user:profile:update, needed to set names and pictures"),
        (narrow("dms:read"), "whop_scope", "lacks dms:read, needed because ChatTokenActions"),
        (narrow("dms:read"), "whop_scope", ", or take it out of ChatTokenActions."),
        (narrow("dms:read", "company:balance:read"), "whop_scope", "lacks dms:read"),
        (whops_strict_permissions, "whop_scope", "knows no permission chat:raed: correct ChatTokenActions"),
        (lambda _: {"WHOP_API_VERSION": "2026-09-03"}, "whop_api_version", "before 2026-09-02-1"),
        (lambda _: {"WHOP_API_VERSION": "2026-08-22"}, "whop_api_version", "leave WhopApiVersion empty"),
        (lambda _: {"WHOP_ENROLLMENT": "users"}, "whop_api_version", "companies or accounts"),
        (
            lambda _: {"WHOP_API_URL": "http://127.0.0.1:1"},
            "whop",
            "could not be asked (whop_unreachable: no connection",
        ),
        (whops_trouble, "whop", "could not be asked (whop_failed). Check again in a minute;"),
        (whop_knows_no_permissions, "whop", "refuses to say what the key may do (whop_not_found"),
    ],
)
def test_each_single_defect_gives_one_sentence(
    fake: FakeWhop, defect: Callable[[FakeWhop], dict[str, Any]], about: str, part: str
) -> None:
    ((found, sentence),) = problems(fake, **defect(fake))
    assert found == about
    assert part in sentence
    assert sentence.endswith(".")


@pytest.mark.parametrize("missing", ["company:create", "company:create_child", "company:basic:read"])
def test_accounts_need_either_permission_to_create(fake: FakeWhop, missing: str) -> None:
    assert problems(fake, **narrow(missing)(fake), WHOP_ENROLLMENT="accounts") == []


def test_accounts_need_one_of_them(fake: FakeWhop) -> None:
    without = narrow("company:create", "company:create_child")(fake)
    ((_, sentence),) = problems(fake, **without, WHOP_ENROLLMENT="accounts")
    assert "company:create_child" in sentence


def test_the_key_of_a_company_above_is_found_out(fake: FakeWhop) -> None:
    """Given a company that is itself connected, when the key is its parent's, then accounts would come under that."""
    headers = {"Authorization": f"Bearer {PLATFORM_KEY}", "Api-Version-Date": "2026-09-23"}
    child = httpx.post(f"{fake.api_url}/accounts", json={"email": "a@shop.test"}, headers=headers, trust_env=False)
    ((about, sentence),) = problems(fake, WHOP_COMPANY_ID=child.json()["id"])
    assert (about, f"is that of {PLATFORM_COMPANY}" in sentence) == ("whop_company", True)


PAYOUT_ACTIONS = ("identity:read", "payout:withdraw_funds")


@pytest.mark.parametrize(
    ("lacks", "part"),
    [
        ("company:balance:read", "lacks company:balance:read, needed for account links, which AccountLinkHosts allows"),
        ("identity:read", "lacks identity:read, needed because PayoutTokenActions passes it on"),
        ("payout:withdraw_funds", "lacks payout:withdraw_funds, needed because PayoutTokenActions passes it on"),
    ],
)
def test_each_permission_for_payouts_that_is_missing_gives_one_sentence(fake: FakeWhop, lacks: str, part: str) -> None:
    key = narrow(lacks)(fake)["key"]
    needed = list(payout_needs(makes_links=True, token_actions=PAYOUT_ACTIONS))
    [wrong] = [
        finding
        for finding in check_whop(settings(fake), needed, with_key(key), use="whop_payouts_api_key")
        if finding.verdict == "wrong"
    ]
    assert wrong.about == "whop_scope"
    assert f"The API key for payouts {part}" in wrong.sentence


def test_a_stack_without_payouts_needs_no_permission_for_them() -> None:
    assert list(payout_needs(makes_links=False, token_actions=())) == []


def test_a_key_that_is_none_is_never_sent(fake: FakeWhop) -> None:
    problems(fake, key="two words")
    assert fake.calls == []


# AWS


def found(findings: Iterator[Finding]) -> list[tuple[str, str, str]]:
    return [(finding.about, finding.verdict, finding.sentence) for finding in findings]


@pytest.mark.parametrize(
    ("changes", "secret", "about", "part"),
    [
        ({"PAYLOAD_PRESET": "clrk"}, SECRET, "settings", "PAYLOAD_PRESET must be one of"),
        ({"SIGNATURE_SCHEME": "hmca"}, SECRET, "settings", "SIGNATURE_SCHEME must be one of"),
        ({}, "whsec_short", "signing_secret", "signing secret 1 of 1, scheme standard"),
        ({}, '{"a": "b", "c": "d"}', "signing_secret", "object with 2 keys"),
    ],
)
def test_a_signing_secret_must_go_with_its_scheme(
    changes: Mapping[str, str], secret: str, about: str, part: str
) -> None:
    ((found_about, verdict, sentence),) = found(
        check_signing_secret({"PAYLOAD_PRESET": "standard", **changes}, lambda: secret)
    )
    assert (found_about, verdict, part in sentence) == (about, "wrong", True)
    assert "whsec_short" not in sentence


def test_an_unset_signing_secret_is_named() -> None:
    def unset() -> str:
        raise OperatorNeeded("signing_secrets_unavailable", "the secret has no value yet")

    ((_, verdict, sentence),) = found(check_signing_secret({"PAYLOAD_PRESET": "standard"}, unset))
    assert (verdict, sentence) == ("wrong", "There are no signing secrets: the secret has no value yet.")
    assert found(check_signing_secret({"PAYLOAD_PRESET": "standard"}, lambda: SECRET))[0][1] == "ok"


def test_the_secret_of_whops_webhooks_must_be_one() -> None:
    def unset() -> str:
        raise OperatorNeeded("whop_webhook_secrets_unavailable", "the secret has no value yet")

    finding = check_whop_webhook_secret(unset)
    assert (finding.about, finding.verdict) == ("whop_webhook_secret", "wrong")
    assert finding.sentence == "There is no secret of Whop's webhooks: the secret has no value yet."
    finding = check_whop_webhook_secret(lambda: SECRET)
    assert (finding.verdict, "starts with ws_" in finding.sentence) == ("wrong", True)
    assert SECRET not in finding.sentence
    assert check_whop_webhook_secret(lambda: "ws_" + "0" * 64).verdict == "ok"


def alarm(name: str, **changes: Any) -> dict[str, Any]:
    return {"AlarmName": name, "ActionsEnabled": True, "StateValue": "OK", **changes}


@pytest.mark.parametrize(
    ("alarms", "verdicts", "part"),
    [
        ([alarm("a"), alarm("b")], ["ok"], "2 alarms"),
        ([alarm("a")], ["wrong"], "gone: b. A deployment alone does not bring back"),
        ([alarm("a"), alarm("b", ActionsEnabled=False)], ["wrong"], "switched off: b. Switch them on"),
        ([alarm("a"), alarm("b", StateValue="ALARM")], ["warning", "ok"], "In alarm now: b"),
    ],
)
def test_alarms_are_there_and_can_be_heard(alarms: list[dict[str, Any]], verdicts: list[str], part: str) -> None:
    findings = found(check_alarms(alarms, ["a", "b"]))
    assert [verdict for _, verdict, _ in findings] == verdicts
    assert part in findings[0][2]


@pytest.mark.parametrize(
    ("subscriptions", "verdict"),
    [
        ([], "warning"),
        ([{"SubscriptionArn": "PendingConfirmation"}], "wrong"),
        ([{"SubscriptionArn": "arn:aws:sns:us-east-1:1:t:1"}, {"SubscriptionArn": "PendingConfirmation"}], "wrong"),
        ([{"SubscriptionArn": "arn:aws:sns:us-east-1:1:t:1"}], "ok"),
    ],
)
def test_the_address_of_alarms_is_confirmed(subscriptions: list[dict[str, str]], verdict: str) -> None:
    assert check_alarm_mail(subscriptions).verdict == verdict


@pytest.mark.parametrize(
    ("ahead", "verdict"),
    [(0, "ok"), (MAX_CLOCK_SECONDS - 1, "ok"), (MAX_CLOCK_SECONDS + 2, "wrong"), (-MAX_CLOCK_SECONDS - 2, "wrong")],
)
def test_a_wrong_clock_is_found(ahead: int, verdict: str) -> None:
    now = 1_772_359_200.0
    ((_, said, sentence),) = found(
        check_clock(format_datetime(datetime.fromtimestamp(now, UTC), usegmt=True), now + ahead)
    )
    assert said == verdict
    assert ("ahead" in sentence, "behind" in sentence) == (verdict == "wrong" and ahead > 0, ahead < 0)


@pytest.mark.parametrize(
    ("limit", "unreserved", "workers", "verdict", "part"),
    [
        (1000, 1000, 4, "ok", "1000 functions"),
        (10, 10, 4, "warning", "runs 10 functions at once in this account, and the workers may take 4"),
        (1000, 100, 100, "wrong", "nothing is left for webhooks"),
        (10, 10, 20, "wrong", "lower WorkerConcurrency"),
        (1000, 900, 20, "ok", "1000 functions"),
    ],
)
def test_a_low_quota_of_lambda_is_found(limit: int, unreserved: int, workers: int, verdict: str, part: str) -> None:
    finding = check_concurrency(limit, unreserved, workers)
    assert (finding.about, finding.verdict, part in finding.sentence) == ("concurrency", verdict, True)


# The command

TEMPLATE = {
    "Resources": {
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "shop-user-created"}},
        "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "shop-alarms"}},
    }
}


@pytest.fixture
def shop(fake: FakeWhop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """A small stack on moto, whose functions have these settings. Returns what `check --json` answers."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        boto3.client("cloudformation").create_stack(StackName="shop", TemplateBody=json.dumps(TEMPLATE))
        secrets = boto3.client("secretsmanager")
        arns = {
            name: secrets.create_secret(Name=f"shop/{name}", SecretString=value)["ARN"]
            for name, value in (("key", PLATFORM_KEY), ("signing", SECRET))
        }
        functions = settings(fake) | {
            "WHOP_API_KEY_ARN": arns["key"],
            "WEBHOOK_SIGNING_SECRETS_ARN": arns["signing"],
            "PAYLOAD_PRESET": "standard",
            "CHAT_TOKEN_ACTIONS": ",".join(ACTIONS),
            "PAYOUT_TOKEN_ACTIONS": ",".join(PAYOUT_ACTIONS),
        }
        monkeypatch.setattr(Stack, "settings", lambda *_: functions)
        # Moto knows neither of Lambda's limits.
        monkeypatch.setattr(whole, "_concurrency", lambda *_: check_concurrency(1000, 1000, 4))
        _put_alarm(monkeypatch)

        def run(*options: str) -> tuple[int, Any]:
            monkeypatch.setattr(sys, "argv", ["whop-user-sync", "check", "--stack", "shop", *options])
            status = cli.main()
            said = capsys.readouterr()
            with suppress(ValueError):
                return status, json.loads(said.out)
            return status, said.out + said.err

        yield run


def _put_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Moto's CloudFormation makes no alarms: one is made by hand, and listed among what was deployed."""
    boto3.client("cloudwatch").put_metric_alarm(
        AlarmName="shop-crash",
        Namespace="n",
        MetricName="Crash",
        ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=1,
        Period=60,
        Statistic="Sum",
        Threshold=0,
    )
    deployed = whole._deployed
    with_alarm = {"AWS::CloudWatch::Alarm": ["shop-crash"]}
    monkeypatch.setattr(whole, "_deployed", lambda stack: {**deployed(stack), **with_alarm})


def test_the_command_answers_scripts_and_people(shop: Callable[..., tuple[int, Any]]) -> None:
    status, answer = shop("--json")
    assert (status, answer["ok"]) == (0, True)
    verdicts = {finding["about"]: finding["verdict"] for finding in answer["findings"]}
    assert verdicts["alarm_mail"] == "warning"
    assert {verdicts[each] for each in ("whop_api_key", "whop_scope", "signing_secret", "queues", "alarms")} == {"ok"}
    assert "This stack can work." in shop()[1]


@pytest.mark.parametrize(
    ("service", "call", "arguments", "about"),
    [
        ("sqs", "delete_queue", {"QueueUrl": "shop-user-created"}, "queues"),
        ("cloudwatch", "delete_alarms", {"AlarmNames": ["shop-crash"]}, "alarms"),
        (
            "secretsmanager",
            "put_secret_value",
            {"SecretId": "shop/signing", "SecretString": "whsec_x"},
            "signing_secret",
        ),
        ("secretsmanager", "put_secret_value", {"SecretId": "shop/key", "SecretString": "apik_wrong"}, "whop_api_key"),
        ("secretsmanager", "delete_secret", {"SecretId": "shop/key"}, "whop_api_key"),
    ],
)
def test_one_defect_is_one_finding_and_an_exit_status(
    shop: Callable[..., tuple[int, Any]], service: str, call: str, arguments: dict[str, Any], about: str
) -> None:
    make: Any = boto3.client
    client = make(service)
    if service == "sqs":
        arguments = {"QueueUrl": client.get_queue_url(QueueName=arguments["QueueUrl"])["QueueUrl"]}
    getattr(client, call)(**arguments)
    status, answer = shop("--json")
    wrong = [finding["about"] for finding in answer["findings"] if finding["verdict"] == "wrong"]
    assert (status, wrong) == (1, [about])
    # A plain deployment brings nothing back that was deleted by hand
    sentences = [finding["sentence"] for finding in answer["findings"] if finding["about"] == about]
    assert all(("REVERT_DRIFT" in each) == (about in ("queues", "alarms")) for each in sentences)


def test_an_alarm_mail_that_is_not_confirmed_is_found(
    shop: Callable[..., tuple[int, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Moto confirms at once
    monkeypatch.setattr(whole, "_subscriptions", lambda *_: [{"SubscriptionArn": "PendingConfirmation"}])
    status, answer = shop("--json")
    wrong = [finding["about"] for finding in answer["findings"] if finding["verdict"] == "wrong"]
    assert (status, wrong) == (1, ["alarm_mail"])


def wrong_with_payouts(
    shop: Callable[..., tuple[int, Any]], monkeypatch: pytest.MonkeyPatch, payouts: Mapping[str, Mapping[str, str]]
) -> list[tuple[str, str]]:
    monkeypatch.setattr(whole, "_payout_functions", lambda *_: payouts)
    _, answer = shop("--json")
    return [(each["about"], each["sentence"]) for each in answer["findings"] if each["verdict"] == "wrong"]


def test_payouts_with_the_key_of_chat_need_its_permissions(
    shop: Callable[..., tuple[int, Any]], fake: FakeWhop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a key without a payout permission, when payout tokens are on, then one sentence names it, else none."""
    fake.add_api_key("apik_narrow", scopes=ALL_SCOPES - {"identity:read"})
    boto3.client("secretsmanager").put_secret_value(SecretId="shop/key", SecretString="apik_narrow")
    assert wrong_with_payouts(shop, monkeypatch, {}) == []
    arn = boto3.client("secretsmanager").describe_secret(SecretId="shop/key")["ARN"]
    tokens = {"payout-token": {"WHOP_API_KEY_ARN": arn, "PAYOUT_TOKEN_ACTIONS": "identity:read"}}
    [(about, sentence)] = wrong_with_payouts(shop, monkeypatch, tokens)
    assert about == "whop_scope"
    assert "The API key lacks identity:read, needed because PayoutTokenActions" in sentence


def test_a_key_of_its_own_for_payouts_is_checked_in_its_place(
    shop: Callable[..., tuple[int, Any]], fake: FakeWhop, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.add_api_key("apik_chat", scopes=ALL_SCOPES - {"identity:read"})
    fake.add_api_key("apik_payouts", scopes=frozenset({"identity:read"}))
    secrets = boto3.client("secretsmanager")
    secrets.put_secret_value(SecretId="shop/key", SecretString="apik_chat")
    arn = secrets.create_secret(Name="shop/payouts", SecretString="apik_payouts")["ARN"]
    tokens = {"payout-token": {"WHOP_API_KEY_ARN": arn, "PAYOUT_TOKEN_ACTIONS": "identity:read"}}
    # Neither key needs what the other one has
    assert wrong_with_payouts(shop, monkeypatch, tokens) == []
    # A key that Whop refuses is named, and only that
    secrets.put_secret_value(SecretId="shop/payouts", SecretString="apik_unknown")
    [(about, sentence)] = wrong_with_payouts(shop, monkeypatch, tokens)
    assert about == "whop_payouts_api_key"
    assert "refuses the API key for payouts" in sentence


def test_a_stack_that_takes_whops_webhooks_needs_their_secret(
    shop: Callable[..., tuple[int, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = boto3.client("secretsmanager").create_secret(Name="shop/whop-webhook-secrets")["ARN"]
    monkeypatch.setattr(whole, "_whop_webhooks", lambda *_: [{"WHOP_WEBHOOK_SECRETS_ARN": arn}])
    status, answer = shop("--json")
    wrong = [finding["about"] for finding in answer["findings"] if finding["verdict"] == "wrong"]
    assert (status, wrong) == (1, ["whop_webhook_secret"])


ANNOUNCEMENT_SECRET = f'["whsec_{"a" * 43}="]'


def with_announcements(shop: Callable[..., tuple[int, Any]], monkeypatch: pytest.MonkeyPatch, **settings: str) -> Any:
    """The findings about announcements, by what they are about, of a stack whose function has these settings."""
    usual, deployed = Stack.settings, whole._deployed
    with monkeypatch.context() as patched:
        patched.setattr(Stack, "settings", lambda self, name="": settings if name == "announce" else usual(self, name))
        patched.setattr(
            whole, "_deployed", lambda stack: {**deployed(stack), "AWS::Lambda::Function": ["shop-announce"]}
        )
        _, answer = shop("--json")
    about = ("announcement_secrets", "platform_url", "event_bus")
    return {each["about"]: (each["verdict"], each["sentence"]) for each in answer["findings"] if each["about"] in about}


def test_a_stack_that_announces_nothing_is_not_asked_where(shop: Callable[..., tuple[int, Any]]) -> None:
    _, answer = shop("--json")
    assert not {"announcement_secrets", "platform_url", "event_bus"} & {each["about"] for each in answer["findings"]}


def test_where_announcements_go_is_checked_and_nothing_is_sent_there(
    shop: Callable[..., tuple[int, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = boto3.client("secretsmanager")
    arn = secrets.create_secret(Name="shop/announcements", SecretString=ANNOUNCEMENT_SECRET)["ARN"]
    with running_announcement_receiver() as receiver:
        settings = {"ANNOUNCE_TO": "webhook", "PLATFORM_URL": receiver.url, "ANNOUNCEMENT_SECRETS_ARN": arn}
        found = with_announcements(shop, monkeypatch, **settings)
        assert {about: verdict for about, (verdict, _) in found.items()} == {
            "announcement_secrets": "ok",
            "platform_url": "ok",
        }
        assert (receiver.calls, receiver.taken) == (0, [])
    # A backend that is gone, and a secret that is none
    secrets.put_secret_value(SecretId="shop/announcements", SecretString="secret-of-enough-bytes")
    found = with_announcements(shop, monkeypatch, **settings)
    assert found["platform_url"][0] == found["announcement_secrets"][0] == "wrong"
    assert "does not answer (ConnectError)" in found["platform_url"][1]
    assert "must start with whsec_" in found["announcement_secrets"][1]
    assert "secret-of-enough" not in str(found)


@pytest.mark.parametrize(
    ("status", "verdict"), [(204, "ok"), (405, "ok"), (307, "warning"), (410, "warning"), (503, "warning")]
)
def test_what_a_backend_answers_to_head_is_judged(status: int, verdict: str) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        return httpx.Response(status, headers={"location": "https://elsewhere.test/"})

    http = httpx.Client(transport=httpx.MockTransport(answer))
    assert check_platform_url("https://api.shop.test/", http=http).verdict == verdict
    assert asked == ["HEAD"]


def test_an_event_bus_that_is_not_there_is_found(
    shop: Callable[..., tuple[int, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for bus, verdict in (("default", "ok"), ("shop", "wrong")):
        found = with_announcements(shop, monkeypatch, ANNOUNCE_TO="eventbridge", ANNOUNCEMENT_EVENT_BUS=bus)
        assert found["event_bus"][0] == verdict


def test_what_may_not_be_looked_at_is_not_taken_for_gone() -> None:
    class Closed:
        def refuse(self, **_: str) -> None:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "Get")

        get_queue_url = describe_event_bus = refuse

    with pytest.raises(ClientError):
        list(check_queues(Closed(), ["https://sqs.test/1/shop-user-created"]))
    with pytest.raises(ClientError):
        check_event_bus(Closed(), "shop")


def test_a_stack_that_is_not_there_is_said(shop: Callable[..., tuple[int, Any]]) -> None:
    status, said = shop("--stack", f"none-{uuid.uuid4().hex[:6]}")
    assert status == 3
    assert "Traceback" not in said
