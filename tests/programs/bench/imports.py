"""The operators' import into the whole application on this machine, with a Whop whose limit is out of the way."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from local_stack import ROOT
from local_stack.processes import NO_ACCOUNT
from local_stack.stack import LocalStack
from local_stack.terminal import Terminal
from local_stack.waiting import becomes_true

CALLS_PER_MINUTE = 100_000


def report(stack: LocalStack, terminal: Terminal, *, users: int, chart: Path) -> None:
    """Raises AssertionError if the import fails, or if not all users are enrolled in ten minutes."""
    terminal.title(f"An import of {users} users, a Whop without limit that answers at once")
    stack.fake.switches.rate_limit = CALLS_PER_MINUTE
    where = ["--stack", stack.deployment.stack, "--endpoint-url", stack.deployment.engine.url]
    chart.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "users.ndjson"
        file.write_text("".join(f"{_row(number)}\n" for number in range(users)))
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "whop_user_sync", "import", file, *where, "--chart", chart.absolute()],
            cwd=ROOT,
            env={**os.environ, **NO_ACCOUNT},
            capture_output=True,
            check=True,
        )
        sent = time.perf_counter() - began
        assert becomes_true(lambda: len(stack.fake.companies()) == users, seconds=600), "users are missing at Whop"
        enrolled = time.perf_counter() - began
    terminal.table(
        ("users", "sent after", "all enrolled after"), [(f"{users:,}", f"{sent:.0f} s", f"{enrolled:.0f} s")]
    )
    terminal.quiet(f"as a picture: {chart}")


def _row(number: int) -> str:
    return json.dumps({"id": f"import-{number}", "email": f"import-{number}@people.test", "name": f"Ann {number}"})
