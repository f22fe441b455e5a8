"""docs/openapi.yaml and docs/webhook.schema.json against what the functions answer and take."""

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.exceptions import EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from harness.cloudformation import template
from harness.openapi import (
    FROM_API_GATEWAY,
    answers,
    check_answer,
    document,
    operations,
    validate_webhook,
    webhook_schema,
)
from harness.pages import Page
from whop_sync.aws.api_gateway import HttpAnswer
from whop_sync.aws.queues import EventQueues, Queue
from whop_sync.backend_api.chat_tokens import ChatTokens
from whop_sync.backend_api.enrolling import EnrollUser
from whop_sync.backend_api.lookups import LookUp
from whop_sync.backend_api.payouts import AccountLinks, PayoutTokens
from whop_sync.errors import AwaitsTurn, Malformed, Permanent, SyncError, Transient, WhopAnswer
from whop_sync.events import UserEvent
from whop_sync.journal import Journal
from whop_sync.receiving.enroll_requests import RequestReader
from whop_sync.receiving.payloads import parse, read
from whop_sync.receiving.platforms import PLATFORMS
from whop_sync.receiving.whop_webhooks import WhopReceiver
from whop_sync.standard_webhooks import sign
from whop_sync.syncing.synchronization import Result
from whop_sync.users.directory import Directory, Entry

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

    from whop_sync.whop.client import Whop

USER = "GET /users/{user_id}"
ENROLL = "PUT /users/{user_id}"
WHOP_USER = "GET /whop-users/{whop_user_id}"
WHOP_ACCOUNT = "GET /whop-accounts/{whop_company_id}"
TOKEN = "POST /users/{user_id}/chat-token"
LINK = "POST /users/{user_id}/account-link"
WHOP_WEBHOOK = "POST /whop-webhooks"
PAYOUT = "POST /users/{user_id}/payout-token"

ENTRY = Entry(
    user_id="u1",
    status="synced",
    standing="active",
    standing_since="2026-11-23T20:23:24.000Z",
    email_differs=False,
    sign_in_differs=False,
    whop_user_id="user_1",
    whop_company_id="biz_1",
    versions={"name": 1, "picture": None},
    last_error=None,
    last_event_id="msg_1",
    created_at="2026-11-23T20:23:24.242Z",
    updated_at="2026-11-23T20:23:25.706Z",
)
ENROLLING = dataclasses.replace(ENTRY, status="enrolling", whop_user_id=None, whop_company_id=None)
SIGNED_IN = dataclasses.replace(ENTRY, whop_company_id=None)
FAILED = dataclasses.replace(ENROLLING, status="failed", last_error="whop_refused")
NO_EMAIL = dataclasses.replace(ENROLLING, status="no_email")
SUSPENDED = dataclasses.replace(ENTRY, standing="suspended")
DELETED = dataclasses.replace(ENROLLING, status="deleted", standing="deleted")
UNREADABLE = Transient("dynamodb_unavailable")
DEFECT = RuntimeError("s3cr3t")

type Found = Entry | Exception | None
"""What the table has on a user, or what reading it raises."""


@dataclasses.dataclass
class Table:
    """A directory of one user, or one that cannot be read."""

    found: Found

    def entry(self, user_id: str) -> Entry | None:  # noqa: ARG002
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def user_of(self, whop_user_id: str) -> str | None:  # noqa: ARG002
        return "u1" if self.found else None

    def user_of_account(self, company_id: str) -> str | None:
        return self.user_of(company_id)


@dataclasses.dataclass
class Minting:
    """A Whop that makes a token, or fails to."""

    error: Exception | None = None

    def create_access_token(self, **_: Any) -> Any:
        if self.error:
            raise self.error

        @dataclasses.dataclass
        class Token:
            token: str = "secret"
            expires_at: str = "2026-11-23T21:23:24Z"

        return Token()

    def create_account_link(self, **_: Any) -> Any:
        if self.error:
            raise self.error

        @dataclasses.dataclass
        class Link:
            url: str = "https://whop.test/secret"
            expires_at: str = "2026-11-23T21:23:24Z"

        return Link()


def look_up(found: Found, user_id: str = "u1") -> HttpAnswer:
    function = LookUp(directory=cast("Directory", Table(found)), journal=Journal())
    return function.answer({"pathParameters": {"user_id": user_id}})


def look_up_whop_user(found: Found, whop_user_id: str = "user_1") -> HttpAnswer:
    function = LookUp(directory=cast("Directory", Table(found)), journal=Journal())
    return function.answer({"pathParameters": {"whop_user_id": whop_user_id}})


