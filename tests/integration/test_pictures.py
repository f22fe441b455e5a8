"""Attacks on the one who fetches a picture, each served over real sockets on loopback.

The names used here resolve to addresses that look public; the connection to such an address is turned to a server of
the test, whose certificate for the name is good. Everything between is what runs in production.
"""

import contextlib
import datetime
import gc
import gzip
import itertools
import socket
import ssl
import threading
import time
import tracemalloc
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from harness.hosts import (
    HURRY,
    NO_HTTP,
    PATIENCE,
    SLOW_ANSWERS,
    TLS_ATTACKS,
    Host,
    Script,
    TlsAttack,
    bare_host,
    chunked,
    hangs,
    head,
    hurried,
    redirects,
    repeats,
    says,
    sends,
    server_tls,
)
from local_stack.pictures import png, running_pictures
from whop_sync.internet.addresses import addresses_of
from whop_sync.internet.requests import MAX_HEADERS_BYTES, PublicHttp
from whop_sync.internet.streams import MAX_READ_BYTES, connection_to
from whop_sync.pictures.errors import PictureRefused, PictureUnavailable
from whop_sync.pictures.fetching import (
    MAX_BYTES,
    MAX_REDIRECTS,
    TIMEOUT_SECONDS,
    Picture,
    PictureFetcher,
)

PNG = png("ff0000")
NAMES = {
    "cdn.test": ["93.184.215.14"],
    "other.test": ["93.184.215.15"],
    "inside.test": ["10.0.0.1"],
    "half.test": ["93.184.215.14", "169.254.169.254"],
    "1.2.3.4": ["1.2.3.4"],
}


def answers(body: bytes = PNG, *headers: str, status: str = "200 OK") -> Script:
    return sends(body, *headers, status=status)


@dataclass
class Internet:
    """The way from names to hosts: `connections` lists the addresses that were connected to."""

    host: Host
    trust: ssl.SSLContext
    names: dict[str, list[str]] = field(default_factory=lambda: dict(NAMES))
    connections: list[tuple[str, int]] = field(default_factory=list)

    def resolve(self, host: str) -> Sequence[str]:
        return self.names[host] if host in self.names else addresses_of(host)

    def connect(self, address: str, port: int, timeout: float) -> socket.socket:
        self.connections.append((address, port))
        return connection_to("127.0.0.1", self.host.port, timeout)

    def avatars(self, **changes: Any) -> PictureFetcher:
        ways: dict[str, Any] = {"resolve": self.resolve, "connect": self.connect, "tls": lambda: self.trust}
        clock = changes.pop("clock", time.monotonic)
        return PictureFetcher(clock=clock, http=PublicHttp(**(ways | changes)))

    def fetch(self, script: Script | None = None, url: str = "https://cdn.test/a.png", **changes: Any) -> Picture:
        if script:
            self.host.scripts["/a.png"] = script
        return self.avatars(**changes).fetch(url)

    def refusal(self, script: Script | None = None, url: str = "https://cdn.test/a.png", **changes: Any) -> str:
        """The reason of a picture that is refused for good."""
        with pytest.raises(PictureRefused) as error:
            self.fetch(script, url, **changes)
        return reason_of(error.value, url)

    def failure(
        self,
        script: Script | None = None,
        url: str = "https://cdn.test/a.png",
        *,
        reason: str = "picture_unavailable",
        **changes: Any,
    ) -> str:
        """The explanation for a picture that may be there another time; it comes in less than PATIENCE."""
        began = time.monotonic()
        with pytest.raises(PictureUnavailable) as error:
            self.fetch(script, url, **changes)
        assert reason_of(error.value, url) == reason
        assert time.monotonic() - began < PATIENCE * 0.6
        return error.value.explanation


def reason_of(error: PictureRefused | PictureUnavailable, url: str) -> str:
    """The reason, after a look whether the error holds any part of the URL."""
    host = url.partition("//")[2].partition("/")[0]
    for secret in (url, host, "cdn.test", "93.184", "secret"):
        assert secret not in f"{error!r} {error} {error.explanation} {error.reason}"
    assert error.__cause__ is None
    return error.reason


