"""`make invoke`: built functions in containers, by `sam local`, against a local stack; and what came of each event."""

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from local_stack import ROOT, samples, up
from local_stack.deployment import Deployment, built
from local_stack.engine import Engine
from local_stack.errors import UsageError
from local_stack.places import Places
from local_stack.processes import free_ports
from local_stack.sam_local import Docker, Invocation, SamLocal, find_docker
from local_stack.sending import SECRET, Delivery
from local_stack.settings import Settings
from local_stack.stack import running_stack
from local_stack.terminal import Terminal
from local_stack.waiting import becomes_true
from local_stack.whop_webhooks import signed

FUNCTIONS = {
    "receive_webhook": "ReceiveWebhookFunction",
    "receive_whop_webhook": "WhopWebhooksFunction",
    "user_created": "UserCreatedFunction",
    "profile_updated": "ProfileUpdatedFunction",
    "announce": "AnnounceFunction",
    "look_up_user": "LookUpUserFunction",
    "enroll_user": "EnrollUserFunction",
    "mint_chat_token": "MintChatTokenFunction",
    "account_link": "AccountLinkFunction",
    "payout_token": "PayoutTokenFunction",
    "import_users": "ImportUsersFunction",
}
"""Logical ids of the template by the folders in functions/ and events/. The check of settings takes no events: each
deployment runs it."""

_SIGNATURE = re.compile(r"(^| )v1,[A-Za-z0-9+/]{43}=( |$)")
"""One of the form of Standard Webhooks, good or not."""

type Invoke = Callable[[str, Mapping[str, Any]], Invocation]
type Records = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Chosen:
    """An event and the function that gets it."""

    name: str
    function: str
    event: Mapping[str, Any]


def run(terminal: Terminal, *, function: str | None, event: str | None) -> bool:
    """Invokes one function with one event, or every function with every sample event. Returns whether all worked.

    Raises UsageError, DockerError, DeploymentError and StartError.
    """
    docker = find_docker()
    with _stack(terminal, docker) as (deployment, places, settings, whop_page):
        chosen = choose(function, event, datetime.now(UTC), places, secret=settings.standard_secret)
        put_import_file(deployment.engine)
        sam = SamLocal(built(terminal), docker, samples.variables(places), settings.parameters())
        show = _Show(terminal, deployment, whop_page)
        if len(chosen) == 1:
            return show.one(chosen[0], sam.invoke)
        with sam.lambda_service() as service:
            for each in chosen:
                show.one(each, service.invoke)
    return not terminal.failed


def choose(
    function: str | None, event: str | None, at: datetime, places: Places, *, secret: str = SECRET
) -> list[Chosen]:
    """The events that were asked for, each dated for `at` and signed with `secret`. Raises UsageError.

    `function` is a logical id of the template or a folder in functions/; `event` is a file, or a sample by its path
    below events/. A sample event finds its function by its folder.
    """
    folder = _folder(function) if function else None
    known = samples.events(at, places, secret=secret)
    if event is None:
        names = [name for name in known if folder in (None, name.partition("/")[0])]
        return [Chosen(name, FUNCTIONS[name.partition("/")[0]], known[name]) for name in names]
    name = event.removeprefix("events/").removesuffix(".json") + ".json"
    if name in known:
        return [Chosen(name, FUNCTIONS[folder or name.partition("/")[0]], known[name])]
    if folder is None:
        raise UsageError(f"Which function gets {event}? Say FUNCTION=... ({', '.join(FUNCTIONS)}).")
    return [Chosen(event, FUNCTIONS[folder], refreshed(_read(Path(event)), at, secret=secret))]


def refreshed(event: Mapping[str, Any], at: datetime, *, secret: str = SECRET) -> Mapping[str, Any]:
    """An event as if it had been sent at that time: signatures are good for five minutes, messages for three days.

    What cannot be a signature at all stays, so that a function can be seen to refuse it.
    """
    headers, records = event.get("headers"), event.get("Records")
    if isinstance(headers, dict) and _SIGNATURE.search(_named(headers, "webhook-signature")):
        proven = _proven(event, _named(headers, "webhook-id"), at, secret)
        own = {name: value for name, value in headers.items() if name.lower() not in proven}
        return {**event, "headers": {**own, **proven}}
    if isinstance(records, list) and all(isinstance(record, dict) for record in records):
        sent = str(int(at.timestamp() * 1000))
        dates = {"SentTimestamp": sent, "ApproximateFirstReceiveTimestamp": sent}
        dated = [{**record, "attributes": {**(record.get("attributes") or {}), **dates}} for record in records]
        return {**event, "Records": dated}
    return event


def put_import_file(engine: Engine) -> None:
    """Puts what the sample event of the import names where it names it."""
    event = samples.events(datetime.now(UTC))["import_users/plan.json"]
    bucket, key = event["bucket"]["name"], event["object"]["key"]
    engine.s3.create_bucket(Bucket=bucket)
    engine.s3.put_object(Bucket=bucket, Key=key, Body=b"id,email,name\n12345,ada@people.test,Ada Lovelace\n")