def look_up_whop_account(found: Found, company_id: str = "biz_1") -> HttpAnswer:
    function = LookUp(directory=cast("Directory", Table(found)), journal=Journal())
    return function.answer({"pathParameters": {"whop_company_id": company_id}})


LINK_WISHES = {
    "use_case": "payouts_portal",
    "refresh_url": "https://shop.test/again",
    "return_url": "https://shop.test/back",
}


def account_link(found: Found, error: Exception | None = None, **wishes: object) -> HttpAnswer:
    function = AccountLinks(
        directory=cast("Directory", Table(found)),
        whop=cast("Whop", Minting(error)),
        hosts=frozenset({"shop.test"}),
        journal=Journal(),
    )
    return function.answer({"pathParameters": {"user_id": "u1"}, "body": json.dumps(LINK_WISHES | wishes)})


def payout_token(found: Found, error: Exception | None = None, **wishes: object) -> HttpAnswer:
    function = PayoutTokens(
        directory=cast("Directory", Table(found)),
        whop=cast("Whop", Minting(error)),
        actions=["identity:read", "company:balance:read"],
        journal=Journal(),
        clock=time.time,
    )
    return function.answer({"pathParameters": {"user_id": "u1"}, "body": json.dumps(wishes)})


def chat_token(found: Found, error: Exception | None = None, body: object = None) -> HttpAnswer:
    function = ChatTokens(
        directory=cast("Directory", Table(found)),
        whop=cast("Whop", Minting(error)),
        company="biz_1",
        actions=["chat:read"],
        journal=Journal(),
        clock=time.time,
    )
    return function.answer({"pathParameters": {"user_id": "u1"}, "body": json.dumps(body) if body else ""})


@dataclasses.dataclass
class Handling:
    """A worker's way of an event that ends like this, and a queue that takes the event or not."""

    ends: SyncError | None = None
    unstored: Transient | None = None

    def handle(self, event: UserEvent, *, age: float, deadline: float) -> Result:  # noqa: ARG002
        if self.ends:
            raise self.ends
        return Result(outcome="synced")

    def send(self, body: str) -> None:  # noqa: ARG002
        if self.unstored:
            raise self.unstored


def enroll(found: Found, handling: Handling | None = None, **changes: object) -> HttpAnswer:
    handling = handling or Handling()
    function = EnrollUser(
        reader=RequestReader(enroll_if="data.name"),
        handler=handling,
        queues=EventQueues(created=cast("Queue", handling), changed=cast("Queue", handling)),
        directory=cast("Directory", Table(found)),
        journal=Journal(),
        clock=time.time,
        sleep=lambda _: None,
    )
    body = {"type": "user.created", "data": {"id": "u1", "name": "Ann", "updated_at": 1767605400, **changes}}
    return function.answer({"pathParameters": {"user_id": "u1"}, "body": json.dumps(body)})


def whop_webhook(failure: Exception | None = None, signature: str = "") -> HttpAnswer:
    """One of Whop's webhooks, by a receiver whose queue takes everything or fails."""

    class Sqs:
        def send_message(self, **_: Any) -> None:
            if failure:
                raise failure

    body = json.dumps({"type": "payout.created", "account_id": "biz_1", "data": {"id": "wdrl_1"}})
    key, at = b"ws_of sixteen bytes", str(int(time.time()))
    right = f"v1,{sign(key, 'msg_1', at, body.encode())}"
    headers = {"webhook-id": "msg_1", "webhook-timestamp": at, "webhook-signature": signature or right}
    queue = Queue(cast("SQSClient", Sqs()), "announcements")
    receiver = WhopReceiver(keys=lambda: [key], queue=queue, journal=Journal(), clock=time.time)
    return receiver.answer({"headers": headers, "body": body})


REFUSED = Permanent("whop_refused", answer=WhopAnswer(status=400))
BUSY = Transient("whop_failed", answer=WhopAnswer(status=500), retry_after=3)

