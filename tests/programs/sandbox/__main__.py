"""`make sandbox`: what Whop's sandbox answers to the open questions, beside what the fake assumes."""

import os
import sys
from collections.abc import Mapping

from fake_whop import PLATFORM_COMPANY, PLATFORM_KEY, FakeWhop
from local_stack.asking_whop import SANDBOX_URL, WhopAccess
from local_stack.terminal import Terminal
from sandbox.asking import ProbeError, findings
from sandbox.questions import NOT_ASKED

_REPORT = " Please report them: the fake is to answer as Whop does."
SETTINGS = ("WHOP_SANDBOX_API_KEY", "WHOP_SANDBOX_COMPANY_ID", "WHOP_SANDBOX_EMAIL")


def main(environment: Mapping[str, str], *, api_url: str = SANDBOX_URL) -> int:
    """Exit status 1 where Whop differs from the fake, 2 where nothing could be asked."""
    key, company, mailbox = (environment.get(name, "") for name in SETTINGS)
    if not (key and company and "@" in mailbox):
        print(
            "Set WHOP_SANDBOX_API_KEY to an API key of your company on sandbox.whop.com, WHOP_SANDBOX_COMPANY_ID to the"
            " company (biz_...), and WHOP_SANDBOX_EMAIL to a mailbox of yours that takes plus addresses.",
            file=sys.stderr,
        )
        return 2
    terminal = Terminal()
    with FakeWhop() as fake:
        assumed = findings(WhopAccess(fake.api_url, PLATFORM_COMPANY, PLATFORM_KEY), "probe@shop.test")
    try:
        with terminal.step("asking Whop"):
            answered = findings(WhopAccess(api_url, company, key, sandbox=api_url == SANDBOX_URL), mailbox)
    except ProbeError as error:
        print(error, file=sys.stderr)
        return 2
    different = [text for text, answer in answered.answers.items() if answer != assumed.answers[text]]
    rows = [
        ("≠" if text in different else "", text, answer, assumed.answers[text])
        for text, answer in answered.answers.items()
    ]
    terminal.title("What Whop answers, and what the fake assumes")
    terminal.table(("", "question", "Whop", "fake"), rows)
    terminal.line()
    terminal.line(
        f"{len(different)} of {len(rows)} answers differ. Please report them: the fake is to answer as Whop does."
    )
    terminal.line(f"Not asked: {NOT_ASKED}.")
    left = ", ".join(answered.left) or "no account"
    addresses = mailbox.replace("@", f"+{answered.run}…@")
    terminal.line(f"Left behind at Whop: {left}, the users of the addresses {addresses}, and a few files.")
    terminal.line(f"An account whose creation Whop never answered would have {answered.run} in its title.")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
