"""The outer form of Whop's API: versions, requests, answers, errors, and the checks on fields and parameters."""

import json
import re
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime

type Json = bool | int | float | str | list[Json] | dict[str, Json] | None
type Body = dict[str, Json]

# Documented in the changelog up to 2026-09-25; the later ones are the defaults of official clients.
KNOWN_VERSIONS = (
    "2025-01-01",
    "2026-06-08",
    "2026-06-09",
    "2026-06-20",
    "2026-07-01",
    "2026-07-08",
    "2026-07-08-1",
    "2026-07-18",
    "2026-07-20",
    "2026-07-22",
    "2026-07-23",
    "2026-07-25",
    "2026-07-26",
    "2026-07-27",
    "2026-07-29",
    "2026-07-29-1",
    "2026-07-31",
    "2026-08-03",
    "2026-08-05",
    "2026-08-05-1",
    "2026-08-10",
    "2026-08-12",
    "2026-08-13",
    "2026-08-14",
    "2026-08-21",
    "2026-08-21-1",
    "2026-08-25",
    "2026-08-25-1",
    "2026-08-25-2",
    "2026-08-31",
    "2026-09-02",
    "2026-09-02-1",
    "2026-09-02-2",
    "2026-09-04",
    "2026-09-06",
    "2026-09-09",
    "2026-09-09-1",
    "2026-09-11",
    "2026-09-11-1",
    "2026-09-13",
    "2026-09-15",
    "2026-09-22",
    "2026-09-22-1",
    "2026-09-22-2",
    "2026-09-22-3",
    "2026-09-22-4",
    "2026-09-23",
    "2026-09-24",
    "2026-09-24-1",
    "2026-09-25",
    "2026-09-29",
    "2026-10-07-2",
    "2026-10-08",
    "2026-10-09-2",
    "2026-10-13-1",
    "2026-10-15-1",
)
LATEST_VERSION = KNOWN_VERSIONS[-1]

# Versions sort as text, suffix included; these are the dates from which something is different.
USER_OBJECT_CURRENT = "2026-07-08"
PARENT_ACCOUNT_OBJECT = "2026-07-31"
WEBHOOK_API_VERSION_LEFT = "2026-08-12"
"""Assumed to be the date, too, from which GET /webhooks takes account_id: between the SDKs 0.0.41 and 1.0.11."""
ACCOUNT_ID_IN_WEBHOOKS = "2026-08-14"
ACCOUNT_OWNER = "2026-08-21"
NATIVE_FILES = "2026-08-21-1"
SOCIAL_LINKS = "2026-10-08"
INDUSTRY_GROUP_LEFT = "2026-10-13-1"
STABLECOIN_RAILS_LEFT = "2026-10-15-1"
COMPANIES_LEFT_SDK = "2026-09-02-1"
ACCOUNT_ID_IN_TOKENS = "2026-09-02-2"


@dataclass(frozen=True, slots=True)
class Request:
    """What came in. Header names are lower case, `query` is the undecoded text after the question mark."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes out."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


def answer(body: Json, status: int = 200) -> Answer:
    return Answer(status, json.dumps(body, ensure_ascii=False).encode())


class WhopError(Exception):
    """Whop says no. The body has the legacy or the native form, whichever surface the operation belongs to."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param, self.retry_after = status, message, code, param, retry_after

    def answer(self, *, native: bool) -> Answer:
        """Documented: `type` and `message` always; legacy carries code and param (or null), native only a code."""
        error: Body = {"type": self._type(native=native), "message": self.message}
        if not native:
            error |= {"code": self.code, "param": self.param}
        elif self.code is not None:
            error["code"] = self.code
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return Answer(self.status, json.dumps({"error": error}, ensure_ascii=False).encode(), headers)

    def _type(self, *, native: bool) -> str:
        named = {
            401: "unauthorized",
            403: "forbidden",
            404: "not_found",
            409: "conflict",
            410: "gone",
            429: "rate_limit_exceeded",
            500: "internal_server_error",
        }
        return named.get(self.status, "invalid_parameters" if native else "invalid_request_error")


def missing(param: str) -> WhopError:
    return WhopError(400, f"Missing required parameter: {param}", code="parameter_missing", param=param)


def invalid(param: str, why: str, status: int = 400) -> WhopError:
    return WhopError(status, f"{param}: {why}", code="parameter_invalid", param=param)


def not_found(what: str) -> WhopError:
    return WhopError(404, f"{what} was not found")


type Check = Callable[[Json], bool]


def text(value: Json) -> bool:
    return isinstance(value, str)


def boolean(value: Json) -> bool:
    return isinstance(value, bool)


def integer(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def mapping(value: Json) -> bool:
    return isinstance(value, dict)


def listing(value: Json) -> bool:
    return isinstance(value, list)


def texts(value: Json) -> bool:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)


def file_reference(value: Json) -> bool:
    return isinstance(value, dict) and set(value) == {"id"} and isinstance(value["id"], str)


def anything(_: Json) -> bool:
    return True


def or_null(check: Check) -> Check:
    return lambda value: value is None or check(value)


def one_of(*allowed: str) -> Check:
    return lambda value: value in allowed


def check_fields(body: Body, known: Mapping[str, Check]) -> None:
    """Refuse fields the operation does not know (which includes known ones in the wrong place) and wrong types."""
    for name, value in body.items():
        if name not in known:
            raise invalid(name, "unknown parameter")
        if not known[name](value):
            raise invalid(name, "wrong type or value")


def check_query(query: Mapping[str, str], known: AbstractSet[str]) -> None:
    for name in query:
        if name not in known:
            raise invalid(name, "unknown parameter")


def instant(value: str, param: str) -> float:
    """Seconds since the epoch of an ISO 8601 time with an offset."""
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise invalid(param, "not an ISO 8601 time") from None
    if moment.tzinfo is None:
        raise invalid(param, "a time needs its offset")
    return moment.timestamp()


def timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def slug(words: str) -> str:
    """Lower-case letters, digits and single hyphens, as in a username or a route."""
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
