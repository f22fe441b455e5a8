"""What the Makefile calls: `python -m load --webhooks 5000 --users 1000`."""

import argparse
import signal
import sys
from pathlib import Path

from load.chart import draw
from load.traffic import Sizes
from load.trial import Whop, run
from local_stack import ROOT
from local_stack.deployment import DeploymentError, built
from local_stack.processes import StartError
from local_stack.stack import running_stack
from local_stack.terminal import Terminal


def main() -> int:
    parser = argparse.ArgumentParser(prog="load", description=__doc__)
    parser.add_argument("--webhooks", type=int, default=Sizes.webhooks)
    parser.add_argument("--users", type=int, default=Sizes.users)
    parser.add_argument("--charts", type=Path, default=ROOT / ".local" / "charts", help="where to draw the result")
    options = parser.parse_args()
    if options.webhooks < options.users or options.users < 1:
        print("Each user needs a webhook at least: give WEBHOOKS= as large a number as USERS=.", file=sys.stderr)
        return 2
    # Ended from outside, everything that was started is still wound up.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sizes, whop, terminal = Sizes(webhooks=options.webhooks, users=options.users), Whop(), Terminal()
    try:
        allowed = {"WhopCallsPerMinute": f"{whop.limit * 60 / whop.window:.0f}"}
        with running_stack(terminal, built(terminal), name="load", more_parameters=allowed) as stack:
            terminal.title(
                f"{sizes.webhooks} webhooks about {sizes.users} users; Whop takes {whop.limit} calls of a kind in"
                f" {whop.window:.0f} s and fails {whop.failing:.0%}; the platform"
                f" fails {whop.platform_failing:.0%} of the announcements"
            )
            report = run(stack, sizes, whop, terminal)
            report.show(terminal)
            chart = options.charts / "load.svg"
            draw(
                chart,
                report.moments,
                report.answers,
                report.called,
                sent_at=report.sending_seconds,
                per_minute=whop.limit * 60 / whop.window,
            )
            terminal.quiet(f"as a picture: {chart}")
    except (DeploymentError, StartError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. Everything that was started has been stopped.", file=sys.stderr)
        return 130
    return 0 if report.holds else 1


if __name__ == "__main__":
    sys.exit(main())
