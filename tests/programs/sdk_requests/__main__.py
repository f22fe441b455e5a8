"""`make sdk`: reads the releases of whop-sdk in .local/whop-sdk, wheels as pip downloads them, into known.json.

Nothing of a release is run or installed: its sources are parsed. There are two kinds of them. Until 0.0.41 a method
calls `self._post(path, body=..., options=...)`; since 1.0 it calls `request(path, method=..., params=..., json=...)`.
"""

import ast
import json
import re
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from local_stack import ROOT
from sdk_requests import CALLS, FAKE_ONLY, KNOWN, RELEASES

_READ = CALLS | FAKE_ONLY

WHEELS = ROOT / ".local" / "whop-sdk"

_VERBS = {"_get": "GET", "_post": "POST", "_patch": "PATCH", "_put": "PUT", "_delete": "DELETE"}
_OBJECTS = ("TypedDict", "UniversalBaseModel", "BaseModel")
_PRIMITIVES = {"str": "string", "datetime": "string", "bool": "boolean", "int": "integer", "float": "number"}
_SAYS_NOTHING = {"typing", "Optional", "Union", "None", "Omit", "OMIT", "Literal", "Annotated", "dt", "Any", "omit"}


class Release:
    """The sources of one release."""

    def __init__(self, wheel: Path) -> None:
        with zipfile.ZipFile(wheel) as archive:
            self.sources = {name: archive.read(name).decode() for name in archive.namelist() if name.endswith(".py")}
        self.trees = {name: ast.parse(text) for name, text in self.sources.items()}
        self.classes = {
            node.name: node for tree in self.trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
        }

    @property
    def date(self) -> str:
        """The Api-Version-Date that the client sends unless it is given another one."""
        clients = (text for name, text in self.sources.items() if name.endswith(("/client.py", "/_client.py")))
        dates = Counter(date for text in clients for date in re.findall(r'"(20\d\d-\d\d-\d\d(?:-\d)?)"', text))
        return str(dates.most_common(1)[0][0])

    def calls(self) -> Mapping[str, Any]:
        found: dict[str, Any] = {}
        for name, tree in self.trees.items():
            if not re.search(r"/(raw_client|resources/.*)\.py$|/resources/.*\.py$", name):
                continue
            for owner in ast.walk(tree):
                if isinstance(owner, ast.ClassDef) and not owner.name.startswith("Async"):
                    for method in owner.body:
                        if isinstance(method, ast.FunctionDef):
                            found |= {call: request for call, request in self._requests(method) if call in _READ}
        return dict(sorted(found.items()))

    def _requests(self, method: ast.FunctionDef) -> Iterator[tuple[str, Any]]:
        taken = self._arguments(method)
        for node in ast.walk(method):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
                continue
            named = {keyword.arg: keyword.value for keyword in node.keywords}
            if node.func.attr in _VERBS:
                verb, body = _VERBS[node.func.attr], named.get("body")
                options = named.get("options")
                query = _keyword(options, "query") if options else None
            elif node.func.attr == "request" and isinstance(named.get("method"), ast.Constant):
                verb, body, query = named["method"].value, named.get("json"), named.get("params")  # type: ignore[attr-defined]
            elif node.func.attr == "_get_api_list":
                verb, body = "GET", None
                options = named.get("options")
                query = _keyword(options, "query") if options else None
            else:
                continue
            path = _path(node.args[0])
            if path is not None:
                yield (
                    f"{verb} {path}",
                    {"query": self._parameters(query, taken), "body": self._parameters(body, taken)},
                )

    def _parameters(self, node: ast.expr | None, taken: Mapping[str, ast.arg | None]) -> dict[str, Any]:
        """The keys of a dict display, with what the method's signature says of the variable of that name."""
        display = next((each for each in ast.walk(node) if isinstance(each, ast.Dict)), None) if node else None
        found: dict[str, Any] = {}
        for key in display.keys if display else []:
            if isinstance(key, ast.Constant):
                name = str(key.value).removesuffix("_")  # added where the name is a word of Python
                found[name] = taken.get(name) or taken.get(f"{name}_") or {"kinds": ["string"]}
        return dict(sorted(found.items()))

    def _arguments(self, method: ast.FunctionDef) -> dict[str, Any]:
        arguments = method.args
        found: dict[str, Any] = {}
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
            if argument.annotation is not None:
                found[argument.arg] = {
                    **({"required": True} if default is None else {}),
                    **self._type(argument.annotation),
                }
        return found

    def _type(self, annotation: ast.expr) -> dict[str, Any]:
        text = ast.unparse(annotation)
        if re.search(r"\b(Sequence|List|Iterable|SequenceNotStr)\[", text):
            return {"kinds": ["array"]}
        if re.search(r"\b(Dict|dict|Mapping)\[", text):
            return {"kinds": ["object"]}
        names = [
            name for name in re.findall(r"[A-Za-z_]\w*", re.sub(r"'[^']*'", "", text)) if name not in _SAYS_NOTHING
        ]
        kinds: set[str] = set()
        fields: set[str] | None = None
        for name in names:
            if name in _PRIMITIVES:
                kinds.add(_PRIMITIVES[name])
                continue
            definition = self.classes.get(name)
            bases = [ast.unparse(base).rpartition(".")[2] for base in definition.bases] if definition else []
            if definition is not None and any(base in _OBJECTS for base in bases):
                kinds.add("object")
                fields = (fields or set()) | {
                    each.target.id
                    for each in definition.body
                    if isinstance(each, ast.AnnAssign)
                    and isinstance(each.target, ast.Name)
                    and each.target.id[0] != "_"
                }
            elif name[0].isupper():
                kinds.add("string")  # one of a few words
        return {
            "kinds": sorted(kinds) or ["string"],
            **({"fields": sorted(fields - {"model_config"})} if fields is not None else {}),
        }


def _keyword(node: ast.expr, name: str) -> ast.expr | None:
    return next((each.value for each in getattr(node, "keywords", []) if each.arg == name), None)


def _path(node: ast.expr) -> str | None:
    """A path such as /users/{id}, whatever the SDK calls the id."""
    if isinstance(node, ast.Call) and node.args:
        return _path(node.args[0])
    if isinstance(node, ast.JoinedStr):
        parts = (str(part.value) if isinstance(part, ast.Constant) else "{id}" for part in node.values)
        text = "".join(parts)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = re.sub(r"\{\w+\}", "{id}", node.value)
    else:
        return None
    return "/" + text.strip("/")


def _written(document: Mapping[str, Mapping[str, Any]]) -> str:
    """JSON with a line for each call."""
    releases = []
    for release, calls in document.items():
        lines = ",\n".join(f"  {json.dumps(call)}: {json.dumps(request)}" for call, request in calls.items())
        releases.append(f" {json.dumps(release)}: {{\n{lines}\n }}")
    return "{\n" + ",\n".join(releases) + "\n}\n"


def main() -> int:
    document = {}
    for release, date in RELEASES.items():
        wheels = list(WHEELS.glob(f"whop_sdk-{release}-*.whl"))
        if not wheels:
            sys.stderr.write(f"There is no wheel of whop-sdk {release} in {WHEELS}.\n")
            return 1
        sources = Release(wheels[0])
        if sources.date != date:
            sys.stderr.write(f"whop-sdk {release} sends Api-Version-Date {sources.date}, and not {date}.\n")
            return 1
        document[release] = sources.calls()
        sys.stdout.write(f"{release}: {len(document[release])} calls\n")
    KNOWN.write_text(_written(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
