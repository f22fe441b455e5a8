"""Every request that is made of Whop, recorded at each Api-Version-Date, beside what Whop's SDK of that date sends."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from fake_whop import PLATFORM_COMPANY, PLATFORM_KEY, FakeWhop
from harness.faults import http_client
from local_stack import ROOT
from local_stack.pictures import png
from sdk_requests import CALLS, RELEASES, Request, known
from whop_sync.whop.client import Whop
from whop_sync.whop.generations import GENERATIONS, chosen_generation

UNKNOWN_CALLS = {
    "GET /permissions": ("0.0.41",),
    "DELETE /accounts/{id}": ("0.0.41", "1.0.11", "1.0.14", "1.1.0", "1.1.1", "1.1.5", "2.0.0"),
}
"""Calls that are made although the SDK of that date lacks them: new calls reach every version
(https://docs.whop.com/developer/api/versioning)."""

UNKNOWN_PARAMETERS = {
    # In Whop's guides of October and November 2026 alone, in no SDK.
    ("POST /accounts", "body", "external_id"): tuple(RELEASES),
    ("GET /accounts", "query", "external_id"): tuple(RELEASES),
    # Optional parameters reach every version, too.
    ("POST /accounts", "body", "send_customer_emails"): ("1.0.11", "1.0.14", "1.1.0", "1.1.1"),
    ("POST /companies", "body", "country"): ("0.0.41",),
}
"""Parameters that are sent and that an SDK does not know, by the releases that do not."""


LEFT_OUT = {
    "companies": {"POST /accounts", "GET /accounts"},
    "accounts": {"POST /companies", "GET /companies", "GET /companies/{id}"},
}
"""What is not asked of Whop where users are enrolled by this generation."""


@dataclass(frozen=True, slots=True)
class Recorded:
    call: str
    query: dict[str, str]
    body: dict[str, Any]


def works_at(enrollment: str, version: str) -> bool:
    try:
        chosen_generation(enrollment, version)
    except ValueError:
        return False
    return True


ALLOWED = [
    (enrollment, release)
    for enrollment in GENERATIONS
    for release, version in RELEASES.items()
    if works_at(enrollment, version)
]


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeWhop]:
    with FakeWhop() as running:
        yield running


def all_requests(fake: FakeWhop, enrollment: str, version: str) -> list[Recorded]:
    """What the client sends in each of its methods, to a Whop that is strict about every field."""
    seen: list[Recorded] = []

    def record(request: httpx.Request) -> None:
        path = request.url.path.removeprefix("/api/v1")
        if not request.url.path.startswith("/api/v1"):
            return  # an upload, which is not Whop's API
        assert request.headers["Api-Version-Date"] == version
        parts = path.strip("/").split("/")
        call = f"{request.method} /{parts[0]}" + ("/{id}" if len(parts) > 1 else "")
        body = json.loads(request.content) if request.content else {}
        seen.append(Recorded(call, dict(request.url.params), body))

    with http_client() as http:
        http.event_hooks = {"request": [record]}
        whop = Whop(
            http,
            url=fake.api_url,
            version=version,
            api_key=lambda: PLATFORM_KEY,
            generation=GENERATIONS[enrollment],
            country="us",
        )
        mark = f"{enrollment}-{version}"
        account = whop.create_account(
            parent=PLATFORM_COMPANY,
            title=f"Ann ({mark})",
            email=f"{mark}@people.test",
            user_id=mark,
            attempt="1",
        )
        for cursor in (None, "0:a"):  # the fake knows no such cursor, and refuses it as Whop would
            whop.find_account(
                parent=PLATFORM_COMPANY,
                user_id="unknown",
                has_time=lambda: True,
                created_after=1_772_359_200.5,
                cursor=cursor,
            )
        assert account.company_id is not None
        whop.own_account()
        whop.account(account.company_id)
        whop.update_account(account.company_id, {"title": "Deleted", "metadata": {"internal_user_id": mark}})
        whop.create_account_link(
            account=account.company_id,
            use_case="payouts_portal",
            refresh_url="https://shop.test/a",
            return_url="https://shop.test/b",
        )
        whop.permissions(PLATFORM_COMPANY, ["chat:read", "company:create"])
        for user_id in (account.whop_user_id, None):
            whop.create_access_token(
                company=PLATFORM_COMPANY if user_id else account.company_id,
                whop_user_id=user_id,
                actions=["chat:read"],
                expires_at=time.time() + 600,
            )
        file = whop.create_file("avatar.png")
        whop.upload(file, png("00aa00"))
        while whop.file(file.id).status != "ready":
            pass
        for changes in ({"name": "Ann", "profile_picture": {"id": file.id}}, {"name": None, "profile_picture": None}):
            whop.update_user(account.whop_user_id, company=PLATFORM_COMPANY, changes=changes)
        for company in (PLATFORM_COMPANY, None):
            whop.user(account.whop_user_id, company=company)
        whop.delete_account(account.company_id)
    return seen


KINDS = {str: "string", bool: "boolean", int: "integer", float: "number", dict: "object", list: "array"}


