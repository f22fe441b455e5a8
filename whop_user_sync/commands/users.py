"""`users`: what is recorded about users, as a list, one by one, and as a file of mappings."""

import csv
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, TextIO

import typer

from whop_sync.users.directory import Directory, Entry, OwnedAccount
from whop_sync.users.mappings import Mappings
from whop_user_sync.commands.common import (
    CommandError,
    EndpointOption,
    Exit,
    Interrupted,
    JsonOption,
    ReasonOption,
    RegionOption,
    StackOption,
    chosen_stack,
    output,
)
from whop_user_sync.importing import Progress
from whop_user_sync.output import age

LIST_NEEDS = "dynamodb:Scan on the table."
FILL_NEEDS = "dynamodb:Scan, dynamodb:GetItem, dynamodb:PutItem and dynamodb:ConditionCheckItem on the table."
SHOW_NEEDS = "dynamodb:GetItem on the table."

COLUMNS = ("user_id", "status", "standing", "whop_user_id", "whop_company_id", "last_error", "created_at", "updated_at")
"""Of an export: identifiers, words and times. The table holds no name and no e-mail."""

_DURATION = re.compile(r"(\d{1,6})(min|h|d)")
_UNITS = {"min": "minutes", "h": "hours", "d": "days"}


def _duration(text: str) -> timedelta:
    found = _DURATION.fullmatch(text)
    if not found:
        raise typer.BadParameter("must be a number with min, h or d, such as 90min or 3d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


OlderThanOption = Annotated[
    timedelta | None,
    typer.Option("--older-than", parser=_duration, metavar="AGE", help="Only rows untouched for 90min, 12h, 3d …"),
]
StatusOption = Annotated[str | None, typer.Option("--status", help="enrolling, synced, failed, no_email or deleted.")]
StandingOption = Annotated[str | None, typer.Option("--standing", help="active, suspended or deleted.")]


def list_users(
    *,
    stack: StackOption = None,
    status: StatusOption = None,
    standing: StandingOption = None,
    reason: ReasonOption = None,
    older_than: OlderThanOption = None,
    region: RegionOption = None,
    endpoint_url: EndpointOption = None,
    as_json: JsonOption = False,
) -> int:
    """List users by status, standing, reason and age. Reads the whole table."""
    out = output(as_json=as_json)
    chosen = chosen_stack(stack, region, endpoint_url)
    found = list(_chosen(Directory(chosen.client("dynamodb"), chosen.table), status, standing, reason, older_than))
    found.sort(key=lambda entry: entry.updated_at or "")
    out.document([asdict(entry) for entry in found])
    if not found:
        out.say("No user fits.")
        return Exit.DONE
    now = time.time()
    columns = ("user", "status", "standing", "Whop user", "last error", "untouched for")
    out.table(
        columns,
        [
            (
                entry.user_id,
                entry.status,
                entry.standing,
                entry.whop_user_id or "-",
                entry.last_error or "-",
                age(now - _seconds(entry.updated_at)),
            )
            for entry in found
        ],
    )
    counts = ", ".join(f"{count:,} {name}" for name, count in Counter(each.status for each in found).most_common())
    out.say(f"\n{len(found):,} users: {counts}.")
    return Exit.DONE


def show(
    *,
    user_id: Annotated[str, typer.Argument(help="The user's id on your platform, or a Whop user's: user_….")],
    stack: StackOption = None,
    region: RegionOption = None,
    endpoint_url: EndpointOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show what is recorded about one user, as the look-up answers it. Exit status 1 if nothing is."""
    out = output(as_json=as_json)
    chosen = chosen_stack(stack, region, endpoint_url)
    directory = Directory(chosen.client("dynamodb"), chosen.table)
    entry = directory.entry(user_id)
    if entry is None and (owner := directory.user_of(user_id)) is not None:
        entry = directory.entry(owner)
    if entry is None:
        raise CommandError("Nothing is recorded: no worker has begun with an event about this user.", Exit.ATTENTION)
    out.document(asdict(entry))
    for name, value in asdict(entry).items():
        out.say(f"{name:16}{'-' if value is None else value if isinstance(value, str) else json.dumps(value)}")
    return Exit.DONE


def export(
    *,
    form: Annotated[Literal["csv", "ndjson"], typer.Option("--format", help="csv or ndjson.")] = "csv",
    to: Annotated[Path | None, typer.Option("--output", help="A new file; without it, standard output.")] = None,
    stack: StackOption = None,
    status: StatusOption = None,
    standing: StandingOption = None,
    reason: ReasonOption = None,
    older_than: OlderThanOption = None,
    region: RegionOption = None,
    endpoint_url: EndpointOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format ndjson.")] = False,
) -> int:
    """Write the mappings of users as CSV or NDJSON. Reads the whole table."""
    form = "ndjson" if as_json else form
    chosen = chosen_stack(stack, region, endpoint_url)
    directory = Directory(chosen.client("dynamodb"), chosen.table)
    written = 0
    with _writable(to) as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        if form == "csv":
            writer.writeheader()
        for entry in _chosen(directory, status, standing, reason, older_than):
            row = {name: getattr(entry, name) for name in COLUMNS}
            if form == "csv":
                writer.writerow(row)
            else:
                stream.write(json.dumps(row) + "\n")
            written += 1
    if to:
        out = output(as_json=as_json)
        out.say(f"{written:,} users written to {to}.")
        out.document({"written": written, "file": str(to)})
    return Exit.DONE


def fill_accounts(
    *,
    stack: StackOption = None,
    region: RegionOption = None,
    endpoint_url: EndpointOption = None,
    as_json: JsonOption = False,
) -> int:
    """Let the connected accounts of rows from before be looked up. Reads the whole table; safe to run again."""
    out = output(as_json=as_json)
    chosen = chosen_stack(stack, region, endpoint_url)
    client, table = chosen.client("dynamodb"), chosen.table
    directory, mappings = Directory(client, table), Mappings(client, table, time.time)
    progress = Progress()
    counts: Counter[AccountOutcome] = Counter()
    disputed: list[OwnedAccount] = []
    try:
        for account in _living_first(directory.accounts()):
            outcome = _filled(account, directory, mappings)
            counts[outcome] += 1
            if outcome == "of another user":
                disputed.append(account)
            progress(f"{counts.total():,} accounts looked at", done=counts.total())
    except KeyboardInterrupt:
        raise Interrupted(f"Interrupted after {counts.total():,} accounts: run it again.") from None
    finally:
        progress.end()
    for account in disputed:
        out.say(f"{account.company_id}\t{account.user_id}\tbelongs to another user by its item, which was kept")
    out.say(", ".join(f"{counts[outcome]:,} {outcome}" for outcome in _ACCOUNT_OUTCOMES) + ".")
    out.document(
        {
            "written": counts["written"],
            "there": counts["there already"],
            "changing": counts["changing just now"],
            "disputed": [{"whop_company_id": each.company_id, "user_id": each.user_id} for each in disputed],
        }
    )
    return Exit.ATTENTION if disputed or counts["changing just now"] else Exit.DONE


type AccountOutcome = Literal["written", "there already", "changing just now", "of another user"]

_ACCOUNT_OUTCOMES: tuple[AccountOutcome, ...] = ("written", "there already", "changing just now", "of another user")


def _living_first(accounts: Iterator[OwnedAccount]) -> Iterator[OwnedAccount]:
    """Where a deleted user and a living one name one account, it is the living one's."""
    former: list[OwnedAccount] = []
    for account in accounts:
        if account.former:
            former.append(account)
        else:
            yield account
    yield from former


def _filled(account: OwnedAccount, directory: Directory, mappings: Mappings) -> AccountOutcome:
    owner = directory.user_of_account(account.company_id)
    if owner is None:
        return "written" if mappings.record_owner(account.user_id, account.company_id) else "changing just now"
    return "there already" if owner == account.user_id or account.former else "of another user"


def _chosen(
    directory: Directory, status: str | None, standing: str | None, reason: str | None, older_than: timedelta | None
) -> Iterator[Entry]:
    latest = None if older_than is None else time.time() - older_than.total_seconds()
    for entry in directory.entries():
        if (
            status in (None, entry.status)
            and standing in (None, entry.standing)
            and reason in (None, entry.last_error)
            and (latest is None or _seconds(entry.updated_at) <= latest)
        ):
            yield entry


@contextmanager
def _writable(path: Path | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout
        return
    try:
        stream = path.open("x", encoding="utf-8", newline="")
    except FileExistsError:
        raise CommandError(f"{path} exists already: name a new file.") from None
    try:
        with stream:
            yield stream
    except BaseException:
        path.unlink()  # half an export looks like a whole one
        raise


def _seconds(moment: str | None) -> float:
    return datetime.fromisoformat(moment).timestamp() if moment else 0.0
