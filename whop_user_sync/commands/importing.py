"""`import` and `verify`: users who were there before the webhook, and whether Whop shows what was sent for them."""

import itertools
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError

from whop_sync.aws.queues import Queue
from whop_sync.errors import Malformed, OperatorNeeded, Permanent, Reason, Transient
from whop_sync.events import UserEvent
from whop_sync.importing.rows import Sink, Source
from whop_sync.importing.user_files import COLUMNS, LONG_AGO, open_users, rows
from whop_sync.values import microseconds
from whop_user_sync.charts import can_be_drawn
from whop_user_sync.commands.common import (
    CommandError,
    EndpointOption,
    Exit,
    Interrupted,
    JsonOption,
    RegionOption,
    StackOption,
    UserOption,
    chosen_stack,
    output,
)
from whop_user_sync.import_course import Course, draw
from whop_user_sync.importing import (
    PAUSE_SECONDS,
    Import,
    NoQueue,
    PacedQueue,
    Progress,
    import_user,
)
from whop_user_sync.output import Output
from whop_user_sync.reconciliation import Drift, Reconciliation
from whop_user_sync.stack import Stack, whop_config

IMPORT_NEEDS = "On the queue user-created: sqs:GetQueueUrl, sqs:GetQueueAttributes and sqs:SendMessage."
VERIFY_NEEDS = (
    f"{IMPORT_NEEDS} Also lambda:GetFunctionConfiguration on the function user-created, secretsmanager:GetSecretValue"
    " on the secret whop-api-key and dynamodb:GetItem on the table, and for --repair dynamodb:UpdateItem."
)

MAIL_NOTICE = (
    "Whop may write to everyone who is enrolled: account set-up and payment notices go to the e-mail address of the"
    " account's owner, and no documented switch turns them off. Try it first with one address of your own: --user ID."
)
"""The notices are documented (https://docs.whop.com, enrolling accounts); which mails a plain create sends is not."""

FileArgument = Annotated[Path, typer.Argument(help="Users, as .csv with a header or as .ndjson; - for standard input.")]


def _moment(text: str) -> str:
    try:
        known = microseconds(text)
    except Malformed:
        known = None
    if known is None or known > (time.time() + 60) * 1_000_000:
        raise typer.BadParameter("must be a time in the past, such as 2026-11-01T12:00Z")
    return text


AsOfOption = Annotated[
    str,
    typer.Option("--as-of", parser=_moment, metavar="TIME", help="When rows without updated_at were true."),
]


def import_users(
    *,
    file: FileArgument,
    stack: StackOption = None,
    user: UserOption = None,
    as_of: AsOfOption = LONG_AGO,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the file and send nothing.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run of this file.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew although a run was interrupted.")] = False,
    chart: Annotated[
        Path | None, typer.Option("--chart", metavar="FILE.svg", help="Draw how it went.", show_default=False)
    ] = None,
    region: RegionOption = None,
    endpoint_url: EndpointOption = None,
    as_json: JsonOption = False,
) -> int:
    """Send a file of users to the stack. Exit status 1 if rows were rejected."""
    out = output(as_json=as_json)
    _ensure_drawable(chart, user)
    target = None if dry_run else chosen_stack(stack, region, endpoint_url)
    with _readable(file, resumable=not dry_run) as readable:
        progress, course = Progress(), Course()
        sink = _sink(target, progress, course)
        _warn_of_unread(out, readable)
        if user is not None:
            return _import_one(out, readable, user, sink, as_of, dry_run=dry_run)
        run = Import(readable, sink, as_of=as_of, dry=dry_run, report=progress, course=course)
        if resume:
            run.resume()
        elif run.is_interrupted and not (dry_run or restart):
            raise CommandError(
                f"A run of {file} was interrupted: continue it with --resume, or begin anew with --restart."
                " Rows that are sent twice change nothing."
            )
        if target:
            out.warn(MAIL_NOTICE)
        try:
            with _drawn(course, chart):
                state = run.run()
        except KeyboardInterrupt:
            progress.end()
            raise Interrupted("Interrupted." if dry_run else f"Stopped: {run.state}. Continue with --resume.") from None
        except (Transient, ClientError, BotoCoreError):
            progress.end()
            if not dry_run:
                out.warn(f"Stopped: {run.state}. Continue with --resume.")
            raise
        progress.end()
        _summarize(
            out, state.sent, state.rejected, run.reasons, run.rejected_file, people=run.people if dry_run else None
        )
        return Exit.ATTENTION if state.rejected else Exit.DONE


