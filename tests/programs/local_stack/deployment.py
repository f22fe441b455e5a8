"""Builds the template with SAM and deploys it to a local engine, the way the README shows it for AWS."""

import fcntl
import hashlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from local_stack import ROOT
from local_stack.engine import Engine
from local_stack.processes import TOOLS, GuardedProcess, direct_to, installing_environment, new_scratch
from local_stack.terminal import Terminal

SAM = ROOT / ".local" / "sam" / "bin" / "sam"
BUILDS = ROOT / ".local" / "build"
WHEELS = ROOT / ".local" / "wheels"
KEPT_BUILDS = 4
WORKERS = ("user-created", "profile-updated")
"""Those that bring events to Whop."""
BACKEND = ("look-up-user", "enroll-user", "mint-chat-token", "account-link", "payout-token")
FUNCTIONS = ("receive-webhook", "whop-webhooks", *WORKERS, "announce", *BACKEND, "import-users")
SWITCHED_ON = {
    "ImportEnabled": "true",
    "AccountLinkHosts": "app.example.com",
    "PayoutTokenActions": "company:balance:read,identity:read",
    "AnnounceTo": "webhook",
    "PlatformUrl": "https://api.example.com/whop-announcements",
    "WhopWebhooks": "true",
}
"""Parameters of the template without which it leaves functions out."""


class DeploymentError(Exception):
    """A build or deployment did not work; the message is what the tool had to say."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployed stack, by the names that a user meets."""

    engine: Engine
    stack: str
    webhook_url: str

    @property
    def table(self) -> str:
        return f"{self.stack}-user-mappings"

    def rows(self) -> list[dict[str, Any]]:
        """Every item of UserMappings."""
        return list(self.engine.dynamodb.Table(self.table).scan(ConsistentRead=True)["Items"])

    def row(self, key: str) -> dict[str, Any] | None:
        return self.engine.dynamodb.Table(self.table).get_item(Key={"key": key}, ConsistentRead=True).get("Item")

    def environment(self, function: str) -> dict[str, str]:
        """The environment variables of a function. `function` is the last part of its name."""
        deployed = self.engine.functions.get_function_configuration(FunctionName=f"{self.stack}-{function}")
        return deployed["Environment"]["Variables"]

    def queue_url(self, queue: str) -> str:
        """`queue` is the last part of a queue's name, such as `user-created-dead-letters`."""
        return self.engine.sqs.get_queue_url(QueueName=f"{self.stack}-{queue}")["QueueUrl"]

    def waiting(self) -> int:
        """How many accepted events the workers still have before them, those under way or put off included."""
        return sum(map(self._waiting_in, WORKERS))

    def unannounced(self) -> int:
        """How many announcements are not delivered yet, those under way or put off included."""
        return self._waiting_in("announcements")

    def _waiting_in(self, queue: str) -> int:
        counts = self.engine.sqs.get_queue_attributes(
            QueueUrl=self.queue_url(queue),
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )["Attributes"]
        return sum(map(int, counts.values()))

    def messages(self, queue: str, *, hidden_for: int = 30) -> list[dict[str, Any]]:
        """What lies in a queue now. Each message is shown once, then hidden for so many seconds."""
        found: list[dict[str, Any]] = []
        url = self.queue_url(queue)
        while batch := self.engine.sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=hidden_for,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        ).get("Messages"):
            found += [dict(message) for message in batch]
        return found

    def log_lines(self, function: str, *, since: datetime | None = None) -> list[str]:
        """What a function wrote, oldest first. `function` is the last part of its name."""
        group = f"/aws/lambda/{self.stack}-{function}"
        start = int(since.timestamp() * 1000) if since else 0
        pages = self.engine.logs.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=start)
        return [event["message"].rstrip() for page in pages for event in page["events"]]


def built(terminal: Terminal) -> Path:
    """The folder that `sam build` wrote for the sources as they are now, built first if they changed.

    Each state of the sources has a folder of its own, so a failed build leaves the good ones. Raises DeploymentError.
    """
    folder = BUILDS / _fingerprint()
    BUILDS.mkdir(parents=True, exist_ok=True)
    with (BUILDS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of two that want the same build, the second waits for the first
        if not folder.exists():
            with terminal.step("building the functions with SAM"), _draft(BUILDS) as draft:
                build(draft)
                draft.rename(folder)
        os.utime(folder)
        for old in sorted(BUILDS.glob("[0-9a-f]*"), key=lambda each: each.stat().st_mtime)[:-KEPT_BUILDS]:
            shutil.rmtree(old)
    return folder


def build(into: Path) -> None:
    """`sam build` of the whole template. Raises DeploymentError."""
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(_wheels())}
    _sam("build", "--template-file", ROOT / "template.yaml", "--build-dir", into, environment=offline)


def _wheels() -> Path:
    """The layer's packages, fetched once for each list of them: with them a build needs no network."""
    requirements = ROOT / "shared" / "requirements.txt"
    folder = WHEELS / hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]
    if not folder.exists():
        WHEELS.mkdir(parents=True, exist_ok=True)
        with _draft(WHEELS) as draft:
            python = TOOLS / "python3.13"
            options = "--quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all:"
            fetching: list[str | Path] = [python, "-m", "pip", "download", *options.split(), "--python-version", "3.13"]
            _run("pip download", [*fetching, "--dest", draft, "--requirement", requirements])
            draft.rename(folder)
    return folder


