"""What the Makefile calls: `python -m local_stack demo | up | send | down | event | invoke | build`.

What is asked for comes by the environment, in the names that one says to make: USER_ID, PRESET, LISTEN and so on.
"""

import argparse
import os
import shlex
import signal
import sys
import webbrowser
from types import FrameType

from local_stack import ROOT, demo, invoking, samples, send, up
from local_stack.announced import ANNOUNCEMENT_SECRET
from local_stack.deployment import DeploymentError, built
from local_stack.errors import UsageError
from local_stack.places import ENGINE_PORT, Places, agreed
from local_stack.processes import LOOPBACK, NO_ACCOUNT, StartError, stop_all
from local_stack.sam_local import DockerError
from local_stack.settings import Settings
from local_stack.terminal import Terminal
from whop_user_sync.commands.sending import SECRET_VARIABLE, URL_VARIABLE
from whop_user_sync.desktop import has_desktop

_ASKED = {"PRESET", "SCHEME", "OVERRIDES", "SECRET", "PORT", "LISTEN", "PLATFORM_URL"}
"""What one can say to `make up`; without any of it, what is running is shown as it is."""

_SENTENCES = (UsageError, up.PortTakenError, DeploymentError, StartError, DockerError)


_LEFT = {
    "send": "What `make up` left running runs on.",
    "down": "It is being stopped all the same: `make down` once more returns when it has been.",
}
"""What is true after Ctrl-C, of commands that start nothing."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="local_stack", description=__doc__)
    commands = ("demo", "up", "serve", "send", "down", "event", "invoke", "build")
    parser.add_argument("command", choices=commands)
    command = parser.parse_args().command
    signal.signal(signal.SIGTERM, _ended)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _interrupted)
    terminal = Terminal()
    try:
        return 0 if _run(command, terminal) else 1
    except _SENTENCES as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except up.NotRunningError:
        print("Nothing is running: `make up` starts it.", file=sys.stderr)
        return 0 if command == "down" else 1
    except KeyboardInterrupt:
        stop_all()
        print(f"\nInterrupted. {_LEFT.get(command, 'Everything that was started has been stopped.')}", file=sys.stderr)
        return 130


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    # Another Ctrl-C must not cut the winding up short.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _ended(_number: int, _frame: FrameType | None) -> None:
    # Ended from outside, everything that was started is still wound up.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(143)


def _run(command: str, terminal: Terminal) -> bool:
    asked = os.environ
    match command:
        case "demo":
            return demo.run(terminal)
        case "up":
            return _up(terminal, _places(), Settings.from_environment(asked))
        case "serve":
            up.serve()
        case "send":
            return send.run(_running(), asked)
        case "invoke":
            return invoking.run(terminal, function=asked.get("FUNCTION") or None, event=asked.get("EVENT") or None)
        case "down":
            up.stop()
            terminal.line("stopped")
        case "build":
            built(terminal)
        case "event":
            for path in samples.write():
                terminal.line(str(path.relative_to(ROOT)))
    return True


def _running() -> up.Running:
    found = up.running()
    if found is None:
        raise up.NotRunningError
    return found


def _places() -> Places:
    port = os.environ.get("PORT") or str(ENGINE_PORT)
    if not port.isdecimal() or not 1024 <= int(port) <= 65000:
        raise UsageError("PORT is a number from 1024 to 65000; the four ports after it are used too.")
    return agreed(os.environ.get("LISTEN") or LOOPBACK, int(port))


def _up(terminal: Terminal, places: Places, settings: Settings) -> bool:
    found = up.running()
    if found is None:
        found = up.start(terminal, places, settings)
        if sys.stdout.isatty() and has_desktop(os.environ, sys.platform):
            webbrowser.open(found.console)
    elif (found.places, found.settings) == (places, settings) or not _ASKED & set(os.environ):
        terminal.line("it is running already")
    else:
        raise UsageError(
            f"It is running already, for {found.settings.preset} on {found.places.host}:{found.places.engine}."
            " Stop it first: make down"
        )
    _show(terminal, found)
    return True


def _show(terminal: Terminal, found: up.Running) -> None:
    terminal.title(f"Running, for {found.settings.preset}")
    terminal.table(
        ("what", "where"),
        [
            ("webhooks", found.webhook_url),
            ("signing secret", found.signing_secret),
            ("users", f"{found.users_url}{{user_id}}"),
            ("what goes on, as a page", found.console),
            ("Whop, to look at", found.whop_page),
            ("announcements", found.settings.platform_url or found.announcements),
            ("their secret", ANNOUNCEMENT_SECRET),
            ("pictures, any colour", f"{found.pictures_origin}/c2410c.png"),
            ("AWS", found.engine_url),
        ],
    )
    terminal.title("Try")
    terminal.line("make send USER_ID=12345 NAME='Ada Lovelace'")
    terminal.line("make send USER_ID=12345 NAME='Ada King' TYPE=updated")
    terminal.line("make trace USER_ID=12345")
    key, secret = NO_ACCOUNT["AWS_ACCESS_KEY_ID"], NO_ACCOUNT["AWS_SECRET_ACCESS_KEY"]
    terminal.line(
        f"curl --aws-sigv4 aws:amz:{NO_ACCOUNT['AWS_DEFAULT_REGION']}:execute-api --user {key}:{secret} \\"
        f"\n    {shlex.quote(found.users_url + '12345')}"
    )
    terminal.line("make invoke        every function with every sample event, in containers")
    terminal.line("make down")
    terminal.title("To paste: for your own backend, and for the commands whop-user-sync and aws")
    backend = {
        "WEBHOOK_URL": found.webhook_url,
        "WEBHOOK_SECRET": found.signing_secret,
        "USERS_URL": found.users_url.removesuffix("/"),
        "ANNOUNCEMENT_SECRET": ANNOUNCEMENT_SECRET,
    }
    terminal.line("export " + " ".join(f"{name}={shlex.quote(text)}" for name, text in backend.items()))
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
    terminal.line("export " + " ".join(f"{name}={NO_ACCOUNT[name]}" for name in names))
    terminal.line(f"export AWS_ENDPOINT_URL={found.engine_url} WHOP_USER_SYNC_STACK={found.stack}")
    terminal.line(f'export {URL_VARIABLE}="$WEBHOOK_URL" {SECRET_VARIABLE}="$WEBHOOK_SECRET"')
    terminal.line(".venv/bin/python -m whop_user_sync check")
    terminal.line(f"aws dynamodb scan --table-name {found.stack}-user-mappings")
    terminal.line()
