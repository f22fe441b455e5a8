"""One deployed stack, as an operator reaches it: by the AWS credentials and region of the environment."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

from whop_sync.config.whop import WHOP_API_URLS, WhopConfig
from whop_sync.errors import Permanent

if TYPE_CHECKING:
    from whop_sync.whop.client import Whop

_AWS = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "max_attempts": 3})

_ON_THIS_MACHINE = _AWS.merge(Config(proxies={}))

NO_QUEUE = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")
"""The codes of AWS for a queue that is not there, in SQS's two protocols."""

_OF_ANNOUNCEMENTS = ("announcements", "announcements-dead-letters")

_MAY_NOT = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError")
_SIGNED_OUT = ("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException")
_WRONG_SIGNATURE = ("SignatureDoesNotMatch", "InvalidSignatureException")
_WRONG_TIME = ("RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture")
_SIGNED_AT_A_WRONG_TIME = ("Signature expired", "Signature not yet current")
"""How the message of a wrong signature begins where the clock is what is wrong with it
(https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html)."""


class EndpointError(Exception):
    """What stands in for AWS cannot be a URL, and the message names it."""


_WHERE = "Check the name of the stack, AWS_PROFILE and AWS_REGION."


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """`endpoint_url` stands in for AWS, as that of `make up` does."""

    name: str
    region: str | None = None
    endpoint_url: str | None = None

    def client(self, service: str) -> Any:
        """Raises EndpointError and botocore's errors, as do the calls of the client."""
        where = {"region_name": self.region, "endpoint_url": self.endpoint_url}
        make: Any = boto3.client
        config = _ON_THIS_MACHINE if is_loopback(self.endpoint_url) else _AWS
        try:
            return make(service, config=config, **{name: value for name, value in where.items() if value})
        except BotoCoreError:  # of which some are ValueErrors too, as that of a wrong region
            raise
        except ValueError:
            raise EndpointError(f"{self.endpoint_url} is not a URL such as http://127.0.0.1:4566.") from None

    @property
    def table(self) -> str:
        """CloudFormation makes its name, or it is one of an earlier stack. Raises botocore's errors."""
        return self.settings("look-up-user")["USER_MAPPINGS_TABLE"]

    def queue_url(self, sqs: Any, queue: str) -> str:
        """`queue` is the last part of a queue's name."""
        return str(sqs.get_queue_url(QueueName=f"{self.name}-{queue}")["QueueUrl"])

    def queue_urls(self, sqs: Any, queues: Iterable[str]) -> dict[str, str]:
        """The URLs by the last parts of the names, without those of announcements where the stack has none."""
        found = {}
        for queue in queues:
            try:
                found[queue] = self.queue_url(sqs, queue)
            except ClientError as error:
                if queue not in _OF_ANNOUNCEMENTS or error.response["Error"]["Code"] not in NO_QUEUE:
                    raise
        return found

    def whop_client(self, config: WhopConfig) -> "Whop":
        """By the proxy of the environment, as AWS is reached, and past it where Whop is a stand-in on this machine."""
        from whop_sync.assembly import whop_client  # noqa: PLC0415 - most commands never call Whop

        return whop_client(config, self.client("secretsmanager"), proxied=not is_loopback(config.api_url))

    def shown(self, whop_user_id: str) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
        """Name and picture of a Whop user as Whop shows them now: in the company, and everywhere else.

        None if Whop does not know the user. Raises Transient too.
        """
        config = whop_config(self.settings())
        whop = self.whop_client(config)
        try:
            company = whop.user(whop_user_id, company=config.company_id)
            everywhere = whop.user(whop_user_id, company=None)
        except Permanent:
            return None
        keys = ("name", "profile_picture")
        return {key: company.get(key) for key in keys}, {key: everywhere.get(key) for key in keys}

    def settings(self, function: str = "user-created") -> Mapping[str, str]:
        """The environment variables of a function."""
        found = self.client("lambda").get_function_configuration(FunctionName=f"{self.name}-{function}")
        variables: Mapping[str, str] = found["Environment"]["Variables"]
        return variables


def whop_config(settings: Mapping[str, str]) -> WhopConfig:
    """How a function reaches Whop, by its `settings`."""
    return WhopConfig(
        api_url=settings.get("WHOP_API_URL") or WHOP_API_URLS[settings["WHOP_ENVIRONMENT"]],
        enrollment=settings["WHOP_ENROLLMENT"],
        api_version=settings["WHOP_API_VERSION"],
        api_key_arn=settings["WHOP_API_KEY_ARN"],
        company_id=settings["WHOP_COMPANY_ID"],
    )


def is_loopback(url: str | None) -> bool:
    """Whether a URL leads to this machine, and so past every proxy of the environment."""
    try:
        host = urlsplit(url or "").hostname
    except ValueError:  # as of half an IPv6 address
        return False
    return host in ("127.0.0.1", "localhost", "::1")


def explained(error: ClientError | BotoCoreError, *, stack: str | None, needed: str) -> str:  # noqa: PLR0911 - a table
    """What to do about an error of AWS. `needed` lists the permissions of the command that met it."""
    match error:
        case NoCredentialsError() | PartialCredentialsError() | NoRegionError() | ProfileNotFound():
            return f"{str(error).rstrip('.')}. Sign in to AWS first: set AWS_PROFILE and AWS_REGION, or their like."
        case TokenRetrievalError() | UnauthorizedSSOTokenError():
            return "The sign-in to AWS has expired: sign in again, for example with aws sso login."
        case EndpointConnectionError() | ConnectTimeoutError():
            return f"{error}. Is it running, and is there a way to it?"
        case ClientError():
            code, operation = error.response["Error"]["Code"], error.operation_name
            message = error.response["Error"].get("Message", "")
            if code in _WRONG_TIME or (code in _WRONG_SIGNATURE and message.startswith(_SIGNED_AT_A_WRONG_TIME)):
                return "AWS refuses requests with the time of this machine: its clock is minutes off. Set it."
            if code in NO_QUEUE:
                return f"There is no stack {stack} here: its queues do not exist. {_WHERE}"
            if code in ("ResourceNotFoundException", "ResourceNotFoundError"):
                return f"There is no stack {stack} here: {operation} found nothing. {_WHERE}"
            if code in _MAY_NOT:
                return f"You are not allowed to {operation}. This command needs: {needed}"
            if code in (*_SIGNED_OUT, *_WRONG_SIGNATURE):
                return f"AWS does not take these credentials ({code}): sign in again."
            return f"AWS refused {operation}: {code}."
        case _:
            return str(error)
