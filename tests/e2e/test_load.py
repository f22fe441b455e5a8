"""`make load` in small: bursts, repetitions and disorder, against a Whop that limits and fails calls."""

from fake_whop import Fault
from load.traffic import Sizes
from load.trial import Whop, run
from local_stack.deployment import WORKERS
from local_stack.stack import LocalStack
from local_stack.terminal import Terminal


def test_nothing_is_lost_or_doubled_and_the_newest_wins_under_load(stack: LocalStack) -> None:
    # Given queues without the events of other tests, some of which wait for an hour on purpose
    deployment = stack.deployment
    for queue in (*WORKERS, "announcements"):
        deployment.engine.sqs.purge_queue(QueueUrl=deployment.queue_url(queue))
    # And a Whop that takes fewer calls than the stack assumes, in a short minute, and fails some, of a kind after
    # which no worker has to wait for orphans
    whop = Whop(limit=50, window=10, failing=0.05, platform_failing=0.2, failures=("error_500_after", "truncated_json"))
    stack.fake.fault(Fault("PATCH /users/{id}", "rate_limited", times=3))  # a slow machine stays within the limit
    # When 200 webhooks about 40 users are posted
    report = run(stack, Sizes(webhooks=200, users=40), whop, Terminal(), patience=600)
    # Then every one of them is accepted, every user is on Whop as their newest events say, once, and the platform was
    # sent all that their rows count
    assert report.holds, report
    assert report.parked == {}, report
    # And it was not for want of trouble
    assert report.limited_calls, report
    assert report.failed_calls > 3, report
    assert report.platform_failed, report
    assert report.announced.repeated, report
