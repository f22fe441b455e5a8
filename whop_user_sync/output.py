"""What commands print: tables and sentences for people, JSON for programs, progress for the person who waits."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from io import TextIOWrapper
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

PROGRESS_SECONDS = 2.0
"""Between two lines of progress where no terminal shows one line that changes."""


def printable(text: object) -> str:
    """What others wrote must not move the cursor of the person who reads it."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in str(text))


def _laid_out(text: str) -> str:
    """Printable text that keeps the line ends and tabs of our own."""
    return "".join(each if each in "\n\t" else printable(each) for each in text)


class Output:
    """`as_json` prints one JSON document a command and nothing else to standard output."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._console = Console(soft_wrap=True, highlight=False, markup=False)
        self._errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
        if isinstance(sys.stdout, TextIOWrapper):  # a terminal or a pipe in another encoding gets an escape
            sys.stdout.reconfigure(errors="backslashreplace")

    def say(self, sentence: str) -> None:
        """A sentence for a person; programs read the document."""
        if not self.as_json:
            print(_laid_out(sentence), flush=True)

    def warn(self, sentence: str) -> None:
        self._errors.print(printable(sentence))

    def line(self, text: str, document: Mapping[str, Any]) -> None:
        """One of a stream without end: a line for people, or a JSON document on a line of its own (NDJSON)."""
        print(json.dumps(document) if self.as_json else printable(text), flush=True)

    def document(self, document: Mapping[str, Any] | Sequence[Any]) -> None:
        """For --json."""
        if self.as_json:
            print(json.dumps(document, ensure_ascii=True, indent=2 if sys.stdout.isatty() else None))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """On a terminal as wide as it is; elsewhere whole, a row a line, for programs that cut by columns."""
        if self.as_json:
            return
        cells = [[printable(cell) for cell in row] for row in rows]
        if self._console.is_terminal:
            table = Table(*columns, box=None, pad_edge=False, header_style="bold")
            for row in cells:
                table.add_row(*map(Text, row))
            self._console.print(table)
            return
        widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
        for line in (columns, *cells):
            print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def age(seconds: float) -> str:
    """Seconds as a person says them: 42 s, 3 min, 2 h 5 min, 4 d 1 h."""
    whole = max(int(seconds), 0)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{whole} s"
