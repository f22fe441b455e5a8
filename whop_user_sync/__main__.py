"""Lists a stack's parked events, sends them round again, tells all that happened to a user, or imports users that
were there before the webhook.

`python -m whop_user_sync parked | redrive | trace --user ID | import FILE --stack NAME`

It goes by the AWS credentials and region of its environment, like the AWS command line.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
)

from whop_user_sync import import_users, trace
from whop_user_sync.parked import HOLD_SECONDS, Outcome, Parked, ParkedEvents

_AWS = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "max_attempts": 3})
_MAY_NOT = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError")
_SIGNED_OUT = ("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException")
_NEEDED = {
    "parked": "On the three parked queues: sqs:GetQueueUrl, sqs:GetQueueAttributes, sqs:ReceiveMessage and"
    " sqs:ChangeMessageVisibility.",
    "redrive": "On the three parked queues: sqs:GetQueueUrl, sqs:GetQueueAttributes, sqs:ReceiveMessage,"
    " sqs:ChangeMessageVisibility and sqs:DeleteMessage; on the workers' queues: sqs:GetQueueUrl and sqs:SendMessage;"
    " on the function receive-webhook: lambda:InvokeFunction.",
    "import": import_users.NEEDED,
    "trace": trace.NEEDED,
}
_TOLD: dict[Outcome, str] = {
    "sent": "sent round again",
    "ignored": "none of our business any more, deleted",
    "unreadable": "still not readable, still parked",
    "failed": "not taken by the receiver just now, still parked",
}


def main() -> int:
    options = _parser().parse_args()
    try:
        return _run(options)
    except (ClientError, BotoCoreError) as error:
        print(_explained(error, options), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. What was not sent round is parked as before.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m whop_user_sync", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    parked = commands.add_parser("parked", help="list parked events with user, reason and age")
    redrive = commands.add_parser("redrive", help="send parked events round again")
    for command in (parked, redrive):
        command.add_argument("--stack", required=True, help="name of the deployed stack")
        command.add_argument("--user", help="only the events of this user of your platform")
        command.add_argument("--reason", help="only the events that were parked for this reason")
        command.add_argument("--endpoint-url", help="in place of AWS, e.g. that of `make up`")
    import_users.add_to(commands)
    trace.add_to(commands)
    parked.add_argument("--show-body", action="store_true", help="show contents too, which are personal data")
    return parser


def _run(options: argparse.Namespace) -> int:
    clients = {"endpoint_url": options.endpoint_url, "config": _AWS}
    if options.command == "import":
        return import_users.run(options, clients)
    if options.command == "trace":
        for line in trace.run(options, clients):
            print(line)
        return 0
    stack = ParkedEvents(options.stack, boto3.client("sqs", **clients), boto3.client("lambda", **clients))
    hidden = stack.hidden()
    with stack.held() as events:
        chosen = [
            event
            for event in events
            if options.user in (None, event.user_id) and options.reason in (None, event.reason)
        ]
        if not chosen:
            print(f"Nothing is parked{_filters(options)}.")
            done = True
        elif options.command == "parked":
            _list(chosen, show_body=options.show_body)
            done = True
        else:
            done = _redrive(stack, chosen)
    if hidden:
        print(
            f"About {hidden} more are held by another run, or by one that died: they show in {HOLD_SECONDS // 60} min."
        )
    return 0 if done else 1


def _filters(options: argparse.Namespace) -> str:
    user = f" for user {options.user}" if options.user else ""
    return user + (f" with reason {options.reason}" if options.reason else "")


def _list(events: Sequence[Parked], *, show_body: bool) -> None:
    head = ("age", "user", "reason", "queue", "event", "explanation")
    now = time.time()
    rows = [
        (_age(now - event.sent_at), event.user_id or "-", event.reason, event.queue, event.event_id, event.explanation)
        for event in events
    ]
    cells = [head, *(tuple(map(_printable, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    print(lines[0])
    for line, event in zip(lines[1:], events, strict=True):
        print(line)
        if show_body:
            if event.whop_message:
                print(f"    Whop: {_printable(event.whop_message)}")
            print(f"    {_printable(event.text)}")
    reasons = Counter(event.reason for event in events)
    told = ", ".join(f"{count} {_printable(reason)}" for reason, count in reasons.most_common())
    print(f"\n{len(events)} parked: {told}. SQS keeps them for 14 days.")


def _redrive(stack: ParkedEvents, events: Sequence[Parked]) -> bool:
    """Whether every event was taken or is known to be of no use as it is."""
    outcomes = Counter(outcome for _, outcome in stack.send_round(events))
    for outcome, count in outcomes.items():
        print(f"{count} {_TOLD[outcome]}")
    return "failed" not in outcomes


def _age(seconds: float) -> str:
    minutes, _ = divmod(max(int(seconds), 0), 60)
    if minutes < 1:
        return f"{max(int(seconds), 0)} s"
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _printable(text: str) -> str:
    """What others wrote must not move the cursor of whoever reads it."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _explained(error: ClientError | BotoCoreError, options: argparse.Namespace) -> str:  # noqa: PLR0911 - a table
    where = "Check the name of the stack, AWS_PROFILE and AWS_REGION."
    match error:
        case NoCredentialsError() | NoRegionError():
            return f"{error} Sign in to AWS first: AWS_PROFILE, AWS_REGION or their like are not set."
        case EndpointConnectionError():
            return f"{error} Is it running?"
        case ClientError():
            code, operation = error.response["Error"]["Code"], error.operation_name
            if "NonExistentQueue" in code or "QueueDoesNotExist" in code:
                return f"There is no stack {options.stack} here: its queues do not exist. {where}"
            if code == "ResourceNotFoundException":
                return f"There is no function {options.stack}-receive-webhook here. {where}"
            if code in _MAY_NOT:
                return f"You are not allowed to {operation}. This command needs: {_NEEDED[options.command]}"
            if code in _SIGNED_OUT:
                return f"AWS does not take these credentials ({code}): sign in again."
            return f"AWS refused {operation}: {code}. What was not sent round is parked as before."
        case _:
            return f"{error} What was not sent round is parked as before."


if __name__ == "__main__":
    sys.exit(main())
