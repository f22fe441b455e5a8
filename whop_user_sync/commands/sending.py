"""`send`: posts one signed webhook, as a platform would, and waits for what becomes of it."""

import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from whop_sync.receiving.platforms import PLATFORMS, Platform, configured
from whop_sync.users.directory import Directory
from whop_user_sync.commands.common import (
    CommandError,
    EndpointOption,
    Exit,
    Interrupted,
    JsonOption,
    RegionOption,
    StackOption,
    chosen_stack,
    number,
    output,
)
from whop_user_sync.logs import LogLine, Logs
from whop_user_sync.output import Output
from whop_user_sync.preview.captured import CaptureError, captured_body, captured_headers
from whop_user_sync.sending import (
    Person,
    UnknownSampleError,
    Webhook,
    about,
    id_at_receiver,
    read_webhook,
    remarks,
    sample,
    signed_headers,
)
from whop_user_sync.stack import Stack, is_loopback

NEEDS = (
    "cloudformation:DescribeStacks; lambda:GetFunctionConfiguration on the function receive-webhook;"
    " logs:DescribeLogGroups, logs:StartQuery and logs:GetQueryResults on the log groups of the functions;"
    " dynamodb:GetItem on the table; lambda:GetFunctionConfiguration on the function user-created and"
    " secretsmanager:GetSecretValue on the secret whop-api-key."
)

SECRET_VARIABLE = "WHOP_USER_SYNC_SIGNING_SECRET"  # noqa: S105 - the name of a variable

URL_VARIABLE = "WHOP_USER_SYNC_WEBHOOK_URL"

DONE = (
    *("enrolled", "adopted", "mapped", "synced", "stale", "suspended", "restored", "deleted", "no_email"),
    "ignored",
)
"""The outcomes after which nothing more happens and nothing is wrong."""

_EXAMPLE = f"For example: send standard created. Presets: {', '.join(PLATFORMS)}."
_POLL_SECONDS = 0.5
_LOOK_BACK_SECONDS = 60


def send(
    *,
    preset: Annotated[str | None, typer.Argument(help="Whose form: clerk, shopify … Without it, the stack's.")] = None,
    event: Annotated[str, typer.Argument(help="The sender's name of the event, or created, updated, deleted …")] = "",
    file: Annotated[
        Path | None, typer.Option("--file", help="Post this body instead of a sample; - reads standard input.")
    ] = None,
    headers: Annotated[Path | None, typer.Option("--headers", help="With --file: `Name: value` lines.")] = None,
    user: Annotated[str, typer.Option("--user", help="The user's id on the platform.")] = "12345",
    email: Annotated[str | None, typer.Option("--email", help="Their e-mail address.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Their name; '' for none.")] = None,
    picture: Annotated[str | None, typer.Option("--picture", help="The URL of their picture; '' for none.")] = None,
    url: Annotated[str | None, typer.Option("--url", envvar=URL_VARIABLE, help="Where to post.")] = None,
    wait: Annotated[
        float,
        typer.Option("--wait", parser=number(0, 86400), metavar="SECONDS", help="How long to wait for the outcome."),
    ] = 60,
    stack: StackOption = None,
    region: RegionOption = None,
    endpoint_url: EndpointOption = None,
    as_json: JsonOption = False,
) -> int:
    """Post one signed webhook and wait for its outcome. The secret is read from WHOP_USER_SYNC_SIGNING_SECRET.

    A change carries what is given here and nothing else of the user.
    """
    out = output(as_json=as_json)
    if preset and preset not in PLATFORMS:
        raise CommandError(f"There is no preset {preset}. {_EXAMPLE}")
    target = chosen_stack(stack, region, endpoint_url) if stack or not url else None
    settings = _form(preset, target, out)
    platform = _platform(settings)
    now = time.time()
    if file:
        webhook = _from_file(file, headers, platform, now)
    else:
        person = Person(user_id=user, email=email, name=name, picture=picture)
        webhook = _from_sample(settings["PAYLOAD_PRESET"], platform, event, person, now)
        for remark in remarks(webhook, person):
            out.warn(remark)
    delivery_id = f"msg_{secrets.token_hex(12)}"
    where = url or _webhook_url(target)
    try:
        answer = _post(where, webhook, platform, delivery_id, now)
    except KeyboardInterrupt:
        raise Interrupted(f"Interrupted before {where} answered: whether {delivery_id} was taken is unknown.") from None
    out.say(f"{where} answered {answer.status_code}.")
    if not answer.is_success or target is None:
        out.document({"status": answer.status_code, "delivery_id": delivery_id, "outcome": None})
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            out.warn("The signature is not the one that the receiver expects: is the secret that of the stack?")
        return Exit.DONE if answer.is_success else Exit.ATTENTION
    event_id = webhook.event_id or id_at_receiver(platform.scheme, webhook.body, delivery_id)
    follow = f"Follow it with: whop-user-sync trace --stack {target.name} --delivery {event_id}"
    try:
        line = _outcome(target, event_id, now, wait)
    except KeyboardInterrupt:
        raise Interrupted(f"Interrupted while waiting. The webhook was taken. {follow}") from None
    user_id = None if line is None else line.fields.get("user_id")
    row = Directory(target.client("dynamodb"), target.table).entry(str(user_id)) if user_id else None
    profiles = target.shown(row.whop_user_id) if row and row.whop_user_id else None
    shown = profiles[0] if profiles else None
    out.document(
        {
            "status": answer.status_code,
            "delivery_id": delivery_id,
            "outcome": line and line.fields.get("outcome"),
            "reason": line and line.fields.get("reason"),
            "row": row and asdict(row),
            "whop": shown,
        }
    )
    if line is None:
        out.say(f"No outcome within {wait:g} seconds. {follow}")
        return Exit.ATTENTION
    out.say(str(line))
    if row:
        whop = f"on Whop {row.whop_user_id} of {row.whop_company_id}" if row.whop_user_id else "not on Whop"
        out.say(f"Recorded: {row.status}, {whop}.")
    if shown:
        avatar = shown["profile_picture"]
        out.say(f"Whop shows: {shown['name']}, {avatar['url'] if avatar else 'no picture'}.")
    return Exit.DONE if line.fields.get("outcome") in DONE else Exit.ATTENTION