CASES: Sequence[tuple[str, Callable[[], HttpAnswer]]] = (
    (WHOP_WEBHOOK, whop_webhook),
    (WHOP_WEBHOOK, lambda: whop_webhook(signature="v1,")),
    (WHOP_WEBHOOK, lambda: whop_webhook(EndpointConnectionError(endpoint_url="http://sqs"))),
    (WHOP_WEBHOOK, lambda: whop_webhook(RuntimeError())),
    (USER, lambda: look_up(ENTRY)),
    (USER, lambda: look_up(None)),
    (USER, lambda: look_up(ENROLLING)),
    (USER, lambda: look_up(FAILED)),
    (USER, lambda: look_up(NO_EMAIL)),
    (USER, lambda: look_up(SUSPENDED)),
    (USER, lambda: look_up(DELETED)),
    (USER, lambda: look_up(UNREADABLE)),
    (USER, lambda: look_up(ENTRY, "50%")),
    (USER, lambda: look_up(DEFECT)),
    (ENROLL, lambda: enroll(ENTRY)),
    (ENROLL, lambda: enroll(ENTRY, id="u2")),
    (ENROLL, lambda: enroll(ENTRY, name="")),
    (ENROLL, lambda: enroll(FAILED, Handling(Permanent("whop_refused")))),
    (ENROLL, lambda: enroll(NO_EMAIL, Handling(AwaitsTurn("no_email")))),
    (ENROLL, lambda: enroll(DELETED)),
    (ENROLL, lambda: enroll(None, Handling(AwaitsTurn("out_of_time")))),
    (ENROLL, lambda: enroll(ENROLLING, Handling(AwaitsTurn("orphan_not_listed", retry_after=100)))),
    (ENROLL, lambda: enroll(UNREADABLE, Handling(AwaitsTurn("out_of_time")))),
    (ENROLL, lambda: enroll(UNREADABLE)),
    (ENROLL, lambda: enroll(DEFECT)),
    (ENROLL, lambda: enroll(None, Handling(AwaitsTurn("out_of_time"), Transient("sqs_unavailable")))),
    (WHOP_USER, lambda: look_up_whop_user(ENTRY)),
    (WHOP_USER, lambda: look_up_whop_user(None)),
    (WHOP_USER, lambda: look_up_whop_user(DELETED)),
    (WHOP_USER, lambda: look_up_whop_user(UNREADABLE)),
    (WHOP_USER, lambda: look_up_whop_user(ENTRY, "50%")),
    (WHOP_ACCOUNT, lambda: look_up_whop_account(ENTRY)),
    (WHOP_ACCOUNT, lambda: look_up_whop_account(None)),
    (WHOP_ACCOUNT, lambda: look_up_whop_account(UNREADABLE)),
    (WHOP_ACCOUNT, lambda: look_up_whop_account(ENTRY, "50%")),
    (LINK, lambda: account_link(ENTRY)),
    (LINK, lambda: account_link(ENTRY, return_url="http://shop.test")),
    (LINK, lambda: account_link(None)),
    (LINK, lambda: account_link(ENROLLING)),
    (LINK, lambda: account_link(SIGNED_IN)),
    (LINK, lambda: account_link(UNREADABLE)),
    (LINK, lambda: account_link(ENTRY, REFUSED)),
    (LINK, lambda: account_link(ENTRY, BUSY)),
    (LINK, lambda: account_link(ENTRY, DEFECT)),
    (PAYOUT, lambda: payout_token(ENTRY)),
    (PAYOUT, lambda: payout_token(ENTRY, expires_in_seconds=3601)),
    (PAYOUT, lambda: payout_token(None)),
    (PAYOUT, lambda: payout_token(ENROLLING)),
    (PAYOUT, lambda: payout_token(SIGNED_IN)),
    (PAYOUT, lambda: payout_token(UNREADABLE)),
    (PAYOUT, lambda: payout_token(ENTRY, REFUSED)),
    (PAYOUT, lambda: payout_token(ENTRY, BUSY)),
    (PAYOUT, lambda: payout_token(ENTRY, DEFECT)),
    (TOKEN, lambda: chat_token(ENTRY)),
    (TOKEN, lambda: chat_token(ENTRY, body={"expires_in_seconds": 0})),
    (TOKEN, lambda: chat_token(None)),
    (TOKEN, lambda: chat_token(ENROLLING)),
    (TOKEN, lambda: chat_token(FAILED)),
    (TOKEN, lambda: chat_token(NO_EMAIL)),
    (TOKEN, lambda: chat_token(SUSPENDED)),
    (TOKEN, lambda: chat_token(DELETED)),
    (TOKEN, lambda: chat_token(UNREADABLE)),
    (TOKEN, lambda: chat_token(ENTRY, REFUSED)),
    (TOKEN, lambda: chat_token(ENTRY, BUSY)),
    (TOKEN, lambda: chat_token(ENTRY, DEFECT)),
)


