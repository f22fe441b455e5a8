"""The command `import`: sends a file of users to a stack, or compares them with what Whop shows."""

import argparse
import itertools
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from whop_sync.assembly import whop_client
from whop_sync.aws.queues import Queue
from whop_sync.config import WHOP_API_URLS, WhopConfig
from whop_sync.errors import Malformed, SyncError, Transient
from whop_sync.events import UserEvent
from whop_sync.importing.rows import Sink, Source
from whop_sync.importing.user_files import LONG_AGO, open_users, rows
from whop_sync.receiving.payloads import microseconds
from whop_sync.users.mappings import Mappings
from whop_user_sync.importing import (
    PAUSE_SECONDS,
    Import,
    NoQueue,
    NotResumableError,
    PacedQueue,
    Progress,
    import_user,
)
from whop_user_sync.reconciliation import Reconciliation

NEEDED = (
    "On the queue user-created: sqs:GetQueueUrl, sqs:GetQueueAttributes and sqs:SendMessage. For --verify also"
    " lambda:GetFunctionConfiguration on the function user-created, secretsmanager:GetSecretValue on the secret"
    " whop-api-key and dynamodb:GetItem on the table, and for --repair dynamodb:UpdateItem."
)


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser("import", help="send users that were there before the webhook, or --verify them")
    command.add_argument("file", type=Path, help="users, as .csv with a header or as .ndjson")
    command.add_argument("--stack", help="name of the deployed stack; a dry run needs none")
    command.add_argument("--endpoint-url", help="in place of AWS, e.g. that of `make up`")
    command.add_argument("--user", help="only this user of your platform")
    command.add_argument(
        "--as-of", type=_moment, default=LONG_AGO, help="when rows without updated_at were true, e.g. 2026-11-01T12:00Z"
    )
    command.add_argument("--dry-run", action="store_true", help="check the file and send nothing")
    command.add_argument("--resume", action="store_true", help="go on where the last run of this file was interrupted")
    command.add_argument("--verify", action="store_true", help="list where Whop shows something else than it was told")
    command.add_argument("--sample", type=int, metavar="N", help="(--verify) only N users, picked at random")
    command.add_argument(
        "--repair", action="store_true", help="(--verify) tell Whop once more, as far as the file knows"
    )


def run(options: argparse.Namespace, clients: dict[str, Any]) -> int:
    """Raises botocore's errors."""
    try:
        _check(options)
        if options.verify:
            return _verify(options, clients)
        if options.user is not None:
            return _import_user(options, clients)
        return _import(options, clients)
    except Transient as error:
        print(f"That cannot be done just now: {error.reason}, {error}.", file=sys.stderr)
    except (OSError, NotResumableError, _UsageError, SyncError) as error:
        print(error, file=sys.stderr)
    return 1


def _moment(text: str) -> str:
    try:
        known = microseconds(text)
    except Malformed:
        known = None
    if known is None or known > (time.time() + 60) * 1_000_000:
        raise argparse.ArgumentTypeError("must be a time in the past, such as 2026-11-01T12:00Z")
    return text


class _UsageError(Exception):
    """Options that do not go together."""


def _check(options: argparse.Namespace) -> None:
    if options.stack is None and not options.dry_run:
        raise _UsageError("Which stack? Say --stack NAME, or --dry-run to check the file only.")
    if options.verify and (options.dry_run or options.resume):
        raise _UsageError("--verify sends nothing by itself, so --dry-run and --resume do not go with it.")
    if (options.repair or options.sample is not None) and not options.verify:
        raise _UsageError("--sample and --repair go with --verify.")
    if options.sample is not None and options.sample < 1:
        raise _UsageError("--sample must be 1 or more.")


def _queue(options: argparse.Namespace, clients: dict[str, Any]) -> Queue:
    sqs = boto3.client("sqs", **clients)
    return Queue(sqs, sqs.get_queue_url(QueueName=f"{options.stack}-user-created")["QueueUrl"])


def _sink(options: argparse.Namespace, clients: dict[str, Any], progress: Progress) -> Sink:
    def wait(waiting: int) -> None:
        progress(f"{waiting:,} events wait in the queue: pausing, since new sign-ups wait there too")
        time.sleep(PAUSE_SECONDS)

    return NoQueue() if options.dry_run else PacedQueue(queue=_queue(options, clients), wait=wait)


