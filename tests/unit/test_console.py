"""The console's guard and pages, with sources that a test fills: who gets in, what changes, and what is shown."""

import html
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from botocore.exceptions import ClientError
from starlette.testclient import TestClient

from harness.entries import entry
from local_stack import ROOT
from whop_sync.errors import Transient
from whop_sync.journal import AnnouncementOutcome, DeliveryOutcome, EventOutcome, WhopWebhookOutcome
from whop_sync.users.directory import Entry
from whop_user_sync import cli
from whop_user_sync.console.pages import OUTCOMES, application, documented_reasons
from whop_user_sync.console.security import Guard
from whop_user_sync.console.sources import (
    Alarm,
    Delivery,
    ImportRun,
    Overview,
    Parts,
    Profile,
    QueueState,
    RejectedRow,
    Sources,
    UserPage,
    deliveries_in,
    import_run,
)
from whop_user_sync.desktop import has_desktop
from whop_user_sync.logs import LogLine
from whop_user_sync.parked import Parked, RedriveOutcome
from whop_user_sync.stack import Stack

PORT = 8765
HOME = f"http://127.0.0.1:{PORT}"
SCRIPT = "<script>alert(1)</script>"

LINE = LogLine(
    at="2026-11-25T10:00:00.000Z",
    function="receive-webhook",
    message="delivery",
    fields={"outcome": "parked", "reason": "not_json", "event_id": "msg_1", "user_id": SCRIPT},
)

NO_PARTS = dict.fromkeys(("total", "pending", "running", "succeeded", "failed", "timedOut", "aborted"), 0)
RUN: dict[str, Any] = {
    "name": "run-1",
    "status": "RUNNING",
    "startDate": datetime(2026, 11, 25, 10, 0, 5, tzinfo=UTC),
    "input": json.dumps({"bucket": {"name": "b"}, "object": {"key": "users/2026/all.csv"}}),
}
"""As Step Functions describes an execution."""


class StubSources:
    """What a stack would answer."""

    stack = Stack(name="acme")

    def __init__(self) -> None:
        self.announcements: Counter[str] | None = Counter({"delivered": 7, "retried": 2})
        self.redriven: list[str] = []
        self.discarded: list[tuple[str, str]] = []

    def overview(self, *, hours: float) -> Overview:
        return Overview(
            alarms=[Alarm(name="crash", state="ALARM", since="", description="A defect.")],
            queues=[
                QueueState(name="user-created", waiting=3, in_flight=0, is_parked=False, oldest=7500.0),
                QueueState(name="parked-deliveries", waiting=1, in_flight=0, is_parked=True, oldest=None),
            ],
            outcomes=[("10:00", Counter({"accepted": 2, "parked": 1}))],
            calls={"PATCH /users/{id}": Counter({"200": 3})},
            announcements=self.announcements,
            lines=int(hours),
        )

    def deliveries(self, *, hours: float, wanted: Mapping[str, str]) -> list[Delivery]:
        del hours
        found = Delivery(event_id="msg_1", lines=[LINE])
        return [found] if all(str(getattr(found, name)) == text for name, text in wanted.items()) else []

    def delivery(self, event_id: str, *, days: float) -> Delivery | None:
        del days
        return Delivery(event_id=event_id, lines=[LINE]) if event_id == "msg_1" else None

    def user(self, wanted: str, *, days: float) -> UserPage | None:
        del days
        profile = Profile(
            own={"name": SCRIPT, "profile_picture": {"url": "javascript:alert(1)"}},
            everywhere={"name": None, "profile_picture": {"url": "https://cdn.test/a.png"}},
        )
        return UserPage(entry=entry(wanted), lines=[LINE], profile=profile) if wanted != "absent" else None

    def parked(self) -> list[Parked]:
        return [
            Parked(
                id="1",
                receipt_handle="r",
                queue="parked-deliveries",
                sent_at=0.0,
                event_id="msg_1",
                user_id=None,
                reason="not_json",
                explanation=SCRIPT,
                whop_message=None,
                body="c2VjcmV0LWJvZHk=",
                headers={},
                signed_at=None,
            )
        ]

    def hidden(self) -> int:
        return 2

    def parked_body(self, event_id: str) -> str | None:
        return f"secret-body {SCRIPT}" if event_id == "msg_1" else None

    def redrive(self, event_ids: Sequence[str]) -> list[tuple[Parked, RedriveOutcome]]:
        self.redriven += event_ids
        return [(self.parked()[0], "sent") for _ in event_ids]

    def discard(self, event_ids: Sequence[str], why: str) -> int:
        self.discarded += [(each, why) for each in event_ids]
        return len(event_ids)

    def users(self, *, status: str) -> list[Entry]:
        return [entry("u1"), entry(SCRIPT)] if status == "synced" else []

    def imports(self) -> list[ImportRun]:
        return [import_run(RUN, {**NO_PARTS, "total": 4, "succeeded": 3, "failed": 1})]

    def rejected_rows(self, run_name: str) -> list[RejectedRow] | None:
        row = RejectedRow(line=7, user_id=SCRIPT, reason="bad_email", explanation="it cannot be one address")
        return {"run-1": [row], "run-2": []}.get(run_name)


