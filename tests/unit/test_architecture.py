"""Who may import whom, read from the imports themselves."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from typing import get_args

import pytest

from harness.imports import PACKAGE, imported, modules
from local_stack import ROOT
from whop_sync.aws.secrets import UnavailableReason

MAY_IMPORT: Mapping[str, frozenset[str]] = {
    "bottom": frozenset(),
    "config": frozenset(),
    "aws": frozenset({"bottom"}),
    "batches": frozenset({"bottom", "aws"}),
    "internet": frozenset({"bottom"}),
    "pictures": frozenset({"bottom", "internet"}),
    "users": frozenset({"bottom", "aws"}),
    "whop": frozenset({"bottom", "aws", "users"}),
    "receiving": frozenset({"bottom", "aws"}),
    "importing": frozenset({"bottom", "aws"}),
    "backend_api": frozenset({"bottom", "aws", "users", "whop"}),
    "syncing": frozenset({"bottom", "batches", "users", "whop", "pictures"}),
    "announcing": frozenset({"bottom", "aws", "batches", "users", "internet"}),
    "assembly": frozenset(
        {
            *("bottom", "config", "aws", "internet", "batches", "users", "whop", "pictures"),
            *("receiving", "importing", "backend_api", "syncing", "announcing"),
        }
    ),
}
"""From the bottom up, and no more than is used. Every room may import itself; a use case never imports another."""


def room(module: str) -> str:
    parts = module.split(".")
    if len(parts) > 1 and (PACKAGE / parts[1]).is_dir():
        return parts[1]
    return "assembly" if module == "whop_sync.assembly" else "bottom"


@pytest.mark.parametrize(("module", "path"), list(modules()), ids=[name for name, _ in modules()])
def test_a_room_imports_only_what_stands_below_it(module: str, path: Path) -> None:
    here = room(module)
    for other in imported(path):
        assert room(other) == here or room(other) in MAY_IMPORT[here], f"{module} must not import {other}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    list(TopologicalSorter({module: set(imported(path)) - {module} for module, path in modules()}).static_order())


def test_the_rules_name_every_room_and_allow_no_import_that_no_module_makes() -> None:
    made: dict[str, set[str]] = {room(module): set() for module, _ in modules()}
    for module, path in modules():
        made[room(module)] |= {room(other) for other in imported(path)} - {room(module)}
    assert made == MAY_IMPORT


def test_of_the_table_whop_knows_a_key_and_nothing_else() -> None:
    """Its rate limit keeps buckets there; what the keys look like stands in one module."""
    of_table = {
        alias.name
        for module, path in modules()
        if room(module) == "whop"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("whop_sync.users")
        for alias in node.names
    }
    assert of_table == {"rate_limit_key"}


@pytest.mark.parametrize("app", sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py")))
def test_a_function_is_a_docstring_an_import_an_object_and_a_handler(app: str) -> None:
    text = (ROOT / "functions" / app / "app.py").read_text()
    assert len(text.splitlines()) <= 15
    kinds = [type(node) for node in ast.parse(text).body]
    assert kinds == [ast.Expr, ast.ImportFrom, ast.ImportFrom, ast.Assign, ast.FunctionDef]
    assert set(imported(ROOT / "functions" / app / "app.py")) == {"whop_sync.assembly"}


def packages(path: Path) -> Iterator[str]:
    """The first names of all modules that a file imports, but for those that are imported for their types only."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [str(node.module)]
        yield from (name.partition(".")[0] for name in names if not name.startswith("mypy_boto3_"))


def test_the_layer_names_every_package_that_it_imports_and_no_other() -> None:
    """What only another package brings along may go with its next version."""
    found = {name for _, path in modules() for name in packages(path)} - set(sys.stdlib_module_names) - {"whop_sync"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert found == {name.replace("-", "_") for name in project["dependency-groups"]["layer"]}


def test_a_checkout_keeps_its_line_ends_also_where_git_changes_them(tmp_path: Path) -> None:
    """A shell, make and the Lambda runtime read no CRLF, which core.autocrlf makes on Windows."""
    (tmp_path / ".gitattributes").write_text((ROOT / ".gitattributes").read_text())
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    files = ["Makefile", "shared/Makefile", ".ci/run", ".ci/find-python", "functions/announce/app.py", "template.yaml"]
    attributes = subprocess.run(
        ["git", "-C", str(tmp_path), "check-attr", "eol", "--", *files], capture_output=True, text=True, check=True
    )
    assert attributes.stdout.splitlines() == [f"{file}: eol: lf" for file in files]


@pytest.mark.parametrize("error", ["Unauthentic", "AwaitsTurn", "OperatorNeeded"])
def test_a_reason_is_listed_below_the_error_that_it_is_raised_with(error: str) -> None:
    """Which says what becomes of the event, and who has to act."""
    raised = {
        node.args[0].value
        for _, path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == error
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    if error == "OperatorNeeded":
        raised |= set(get_args(UnavailableReason.__value__))
    listed = re.search(rf"    # {error}\n((?:    \".*\n)+)", (PACKAGE / "errors.py").read_text())
    assert listed
    assert raised
    assert raised <= set(re.findall(r'"(\w+)"', listed[1]))


def test_one_place_makes_the_client_of_whop() -> None:
    """So that the operators' commands reach Whop by the settings, version and proxy that hold for all."""
    makers = {
        path.relative_to(ROOT).as_posix()
        for folder in (PACKAGE, ROOT / "whop_user_sync")
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Whop"
    }
    assert makers == {"shared/whop_sync/assembly.py"}
