"""Starts MiniStack so that each call's log lines are shown when the call has ended: `python -P whole_logs.py`.

By itself (observed in 1.5.33) it waits 50 ms for the first line that a function wrote, and 5 ms for each further one.
On a busy machine lines come later than that; they are then shown with the next call that the same process happens to
get, or never. Here a function's process writes a mark after each call, and its lines are read until the mark.

Runs in the engine's own environment, as a program of one file.
"""

import queue
import threading
import time
from typing import Any

MARK = "-- the end of a call --"
PATIENCE_SECONDS = 60.0
ANSWERED = "        _real_stdout.flush()\n\nrun()\n"
"""How the program ends that MiniStack runs a function in: the answer of a call is sent."""


def lines_of_a_call(lines: "queue.Queue[str]", reader: threading.Thread) -> str:
    """What a function's process wrote, until its mark, or until the reader has come to the end of it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    found: list[str] = []
    while time.monotonic() < deadline:
        has_ended = not reader.is_alive()  # looked at first: no line comes after it
        try:
            line = lines.get(timeout=0 if has_ended else 0.1)
        except queue.Empty:
            if has_ended:
                break
            continue
        if line == MARK:
            break
        found.append(line)
    return "\n".join(found)


def marking(program: str) -> str:
    """The program that functions run in, changed so that it marks the end of each call. Raises ValueError."""
    before, answered, after = program.rpartition(ANSWERED)
    if not answered or after:
        raise ValueError("MiniStack runs functions in another way than 1.5.33 does: change whole_logs.py")
    return f"{before}        print({MARK!r}, file=sys.stderr, flush=True)\n{answered}"


def main() -> None:
    from ministack import app  # type: ignore[import-not-found]  # noqa: PLC0415 - in the engine's environment alone
    from ministack.core import lambda_runtime  # type: ignore[import-not-found]  # noqa: PLC0415

    def drained(worker: Any) -> str:
        return lines_of_a_call(worker._stderr_queue, worker._stderr_thread)

    lambda_runtime._PYTHON_WORKER_SCRIPT = marking(lambda_runtime._PYTHON_WORKER_SCRIPT)
    # After an answer, and after a call that was ended since it took too long.
    lambda_runtime.Worker._drain_stderr_bounded = lambda_runtime.Worker._drain_stderr = drained
    app.main()


if __name__ == "__main__":
    main()