def _fingerprint() -> str:
    """A short hash over every file that a build reads, SAM's own version included."""
    files = [ROOT / "template.yaml", ROOT / "tests" / "requirements-sam.txt"]
    for folder in ("functions", "shared"):
        files += [path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    whole = hashlib.sha256()
    for path in sorted(files):
        whole.update(f"{path.relative_to(ROOT)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()[:16]


@contextmanager
def _draft(beside: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="draft-", dir=beside) as folder:
        yield Path(folder) / "build"


def deploy(
    engine: Engine,
    built: Path,
    *,
    stack: str,
    signing_secrets: list[str],
    whop_api_key: str,
    parameters: Mapping[str, str],
    announcement_secrets: Sequence[str] = (),
) -> Deployment:
    """Deploys what `build` wrote, sets its secrets, and returns once the stack takes webhooks.

    `parameters` are the template's, and `announcement_secrets` go with AnnounceTo=webhook. Raises DeploymentError.
    """
    settings = {
        "AwsEndpointUrl": engine.url,
        "TableDeletionProtection": "false",
        **SWITCHED_ON,
        **parameters,
    }
    _sam(
        "deploy",
        *("--template-file", built / "template.yaml", "--stack-name", stack, "--resolve-s3"),
        *("--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset"),
        *("--parameter-overrides", *(override(name, value) for name, value in settings.items())),
        # SAM looks every five seconds whether a deployment is through; this one takes less than one.
        environment={
            "AWS_ENDPOINT_URL": engine.url,
            "SAM_CLI_POLL_DELAY": "0.1",
            **direct_to(str(urlsplit(engine.url).hostname)),
        },
    )
    _correct_event_sources(engine)
    _correct_roles(engine, stack)
    secrets = {"webhook-signing-secrets": json.dumps(signing_secrets), "whop-api-key": whop_api_key}
    if announcement_secrets:
        secrets["announcement-secrets"] = json.dumps(announcement_secrets)
    for name, value in secrets.items():
        engine.secrets.put_secret_value(SecretId=f"{stack}/{name}", SecretString=value)
    return Deployment(engine, stack, _local_webhook_url(engine, stack))


def override(name: str, value: str) -> str:
    """A parameter as SAM reads it. It takes one escape off each quote, so JSON's own become code points. Without quotes
    it takes no empty value."""
    if value and '"' not in value:
        return f"{name}={value}"
    return f'{name}="' + value.replace('\\"', r"\u0022").replace('"', '\\"') + '"'


def _correct_event_sources(engine: Engine) -> None:
    # The engine keeps a !Ref of a number as text and then cannot compare it; AWS knows the property's type.
    for source in engine.functions.list_event_source_mappings()["EventSourceMappings"]:
        concurrency = int(source["ScalingConfig"]["MaximumConcurrency"])
        engine.functions.update_event_source_mapping(
            UUID=source["UUID"], ScalingConfig={"MaximumConcurrency": concurrency}
        )


def _correct_roles(engine: Engine, stack: str) -> None:
    # The engine checks an action for batches that AWS does not have: there sqs:SendMessage allows both.
    queue = engine.sqs.get_queue_attributes(
        QueueUrl=engine.sqs.get_queue_url(QueueName=f"{stack}-user-created")["QueueUrl"], AttributeNames=["QueueArn"]
    )["Attributes"]["QueueArn"]
    statement = {"Effect": "Allow", "Action": "sqs:SendMessageBatch", "Resource": queue}
    role = engine.functions.get_function_configuration(FunctionName=f"{stack}-import-users")["Role"]
    engine.iam.put_role_policy(
        RoleName=role.rpartition("/")[2],
        PolicyName="batches",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )


def _local_webhook_url(engine: Engine, stack: str) -> str:
    outputs = engine.cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["Outputs"]
    [url] = [output["OutputValue"] for output in outputs if output["OutputKey"] == "WebhookUrl"]
    api_id = str(urlsplit(url).hostname).partition(".")[0]
    return f"{engine.url}/_aws/execute-api/{api_id}/$default{urlsplit(url).path}"


def _sam(command: str, *arguments: str | Path, environment: Mapping[str, str] | None = None) -> None:
    scratch = new_scratch()
    _run(f"sam {command}", [SAM, command, "--config-file", no_settings(scratch), *arguments], scratch, environment)


def _run(
    what: str,
    command: Sequence[str | Path],
    scratch: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    environment = {**installing_environment(), **(environment or {})}
    with GuardedProcess(command, environment=environment, scratch=scratch) as process:
        if process.finish():
            raise DeploymentError(f"{what} failed:\n{_important_part(process.output())}")


def _important_part(output: str) -> str:
    """The end of a tool's output, and before it the lines on what failed first, which a rollback buries."""
    lines = output.splitlines()
    failed = [f"{line}\n{after}" for line, after in itertools.pairwise(lines[:-40]) if "_FAILED" in line]
    return "\n".join([*failed, *lines[-40:]])


def no_settings(folder: Path) -> Path:
    """A settings file for SAM that sets nothing: a person's samconfig.toml speaks of their own deployments."""
    settings = folder / "samconfig.toml"
    settings.write_text("version = 0.1\n")
    return settings
