"""How Whop's answers are understood, in every form they may take."""

import datetime
import email.utils
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from whop_sync.errors import AwaitsTurn, OperatorNeeded, Permanent, SyncError, Transient
from whop_sync.whop.answers import OPERATOR_RETRY_SECONDS
from whop_sync.whop.client import (
    AccountExists,
    File,
    Pace,
    ProfileRefused,
    Search,
    Whop,
    Witness,
    http_client,
)
from whop_sync.whop.generations import GENERATIONS

COMPANY = {"id": "biz_1", "owner_user": {"id": "user_1", "name": None, "username": "ann"}, "metadata": None}


def whop(
    answer: Callable[[httpx.Request], httpx.Response], witness: Witness | None = None, pace: Pace | None = None
) -> Whop:
    return Whop(
        httpx.Client(transport=httpx.MockTransport(answer)),
        url="https://whop.test/api/v1/",
        version="2026-07-20",
        api_key=lambda: "apik_1",
        witness=witness,
        pace=pace,
    )


def create(answer: Callable[[httpx.Request], httpx.Response], attempt: str = "a1", **changed: str) -> Any:
    order = {"parent": "biz_0", "title": "Ann (u1)", "email": "ann@shop.test", "user_id": "u1", **changed}
    return whop(answer).create_account(attempt=attempt, **order)


def error_of(status: int, body: object, headers: dict[str, str] | None = None) -> SyncError:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    raw = [(name.encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
    with pytest.raises(SyncError) as caught:
        create(lambda _: httpx.Response(status, content=content, headers=raw))
    return caught.value


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (302, Transient, "whop_failed"),
        (400, Permanent, "whop_refused"),
        (401, OperatorNeeded, "whop_key_rejected"),
        (403, OperatorNeeded, "whop_key_rejected"),
        (404, OperatorNeeded, "whop_gone"),
        (408, Transient, "whop_failed"),
        (409, Permanent, "whop_refused"),
        (410, OperatorNeeded, "whop_gone"),
        (422, Permanent, "whop_refused"),
        (429, AwaitsTurn, "whop_rate_limited"),
        (500, Transient, "whop_failed"),
        (503, Transient, "whop_failed"),
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        {"error": {"type": "t", "message": "m", "code": "c", "param": None}},
        {"error": {"message": "m"}},
        {"error": None},
        {"error": "words"},
        {"message": "m"},
        [],
        None,
        b"",
        b"<html>Bad gateway</html>",
        b'{"error": {"mess',
        b"\xff\xfe",
    ],
)
def test_the_status_decides_whatever_the_body_looks_like(
    status: int, kind: type[SyncError], reason: str, body: object
) -> None:
    error = error_of(status, body)
    assert (type(error), error.reason) == (kind, reason)
    assert error.answer
    assert error.answer.status == status


def test_what_whop_says_is_kept() -> None:
    body = {
        "error": {
            "type": "invalid_request_error",
            "message": "Bad title",
            "code": "parameter_invalid",
            "param": "title",
        }
    }
    answer = error_of(400, body, {"x-request-id": "req_1"}).answer
    assert answer
    assert (answer.type, answer.code, answer.param) == ("invalid_request_error", "parameter_invalid", "title")
    assert (answer.message, answer.request_id) == ("Bad title", "req_1")


def test_what_does_not_look_like_a_word_is_not_taken_for_a_code() -> None:
    body = {"error": {"type": "ann@shop.test", "message": "m", "code": "Ann Bee", "param": 5}}
    answer = error_of(400, body, {"x-request-id": "ann@shop.test"}).answer
    assert answer
    assert (answer.type, answer.code, answer.param, answer.request_id) == (None, None, None, None)


def test_only_a_user_or_a_file_can_be_missing_for_good() -> None:
    """Given a call that names neither, when Whop does not know it, then the version or the company is wrong."""
    missing = whop(lambda _: httpx.Response(404))
    for call in (lambda: missing.user("user_1", company="biz_0"), lambda: missing.file("file_1")):
        with pytest.raises(Permanent) as caught:
            call()
        assert caught.value.reason == "whop_not_found"
    waiting = missing.find_account(parent="biz_0", user_id="u1", has_time=lambda: True).interruption
    assert waiting
    assert (waiting.reason, waiting.retry_after) == ("whop_gone", OPERATOR_RETRY_SECONDS)


