"""`trace` and `tail`: what happened to a user or a delivery, and what happens now."""

import time
from typing import Annotated

import typer

from whop_sync.errors import Transient
from whop_sync.users.directory import Directory
from whop_user_sync.commands.common import (
    CommandError,
    EndpointOption,
    Exit,
    JsonOption,
    ReasonOption,
    RegionOption,
    StackOption,
    UserOption,
    chosen_stack,
    number,
    output,
)
from whop_user_sync.logs import LogLine, Logs
from whop_user_sync.stack import Stack

TRACE_NEEDS = (
    "logs:DescribeLogGroups, logs:StartQuery and logs:GetQueryResults on the log groups of the functions;"
    " dynamodb:GetItem on the table."
)
TAIL_NEEDS = "logs:DescribeLogGroups, logs:StartQuery and logs:GetQueryResults on the log groups of the functions."

DeliveryOption = Annotated[str | None, typer.Option("--delivery", help="A webhook's id, as your platform shows it.")]

_POLL_SECONDS = 2.0
_LATE_SECONDS = 20.0
"""How late CloudWatch may show a line: each look reaches back so far, and a line is printed once."""


def trace(
    *,
    stack: StackOption = None,
    user: UserOption = None,
    delivery: DeliveryOption = None,
    days: Annotated[
        float, typer.Option("--days", parser=number(0.001, 3650), metavar="DAYS", help="How far to look back.")
    ] = 3,
    region: RegionOption = None,
    endpoint_url: EndpointOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show all that happened to a user or a delivery: accepted, rejected, ignored, parked, and each call to Whop."""
    if (user is None) is (delivery is None):
        raise CommandError("Name one: --user ID or --delivery ID.")
    out = output(as_json=as_json)
    chosen = chosen_stack(stack, region, endpoint_url)
    logs = _logs(chosen)
    recorded = _recorded(chosen, user) if user is not None else None
    if recorded:
        out.say(recorded)
    wanted = {"user_id": user} if user is not None else {"event_id": str(delivery), "claimed_event_id": str(delivery)}
    lines = logs.find(wanted, since=time.time() - days * 86400)
    for line in lines:
        out.say(str(line))
    out.document({"recorded": recorded, "lines": [_document(line) for line in lines]})
    if not lines:
        name = f"user {user!a}" if user is not None else f"delivery {delivery!a}"
        out.say(f"No line of the last {days:g} days names {name}.")
        return Exit.ATTENTION
    return Exit.DONE


def tail(
    *,
    stack: StackOption = None,
    user: UserOption = None,
    outcome: Annotated[str | None, typer.Option("--outcome", help="Only lines with this outcome.")] = None,
    reason: ReasonOption = None,
    region: RegionOption = None,
    endpoint_url: EndpointOption = None,
    as_json: JsonOption = False,
) -> int:
    """Follow deliveries, outcomes and calls to Whop as they happen. Ctrl-C ends it."""
    out = output(as_json=as_json)
    logs = _logs(chosen_stack(stack, region, endpoint_url))
    wanted = {name: value for name, value in {"user_id": user, "outcome": outcome, "reason": reason}.items() if value}
    seen: dict[str, float] = {}
    since = time.time() - _LATE_SECONDS
    try:
        while True:
            now = time.time()
            for line in logs.find({}, since=since):
                text = str(line)
                if text not in seen and all(str(line.fields.get(name)) == value for name, value in wanted.items()):
                    out.line(text, _document(line))
                seen[text] = now
            seen = {text: at for text, at in seen.items() if now - at < 2 * _LATE_SECONDS}
            since = now - _LATE_SECONDS
            time.sleep(_POLL_SECONDS)
    except KeyboardInterrupt:
        return Exit.DONE


def _logs(stack: Stack) -> Logs:
    """Raises CommandError if there are none, which else would look like a stack in which nothing happens."""
    logs = Logs(stack)
    if not logs.groups():
        raise CommandError(
            f"There is no stack {stack.name} here: it has no logs. Check its name, AWS_PROFILE and AWS_REGION.",
            Exit.UNAVAILABLE,
        )
    return logs


def _document(line: LogLine) -> dict[str, object]:
    return {"at": line.at, "function": line.function, **dict(line.fields)}


def _recorded(stack: Stack, user_id: str) -> str:
    try:
        entry = Directory(stack.client("dynamodb"), stack.table).entry(user_id)
    except Transient as error:
        return f"The table could not be read: {error.explanation}."
    if entry is None:
        return "Nothing is recorded: no worker has begun with an event about this user."
    whop = f"on Whop {entry.whop_user_id} of {entry.whop_company_id}" if entry.whop_user_id else "not on Whop yet"
    trouble = f", last error {entry.last_error}" if entry.last_error else ""
    return f"Recorded: {entry.status}, {whop}, last touched {entry.updated_at} by {entry.last_event_id}{trouble}."