def test_the_document_is_valid() -> None:
    whole = json.loads(json.dumps(document()))
    for operation in (whole["paths"]["/webhooks"]["post"], whole["paths"]["/users/{user_id}"]["put"]):
        body = operation["requestBody"]["content"]["application/json"]
        assert body["schema"] == {"$ref": "webhook.schema.json"}
        body["schema"] = {}  # the schema is a file of its own beside it
    validate(whole)
    Draft202012Validator.check_schema(webhook_schema())


def test_every_route_is_documented() -> None:
    resources = template()["Resources"].values()
    routes = {each["Properties"]["RouteKey"] for each in resources if each["Type"] == "AWS::ApiGatewayV2::Route"}
    assert set(operations()) == routes, "docs/openapi.yaml, paths: add or remove a route"


def test_a_route_wants_a_signature_of_aws_where_the_template_says_so() -> None:
    for each in template()["Resources"].values():
        if each["Type"] == "AWS::ApiGatewayV2::Route":
            security = operations()[each["Properties"]["RouteKey"]].get("security", document()["security"])
            assert bool(security) == (each["Properties"].get("AuthorizationType") == "AWS_IAM")


@pytest.mark.parametrize(("route", "answer"), CASES)
def test_what_a_function_answers_is_documented(route: str, answer: Callable[[], HttpAnswer]) -> None:
    check_answer(route, answer())


NO_TABLE = Transient("dynamodb_unavailable")
NO_WHOP = Transient("whop_failed")


@pytest.mark.parametrize(
    ("what", "answer"),
    [
        ("LookUp", lambda: look_up(NO_TABLE)),
        ("LookUp", lambda: look_up_whop_user(NO_TABLE)),
        ("EnrollUser", lambda: enroll(NO_TABLE)),
        ("EnrollUser", lambda: enroll(None, Handling(AwaitsTurn("out_of_time"), Transient("sqs_unavailable")))),
        ("ChatToken", lambda: chat_token(NO_TABLE)),
        ("ChatToken", lambda: chat_token(ENTRY, NO_WHOP)),
        ("AccountLink", lambda: account_link(NO_TABLE)),
        ("AccountLink", lambda: account_link(ENTRY, NO_WHOP)),
        ("PayoutToken", lambda: payout_token(NO_TABLE)),
        ("PayoutToken", lambda: payout_token(ENTRY, NO_WHOP)),
    ],
)
def test_a_request_that_fails_is_noted_as_its_alarm_counts_it(
    what: str, answer: Callable[[], HttpAnswer], caplog: pytest.LogCaptureFixture
) -> None:
    assert answer()["statusCode"] in (502, 503)
    noted = [(vars(record)["what"], vars(record)["outcome"]) for record in caplog.records if record.msg == "request"]
    assert noted == [(what, "failed")]


@pytest.mark.parametrize(
    "answer",
    [
        lambda: look_up(DEFECT),
        lambda: enroll(DEFECT),
        lambda: account_link(ENTRY, DEFECT),
        lambda: payout_token(ENTRY, DEFECT),
        lambda: chat_token(ENTRY, DEFECT),
        lambda: whop_webhook(DEFECT),
    ],
)
def test_a_defect_is_logged_by_its_place_and_never_by_its_message(
    answer: Callable[[], HttpAnswer], caplog: pytest.LogCaptureFixture
) -> None:
    assert answer()["statusCode"] in (500, 503)
    [line] = [vars(record) for record in caplog.records if record.msg == "crash"]
    assert line["error"] == "RuntimeError"
    assert "s3cr3t" not in str([vars(record) for record in caplog.records])


@pytest.mark.parametrize("route", [USER, ENROLL, WHOP_USER, TOKEN, WHOP_WEBHOOK])
def test_every_documented_status_is_one_that_the_function_answers(route: str) -> None:
    answered = {str(answer()["statusCode"]) for each, answer in CASES if each == route}
    assert set(answers(route)) - (FROM_API_GATEWAY - answered) == answered


def test_an_answer_that_is_not_documented_is_noticed() -> None:
    answer = look_up(ENTRY)
    for wrong in (
        {**answer, "statusCode": 418},
        {**answer, "body": json.dumps({**json.loads(answer["body"]), "email": "ann@people.test"})},
        {**answer, "headers": {**answer["headers"], "x-other": "1"}},
    ):
        with pytest.raises(AssertionError, match=r"docs/openapi\.yaml"):
            check_answer(USER, wrong)


