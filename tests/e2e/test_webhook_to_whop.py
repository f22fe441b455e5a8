"""The deployed template, from the platform's webhook to what Whop shows, with every role enforced."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import httpx
import pytest

from fake_whop import Fault
from local_stack.pictures import png
from local_stack.sending import Delivery, body
from local_stack.stack import LocalStack
from local_stack.waiting import becomes_true

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Platform:
    """A platform's backend: it sends webhooks, and its people look at what became of them."""

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack

    def send(
        self, kind: Literal["created", "updated", "deleted"], user: dict[str, Any], *, minutes: int = 0
    ) -> httpx.Response:
        return self.deliver(Delivery(body(kind, user, at=NOON + timedelta(minutes=minutes))))

    def deliver(self, delivery: Delivery) -> httpx.Response:
        return delivery.send(self.stack.deployment.webhook_url)

    def wait(self) -> None:
        """Until no accepted event is left to be handled."""
        assert becomes_true(lambda: self.stack.deployment.waiting() == 0), self.logs()

    def logs(self) -> str:
        return "\n".join(line for worker in ("user-created", "profile-updated") for line in self._log(worker))

    def _log(self, worker: str) -> list[str]:
        return self.stack.deployment.log_lines(worker)

    def row(self, user_id: str) -> dict[str, Any]:
        row = self.stack.deployment.row(f"user#{user_id}")
        assert row is not None, self.logs()
        return row

    def accounts(self, user_id: str) -> list[dict[str, Any]]:
        """The connected accounts that Whop has for a platform user."""
        accounts = self.stack.whop.accounts(since=datetime(2026, 1, 1, tzinfo=UTC))
        return [account for account in accounts if account["metadata"] == {"internal_user_id": user_id}]

    def shown_name(self, user_id: str) -> str | None:
        """The name that Whop shows in the platform's company."""
        [account] = self.accounts(user_id)
        name: str | None = self.stack.whop.user(account["owner_user"]["id"])["name"]
        return name

    def shown_picture(self, user_id: str) -> bytes | None:
        [account] = self.accounts(user_id)
        return self.stack.fake.picture(account["owner_user"]["id"])

    def parked(self, queue: str, event_id: str) -> dict[str, str]:
        """Body and attributes of a parked message."""
        found: list[dict[str, str]] = []

        def look() -> bool:
            for message in self.stack.deployment.messages(queue):
                attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
                if attributes["event_id"] == event_id:
                    found.append({"body": message["Body"], **attributes})
            return bool(found)

        assert becomes_true(look), self.logs()
        return found[0]


@pytest.fixture
def platform(stack: LocalStack) -> Platform:
    return Platform(stack)


def person(user_id: str, name: str = "Ada Lovelace", **more: object) -> dict[str, Any]:
    return {"id": user_id, "email": f"{user_id}@people.test", "name": name, **more}


def test_a_new_user_gets_one_connected_account_with_name_and_picture(
    platform: Platform, stack: LocalStack, new_id: Callable[[], str]
) -> None:
    # Given a user of the platform with a picture
    user = person(new_id(), avatar_url=stack.pictures.url("336699"))
    # When the platform sends the sign-up
    answer = platform.send("created", user)
    # Then it gets the answer that every sender takes for a success
    assert (answer.status_code, answer.json(), answer.headers["content-type"]) == (200, {}, "application/json")
    # And Whop has exactly one account for the user, and shows name and picture in the platform's company only
    platform.wait()
    [account] = platform.accounts(user["id"])
    assert account["title"] == f"Ada Lovelace ({user['id']})"
    assert platform.shown_name(user["id"]) == "Ada Lovelace"
    assert platform.shown_picture(user["id"]) == png("336699")
    assert stack.whop.user_everywhere_else(account["owner_user"]["id"])["name"] is None
    # And the row records whose account it is, and the way back
    row = platform.row(user["id"])
    assert (row["status"], row["whop_user_id"]) == ("synced", account["owner_user"]["id"])
    assert row["whop_company_id"] == account["id"]
    back = stack.deployment.row(f"whop_user#{account['owner_user']['id']}")
    assert back is not None
    assert back["user_id"] == user["id"]


def test_a_change_shows_on_whop(platform: Platform, stack: LocalStack, new_id: Callable[[], str]) -> None:
    # Given a user who is enrolled
    user = person(new_id(), avatar_url=stack.pictures.url("111111"))
    platform.send("created", user)
    platform.wait()
    # When name and picture change
    platform.send("updated", {**user, "name": "Ada King", "avatar_url": stack.pictures.url("222222")}, minutes=1)
    platform.wait()
    # Then Whop shows the new ones, in the same account
    assert platform.shown_name(user["id"]) == "Ada King"
    assert platform.shown_picture(user["id"]) == png("222222")


def test_of_changes_that_arrive_in_any_order_the_newest_stays(platform: Platform, new_id: Callable[[], str]) -> None:
    # Given two users
    late, mixed = person(new_id()), person(new_id())
    # When for one the newest change is through before an older one arrives
    platform.send("created", late)
    platform.wait()
    platform.send("updated", {**late, "name": "Newest"}, minutes=3)
    platform.wait()
    platform.send("updated", {**late, "name": "Older"}, minutes=2)
    # And for the other all events come at once, the newest first
    for minutes, name in ((3, "Newest"), (2, "Older"), (1, "Oldest")):
        platform.send("updated", {**mixed, "name": name}, minutes=minutes)
    platform.send("created", mixed)
    platform.wait()
    # Then Whop shows the newest, and no user has two accounts
    assert [platform.shown_name(user["id"]) for user in (late, mixed)] == ["Newest", "Newest"], platform.logs()


