"""What the platform's backend is answered about a user, by a real table and a fake Whop."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from fake_whop import ALL_SCOPES, Fault
from harness import World, created, event
from harness.openapi import Answer
from whop_sync.backend_api.chat_tokens import CLOCK_MARGIN_SECONDS, ChatTokens
from whop_sync.backend_api.lookups import LookUp
from whop_sync.backend_api.payouts import MAX_SECONDS, AccountLinks, PayoutTokens
from whop_sync.errors import Transient
from whop_sync.journal import Journal
from whop_sync.users.directory import Directory
from whop_sync.whop.client import Whop

ACTIONS = ("chat:message:create", "chat:read")
PAYOUT_ACTIONS = ("company:balance:read", "identity:read", "payout:withdraw_funds")
LINK_WISHES = {
    "use_case": "account_onboarding",
    "refresh_url": "https://shop.test/again",
    "return_url": "https://shop.test/back?to=1",
}


@dataclass
class Backend:
    """The functions behind API Gateway, which has let the caller in and decoded the path."""

    world: World
    version: str = ""
    actions: Sequence[str] = ACTIONS
    clock_lead: float = 0.0
    """How far the functions' clock is ahead of Whop's, in seconds."""
    directory: Directory = field(init=False)

    def __post_init__(self) -> None:
        self.directory = Directory(self.world.dynamodb, self.world.table)

    def account_link(self, user_id: str = "u1", **wishes: Any) -> Answer:
        links = AccountLinks(
            directory=self.directory,
            whop=self._whop(),
            hosts=frozenset({"shop.test", "a.test:8443"}),
            journal=Journal(),
        )
        sent = {name: value for name, value in (LINK_WISHES | wishes).items() if value is not ...}
        return self._ask(links, {"pathParameters": {"user_id": user_id}, "body": json.dumps(sent)})

    def payout_token(self, user_id: str = "u1", **wishes: Any) -> Answer:
        tokens = PayoutTokens(
            directory=self.directory,
            whop=self._whop(),
            actions=PAYOUT_ACTIONS,
            journal=Journal(),
            clock=self.world.clock,
        )
        return self._ask(tokens, {"pathParameters": {"user_id": user_id}, "body": json.dumps(wishes)})

    def _whop(self) -> Whop:
        return Whop(
            self.world.http,
            url=self.world.fake.api_url,
            version=self.version,
            api_key=lambda: self.world.api_key,
        )

    def look_up(self, **parameters: str) -> Answer:
        return self._ask(LookUp(directory=self.directory, journal=Journal()), {"pathParameters": parameters})

    def chat_token(self, user_id: str = "u1", body: object = None, **event: Any) -> Answer:
        minter = ChatTokens(
            directory=self.directory,
            whop=self._whop(),
            company=self.world.whop.company_id,
            actions=self.actions,
            journal=Journal(),
            clock=lambda: self.world.clock() + self.clock_lead,
        )
        sent = {} if body is None else {"body": body if isinstance(body, str) else json.dumps(body)}
        return self._ask(minter, {"pathParameters": {"user_id": user_id}, **sent, **event})

    @staticmethod
    def _ask(function: LookUp | ChatTokens | AccountLinks | PayoutTokens, event: Any) -> Answer:
        answer = function.answer(event)
        assert answer["headers"]["cache-control"] == "no-store"
        assert answer["headers"]["content-type"] == "application/json"
        return Answer.documented(_route(function, event["pathParameters"]), answer)


def _route(function: object, parameters: dict[str, str]) -> str:
    match function:
        case ChatTokens():
            return "POST /users/{user_id}/chat-token"
        case AccountLinks():
            return "POST /users/{user_id}/account-link"
        case PayoutTokens():
            return "POST /users/{user_id}/payout-token"
    (name,) = parameters
    paths = {"user_id": "users", "whop_user_id": "whop-users", "whop_company_id": "whop-accounts"}
    return f"GET /{paths[name]}/{{{name}}}"


@pytest.fixture
def backend(world: World) -> Backend:
    return Backend(world)


def claims(answer: Answer) -> dict[str, Any]:
    payload = answer.body["token"].split(".")[1]
    document: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return document


def seconds_left(answer: Answer, world: World) -> float:
    return datetime.fromisoformat(answer.body["expires_at"]).timestamp() - world.clock()


class Unreachable:
    """A DynamoDB that cannot be reached."""

    def get_item(self, **_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="https://dynamodb.test")


class TestLookUp:
    def test_a_user_is_shown_with_everything_a_person_asks_first(self, world: World, backend: Backend) -> None:
        world.handle(created(version=7, name="Ann", picture=world.pictures.origin + "/gone.png"))
        answer = backend.look_up(user_id="u1")
        row = world.row()
        assert answer.status == 200
        assert answer.body == {
            "user_id": "u1",
            "status": "synced",
            "standing": "active",
            "standing_since": "1970-01-01T00:00:00.000Z",
            "email_differs": False,
            "sign_in_differs": False,
            "whop_user_id": row["whop_user_id"],
            "whop_company_id": row["whop_company_id"],
            "versions": {"name": 7, "picture": 7},
            "last_error": "picture_not_found",
            "last_event_id": "msg_u1_7",
            "created_at": row["created_at"],
            "updated_at": row["updated_at"],
        }

    def test_a_user_is_found_by_the_id_that_whop_knows(self, world: World, backend: Backend) -> None:
        world.settle(created("u1", name="Ann"), created("u2", name="Bob"))
        answer = backend.look_up(whop_user_id=world.row("u2")["whop_user_id"])
        assert (answer.status, answer.body["user_id"]) == (200, "u2")

    def test_a_user_who_came_by_whop_sign_in_has_no_account(self, world: World, backend: Backend) -> None:
        known = world.fake.add_user(email="ann@home.test", member_of=world.whop.company_id)
        world.handle(created(whop_user_id=known.id, name="Ann"))
        shown = backend.look_up(user_id="u1").body
        assert (shown["whop_user_id"], shown["whop_company_id"]) == (known.id, None)

    @pytest.mark.parametrize("user_id", ["unknown", "", "u" * 256, "🦊" * 250, "u1#", "whop_user#user_1"])
    def test_an_unknown_user_is_404(self, world: World, backend: Backend, user_id: str) -> None:
        world.handle(created(name="Ann"))
        assert backend.look_up(user_id=user_id).error == (404, "unknown_user")
        assert backend.look_up(whop_user_id=user_id).error == (404, "unknown_user")

    def test_a_user_on_the_way_is_404_and_says_so(self, world: World, backend: Backend) -> None:
        world.fake.fault(Fault("POST /companies", "error_500_before"))
        world.failure(event(name="Ann"))
        answer = backend.look_up(user_id="u1")
        assert answer.error == (404, "not_enrolled_yet")
        assert answer.headers["retry-after"] == "5"
        shown = answer.body["user"]
        assert (shown["status"], shown["last_error"], shown["whop_user_id"]) == ("enrolling", "whop_failed", None)

    def test_a_user_who_could_not_be_enrolled_is_404_and_says_why(self, world: World, backend: Backend) -> None:
        world.failure(created(email="ann@example.com", name="Ann"))
        answer = backend.look_up(user_id="u1")
        assert answer.error == (404, "enrollment_failed")
        assert "whop_refused" in answer.body["message"]
        assert answer.body["user"]["status"] == "failed"

    def test_a_user_without_email_is_404_and_has_not_failed(self, world: World, backend: Backend) -> None:
        world.failure(created(email=None, name="Ann"))
        assert backend.look_up(user_id="u1").error == (404, "no_email")

    def test_a_suspended_user_is_shown_as_such(self, world: World, backend: Backend) -> None:
        world.settle(created(version=1, name="Ann"), event(version=2_000_000, kind="suspended"))
        answer = backend.look_up(user_id="u1")
        assert (answer.status, answer.body["standing"]) == (200, "suspended")
        assert answer.body["standing_since"] == "1970-01-01T00:00:02.000Z"

    def test_a_deleted_user_is_410_by_either_id(self, world: World, backend: Backend) -> None:
        world.handle(created(version=1, name="Ann"))
        whop_user_id = world.row()["whop_user_id"]
        world.handle(event(version=2_000_000, kind="deleted", email=None))
        answer = backend.look_up(user_id="u1")
        assert answer.error == (410, "user_deleted")
        assert (answer.body["since"], answer.body["user"]["whop_user_id"]) == ("1970-01-01T00:00:02.000Z", None)
        assert backend.look_up(whop_user_id=whop_user_id).error == (404, "unknown_user")

    def test_a_user_whose_profile_failed_is_there_all_the_same(self, world: World, backend: Backend) -> None:
        world.handle(created(name="Ann"))
        world.fake.fault(Fault("PATCH /users/{id}", "error_null", status=422))
        world.handle(event(version=2, name="Anna"))
        shown = backend.look_up(user_id="u1")
        assert (shown.status, shown.body["status"], shown.body["last_error"]) == (200, "synced", "name_refused")

    def test_a_table_that_cannot_be_read_is_503(self, backend: Backend) -> None:
        backend.directory = Directory(Unreachable(), "users")  # type: ignore[arg-type]
        for answer in (backend.look_up(user_id="u1"), backend.look_up(whop_user_id="user_1"), backend.chat_token()):
            assert answer.error == (503, "unavailable")
            assert answer.headers["retry-after"] == "1"

    def test_a_connected_account_leads_to_its_user(self, world: World, backend: Backend) -> None:
        world.handle(created(name="Ann"))
        by_account = backend.look_up(whop_company_id=world.row()["whop_company_id"])
        assert (by_account.status, by_account.body) == (200, backend.look_up(user_id="u1").body)
        for unknown in ("biz_unknown", world.row()["whop_user_id"], "x" * 2000):
            assert backend.look_up(whop_company_id=unknown).error == (404, "unknown_user")

    def test_a_user_who_came_by_whop_sign_in_has_no_account_to_be_found_by(
        self, world: World, backend: Backend
    ) -> None:
        known = world.fake.add_user(email="eve@home.test", member_of=world.whop.company_id)
        world.handle(created(whop_user_id=known.id))
        assert backend.look_up(user_id="u1").body["whop_company_id"] is None
        assert backend.look_up(whop_company_id="None").status == 404

    def test_a_look_up_asks_whop_nothing(self, world: World, backend: Backend) -> None:
        world.handle(created(name="Ann"))
        before = world.operations()
        backend.look_up(user_id="u1")
        assert world.operations() == before


class TestChatToken:
    @pytest.mark.parametrize("version", ["2026-07-20", "2026-09-02-1", "2026-09-02-2", "2026-10-15-1"])
    def test_a_token_is_for_one_user_in_the_company_with_the_named_actions(
        self, world: World, backend: Backend, version: str
    ) -> None:
        world.handle(created(name="Ann"))
        backend.version = version
        answer = backend.chat_token()
        assert (answer.status, set(answer.body)) == (200, {"token", "expires_at"})
        shown = claims(answer)
        assert (shown["sub"], shown["account_id"]) == (world.row()["whop_user_id"], world.whop.company_id)
        assert set(shown["scopes"]) == set(ACTIONS) < ALL_SCOPES
        assert seconds_left(answer, world) == 3600

    @pytest.mark.parametrize("seconds", [1, 600, 3 * 3600 - CLOCK_MARGIN_SECONDS])
    def test_the_caller_may_wish_for_another_life(self, world: World, backend: Backend, seconds: int) -> None:
        world.handle(created(name="Ann"))
        assert seconds_left(backend.chat_token(body={"expires_in_seconds": seconds}), world) == seconds

    def test_the_longest_life_is_had_from_a_whop_whose_clock_is_behind(self, world: World, backend: Backend) -> None:
        world.handle(created(name="Ann"))
        backend.clock_lead = CLOCK_MARGIN_SECONDS - 1
        assert backend.chat_token(body={"expires_in_seconds": 3 * 3600}).status == 200

    @pytest.mark.parametrize("body", ["", " ", "{}", None])
    def test_without_a_wish_a_token_lives_an_hour(self, world: World, backend: Backend, body: str | None) -> None:
        world.handle(created(name="Ann"))
        assert seconds_left(backend.chat_token(body=body), world) == 3600

    def test_a_body_may_come_as_base64(self, world: World, backend: Backend) -> None:
        world.handle(created(name="Ann"))
        body = base64.b64encode(b'{"expires_in_seconds": 60}').decode()
        assert seconds_left(backend.chat_token(body=body, isBase64Encoded=True), world) == 60

    @pytest.mark.parametrize(
        ("body", "hint"),
        [
            ('{"expires_in_seconds": 0}', "1 to 10800"),
            ('{"expires_in_seconds": -5}', "1 to 10800"),
            ('{"expires_in_seconds": 10801}', "1 to 10800"),
            ('{"expires_in_seconds": 1e3}', "whole number"),
            ('{"expires_in_seconds": 60.5}', "whole number"),
            ('{"expires_in_seconds": "60"}', "whole number"),
            ('{"expires_in_seconds": true}', "whole number"),
            ('{"expires_in_seconds": null}', "whole number"),
            ('{"expires_in_seconds": NaN}', "whole number"),
            ('{"scoped_actions": []}', "expires_in_seconds and nothing else"),
            ('{"expires_in_seconds": 60, "user_id": "u2"}', "nothing else"),
            ("[]", "JSON object"),
            ("60", "JSON object"),
            ("null", "JSON object"),
            ("{", "not JSON"),
            ("\udcff", "not JSON"),
            ("[" * 20_000, "too long"),
        ],
    )
    def test_a_wrong_body_is_400_in_words_that_help(self, world: World, backend: Backend, body: str, hint: str) -> None:
        world.handle(created(name="Ann"))
        before = world.operations()
        answer = backend.chat_token(body=body)
        assert answer.error == (400, "bad_request")
        assert hint in answer.body["message"]
        assert world.operations() == before

    @pytest.mark.parametrize("body", ["no base64!", base64.b64encode(b"\xff\xfe").decode()])
    def test_a_body_that_is_no_text_is_400(self, backend: Backend, body: str) -> None:
        assert backend.chat_token(body=body, isBase64Encoded=True).error == (400, "bad_request")

    def test_an_unknown_user_is_404(self, world: World, backend: Backend) -> None:
        assert backend.chat_token("unknown").error == (404, "unknown_user")
        assert world.operations() == []

    def test_a_user_on_the_way_is_409_with_a_time_to_come_again(self, world: World, backend: Backend) -> None:
        world.fake.fault(Fault("POST /companies", "error_500_before"))
        world.failure(event(name="Ann"))
        answer = backend.chat_token()
        assert answer.error == (409, "not_enrolled_yet")
        assert answer.headers["retry-after"] == "5"
        assert "access_tokens" not in str(world.operations())

        world.settle(created(version=2, name="Ann"))
        assert backend.chat_token().status == 200

    def test_a_user_who_could_not_be_enrolled_is_409_and_says_why(self, world: World, backend: Backend) -> None:
        world.failure(created(email="ann@example.com", name="Ann"))
        answer = backend.chat_token()
        assert answer.error == (409, "enrollment_failed")
        assert "whop_refused" in answer.body["message"]
        assert int(answer.headers["retry-after"]) > 60

    def test_a_user_without_email_is_409(self, world: World, backend: Backend) -> None:
        world.failure(created(email=None, name="Ann"))
        assert backend.chat_token().error == (409, "no_email")

    @pytest.mark.parametrize(
        ("kind", "error"), [("suspended", (403, "user_suspended")), ("deleted", (410, "user_deleted"))]
    )
    def test_who_has_left_gets_no_token(self, world: World, backend: Backend, kind: Any, error: Any) -> None:
        world.settle(created(version=1, name="Ann"), event(version=2_000_000, kind=kind, email=None))
        before = world.operations()
        answer = backend.chat_token()
        assert answer.error == error
        assert answer.body["since"] == "1970-01-01T00:00:02.000Z"
        assert world.operations() == before
        world.settle(event(version=3_000_000, kind="restored", email=None))
        assert backend.chat_token().status == 200

    def test_a_token_is_refused_while_the_deletion_is_still_under_way(self, world: World, backend: Backend) -> None:
        world.handle(created(version=1, name="Ann"))
        world.fake.fault(Fault("PATCH /users/{id}", "error_500_before"))
        world.failure(event(version=2, kind="deleted", email=None))
        assert backend.chat_token().error == (410, "user_deleted")

    @pytest.mark.parametrize(
        ("fault", "error", "retry_after"),
        [
            (Fault("POST /access_tokens", "rate_limited", delay=12), (503, "whop_unavailable"), "12"),
            (Fault("POST /access_tokens", "error_500_before"), (503, "whop_unavailable"), None),
            (Fault("POST /access_tokens", "html_error"), (503, "whop_unavailable"), None),
            (Fault("POST /access_tokens", "timeout_after"), (503, "whop_unavailable"), None),
            (Fault("POST /access_tokens", "connection_reset"), (503, "whop_unavailable"), None),
            (Fault("POST /access_tokens", "truncated_json"), (503, "whop_unavailable"), None),
            (Fault("POST /access_tokens", "unauthorized"), (502, "whop_refused"), None),
            (Fault("POST /access_tokens", "forbidden"), (502, "whop_refused"), None),
            (Fault("POST /access_tokens", "error_null", status=422), (502, "whop_refused"), None),
            (Fault("POST /access_tokens", "error_null", status=404), (502, "whop_refused"), None),
            (Fault("POST /access_tokens", "error_null", status=410), (502, "whop_refused"), None),
        ],
    )
    def test_trouble_with_whop_is_answered_without_its_words(
        self, world: World, backend: Backend, fault: Fault, error: tuple[int, str], retry_after: str | None
    ) -> None:
        world.handle(created(name="Ann"))
        world.fake.fault(fault)
        answer = backend.chat_token()
        assert answer.error == error
        assert answer.headers.get("retry-after") == retry_after
        for words in ("Rate limit", "went wrong", "API key", "Bad Gateway", "allowed"):
            assert words not in answer.body["message"]

    def test_an_action_that_the_key_does_not_have_is_502(self, world: World, backend: Backend) -> None:
        world.handle(created(name="Ann"))
        backend.actions = ("company:delete",)
        assert backend.chat_token().error == (502, "whop_refused")

    def test_without_actions_nothing_is_asked_of_whop(self, world: World, backend: Backend) -> None:
        """Whop would give such a token everything that the key may do."""
        world.handle(created(name="Ann"))
        backend.actions = ()
        assert backend.chat_token().status == 503
        assert world.fake.calls_to("POST /access_tokens") == []

    def test_a_key_that_cannot_be_read_is_503(self, world: World, backend: Backend) -> None:
        world.handle(created(name="Ann"))

        def unreadable() -> str:
            raise Transient("whop_api_key_unavailable")

        whop = Whop(world.http, url=world.fake.api_url, version="2026-07-20", api_key=unreadable)
        minter = ChatTokens(
            directory=backend.directory,
            whop=whop,
            company=world.whop.company_id,
            actions=ACTIONS,
            journal=Journal(),
            clock=world.clock,
        )
        assert minter.answer({"pathParameters": {"user_id": "u1"}})["statusCode"] == 503

    def test_the_token_is_shown_to_the_caller_alone(
        self,
        world: World,
        backend: Backend,
        capfd: pytest.CaptureFixture[str],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        world.handle(created(name="Ann"))
        token = backend.chat_token().body["token"]
        written = capfd.readouterr()
        assert "ChatTokenAnswered" in written.out
        logged = str([vars(record) for record in caplog.records])
        assert "'user_id': 'u1'" in logged
        kept = json.dumps(world.dynamodb.scan(TableName=world.table)["Items"])
        for place in (written.out, written.err, logged, kept):
            assert token not in place


class TestAccountLink:
    @pytest.mark.parametrize("version", ["", "2026-09-02-2", "2026-10-15-1"])
    @pytest.mark.parametrize("use_case", ["account_onboarding", "payouts_portal"])
    def test_a_link_is_for_the_account_of_one_user(
        self, world: World, backend: Backend, version: str, use_case: str
    ) -> None:
        world.handle(created(name="Ann"))
        backend.version = version
        answer = backend.account_link(use_case=use_case)
        assert (answer.status, set(answer.body)) == (200, {"url", "expires_at"})
        (call,) = world.fake.calls_to("POST /account_links")
        account = {"account_id" if version else "company_id": world.row()["whop_company_id"]}
        assert call.body == LINK_WISHES | {"use_case": use_case} | account

    @pytest.mark.parametrize(
        ("wishes", "part"),
        [
            ({"use_case": "chat"}, "use_case must be account_onboarding or payouts_portal"),
            ({"use_case": ...}, "use_case must be"),
            ({"use_case": ["payouts_portal"]}, "use_case must be"),
            ({"return_url": ...}, "return_url must be an https URL"),
            ({"return_url": 5}, "return_url must be an https URL"),
            ({"refresh_url": "http://shop.test/a"}, "refresh_url must be an https URL"),
            ({"refresh_url": "https://shop.test/" + "a" * 2000}, "refresh_url must be an https URL"),
            ({"return_url": "https://evil.test/"}, "host of return_url is not among AccountLinkHosts"),
            ({"return_url": "https://shop.test.evil.test/"}, "AccountLinkHosts"),
            ({"return_url": "https://evilshop.test/"}, "AccountLinkHosts"),
            ({"return_url": "https://shop.test:444/"}, "AccountLinkHosts"),
            ({"return_url": "https://a.test/"}, "AccountLinkHosts"),
            ({"return_url": "https://shop.test@evil.test/"}, "https URL"),
            ({"return_url": "https://evil.test\\@shop.test/"}, "https URL"),
            ({"return_url": "https://shop.test\\.evil.test/"}, "https URL"),
            ({"return_url": "https://shop.test/\r\nSet-Cookie: a"}, "https URL"),
            ({"return_url": " https://shop.test/"}, "https URL"),
            ({"return_url": "https:shop.test/"}, "https URL"),
            ({"return_url": "HTTPS://shop.test/"}, "https URL"),
            ({"return_url": "javascript:alert(1)//https://shop.test/"}, "https URL"),
            ({"return_url": "https://shop.test/\u202e"}, "https URL"),
            ({"account_id": "biz_other"}, "nothing else"),
        ],
    )
    def test_a_wrong_wish_is_400_and_whop_is_not_asked(
        self, world: World, backend: Backend, wishes: dict[str, Any], part: str
    ) -> None:
        world.handle(created(name="Ann"))
        answer = backend.account_link(**wishes)
        assert answer.error == (400, "bad_request")
        assert part in answer.body["message"]
        assert world.fake.calls_to("POST /account_links") == []

    @pytest.mark.parametrize("url", ["https://shop.test", "https://SHOP.test/a?b=c#d", "https://a.test:8443/x"])
    def test_a_url_of_an_allowed_host_is_taken_as_it_is(self, world: World, backend: Backend, url: str) -> None:
        world.handle(created(name="Ann"))
        assert backend.account_link(return_url=url).status == 200
        assert (world.fake.calls_to("POST /account_links")[0].body or {})["return_url"] == url

    def test_a_user_without_an_account_is_409_with_that_sentence(self, world: World, backend: Backend) -> None:
        known = world.fake.add_user(email="eve@home.test", member_of=world.whop.company_id)
        world.handle(created(whop_user_id=known.id))
        for answer in (backend.account_link(), backend.payout_token()):
            assert answer.error == (409, "no_account")
            assert "Whop sign-in" in answer.body["message"]

    def test_unknown_and_unenrolled_users_get_different_answers(self, world: World, backend: Backend) -> None:
        assert backend.account_link("unknown").error == (404, "unknown_user")
        world.fake.fault(Fault(world.create_call, "error_500_before"))
        world.failure(created(name="Ann"))
        assert backend.account_link().error == (409, "not_enrolled_yet")

    def test_a_user_whom_the_platform_deleted_or_suspended_is_refused(self, world: World, backend: Backend) -> None:
        """Given a standing that is not active, then neither a link nor a token is made, and Whop is not asked."""
        world.handle(created(version=1, name="Ann"))
        row = world.row()
        for standing, refusal in (("suspended", (403, "user_suspended")), ("deleted", (410, "user_deleted"))):
            world.dynamodb.update_item(
                TableName=world.table,
                Key={"key": {"S": "user#u1"}},
                UpdateExpression="SET #standing = :standing",
                ExpressionAttributeNames={"#standing": "standing"},
                ExpressionAttributeValues={":standing": {"S": standing}},
            )
            assert backend.account_link().error == backend.payout_token().error == refusal
        assert world.fake.calls_to("POST /account_links") == world.fake.calls_to("POST /access_tokens") == []
        # And an account still leads to the one whose it was
        assert backend.look_up(whop_company_id=row["whop_company_id"]).error == (410, "user_deleted")

    def test_what_whop_refuses_is_502_and_what_it_cannot_do_now_is_503(self, world: World, backend: Backend) -> None:
        world.handle(created(name="Ann"))
        world.fake.add_api_key("apik_narrow", scopes=ALL_SCOPES - {"company:balance:read"})
        world.api_key = "apik_narrow"
        assert backend.account_link().error == (502, "whop_refused")
        world.fake.fault(Fault("POST /account_links", "error_500_before"))
        assert backend.account_link().error == (503, "whop_unavailable")


class TestPayoutToken:
    @pytest.mark.parametrize(
        ("wishes", "actions", "seconds"),
        [
            ({}, PAYOUT_ACTIONS, 900),
            ({"actions": ["identity:read"]}, ("identity:read",), 900),
            ({"expires_in_seconds": MAX_SECONDS}, PAYOUT_ACTIONS, MAX_SECONDS),
        ],
    )
    def test_a_token_is_for_the_account_with_no_more_than_was_asked_for(
        self, world: World, backend: Backend, *, wishes: dict[str, Any], actions: tuple[str, ...], seconds: int
    ) -> None:
        world.handle(created(name="Ann"))
        answer = backend.payout_token(**wishes)
        assert (answer.status, answer.body["actions"]) == (200, sorted(actions))
        shown = claims(answer)
        assert (shown["sub"], shown["account_id"]) == (None, world.row()["whop_company_id"])
        assert shown["scopes"] == sorted(actions)
        assert seconds_left(answer, world) == seconds

    @pytest.mark.parametrize(
        "wishes",
        [
            {"actions": []},
            {"actions": None},
            {"actions": "identity:read"},
            {"actions": ["identity:read", "company:delete_child"]},
            {"actions": [["identity:read"]]},
            {"expires_in_seconds": MAX_SECONDS + 1},
            {"expires_in_seconds": 0},
            {"expires_in_seconds": True},
            {"account_id": "biz_other"},
        ],
    )
    def test_a_wrong_wish_is_400_and_whop_is_not_asked(
        self, world: World, backend: Backend, wishes: dict[str, Any]
    ) -> None:
        world.handle(created(name="Ann"))
        assert backend.payout_token(**wishes).error == (400, "bad_request")
        assert world.fake.calls_to("POST /access_tokens") == []

    def test_links_and_tokens_are_in_no_log_line(
        self, world: World, backend: Backend, capsys: pytest.CaptureFixture[str]
    ) -> None:
        world.handle(created(name="Ann"))
        secrets = [backend.account_link().body["url"], backend.payout_token().body["token"]]
        said = "".join(capsys.readouterr())
        assert "AccountLink" in said
        assert not any(secret in said for secret in secrets)
