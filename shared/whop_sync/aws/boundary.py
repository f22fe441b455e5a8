"""The one boundary to AWS: the SDK's errors become ours here, whichever service they come from."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from whop_sync.errors import Reason, Transient


@contextmanager
def aws_errors(reason: Reason) -> Iterator[None]:
    """Raises Transient(reason) in place of what the AWS SDK raises. The explanation is the error code that AWS
    answered, or the class of an error that needed no answer.

    Conditions that failed are answers and no errors: catch their ClientError inside.
    """
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise Transient(reason, aws_error_code(error)) from None


def aws_error_code(error: ClientError | BotoCoreError) -> str:
    """The code that AWS answered, such as AccessDeniedException, or the class of an error that needed no answer."""
    if isinstance(error, ClientError):
        return error.response.get("Error", {}).get("Code", "")
    return type(error).__name__