@pytest.mark.parametrize("message", [5, ["m"], {"m": 1}, None])
def test_a_message_that_is_no_text_is_none(message: object) -> None:
    error = error_of(422, {"error": {"message": message}})
    assert error.answer
    assert (error.reason, error.answer.message) == ("whop_refused", None)


@pytest.mark.parametrize("file", [{}, {"id": "file_1"}, {"upload_status": "ready"}])
def test_a_file_that_cannot_be_read_is_asked_for_again(file: dict[str, str]) -> None:
    with pytest.raises(Transient) as caught:
        whop(lambda _: httpx.Response(200, json=file)).create_file("avatar.png")
    assert (caught.value.reason, caught.value.effect) == ("whop_unreadable", "possible")


def test_an_id_of_the_request_may_stand_in_either_header() -> None:
    for name, value, seen in [("request-id", "req_1", "req_1"), ("x-request-id", "two words", None)]:
        answer = error_of(400, {}, {name: value, "request-id": seen or "no word"}).answer
        assert answer
        assert answer.request_id == seen


def test_a_taken_title_is_known_by_its_message_whatever_the_status() -> None:
    body = {"error": {"message": "You have already created an account with the same name"}}
    for status in (400, 409, 422):
        assert isinstance(error_of(status, body), AccountExists)


@pytest.mark.parametrize(
    "message",
    ["Unknown Api-Version-Date. Supported versions: 2026-07-20", "unsupported API version", "Supported versions: ..."],
)
def test_a_version_that_whop_does_not_know_is_the_operators_matter(message: str) -> None:
    error = error_of(400, {"error": {"message": message}})
    assert isinstance(error, Transient)
    assert (error.reason, error.retry_after) == ("whop_gone", OPERATOR_RETRY_SECONDS)


def test_a_request_in_progress_may_still_be_carried_out() -> None:
    error = error_of(409, {"error": {"code": "idempotency_request_in_progress", "message": "m"}})
    assert isinstance(error, Transient)
    assert error.effect == "pending"
    assert isinstance(error_of(400, {"error": {"code": "idempotency_request_in_progress"}}), Permanent)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(429, "none"), (401, "none"), (500, "possible"), (502, "pending"), (504, "pending")],
)
def test_the_status_shows_what_may_have_happened(status: int, outcome: str) -> None:
    error = error_of(status, {})
    assert isinstance(error, Transient)
    assert error.effect == outcome


@pytest.mark.parametrize(
    ("message", "header", "seconds"),
    [
        ("Rate limit exceeded. Try again in 12 seconds.", None, 12),
        ("Try again in 1 second.", None, 1),
        ("Try again in 0.5 seconds.", None, 0.5),
        ("Try again in 2 minutes.", None, 120),
        ("Try again in 1 hour.", None, 3600),
        ("Try again in 12 seconds.", "7", 7),
        ("Try again in 12 seconds.", "soon", 12),
        ("Try again in 12 seconds.", "\u00b2", 12),
        ("Try again in 12 seconds.", "-5", 12),
        ("Try again in 12 seconds.", "Sun, 01 Mar 2026 10:00:00 GMT", 0),
        ("Try again in 12 seconds.", "Sun, 01 Mar 2026 10:00:00 -0000", 0),
        ("Slow down.", None, None),
        (None, None, None),
        ("Try again in 12 seconds.", "9" * 400, 86400),
        ("Try again in " + "9" * 400 + " hours.", None, 86400),
        (None, "Fri, 01 Mar 2999 10:00:00 GMT", 86400),
    ],
)
def test_the_wait_is_in_the_header_if_there_is_one_and_in_the_words_otherwise(
    message: str | None, header: str | None, seconds: float | None
) -> None:
    error = error_of(429, {"error": {"message": message}}, {"retry-after": header} if header else {})
    assert isinstance(error, Transient)
    assert error.retry_after == seconds


