"""A platform file: what a sender's webhooks look like, in YAML or JSON, and the parameters of the stack it becomes.

    preset: standard                    # the row that it starts from; see docs/platforms.md
    signature:                          # where it differs: the Signature… parameters, in lower case
      scheme: hmac
      header: x-acme-signature
      content: v0:{timestamp}:{body}
    payload:                            # where it differs: the keys of PayloadOverrides
      event: delivery.headers."x-acme-topic"
      created: [customer.created]
    samples:                            # bodies that it is checked against, beside the file
      - body: created.json
        headers: created.headers        # `Name: value` lines
        expect: created                 # a kind, ignored or parked

Comments are those of YAML, and in JSON also // and /* */.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml

from whop_sync.events import Kind
from whop_sync.receiving.platforms import Platform, configured
from whop_sync.values import distinct_keys
from whop_user_sync.preview.bodies import body_report
from whop_user_sync.preview.captured import CaptureError, captured_body, captured_headers, captured_text
from whop_user_sync.sam_parameters import plain_json

_KEYS = ("preset", "signature", "payload", "samples")
_SAMPLE_KEYS = ("body", "headers", "expect")
_EXPECTED = (*get_args(Kind.__value__), "ignored", "parked")
_SIGNATURE_KEYS = (
    *("scheme", "header", "prefix", "encoding", "algorithm", "content", "key"),
    *("timestamp_header", "timestamp_prefix", "timestamp_unit", "id_header", "tolerance_seconds"),
)

_JSON = re.compile(r"(?:\s|#[^\n]*|//[^\n]*|/\*.*?\*/)*\{", re.DOTALL)
# A comment begins where a word could: not within https://.
_TEXT_OR_COMMENT = re.compile(r"""("(?:[^"\\]|\\.)*")|(?<![^\s,{}\[\]])(?://[^\n]*|/\*.*?\*/)""", re.DOTALL)


