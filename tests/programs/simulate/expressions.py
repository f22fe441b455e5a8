"""DynamoDB's condition and update expressions, as far as the application uses them. Anything else raises.

Documented at
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html and
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html.
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

type Value = Mapping[str, Any]
type Item = dict[str, Value]

_TOKEN = re.compile(r"\s*(?:(?P<word>[#:]?[A-Za-z_][A-Za-z0-9_]*)|(?P<sign><=|>=|<>|[=<>(),+-]))")
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_KEYWORDS = frozenset({"AND", "OR", "NOT", "IN", "SET", "REMOVE", "ADD", "DELETE"})


class Unsupported(AssertionError):  # noqa: N818 - no error of the engine's, but of its caller
    """The simulated table does not know this: teach it, and the contract tests with it."""


class Invalid(Exception):  # noqa: N818
    """What DynamoDB answers with a ValidationException."""


@dataclass(slots=True)
class Names:
    """What the placeholders of one request stand for, and which of them were used: DynamoDB refuses unused ones."""

    names: Mapping[str, str]
    values: Mapping[str, Value]
    used: set[str] = field(default_factory=set)

    def attribute(self, word: str) -> str:
        if not word.startswith("#"):
            if word.upper() in reserved_words():
                raise Invalid(f"{word} is a reserved word")
            return word
        self.used.add(word)
        if word not in self.names:
            raise Invalid(f"undefined name {word}")
        return self.names[word]

    def value(self, word: str) -> Value:
        self.used.add(word)
        if word not in self.values:
            raise Invalid(f"undefined value {word}")
        return self.values[word]

    def check(self) -> None:
        unused = (set(self.names) | set(self.values)) - self.used
        if unused:
            raise Invalid(f"unused placeholders: {sorted(unused)}")


@cache
def reserved_words() -> frozenset[str]:
    """DynamoDB's, as moto has them
    (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ReservedWords.html)."""
    moto = find_spec("moto")
    assert moto
    assert moto.submodule_search_locations
    listed = Path(moto.submodule_search_locations[0], "dynamodb", "parsing", "reserved_keywords.txt")
    return frozenset(listed.read_text().upper().split())


type Operand = Callable[[Item, Names], Value | None]
type Condition = Callable[[Item, Names], bool]


class Update(NamedTuple):
    """The parts of an update expression, by attribute."""

    set: tuple[tuple[str, Operand], ...]
    remove: tuple[str, ...]
    add: tuple[tuple[str, str], ...]
    delete: tuple[tuple[str, str], ...]


def comparable(value: Value) -> tuple[str, Any]:
    """Type and value, so that values of different types are never equal, and numbers are equal however written."""
    ((kind, content),) = value.items()
    if kind == "N":
        return kind, Decimal(content)
    if kind in ("SS", "NS"):
        return kind, frozenset(content)
    if kind not in ("S", "BOOL", "NULL"):
        raise Unsupported(f"values of type {kind}")
    return kind, content


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens: list[str] = []
        position = 0
        text = text.rstrip()
        while position < len(text):
            found = _TOKEN.match(text, position)
            if not found:
                raise Unsupported(f"{text[position:]!r} in an expression")
            self._tokens.append(found["word"] or found["sign"])
            position = found.end()
        self._tokens.reverse()

    @property
    def ahead(self) -> str:
        return self._tokens[-1] if self._tokens else ""

    def take(self, expected: str | None = None) -> str:
        token = self._tokens.pop() if self._tokens else ""
        if expected is not None and token.upper() != expected:
            raise Unsupported(f"{token!r} where {expected!r} belongs")
        return token

    def takes(self, keyword: str) -> bool:
        if self.ahead.upper() != keyword:
            return False
        self.take()
        return True

    def end(self) -> None:
        if self._tokens:
            raise Unsupported(f"{self.ahead!r} after the end of an expression")

    # -- conditions ------------------------------------------------------------------------------------------------

    def condition(self) -> Condition:
        parts = [self._conjunction()]
        while self.takes("OR"):
            parts.append(self._conjunction())
        return parts[0] if len(parts) == 1 else lambda item, names: _any(part(item, names) for part in parts)

    def _conjunction(self) -> Condition:
        parts = [self._negation()]
        while self.takes("AND"):
            parts.append(self._negation())
        return parts[0] if len(parts) == 1 else lambda item, names: not _any(not part(item, names) for part in parts)

    def _negation(self) -> Condition:
        if self.takes("NOT"):
            negated = self._negation()
            return lambda item, names: not negated(item, names)
        if self.takes("("):
            inside = self.condition()
            self.take(")")
            return inside
        if self.ahead in ("attribute_exists", "attribute_not_exists"):
            wanted = self.take() == "attribute_exists"
            self.take("(")
            word = self._path()
            self.take(")")
            return lambda item, names: (names.attribute(word) in item) == wanted
        if self.ahead in ("begins_with", "contains"):
            return self._function(self.take())
        return self._comparison()

    def _function(self, name: str) -> Condition:
        self.take("(")
        left = self._operand()
        self.take(",")
        right = self._operand()
        self.take(")")

        def holds(item: Item, names: Names) -> bool:
            one, other = left(item, names), right(item, names)
            if one is None or other is None or "S" not in other:
                return False
            text: str = other["S"]
            if name == "contains" and "SS" in one:
                return text in one["SS"]
            if "S" not in one:
                return False
            return text in one["S"] if name == "contains" else bool(one["S"].startswith(text))

        return holds

    def _comparison(self) -> Condition:
        left = self._operand()
        if self.takes("IN"):
            self.take("(")
            choices = [self._operand()]
            while self.takes(","):
                choices.append(self._operand())
            self.take(")")
            return lambda item, names: _any(_equal(left(item, names), choice(item, names)) for choice in choices)
        sign = self.take()
        right = self._operand()
        if sign == "=":
            return lambda item, names: _equal(left(item, names), right(item, names))
        if sign == "<>":
            return lambda item, names: not _equal(left(item, names), right(item, names))
        if sign not in _COMPARISONS:
            raise Unsupported(f"{sign!r} as a comparison")
        compare = _COMPARISONS[sign]

        def holds(item: Item, names: Names) -> bool:
            one, other = left(item, names), right(item, names)
            if one is None or other is None:
                return False
            (kind, value), (other_kind, other_value) = comparable(one), comparable(other)
            if kind != other_kind:
                raise Unsupported(f"{sign} between values of the types {kind} and {other_kind}")
            if kind == "S":  # by their bytes
                return compare(value.encode(), other_value.encode())
            if kind != "N":
                raise Unsupported(f"{sign} between values of type {kind}")
            return compare(value, other_value)

        return holds

    def _operand(self) -> Operand:
        word = self.take()
        if word == "if_not_exists":
            self.take("(")
            path = self._path()
            self.take(",")
            default = self._operand()
            self.take(")")
            return lambda item, names: _first(item.get(names.attribute(path)), default(item, names))
        if word.startswith(":"):
            return lambda _, names: names.value(word)
        self._check_path(word)
        return lambda item, names: item.get(names.attribute(word))

    def _path(self) -> str:
        word = self.take()
        self._check_path(word)
        return word

    @staticmethod
    def _check_path(word: str) -> None:
        if not re.fullmatch("#?[A-Za-z_][A-Za-z0-9_]*", word) or word.upper() in _KEYWORDS:
            raise Unsupported(f"{word!r} as an attribute")

    # -- updates ---------------------------------------------------------------------------------------------------

    def update(self) -> Update:
        changes: dict[str, list[Any]] = {"SET": [], "REMOVE": [], "ADD": [], "DELETE": []}
        while self.ahead:
            action = self.take().upper()
            if action not in changes or changes[action]:
                raise Unsupported(f"{action} in an update expression")
            changes[action].append(self._change(action))
            while self.takes(","):
                changes[action].append(self._change(action))
        return Update(*(tuple(changes[action]) for action in ("SET", "REMOVE", "ADD", "DELETE")))

    def _change(self, action: str) -> Any:
        path = self._path()
        if action == "REMOVE":
            return path
        if action == "SET":
            self.take("=")
            return path, self._operand()
        word = self.take()
        if not word.startswith(":"):
            raise Unsupported(f"{action} of {word!r}")
        return path, word


def _any(parts: Iterable[bool]) -> bool:
    """Looks at every part, so that all placeholders count as used."""
    return True in list(parts)


def _first(value: Value | None, default: Value | None) -> Value | None:
    return default if value is None else value


def _equal(one: Value | None, other: Value | None) -> bool:
    return one is not None and other is not None and comparable(one) == comparable(other)


@lru_cache(maxsize=1000)
def condition(text: str) -> Condition:
    parser = _Parser(text)
    parsed = parser.condition()
    parser.end()
    return parsed


@lru_cache(maxsize=1000)
def update(text: str) -> Update:
    return _Parser(text).update()
