"""A picture server: PNG images drawn in code, one colour each, and a count of who asked for them."""

import struct
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from local_stack.processes import LOOPBACK, reachable
from local_stack.serving import serving


def png(colour: str, side: int = 64) -> bytes:
    """A square PNG of one colour, given as six hex digits."""
    line = b"\0" + bytes.fromhex(colour) * side
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(line * side)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


class PictureServer:
    """Serves /RRGGBB.png; everything else is not found."""

    def __init__(self, host: str, port: int) -> None:
        self.requests: Counter[str] = Counter()
        """How often each path was asked for."""
        self.latency = 0.0
        """Seconds that each answer takes."""
        self.answered: dict[str, tuple[float, float]] = {}
        """When each path was last asked for and answered, in Unix seconds."""
        pictures = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked_at = time.time()
                path = urlsplit(self.path).path
                pictures.requests[path] += 1
                time.sleep(pictures.latency)
                colour = path.removeprefix("/").removesuffix(".png")
                try:
                    content = png(colour) if len(colour) == 6 else b""
                except ValueError:
                    content = b""
                self.send_response(200 if content else 404)
                self.send_header("Content-Type", "image/png" if content else "text/plain")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                pictures.answered[path] = (asked_at, time.time())

            def log_message(self, *_: object) -> None:
                """Silent: what matters is counted."""

        self.server = ThreadingHTTPServer((host, port), Handler)
        self.origin = f"http://{reachable(host)}:{self.server.server_address[1]}"

    def url(self, colour: str) -> str:
        return f"{self.origin}/{colour}.png"


@contextmanager
def running_pictures(*, host: str = LOOPBACK, port: int = 0) -> Iterator[PictureServer]:
    pictures = PictureServer(host, port)
    with serving(pictures.server):
        yield pictures
