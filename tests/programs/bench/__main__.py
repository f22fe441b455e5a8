"""What the Makefile calls: `python -m bench`, or `python -m bench cold batches` for some parts alone."""

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import backlog, calls, cold_start, growth, imports, memory, receiver, signups
from local_stack import ROOT
from local_stack.deployment import DeploymentError, built
from local_stack.engine import Engine, running_engine
from local_stack.processes import StartError
from local_stack.stack import running_stack
from local_stack.terminal import Terminal

# The application's log lines and metrics would bury the tables.
QUIET = {
    "POWERTOOLS_LOG_LEVEL": "CRITICAL",
    "POWERTOOLS_METRICS_DISABLED": "true",
    "POWERTOOLS_METRICS_NAMESPACE": "WhopUserSync",
    "POWERTOOLS_SERVICE_NAME": "bench",
}


def main() -> int:
    os.environ |= QUIET
    terminal = Terminal()
    try:
        with TemporaryDirectory(prefix="whop-user-sync-") as folder, ExitStack() as running:
            parts = _parts(Path(folder), running, terminal)
            parser = argparse.ArgumentParser(prog="bench", description=__doc__)
            parser.add_argument("parts", nargs="*", choices=[[], *parts], help="all if none is named")
            parser.add_argument("--charts", type=Path, default=ROOT / ".local" / "charts", help="where to draw results")
            options = parser.parse_args()
            for name in options.parts or parts:
                parts[name](options.charts)
    except (DeploymentError, StartError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    one, five, fifteen = os.getloadavg()
    terminal.line()
    terminal.quiet(f"this machine: {os.cpu_count()} processors, load {one:.1f}, {five:.1f}, {fifteen:.1f}")
    return 0


def _parts(scratch: Path, running: ExitStack, terminal: Terminal) -> dict[str, Callable[[Path], None]]:
    """Each part takes the folder of its chart."""

    @cache
    def engine() -> Engine:
        with terminal.step("starting a local AWS"):
            return running.enter_context(running_engine())

    def sign_ups(charts: Path) -> None:
        with running_stack(terminal, built(terminal), name="bench") as stack:
            signups.report(stack, terminal, sign_ups=200, chart=charts / "sign-ups.svg")

    def imported(charts: Path) -> None:
        allowed = {"WhopCallsPerMinute": str(imports.CALLS_PER_MINUTE)}
        with running_stack(terminal, built(terminal), name="bench", more_parameters=allowed) as stack:
            imports.report(stack, terminal, users=3000, chart=charts / "import.svg")

    return {
        "cold": lambda charts: cold_start.report(
            built(terminal), scratch, terminal, rounds=15, chart=charts / "cold-start.svg"
        ),
        "emulator": lambda _: cold_start.report_under_the_emulator(built(terminal), scratch, terminal, rounds=7),
        "receiver": lambda _: receiver.report(terminal, webhooks=5000),
        "costs": lambda _: calls.report_costs(engine(), terminal),
        "batches": lambda _: calls.report_batches(engine(), terminal, rounds=15),
        "memory": lambda _: memory.report(engine(), terminal),
        "backlog": lambda charts: backlog.report(
            engine(), terminal, events=5000, numbers=(2, 10, 40), faster=2, chart=charts / "backlog.svg"
        ),
        "signups": sign_ups,
        "import": imported,
        "events": lambda _: growth.report_events(engine(), terminal, events=200, widths=(1, 2, 5, 10)),
        "rows": lambda _: growth.report_rows(engine(), terminal, sizes=(1_000, 10_000, 100_000, 1_000_000), claims=200),
    }


if __name__ == "__main__":
    sys.exit(main())
