"""What is announced of a change, decided from the row before and from what is about to be written."""

import itertools
from dataclasses import replace
from typing import Any

import pytest

from whop_sync.accounts import Account
from whop_sync.announcements import announcement_id
from whop_sync.announcing.bodies import body_of
from whop_sync.errors import Reason
from whop_sync.events import Position, Standing
from whop_sync.pictures.errors import PictureRefused
from whop_sync.syncing.transitions import known_before, with_account, with_commit
from whop_sync.users.mappings import Claim
from whop_sync.users.schema import Announced, Attempt, Known, Row, Status, announced_attributes, read_row
from whop_sync.users.writes import Progress

ANN = Account("user_1", "biz_1")
IDS = {"whop_user_id": "user_1", "whop_company_id": "biz_1"}
NOW = 1_790_000_000.5

ENROLLED, SUSPENDED, DELETED = Known("enrolled"), Known("suspended"), Known("deleted")
FAILED = Known("failed", "whop_refused")

_RANKS: dict[Standing, int] = {"active": 2, "suspended": 3, "deleted": 4}


def standing(said: Standing, version: int = 1) -> dict[Any, Position]:
    return {"standing": Position(version, 0, _RANKS[said], said)}


def claim(row: Row) -> Claim:
    attempt = Attempt(id="lease", is_open=False, is_repeatable=False, started_at=NOW)
    return Claim(user_id="u1", lease_id="lease", deadline=NOW + 100, row=row, attempt=attempt)


def row(known: Known | None, *, said: Standing = "active", status: Status = "synced", **more: Any) -> Row:
    account = None if known in (None, DELETED, FAILED) else ANN
    announced = Announced(count=4 if known else 0, known=known)
    return Row(account=account, positions=standing(said), standing=said, status=status, announced=announced, **more)


def announced(
    before: Row, progress: Progress, refused: PictureRefused | None = None
) -> list[tuple[str, dict[str, str]]]:
    """What a commit announces: types and data."""
    base = replace(before.announced, known=known_before(before))
    after = with_commit(base, claim(before), progress, refused, at=NOW)
    return [(each.type, dict(each.data)) for each in after.unsent]


def of_account(before: Row, said: Standing = "active", account: Account = ANN) -> list[tuple[str, dict[str, str]]]:
    base = replace(before.announced, known=known_before(before))
    return [(each.type, dict(each.data)) for each in with_account(base, claim(before), account, said, at=NOW).unsent]


class TestAnAccount:
    @pytest.mark.parametrize(
        ("before", "expected"),
        [
            (Row(), "user.enrolled"),
            (row(None, status="enrolling"), "user.enrolled"),
            (row(None, status="no_email"), "user.enrolled"),
            (row(FAILED, status="failed"), "user.recovered"),
            (row(DELETED, said="deleted", status="deleted"), "user.restored"),
        ],
    )
    def test_is_announced_by_what_the_platform_knows(self, before: Row, expected: str) -> None:
        assert of_account(before) == [(expected, IDS)]
        assert of_account(before, "suspended") == [(expected, IDS), ("user.suspended", IDS)]

    def test_of_a_user_of_whop_sign_in_has_no_connected_account(self) -> None:
        assert of_account(Row(), account=Account("user_1", None)) == [("user.enrolled", {"whop_user_id": "user_1"})]

    def test_of_a_user_who_leaves_before_the_row_has_it_is_not_announced(self) -> None:
        under_way = row(None, said="deleted", status="enrolling")
        assert of_account(under_way, "deleted") == []
        assert announced(under_way, Progress(status="deleted")) == [("user.deleted", {})]
        adopted = replace(under_way, account=ANN)
        back = Progress(account=ANN, positions=standing("active", version=2), status="synced")
        assert announced(adopted, back) == [("user.enrolled", IDS)]

    def test_is_announced_once(self) -> None:
        before = claim(Row())
        once = with_account(Announced(), before, ANN, "active", at=NOW)
        again = with_commit(once, before, Progress(account=ANN, status="synced"), None, at=NOW)
        assert again == once


