"""Parameters of the stack as `sam deploy` reads them unharmed: on its command line, and in samconfig.toml.

SAM reads a value between single quotes as it is but for \\", which it turns into ": that breaks JSON that holds an
expression with quotes. So the JSON written here holds no quotes but those of its own syntax, and no other character
that a shell, SAM or TOML reads.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

# Between single quotes SAM still reads backslashes, but for those of \u0022 and the like.
_READ_BY_SAM = re.compile(r"['\n]|\\(?!u[0-9a-f]{4})")
_OVERRIDE = re.compile(r"""(?:[^\s"']|"(?:\\.|[^"\\])*"|'[^']*')+""")
_OF_A_PLATFORM = re.compile(r"(ParameterKey=)?['\"]?(Payload|Signature)")


class SamParameterError(Exception):
    """SAM would not read a parameter as it is, or samconfig.toml is not what SAM reads."""


def plain_json(value: Mapping[str, Any]) -> str:
    """JSON in ASCII whose texts hold neither quotes nor backslashes of their own: those become \\u0022 and the like, as
    do a shell's signs."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    text = re.sub(r"\\[^u]", lambda escape: f"\\u{ord(json.loads(f'"{escape[0]}"')):04x}", text)
    return re.sub(r"['$`!]", lambda sign: f"\\u{ord(sign[0]):04x}", text)


def parameter_override(name: str, value: str) -> str:
    """`Name='value'`, as `--parameter-overrides` takes it. Raises SamParameterError if SAM would read another value."""
    if _READ_BY_SAM.search(value):
        raise SamParameterError(f"{name} may hold no single quote, no backslash and no line break")
    return f"{name}='{value}'"


def written_to(samconfig: str, environment: str, parameters: Mapping[str, str]) -> str:
    """The text of samconfig.toml with these parameters in an environment's deploy section, everything else unchanged.

    Parameters of a platform that the file no longer sets go, so that none of an older platform stays behind. Raises
    SamParameterError if the file is not what SAM reads.
    """
    try:
        document: Any = tomlkit.parse(samconfig)
    except TOMLKitError as error:
        raise SamParameterError(f"samconfig.toml is not TOML: {error}") from None
    section = document
    for key in (environment, "deploy", "parameters"):
        if key not in section:
            section[key] = tomlkit.table(is_super_table=key != "parameters")
        section = section[key]
        if not isinstance(section, dict):
            raise SamParameterError(f"samconfig.toml: {environment}.deploy.parameters must be a table")
    values = section.get("parameter_overrides", [])
    overrides = _overrides(values)
    if values != overrides or not values:
        section["parameter_overrides"] = values = tomlkit.array("[\n]")
        for each in overrides:
            values.add_line(each, indent="  ")
    for at in reversed(range(len(overrides))):  # in place, where the comments beside the others stay
        if _OF_A_PLATFORM.match(overrides[at]):
            del values[at]
    for name, value in parameters.items():
        values.add_line(parameter_override(name, value), indent="  ")
    return tomlkit.dumps(document)


def _overrides(value: object) -> list[str]:
    """samconfig.toml holds a list of `Name=value`, or several of them in one text, as `--guided` writes them."""
    found: list[str] = []
    for text in value if isinstance(value, list) else [value]:
        if not isinstance(text, str):
            raise SamParameterError("samconfig.toml: parameter_overrides must be a list of Name=value, or one text")
        several = _OVERRIDE.findall(text)
        found += several if all("=" in each for each in several) else [text]
    return found
