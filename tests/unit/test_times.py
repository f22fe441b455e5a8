"""Times as text."""

from datetime import UTC, datetime

from whop_sync.times import iso


def test_a_time_is_cut_to_the_millisecond_in_utc() -> None:
    assert iso(1767605402.4179) == "2026-01-05T09:30:02.417Z"
    assert iso(datetime(2026, 1, 5, 9, 30, tzinfo=UTC)) == "2026-01-05T09:30:00.000Z"