class TestTheStanding:
    @pytest.mark.parametrize(
        ("before", "said", "expected"),
        [
            (ENROLLED, "suspended", [("user.suspended", IDS)]),
            (SUSPENDED, "active", [("user.restored", IDS)]),
            (ENROLLED, "active", []),
            (SUSPENDED, "suspended", []),
        ],
    )
    def test_of_a_user_with_an_account_is_announced_when_it_changes(
        self, before: Known, said: Standing, expected: list[Any]
    ) -> None:
        progress = Progress(account=ANN, positions=standing(said, version=2), status="synced")
        assert announced(row(before, said="active" if before == ENROLLED else "suspended"), progress) == expected

    def test_of_a_user_without_an_account_is_not_announced(self) -> None:
        """There is nothing on Whop that it holds for."""
        progress = Progress(positions=standing("suspended", version=2), status="no_email")
        assert announced(row(None, status="no_email"), progress) == []

    def test_stays_what_it_was_while_a_deletion_is_under_way(self) -> None:
        under_way = Progress(account=ANN, positions=standing("deleted", version=2), last_error="whop_failed")
        assert announced(row(SUSPENDED, said="suspended"), under_way) == []
        revived = Progress(account=ANN, positions=standing("suspended", version=3), status="synced")
        assert announced(row(SUSPENDED, said="deleted"), revived) == []


class TestADeletion:
    @pytest.mark.parametrize("before", [ENROLLED, SUSPENDED, FAILED, None])
    def test_is_announced_once_the_mapping_has_ended(self, before: Known | None) -> None:
        progress = Progress(positions=standing("deleted", version=2), status="deleted")
        assert announced(row(before), progress) == [("user.deleted", {})]

    def test_that_was_while_nothing_was_announced_is_announced_with_the_next_event(self) -> None:
        gone = replace(row(None, said="deleted", status="deleted"), announced=Announced(count=1, known=ENROLLED))
        assert announced(gone, Progress()) == [("user.deleted", {})]
        assert announced(gone, Progress(positions=standing("active", version=2), status="enrolling")) == []

    def test_that_is_repeated_is_announced_once(self) -> None:
        progress = Progress(positions=standing("deleted", version=2), status="deleted")
        assert announced(row(DELETED, said="deleted", status="deleted"), progress) == []


class TestAFailedEnrollment:
    def failed(self, reason: Reason = "whop_refused") -> Progress:
        return Progress(status="failed", last_error=reason)

    @pytest.mark.parametrize("before", [Row(), row(None, status="enrolling"), row(DELETED, status="deleted")])
    def test_is_announced_with_its_reason(self, before: Row) -> None:
        assert announced(before, self.failed()) == [("user.enrollment_failed", {"reason": "whop_refused"})]

    def test_is_announced_again_only_for_another_reason(self) -> None:
        # What went wrong for a while in between is neither a failure nor a recovery
        before = row(FAILED, status="failed", last_error="whop_failed")
        assert announced(before, self.failed()) == []
        other = ("user.enrollment_failed", {"reason": "whop_user_taken"})
        assert announced(before, self.failed("whop_user_taken")) == [other]

    def test_is_none_while_the_event_is_tried_again(self) -> None:
        assert announced(row(None, status="enrolling"), Progress(last_error="whop_failed")) == []

    def test_is_none_of_a_user_who_has_an_account(self) -> None:
        progress = Progress(account=ANN, status="failed", last_error="whop_not_found")
        assert announced(row(ENROLLED), progress) == []


class TestAnotherEmail:
    def differs(self) -> Progress:
        newer: Any = {"email": Position(2, 0, 1, "new")}
        return Progress(account=ANN, positions=newer, enrolled_email="old", status="synced")

    def test_is_announced_the_first_time_it_differs(self) -> None:
        assert announced(row(ENROLLED), self.differs()) == [("user.email_differs", IDS)]
        assert announced(row(ENROLLED, email_differs=True), self.differs()) == []

    def test_is_announced_after_the_state_that_comes_with_it(self) -> None:
        both = replace(self.differs(), positions={**self.differs().positions, **standing("suspended", version=2)})
        assert [type_ for type_, _ in announced(row(ENROLLED), both)] == ["user.suspended", "user.email_differs"]


