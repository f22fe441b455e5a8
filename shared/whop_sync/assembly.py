"""The composition root: opens clients, once an environment, and puts each function together.

Each factory imports what its function needs and nothing else, because imports are most of a cold start. Garbage
collection is off meanwhile: it would look through all that is being imported, a tenth of the time, and find nothing.

All factories but those of the two receivers raise ValueError, with a sentence that names the setting, if the
environment is not what the template sets.
"""

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx
    from botocore.config import Config

    from whop_sync.announcements import Announcement
    from whop_sync.announcing.queued_announcements import Handled, Target
    from whop_sync.aws.custom_resources import Check
    from whop_sync.aws.queues import Queue
    from whop_sync.aws.secrets import Secret, UnavailableReason
    from whop_sync.backend_api.chat_tokens import ChatTokens
    from whop_sync.backend_api.enrolling import EnrollUser
    from whop_sync.backend_api.lookups import LookUp
    from whop_sync.backend_api.payouts import AccountLinks, PayoutTokens
    from whop_sync.batches.worker import Worker
    from whop_sync.config.announcing import EventBusTarget, WebhookTarget
    from whop_sync.config.syncing import SyncConfig
    from whop_sync.config.whop import WhopConfig
    from whop_sync.events import UserEvent
    from whop_sync.importing.stored_files import StoredImports
    from whop_sync.journal import Journal
    from whop_sync.receiving.deliveries import MisconfiguredReceiver, Receiver
    from whop_sync.receiving.whop_webhooks import MisconfiguredWhopReceiver, WhopReceiver
    from whop_sync.syncing.synchronization import Announce, Result, Synchronization
    from whop_sync.users.directory import Directory
    from whop_sync.whop.client import Pace, Whop, Witness

BATCH_SIZE = 10
"""As many as the template lets Lambda hand over at once; each user of a batch gets a thread."""

MAX_STACK_NAME_LENGTH = 48
"""A function's name begins with the stack's and has 64 characters at most
(https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html); the longest ending here takes the others."""


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # all this stays: no later collection needs to look through it
        gc.enable()


@_without_garbage_collection()
def receiver() -> "Receiver | MisconfiguredReceiver":
    """POST /webhooks. Senders wait 5 to 15 seconds and try again: a quick 503 is better than a late answer.

    With wrong settings it answers every delivery with 503 and logs which one is wrong. A function that fails at its
    start would answer 500 and name nothing.
    """
    import os

    import boto3

    from whop_sync.aws.queues import EventQueues, Queue
    from whop_sync.config.receiving import receiver_config
    from whop_sync.journal import Journal
    from whop_sync.receiving.deliveries import MisconfiguredReceiver, Receiver
    from whop_sync.receiving.platforms import configured
    from whop_sync.receiving.signatures import signing_keys

    journal = Journal()
    try:
        config = receiver_config()
        platform = configured(os.environ)
    except ValueError as error:
        return MisconfiguredReceiver(problem=str(error), journal=journal)
    aws = _aws(connect=1, read=2, attempts=2)
    sqs = boto3.client("sqs", config=aws)
    secret = _secret(
        boto3.client("secretsmanager", config=aws), config.signing_secrets_arn, "signing_secrets_unavailable"
    )
    return Receiver(
        platform=platform,
        signing_keys=lambda: signing_keys(secret.text(), platform.scheme),
        queues=EventQueues(
            created=Queue(sqs, config.user_created_queue_url), changed=Queue(sqs, config.profile_updated_queue_url)
        ),
        parked=Queue(sqs, config.parked_deliveries_queue_url),
        journal=journal,
        clock=time.time,
    )