def test_the_wait_may_be_a_date() -> None:
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=100)
    error = error_of(429, {}, {"retry-after": moment.strftime("%a, %d %b %Y %H:%M:%S GMT")})
    assert isinstance(error, Transient)
    assert error.retry_after is not None
    assert 90 < error.retry_after <= 100


def test_a_refused_key_is_not_tried_again_at_once() -> None:
    error = error_of(401, {})
    assert isinstance(error, Transient)
    assert error.retry_after == OPERATOR_RETRY_SECONDS


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        (httpx.ConnectError("refused"), "none"),
        (httpx.ConnectTimeout("slow"), "none"),
        (httpx.PoolTimeout("full"), "none"),
        (httpx.ReadTimeout("silent"), "pending"),
        (httpx.WriteError("broken"), "pending"),
        (httpx.ReadError("reset"), "pending"),
        (httpx.RemoteProtocolError("cut"), "pending"),
    ],
)
def test_without_an_answer_only_a_missing_connection_proves_that_nothing_happened(
    failure: Exception, outcome: str
) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise failure

    with pytest.raises(Transient) as caught:
        create(fail)
    assert caught.value.effect == outcome


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"{}", b'{"id":"biz_1"}', b'{"id":"biz_1","owner_user":null}']
)
def test_a_success_that_cannot_be_read_may_have_been_one(body: bytes) -> None:
    with pytest.raises(Transient) as caught:
        create(lambda _: httpx.Response(200, content=body))
    assert (caught.value.reason, caught.value.effect) == ("whop_unreadable", "possible")


@pytest.mark.parametrize("body", [{}, {"data": []}, {"data": [], "page_info": None}, {"page_info": {}}])
def test_a_list_that_cannot_be_read_is_no_empty_list(body: object) -> None:
    client = whop(lambda _: httpx.Response(200, json=body))
    assert client.find_account(parent="biz_0", user_id="u1", has_time=lambda: True).interruption


@pytest.mark.parametrize("content", [b"<html>Sign in to continue</html>", b"", b'{"id": "us', b'["user_1"]', b"null"])
def test_a_change_is_not_done_because_something_answered_200(content: bytes) -> None:
    with pytest.raises(Transient) as caught:
        whop(lambda _: httpx.Response(200, content=content)).update_user("user_1", company="biz_0", changes={})
    assert (caught.value.reason, caught.value.effect) == ("whop_unreadable", "possible")


def test_a_list_ends_where_it_says_so_and_not_where_cursors_end() -> None:
    pages = iter([("c1", True), ("c2", True), ("c3", False)])
    asked: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params.get("after"))
        cursor, more = next(pages)
        return httpx.Response(200, json={"data": [], "page_info": {"end_cursor": cursor, "has_next_page": more}})

    assert whop(answer).find_account(parent="biz_0", user_id="u1", has_time=lambda: True) == Search()
    assert asked == [None, "c1", "c2"]


def listing(number: int) -> Callable[[httpx.Request], httpx.Response]:
    """A list of so many empty pages, which notes in its Date when it answers: second by second from 1970 on."""
    seconds = iter(range(1, 10**6))

    def answer(request: httpx.Request) -> httpx.Response:
        page = int(request.url.params.get("after", "0")) + 1
        info = {"end_cursor": str(page), "has_next_page": page < number}
        date = email.utils.formatdate(next(seconds), usegmt=True)
        return httpx.Response(200, json={"data": [], "page_info": info}, headers={"Date": date})

    return answer


def test_a_search_that_takes_too_long_goes_on_where_it_was_ended() -> None:
    client = whop(listing(5))
    time = iter([True, True, False])
    first = client.find_account(parent="biz_0", user_id="u1", has_time=lambda: next(time))
    assert first.interruption
    assert (first.interruption.reason, first.cursor, first.began_at) == ("out_of_time", "0:2", 1)

    asked = []
    client = whop(lambda request: asked.append(request.url.params.get("after")) or listing(5)(request))  # type: ignore[func-returns-value]
    rest = client.find_account(parent="biz_0", user_id="u1", has_time=lambda: True, cursor=first.cursor)
    assert (rest.interruption, asked) == (None, ["2", "3", "4"])


