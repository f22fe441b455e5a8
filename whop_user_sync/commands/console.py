"""`console`: a local page over the stack."""

import os
import socket
import sys
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from whop_user_sync.commands.common import (
    CommandError,
    EndpointOption,
    Exit,
    RegionOption,
    StackOption,
    chosen_stack,
    output,
)
from whop_user_sync.desktop import has_desktop

NEEDS = (
    "logs:DescribeLogGroups, logs:StartQuery and logs:GetQueryResults; cloudwatch:DescribeAlarms and"
    " cloudwatch:GetMetricData; on the queues: sqs:GetQueueUrl, sqs:GetQueueAttributes, sqs:ReceiveMessage,"
    " sqs:ChangeMessageVisibility; on the table: dynamodb:GetItem and dynamodb:Scan; for imports:"
    " states:ListStateMachines, states:ListExecutions, states:DescribeExecution, states:ListMapRuns,"
    " states:DescribeMapRun, and on the bucket s3:ListBucket and s3:GetObject."
)


def console(
    *,
    stack: StackOption = None,
    write: Annotated[bool, typer.Option("--write", help="Allow redriving and deleting what is parked.")] = False,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 0,
    no_open: Annotated[bool, typer.Option("--no-open", help="Print the address only.")] = False,
    tab: Annotated[
        list[str] | None, typer.Option("--tab", metavar="NAME=URL", help="Another page to show as a tab of this one.")
    ] = None,
    region: RegionOption = None,
    endpoint_url: EndpointOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the address as a JSON document.")] = False,
) -> int:
    """Open a local page over the stack: deliveries, users, what is parked. Read-only without --write."""
    # Imported late: no other command needs a server.
    import uvicorn  # noqa: PLC0415

    from whop_user_sync.console.pages import application, documented_reasons  # noqa: PLC0415
    from whop_user_sync.console.security import Guard  # noqa: PLC0415
    from whop_user_sync.console.sources import Sources  # noqa: PLC0415

    tabs = _tabs(tab or [])
    sources = Sources(chosen_stack(stack, region, endpoint_url))
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError:
        raise CommandError(f"Port {port} is taken: name another with --port, or 0 for a free one.") from None
    guard = Guard(port=listener.getsockname()[1])
    app = application(sources, guard, write=write, reasons=documented_reasons(_troubleshooting()), tabs=tabs)
    out = output(as_json=as_json)
    out.line(guard.address, {"address": guard.address})
    out.say("Ctrl-C ends it.")
    if not no_open and has_desktop(os.environ, sys.platform):
        webbrowser.open(guard.address)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, server_header=False))
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    return Exit.DONE


def _tabs(given: Sequence[str]) -> dict[str, str]:
    from whop_user_sync.console.security import origin  # noqa: PLC0415

    tabs = dict(each.partition("=")[::2] for each in given)
    for name, url in tabs.items():
        try:
            known = bool(name and origin(url))
        except ValueError:
            known = False
        if not known:
            raise CommandError("--tab takes a name and a URL: --tab 'Whop=http://127.0.0.1:8000'.")
    return tabs


def _troubleshooting() -> str:
    """docs/troubleshooting.md, which ships with the tool."""
    installed = resources.files("whop_user_sync") / "troubleshooting.md"
    if installed.is_file():
        return installed.read_text()
    checkout = Path(__file__).resolve().parents[2] / "docs" / "troubleshooting.md"
    return checkout.read_text() if checkout.is_file() else ""
