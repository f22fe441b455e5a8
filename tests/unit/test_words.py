"""The usual words, in code, messages, docs and tests; and none about the machine they were written on."""

import re
from pathlib import Path

import pytest

from harness.pages import pages
from local_stack import ROOT

PLAIN = {
    r"told(?! apart)": "sent, logged, stored, returned",
    r"(?<!\.)tells?(?! apart)": "says, shows, names",
    r"telling(?! apart)": "naming",
    r"mend(s|ed|ing)?": "fix",
    r"whoever": "name the actor",
    r"nobody": "name the actor, or no user",
    r"somebody": "name the actor",
    r"(cannot|could not) be had": "unavailable",
    r"none of (our business|ours)": "not a user event",
    r"spoonfuls?": "a part",
    r"the news": "the change",
}
"""Words that readers stumble over, and what to write. Where one is the plain word, its pattern leaves it out: to tell
two things apart, and `file.tell()`. They count within the names of tests, too."""

CODE = [
    *(ROOT / "functions").rglob("*.py"),
    *(ROOT / "shared").rglob("*.py"),
    *(ROOT / "whop_user_sync").rglob("*.py"),
    *(ROOT / ".github").rglob("*.yml"),
    *(ROOT / ".ci").iterdir(),
    *(ROOT / name for name in ("template.yaml", "samconfig.toml", "Makefile", "shared/Makefile", "pyproject.toml")),
]
DOCS = [*(page.path for page in pages()), *(ROOT / "docs").glob("*.yaml"), ROOT / "docs/webhook.schema.json"]
TESTS = [path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)]


def of_file(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [*CODE, *DOCS, *TESTS], ids=of_file)
def test_the_usual_words_are_used(path: Path) -> None:
    text = path.read_text()
    for word, better in PLAIN.items():
        for found in re.finditer(rf"(?<![a-z])(?:{word})(?![a-z])", text, re.IGNORECASE):
            number = text.count("\n", 0, found.start()) + 1
            pytest.fail(f"{of_file(path)}:{number} has {found[0]!r}: write {better}")


@pytest.mark.parametrize("path", [*CODE, *DOCS], ids=of_file)
def test_no_file_names_the_machine_it_was_written_on(path: Path) -> None:
    found = re.search(r"(?<![\w.:/$}])/(work|opt|root|home)/\S*", path.read_text())
    assert not found, f"{of_file(path)} has {found and found[0]}"
