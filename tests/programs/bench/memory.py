"""What a worker's memory has to hold: ten pictures as large as they may be, on their way to Whop side by side."""

import multiprocessing
import os
import platform
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path

from bench.calls import station
from fake_whop import FakeWhop
from harness import created
from local_stack.engine import Engine
from local_stack.pictures import png
from local_stack.processes import LOOPBACK
from local_stack.serving import serving
from local_stack.terminal import Terminal
from whop_sync.pictures.fetching import MAX_BYTES

PICTURES = 10
MEMORY_SIZE = 512
"""Of each function in MB (template.yaml)."""


def report(engine: Engine, terminal: Terminal) -> None:
    terminal.title(f"Memory of a worker's process with {PICTURES} pictures of {MAX_BYTES // 1024 // 1024} MB at once")
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    with FakeWhop() as fake, _large_pictures() as origin:
        arguments = (theirs, engine.url, fake.api_url, origin)
        process = multiprocessing.get_context("spawn").Process(target=_work, args=arguments)
        process.start()
        theirs.close()
        before, peak = ours.recv()
        process.join()
        assert len(fake.calls_to("PUT upload")) == PICTURES
    rows = [(f"{before:.0f} MB", f"{peak:.0f} MB", f"{MEMORY_SIZE} MB")]
    terminal.table(("before", "at most", "Lambda gives"), rows)


def _work(results: Connection, engine_url: str, api_url: str, origin: str) -> None:
    """A process of its own, since the most that one ever held is all that a system shows."""
    os.environ["POWERTOOLS_LOG_LEVEL"] = "CRITICAL"
    one = station(engine_url, api_url, origin, None)
    before = _peak()
    one.handle(*(created(f"u{number}", name="Ann", picture=f"{origin}/{number}.png") for number in range(PICTURES)))
    one.dynamodb.delete_table(TableName=one.table)
    results.send((before, _peak()))


def _peak() -> float:
    """The most that this process ever held, in MB. On Linux getrusage takes over what the process that started this
    one held; macOS counts in bytes."""
    if platform.system() == "Linux":
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 / 1024


@contextmanager
def _large_pictures() -> Iterator[str]:
    """Any path is a picture of its own, as large as it may be."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = (png("ff0000") + self.path.encode()).ljust(MAX_BYTES, b"\0")
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Silent: what matters is measured elsewhere."""

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    with serving(server):
        yield f"http://{LOOPBACK}:{server.server_port}"
