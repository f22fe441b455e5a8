"""POST /webhooks: checks a delivery's signature and stores it in a queue."""

import gc

gc.disable()  # to look for garbage among what is being imported takes a tenth of a cold start

import time
from typing import Any

import boto3
from botocore.config import Config

from whop_sync.aws.queues import Queue
from whop_sync.aws.secrets import Credentials
from whop_sync.config import receiver_config
from whop_sync.journal import Journal
from whop_sync.receiving.deliveries import Receiver

# Senders wait 5 to 15 seconds and try again: better a quick 503 than a late answer.
AWS = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "max_attempts": 2})

config = receiver_config()
credentials = Credentials(boto3.client("secretsmanager", config=AWS), time.monotonic)
sqs = boto3.client("sqs", config=AWS)
receiver = Receiver(
    platform=config.platform,
    signing_keys=lambda: credentials.signing_keys(config.signing_secrets_arn, config.platform.scheme),
    queues={
        "created": Queue(sqs, config.user_created_queue_url),
        "updated": Queue(sqs, config.profile_updated_queue_url),
    },
    parked=Queue(sqs, config.parked_deliveries_queue_url),
    journal=Journal(),
    clock=time.time,
)

gc.freeze()  # all this stays, so nobody need look through it later on
gc.enable()


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    # An HTTP request only ever fills the values of API Gateway's own keys, so nobody from outside can say this.
    if event.keys() == {"redelivery"}:
        return receiver.redeliver(event["redelivery"])
    return receiver.answer(event)
