"""Announcements as they wait in their queue."""

import pytest

from whop_sync.announcements import Announcement, announcement_id


@pytest.mark.parametrize(("user_id", "version"), [("12345", 3), (None, None)])
def test_an_announcement_comes_out_of_the_queue_as_it_went_in(user_id: str | None, version: int | None) -> None:
    announcement = Announcement(
        id="msg_1",
        type="user.enrolled",
        user_id=user_id,
        version=version,
        occurred_at=1790000000.5,
        data={"whop_user_id": "user_1"},
    )
    assert Announcement.from_json(announcement.to_json()) == announcement


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"id":1}', "null"])
def test_a_text_that_is_none_is_refused(text: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        Announcement.from_json(text)


def test_the_id_says_which_user_which_version_and_what() -> None:
    first = announcement_id("12345", 3, "user.suspended")
    assert first == announcement_id("12345", 3, "user.suspended")
    others = {
        announcement_id("1234", 53, "user.suspended"),
        announcement_id("12345", 4, "user.suspended"),
        announcement_id("12345", 3, "user.restored"),
    }
    assert len(others | {first}) == 4
