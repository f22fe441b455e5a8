"""What the Makefile calls: `python -m local_stack demo | up | send | down | event`."""

import argparse
import os
import signal
import sys
import time

from local_stack import ROOT, demo, samples, up
from local_stack.deployment import Deployment, DeploymentError
from local_stack.engine import Engine
from local_stack.processes import LOOPBACK, StartError
from local_stack.sending import Delivery, body
from local_stack.terminal import Terminal
from local_stack.waiting import becomes_true


def main() -> int:
    parser = argparse.ArgumentParser(prog="local_stack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("demo", "send", "down", "event"):
        commands.add_parser(name)
    for name in ("up", "serve"):
        commands.add_parser(name).add_argument("--listen", default=LOOPBACK, help="address to listen on")
    options = parser.parse_args()
    # Ended from outside, everything that was started is still wound up.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    terminal = Terminal()
    try:
        match options.command:
            case "demo":
                return 0 if demo.run(terminal) else 1
            case "up":
                _up(terminal, options.listen)
            case "serve":
                up.serve(options.listen)
            case "send":
                return _send(terminal)
            case "down":
                up.stop()
                terminal.line("stopped")
            case "event":
                for path in samples.write():
                    terminal.line(str(path.relative_to(ROOT)))
    except (demo.UsageError, up.PortTakenError, DeploymentError, StartError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except up.NotRunningError:
        print("Nothing is running: `make up` starts it.", file=sys.stderr)
        return 0 if options.command == "down" else 1
    except KeyboardInterrupt:
        print("\nInterrupted. Everything that was started has been stopped.", file=sys.stderr)
        return 130
    return 0


def _up(terminal: Terminal, host: str) -> None:
    found = up.running()
    if found:
        terminal.line("it is running already")
    else:
        found = up.start(terminal, host)
    terminal.title("Running")
    terminal.table(
        ("what", "where"),
        [
            ("webhooks", found.webhook_url),
            ("Whop, to look at", found.whop_page),
            ("pictures, any colour", f"{found.pictures_origin}/c2410c.png"),
            ("AWS", found.engine_url),
        ],
    )
    terminal.title("Try")
    terminal.line("make send")
    terminal.line("make send TYPE=updated USER_ID=12345 NAME='Ada King'")
    terminal.line("make down")
    terminal.title("With the aws and sam commands")
    terminal.line("export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=us-east-1")
    terminal.line(f"aws --endpoint-url {found.engine_url} dynamodb scan --table-name {samples.STACK}-user-mappings")
    terminal.line("make event && sam local invoke UserCreatedFunction --env-vars events/env.json \\")
    linux = sys.platform == "linux"
    terminal.line(
        "  --event events/user_created/user_created.json"
        + (f" --add-host {samples.HOST}:host-gateway" if linux else "")
    )
    if linux and host == LOOPBACK:
        terminal.line("  (containers reach this only on Docker's bridge: make down up LISTEN=172.17.0.1)")
    terminal.line()


def _send(terminal: Terminal) -> int:
    """Sends one webhook as the variables TYPE, USER_ID, NAME, EMAIL and PICTURE say, and shows what came of it."""
    found = up.running()
    if found is None:
        raise up.NotRunningError
    said = {name: os.environ[name] for name in ("TYPE", "USER_ID", "NAME", "EMAIL", "PICTURE") if name in os.environ}
    kind = said.get("TYPE", "created")
    if kind == "updated" and "USER_ID" not in said:
        raise demo.UsageError("Which user? Say USER_ID=...")
    if kind not in ("created", "updated"):
        raise demo.UsageError("TYPE is created or updated.")
    user_id = said.get("USER_ID", str(10000 + int(time.time()) % 90000))
    user = {"id": user_id}
    if kind == "created":
        user |= {"email": f"user-{user_id}@people.test", "name": f"User {user_id}"}
        user["avatar_url"] = f"{found.pictures_origin}/{int(time.time()) % 0x1000000:06x}.png"
    keys = {"NAME": "name", "EMAIL": "email", "PICTURE": "avatar_url"}
    user |= {key: said[name] for name, key in keys.items() if name in said}
    delivery = Delivery(body("updated" if kind == "updated" else "created", user))
    answer = delivery.send(found.webhook_url)
    terminal.line(f"user.{kind} of user {user_id}, {delivery.id}: answered {answer.status_code}")
    if not answer.is_success:
        return 1
    deployment = Deployment(Engine(found.engine_url), samples.STACK, found.webhook_url)
    with terminal.step("handling it"):
        handled = becomes_true(lambda: deployment.waiting() == 0, 30)
    row = deployment.row(f"user#{user_id}") or {}
    for name in ("status", "whop_user_id", "whop_company_id", "last_error", "last_event_id"):
        if name in row:
            terminal.line(f"{name:16}{row[name]}")
    if not handled:
        terminal.line("It is not done yet; the queue tries again by itself.")
    terminal.line(f"see {found.whop_page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