class TestARefusedPicture:
    def brought(self, content: str = "hash") -> Progress:
        newer: Any = {"picture": Position(2, 0, 1, content)}
        return Progress(account=ANN, positions=newer, status="synced", last_error="picture_not_found")

    def refused(self, reason: Reason = "picture_not_found") -> PictureRefused:
        return PictureRefused(reason, "not there")

    def test_is_announced_with_its_reason(self) -> None:
        expected = [("picture.refused", {**IDS, "reason": "picture_not_found"})]
        assert announced(row(ENROLLED), self.brought(), self.refused()) == expected

    def test_is_announced_once_although_later_events_bring_it_again(self) -> None:
        known = {**standing("active"), "picture": Position(1, 0, 1, "hash")}
        before = replace(row(ENROLLED), positions=known, last_error="picture_not_found")
        assert announced(before, self.brought(), self.refused()) == []
        assert announced(before, self.brought("another"), self.refused())
        assert announced(before, self.brought(), self.refused("picture_too_large"))


class TestNoTransition:
    @pytest.mark.parametrize("known", [ENROLLED, SUSPENDED])
    def test_a_new_name_is_none(self, known: Known) -> None:
        named = Progress(account=ANN, positions={"name": Position(2, 0, 1, "hash")}, status="synced")
        assert announced(row(known, said="active" if known == ENROLLED else "suspended"), named) == []

    @pytest.mark.parametrize("status", ["no_email", "enrolling", None])
    def test_an_event_that_waits_for_another_is_none(self, status: Status | None) -> None:
        assert announced(Row(), Progress(status=status, positions=standing("active"))) == []

    def test_nothing_achieved_is_none(self) -> None:
        for known, said in itertools.product((ENROLLED, SUSPENDED), ("active", "suspended")):
            before = row(known, said=said)  # type: ignore[arg-type]
            same = known == (ENROLLED if said == "active" else SUSPENDED)
            assert (announced(before, Progress(account=ANN)) == []) is same


class TestARowFromBeforeAnnouncements:
    @pytest.mark.parametrize(
        ("before", "known"),
        [
            (Row(account=ANN, status="synced"), ENROLLED),
            (Row(account=ANN, status="synced", standing="suspended"), SUSPENDED),
            (Row(account=ANN, status="synced", standing="deleted"), ENROLLED),
            (Row(status="deleted", standing="deleted"), DELETED),
            (Row(status="failed", last_error="whop_refused"), FAILED),
            (Row(status="no_email"), None),
            (Row(), None),
        ],
    )
    def test_is_taken_to_be_known(self, before: Row, known: Known | None) -> None:
        assert before.announced.count == 0
        assert known_before(before) == known

    def test_is_not_announced_again(self) -> None:
        before = Row(account=ANN, status="synced", positions=standing("active"))
        assert announced(before, Progress(account=ANN, status="synced")) == []


def test_versions_go_on_without_a_gap_and_ids_are_made_of_them() -> None:
    before = row(DELETED, said="deleted", status="deleted")
    after = with_account(before.announced, claim(before), ANN, "suspended", at=NOW)
    assert after.count == 6
    assert after.known == SUSPENDED
    assert [(each.version, each.id) for each in after.unsent] == [
        (5, announcement_id("u1", 5, "user.restored")),
        (6, announcement_id("u1", 6, "user.suspended")),
    ]
    assert {(each.user_id, each.occurred_at) for each in after.unsent} == {("u1", NOW)}


@pytest.mark.parametrize("known", [ENROLLED, FAILED])
def test_what_is_announced_comes_out_of_the_row_as_it_went_in(known: Known) -> None:
    before = with_account(Announced(), claim(Row()), ANN, "suspended", at=NOW + 0.0006)
    written = announced_attributes(replace(before, known=known))
    item: Any = {"user_id": {"S": "u1"}, **{name: value for name, value in written.items() if value is not None}}
    again = read_row(item).announced
    assert again == replace(before, known=known)
    assert [body_of(each) for each in again.unsent] == [body_of(each) for each in before.unsent]
