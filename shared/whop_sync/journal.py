"""What is told to the outside: log lines and metrics. Only what these methods name can ever be logged."""

import logging
import threading
import traceback
from pathlib import Path

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from whop_sync.errors import SyncError
from whop_sync.events import UserEvent

# These log URLs and bodies when a deployment turns the log level down.
_TALKATIVE = ("boto3", "botocore", "urllib3", "httpx", "httpcore")


class Journal:
    """Log lines are JSON with `outcome`, ids and a `reason`. Metrics carry no dimension but the stack's name."""

    def __init__(self) -> None:
        self._logger = Logger()
        self._metrics = Metrics()
        self._counting = threading.Lock()
        self._levels = {
            "rejected": self._logger.warning,
            "retried": self._logger.warning,
            "deferred": self._logger.error,
            "parked": self._logger.error,
        }
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)

    def delivery(
        self,
        outcome: str,
        *,
        event_id: str | None = None,
        event: UserEvent | None = None,
        error: SyncError | None = None,
    ) -> None:
        """A webhook delivery was accepted, ignored, parked, rejected or deferred."""
        self._count(f"Delivery{outcome.capitalize()}")
        self._log("delivery", outcome, event_id=event_id, event=event, error=error)

    def event(
        self,
        outcome: str,
        event: UserEvent | None,
        *,
        event_id: str | None = None,
        error: SyncError | None = None,
        retry_in: float | None = None,
    ) -> None:
        """A worker is done with an event, for good or for now."""
        self._count(f"Event{outcome.capitalize()}")
        if error and error.reason == "whop_key_rejected":
            self._count("WhopKeyRejected")
        self._log("event", outcome, event_id=event_id, event=event, error=error, retry_in=retry_in)

    def crash(self, error: BaseException, event: UserEvent | None = None) -> None:
        """A defect: the places it passed through, without its message, which may quote anything."""
        frames = traceback.extract_tb(error.__traceback__)
        places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
        ids = {"event_id": event.event_id, "user_id": event.user_id} if event else {}
        self._count("Crash")
        self._logger.error("crash", extra={"error": type(error).__name__, "places": places, **ids})

    def flush(self) -> None:
        self._metrics.flush_metrics()

    def _count(self, metric: str) -> None:
        with self._counting:  # workers count from several threads, and Powertools' metrics are not made for it
            self._metrics.add_metric(metric, MetricUnit.Count, 1)

    def _log(
        self,
        message: str,
        outcome: str,
        *,
        event_id: str | None,
        event: UserEvent | None,
        error: SyncError | None,
        retry_in: float | None = None,
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
        }
        extra = {name: value for name, value in fields.items() if value is not None}
        self._levels.get(outcome, self._logger.info)(message, extra=extra)
