"""`PUT /users/{user_id}`: enrolls or updates a user while the platform's backend waits.

    read the body ── the same claim, attempt and slots as a worker ── done ──▶ what the look-up answers
                        │ another worker has the user: wait for it
                        └ not done in time ── into the queue ──▶ 202, and a worker goes on

The queue comes last: until then the caller has no answer and asks again. A request that dies on the way leaves what a
worker leaves that dies: the next event about the user, from wherever it comes, takes it up.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Protocol

import httpx

from whop_sync.aws.api_gateway import HttpAnswer, HttpEvent
from whop_sync.aws.queues import EventQueues
from whop_sync.backend_api.http_api import answer, parameter
from whop_sync.backend_api.refusals import (
    FAILED_RETRY_SECONDS,
    RETRY_SECONDS,
    bad_request,
    not_chosen,
    not_stored,
    recorded,
    unreadable_table,
)
from whop_sync.errors import AwaitsTurn, Malformed, OperatorNeeded, Permanent, SyncError, Transient
from whop_sync.events import ProfileField, UserEvent
from whop_sync.journal import EventOutcome, Journal, RequestOutcome
from whop_sync.users.directory import Directory, Entry

WAIT_SECONDS = 20.0
"""How long a caller waits for a user whom another worker has."""

WORK_SECONDS = 27.0
"""When the last call to Whop has to have ended. API Gateway waits for 30 seconds."""

MAX_SLOT_WAIT_SECONDS = 2.0
CALL_TIMEOUT = httpx.Timeout(2, read=8, connect=2)
CALL_SECONDS = 13 + MAX_SLOT_WAIT_SECONDS
"""No call takes longer: the wait for a slot, then the sum of the timeouts and a margin. All are shorter than those of a
worker, since a caller waits."""

PICTURE_SECONDS = 5.0
"""How long a caller waits for a picture: one that takes longer is left to a worker, which gives it more time."""

LAST_TRY_SECONDS = WORK_SECONDS - CALL_SECONDS
"""When the last try begins after one that failed: later, it could ask Whop for nothing."""

_POLL_SECONDS = 0.5
_FIRST_BACKOFF, _MAX_BACKOFF = 0.5, 4.0

# What stands in the way is about the user, and the row says it.
_OF_THE_USER = ("no_email", "user_deleted")

# What stands in the way is the host of the user's picture.
_OF_A_PICTURE = ("picture_not_found", "picture_unavailable", "picture_untrusted")


class Reader(Protocol):
    def read(self, http_event: HttpEvent, *, now: float) -> UserEvent:
        """Raises Malformed, whose explanation is a sentence, and Permanent for a user who is not to be enrolled."""


class Result(Protocol):
    """What became of an event."""

    @property
    def outcome(self) -> EventOutcome: ...

    @property
    def refused(self) -> Mapping[ProfileField, SyncError]: ...

    @property
    def email_differs(self) -> bool: ...


class Handler(Protocol):
    def handle(self, event: UserEvent, *, age: float, deadline: float) -> Result:
        """Brings an event to Whop. Raises Transient and Permanent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollUser:
    reader: Reader
    handler: Handler
    queues: EventQueues
    directory: Directory
    journal: Journal
    clock: Callable[[], float]
    sleep: Callable[[float], None]

    def answer(self, http_event: HttpEvent) -> HttpAnswer:
        """200 with the user, as the look-up shows them.

        202 with Retry-After if it is not done yet: it is in the queue. 400 for a body that is not the recommended one,
        or is about another user than the path; 409 with the reason why there is no Whop user; 410 for a user whom the
        platform has deleted since; 503 if it is not done and could not be put into the queue.
        """
        return self.journal.guarded(lambda: self._answer(http_event), after_crash=not_stored())

    def _answer(self, http_event: HttpEvent) -> HttpAnswer:
        began = self.clock()
        user_id = None
        try:
            user_id = parameter(http_event, "user_id")
            event = self._read(http_event, user_id, began)
        except Malformed as error:
            self.journal.request("EnrollUser", "refused", user_id=user_id, error=error)
            return bad_request(error)
        except Permanent as error:
            self.journal.request("EnrollUser", "refused", user_id=user_id, error=error)
            return not_chosen(error)
        result = self._bring(event, began)
        if isinstance(result, Transient):
            return self._queue(event, result)
        if isinstance(result, Permanent):
            return self._recorded(event, result)
        self.journal.event(result.outcome, event, age=self.clock() - began, refused=result.refused)
        if result.email_differs:
            self.journal.email_differs()
        return self._recorded(event)

    def _read(self, http_event: HttpEvent, user_id: str | None, now: float) -> UserEvent:
        event = self.reader.read(http_event, now=now)
        if event.user_id != user_id:
            raise Malformed("bad_request", "data.id is not the id in the path.")
        return event

    def _bring(self, event: UserEvent, began: float) -> Result | Transient | Permanent:
        """Does what a worker does, again and again while there is time. Returns why it is not done, if it is not."""
        tries = 0
        while True:
            try:
                with self.journal.about(event):
                    return self.handler.handle(event, age=self.clock() - began, deadline=began + WORK_SECONDS)
            except Permanent as error:
                return error
            except Transient as error:
                pause = pause_after(error, tries)
                last = WAIT_SECONDS if error.reason == "busy" else LAST_TRY_SECONDS
                if pause is None or self.clock() + pause > began + last:
                    return error
            tries += 1
            self.sleep(pause)

    def _queue(self, event: UserEvent, error: Transient) -> HttpAnswer:
        """Leaves an event to the workers that is not done."""
        try:
            self.queues.send(event)
        except Transient as unstored:
            self.journal.request("EnrollUser", "failed", user_id=event.user_id, error=unstored)
            return not_stored()
        if error.reason in _OF_THE_USER:
            return self._recorded(event, error, outcome="queued")
        self.journal.request("EnrollUser", "queued", user_id=event.user_id, error=error)
        try:
            entry = self.directory.entry(event.user_id)
        except Transient:
            entry = None
        return _accepted(entry, error)

    def _recorded(
        self, event: UserEvent, error: SyncError | None = None, *, outcome: RequestOutcome | None = None
    ) -> HttpAnswer:
        """What the look-up answers about the user."""
        try:
            entry = self.directory.entry(event.user_id)
        except Transient as unreadable:
            self.journal.request("EnrollUser", "failed", user_id=event.user_id, error=unreadable)
            return unreadable_table()
        found: RequestOutcome = "answered" if entry and entry.whop_user_id else "absent"
        self.journal.request("EnrollUser", outcome or found, user_id=event.user_id, error=error)
        return not_stored() if entry is None else recorded(entry, not_enrolled_status=409)


