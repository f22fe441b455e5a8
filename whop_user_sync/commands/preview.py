"""`preview`: what the receiver would make of a webhook that was captured. It asks nothing of AWS and sends nothing."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from whop_sync.receiving.platforms import PLATFORMS, Platform, configured
from whop_user_sync.commands.common import CommandError, Exit, JsonOption, output
from whop_user_sync.platform_files import PlatformFileError, read_platform_file
from whop_user_sync.preview.bodies import Field, body_report
from whop_user_sync.preview.captured import CaptureError, captured_body, captured_headers, captured_text
from whop_user_sync.preview.signatures import signature_report


def preview(
    *,
    file: Annotated[Path, typer.Argument(help="The body as it was posted; - reads standard input.")],
    preset: Annotated[str | None, typer.Option("--preset", help=f"One of {', '.join(PLATFORMS)}.")] = None,
    platform: Annotated[Path | None, typer.Option("--platform", help="A platform file in place of a preset.")] = None,
    overrides: Annotated[str, typer.Option("--overrides", help="PayloadOverrides, or a file of them.")] = "",
    headers: Annotated[
        Path | None, typer.Option("--headers", help="The headers as they were posted, `Name: value` lines or JSON.")
    ] = None,
    enroll_if: Annotated[str, typer.Option("--enroll-if", help="EnrollIf: true of the users to enroll.")] = "",
    secret: Annotated[
        str | None,
        typer.Option(
            "--secret", envvar="WHOP_USER_SYNC_SIGNING_SECRET", help="The signing secret, or what is stored on AWS."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Show what a captured webhook would become, and whether its signature is right.

    The variables SIGNATURE_SCHEME, SIGNATURE_HEADER and so on mean what the parameters SignatureScheme, SignatureHeader
    mean to the stack.
    """
    out = output(as_json=as_json)
    if file == Path():  # make's FILE, when it was not given
        raise CommandError("Which webhook? Name the file that holds the body, as it was posted: FILE=payload.json")
    try:
        chosen = _platform(preset, platform, overrides, enroll_if)
        body = captured_body(file)
        posted = captured_headers(headers) if headers else None
    except (CaptureError, PlatformFileError) as error:
        raise CommandError(str(error)) from None
    now = time.time()
    signature = signature_report(body, posted, secret, chosen, now=now)
    report = body_report(body, posted or {}, chosen, now=now, signed_at=signature.signed_at)

    out.say(f"Body, {preset or platform}")
    for line in (report.verdict, *_lines(report.fields), *report.remarks):
        out.say(f"  {line}")
    out.say(f"\nSignature, scheme {chosen.scheme.name}\n  {signature.verdict}")
    out.document(
        {
            "outcome": report.outcome,
            "verdict": report.verdict,
            "fields": {each.name: {"value": each.value, "source": each.source} for each in report.fields},
            "remarks": list(report.remarks),
            "signature": {"right": signature.is_right, "verdict": signature.verdict},
        }
    )
    return Exit.DONE if report.is_sound and signature.is_right is not False else Exit.ATTENTION


def _platform(preset: str | None, platform: Path | None, overrides: str, enroll_if: str) -> Platform:
    if platform:
        return read_platform_file(platform, enroll_if=enroll_if).platform
    if not preset:
        raise CommandError(f"Whose webhook is it? Name a preset: {', '.join(PLATFORMS)}; or a --platform file.")
    if preset not in PLATFORMS:
        raise CommandError(f"There is no preset {preset}. Presets: {', '.join(PLATFORMS)}.")
    if overrides.strip() and not overrides.lstrip().startswith("{"):
        overrides = captured_text(Path(overrides))
    signature = {name: value for name, value in os.environ.items() if name.startswith("SIGNATURE_")}
    try:
        return configured(
            {"PAYLOAD_PRESET": preset, "PAYLOAD_OVERRIDES": overrides, "ENROLL_IF": enroll_if, **signature}
        )
    except ValueError as error:
        raise CommandError(str(error)) from None


def _lines(fields: Sequence[Field]) -> list[str]:
    width = max((len(each.value) for each in fields if not each.is_wrong), default=0)
    return [f"{each.name:11}{each.value:{width}}  {each.source}".rstrip() for each in fields]
