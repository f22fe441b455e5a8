"""Which of Whop's webhooks were announced, on a real table."""

import pytest
from botocore.stub import Stubber

from harness import World
from whop_sync.errors import Transient
from whop_sync.users.announced_webhooks import AnnouncedWebhooks
from whop_sync.users.directory import Directory

DAY = 86400
WHOP_KEEPS_DELIVERIES_DAYS = 30


@pytest.fixture
def announced(world: World) -> AnnouncedWebhooks:
    return AnnouncedWebhooks(world.dynamodb, world.table, world.clock)


def test_a_webhook_is_known_once_it_was_added_and_no_other_is(announced: AnnouncedWebhooks) -> None:
    assert not announced.contains("whop_msg_1")
    announced.add("whop_msg_1")
    announced.add("whop_msg_1")
    assert announced.contains("whop_msg_1")
    assert not announced.contains("whop_msg_2")


def test_it_is_remembered_for_longer_than_whop_may_send_it_again_and_not_for_ever(
    announced: AnnouncedWebhooks, world: World
) -> None:
    announced.add("whop_msg_1")
    [item] = world.dynamodb.scan(TableName=world.table)["Items"]
    expires_at = item["expires_at"]["N"]
    assert expires_at.isdigit()
    days = (int(expires_at) - world.clock()) / DAY
    assert WHOP_KEEPS_DELIVERIES_DAYS < days < 2 * WHOP_KEEPS_DELIVERIES_DAYS


def test_it_is_not_taken_for_a_user(announced: AnnouncedWebhooks, world: World) -> None:
    announced.add("whop_msg_1")
    directory = Directory(world.dynamodb, world.table)
    assert not list(directory.entries())
    assert not list(directory.accounts())
    assert directory.entry("whop_msg_1") is None


def test_a_table_that_does_not_answer_is_no_reason_to_announce_or_to_forget(
    announced: AnnouncedWebhooks, world: World
) -> None:
    with Stubber(world.dynamodb) as table:
        table.add_client_error("get_item", "ProvisionedThroughputExceededException")
        table.add_client_error("put_item", "AccessDeniedException")
        with pytest.raises(Transient) as unread:
            announced.contains("whop_msg_1")
        with pytest.raises(Transient) as unwritten:
            announced.add("whop_msg_1")
    assert {unread.value.reason, unwritten.value.reason} == {"dynamodb_unavailable"}
