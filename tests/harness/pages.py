"""The docs as data: headings, tables, links and code of each page, read by a real Markdown parser."""

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from local_stack import ROOT

_PARSER = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of code: its language, its text, and the line of the page where it begins."""

    page: str
    language: str
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Page:
    """`name` is the path from the root of the repository."""

    name: str

    @property
    def path(self) -> Path:
        return ROOT / self.name

    @property
    def text(self) -> str:
        return self.path.read_text()

    def headings(self) -> list[str]:
        """The text of each heading, with its backquotes, from the top down."""
        tokens = _tokens(self.name)
        return [after.content for token, after in itertools.pairwise(tokens) if token.type == "heading_open"]

    def anchors(self) -> set[str]:
        """The anchors of the headings, made as GitHub makes them."""
        seen: Counter[str] = Counter()
        found = set()
        for heading in self.headings():
            slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
        return found

    def links(self) -> Iterator[str]:
        """Where links and pictures point."""
        for token in _tokens(self.name):
            for child in token.children or ():
                target = child.attrGet("href") if child.type == "link_open" else child.attrGet("src")
                if child.type in ("link_open", "image"):
                    yield str(target)

    def code(self) -> list[Block]:
        return [
            Block(self.name, token.info.strip(), token.content, (token.map or [0])[0] + 1)
            for token in _tokens(self.name)
            if token.type == "fence"
        ]

    def section(self, heading: str) -> list[Token]:
        """What stands below a heading, up to the next one of the same or a higher level."""
        tokens = _tokens(self.name)
        for index, token in enumerate(tokens):
            if token.type == "heading_open" and tokens[index + 1].content == heading:
                rest = tokens[index + 3 :]
                ends = (i for i, each in enumerate(rest) if each.type == "heading_open" and each.tag <= token.tag)
                return rest[: next(ends, len(rest))]
        raise AssertionError(f"{self.name} has no heading {heading!r}")

    def rows(self, heading: str) -> list[list[str]]:
        """The rows of all tables below a heading, without their heads: a list of cells each."""
        found: list[list[str]] = []
        in_body = False
        for token in self.section(heading):
            if token.type in ("tbody_open", "tbody_close"):
                in_body = token.type == "tbody_open"
            elif in_body and token.type == "tr_open":
                found.append([])
            elif in_body and token.type == "inline":
                found[-1].append(token.content)
        assert found, f"{self.name} has no table below {heading!r}"
        return found

    def listed(self, heading: str, *columns: int) -> set[str]:
        """Everything in backquotes in some columns (the first, unless named) of the tables below a heading."""
        return {
            name
            for row in self.rows(heading)
            for column in columns or (0,)
            for name in re.findall(r"`([^`]+)`", row[column])
        }


@cache
def _tokens(name: str) -> list[Token]:
    return _PARSER.parse((ROOT / name).read_text())


def pages() -> list[Page]:
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return [Page(str(path.relative_to(ROOT))) for path in sorted(files)]


def assert_same(documented: set[str], there: set[str], where: str) -> None:
    """Fails with what to do: which lines `where` lacks, and which it has for things that are gone."""
    missing, gone = sorted(there - documented), sorted(documented - there)
    advice = [f"{where}: add {', '.join(f'`{name}`' for name in missing)}"] if missing else []
    advice += [f"{where}: remove {', '.join(f'`{name}`' for name in gone)}, which is no longer there"] if gone else []
    assert not advice, "; ".join(advice)
