"""`make demo`: a platform's morning, shown and checked. Every claim printed with a tick was compared, not assumed."""

import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from local_stack.asking import show_answers
from local_stack.asking_whop import SANDBOX_URL, WhopAccess
from local_stack.backend import Backend
from local_stack.deployment import FUNCTIONS, built
from local_stack.errors import UsageError
from local_stack.sending import Delivery, body
from local_stack.stack import LocalStack, running_stack
from local_stack.terminal import Terminal
from local_stack.waiting import PATIENCE_SECONDS, becomes_true

DELETED_NAME = "Deleted user"
"""The template's default for DeletedUserName."""
WRONG_SECRET = "whsec_bm90IHRoZSBzZWNyZXQgdGhhdCB3YXMgYWdyZWVkIG9uIQ=="


@dataclass(frozen=True, slots=True)
class Person:
    """A user of the platform. `name` and `picture` are those that Whop has to show in the end."""

    id: str
    email: str
    name: str
    picture: str | None = None


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays, with ids and addresses that no earlier run has used where that matters."""

    ada: Person
    grace: Person
    katherine: Person
    refused: Person
    """Has an address that takes no mail, which Whop refuses."""

    @property
    def enrolled(self) -> Sequence[Person]:
        return (self.ada, self.grace, self.katherine)


def sandbox_from(environment: Mapping[str, str]) -> WhopAccess | None:
    """Whop's sandbox if a key and a company for it are given, else None: the stand-in."""
    key, company = environment.get("WHOP_API_KEY"), environment.get("WHOP_COMPANY_ID")
    if not key and not company:
        return None
    if not key or not company:
        raise UsageError("For Whop's sandbox set both WHOP_API_KEY and WHOP_COMPANY_ID; for the stand-in set neither.")
    if "@" not in environment.get("DEMO_EMAIL", ""):
        raise UsageError(
            "Whop's sandbox takes only addresses that receive mail: set DEMO_EMAIL=you@your-domain. Every user of the"
            " demo gets a plus address of it (you+...@your-domain)."
        )
    return WhopAccess(SANDBOX_URL, company, key, sandbox=True)


def _ensure_admitted(sandbox: WhopAccess) -> None:
    try:
        sandbox.accounts(since=datetime.now(UTC))
    except httpx.HTTPError as error:
        raise UsageError(f"Whop's sandbox cannot be used with this key and company: {error}") from None


def run(terminal: Terminal, environment: Mapping[str, str] = os.environ) -> bool:
    """Plays the demo. Returns whether every claim held. Raises UsageError and DeploymentError."""
    sandbox = sandbox_from(environment)
    terminal.title("whop-user-sync, the whole of it on this machine")
    if sandbox:
        with terminal.step("asking Whop's sandbox whether it knows the key"):
            _ensure_admitted(sandbox)
    with ExitStack() as running:
        stack = running.enter_context(running_stack(terminal, built(terminal), name="demo", sandbox=sandbox))
        if sandbox:
            cast = _sandbox_cast(environment)
            terminal.line(f"talking to Whop's sandbox as {sandbox.company_id}")
        else:
            cast = _local_cast(stack)
            terminal.line("talking to a stand-in for Whop; nothing leaves this machine")
        Demo(terminal, stack, cast).play()
    _show_end(terminal, sandbox=bool(sandbox))
    return not terminal.failed


def _local_cast(stack: LocalStack) -> Cast:
    return Cast(
        ada=Person("1001", "ada@people.test", "Ada Lovelace", stack.pictures.url("c2410c")),
        grace=Person("1002", "grace@people.test", "Grace Brewster Hopper"),
        katherine=Person("1003", "katherine@people.test", "Katherine Johnson"),
        refused=Person("1004", "mary@example.com", "Mary Jackson"),
    )


def _sandbox_cast(environment: Mapping[str, str]) -> Cast:
    run_id = secrets.token_hex(3)
    local, _, domain = environment["DEMO_EMAIL"].partition("@")

    def address(who: str) -> str:
        return f"{local}+{who}-{run_id}@{domain}"

    return Cast(
        ada=Person(f"ada-{run_id}", address("ada"), "Ada Lovelace", environment.get("PICTURE") or None),
        grace=Person(f"grace-{run_id}", address("grace"), "Grace Brewster Hopper"),
        katherine=Person(f"katherine-{run_id}", address("katherine"), "Katherine Johnson"),
        refused=Person(f"mary-{run_id}", f"mary-{run_id}@example.com", "Mary Jackson"),
    )


