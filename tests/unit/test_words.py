"""The usual words, in the product's code, messages and docs; and none about the machine they were written on."""

import re
from pathlib import Path

import pytest

from harness.pages import pages
from local_stack import ROOT

PLAIN = {
    r"\btold\b(?! apart)": "sent, logged, stored, returned",
    r"(?<!\.)\btells?\b(?! apart)": "says, shows, names",
    r"\btelling\b(?! apart)": "naming",
    r"\bmend\w*": "fix",
    r"\bwhoever\b": "name the actor",
    r"\bnobody\b": "name the actor, or no user",
    r"\bsomebody\b": "name the actor",
    r"\b(cannot|could not) be had\b": "unavailable",
    r"\bnone of (our business|ours)\b": "not a user event",
    r"\bspoonful\w*": "a part",
    r"\bthe news\b": "the change",
}
"""Words that readers stumble over, and what to write. Where one is the plain word, its pattern leaves it out: to tell
two things apart, and `file.tell()`."""

CODE = [
    *(ROOT / "functions").rglob("*.py"),
    *(ROOT / "shared").rglob("*.py"),
    *(ROOT / "whop_user_sync").rglob("*.py"),
    *(ROOT / ".github").rglob("*.yml"),
    *(ROOT / ".ci").iterdir(),
    *(ROOT / name for name in ("template.yaml", "samconfig.toml", "Makefile", "shared/Makefile", "pyproject.toml")),
]
DOCS = [*(page.path for page in pages()), ROOT / "docs/openapi.yaml", ROOT / "docs/webhook.schema.json"]


def of_file(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [*CODE, *DOCS], ids=of_file)
def test_the_usual_words_are_used(path: Path) -> None:
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        for word, better in PLAIN.items():
            found = re.search(word, line, re.IGNORECASE)
            assert not found, f"{of_file(path)}:{number} has {found and found[0]!r}: write {better}"


@pytest.mark.parametrize("path", [*CODE, *DOCS], ids=of_file)
def test_no_file_names_the_machine_it_was_written_on(path: Path) -> None:
    found = re.search(r"(?<![\w.:/$}])/(work|opt|root|home)/\S*", path.read_text())
    assert not found, f"{of_file(path)} has {found and found[0]}"
