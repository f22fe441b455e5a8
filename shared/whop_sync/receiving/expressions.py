"""JMESPath (https://jmespath.org/specification.html) on a webhook body: what an expression finds, and what it may read.

The library evaluates; what stands here is which parts of a delivery an expression can reach, since what no signature
covers must not say who a user is. It is decided on the parsed expression, so every spelling of a path counts.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypedDict

import jmespath
import jmespath.exceptions
import jmespath.functions

from whop_sync.errors import Malformed
from whop_sync.values import decode_json

type Place = str
"""A part of a document: "" the whole, "delivery", "delivery.headers", one key below one of these; or _BODY."""

TIMES = frozenset(("delivery.received_at", "delivery.signed_at"))

_BODY: Place = "body"
_CONTAINERS = frozenset(("", "delivery", "delivery.headers"))
_SHAPE_FUNCTIONS = frozenset(("keys", "length", "type"))
"""They read of an object no more than which keys it has, which for all but the headers is known beforehand."""


class DeliveryFacts(TypedDict):
    """What is known of a delivery beside its body.

    - `headers`: names in lower case. No signature covers them.
    - `received_at`, `judged_at`: Unix seconds of when it came, and of now, which is later for one that was parked.
    - `signed_at`: microseconds that the signature covers, None where it covers none.
    - `replayable`: the signature covers the body alone, so that a copy can be sent again at any time.
    """

    headers: Mapping[str, str]
    received_at: float
    judged_at: float
    signed_at: int | None
    replayable: bool


class Document(TypedDict):
    """A parsed body with `delivery` beside its own keys, which only expressions know."""

    delivery: DeliveryFacts


class _Functions(jmespath.functions.Functions):
    @jmespath.functions.signature({"types": ["array", "string", "null"]}, {"types": ["string"]}, {"types": []})
    def _func_find_by(self, items: object, key: str, value: object) -> Any:
        """The first object of a list whose `key` has the value, else null. Plain JMESPath cannot ask for it."""
        if not isinstance(items, list) or value in (None, ""):
            return None
        return next((item for item in items if isinstance(item, dict) and item.get(key) == value), None)

    @jmespath.functions.signature({"types": ["string", "null"]})
    def _func_from_json(self, text: str | None) -> Any:
        """The value of a text that is JSON itself, null for none."""
        return decode_json(text) if text else None

    @jmespath.functions.signature({"types": ["string", "object", "null"]})
    def _func_from_base64_json(self, value: object) -> Any:
        """The value of JSON that is written in base64. An object is left as it is, null is none."""
        return (
            decode_json(base64.b64decode(value, validate=True).decode()) if isinstance(value, str) and value else value
        )


_OPTIONS = jmespath.Options(custom_functions=_Functions())


def find(expression: str, document: Document) -> Any:
    """What an expression finds in a document, None for nothing. Raises Malformed."""
    # JMESPath keeps what it compiled, so an expression is parsed once per environment.
    try:
        return jmespath.search(expression, document, options=_OPTIONS)
    except (ValueError, TypeError, ArithmeticError, RecursionError):  # functions on values they are not made for
        raise Malformed("unexpected_shape", f"{expression} cannot be read from the body") from None


def problem(expression: str, *, headers: bool, times: bool) -> str | None:
    """Why an expression can never be right, as the rest of a sentence that begins with it; None if it can.

    Args:
        headers: whether it may read headers, which no signature covers.
        times: whether it may read when a delivery came or was signed.
    """
    try:
        tree = jmespath.compile(expression).parsed
        nodes, places = list(_nodes(tree)), sorted(_reads(tree))
    except (jmespath.exceptions.JMESPathError, RecursionError) as error:
        return f"is not a JMESPath expression: {' '.join(str(error).split())}"
    calls = (_call_problem(node) for node in nodes if node["type"] == "function_expression")
    paths = (_place_problem(place, headers=headers, times=times) for place in places)
    return next((found for found in (*calls, *paths) if found), None)


def _call_problem(call: Any) -> str | None:
    """JMESPath itself would only notice when a body comes along."""
    function = _Functions.FUNCTION_TABLE.get(call["value"])
    if function is None:
        return f"calls {call['value']}(), which is no function"
    given, wanted = len(call["children"]), function["signature"]
    if given < len(wanted) or (given > len(wanted) and not wanted[-1].get("variadic")):
        return f"calls {call['value']}() with {given} arguments in place of {len(wanted)}"
    return None


def _place_problem(place: Place, *, headers: bool, times: bool) -> str | None:
    if place in _CONTAINERS:
        return f"reads all of {place or 'the body and its delivery'} at once: name the keys"
    if place.startswith("delivery.headers."):
        name = place.removeprefix("delivery.headers.")
        if not headers:
            return "reads a header, which no signature covers: only event and event_id may"
        if name != name.lower():
            return f"reads the header {name}, which can never be found: names of headers are in lower case here"
    elif place not in TIMES:
        return f"reads {place}, which does not exist: there are delivery.headers, {' and '.join(sorted(TIMES))}"
    elif not times:
        return f"reads {place}, which only version, event_time and life_cycle_version may"
    return None


def reads(expression: str) -> frozenset[Place]:
    """Which parts of a delivery an expression that has no `problem` can reach, such as `delivery.headers.x-topic`."""
    return _reads(jmespath.compile(expression).parsed)


class _Reach(NamedTuple):
    """What a node can reach if the current value can come from certain places.

    - `values`: where its value can come from. A list counts as its members.
    - `looked_at`: what it reads on the way, in a condition or as an argument.
    """

    values: frozenset[Place]
    looked_at: frozenset[Place] = frozenset()


_OF_BODY = frozenset((_BODY,))


def _reads(tree: Any) -> frozenset[Place]:
    whole = _reach(tree, frozenset(("",)))
    return whole.looked_at | (whole.values - _OF_BODY)


def _reach(node: Any, context: frozenset[Place]) -> _Reach:  # noqa: PLR0911 - a case for each kind of node
    kind, children = node["type"], node["children"]
    match kind:
        case "identity" | "current" | "index" | "slice":
            return _Reach(context)
        case "literal":
            return _Reach(_OF_BODY)
        case "field":
            return _Reach(frozenset(_key(place, node["value"]) for place in context))
        case "subexpression" | "pipe" | "index_expression" | "projection":
            return _chained(children, context)
        case "flatten":
            return _reach(children[0], context)
        case "value_projection":
            members, each = _reach(children[0], context), _reach(children[1], _OF_BODY)
            return _Reach(each.values, members.looked_at | (members.values & _CONTAINERS) | each.looked_at)
        case "filter_projection":  # its condition sees the members of a list, which are of the body
            return _chained(children[:2], context)
        case "or_expression" | "and_expression":
            left, right = (_reach(child, context) for child in children)
            tested = left.values - _CONTAINERS - _OF_BODY
            return _Reach(left.values | right.values, left.looked_at | right.looked_at | tested)
        case "function_expression" if node["value"] in _SHAPE_FUNCTIONS:
            argument = _reach(children[0], context)
            return _Reach(_OF_BODY, argument.looked_at | (argument.values - _OF_BODY - {"", "delivery"}))
        case _:  # whatever takes values in: lists, objects, comparisons, negations, functions
            parts = [_reach(child, context) for child in children]
            return _Reach(_OF_BODY, frozenset().union(*(each.looked_at | (each.values - _OF_BODY) for each in parts)))


def _chained(nodes: Iterable[Any], context: frozenset[Place]) -> _Reach:
    """Nodes of which each sees what the one before it found."""
    looked_at: frozenset[Place] = frozenset()
    for node in nodes:
        found = _reach(node, context)
        context, looked_at = found.values, looked_at | found.looked_at
    return _Reach(context, looked_at)


def _key(place: Place, key: str) -> Place:
    if place == "":
        return "delivery" if key == "delivery" else _BODY
    return f"{place}.{key}" if place in _CONTAINERS else _BODY


def _nodes(tree: Any) -> Iterator[Any]:
    yield tree
    for child in tree["children"]:
        if isinstance(child, dict):  # a slice has numbers
            yield from _nodes(child)