@pytest.fixture
def guard() -> Guard:
    return Guard(port=PORT)


@pytest.fixture
def sources() -> StubSources:
    return StubSources()


def client(sources: Any, guard: Guard, *, write: bool = False, host: str = HOME) -> TestClient:
    app = application(
        sources, guard, write=write, reasons={"not_json": "It is no JSON."}, tabs={"Whop": "http://x:1/a"}
    )
    return TestClient(app, base_url=host, follow_redirects=False)


def signed_in(sources: Any, guard: Guard, *, write: bool = False) -> TestClient:
    browser = client(sources, guard, write=write)
    assert browser.get(guard.address.removeprefix(HOME)).status_code == 303
    return browser


# -- who gets in ---------------------------------------------------------------------------------------------------


def test_the_address_that_was_printed_opens_the_page_and_the_token_leaves_the_address(
    sources: StubSources, guard: Guard
) -> None:
    browser = client(sources, guard)
    answer = browser.get(f"/deliveries?hours=6.0&token={guard.token}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/deliveries?hours=6.0")
    assert browser.get(f"{HOME}//evil.test/?token={guard.token}").headers["location"] == "/evil.test/"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert browser.get("/").status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/deliveries", "/users?id=u1", "/parked", "/parked/body?event_id=msg_1", "/imports", "/imports/run-1"]
)
def test_without_the_token_nothing_is_shown(sources: StubSources, guard: Guard, path: str) -> None:
    assert client(sources, guard).get(path).status_code == 403
    assert client(sources, guard).get(f"{path}{'&' if '?' in path else '?'}token=wrong").status_code == 403
    assert client(sources, guard).get(f"{path}{'&' if '?' in path else '?'}token=%C3%B6%ED%A0%80").status_code == 403
    stranger = client(sources, guard)
    for offered in ("wrong", "w\xf6rng"):
        cookie = f"{guard.cookie}={offered}".encode("latin-1")
        assert stranger.get(path, headers={b"cookie": cookie}).status_code == 403


def test_two_pages_side_by_side_do_not_throw_each_other_out(sources: StubSources, guard: Guard) -> None:
    browser, other = signed_in(sources, guard), Guard(port=PORT + 1)
    opened = client(sources, other, host=f"http://127.0.0.1:{PORT + 1}").get(f"/?token={other.token}")
    browser.cookies.update(opened.cookies)  # as a browser does, for which both are one host
    assert browser.get("/").status_code == 200


@pytest.mark.parametrize("host", ["http://evil.test:8765", "http://127.0.0.1:9999", "http://127.0.0.1.nip.io:8765"])
def test_a_name_that_another_site_points_at_this_machine_gets_nothing(
    sources: StubSources, guard: Guard, host: str
) -> None:
    browser = client(sources, guard, host=host)
    assert browser.get(f"/?token={guard.token}").status_code == 421


