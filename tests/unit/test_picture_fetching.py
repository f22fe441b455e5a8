"""Which addresses a picture may come from, and what a URL may look like. Nothing here opens a connection."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from whop_sync.internet.addresses import addresses_of, is_public
from whop_sync.internet.requests import MAX_URL_LENGTH, PublicHttp
from whop_sync.internet.streams import MIN_CONNECT_SECONDS
from whop_sync.pictures.errors import PictureRefused, PictureUnavailable
from whop_sync.pictures.fetching import TIMEOUT_SECONDS, PictureFetcher

PUBLIC = ["93.184.215.14", "1.1.1.1", "223.255.255.254", "2606:4700::1111", "2a00:1450:4001:81b::200e", "2620:fe::fe"]

NOT_PUBLIC = {
    "this network": ["0.0.0.0", "0.1.2.3", "::"],
    "loopback": ["127.0.0.1", "127.255.255.254", "::1"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"],
    "shared": ["100.64.0.1", "100.100.100.200", "100.127.255.255"],
    "link-local": ["169.254.169.254", "169.254.170.2", "fe80::1", "febf::1"],
    "link-local with a zone": ["fe80::1%1", "fe80::a9fe:a9fe%eth0"],
    "site-local": ["fec0::1", "feff::1"],
    "unique local": ["fc00::1", "fd00:ec2::254", "fdff::1"],
    "benchmark": ["198.18.0.1", "198.19.255.255", "2001:2::1"],
    "documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"],
    "protocol assignments": ["192.0.0.1", "192.0.0.8", "192.0.0.9", "192.0.0.170", "2001:1::1", "2001:20::1"],
    "multicast": ["224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"],
    "reserved": ["240.0.0.1", "255.255.255.255", "4000::1", "8000::1", "5f00::1", "100::1"],
    "IPv4-mapped": ["::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:93.184.215.14", "::ffff:7f00:1"],
    "IPv4-compatible": ["::127.0.0.1", "::93.184.215.14"],
    "IPv4-translated": ["::ffff:0:127.0.0.1", "::ffff:0:93.184.215.14"],
    "NAT64": ["64:ff9b::127.0.0.1", "64:ff9b::5db8:d70e", "64:ff9b:1::1"],
    "6to4": ["2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:5db8:d70e::1", "192.88.99.1"],
    "Teredo": ["2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2"],
    "ISATAP": ["2606:4700::5efe:7f00:1", "2606:4700::200:5efe:a00:1", "2606:4700::5efe:10.0.0.1"],
}


@dataclass
class Internet:
    """What names resolve to, answer by answer, and the connections asked for, of which none comes about."""

    answers: dict[str, list[Sequence[str]]] = field(default_factory=dict)
    lookups: list[str] = field(default_factory=list)
    connections: list[tuple[str, int]] = field(default_factory=list)
    dead: Sequence[str] = ()
    """Addresses that take as long as they are given."""
    now: float = 7.0

    def resolve(self, host: str) -> Sequence[str]:
        self.lookups.append(host)
        return self.answers[host].pop(0) if host in self.answers else addresses_of(host)

    def connect(self, address: str, port: int, timeout: float) -> socket.socket:
        assert 0 < timeout <= 15
        self.connections.append((address, port))
        if address in self.dead:
            self.now += timeout
            raise TimeoutError(f"{address}:{port}")
        raise ConnectionRefusedError(f"{address}:{port}")

    def avatars(self, allowed_origin: str | None = None, *, seconds: float = TIMEOUT_SECONDS) -> PictureFetcher:
        http = PublicHttp(allowed_origin=allowed_origin, resolve=self.resolve, connect=self.connect)
        return PictureFetcher(clock=lambda: self.now, http=http, seconds=seconds)


def reason(avatars: PictureFetcher, url: str) -> str:
    """Why a URL gets no picture."""
    with pytest.raises((PictureRefused, PictureUnavailable)) as error:
        avatars.fetch(url)
    return error.value.reason


class TestAddresses:
    @pytest.mark.parametrize("address", PUBLIC)
    def test_the_public_internet_may_be_reached(self, address: str) -> None:
        assert is_public(address)

    @pytest.mark.parametrize("address", [pytest.param(a, id=f"{k} {a}") for k, v in NOT_PUBLIC.items() for a in v])
    def test_nothing_else_may(self, address: str) -> None:
        assert not is_public(address)

    @pytest.mark.parametrize("address", [addresses[0] for addresses in NOT_PUBLIC.values()])
    def test_a_name_that_resolves_elsewhere_is_never_connected_to(self, address: str) -> None:
        internet = Internet({"cdn.test": [[address]]})
        assert reason(internet.avatars(), "https://cdn.test/a.png") == "picture_not_public"
        assert internet.connections == []

    @pytest.mark.parametrize("place", range(3))
    def test_one_address_of_several_that_is_not_public_is_enough_to_refuse(self, place: int) -> None:
        addresses = [*PUBLIC[:2]]
        addresses.insert(place, "10.0.0.1")
        internet = Internet({"cdn.test": [addresses]})
        assert reason(internet.avatars(), "https://cdn.test/a.png") == "picture_not_public"
        assert internet.connections == []

    def test_a_name_that_changes_its_address_meanwhile_gains_nothing(self) -> None:
        """Given a name that is public at the first look-up and private at every later one,
        when its picture is fetched, then there is one look-up and the connection is to what it found."""
        internet = Internet({"cdn.test": [["1.1.1.1"], ["127.0.0.1"]]})
        assert reason(internet.avatars(), "https://cdn.test/a.png") == "picture_unavailable"
        assert (internet.lookups, internet.connections) == (["cdn.test"], [("1.1.1.1", 443)])

    def test_all_addresses_of_a_name_are_tried(self) -> None:
        internet = Internet({"cdn.test": [["1.1.1.1", "2606:4700::1111"]]})
        assert reason(internet.avatars(), "https://cdn.test:8443/a.png") == "picture_unavailable"
        assert internet.connections == [("1.1.1.1", 8443), ("2606:4700::1111", 8443)]

    @pytest.mark.parametrize("count", [1, 2, 5, 12])
    def test_addresses_that_never_answer_leave_the_others_their_time(self, count: int) -> None:
        """Given a host most of whose addresses drop what they are sent,
        when its picture is fetched, then the last address is tried too, with time left for the picture."""
        dead = [f"93.184.215.{number}" for number in range(1, count + 1)]
        internet = Internet({"cdn.test": [[*dead, "1.1.1.1"]]}, dead=dead)
        began = internet.now
        assert reason(internet.avatars(), "https://cdn.test/a.png") == "picture_unavailable"
        assert internet.connections == [(address, 443) for address in (*dead, "1.1.1.1")]
        assert internet.now - began <= TIMEOUT_SECONDS - MIN_CONNECT_SECONDS

    @pytest.mark.parametrize("seconds", [2.0, 5.0])
    def test_a_fetch_takes_no_longer_than_it_may(self, seconds: float) -> None:
        dead = [f"93.184.215.{number}" for number in range(1, 40)]
        internet = Internet({"cdn.test": [dead]}, dead=dead)
        began = internet.now
        assert reason(internet.avatars(seconds=seconds), "https://cdn.test/a.png") == "picture_unavailable"
        assert seconds - MIN_CONNECT_SECONDS <= internet.now - began <= seconds

    def test_an_address_that_is_found_twice_is_tried_once(self) -> None:
        internet = Internet({"cdn.test": [["1.1.1.1", "1.1.1.1"]]})
        reason(internet.avatars(), "https://cdn.test/a.png")
        assert internet.connections == [("1.1.1.1", 443)]

    def test_a_name_without_an_address_is_tried_again_later(self) -> None:
        assert reason(Internet({"cdn.test": [[]]}).avatars(), "https://cdn.test/a.png") == "picture_unavailable"

    @pytest.mark.parametrize(
        "host",
        [
            *("127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "0", "0x0"),
            *("localhost", "LOCALHOST", "169.254.169.254", "2852039166", "0xa9.0xfe.0xa9.0xfe", "[::1]", "[::]"),
            *("[::ffff:127.0.0.1]", "[::FFFF:7F00:1]", "127\u30020\u30020\u30021", "127\uff0e0\uff0e0\uff0e1"),
        ],
    )
    def test_no_way_to_spell_an_address_gets_past(self, host: str) -> None:
        internet = Internet()
        assert reason(internet.avatars(), f"https://{host}/a.png") == "picture_not_public"
        assert internet.connections == []

    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (socket.EAI_NONAME, "picture_not_found"),
            (socket.EAI_NODATA, "picture_not_found"),
            (socket.EAI_AGAIN, "picture_unavailable"),
            (socket.EAI_FAIL, "picture_unavailable"),
            (socket.EAI_SYSTEM, "picture_unavailable"),
            (socket.EAI_MEMORY, "picture_unavailable"),
        ],
    )
    def test_a_name_that_is_not_found_may_be_found_later(
        self, monkeypatch: pytest.MonkeyPatch, error: int, expected: str
    ) -> None:
        self.failing_lookup(monkeypatch, error)
        with pytest.raises(PictureUnavailable) as unavailable:
            Internet().avatars().fetch("https://gone.test/a.png")
        assert unavailable.value.reason == expected
        assert "secret" not in str(unavailable.value)

    @staticmethod
    def failing_lookup(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
        def getaddrinfo(*_: object, **__: object) -> None:
            raise socket.gaierror(error, "https://secret.test")

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


BAD_URLS = {
    "no URL": ["", "a.png", "/a.png", "not a url", "https:", "https://", "https:///a.png", "https:/1.1.1.1/a.png"],
    "without scheme": ["//1.1.1.1/a.png", "1.1.1.1/a.png", "://1.1.1.1/"],
    "other scheme": [
        *("http://1.1.1.1/a.png", "HTTP://1.1.1.1/a.png", "hTTp://1.1.1.1/", "ftp://1.1.1.1/a.png", "ws://1.1.1.1/"),
        *("file:///etc/passwd", "file://1.1.1.1/etc/passwd", "gopher://1.1.1.1:6379/_INFO", "dict://1.1.1.1/"),
        *("javascript:alert(1)", "blob:https://1.1.1.1/x", "unix:/a.sock"),
        *("view-source:https://1.1.1.1/", "url:https://1.1.1.1/", "https+unix://1.1.1.1/", "wss://1.1.1.1/"),
    ],
    "user name or password": [
        *("https://good.test@127.0.0.1/", "https://a:b@1.1.1.1/", "https://:b@1.1.1.1/", "https://a@b@1.1.1.1/"),
        *("https://good.test%40127.0.0.1/", "https://good.test:443@127.0.0.1/"),
    ],
    "backslash": [
        *("https://good.test\\@127.0.0.1/", "https://127.0.0.1\\.good.test/", "https:\\\\127.0.0.1/"),
        *("https://good.test\\127.0.0.1/", "\\\\127.0.0.1\\a.png"),
    ],
    "blank or control character": [
        *(" https://1.1.1.1/", "\thttps://1.1.1.1/", "https://1.1.1.1/\r\nX-Evil: 1", "https://1.1.1.1/a\nb"),
        *("https://1.1.1.1\r\n/", "https://1.1.1.1/\0", "https://1.1.1.1 /", "https://1.1.1.1\u2028/", "ht\ntps://a/"),
        *("https://1.1.1.1/\x7f", "https://1.1.1.1%0d%0aX:1/", "https://1.1.1.1%00.good.test/", "https://1.1.1.1%20/"),
    ],
    "port": [
        *(f"https://1.1.1.1:{port}/" for port in ("0", "65536", "-1", "x", "443:80", "99999999999", "9" * 5000)),
    ],
    "host": [
        *("https://.test/", "https://a..test/", "https://./", "https://a\u3002\u3002test/", "https://*.test/"),
        *(
            "https://" + "a" * 64 + ".test/",
            "https://" + "a" * 64 + "/",
            "https://" + "a." * 127 + "test/",
            "https://%31.1.1.1/",
            "https://a,b/",
        ),
        *("https://a_b.test;/", "https://a|b/", "https://{a}/", "https://\udc80.test/", "https://xn--\u00e9.test/"),
        *(
            "https://\uff11\uff12\uff17.0.0.1/",
            "https://\u2460.0.0.1/",
            "https://1.1.1.1\ufe0f/",
            "https://loc\u00ada/",
        ),
        *("https://0177.0.0.1/", "https://256.0.0.1/", "https://[::1/", "https://::1/", "https://[]/"),
        *("https://[v1.x]/", "https://[1.1.1.1]/"),
        *("https://[fe80::1%25eth0]/", "https://[2606:4700::1111%1]/", "https://[fe80::1%\u00e9]/"),
    ],
    "length": [
        "https://1.1.1.1/" + "a" * MAX_URL_LENGTH,
        "https://" + "\u00e9." * 30_000,
        "https://1.1.1.1/" + "a" * 10**6,
    ],
}


class TestUrls:
    @pytest.mark.parametrize("url", ["data:image/png;base64,iVBORw0KGgo=", "DATA:,"])
    def test_a_picture_in_place_of_its_address_is_refused_by_name(self, url: str) -> None:
        internet = Internet()
        assert reason(internet.avatars(), url) == "picture_inline"
        assert (internet.lookups, internet.connections) == ([], [])

    @pytest.mark.parametrize(
        "url", [pytest.param(url, id=f"{kind} {ascii(url)[:50]}") for kind, urls in BAD_URLS.items() for url in urls]
    )
    def test_a_url_that_is_not_plainly_https_is_not_even_looked_up(self, url: str) -> None:
        internet = Internet()
        assert reason(internet.avatars(), url) == "picture_bad_url"
        assert (internet.lookups, internet.connections) == ([], [])

    @pytest.mark.parametrize(
        ("url", "host", "port"),
        [
            ("https://1.1.1.1", "1.1.1.1", 443),
            ("HTTPS://CDN.Test:443/a.png", "cdn.test", 443),
            ("https://cdn.test:8443/a.png?b=c#d", "cdn.test", 8443),
            ("https://cdn.test?@127.0.0.1/", "cdn.test", 443),
            ("https://cdn.test#@127.0.0.1/", "cdn.test", 443),
            ("https://cdn.test/https://127.0.0.1/", "cdn.test", 443),
            ("https://b\u00fccher.test/\u00fc.png", "xn--bcher-kva.test", 443),
            ("https://a-b_c.cdn.test./a b.png", "a-b_c.cdn.test.", 443),
            ("https://[2606:4700::1111]:8443/", "2606:4700::1111", 8443),
            ("https://cdn.test/" + "a" * (MAX_URL_LENGTH - 17), "cdn.test", 443),
        ],
    )
    def test_any_other_goes_to_the_host_it_names(self, url: str, host: str, port: int) -> None:
        internet = Internet({host: [["1.1.1.1"]]})
        assert reason(internet.avatars(), url) == "picture_unavailable"
        assert (internet.lookups, internet.connections) == ([host], [("1.1.1.1", port)])

    @pytest.mark.parametrize(
        "url",
        [
            *("http://127.0.0.1:901/", "http://127.0.0.1/", "http://127.0.0.2:900/", "https://127.0.0.1:900/"),
            *("http://127.0.0.1:900@127.0.0.2/", "http://127.0.0.1:900.evil.test/", "http://127.0.0.1:9000/"),
        ],
    )
    def test_the_allowed_origin_frees_no_other(self, url: str) -> None:
        internet = Internet()
        assert reason(internet.avatars("http://127.0.0.1:900"), url) in ("picture_bad_url", "picture_not_public")
        assert internet.connections == []


PARTS = st.sampled_from(
    [
        *("https", "http", "HTTPS", "file", ":", "//", "/", "\\", "@", "#", "?", "%", "%25", "%00", "[", "]", "::1"),
        *("::ffff:", ".", "..", "~", "*", "-", "_", ":443", ":0", ":99999", "127.0.0.1", "1.1.1.1", "2130706433"),
        *("0x7f", "localhost", "cdn.test", "xn--", "xn--a", "a" * 64, "\r\n", "\0", " ", "\t", "\u3002", "\uff11"),
        *("\u00e9", "\u00df", "\u200d", "\udc80", "\ufeff"),
    ]
)
TEXTS = st.text() | st.lists(PARTS | st.text(max_size=3), max_size=12).map("".join)


class TestAnything:
    @given(
        url=TEXTS | TEXTS.map("https://{}".format) | TEXTS.map("https://cdn.test{}".format),
        addresses=st.lists(st.ip_addresses().map(str) | st.sampled_from(PUBLIC), max_size=3),
    )
    @example(url="https://xn--a/", addresses=PUBLIC)
    def test_no_url_does_more_than_be_refused_or_lead_to_a_public_address(self, url: str, addresses: list[str]) -> None:
        internet = Internet()
        avatars = PictureFetcher(
            clock=lambda: 7.0, http=PublicHttp(resolve=lambda _: addresses, connect=internet.connect)
        )
        with pytest.raises((PictureRefused, PictureUnavailable)) as error:
            avatars.fetch(url)
        assert all(is_public(address) and 0 < port < 65536 for address, port in internet.connections)
        assert "picture" in error.value.explanation
        assert error.value.__cause__ is None
        if len(url) > 8:  # shorter ones may be a word of the sentence
            assert url not in str(error.value)

    @given(address=st.ip_addresses(v=6).map(str) | st.ip_addresses(v=4).map(str))
    def test_no_address_is_too_strange_to_judge(self, address: str) -> None:
        assert is_public(address) in (True, False)
