"""Whether a deployed stack can work, found out without creating anything: its settings, its secrets, Whop, its alarms.

Every defect gives one finding with one sentence, which says what to do. A check that depends on a defect is left out,
so that one mistake is not reported five times.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import httpx
from botocore.exceptions import ClientError

from whop_sync.announcing.webhooks import announcement_keys
from whop_sync.aws.secrets import Secret, UnavailableReason
from whop_sync.config.whop import WhopConfig
from whop_sync.errors import OperatorNeeded, Permanent, SyncError, Transient
from whop_sync.receiving.platforms import configured
from whop_sync.receiving.signatures import parse_secrets
from whop_sync.receiving.whop_webhooks import whop_webhook_keys
from whop_sync.whop.client import Whop, http_client
from whop_user_sync.stack import NO_QUEUE, Stack, is_loopback, whop_config

type About = Literal[
    "settings",
    "whop_api_key",
    "whop_payouts_api_key",
    "whop_company",
    "whop_scope",
    "whop_api_version",
    "whop",
    "signing_secret",
    "whop_webhook_secret",
    "announcement_secrets",
    "platform_url",
    "event_bus",
    "queues",
    "alarms",
    "alarm_mail",
    "concurrency",
    "clock",
]
type Verdict = Literal["ok", "warning", "wrong"]
type KeyUse = Literal["whop_api_key", "whop_payouts_api_key"]
"""The key of users and chat, or the one that links and payout tokens are made with, if that is another one."""

MAX_CLOCK_SECONDS = 60
"""AWS refuses signed requests from clocks that are five minutes off, and tokens lose as much of their life."""

LOW_CONCURRENCY = 100
"""Lambda's quota is 1,000 in most accounts and 10 in some new ones
(https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html)."""

_CALLED: Mapping[KeyUse, str] = {"whop_api_key": "The API key", "whop_payouts_api_key": "The API key for payouts"}

DASHBOARDS = {
    "production": "https://whop.com/dashboard/developer",
    "sandbox": "https://sandbox.whop.com/dashboard/developer",
}
"""Where API keys are made and changed (https://docs.whop.com/developer/quickstart)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`about` is a fixed word for programs. `wrong` means that something does not work; a `warning` leaves the choice
    to a person."""

    about: About
    verdict: Verdict
    sentence: str


@dataclass(frozen=True, slots=True)
class Need:
    """Permissions of the API key of which one is needed, the first one being the better one, and what for."""

    any_of: tuple[str, ...]
    purpose: str
    setting: str = ""
    """The parameter that names the permission, where one does."""


def needs(enrollment: str, token_actions: Sequence[str]) -> Iterator[Need]:
    """What the API key must be allowed (https://docs.whop.com/developer/guides/chat/sync-users and the reference of
    each call)."""
    if enrollment == "companies":
        yield Need(("company:create",), "to enroll users")
        yield Need(("company:basic:read",), "to enroll users and to find an account again after a lost answer")
    else:
        # The text of the refusal speaks of connected accounts, the reference allows either.
        yield Need(("company:create_child", "company:create"), "to enroll users")
    yield Need(("user:profile:update",), "to set names and pictures")
    for action in token_actions:
        yield Need((action,), "because ChatTokenActions passes it on to users", "ChatTokenActions")


def payout_needs(*, makes_links: bool, token_actions: Sequence[str]) -> Iterator[Need]:
    """What the API key for payouts must be allowed. `token_actions` are those of payout tokens, none if it makes none.

    No document names the permission for account links; without this one they were refused (observed).
    """
    if makes_links:
        yield Need(("company:balance:read",), "for account links, which AccountLinkHosts allows")
    for action in token_actions:
        yield Need((action,), "because PayoutTokenActions passes it on to users", "PayoutTokenActions")


def check_whop(
    settings: Mapping[str, str],
    needed: Sequence[Need],
    connect: Callable[[WhopConfig], Whop],
    *,
    use: KeyUse = "whop_api_key",
) -> Iterator[Finding]:
    """An API key, its company, its permissions and the API version, asked of Whop by calls that only read.

    `settings` are a worker's environment variables. `connect` makes the client that all commands use.
    """
    environment, config = settings["WHOP_ENVIRONMENT"], whop_config(settings)
    try:
        whop = connect(config)
    except ValueError as error:
        yield Finding("whop_api_version", "wrong", f"{error}.")
        return
    where = DASHBOARDS[environment]
    try:
        yield from _check_key(whop, config.company_id, needed, use, where)
    except SyncError as error:
        yield _whop_finding(error, use, environment=environment, version=whop.version, where=where)
        return
    yield Finding("whop_api_version", "ok", f"Whop takes Api-Version-Date {whop.version}.")


def _check_key(whop: Whop, company: str, needed: Sequence[Need], use: KeyUse, where: str) -> Iterator[Finding]:
    """Raises SyncError where Whop refuses the call as a whole."""
    actions = sorted({action for need in needed for action in need.any_of} | {"company:balance:read"})
    granted, unknown = _permissions(whop, company, actions)
    if not any(granted.values()):
        yield Finding(
            "whop_company",
            "wrong",
            f"{_CALLED[use]} may do nothing in WhopCompanyId {company}: it is the key of another company, or has no"
            f" permissions. Use an account API key of {company}, made at {where}.",
        )
        return
    if granted["company:balance:read"]:
        own = whop.own_account().get("id")
        if own != company:
            yield Finding(
                "whop_company",
                "wrong",
                f"{_CALLED[use]} is that of {own}, and WhopCompanyId is {company}: use the key of the company itself.",
            )
            return
    yield Finding(use, "ok", f"Whop takes {_CALLED[use].replace('The', 'the')}.")
    missing = [need for need in needed if not any(granted[action] for action in need.any_of)]
    for need in missing:
        action = need.any_of[0]
        if action in unknown and need.setting:
            sentence = f"Whop knows no permission {action}: correct {need.setting}."
        else:
            sentence = f"{_CALLED[use]} lacks {action}, needed {need.purpose}: grant it at {where}."
        yield Finding("whop_scope", "wrong", sentence)
    if not missing:
        yield Finding("whop_scope", "ok", f"{_CALLED[use]} has the {len(needed)} permissions that are needed.")


def _permissions(whop: Whop, company: str, actions: Sequence[str]) -> tuple[dict[str, bool], set[str]]:
    """What is granted, and which actions Whop refuses to be asked about. Whether it does so is not documented."""
    try:
        return whop.permissions(company, actions), set()
    except Permanent as error:
        if error.reason != "whop_refused":
            raise
    granted: dict[str, bool] = {}
    unknown: set[str] = set()
    for action in actions:
        try:
            granted |= whop.permissions(company, [action])
        except Permanent:
            granted[action] = False
            unknown.add(action)
    return granted, unknown


def _whop_finding(error: SyncError, use: KeyUse, *, environment: str, version: str, where: str) -> Finding:
    called = _CALLED[use].replace("The", "the")
    match error.reason:
        case "whop_api_key_invalid" | "whop_api_key_unavailable":
            sentence = f"{_CALLED[use]} cannot be used: {error.explanation.rstrip('.')}. Whop was not asked."
            return Finding(use, "wrong", sentence)
        case "whop_key_rejected":
            return Finding(
                use,
                "wrong",
                f"Whop's {environment} refuses {called}: it is one of the other environment, was rotated, has"
                f" expired, or its IP allowlist leaves this machine out. Keys are made at {where}.",
            )
        case "whop_gone":
            return Finding(
                "whop_api_version",
                "wrong",
                f"Whop does not know Api-Version-Date {version}, or has retired this call at it: leave WhopApiVersion"
                " empty.",
            )
        case _:
            kind = "could not be asked" if isinstance(error, Transient) else "refuses to say what the key may do"
            return Finding("whop", "wrong", f"Whop {kind} ({error.reason}). {_sentence(error.explanation)}".strip())


def check_signing_secret(settings: Mapping[str, str], secret: Callable[[], str]) -> Iterator[Finding]:
    """Whether the receiver's settings can be read, and its signing secrets go with its scheme."""
    try:
        scheme = configured(settings).scheme
    except ValueError as error:
        yield Finding("settings", "wrong", _sentence(str(error)))
        return
    try:
        keys = parse_secrets(secret(), scheme)
    except OperatorNeeded as error:
        yield Finding("signing_secret", "wrong", f"There are no signing secrets: {error.explanation}.")
    except ValueError as error:
        yield Finding("signing_secret", "wrong", f"The signing secrets cannot be used: {error}.")
    else:
        yield Finding("signing_secret", "ok", f"{len(keys)} signing secret(s) of the form of scheme {scheme.name}.")


def check_whop_webhook_secret(secret: Callable[[], str]) -> Finding:
    """Whether the secrets of Whop's own webhooks are there and can be such."""
    try:
        keys = whop_webhook_keys(secret())
    except OperatorNeeded as error:
        unset = error.reason == "whop_webhook_secrets_unavailable"
        problem = "There is no secret of Whop's webhooks" if unset else "The secrets of Whop's webhooks cannot be used"
        return Finding("whop_webhook_secret", "wrong", f"{problem}: {error.explanation}.")
    return Finding("whop_webhook_secret", "ok", f"{len(keys)} secret(s) of Whop's webhooks.")


def check_announcement_secrets(secret: Callable[[], str]) -> Finding:
    """Whether announcements can be signed."""
    try:
        keys = announcement_keys(secret())
    except OperatorNeeded as error:
        explanation = error.explanation.rstrip(".")
        return Finding(
            "announcement_secrets",
            "wrong",
            f"Announcements cannot be signed: {explanation}. The output SetAnnouncementSecrets is the command.",
        )
    return Finding("announcement_secrets", "ok", f"{len(keys)} secret(s) sign announcements.")


def check_platform_url(url: str, *, http: httpx.Client | None = None) -> Finding:
    """Whether the platform's backend answers at all. It is asked by HEAD, so it is sent no announcement."""
    try:
        status = (http or http_client(proxied=not is_loopback(url))).head(url).status_code
    except httpx.RequestError as error:
        return Finding(
            "platform_url",
            "wrong",
            f"PlatformUrl does not answer ({type(error).__name__}): announcements wait until it does.",
        )
    if status >= 500:  # noqa: PLR2004 - a status speaks for itself
        return Finding("platform_url", "warning", f"PlatformUrl answers {status}: see what ails your backend.")
    if 300 <= status < 400:  # noqa: PLR2004
        return Finding(
            "platform_url", "warning", f"PlatformUrl answers {status}, and announcements follow no redirect."
        )
    return Finding("platform_url", "ok", "PlatformUrl answers. No announcement was sent to it.")


def check_event_bus(events: Any, bus: str) -> Finding:
    """Whether the bus is there that announcements are put on."""
    try:
        events.describe_event_bus(Name=bus)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        return Finding(
            "event_bus", "wrong", f"There is no event bus {bus}: create it, or correct AnnouncementEventBus."
        )
    return Finding("event_bus", "ok", f"The event bus {bus} is there.")


def check_queues(sqs: Any, expected: Sequence[str]) -> Iterator[Finding]:
    """`expected` are the URLs of the queues that were deployed."""
    names = [url.rpartition("/")[2] for url in expected]
    missing = []
    for name in names:
        try:
            sqs.get_queue_url(QueueName=name)
        except ClientError as error:
            if error.response["Error"]["Code"] not in NO_QUEUE:
                raise
            missing.append(name)
    if missing:
        yield Finding("queues", "wrong", f"These queues are gone: {', '.join(missing)}. Deploy the stack again.")
    else:
        yield Finding("queues", "ok", f"The {len(names)} queues are there.")


def check_alarms(alarms: Sequence[Mapping[str, Any]], expected: Sequence[str]) -> Iterator[Finding]:
    """`alarms` as CloudWatch describes them, `expected` the names of those that were deployed."""
    found = {alarm["AlarmName"]: alarm for alarm in alarms}
    missing = [name for name in expected if name not in found]
    silent = [name for name in expected if name in found and not found[name].get("ActionsEnabled", True)]
    ringing = [name for name in expected if name in found and found[name].get("StateValue") == "ALARM"]
    if missing:
        yield Finding("alarms", "wrong", f"These alarms are gone: {', '.join(missing)}. Deploy the stack again.")
    if silent:
        yield Finding("alarms", "wrong", f"The actions of these alarms are switched off: {', '.join(silent)}.")
    if ringing:
        yield Finding("alarms", "warning", f"In alarm now: {', '.join(ringing)}.")
    if not missing and not silent:
        yield Finding("alarms", "ok", f"The {len(expected)} alarms are there.")


def check_alarm_mail(subscriptions: Sequence[Mapping[str, str]]) -> Finding:
    """`subscriptions` of the alarms' topic, as SNS lists them."""
    waiting = [each for each in subscriptions if not each.get("SubscriptionArn", "").startswith("arn:")]
    if waiting:
        return Finding(
            "alarm_mail",
            "wrong",
            "The address that alarms go to has not confirmed: open the mail of AWS Notifications and confirm.",
        )
    if not subscriptions:
        return Finding(
            "alarm_mail", "warning", "Alarms reach no person: set AlarmEmail, or subscribe to the output AlarmTopic."
        )
    return Finding("alarm_mail", "ok", f"Alarms go to {len(subscriptions)} confirmed subscription(s).")


def check_concurrency(limit: int, unreserved: int, workers: int) -> Finding:
    """`limit` functions run at once in this account and region, `unreserved` of them without a reservation. `workers`
    is how many the workers may take together."""
    if unreserved <= workers:
        return Finding(
            "concurrency",
            "wrong",
            f"Lambda runs {unreserved} functions at once for all that reserve none, and the workers may take {workers}"
            " of them: nothing is left for webhooks. Ask AWS for more at Service Quotas, or lower WorkerConcurrency.",
        )
    if limit < LOW_CONCURRENCY:
        return Finding(
            "concurrency",
            "warning",
            f"Lambda runs {limit} functions at once in this account, and the workers may take {workers} of them: a"
            " burst of webhooks is turned away and comes again. Ask AWS for 1,000 at Service Quotas.",
        )
    return Finding("concurrency", "ok", f"Lambda runs {limit} functions at once in this account.")


def check_clock(date: str | None, now: float) -> Iterator[Finding]:
    """`date` is the Date header of an answer of AWS, `now` this machine's clock."""
    if not date:
        return
    ahead = now - parsedate_to_datetime(date).timestamp()
    if abs(ahead) > MAX_CLOCK_SECONDS:
        way = "ahead" if ahead > 0 else "behind"
        yield Finding("clock", "wrong", f"The clock of this machine is {abs(round(ahead))} seconds {way}: set it.")
    else:
        yield Finding("clock", "ok", "The clock of this machine agrees with that of AWS.")


def check(stack: Stack, *, clock: Callable[[], float] = time.time) -> list[Finding]:
    """All checks of a stack. Raises botocore's errors where the operator's credentials do not reach it."""
    worker, receiver = stack.settings("user-created"), stack.settings("receive-webhook")
    actions = stack.settings("mint-chat-token")["CHAT_TOKEN_ACTIONS"].split(",")
    deployed = _deployed(stack)
    functions = deployed.get("AWS::Lambda::Function", [])
    payouts = _payout_functions(stack, functions)
    payout_needed = list(
        payout_needs(
            makes_links="account-link" in payouts,
            token_actions=[*filter(None, payouts.get("payout-token", {}).get("PAYOUT_TOKEN_ACTIONS", "").split(","))],
        )
    )
    payout_keys = {settings["WHOP_API_KEY_ARN"] for settings in payouts.values()} - {worker["WHOP_API_KEY_ARN"]}
    needed = [*needs(worker["WHOP_ENROLLMENT"], actions), *([] if payout_keys else payout_needed)]
    secrets_manager = stack.client("secretsmanager")

    def secret(arn: str, unavailable: UnavailableReason) -> Callable[[], str]:
        return Secret(secrets_manager, arn, unavailable=unavailable, clock=time.monotonic).text

    cloudwatch = stack.client("cloudwatch")
    alarms = [
        alarm
        for page in cloudwatch.get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{stack.name}-")
        for alarm in page["MetricAlarms"]
    ]
    return [
        *check_whop(worker, needed, stack.whop_client),
        *(
            finding
            for arn in sorted(payout_keys)
            for finding in check_whop(
                {**worker, "WHOP_API_KEY_ARN": arn},
                payout_needed,
                stack.whop_client,
                use="whop_payouts_api_key",
            )
            if finding.about != "whop_api_version"  # found already
        ),
        *check_signing_secret(receiver, secret(receiver["WEBHOOK_SIGNING_SECRETS_ARN"], "signing_secrets_unavailable")),
        *(
            check_whop_webhook_secret(secret(settings["WHOP_WEBHOOK_SECRETS_ARN"], "whop_webhook_secrets_unavailable"))
            for settings in _whop_webhooks(stack, functions)
        ),
        *_announcements(stack, functions, secret),
        *check_queues(stack.client("sqs"), deployed["AWS::SQS::Queue"]),
        *check_alarms(alarms, deployed["AWS::CloudWatch::Alarm"]),
        check_alarm_mail(_subscriptions(stack.client("sns"), deployed["AWS::SNS::Topic"])),
        _concurrency(stack, functions),
        *check_clock(_date(stack), clock()),
    ]


def _payout_functions(stack: Stack, deployed: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
    """The settings of the functions that are there only with their parameters."""
    names = (name for name in ("account-link", "payout-token") if f"{stack.name}-{name}" in deployed)
    return {name: stack.settings(name) for name in names}


def _whop_webhooks(stack: Stack, deployed: Sequence[str]) -> Iterator[Mapping[str, str]]:
    """The settings of the function that takes Whop's webhooks, if it is there."""
    if f"{stack.name}-whop-webhooks" in deployed:
        yield stack.settings("whop-webhooks")


def _announcements(
    stack: Stack, deployed: Sequence[str], secret: Callable[[str, UnavailableReason], Callable[[], str]]
) -> Iterator[Finding]:
    """Nothing where nothing is announced."""
    if f"{stack.name}-announce" not in deployed:
        return
    settings = stack.settings("announce")
    if settings["ANNOUNCE_TO"] == "eventbridge":
        yield check_event_bus(stack.client("events"), settings["ANNOUNCEMENT_EVENT_BUS"])
        return
    yield check_announcement_secrets(secret(settings["ANNOUNCEMENT_SECRETS_ARN"], "announcement_secrets_unavailable"))
    yield check_platform_url(settings["PLATFORM_URL"])


def _concurrency(stack: Stack, deployed: Sequence[str]) -> Finding:
    functions = stack.client("lambda")
    limits = functions.get_account_settings()["AccountLimit"]
    workers_there = [
        each for each in ("user-created", "profile-updated", "announce") if f"{stack.name}-{each}" in deployed
    ]
    mappings = (
        functions.list_event_source_mappings(FunctionName=f"{stack.name}-{worker}")["EventSourceMappings"]
        for worker in workers_there
    )
    workers = sum(each.get("ScalingConfig", {}).get("MaximumConcurrency", 0) for found in mappings for each in found)
    return check_concurrency(limits["ConcurrentExecutions"], limits["UnreservedConcurrentExecutions"], workers)


def _deployed(stack: Stack) -> Mapping[str, list[str]]:
    """The physical ids of what CloudFormation made, by type."""
    pages = stack.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack.name)
    found: defaultdict[str, list[str]] = defaultdict(list)
    for page in pages:
        for resource in page["StackResourceSummaries"]:
            found[resource["ResourceType"]].append(resource.get("PhysicalResourceId", ""))
    return found


def _date(stack: Stack) -> str | None:
    answer = stack.client("sts").get_caller_identity()
    date: str | None = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return date


def _subscriptions(sns: Any, topics: Sequence[str]) -> list[Mapping[str, str]]:
    pages = (sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic) for topic in topics)
    return [each for topic in pages for page in topic for each in page["Subscriptions"]]


def _sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""
