"""A table in memory, with those calls of the DynamoDB client that the application makes. All else raises.

Held against real engines by tests/integration/test_simulated_services.py.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from botocore.exceptions import ClientError

from simulate.expressions import Invalid, Item, Names, Unsupported, Update, Value, comparable, condition, update

KEY = "key"
_PLACEHOLDERS = {"ExpressionAttributeNames", "ExpressionAttributeValues"}
_CONDITION = {"ConditionExpression"} | _PLACEHOLDERS
_UPDATE = _CONDITION | {"TableName", "Key", "UpdateExpression"}
_PUT = _CONDITION | {"TableName", "Item"}
_DELETE = _CONDITION | {"TableName", "Key"}
_RETURNS = {"ReturnValues", "ReturnValuesOnConditionCheckFailure"}
_FULL = Decimal(10) ** 38


class Table:
    """One table whose only key is the attribute `key`. Reads are consistent; asking for less raises.

    `past` holds each item as it was after each write.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.items: dict[str, Item] = {}
        self.past: dict[str, list[Item]] = {}

    def get_item(self, **request: Any) -> dict[str, Any]:
        _only(request, {"TableName", "Key", "ConsistentRead"})
        if request.get("ConsistentRead") is not True:
            raise Unsupported("a read that may be stale")
        item = self.items.get(self._key(request))
        return {} if item is None else {"Item": dict(item)}

    def update_item(self, **request: Any) -> dict[str, Any]:
        _only(request, _UPDATE | _RETURNS)
        return self._single("UpdateItem", request, self._updated)

    def put_item(self, **request: Any) -> dict[str, Any]:
        _only(request, _PUT | _RETURNS)
        return self._single("PutItem", request, self._put)

    def delete_item(self, **request: Any) -> dict[str, Any]:
        _only(request, _DELETE | _RETURNS)
        return self._single("DeleteItem", request, self._deleted)

    def transact_write_items(self, **request: Any) -> dict[str, Any]:
        _only(request, {"TransactItems", "ClientRequestToken"})
        writes: dict[str, tuple[set[str], Callable[[Mapping[str, Any]], tuple[str, Item | None]]]] = {
            "Update": (_UPDATE, self._updated),
            "Put": (_PUT, self._put),
            "Delete": (_DELETE, self._deleted),
            "ConditionCheck": (_DELETE, self._checked),
        }
        outcomes: list[tuple[str, Item | None]] = []
        reasons: list[dict[str, Any]] = []
        for entry in request["TransactItems"]:
            ((action, write),) = entry.items()
            allowed, perform = writes[action]
            _only(write, allowed | {"ReturnValuesOnConditionCheckFailure"})
            reason: dict[str, Any] = {"Code": "None"}
            try:
                outcomes.append(perform(write))
            except _ConditionFailed as failed:
                reason = {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}
                if write.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" and failed.item:
                    reason["Item"] = failed.item
            except Invalid as error:
                raise _refusal("ValidationException", str(error), "TransactWriteItems") from None
            reasons.append(reason)
        if len({key for key, _ in outcomes}) < len(outcomes):
            raise _refusal("ValidationException", "one item twice in a transaction", "TransactWriteItems")
        if any(reason["Code"] != "None" for reason in reasons):
            codes = ", ".join(reason["Code"] for reason in reasons)
            message = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]"
            raise _refusal("TransactionCanceledException", message, "TransactWriteItems", CancellationReasons=reasons)
        for key, item in outcomes:
            self._store(key, item)
        return {}

    def _single(
        self,
        operation: str,
        request: Mapping[str, Any],
        perform: Callable[[Mapping[str, Any]], tuple[str, Item | None]],
    ) -> dict[str, Any]:
        if request.get("ReturnValues", "NONE") not in ("NONE", "ALL_OLD"):
            raise Unsupported(f"ReturnValues {request['ReturnValues']}")
        try:
            key, item = perform(request)
        except _ConditionFailed as failed:
            asked = request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
            shown = {"Item": failed.item} if asked and failed.item is not None else {}
            code = "ConditionalCheckFailedException"
            raise _refusal(code, "The conditional request failed", operation, **shown) from None
        except Invalid as error:
            raise _refusal("ValidationException", str(error), operation) from None
        old = self.items.get(key)
        self._store(key, item)
        return {"Attributes": dict(old)} if request.get("ReturnValues") == "ALL_OLD" and old is not None else {}

    def _store(self, key: str, item: Item | None) -> None:
        if item is None:
            self.items.pop(key, None)
        else:
            self.items[key] = item
            self.past.setdefault(key, []).append(item)

    def _key(self, request: Mapping[str, Any]) -> str:
        if request["TableName"] != self.name:
            raise _refusal("ResourceNotFoundException", "no such table", "any")
        key = request["Key"] if "Key" in request else {KEY: request["Item"][KEY]}
        if set(key) != {KEY} or set(key[KEY]) != {"S"} or not key[KEY]["S"]:
            raise Invalid("the key does not match the schema")
        text: str = key[KEY]["S"]
        return text

    # -- what each write would leave behind: nothing is changed here -----------------------------------------------

    def _updated(self, request: Mapping[str, Any]) -> tuple[str, Item | None]:
        key, names = self._key(request), _names(request)
        old = self.items.get(key, {})
        changes = update(request["UpdateExpression"])
        new = _changed(old or {KEY: {"S": key}}, old, changes, names)
        self._check(request, key, names)
        return key, new

    def _put(self, request: Mapping[str, Any]) -> tuple[str, Item | None]:
        key, names = self._key(request), _names(request)
        self._check(request, key, names)
        return key, {name: _normal(value) for name, value in request["Item"].items()}

    def _deleted(self, request: Mapping[str, Any]) -> tuple[str, Item | None]:
        key, names = self._key(request), _names(request)
        self._check(request, key, names)
        return key, None

    def _checked(self, request: Mapping[str, Any]) -> tuple[str, Item | None]:
        key, names = self._key(request), _names(request)
        self._check(request, key, names)
        return key, self.items.get(key)

    def _check(self, request: Mapping[str, Any], key: str, names: Names) -> None:
        """The condition, if there is one. Before it fails, the request has to be a valid one."""
        text = request.get("ConditionExpression")
        item = self.items.get(key, {})
        holds = text is None or condition(text)(item, names)
        names.check()
        if not holds:
            raise _ConditionFailed(dict(item) if item else None)


