"""Which modules whop_sync has, and which of them a module names in its imports."""

import ast
from collections.abc import Iterator
from pathlib import Path

from local_stack import ROOT

PACKAGE = ROOT / "shared" / "whop_sync"


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        yield ".".join(parts).removesuffix(".__init__"), path


def imported(path: Path) -> Iterator[str]:
    """The modules of this package that a file names in an import, at its top, in a function or for types only."""
    return imported_in(ast.parse(path.read_text()))


def imported_in(code: ast.AST) -> Iterator[str]:
    """The same for a part of a file."""
    known = dict(modules())
    for node in ast.walk(code):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{node.module}: imports are absolute"
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else str(node.module) for name in inside]
        yield from (name for name in names if name.split(".")[0] == "whop_sync")
