"""MiniStack, in AWS's place: CloudFormation, Lambda, API Gateway, SQS, DynamoDB, Secrets Manager and logs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

import boto3
import httpx
from botocore.config import Config

from local_stack import ROOT, whole_logs
from local_stack.processes import LOOPBACK, NO_ACCOUNT, GuardedProcess, bare_environment, free_port, reachable

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBServiceResource
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient

# A proxy in the environment leads elsewhere, never to this machine.
_DIRECT = Config(proxies={})

PYTHON = ROOT / ".local" / "engine" / "bin" / "python"


class Engine:
    """Clients of a running engine. `output` is what it has printed so far, if this process started it."""

    def __init__(self, url: str, output: Callable[[], str] = str) -> None:
        self.url = url
        self.output = output
        self._session = boto3.Session(
            aws_access_key_id=NO_ACCOUNT["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=NO_ACCOUNT["AWS_SECRET_ACCESS_KEY"],
            region_name=NO_ACCOUNT["AWS_DEFAULT_REGION"],
        )

    @cached_property
    def cloudformation(self) -> "CloudFormationClient":
        return self._session.client("cloudformation", endpoint_url=self.url, config=_DIRECT)

    @cached_property
    def dynamodb(self) -> "DynamoDBServiceResource":
        return self._session.resource("dynamodb", endpoint_url=self.url, config=_DIRECT)

    @cached_property
    def functions(self) -> "LambdaClient":
        return self._session.client("lambda", endpoint_url=self.url, config=_DIRECT)

    @cached_property
    def iam(self) -> "IAMClient":
        return self._session.client("iam", endpoint_url=self.url, config=_DIRECT)

    @cached_property
    def logs(self) -> "CloudWatchLogsClient":
        return self._session.client("logs", endpoint_url=self.url, config=_DIRECT)

    @cached_property
    def s3(self) -> "S3Client":
        return self._session.client("s3", endpoint_url=self.url, config=_DIRECT)

    @cached_property
    def secrets(self) -> "SecretsManagerClient":
        return self._session.client("secretsmanager", endpoint_url=self.url, config=_DIRECT)

    @cached_property
    def sqs(self) -> "SQSClient":
        return self._session.client("sqs", endpoint_url=self.url, config=_DIRECT)

    @cached_property
    def state_machines(self) -> "SFNClient":
        return self._session.client("stepfunctions", endpoint_url=self.url, config=_DIRECT)


@contextmanager
def running_engine(*, host: str = LOOPBACK, port: int = 0) -> Iterator[Engine]:
    """Starts an engine and ends it, with everything it held, at the end of the block."""
    port = port or free_port()
    # AUTH: a function may do only what its role allows, as on AWS.
    environment = {**bare_environment(), "BIND_HOST": host, "GATEWAY_PORT": str(port), "AUTH": "true"}
    if host != LOOPBACK:
        # In the URLs that it hands out, a custom resource's answer goes to one of them. Else they say localhost.
        environment["MINISTACK_HOST"] = reachable(host)
    with GuardedProcess([PYTHON, "-P", whole_logs.__file__], environment=environment) as process:
        engine = Engine(f"http://{reachable(host)}:{port}", process.output)
        process.wait_until(lambda: _healthy(engine.url), seconds=120, what="the local engine (MiniStack)")
        yield engine


def _healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/_ministack/health", timeout=2, trust_env=False).is_success
    except httpx.TransportError:
        return False
