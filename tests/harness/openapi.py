"""docs/openapi.yaml as a contract: what the functions answer is held against it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import yaml
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from local_stack import ROOT
from whop_sync.aws.api_gateway import HttpAnswer

FROM_API_GATEWAY = {"403", "429", "500"}
"""Statuses that API Gateway answers, before any function runs."""


@cache
def document() -> dict[str, Any]:
    """docs/openapi.yaml as it stands."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "docs/openapi.yaml").read_text())
    return found


@cache
def webhook_schema() -> dict[str, Any]:
    """docs/webhook.schema.json, the body of the webhook route."""
    found: dict[str, Any] = json.loads((ROOT / "docs/webhook.schema.json").read_text())
    return found


def operations() -> dict[str, dict[str, Any]]:
    """Each operation by its route as template.yaml names it, such as `GET /users/{user_id}`."""
    return {
        f"{method.upper()} {path}": operation
        for path, item in document()["paths"].items()
        for method, operation in item.items()
        if method in ("get", "put", "post", "delete", "patch")
    }


def answers(route: str) -> dict[str, Any]:
    """The documented answers of a route by their status, as text."""
    return {str(status): _resolved(answer) for status, answer in operations()[route]["responses"].items()}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer for the platform's backend."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]

    @classmethod
    def documented(cls, route: str, answer: HttpAnswer) -> Self:
        """A function's answer, which has to be one that docs/openapi.yaml has for the route."""
        check_answer(route, answer)
        return cls(answer["statusCode"], answer["headers"], json.loads(answer["body"]))

    @property
    def error(self) -> tuple[int, str]:
        return self.status, self.body["error"]


def check_answer(route: str, answer: Mapping[str, Any]) -> None:
    """Fails unless a function's answer (payload format 2.0) is one that docs/openapi.yaml has for the route."""
    status = str(answer["statusCode"])
    documented = answers(route)
    assert status in documented, f"docs/openapi.yaml, {route}: add the answer {status}"
    media = documented[status]["content"]["application/json"]
    assert answer["headers"]["content-type"] == "application/json"
    problems = [
        f"{error.json_path}: {error.message}"
        for error in _validator(media["schema"]).iter_errors(json.loads(answer["body"]))
    ]
    assert not problems, f"docs/openapi.yaml, {route}, {status}: {'; '.join(problems)}"
    named = {name.lower() for name in documented[status].get("headers", {})}
    unnamed = set(answer["headers"]) - {"content-type", "cache-control"} - named
    assert not unnamed, f"docs/openapi.yaml, {route}, {status}: add the header {', '.join(unnamed)}"


def validate_webhook(body: Any) -> list[str]:
    """What is wrong with a webhook's body by docs/webhook.schema.json; empty if nothing is."""
    schema = webhook_schema()
    validator = validator_for(schema)(schema)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(body)]


def _resolved(part: dict[str, Any]) -> dict[str, Any]:
    found: Any = part
    while "$ref" in found:
        found = document()
        for key in part["$ref"].removeprefix("#/").split("/"):
            found = found[key]
        part = found
    return dict(found)


@cache
def _registry() -> Registry[Any]:
    resource: Resource[Any] = Resource.from_contents(document(), default_specification=DRAFT202012)
    registry: Registry[Any] = Registry().with_resource("urn:openapi", resource)
    return registry


def _validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    absolute = json.loads(json.dumps(schema).replace('"#/', '"urn:openapi#/'))
    return Draft202012Validator(absolute, registry=_registry(), format_checker=Draft202012Validator.FORMAT_CHECKER)
