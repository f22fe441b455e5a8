"""`erase` and `release`: for a person who asks to be forgotten, and for a Whop user to set free."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated

import typer

from whop_sync.aws.queues import Queue
from whop_sync.syncing.enrollment import Enrollment
from whop_sync.users.mappings import Mappings
from whop_user_sync.commands.common import (
    EndpointOption,
    Exit,
    Interrupted,
    JsonOption,
    RegionOption,
    StackOption,
    chosen_stack,
    output,
)
from whop_user_sync.erasing import AccountFate, Erasure, Receipt
from whop_user_sync.parked import ParkedEvents
from whop_user_sync.stack import Stack, whop_config

ERASE_NEEDS = (
    "On the table: dynamodb:GetItem, dynamodb:PutItem, dynamodb:UpdateItem and dynamodb:DeleteItem; on the function"
    " user-created: lambda:GetFunctionConfiguration; on the secret whop-api-key: secretsmanager:GetSecretValue; on the"
    " three parked queues: sqs:GetQueueUrl, sqs:GetQueueAttributes, sqs:ReceiveMessage, sqs:ChangeMessageVisibility and"
    " sqs:DeleteMessage; on the log group of receive-webhook: logs:CreateLogStream and logs:PutLogEvents."
)
RELEASE_NEEDS = (
    "On the queue profile-updated: sqs:GetQueueUrl and sqs:SendMessage; on the function user-created:"
    " lambda:GetFunctionConfiguration."
)

UserArgument = Annotated[str, typer.Argument(help="The user's id on your platform.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

_ACCOUNT: Mapping[AccountFate, str] = {
    "removed": "The connected account {account} was removed at Whop.",
    "gone": "The connected account {account} was not there any more.",
    "blanked": "The connected account {account}, which Whop did not remove ({why}). It no longer names the user.",
    "kept": "The connected account {account}, title and metadata included: Whop let neither be changed ({why}).",
    "none": "There is no connected account of ours.",
}


def erase(
    *,
    user_id: UserArgument,
    yes: YesOption = False,
    stack: StackOption = None,
    region: RegionOption = None,
    endpoint_url: EndpointOption = None,
    as_json: JsonOption = False,
) -> int:
    """Erase a user, at Whop and here, for good. Safe twice. Prints a receipt."""
    out = output(as_json=as_json)
    chosen = chosen_stack(stack, region, endpoint_url)
    if not yes:
        typer.confirm(f"Erase user {user_id!r} at Whop and here, for good?", abort=True, err=True)
    try:
        receipt = _erasure(chosen).erase(user_id)
        purged = _purge_parked(chosen, user_id)
    except KeyboardInterrupt:
        raise Interrupted("Interrupted: some of it may be erased. Run it again, which is safe.") from None
    erased, kept, theirs = _sentences(receipt, purged)
    out.document(
        {**asdict(receipt), "parked_messages_deleted": purged, "erased": erased, "kept_by_whop": kept, "person": theirs}
    )
    for title, sentences in (("Erased", erased), ("Kept by Whop", kept), ("Only the person can delete", theirs)):
        if sentences:
            out.say(f"{title}:")
        for sentence in sentences:
            out.say(f"  - {sentence}")
    return Exit.ATTENTION if receipt.account == "kept" else Exit.DONE


def release(
    *,
    user_id: UserArgument,
    yes: YesOption = False,
    stack: StackOption = None,
    region: RegionOption = None,
    endpoint_url: EndpointOption = None,
    as_json: JsonOption = False,
) -> int:
    """Free the Whop user of a user whose platform never sends a deletion. Safe twice."""
    out = output(as_json=as_json)
    chosen = chosen_stack(stack, region, endpoint_url)
    if not yes:
        typer.confirm(f"Treat user {user_id!r} as deleted by the platform?", abort=True, err=True)
    _erasure(chosen).release(user_id)
    out.document({"user_id": user_id, "released": True})
    out.say(
        "A deletion is on its way, as the platform would send it. A newer event of the platform brings the user back."
    )
    return Exit.DONE


def _erasure(stack: Stack) -> Erasure:
    settings = stack.settings()
    config = whop_config(settings)
    sqs = stack.client("sqs")
    return Erasure(
        enrollment=Enrollment(
            whop=stack.whop_client(config),
            mappings=Mappings(stack.client("dynamodb"), settings["USER_MAPPINGS_TABLE"], time.time),
            company=config.company_id,
            title_format=settings["TITLE_FORMAT"],
            clock=time.time,
        ),
        deleted_user_name=settings["DELETED_USER_NAME"],
        queue=Queue(sqs, stack.queue_url(sqs, "profile-updated")),
    )


def _purge_parked(stack: Stack, user_id: str) -> int:
    queues = ParkedEvents(stack)
    with queues.held() as events:
        theirs = [event for event in events if event.user_id == user_id]
        queues.discard(theirs, "the user was erased")
        return len(theirs)


def _sentences(receipt: Receipt, purged: int) -> tuple[list[str], list[str], list[str]]:
    """What was erased, what Whop keeps, and what only the person can delete, as sentences."""
    if not receipt.is_known:
        nothing = f"{purged} parked messages. Nothing else was recorded of this user."
        return (
            [f"{nothing} An event of theirs that is still in a queue would enroll them: then run this again."],
            [],
            [],
        )
    account = _ACCOUNT[receipt.account].format(account=receipt.whop_company_id, why=receipt.why)
    erased = ["The row: a tombstone of id, versions and times stays, or an old event would enroll the user again."]
    kept: list[str] = []
    theirs: list[str] = []
    if receipt.profile_blanked:
        erased.append("Name and picture in your company.")
    (kept if receipt.account in ("blanked", "kept") else erased).append(account)
    erased.append(f"{purged} parked messages. Messages still in a queue are done or parked within ten days.")
    if receipt.whop_user_id is not None:
        if receipt.profile_blanked is None:
            kept.append("Name and picture in your company: another of your users has the Whop user now, and they stay.")
        kept.append(f"The Whop user {receipt.whop_user_id}, and what Whop's own rules make it keep of payments.")
        kept.append("Chat messages. Tokens that are out live for up to three hours.")
        theirs.append("Their own Whop account with its e-mail address, global name and picture, at whop.com.")
    return erased, kept, theirs