def test_the_answers_that_the_docs_show_are_ones() -> None:
    user, token = (
        json.loads(block.text) for block in Page("docs/api.md").code() if block.text.startswith(('{\n  "user', '{"tok'))
    )
    for route, shown in ((USER, user), (TOKEN, token)):
        check_answer(
            route, {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(shown)}
        )


# -- the webhook's body ----------------------------------------------------------------------------------------------

NOW = 1_800_000_000.0


def taken(body: object) -> bool:
    """Whether the receiver reads a user event in the body of a `standard` webhook."""
    preset = PLATFORMS["standard"].preset
    document = parse(json.dumps(body).encode(), {}, received_at=NOW)
    try:
        return read(document, preset, event_id="msg_1") is not None
    except Malformed:
        return False


TIME = "2026-01-05T09:30:00Z"
WHOLE = {
    "type": "user.created",
    "timestamp": TIME,
    "data": {
        "id": "12345",
        "email": "ada@acme.test",
        "name": "Ada Lovelace",
        "avatar_url": "https://cdn.acme.test/ada.png",
        "updated_at": TIME,
        "whop_user_id": "user_1",
    },
}

ABSENT = object()
FIELDS: dict[str, tuple[Any, ...]] = {
    "id": ("12345", 12345, "12345.0", "1.23457E+14", "x" * 255, "x" * 256, "", " ", None, True, 4.5, [], ABSENT),
    "email": ("ada@acme.test", "ada", "a@x.test, b@x.test", "Ada <a@x.test>", "", None, 5, {}, ABSENT),
    "name": ("Ada", "", None, 5, {}, ABSENT),
    "first_name": ("Ada", None, ABSENT),
    "avatar_url": ("https://cdn.acme.test/a.png", "", None, 5, ABSENT),
    "updated_at": (TIME, 1767605400, 1767605400000, None, "", {}, ABSENT),
    "deleted_at": (TIME, None, ABSENT),
    "suspended": (True, False, TIME, None, {}, ABSENT),
    "whop_user_id": ("user_1", "", None, "biz_1", 5, ABSENT),
}
LIFE = ("user.suspended", "user.restored", "user.deleted")
TYPES = (*LIFE, "user.created", "user.updated", "user.signed_in", "", None, 5, ABSENT)
TIMES: tuple[Any, ...] = (TIME, 1767605400, None, "", {}, ABSENT)


@given(st.fixed_dictionaries({name: st.sampled_from(values) for name, values in FIELDS.items()}), st.data())
def test_the_receiver_takes_what_the_schema_allows_and_nothing_else(data: dict[str, Any], draw: st.DataObject) -> None:
    """Where they differ, change docs/webhook.schema.json, and docs/webhook.md with it."""
    around = {"type": draw.draw(st.sampled_from(TYPES)), "timestamp": draw.draw(st.sampled_from(TIMES))}
    body = {name: value for name, value in around.items() if value is not ABSENT}
    body["data"] = {name: value for name, value in data.items() if value is not ABSENT}
    problems = validate_webhook(body)
    if body.get("type") not in LIFE:
        assert taken(body) == (not problems), problems
    elif not problems:  # of a user who leaves, fewer fields are read than the schema describes
        assert taken(body)


def test_the_schema_lists_every_event_that_is_read() -> None:
    preset = PLATFORMS["standard"].preset
    read_here = {*preset.created, *preset.updated, *preset.suspended, *preset.restored, *preset.deleted}
    assert set(webhook_schema()["properties"]["type"]["enum"]) == read_here
    for event in read_here:
        assert validate_webhook({**WHOLE, "type": event}) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"id": ""}, "$.data.id"),
        ({"email": 5}, "$.data.email"),
        ({"whop_user_id": "biz_1"}, "$.data.whop_user_id"),
        ({"updated_at": []}, "$.data.updated_at"),
    ],
)
def test_the_schema_names_the_field_that_is_wrong(change: dict[str, Any], problem: str) -> None:
    assert validate_webhook(WHOLE) == []
    problems = validate_webhook({**WHOLE, "data": {**cast("dict[str, Any]", WHOLE["data"]), **change}})
    assert any(each.startswith(problem) for each in problems), problems


def test_the_example_of_the_docs_is_one() -> None:

    for page in (Page("docs/webhook.md"), Page("README.md")):
        [example] = [block.text for block in page.code() if block.language == "http"]
        body = json.loads(example.split("\n\n", 1)[1])
        assert validate_webhook(body) == []
        assert taken(body)
