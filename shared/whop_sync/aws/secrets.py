"""Secrets, read from AWS Secrets Manager and read again while an environment lives: a rotation needs no deployment.

Written by hand although Powertools has a SecretsProvider: ours serves the ten threads of a worker with one call, and
its errors hold the reason that an operator searches for.
"""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import BotoCoreError, ClientError

from whop_sync.aws.boundary import aws_error_code
from whop_sync.errors import OperatorNeeded, Transient

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

MAX_AGE_SECONDS = 120
"""How long a rotated secret may go unnoticed."""

type UnavailableReason = Literal["signing_secrets_unavailable", "whop_api_key_unavailable"]


class Secret:
    """The text of one secret. `clock` counts seconds from any moment."""

    def __init__(
        self, client: "SecretsManagerClient", arn: str, *, unavailable: UnavailableReason, clock: Callable[[], float]
    ) -> None:
        self._client = client
        self._arn = arn
        self._unavailable: UnavailableReason = unavailable
        self._clock = clock
        self._value = ""
        self._read_again_at = 0.0
        self._reading = threading.Lock()

    def text(self) -> str:
        """Raises OperatorNeeded if there is no value or it cannot be read. No explanation holds a part of a secret."""
        with self._reading:  # one call for all threads that wait for it
            if not self._value or self._clock() >= self._read_again_at:
                self._value = self._fetch()
                self._read_again_at = self._clock() + MAX_AGE_SECONDS
            return self._value

    def _fetch(self) -> str:
        try:
            value = self._client.get_secret_value(SecretId=self._arn).get("SecretString", "")
        except (ClientError, BotoCoreError) as error:
            code = aws_error_code(error)
            if code == "ResourceNotFoundException":
                raise self._no_value() from None
            raise OperatorNeeded(self._unavailable, f"the secret cannot be read: {code}") from None
        if not value.strip():
            raise self._no_value()
        return value

    def _no_value(self) -> Transient:
        return OperatorNeeded(
            self._unavailable, "the secret has no value yet: the outputs of the stack name the command that sets it"
        )
