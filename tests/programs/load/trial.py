"""One trial: the traffic is sent, Whop is slow to take it, and in the end everything is counted."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import httpx

from fake_whop import FaultKind
from load.announcements import Accounts
from load.chart import Answered, Called, Moment
from load.traffic import Event, Sizes, Traffic, User, planned
from local_stack.pictures import png
from local_stack.stack import LocalStack
from local_stack.terminal import Terminal
from whop_sync.events import Position
from whop_user_sync.parked import ParkedEvents
from whop_user_sync.stack import Stack

SENDERS = 4
BURST = 250
PAUSE_SECONDS = 1.0
ATTEMPTS = 10
"""How often a platform sends what was not taken, here a second apart."""

FEW = 0.02
"""When no larger share of the events is left, calls fail no more: they have in every way, and the wait after one more
failure, which grows to an hour, would only make the trial longer."""

PROGRESS_SECONDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Whop:
    """How hard Whop's stand-in makes it. The limit holds for each operation, like Whop's 600 calls in 60 seconds, and
    here time is twice as fast.

    `failing` is the share of the calls to Whop that fail, `platform_failing` that of the announcements at which the
    platform fails. `failures` take turns. Those after which the request may still be under way are left out: each costs
    its user three minutes, the length of a lease. A create that failed before it was done costs two: so long Whop's
    list is watched.
    """

    limit: int = 600
    window: float = 30.0
    failing: float = 0.05
    platform_failing: float = 0.05
    failures: Sequence[FaultKind] = ("error_500_before", "error_500_after", "truncated_json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`lost` are accepted events of which neither the user's row nor a parked message knows; `doubled` are connected
    accounts beyond one a user; `wrong` are users for whom Whop does not show what their newest events say."""

    sent: int
    accepted: int
    sent_again: int
    lost: int
    doubled: int
    wrong: int
    announced: Accounts
    platform_failed: int
    parked: dict[str, int]
    drained: bool
    sending_seconds: float
    drain_seconds: float
    calls: int
    limited_calls: int
    failed_calls: int
    moments: Sequence[Moment]
    answers: Sequence[Answered]
    called: Sequence[Called]

    @property
    def holds(self) -> bool:
        right = not (self.lost or self.doubled or self.wrong) and self.announced.hold
        return self.drained and self.accepted == self.sent and right

    def show(self, terminal: Terminal) -> None:
        terminal.title("Report")
        terminal.expect(self.accepted == self.sent, f"{self.accepted} of {self.sent} deliveries accepted")
        if self.sent_again:
            terminal.line(f"  {self.sent_again} of them only when sent again, as senders do")
        terminal.expect(self.drained, "the queues are empty")
        terminal.expect(not self.lost, f"{self.lost} events lost")
        terminal.expect(not self.doubled, f"{self.doubled} connected accounts doubled")
        terminal.expect(not self.wrong, f"{self.wrong} users with a wrong name or picture on Whop")
        announced = self.announced
        terminal.expect(not announced.silent, f"{announced.silent} users about whom nothing was announced")
        terminal.expect(not announced.lost, f"{announced.lost} announcements lost of those that rows count")
        terminal.expect(not announced.unrecorded, f"{announced.unrecorded} announcements that no row counts")
        terminal.expect(not announced.wrong, f"{announced.wrong} users whose last state, by version, is not true")
        terminal.line(
            f"  {announced.came} announcements came, {announced.repeated} of them again;"
            f" the platform failed {self.platform_failed} calls"
        )
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.parked.items())
        terminal.line(f"{sum(self.parked.values())} events parked" + (f": {reasons}" if reasons else ""))
        terminal.line(
            f"{self.sending_seconds:.0f} s to send, {self.drain_seconds:.0f} s more until the queues were empty"
        )
        terminal.line(
            f"{self.calls} calls to Whop: {self.limited_calls / self.calls:.1%} answered 429,"
            f" {self.failed_calls / self.calls:.1%} failed by chance"
        )


