"""What AWS's own models of its APIs say of a call: lengths, patterns, ranges and words, which an engine may not check.

The SDK checks types, required members and lower bounds before it sends a call. The models hold more, and AWS itself
refuses what is against it.
"""

import re
from collections.abc import Iterator
from typing import Any

import botocore
from botocore.model import ListShape, MapShape, OperationModel, Shape, StringShape, StructureShape


def objections(model: OperationModel, parameters: dict[str, Any]) -> list[str]:
    """What is against the model, as a sentence each with the path to it."""
    return list(_objections(model.input_shape, parameters, model.name)) if model.input_shape else []


def note(client: Any, calls: list[tuple[str, dict[str, Any]]]) -> None:
    """Notes each call of a client as (service.Operation, parameters)."""

    def look(params: dict[str, Any], model: OperationModel, **_: Any) -> None:
        calls.append((f"{model.service_model.service_name}.{model.name}", params))

    client.meta.events.register("before-parameter-build", look)


def compare_every_call() -> None:
    """Fails each call from now on that is against AWS's models, whichever client of this process makes it."""
    botocore.register_initializer(lambda session: session.register("before-parameter-build", _compare))  # type: ignore[arg-type]


def _compare(params: dict[str, Any], model: OperationModel, **_: Any) -> None:
    found = objections(model, params)
    assert found == [], found


def _objections(shape: Shape, value: Any, path: str) -> Iterator[str]:
    limits = shape.metadata
    match shape:
        case StructureShape():
            for name, inner in value.items():
                if name in shape.members:
                    yield from _objections(shape.members[name], inner, f"{path}.{name}")
                else:
                    yield f"{path} has no member {name}"
            yield from (f"{path} lacks {name}" for name in shape.required_members if name not in value)
        case ListShape():
            yield from _outside(limits, len(value), f"the length of {path}")
            for index, inner in enumerate(value):
                yield from _objections(shape.member, inner, f"{path}[{index}]")
        case MapShape():
            yield from _outside(limits, len(value), f"the length of {path}")
            for key, inner in value.items():
                yield from _objections(shape.key, key, f"{path}.{key}")
                yield from _objections(shape.value, inner, f"{path}.{key}")
        case StringShape():
            yield from _outside(limits, len(value), f"the length of {path}")
            if shape.enum and value not in shape.enum:
                yield f"{path} is none of {shape.enum}"
            if "pattern" in limits and not re.fullmatch(limits["pattern"], value):
                yield f"{path} does not match {limits['pattern']}"
        case _ if isinstance(value, int):
            yield from _outside(limits, value, path)


def _outside(limits: dict[str, Any], size: int, what: str) -> Iterator[str]:
    if not limits.get("min", size) <= size <= limits.get("max", size):
        yield f"{what} is {size}, not from {limits.get('min')} to {limits.get('max')}"
