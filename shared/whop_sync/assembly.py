"""Puts a worker together: opens the clients, once per environment, and hands each part what it needs."""

import time
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config

from whop_sync.aws.queues import Queue
from whop_sync.aws.secrets import Credentials
from whop_sync.config import worker_config
from whop_sync.journal import Journal
from whop_sync.pictures.fetching import Avatars
from whop_sync.syncing.enrollment import Enrollment
from whop_sync.syncing.profiles import Profiles
from whop_sync.syncing.synchronization import Synchronization
from whop_sync.syncing.worker import Worker
from whop_sync.users.mappings import Mappings
from whop_sync.whop.client import Whop, http_client
from whop_sync.whop.rate_limit import Limit, Pacer, SharedSchedule

BATCH_SIZE = 10
"""As many as the template lets Lambda hand over at once; each user of a batch gets a thread."""

_AWS = Config(
    connect_timeout=2,
    read_timeout=5,
    retries={"mode": "standard", "max_attempts": 3},
    max_pool_connections=BATCH_SIZE,
)


def worker() -> Worker:
    """Raises ValueError if the environment is not what the template sets."""
    config = worker_config()
    dynamodb = boto3.client("dynamodb", config=_AWS)
    schedule = SharedSchedule(dynamodb, config.user_mappings_table, time.time, Limit(config.whop_calls_per_minute))
    credentials = Credentials(boto3.client("secretsmanager", config=_AWS), time.monotonic)
    journal = Journal()
    whop = Whop(
        http_client(),
        url=config.whop_api_url,
        version=config.whop_api_version,
        api_key=lambda: credentials.whop_api_key(config.whop_api_key_arn),
        witness=journal,
        generation=config.generation,
        pace=Pacer(schedule, clock=time.time, sleep=time.sleep),
    )
    mappings = Mappings(dynamodb, config.user_mappings_table, time.time)
    enrollment = Enrollment(
        whop=whop,
        mappings=mappings,
        company=config.whop_company_id,
        title_format=config.title_format,
        clock=time.time,
    )
    profiles = Profiles(
        whop=whop,
        avatars=Avatars(clock=time.monotonic, allowed_origin=config.picture_allowed_origin),
        company=config.whop_company_id,
        clock=time.time,
        sleep=time.sleep,
    )
    sqs = boto3.client("sqs", config=_AWS)
    return Worker(
        handler=Synchronization(mappings=mappings, enrollment=enrollment, profiles=profiles),
        queue=Queue(sqs, config.queue_url),
        dead_letters=Queue(sqs, config.dead_letter_queue_url),
        journal=journal,
        clock=time.time,
        pool=ThreadPoolExecutor(max_workers=BATCH_SIZE),
    )