def run(stack: LocalStack, sizes: Sizes, whop: Whop, terminal: Terminal, *, patience: float = 1200) -> Report:
    """Sends the traffic and waits until it is handled, at most for `patience` seconds after the last delivery."""
    traffic = planned(sizes, stack.pictures.url)
    before, platform_failed_before = len(stack.fake.calls), stack.announced.failed
    trial = _Trial(stack, traffic, whop, terminal)
    with _hardship(stack, whop):
        started, began_at = time.monotonic(), time.time()
        trial.send()
        sent = time.monotonic()
        drained = trial.drain(patience)
        ended = time.monotonic()
        calls = [call for call in stack.fake.calls[before:] if call.operation != "PUT upload"]
        stack.fake.switches.rate_limit = len(calls) * len(
            traffic.users
        )  # looking at every user is no part of the trial
        parked = trial.parked()
        return Report(
            sent=len(traffic.deliveries),
            accepted=trial.accepted,
            sent_again=trial.sent_again,
            lost=trial.lost(parked),
            doubled=trial.doubled(),
            wrong=trial.wrong(),
            announced=trial.announced(),
            platform_failed=stack.announced.failed - platform_failed_before,
            parked=dict(Counter(parked.values())),
            drained=drained,
            sending_seconds=sent - started,
            drain_seconds=ended - sent,
            calls=len(calls),
            limited_calls=sum(call.status == 429 for call in calls),
            failed_calls=sum(call.fault is not None for call in calls),
            moments=trial.moments,
            answers=trial.answers,
            called=[Called(call.at - began_at, call.operation, call.status) for call in calls],
        )


@contextmanager
def _hardship(stack: LocalStack, whop: Whop) -> Iterator[None]:
    switches = stack.fake.switches
    usual = replace(switches)
    switches.rate_limit, switches.rate_window, switches.failure_rate = whop.limit, whop.window, whop.failing
    stack.announced.failures.share = whop.platform_failing
    try:
        yield
    finally:
        switches.rate_limit, switches.rate_window = usual.rate_limit, usual.rate_window
        switches.failure_rate, switches.failure_kind = usual.failure_rate, usual.failure_kind
        stack.announced.failures.share = 0.0


