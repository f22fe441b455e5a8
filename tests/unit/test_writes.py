"""What is written into the row of a user, and on which condition: judged by a table in memory."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from harness import created, event
from simulate.table import Table
from whop_sync.accounts import Account
from whop_sync.events import MAX_MICROSECONDS, UNDATED, UserEvent
from whop_sync.users.schema import read_row, user_key
from whop_sync.users.writes import (
    Progress,
    claim_update,
    commit_attributes,
    mapping_attributes,
    released_attributes,
    standing_attributes,
    tombstone_attributes,
    update_of,
)

NOW = 1_767_605_400.0
UNTIL = NOW + 180
ACCOUNT = Account("user_1", "biz_1")


class Row:
    """The row of u1, which claims and other updates change as DynamoDB would."""

    def __init__(self, *written: dict[str, Any]) -> None:
        self._table = Table("users")
        for update in written:
            assert self.takes(update)

    def takes(self, update: Any) -> bool:
        try:
            self._table.update_item(TableName="users", Key=user_key("u1"), **update)
        except ClientError:
            return False
        return True

    @property
    def item(self) -> Any:
        return self._table.items["user#u1"]


def claim(event: UserEvent, *, lease_id: str = "second", now: float = NOW, until: float = UNTIL) -> Any:
    return claim_update(event, lease_id=lease_id, now=now, lease_until=until, is_repeatable=False)


def writes(attributes: Any) -> Any:
    return update_of(attributes, "attribute_exists(user_id)", {})


def settled(of: UserEvent) -> Row:
    """A user whose account is recorded, and whose last event is committed."""
    done = Progress(positions=of.positions, account=ACCOUNT, status="synced")
    row = Row(claim(of, lease_id="first"), writes(mapping_attributes(ACCOUNT, None, None)))
    assert row.takes(writes(commit_attributes(read_row(row.item), done, now=NOW)))
    return row


FIRST = created(version=1, name="Ann")


class TestAClaim:
    def test_of_a_user_never_seen_begins_an_attempt_under_its_lease(self) -> None:
        row = Row(claim(FIRST))
        assert (row.item.get("status"), row.item.get("enrollment_attempt")) == ({"S": "enrolling"}, {"S": "second"})
        assert row.item.get("unsettled") == {"SS": ["name"]}

    def test_leaves_fields_that_the_event_does_not_speak_of_settled(self) -> None:
        assert "unsettled" not in Row(claim(event(version=1))).item

    def test_is_refused_while_another_worker_has_the_lease_and_not_after_it(self) -> None:
        row = Row(claim(FIRST, lease_id="first"))
        newer = event(version=2, name="Anna")
        assert not row.takes(claim(newer, now=UNTIL))
        assert row.takes(claim(newer, now=UNTIL + 1, until=UNTIL + 181))

    def test_is_taken_twice_under_one_lease(self) -> None:
        """The AWS SDK sends it again after a lost answer."""
        assert Row(claim(FIRST, lease_id="first")).takes(claim(FIRST, lease_id="first"))

    @pytest.mark.parametrize(
        ("later", "taken"),
        [(FIRST, False), (event(version=0, name="A"), False), (event(version=2, name="Anna"), True)],
        ids=["the same", "an older one", "a newer one"],
    )
    def test_of_a_settled_row_takes_what_is_newer(self, later: UserEvent, taken: bool) -> None:
        assert settled(FIRST).takes(claim(later)) is taken

    def test_of_a_settled_row_takes_any_event_while_something_is_to_be_announced(self) -> None:
        row = settled(FIRST)
        assert row.takes(writes({"unannounced": {"L": []}}))
        assert row.takes(claim(FIRST))

    def test_of_a_row_of_an_earlier_version_is_refused(self) -> None:
        row = settled(FIRST)
        assert row.takes(writes({"name_version": {"N": "1"}}))
        assert not row.takes(claim(event(version=2, name="Anna")))


class TestACommit:
    def test_gives_the_lease_back_unless_a_request_may_still_be_under_way(self) -> None:
        empty = read_row({})
        assert "lease_id" in commit_attributes(empty, Progress(), now=NOW)
        assert "lease_id" not in commit_attributes(empty, Progress(is_pending=True), now=NOW)

    def test_of_a_deletion_keeps_who_the_user_was_and_ends_the_mapping(self) -> None:
        row = settled(FIRST)
        gone = Progress(positions=event(version=2, kind="deleted").positions, status="deleted")
        assert row.takes(writes(tombstone_attributes(read_row(row.item), ACCOUNT, gone, now=NOW)))
        assert (row.item.get("whop_user_id"), row.item.get("former_whop_user_id")) == (None, {"S": "user_1"})
        assert row.item.get("whop_company_id") is None

    def test_that_kept_the_lease_is_followed_by_nothing_if_nothing_may_change(self) -> None:
        assert released_attributes(is_announced=False, is_pending=True) == {}
        assert released_attributes(is_announced=True, is_pending=True) == {"unannounced": None}
        assert "lease_id" in released_attributes(is_announced=False, is_pending=False)


@pytest.mark.parametrize(
    ("version", "since"), [(3_000_000, "1970-01-01T00:00:03.000Z"), (UNDATED, None), (MAX_MICROSECONDS - 1, None)]
)
def test_a_standing_whose_time_is_none_or_in_no_calendar_is_written_without_one(
    version: int, since: str | None
) -> None:
    suspended = event(version=version, kind="suspended", standing="suspended")
    written = standing_attributes(read_row({}), suspended.positions)
    assert written == {"standing": {"S": "suspended"}} | ({"standing_since": {"S": since}} if since else {})
