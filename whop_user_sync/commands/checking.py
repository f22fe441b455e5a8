"""`check`: whether a deployed stack can work, before the first webhook and after each deployment."""

from dataclasses import asdict

from whop_user_sync.commands.common import (
    EndpointOption,
    Exit,
    JsonOption,
    RegionOption,
    StackOption,
    chosen_stack,
    output,
)

CHECK_NEEDS = (
    "lambda:GetFunctionConfiguration on the functions, lambda:ListEventSourceMappings, lambda:GetAccountSettings,"
    " secretsmanager:GetSecretValue on the secrets, sqs:GetQueueUrl on the queues, cloudformation:ListStackResources,"
    " cloudwatch:DescribeAlarms, with AnnounceTo=eventbridge events:DescribeEventBus, and sns:ListSubscriptionsByTopic."
)

_MARKS = {"ok": "ok", "warning": "look", "wrong": "WRONG"}


def check(
    *,
    stack: StackOption = None,
    region: RegionOption = None,
    endpoint_url: EndpointOption = None,
    as_json: JsonOption = False,
) -> int:
    """Check settings, secrets, the API key's permissions, queues and alarms. Creates nothing."""
    # Imported late: it brings Whop's client along.
    from whop_user_sync.checks.whole import check as run  # noqa: PLC0415

    out = output(as_json=as_json)
    findings = run(chosen_stack(stack, region, endpoint_url))
    wrong = [finding for finding in findings if finding.verdict == "wrong"]
    out.table(("", "about", "finding"), [(_MARKS[each.verdict], each.about, each.sentence) for each in findings])
    out.say(f"{len(wrong)} to put right." if wrong else "This stack can work.")
    out.document({"ok": not wrong, "findings": [asdict(finding) for finding in findings]})
    return Exit.ATTENTION if wrong else Exit.DONE