def test_a_page_that_fails_costs_no_page_before_it() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(429) if request.url.params.get("after") == "2" else listing(5)(request)

    search = whop(answer).find_account(parent="biz_0", user_id="u1", has_time=lambda: True)
    assert search.interruption
    assert (search.interruption.reason, search.cursor) == ("whop_rate_limited", "0:2")


def test_a_cursor_that_whop_no_longer_knows_begins_the_search_anew() -> None:
    client = whop(lambda _: httpx.Response(400, json={"error": {"type": "invalid_parameters", "message": "after: no"}}))
    search = client.find_account(parent="biz_0", user_id="u1", has_time=lambda: True, cursor="0:2")
    assert search.interruption
    assert search.cursor is None
    with pytest.raises(Permanent):
        client.find_account(parent="biz_0", user_id="u1", has_time=lambda: True)


def test_a_file_without_a_place_to_upload_to_is_made_anew_later() -> None:
    with pytest.raises(Transient) as caught:
        whop(lambda _: httpx.Response(200)).upload(File(id="file_1", status="pending"), b"png")
    assert caught.value.reason == "whop_unreadable"


@dataclass
class Turns:
    """A pace that remembers what it was asked and what Whop refused."""

    open: bool = True
    asked: list[str] = field(default_factory=list)
    refusals: list[tuple[str, float]] = field(default_factory=list)

    def wait(self, operation: str) -> None:
        self.asked.append(operation)
        if not self.open:
            raise Transient("whop_slots_taken", retry_after=30)

    def refused(self, operation: str, seconds: float) -> None:
        self.refusals.append((operation, seconds))


def test_every_call_waits_for_its_turn_and_an_upload_needs_none() -> None:
    turns, events = Turns(), iter(range(10))
    seen: list[int] = []

    def answer(_: httpx.Request) -> httpx.Response:
        assert len(turns.asked) == next(events) + 1
        seen.append(len(turns.asked))
        return httpx.Response(200, json={"id": "file_1", "upload_status": "pending"})

    client = whop(answer, pace=turns)
    client.user("user_1", company="biz_0")
    client.update_user("user_1", company="biz_0", changes={"name": "Ann"})
    client.create_file("avatar.png")
    assert turns.asked == ["GET /users/{id}", "PATCH /users/{id}", "POST /files"]
    assert seen == [1, 2, 3]
    whop(lambda _: httpx.Response(200), pace=turns).upload(
        File(id="file_1", status="pending", upload_url="https://storage.test/put"), b"png"
    )
    assert len(turns.asked) == 3


def test_a_call_that_gets_no_turn_is_not_made() -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise AssertionError("a call was made")

    with pytest.raises(Transient, match="whop_slots_taken"):
        whop(answer, pace=Turns(open=False)).user("user_1", company="biz_0")


@pytest.mark.parametrize(
    ("status", "message", "headers", "seen"),
    [
        (429, "Try again in 12 seconds.", {}, [("GET /users/{id}", 12)]),
        (429, "Slow down.", {}, [("GET /users/{id}", 0)]),
        (429, "", {"retry-after": "7"}, [("GET /users/{id}", 7)]),
        (503, "Try again in 12 seconds.", {}, []),
        (422, "Try again in 12 seconds.", {}, []),
    ],
)
def test_only_a_rate_limit_closes_an_operation_for_a_while(
    status: int, message: str, headers: dict[str, str], seen: list[tuple[str, float]]
) -> None:
    turns = Turns()
    body = {"error": {"message": message}}
    with pytest.raises(SyncError):
        whop(lambda _: httpx.Response(status, json=body, headers=headers), pace=turns).user("user_1", company="biz_0")
    assert turns.refusals == seen


