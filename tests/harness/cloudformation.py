"""template.yaml as data: the one place where a test reads CloudFormation's YAML."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from local_stack import ROOT


class _Loader(yaml.SafeLoader):
    """A loader of its own: YAML's SafeLoader stays as it is for all others."""


def _long_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        value = value.split(".", 1) if suffix == "GetAtt" else value
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _long_form)


@cache
def template() -> dict[str, Any]:
    """template.yaml with CloudFormation's short forms as the long ones: `!Ref Name` is {"Ref": "Name"}."""
    return read_template(ROOT / "template.yaml")


def read_template(path: Path) -> dict[str, Any]:
    """A template, or what `sam build` made of it, likewise."""
    document: dict[str, Any] = yaml.load(path.read_text(), _Loader)  # noqa: S506 - a safe loader
    return document


def functions() -> dict[str, dict[str, Any]]:
    """The properties of each function in the template, by its folder in functions/."""
    found = [each for each in template()["Resources"].values() if each["Type"] == "AWS::Serverless::Function"]
    return {Path(each["Properties"]["CodeUri"]).name: each["Properties"] for each in found}
