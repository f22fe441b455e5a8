"""`platform`: checks a platform file against samples, and writes the parameters that it stands for."""

import time
from pathlib import Path
from typing import Annotated

import typer

from whop_user_sync.commands.common import CommandError, Exit, JsonOption, output
from whop_user_sync.platform_files import PlatformFileError, read_platform_file
from whop_user_sync.preview.captured import CaptureError, captured_text
from whop_user_sync.sam_parameters import SamParameterError, parameter_override, written_to


def platform(
    *,
    file: Annotated[Path, typer.Argument(help="The platform file, in YAML or JSON.")],
    write: Annotated[
        Path | None, typer.Option("--write", help="The samconfig.toml to write the parameters into.")
    ] = None,
    environment: Annotated[
        str, typer.Option("--config-env", help="Its environment: sam deploy --config-env takes it.")
    ] = "default",
    as_json: JsonOption = False,
) -> int:
    """Check a platform file against its samples, and print or write the stack's parameters."""
    out = output(as_json=as_json)
    try:
        found = read_platform_file(file)
        checked = found.check(time.time())
        overrides = [parameter_override(name, value) for name, value in found.parameters.items()]
        text = written_to(captured_text(write, may_be_empty=True), environment, found.parameters) if write else None
    except (CaptureError, PlatformFileError, SamParameterError) as error:
        raise CommandError(str(error)) from None
    for each in checked:
        mark = "as expected" if each.is_as_expected else f"expected {each.sample.expect}"
        out.say(f"{each.sample.body.name}: {each.outcome}, {mark}: {each.explanation}")
    out.document(
        {
            "parameters": found.parameters,
            "samples": [
                {"body": str(each.sample.body), "outcome": each.outcome, "as_expected": each.is_as_expected}
                for each in checked
            ],
        }
    )
    if not all(each.is_as_expected for each in checked):
        out.warn("Nothing was written: a sample is not read as expected.")
        return Exit.ATTENTION
    if write and text is not None:
        write.write_text(text)
        out.say(f"Written to {write}, environment {environment}. Deploy with: sam deploy --config-env {environment}")
    else:
        out.say("sam deploy --parameter-overrides \\\n" + " \\\n".join(f"  {_in_shell(each)}" for each in overrides))
    return Exit.DONE


def _in_shell(override: str) -> str:
    """The single quotes have to reach SAM, so the shell gets double ones around them, of which no value holds any."""
    return '"' + override.replace("\\", "\\\\").replace('"', '\\"') + '"'
