"""The log lines of a stack: found by fields, from every function's log group, in order of time."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from whop_user_sync.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient

_QUERY_LIMIT = 10_000
_QUERY_POLL_SECONDS = 0.5

FUNCTIONS = (
    *("receive-webhook", "whop-webhooks", "user-created", "profile-updated", "announce", "look-up-user", "enroll-user"),
    *("mint-chat-token", "account-link", "payout-token", "import-users", "check-settings"),
)
"""The last parts of the names of a stack's log groups. Those of another stack, whose name begins with that of this one,
have something in between."""

SHOWN = (
    *("outcome", "kind", "reason", "operation", "whop_status", "whop_code", "whop_request_id", "milliseconds"),
    *("retry_in_seconds", "error", "places", "explanation", "event_id", "claimed_event_id", "event_type", "user_id"),
)
"""What is shown of a line, in this order, where the line has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """`at` is ISO 8601 as logged, `function` the last part of the function's name."""

    at: str
    function: str
    message: str
    fields: Mapping[str, Any]

    def __str__(self) -> str:
        facts = [f"{name}={json.dumps(self.fields[name])}" for name in SHOWN if name in self.fields]
        return " ".join([f"{self.at}  {self.function}: {self.message}", *facts])


class Logs:
    """Raises botocore's errors.

    On AWS a question goes to Logs Insights, which is charged by the gigabytes it reads and answers at once for all
    groups; FilterLogEvents would page through all of them. A local engine knows the latter alone, and lets every line
    pass, so each line is compared here too.
    """

    def __init__(self, stack: Stack) -> None:
        self._client: CloudWatchLogsClient = stack.client("logs")
        self._prefix = f"/aws/lambda/{stack.name}-"
        self._is_local = bool(stack.endpoint_url)

    def groups(self) -> list[str]:
        """None if there is no such stack."""
        pages = self._client.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=self._prefix)
        names = (group["logGroupName"] for page in pages for group in page["logGroups"])
        return [name for name in names if name.removeprefix(self._prefix) in FUNCTIONS]

    def find(self, wanted: Mapping[str, str], *, since: float, until: float | None = None) -> list[LogLine]:
        """Lines of which at least one field has the wanted value, oldest first. Times are in Unix seconds."""
        groups = self.groups()
        if not groups:
            return []
        end = time.time() if until is None else until
        read = self._filtered if self._is_local else self._queried
        found = [line for line in read(groups, wanted, since, end) if _matches(line, wanted)]
        return sorted(found, key=lambda line: line.at)

    def _queried(self, groups: list[str], wanted: Mapping[str, str], since: float, end: float) -> Iterator[LogLine]:
        conditions = " or ".join(f'{name} = "{_escaped(value)}"' for name, value in wanted.items())
        query = self._client.start_query(
            logGroupNames=groups,
            startTime=int(since),
            endTime=int(end) + 1,
            queryString=f"fields @message, @log | filter {conditions or 'ispresent(outcome)'} | sort @timestamp asc",
            limit=_QUERY_LIMIT,
        )["queryId"]
        while (answer := self._client.get_query_results(queryId=query))["status"] in ("Scheduled", "Running"):
            time.sleep(_QUERY_POLL_SECONDS)
        for row in answer["results"]:
            cells = {cell["field"]: cell["value"] for cell in row}
            yield from self._line(cells["@log"].rpartition(":")[2], cells["@message"])

    def _filtered(self, groups: list[str], wanted: Mapping[str, str], since: float, end: float) -> Iterator[LogLine]:
        del wanted
        for group in groups:
            pages = self._client.get_paginator("filter_log_events").paginate(
                logGroupName=group, startTime=int(since * 1000), endTime=int(end * 1000) + 1000
            )
            for page in pages:
                for event in page["events"]:
                    yield from self._line(group, event["message"])

    def _line(self, group: str, text: str) -> Iterator[LogLine]:
        try:
            fields = json.loads(text) if text.startswith("{") else {}
        except ValueError:
            fields = {}
        if isinstance(fields, dict) and "timestamp" in fields and "message" in fields:
            yield LogLine(
                at=str(fields["timestamp"]),
                function=group.removeprefix(self._prefix),
                message=str(fields["message"]),
                fields=fields,
            )


def _matches(line: LogLine, wanted: Mapping[str, str]) -> bool:
    return not wanted or any(str(line.fields.get(name)) == value for name, value in wanted.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
