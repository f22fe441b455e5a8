"""`parked`, `redrive` and `discard`: what could not be handled, and the way back for it."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer

from whop_user_sync.commands.common import (
    CommandError,
    EndpointOption,
    Exit,
    Interrupted,
    JsonOption,
    ReasonOption,
    RegionOption,
    StackOption,
    UserOption,
    chosen_stack,
    output,
)
from whop_user_sync.output import Output, age
from whop_user_sync.parked import HOLD_SECONDS, Parked, ParkedEvents, RedriveOutcome
from whop_user_sync.stack import Stack

LIST_NEEDS = (
    "On the parked queues: sqs:GetQueueUrl, sqs:GetQueueAttributes, sqs:ReceiveMessage and sqs:ChangeMessageVisibility."
)
REDRIVE_NEEDS = (
    "On the parked queues: sqs:GetQueueUrl, sqs:GetQueueAttributes, sqs:ReceiveMessage,"
    " sqs:ChangeMessageVisibility and sqs:DeleteMessage; on the queues they came from: sqs:GetQueueUrl and"
    " sqs:SendMessage; on the function receive-webhook: lambda:InvokeFunction."
)
DISCARD_NEEDS = (
    "On the parked queues: sqs:GetQueueUrl, sqs:GetQueueAttributes, sqs:ReceiveMessage,"
    " sqs:ChangeMessageVisibility and sqs:DeleteMessage; on the log group of receive-webhook: logs:CreateLogStream and"
    " logs:PutLogEvents."
)

_SENTENCES: dict[RedriveOutcome, str] = {
    "sent": "sent again",
    "ignored": "not a user event as payloads are read now, deleted",
    "unreadable": "still not readable, still parked",
    "failed": "not taken by the receiver just now, still parked",
}

DeliveryOption = Annotated[str | None, typer.Option("--delivery", help="Only this delivery, by the id of its webhook.")]


def parked(
    *,
    stack: StackOption = None,
    user: UserOption = None,
    reason: ReasonOption = None,
    delivery: DeliveryOption = None,
    show_body: Annotated[bool, typer.Option("--show-body", help="Show contents too: personal data.")] = False,
    region: RegionOption = None,
    endpoint_url: EndpointOption = None,
    as_json: JsonOption = False,
) -> int:
    """List what could not be handled, with user, reason and age."""
    out = output(as_json=as_json)
    with _held(chosen_stack(stack, region, endpoint_url), out, user, reason, delivery) as (_, events):
        _list(out, events, show_body=show_body)
    return Exit.DONE


def redrive(
    *,
    stack: StackOption = None,
    user: UserOption = None,
    reason: ReasonOption = None,
    delivery: DeliveryOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be sent, and send nothing.")] = False,
    region: RegionOption = None,
    endpoint_url: EndpointOption = None,
    as_json: JsonOption = False,
) -> int:
    """Send parked events to their queues again. Exit status 1 while any of them is still parked."""
    out = output(as_json=as_json)
    with _held(chosen_stack(stack, region, endpoint_url), out, user, reason, delivery) as (queues, events):
        if dry_run or not events:
            _list(out, events, show_body=False)
            return Exit.DONE
        outcomes: list[tuple[Parked, RedriveOutcome]] = []
        try:
            outcomes.extend(queues.send_again(events))
        except KeyboardInterrupt:
            raise Interrupted("Interrupted. What was not sent again is parked as before.") from None
        counts = Counter(outcome for _, outcome in outcomes)
        for outcome, count in counts.items():
            out.say(f"{count} {_SENTENCES[outcome]}")
        events_done = [{"event_id": each.event_id, "user_id": each.user_id, "outcome": what} for each, what in outcomes]
        out.document({"counts": counts, "events": events_done})
    return Exit.ATTENTION if counts["failed"] or counts["unreadable"] else Exit.DONE


def discard(
    *,
    why: Annotated[str, typer.Option("--why", help="Why they are of no use: a sentence that is logged.")],
    stack: StackOption = None,
    user: UserOption = None,
    reason: ReasonOption = None,
    delivery: DeliveryOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    region: RegionOption = None,
    endpoint_url: EndpointOption = None,
    as_json: JsonOption = False,
) -> int:
    """Delete parked events for good, with a reason that is logged."""
    out = output(as_json=as_json)
    if not why.strip():  # as make hands over a WHY that was not typed
        raise CommandError("Why? Say it by --why, for make as WHY='a test webhook': it is logged.")
    with _held(chosen_stack(stack, region, endpoint_url), out, user, reason, delivery) as (queues, events):
        if events and not yes:
            if not as_json:
                _list(out, events, show_body=False)
            typer.confirm(f"Delete {len(events)} for good?", abort=True, err=True)
        try:
            queues.discard(events, why)
        except KeyboardInterrupt:
            done = sum(map(queues.is_gone, events))
            raise Interrupted(
                f"Interrupted: {done} of {len(events)} are deleted, and perhaps one more. The rest is parked as before."
            ) from None
        out.say(f"{len(events)} deleted.")
        out.document({"deleted": [each.event_id for each in events]})
    return Exit.DONE


@contextmanager
def _held(
    stack: Stack, out: Output, user: str | None, reason: str | None, delivery: str | None
) -> Iterator[tuple[ParkedEvents, Sequence[Parked]]]:
    queues = ParkedEvents(stack)
    hidden = queues.hidden()
    with queues.held() as events:
        of_user = [event for event in events if user in (None, event.user_id)]
        of_reason = [event for event in of_user if reason in (None, event.reason)]
        chosen = [event for event in of_reason if delivery in (None, event.event_id)]
        if not chosen:
            out.say("Nothing is parked that fits." if events else "Nothing is parked.")
        yield queues, chosen
    if hidden:
        minutes = HOLD_SECONDS // 60
        out.say(f"About {hidden} more are held by another run, or by one that died: they show in {minutes} min.")


def _list(out: Output, events: Sequence[Parked], *, show_body: bool) -> None:
    now = time.time()
    out.document([_document(event, show_body=show_body) for event in events])
    if not events:
        return
    columns = ("age", "user", "reason", "queue", "event", "explanation")
    rows = [
        (age(now - event.sent_at), event.user_id or "-", event.reason, event.queue, event.event_id, event.explanation)
        for event in events
    ]
    out.table(columns, rows)
    if show_body:
        for event in events:
            out.say(f"\n{event.event_id}")
            if event.whop_message:
                out.say(f"    Whop: {event.whop_message}")
            out.say(f"    {event.text}")
    reasons = ", ".join(f"{count} {name}" for name, count in Counter(event.reason for event in events).most_common())
    out.say(f"\n{len(events)} parked: {reasons}. SQS keeps them for 14 days.")


def _document(event: Parked, *, show_body: bool) -> dict[str, object]:
    shown = asdict(event)
    for name in ("id", "receipt_handle", "headers", "body", "whop_message"):
        del shown[name]
    return {**shown, "whop_message": event.whop_message, "body": event.text} if show_body else shown
