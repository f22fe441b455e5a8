"""Runs a command that must not outlive the process that started it: `guard.py SCRATCH SIGNAL SECONDS COMMAND...`.

The guard holds the reading end of its starter's pipe. When the starter closes it, or dies in whatever way, the guard
ends the command with all its children and removes SCRATCH. A starter that is killed cannot tidy up; its guard can. The
command gets SIGNAL, by its number, and has so many SECONDS to wind up before it is killed.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading


def main() -> int:
    scratch, number, seconds, *command = sys.argv[1:]
    # What was started with Ctrl-C ignored, as by a shell in the background, hands that on, and may be ended by it here.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # A session of its own: the command and its children form one group, and Ctrl-C reaches only the starter.
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    gently = (process, signal.Signals(int(number)), float(seconds))
    threading.Thread(target=_end_when_let_go, args=gently, daemon=True).start()
    code = process.wait()
    _signal_group(process, signal.SIGKILL)
    shutil.rmtree(scratch, ignore_errors=True)
    return code


def _end_when_let_go(process: subprocess.Popen[bytes], number: signal.Signals, seconds: float) -> None:
    # Unbuffered: a thread that waits inside sys.stdin's lock would make this process end with a fatal error.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    _signal_group(process, number)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    _signal_group(process, signal.SIGKILL)


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


if __name__ == "__main__":
    sys.exit(main())
