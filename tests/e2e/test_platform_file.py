"""What `whop-user-sync platform` writes arrives as it is, through samconfig.toml and SAM's own reading."""

import json
import subprocess
from pathlib import Path

import yaml

from local_stack.deployment import SAM
from local_stack.engine import Engine
from local_stack.processes import installing_environment
from whop_user_sync import cli
from whop_user_sync.platform_files import read_platform_file

PLATFORM = {
    "preset": "own",
    "signature": {"header": "x-acme-signature", "content": "v0:{timestamp}:{body}", "timestamp_header": "x-acme-time"},
    "payload": {
        "event": 'delivery.headers."x-wc-webhook-topic"',
        "user_id": '"$id" || `"a \\\\ b"`',
        "created": ["customer.created", 'it\'s new, says "Ann"'],
        "name": ["join(' ', [\"first name\" || '', `\"Näme\"`])"],
    },
}


def test_what_a_platform_file_says_arrives_in_the_stack(engine: Engine, tmp_path: Path) -> None:
    # Given a platform file with quotes, blanks, a dollar and letters beyond ASCII, written into samconfig.toml
    file = tmp_path / "platform.yaml"
    file.write_text(yaml.safe_dump(PLATFORM, allow_unicode=True))
    samconfig = tmp_path / "samconfig.toml"
    samconfig.write_text("version = 0.1\n")
    assert cli.main(["platform", str(file), "--write", str(samconfig), "--config-env", "sandbox"]) == 0
    # When a template that repeats its parameters is deployed with it
    parameters = read_platform_file(file).parameters
    template = tmp_path / "template.yaml"
    template.write_text(
        json.dumps(
            {
                "Parameters": {name: {"Type": "String"} for name in parameters},
                "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
                "Outputs": {name: {"Value": {"Ref": name}} for name in parameters},
            }
        )
    )
    where = ["--template-file", str(template), "--stack-name", "platform-file", "--resolve-s3"]
    subprocess.run(
        [SAM, "deploy", "--config-file", samconfig, "--config-env", "sandbox", "--no-confirm-changeset", *where],
        cwd=tmp_path,
        env={**installing_environment(), "AWS_ENDPOINT_URL": engine.url, "TMPDIR": str(tmp_path)},
        check=True,
        capture_output=True,
        timeout=600,
    )
    # Then each has arrived as it was
    outputs = engine.cloudformation.describe_stacks(StackName="platform-file")["Stacks"][0]["Outputs"]
    assert {each["OutputKey"]: each["OutputValue"] for each in outputs} == parameters
    assert json.loads(parameters["PayloadOverrides"]) == PLATFORM["payload"]
