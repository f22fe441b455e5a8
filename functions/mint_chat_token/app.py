"""POST /users/{user_id}/chat-token: makes a token with which one user chats in the platform's company."""

import gc

gc.disable()  # to look for garbage among what is being imported takes a tenth of a cold start

import time
from typing import Any

import boto3
import httpx
from botocore.config import Config

from whop_sync.aws.secrets import Credentials
from whop_sync.backend_api.chat_tokens import ChatTokens
from whop_sync.config import chat_token_config
from whop_sync.journal import Journal
from whop_sync.users.directory import Directory
from whop_sync.whop.client import Whop, http_client

# Somebody waits for the answer, and API Gateway does so for 30 seconds.
AWS = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "max_attempts": 2})
WHOP_TIMEOUT = httpx.Timeout(5, read=10, connect=3)

config = chat_token_config()
credentials = Credentials(boto3.client("secretsmanager", config=AWS), time.monotonic)
journal = Journal()
chat_tokens = ChatTokens(
    directory=Directory(boto3.client("dynamodb", config=AWS), config.user_mappings_table),
    whop=Whop(
        http_client(WHOP_TIMEOUT),
        url=config.whop_api_url,
        version=config.whop_api_version,
        api_key=lambda: credentials.whop_api_key(config.whop_api_key_arn),
        witness=journal,
    ),
    company=config.whop_company_id,
    actions=config.actions,
    journal=journal,
    clock=time.time,
)

gc.freeze()  # all this stays, so nobody need look through it later on
gc.enable()


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    return chat_tokens.answer(event)
