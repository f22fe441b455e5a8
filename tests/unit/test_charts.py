"""`make load` and `make bench` draw what they measured."""

import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import backlog, cold_start, signups
from load import chart
from load.chart import Answered, Called, Moment


def trial(file: Path) -> None:
    moments = [Moment(float(second), second * 10, 50 - second) for second in range(50)]
    answers = [Answered(second / 2, 8.0 + second % 3) for second in range(100)]
    calls = [Called(second / 4, "PATCH /users/{id}", 429 if second % 9 == 0 else 200) for second in range(200)]
    chart.draw(file, moments, answers, calls, sent_at=40.0, per_minute=1200)


def drained(file: Path) -> None:
    let_in = [number / 20 for number in range(2000)]
    one = backlog.Drained(environments=2, seconds=100.0, used=0.979, refused=0.0, back=3, let_in=let_in)
    backlog.draw(file, [one], faster=2)


def cold_starts(file: Path) -> None:
    cold_start.draw(file, {"UserCreatedFunction": [1.05, 1.1, 1.08]})


def sign_up(later: float = 0.0) -> signups.SignUp:
    """One that waits 0.1 s in the queue, and whose picture takes longer to fetch than the account to be made."""
    return signups.SignUp(
        answered_at=0.0,
        claimed_at=0.1 + later,
        enrolled_at=0.6 + later,
        synced_at=2.4 + later,
        calls=[
            ("POST /companies", (0.12 + later, 0.42 + later)),
            ("POST /files", (0.6 + later, 0.9 + later)),
            ("PUT upload", (0.9 + later, 1.2 + later)),
            ("GET /files/{id}", (1.2 + later, 1.5 + later)),
            ("GET /files/{id}", (1.75 + later, 2.05 + later)),
            ("PATCH /users/{id}", (2.06 + later, 2.36 + later)),
        ],
        fetch=(0.11 + later, 0.57 + later),
    )


def people(file: Path) -> None:
    found = [sign_up(number / 1000) for number in range(20)]
    signups.draw(file, {"without a picture": found, "with a picture": found})


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (trial, ("PATCH /users/{id}", "Whop's limit", "waiting", "milliseconds", "calls a minute", "all are sent")),
        (drained, ("Whop's limit, 600 a minute", "2 environments: 97.9% of it used", "seconds since the first call")),
        (cold_starts, ("UserCreatedFunction", "1.08", "goal for the median, 1.15", "times the floor")),
        (people, ("without a picture, chat token: p50 0.61 s, p99 0.62 s", "pause for Whop to process", "seconds")),
    ],
)
def test_a_chart_names_what_it_shows_and_is_the_same_for_the_same_numbers(
    draw: Callable[[Path], None], words: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "charts" / "a.svg"
    draw(file)
    first = file.read_bytes()
    assert ET.fromstring(first).tag.endswith("svg")  # noqa: S314 - our own
    for each in words:
        assert each in first.decode()
    # And so the docs change only with what was measured
    draw(file)
    assert file.read_bytes() == first


def test_the_time_of_a_sign_up_is_split_without_a_rest() -> None:
    parts = sign_up().parts(until_synced=True)
    assert parts == pytest.approx(
        {
            "queue": 0.1,
            "Whop": 1.8,
            "picture's host": 0.01 + 0.15,  # what goes on beside a call to Whop costs nothing
            "pause for Whop to process": 0.25,
            "table and worker": 0.01 + 0.03 + 0.01 + 0.04,
        }
    )
    assert sum(parts.values()) == pytest.approx(sign_up().seconds(until_synced=True))


def test_until_the_chat_token_only_what_comes_before_it_counts() -> None:
    parts = sign_up().parts(until_synced=False)
    assert parts["Whop"] == pytest.approx(0.3)
    assert parts["pause for Whop to process"] == 0
    assert sum(parts.values()) == pytest.approx(0.6)
