"""The settings of signatures: what they may say, and that the template hands over each of them."""

import json
import re
from typing import Any, get_args

import pytest

from harness.cloudformation import template
from whop_sync.receiving.platforms import PLATFORMS
from whop_sync.receiving.signature_settings import SCHEMES, configured_scheme
from whop_sync.receiving.signatures import Algorithm, Encoding, Hmac, Jwt, KeyForm, Scheme, Standard, Token, Unit

TEMPLATE = template()
PARAMETERS: dict[str, Any] = TEMPLATE["Parameters"]
VARIABLES: dict[str, Any] = {
    **TEMPLATE["Globals"]["Function"]["Environment"]["Variables"],
    **TEMPLATE["Resources"]["ReceiveWebhookFunction"]["Properties"]["Environment"]["Variables"],
}
LAMBDAS_LIMIT = 4096
"""Bytes of all names and values: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html"""
LONGEST_STACK_NAME = 48


@pytest.mark.parametrize(
    ("settings", "scheme"),
    [
        ({"SIGNATURE_CONTENT": "body"}, Hmac(header="x-s", content="body")),
        ({"SIGNATURE_CONTENT": "{timestamp}:{body}"}, Hmac(header="x-s", content="{timestamp}:{body}")),
        (
            {"SIGNATURE_CONTENT": "{id}.{timestamp}.{body}", "SIGNATURE_ID_HEADER": "X-Id"},
            Hmac(header="x-s", content="{id}.{timestamp}.{body}", id_header="x-id"),
        ),
        (
            {"SIGNATURE_CONTENT": "timestamp.body", "SIGNATURE_TIMESTAMP_PREFIX": "ts=", "SIGNATURE_PREFIX": "h1="},
            Hmac(header="x-s", content="timestamp.body", timestamp_prefix="ts=", prefix="h1="),
        ),
        ({"SIGNATURE_ALGORITHM": "sha1", "SIGNATURE_KEY": "hex"}, Hmac(header="x-s", algorithm="sha1", key_form="hex")),
        (
            {"SIGNATURE_CONTENT": "{timestamp}{body}", "SIGNATURE_TIMESTAMP_UNIT": "iso"},
            Hmac(header="x-s", content="{timestamp}{body}", unit="iso"),
        ),
    ],
)
def test_each_setting_of_an_hmac_fills_its_field(settings: dict[str, str], scheme: Scheme) -> None:
    assert configured_scheme(Hmac(header="x-s"), settings) == scheme


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        *(
            ({"SIGNATURE_CONTENT": content}, "SIGNATURE_CONTENT must be body or timestamp.body, or a template")
            for content in (
                "{timestamp}",
                "text",
                "{body}{body}",
                "{timestamp}{timestamp}{body}",
                "{time}{body}",
                "{body}{",
                "{body}}",
                "{{body}}",
            )
        ),
        ({"SIGNATURE_ALGORITHM": "md5"}, "SIGNATURE_ALGORITHM must be sha256 or sha512 or sha1, not md5"),
        ({"SIGNATURE_KEY": "raw"}, "SIGNATURE_KEY must be text or hex or base64, not raw"),
        ({"SIGNATURE_CONTENT": "timestamp.body", "SIGNATURE_TIMESTAMP_UNIT": "us"}, "must be s or ms or iso, not us"),
        ({"SIGNATURE_CONTENT": "{id}{body}"}, "SIGNATURE_ID_HEADER must name"),
        ({"SIGNATURE_ID_HEADER": "x-id"}, "SIGNATURE_ID_HEADER means nothing"),
        ({"SIGNATURE_TIMESTAMP_HEADER": "x-t"}, "SIGNATURE_TIMESTAMP_HEADER means nothing while"),
        ({"SIGNATURE_TIMESTAMP_PREFIX": "ts="}, "SIGNATURE_TIMESTAMP_PREFIX means nothing while"),
        ({"SIGNATURE_TOLERANCE_SECONDS": "60"}, "SIGNATURE_TOLERANCE_SECONDS means nothing while"),
        (
            {
                "SIGNATURE_CONTENT": "timestamp.body",
                "SIGNATURE_TIMESTAMP_HEADER": "x-t",
                "SIGNATURE_TIMESTAMP_PREFIX": "ts=",
            },
            "SIGNATURE_TIMESTAMP_PREFIX means nothing beside SIGNATURE_TIMESTAMP_HEADER",
        ),
        (
            {"SIGNATURE_CONTENT": "timestamp.body", "SIGNATURE_TIMESTAMP_HEADER": "X-S"},
            "SIGNATURE_TIMESTAMP_HEADER must be another one than SIGNATURE_HEADER",
        ),
        ({"SIGNATURE_CONTENT": "timestamp.body", "SIGNATURE_PREFIX": "t="}, "must differ"),
        ({"SIGNATURE_CONTENT": "timestamp.body", "SIGNATURE_TIMESTAMP_PREFIX": "v1="}, "must differ"),
        ({"SIGNATURE_CONTENT": "{id}{body}", "SIGNATURE_ID_HEADER": "X-S"}, "SIGNATURE_ID_HEADER must name"),
    ],
)
def test_settings_that_contradict_each_other_are_named_with_what_to_do(settings: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        configured_scheme(Hmac(header="x-s"), settings)


@pytest.mark.parametrize("scheme", [Standard(), Token(), Jwt()])
@pytest.mark.parametrize("setting", ["ALGORITHM", "CONTENT", "KEY", "TIMESTAMP_PREFIX", "ID_HEADER"])
def test_what_only_an_hmac_has_is_refused_elsewhere(scheme: Scheme, setting: str) -> None:
    with pytest.raises(ValueError, match="means nothing to the signature scheme"):
        configured_scheme(scheme, {f"SIGNATURE_{setting}": "sha1"})


def test_the_template_offers_what_the_code_takes() -> None:
    choices: dict[str, Any] = {"Algorithm": Algorithm, "Encoding": Encoding, "Key": KeyForm, "TimestampUnit": Unit}
    for parameter, words in choices.items():
        assert PARAMETERS[f"Signature{parameter}"]["AllowedValues"] == ["", *get_args(words.__value__)]
    assert PARAMETERS["SignatureScheme"]["AllowedValues"] == ["", *SCHEMES]


@pytest.mark.parametrize(
    ("content", "allowed"),
    [
        *(
            (content, True)
            for content in ("", "body", "timestamp.body", "v0:{timestamp}:{body}", "https://x/y{body}", "{id}|{body} ~")
        ),
        *((content, False) for content in ("t.body", "{time}.{body}", "{{body}}", "timestamp")),
    ],
)
def test_a_content_that_the_functions_would_refuse_is_refused_at_the_deployment(content: str, allowed: bool) -> None:
    assert bool(re.fullmatch(PARAMETERS["SignatureContent"]["AllowedPattern"], content)) is allowed


def test_the_environment_holds_the_longest_settings_that_the_template_lets_through() -> None:
    """Lambda refuses more than 4 KB, in the middle of a deployment and without naming what is too long."""

    def longest(value: Any) -> int:
        match value:
            case {"Ref": name} if name in PARAMETERS:
                parameter = PARAMETERS[name]
                words = parameter.get("AllowedValues", [parameter.get("Default", "")])
                return int(parameter.get("MaxLength", max(map(len, words))))
            case {"Ref": "AWS::StackName"}:
                return LONGEST_STACK_NAME
            case {"Ref": _}:  # a queue's URL
                name = "x" * LONGEST_STACK_NAME + "-profile-updated"
                return len(f"https://sqs.ap-southeast-2.amazonaws.com/123456789012/{name}")
            case {"Fn::GetAtt": _}:  # a secret's ARN
                name = "x" * LONGEST_STACK_NAME + "/webhook-signing-secrets-AbCdEf"
                return len(f"arn:aws:secretsmanager:ap-southeast-2:123456789012:secret:{name}")
            case _:
                return len(str(value))

    assert sum(len(name) + longest(value) for name, value in VARIABLES.items()) <= LAMBDAS_LIMIT


def test_the_template_knows_which_presets_name_the_header_of_their_signature() -> None:
    """With any other, SignatureScheme hmac needs a SignatureHeader, which the rule asks for at the deployment."""
    rule = json.dumps(TEMPLATE["Rules"]["HmacNamesItsHeader"]["RuleCondition"])
    known = {name for name in PLATFORMS if f'"{name}"' in rule}
    assert known == {name for name, platform in PLATFORMS.items() if isinstance(platform.scheme, Hmac)}


def test_what_has_a_greatest_length_has_as_many_bytes_as_characters() -> None:
    pattern = PARAMETERS["PayloadOverrides"]["AllowedPattern"]
    limited = {value["Ref"] for value in VARIABLES.values() if isinstance(value, dict) and "Ref" in value}
    for name in limited & PARAMETERS.keys():
        if "MaxLength" in PARAMETERS[name]:
            beyond_ascii = "{body}é" if name == "SignatureContent" else "é"
            assert not re.fullmatch(PARAMETERS[name]["AllowedPattern"], beyond_ascii), name
    assert re.fullmatch(pattern, '{"name": "caf\\u00e9"}')
    assert not re.fullmatch(pattern, '{"name": "café"}')
