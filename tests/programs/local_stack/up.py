"""`make up`: the whole application in the background, on ports one can remember."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass

from local_stack import ROOT
from local_stack.deployment import built
from local_stack.places import Places, agreed
from local_stack.processes import StartError
from local_stack.samples import STACK
from local_stack.stack import running_stack
from local_stack.terminal import Terminal

STATE = ROOT / ".local" / "up.json"
LOCK = ROOT / ".local" / "up.lock"
LOG = ROOT / ".local" / "up.log"

START_SECONDS = 90


class NotRunningError(Exception):
    """There is nothing that `make up` left running."""


class PortTakenError(Exception):
    """Somebody else listens where this wants to; the message says who is expected there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What `make up` left running, as the state file tells it."""

    process: int
    engine_url: str
    webhook_url: str
    whop_page: str
    pictures_origin: str


def running() -> Running | None:
    """What is running now. A state file that nobody holds the lock for is left from a machine that was switched off."""
    if not _locked():
        return None
    with suppress(FileNotFoundError):
        return Running(**json.loads(STATE.read_text()))
    return None


def start(terminal: Terminal, host: str) -> Running:
    """Builds, then starts everything in a process of its own. Raises PortTakenError, DeploymentError and StartError."""
    places = agreed(host)
    _ensure_free(places)
    built(terminal)
    with terminal.step("starting and deploying everything"):
        with LOG.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "local_stack", "serve", "--listen", host],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not (found := running()):
            if process.poll() is not None or time.monotonic() > deadline:
                process.terminate()
                raise StartError(f"it did not start:\n{LOG.read_text(errors='replace')[-3000:]}")
            time.sleep(0.1)
    return found


def serve(host: str) -> None:
    """Runs everything until it is told to stop. This is what `start` leaves behind."""
    with _lock(), running_stack(Terminal(), built(Terminal()), name=STACK, places=agreed(host)) as stack:
        state = Running(
            process=os.getpid(),
            engine_url=stack.deployment.engine.url,
            webhook_url=stack.deployment.webhook_url,
            whop_page=stack.fake.control_url + "/",
            pictures_origin=stack.pictures.origin,
        )
        draft = STATE.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(state), indent=2))
        draft.replace(STATE)
        try:
            signal.pause()
        finally:
            STATE.unlink(missing_ok=True)


def stop() -> None:
    """Raises NotRunningError."""
    found = running()
    if found is None:
        raise NotRunningError
    os.kill(found.process, signal.SIGTERM)
    while _locked():
        time.sleep(0.05)


def _ensure_free(places: Places) -> None:
    for port, use in places.uses.items():
        try:
            socket.create_server((places.host, port)).close()
        except OSError as error:
            raise PortTakenError(f"{places.host}:{port}, wanted for {use}, cannot be used: {error.strerror}") from None


@contextmanager
def _lock() -> Iterator[None]:
    with LOCK.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _locked() -> bool:
    with suppress(FileNotFoundError), LOCK.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
