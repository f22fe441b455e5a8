"""`make up` for a reader's own platform: what it prints works, and nothing is left of it when it ends."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from harness.interruptions import INTERRUPTED
from local_stack import IMPORT_PATH, ROOT
from local_stack.processes import free_port
from local_stack.waiting import becomes_true

# Not where servers and engines listen by themselves: what the stack's parts take for granted would show. On macOS there
# is no other address of the loopback.
ADDRESS = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"
# Of commands that start and stop the whole stack.
PATIENCE = 600


class Commands:
    """Commands of the local stack with a state folder of their own, on ports of their own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port() % 20000 + 20000
        self.environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith(("AWS_", "WHOP_"))},
            "PYTHONPATH": IMPORT_PATH,
            "LOCAL_STACK_FOLDER": str(folder),
            # Leads nowhere: whatever took it would fail.
            "HTTP_PROXY": "http://127.0.0.1:9",
            "http_proxy": "http://127.0.0.1:9",
        }

    def run(self, command: str, **said: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "local_stack", command],
            cwd=ROOT,
            env={**self.environment, **said},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def listening(self) -> list[int]:
        """Those of its ports on which something listens."""
        found = []
        for port in range(self.port, self.port + 4):
            with socket.socket() as client:
                if client.connect_ex((ADDRESS, port)) == 0:
                    found.append(port)
        return found


def own_backend(exports: list[str], code: str) -> "subprocess.CompletedProcess[str]":
    """Runs Python beside the examples of the docs, in a shell where what `make up` prints was pasted."""
    pasted = "; ".join([*exports, f"exec {shlex.quote(sys.executable)} -c {shlex.quote(code)}"])
    return subprocess.run(
        ["bash", "-c", pasted],
        cwd=ROOT / "docs" / "examples",
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    return Commands(tmp_path)


def test_it_runs_for_a_platform_and_what_it_prints_works(commands: Commands) -> None:
    try:
        # When it is started for a platform of Standard Webhooks' family, behind a proxy, on an address of its own
        up = commands.run("up", PRESET="clerk", PORT=str(commands.port), LISTEN=ADDRESS)
        assert up.returncode == 0, up.stdout + up.stderr
        # Then URL and secret are there to paste
        assert re.search(rf"webhooks +http://{re.escape(ADDRESS)}:{commands.port}/\S+/webhooks\n", up.stdout)
        assert re.search(r"signing secret +whsec_\S+\n", up.stdout)
        # And a webhook of that platform enrolls a user
        sent = commands.run("send", USER_ID="12345", NAME="Ada Lovelace")
        assert sent.returncode == 0, sent.stdout + sent.stderr
        assert "enrolled" in sent.stdout
        # And the printed request of a backend finds them
        [curl] = re.findall(r"^  (curl .*\\\n.*)$", up.stdout, re.MULTILINE)
        words = [*shlex.split(curl.replace("\\\n", "")), "--silent", "--noproxy", "*"]
        found = subprocess.run(words, capture_output=True, text=True, check=True)
        assert '"status": "synced"' in found.stdout
        # And the printed page lets its reader in, with that of the stand-in for Whop as one of its tabs
        [page] = re.findall(r"(http://127\.0\.0\.1:\d+/\?token=\S+)\n", up.stdout)
        with httpx.Client(trust_env=False, follow_redirects=True, timeout=60) as browser:
            assert browser.get(page).status_code == 200
            tab = browser.get(page.partition("?")[0] + "tabs/Whop").text
            assert f'<iframe src="http://{ADDRESS}:{commands.port + 1}/"' in tab
        # And the printed settings let the documented examples send to it, and ask it
        exports = re.findall(r"^  (export .*)$", up.stdout, re.MULTILINE)
        sent_by_hand = own_backend(exports, "import send_webhook as s; s.send('msg_own', {'type': 'user.deleted'})")
        assert sent_by_hand.returncode == 0, sent_by_hand.stderr
        asked = own_backend(exports, "import ask; print(ask.whop_user('12345')['status'])")
        assert asked.stdout == "synced\n", asked.stderr
        # And the receivers and the operators' tool need no more than that
        secret = own_backend(exports, "import os; print(os.environ['ANNOUNCEMENT_SECRET'][:6])")
        assert secret.stdout == "whsec_\n", secret.stderr
        change = ["send", "clerk", "user.updated", "--user", "12345", "--name", "Ada King"]
        path = f"import sys; sys.path[:0] = {IMPORT_PATH.split(os.pathsep)}"
        tool = own_backend(exports, f"{path}; from whop_user_sync import cli; cli.main({change})")
        assert "Whop shows: Ada King, http" in tool.stdout, tool.stderr
        # And one that Whop refuses fails with Whop's reason
        refused = commands.run("send", USER_ID="2", EMAIL="ada@example.com")
        assert refused.returncode == 1
        assert "Whop's words: email: this email can not receive mail" in refused.stdout
        # When it is started for another platform meanwhile
        again = commands.run("up", PRESET="stripe")
        # Then that is refused, since it runs already
        assert again.returncode == 1
        assert "running already, for clerk" in again.stderr
        assert commands.run("up").returncode == 0
    finally:
        down = commands.run("down")
    # And nothing listens once it is said to have stopped
    assert "stopped" in down.stdout
    assert commands.listening() == []
    with pytest.raises(httpx.ConnectError):
        httpx.get(page, trust_env=False, timeout=60)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("moment", ["the engine", "the deployment"])
def test_an_interrupted_start_says_so_once_nothing_is_left(commands: Commands, moment: str) -> None:
    # Given a start that has come so far
    environment = {**commands.environment, "PORT": str(commands.port), "LISTEN": ADDRESS}
    command = [sys.executable, "-u", "-m", "local_stack", "up"]
    log = Path(environment["LOCAL_STACK_FOLDER"]) / "up.log"
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as up:

        def has_come_so_far() -> bool:
            started = commands.port in commands.listening()
            return started if moment == "the engine" else log.exists() and "deploying" in log.read_text()

        assert becomes_true(lambda: has_come_so_far() or up.poll() is not None, PATIENCE)
        # When a person presses Ctrl-C, twice
        up.send_signal(signal.SIGINT)
        up.send_signal(signal.SIGINT)
        output, errors = up.communicate(timeout=PATIENCE)
    # Then it says that all is stopped, and it is
    assert up.returncode in INTERRUPTED, output + errors
    assert "has been stopped" in errors
    assert commands.listening() == []
    assert commands.run("down").stderr == "Nothing is running: `make up` starts it.\n"
