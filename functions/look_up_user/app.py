"""GET /users/{user_id} and GET /whop-users/{whop_user_id}: tells the platform what is recorded about a user."""

import gc

gc.disable()  # to look for garbage among what is being imported takes a tenth of a cold start

from typing import Any

import boto3
from botocore.config import Config

from whop_sync.backend_api.lookups import LookUp
from whop_sync.config import user_mappings_table
from whop_sync.journal import Journal
from whop_sync.users.directory import Directory

# Somebody waits for the answer.
AWS = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "max_attempts": 3})

look_up = LookUp(
    directory=Directory(boto3.client("dynamodb", config=AWS), user_mappings_table()),
    journal=Journal(),
)

gc.freeze()  # all this stays, so nobody need look through it later on
gc.enable()


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    return look_up.answer(event)