def verify(
    *,
    file: FileArgument,
    stack: StackOption = None,
    user: UserOption = None,
    as_of: AsOfOption = LONG_AGO,
    sample: Annotated[int | None, typer.Option("--sample", min=1, help="Only N users, picked at random.")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Send again what differs.")] = False,
    region: RegionOption = None,
    endpoint_url: EndpointOption = None,
    as_json: JsonOption = False,
) -> int:
    """Compare what Whop shows with what was sent. Exit status 1 while anything differs and is not being repaired."""
    out = output(as_json=as_json)
    target = chosen_stack(stack, region, endpoint_url)
    progress = Progress()
    unreadable: Counter[str] = Counter()
    found: list[tuple[Drift, str]] = []
    users = 0
    halted = threading.Event()
    with _readable(file, resumable=False) as readable:
        with readable.open("rb") as stream:
            open_users(stream, readable.name)  # before AWS and Whop are asked
        reconciliation = _reconciliation(target, out, halted)
        events = (each for each in _events(readable, as_of, unreadable) if user in (None, each.user_id))
        try:
            for drifts in _compared(reconciliation, events if sample is None else _sample(events, sample), halted):
                users += 1
                for drift in drifts:
                    found.append((drift, _repaired(reconciliation, drift) if repair else _repairable(drift)))
                    out.say(f"{drift.user_id}\t{drift.kind}\t{found[-1][1]}")
                progress(f"{users:,} users compared", done=users)
        except KeyboardInterrupt:
            sent = sum(outcome == _ON_ITS_WAY for _, outcome in found)
            repaired = f", {sent:,} repairs of which are on their way" if repair else ", and nothing was changed"
            raise Interrupted(f"Interrupted after {_users(users)}{repaired}.") from None
        finally:
            progress.end()
    outcomes = Counter(outcome for _, outcome in found)
    kinds = Counter(drift.kind for drift, _ in found)
    out.document(
        {
            "compared": users,
            "by_kind": kinds,
            "drifts": [{"user_id": drift.user_id, "kind": drift.kind, "outcome": outcome} for drift, outcome in found],
            "unreadable": unreadable,
        }
    )
    summary = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common()) or "no drift"
    out.say(f"{_users(users)} compared: {summary}.")
    if unreadable:
        rows_left = "1 row" if unreadable.total() == 1 else f"{unreadable.total():,} rows"
        out.say(f"{rows_left} cannot be read: import --dry-run says why.")
    return Exit.DONE if set(outcomes) <= {_ON_ITS_WAY} else Exit.ATTENTION


def _users(number: int) -> str:
    return "1 user" if number == 1 else f"{number:,} users"


_AT_ONCE = 4
"""Users that are compared side by side. With calls of a third of a second they stay within Whop's limit of 600 calls a
minute; quicker ones meet it and wait as it says."""


