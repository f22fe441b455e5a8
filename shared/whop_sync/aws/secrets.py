"""The secrets, read from AWS Secrets Manager and read again while an environment lives: rotation needs no deploy."""

import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from whop_sync.errors import Transient

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

    from whop_sync.receiving.signatures import Scheme

MAX_AGE_SECONDS = 120
"""How long a rotated secret may go unnoticed."""


class Credentials:
    """Raises Transient from every method: a secret that is missing or wrong is mended by an operator, and the events
    that wait for it are fine. The explanations hold no part of a secret. `clock` counts seconds from any moment."""

    def __init__(self, client: "SecretsManagerClient", clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock
        self._known: dict[str, tuple[str, float]] = {}
        self._reading = threading.Lock()

    def signing_keys(self, arn: str, scheme: "Scheme") -> Sequence[bytes]:
        return _signing_keys(self._read(arn, "signing_secrets"), scheme)

    def whop_api_key(self, arn: str) -> str:
        key = self._read(arn, "whop_api_key").strip()
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise Transient("whop_api_key_invalid", "the Whop API key must be one word of plain ASCII text")
        return key

    def _read(self, arn: str, what: str) -> str:
        with self._reading:  # one thread for all that wait for the same secret
            value, until = self._known.get(arn, ("", 0.0))
            if not value or self._clock() >= until:
                value = self._fetch(arn, what)
                self._known[arn] = value, self._clock() + MAX_AGE_SECONDS
            return value

    def _fetch(self, arn: str, what: str) -> str:
        try:
            value = self._client.get_secret_value(SecretId=arn).get("SecretString", "")
        except (ClientError, BotoCoreError):
            raise Transient(
                f"{what}_unavailable",
                "the secret has no value yet, or cannot be read: the stack's outputs tell how to set it",
            ) from None
        if not value.strip():
            raise Transient(
                f"{what}_unavailable", "the secret has no value yet: the stack's outputs tell how to set it"
            )
        return value


@lru_cache(maxsize=1)
def _signing_keys(text: str, scheme: "Scheme") -> tuple[bytes, ...]:
    from whop_sync.receiving.signatures import parse_secrets  # noqa: PLC0415 - the workers, who start quicker, never need it

    try:
        return parse_secrets(text, scheme)
    except ValueError as error:
        raise Transient("signing_secrets_invalid", str(error)) from None