class _ConditionFailed(Exception):  # noqa: N818
    def __init__(self, item: Item | None) -> None:
        super().__init__()
        self.item = item


def _changed(base: Item, old: Item, changes: Update, names: Names) -> Item:
    new = dict(base)
    touched: list[str] = []
    for path, operand in changes.set:
        touched.append(name := names.attribute(path))
        value = operand(old, names)
        if value is None:
            raise Invalid(f"the value of {name} refers to an attribute that does not exist")
        new[name] = _normal(value)
    for path in changes.remove:
        touched.append(name := names.attribute(path))
        new.pop(name, None)
    for path, word in changes.add:
        touched.append(name := names.attribute(path))
        new[name] = _added(old.get(name), names.value(word))
    for path, word in changes.delete:
        touched.append(name := names.attribute(path))
        left = _without(old.get(name), names.value(word))
        new.pop(name, None)
        if left is not None:
            new[name] = left
    if len(set(touched)) < len(touched):
        raise Invalid("two parts of the update name one attribute")
    if KEY in touched:
        raise Invalid("the key cannot be updated")
    return new


def _added(old: Value | None, value: Value) -> Value:
    ((kind, content),) = value.items()
    if old is not None and kind not in old:
        raise Invalid("ADD of another type")
    if kind == "SS":
        return _normal({"SS": [*(old["SS"] if old else []), *content]})
    if kind == "N":
        return _normal({"N": str(Decimal(old["N"] if old else 0) + Decimal(content))})
    raise Invalid(f"ADD of {kind}")


def _without(old: Value | None, value: Value) -> Value | None:
    if set(value) != {"SS"} or (old is not None and "SS" not in old):
        raise Invalid("DELETE takes sets only")
    left = [entry for entry in (old["SS"] if old else []) if entry not in value["SS"]]
    return {"SS": left} if left else None


def _normal(value: Value) -> Value:
    """The value as the table gives it back."""
    if "L" in value:
        return {"L": [_normal(entry) for entry in value["L"]]}
    if "M" in value:
        return {"M": {name: _normal(entry) for name, entry in value["M"].items()}}
    kind, _ = comparable(value)
    if kind == "N":
        number = Decimal(value["N"])
        if abs(number) >= _FULL or len(number.normalize().as_tuple().digits) > 38:
            raise Invalid("more than 38 digits")
        return {"N": format(number.normalize(), "f")}
    if kind == "SS":
        if not value["SS"]:
            raise Invalid("a set may not be empty")
        return {"SS": sorted(set(value["SS"]))}
    return dict(value)


def _names(request: Mapping[str, Any]) -> Names:
    for name in _PLACEHOLDERS & set(request):
        if not request[name]:
            raise Invalid(f"{name} must not be empty")
    return Names(request.get("ExpressionAttributeNames", {}), request.get("ExpressionAttributeValues", {}))


def _only(request: Mapping[str, Any], known: set[str]) -> None:
    unknown = set(request) - known
    if unknown:
        raise Unsupported(f"{sorted(unknown)} in a request")


def _refusal(code: str, message: str, operation: str, **more: Any) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": message}, **more}
    return ClientError(response, operation)


def plain(item: Item) -> dict[str, Any]:
    """An item with plain values, for people and comparisons."""
    return {name: next(iter(value.values())) for name, value in item.items()}


__all__: Sequence[str] = ["KEY", "Table", "plain"]