class PlatformFileError(Exception):
    """The file cannot be used, and the message says which key of it and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """`expect` is a kind of event, `ignored` or `parked`."""

    body: Path
    headers: Path | None
    expect: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What became of a sample: a kind of event, `ignored` or `parked`, and why."""

    sample: Sample
    outcome: str
    explanation: str

    @property
    def is_as_expected(self) -> bool:
        return self.sample.expect in (None, self.outcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformFile:
    """`settings` are the receiver's environment variables."""

    settings: Mapping[str, str]
    platform: Platform
    samples: Sequence[Sample]

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of template.yaml."""
        return {"".join(part.capitalize() for part in name.split("_")): text for name, text in self.settings.items()}

    def check(self, now: float) -> list[Checked]:
        """Reads each sample as the receiver would. `now` is in Unix seconds. Raises PlatformFileError."""
        return [_checked(sample, self.platform, now) for sample in self.samples]


def read_platform_file(path: Path, *, enroll_if: str = "") -> PlatformFile:
    """`enroll_if` is the parameter EnrollIf, which no file holds. Raises PlatformFileError."""
    content = _content(path)
    _check_keys(path, content, _KEYS, "there is")
    settings = {"PAYLOAD_PRESET": _text(path, "preset", content.get("preset"))}
    signature = _mapping(path, "signature", content.get("signature"))
    _check_keys(path, signature, _SIGNATURE_KEYS, "signature has")
    for key, value in signature.items():
        settings[f"SIGNATURE_{key.upper()}"] = _text(path, f"signature.{key}", value)
    payload = _mapping(path, "payload", content.get("payload"))
    if payload:
        try:
            settings["PAYLOAD_OVERRIDES"] = plain_json(payload)
        except TypeError:  # YAML makes a date of 2026-03-01
            raise PlatformFileError(f"{path}: payload may hold texts only: put a date between quotes.") from None
    try:
        platform = configured({**settings, "ENROLL_IF": enroll_if})
    except ValueError as error:
        raise PlatformFileError(f"{path}: {_in_keys(str(error))}") from None
    return PlatformFile(settings=settings, platform=platform, samples=_samples(path, content.get("samples")))


def _checked(sample: Sample, platform: Platform, now: float) -> Checked:
    try:
        headers = captured_headers(sample.headers) if sample.headers else {}
        report = body_report(captured_body(sample.body), headers, platform, now=now)
    except CaptureError as error:
        raise PlatformFileError(str(error)) from None
    values = [f"{field.name} {field.value}" for field in report.fields if field.name in ("user id", "e-mail", "name")]
    explanation = report.verdict if not values or not report.is_sound else ", ".join(values)
    return Checked(sample=sample, outcome=report.outcome, explanation=" ".join([explanation, *report.remarks]))


def _content(path: Path) -> Mapping[str, Any]:
    try:
        text = captured_text(path)
    except CaptureError as error:
        raise PlatformFileError(str(error)) from None
    try:
        content = yaml.load(_as_yaml(text), _Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        raise PlatformFileError(
            f"{path} is neither YAML nor JSON: {' '.join(str(error).split())}. A text that begins with a brace, or that"
            " holds a colon and a blank, stands between quotes."
        ) from None
    if not isinstance(content, dict):
        raise PlatformFileError(f"{path} must hold keys such as preset and payload.")
    return content


class _Loader(yaml.SafeLoader):
    """YAML's own takes the last of two equal keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        try:
            distinct_keys((key.value, value) for key, value in node.value if isinstance(key, yaml.ScalarNode))
        except ValueError as error:
            raise yaml.MarkedYAMLError(problem=str(error), problem_mark=node.start_mark) from None
        return super().construct_mapping(node, deep)


def _as_yaml(text: str) -> str:
    """JSON is YAML, but for tabs before a line and for comments as programs' languages write them."""
    if not _JSON.match(text):
        return text
    text = _TEXT_OR_COMMENT.sub(lambda found: found[1] or " ", text)
    return re.sub(r"^\s+", lambda blanks: blanks[0].expandtabs(), text, flags=re.MULTILINE)


def _check_keys(path: Path, found: Mapping[str, Any], known: Sequence[str], who: str) -> None:
    unknown = sorted(str(key) for key in found if key not in known)
    if unknown:
        raise PlatformFileError(f"{path}: {who} no {', '.join(unknown)}, only {', '.join(known)}")


def _mapping(path: Path, key: str, value: object) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value):
        raise PlatformFileError(f"{path}: {key} must hold keys and values.")
    return value


def _text(path: Path, key: str, value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, dict):
        raise PlatformFileError(f"{path}: {key} must be a text: put one that begins with a brace between quotes.")
    if not isinstance(value, str) or not value.strip():
        raise PlatformFileError(f"{path}: {key} must be a text.")
    return value


def _samples(path: Path, value: object) -> list[Sample]:
    samples = []
    if not isinstance(value, list | None):
        raise PlatformFileError(f"{path}: samples must be a list, each with its body.")
    for each in value or ():
        sample = _mapping(path, "samples", each)
        _check_keys(path, sample, _SAMPLE_KEYS, "a sample has")
        if "body" not in sample:
            raise PlatformFileError(f"{path}: each of the samples must name its body.")
        expect = sample.get("expect")
        if expect not in (None, *_EXPECTED):
            raise PlatformFileError(f"{path}: a sample may expect {', '.join(_EXPECTED)}, not {expect}")
        samples.append(
            Sample(
                body=path.parent / str(sample["body"]),
                headers=path.parent / str(sample["headers"]) if "headers" in sample else None,
                expect=expect,
            )
        )
    return samples


def _in_keys(sentence: str) -> str:
    """A sentence about the receiver's settings, in the words of the file."""
    sentence = sentence.replace("PAYLOAD_PRESET", "preset").replace("PAYLOAD_OVERRIDES", "payload")
    return re.sub(r"SIGNATURE_([A-Z_]+)", lambda found: f"signature.{found[1].lower()}", sentence)