class _Trial:
    def __init__(self, stack: LocalStack, traffic: Traffic, whop: Whop, terminal: Terminal) -> None:
        self._stack = stack
        self._traffic = traffic
        self._failures = itertools.cycle(whop.failures)
        self._terminal = terminal
        self._shown_at = time.monotonic()
        self._stopping = threading.Event()
        self._began_at = time.monotonic()
        self.moments: list[Moment] = []
        self.answers: list[Answered] = []
        self.accepted = 0
        self.sent_again = 0

    # -- sending ---------------------------------------------------------------------------------------------------

    def send(self) -> None:
        limits = httpx.Limits(max_connections=SENDERS, max_keepalive_connections=SENDERS)
        with (
            httpx.Client(timeout=30, trust_env=False, limits=limits) as client,
            ThreadPoolExecutor(SENDERS) as senders,
        ):
            try:
                first, *others = self._traffic.deliveries
                # The first goes alone: a local engine starts an environment for each request that finds none idle.
                for burst in ((first,), *itertools.batched(others, BURST, strict=False)):
                    futures = [senders.submit(self._send, client, event) for event in burst]
                    next_burst = time.monotonic() + PAUSE_SECONDS
                    self._pass(lambda: _all_done(futures) and time.monotonic() > next_burst)  # noqa: B023 - used at once
                    self._count(futures)
            finally:
                self._stopping.set()
                senders.shutdown(cancel_futures=True)

    def _send(self, client: httpx.Client, event: Event) -> int | None:
        """How many attempts it took, None if it was never accepted."""
        for attempt in range(ATTEMPTS):
            try:
                url, delivery = self._stack.deployment.webhook_url, event.delivery
                posted_at = time.monotonic()
                if client.post(url, content=delivery.content, headers=delivery.headers()).status_code == 200:
                    took = (time.monotonic() - posted_at) * 1000
                    self.answers.append(Answered(posted_at - self._began_at, took))
                    return attempt + 1
            except httpx.TransportError:
                pass
            if self._stopping.wait(1):
                break
        return None

    def _count(self, futures: Sequence[Future[int | None]]) -> None:
        attempts = [future.result() for future in futures]
        self.accepted += sum(attempt is not None for attempt in attempts)
        self.sent_again += sum(attempt is not None and attempt > 1 for attempt in attempts)

    def drain(self, patience: float) -> bool:
        """Whether all queued events were handled, and announced, in time."""
        deadline = time.monotonic() + patience
        few = len(self._traffic.deliveries) * FEW
        self._pass(lambda: self._stack.deployment.waiting() <= few or time.monotonic() > deadline)
        self._stack.fake.switches.failure_rate = 0.0
        self._stack.announced.failures.share = 0.0
        self._pass(lambda: self._waiting() == 0 or time.monotonic() > deadline)
        return self._waiting() == 0

    def _waiting(self) -> int:
        """Events first: a worker announces before it is done with one."""
        return self._stack.deployment.waiting() or self._stack.deployment.unannounced()

    def _pass(self, done: Callable[[], bool]) -> None:
        """Waits, shows how it goes, and lets Whop's failures take turns."""
        while not done():
            self._stack.fake.switches.failure_kind = next(self._failures)
            if not self.moments or time.monotonic() - self._began_at - self.moments[-1].at > 1:
                now = time.monotonic() - self._began_at
                self.moments.append(Moment(now, len(self.answers), self._stack.deployment.waiting()))
            if time.monotonic() - self._shown_at > PROGRESS_SECONDS:
                self._shown_at = time.monotonic()
                self._show_progress()
            time.sleep(0.2)

    def _show_progress(self) -> None:
        calls = self._stack.fake.calls
        limited = sum(call.status == 429 for call in calls)
        self._terminal.line(
            f"{self.accepted} accepted, {self._stack.deployment.waiting()} waiting,"
            f" {len(self._stack.fake.companies())} accounts, {len(calls)} calls to Whop, {limited} of them limited"
        )

    # -- counting --------------------------------------------------------------------------------------------------

    def parked(self) -> dict[str, str]:
        """The reason by the id of each of our events that is parked."""
        deployment = self._stack.deployment
        ours = {event.delivery.id for event in self._traffic.deliveries}
        with ParkedEvents(Stack(name=deployment.stack, endpoint_url=deployment.engine.url)).held() as events:
            return {event.event_id: event.reason for event in events if event.event_id in ours}

    def lost(self, parked: dict[str, str]) -> int:
        rows = {row.get("user_id"): row for row in self._stack.deployment.rows() if row["key"].startswith("user#")}
        return sum(
            event.delivery.id not in parked
            and any(_version(rows.get(user.id, {}), name) < event.version for name in event.profile)
            for user in self._traffic.users
            for event in user.events
        )

    def announced(self) -> Accounts:
        ours = {user.id for user in self._traffic.users}
        rows = {row["user_id"]: row for row in self._stack.deployment.rows() if row["key"].startswith("user#")}
        recorded = {user_id: int(rows.get(user_id, {}).get("announced", 0)) for user_id in ours}
        return Accounts.of(recorded, [each for each in self._stack.announced.taken if each.user_id in ours])

    def doubled(self) -> int:
        return sum(len(accounts) - 1 for accounts in self._accounts().values())

    def wrong(self) -> int:
        accounts = self._accounts()
        return sum(not self._is_right(user, accounts.get(user.id)) for user in self._traffic.users)

    def _is_right(self, user: User, whop_user_ids: list[str] | None) -> bool:
        if not whop_user_ids:
            return False
        expected = user.expected
        colour = expected.get("picture")
        return self._stack.whop.user(whop_user_ids[0])["name"] == expected["name"] and self._stack.fake.picture(
            whop_user_ids[0]
        ) == (png(colour) if colour else None)

    def _accounts(self) -> dict[str, list[str]]:
        """The Whop users by platform user, as Whop lists their accounts."""
        found: dict[str, list[str]] = {user.id: [] for user in self._traffic.users}
        for account in self._stack.whop.accounts(since=datetime(2026, 1, 1, tzinfo=UTC)):
            user_id = (account["metadata"] or {}).get("internal_user_id")
            if user_id in found:
                found[user_id].append(account["owner_user"]["id"])
        return {user_id: owners for user_id, owners in found.items() if owners}


def _version(row: Mapping[str, Any], field: str) -> int:
    """The version at which a field of a row stands, 0 if nothing was said of it."""
    position = row.get(f"{field}_position")
    return Position.of(position).version if position else 0


def _all_done(futures: Sequence[Future[int | None]]) -> bool:
    return all(future.done() for future in futures)