def pause_after(error: Transient, tries: int) -> float | None:
    """Seconds until the next try, None if the caller should not wait for it: until an operator has acted, another event
    has come, or a call that Whop did not answer can be under way no longer. `tries` have failed before.

        call ──── no answer in time ──┤ the row's lease is kept ────────────────────┤ the next try
                                      └ 202: it lasts longer than any caller waits

    A picture's host gets a second chance, since some know a new picture a moment late, and no third.
    """
    if error.reason == "busy":
        return _POLL_SECONDS
    if isinstance(error, OperatorNeeded) or error.effect == "pending":
        return None
    if error.reason in _OF_A_PICTURE and tries:
        return None
    if isinstance(error, AwaitsTurn) or error.retry_after is not None:
        return error.retry_after
    return min(_FIRST_BACKOFF * 2.0**tries, _MAX_BACKOFF)


def _accepted(entry: Entry | None, error: Transient) -> HttpAnswer:
    wait = min(max(error.retry_after or 0.0, RETRY_SECONDS), FAILED_RETRY_SECONDS)
    body = {
        "status": "queued",
        "message": "The user is not up to date on Whop yet. The request is stored, and a worker goes on with it.",
        "user": asdict(entry) if entry else None,
    }
    return answer(202, body, retry_after=wait)
