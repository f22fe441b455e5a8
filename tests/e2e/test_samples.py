"""The files in events/ are what their generator writes, and fit the template."""

import json
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest

from local_stack import samples
from local_stack.deployment import FUNCTIONS
from local_stack.stack import LocalStack


def test_the_sample_events_differ_from_newly_made_ones_only_in_time() -> None:
    # Given the files as they are, and the time at which they were written
    written = {path: path.read_text(encoding="utf-8") for path in samples.FOLDER.rglob("*.json")}
    webhook = json.loads(written[samples.FOLDER / "receive_webhook" / "user_created.json"])
    at = datetime.fromtimestamp(int(webhook["headers"]["webhook-timestamp"]), UTC)
    # When they are made once more for that time
    # Then they are the same to the byte, and there are no others
    assert written == samples.samples(at)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_container_uses_what_the_deployed_functions_use(stack: LocalStack, function: str) -> None:
    # Given the settings of a deployed function, and those that events/env.json gives it in a container
    deployed = stack.deployment.environment(function)
    environments = json.loads((samples.FOLDER / "env.json").read_text())
    given = environments[function.title().replace("-", "") + "Function"]
    # Then SAM takes them, since the template declares each one
    assert set(given) <= set(deployed)
    # And they name the same things, in the stack that `make up` deploys, seen from a container
    for name, value in given.items():
        wanted = deployed[name].replace(f"{stack.deployment.stack}-", f"{samples.STACK}-")
        if name.endswith("_ARN"):
            assert value == f"{samples.STACK}/" + wanted.partition(f"{stack.deployment.stack}/")[2].rpartition("-")[0]
        elif "://" in value:
            assert urlsplit(value).hostname == samples.HOST
            assert urlsplit(value).path == urlsplit(wanted).path
        else:
            assert value == wanted