def _compared(
    reconciliation: Reconciliation, events: Iterable[UserEvent], halted: threading.Event
) -> Iterator[list[Drift]]:
    """The drifts of each user, in the order of the file. Sets `halted` when it ends, also where it does so early."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            for some in itertools.batched(events, _AT_ONCE, strict=False):
                yield from pool.map(lambda event: list(reconciliation.drifts(event)), some)
        finally:
            halted.set()


_ON_ITS_WAY = "on its way"


def _repairable(drift: Drift) -> str:
    return "can be repaired" if drift.cure else "the file does not know better"


def _repaired(reconciliation: Reconciliation, drift: Drift) -> str:
    if drift.cure is None:
        return "not repaired, the file does not know better"
    return _ON_ITS_WAY if reconciliation.repair(drift) else "not repaired, it is changing just now"


@contextmanager
def _readable(file: Path, *, resumable: bool) -> Iterator[Path]:
    """The file, as one that can be read from its start. Raises CommandError with the reason why it cannot be read."""
    if str(file) == "-":
        if resumable and sys.stdin.isatty():
            raise CommandError("Standard input is a terminal: name a file, or pipe one in.")
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "stdin.ndjson"
            content = sys.stdin.buffer.read()
            if not content.lstrip().startswith(b"{"):
                copy = copy.with_suffix(".csv")
            copy.write_bytes(content)
            yield copy
        return
    if str(file) == ".":  # as Typer reads an empty text
        raise CommandError("Which file? Name a file of users, for make as FILE=users.csv, or - for standard input.")
    if not file.exists():
        raise CommandError(f"There is no file {file}.")
    if file.is_dir():
        raise CommandError(f"{file} is a directory: name a file of users.")
    if not file.stat().st_size:
        raise CommandError(f"{file} is empty.")
    try:
        file.open("rb").close()
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from None
    yield file


def _warn_of_unread(out: Output, file: Path) -> None:
    """A column of names that is called otherwise would be left out in silence. Raises Malformed."""
    with file.open("rb") as stream:
        columns = open_users(stream, file.name)[0].columns or ()
    if unread := [column for column in columns if column and column not in COLUMNS]:
        out.warn(f"Columns that are not read: {', '.join(unread)}. Those that are: {', '.join(COLUMNS)}.")


def _ensure_drawable(chart: Path | None, user: str | None) -> None:
    """Before anything is sent. Raises CommandError."""
    if chart is None:
        return
    if user is not None:
        raise CommandError("--chart draws the import of a whole file: leave out --user or --chart.")
    if chart.suffix != ".svg":
        raise CommandError(f"{chart} must end with .svg: that is what is drawn.")
    if not chart.parent.is_dir():
        raise CommandError(f"There is no folder {chart.parent}.")
    if not can_be_drawn():
        raise CommandError(
            "Charts are drawn by matplotlib, which is not installed here. Install the command with [charts]."
        )


@contextmanager
def _drawn(course: Course, chart: Path | None) -> Iterator[None]:
    """Draws a run also if it did not come to its end."""
    try:
        yield
    finally:
        if chart is not None:
            draw(chart, course)


def _sink(stack: Stack | None, progress: Progress, course: Course) -> Sink:
    if stack is None:
        return NoQueue()

    def wait(waiting: int) -> None:
        progress(f"{waiting:,} events wait in the queue: pausing, since new sign-ups wait there too")
        time.sleep(PAUSE_SECONDS)

    sqs = stack.client("sqs")
    return PacedQueue(queue=Queue(sqs, stack.queue_url(sqs, "user-created")), wait=wait, course=course)


def _import_one(out: Output, file: Path, user: str, sink: Sink, as_of: str, *, dry_run: bool) -> int:
    chunks = list(import_user(file, user, sink, as_of=as_of))
    rejections = list(itertools.chain.from_iterable(chunk.rejections for chunk in chunks))
    for rejection in rejections:
        out.say(rejection.to_json())
    if not chunks:
        raise CommandError(f"{file} has no row of this user.", Exit.ATTENTION)
    reasons = Counter(rejection.reason for rejection in rejections)
    sent, people = sum(chunk.sent for chunk in chunks), chunks[-1].people
    _summarize(out, sent, len(rejections), reasons, None, people=people if dry_run else None)
    return Exit.ATTENTION if rejections else Exit.DONE


def _summarize(
    out: Output,
    sent: int,
    rejected: int,
    reasons: Counter[Reason],
    rejected_file: Path | None,
    *,
    people: int | None,
) -> None:
    """`people` is how many would be enrolled by their e-mail, None where this is no dry run."""
    what = "sent" if people is None else "would be sent"
    why = f" ({', '.join(f'{count:,} {reason}' for reason, count in reasons.most_common())})" if reasons else ""
    where = f": {rejected_file} says which and why" if rejected and rejected_file else ""
    out.say(f"{sent:,} {what}, {rejected:,} rejected{why}{where}.")
    if people:
        who = "1 person" if people == 1 else f"{people:,} people"
        out.say(f"That would enroll {who}, less those who are enrolled already. {MAIL_NOTICE}")
    counts = {"sent": sent} if people is None else {"sent": 0, "would_be_sent": sent, "people": people}
    out.document({**counts, "rejected": rejected, "by_reason": reasons})


def _events(file: Path, as_of: str, unreadable: Counter[str]) -> Iterator[UserEvent]:
    with file.open("rb") as stream:
        file_format, start = open_users(stream, file.name)
        source = Source(format=file_format, name=file.name, as_of=as_of)
        for row in rows(stream, file_format, start):
            try:
                yield source.event(row, time.time())
            except Malformed as error:
                unreadable[error.reason] += 1


def _sample(events: Iterable[UserEvent], size: int) -> list[UserEvent]:
    """As many, each with the same chance, without holding more than these (reservoir sampling)."""
    chosen: list[UserEvent] = []
    for index, event in enumerate(events):
        if index < size:
            chosen.append(event)
        elif (place := random.randrange(index + 1)) < size:  # noqa: S311 - not for secrets
            chosen[place] = event
    return chosen


def _reconciliation(stack: Stack, out: Output, halted: threading.Event) -> Reconciliation:
    # Imported late: a command that never calls Whop starts quicker.
    from whop_sync.users.mappings import Mappings  # noqa: PLC0415

    def sleep(seconds: float) -> None:
        if halted.wait(seconds):  # Ctrl-C reaches one thread, and is not to wait for the others
            raise Interrupted("Interrupted.")

    sqs = stack.client("sqs")
    queue = Queue(sqs, stack.queue_url(sqs, "user-created"))
    settings = stack.settings()
    config = whop_config(settings)
    whop = stack.whop_client(config)
    title_format: str | None = settings["TITLE_FORMAT"]
    try:
        whop.account(config.company_id)
    except (OperatorNeeded, Permanent):
        title_format = None
        out.warn(
            "The titles of accounts are not compared: the API key may not read accounts (it takes company:basic:read"
            " for /companies, company:balance:read for /accounts)."
        )
    return Reconciliation(
        whop=whop,
        company=config.company_id,
        mappings=Mappings(stack.client("dynamodb"), settings["USER_MAPPINGS_TABLE"], time.time),
        queue=queue,
        title_format=title_format,
        sleep=sleep,
    )
