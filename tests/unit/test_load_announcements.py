"""`make load` notices each way in which announcements can go wrong."""

from datetime import UTC, datetime

import pytest

from load.announcements import Accounts
from local_stack.announced import Announced

RECORDED = {"u1": 3, "u2": 1}


def came(user_id: str, version: int, type_: str, id_: str | None = None) -> Announced:
    data = {"user_id": user_id, "version": version}
    at = datetime(2026, 3, 1, tzinfo=UTC)
    return Announced(id=id_ or f"msg_{user_id}_{version}", at=at, body={"type": type_, "data": data})


ALL = [
    came("u1", 2, "user.recovered"),
    came("u1", 3, "picture.refused"),
    came("u2", 1, "user.enrolled"),
    came("u1", 1, "user.enrollment_failed"),
    came("u2", 1, "user.enrolled"),
]
"""All that there is to come, in another order, one of it twice."""


def test_all_that_rows_count_came_in_whatever_order_and_how_often() -> None:
    found = Accounts.of(RECORDED, ALL)
    assert found == Accounts(came=5, repeated=1, silent=0, lost=0, unrecorded=0, wrong=0)
    assert found.hold


@pytest.mark.parametrize("lost", [each for each in ALL if each.user_id == "u1"], ids=lambda each: each.type)
def test_one_that_never_came_is_noticed(lost: Announced) -> None:
    found = Accounts.of(RECORDED, [each for each in ALL if each != lost])
    assert found.lost == 1
    assert not found.hold


def test_a_user_about_whom_nothing_came_is_noticed() -> None:
    """Also where the row counts nothing, since each of them was enrolled."""
    found = Accounts.of({**RECORDED, "u3": 0}, ALL)
    assert (found.silent, found.wrong, found.hold) == (1, 1, False)


def test_one_that_no_row_counts_is_noticed() -> None:
    for stray in (came("u2", 2, "picture.refused"), came("u9", 1, "user.enrolled")):
        found = Accounts.of(RECORDED, [*ALL, stray])
        assert (found.unrecorded, found.hold) == (1, False)


def test_a_last_state_that_is_not_true_is_noticed() -> None:
    """Given that a failure is announced after the enrollment, by version."""
    swapped = [came("u1", 2, "user.enrollment_failed"), came("u1", 1, "user.enrolled"), *ALL[1:3]]
    found = Accounts.of(RECORDED, swapped)
    assert (found.lost, found.wrong, found.hold) == (0, 1, False)
