"""The built functions in containers, as `sam local` runs them: each command with all that it needs to work.

SAM exits 0 when a function timed out, and `start-lambda` never says that one failed: only answers are evidence here.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx

from fake_whop import PLATFORM_COMPANY
from local_stack import stand_in_image
from local_stack.deployment import SAM, SWITCHED_ON, no_settings, override
from local_stack.processes import LOOPBACK, GuardedProcess, free_port, installing_environment, new_scratch
from local_stack.samples import HOST
from local_stack.waiting import becomes_true

INVOKE_SECONDS = 150
_BRIDGE_ADDRESS = "172.17.0.1"


class DockerError(Exception):
    """Docker cannot be used; the message is one line that says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Docker:
    """A Docker daemon that answers."""

    architecture: Literal["x86_64", "arm64"]
    image: str
    """The image that functions run in, already there."""
    address: str
    """Where this machine has to listen for containers to reach it."""


def daemon() -> tuple[str, str]:
    """The system and the architecture of the daemon that answers. Raises DockerError."""
    system, _, machine = _docker("info", "--format", "{{.OperatingSystem}}|{{.Architecture}}").rpartition("|")
    return system, machine


def find_docker() -> Docker:
    """The daemon that answers, with the image there. Raises DockerError."""
    system, machine = daemon()
    architecture: Literal["x86_64", "arm64"] = "arm64" if machine in ("aarch64", "arm64") else "x86_64"
    # Docker Desktop takes containers to the loopback of the machine; on Linux they see only what is on the bridge.
    bridged = sys.platform == "linux" and system != "Docker Desktop"
    return Docker(
        architecture=architecture,
        image=_image(f"public.ecr.aws/lambda/python:3.13-{architecture}"),
        address=_bridge() if bridged else LOOPBACK,
    )


def _bridge() -> str:
    gateway = _docker("network", "inspect", "bridge", "--format", "{{range .IPAM.Config}}{{.Gateway}}{{end}}")
    return gateway or _BRIDGE_ADDRESS  # a daemon names none until the bridge is used


def _image(name: str) -> str:
    """The name of an image that is there: AWS's own, pulled if need be, or the stand-in where it cannot be pulled."""
    for wanted in (name, stand_in_image.IMAGE):
        if _has_image(wanted):
            return wanted
    try:
        _docker("pull", "--quiet", name, seconds=300)
    except DockerError:
        if sys.platform != "linux":
            raise
        stand_in_image.make()
        return stand_in_image.IMAGE
    return name


def _has_image(name: str) -> bool:
    try:
        return bool(_docker("image", "inspect", name))
    except DockerError:
        return False


def _docker(*arguments: str, seconds: float = 20) -> str:
    try:
        outcome = subprocess.run(
            ["docker", *arguments],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        raise DockerError("there is no docker command on this machine") from None
    except subprocess.TimeoutExpired:
        raise DockerError(f"docker {arguments[0]} did not answer within {seconds:g} s") from None
    if outcome.returncode:
        reason = (outcome.stderr or outcome.stdout).strip().splitlines()
        raise DockerError(reason[-1] if reason else f"docker {arguments[0]} failed")
    return outcome.stdout.strip()


@dataclass(frozen=True, slots=True)
class Invocation:
    """What a function returned, and what SAM and the function printed meanwhile."""

    answer: Any
    log: str


class SamLocal:
    """`sam local` for one build, one Docker and one set of environment variables."""

    def __init__(
        self,
        built: Path,
        docker: Docker,
        variables: Mapping[str, Mapping[str, str]],
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        """`variables` are those of each function, by its logical id, as `--env-vars` takes them. `parameters` are the
        template's, beside those that every local stack has."""
        self._built = built
        self._docker = docker
        self._variables = variables
        self._parameters = parameters or {}

    def invoke(self, function: str, event: Mapping[str, Any]) -> Invocation:
        """One `sam local invoke`. The answer is None where the function gave none, as after a time-out."""
        scratch = new_scratch()
        (scratch / "event.json").write_text(json.dumps(event))
        with self._started("invoke", function, "--event", scratch / "event.json", scratch=scratch) as process:
            process.finish()
            printed = process.output().strip()
            return Invocation(json.loads(printed) if printed else None, process.errors())

    @contextmanager
    def lambda_service(self) -> Iterator["LambdaService"]:
        """`sam local start-lambda`: Lambda's own API, with containers that are kept for the next event."""
        with self._server("start-lambda") as (url, process):
            yield LambdaService(url, process)

    @contextmanager
    def api(self) -> Iterator[str]:
        """`sam local start-api`: the HTTP API with its routes. Yields the URL in front of them."""
        with self._server("start-api") as (url, _):
            yield url

    @contextmanager
    def _server(self, command: str) -> Iterator[tuple[str, GuardedProcess]]:
        port = free_port()
        url = f"http://{LOOPBACK}:{port}"
        options = ("--host", LOOPBACK, "--port", str(port), "--warm-containers", "LAZY")
        with self._started(command, *options) as process:
            process.wait_until(lambda: _answers(url), seconds=60, what=f"sam local {command}")
            yield url, process

    def _started(self, command: str, *arguments: str | Path, scratch: Path | None = None) -> GuardedProcess:
        scratch = scratch or new_scratch()
        variables = scratch / "variables.json"
        variables.write_text(json.dumps(self._variables))
        # Without an endpoint SAM asks STS who these credentials are of, and without credentials it makes some up.
        endpoint = {"AWS_ENDPOINT_URL": f"http://{LOOPBACK}:9"}
        parameters = {
            "Architecture": self._docker.architecture,
            "WhopEnvironment": "sandbox",
            "WhopCompanyId": PLATFORM_COMPANY,
            **SWITCHED_ON,
            **self._parameters,
        }
        return GuardedProcess(
            [
                *(SAM, "local", command, *arguments),
                *("--config-file", no_settings(scratch), "--template", self._built / "template.yaml"),
                *("--env-vars", variables, "--parameter-overrides"),
                *(override(name, value) for name, value in parameters.items()),
                *("--invoke-image", self._docker.image, "--skip-pull-image"),
                *("--add-host", f"{HOST}:host-gateway"),
            ],
            environment={**installing_environment(), **endpoint},
            scratch=scratch,
            errors_apart=True,
            # On Ctrl-C SAM removes its containers, one after the other; by SIGTERM `sam local invoke` dies at once.
            ended_by=signal.SIGINT,
            grace_seconds=60,
        )


@dataclass(frozen=True, slots=True)
class LambdaService:
    """A running `sam local start-lambda`."""

    url: str
    process: GuardedProcess

    def invoke(self, function: str, event: Mapping[str, Any]) -> Invocation:
        before = len(self.process.errors())
        path = f"/2015-03-31/functions/{function}/invocations"
        response = httpx.post(self.url + path, json=event, timeout=INVOKE_SECONDS, trust_env=False)
        # The last lines come a moment after the answer.
        becomes_true(lambda: "REPORT RequestId" in self.process.errors()[before:], 2)
        return Invocation(response.json() if response.content else None, self.process.errors()[before:])


def _answers(url: str) -> bool:
    try:
        httpx.get(url, timeout=2, trust_env=False)
    except httpx.TransportError:
        return False
    return True