def worked(answer: Any) -> bool:
    """Whether a function that gives this answer ran to its end and handled the event. SAM's exit status never says."""
    if not isinstance(answer, dict):
        return False
    return "errorType" not in answer and not answer.get("batchItemFailures") and answer.get("statusCode", 200) < 500


def _proven(event: Mapping[str, Any], id_: str, at: datetime, secret: str) -> dict[str, str]:
    """The headers that prove an event's body at that time. Raises UsageError."""
    body = str(event.get("body") or "")
    try:
        delivery = Delivery(
            base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body.encode(), id_
        )
        is_whops = event.get("rawPath") == "/whop-webhooks"
        headers = signed(delivery, at=at) if is_whops else delivery.headers(secret=secret, at=at)
    except ValueError:
        raise UsageError("The event's body is no base64 of a text, and cannot be signed anew.") from None
    return {name: headers[name] for name in ("webhook-timestamp", "webhook-signature")}


def _named(headers: Mapping[str, Any], name: str) -> str:
    return next((str(value) for each, value in headers.items() if each.lower() == name), "")


def _folder(function: str) -> str:
    for folder, logical_id in FUNCTIONS.items():
        if function in (folder, logical_id, folder.replace("_", "-")):
            return folder
    raise UsageError(f"There is no function {function} that takes events. There are {', '.join(FUNCTIONS)}.")


def _read(path: Path) -> Mapping[str, Any]:
    try:
        event = json.loads((ROOT / path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as an event: {error}") from None
    if not isinstance(event, dict):
        raise UsageError(f"{path} is no event: it holds no JSON object.")
    return event


@contextmanager
def _stack(terminal: Terminal, docker: Docker) -> Iterator[tuple[Deployment, Places, Settings, str]]:
    """What `make up` left running, or else a stack for this once: deployment, places, settings, and Whop's page."""
    found = up.running()
    if found:
        if found.places.host not in (docker.address, "0.0.0.0"):
            raise UsageError(
                f"What is running listens on {found.places.host}, where containers do not reach it."
                f" Start it anew with `make down up LISTEN={docker.address}`, or stop it: `make invoke` starts its own."
            )
        yield found.deployment, found.places, found.settings, found.whop_page
        return
    engine, whop, uploads, pictures, announcements = free_ports(5)
    places = Places(
        host=docker.address, engine=engine, whop=whop, uploads=uploads, pictures=pictures, announcements=announcements
    )
    with running_stack(terminal, built(terminal), name=samples.STACK, places=places) as stack:
        yield stack.deployment, places, Settings(), stack.fake.control_url


class _Show:
    def __init__(self, terminal: Terminal, deployment: Deployment, whop_page: str) -> None:
        self._terminal = terminal
        self._deployment = deployment
        self._whop_page = whop_page.rstrip("/")

    def one(self, chosen: Chosen, invoke: Invoke) -> bool:
        terminal = self._terminal
        terminal.title(f"{chosen.function}, {chosen.name}")
        rows, accounts, calls = self._rows(), self._accounts(), len(self._calls())
        outcome = invoke(chosen.function, chosen.event)
        # What the receiver queued is handled by the deployed workers.
        becomes_true(lambda: self._deployment.waiting() == 0, 30)
        for line in outcome.log.splitlines():
            if line.startswith("{") and '"_aws"' not in line:
                terminal.quiet(line)
        for line in [*changes("row", rows, self._rows()), *changes("account at Whop", accounts, self._accounts())]:
            terminal.line(line)
        for call in self._calls()[calls:]:
            terminal.line(f"call to Whop: {call['operation']}, answered {call['status']}")
        holds = worked(outcome.answer)
        terminal.expect(holds, f"answer: {json.dumps(outcome.answer)}", found=outcome.log[-2000:])
        return holds

    def _rows(self) -> Records:
        return {row["key"]: row for row in self._deployment.rows()}

    def _accounts(self) -> Records:
        return {account["id"]: account for account in self._ask("/_fake/state")["accounts"]}

    def _calls(self) -> list[dict[str, Any]]:
        return list(self._ask("/_fake/calls")["calls"])

    def _ask(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = httpx.get(self._whop_page + path, timeout=20, trust_env=False).json()
        return answer


def changes(what: str, before: Records, after: Records) -> list[str]:
    """A line for each field that is not what it was."""
    lines = []
    for key in sorted(after):
        was = before.get(key, {})
        for name, value in sorted(after[key].items()):
            if was.get(name) != value:
                lines.append(f"{what} {key}: {name} = {value}" + (f" (was {was[name]})" if name in was else ""))
        lines += [f"{what} {key}: no {name} any more" for name in sorted(set(was) - set(after[key]))]
    return lines + [f"{what} {key} is gone" for key in sorted(set(before) - set(after))]
