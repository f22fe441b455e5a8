"""Built functions with the built layer under AWS's Runtime Interface Emulator: the real runtime, no container."""

import json
import platform
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from local_stack import ROOT
from local_stack.processes import LOOPBACK, GuardedProcess, StartError, bare_environment, free_ports, new_scratch

_ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
# What AWS's own image adds to a function and its layer: the runtime client with its two dependencies.
_RUNTIME_PACKAGES = ("awslambdaric*", "runtime_client*", "snapshot_restore_py*", "simplejson*")


@dataclass(frozen=True, slots=True)
class Runtime:
    """One warm environment of a function. It takes one event at a time, as on AWS."""

    url: str
    process: GuardedProcess

    def invoke(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """What the handler returned; for a raised error its `errorType` and `errorMessage`."""
        response = httpx.post(self.url, content=json.dumps(event), timeout=150, trust_env=False)
        answer: dict[str, Any] = response.json()
        return answer


def emulator() -> Path | None:
    """The emulator's binary from the SAM package, None on a system it was not built for."""
    architecture = _ARCHITECTURES.get(platform.machine().lower())
    if sys.platform != "linux" or architecture is None:
        return None
    pattern = f"lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-{architecture}"
    return next((ROOT / ".local" / "sam").glob(pattern), None)


@contextmanager
def running_function(
    built: Path, function: str, environment: Mapping[str, str], *, python_options: tuple[str, ...] = ()
) -> Iterator[Runtime]:
    """Runs `function`, a logical id of the template, as `sam build` left it in `built`."""
    program = emulator()
    if program is None:
        raise StartError("there is no Runtime Interface Emulator for this system")
    scratch = new_scratch()
    code = built / function
    invocations, runtime_api = (f"{LOOPBACK}:{port}" for port in free_ports(2))
    variables = {
        **bare_environment(),
        "LAMBDA_TASK_ROOT": str(code),
        "_HANDLER": "app.handler",
        "AWS_LAMBDA_FUNCTION_NAME": function,
        "AWS_LAMBDA_FUNCTION_TIMEOUT": "120",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "PYTHONPATH": ":".join(map(str, (code, built / "SharedLayer" / "python", _linked_packages(scratch)))),
        **environment,
    }
    # -S: no site-packages, so that only what ships can be imported.
    python = [sys.executable, "-S", *python_options, "-m", "awslambdaric", "app.handler"]
    addresses = ["--runtime-interface-emulator-address", invocations, "--runtime-api-address", runtime_api]
    command = [str(program), "--log-level", "error", *addresses, *python]
    with GuardedProcess(command, environment=variables, folder=code, scratch=scratch) as process:
        url = f"http://{invocations}/2015-03-31/functions/function/invocations"
        process.wait_until(lambda: _listening(invocations), seconds=60, what="the Runtime Interface Emulator")
        yield Runtime(url, process)


def runtime_packages() -> list[Path]:
    """The runtime client of AWS's image and what it imports, as they are installed in .venv."""
    [installed] = (ROOT / ".venv").glob("lib/python3*/site-packages")
    return [package for pattern in _RUNTIME_PACKAGES for package in installed.glob(pattern)]


def _linked_packages(scratch: Path) -> Path:
    folder = scratch / "runtime"
    folder.mkdir()
    for package in runtime_packages():
        (folder / package.name).symlink_to(package)
    return folder


def _listening(address: str) -> bool:
    # No request: the emulator takes each for an invocation, and two at once before its function has started end it.
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except OSError:
        return False
    return True
