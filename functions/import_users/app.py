"""Two steps of the state machine that imports a file of users: plans the parts of the file, and imports one part."""

import gc

gc.disable()  # to look for garbage among what is being imported takes a tenth of a cold start

import os
import time
from typing import Any

import boto3
from botocore.config import Config

from whop_sync.aws.queues import Queue
from whop_sync.importing.stored_files import StoredImports

AWS = Config(
    connect_timeout=2,
    read_timeout=30,
    retries={"mode": "standard", "max_attempts": 3},
    # A bucket's name cannot be put before the host name of a local engine.
    s3={"addressing_style": "path" if os.environ.get("AWS_ENDPOINT_URL") else "auto"},
)

imports = StoredImports(
    s3=boto3.client("s3", config=AWS),
    queue=Queue(boto3.client("sqs", config=AWS), os.environ["USER_CREATED_QUEUE_URL"]),
    clock=time.time,
)

gc.freeze()  # all this stays, so nobody need look through it later on
gc.enable()


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    return imports.send_part(event) if "part" in event else imports.plan(event)