def _import(options: argparse.Namespace, clients: dict[str, Any]) -> int:
    progress = Progress()
    run = Import(
        options.file, _sink(options, clients, progress), as_of=options.as_of, dry=options.dry_run, tell=progress
    )
    if options.resume:
        run.resume()
    try:
        state = run.run()
    except (KeyboardInterrupt, SyncError, ClientError) as error:
        progress.end()
        if not isinstance(error, Malformed) and not options.dry_run:
            print(f"Stopped: {run.state}. Go on with --resume.", file=sys.stderr)
        if isinstance(error, KeyboardInterrupt):
            return 130
        raise
    progress.end()
    return _told(state.sent, state.rejected, options, rejected_file=run.rejected_file)


def _import_user(options: argparse.Namespace, clients: dict[str, Any]) -> int:
    sink = _sink(options, clients, Progress())
    chunks = list(import_user(options.file, options.user, sink, as_of=options.as_of))
    for rejection in itertools.chain.from_iterable(chunk.rejections for chunk in chunks):
        print(rejection.to_json())
    if not chunks:
        print(f"{options.file} has no row of this user.", file=sys.stderr)
        return 1
    return _told(sum(chunk.sent for chunk in chunks), sum(len(chunk.rejections) for chunk in chunks), options)


def _told(sent: int, rejected: int, options: argparse.Namespace, *, rejected_file: Path | None = None) -> int:
    what = "would be sent" if options.dry_run else "sent"
    where = f": {rejected_file} says which and why" if rejected and rejected_file else ""
    print(f"{sent:,} {what}, {rejected:,} rejected{where}.")
    return 1 if rejected else 0


# -- comparing -----------------------------------------------------------------------------------------------------


def _verify(options: argparse.Namespace, clients: dict[str, Any]) -> int:
    reconciliation = _reconciliation(options, clients)
    progress = Progress()
    unreadable: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    users = 0
    for event in _events(options, unreadable):
        users += 1
        for drift in reconciliation.drifts(event):
            if not options.repair:
                outcome = "can be repaired" if drift.cure else "the file does not know better"
            elif drift.cure is None:
                outcome = "not repaired, the file does not know better"
            else:
                outcome = "on its way" if reconciliation.repair(drift) else "not repaired, it is changing just now"
            outcomes[outcome] += 1
            print(f"{ascii(drift.user_id)[1:-1]}\t{drift.kind}\t{outcome}", flush=True)
        progress(f"{users:,} users compared")
    progress.end()
    told = ", ".join(f"{count:,} {outcome}" for outcome, count in outcomes.most_common()) or "no drift"
    print(f"{users:,} users compared: {told}.", file=sys.stderr)
    if unreadable:
        print(f"{unreadable.total():,} rows cannot be read: --dry-run tells why.", file=sys.stderr)
    return 0 if set(outcomes) <= {"on its way"} else 1


def _events(options: argparse.Namespace, unreadable: Counter[str]) -> Iterable[UserEvent]:
    found = _all_events(options, unreadable)
    return found if options.sample is None else _sample(found, options.sample)


def _all_events(options: argparse.Namespace, unreadable: Counter[str]) -> Iterator[UserEvent]:
    with options.file.open("rb") as stream:
        form, start = open_users(stream, options.file.name)
        source = Source(form=form, name=options.file.name, as_of=options.as_of)
        for row in rows(stream, form, start):
            try:
                event = source.event(row, time.time())
            except Malformed as error:
                unreadable[error.reason] += 1
                continue
            if options.user in (None, event.user_id):
                yield event


def _sample(events: Iterable[UserEvent], size: int) -> list[UserEvent]:
    """As many, each with the same chance, without holding more than these."""
    chosen: list[UserEvent] = []
    for index, event in enumerate(events):
        if index < size:
            chosen.append(event)
        elif (place := random.randrange(index + 1)) < size:  # noqa: S311 - not for secrets
            chosen[place] = event
    return chosen


def _reconciliation(options: argparse.Namespace, clients: dict[str, Any]) -> Reconciliation:
    queue = _queue(options, clients)
    functions = boto3.client("lambda", **clients)
    worker = functions.get_function_configuration(FunctionName=f"{options.stack}-user-created")
    settings = worker["Environment"]["Variables"]
    whop = WhopConfig(
        api_url=settings.get("WHOP_API_URL") or WHOP_API_URLS[settings["WHOP_ENVIRONMENT"]],
        enrollment=settings["WHOP_ENROLLMENT"],
        api_version=settings["WHOP_API_VERSION"],
        api_key_arn=settings["WHOP_API_KEY_ARN"],
        company_id=settings["WHOP_COMPANY_ID"],
    )
    return Reconciliation(
        whop=whop_client(whop, boto3.client("secretsmanager", **clients)),
        company=whop.company_id,
        mappings=Mappings(boto3.client("dynamodb", **clients), settings["USER_MAPPINGS_TABLE"], time.time),
        queue=queue,
        sleep=time.sleep,
    )
