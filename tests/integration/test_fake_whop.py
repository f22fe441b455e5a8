"""The fake of Whop's API keeps to the rules that are documented or observed, over real HTTP."""

import base64
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from fake_whop import ALL_SCOPES, PLATFORM_COMPANY, PLATFORM_KEY, FakeWhop, Fault, FaultKind, Switches
from fake_whop.files import PART_BYTES
from fake_whop.whop import OPERATION_NAMES, UPLOAD

GUIDE = "2026-07-20"
UNPINNED = "2025-01-01"
NATIVE_FILES = "2026-08-21-1"
LATEST = "2026-10-15-1"
PNG = b"\x89PNG\r\n\x1a\n and so on"
type Json = dict[str, Any]


class Clock:
    """Time that passes only when a test says so."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def whop(clock: Clock) -> Iterator[FakeWhop]:
    with FakeWhop(clock=clock) as running:
        yield running


class Api:
    """A careful client: key and version on every call, no retries."""

    def __init__(self, whop: FakeWhop, *, key: str = PLATFORM_KEY, version: str | None = GUIDE) -> None:
        headers = {"Authorization": f"Bearer {key}"} | ({} if version is None else {"Api-Version-Date": version})
        self.http = httpx.Client(base_url=whop.api_url, headers=headers, timeout=5, trust_env=False)

    def enroll(self, number: int = 1, *, key: str | None = None, **changes: object) -> httpx.Response:
        body: Json = {
            "title": f"Jane ({number})",
            "email": f"jane{number}@acme.test",
            "parent_company_id": PLATFORM_COMPANY,
            "metadata": {"internal_user_id": str(number)},
        }
        body = {name: value for name, value in (body | changes).items() if value is not ...}
        return self.http.post("/companies", json=body, headers={} if key is None else {"Idempotency-Key": key})

    def user(self, number: int = 1) -> str:
        return str(self.enroll(number).json()["owner_user"]["id"])

    def children(self, **query: str | int) -> httpx.Response:
        return self.http.get("/companies", params={"parent_company_id": PLATFORM_COMPANY, **query})

    def set_profile(self, user: str, *, account_id: str | None = PLATFORM_COMPANY, **body: object) -> httpx.Response:
        return self.http.patch(f"/users/{user}", params={"account_id": account_id} if account_id else {}, json=body)

    def profile(self, user: str, *, account_id: str | None = PLATFORM_COMPANY) -> Json:
        params = {"account_id": account_id} if account_id else {}
        return dict(self.http.get(f"/users/{user}", params=params).json())

    def create_file(self, filename: str = "me.png", **body: object) -> Json:
        return dict(self.http.post("/files", json={"filename": filename} | body).json())

    def upload(self, file: Json, content: bytes = PNG) -> httpx.Response:
        return httpx.put(file["upload_url"], headers=file["upload_headers"], content=content, trust_env=False)

    def status(self, file: Json) -> str:
        return str(self.http.get(f"/files/{file['id']}").json()["upload_status"])

    def ready_file(self, filename: str = "me.png") -> str:
        file = self.create_file(filename)
        self.upload(file)
        while self.status(file) != "ready":
            pass
        return str(file["id"])

    def create_account(self, key: str | None = None, **body: object) -> httpx.Response:
        return self.http.post("/accounts", json=body, headers={} if key is None else {"Idempotency-Key": key})


@pytest.fixture
def api(whop: FakeWhop) -> Iterator[Api]:
    client = Api(whop)
    yield client
    client.http.close()


def error(response: httpx.Response) -> Json:
    return dict(response.json()["error"])


# Credentials and scopes


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", PLATFORM_KEY, f"Basic {PLATFORM_KEY}"])
def test_without_a_known_bearer_key_everything_is_401(whop: FakeWhop, authorization: str | None) -> None:
    headers = {"Api-Version-Date": GUIDE} | ({} if authorization is None else {"Authorization": authorization})
    response = httpx.get(f"{whop.api_url}/companies", headers=headers, trust_env=False)
    assert response.status_code == 401
    assert error(response)["type"] == "unauthorized"


@pytest.mark.parametrize(
    ("missing", "method", "path"),
    [
        ("company:create", "POST", "/companies"),
        ("company:basic:read", "POST", "/companies"),
        ("company:basic:read", "GET", "/companies"),
        ("company:basic:read", "GET", f"/companies/{PLATFORM_COMPANY}"),
        ("company:update", "PATCH", f"/companies/{PLATFORM_COMPANY}"),
        ("user:profile:update", "PATCH", "/users/user_x"),
        ("developer:manage_webhook", "POST", "/webhooks"),
        ("developer:manage_webhook", "GET", "/webhooks"),
        ("developer:manage_webhook", "GET", "/webhooks/hook_x"),
        ("developer:manage_webhook", "PATCH", "/webhooks/hook_x"),
        ("developer:manage_webhook", "DELETE", "/webhooks/hook_x"),
        ("payout:account:read", "GET", f"/accounts?parent_account_id={PLATFORM_COMPANY}"),
        ("stats:read", "GET", "/accounts?order=volume"),
        ("stats:read", "GET", "/accounts?volume_min=1"),
    ],
)
def test_a_missing_scope_is_403(whop: FakeWhop, missing: str, method: str, path: str) -> None:
    whop.add_api_key("apik_weak", scopes=ALL_SCOPES - {missing})
    body: Json | None = None if method == "GET" else {}
    response = Api(whop, key="apik_weak").http.request(method, path, json=body)
    assert response.status_code == 403
    assert missing in error(response)["message"]


def test_a_key_reaches_only_its_own_company_and_connected_accounts(whop: FakeWhop, api: Api) -> None:
    whop.add_api_key("apik_other", company_id="biz_other")
    mine, user = api.enroll().json(), api.user(2)
    other = Api(whop, key="apik_other")
    assert other.http.get(f"/companies/{mine['id']}").status_code == 404
    assert other.enroll(3).status_code == 403
    assert other.children().status_code == 403
    assert other.set_profile(user, name="Eve").status_code == 403
    assert whop.profile(user).name is None


# Versions


def test_an_unknown_version_is_400_and_names_the_supported_ones(whop: FakeWhop) -> None:
    response = Api(whop, version="2026-07-21").children()
    assert response.status_code == 400
    assert GUIDE in error(response)["message"]
    assert LATEST in error(response)["message"]


def test_without_a_version_the_pin_of_the_key_holds_which_is_the_latest_by_default(whop: FakeWhop) -> None:
    unpinned = Api(whop, version=None)
    assert unpinned.create_file()["object"] == "file"
    whop.switches.version_without_header = UNPINNED
    assert "object" not in unpinned.create_file()


def test_the_header_wins_over_the_pin(whop: FakeWhop, api: Api) -> None:
    whop.switches.version_without_header = LATEST
    assert "object" not in api.create_file()


@pytest.mark.parametrize(("switch", "status"), [("served", 200), ("gone", 410), ("not_found", 404)])
def test_companies_at_late_versions_are_a_switch(whop: FakeWhop, switch: Any, status: int) -> None:
    whop.switches.companies_at_late_versions = switch
    assert Api(whop, version="2026-09-02-1").children().status_code == status
    assert Api(whop, version="2026-08-25-2").children().status_code == 200


# POST /companies


def test_enrolling_makes_a_connected_account_owned_by_a_new_user(whop: FakeWhop, api: Api) -> None:
    response = api.enroll(7, email="Jane.Doe+x@acme.test", country="us")
    company = response.json()
    assert response.status_code == 200
    assert company["id"].startswith("biz_")
    assert company["owner_user"]["id"].startswith("user_")
    assert company["owner_user"]["username"].startswith("jane-doe-x-")
    assert company["metadata"] == {"internal_user_id": "7"}
    assert [account.id for account in whop.companies()] == [company["id"]]
    assert whop.companies()[0].country == "us"


def test_a_company_has_every_documented_key_and_neither_email_nor_parent(api: Api) -> None:
    assert set(api.enroll().json()) == {
        *("id", "title", "route", "description", "logo", "metadata", "owner_user", "member_count"),
        *("published_reviews_count", "send_customer_emails", "social_links", "target_audience", "verified"),
        *("affiliate_instructions", "featured_affiliate_product", "created_at", "updated_at"),
    }


@pytest.mark.parametrize(
    ("changes", "param"),
    [({"title": ...}, "title"), ({"title": " "}, "title"), ({"email": ...}, "email"), ({"email": None}, "email")],
)
def test_a_missing_field_is_400_with_its_name(api: Api, changes: Json, param: str) -> None:
    response = api.enroll(**changes)
    assert response.status_code == 400
    assert error(response) == {
        "type": "invalid_request_error",
        "code": "parameter_missing",
        "param": param,
        "message": error(response)["message"],
    }


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"country": "US"}, "country"),
        ({"country": "usa"}, "country"),
        ({"name": "Jane"}, "name"),
        ({"title": 7}, "title"),
        ({"metadata": "x"}, "metadata"),
        ({"metadata": {"internal_user_id": 7}}, "metadata.internal_user_id"),
        ({"logo": "file_x"}, "logo"),
        ({"logo": {"id": "file_x"}}, "logo"),
        ({"send_customer_emails": "no"}, "send_customer_emails"),
    ],
)
def test_wrong_and_unknown_fields_are_400(whop: FakeWhop, api: Api, changes: Json, param: str) -> None:
    response = api.enroll(**changes)
    assert (response.status_code, error(response)["param"]) == (400, param)
    assert whop.companies() == []


@pytest.mark.parametrize(
    "email",
    ["jane@example.com", "jane@EXAMPLE.org", "x@mailinator.com", "no-reply@acme.test", "not an address", "@acme.test"],
)
def test_an_undeliverable_email_is_refused(whop: FakeWhop, api: Api, email: str) -> None:
    response = api.enroll(email=email)
    assert response.status_code == 400
    assert "email" in error(response)["message"]
    assert whop.companies() == []


def test_a_title_is_unique_under_its_parent(whop: FakeWhop, api: Api) -> None:
    api.enroll(1)
    response = api.enroll(2, title="Jane (1)")
    assert response.status_code == 400
    assert error(response)["message"] == "You have already created an account with the same name"
    assert len(whop.companies()) == 1
    assert whop.users()[-1].email == "jane1@acme.test", "a refused call makes no user"


def test_another_parent_may_have_the_same_title(whop: FakeWhop, api: Api) -> None:
    whop.add_api_key("apik_other", company_id="biz_other")
    api.enroll(1)
    assert Api(whop, key="apik_other").enroll(1, parent_company_id="biz_other").status_code == 200


@pytest.mark.parametrize("status", [409, 422])
def test_the_status_of_a_duplicate_title_is_a_switch(whop: FakeWhop, api: Api, status: int) -> None:
    whop.switches.duplicate_title_status = status
    api.enroll(1)
    assert api.enroll(1).status_code == status


def test_a_known_email_keeps_its_whop_user(whop: FakeWhop, api: Api) -> None:
    """So two platform users with one e-mail end on one Whop user."""
    first = api.enroll(1).json()
    second = api.enroll(2, email="JANE1@acme.test").json()
    assert first["owner_user"] == second["owner_user"]
    assert first["id"] != second["id"]
    assert api.user(3) != first["owner_user"]["id"]
    known = whop.add_user(email="kim@acme.test", name="Kim")
    assert api.enroll(4, email="kim@acme.test").json()["owner_user"]["id"] == known.id


def test_a_title_limit_is_a_switch(whop: FakeWhop, api: Api) -> None:
    assert api.enroll(1, title="x" * 300).status_code == 200
    whop.switches.title_limit = 80
    assert api.enroll(2, title="x" * 81).status_code == 400


def test_without_a_parent_the_company_is_not_a_connected_account(whop: FakeWhop, api: Api) -> None:
    assert api.enroll(parent_company_id=...).status_code == 200
    assert whop.companies() == []


# Form of requests


@pytest.mark.parametrize(
    ("content", "content_type"),
    [(b"title=x", "application/x-www-form-urlencoded"), (b"{", "application/json"), (b"[]", "application/json")],
)
def test_anything_but_a_json_object_is_400(api: Api, content: bytes, content_type: str) -> None:
    response = api.http.post("/companies", content=content, headers={"Content-Type": content_type})
    assert response.status_code == 400
    assert error(response)["code"] == "invalid_json"


@pytest.mark.parametrize(
    "query",
    ["email=x", "first=0", "first=x", "direction=up", "created_after=now", "created_before=2026-01-01", "after=x"],
)
def test_a_wrong_query_is_400_with_the_name_of_the_parameter(api: Api, query: str) -> None:
    response = api.http.get(f"/companies?parent_company_id={PLATFORM_COMPANY}&{query}")
    assert response.status_code == 400
    assert error(response)["param"] == query.partition("=")[0]


@pytest.mark.parametrize(
    ("method", "path", "body", "name"),
    [
        ("GET", "/accounts?order=title", None, "order"),
        ("GET", "/accounts/search", None, "query"),
        ("GET", "/permissions", None, "resource_id"),
        ("GET", "/permissions?resource_id=user_1", None, "resource_id"),
        ("POST", "/webhooks", {}, "url"),
        ("POST", "/files", {}, "filename"),
        ("POST", "/accounts", {"email": "jane@acme.test", "metadata": {"a": 1}}, "metadata"),
        ("PATCH", f"/companies/{PLATFORM_COMPANY}", {"title": 5}, "title"),
    ],
)
def test_what_is_missing_or_wrong_is_400_and_named(
    api: Api, method: str, path: str, body: Json | None, name: str
) -> None:
    response = api.http.request(method, path, json=body)
    assert response.status_code == 400
    assert name in error(response)["message"]


def test_what_an_account_gets_later_is_checked_as_well(api: Api) -> None:
    path = f"/accounts/{api.create_account(email='jane@acme.test').json()['id']}"
    assert "metadata" in error(api.http.patch(path, json={"metadata": {"a": 1}}))["message"]
    assert api.http.get("/accounts", params={"parent_account_id": "biz_other"}).status_code == 403


def test_a_username_is_one_word_and_a_banner_is_not_set_here(whop: FakeWhop) -> None:
    api = Api(whop, version=UNPINNED)
    user = api.user()
    for name, value in (("username", "two words"), ("username", None), ("banner", {"id": "file_1"})):
        assert error(api.set_profile(user, account_id=None, **{name: value}))["param"] == name


def test_a_body_of_unknown_length_is_411(api: Api) -> None:
    assert api.http.post("/companies", content=iter([b"{}"])).status_code == 411


def test_a_repeated_query_parameter_is_400(api: Api) -> None:
    assert api.http.get("/companies?first=1&first=2").status_code == 400


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nothing"), ("PUT", "/companies"), ("DELETE", "/companies/biz_x")]
)
def test_an_unknown_route_is_404(api: Api, method: str, path: str) -> None:
    assert api.http.request(method, path).status_code == 404


def test_native_errors_have_no_param_and_another_type(api: Api) -> None:
    response = api.create_account()
    assert response.status_code == 400
    assert error(response) == {
        "type": "invalid_parameters",
        "code": "parameter_missing",
        "message": error(response)["message"],
    }


def test_the_request_id_header_is_a_switch(whop: FakeWhop, api: Api) -> None:
    assert api.children().headers["x-request-id"] != api.children().headers["x-request-id"]
    whop.switches.request_id_header = None
    assert "x-request-id" not in api.children().headers


# GET and PATCH /companies


def titles(page: httpx.Response) -> list[str]:
    return [company["title"] for company in page.json()["data"]]


def test_lists_page_by_cursor_ten_at_a_time_and_fifty_at_most(api: Api, clock: Clock) -> None:
    for number in range(53):
        clock.passes(1)
        api.enroll(number)
    first = api.children()
    assert titles(first) == [f"Jane ({number})" for number in range(52, 42, -1)]
    info = first.json()["page_info"]
    assert (info["has_next_page"], info["has_previous_page"]) == (True, False)
    second = api.children(after=info["end_cursor"], first=500)
    assert len(titles(second)) == 43
    assert second.json()["page_info"]["has_next_page"] is False
    assert second.json()["page_info"]["has_previous_page"] is True
    assert len(titles(api.children(first=500))) == 50
    back = api.children(last=3, before=second.json()["page_info"]["start_cursor"])
    assert titles(back) == titles(first)[-3:]
    assert titles(api.children(last=2)) == ["Jane (1)", "Jane (0)"]


def test_an_empty_list_has_null_cursors(api: Api) -> None:
    assert api.children().json() == {
        "data": [],
        "page_info": {"start_cursor": None, "end_cursor": None, "has_next_page": False, "has_previous_page": False},
    }


def test_the_order_of_a_list_is_a_switch_and_a_parameter(whop: FakeWhop, api: Api, clock: Clock) -> None:
    for number in range(3):
        clock.passes(1)
        api.enroll(number)
    assert titles(api.children())[0] == "Jane (2)"
    assert titles(api.children(direction="asc"))[0] == "Jane (0)"
    whop.switches.list_order = "asc"
    assert titles(api.children())[0] == "Jane (0)"
    assert titles(api.children(direction="desc"))[0] == "Jane (2)"


def test_a_list_can_be_cut_by_time_of_creation(api: Api, clock: Clock) -> None:
    for number in range(3):
        clock.passes(10)
        api.enroll(number)
    middle = datetime.fromtimestamp(clock.now - 10, UTC)
    assert titles(api.children(created_after=middle.isoformat())) == ["Jane (2)"]
    assert titles(api.children(created_before=middle.isoformat().replace("+00:00", "Z"))) == ["Jane (0)"]


def test_a_list_may_lag_behind(whop: FakeWhop, api: Api, clock: Clock) -> None:
    whop.switches.list_lag = 30
    company = api.enroll().json()
    assert titles(api.children()) == []
    assert api.http.get(f"/companies/{company['id']}").status_code == 200
    clock.passes(30)
    assert titles(api.children()) == ["Jane (1)"]


def test_list_items_carry_owner_and_metadata_but_not_everything(api: Api) -> None:
    company = api.enroll().json()
    item = api.children().json()["data"][0]
    assert item["owner_user"] == company["owner_user"]
    assert item["metadata"] == {"internal_user_id": "1"}
    assert company.keys() - item.keys() == {"affiliate_instructions", "featured_affiliate_product", "social_links"}


def test_without_a_parent_only_the_own_company_is_listed(whop: FakeWhop, api: Api) -> None:
    api.enroll()
    assert titles(api.http.get("/companies")) == ["The platform"]
    whop.switches.list_without_parent = "own_and_children"
    assert len(titles(api.http.get("/companies"))) == 2


def test_a_company_is_found_by_id_and_by_route(api: Api) -> None:
    company = api.enroll().json()
    assert api.http.get(f"/companies/{company['id']}").json() == company
    assert api.http.get(f"/companies/{company['route']}").json() == company
    assert api.http.get("/companies/biz_nothing").status_code == 404


def test_a_change_touches_only_the_fields_sent(api: Api, clock: Clock) -> None:
    before = api.enroll(description="About Jane").json()
    clock.passes(5)
    after = api.http.patch(f"/companies/{before['id']}", json={"title": "Janet"}).json()
    assert after == before | {"title": "Janet", "updated_at": after["updated_at"]}
    assert after["updated_at"] > before["updated_at"]


def test_metadata_of_a_company_can_not_be_changed_unless_switched_on(whop: FakeWhop, api: Api) -> None:
    path = f"/companies/{api.enroll().json()['id']}"
    assert error(api.http.patch(path, json={"metadata": {"a": "b"}}))["param"] == "metadata"
    whop.switches.metadata_in_company_update = True
    assert api.http.patch(path, json={"metadata": {"a": "b"}}).json()["metadata"] == {"a": "b"}


def test_unique_titles_on_update_are_a_switch(whop: FakeWhop, api: Api) -> None:
    api.enroll(1)
    path = f"/companies/{api.enroll(2).json()['id']}"
    assert api.http.patch(path, json={"title": "Jane (1)"}).status_code == 200
    whop.switches.unique_title_on_update = True
    assert api.http.patch(path, json={"title": "Jane (2)"}).status_code == 200
    assert api.http.patch(path, json={"title": "Jane (2)"}).status_code == 200, "its own title is no duplicate"
    api.enroll(3)
    assert api.http.patch(path, json={"title": "Jane (3)"}).status_code == 400


def test_a_logo_is_a_ready_image(api: Api) -> None:
    company = api.enroll(logo={"id": api.ready_file()}).json()
    assert httpx.get(company["logo"]["url"], trust_env=False).content == PNG
    assert error(api.enroll(2, logo={"id": api.ready_file("me.webp")}))["param"] == "logo"


# Users


def test_a_name_is_set_for_one_company_and_the_global_one_stays(whop: FakeWhop, api: Api) -> None:
    user = whop.add_user(email="kim@acme.test", name="Kim", member_of=PLATFORM_COMPANY).id
    response = api.set_profile(user, name="Kimberly")
    assert response.status_code == 200
    assert response.json()["name"] == "Kimberly"
    assert api.profile(user)["name"] == "Kimberly"
    assert api.profile(user, account_id=None)["name"] == "Kim"
    assert whop.profile(user).name == "Kimberly"


def test_null_clears_an_override_and_an_absent_field_leaves_it(whop: FakeWhop, api: Api) -> None:
    user = api.user()
    file = api.ready_file()
    api.set_profile(user, name="Jane", profile_picture={"id": file})
    api.set_profile(user, name=None)
    assert (whop.profile(user).name, whop.picture(user)) == (None, PNG)
    api.set_profile(user, name="Janet")
    api.set_profile(user, profile_picture=None)
    assert (whop.profile(user).name, whop.picture(user)) == ("Janet", None)
    whop.switches.null_clears = False
    assert api.set_profile(user, name=None).status_code == 400


def test_overrides_of_two_companies_are_apart(api: Api) -> None:
    company = api.enroll().json()
    user = company["owner_user"]["id"]
    api.set_profile(user, name="Jane")
    api.set_profile(user, account_id=company["id"], name="The boss")
    assert api.profile(user)["name"] == "Jane"
    assert api.profile(user, account_id=company["id"])["name"] == "The boss"


def test_a_name_has_at_most_100_characters(api: Api) -> None:
    user = api.user()
    assert api.set_profile(user, name="é" * 100).status_code == 200
    response = api.set_profile(user, name="é" * 101)
    assert response.status_code == 400
    assert api.profile(user)["name"] == "é" * 100


def test_an_api_key_must_name_the_account(whop: FakeWhop, api: Api) -> None:
    user = api.user()
    assert api.set_profile(user, account_id=None, name="Jane").status_code == 400
    whop.switches.missing_account_id_status = 403
    assert api.set_profile(user, account_id=None, name="Jane").status_code == 403
    assert whop.profile(user).name is None


def test_a_company_id_in_the_body_is_ignored_at_current_versions(whop: FakeWhop, api: Api) -> None:
    user, other = api.user(), api.enroll(2).json()["id"]
    assert api.set_profile(user, account_id=None, name="Jane", company_id=PLATFORM_COMPANY).status_code == 400
    assert api.set_profile(user, name="Jane", company_id=other).status_code == 200
    assert whop.profile(user, other).name is None
    whop.switches.company_id_in_body = "reject"
    assert api.set_profile(user, name="Jane", company_id=PLATFORM_COMPANY).status_code == 400
    whop.switches.company_id_in_body = "honour"
    assert api.set_profile(user, account_id=None, name="Joan", company_id=PLATFORM_COMPANY).status_code == 200
    assert whop.profile(user).name == "Joan"


def test_before_the_change_the_company_goes_into_the_body(whop: FakeWhop) -> None:
    api = Api(whop, version=UNPINNED)
    user = api.user()
    assert api.set_profile(user, account_id=None, name="Jane", company_id=PLATFORM_COMPANY).json()["name"] == "Jane"
    assert error(api.set_profile(user, name="Joan"))["param"] == "account_id"
    assert error(api.set_profile(user, account_id=None, account="x"))["type"] == "invalid_request_error"
    assert whop.profile(user).name == "Jane"
    shown = api.http.get(f"/users/{user}", params={"company_id": PLATFORM_COMPANY})
    assert shown.json()["name"] == "Jane"
    assert error(api.http.get(f"/users/{user}", params={"account_id": PLATFORM_COMPANY}))["param"] == "account_id"
    api.set_profile(user, account_id=None, name="Everywhere")
    assert api.profile(user, account_id=None)["name"] == "Everywhere"


def test_the_old_name_of_the_account_is_refused_when_a_user_is_read_later(api: Api) -> None:
    response = api.http.get(f"/users/{api.user()}", params={"company_id": PLATFORM_COMPANY})
    assert (response.status_code, error(response)["message"]) == (400, "company_id: unknown parameter")


def test_the_version_that_moves_account_id_is_a_switch(whop: FakeWhop) -> None:
    june = Api(whop, version="2026-06-20")
    user = june.user()
    assert june.set_profile(user, name="Jane").status_code == 200
    whop.switches.query_account_id_since = "2026-07-08-1"
    assert june.set_profile(user, name="Jane").status_code == 400


@pytest.mark.parametrize(("stranger", "status"), [("forbidden", 403), ("not_found", 404), ("accept", 200)])
def test_a_user_of_no_account_here_is_a_stranger(whop: FakeWhop, api: Api, stranger: Any, status: int) -> None:
    whop.switches.stranger = stranger
    user = whop.add_user(email="eve@acme.test").id
    assert api.set_profile(user, name="Eve").status_code == status


def test_owners_and_members_belong_to_the_company(whop: FakeWhop, api: Api) -> None:
    member = whop.add_user(email="kim@acme.test", member_of=PLATFORM_COMPANY)
    assert api.set_profile(member.id, name="Kim").status_code == 200
    assert api.set_profile(api.user(), name="Jane").status_code == 200


def test_users_are_searched_by_name_and_username_and_a_key_follows_none(whop: FakeWhop, api: Api) -> None:
    whop.add_user(email="bob@people.test", name="Zoe Bright")
    user = api.user()
    for words, found in (("bright", ["Zoe Bright"]), ("jane1", [None]), ("acme.test", [])):
        assert [each["name"] for each in api.http.get("/users", params={"query": words}).json()["data"]] == found
    assert api.http.get("/users", params={"query": "jane"}).json()["data"][0]["id"] == user
    assert api.http.get("/users").json()["data"] == []


def test_a_user_is_found_by_id_and_username_but_not_by_email(api: Api) -> None:
    owner = api.enroll().json()["owner_user"]
    assert api.profile(owner["username"])["id"] == owner["id"]
    assert api.http.get("/users/jane1@acme.test").status_code == 404
    assert api.http.get("/users/user_unknown").status_code == 404
    assert api.set_profile("user_unknown", name="x").status_code == 404
    assert api.set_profile(owner["id"], account_id="biz_nothing", name="x").status_code == 404
    assert api.set_profile("me", name="x").status_code == 403


@pytest.mark.parametrize("field", ["bio", "username"])
def test_only_name_and_picture_differ_per_company(whop: FakeWhop, api: Api, field: str) -> None:
    user = api.user()
    assert api.set_profile(user, **{field: "something"}).status_code == 400
    whop.switches.other_fields_in_override = "ignore"
    assert api.set_profile(user, **{field: "something"}).json()[field] != "something"


def test_what_an_update_answers_is_a_switch(whop: FakeWhop, api: Api) -> None:
    whop.switches.update_shows = "global"
    user = api.user()
    assert api.set_profile(user, name="Jane").json()["name"] is None
    assert api.profile(user)["name"] == "Jane"


def test_a_current_user_always_has_a_picture_and_a_legacy_one_may_not(whop: FakeWhop, api: Api) -> None:
    user = api.user()
    generated = httpx.get(api.profile(user)["profile_picture"]["url"], trust_env=False)
    assert generated.headers["content-type"] == "image/svg+xml"
    assert Api(whop, version=UNPINNED).profile(user, account_id=None)["profile_picture"] is None
    whop.switches.placeholder_pictures = False
    assert api.profile(user)["profile_picture"] is None


def test_the_legacy_user_is_short_and_the_current_one_has_all_documented_keys(whop: FakeWhop, api: Api) -> None:
    user = api.user()
    short = set(Api(whop, version=UNPINNED).profile(user, account_id=None))
    assert short == {"id", "username", "name", "bio", "created_at", "profile_picture"}
    current = {
        "balance",
        "balance_history",
        "banner",
        "earnings_usd",
        "email",
        "verification",
        "whop_partner_enabled_at",
    }
    assert set(api.profile(user)) > short | current


# Pictures


def test_an_attached_picture_is_served_from_another_host(whop: FakeWhop, api: Api) -> None:
    user = api.user()
    picture = api.set_profile(user, profile_picture={"id": api.ready_file()}).json()["profile_picture"]["url"]
    served = httpx.get(picture, trust_env=False)
    assert (served.content, served.headers["content-type"]) == (PNG, "image/png")
    assert not picture.startswith(whop.control_url)
    assert whop.picture(user) == PNG
    assert api.profile(user)["profile_picture"]["url"] == picture


def test_only_an_own_file_that_is_ready_can_be_attached(whop: FakeWhop, api: Api) -> None:
    user, pending, failed = api.user(), api.create_file(), api.create_file("fail.png")
    whop.add_api_key("apik_second")
    foreign = Api(whop, key="apik_second").ready_file()
    api.upload(failed)
    while api.status(failed) == "processing":
        pass
    for picture in ({"id": "file_unknown"}, {"id": pending["id"]}, {"id": failed["id"]}, {"id": foreign}, {}):
        response = api.set_profile(user, name="Jane", profile_picture=picture)
        assert (response.status_code, whop.profile(user).name) == (400, None)
    whop.switches.attach_unready_file = True
    assert api.set_profile(user, profile_picture={"id": pending["id"]}).status_code == 200
    assert api.set_profile(user, profile_picture={"id": failed["id"]}).status_code == 400


# Files


def test_a_file_goes_from_pending_through_processing_to_ready(whop: FakeWhop, api: Api) -> None:
    file = api.create_file("me.jpg")
    assert file["upload_status"] == "pending"
    assert file["upload_headers"] == {"Content-Type": "image/jpeg"}
    assert file["visibility"] == "private"
    assert (file["url"], file["size"]) == (None, None)
    assert api.status(file) == "pending"
    assert api.upload(file).is_success
    assert [api.status(file), api.status(file)] == ["processing", "ready"]
    assert whop.file(file["id"]).content == PNG
    assert whop.file_count == 1


@pytest.mark.parametrize("polls", [0, 3])
def test_how_long_processing_takes_is_a_switch(whop: FakeWhop, api: Api, polls: int) -> None:
    whop.switches.processing_polls = polls
    file = api.create_file()
    api.upload(file)
    assert [api.status(file) for _ in range(polls + 1)] == ["processing"] * polls + ["ready"]


def test_a_file_with_the_trigger_in_its_name_fails(api: Api) -> None:
    file = api.create_file("will-fail.png")
    api.upload(file)
    assert [api.status(file), api.status(file)] == ["processing", "failed"]


def test_the_size_is_text_before_the_native_files_and_a_number_from_then_on(whop: FakeWhop, api: Api) -> None:
    native = Api(whop, version=NATIVE_FILES)
    for client, size in ((api, str(len(PNG))), (native, len(PNG))):
        assert client.http.get(f"/files/{client.ready_file()}").json()["size"] == size
    assert "object" not in api.create_file()
    assert native.create_file()["object"] == "file"
    assert "upload_url" not in api.http.get(f"/files/{api.ready_file()}").json()


def test_the_upload_needs_exactly_the_headers_given_and_no_credential(whop: FakeWhop, api: Api) -> None:
    file = api.create_file()
    url = file["upload_url"]
    assert not url.startswith(whop.control_url)
    for target, headers in (
        (url, {}),
        (url, {"Content-Type": "image/jpeg"}),
        (url, {"Content-Type": "image/png", "Authorization": f"Bearer {PLATFORM_KEY}"}),
        (url[:-1], {"Content-Type": "image/png"}),
        (url.replace(file["id"], "file_other"), {"Content-Type": "image/png"}),
    ):
        assert httpx.put(target, headers=headers, content=PNG, trust_env=False).status_code == 403
    assert api.status(file) == "pending"


def test_an_upload_url_lives_one_hour(api: Api, clock: Clock) -> None:
    file = api.create_file()
    clock.passes(3600)
    assert api.upload(file).status_code == 403
    clock.passes(-1)
    assert api.upload(file).status_code == 200


@pytest.mark.parametrize("version", [GUIDE, NATIVE_FILES])
def test_only_the_creating_credential_can_read_a_file(whop: FakeWhop, version: str) -> None:
    whop.add_api_key("apik_second")
    file = Api(whop, version=version).create_file()
    assert Api(whop, key="apik_second", version=version).http.get(f"/files/{file['id']}").status_code == 404
    whop.switches.legacy_files_creator_only = False
    legacy = Api(whop, key="apik_second").http.get(f"/files/{file['id']}")
    assert legacy.status_code == 200


@pytest.mark.parametrize(
    ("version", "body", "param"),
    [
        (GUIDE, {}, "filename"),
        (GUIDE, {"filename": "picture"}, "filename"),
        (GUIDE, {"filename": "me.png", "content_type": "image/png"}, "content_type"),
        (GUIDE, {"filename": "me.png", "visibility": "secret"}, "visibility"),
        (GUIDE, {"filename": "me.png", "byte_size": 3}, "byte_size"),
    ],
)
def test_a_wrong_file_is_400(whop: FakeWhop, version: str, body: Json, param: str) -> None:
    response = Api(whop, version=version).http.post("/files", json=body)
    assert (response.status_code, error(response)["param"]) == (400, param)


def test_native_files_take_a_byte_size_and_are_answered_201(whop: FakeWhop) -> None:
    native = Api(whop, version=NATIVE_FILES)
    body = {"filename": "me.png", "byte_size": 3, "visibility": "public"}
    assert native.http.post("/files", json=body).status_code == 201
    assert Api(whop).http.post("/files", json={"filename": "me.png"}).status_code == 200


def test_files_are_listed_by_their_ids_newest_first_and_only_to_their_creator(whop: FakeWhop, clock: Clock) -> None:
    native = Api(whop, version=NATIVE_FILES)
    whop.add_api_key("apik_second")
    ids = []
    for _ in range(3):
        ids.append(native.create_file()["id"])
        clock.passes(1)
    theirs = Api(whop, key="apik_second", version=NATIVE_FILES).create_file()["id"]
    wanted = {"file_ids": [ids[0], ids[2], theirs, "file_unknown"]}
    listed = native.http.get("/files", params=wanted).json()
    assert [file["id"] for file in listed["data"]] == [ids[2], ids[0]]
    assert listed["data"][0] == native.http.get(f"/files/{ids[2]}").json()
    page = native.http.get("/files", params={**wanted, "first": 1, "direction": "asc"}).json()
    assert [file["id"] for file in page["data"]] == [ids[0]]
    rest = native.http.get("/files", params={**wanted, "direction": "asc", "after": page["page_info"]["end_cursor"]})
    assert [file["id"] for file in rest.json()["data"]] == [ids[2]]
    for wrong in ({}, {"file_ids": ["file_x"] * 251}, {**wanted, "order": "size"}, {**wanted, "direction": "up"}):
        assert native.http.get("/files", params=wrong).status_code == 400


MULTIPART: Json = {"filename": "film.mp4", "multipart": True, "byte_size": PART_BYTES + 1}


def upload_parts(file: Json) -> list[Json]:
    """What the completion has to name."""
    parts = []
    for part in file["multipart_upload_urls"]:
        content = bytes([part["part_number"]]) * (PART_BYTES if part["part_number"] == 1 else 1)
        answer = httpx.put(part["url"], content=content, trust_env=False)
        parts.append({"part_number": part["part_number"], "etag": answer.headers["etag"]})
    return parts


def test_a_large_file_is_uploaded_in_parts_and_completed(whop: FakeWhop) -> None:
    native = Api(whop, version=NATIVE_FILES)
    file = native.create_file(**MULTIPART)
    assert (file["upload_url"], file["upload_headers"], file["multipart_chunk_size"]) == (None, {}, PART_BYTES)
    parts = upload_parts(file)
    assert [part["part_number"] for part in parts] == [1, 2]
    path, upload = f"/files/{file['id']}/complete", file["multipart_upload_id"]
    for wrong in (
        {"multipart_upload_id": "other", "multipart_parts": parts},
        {"multipart_upload_id": upload, "multipart_parts": parts[:1]},
        {"multipart_upload_id": upload, "multipart_parts": parts[::-1]},
        {"multipart_upload_id": upload, "multipart_parts": [{**part, "etag": "x"} for part in parts]},
        {"multipart_upload_id": upload},
    ):
        assert native.http.post(path, json=wrong).status_code == 400
    assert native.status(file) == "pending"
    done = native.http.post(path, json={"multipart_upload_id": upload, "multipart_parts": parts})
    assert (done.status_code, done.json()["upload_status"]) == (200, "processing")
    assert [native.status(file), native.status(file)] == ["processing", "ready"]
    assert whop.file(file["id"]).content == b"\x01" * PART_BYTES + b"\x02"
    assert native.http.post(path, json={"multipart_upload_id": upload, "multipart_parts": parts}).status_code == 400


def test_a_part_must_be_one_of_those_that_were_announced_and_in_time(whop: FakeWhop, clock: Clock) -> None:
    part = Api(whop, version=NATIVE_FILES).create_file(**MULTIPART)["multipart_upload_urls"][0]
    for url in (part["url"].replace("part=1", "part=3"), part["url"].replace("part=1&", "")):
        assert httpx.put(url, content=b"x", trust_env=False).status_code == 403
    clock.passes(900)
    assert httpx.put(part["url"], content=b"x", trust_env=False).status_code == 403


def test_an_upload_without_all_of_its_parts_is_not_completed(whop: FakeWhop) -> None:
    native = Api(whop, version=NATIVE_FILES)
    file = native.create_file(**MULTIPART)
    file["multipart_upload_urls"].pop()
    body = {"multipart_upload_id": file["multipart_upload_id"], "multipart_parts": upload_parts(file)}
    assert native.http.post(f"/files/{file['id']}/complete", json=body).status_code == 400


@pytest.mark.parametrize("size", [None, PART_BYTES, PART_BYTES * 10_000 + 1])
def test_an_upload_in_parts_names_a_size_that_needs_them(whop: FakeWhop, size: int | None) -> None:
    body = {**MULTIPART, "byte_size": size}
    assert Api(whop, version=NATIVE_FILES).http.post("/files", json=body).status_code == 400


def test_a_file_may_be_ready_at_once(whop: FakeWhop, api: Api) -> None:
    whop.switches.files_ready_at_once = True
    file = api.create_file()
    assert (file["upload_status"], file["upload_url"]) == ("ready", None)


# Access tokens


def claims(token: str) -> Json:
    payload = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))


def test_a_chat_token_names_user_and_scopes_and_ends_after_an_hour(api: Api, clock: Clock) -> None:
    body = {"company_id": PLATFORM_COMPANY, "user_id": api.user(), "scoped_actions": ["chat:read"]}
    response = api.http.post("/access_tokens", json=body)
    assert response.status_code == 200
    expires = datetime.fromisoformat(response.json()["expires_at"]).timestamp()
    assert expires == clock.now + 3600
    assert claims(response.json()["token"])["sub"] == body["user_id"]
    assert claims(response.json()["token"])["scopes"] == ["chat:read"]


def test_without_scopes_a_token_inherits_all(api: Api) -> None:
    token = api.http.post("/access_tokens", json={"company_id": PLATFORM_COMPANY, "user_id": api.user()}).json()[
        "token"
    ]
    assert set(claims(token)["scopes"]) == ALL_SCOPES


def test_wrong_tokens_are_refused(whop: FakeWhop, api: Api, clock: Clock) -> None:
    user, stranger = api.user(), whop.add_user(email="eve@acme.test").id
    whop.add_api_key("apik_other", company_id="biz_other")

    def status(**body: object) -> int:
        return api.http.post("/access_tokens", json=body).status_code

    later = datetime.fromtimestamp(clock.now + 3 * 3600 + 1, UTC).isoformat()
    assert status() == 400
    assert status(user_id=user, expires_at=later) == 400
    assert status(user_id=user, account_id=PLATFORM_COMPANY) == 400
    assert status(user_id="user_unknown") == 404
    assert status(user_id=stranger) == 403
    assert status(company_id="biz_other") == 403
    assert status(user_id=user, scoped_actions=["company:delete"]) == 403


def test_from_2026_09_02_2_tokens_take_account_id(whop: FakeWhop) -> None:
    new, old = Api(whop, version="2026-09-15"), Api(whop, version="2026-09-02-1")
    for client, field, wrong in ((new, "account_id", "company_id"), (old, "company_id", "account_id")):
        assert client.http.post("/access_tokens", json={field: PLATFORM_COMPANY}).status_code == 200
        assert client.http.post("/access_tokens", json={wrong: PLATFORM_COMPANY}).status_code == 400


# Accounts


def test_an_account_is_created_under_the_company_of_the_key(whop: FakeWhop) -> None:
    api = Api(whop, version=LATEST)
    response = api.create_account(email="jane@acme.test", external_id="1", metadata={"a": "b"}, country="US")
    account = response.json()
    assert response.status_code == 201
    assert account["parent_account"]["id"] == PLATFORM_COMPANY
    assert (account["title"], account["email"], account["metadata"]) == ("1", "jane@acme.test", {"a": "b"})
    assert account["owner"]["id"] == whop.profile("jane@acme.test").id
    assert api.create_account(email="joe@acme.test").json()["title"] == "joe@acme.test"


def test_the_same_email_and_external_id_return_the_existing_account(whop: FakeWhop) -> None:
    api = Api(whop, version=LATEST)
    first = api.create_account(email="jane@acme.test", external_id="1").json()
    again = api.create_account(email="Jane@acme.test", external_id="1")
    assert (again.status_code, again.json()["id"]) == (200, first["id"])
    whop.switches.existing_account_status = 201
    assert api.create_account(email="jane@acme.test", metadata={"external_id": "1"}).status_code == 201
    assert len(whop.companies()) == 1


def test_a_new_external_id_is_a_new_account_even_for_a_known_email(whop: FakeWhop) -> None:
    api = Api(whop, version=LATEST)
    first, second = (api.create_account(email="jane@acme.test", external_id=number).json() for number in "12")
    assert first["id"] != second["id"]
    assert first["owner"]["id"] == second["owner"]["id"]


def test_an_external_id_with_another_email_is_409(whop: FakeWhop) -> None:
    api = Api(whop, version=LATEST)
    api.create_account(email="jane@acme.test", external_id="1")
    response = api.create_account(email="joe@acme.test", external_id="1")
    assert (response.status_code, error(response)["type"]) == (409, "conflict")
    assert len(whop.companies()) == 1


def test_without_an_external_id_the_account_of_that_email_is_returned(whop: FakeWhop) -> None:
    api = Api(whop, version=LATEST)
    api.create_account(email="jane@acme.test", external_id="1")
    first = api.create_account(email="jane@acme.test").json()
    assert api.create_account(email="jane@acme.test").json()["id"] == first["id"]
    assert len(whop.companies()) == 2


def test_whether_metadata_still_names_the_external_id_is_a_switch(whop: FakeWhop) -> None:
    api = Api(whop, version=LATEST)
    whop.switches.metadata_external_id_counts = False
    first, second = (api.create_account(email="j@acme.test", metadata={"external_id": n}).json() for n in "12")
    assert first["id"] == second["id"]


@pytest.mark.parametrize(
    "body",
    [
        {"title": "x"},
        {"email": "jane@example.com"},
        {"email": "jane@acme.test", "external_id": "a%"},
        {"email": "jane@acme.test", "parent_company_id": PLATFORM_COMPANY},
        {"email": "jane@acme.test", "country": "us"},
    ],
)
def test_a_wrong_account_is_400(whop: FakeWhop, body: Json) -> None:
    assert Api(whop, version=LATEST).create_account(**body).status_code == 400
    assert whop.companies() == []


def test_accounts_are_listed_found_and_changed(whop: FakeWhop) -> None:
    api = Api(whop, version=LATEST)
    jane = api.create_account(email="jane@acme.test", external_id="u-1").json()
    joe = api.create_account(email="joe@acme.test", external_id="U-1", title="Joe's shop").json()

    def ids(**query: str) -> set[str]:
        return {account["id"] for account in api.http.get("/accounts", params=query).json()["data"]}

    assert ids() == {PLATFORM_COMPANY, jane["id"], joe["id"]}
    assert ids(parent_account_id=PLATFORM_COMPANY) == {jane["id"], joe["id"]}
    assert ids(external_id="u-1") == {jane["id"]}
    assert ids(external_id="u%") == {jane["id"]}
    assert ids(query="shop") == {joe["id"]}
    assert ids(owner_id=jane["owner"]["id"]) == {jane["id"]}
    both = {"owner_id": jane["owner"]["id"], "parent_account_id": PLATFORM_COMPANY}
    assert api.http.get("/accounts", params=both).status_code == 400
    assert api.http.get("/accounts", params={"order": "volume"}).status_code == 403
    assert api.http.get("/accounts/me").json()["id"] == PLATFORM_COMPANY
    assert api.http.get(f"/accounts/{jane['id']}").json() == jane | {"status": "active"}
    changed = api.http.patch(f"/accounts/{jane['id']}", json={"metadata": {"a": "b"}, "external_id": "u-2"}).json()
    assert (changed["metadata"], ids(external_id="u-2")) == ({"a": "b"}, {jane["id"]})


def test_a_company_and_an_account_are_one_object(whop: FakeWhop, api: Api) -> None:
    """Given a company, when it is read and changed as an account, then the company shows it."""
    company = api.enroll(1, country="us").json()
    account = Api(whop, version=LATEST).http.get(f"/accounts/{company['id']}").json()
    assert (account["title"], account["owner"]["id"]) == (company["title"], company["owner_user"]["id"])
    assert (account["email"], account["country"]) == ("jane1@acme.test", "us")
    Api(whop, version=LATEST).http.patch(f"/accounts/{company['id']}", json={"title": "Blank"}).raise_for_status()
    assert api.http.get(f"/companies/{company['id']}").json()["title"] == "Blank"


def test_mail_to_customers_is_off_for_accounts_and_on_for_companies_by_default(api: Api) -> None:
    assert api.create_account(email="a@acme.test").json()["send_customer_emails"] is False
    assert api.enroll(1).json()["send_customer_emails"] is True
    assert api.enroll(2, send_customer_emails=False).json()["send_customer_emails"] is False


def test_the_owner_of_a_new_account_may_get_mail_which_is_a_switch(whop: FakeWhop, api: Api) -> None:
    api.create_account(email="a@acme.test")
    api.create_account(email="a@acme.test")  # returns the first one
    state = httpx.get(f"{whop.control_url}/_fake/state", trust_env=False).json()
    assert [mail["email"] for mail in state["owner_mails"]] == ["a@acme.test"]
    whop.switches.owner_mail = False
    api.create_account(email="b@acme.test")
    state = httpx.get(f"{whop.control_url}/_fake/state", trust_env=False).json()
    assert len(state["owner_mails"]) == 1


def test_a_connected_account_without_money_can_be_deleted_for_good(whop: FakeWhop) -> None:
    api = Api(whop, version=LATEST)
    account = api.create_account(email="jane@acme.test", external_id="1").json()["id"]
    whop.set_balance(account, 5)
    assert api.http.delete(f"/accounts/{account}").status_code == 400
    assert control(whop, "balances", {"account_id": account, "balance": 0}).status_code == 200
    deleted = api.http.delete(f"/accounts/{account}")
    assert (deleted.status_code, deleted.json()) == (200, {"id": account, "deleted": True})
    assert [api.http.get(f"/accounts/{account}").status_code, whop.companies()] == [404, []]
    assert api.http.delete(f"/accounts/{account}").status_code == 404
    assert api.http.delete(f"/accounts/{PLATFORM_COMPANY}").status_code == 403
    assert api.create_account(email="jane@acme.test", external_id="1").status_code == 201


def test_a_suspended_account_stays_so(whop: FakeWhop) -> None:
    api = Api(whop, version=LATEST)
    account = api.create_account(email="jane@acme.test").json()["id"]
    assert api.http.post(f"/accounts/{account}/suspend").json()["status"] == "suspended"
    assert api.http.post(f"/accounts/{account}/suspend").status_code == 409
    assert api.http.get(f"/accounts/{account}").json()["status"] == "suspended"
    assert api.http.post(f"/accounts/{PLATFORM_COMPANY}/suspend").status_code == 403

    def listed(status: str) -> list[str]:
        return [each["id"] for each in api.http.get("/accounts", params={"status": status}).json()["data"]]

    assert (listed("suspended"), listed("active")) == ([account], [PLATFORM_COMPANY])
    assert api.http.get("/accounts", params={"status": "closed"}).status_code == 400


def test_an_account_key_cannot_change_its_own_account(whop: FakeWhop) -> None:
    assert Api(whop, version=LATEST).http.patch("/accounts/me", json={"title": "x"}).status_code == 403


@pytest.mark.parametrize(
    ("missing", "method", "path", "status"),
    [
        ({"company:create"}, "POST", "/accounts", 201),
        ({"company:create_child"}, "POST", "/accounts", 201),
        ({"company:create", "company:create_child"}, "POST", "/accounts", 403),
        ({"company:update"}, "PATCH", "/accounts/{id}", 403),
        ({"company:delete_child"}, "DELETE", "/accounts/{id}", 403),
        ({"company:suspend_child"}, "POST", "/accounts/{id}/suspend", 403),
        ({"company:balance:read"}, "GET", "/accounts/{id}", 403),
        ({"company:balance:read"}, "GET", "/accounts", 200),
    ],
)
def test_accounts_need_the_scopes_that_are_documented(
    whop: FakeWhop, missing: set[str], method: str, path: str, status: int
) -> None:
    account = Api(whop, version=LATEST).create_account(email="jane@acme.test").json()["id"]
    whop.add_api_key("apik_narrow", scopes=ALL_SCOPES - missing)
    narrow = Api(whop, key="apik_narrow", version=LATEST).http
    bodies: dict[str, Json] = {"POST /accounts": {"email": "joe@acme.test"}, "PATCH /accounts/{id}": {"title": "x"}}
    body = bodies.get(f"{method} {path}")
    assert narrow.request(method, path.replace("{id}", account), json=body).status_code == status


def test_reading_an_account_without_its_scope_is_a_switch(whop: FakeWhop) -> None:
    whop.add_api_key("apik_narrow", scopes=frozenset({"company:create"}))
    whop.switches.account_read_needs_scope = False
    assert Api(whop, key="apik_narrow", version=LATEST).http.get("/accounts/me").status_code == 200


def test_the_rules_and_the_filter_of_external_ids_are_switches(whop: FakeWhop) -> None:
    api = Api(whop, version=LATEST)
    whop.switches.external_id_rules, whop.switches.external_id_filter = False, "ignored"
    for _ in range(2):
        assert api.create_account(email="jane@acme.test", external_id="1").status_code == 201
    assert len(api.http.get("/accounts", params={"external_id": "none"}).json()["data"]) == 3


def test_accounts_can_be_searched_by_title(whop: FakeWhop) -> None:
    api = Api(whop, version=LATEST)
    account = api.create_account(email="jane@acme.test", title="Jane (7)").json()
    (found,) = api.http.get("/accounts/search", params={"query": "(7)"}).json()["data"]
    assert found == {name: account[name] for name in ("id", "title", "route", "created_at")}
    assert api.http.get("/accounts/search").status_code == 400


def test_null_clears_an_external_id(whop: FakeWhop) -> None:
    api = Api(whop, version=LATEST)
    account = api.create_account(email="jane@acme.test", external_id="1").json()["id"]
    assert api.http.patch(f"/accounts/{account}", json={"external_id": None}).json()["external_id"] is None


# Permissions and account links


def permissions(api: Api, **query: str) -> dict[str, bool]:
    response = api.http.get("/permissions", params=query)
    response.raise_for_status()
    return {entry["action"]: entry["granted"] for entry in response.json()["data"]}


def test_a_key_learns_what_it_may_do_and_needs_no_scope_for_it(whop: FakeWhop, api: Api) -> None:
    whop.add_api_key("apik_narrow", scopes=frozenset({"chat:read"}))
    narrow = Api(whop, key="apik_narrow", version=LATEST)
    asked = {"resource_id": PLATFORM_COMPANY, "actions": "chat:read,company:create,no:such"}
    assert permissions(narrow, **asked) == {"chat:read": True, "company:create": False, "no:such": False}
    assert set(permissions(api, resource_id=PLATFORM_COMPANY)) == ALL_SCOPES
    assert set(permissions(api, resource_id="biz_unknown").values()) == {False}
    assert narrow.http.get("/permissions").status_code == 400
    whop.switches.unknown_action = "refused"
    assert narrow.http.get("/permissions", params=asked).status_code == 400


LINK = {"refresh_url": "https://a.test/again", "return_url": "https://a.test/back", "use_case": "payouts_portal"}


def test_an_account_link_is_for_an_account_connected_to_the_key(whop: FakeWhop, clock: Clock) -> None:
    api, before = Api(whop, version=LATEST), Api(whop, version="2026-09-02-1")
    account = api.create_account(email="jane@acme.test").json()["id"]
    link = api.http.post("/account_links", json=LINK | {"account_id": account})
    assert link.status_code == 200
    assert link.json()["url"].startswith("https://")
    assert datetime.fromisoformat(link.json()["expires_at"]).timestamp() > clock.now
    assert before.http.post("/account_links", json=LINK | {"company_id": account}).status_code == 200
    assert before.http.post("/account_links", json=LINK | {"account_id": account}).status_code == 400


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"use_case": "chat"}, 400),
        ({"return_url": "http://a.test"}, 400),
        ({"refresh_url": ...}, 400),
        ({"account_id": ...}, 400),
        ({"account_id": PLATFORM_COMPANY}, 403),
        ({"account_id": "biz_unknown"}, 403),
        ({"user_id": "user_1"}, 400),
    ],
)
def test_a_wrong_account_link_is_refused(whop: FakeWhop, changes: Json, status: int) -> None:
    api = Api(whop, version=LATEST)
    body = LINK | {"account_id": api.create_account(email="jane@acme.test").json()["id"]} | changes
    sent = {name: value for name, value in body.items() if value is not ...}
    assert api.http.post("/account_links", json=sent).status_code == status


def test_account_links_need_a_scope_that_was_observed_only(whop: FakeWhop) -> None:
    account = Api(whop, version=LATEST).create_account(email="jane@acme.test").json()["id"]
    whop.add_api_key("apik_narrow", scopes=ALL_SCOPES - {"company:balance:read"})
    narrow = Api(whop, key="apik_narrow", version=LATEST).http
    assert narrow.post("/account_links", json=LINK | {"account_id": account}).status_code == 403
    whop.switches.account_link_needs_scope = False
    assert narrow.post("/account_links", json=LINK | {"account_id": account}).status_code == 200


def test_whether_tokens_and_links_take_both_names_is_a_switch(whop: FakeWhop) -> None:
    whop.switches.token_account_field = "either"
    for version in ("2026-09-02-1", LATEST):
        for field in ("company_id", "account_id"):
            response = Api(whop, version=version).http.post("/access_tokens", json={field: PLATFORM_COMPANY})
            assert response.status_code == 200


def test_a_user_can_be_read_without_a_key_and_nothing_else_can(whop: FakeWhop, api: Api) -> None:
    user = api.user()
    api.set_profile(user, name="Jane at the shop").raise_for_status()
    with httpx.Client(base_url=whop.api_url, trust_env=False) as stranger:
        assert stranger.get(f"/users/{user}").json()["name"] is None
        assert stranger.get(f"/users/{user}", params={"account_id": PLATFORM_COMPANY}).status_code == 403
        assert stranger.get("/accounts").status_code == 401
        assert stranger.patch(f"/users/{user}", json={"name": "x"}).status_code == 401


def test_an_attached_file_is_read_through_its_user_unless_switched(whop: FakeWhop) -> None:
    api = Api(whop, version=NATIVE_FILES)
    user, file = api.user(), api.ready_file()
    api.set_profile(user, profile_picture={"id": file}).raise_for_status()
    assert api.http.get(f"/files/{file}").status_code == 404
    whop.switches.attached_file_is_readable = True
    assert api.http.get(f"/files/{file}").status_code == 200


def test_moderation_shows_another_picture_and_raises_no_error(whop: FakeWhop) -> None:
    whop.switches.moderated_filename, whop.switches.attached_file_is_readable = "me", True
    api = Api(whop, version=LATEST)
    user, file = str(api.enroll().json()["owner_user"]["id"]), api.ready_file()
    assert api.http.get(f"/files/{file}").json()["removed_by_moderation"] is False
    url = api.set_profile(user, profile_picture={"id": file}).json()["profile_picture"]["url"]
    after = api.http.get(f"/files/{file}").json()
    assert (after["removed_by_moderation"], after["filename"], after["size"]) == (True, "me.png", len(PNG))
    assert httpx.get(url, trust_env=False).content != PNG


def test_the_older_files_can_be_switched_off(whop: FakeWhop, api: Api) -> None:
    whop.switches.legacy_files = "refused"
    assert api.http.post("/files", json={"filename": "me.png"}).status_code == 404
    assert Api(whop, version=NATIVE_FILES).http.post("/files", json={"filename": "me.png"}).status_code == 201


@pytest.mark.parametrize(
    ("version", "user_key", "account_keys"),
    [
        ("2026-09-29", "social_accounts", {"industry_group", "stablecoin_rails"}),
        ("2026-10-08", "social_links", {"industry_group", "stablecoin_rails"}),
        ("2026-10-13-1", "social_links", {"stablecoin_rails"}),
        ("2026-10-15-1", "social_links", set()),
    ],
)
def test_later_versions_drop_and_rename_keys(
    whop: FakeWhop, version: str, user_key: str, account_keys: set[str]
) -> None:
    api = Api(whop, version=version)
    account = api.create_account(email="jane@acme.test").json()
    assert {"industry_group", "stablecoin_rails"} & set(account) == account_keys
    assert {"social_accounts", "social_links"} & set(api.profile(account["owner"]["id"])) == {user_key}


def test_whether_metadata_is_merged_is_a_switch(whop: FakeWhop) -> None:
    api = Api(whop, version=LATEST)
    account = api.create_account(email="jane@acme.test", metadata={"a": "1"}).json()
    whop.switches.metadata_update = "merge"
    changed = api.http.patch(f"/accounts/{account['id']}", json={"metadata": {"b": "2"}}).json()
    assert changed["metadata"] == {"a": "1", "b": "2"}


def test_the_form_of_an_account_goes_by_the_version(whop: FakeWhop) -> None:
    account = Api(whop).create_account(email="jane@acme.test").json()
    assert account["parent_account_id"] == PLATFORM_COMPANY
    assert {"owner", "parent_account"}.isdisjoint(account)
    before_owner = Api(whop, version="2026-08-14").http.get(f"/accounts/{account['id']}").json()
    assert (before_owner["parent_account"]["id"], "owner" in before_owner) == (PLATFORM_COMPANY, False)
    with_owner = Api(whop, version="2026-08-21").http.get(f"/accounts/{account['id']}").json()
    assert with_owner["owner"]["profile_picture"]["url"].startswith("http")


def test_unique_titles_of_accounts_are_a_switch(whop: FakeWhop, api: Api) -> None:
    api.create_account(email="a@acme.test", title="Same")
    assert api.create_account(email="b@acme.test", title="Same").status_code == 201
    whop.switches.unique_title_on_accounts = True
    assert api.create_account(email="c@acme.test", title="Same").status_code == 400


# Queries


@pytest.mark.parametrize("operation", sorted(OPERATION_NAMES - {UPLOAD}))
def test_no_call_takes_a_parameter_in_its_query_that_is_not_documented(api: Api, operation: str) -> None:
    method, path = operation.split(" ")
    body: Json | None = {} if method in ("POST", "PATCH") else None
    response = api.http.request(method, path.replace("{id}", "x"), params={"nonsense": "1"}, json=body)
    assert (response.status_code, error(response)["message"]) == (400, "nonsense: unknown parameter")


@pytest.mark.parametrize("operation", sorted(each for each in OPERATION_NAMES if each.startswith(("POST", "PATCH"))))
def test_no_call_takes_a_field_that_is_not_documented(api: Api, operation: str) -> None:
    method, path = operation.split(" ")
    query = {"account_id": PLATFORM_COMPANY} if path == "/users/{id}" else {}
    response = api.http.request(method, path.replace("{id}", "x"), params=query, json={"nonsense": "1"})
    assert (response.status_code, error(response)["message"]) == (400, "nonsense: unknown parameter")


# Idempotency-Key


def test_a_repeated_key_replays_the_answer_byte_for_byte(whop: FakeWhop, api: Api) -> None:
    first = api.create_account("k", email="jane@acme.test")
    again = api.create_account("k", email="jane@acme.test")
    assert (again.status_code, again.content) == (first.status_code, first.content) == (201, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert [call.replayed for call in whop.calls] == [False, True]
    assert [call.idempotency_key for call in whop.calls] == ["k", "k"]


def test_on_the_legacy_routes_the_key_counts_only_when_switched_on(whop: FakeWhop, api: Api) -> None:
    api.enroll(1, key="k")
    assert api.enroll(1, key="k").status_code == 400
    whop.switches.legacy_idempotency = True
    assert api.enroll(2, key="l").content == api.enroll(2, key="l").content
    assert len(whop.companies()) == 2


@pytest.mark.parametrize(
    ("path", "email"),
    [("/accounts", "joe@acme.test"), ("/accounts?x=1", "jane@acme.test"), ("/files", "jane@acme.test")],
    ids=["body", "query", "path"],
)
def test_a_key_with_a_different_request_is_400(whop: FakeWhop, path: str, email: str) -> None:
    api = Api(whop, version=NATIVE_FILES)
    api.create_account("k", email="jane@acme.test")
    response = api.http.post(path, json={"email": email}, headers={"Idempotency-Key": "k"})
    assert response.status_code == 400
    assert error(response)["code"] == "idempotency_key_mismatch"


def test_another_version_is_a_different_request(whop: FakeWhop, api: Api) -> None:
    api.create_account("k", email="jane@acme.test")
    response = Api(whop, version=LATEST).create_account("k", email="jane@acme.test")
    assert error(response)["code"] == "idempotency_key_mismatch"


def test_whether_bodies_are_compared_as_bytes_is_a_switch(whop: FakeWhop, api: Api) -> None:
    def post(body: bytes) -> int:
        headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
        return api.http.post("/accounts", content=body, headers=headers).status_code

    assert post(b'{"email":"j@acme.test"}') == 201
    assert post(b'{ "email": "j@acme.test" }') == 400
    whop.reset()
    whop.switches.idempotency_compares = "json"
    assert post(b'{"email":"j@acme.test"}') == 201
    assert post(b'{ "email": "j@acme.test" }') == 201


def test_a_refused_request_is_replayed_too(api: Api) -> None:
    first = api.create_account("k", email="jane@example.com")
    again = api.create_account("k", email="jane@example.com")
    assert (first.status_code, again.status_code) == (400, 400)
    assert again.headers["Idempotent-Replayed"] == "true"


def test_a_key_is_forgotten_after_24_hours(api: Api, clock: Clock) -> None:
    api.create_account("k", email="jane@example.com")
    clock.passes(24 * 3600 - 1)
    assert api.create_account("k", email="joe@acme.test").status_code == 400
    clock.passes(1)
    assert api.create_account("k", email="joe@acme.test").status_code == 201


def test_keys_belong_to_their_caller(whop: FakeWhop, api: Api) -> None:
    whop.add_api_key("apik_second")
    api.create_account("k", email="jane@acme.test")
    assert Api(whop, key="apik_second").create_account("k", email="joe@acme.test").status_code == 201


def test_a_key_has_at_most_255_bytes(api: Api) -> None:
    assert api.create_account("k" * 255, email="jane@acme.test").status_code == 201
    assert api.create_account("k" * 256, email="joe@acme.test").status_code == 400


def test_a_key_on_patch_and_get_is_ignored(whop: FakeWhop, api: Api) -> None:
    user = api.user()
    for name in ("Jane", "Joan"):
        url = f"/users/{user}?account_id={PLATFORM_COMPANY}"
        assert api.http.patch(url, json={"name": name}, headers={"Idempotency-Key": "k"}).status_code == 200
    assert whop.profile(user).name == "Joan"


def test_while_the_first_request_runs_a_second_one_is_409(whop: FakeWhop, api: Api) -> None:
    whop.fault(Fault("POST /accounts", "slow", delay=0.3))
    together = threading.Barrier(2)

    def create(_: int) -> httpx.Response:
        together.wait()
        return api.create_account("k", email="jane@acme.test")

    with ThreadPoolExecutor(2) as pool:
        refused, created = sorted(pool.map(create, range(2)), key=lambda response: response.status_code, reverse=True)
    assert created.status_code == 201
    assert error_code(refused) == "idempotency_request_in_progress"
    assert len(whop.companies()) == 1


def error_code(response: httpx.Response) -> object:
    return response.json().get("error", {}).get("code")


@pytest.mark.parametrize("committed", [True, False])
def test_an_unknown_outcome_blocks_the_key_until_it_expires(
    whop: FakeWhop, api: Api, clock: Clock, committed: bool
) -> None:
    whop.fault(Fault("POST /accounts", "stuck_idempotency", committed=committed))
    assert api.create_account("k", email="jane@acme.test").status_code == 500
    assert len(whop.companies()) == committed
    for _ in range(2):
        assert error_code(api.create_account("k", email="jane@acme.test")) == "idempotency_request_in_progress"
        clock.passes(12 * 3600 - 1)
    clock.passes(2)
    assert api.create_account("k", email="jane@acme.test").status_code in {200, 201}
    assert len(whop.companies()) == 1


@pytest.mark.parametrize("stored", [True, False])
def test_whether_a_5xx_is_replayed_is_a_switch(whop: FakeWhop, api: Api, stored: bool) -> None:
    whop.switches.idempotency_stores_5xx = stored
    whop.fault(Fault("POST /accounts", "error_500_before"))
    statuses = [api.create_account("k", email="jane@acme.test").status_code for _ in range(2)]
    assert statuses == ([500, 500] if stored else [500, 201])


@pytest.mark.parametrize("stored", [True, False])
def test_whether_a_429_is_replayed_is_a_switch(whop: FakeWhop, api: Api, clock: Clock, stored: bool) -> None:
    whop.switches.idempotency_stores_429 = stored
    whop.switches.rate_limit = 1
    api.create_account(email="first@acme.test")
    statuses = []
    for _ in range(2):
        statuses.append(api.create_account("k", email="jane@acme.test").status_code)
        clock.passes(61)
    assert statuses == ([429, 429] if stored else [429, 201])


# Rate limit


def test_each_operation_has_600_calls_a_minute_and_the_delay_is_only_in_the_text(
    whop: FakeWhop, api: Api, clock: Clock
) -> None:
    whop.switches.rate_limit = 3
    for _ in range(3):
        clock.passes(10)
        assert api.children().status_code == 200
    response = api.children()
    assert (response.status_code, error(response)["type"]) == (429, "rate_limit_exceeded")
    assert error(response)["message"].endswith("Try again in 40 seconds.")
    assert "retry-after" not in response.headers
    assert api.enroll().status_code == 200, "another operation has its own limit"
    whop.add_api_key("apik_second")
    assert Api(whop, key="apik_second").children().status_code == 200, "so has another credential"
    clock.passes(39.5)
    assert error(api.children())["message"].endswith("Try again in 1 seconds.")
    clock.passes(0.5)
    assert api.children().status_code == 200, "the window slides"
    assert api.children().status_code == 429
    assert Switches().rate_limit == 600
    assert Switches().rate_window == 60


def test_a_retry_after_header_and_another_window_are_switches(whop: FakeWhop, api: Api, clock: Clock) -> None:
    whop.switches.rate_limit, whop.switches.rate_window, whop.switches.retry_after_header = 1, 2.0, True
    api.children()
    assert api.children().headers["retry-after"] == "2"
    clock.passes(2)
    assert api.children().status_code == 200


# Failures


@pytest.fixture
def impatient(whop: FakeWhop) -> Iterator[Api]:
    client = Api(whop)
    client.http.timeout = httpx.Timeout(0.2)
    yield client
    client.http.close()


@pytest.mark.parametrize(("kind", "done"), [("timeout_before", 0), ("timeout_after", 1)])
def test_a_timeout_before_or_after_the_commit(whop: FakeWhop, impatient: Api, kind: FaultKind, done: int) -> None:
    whop.fault(Fault("POST /companies", kind))
    with pytest.raises(httpx.ReadTimeout):
        impatient.enroll()
    assert len(whop.companies()) == done
    assert (whop.calls[-1].status, whop.calls[-1].fault) == (None, kind)
    assert impatient.enroll(2).status_code == 200


def test_a_request_that_never_arrived_leaves_its_key_free(whop: FakeWhop, impatient: Api) -> None:
    whop.fault(Fault("POST /accounts", "timeout_before"))
    with pytest.raises(httpx.ReadTimeout):
        impatient.create_account("k", email="jane@acme.test")
    again = impatient.create_account("k", email="jane@acme.test")
    assert (again.status_code, "Idempotent-Replayed" in again.headers) == (201, False)


def test_after_a_lost_answer_the_key_replays_it(whop: FakeWhop, impatient: Api) -> None:
    whop.fault(Fault("POST /accounts", "timeout_after"))
    with pytest.raises(httpx.ReadTimeout):
        impatient.create_account("k", email="jane@acme.test")
    again = impatient.create_account("k", email="jane@acme.test")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")


@pytest.mark.parametrize(("kind", "done"), [("error_500_before", 0), ("error_500_after", 1)])
def test_a_500_before_or_after_the_commit(whop: FakeWhop, api: Api, kind: FaultKind, done: int) -> None:
    whop.fault(Fault("POST /companies", kind))
    response = api.enroll()
    assert (response.status_code, error(response)["type"]) == (500, "internal_server_error")
    assert len(whop.companies()) == done


@pytest.mark.parametrize(
    ("kind", "status", "type_"),
    [
        ("rate_limited", 429, "rate_limit_exceeded"),
        ("unauthorized", 401, "unauthorized"),
        ("forbidden", 403, "forbidden"),
    ],
)
def test_a_planned_refusal_does_nothing(whop: FakeWhop, api: Api, kind: FaultKind, status: int, type_: str) -> None:
    whop.fault(Fault("POST /companies", kind, delay=7))
    response = api.enroll()
    assert (response.status_code, error(response)["type"]) == (status, type_)
    assert ("Try again in 7 seconds." in response.text) == (kind == "rate_limited")
    assert whop.companies() == []


def test_truncated_json_comes_after_the_commit(whop: FakeWhop, api: Api) -> None:
    whop.fault(Fault("POST /companies", "truncated_json"))
    response = api.enroll()
    assert response.status_code == 200
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        response.json()
    assert len(whop.companies()) == 1


@pytest.mark.parametrize("committed", [True, False])
def test_failures_whose_name_does_not_say_it_may_have_committed(whop: FakeWhop, api: Api, committed: bool) -> None:
    whop.fault(Fault("POST /companies", "error_null", status=422, committed=committed))
    whop.fault(Fault("POST /companies", "html_error", committed=committed))
    whop.fault(Fault("POST /companies", "connection_reset", committed=committed))
    null = api.enroll(1)
    assert (null.status_code, null.json()) == (422, {"error": None})
    page = api.enroll(2)
    assert (page.status_code, page.headers["content-type"]) == (502, "text/html")
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        api.enroll(3)
    assert len(whop.companies()) == 3 * committed


def test_a_late_commit_happens_after_the_client_gave_up(whop: FakeWhop, impatient: Api, clock: Clock) -> None:
    whop.fault(Fault("POST /accounts", "late_commit", delay=30))
    with pytest.raises(httpx.ReadTimeout):
        impatient.create_account("k", email="jane@acme.test")
    assert whop.companies() == []
    assert error_code(impatient.create_account("k", email="jane@acme.test")) == "idempotency_request_in_progress"
    clock.passes(45)
    assert [account.created_at for account in whop.companies()] == [clock.now - 15]
    assert impatient.create_account("k", email="jane@acme.test").headers["Idempotent-Replayed"] == "true"


def test_faults_hit_the_calls_they_are_aimed_at(whop: FakeWhop, api: Api) -> None:
    first, second = api.user(1), api.user(2)
    whop.fault(Fault("PATCH /users/{id}", "error_500_before", about="jane2@acme.test", skip=1, times=2))
    statuses = [api.set_profile(user, name="x").status_code for _ in range(4) for user in (first, second)]
    assert statuses[0::2] == [200] * 4
    assert statuses[1::2] == [200, 500, 500, 200]


def test_a_fault_without_limits_stays_until_reset(whop: FakeWhop, api: Api) -> None:
    whop.fault(Fault(None, "unauthorized", times=None))
    assert {api.children().status_code for _ in range(3)} == {401}
    assert api.enroll().status_code == 401
    whop.reset()
    assert api.children().status_code == 200


def test_uploads_can_fail_too(whop: FakeWhop, api: Api) -> None:
    whop.fault(Fault("PUT upload", "error_500_before"))
    file = api.create_file()
    assert [api.upload(file).status_code, api.upload(file).status_code] == [500, 200]


def test_a_fault_for_an_operation_that_does_not_exist_is_a_mistake(whop: FakeWhop) -> None:
    with pytest.raises(ValueError, match="no such operation"):
        whop.fault(Fault("PATCH /users", "slow"))


def test_failures_by_chance_are_the_same_for_the_same_seed(whop: FakeWhop, api: Api) -> None:
    def statuses(seed: int) -> list[int]:
        whop.reset()
        whop.switches.failure_rate, whop.switches.failure_seed = 0.3, seed
        return [api.children().status_code for _ in range(60)]

    assert statuses(1) == statuses(1) != statuses(2)
    assert 5 < statuses(1).count(500) < 35


def test_stopping_does_not_wait_for_those_who_wait(clock: Clock) -> None:
    with FakeWhop(clock=clock) as whop:
        whop.fault(Fault(None, "timeout_before"))
        api = Api(whop)
        pool = ThreadPoolExecutor()
        waiting = pool.submit(api.children)
        while not whop.calls:
            pass
    with pytest.raises(httpx.TransportError):
        waiting.result(timeout=2)
    pool.shutdown()


# Running, reading and steering it


def test_enrolling_the_same_title_at_once_makes_one_account(whop: FakeWhop, api: Api) -> None:
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda _: api.enroll().status_code, range(32)))
    assert (statuses.count(200), statuses.count(400)) == (1, 31)
    assert len(whop.companies()) == 1


def test_a_connection_serves_many_calls_without_delayed_acks(api: Api) -> None:
    api.children()
    durations = sorted(api.children().elapsed.total_seconds() for _ in range(21))
    assert durations[10] < 0.03


def test_calls_are_kept_without_the_credential(whop: FakeWhop, api: Api) -> None:
    api.enroll(key="k")
    api.upload(api.create_file())
    enroll, _, upload = whop.calls
    assert (enroll.operation, enroll.status, enroll.version, enroll.idempotency_key) == (
        "POST /companies",
        200,
        GUIDE,
        "k",
    )
    assert enroll.body is not None
    assert enroll.body["title"] == "Jane (1)"
    assert (upload.operation, upload.size, upload.query) == ("PUT upload", len(PNG), "")
    assert PLATFORM_KEY not in repr(whop.calls)
    assert whop.calls_to("POST /companies") == [enroll]


def test_a_snapshot_does_not_change_under_its_reader(whop: FakeWhop, api: Api) -> None:
    calls, companies = whop.calls, whop.companies()
    api.enroll()
    assert (calls, companies) == ([], [])


def test_reset_forgets_everything_but_the_switches(whop: FakeWhop, api: Api) -> None:
    whop.switches.processing_polls = 5
    api.enroll()
    api.create_file()
    whop.reset()
    assert (whop.companies(), whop.files(), whop.calls) == ([], [], [])
    assert whop.switches.processing_polls == 5


def test_two_fakes_at_once_are_apart(whop: FakeWhop, api: Api) -> None:
    with FakeWhop(api_key="apik_mine", company_id="biz_mine", public_upload_url="http://storage.test:1") as other:
        mine = Api(other, key="apik_mine")
        assert mine.enroll(parent_company_id="biz_mine").status_code == 200
        assert mine.create_file()["upload_url"].startswith("http://storage.test:1/")
        assert api.http.get("/companies", headers={"Authorization": "Bearer apik_mine"}).status_code == 401
    assert whop.companies() == []


def control(whop: FakeWhop, path: str, body: object) -> httpx.Response:
    return httpx.post(f"{whop.control_url}/_fake/{path}", json=body, trust_env=False)


def test_a_fake_elsewhere_is_steered_over_http(whop: FakeWhop, api: Api) -> None:
    user = control(whop, "users", {"email": "kim@acme.test", "name": "Kim", "member_of": PLATFORM_COMPANY}).json()["id"]
    assert api.set_profile(user, name="Kimberly").status_code == 200
    assert control(whop, "faults", {"operation": "GET /companies", "kind": "forbidden"}).status_code == 200
    assert api.children().status_code == 403
    assert control(whop, "switches", {"rate_limit": 1, "list_lag": 5, "title_limit": 9}).status_code == 200
    assert (whop.switches.rate_limit, whop.switches.list_lag, whop.switches.title_limit) == (1, 5.0, 9)
    state = httpx.get(f"{whop.control_url}/_fake/state", trust_env=False).json()
    assert [entry["username"] for entry in state["users"] if entry["id"] == user] == [whop.profile(user).username]
    calls = httpx.get(f"{whop.control_url}/_fake/calls", trust_env=False).json()["calls"]
    assert [call["operation"] for call in calls] == ["PATCH /users/{id}", "GET /companies"]
    assert control(whop, "reset", {}).status_code == 200
    assert whop.calls == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("faults", {"kind": "meteor"}),
        ("faults", {"kind": "slow", "operation": "GET /weather"}),
        ("faults", {"kind": "slow", "colour": "red"}),
        ("switches", {"unknown": 1}),
        ("switches", {"rate_limit": "many"}),
        ("users", {}),
        ("users", []),
    ],
)
def test_wrong_orders_are_refused_with_a_reason(whop: FakeWhop, path: str, body: object) -> None:
    response = control(whop, path, body)
    assert response.status_code == 400
    assert response.json()["error"]


def test_orders_from_a_form_of_another_page_are_refused(whop: FakeWhop) -> None:
    url = f"{whop.control_url}/_fake/switches"
    response = httpx.post(url, content=b'{"rate_limit": 1}', headers={"Content-Type": "text/plain"}, trust_env=False)
    assert (response.status_code, whop.switches.rate_limit) == (400, 600)


def test_the_page_shows_the_users_and_no_secret(whop: FakeWhop, api: Api) -> None:
    user = api.enroll(title="<script>alert(1)</script>").json()["owner_user"]["id"]
    file = api.ready_file()
    api.set_profile(user, name="Jane & Co", profile_picture={"id": file})
    signature = api.create_file()["upload_url"].partition("signature=")[2]
    page = httpx.get(f"{whop.control_url}/", trust_env=False)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "Jane &amp; Co" in page.text
    assert "<script>alert" not in page.text
    assert httpx.get(f"{whop.control_url}/_fake/pictures/{file}", trust_env=False).content == PNG
    state = httpx.get(f"{whop.control_url}/_fake/state", trust_env=False).json()
    assert [(entry["status"], entry["size"]) for entry in state["files"]] == [("ready", len(PNG)), ("pending", 0)]
    everything = page.text + "".join(
        httpx.get(f"{whop.control_url}/_fake/{name}", trust_env=False).text for name in ("state", "calls")
    )
    assert f'src="/_fake/pictures/{file}"' in page.text
    assert PLATFORM_KEY not in everything
    assert signature not in everything


def test_every_switch_has_a_default_that_can_be_set_again_over_http(whop: FakeWhop) -> None:
    defaults = {field.name: getattr(Switches(), field.name) for field in fields(Switches)}
    plain = {name: sorted(value) if isinstance(value, frozenset) else value for name, value in defaults.items()}
    assert control(whop, "switches", plain).status_code == 200
    assert whop.switches == Switches()