@_without_garbage_collection()
def whop_receiver() -> "WhopReceiver | MisconfiguredWhopReceiver":
    """POST /whop-webhooks. Whop waits 5 seconds and tries again: a quick 503 is better than a late answer.

    With wrong settings it answers every webhook with 503 and logs which one is wrong.
    """
    import boto3

    from whop_sync.aws.queues import Queue
    from whop_sync.config.receiving import whop_receiver_config
    from whop_sync.journal import Journal
    from whop_sync.receiving.whop_webhooks import MisconfiguredWhopReceiver, WhopReceiver, whop_webhook_keys

    journal = Journal()
    try:
        config = whop_receiver_config()
    except ValueError as error:
        return MisconfiguredWhopReceiver(problem=str(error), journal=journal)
    aws = _aws(connect=1, read=1, attempts=2)
    secret = _secret(boto3.client("secretsmanager", config=aws), config.secrets_arn, "whop_webhook_secrets_unavailable")
    return WhopReceiver(
        keys=lambda: whop_webhook_keys(secret.text()),
        queue=Queue(boto3.client("sqs", config=aws), config.announcements_queue_url),
        journal=journal,
        clock=time.time,
    )


@_without_garbage_collection()
def worker() -> "Worker[UserEvent, Result]":
    """The events of one queue, brought to Whop."""
    from concurrent.futures import ThreadPoolExecutor

    import boto3

    from whop_sync.aws.queues import Queue
    from whop_sync.batches.worker import Worker
    from whop_sync.config.syncing import worker_config
    from whop_sync.journal import Journal
    from whop_sync.pictures.fetching import TIMEOUT_SECONDS
    from whop_sync.syncing.user_events import UserEvents
    from whop_sync.whop.client import CALL_SECONDS, CALL_TIMEOUT
    from whop_sync.whop.rate_limit import MAX_WAIT_SECONDS

    config = worker_config()
    journal = Journal()  # before the clients, which would log where they found credentials
    aws = _aws(connect=2, read=5, attempts=3, connections=BATCH_SIZE)
    sqs = boto3.client("sqs", config=aws)
    synchronization = _synchronization(
        config.sync,
        boto3.client("dynamodb", config=aws),
        sqs,
        boto3.client("secretsmanager", config=aws),
        journal,
        max_wait=MAX_WAIT_SECONDS,
        timeout=CALL_TIMEOUT,
        call_seconds=CALL_SECONDS,
        picture_seconds=TIMEOUT_SECONDS,
    )
    return Worker(
        messages=UserEvents(handler=synchronization, journal=journal),
        queue=Queue(sqs, config.queue_url),
        dead_letters=Queue(sqs, config.dead_letter_queue_url),
        journal=journal,
        clock=time.time,
        pool=ThreadPoolExecutor(max_workers=BATCH_SIZE),
    )


def _synchronization(
    config: "SyncConfig",
    dynamodb: Any,
    sqs: Any,
    secrets_manager: Any,
    journal: "Journal",
    *,
    max_wait: float,
    timeout: "httpx.Timeout",
    call_seconds: float,
    picture_seconds: float,
) -> "Synchronization":
    """The way of an event to Whop. No call takes longer than `call_seconds`: the wait for its slot, `max_wait` at most,
    then the sum of the timeouts. No picture takes longer to fetch than `picture_seconds`."""
    from concurrent.futures import ThreadPoolExecutor

    from whop_sync.aws.queues import Queue
    from whop_sync.internet.requests import PublicHttp
    from whop_sync.pictures.fetching import PictureFetcher
    from whop_sync.syncing.enrollment import Enrollment
    from whop_sync.syncing.profiles import Profiles
    from whop_sync.syncing.synchronization import Synchronization
    from whop_sync.users.mappings import Mappings
    from whop_sync.whop.rate_limit import Limit, Pacer, SharedBuckets

    limit = Limit(config.whop_calls_per_minute, max_wait=max_wait)
    buckets = SharedBuckets(dynamodb, config.user_mappings_table, time.time, limit)
    whop = whop_client(
        config.whop,
        secrets_manager,
        country=config.account_country,
        witness=journal,
        pace=Pacer(buckets, clock=time.time, sleep=time.sleep, max_wait=max_wait),
        timeout=timeout,
    )
    mappings = Mappings(dynamodb, config.user_mappings_table, time.time)
    enrollment = Enrollment(
        whop=whop,
        mappings=mappings,
        company=config.whop.company_id,
        title_format=config.title_format,
        clock=time.time,
    )
    profiles = Profiles(
        whop=whop,
        pictures=PictureFetcher(
            clock=time.monotonic,
            http=PublicHttp(allowed_origin=config.picture_allowed_origin),
            seconds=picture_seconds,
        ),
        pool=ThreadPoolExecutor(max_workers=BATCH_SIZE),
        company=config.whop.company_id,
        clock=time.time,
        sleep=time.sleep,
        deleted_user_name=config.deleted_user_name,
    )
    announcements = config.announcements_queue_url and Queue(sqs, config.announcements_queue_url)
    return Synchronization(
        mappings=mappings,
        enrollment=enrollment,
        profiles=profiles,
        clock=time.time,
        announce=_announce_through(announcements) if announcements else None,
        call_seconds=call_seconds,
    )


