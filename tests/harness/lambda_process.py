"""One environment of a function in a process of its own, which prints whatever Lambda would log.

`python -m harness.lambda_process APP ANSWERS` reads a list of steps from standard input, invokes the handler with each
and writes the list of answers to the file ANSWERS. A step is {"event": ..., "sabotage": ...}, where the sabotage names
what shall fail meanwhile, as "package.module.name": it raises an error whose message quotes all that it was given.
Every logger is at its most talkative, and an error that gets out of the handler is printed as Lambda prints it.
"""

import importlib
import json
import logging
import sys
import traceback
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

from botocore.exceptions import ClientError

from harness.template_stack import load

AWS = "botocore.client.BaseClient._make_api_call"
"""Sabotaged, every call to AWS is refused with an error that quotes what was sent."""


class Context:
    def get_remaining_time_in_millis(self) -> int:
        return 120_000


def main() -> None:
    app, answers = map(Path, sys.argv[1:])
    logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
    module = load(app)
    answered = []
    for step in json.load(sys.stdin):
        with _sabotaged(step.get("sabotage")):
            try:
                answered.append(module.handler(step["event"], Context()))
            except Exception:  # noqa: BLE001 - printed, as Lambda does
                traceback.print_exc()
                answered.append("raised")
    answers.write_text(json.dumps(answered))


def _sabotaged(name: str | None) -> AbstractContextManager[Any]:
    if name is None:
        return nullcontext()
    parts = name.split(".")
    # "whop_sync.aws.queues.Queue.park" names an attribute of a class, "whop_sync.tls.trusted" one of a module.
    depth = next(depth for depth in range(len(parts) - 1, 0, -1) if _is_module(".".join(parts[:depth])))
    target: Any = importlib.import_module(".".join(parts[:depth]))
    for part in parts[depth:-1]:
        target = getattr(target, part)
    return patch.object(target, parts[-1], _refuse if name == AWS else _fail)


def _is_module(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def _fail(*given: object, **named: object) -> None:
    raise RuntimeError(f"cannot do it with {given!r} and {named!r}")


def _refuse(_client: object, operation: str, parameters: object) -> None:
    raise ClientError({"Error": {"Code": "ValidationException", "Message": repr(parameters)}}, operation)


if __name__ == "__main__":
    main()
