"""One engine and one deployment for all tests here. Each test uses user ids of its own."""

import itertools
from collections.abc import Callable, Iterator

import pytest

from local_stack.deployment import built
from local_stack.stack import LocalStack, running_stack
from local_stack.terminal import Terminal


@pytest.fixture(scope="session")
def stack() -> Iterator[LocalStack]:
    with running_stack(Terminal(), built(Terminal()), name="e2e") as running:
        yield running


_numbers = itertools.count(1)


@pytest.fixture
def new_id() -> Callable[[], str]:
    """Ids of platform users that no other test knows."""
    return lambda: f"u{next(_numbers)}"
