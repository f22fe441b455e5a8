"""Waiting for what happens elsewhere: by looking often, with a deadline, never by sleeping for luck."""

import time
from collections.abc import Callable


def becomes_true(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
