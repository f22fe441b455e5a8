"""Times as text."""

from datetime import UTC, datetime


def iso(when: datetime | float) -> str:
    """ISO 8601 in UTC, cut to the millisecond, with a Z. Numbers are Unix seconds, a `datetime` is in UTC."""
    moment = when if isinstance(when, datetime) else datetime.fromtimestamp(when, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
