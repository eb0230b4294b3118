"""Which addresses belong to the internet: where we may go when a stranger names the place.

    is_public("192.0.2.1")          False: an example
    is_public("::ffff:127.0.0.1")   False: this machine in disguise

What is private, loopback, link-local, shared, reserved, multicast or for examples is not public, nor is what leads to
such a place by another name: IPv4 addresses mapped into IPv6, translated, or tunnelled (6to4, Teredo). Nor is the one
public address at which a large provider tells his customers' machines secrets.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

# Of all of IPv6 only this much is given out as unicast so far.
_UNICAST: Final = ip_network("2000::/3")
# RFC 6052 §2.1
_TRANSLATED: Final = ip_network("64:ff9b::/96")
# Special assignments (Teredo among them), examples, more examples.
_SPECIAL: Final = tuple(map(ip_network, ("2001::/23", "2001:db8::/32", "3fff::/20")))
# Special assignments, of which Python's releases think differently; the relays of 6to4, which are no more; the host of
# Azure that answers the machines of its customers.
_CLOSED: Final = tuple(map(ip_network, ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")))


@lru_cache(maxsize=1024)
def is_public(ip: str) -> bool:
    """Whether an address is one of the internet; False also for what is no address, or has a zone (`%eth0`)."""
    if "%" in ip:
        return False
    try:
        address = ip_address(ip)
    except ValueError:
        return False
    if isinstance(address, IPv4Address):
        return _is_public_v4(address)
    inner = _inner(address)
    if inner is not None:
        return _is_public_v4(inner)
    return address in _UNICAST and not any(address in network for network in _SPECIAL)


def _is_public_v4(address: IPv4Address) -> bool:
    if address.is_multicast or not address.is_global:
        return False
    return not any(address in network for network in _CLOSED)


def _inner(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that packets for this one end up at."""
    if address in _TRANSLATED:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
