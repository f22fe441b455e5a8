"""A captured webhook: its body and its headers, out of files."""

import json
import sys
from pathlib import Path

STANDARD_INPUT = Path("-")

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class CaptureError(ValueError):
    """A file that cannot be used, in a sentence that names it and says why."""


def captured_body(path: Path) -> bytes:
    """The bytes of a file, or of standard input for `-`. Raises CaptureError."""
    if path == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    return _bytes(path)


def captured_headers(path: Path) -> dict[str, str]:
    """Raises CaptureError."""
    return header_lines(captured_text(path))


def captured_text(path: Path, *, may_be_empty: bool = False) -> str:
    """The text of a file in UTF-8, with or without a byte order mark; `-` is standard input. Raises CaptureError."""
    content = captured_body(path)
    if not content and not may_be_empty:
        raise CaptureError(f"{path} is empty.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CaptureError(f"{path} is not UTF-8{_encoding_guess(content)}.") from None


def header_lines(text: str) -> dict[str, str]:
    """Headers from `Name: value` lines or a JSON object, names in lower case.

    Of a header that came twice the values are joined with a comma, as API Gateway does. Raises CaptureError.
    """
    if text.lstrip().startswith("{"):
        try:
            found = json.loads(text, object_pairs_hook=tuple)
        except ValueError as error:
            raise CaptureError(f"the headers are not JSON: {error}") from None
        pairs = [(name, each) for name, value in found for each in (value if isinstance(value, list) else [value])]
    else:
        lines = [line for line in text.splitlines() if line.strip()]
        if lines and lines[0].startswith(("POST ", "HTTP/")):
            del lines[0]  # the request line, as a capture of the whole request has it
        if any(":" not in line for line in lines):
            raise CaptureError("the file of headers must hold lines like `Name: value`, or a JSON object")
        pairs = [(name, value) for name, _, value in (line.partition(":") for line in lines)]
    headers: dict[str, str] = {}
    for name, value in pairs:
        key, stripped = name.strip().lower(), str(value).strip()
        headers[key] = f"{headers[key]},{stripped}" if key in headers else stripped
    return headers


def why_not_json(body: bytes) -> str:
    """Where a body stops being JSON in UTF-8, as a sentence; empty if it is JSON."""
    if not body:
        return "The file is empty."
    if body.startswith(_BYTE_ORDER_MARK):
        return "It begins with a byte order mark (BOM), which JSON must not have: save it as UTF-8 without one."
    sentence = ""
    try:
        json.loads(body.decode("utf-8"), parse_constant=_refuse)
    except UnicodeDecodeError as error:
        sentence = f"Byte {error.start + 1} is not UTF-8{_encoding_guess(body)}."
    except json.JSONDecodeError as error:
        sentence = f"Line {error.lineno}, column {error.colno}: {error.msg}{_encoding_guess(body)}."
    except ValueError as error:
        sentence = f"{error}."
    except RecursionError:
        sentence = "Its lists and objects are nested too deeply."
    return sentence


def _refuse(constant: str) -> None:
    raise ValueError(f"It holds {constant}, which is not JSON")


def _encoding_guess(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in content[:4]:
        return ": it is UTF-16, save it as UTF-8"
    return ""


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CaptureError(f"There is no file {path}.") from None
    except IsADirectoryError:
        raise CaptureError(f"{path} is a directory: name the file in it.") from None
    except OSError as error:
        raise CaptureError(f"{path} cannot be read: {error.strerror}.") from None