def test_every_answer_carries_the_policy_that_lets_the_page_load_its_own_files_only(
    sources: StubSources, guard: Guard
) -> None:
    for answer in (signed_in(sources, guard).get("/"), client(sources, guard).get("/")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["cache-control"] == "no-store"
    page = signed_in(sources, guard).get("/").text
    assert not re.search(r"(?:src|href)=\"https?://", page)
    assert not re.search(r"\son[a-z]+=|style=|<script>", page)


def test_another_page_is_framed_on_its_own_tab_and_nowhere_else(sources: StubSources, guard: Guard) -> None:
    browser = signed_in(sources, guard)
    tab = browser.get("/tabs/Whop")
    assert '<iframe src="http://x:1/a"' in tab.text
    assert tab.headers["content-security-policy"].endswith("; frame-src http://x:1")
    assert '<a href="/tabs/Whop" aria-current="page">' in tab.text
    assert browser.get("/").headers["content-security-policy"].endswith("; frame-src 'none'")
    assert browser.get("/tabs/Other").status_code == 404
    assert client(sources, guard).get("/tabs/Whop").status_code == 403


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "//x/",
        "javascript:alert(1)",
        "http://",
        "http://x;script-src *",
        "http://x 'unsafe-inline'",
        "http\u017f://x",
    ],
)
def test_a_tab_of_no_address_that_a_policy_can_name_is_refused(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["console", "--stack", "acme", "--tab", f"Whop={url}"]) == 2
    assert "--tab takes a name and a URL" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environment", "platform", "opened"),
    [
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({}, "linux", False),
        ({}, "darwin", True),
        ({}, "win32", True),
        ({"DISPLAY": ":0", "CI": "true"}, "linux", False),
        ({"CI": "true"}, "darwin", False),
        ({"DISPLAY": ":10", "SSH_CONNECTION": "a 1 b 22"}, "linux", False),
    ],
)
def test_a_browser_is_opened_before_a_person_only(environment: dict[str, str], platform: str, *, opened: bool) -> None:
    assert has_desktop(environment, platform) is opened


# -- what changes --------------------------------------------------------------------------------------------------


def test_the_page_changes_nothing_unless_it_was_started_for_it(sources: StubSources, guard: Guard) -> None:
    browser = signed_in(sources, guard)
    form = {"event_id": "msg_1", "form_token": guard.form_token}
    assert browser.post("/parked/redrive", data=form, headers={"origin": HOME}).status_code == 403
    assert "post" not in browser.get("/parked").text
    assert sources.redriven == []


@pytest.mark.parametrize("action", ["redrive", "discard"])
def test_each_row_has_forms_of_its_own(sources: StubSources, guard: Guard, action: str) -> None:
    browser = signed_in(sources, guard, write=True)
    [form] = re.findall(
        rf'<form method="post" action="/parked/{action}">(.*?)</form>', browser.get("/parked").text, re.S
    )
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', form))
    answer = browser.post(f"/parked/{action}", data={**fields, "why": "a test"}, headers={"origin": HOME})
    assert answer.status_code == 303
    assert sources.redriven + [event_id for event_id, _ in sources.discarded] == ["msg_1"]


def test_one_event_is_redriven_by_the_pages_own_form(sources: StubSources, guard: Guard) -> None:
    browser = signed_in(sources, guard, write=True)
    form = {"event_id": "msg_1", "form_token": guard.form_token}
    answer = browser.post("/parked/redrive", data=form, headers={"origin": HOME})
    assert answer.status_code == 303
    assert sources.redriven == ["msg_1"]
    assert "Redriven: 1 sent." in browser.get(answer.headers["location"]).text


@pytest.mark.parametrize("action", ["redrive", "discard"])
@pytest.mark.parametrize(
    ("origin", "token"),
    [
        ("http://evil.test", "right"),
        (None, "right"),
        ("null", "right"),
        (HOME, "wrong"),
        (HOME, ""),
        (HOME, "w\xf6rng"),
        (HOME, None),
    ],
)
def test_no_other_page_can_post(
    sources: StubSources, guard: Guard, action: str, origin: str | None, token: str | None
) -> None:
    browser = signed_in(sources, guard, write=True)
    form = {"event_id": "msg_1", "why": "x"}
    if token is not None:
        form["form_token"] = guard.form_token if token == "right" else token
    headers = {"origin": origin} if origin else {}
    assert browser.post(f"/parked/{action}", data=form, headers=headers).status_code == 403
    assert (sources.redriven, sources.discarded) == ([], [])


def test_deleting_needs_a_reason(sources: StubSources, guard: Guard) -> None:
    browser = signed_in(sources, guard, write=True)
    form = {"event_id": "msg_1", "form_token": guard.form_token, "why": "  "}
    assert browser.post("/parked/discard", data=form, headers={"origin": HOME}).status_code == 400
    assert sources.discarded == []
    answer = browser.post("/parked/discard", data={**form, "why": "a test"}, headers={"origin": HOME})
    assert (answer.status_code, sources.discarded) == (303, [("msg_1", "a test")])


# -- what is shown -------------------------------------------------------------------------------------------------


