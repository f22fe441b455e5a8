"""The fake Whop's own webhooks: /webhooks of its API, and a sender that keeps to what Whop's guide says."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from fake_whop import ALL_SCOPES, PLATFORM_COMPANY, PLATFORM_KEY, FakeWhop, Switches
from fake_whop.webhooks import ANSWER_SECONDS

VERSION = "2026-09-23"
PAYOUTS = ["payout.created", "payout.updated"]
type Json = dict[str, Any]


@dataclass
class Endpoint:
    """Takes webhooks and answers as it is asked to; each status is used once, the last one for ever."""

    statuses: list[int] = field(default_factory=lambda: [200])
    silent: float = 0.0
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    def events(self) -> list[Json]:
        return [json.loads(body) for _, body in self.received]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    endpoint = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            endpoint.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
            time.sleep(endpoint.silent)
            status = endpoint.statuses[0] if len(endpoint.statuses) == 1 else endpoint.statuses.pop(0)
            self.send_response(status)
            self.send_header("location", f"{endpoint.url}/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815 - a redirect that is followed would show

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        endpoint.url = f"http://127.0.0.1:{server.server_port}"
        yield endpoint
        server.shutdown()


@pytest.fixture
def whop() -> Iterator[FakeWhop]:
    with FakeWhop(switches=Switches(private_webhook_urls="allowed")) as whop:
        yield whop


def client(whop: FakeWhop, *, key: str = PLATFORM_KEY, version: str = VERSION) -> httpx.Client:
    headers = {"Authorization": f"Bearer {key}", "Api-Version-Date": version}
    return httpx.Client(base_url=whop.api_url, headers=headers, trust_env=False)


def account(whop: FakeWhop, name: str = "ann") -> str:
    answer = client(whop).post("/accounts", json={"email": f"{name}@people.test", "title": name})
    return str(answer.json()["id"])


def hook(whop: FakeWhop, url: str, **changes: object) -> Json:
    body = {"url": url, "events": PAYOUTS, "child_resource_events": True, "api_version_date": VERSION} | changes
    answer = client(whop).post("/webhooks", json=body)
    assert answer.status_code == 201, answer.text
    made: Json = answer.json()
    return made


# -- the API ---------------------------------------------------------------------------------------------------------


def test_the_secret_is_shown_once(whop: FakeWhop) -> None:
    made = hook(whop, "https://shop.test/whop")
    assert made["webhook_secret"].startswith("ws_")
    assert len(made["webhook_secret"]) == len("ws_") + 64
    read = client(whop).get(f"/webhooks/{made['id']}").json()
    assert read == {**made, "webhook_secret": None}
    assert client(whop).get("/webhooks").json()["data"] == [read]
    assert made["webhook_secret"] not in httpx.get(f"{whop.control_url}/_fake/state", trust_env=False).text


def test_a_webhook_changes_in_what_is_sent_and_keeps_its_secret(whop: FakeWhop, endpoint: Endpoint) -> None:
    made = hook(whop, "https://shop.test/whop")
    path = f"/webhooks/{made['id']}"
    changes = {"url": endpoint.url, "enabled": False, "api_version_date": None, "events": ["payout.created"]}
    changed = client(whop).patch(path, json=changes)
    assert changed.json() == {**made, **changes, "webhook_secret": None}
    whop.emit("payout.created", account(whop))
    assert client(whop).patch(path, json={"enabled": True}).json() == {**changed.json(), "enabled": True}
    whop.emit("payout.updated", account(whop))
    assert endpoint.received == []
    (sent,) = whop.emit("payout.created", account(whop))
    assert sent.delivered
    headers, body = endpoint.received[0]
    assert Webhook(made["webhook_secret"].encode()).verify(body, headers)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"events": ["user.created"]}, 400),
        ({"api_version_date": "2026-01-01"}, 400),
        ({"enabled": "yes"}, 400),
        ({"resource_id": PLATFORM_COMPANY}, 400),
        ({"webhook_secret": "ws_mine"}, 400),
    ],
    ids=str,
)
def test_a_change_of_a_webhook_that_whop_would_not_take_is_refused(whop: FakeWhop, changes: Json, status: int) -> None:
    made = hook(whop, "https://shop.test/whop")
    assert client(whop).patch(f"/webhooks/{made['id']}", json=changes).status_code == status
    assert client(whop).get(f"/webhooks/{made['id']}").json() == {**made, "webhook_secret": None}


def test_webhooks_are_listed_in_pages_of_the_own_account(whop: FakeWhop) -> None:
    made = [hook(whop, f"https://shop.test/{number}")["id"] for number in range(3)]
    page = client(whop).get("/webhooks", params={"account_id": PLATFORM_COMPANY, "first": 2}).json()
    assert [each["id"] for each in page["data"]] == [made[2], made[1]]
    rest = client(whop).get("/webhooks", params={"after": page["page_info"]["end_cursor"]}).json()
    assert [each["id"] for each in rest["data"]] == [made[0]]
    assert client(whop).get("/webhooks", params={"account_id": "biz_other"}).status_code == 403
    assert client(whop).get("/webhooks", params={"has_failures": "true"}).json()["data"] == []
    before = client(whop, version="2026-08-10")
    assert before.get("/webhooks").status_code == 400
    assert len(before.get("/webhooks", params={"company_id": PLATFORM_COMPANY}).json()["data"]) == 3


def test_a_webhook_is_deleted_for_good(whop: FakeWhop) -> None:
    made = hook(whop, "https://shop.test/whop")
    assert client(whop).delete(f"/webhooks/{made['id']}").json() == {"id": made["id"], "deleted": True}
    assert client(whop).get(f"/webhooks/{made['id']}").status_code == 404
    assert client(whop).get("/webhooks").json()["data"] == []


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"url": None}, 400),
        ({"events": ["payout"]}, 400),
        ({"events": ["user.created"]}, 400),
        ({"events": "payout.created"}, 400),
        ({"api_version": "v1"}, 400),
        ({"api_version_date": "2026-01-01"}, 400),
        ({"resource_id": "biz_other"}, 403),
        ({"secret": "ws_mine"}, 400),
    ],
    ids=str,
)
def test_a_webhook_that_whop_would_not_take_is_refused(whop: FakeWhop, changes: Json, status: int) -> None:
    body = {"url": "https://shop.test/whop", "events": PAYOUTS, **changes}
    assert client(whop).post("/webhooks", json=body).status_code == status


def test_before_2026_08_12_a_webhook_may_name_the_form_of_its_envelope(whop: FakeWhop) -> None:
    body = {"url": "https://shop.test/whop", "events": PAYOUTS, "api_version": "v1"}
    assert client(whop, version="2026-08-10").post("/webhooks", json=body).status_code == 201


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.test/",
        "https://localhost/",
        "https://127.0.0.1/",
        "https://10.0.0.7/",
        "https://shop/",
        "ftp://a.b/",
    ],
)
def test_an_address_that_is_not_public_https_is_refused(whop: FakeWhop, url: str) -> None:
    whop.switches.private_webhook_urls = "refused"
    answer = client(whop).post("/webhooks", json={"url": url, "events": PAYOUTS})
    assert answer.status_code == 400
    hook(whop, "https://shop.test/whop")


@pytest.mark.parametrize("lacking", ["developer:manage_webhook", "webhook_receive:withdrawals"])
def test_a_key_needs_a_scope_for_webhooks_and_one_for_each_kind_of_event(whop: FakeWhop, lacking: str) -> None:
    whop.add_api_key("narrow", scopes=ALL_SCOPES - {lacking})
    body = {"url": "https://shop.test/whop", "events": PAYOUTS}
    answer = client(whop, key="narrow").post("/webhooks", json=body)
    assert answer.status_code == 403
    assert lacking in answer.text


def test_another_platform_does_not_see_the_webhook(whop: FakeWhop) -> None:
    made = hook(whop, "https://shop.test/whop")
    whop.add_api_key("other", company_id="biz_other")
    other = client(whop, key="other")
    assert other.get("/webhooks").json()["data"] == []
    assert other.get(f"/webhooks/{made['id']}").status_code == 404
    assert other.delete(f"/webhooks/{made['id']}").status_code == 404


# -- the sender ------------------------------------------------------------------------------------------------------


def test_whops_published_helper_verifies_what_is_sent(whop: FakeWhop, endpoint: Endpoint) -> None:
    secret = hook(whop, endpoint.url)["webhook_secret"]
    [sent] = whop.emit("payout.created", account(whop))
    assert sent.attempts == (200,)
    [(headers, body)] = endpoint.received
    # As lib/verify_webhook.py of Whop's SDK for Python derives the key.
    library = Webhook(base64.b64encode(secret.encode()).decode())
    assert library.verify(body, headers) == json.loads(body)
    assert headers["webhook-id"] == sent.id == json.loads(body)["id"]
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("version", "name"), [(None, "company_id"), ("2026-08-13", "company_id"), ("2026-08-14", "account_id")]
)
def test_the_envelope_goes_by_the_version_that_the_webhook_is_pinned_to(
    whop: FakeWhop, endpoint: Endpoint, version: str | None, name: str
) -> None:
    hook(whop, endpoint.url, api_version_date=version)
    ann = account(whop)
    whop.emit("payout.created", ann)
    [event] = endpoint.events()
    assert {"account_id", "company_id"} & set(event) == {name}
    assert event[name] == ann
    assert (event["api_version"], event["api_version_date"], event["type"]) == ("v1", version, "payout.created")


def test_a_webhook_gets_the_events_of_the_connected_accounts_or_of_the_own_one_never_both(
    whop: FakeWhop, endpoint: Endpoint
) -> None:
    children, own = hook(whop, endpoint.url), hook(whop, endpoint.url, child_resource_events=False)
    assert [each.hook_id for each in whop.emit("payout.created", account(whop))] == [children["id"]]
    assert [each.hook_id for each in whop.emit("payout.created", PLATFORM_COMPANY)] == [own["id"]]


def test_an_event_that_was_not_asked_for_and_a_webhook_that_is_off_get_nothing(
    whop: FakeWhop, endpoint: Endpoint
) -> None:
    ann = account(whop)
    hook(whop, endpoint.url, enabled=False)
    assert whop.emit("payout.created", ann) == []
    hook(whop, endpoint.url)
    assert whop.emit("payout.reversed", ann) == []
    assert endpoint.received == []


def test_an_updated_account_shows_the_old_values(whop: FakeWhop, endpoint: Endpoint) -> None:
    hook(whop, endpoint.url, events=["account.updated"])
    whop.emit("account.updated", account(whop), {"status": "suspended"})
    [event] = endpoint.events()
    assert event["previous_attributes"] == {"title": "formerly ann"}
    assert event["data"]["status"] == "suspended"


def test_a_failed_attempt_is_repeated_under_its_id_and_signed_anew(whop: FakeWhop, endpoint: Endpoint) -> None:
    endpoint.statuses = [503, 500, 204]
    whop.switches.webhook_retries, whop.switches.webhook_retry_seconds = 5, 1.05
    secret = hook(whop, endpoint.url)["webhook_secret"]
    [sent] = whop.emit("payout.created", account(whop))
    assert sent.attempts == (503, 500, 204)
    assert {headers["webhook-id"] for headers, _ in endpoint.received} == {sent.id}
    assert len({headers["webhook-timestamp"] for headers, _ in endpoint.received}) == 3
    for headers, body in endpoint.received:
        Webhook(base64.b64encode(secret.encode()).decode()).verify(body, headers)


def test_a_redirect_is_a_failed_attempt_and_not_followed(whop: FakeWhop, endpoint: Endpoint) -> None:
    endpoint.statuses = [307]
    hook(whop, endpoint.url)
    [sent] = whop.emit("payout.created", account(whop))
    assert (sent.attempts, sent.delivered) == ((307,), False)
    assert len(endpoint.received) == 1


def test_an_answer_that_is_late_is_none(whop: FakeWhop, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ANSWER_SECONDS == 5
    monkeypatch.setattr("fake_whop.webhooks.ANSWER_SECONDS", 0.2)
    endpoint.silent = 0.6
    hook(whop, endpoint.url)
    [sent] = whop.emit("payout.created", account(whop))
    assert (sent.attempts, sent.delivered) == ((None,), False)


def test_while_a_secret_is_rotated_both_sign(whop: FakeWhop, endpoint: Endpoint) -> None:
    made = hook(whop, endpoint.url)
    new = whop.rotate_webhook_secret(made["id"])
    whop.emit("payout.created", account(whop))
    [(headers, body)] = endpoint.received
    for secret in (made["webhook_secret"], new):
        Webhook(base64.b64encode(secret.encode()).decode()).verify(body, headers)


def test_a_person_sends_an_event_by_the_page_and_sees_what_came_of_it(whop: FakeWhop, endpoint: Endpoint) -> None:
    hook(whop, endpoint.url)
    ann = account(whop)
    order = {"event": "payout.updated", "account_id": ann, "data": {"status": "failed"}}
    answer = httpx.post(f"{whop.control_url}/_fake/events", json=order, trust_env=False)
    [shown] = answer.json()["sent"]
    assert (shown["event"], shown["account_id"], shown["attempts"]) == ("payout.updated", ann, [200])
    assert endpoint.events()[0]["data"]["status"] == "failed"
    assert whop.sent_webhooks[0].id == shown["id"]
    assert shown["id"] in httpx.get(whop.control_url, trust_env=False).text
    unknown = httpx.post(f"{whop.control_url}/_fake/events", json={**order, "account_id": "biz_x"}, trust_env=False)
    assert (unknown.status_code, unknown.json()["error"][:38]) == (400, "there is no connected account biz_x: t")
    misspelt = httpx.post(f"{whop.control_url}/_fake/events", json={**order, "event": "payout.x"}, trust_env=False)
    assert misspelt.status_code == 400
    assert "no webhook takes payout.x, only " in misspelt.json()["error"]
    assert "payout.updated" in misspelt.json()["error"]
