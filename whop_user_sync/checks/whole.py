"""All checks of a stack."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from whop_sync.aws.secrets import Secret, UnavailableReason
from whop_user_sync.checks.account import (
    check_alarm_mail,
    check_alarms,
    check_clock,
    check_concurrency,
    check_queues,
)
from whop_user_sync.checks.api_key import check_whop, needs, payout_needs
from whop_user_sync.checks.findings import Finding
from whop_user_sync.checks.webhooks import (
    check_announcement_secrets,
    check_event_bus,
    check_platform_url,
    check_signing_secret,
    check_whop_webhook_secret,
)
from whop_user_sync.stack import Stack


def check(stack: Stack, *, clock: Callable[[], float] = time.time) -> list[Finding]:
    """All checks of a stack. Raises botocore's errors where the operator's credentials do not reach it."""
    receiver = stack.settings("receive-webhook")
    deployed = _deployed(stack)
    functions = deployed.get("AWS::Lambda::Function", [])
    secrets_manager = stack.client("secretsmanager")

    def secret(arn: str, unavailable: UnavailableReason) -> Callable[[], str]:
        return Secret(secrets_manager, arn, unavailable=unavailable, clock=time.monotonic).text

    return [
        *_api_keys(stack, functions),
        *check_signing_secret(receiver, secret(receiver["WEBHOOK_SIGNING_SECRETS_ARN"], "signing_secrets_unavailable")),
        *(
            check_whop_webhook_secret(secret(settings["WHOP_WEBHOOK_SECRETS_ARN"], "whop_webhook_secrets_unavailable"))
            for settings in _whop_webhooks(stack, functions)
        ),
        *_announcements(stack, functions, secret),
        *check_queues(stack.client("sqs"), deployed["AWS::SQS::Queue"]),
        *check_alarms(_alarms(stack), deployed["AWS::CloudWatch::Alarm"]),
        check_alarm_mail(_subscriptions(stack.client("sns"), deployed["AWS::SNS::Topic"])),
        _concurrency(stack, functions),
        *check_clock(_date(stack), clock()),
    ]


def _api_keys(stack: Stack, deployed: Sequence[str]) -> Iterator[Finding]:
    """Each API key once: that of users and chat, and that of payouts where it is another one."""
    worker = stack.settings("user-created")
    actions = stack.settings("mint-chat-token")["CHAT_TOKEN_ACTIONS"].split(",")
    payouts = _payout_functions(stack, deployed)
    payout_actions = payouts.get("payout-token", {}).get("PAYOUT_TOKEN_ACTIONS", "").split(",")
    for_payouts = list(
        payout_needs(makes_links="account-link" in payouts, token_actions=[*filter(None, payout_actions)])
    )
    payout_keys = {settings["WHOP_API_KEY_ARN"] for settings in payouts.values()} - {worker["WHOP_API_KEY_ARN"]}
    needed = [*needs(worker["WHOP_ENROLLMENT"], actions), *([] if payout_keys else for_payouts)]
    yield from check_whop(worker, needed, stack.whop_client)
    for arn in sorted(payout_keys):
        settings = {**worker, "WHOP_API_KEY_ARN": arn}
        for finding in check_whop(settings, for_payouts, stack.whop_client, use="whop_payouts_api_key"):
            if finding.about != "whop_api_version":  # found already
                yield finding


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


def _alarms(stack: Stack) -> list[Mapping[str, Any]]:
    pages = stack.client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{stack.name}-")
    return [alarm for page in pages for alarm in page["MetricAlarms"]]


def _date(stack: Stack) -> str | None:
    answer = stack.client("sts").get_caller_identity()
    date: str | None = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return date


def _subscriptions(sns: Any, topics: Sequence[str]) -> list[Mapping[str, str]]:
    pages = (sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic) for topic in topics)
    return [each for topic in pages for page in topic for each in page["Subscriptions"]]
