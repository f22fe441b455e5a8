"""The secrets, read from AWS Secrets Manager and read again while an environment lives: rotation needs no deploy."""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError
from aws_lambda_powertools.utilities.parameters.secrets import SecretsProvider

from whop_sync.errors import Transient
from whop_sync.signatures import Scheme, parse_secrets

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

MAX_AGE_SECONDS = 120
"""How long a rotated secret may go unnoticed."""


class Credentials:
    """Raises Transient from every method: a secret that is missing or wrong is mended by an operator, and the events
    that wait for it are fine. The explanations hold no part of a secret."""

    def __init__(self, client: "SecretsManagerClient") -> None:
        self._provider = SecretsProvider(boto3_client=client)

    def signing_keys(self, arn: str, scheme: Scheme) -> Sequence[bytes]:
        return _signing_keys(self._read(arn, "signing_secrets"), scheme)

    def whop_api_key(self, arn: str) -> str:
        key = self._read(arn, "whop_api_key").strip()
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise Transient("whop_api_key_invalid", "the Whop API key must be one word of plain ASCII text")
        return key

    def _read(self, arn: str, what: str) -> str:
        try:
            value = self._provider.get(arn, max_age=MAX_AGE_SECONDS)
        except GetParameterError:
            raise Transient(
                f"{what}_unavailable",
                "the secret has no value yet, or cannot be read: the stack's outputs tell how to set it",
            ) from None
        if not isinstance(value, str) or not value.strip():
            raise Transient(
                f"{what}_unavailable", "the secret has no value yet: the stack's outputs tell how to set it"
            )
        return value


@lru_cache(maxsize=1)
def _signing_keys(text: str, scheme: Scheme) -> tuple[bytes, ...]:
    try:
        return parse_secrets(text, scheme)
    except ValueError as error:
        raise Transient("signing_secrets_invalid", str(error)) from None
