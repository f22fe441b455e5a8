"""The command `trace`: all that happened to one user or one delivery, from every function's log, in order of time."""

import argparse
import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3

from whop_sync.errors import Transient
from whop_sync.users.directory import Directory

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient

NEEDED = (
    "logs:DescribeLogGroups; on the log groups of the functions: logs:FilterLogEvents; on the table: dynamodb:GetItem."
)

_SHOWN = (
    *("outcome", "kind", "reason", "operation", "whop_status", "whop_code", "whop_request_id", "milliseconds"),
    *("retry_in_seconds", "error", "places", "explanation", "event_id", "user_id"),
)
"""What is told of a line, in this order, where the line has it."""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser("trace", help="show all that happened to a user or a delivery")
    command.add_argument("--stack", required=True, help="name of the deployed stack")
    about = command.add_mutually_exclusive_group(required=True)
    about.add_argument("--user", help="a user's id on your platform")
    about.add_argument("--delivery", help="a webhook's id, as your platform shows it")
    command.add_argument("--days", type=float, default=3, help="how far to look back (default 3)")
    command.add_argument("--endpoint-url", help="in place of AWS, e.g. that of `make up`")


def run(options: argparse.Namespace, clients: dict[str, Any]) -> Iterator[str]:
    """What to show, line by line. Raises the AWS SDK's errors."""
    if options.user:
        yield _recorded(Directory(boto3.client("dynamodb", **clients), f"{options.stack}-user-mappings"), options.user)
    field, value = ("user_id", options.user) if options.user else ("event_id", options.delivery)
    logs = boto3.client("logs", **clients)
    prefix = f"/aws/lambda/{options.stack}-"
    pages = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix)
    groups = [group["logGroupName"] for page in pages for group in page["logGroups"]]
    if not groups:
        yield f"There is no stack {options.stack} here: it has no logs. Check its name, AWS_PROFILE and AWS_REGION."
        return
    since = time.time() - options.days * 86400
    lines = [(group, line) for group in groups for line in _lines(logs, group, field, value, since=since)]
    for group, line in sorted(lines, key=lambda told: str(told[1]["timestamp"])):
        facts = [f"{name}={json.dumps(line[name])}" for name in _SHOWN if name in line and name != field]
        yield " ".join([f"{line['timestamp']}  {group.removeprefix(prefix)}: {line['message']}", *facts])
    if not lines:
        yield f"No line of the last {options.days:g} days speaks of {field} {value!a}."


def _recorded(directory: Directory, user_id: str) -> str:
    try:
        entry = directory.entry(user_id)
    except Transient as error:
        return f"The table could not be read: {error.explanation}."
    if entry is None:
        return "Nothing is recorded: no worker has begun with an event about this user."
    whop = f"on Whop {entry.whop_user_id} of {entry.whop_company_id}" if entry.whop_user_id else "not on Whop yet"
    trouble = f", last error {entry.last_error}" if entry.last_error else ""
    return f"Recorded: {entry.status}, {whop}, last touched {entry.updated_at} by {entry.last_event_id}{trouble}."


def _lines(
    logs: "CloudWatchLogsClient", group: str, field: str, value: str, *, since: float
) -> Iterator[dict[str, Any]]:
    """Each line about the one who is sought."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=group, startTime=int(since * 1000), filterPattern=f'{{ $.{field} = "{escaped}" }}'
    )
    for page in pages:
        for event in page["events"]:
            # The pattern takes a * for anything, an id may hold one, and a local engine lets every line pass.
            line = json.loads(event["message"]) if event["message"].startswith("{") else {}
            if line.get(field) == value:
                yield line
