"""Numbers that people rely on, written out: a change of one has to be meant, and the docs changed with it."""

import pytest

from whop_sync import events
from whop_sync.announcing import webhooks
from whop_sync.aws import secrets
from whop_sync.batches.retries import RETRIES
from whop_sync.pictures import fetching
from whop_sync.receiving import deliveries, payloads, signatures
from whop_sync.syncing import enrollment
from whop_sync.users import mappings
from whop_sync.whop import answers
from whop_user_sync import parked

MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.mark.parametrize(
    ("what", "number", "promised"),
    [
        ("the first wait after a failure", RETRIES.first_backoff, 5),
        ("the longest", RETRIES.max_backoff, HOUR),
        ("given up", RETRIES.patience, 3 * DAY),
        ("given up, if nothing is wrong with the event", RETRIES.long_patience, 10 * DAY),
        ("tried again, if an operator has to act", answers.OPERATOR_RETRY_SECONDS, 15 * MINUTE),
        ("a lost create is waited for", enrollment.ORPHAN_WAIT_SECONDS, 2 * MINUTE),
        ("clocks may differ by", enrollment.CLOCK_SKEW_SECONDS, 5 * MINUTE),
        ("a user is locked after a lost answer", mappings.LEASE_SECONDS, 3 * MINUTE),
        ("a picture whose host is down is tried", RETRIES.picture_patience, HOUR),
        ("the largest picture", fetching.MAX_BYTES, 5 * 1024 * 1024),
        ("the longest fetch of a picture", fetching.TIMEOUT_SECONDS, 15),
        ("redirects of a picture", fetching.MAX_REDIRECTS, 3),
        ("the largest webhook", deliveries.MAX_BODY_BYTES, 256 * 1024),
        ("the shortest secret", signatures.MIN_SECRET_LENGTH, 12),
        ("a signature is good for", signatures.TOLERANCE_SECONDS, 5 * MINUTE),
        ("a new secret is known after", secrets.MAX_AGE_SECONDS, 2 * MINUTE),
        ("a version may lie ahead", payloads.MAX_CLOCK_LEAD.total_seconds(), DAY),
        ("the longest name that Whop takes", events.MAX_NAME_LENGTH, 100),
        ("an answer to an announcement is waited for", webhooks.TIMEOUT_SECONDS, 10),
        ("a Retry-After to an announcement is heeded up to", webhooks.MAX_NAMED_WAIT_SECONDS, HOUR),
        ("a killed run hides parked events for", parked.HOLD_SECONDS, 10 * MINUTE),
    ],
)
def test_it_is_what_was_promised(what: str, number: float, promised: float) -> None:
    assert number == promised, what