def test_what_others_wrote_is_text_and_never_markup(sources: StubSources, guard: Guard) -> None:
    browser = signed_in(sources, guard)
    for path in (
        "/deliveries",
        "/deliveries/msg_1",
        "/users?id=u1",
        "/users?status=synced",
        "/parked",
        "/parked/body?event_id=msg_1",
        "/imports/run-1",
    ):
        page = browser.get(path).text
        assert SCRIPT not in page, path
        assert html.escape(SCRIPT) in page, path


def test_what_another_run_hides_is_not_taken_for_gone(sources: StubSources, guard: Guard) -> None:
    assert "About 2 are hidden just now" in signed_in(sources, guard).get("/parked").text


def test_two_looks_at_what_is_parked_do_not_hide_it_from_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    both_look, together = threading.Barrier(2), []

    class Looking:
        @contextmanager
        def held(self) -> Iterator[list[Parked]]:
            with suppress(threading.BrokenBarrierError):
                both_look.wait(0.3)
                together.append(True)
            yield []

    monkeypatch.setattr(Stack, "client", lambda *_: object())
    monkeypatch.setattr(Stack, "table", "t")
    monkeypatch.setattr(Sources, "_parked_events", Looking())
    page = Sources(Stack(name="acme"))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda look: look(), [page.parked, page.parked]))
    assert not together


def test_a_picture_is_a_link_where_its_address_is_one_of_the_web(sources: StubSources, guard: Guard) -> None:
    page = signed_in(sources, guard).get("/users?id=u1").text
    assert 'href="https://cdn.test/a.png"' in page
    assert "javascript:alert(1)" in page
    assert 'href="javascript' not in page


def test_contents_are_shown_only_where_they_are_asked_for(sources: StubSources, guard: Guard) -> None:
    browser = signed_in(sources, guard)
    assert "secret-body" not in browser.get("/parked").text
    assert "secret-body" in browser.get("/parked/body?event_id=msg_1").text
    assert browser.get("/parked/body?event_id=other").status_code == 404


def test_a_webhook_of_whop_goes_on_as_its_announcement_and_an_announcement_alone_is_no_delivery() -> None:
    def line(message: str, **fields: str) -> LogLine:
        return LogLine(at=LINE.at, function="any", message=message, fields=fields)

    came = line("whop webhook", outcome="accepted", event_id="whop_msg_1")
    announced = line("announcement", outcome="delivered", event_id="whop_msg_1", user_id="u1")
    own = line("announcement", outcome="retried", event_id="msg_2", user_id="u2")
    [shown] = deliveries_in([came, own, announced])
    assert (shown.event_id, shown.outcome, shown.user_id) == ("whop_msg_1", "delivered", "u1")


def test_why_a_try_failed_is_the_reason_until_the_next_one_is_done() -> None:
    def line(outcome: str, **fields: str) -> LogLine:
        return LogLine(at=LINE.at, function="any", message="event", fields={"outcome": outcome, **fields})

    waiting = [line("accepted"), line("retried", reason="no_email")]
    assert Delivery(event_id="msg_1", lines=waiting).reason == "no_email"
    assert Delivery(event_id="msg_1", lines=[*waiting, line("synced")]).reason is None
    parked = [*waiting, line("parked", reason="whop_refused")]
    assert Delivery(event_id="msg_1", lines=parked).reason == "whop_refused"


def test_every_outcome_that_is_logged_has_its_look_and_can_be_filtered_by() -> None:
    logged = (DeliveryOutcome, WhopWebhookOutcome, EventOutcome, AnnouncementOutcome)
    words = {word for outcomes in logged for word in get_args(outcomes.__value__)}
    assert set(OUTCOMES) == {*words, "discarded"}  # the last by `discard`


def test_deliveries_are_filtered_and_refreshed_as_rows_alone(sources: StubSources, guard: Guard) -> None:
    browser = signed_in(sources, guard)
    page = browser.get("/deliveries?outcome=parked&reason=not_json").text
    assert "msg_1" in page
    assert "<html" in page
    assert "None fits" in browser.get("/deliveries?outcome=synced").text
    rows = browser.get("/deliveries", headers={"hx-request": "true"}).text
    assert "msg_1" in rows
    assert ">2026-11-25 10:00:00 UTC<" in rows
    assert "<html" not in rows


def test_what_is_not_there_is_said(sources: StubSources, guard: Guard) -> None:
    browser = signed_in(sources, guard)
    for path in ("/users?id=absent", "/deliveries/other", "/imports/other"):
        assert browser.get(path).status_code == 404
    for path in ("/users?id=u1", "/users", "/deliveries/msg_1", "/imports/run-2", "/parked/body?event_id=msg_1"):
        assert browser.get(path).status_code == 200


