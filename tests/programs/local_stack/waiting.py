"""Waiting for what happens elsewhere: by looking often, with a deadline, never by sleeping for luck."""

import time
from collections.abc import Callable

PATIENCE_SECONDS = 240.0
"""For what takes a second on a quiet machine and a minute on one that does much else."""


def becomes_true(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> bool:
    """Whether the condition came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