class Demo:
    """One performance against a running stack."""

    def __init__(self, terminal: Terminal, stack: LocalStack, cast: Cast) -> None:
        self.terminal = terminal
        self.stack = stack
        self.cast = cast
        self.started = datetime.now(UTC)
        self.patience = PATIENCE_SECONDS

    def play(self) -> None:
        if self.cast.ada.picture is None:
            self.terminal.line("no picture is sent: the sandbox needs a public one, give it with PICTURE=https://...")
        self.stack.announced.failures.next = 1
        self.terminal.title("The platform sends webhooks")
        settled = self._sign_ups() and self._changes() and self._trouble() and self._departure()
        self._show_rows()
        self._show_announcements()
        self._show_whop()
        self._show_parked()
        self._show_logs()
        show_answers(self.terminal, self.stack, enrolled=self.cast.ada.id, refused=self.cast.refused.id)
        if not settled or self.terminal.failed:
            self._dump_logs()

    # -- what is sent ----------------------------------------------------------------------------------------------

    def _sign_ups(self) -> bool:
        ada, grace, katherine = self.cast.enrolled
        picture = {"avatar_url": ada.picture} if ada.picture else {}
        self._send(
            f"{ada.name} signs up" + (", with a picture" if picture else ""),
            Delivery(body("created", {"id": ada.id, "email": ada.email, "name": ada.name, **picture}, at=self.started)),
        )
        self._send(
            "Grace Hopper signs up, by first and last name",
            Delivery(
                body(
                    "created",
                    {"id": grace.id, "email": grace.email, "first_name": "Grace", "last_name": "Hopper"},
                    at=self.started,
                )
            ),
        )
        twice = Delivery(
            body("created", {"id": katherine.id, "email": katherine.email, "name": katherine.name}, at=self.started)
        )
        self._send(f"{katherine.name} signs up", twice)
        self._send("the same delivery once more, as senders do", twice)
        return self._handled()

    def _changes(self) -> bool:
        """The older change is sent once the newer one is through, so that it is stale for sure."""
        grace = self.cast.grace
        newer, older = self.started + timedelta(seconds=2), self.started + timedelta(seconds=1)
        self._send(
            f"Grace changes her name to {grace.name}",
            Delivery(body("updated", {"id": grace.id, "name": grace.name}, at=newer)),
        )
        settled = self._handled()
        self._send(
            "an older change, to Grace Murray, arrives late",
            Delivery(body("updated", {"id": grace.id, "name": "Grace Murray"}, at=older)),
        )
        return settled and self._handled()

    def _trouble(self) -> bool:
        grace, refused = self.cast.grace, self.cast.refused
        forged = Delivery(body("updated", {"id": grace.id, "name": "Mallory"}))
        self._send("a stranger forges a change, signed with another secret", forged, 401, secret=WRONG_SECRET)
        self._send(
            f"{refused.name} signs up with an address that takes no mail",
            Delivery(body("created", {"id": refused.id, "email": refused.email, "name": refused.name})),
        )
        return self._handled()

    def _departure(self) -> bool:
        """A user leaves, stays gone while older events arrive, and comes back."""
        terminal, katherine = self.terminal, self.cast.katherine
        terminal.title(f"{katherine.name} leaves, and comes back")
        sign_up = {"id": katherine.id, "email": katherine.email, "name": katherine.name}
        whop_user_id = (self.stack.deployment.row(f"user#{katherine.id}") or {}).get("whop_user_id", "-")

        self._send("she closes her account", Delivery(body("deleted", {"id": katherine.id})))
        settled = self._handled()
        shown = self.stack.whop.user(whop_user_id)["name"]
        terminal.expect(shown == DELETED_NAME, f"Whop shows her as {DELETED_NAME}", found=shown)
        self._expect_gone("a chat token for her is refused: 410, user_deleted")

        self._send("her sign-up of this morning arrives once more", Delivery(body("created", sign_up, at=self.started)))
        settled = self._handled() and settled
        self._expect_gone("what is older than her leaving does not bring her back")

        self._send("she signs up again", Delivery(body("created", sign_up)))
        settled = self._handled() and settled
        token = Backend(self.stack.deployment).chat_token(katherine.id)
        if not (self.stack.whop.sandbox and token.status_code == 502):  # the sandbox's key may lack a scope
            terminal.expect(token.status_code == 200, "and she chats again", found=token.status_code)
        return settled

    def _expect_gone(self, claim: str) -> None:
        answer = Backend(self.stack.deployment).chat_token(self.cast.katherine.id)
        found = (answer.status_code, answer.json().get("error"))
        self.terminal.expect(found == (410, "user_deleted"), claim, found=found)

    def _send(self, what: str, delivery: Delivery, expected: int = 200, **signing: str) -> None:
        answer = delivery.send(self.stack.deployment.webhook_url, **signing).status_code
        self.terminal.expect(answer == expected, f"{expected}  {what}", found=answer)

    def _handled(self) -> bool:
        """Waits until no accepted event is left to be worked on. Says so if that takes too long."""
        with self.terminal.step("handling"):
            settled = becomes_true(lambda: self.stack.deployment.waiting() == 0, self.patience)
        if not settled:
            self.terminal.expect(False, f"every event was handled within {self.patience:g} s")
        return settled

    # -- what came of it -------------------------------------------------------------------------------------------

    def _show_rows(self) -> None:
        terminal, cast = self.terminal, self.cast
        terminal.title("What the UserMappings table holds")
        items = self.stack.deployment.rows()
        rows = {item["user_id"]: item for item in items if item["key"].startswith("user#")}
        shown = ("status", "whop_user_id", "whop_company_id", "last_error")
        terminal.table(("user", *shown), [(user, *(rows[user].get(name) for name in shown)) for user in sorted(rows)])
        for person in cast.enrolled:
            status = rows.get(person.id, {}).get("status")
            terminal.expect(status == "synced", f"user {person.id} is synced", found=status)
        error = rows.get(cast.refused.id, {}).get("last_error")
        terminal.expect(error == "whop_refused", f"user {cast.refused.id} failed, and the row says why", found=error)
        terminal.expect(
            set(rows) == {*(p.id for p in cast.enrolled), cast.refused.id}, "there is no row for any other user"
        )
        self._expect_no_personal_data("rows", json.dumps(items, default=str))

    def _show_announcements(self) -> None:
        """What the platform was sent in its turn, by signed webhooks. Its backend failed at the first one."""
        terminal, cast, announced = self.terminal, self.cast, self.stack.announced
        terminal.title("What the platform learned, by webhooks signed for it")
        with terminal.step("announcing"):
            settled = becomes_true(lambda: self.stack.deployment.unannounced() == 0, self.patience)
        if not settled:
            terminal.expect(False, f"every announcement was delivered within {self.patience:g} s")
        people = [*cast.enrolled, cast.refused]
        came = {person.id: announced.of(person.id) for person in people}
        terminal.table(
            ("user", "version", "announcement", "with"),
            [(each.user_id, each.version, each.type, each.facts) for person in people for each in came[person.id]],
        )
        for person, types in (
            (cast.ada, ["user.enrolled"]),
            (cast.katherine, ["user.enrolled", "user.deleted", "user.restored"]),
            (cast.refused, ["user.enrollment_failed"]),
        ):
            found = [each.type for each in came[person.id]]
            terminal.expect(found == types, f"the platform knows of {person.name}: {', '.join(types)}", found=found)
        row = self.stack.deployment.row(f"user#{cast.ada.id}") or {}
        [*known] = [each.body["data"].get("whop_user_id") for each in came[cast.ada.id]]
        terminal.expect(known == [row.get("whop_user_id")], "and has the id of Ada's Whop user to save", found=known)
        terminal.expect(announced.failed == 1, "its backend failed once, and what it missed came again")
        terminal.expect(announced.rejected == 0, "each was signed as the official library wants it")
        self._expect_no_personal_data("announcements", json.dumps([each.body for each in announced.taken]))

    def _show_whop(self) -> None:
        terminal, whop = self.terminal, self.stack.whop
        terminal.title(f"What Whop shows for {whop.company_id}, asked at Whop")
        try:
            accounts = self._accounts()
        except httpx.HTTPError as error:
            terminal.expect(False, "Whop could be asked", found=error)
            return
        lines: list[tuple[object, ...]] = []
        checks: list[tuple[bool, str, object]] = []
        for person in self.cast.enrolled:
            own = accounts[person.id]
            checks.append((len(own) == 1, f"user {person.id} has exactly one connected account", len(own)))
            for account in own:
                user_id = account["owner_user"]["id"]
                here, elsewhere = whop.user(user_id), whop.user_everywhere_else(user_id)
                has_picture = _picture(here) != _picture(elsewhere)
                lines.append((account["title"], user_id, here["name"], "own picture" if has_picture else None))
                checks.append((here["name"] == person.name, f"Whop shows {person.id} as {person.name}", here["name"]))
                if person.picture:
                    checks.append((has_picture, f"Whop shows {person.id} with the picture of the platform", None))
                if not whop.sandbox:  # who knows what a person on the real Whop calls themselves
                    checks.append((elsewhere["name"] is None, f"the global profile of {person.id} is untouched", None))
        terminal.table(("connected account", "Whop user", "name", "picture"), lines)
        for holds, claim, found in checks:
            terminal.expect(holds, claim, found=found)

    def _accounts(self) -> dict[str, list[dict[str, Any]]]:
        """The connected accounts that Whop lists for each person. Its list may lag behind, so it is given a while."""
        found: dict[str, list[dict[str, Any]]] = {}

        def all_are_listed() -> bool:
            listed = self.stack.whop.accounts(since=self.started - timedelta(minutes=5))
            for person in self.cast.enrolled:
                found[person.id] = [
                    account for account in listed if (account["metadata"] or {}).get("internal_user_id") == person.id
                ]
            return all(found.values())

        becomes_true(all_are_listed)
        return found

    def _show_parked(self) -> None:
        terminal = self.terminal
        terminal.title("What was parked, and why")
        messages = self.stack.deployment.messages("user-created-dead-letters")
        messages += self.stack.deployment.messages("profile-updated-dead-letters")
        messages += self.stack.deployment.messages("parked-deliveries")
        details = [
            {name: value["StringValue"] for name, value in message["MessageAttributes"].items()} for message in messages
        ]
        for detail in details:
            terminal.line(f"user {detail['user_id']}: {detail['reason']}, {detail['explanation']}")
        parked = [(detail["user_id"], detail["reason"]) for detail in details]
        wanted = [(self.cast.refused.id, "whop_refused")]
        terminal.expect(parked == wanted, "exactly the user whom Whop refused was parked", found=parked)

    def _show_logs(self) -> None:
        terminal, deployment = self.terminal, self.stack.deployment
        grace = self.cast.grace
        terminal.title(f"What happened to user {grace.id}, from the functions' logs")
        lines = {function: deployment.log_lines(function) for function in FUNCTIONS}
        steps = [(entry, function) for function in FUNCTIONS for entry in _entries(lines[function], grace.id)]
        steps.sort(key=lambda one: one[0]["timestamp"])
        head = ("time", "function", "event", "delivery", "outcome")
        terminal.table(
            head,
            [
                (entry["timestamp"][11:23], function, entry["kind"], entry["event_id"], entry["outcome"])
                for entry, function in steps
            ],
        )
        outcomes = [entry["outcome"] for entry, _ in steps]
        terminal.expect(outcomes.count("accepted") == 3, "all three genuine events were accepted")
        terminal.expect("stale" in outcomes, "the older change was recognised as stale")
        self._expect_no_personal_data("log lines", json.dumps(lines, ensure_ascii=False))

    def _expect_no_personal_data(self, where: str, text: str) -> None:
        private = [self.stack.whop.api_key, "Mallory", "Murray"]
        for person in (*self.cast.enrolled, self.cast.refused):
            private += [person.email, person.name, person.picture or person.email]
        leaked = [value for value in private if value in text]
        self.terminal.expect(not leaked, f"the {where} hold no e-mail address, no name, no picture's address, no key")

    def _dump_logs(self) -> None:
        self.terminal.title("Not everything held, so here is what the functions logged")
        for function in FUNCTIONS:
            self.terminal.line(f"-- {function}")
            for line in self.stack.deployment.log_lines(function):
                if not line.startswith(("START ", "END ", "REPORT ", '{"_aws"')):
                    self.terminal.line(line)


def _entries(lines: Sequence[str], user_id: str) -> Iterator[dict[str, Any]]:
    """The structured log lines about a user's events."""
    for line in lines:
        if line.startswith("{"):
            entry: dict[str, Any] = json.loads(line)
            if entry.get("user_id") == user_id and "kind" in entry:
                yield entry


def _picture(user: Mapping[str, Any]) -> str | None:
    return (user.get("profile_picture") or {}).get("url")


def _show_end(terminal: Terminal, *, sandbox: bool) -> None:
    total = terminal.held + len(terminal.failed)
    terminal.title(f"{terminal.held} of {total} claims held. Everything that was started has been stopped.")
    terminal.line("make up                  leaves all of this running; then send it webhooks of your own")
    if not sandbox:
        terminal.line("WHOP_API_KEY=... WHOP_COMPANY_ID=biz_... DEMO_EMAIL=you@your-domain make demo")
        terminal.line("                         the same on Whop's sandbox")
    terminal.line("sam build && sam deploy --parameter-overrides WhopEnvironment=sandbox WhopCompanyId=biz_...")
    terminal.line("                         your own AWS account, and four steps more: README.md")
    terminal.line()
