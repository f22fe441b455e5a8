"""What all tests share: one local engine a process, and Hypothesis without time limits that a busy machine breaks."""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from harness import World
from local_stack.engine import Engine, running_engine
from local_stack.processes import NO_ACCOUNT

os.environ.update(NO_ACCOUNT)  # no test may ever reach the AWS account of the person who runs it
# A journal counts under these, which the template sets.
os.environ.update({"POWERTOOLS_METRICS_NAMESPACE": "WhopUserSync", "POWERTOOLS_SERVICE_NAME": "stack"})
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A real DynamoDB API and a real SQS API on loopback."""
    with running_engine() as engine:
        yield engine


@pytest.fixture
def enrollment() -> str:
    """The generation of Whop's connected accounts; a test that holds for both is run with each."""
    return "companies"


@pytest.fixture
def world(engine: Engine, enrollment: str) -> Iterator[World]:
    with World(engine, enrollment=enrollment) as world:
        yield world


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Children of this process can be interrupted, also where it was started with SIGINT ignored (`make test &`)."""
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, inherited)