@pytest.fixture(scope="module")
def host_tls(authority: trustme.CA) -> ssl.SSLContext:
    return server_tls(authority, "cdn.test", "inside.test", "half.test", "1.2.3.4", "2606:4700::1111")


@pytest.fixture
def internet(host_tls: ssl.SSLContext, trust: ssl.SSLContext) -> Iterator[Internet]:
    with Host(host_tls) as host:
        yield Internet(host, trust)


class TestAGoodHost:
    @pytest.mark.parametrize(
        ("content", "extension"),
        [
            (PNG, "png"),
            (b"\xff\xd8\xff\xe0\x00\x10JFIF", "jpg"),
            (b"GIF87a....", "gif"),
            (b"GIF89a....", "gif"),
            (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "webp"),
        ],
    )
    @pytest.mark.parametrize("header", ["Content-Type: image/png", "Content-Type: text/html", "X: y"])
    def test_gives_a_picture_whose_bytes_alone_say_its_type(
        self, internet: Internet, content: bytes, extension: str, header: str
    ) -> None:
        assert internet.fetch(answers(content, header)) == Picture(content, extension)

    @pytest.mark.parametrize(
        "script",
        [
            says(head("Transfer-Encoding: chunked"), chunked(PNG[:10], PNG[10:])),
            says(head("Connection: close"), PNG),
            says(b"HTTP/1.0 200\r\n\r\n" + PNG),
            says(head(status="103 Early Hints"), head(f"Content-Length: {len(PNG)}"), PNG),
            answers(PNG, "Content-Encoding: identity"),
            answers(PNG, "Content-Encoding: "),
            answers(PNG, "Content-Encoding: aws-chunked"),
            answers(PNG, "Content-Encoding: UTF-8"),
            answers(PNG, "Content-Encoding: binary"),
            answers(PNG, "Content-Encoding: gzip"),
            says(*(bytes([byte]) for byte in head(f"Content-Length: {len(PNG)}") + PNG)),
        ],
        ids=[
            *("chunked", "until it closes", "HTTP/1.0", "early hints", "identity", "an empty coding", "aws-chunked"),
            *("a character set", "no coding", "a coding that is not true", "byte by byte"),
        ],
    )
    def test_may_send_it_in_any_way_that_http_knows(self, internet: Internet, script: Script) -> None:
        assert internet.fetch(script).content == PNG

    def test_gets_one_plain_request(self, internet: Internet) -> None:
        internet.fetch(answers(), "https://cdn.test/a.png?size=%0d%0aX-Evil:1&n=\u00fc b#fragment")
        (request,) = internet.host.requests
        first, *headers = request.rstrip("\r\n").split("\r\n")
        assert first == "GET /a.png?size=%0d%0aX-Evil:1&n=%C3%BC%20b HTTP/1.1"
        assert headers == [
            "Host: cdn.test",
            "Accept: image/png, image/jpeg, image/webp, image/gif, */*;q=0.1",
            "Accept-Encoding: identity",
            "User-Agent: whop-user-sync/1 (+https://docs.whop.com)",
        ]

    def test_is_called_without_the_trailing_dot_in_tls(self, internet: Internet) -> None:
        """Given a host by its absolute name, then its hello names it as its certificate does."""
        names: list[str | None] = []
        assert internet.host.tls
        internet.host.tls.sni_callback = lambda _socket, name, _context: names.append(name)
        try:
            internet.names["cdn.test."] = internet.names["cdn.test"]
            assert internet.fetch(answers(), "https://cdn.test./a.png").content == PNG
        finally:
            internet.host.tls.sni_callback = None
        assert names == ["cdn.test"]

    @pytest.mark.parametrize("length", [12 * 1024, 15 * 1024])
    def test_may_send_many_headers(self, internet: Internet, length: int) -> None:
        assert internet.fetch(answers(PNG, f"Content-Security-Policy: {'x' * length}")).content == PNG

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("https://cdn.test:443/a.png", "cdn.test"),
            ("https://CDN.test:8443/a.png", "cdn.test:8443"),
            ("https://1.2.3.4/a.png", "1.2.3.4"),
            ("https://[2606:4700::1111]:8443/a.png", "[2606:4700::1111]:8443"),
        ],
    )
    def test_is_called_by_its_name(self, internet: Internet, url: str, expected: str) -> None:
        internet.fetch(answers(), url)
        assert f"\r\nHost: {expected}\r\n" in internet.host.requests[0]

    def test_may_redirect_a_few_times_absolutely_or_relatively(self, internet: Internet) -> None:
        internet.host.scripts |= {
            "/a.png": redirects("https://cdn.test:8443/b/c.png", "301 Moved Permanently"),
            "/b/c.png": redirects("../d.png?e", "307 Temporary Redirect"),
            "/d.png": redirects("//1.2.3.4/f.png", "308 Permanent Redirect"),
            "/f.png": answers(),
        }
        assert internet.fetch().content == PNG
        assert internet.connections == [
            ("93.184.215.14", 443),
            ("93.184.215.14", 8443),
            ("93.184.215.14", 8443),
            ("1.2.3.4", 443),
        ]
        for request in internet.host.requests:
            assert not {"cookie", "authorization", "referer"} & {
                line.partition(":")[0] for line in request.lower().split()
            }

    def test_may_redirect_to_a_name_that_is_not_plain_ascii(self, internet: Internet) -> None:
        internet.host.scripts["/%C3%BC.png"] = answers()
        moved = "Location: /\u00fc.png".encode().decode("latin-1")
        assert internet.fetch(answers(b"", moved, status="303 See Other")).content == PNG

    @pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "HTTP_PROXY"])
    def test_is_reached_without_any_proxy(
        self, internet: Internet, monkeypatch: pytest.MonkeyPatch, variable: str
    ) -> None:
        with Host() as proxy:
            monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.port}")
            assert internet.fetch(answers()).content == PNG
        assert proxy.connections == 0

    def test_is_hung_up_on_after_every_answer(self, internet: Internet) -> None:
        """And not only when the garbage is collected."""
        internet.host.scripts |= {
            "/a.png": redirects("/b.png"),
            "/b.png": answers(),
            "/gone.png": answers(status="404 Not Found"),
            "/large.png": repeats(b"x" * 65536, first=head() + PNG),
        }
        gc.collect()  # what earlier tests left open is not the fetch's
        with warnings.catch_warnings(record=True) as left_open:
            warnings.simplefilter("always", ResourceWarning)
            internet.fetch()
            internet.failure(url="https://cdn.test/gone.png", reason="picture_not_found")
            internet.refusal(url="https://cdn.test/large.png")
            internet.refusal(url="https://other.test/a.png")
            gc.collect()
        assert left_open == []
        assert [internet.host.hung_up.get(timeout=PATIENCE) for _ in range(4)] == [True] * 4