def test_every_call_names_key_and_version_and_an_upload_neither() -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        file = {"id": "file_1", "upload_status": "pending", "upload_url": "https://store.test/x?sig=1"}
        return httpx.Response(
            200, json={**COMPANY, **file, "upload_headers": {"Content-Type": "image/png", "X-None": None}}
        )

    client = whop(answer)
    create(answer)
    client.user("user_1", company="biz_0")
    client.update_user("user_1", company="biz_0", changes={"name": None})
    client.file("file_1")
    file = client.create_file("avatar.png")
    for request in requests:
        assert request.headers["authorization"] == "Bearer apik_1"
        assert request.headers["api-version-date"] == "2026-07-20"

    client.upload(file, b"bytes")
    upload = requests[-1]
    assert (upload.url.host, upload.headers["content-type"], upload.content) == ("store.test", "image/png", b"bytes")
    assert "authorization" not in upload.headers
    assert "x-none" not in upload.headers


def test_an_idempotency_key_belongs_to_one_attempt_at_one_request() -> None:
    keys: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["idempotency-key"])
        return httpx.Response(200, json=COMPANY)

    create(answer)
    create(answer)
    create(answer, attempt="a2")
    create(answer, title="Anna (u1)")
    create(answer, user_id="u2")
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4
    assert all(len(key) <= 255 for key in keys)


@dataclass
class Watch:
    """Remembers what a witness sees."""

    delivery: str | None = "msg_1"
    seen: list[tuple[str, int | None, str | None]] = field(default_factory=list)

    def correlation_id(self) -> str | None:
        return self.delivery

    def whop_call(self, operation: str, *, status: int | None, seconds: float, request_id: str | None) -> None:
        assert 0 <= seconds < 60
        self.seen.append((operation, status, request_id))

    def picture_uploaded(self) -> None:
        self.seen.append(("picture uploaded", None, None))


