"""Who listens on a port of this machine, for the message that it is taken."""

import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

_LISTENING = "0A"


def holder(port: int) -> str | None:
    """The process that listens on a port, in a few words, or None where this machine does not say."""
    with suppress(OSError):
        for table in ("tcp", "tcp6"):
            for line in Path("/proc/net", table).read_text().splitlines()[1:]:
                _, local, _, state, *_ = fields = line.split()
                if state == _LISTENING and int(local.rpartition(":")[2], 16) == port:
                    return _process_with(f"socket:[{fields[9]}]")
        return None
    return _by_lsof(port)


def _process_with(socket: str) -> str | None:
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if str(link.readlink()) == socket:
                process = link.parents[1]
                command = (process / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
                folder = (process / "cwd").readlink()
                return f"process {process.name} ({command[:80]}, started in {folder})"
    return None


def _by_lsof(port: int) -> str | None:
    if not shutil.which("lsof"):
        return None
    asked = ["lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"]
    found = re.match(r"p(\d+)\nc(.+)", subprocess.run(asked, capture_output=True, text=True, check=False).stdout)
    return f"process {found[1]} ({found[2]})" if found else None
