"""Secrets, read from AWS Secrets Manager and read again while an environment lives: a rotation needs no deployment.

Written by hand although Powertools has a SecretsProvider: ours serves the ten threads of a worker with one call, and
its errors hold the reason that an operator searches for.
"""

import json
import re
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

# The name of a secret, and no secret: in capitals LIKE_THIS, or one that says what it is.
_NAME = (
    r"(?:[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|(?:[A-Za-z][\w-]*[_-])?(?i:(?:api)?key|token|secret|password)"
    r"|[a-z][A-Za-z0-9]*(?:Key|Token|Secret|Password))"
)
_QUOTED_NAME = rf"""(["']?){_NAME}\1"""
_ASSIGNMENT = re.compile(rf"(?:(?:export|set)\s+|\$env:)?{_QUOTED_NAME}(?:\s*=\s*(?=[^\s=])|\s*:\s+(?=\S))", re.ASCII)
_NO_ASSIGNMENT = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\s*[=:]", re.ASCII)
_QUOTES = ('""', "''", "``", "\u201c\u201d", "\u2018\u2019")

# https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
_WAYS_OUT = {
    "InvalidRequestException": "it is marked for deletion, which `aws secretsmanager restore-secret` takes back",
    "AccessDeniedException": "allow secretsmanager:GetSecretValue on it, and kms:Decrypt if it has a key of yours",
}

type UnavailableReason = Literal[
    "announcement_secrets_unavailable",
    "signing_secrets_unavailable",
    "whop_api_key_unavailable",
    "whop_webhook_secrets_unavailable",
]


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
            answer = self._client.get_secret_value(SecretId=self._arn)
        except (ClientError, BotoCoreError) as error:
            code = aws_error_code(error)
            if code == "ResourceNotFoundException":
                raise self._no_value() from None
            way_out = f" ({_WAYS_OUT[code]})" if code in _WAYS_OUT else ""
            raise OperatorNeeded(self._unavailable, f"the secret cannot be read: {code}{way_out}") from None
        # What is stored as SecretBinary and is no text keeps its odd bytes: `pasted_texts` names them.
        value = answer.get("SecretString") or answer.get("SecretBinary", b"").decode("utf-8", "surrogateescape")
        if not value.strip():
            raise self._no_value()
        return value

    def _no_value(self) -> Transient:
        return OperatorNeeded(
            self._unavailable, "the secret has no value yet: the outputs of the stack name the command that sets it"
        )


def pasted_texts(secret: str) -> list[str]:
    """The texts in a secret as people store it, at least one and none of them empty.

    Taken is a JSON list of texts, and where there is no doubt what else people paste: a single text, also in quotes,
    also behind `NAME=`, and the object with one key that the console of Secrets Manager makes of a key and a value.

    Raises ValueError, with a sentence that names the mistake and holds no part of the secret.
    """
    text = _unwrapped(secret)
    if text.startswith(("[", "{")):
        try:
            found = json.loads(text, object_pairs_hook=tuple)
        except (ValueError, RecursionError):
            raise ValueError(f"it begins like JSON, with {text[0]}, and is none: copy it once more") from None
        texts = _texts(found)
    else:
        texts = [text]
    if not all(each.strip() for each in texts):
        raise ValueError("it holds an empty text")
    return texts


def _unwrapped(secret: str) -> str:
    """Without the quotes and the `NAME=` around it."""
    if any("\ud800" <= character <= "\udfff" for character in secret):
        raise ValueError("it is stored as binary (SecretBinary) and is no text: store it as text (SecretString)")
    text = secret.strip().removeprefix("\ufeff").strip()
    if _NO_ASSIGNMENT.fullmatch(text):
        raise ValueError("it is a name without a value: copy what stands behind it, too")
    if assigned := _ASSIGNMENT.match(text):
        text = text[assigned.end() :]
    if len(text) > 1 and text[0] + text[-1] in _QUOTES:
        # Quotes around JSON come with backslashes before the quotes inside.
        text = text[1:-1].replace('\\"', '"').strip()
    return text


def _texts(found: object) -> list[str]:
    """The texts in what JSON made of a secret. An object is a tuple of pairs: its keys need not be distinct."""
    if isinstance(found, tuple):
        if len(found) != 1:
            raise ValueError(
                f"it is an object with {len(found)} keys, and it does not show which is the secret: store the"
                " secret alone, as plain text"
            )
        ((_, found),) = found
        if found == "":
            raise ValueError("it is an object whose only value is empty: the secret was pasted as the key")
        if isinstance(found, str):
            return pasted_texts(found) if found.strip().startswith("[") else [_unwrapped(found)]
    if not isinstance(found, list) or not found or not all(isinstance(each, str) for each in found):
        raise ValueError('it must be a text, or a JSON list of texts like ["..."]')
    return found
