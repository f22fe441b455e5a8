"""A platform file becomes the parameters of a stack, unharmed, or a sentence that names the key."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from harness.cloudformation import template
from local_stack import ROOT
from whop_sync.receiving.platforms import configured
from whop_user_sync import cli
from whop_user_sync.platform_files import PlatformFileError, read_platform_file
from whop_user_sync.sam_parameters import SamParameterError, parameter_override, written_to

ACME = """
# how Acme posts
preset: own
signature:
  scheme: hmac
  header: x-acme-signature
  content: v0:{timestamp}:{body}
  timestamp_header: x-acme-time
payload:
  event: delivery.headers."x-acme-topic"
  user_id: '"$id"'
  created: [customer.created]
  updated: [customer.updated]
  name: ["join(' ', [\\"first name\\" || '', `\\"Näme\\"`])"]
  deleted_user_id: |
    !(active) &&
    `"a \\\\ b"`
samples:
  - body: created.json
    headers: created.headers
    expect: created
"""


NOW = 1_800_000_000.0


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    file = tmp_path / "acme.yaml"
    file.write_text(ACME)
    body = {"$id": "u1", "email": "u1@shop.test", "data": {"updated_at": "2026-03-01T10:00:00Z"}, "first name": "Ann"}
    (tmp_path / "created.json").write_text(json.dumps(body))
    (tmp_path / "created.headers").write_text("X-Acme-Topic: customer.created\n")
    return file


def test_the_parameters_mean_to_the_receiver_what_the_file_says(acme: Path) -> None:
    file = read_platform_file(acme)
    assert configured(file.settings) == file.platform
    assert file.platform.preset.event == 'delivery.headers."x-acme-topic"'
    assert file.platform.preset.user_id == '"$id"'
    assert file.platform.preset.name == ("join(' ', [\"first name\" || '', `\"Näme\"`])",)


def test_every_parameter_is_one_of_the_template(acme: Path) -> None:
    parameters: dict[str, Any] = template()["Parameters"]
    assert set(read_platform_file(acme).parameters) <= set(parameters)


def test_a_value_holds_nothing_that_a_shell_sam_or_toml_reads(acme: Path) -> None:
    overrides = read_platform_file(acme).parameters["PayloadOverrides"]
    assert overrides.isascii()
    assert not set("'$`!\n") & set(overrides)
    assert re.findall(r"\\[^u]", overrides) == []
    assert json.loads(overrides)["deleted_user_id"] == '!(active) &&\n`"a \\\\ b"`\n'


CLERK = {"preset": "clerk", "payload": {"email": "data.mail", "default_pictures": ["https://img.test/"]}}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(CLERK),
        json.dumps(CLERK, indent="\t"),
        "\ufeff" + json.dumps(CLERK, indent=2).replace("\n", "\r\n"),
        json.dumps(CLERK, indent="\t").replace('"payload"', '// as "Clerk" posts\n\t/* since\n\tMay */ "payload"'),
        "{preset: clerk, payload: {email: data.mail, default_pictures: [https://img.test/]}} // YAML without quotes",
        "# mine\n// and yours\n" + json.dumps(CLERK, indent=1).replace('"clerk",', '"clerk", // its own row'),
    ],
)
def test_a_file_in_json_is_read_too(tmp_path: Path, text: str) -> None:
    file = tmp_path / "platform.json"
    file.write_text(text)
    preset = read_platform_file(file).platform.preset
    assert (preset.email, preset.default_pictures) == ("data.mail", ("https://img.test/",))


def test_only_what_differs_from_the_preset_becomes_a_parameter(tmp_path: Path) -> None:
    file = tmp_path / "platform.yaml"
    file.write_text("preset: clerk\nsignature:\n  tolerance_seconds: 60\n")
    assert read_platform_file(file).parameters == {"PayloadPreset": "clerk", "SignatureToleranceSeconds": "60"}


def test_two_slashes_are_text_in_yaml(tmp_path: Path) -> None:
    file = tmp_path / "platform.yaml"
    file.write_text("preset: clerk\nsamples:\n  - body: //b.json\n")
    assert [sample.body.name for sample in read_platform_file(file).samples] == ["b.json"]


@pytest.mark.parametrize("value", ["it's", "a\nb", 'a\\"b', "ends with \\", "\\ "])
def test_what_sam_would_read_otherwise_is_refused(value: str) -> None:
    with pytest.raises(SamParameterError, match="SignaturePrefix may hold no single quote"):
        parameter_override("SignaturePrefix", value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("preset: nosuch", "preset must be one of"),
        ("preset: [clerk]", "preset must be a text"),
        ("preset: ' '", "preset must be a text"),
        ("preset: own\nsignature: {header: x-a, prefix: yes}", "signature.prefix must be a text"),
        ("payload: {user_id: id}", "preset must be a text"),
        ("preset: clerk\nsignatur: {}", "there is no signatur"),
        ("preset: own\nsignature: {heder: x}", "signature has no heder"),
        ("preset: clerk\nsignature: {scheme: hmac}", "signature.header must name the header"),
        ("preset: clerk\npayload: {user_id: '(('}", "payload: user_id: (( is not a JMESPath expression"),
        ("preset: clerk\npayload: [user_id]", "payload must hold keys and values"),
        ("preset: clerk\nsamples: [{expect: created}]", "must name its body"),
        ("preset: clerk\nsamples: created.json", "samples must be a list"),
        ("preset: clerk\npayload: {created: [2026-03-01]}", "put a date between quotes"),
        ("- clerk", "must hold keys"),
        ("preset: 'clerk", "neither YAML nor JSON"),
        ("preset: own\nsignature: {header: x, content: {timestamp}.{body}}", "begins with a brace"),
        ("preset: own\nsignature: {header: x, content: {body}}", "signature.content must be a text: put one"),
        ("preset: own\npreset: clerk", "preset stands twice"),
        ("preset: own\npayload: {updated: changed, created: new, updated: renamed}", "updated stands twice"),
        ("preset: own\n5: clerk", "there is no 5, only"),
        ("preset: own\nsignature: {5: clerk}", "signature must hold keys"),
        ("preset: own\npayload: " + "[" * 5000, "neither YAML nor JSON"),
        ("preset: clerk\nsamples: [{body: a.json, header: a.txt}]", "a sample has no header, only body, headers"),
        ("preset: clerk\nsamples: [{body: a.json, expect: creatd}]", "a sample may expect created, updated"),
    ],
)
def test_what_is_wrong_is_named_in_the_words_of_the_file(tmp_path: Path, content: str, sentence: str) -> None:
    file = tmp_path / "platform.yaml"
    file.write_text(content)
    with pytest.raises(PlatformFileError) as refusal:
        read_platform_file(file)
    assert sentence in str(refusal.value)


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["platform", str(tmp_path / "none.yaml")]) == 2
    assert cli.main(["platform", str(tmp_path)]) == 2
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    assert cli.main(["platform", str(tmp_path / "binary.yaml")]) == 2
    said = capsys.readouterr().err
    assert "There is no file" in said
    assert "is a directory" in said
    assert "binary.yaml is not UTF-8" in said


def test_of_a_sample_that_is_read_its_user_is_shown_and_of_another_the_verdict(acme: Path) -> None:
    [read] = read_platform_file(acme).check(NOW)
    assert read.explanation.startswith("user id u1, e-mail none, name Ann")
    (acme.parent / "created.json").write_text('{"email": "u1@shop.test"}')
    [parked] = read_platform_file(acme).check(NOW)
    assert (parked.outcome, parked.is_as_expected) == ("parked", False)
    assert parked.explanation.startswith("It would be parked: ")


def test_a_sample_that_is_read_otherwise_stops_the_writing(acme: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Given a sample whose event the file does not name
    samconfig = acme.with_name("samconfig.toml")
    samconfig.write_text("version = 0.1\n")
    acme.with_name("created.headers").write_text("X-Acme-Topic: customer.renamed\n")
    # When the parameters are to be written
    assert cli.main(["platform", str(acme), "--write", str(samconfig)]) == 1
    # Then they are not, and the person reads why
    said = capsys.readouterr()
    assert "created.json: ignored, expected created" in said.out
    assert samconfig.read_text() == "version = 0.1\n"


def test_writing_keeps_all_else_of_samconfig_and_nothing_of_an_older_platform(acme: Path) -> None:
    # Given a samconfig.toml with comments, other environments, and the parameters of an older platform
    samconfig = acme.with_name("samconfig.toml")
    samconfig.write_text(
        "# mine\nversion = 0.1\n\n[default.deploy.parameters]\nstack_name = 'a'\n\n[sandbox.deploy.parameters]\n"
        'parameter_overrides = \'WhopEnvironment="sandbox" PayloadPreset="clerk" SignaturePrefix="x y"\'\n'
    )
    # When the platform is written into its environment, twice
    for _ in range(2):
        assert cli.main(["platform", str(acme), "--write", str(samconfig), "--config-env", "sandbox"]) == 0
    # Then the rest is as it was
    text = samconfig.read_text()
    found = tomllib.loads(text)
    assert text.startswith("# mine\n")
    assert found["default"]["deploy"]["parameters"] == {"stack_name": "a"}
    overrides = found["sandbox"]["deploy"]["parameters"]["parameter_overrides"]
    assert overrides[0] == 'WhopEnvironment="sandbox"'
    assert "PayloadPreset='own'" in overrides
    assert not any(each.startswith("SignaturePrefix") for each in overrides)
    assert len(overrides) == len({each.partition("=")[0] for each in overrides})


def test_writing_keeps_the_comments_beside_other_parameters_and_changes_nothing_the_second_time() -> None:
    text = (ROOT / "samconfig.toml").read_text()
    parameters = {"PayloadPreset": "own", "SignatureHeader": "x-acme"}
    written = written_to(text, "sandbox", parameters)
    assert written == text.replace(
        """  "AlarmEmail=''",\n""",
        """  "AlarmEmail=''",\n  "PayloadPreset='own'",\n  "SignatureHeader='x-acme'",\n""",
        1,
    )
    assert written_to(written, "sandbox", parameters) == written
    assert written_to(written, "sandbox", {}) == text


def test_a_new_environment_is_added() -> None:
    found = tomllib.loads(written_to("version = 0.1\n", "production", {"PayloadPreset": "clerk"}))
    assert found["production"]["deploy"]["parameters"]["parameter_overrides"] == ["PayloadPreset='clerk'"]


OLD = "SignatureHeader=x-old"


@pytest.mark.parametrize(
    "overrides",
    [
        f"""["WhopEnvironment=sandbox {OLD}", "AlarmEmail=''"]""",
        """["WhopEnvironment=sandbox", "AlarmEmail=''", "ParameterKey=SignatureHeader,ParameterValue=x-old"]""",
        f"""["WhopEnvironment=sandbox", "{OLD}", "AlarmEmail=''"]""",
    ],
)
def test_no_spelling_of_an_older_platform_stays_behind(overrides: str) -> None:
    text = f"[sandbox.deploy.parameters]\nparameter_overrides = {overrides}\n"
    found = tomllib.loads(written_to(text, "sandbox", {"PayloadPreset": "clerk"}))
    kept = ["WhopEnvironment=sandbox", "AlarmEmail=''"]
    assert found["sandbox"]["deploy"]["parameters"]["parameter_overrides"] == [*kept, "PayloadPreset='clerk'"]


def test_a_parameter_whose_value_lacks_its_quotes_is_left_as_it_is() -> None:
    text = """[sandbox.deploy.parameters]\nparameter_overrides = ["DeletedUserName=Deleted user"]\n"""
    found = tomllib.loads(written_to(text, "sandbox", {}))
    assert found["sandbox"]["deploy"]["parameters"]["parameter_overrides"] == ["DeletedUserName=Deleted user"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[sandbox", "is not TOML"),
        ("sandbox = 5", "sandbox.deploy.parameters must be a table"),
        ("[sandbox]\ndeploy = 'x'", "sandbox.deploy.parameters must be a table"),
        ("[sandbox.deploy.parameters]\nparameter_overrides = 5", "must be a list of Name=value"),
        ("[sandbox.deploy.parameters]\nparameter_overrides = {WhopEnvironment = 'sandbox'}", "must be a list of Name"),
    ],
)
def test_a_samconfig_that_cannot_be_written_to_is_a_sentence_and_stays_as_it_is(
    acme: Path, text: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    samconfig = acme.with_name("samconfig.toml")
    samconfig.write_text(text)
    assert cli.main(["platform", str(acme), "--write", str(samconfig), "--config-env", "sandbox"]) == 2
    assert sentence in capsys.readouterr().err
    assert samconfig.read_text() == text
