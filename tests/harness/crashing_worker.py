"""Workers that are really killed: `python -m harness.crashing_worker` forks a process an event, to die as planned.

It has one thread and no connection, so forking is safe and quick, and all that a process holds dies with it.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from harness import WORKER_SECONDS, Clock, World, assembled, aws_client
from harness.faults import Point, Wire, http_client
from local_stack import IMPORT_PATH
from whop_sync.aws.queues import Queue
from whop_sync.events import UserEvent


@dataclass(frozen=True, slots=True)
class Mortals:
    _process: "subprocess.Popen[str]"

    def handle(self, event: UserEvent, world: World) -> None:
        """Handles an event in a process of its own, with what the world's wire has planned for this delivery.

        Returns after the death. Raises AssertionError if the process ended in another way.
        """
        task = {
            "event": event.to_json(),
            "now": world.clock(),
            "delivery": world.wire.delivery,
            "planned": [[*point, trouble] for point, trouble in world.wire.planned.items()],
            "engine_url": world.engine.url,
            "control_url": world.fake.control_url,
            "door": world.pictures.origin,
            "api_url": world.fake.api_url,
            "api_key": world.api_key,
            "table": world.table,
            "enrollment": world.enrollment,
            "announcements_url": world.announcements_url,
        }
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(task), file=self._process.stdin, flush=True)
        ended = int(self._process.stdout.readline())
        assert ended == -signal.SIGKILL, f"the worker was to be killed and ended with {ended}"


@contextmanager
def running_mortals() -> Iterator[Mortals]:
    environment = {**os.environ, "PYTHONPATH": IMPORT_PATH}
    command = [sys.executable, "-m", __name__]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Mortals(process)


def _live(task: Mapping[str, Any]) -> None:
    clock = Clock(task["now"])
    wire = Wire(control_url=task["control_url"], door=task["door"], clock=clock)
    wire.delivery = task["delivery"]
    wire.planned = {Point(*point): trouble for *point, trouble in task["planned"]}
    with http_client() as http:
        dynamodb = aws_client(task["engine_url"], "dynamodb")
        announcements_url = task["announcements_url"]
        sqs = aws_client(task["engine_url"], "sqs") if announcements_url else None
        wire.attach(http, dynamodb, *([sqs] if sqs else []))
        synchronization = assembled(
            api_url=task["api_url"],
            api_key=lambda: task["api_key"],
            http=http,
            dynamodb=dynamodb,
            table=task["table"],
            picture_origin=task["door"],
            clock=clock,
            enrollment=task["enrollment"],
            announcements=Queue(sqs, announcements_url) if sqs else None,
        )
        synchronization.handle(UserEvent.from_json(task["event"]), age=0.0, deadline=clock() + WORKER_SECONDS)


def _main() -> None:
    for service in ("dynamodb", "sqs"):
        aws_client("http://127.0.0.1:1", service)  # what the SDK reads for its first client, the forks inherit
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            _live(json.loads(line))
            os._exit(0)
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    _main()
