"""Log lines and metrics. What these methods name can be logged, and nothing else."""

import logging
import os
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from whop_sync.errors import OperatorNeeded, SyncError
from whop_sync.events import ProfileField, UserEvent

if TYPE_CHECKING:
    from whop_sync.announcements import Announcement

type DeliveryOutcome = Literal["accepted", "ignored", "parked", "rejected", "deferred"]
type WhopWebhookOutcome = Literal["accepted", "ignored", "unreadable", "rejected", "deferred"]
type RequestName = Literal["LookUp", "ChatToken", "AccountLink", "PayoutToken", "EnrollUser"]
type RequestOutcome = Literal["answered", "absent", "queued", "refused", "failed"]
type EventOutcome = Literal[
    "enrolled",
    "adopted",
    "mapped",
    "synced",
    "stale",
    "suspended",
    "restored",
    "deleted",
    "no_email",
    "retried",
    "parked",
]
type AnnouncementOutcome = Literal["delivered", "repeated", "unknown_account", "retried", "parked"]

# These log URLs and bodies when a deployment turns the log level down.
_TALKATIVE = ("boto3", "botocore", "urllib3", "httpx", "httpcore")

_under_way: ContextVar[UserEvent | None] = ContextVar("event", default=None)


class Journal:
    """Log lines are JSON with `outcome`, ids and a `reason`.

    Metrics are counted for the stack as a whole (dimension `service`) and some a second time by one thing more: the
    `reason`, which is one of our own words, or the `operation` of Whop's API. Nothing that a user, the platform or Whop
    wrote ever becomes a dimension.
    """

    def __init__(self) -> None:
        self._logger = Logger(use_rfc3339=True)  # Lambda takes the level of a line only with such a time
        # Powertools would take Lambda's own level, which is INFO where a template names none.
        logging.getLogger(self._logger.name).setLevel(os.environ.get("POWERTOOLS_LOG_LEVEL") or "INFO")
        self._metrics: dict[tuple[tuple[str, str], ...], EphemeralMetrics] = {}
        self._counting = threading.Lock()
        self._levels = {
            "rejected": self._logger.warning,
            "retried": self._logger.warning,
            "deferred": self._logger.error,
            "unreadable": self._logger.error,
            "parked": self._logger.error,
            "failed": self._logger.error,
        }
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)
        self._count("ColdStart")  # there is one journal an environment

    def delivery(
        self,
        outcome: DeliveryOutcome,
        *,
        event_id: str | None = None,
        event: UserEvent | None = None,
        error: SyncError | None = None,
        user_id: str | None = None,
        event_type: str | None = None,
        claimed_event_id: str | None = None,
    ) -> None:
        """A webhook delivery was accepted, ignored, parked, rejected or deferred.

        `user_id` is of a delivery that is parked, `event_type` of one that is ignored. A rejected delivery proves
        nothing, so what it claims to be has a field of its own.
        """
        self._count(f"Delivery{outcome.capitalize()}", error)
        self._count_operator_needed(error)
        more = {"user_id": user_id, "event_type": event_type, "claimed_event_id": claimed_event_id}
        given = {name: value for name, value in more.items() if value is not None}
        self._log("delivery", outcome, event_id=event_id, event=event, error=error, more=given)

    def whop_webhook(
        self,
        outcome: WhopWebhookOutcome,
        *,
        event_id: str | None = None,
        event_type: str | None = None,
        whop_company_id: str | None = None,
        claimed_event_id: str | None = None,
        error: SyncError | None = None,
    ) -> None:
        """One of Whop's own webhooks was accepted, ignored, rejected or deferred, or it was genuine and not readable.

        `event_id` is that of the announcement.
        """
        self._count(f"WhopWebhook{outcome.capitalize()}", error)
        self._count_operator_needed(error)
        given = {"event_type": event_type, "whop_company_id": whop_company_id, "claimed_event_id": claimed_event_id}
        self._log("whop webhook", outcome, event_id=event_id, event=None, error=error, more=given)

    def event(
        self,
        outcome: EventOutcome,
        event: UserEvent | None,
        *,
        age: float,
        event_id: str | None = None,
        error: SyncError | None = None,
        refused: Mapping[ProfileField, SyncError] | None = None,
        retry_in: float | None = None,
    ) -> None:
        """A worker is done with an event, for good or for now. `age` and `retry_in` are in seconds."""
        self._count(f"Event{_in_capitals(outcome)}", error)
        for name, refusal in (refused or {}).items():
            self._count(f"{name.capitalize()}Refused", refusal)
        if outcome == "retried":
            self._measure("EventWaiting", age, MetricUnit.Seconds)
            self._count_operator_needed(error)
        # An event that waited on purpose, an hour at most, is not late: for an e-mail, for an enrollment, for a picture
        # that is refused in the end, for a deleted user's return. A stale one changes nothing that a user could miss.
        elif outcome not in ("parked", "no_email", "suspended", "stale") and "picture" not in (refused or {}):
            self._measure("EventAge", age, MetricUnit.Seconds)
        shown = error or next(iter((refused or {}).values()), None)
        self._log("event", outcome, event_id=event_id, event=event, error=shown, retry_in=retry_in)

    def announcement(
        self,
        outcome: AnnouncementOutcome,
        announcement: "Announcement | None",
        *,
        age: float,
        message_id: str | None = None,
        error: SyncError | None = None,
        retry_in: float | None = None,
    ) -> None:
        """The platform learned of something, or is to learn of it later, or never. `age` and `retry_in` are in seconds.

        `message_id` stands for an announcement that could not be read.
        """
        self._count(f"Announcement{_in_capitals(outcome)}", error)
        if outcome == "retried":
            self._measure("AnnouncementWaiting", age, MetricUnit.Seconds)
            self._count_operator_needed(error)
        elif outcome == "delivered":
            self._measure("AnnouncementAge", age, MetricUnit.Seconds)
        about = {"event_type": announcement.type, "user_id": announcement.user_id} if announcement else {}
        self._log(
            "announcement",
            outcome,
            event_id=announcement.id if announcement else message_id,
            event=None,
            error=error,
            retry_in=retry_in,
            more={name: value for name, value in about.items() if value is not None},
        )

    def request(
        self,
        what: RequestName,
        outcome: RequestOutcome,
        *,
        user_id: str | None,
        error: SyncError | None = None,
    ) -> None:
        """The platform's backend asked for something. It was there, absent, put into a queue, wrongly asked for, or
        unavailable."""
        self._count(f"{what}{outcome.capitalize()}", error)
        self._count_operator_needed(error)
        self._log("request", outcome, event_id=None, event=None, error=error, more={"what": what, "user_id": user_id})

    @contextmanager
    def about(self, event: UserEvent) -> Iterator[None]:
        """What this thread asks of Whop meanwhile is done for this event."""
        token = _under_way.set(event)
        try:
            yield
        finally:
            _under_way.reset(token)

    def correlation_id(self) -> str | None:
        """The delivery that this thread works for."""
        event = _under_way.get()
        return event.event_id if event else None

    def whop_call(self, operation: str, *, status: int | None, seconds: float, request_id: str | None) -> None:
        """One call to Whop, such as `POST /companies`. `status` is None if no answer came."""
        self._measure(f"WhopCall{_kind_of_answer(status)}", operation=operation)
        self._measure("WhopCallTime", seconds * 1000, MetricUnit.Milliseconds, operation=operation)
        event = _under_way.get()
        fields = {
            "operation": operation,
            "whop_status": status,
            "milliseconds": round(seconds * 1000),
            "whop_request_id": request_id,
            "event_id": event and event.event_id,
            "user_id": event and event.user_id,
        }
        self._logger.info("whop call", extra={name: value for name, value in fields.items() if value is not None})

    def email_differs(self) -> None:
        """A user's e-mail is no longer that of their connected account, for the first time."""
        self._count("EmailDiffers")

    def picture_uploaded(self) -> None:
        self._count("PictureUploaded")

    def crash(self, error: BaseException, *, event_id: str | None = None, user_id: str | None = None) -> None:
        """A defect: the places it passed through, without its message, which may quote anything."""
        frames = traceback.extract_tb(error.__traceback__)
        places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
        ids = {name: value for name, value in (("event_id", event_id), ("user_id", user_id)) if value is not None}
        self._count("Crash")
        self._logger.error("crash", extra={"error": type(error).__name__, "places": places, **ids})

    def guarded[Answer](self, work: Callable[[], Answer], *, after_crash: Answer) -> Answer:
        """What `work` returns, or `after_crash` after a defect, whose message Lambda would log. Writes the metrics."""
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - whatever it is, its message may quote anything
            self.crash(error)
            return after_crash
        finally:
            self.flush()

    def flush(self) -> None:
        """Writes the metrics counted since the last time: one line for the stack, one a reason, one an operation."""
        with self._counting:
            counted, self._metrics = self._metrics, {}
        for metrics in counted.values():
            if metrics.metric_set:
                metrics.flush_metrics()

    def _count(self, metric: str, error: SyncError | None = None) -> None:
        if error:
            self._measure(metric, reason=error.reason)
        else:
            self._measure(metric)

    def _count_operator_needed(self, error: SyncError | None) -> None:
        if isinstance(error, OperatorNeeded):
            self._count("OperatorNeeded")

    def _measure(self, metric: str, value: float = 1, unit: MetricUnit = MetricUnit.Count, **by: str) -> None:
        key = tuple(by.items())
        with self._counting:  # workers count from several threads, and Powertools' metrics are not made for it
            metrics = self._metrics.get(key)
            if metrics is None:
                metrics = self._metrics[key] = EphemeralMetrics()
                if by:
                    metrics.add_dimensions(service=str(metrics.service), **by)
            metrics.add_metric(metric, unit, value)

    def _log(
        self,
        message: str,
        outcome: str,
        *,
        event_id: str | None,
        event: UserEvent | None,
        error: SyncError | None,
        retry_in: float | None = None,
        more: Mapping[str, str | None] | None = None,
    ) -> None:
        answer = error.answer if error else None
        fields = {
            "outcome": outcome,
            "event_id": event.event_id if event else event_id,
            "user_id": event.user_id if event else None,
            "kind": event.kind if event else None,
            "reason": error.reason if error else None,
            "explanation": error.explanation if error else None,
            "whop_status": answer.status if answer else None,
            "whop_code": answer.code if answer else None,
            "whop_request_id": answer.request_id if answer else None,
            "retry_in_seconds": round(retry_in) if retry_in is not None else None,
            **(more or {}),
        }
        extra = {name: value for name, value in fields.items() if value is not None}
        self._levels.get(outcome, self._logger.info)(message, extra=extra)


def _in_capitals(outcome: str) -> str:
    return outcome.title().replace("_", "")


def _kind_of_answer(status: int | None) -> str:
    if status is None:
        return "Unanswered"
    if status in (401, 403):
        return "Unauthorized"
    if status == 429:  # noqa: PLR2004 - a status speaks for itself
        return "RateLimited"
    if 200 <= status < 300:  # noqa: PLR2004
        return "Succeeded"
    if 400 <= status < 500:  # noqa: PLR2004
        return "Refused"
    return "Failed"
