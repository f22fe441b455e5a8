"""Users as the directory shows them."""

from whop_sync.users.directory import Entry


def entry(user_id: str) -> Entry:
    """Someone who is enrolled and in step."""
    return Entry(
        user_id=user_id,
        status="synced",
        standing="active",
        standing_since=None,
        whop_user_id="user_1",
        whop_company_id="biz_1",
        email_differs=False,
        sign_in_differs=False,
        versions={"name": 1, "picture": None},
        last_error=None,
        last_event_id="msg_1",
        created_at="2026-11-25T10:00:00Z",
        updated_at="2026-11-25T10:00:00Z",
    )
