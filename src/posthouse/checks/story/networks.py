"""Addresses that lead nowhere from outside: those of one machine, of one house, of one link.

What we may connect to is another question (`mail.internet`): here a reader is told what an address in a header means,
and the addresses made for examples are as good as any.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

# Endings of names of one house: those reserved for it, and what people have used instead.
_INSIDE_ENDINGS: Final = (
    ".local", ".localdomain", ".localhost", ".lan", ".internal", ".intranet", ".intra", ".corp", ".home", ".private",
    ".home.arpa", ".alt", ".domain", ".workgroup",
)

# Network → what its addresses are called.
_INSIDE: Final = tuple(
    (ip_network(network), word)
    for network, word in (
        ("127.0.0.0/8", "this machine"),
        ("::1/128", "this machine"),
        ("10.0.0.0/8", "private"),
        ("172.16.0.0/12", "private"),
        ("192.168.0.0/16", "private"),
        ("fc00::/7", "private"),
        ("100.64.0.0/10", "shared by a provider"),
        ("169.254.0.0/16", "of one link"),
        ("fe80::/10", "of one link"),
    )
)

_NOBODY: Final = ip_network("0.0.0.0/8")
_RESERVED: Final = ip_network("240.0.0.0/4")


@lru_cache(maxsize=1024)
def inside(ip: str) -> str:
    """What an address of a closed network is called, or "" for one of the internet and for what is no address."""
    address = _address(ip)
    if address is None:
        return ""
    if isinstance(address, IPv6Address):
        # 6to4: the addresses by which some providers hide a network of their own.
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            address = inner
    return next((word for network, word in _INSIDE if network.version == address.version and address in network), "")


@lru_cache(maxsize=1024)
def is_impossible(ip: str) -> bool:
    """Whether no host can send from an address: it is of a group, of all, of nobody, or was never given out."""
    address = _address(ip)
    if address is None:
        return False
    if isinstance(address, IPv4Address):
        # "This network", and what is reserved.
        return address.is_multicast or address in _NOBODY or address in _RESERVED
    return address.is_multicast or address.is_unspecified


def is_inside_name(name: str) -> bool:
    """Whether a name means something only where it was given: a single label, or one with an ending of the house."""
    name = name.lower().rstrip(".")
    return bool(name) and _address(name) is None and ("." not in name or name.endswith(_INSIDE_ENDINGS))


def is_public_name(name: str) -> bool:
    """Whether it is a name by which the whole world may know its owner, and no address."""
    return "." in name and ":" not in name and not is_inside_name(name) and not name.replace(".", "").isdigit()


def same_network(one: str, other: str) -> bool:
    """Whether two addresses lie so near to each other that they are one operator's: /24 of IPv4, /32 of IPv6."""
    first, second = _address(one), _address(other)
    if first is None or second is None or first.version != second.version:
        return False
    shift = 8 if first.version == 4 else 96
    return int(first) >> shift == int(second) >> shift


def _address(ip: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(ip)
    except ValueError:
        return None
