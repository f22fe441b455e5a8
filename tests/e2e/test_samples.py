"""The files in events/ are what their generator writes."""

import json
from datetime import UTC, datetime

from local_stack import samples


def test_the_sample_events_differ_from_newly_made_ones_only_in_time() -> None:
    # Given the files as they are, and the time at which they were written
    written = {path: path.read_text(encoding="utf-8") for path in samples.FOLDER.rglob("*.json")}
    webhook = json.loads(written[samples.FOLDER / "receive_webhook" / "user_created.json"])
    at = datetime.fromtimestamp(int(webhook["headers"]["webhook-timestamp"]), UTC)
    # When they are made once more for that time
    # Then they are the same to the byte, and there are no others
    assert written == samples.samples(at)
