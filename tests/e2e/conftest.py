"""One engine and one deployment for all tests here. Each test uses user ids of its own."""

import itertools
from collections.abc import Callable, Generator, Iterator

import pytest

from local_stack.deployment import built
from local_stack.stack import LocalStack, running_stack
from local_stack.terminal import Terminal

LAST_WORDS = 20_000
"""Characters."""


@pytest.fixture(scope="session")
def stack() -> Iterator[LocalStack]:
    with running_stack(Terminal(), built(Terminal()), name="e2e") as running:
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shows with a failure what the engine has printed: which functions it ran, when, and their log."""
    report = yield
    stack = item.funcargs.get("stack")
    if report.failed and isinstance(stack, LocalStack):
        report.sections.append(("the local AWS", stack.deployment.engine.output()[-LAST_WORDS:]))
    return report


_numbers = itertools.count(1)


@pytest.fixture
def new_id() -> Callable[[], str]:
    """Ids of platform users that no other test knows."""
    return lambda: f"u{next(_numbers)}"
