"""What all commands share: the options that name a stack, the exit statuses, and how a command ends early."""

import math
from collections.abc import Callable
from enum import IntEnum
from typing import Annotated

import typer

from whop_user_sync.output import Output
from whop_user_sync.stack import Stack


class Exit(IntEnum):
    """The exit statuses, for scripts."""

    DONE = 0
    ATTENTION = 1  # it ran, and found or left something that a person has to look at
    USAGE = 2  # options or files that cannot be used
    UNAVAILABLE = 3  # AWS, the stack or Whop did not answer, or refused these credentials
    INTERRUPTED = 130


class CommandError(Exception):
    """Ends a command with a sentence for the person who ran it."""

    def __init__(self, sentence: str, status: Exit = Exit.USAGE) -> None:
        super().__init__(sentence)
        self.status = status


class Interrupted(CommandError):  # noqa: N818 - the person did it
    """Ctrl-C, with a sentence that says what was done and what was not."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, Exit.INTERRUPTED)


def number(least: float, most: float) -> Callable[[str], float]:
    """What reads an option as a number in these bounds, which `nan` and `inf` are not."""

    def read(text: str) -> float:
        try:
            found = float(text)
        except ValueError:
            found = math.nan
        if not least <= found <= most:
            raise typer.BadParameter(f"must be a number from {least:g} to {most:,g}")
        return found

    return read


StackOption = Annotated[
    str | None,
    typer.Option("--stack", envvar="WHOP_USER_SYNC_STACK", help="Name of the deployed stack.", show_default=False),
]
RegionOption = Annotated[
    str | None,
    typer.Option("--region", envvar="WHOP_USER_SYNC_REGION", help="AWS region, if not that of the profile."),
]
EndpointOption = Annotated[
    str | None,
    typer.Option(
        "--endpoint-url",
        envvar="AWS_ENDPOINT_URL",
        help="In place of AWS, such as the local stack's.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document, for scripts.")]
UserOption = Annotated[str | None, typer.Option("--user", help="Only this user's, by the id on your platform.")]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="Only those with this reason.")]


def chosen_stack(name: str | None, region: str | None, endpoint_url: str | None) -> Stack:
    """Raises CommandError if no stack is named."""
    if not name:
        raise CommandError("Which stack? Name it with --stack NAME or in WHOP_USER_SYNC_STACK.")
    return Stack(name=name, region=region, endpoint_url=endpoint_url)


def output(*, as_json: bool) -> Output:
    return Output(as_json=as_json)