@_without_garbage_collection()
def enroll_user() -> "EnrollUser":
    """PUT /users/{user_id}. The backend waits for the answer, and API Gateway does so for 30 seconds: so a call gets
    less time than a worker's, and waits less for its slot."""
    import boto3

    from whop_sync.aws.queues import EventQueues, Queue
    from whop_sync.backend_api.enrolling import (
        CALL_SECONDS,
        CALL_TIMEOUT,
        MAX_SLOT_WAIT_SECONDS,
        PICTURE_SECONDS,
        EnrollUser,
    )
    from whop_sync.config.syncing import enroll_config
    from whop_sync.journal import Journal
    from whop_sync.receiving.enroll_requests import RequestReader
    from whop_sync.receiving.payloads import checked_enroll_if
    from whop_sync.users.directory import Directory

    config = enroll_config()
    reader = RequestReader(enroll_if=checked_enroll_if(config.enroll_if))
    journal = Journal()
    aws = _aws(connect=1, read=2, attempts=2)
    dynamodb = boto3.client("dynamodb", config=aws)
    sqs = boto3.client("sqs", config=aws)
    return EnrollUser(
        reader=reader,
        handler=_synchronization(
            config.sync,
            dynamodb,
            sqs,
            boto3.client("secretsmanager", config=aws),
            journal,
            max_wait=MAX_SLOT_WAIT_SECONDS,
            timeout=CALL_TIMEOUT,
            call_seconds=CALL_SECONDS,
            picture_seconds=PICTURE_SECONDS,
        ),
        queues=EventQueues(
            created=Queue(sqs, config.user_created_queue_url), changed=Queue(sqs, config.profile_updated_queue_url)
        ),
        directory=Directory(dynamodb, config.sync.user_mappings_table),
        journal=journal,
        clock=time.time,
        sleep=time.sleep,
    )


def _announce_through(queue: "Queue") -> "Announce":
    return lambda announcement: queue.send(announcement.to_json())


@_without_garbage_collection()
def announcer() -> "Worker[Announcement, Handled]":
    """The announcements of one queue, brought to the platform."""
    from concurrent.futures import ThreadPoolExecutor

    import boto3

    from whop_sync.announcing.queued_announcements import QueuedAnnouncements
    from whop_sync.aws.queues import Queue
    from whop_sync.batches.worker import Worker
    from whop_sync.config.announcing import announce_config
    from whop_sync.journal import Journal
    from whop_sync.users.announced_webhooks import AnnouncedWebhooks
    from whop_sync.users.directory import Directory

    config = announce_config()
    journal = Journal()  # before the clients, which would log where they found credentials
    # Short: an announcement for which AWS takes longer comes again.
    aws = _aws(connect=1, read=2, attempts=2, connections=BATCH_SIZE)
    target = _announcement_target(config.target, aws)
    dynamodb = boto3.client("dynamodb", config=aws)
    sqs = boto3.client("sqs", config=aws)
    return Worker(
        messages=QueuedAnnouncements(
            target=target,
            directory=Directory(dynamodb, config.user_mappings_table),
            announced=AnnouncedWebhooks(dynamodb, config.user_mappings_table, time.time),
            journal=journal,
        ),
        queue=Queue(sqs, config.queue_url),
        dead_letters=Queue(sqs, config.dead_letter_queue_url),
        journal=journal,
        clock=time.time,
        pool=ThreadPoolExecutor(max_workers=BATCH_SIZE),
    )