class TestWhereTo:
    @pytest.mark.parametrize(
        "url",
        ["https://inside.test/a.png", "https://half.test/a.png", "https://localhost/a.png", "https://127.1/a.png"],
    )
    def test_no_host_but_a_public_one_hears_of_us(self, internet: Internet, url: str) -> None:
        assert internet.refusal(answers(), url) == "picture_not_public"
        assert internet.host.connections == 0

    def test_no_server_on_this_machine_is_asked(self) -> None:
        """With all ways as they are in production."""
        with Host() as host:
            for address in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0"):
                with pytest.raises(PictureRefused) as error:
                    PictureFetcher(clock=time.monotonic).fetch(f"https://{address}:{host.port}/a.png")
                assert error.value.reason == "picture_not_public"
        assert host.connections == 0

    @pytest.mark.parametrize(
        ("to", "reason"),
        [
            ("https://127.0.0.1/secret.png", "picture_not_public"),
            ("//127.0.0.1/secret.png", "picture_not_public"),
            ("https://169.254.169.254/latest/meta-data/", "picture_not_public"),
            ("https://[::1]/", "picture_not_public"),
            ("https://[::ffff:7f00:1]/", "picture_not_public"),
            ("https://2130706433/", "picture_not_public"),
            ("https://localhost/", "picture_not_public"),
            ("https://inside.test/", "picture_not_public"),
            ("https://half.test/", "picture_not_public"),
            ("http://cdn.test/a.png", "picture_bad_url"),
            ("http://127.0.0.1/", "picture_bad_url"),
            ("https://cdn.test@127.0.0.1/", "picture_bad_url"),
            ("//user:secret@cdn.test/", "picture_bad_url"),
            ("file:///etc/passwd", "picture_bad_url"),
            ("gopher://127.0.0.1:6379/_FLUSHALL", "picture_bad_url"),
            ("data:image/png;base64,iVBORw0KGgo=", "picture_bad_url"),
            ("https://[::1", "picture_bad_url"),
            ("https://xn--\u00e9.test/", "picture_bad_url"),
            ("\x01", "picture_bad_url"),
            ("https://cdn.test:0/", "picture_bad_url"),
            ("/" + "a" * 9000, "picture_bad_url"),
            ("", "picture_redirects"),
        ],
    )
    def test_no_redirect_leads_elsewhere(self, internet: Internet, to: str, reason: str) -> None:
        assert internet.refusal(redirects(to)) == reason
        assert (internet.connections, len(internet.host.requests)) == ([("93.184.215.14", 443)], 1)

    def test_a_redirect_that_says_not_where_ends(self, internet: Internet) -> None:
        assert internet.refusal(answers(b"", status="302 Found")) == "picture_redirects"
        assert internet.host.connections == 1

    @pytest.mark.parametrize("to", ["/a.png", "https://cdn.test/a.png", "a.png?"])
    def test_a_redirect_in_circles_ends(self, internet: Internet, to: str) -> None:
        assert internet.refusal(redirects(to)) == "picture_redirects"
        assert internet.host.connections == MAX_REDIRECTS + 1

    def test_a_name_that_moves_inside_between_two_hops_is_refused(self, internet: Internet) -> None:
        def moves(connection: socket.socket) -> None:
            internet.names["cdn.test"] = ["127.0.0.1"]
            redirects("/b.png")(connection)

        assert internet.refusal(moves) == "picture_not_public"
        assert internet.host.connections == 1

    def test_an_address_is_connected_to_without_another_look_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(socket, "getaddrinfo")
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.create_server((address, 0), family=family) as server:
                port = server.getsockname()[1]
                with connection_to(address, port, 1.0) as connection:
                    assert connection.getpeername()[:2] == (address, port)

    def test_a_connection_that_fails_is_closed_at_once(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        with warnings.catch_warnings(record=True) as left_open:
            warnings.simplefilter("always", ResourceWarning)
            with pytest.raises(ConnectionRefusedError):
                connection_to("127.0.0.1", port, 1.0)
            gc.collect()
        assert left_open == []

    def test_the_allowed_origin_is_free_and_its_redirects_are_not(self) -> None:
        with running_pictures() as pictures, Host() as origin:
            avatars = PictureFetcher(clock=time.monotonic, http=PublicHttp(allowed_origin=pictures.origin))
            assert avatars.fetch(pictures.url("ff0000")).content == PNG
            origin.scripts["/a.png"] = redirects(pictures.url("ff0000"))
            avatars = PictureFetcher(
                clock=time.monotonic, http=PublicHttp(allowed_origin=f"http://127.0.0.1:{origin.port}")
            )
            with pytest.raises(PictureRefused, match="https"):
                avatars.fetch(f"http://127.0.0.1:{origin.port}/a.png")
        assert len(pictures.requests) == 1


class TestCertificates:
    def test_a_name_that_the_certificate_does_not_name_is_refused(self, internet: Internet) -> None:
        assert internet.refusal(answers(), "https://other.test/a.png") == "picture_untrusted"
        assert internet.host.requests == []

    def test_an_authority_that_the_world_does_not_trust_is_refused(self, internet: Internet) -> None:
        http = PublicHttp(resolve=internet.resolve, connect=internet.connect)
        with pytest.raises(PictureRefused) as error:
            PictureFetcher(clock=time.monotonic, http=http).fetch("https://cdn.test/")
        assert reason_of(error.value, "https://cdn.test/") == "picture_untrusted"
        assert internet.host.requests == []

    @pytest.mark.parametrize(("begins", "ends"), [(-2, -1), (1, 2)], ids=["expired", "not valid yet"])
    def test_a_certificate_that_is_not_valid_today_may_be_tomorrow(
        self, authority: trustme.CA, trust: ssl.SSLContext, begins: int, ends: int
    ) -> None:
        now = datetime.datetime.now(datetime.UTC)
        first, last = (now + datetime.timedelta(days=days) for days in (begins, ends))
        with Host(server_tls(authority, "cdn.test", not_before=first, not_after=last)) as host:
            Internet(host, trust).failure(answers(), reason="picture_untrusted")
            assert host.requests == []

    def test_a_host_that_speaks_no_tls_is_not_listened_to(self, trust: ssl.SSLContext) -> None:
        with bare_host(answers()) as host:
            assert "SSL" in Internet(host, trust).failure()


JUST_ENOUGH = PNG.ljust(MAX_BYTES, b"x")


class TestSize:
    @pytest.mark.parametrize(
        ("first", "wrap"),
        [
            (head(f"Content-Length: {MAX_BYTES}"), bytes),
            (head("Transfer-Encoding: chunked"), chunked),
            (head(), bytes),
        ],
        ids=["with length", "chunked", "without length"],
    )
    def test_just_enough_is_not_too_much(
        self, internet: Internet, first: bytes, wrap: Callable[[bytes], bytes]
    ) -> None:
        assert internet.fetch(says(first, wrap(JUST_ENOUGH))).content == JUST_ENOUGH

    @pytest.mark.parametrize(
        "script",
        [
            answers(JUST_ENOUGH + b"x"),
            says(head("Transfer-Encoding: chunked"), chunked(JUST_ENOUGH, b"x")),
            says(head(), JUST_ENOUGH + b"x"),
            repeats(b"x" * 65536, first=head(f"Content-Length: {10**12}") + PNG),
            repeats(b"10000\r\n" + b"x" * 65536 + b"\r\n", first=head("Transfer-Encoding: chunked")),
            repeats(b"x" * 65536, first=head("Transfer-Encoding: chunked") + b"fffffffffff\r\n"),
        ],
        ids=["with length", "chunked", "without length", "a terabyte", "endless", "one endless chunk"],
    )
    def test_one_byte_more_is(self, internet: Internet, script: Script) -> None:
        assert internet.refusal(script) == "picture_too_large"

    @pytest.mark.parametrize("length", [len(PNG), 0])
    def test_more_than_was_announced_is_not_read(self, internet: Internet, length: int) -> None:
        """Given a host that announces little and sends much, then the picture ends where it was said to end."""
        script = repeats(b"x" * 65536, first=head(f"Content-Length: {length}") + PNG)
        if length:
            assert internet.fetch(script).content == PNG
        else:
            assert internet.refusal(script) == "picture_not_an_image"

    def test_memory_holds_no_more_than_one_picture(self, internet: Internet) -> None:
        script = says(head(f"Content-Length: {MAX_BYTES}"), JUST_ENOUGH)
        tracemalloc.start()
        try:
            internet.fetch(script)
            assert tracemalloc.get_traced_memory()[1] < 1.5 * MAX_BYTES
        finally:
            tracemalloc.stop()

    @pytest.mark.parametrize(
        ("script", "reason"),
        [
            (answers(gzip.compress(PNG), "Content-Encoding: gzip"), "picture_compressed"),
            (answers(zlib.compress(PNG), "content-encoding: DEFLATE"), "picture_compressed"),
            (answers(gzip.compress(PNG), "Content-Encoding: x-gzip , identity"), "picture_compressed"),
            (answers(gzip.compress(PNG), "Content-Encoding: gzip", "Content-Encoding: identity"), "picture_compressed"),
            (answers(gzip.compress(PNG), "Content-Encoding: aws-chunked,gzip"), "picture_compressed"),
            (answers(gzip.compress(PNG), "Content-Encoding: aws-chunked"), "picture_not_an_image"),
            (answers(gzip.compress(b"\0" * 4 * MAX_BYTES), "Content-Encoding: gzip"), "picture_compressed"),
            (answers(gzip.compress(PNG)), "picture_not_an_image"),
        ],
        ids=[
            "gzip",
            "deflate",
            "several",
            "several headers",
            "with one that is none",
            "under none",
            "bomb",
            "in secret",
        ],
    )
    def test_nothing_is_decompressed(self, internet: Internet, script: Script, reason: str) -> None:
        assert internet.refusal(script) == reason

    @pytest.mark.parametrize("coding", ["gzip", "gzip, chunked", "chunked, gzip", "identity", "chunked, chunked"])
    def test_no_transfer_coding_is_undone_but_chunks(self, internet: Internet, coding: str) -> None:
        internet.failure(says(head(f"Transfer-Encoding: {coding}"), chunked(gzip.compress(PNG))))


class TestTime:
    @pytest.mark.parametrize(
        "script",
        [
            *SLOW_ANSWERS.values(),
            repeats(b"x", first=head(f"Content-Length: {MAX_BYTES}") + PNG, every=0.05),
            repeats(b"1\r\nx\r\n", first=head("Transfer-Encoding: chunked"), every=0.05),
        ],
        ids=[*SLOW_ANSWERS, "body", "chunks"],
    )
    def test_a_host_that_takes_its_time_gets_none(self, internet: Internet, script: Script) -> None:
        internet.failure(script, clock=hurried(TIMEOUT_SECONDS))

    @pytest.mark.parametrize("attack", TLS_ATTACKS.values(), ids=TLS_ATTACKS)
    def test_a_connection_that_never_comes_to_an_answer_is_cut_off(
        self, authority: trustme.CA, trust: ssl.SSLContext, tmp_path: Path, attack: TlsAttack
    ) -> None:
        with bare_host(attack(authority, tmp_path / "keys", "cdn.test")) as host:
            assert "Timeout" in Internet(host, trust).failure(clock=hurried(TIMEOUT_SECONDS))

    def test_a_slow_connection_leaves_a_handshake_less_time(self, trust: ssl.SSLContext) -> None:
        with bare_host(hangs) as host:

            def connect(_address: str, _port: int, timeout: float) -> socket.socket:
                connection = connection_to("127.0.0.1", host.port, timeout)
                connection.settimeout(PATIENCE)  # as if it had been made with all the time there was
                return connection

            Internet(host, trust).failure(clock=hurried(TIMEOUT_SECONDS), connect=connect)

    BLANKS = b" " * 100_000

    @pytest.mark.parametrize(
        "script",
        [
            says(b"HTTP/1.1 200 OK\r\nX:" + BLANKS + b"\0\r\n\r\n"),
            says(head("Transfer-Encoding: chunked"), b"1;" + BLANKS + b"\n\r\n"),
            says(head("Transfer-Encoding: chunked"), b"0\r\nX:" + BLANKS + b"\0\r\n\r\n"),
        ],
        ids=["header", "chunk", "trailer"],
    )
    def test_nothing_is_read_whose_time_grows_with_the_square_of_its_length(
        self, internet: Internet, script: Script
    ) -> None:
        internet.failure(script)

    def test_headers_without_an_end_are_not_read_on(self, internet: Internet) -> None:
        """That the cap is heeded, which httpcore takes from a constant without documentation."""
        sent = 0

        def script(connection: socket.socket) -> None:
            nonlocal sent
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            with contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
                while sent < 100 * MAX_HEADERS_BYTES:
                    connection.sendall(b"x" * 1024)
                    sent += 1024
                    time.sleep(0.0005)

        internet.failure(script)
        assert sent < 3 * MAX_HEADERS_BYTES

    @pytest.mark.parametrize("over", [-200, 2 * MAX_READ_BYTES])
    def test_the_cap_on_headers_is_where_it_is_documented(self, internet: Internet, over: int) -> None:
        script = answers(PNG, f"X: {'x' * (MAX_HEADERS_BYTES + over)}")
        if over < 0:
            assert internet.fetch(script).content == PNG
        else:
            assert "ProtocolError" in internet.failure(script)

    def test_redirects_share_one_deadline(self, internet: Internet) -> None:
        def slowly(connection: socket.socket) -> None:
            time.sleep(HURRY * 0.6)
            redirects("/a.png")(connection)

        internet.failure(slowly, clock=hurried(TIMEOUT_SECONDS))
        assert len(internet.host.requests) <= 2

    def test_a_look_up_that_never_ends_is_not_waited_for(self, internet: Internet) -> None:
        over = threading.Event()

        def resolve(_host: str) -> Sequence[str]:
            over.wait(PATIENCE)
            return ["93.184.215.14"]

        internet.failure(answers(), clock=hurried(TIMEOUT_SECONDS), resolve=resolve)
        over.set()
        assert internet.connections == []

    def test_a_host_that_cannot_be_connected_to_is_not_waited_for(self, internet: Internet) -> None:
        """Given a server with no place left in its queue, so that no connection to it comes about."""
        with socket.create_server(("127.0.0.1", 0), backlog=0) as server, contextlib.ExitStack() as waiting:
            for _ in range(4):
                blocked = waiting.enter_context(socket.socket())
                blocked.setblocking(False)
                blocked.connect_ex(server.getsockname())
            port = server.getsockname()[1]
            internet.failure(
                clock=hurried(TIMEOUT_SECONDS), connect=lambda _, __, timeout: connection_to("127.0.0.1", port, timeout)
            )

    @pytest.mark.parametrize(
        ("looks", "connections"),
        [(1, 0), (2, 0), (3, 1), (4, 1)],
        ids=["look-up", "connection", "handshake", "request"],
    )
    def test_after_the_deadline_nothing_is_begun(self, internet: Internet, looks: int, connections: int) -> None:
        """Given a deadline that passes just before a step, then the host hears nothing of that step."""
        ticks = itertools.chain([0.0] * looks, itertools.repeat(TIMEOUT_SECONDS))
        internet.failure(answers(), clock=lambda: next(ticks))
        assert (len(internet.connections), internet.host.requests) == (connections, [])


class TestAnswers:
    @pytest.mark.parametrize("status", [201, 204, 206, 226, 300, 304, 305, 400, 401, 407, 410, 451])
    def test_a_status_that_means_no_is_taken_for_no(self, internet: Internet, status: int) -> None:
        body = b"" if status in (204, 304) else PNG
        assert internet.refusal(answers(body, 'WWW-Authenticate: Basic realm="x"', status=f"{status} x")) == (
            "picture_not_found"
        )
        assert internet.host.connections == 1

    @pytest.mark.parametrize("status", [202, 408, 425, 429, 500, 502, 503, 504, 599, 999])
    def test_a_status_that_means_later_is_taken_for_later(self, internet: Internet, status: int) -> None:
        assert str(status) in internet.failure(answers(status=f"{status} x"))

    @pytest.mark.parametrize("status", [403, 404])
    def test_a_picture_that_is_not_there_yet_may_be_there_later(self, internet: Internet, status: int) -> None:
        assert str(status) in internet.failure(answers(status=f"{status} x"), reason="picture_not_found")

    @pytest.mark.parametrize(
        "script",
        [
            *NO_HTTP.values(),
            says(PNG),
            says(b"HTTP/2 200 OK\r\n\r\n" + PNG),
            says(b"HTTP/1.1 99 x\r\n\r\n"),
            says(head("Upgrade: h2c", status="101 Switching Protocols"), PNG),
            says(head("Content-Length: 100000"), PNG),
            says(head("Content-Length: -1"), PNG),
            says(head("Content-Length: 5", "Content-Length: 6"), PNG),
            says(head("Content-Length: " + "9" * 5000), PNG),
            says(head("Content-Length: 0x10"), PNG),
            says(head("Transfer-Encoding: chunked"), b"zz\r\n" + PNG),
            says(head("Transfer-Encoding: chunked"), b"-1\r\n" + PNG),
            says(head("Transfer-Encoding: chunked"), b"f" * 5000 + b"\r\n" + PNG),
            says(head("Transfer-Encoding: chunked"), chunked(PNG)[:-5]),
            says(head("Transfer-Encoding: chunked"), b"5\r\nabcdefgh\r\n0\r\n\r\n"),
            repeats(b"x" * 65536, first=head("Transfer-Encoding: chunked") + b"1;"),
            repeats(b"X-Trailer: x\r\n" * 1000, first=head("Transfer-Encoding: chunked") + b"0\r\n"),
        ],
    )
    def test_what_is_no_http_is_no_picture(self, internet: Internet, script: Script) -> None:
        internet.failure(script)

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\x89",
            b"\xff",
            b"R",
            PNG[:7],
            b"\x89png\r\n\x1a\n",
            b"GIF90a",
            b"gif89a",
            b"\xff\xd8",
            b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
            b"<?xml version='1.0'?><svg/>",
            b"<!doctype html><img src=x>",
            b"%PDF-1.7",
            b"BM\x36\x00\x00\x00",
            b"\x00\x00\x01\x00\x01\x00",
            b"II*\x00",
            b"\x00\x00\x00\x1cftypavif",
            b"\x00\x00\x00\x18ftypheic",
            b"RIFF\x10\x00\x00\x00WAVEfmt ",
            b"RIFF\x10\x00\x00\x00AVI LIST",
            b"RIFFWEBP",
            b"RIFX\x10\x00\x00\x00WEBP",
            b"\n" + PNG,
            b"\xef\xbb\xbf" + PNG,
            b"<html>" + PNG,
            b"PK\x03\x04" + PNG,
            b"MZ" + PNG,
            b'{"error": "no picture"}',
        ],
        ids=ascii,
    )
    def test_what_is_no_picture_by_its_bytes_is_none(self, internet: Internet, content: bytes) -> None:
        assert internet.refusal(answers(content, "Content-Type: image/png")) == "picture_not_an_image"