def problems(recorded: Recorded, allowed: Request) -> Iterator[tuple[str, str, str]]:
    """Where (query or body), which parameter, and what is wrong with it."""
    for where, sent, parameters in (
        ("query", recorded.query, allowed.query),
        ("body", recorded.body, allowed.body),
    ):
        for name, value in dict(sent).items():
            parameter = parameters.get(name)
            if parameter is None:
                yield where, name, "unknown"
                continue
            # null clears, as the older documents say; a query is text.
            if where == "query" or value is None:
                continue
            if KINDS[type(value)] not in parameter.kinds:
                yield where, name, f"is {KINDS[type(value)]} and must be {' or '.join(parameter.kinds)}"
            if isinstance(value, dict) and parameter.fields is not None:
                for field in value.keys() - set(parameter.fields):
                    yield where, f"{name}.{field}", "unknown"
        for name, parameter in parameters.items():
            if parameter.required and name not in sent:
                yield where, name, "missing"


@pytest.mark.parametrize(("enrollment", "release"), ALLOWED)
def test_nothing_is_sent_that_the_sdk_of_the_date_does_not_send(fake: FakeWhop, enrollment: str, release: str) -> None:
    sdk = known()[release]
    recorded = all_requests(fake, enrollment, RELEASES[release])
    made = {each.call for each in recorded}
    assert made == CALLS - LEFT_OUT[enrollment]
    found = {
        (each.call, *problem) for each in recorded if each.call in sdk for problem in problems(each, sdk[each.call])
    }
    assert found == {
        (*parameter, "unknown")
        for parameter, releases in UNKNOWN_PARAMETERS.items()
        if release in releases and parameter[0] in made
    }
    assert made - sdk.keys() == {call for call, releases in UNKNOWN_CALLS.items() if release in releases}


def parts(calls: Mapping[str, Request]) -> Iterator[tuple[str, dict[str, str], dict[str, Any]]]:
    """Each call with none and with each of its parameters alone: (call, query, body)."""
    values: dict[str, Any] = {"string": "x", "boolean": True, "integer": 1, "number": 1.5, "object": {}, "array": []}
    for call, request in calls.items():
        yield call, {}, {}
        for name in request.query:
            yield call, {name: "x"}, {}
        for name, parameter in request.body.items():
            yield call, {}, {name: values[parameter.kinds[0]]}


@pytest.mark.parametrize("release", RELEASES)
def test_the_fake_knows_every_call_and_parameter_that_the_sdk_of_the_date_may_send(
    fake: FakeWhop, release: str
) -> None:
    """Clients other than ours are held against it, too."""
    headers = {"Authorization": f"Bearer {PLATFORM_KEY}", "Api-Version-Date": RELEASES[release]}
    unknown, statuses = [], []
    with http_client() as http:
        for call, query, body in parts(known()[release]):
            method, path = call.replace("{id}", "me" if "/accounts" in call else "x").split()
            sent = None if method == "GET" else body
            answer = http.request(method, fake.api_url + path, params=query, headers=headers, json=sent)
            statuses.append(answer.status_code)
            if "unknown parameter" in answer.text or "Route was not found" in answer.text:
                unknown.append((call, *query, *body))
    assert unknown == []
    assert len(statuses) > 70
    assert {401, 403, 429} & {*statuses} <= {403}  # nothing was refused before it was read


def test_no_call_of_the_client_is_left_out() -> None:
    source = (ROOT / "shared/whop_sync/whop/client.py").read_text()
    named = set(re.findall(r'_call\(\s*f?"([A-Z]+ /[^"]*)"', source))
    assert len(named) >= 8
    assert named <= CALLS


def test_each_generation_is_compared_at_its_default_version() -> None:
    compared = {(enrollment, RELEASES[release]) for enrollment, release in ALLOWED}
    assert {(name, generation.default_version) for name, generation in GENERATIONS.items()} <= compared


@pytest.mark.parametrize(
    ("call", "query", "body", "problem"),
    [
        ("POST /access_tokens", {}, {"company_id": "biz_1"}, ("body", "company_id", "unknown")),
        ("POST /account_links", {}, {"account_id": "biz_1"}, ("body", "use_case", "missing")),
        ("POST /accounts", {}, {"metadata": "text"}, ("body", "metadata", "is string and must be object")),
        ("POST /accounts", {}, {"send_customer_emails": 0}, ("body", "send_customer_emails", "is integer")),
        ("PATCH /users/{id}", {}, {"account_id": "biz_1"}, ("body", "account_id", "unknown")),
        ("PATCH /users/{id}", {}, {"profile_picture": {"url": "x"}}, ("body", "profile_picture.url", "unknown")),
        ("GET /permissions", {"actions": "chat:read"}, {}, ("query", "resource_id", "missing")),
    ],
)
def test_a_request_that_is_wrong_is_found(
    call: str, query: dict[str, str], body: dict[str, Any], problem: tuple[str, str, str]
) -> None:
    found = list(problems(Recorded(call, query, body), known()["2.6.0"][call]))
    assert any(each[:2] == problem[:2] and each[2].startswith(problem[2]) for each in found)
