"""What an API key of Whop must look like, before it is sent anywhere."""

import re

from whop_sync.aws.secrets import pasted_texts
from whop_sync.errors import OperatorNeeded

# What a Bearer token may consist of (https://www.rfc-editor.org/rfc/rfc6750#section-2.1). Whop's documents show keys as
# whop_... and its own tutorials as apik_..., so no prefix is asked for.
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)

_OTHERS = {
    "biz_": "the id of a company",
    "user_": "the id of a user",
    "whsec_": "the signing secret of a webhook",
    "ws_": "the signing secret of one of Whop's own webhooks",
    "hook_": "the id of a webhook",
}
"""What begins like this is documented to be something else."""


def parse_api_key(secret: str) -> str:
    """The API key in the text of a secret, also where it was pasted in quotes, as JSON, as NAME=value, or with Bearer.

    Raises OperatorNeeded, whose explanation names the mistake and holds no part of the secret.
    """
    try:
        texts = pasted_texts(secret)
    except ValueError as error:
        raise _invalid(str(error)) from None
    if len(texts) != 1:
        raise _invalid(f"it is a list of {len(texts)} texts, and must be one API key")
    key = texts[0].strip()
    if key[:7].lower() == "bearer ":
        key = key[7:].strip()
    if not _BEARER.fullmatch(key):
        raise _invalid("it must be one word of plain ASCII letters, digits and . _ ~ + / -")
    for prefix, what in _OTHERS.items():
        if key.startswith(prefix):
            raise _invalid(f"it begins with {prefix} and so is {what}")
    return key


def _invalid(mistake: str) -> OperatorNeeded:
    return OperatorNeeded("whop_api_key_invalid", f"the secret is no API key of Whop: {mistake}")