def test_a_change_that_arrives_before_the_sign_up_is_not_lost(platform: Platform, new_id: Callable[[], str]) -> None:
    # Given a change of a user of whom no event came before, without the e-mail that Whop needs
    user = person(new_id())
    platform.send("updated", {"id": user["id"], "name": "Ada King"}, minutes=1)
    assert becomes_true(lambda: "no_email" in platform.logs())
    # When the sign-up arrives after it
    platform.send("created", user)
    platform.wait()
    # Then the user is enrolled and the later name shows
    assert platform.shown_name(user["id"]) == "Ada King"


def test_a_delivery_that_comes_twice_changes_nothing(
    platform: Platform, stack: LocalStack, new_id: Callable[[], str]
) -> None:
    # Given a delivery that was handled
    user = person(new_id(), avatar_url=stack.pictures.url("445566"))
    delivery = Delivery(body("created", user, at=NOON))
    platform.deliver(delivery)
    platform.wait()
    calls = len(stack.fake.calls)
    # When the sender sends it again, as it does when our answer got lost
    answer = platform.deliver(delivery)
    platform.wait()
    # Then it is answered that all is well, and neither Whop nor the picture's host is asked for anything
    assert answer.status_code == 200
    assert len(stack.fake.calls) == calls
    assert stack.pictures.requests["/445566.png"] == 1
    assert len(platform.accounts(user["id"])) == 1


def test_what_is_not_signed_by_the_platform_is_refused(
    platform: Platform, stack: LocalStack, new_id: Callable[[], str]
) -> None:
    # Given a delivery signed with another secret, one changed on the way, and one without a signature
    user = person(new_id())
    delivery = Delivery(body("created", user))
    url = stack.deployment.webhook_url
    forged = delivery.send(url, secret="whsec_" + "A" * 32)
    changed = httpx.post(url, content=delivery.content.replace(b"Ada", b"Eve"), headers=delivery.headers(), timeout=60)
    bare = httpx.post(url, content=delivery.content, timeout=60)
    # Then all are refused without a word, and no user is enrolled
    assert [answer.status_code for answer in (forged, changed, bare)] == [401, 401, 401]
    assert {answer.text for answer in (forged, changed, bare)} == {"{}"}
    platform.wait()
    assert stack.deployment.row(f"user#{user['id']}") is None


def test_other_types_of_events_are_taken_and_left_alone(
    platform: Platform, stack: LocalStack, new_id: Callable[[], str]
) -> None:
    user = person(new_id())
    # When the platform sends an event that is not about a user
    content = body("created", user).replace(b'"user.created"', b'"order.paid"')
    answer = platform.deliver(Delivery(content))
    # Then it is answered that all is well, since it would otherwise switch the endpoint off
    assert answer.status_code == 200
    assert stack.deployment.waiting() == 0
    assert stack.deployment.row(f"user#{user['id']}") is None


def test_a_body_of_ten_megabytes_is_too_large(stack: LocalStack) -> None:
    delivery = Delivery(b" " * 10_000_000)
    answer = delivery.send(stack.deployment.webhook_url)
    assert answer.status_code == 413


def test_a_genuine_delivery_that_cannot_be_read_is_parked(platform: Platform) -> None:
    # Given a delivery with a good signature around something that is no JSON
    delivery = Delivery(b'{"type": "user.created", "data"')
    # When it is sent
    answer = platform.deliver(delivery)
    # Then the platform is not asked to send it again, and the delivery is kept with the reason
    assert answer.status_code == 200
    parked = platform.parked("parked-deliveries", delivery.id)
    assert parked["reason"] == "not_json"


def test_a_user_with_the_address_of_another_is_enrolled_once_that_one_is_gone(
    platform: Platform, new_id: Callable[[], str]
) -> None:
    # Given a user who is enrolled
    first, second = person(new_id()), person(new_id(), "Augusta King")
    platform.send("created", first)
    platform.wait()
    whop_user_id = platform.row(first["id"])["whop_user_id"]
    # When another one signs up with the same address
    platform.deliver(Delivery(body("created", {**second, "email": first["email"]})))
    assert becomes_true(lambda: "whop_user_taken" in platform.logs())
    # Then the first one is left as they were
    assert platform.shown_name(first["id"]) == first["name"]
    assert "whop_user_id" not in platform.row(second["id"])
    # And once their deletion arrives, the second one is enrolled in their place
    platform.send("deleted", first, minutes=5)
    platform.wait()
    assert platform.row(first["id"])["status"] == "deleted"
    assert platform.row(second["id"])["whop_user_id"] == whop_user_id
    assert platform.shown_name(second["id"]) == "Augusta King"


def test_a_failure_of_whop_is_waited_out(platform: Platform, stack: LocalStack, new_id: Callable[[], str]) -> None:
    # Given a Whop that fails once after it has changed the profile
    user = person(new_id())
    platform.send("created", user)
    platform.wait()
    stack.fake.fault(Fault("PATCH /users/{id}", "error_500_after", about=f"{user['id']}@people.test"))
    # When the user changes
    platform.send("updated", {**user, "name": "Ada King"}, minutes=1)
    platform.wait()
    # Then the change gets there without anybody's help
    assert platform.shown_name(user["id"]) == "Ada King"
    assert platform.row(user["id"])["status"] == "synced"
