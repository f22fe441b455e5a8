"""`make load` draws what it measured."""

import xml.etree.ElementTree as ET
from pathlib import Path

from load.chart import Answered, Called, Moment, draw


def test_a_trial_is_drawn_as_a_picture_that_shows_its_operations_and_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "load.svg"
    moments = [Moment(float(second), second * 10, 50 - second) for second in range(50)]
    answers = [Answered(second / 2, 8.0 + second % 3) for second in range(100)]
    calls = [Called(second / 4, "PATCH /users/{id}", 429 if second % 9 == 0 else 200) for second in range(200)]
    draw(file, moments, answers, calls, per_minute=1200)
    first = file.read_bytes()
    assert ET.fromstring(first).tag.endswith("svg")  # noqa: S314 - our own
    text = first.decode()
    for words in ("PATCH /users/{id}", "Whop's limit", "waiting", "webhook answered, ms", "p99"):
        assert words in text
    # And the same numbers give the same file, so that the docs change only with what was measured
    draw(file, moments, answers, calls, per_minute=1200)
    assert file.read_bytes() == first