def _announcement_target(target: "WebhookTarget | EventBusTarget", aws: "Config") -> "Target":
    import boto3

    from whop_sync.config.announcing import EventBusTarget

    if isinstance(target, EventBusTarget):
        from whop_sync.announcing.event_bus import EventBus

        return EventBus(boto3.client("events", config=aws), target.bus, clock=time.monotonic)
    from whop_sync.announcing.platform_url import checked_platform_url
    from whop_sync.announcing.webhooks import PlatformWebhook, announcement_keys
    from whop_sync.internet.requests import PublicHttp

    http = PublicHttp(allowed_origin=target.allowed_origin)
    url = checked_platform_url(target.url, http=http, own_webhook_url=target.own_webhook_url)
    secret = _secret(boto3.client("secretsmanager", config=aws), target.secrets_arn, "announcement_secrets_unavailable")
    return PlatformWebhook(
        url=url, keys=lambda: announcement_keys(secret.text()), http=http, clock=time.time, timer=time.monotonic
    )


@_without_garbage_collection()
def look_up() -> "LookUp":
    """GET /users/{user_id} and its like by Whop's ids. The platform's backend waits for the answer."""
    import boto3

    from whop_sync.backend_api.lookups import LookUp
    from whop_sync.config.settings import user_mappings_table
    from whop_sync.journal import Journal
    from whop_sync.users.directory import Directory

    table = user_mappings_table()
    journal = Journal()
    dynamodb = boto3.client("dynamodb", config=_aws(connect=1, read=2, attempts=3))
    return LookUp(directory=Directory(dynamodb, table), journal=journal)


@_without_garbage_collection()
def chat_tokens() -> "ChatTokens":
    """POST /users/{user_id}/chat-token. The backend waits for the answer, and API Gateway does so for 30 seconds."""
    from whop_sync.backend_api.chat_tokens import ChatTokens
    from whop_sync.config.backend_api import chat_token_config

    config = chat_token_config()
    whop, directory, journal = _for_backend(config.whop, config.user_mappings_table)
    return ChatTokens(
        directory=directory,
        whop=whop,
        company=config.whop.company_id,
        actions=config.actions,
        journal=journal,
        clock=time.time,
    )


@_without_garbage_collection()
def account_links() -> "AccountLinks":
    """POST /users/{user_id}/account-link. The backend waits for the answer, and API Gateway does so for 30 seconds."""
    from whop_sync.backend_api.payouts import AccountLinks
    from whop_sync.config.backend_api import account_link_config

    config = account_link_config()
    whop, directory, journal = _for_backend(config.whop, config.user_mappings_table)
    return AccountLinks(directory=directory, whop=whop, hosts=config.hosts, journal=journal)


@_without_garbage_collection()
def payout_tokens() -> "PayoutTokens":
    """POST /users/{user_id}/payout-token. The backend waits for the answer, and API Gateway does so for 30 seconds."""
    from whop_sync.backend_api.payouts import PayoutTokens
    from whop_sync.config.backend_api import payout_token_config

    config = payout_token_config()
    whop, directory, journal = _for_backend(config.whop, config.user_mappings_table)
    return PayoutTokens(directory=directory, whop=whop, actions=config.actions, journal=journal, clock=time.time)


def _for_backend(config: "WhopConfig", table: str) -> tuple["Whop", "Directory", "Journal"]:
    """What a function needs that asks Whop while a caller waits."""
    import boto3
    import httpx

    from whop_sync.journal import Journal
    from whop_sync.users.directory import Directory

    aws = _aws(connect=1, read=2, attempts=2)
    journal = Journal()
    whop = whop_client(
        config,
        boto3.client("secretsmanager", config=aws),
        witness=journal,
        timeout=httpx.Timeout(5, read=10, connect=3),
    )
    return whop, Directory(boto3.client("dynamodb", config=aws), table), journal


