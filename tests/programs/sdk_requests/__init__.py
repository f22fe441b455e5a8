"""What Whop's official Python SDK sends, at each of its releases, in the calls that are made here.

The SDK is written by machines from Whop's OpenAPI documents, so a release says what Whop took at the Api-Version-Date
that the release sends. `known.json` has what was read from the releases, so that tests need none of them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

KNOWN = Path(__file__).with_name("known.json")

RELEASES: Mapping[str, str] = {
    "0.0.41": "2026-07-08-1",
    "1.0.11": "2026-08-21",
    "1.0.14": "2026-08-21-1",
    "1.1.0": "2026-09-02-1",
    "1.1.1": "2026-09-02-2",
    "1.1.5": "2026-09-15",
    "2.0.0": "2026-09-23",
    "2.1.0": "2026-09-29",
    "2.3.0": "2026-10-08",
    "2.4.0": "2026-10-09-2",
    "2.5.0": "2026-10-13-1",
    "2.6.0": "2026-10-15-1",
}
"""Releases of whop-sdk by the Api-Version-Date that each sends, the first release of each date."""

CALLS = frozenset(
    (
        "POST /companies",
        "GET /companies",
        "GET /companies/{id}",
        "POST /accounts",
        "GET /accounts",
        "GET /accounts/{id}",
        "PATCH /accounts/{id}",
        "DELETE /accounts/{id}",
        "POST /account_links",
        "POST /access_tokens",
        "GET /permissions",
        "GET /users/{id}",
        "PATCH /users/{id}",
        "POST /files",
        "GET /files/{id}",
    )
)
"""What our client calls."""

FAKE_ONLY = frozenset(
    (
        "PATCH /companies/{id}",
        "GET /accounts/search",
        "POST /accounts/{id}/suspend",
        "GET /users",
        "GET /files",
        "POST /files/{id}/complete",
        "POST /webhooks",
        "GET /webhooks",
        "GET /webhooks/{id}",
        "PATCH /webhooks/{id}",
        "DELETE /webhooks/{id}",
    )
)
"""What only other clients call, which may be held against the fake, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A part of a query or of a body.

    Attributes:
        kinds: the JSON types that it may have; a parameter of a query is text, whatever it stands for.
        fields: of an object, the keys that it may have; None where any are.
    """

    required: bool
    kinds: tuple[str, ...]
    fields: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a call may send."""

    query: Mapping[str, Parameter]
    body: Mapping[str, Parameter]


@cache
def known() -> Mapping[str, Mapping[str, Request]]:
    """By release and by call, such as `POST /companies`. A call that a release does not have is absent."""

    def parameters(found: Mapping[str, Mapping[str, object]]) -> dict[str, Parameter]:
        return {
            name: Parameter(
                required=bool(each.get("required")),
                kinds=tuple(map(str, _list(each["kinds"]))),
                fields=tuple(map(str, _list(each["fields"]))) if "fields" in each else None,
            )
            for name, each in found.items()
        }

    document = json.loads(KNOWN.read_text())
    return {
        release: {
            call: Request(query=parameters(request["query"]), body=parameters(request["body"]))
            for call, request in calls.items()
        }
        for release, calls in document.items()
    }


def _list(found: object) -> list[object]:
    assert isinstance(found, list)
    return found
