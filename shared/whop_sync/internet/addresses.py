"""Which addresses of a host are on the public internet, and how a name is looked up."""

import ipaddress
import socket
from collections.abc import Sequence

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All that IANA has assigned of IPv6 (https://www.iana.org/assignments/ipv6-address-space). Outside are mapped,
compatible, translated, local and multicast addresses."""

# Marks the lower half of an ISATAP address (RFC 5214, 6.1), in front of an IPv4 address to tunnel to.
_ISATAP = 0x5EFE
_ISATAP_BITS = 0xFDFF_FFFF

# What IANA keeps for special purposes and `is_global` lets pass, all of it or in part
# (https://www.iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry).
_SPECIAL = (
    ipaddress.IPv4Network("192.0.0.0/24"),  # protocol assignments
    ipaddress.IPv4Network("192.88.99.0/24"),  # relays to 6to4
    ipaddress.IPv6Network("2001::/23"),  # protocol assignments, among them Teredo, which has an IPv4 address inside
    ipaddress.IPv6Network("3fff::/20"),  # documentation
)


def addresses_of(host: str) -> Sequence[str]:
    """All addresses of a name or, unchanged in meaning, of an address. Raises OSError, a gaierror among them."""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


def is_public(address: str) -> bool:
    """Whether an address, as text, is one that anyone on the internet may connect to."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and (ip not in _GLOBAL_UNICAST or int(ip) >> 32 & _ISATAP_BITS == _ISATAP):
        return False
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _SPECIAL)
