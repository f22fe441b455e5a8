"""Child processes with a clean environment, a scratch folder of their own, and no afterlife."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from local_stack import ROOT, guard

LOOPBACK = "127.0.0.1"

TOOLS = ROOT / ".local" / "python" / "bin"
"""A Python 3.13 with pip, made by the Makefile: whatever the machine's own `python3.13` is worth."""

NO_ACCOUNT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "SAM_CLI_TELEMETRY": "0",
}
"""Credentials of no account: nothing here may ever reach an AWS account of the person who runs it."""


def bare_environment() -> dict[str, str]:
    """For what runs functions: the engine hands its own environment on to them, where AWS hands on nothing."""
    return {"PATH": f"{TOOLS}{os.pathsep}{os.defpath}", "HOME": os.environ.get("HOME", "/"), **NO_ACCOUNT}


def installing_environment() -> dict[str, str]:
    """For what installs packages: keeps the machine's proxies and mirrors, drops every AWS and Python setting."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "SAM_", "PYTHON", "VIRTUAL_ENV"))}
    path = f"{TOOLS}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {**kept, "PATH": path, "PYTHON": str(TOOLS / "python3.13"), **NO_ACCOUNT, **direct_to(LOOPBACK, "localhost")}


def direct_to(*hosts: str) -> dict[str, str]:
    """Variables that keep the machine's proxy and go past it to these hosts: no proxy leads to a local stack."""
    exempt = os.environ.get("NO_PROXY") or os.environ.get("no_proxy")
    listed = ",".join([*([exempt] if exempt else []), *hosts])
    return {"NO_PROXY": listed, "no_proxy": listed}


def reachable(host: str) -> str:
    """The address at which this machine reaches what listens on `host`."""
    return LOOPBACK if host == "0.0.0.0" else host


def free_port() -> int:
    [port] = free_ports(1)
    return port


def free_ports(number: int) -> list[int]:
    """As many that differ, which they might not if they were looked for one after the other."""
    with contextlib.ExitStack() as held:
        servers = [held.enter_context(socket.create_server((LOOPBACK, 0))) for _ in range(number)]
        return [server.getsockname()[1] for server in servers]


class StartError(Exception):
    """Something did not start; the message holds the end of what it printed."""


_started: list["GuardedProcess"] = []
"""What has not been stopped yet."""


def stop_all() -> None:
    """Stops what was started and, being interrupted, was not stopped by who started it."""
    for process in [*_started]:
        process.stop()


class GuardedProcess:
    """A command that ends, with its children and its scratch folder, no later than this process does."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str],
        folder: Path = ROOT,
        scratch: Path | None = None,
        errors_apart: bool = False,
        ended_by: signal.Signals = signal.SIGTERM,
        grace_seconds: float = 3,
    ) -> None:
        """With `errors_apart`, what the command writes to standard error is not part of its output. It is ended by a
        signal, and killed if it still runs `grace_seconds` later."""
        self.scratch = scratch or new_scratch()
        try:
            # Kept open: the guard removes the scratch folder when the command ends, and its last words are wanted then.
            self._log = (self.scratch / "output.log").open("w+b")
            self._errors = (self.scratch / "errors.log").open("w+b") if errors_apart else self._log
            self._process = subprocess.Popen(
                [sys.executable, guard.__file__, self.scratch, str(int(ended_by)), str(grace_seconds), *command],
                env={**environment, "TMPDIR": str(self.scratch)},
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=self._errors,
                start_new_session=True,
            )
            _started.append(self)
        except BaseException:  # Ctrl-C, before there is a guard that would do it
            shutil.rmtree(self.scratch, ignore_errors=True)
            raise

    def wait_until(self, ready: Callable[[], bool], *, seconds: float, what: str) -> None:
        """Returns once `ready`. Raises StartError, with the end of the output, when it dies or takes too long."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise StartError(f"{what} did not start:\n{(self.errors() or self.output())[-3000:]}")
            time.sleep(0.02)

    def output(self) -> str:
        """What the command has printed so far, also after its end."""
        return _content(self._log)

    def errors(self) -> str:
        return _content(self._errors)

    def finish(self) -> int:
        """Waits until the command has ended by itself, and returns its exit status."""
        return self._process.wait()

    def stop(self) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()
        if self in _started:
            _started.remove(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _content(file: BinaryIO) -> str:
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")


def new_scratch() -> Path:
    return Path(tempfile.mkdtemp(prefix="whop-user-sync-"))
