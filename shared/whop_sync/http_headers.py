"""Headers of HTTP answers that mean the same from every server."""

import email.utils
from datetime import UTC, datetime


def retry_after(header: str) -> float | None:
    """The seconds that a Retry-After header names, of any length, or None if it names none (RFC 9110, 10.2.3)."""
    header = header.strip()
    if header.isascii() and header.isdigit():
        return float(header)
    try:
        moment = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)  # the zone -0000 is read as none
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())
