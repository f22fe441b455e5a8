"""`make up`: the whole application in the background, on ports one can remember, for the reader's own platform."""

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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from local_stack import ROOT
from local_stack.deployment import Deployment, built
from local_stack.engine import Engine
from local_stack.places import Places
from local_stack.ports import holder
from local_stack.processes import GuardedProcess, StartError, bare_environment
from local_stack.samples import STACK
from local_stack.sending import SECRET
from local_stack.settings import Settings
from local_stack.stack import LocalStack, running_stack
from local_stack.terminal import Terminal

# Tests run one of their own beside a developer's.
_FOLDER = Path(os.environ.get("LOCAL_STACK_FOLDER") or ROOT / ".local")
STATE = _FOLDER / "up.json"
LOCK = _FOLDER / "up.lock"
LOG = _FOLDER / "up.log"

START_SECONDS = 180
STOP_SECONDS = 180


class NotRunningError(Exception):
    """There is nothing that `make up` left running."""


class PortTakenError(Exception):
    """A port that is needed cannot be used; the message names its holder and another way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What `make up` left running, as the state file records it for every other command."""

    process: int
    places: Places
    stack: str
    engine_url: str
    webhook_url: str
    users_url: str
    whop_page: str
    console: str = "-"  # what an earlier version left running has none
    whop_api_url: str
    whop_company_id: str
    pictures_origin: str
    announcements: str = "-"  # what an earlier version left running has none
    settings: Settings = field(default_factory=Settings)
    signing_secret: str = field(repr=False, default=SECRET)

    @property
    def deployment(self) -> Deployment:
        return Deployment(Engine(self.engine_url), self.stack, self.webhook_url)

    @classmethod
    def read(cls, file: Path) -> Self:
        known: dict[str, Any] = json.loads(file.read_text())
        places, settings = Places(**known.pop("places")), Settings(**known.pop("settings"))
        return cls(places=places, settings=settings, **known)


def running() -> Running | None:
    """What is running now. A state file without a lock on it is left from a machine that was switched off."""
    if not _locked():
        return None
    with suppress(FileNotFoundError):
        return Running.read(STATE)
    return None


def start(terminal: Terminal, places: Places, settings: Settings) -> Running:
    """Builds, then starts everything in a process of its own. If this is interrupted, nothing is left of it.

    Raises PortTakenError, DeploymentError and StartError.
    """
    _ensure_free(places)
    built(terminal)
    with terminal.step("starting and deploying everything"):
        with LOG.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "local_stack", "serve"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            assert process.stdin
            process.stdin.write(json.dumps({"places": asdict(places), "settings": asdict(settings)}).encode())
            process.stdin.close()
            return _started(process)
        except BaseException:
            process.terminate()
            process.wait()
            _wait_until_free(places)
            raise


def _started(process: subprocess.Popen[bytes]) -> Running:
    deadline = time.monotonic() + START_SECONDS
    while not (found := running()):
        if process.poll() is not None or time.monotonic() > deadline:
            raise StartError(f"it did not start:\n{LOG.read_text(errors='replace')[-3000:]}")
        time.sleep(0.1)
    return found


def serve() -> None:
    """Runs what standard input asks for until SIGTERM. This is what `start` leaves behind."""
    asked = json.load(sys.stdin)
    places, settings = Places(**asked["places"]), Settings(**asked["settings"])
    terminal = Terminal()
    with (
        _lock(),
        running_stack(
            terminal,
            built(terminal),
            name=STACK,
            places=places,
            more_parameters=settings.parameters(),
            signing_secret=settings.signing_secret,
        ) as stack,
        _console(stack) as console,
    ):
        state = Running(
            process=os.getpid(),
            places=places,
            stack=STACK,
            engine_url=stack.deployment.engine.url,
            webhook_url=stack.deployment.webhook_url,
            users_url=stack.deployment.webhook_url.removesuffix("/webhooks") + "/users/",
            whop_page=stack.fake.control_url + "/",
            console=console,
            whop_api_url=stack.fake.api_url,
            whop_company_id=stack.whop.company_id,
            pictures_origin=stack.pictures.origin,
            announcements=stack.announced.origin + "/",
            settings=settings,
            signing_secret=settings.signing_secret,
        )
        draft = STATE.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(state), indent=2))
        draft.replace(STATE)
        try:
            signal.pause()
        finally:
            STATE.unlink(missing_ok=True)


@contextmanager
def _console(stack: LocalStack) -> Iterator[str]:
    """Serves the page over the stack, with that of the fake Whop among its tabs. Yields its address."""
    where = ["--stack", stack.deployment.stack, "--endpoint-url", stack.deployment.engine.url]
    tab = ["--tab", f"Whop={stack.fake.control_url}/"]
    command = [sys.executable, "-u", "-m", "whop_user_sync", "console", "--write", "--no-open", *where, *tab]
    with GuardedProcess(command, environment=bare_environment()) as process:
        process.wait_until(lambda: "\n" in process.output(), seconds=START_SECONDS, what="the page over the stack")
        yield process.output().partition("\n")[0]


def stop() -> None:
    """Returns when nothing of it is left. Raises NotRunningError."""
    found = running()
    if found is None:
        raise NotRunningError
    os.kill(found.process, signal.SIGTERM)
    _wait_until_free(found.places)


def _wait_until_free(places: Places) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    while _locked() or any(not _free(places.host, port) for port in places.uses):
        if time.monotonic() > deadline:
            raise StartError(f"it has not stopped within {STOP_SECONDS} s: see {LOG}")
        time.sleep(0.05)


def _ensure_free(places: Places) -> None:
    for port, use in places.uses.items():
        try:
            socket.create_server((places.host, port)).close()
        except OSError as error:
            who = holder(port)
            raise PortTakenError(
                f"{places.host}:{port}, wanted for {use}, cannot be used: "
                + (f"{who} listens there. Stop it, or take" if who else f"{error.strerror}. Take")
                + f" other ports: make up PORT={port + 1000 - port % 1000}"
            ) from None


def _free(host: str, port: int) -> bool:
    with suppress(OSError):
        socket.create_server((host, port)).close()
        return True
    return False


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
