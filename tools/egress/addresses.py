"""Tells which addresses are on the public internet. `is_global` alone is not enough: in Python 3.11.7 it is true for multicast,
6to4 of a loopback address, Azure's and Oracle's metadata services, and more; the tests contain the list.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All that IANA has allocated for global unicast; site-local, link-local and multicast are elsewhere."""

NAT64 = IPv6Network("64:ff9b::/96")
"""The well-known prefix, through which IPv6-only hosts reach the IPv4 internet, so the IPv4 address in the last 32 bits is
checked. The local prefix 64:ff9b:1::/48 is outside GLOBAL_UNICAST and refused: each network chooses where it embeds the IPv4
address, so that can't be checked."""

SPECIAL: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "168.63.129.16/32",  # Azure's host: metadata, DNS, health
        "192.0.0.0/24",  # IETF protocols; Oracle Cloud's metadata is 192.0.0.192
        "192.88.99.0/24",  # relays of 6to4
        "2001::/23",  # IETF protocols, Teredo among them: it wraps an IPv4 address
        "2002::/16",  # 6to4 wraps one as well; both are retired, so nothing public is lost
        "3fff::/20",  # documentation (RFC 9637), younger than Python 3.11
        "3ffe::/16",  # the 6bone, given back
    )
)


def is_public(address: Address) -> bool:
    """Whether the address is on the public internet, not in a private network or on this machine."""
    address = unmapped(address)
    if isinstance(address, IPv6Address):
        if address in NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
        if address not in GLOBAL_UNICAST:
            return False
    odd = address.is_multicast or address.is_reserved or address.is_unspecified
    return address.is_global and not odd and not within(address, SPECIAL)


def unmapped(address: Address) -> Address:
    """Return the IPv4 address for a mapped one (::ffff:127.0.0.1), since the kernel connects to that."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def within(address: Address, networks: Iterable[Network]) -> bool:
    """Whether one of the networks contains the address."""
    return any(address.version == network.version and address in network for network in networks)


def as_address(host: str) -> Address | None:
    """Return `host` as an address, or None if it is a name or a nonstandard spelling (127.1, 0x7f000001)."""
    try:
        return ip_address(host)
    except ValueError:
        return None