@_without_garbage_collection()
def stored_imports() -> "StoredImports":
    """Two steps of the state machine that imports a file of users."""
    import boto3

    from whop_sync.aws.queues import Queue
    from whop_sync.config.settings import is_local, user_created_queue_url
    from whop_sync.importing.stored_files import StoredImports
    from whop_sync.journal import Journal

    queue_url = user_created_queue_url()
    journal = Journal()  # before the clients, which would log where they found credentials
    # The name of a bucket cannot be put before the host name of a local engine.
    aws = _aws(connect=2, read=30, attempts=3, s3={"addressing_style": "path" if is_local() else "auto"})
    return StoredImports(
        s3=boto3.client("s3", config=aws),
        queue=Queue(boto3.client("sqs", config=aws), queue_url),
        journal=journal,
        clock=time.time,
    )


def settings_check() -> "Check":
    """A step of each deployment: puts the functions together with the settings they would get, before they get them."""
    import os

    from whop_sync.aws.custom_resources import Check, put
    from whop_sync.journal import Journal
    from whop_sync.receiving.deliveries import MisconfiguredReceiver

    def problem(properties: Mapping[str, Any]) -> str | None:
        stack = properties["StackName"]
        if len(stack) > MAX_STACK_NAME_LENGTH:
            return (
                f"The stack's name, {stack}, has {len(stack)} characters; {MAX_STACK_NAME_LENGTH} are possible, since "
                "the functions are named after it. Deploy it under a shorter name."
            )
        os.environ.update(properties["Environment"])
        wanted = {account_links: "ACCOUNT_LINK_HOSTS", payout_tokens: "PAYOUT_TOKEN_ACTIONS"}
        optional: list[Callable[[], object]] = [
            factory for factory, setting in wanted.items() if os.environ.get(setting)
        ]
        if os.environ.get("ANNOUNCE_TO", "none") != "none":
            optional.append(announcer)
        for factory in (receiver, worker, enroll_user, chat_tokens, *optional):
            try:
                made = factory()
            except ValueError as error:
                return str(error)
            if isinstance(made, MisconfiguredReceiver):
                return made.problem
        return None

    return Check(problem=problem, journal=Journal(), put=put)


def whop_client(
    config: "WhopConfig",
    secrets_manager: Any,
    *,
    country: str | None = None,
    witness: "Witness | None" = None,
    pace: "Pace | None" = None,
    timeout: "httpx.Timeout | None" = None,
    proxied: bool = False,
) -> "Whop":
    """The client of Whop's API, for the functions and for the operators' tool."""
    from whop_sync.whop.api_key import parse_api_key
    from whop_sync.whop.client import CALL_TIMEOUT, Whop, http_client
    from whop_sync.whop.generations import chosen_generation

    generation = chosen_generation(config.enrollment, config.api_version)
    secret = _secret(secrets_manager, config.api_key_arn, "whop_api_key_unavailable")
    return Whop(
        http_client(timeout or CALL_TIMEOUT, proxied=proxied),
        url=config.api_url,
        version=config.api_version,
        api_key=lambda: parse_api_key(secret.text()),
        witness=witness,
        generation=generation,
        country=country,
        pace=pace,
    )


def _secret(secrets_manager: Any, arn: str, unavailable: "UnavailableReason") -> "Secret":
    from whop_sync.aws.secrets import Secret

    return Secret(secrets_manager, arn, unavailable=unavailable, clock=time.monotonic)


def _aws(*, connect: float, read: float, attempts: int, connections: int = 10, **more: Any) -> "Config":
    """Time-outs in seconds; `attempts` counts the first one."""
    from botocore.config import Config

    return Config(
        connect_timeout=connect,
        read_timeout=read,
        retries={"mode": "standard", "max_attempts": attempts},
        max_pool_connections=connections,
        **more,
    )
