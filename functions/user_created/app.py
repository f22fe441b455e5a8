"""Enrolls users on Whop as connected accounts: the events of UserCreatedQueue."""

import gc

gc.disable()  # to look for garbage among what is being imported takes a tenth of a cold start

from typing import Any

from whop_sync import assembly

worker = assembly.worker()

gc.freeze()  # all this stays, so nobody need look through it later on
gc.enable()


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return worker.handle(event["Records"], seconds_left=context.get_remaining_time_in_millis() / 1000)