def _form(preset: str | None, target: Stack | None, out: Output) -> Mapping[str, str]:
    """The settings of the receiver, as which a webhook is made: the stack's, or those of another preset."""
    settings = dict(target.settings("receive-webhook")) if target else {}
    taken = settings.get("PAYLOAD_PRESET")
    if not preset or preset == taken:
        return settings
    if target and taken:
        out.warn(f"{target.name} reads webhooks as those of {taken}, and this one has the form of {preset}.")
    return {"PAYLOAD_PRESET": preset}


def _platform(settings: Mapping[str, str]) -> Platform:
    try:
        return configured(settings)
    except ValueError as error:
        raise CommandError(str(error)) from None


def _from_sample(preset: str, platform: Platform, event: str, person: Person, now: float) -> Webhook:
    if not event:
        raise CommandError(f"Which event? {_EXAMPLE}")
    try:
        return about(sample(preset, platform, event, now=now), platform, person, now=now)
    except UnknownSampleError as error:
        raise CommandError(str(error)) from None


def _from_file(file: Path, headers: Path | None, platform: Platform, now: float) -> Webhook:
    try:
        given = captured_headers(headers) if headers else {}
        content = captured_body(file)
    except CaptureError as error:
        raise CommandError(str(error)) from None
    if not content:
        raise CommandError(f"{file} is empty.")
    return read_webhook(content, given, platform, now=now)


def _post(url: str, webhook: Webhook, platform: Platform, delivery_id: str, now: float) -> httpx.Response:
    secret = os.environ.get(SECRET_VARIABLE, "")
    if not secret:
        raise CommandError(f"Set {SECRET_VARIABLE} to the signing secret of your platform.")
    try:
        proof = signed_headers(platform.scheme, webhook.body, secret, delivery_id=delivery_id, now=now)
    except ValueError as error:
        raise CommandError(f"{SECRET_VARIABLE}: {error}") from None
    headers = {"content-type": "application/json", **webhook.headers, **proof}
    try:
        # Loopback goes by no proxy, whatever the environment says.
        with httpx.Client(trust_env=not is_loopback(url), timeout=30) as client:
            return client.post(url, content=webhook.body, headers=headers)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise CommandError(f"{url} is not a URL: {error}") from None
    except httpx.HTTPError as error:
        raise CommandError(f"{url} did not answer: {error}", Exit.UNAVAILABLE) from None


def _webhook_url(stack: Stack | None) -> str:
    if stack is None:
        raise CommandError("Where to? Name a stack, or a --url.")
    if stack.endpoint_url:  # its outputs name an address of AWS, which is not its own
        raise CommandError(f"Where to? What stands in for AWS has another address: name it by --url or {URL_VARIABLE}.")
    stacks: Any = stack.client("cloudformation").describe_stacks(StackName=stack.name)["Stacks"]
    for each in stacks[0].get("Outputs", []):
        if each["OutputKey"] == "WebhookUrl":
            return str(each["OutputValue"])
    raise CommandError(f"The stack {stack.name} has no output WebhookUrl: name a --url.")


def _outcome(stack: Stack, event_id: str, now: float, wait: float) -> LogLine | None:
    """The log line that says what became of this very delivery: its last one, once it is decided."""
    logs = Logs(stack)
    until = time.time() + wait
    while True:
        lines = logs.find({"event_id": event_id}, since=now - _LOOK_BACK_SECONDS)
        outcomes = [line for line in lines if line.fields.get("outcome") not in (None, "accepted")]
        is_out_of_time = time.time() >= until
        if outcomes and (is_out_of_time or outcomes[-1].fields["outcome"] != "retried"):
            return outcomes[-1]
        if is_out_of_time:
            return None
        time.sleep(_POLL_SECONDS)
