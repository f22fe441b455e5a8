"""The promises of `make demo` and of the processes it starts."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.interruptions import INTERRUPTED
from local_stack import IMPORT_PATH
from local_stack.processes import GuardedProcess, StartError, bare_environment
from local_stack.waiting import PATIENCE_SECONDS, becomes_true

ENVIRONMENT = {**os.environ, "PYTHONPATH": IMPORT_PATH}

STARTER = """
import sys, time
from pathlib import Path
from local_stack.processes import GuardedProcess, bare_environment, new_scratch
script = "import os, pathlib, time; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(600)"
scratch = new_scratch()
command = [sys.executable, "-c", script]
process = GuardedProcess(command, environment=bare_environment(), folder=scratch, scratch=scratch)
pid = scratch / "pid"
process.wait_until(lambda: pid.exists() and pid.read_text() != "", seconds=120, what="it")
print(pid.read_text(), scratch, flush=True)
time.sleep(600)
"""


def test_nothing_outlives_a_starter_that_is_killed() -> None:
    # Given a process that started another one
    with subprocess.Popen(
        [sys.executable, "-c", STARTER], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        pid, scratch = starter.stdout.readline().split()
        # When it is killed without a chance to tidy up
        starter.kill()
    # Then the other one ends too, and its scratch folder is gone
    assert becomes_true(lambda: not _alive(int(pid)) and not Path(scratch).exists())


def test_what_ends_at_once_is_reported_with_its_last_words() -> None:
    # Given a command that prints its trouble and ends
    command = [sys.executable, "-c", "import sys; sys.exit('the address is taken')"]
    # When it is waited for
    process = GuardedProcess(command, environment=bare_environment())
    # Then the error holds what it printed, though its scratch folder is gone by then
    with process, pytest.raises(StartError, match="the address is taken"):
        process.wait_until(lambda: False, seconds=120, what="the server")
    assert not process.scratch.exists()
    assert process.finish() == 1


def test_the_demo_holds_every_claim_it_makes(tmp_path: Path) -> None:
    # Given a terminal that is none, and no key of Whop's
    environment = {**ENVIRONMENT, "TMPDIR": str(tmp_path)}
    for name in ("WHOP_API_KEY", "WHOP_COMPANY_ID"):
        environment.pop(name, None)
    # When the demo is played
    demo = subprocess.run(
        [sys.executable, "-m", "local_stack", "demo"], env=environment, capture_output=True, text=True, check=False
    )
    # Then all of its claims hold, in plain text, and nothing is left behind
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "✓" in demo.stdout
    assert not {"✗", "\x1b"} & set(demo.stdout)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("interruptible")
def test_the_demo_ends_what_it_started_when_it_is_interrupted(tmp_path: Path) -> None:
    # Given a demo that has started its engine
    command = [sys.executable, "-u", "-m", "local_stack", "demo"]
    environment = {**ENVIRONMENT, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        assert becomes_true(lambda: any(tmp_path.glob("whop-user-sync-*/output.log")) or demo.poll() is not None)
        # When a person presses Ctrl-C
        demo.send_signal(signal.SIGINT)
        output, errors = demo.communicate(timeout=PATIENCE_SECONDS)
    # Then it says so, and nothing is left behind
    assert demo.returncode in INTERRUPTED, output + errors
    assert becomes_true(lambda: not any(tmp_path.iterdir()))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
