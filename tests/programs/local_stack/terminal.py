"""What a person sees: steps with their seconds, tables, and claims that hold or do not."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class Terminal:
    """Prints to standard output, in colour only to a terminal that wants it. `failed` are claims that did not hold."""

    def __init__(self) -> None:
        self._colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self.held = 0
        self.failed: list[str] = []

    def title(self, text: str) -> None:
        print(f"\n{self._painted('1', text)}")

    def line(self, text: str = "") -> None:
        print(f"  {text}" if text else "", flush=True)

    def quiet(self, text: str) -> None:
        self.line(self._painted("2", text))

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Says what is going on, and afterwards how many seconds it took."""
        print(f"  {what} ... ", end="", flush=True)
        started = time.monotonic()
        try:
            yield
        except BaseException:
            print(self._painted("31", "stopped"), flush=True)
            raise
        print(self._painted("2", f"{time.monotonic() - started:.1f} s"), flush=True)

    def expect(self, holds: bool, text: str, *, found: object = None) -> None:
        """One claim, compared: a tick, or a cross and what was found in its place."""
        if holds:
            self.held += 1
            self.line(f"{self._painted('32', '✓')} {text}")
        else:
            self.failed.append(text)
            self.line(f"{self._painted('31', '✗')} {text}" + ("" if found is None else f" (found: {found})"))

    def table(self, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        cells = [["-" if cell is None else str(cell) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
        self.quiet("  ".join(name.ljust(width) for name, width in zip(head, widths, strict=True)).rstrip())
        for row in cells:
            self.line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def _painted(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colours else text
