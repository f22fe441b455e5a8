"""A Docker daemon, a local stack where its containers reach it, and `sam local` over both."""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from local_stack import samples
from local_stack.deployment import built
from local_stack.invoking import put_import_file
from local_stack.places import Places
from local_stack.processes import free_ports
from local_stack.sam_local import Docker, DockerError, SamLocal, daemon, find_docker
from local_stack.stack import LocalStack, running_stack
from local_stack.terminal import Terminal


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    try:
        daemon()
    except DockerError as error:
        reason = pytest.mark.skip(f"no Docker daemon answers: {error}")
        for item in items:
            if item.path.parent == Path(__file__).parent:
                item.add_marker(reason)


@pytest.fixture(scope="session")
def docker() -> Iterator[Docker]:
    before = containers()
    yield find_docker()
    assert containers() <= before, "SAM left containers behind"


def containers() -> set[str]:
    """The ids of all containers of `sam local`, running or not."""
    filters = ("--all", "--quiet", "--filter", "label=sam.cli.container.type=lambda")
    listed = subprocess.run(["docker", "ps", *filters], capture_output=True, text=True, check=True)
    return set(listed.stdout.split())


@pytest.fixture(scope="session")
def places(docker: Docker) -> Places:
    engine, whop, uploads, pictures, announcements = free_ports(5)
    return Places(
        host=docker.address, engine=engine, whop=whop, uploads=uploads, pictures=pictures, announcements=announcements
    )


@pytest.fixture(scope="session")
def stack(places: Places) -> Iterator[LocalStack]:
    terminal = Terminal()
    with running_stack(terminal, built(terminal), name=samples.STACK, places=places) as stack:
        put_import_file(stack.deployment.engine)
        yield stack


@pytest.fixture(scope="session")
def sam(stack: LocalStack, docker: Docker, places: Places) -> SamLocal:
    return SamLocal(stack.built, docker, samples.variables(places))


@pytest.fixture
def events(places: Places) -> dict[str, samples.Event]:
    """Every sample event, signed and dated now."""
    return samples.events(datetime.now(UTC), places)
