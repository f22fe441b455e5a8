"""`make send`: one signed webhook to what `make up` left running, by `whop-user-sync send`, and what came of it."""

import os
import subprocess
import sys
import time
import zlib
from collections.abc import Mapping

from local_stack import IMPORT_PATH
from local_stack.deployment import WORKERS
from local_stack.errors import UsageError
from local_stack.processes import LOOPBACK, NO_ACCOUNT, direct_to
from local_stack.up import Running
from whop_user_sync.sending import own_address

_OPTIONS = {"EMAIL": "--email", "NAME": "--name", "PICTURE": "--picture"}


def run(found: Running, environment: Mapping[str, str]) -> bool:
    """Sends what TYPE, USER_ID, NAME, EMAIL and PICTURE say. Returns whether the event was handled.

    If it was parked, what Whop said about it is printed too. Raises UsageError.
    """
    asked = arguments(found, environment)
    secret = {"WHOP_USER_SYNC_SIGNING_SECRET": found.signing_secret, "PYTHONPATH": IMPORT_PATH}
    done = subprocess.run(
        [sys.executable, "-m", "whop_user_sync", "send", *asked],
        env={**os.environ, **NO_ACCOUNT, **direct_to(LOOPBACK, found.places.host), **secret},
        check=False,
    )
    if done.returncode:
        for words in _words_of_whop(found, user_id=asked[asked.index("--user") + 1]):
            print(f"Whop's words: {words}")
    return done.returncode == 0


def _words_of_whop(found: Running, user_id: str) -> list[str]:
    """Why Whop refused what is parked for a user, the latest last. These words may quote the user: no log has them."""
    messages = [one for name in WORKERS for one in found.deployment.messages(f"{name}-dead-letters", hidden_for=1)]
    details = [one.get("MessageAttributes", {}) for one in messages]
    return [
        detail["whop_message"]["StringValue"]
        for detail in details
        if "whop_message" in detail and detail.get("user_id", {}).get("StringValue") == user_id
    ]


def arguments(found: Running, environment: Mapping[str, str]) -> list[str]:
    """The arguments of `whop-user-sync send`, in the form of the platform that the stack runs for."""
    preset = environment.get("PRESET") or found.settings.preset
    if preset != found.settings.preset:
        raise UsageError(
            f"What runs takes the webhooks of {found.settings.preset}. For those of {preset}: make down, then"
            f" make up PRESET={preset}"
        )
    kind = environment.get("TYPE") or "created"
    user_id = environment.get("USER_ID")
    if kind != "created" and not user_id:
        raise UsageError("Which user? Say USER_ID=...")
    user_id = user_id or str(10000 + int(time.time()) % 90000)
    defaults = {}
    if kind == "created":
        colour = zlib.crc32(user_id.encode()) % 0x1000000
        defaults = {"NAME": f"User {user_id}", "PICTURE": f"{found.pictures_origin}/{colour:06x}.png"}
    elif kind == "updated":  # enrolls who is not enrolled
        defaults = {"EMAIL": own_address(user_id)}
    given = {**defaults, **{name: environment[name] for name in _OPTIONS if name in environment}}
    options = [part for name, value in given.items() for part in (_OPTIONS[name], value)]
    where = ["--stack", found.stack, "--endpoint-url", found.engine_url, "--url", found.webhook_url]
    return [preset, kind, "--user", user_id, *options, *where]