@pytest.mark.parametrize("hours", ["x", "nan", "1000000"])
def test_no_address_makes_the_page_look_back_further_than_it_offers(
    sources: StubSources, guard: Guard, monkeypatch: pytest.MonkeyPatch, hours: str
) -> None:
    asked: list[float] = []

    def overview(*, hours: float) -> Overview:
        asked.append(hours)
        return StubSources.overview(sources, hours=hours)

    monkeypatch.setattr(sources, "overview", overview)
    assert signed_in(sources, guard).get(f"/?hours={hours}").status_code == 200
    assert asked == [1.0]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ClientError({"Error": {"Code": "AccessDenied"}}, "Scan"), "You are not allowed to Scan."),
        (Transient("dynamodb_unavailable", "ThrottlingException"), "dynamodb_unavailable: ThrottlingException"),
    ],
)
def test_what_aws_refuses_is_a_sentence_on_the_page(
    sources: StubSources, guard: Guard, monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    def refuse(**_: Any) -> None:
        raise error

    monkeypatch.setattr(sources, "users", refuse)
    answer = signed_in(sources, guard).get("/users?status=synced")
    assert answer.status_code == 502
    assert sentence in answer.text


def test_a_queue_shows_the_age_of_its_oldest_message_where_it_is_known(sources: StubSources, guard: Guard) -> None:
    page = signed_in(sources, guard).get("/").text
    assert re.search(r"user-created</th><td>3</td><td>0</td><td>2 h 5 min<", page)
    assert re.search(r"parked-deliveries</th><td>1</td><td>0</td><td>-<", page)


def test_the_overview_counts_announcements_where_the_stack_makes_some(sources: StubSources, guard: Guard) -> None:
    def shown() -> str:
        return " ".join(re.sub(r"<[^>]+>", " ", signed_in(sources, guard).get("/").text).split())

    assert "Announcements to your platform delivered 7 retried 2" in shown()
    sources.announcements = Counter()
    assert "Announcements to your platform None in this time." in shown()
    sources.announcements = None
    assert "Announcements" not in shown()


def test_users_are_listed_by_a_status_and_by_no_other_word(sources: StubSources, guard: Guard) -> None:
    browser = signed_in(sources, guard)
    assert 'href="/users?id=u1"' in browser.get("/users?status=synced").text
    assert "No user is failed" in browser.get("/users?status=failed").text
    for path in ("/users", "/users?status=anything"):
        page = browser.get(path).text
        assert "/users?id=u1" not in page
        assert "/users?status=no_email" in page


def test_an_import_shows_how_many_parts_are_done_and_its_rejected_rows_when_asked(
    sources: StubSources, guard: Guard
) -> None:
    browser = signed_in(sources, guard)
    page = browser.get("/imports").text
    assert "3 of 4, 1 failed" in page
    assert "bad_email" not in page
    rows = browser.get("/imports/run-1").text
    assert all(text in rows for text in ("7", "bad_email", "it cannot be one address"))
    assert "has rejected no row" in browser.get("/imports/run-2").text
    assert "<html" not in browser.get("/imports", headers={"hx-request": "true"}).text


def test_a_run_is_read_from_what_step_functions_says_of_it() -> None:
    begun = import_run(RUN, None)
    assert (begun.file, begun.parts, begun.sent, begun.rejected) == ("2026/all.csv", None, None, None)
    assert begun.rejected_in == ("b", "rejected/run-1/")
    through = {**RUN, "status": "SUCCEEDED", "output": '{"sent": 5, "rejected": 2}'}
    done = import_run(through, {**NO_PARTS, "total": 9, "succeeded": 4, "failed": 1, "timedOut": 2, "aborted": 1})
    assert (done.sent, done.rejected, done.parts) == (5, 2, Parts(total=9, done=4, failed=4))
    refused = import_run({**RUN, "status": "FAILED", "error": "NoFileOfUsers", "cause": "bad_header"}, None)
    assert (refused.status, refused.problem) == ("failed", "bad_header")


def test_the_paragraphs_on_reasons_come_from_the_docs() -> None:
    reasons = documented_reasons((ROOT / "docs" / "troubleshooting.md").read_text())
    assert len(reasons) > 20
    assert "whop_refused" in reasons