def silent(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("no answer", request=request)


def test_every_call_is_logged_by_its_operation_and_never_by_whom_it_is_about() -> None:
    watch = Watch()
    answers = iter([200, 404, 429])
    client = whop(lambda _: httpx.Response(next(answers), json={}, headers={"x-request-id": "req_1"}), watch)
    client.user("user_1", company="biz_0")
    for _ in range(2):
        with pytest.raises(SyncError):
            client.update_user("user_1", company="biz_0", changes={"name": "Ann"})
    with pytest.raises(Transient):
        whop(silent, watch).file("file_1")
    assert watch.seen == [
        ("GET /users/{id}", 200, "req_1"),
        ("PATCH /users/{id}", 404, "req_1"),
        ("PATCH /users/{id}", 429, "req_1"),
        ("GET /files/{id}", None, None),
    ]


@pytest.mark.parametrize(("status", "more"), [(200, [("picture uploaded", None, None)]), (403, [])])
def test_an_upload_is_logged_and_counts_when_it_was_taken(status: int, more: list[object]) -> None:
    watch = Watch()
    file = File(id="file_1", status="pending", upload_url="https://storage.test/put")
    with suppress(Transient):
        whop(lambda _: httpx.Response(status), watch).upload(file, b"png")
    assert watch.seen == [("PUT upload", status, None), *more]


@pytest.mark.parametrize(
    ("delivery", "header"), [("msg_1", "msg_1"), (None, None), ("msg\r\nX-Evil: 1", None), ("é", None), ("", None)]
)
def test_a_call_carries_the_delivery_it_is_made_for(delivery: str | None, header: str | None) -> None:
    seen: list[httpx.Headers] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return httpx.Response(200, json={})

    client = whop(answer, Watch(delivery))
    client.user("user_1", company="biz_0")
    client.upload(File(id="file_1", status="pending", upload_url="https://storage.test/put"), b"png")
    assert [headers.get("x-correlation-id") for headers in seen] == [header, None]


@dataclass
class Recorder:
    """A Whop that answers everything alike and remembers the requests."""

    answer: dict[str, Any]
    status: int = 200
    requests: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(self.status, json=self.answer)

    def client(self, enrollment: str = "companies", **settings: Any) -> Whop:
        return Whop(
            httpx.Client(transport=httpx.MockTransport(self)),
            url="https://whop.test/api/v1",
            api_key=lambda: "apik_1",
            generation=GENERATIONS[enrollment],
            **settings,
        )

    @property
    def body(self) -> Any:
        return json.loads(self.requests[-1].content)


ORDER = {"parent": "biz_0", "title": "Ann (u1)", "email": "ann@shop.test", "user_id": "u1", "attempt": "a1"}


@pytest.mark.parametrize(("enrollment", "version"), [("companies", "2026-08-21-1"), ("accounts", "2026-09-23")])
def test_each_generation_sends_its_date_and_never_a_mail_to_customers(enrollment: str, version: str) -> None:
    recorder = Recorder(COMPANY)
    recorder.client(enrollment).create_account(**ORDER)
    assert recorder.requests[-1].headers["api-version-date"] == version
    assert recorder.body["send_customer_emails"] is False
    assert "country" not in recorder.body


@pytest.mark.parametrize(("enrollment", "country"), [("companies", "de"), ("accounts", "DE")])
def test_a_country_is_written_as_each_call_documents_it(enrollment: str, country: str) -> None:
    recorder = Recorder(COMPANY)
    recorder.client(enrollment, country="de").create_account(**ORDER)
    assert recorder.body["country"] == country


@pytest.mark.parametrize("enrollment", GENERATIONS)
@pytest.mark.parametrize("key", ["owner", "owner_user"])
def test_the_owner_is_read_under_either_key(enrollment: str, key: str) -> None:
    answer = {"id": "biz_1", "owner": None, "owner_user": None} | {key: {"id": "user_1"}}
    assert Recorder(answer).client(enrollment).create_account(**ORDER).whop_user_id == "user_1"


@pytest.mark.parametrize("place", ["code", "type"])
def test_a_create_that_is_still_running_is_no_conflict(place: str) -> None:
    refusal = {"error": {"type": "conflict", "message": "m"} | {place: "idempotency_request_in_progress"}}
    with pytest.raises(Transient) as caught:
        Recorder(refusal, 409).client("accounts").create_account(**ORDER)
    assert (caught.value.reason, caught.value.effect) == ("whop_in_progress", "pending")
    with pytest.raises(AccountExists):
        Recorder({"error": {"type": "conflict", "message": "m"}}, 409).client("accounts").create_account(**ORDER)


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        ({"message": "name: null is not accepted", "param": "name"}, {"name"}),
        ({"message": "m", "param": "profile_picture"}, {"profile_picture"}),
        ({"message": "m", "param": "profile_picture.id"}, {"profile_picture"}),
        ({"message": "profile_picture must be an object"}, {"profile_picture"}),
        ({"message": "name and profile_picture must not be null"}, {"name", "profile_picture"}),
        ({"message": "no"}, {"name", "profile_picture"}),
        (None, {"name", "profile_picture"}),
    ],
)
@pytest.mark.parametrize("status", [400, 422])
def test_a_refused_profile_names_the_fields(error: object, fields: set[str], status: int) -> None:
    recorder = Recorder({"error": error}, status)
    with pytest.raises(ProfileRefused) as caught:
        recorder.client().update_user("user_1", company="biz_0", changes={"name": None, "profile_picture": None})
    assert caught.value.reason == "whop_refused"
    assert caught.value.fields == fields


def test_a_missing_user_is_no_refused_field() -> None:
    with pytest.raises(Permanent) as caught:
        Recorder({}, 404).client().update_user("user_1", company="biz_0", changes={"name": None})
    assert not isinstance(caught.value, ProfileRefused)