LINES = st.sampled_from(
    [
        *(b"HTTP/1.1 200 OK", b"HTTP/1.1 302 Found", b"HTTP/1.1 100 Continue", b"HTTP/1.1 204 x", b"HTTP/1.0 500", b""),
        *(b"Location: /", b"Location: //a:b@c", b"Location: \xff", b"Location: http://h.test/\xc3\xbc", b"Location: ["),
        *(b"Location: http://h.test:99999", b"Location: xn--a", b"Location: http://xn--a/", b"Location:"),
        *(b"Content-Length: 8", b"Content-Length: x", b"Transfer-Encoding: chunked", b"Content-Encoding: gzip"),
        *(b"Connection: close", b"Upgrade: x", b"8", b"0", b" folded", b"8;x=y", PNG[:8], b"GIF89a"),
    ]
)
ANSWERS = st.lists(LINES | st.binary(max_size=6), max_size=10).map(b"\r\n".join)


class TestAnything:
    @given(first=st.just(b"") | ANSWERS.map(head().__add__) | st.just(b"HTTP/1.1 302 x\r\n"), rest=ANSWERS)
    def test_no_answer_does_more_than_be_refused_or_be_a_picture(self, first: bytes, rest: bytes) -> None:
        def connect(*_: object) -> socket.socket:
            here, there = socket.socketpair()
            with there:
                there.sendall(first + rest)
            return here

        http = PublicHttp(allowed_origin="http://h.test", resolve=lambda _: ["127.0.0.1"], connect=connect)
        avatars = PictureFetcher(clock=lambda: 0.0, http=http)
        with contextlib.suppress(PictureRefused, PictureUnavailable):
            assert avatars.fetch("http://h.test").extension in ("png", "gif")
