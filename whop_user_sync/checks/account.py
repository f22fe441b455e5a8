"""What the AWS account has of the stack: queues, alarms, their mail, Lambda's concurrency, and the time of day."""

from collections.abc import Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import ClientError

from whop_user_sync.checks.findings import Finding
from whop_user_sync.stack import NO_QUEUE

MAX_CLOCK_SECONDS = 60
"""AWS refuses signed requests from clocks that are five minutes off, and tokens lose as much of their life."""

# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/drift-aware-change-sets.html
_BROUGHT_BACK = (
    "A deployment alone does not bring back what was deleted by hand: let CloudFormation make a drift-aware change set"
    " (create-change-set --deployment-mode REVERT_DRIFT) and execute it."
)

LOW_CONCURRENCY = 100
"""Lambda's quota is 1,000 in most accounts and 10 in some new ones
(https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html)."""


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
        yield Finding("queues", "wrong", f"These queues are gone: {', '.join(missing)}. {_BROUGHT_BACK}")
    else:
        yield Finding("queues", "ok", f"The {len(names)} queues are there.")


def check_alarms(alarms: Sequence[Mapping[str, Any]], expected: Sequence[str]) -> Iterator[Finding]:
    """`alarms` as CloudWatch describes them, `expected` the names of those that were deployed."""
    found = {alarm["AlarmName"]: alarm for alarm in alarms}
    missing = [name for name in expected if name not in found]
    silent = [name for name in expected if name in found and not found[name].get("ActionsEnabled", True)]
    ringing = [name for name in expected if name in found and found[name].get("StateValue") == "ALARM"]
    if missing:
        yield Finding("alarms", "wrong", f"These alarms are gone: {', '.join(missing)}. {_BROUGHT_BACK}")
    if silent:
        yield Finding(
            "alarms",
            "wrong",
            f"The actions of these alarms are switched off: {', '.join(silent)}. Switch them on, as with"
            " `aws cloudwatch enable-alarm-actions`.",
        )
    if ringing:
        sentence = f"In alarm now: {', '.join(ringing)}. docs/operations.md says what each means and what to do."
        yield Finding("alarms", "warning", sentence)
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