@pytest.mark.parametrize(
    ("version", "key"), [("2026-09-02-1", "company_id"), ("2026-09-02-2", "account_id"), ("2026-09-23", "account_id")]
)
def test_tokens_and_links_name_the_account_as_their_date_wants_it(version: str, key: str) -> None:
    token = Recorder({"token": "t", "expires_at": "2026-01-01T00:00:00Z"})
    token.client(version=version).create_access_token(
        company="biz_1", whop_user_id=None, actions=["identity:read"], expires_at=0
    )
    assert (token.body[key], token.body["scoped_actions"], "user_id" in token.body) == (
        "biz_1",
        ["identity:read"],
        False,
    )
    link = Recorder({"url": "https://whop.test/l", "expires_at": "2026-01-01T00:00:00Z"})
    made = link.client(version=version).create_account_link(
        account="biz_1", use_case="payouts_portal", refresh_url="https://shop.test/a", return_url="https://shop.test/b"
    )
    assert made.url == "https://whop.test/l"
    assert link.body == {
        key: "biz_1",
        "use_case": "payouts_portal",
        "refresh_url": "https://shop.test/a",
        "return_url": "https://shop.test/b",
    }


@pytest.mark.parametrize(
    "answer", [{}, {"url": "", "expires_at": "x"}, {"url": "https://a"}, {"url": 5, "expires_at": "x"}]
)
def test_a_link_that_cannot_be_read_is_no_link(answer: dict[str, Any]) -> None:
    with pytest.raises(Transient) as caught:
        Recorder(answer).client().create_account_link(
            account="biz_1", use_case="payouts_portal", refresh_url="https://a.test", return_url="https://a.test"
        )
    assert (caught.value.reason, caught.value.effect) == ("whop_unreadable", "possible")


def test_secrets_of_whops_answers_are_in_no_repr() -> None:
    link = (
        Recorder({"url": "https://whop.test/secret", "expires_at": "x"})
        .client()
        .create_account_link(
            account="biz_1", use_case="payouts_portal", refresh_url="https://a.test", return_url="https://a.test"
        )
    )
    assert "secret" not in repr(link)


def test_permissions_that_whop_does_not_mention_are_not_granted() -> None:
    recorder = Recorder({"data": [{"action": "a:read", "granted": True}, {"action": "b:read", "granted": "yes"}]})
    assert recorder.client().permissions("biz_0", ["a:read", "b:read", "c:read"]) == {
        "a:read": True,
        "b:read": False,
        "c:read": False,
    }
    assert dict(recorder.requests[-1].url.params) == {"resource_id": "biz_0", "actions": "a:read,b:read,c:read"}


def test_the_key_goes_to_whop_alone_whatever_a_redirect_or_the_environment_says() -> None:
    with http_client() as http:
        assert (http.follow_redirects, http.trust_env) == (False, False)
        assert http.headers["user-agent"] == "whop-user-sync"


@pytest.mark.parametrize("answer", [{}, {"data": None}, {"data": [{"granted": True}]}])
def test_permissions_that_cannot_be_read_are_none_that_are_lacking(answer: dict[str, Any]) -> None:
    with pytest.raises(Transient) as caught:
        Recorder(answer).client().permissions("biz_0", ["a:read"])
    assert caught.value.reason == "whop_unreadable"


def test_an_account_is_changed_and_deleted_by_its_id() -> None:
    recorder = Recorder({"id": "biz_1", "deleted": True})
    recorder.client().update_account("biz_1", {"title": "u1"})
    recorder.client().delete_account("biz_1")
    assert [(each.method, each.url.path) for each in recorder.requests] == [
        ("PATCH", "/api/v1/accounts/biz_1"),
        ("DELETE", "/api/v1/accounts/biz_1"),
    ]


def test_an_upload_url_that_cannot_be_read_is_a_file_to_be_made_anew() -> None:
    file = File(id="file_1", status="pending", upload_url="https://a\x01b/")
    with pytest.raises(Transient) as caught:
        whop(lambda _: httpx.Response(200)).upload(file, b"png")
    assert caught.value.reason == "whop_unreadable"


def test_accounts_are_searched_by_both_filters_first_and_without_any_last() -> None:
    queries = list(GENERATIONS["accounts"].list_queries(parent="biz_0", user_id="50%", since={"created_after": "t"}))
    assert queries == [{"external_id": "50~1", "query": "50%"}, {"external_id": "50~1"}, {"created_after": "t"}]
