"""Which addresses are of the internet; each network that is not has its line."""

import pytest

from posthouse.mail.internet import is_public

INSIDE = {
    "loopback": ("127.0.0.1", "127.255.255.254", "::1"),
    "private": ("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd12:3456::1"),
    "link-local": ("169.254.1.1", "fe80::1", "fe80::1%eth0", "2606:4700:4700::1111%eth0", "fec0::1"),
    "metadata": ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16"),
    "shared": ("100.64.0.1", "100.127.255.255"),
    "unspecified": ("0.0.0.0", "0.1.2.3", "::"),
    "multicast": ("224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"),
    "reserved": ("240.0.0.1", "255.255.255.255", "192.0.0.8", "192.88.99.1", "4000::1", "100::1", "::2"),
    "examples": ("192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1", "198.18.0.1"),
    "mapped": ("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1"),
    "translated": ("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1"),
    "tunnelled": ("2002:7f00:1::1", "2002:a00:1::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
    "malformed": ("", "localhost", "127.1", "0x7f000001", "2130706433", "1.2.3.4.5", "1.1.1.1/8", " 1.1.1.1"),
}


@pytest.mark.parametrize("ip", [pytest.param(ip, id=f"{kind} {ip}") for kind, ips in INSIDE.items() for ip in ips])
def test_an_address_from_inside_is_not_public(ip: str) -> None:
    assert not is_public(ip)


@pytest.mark.parametrize(
    "ip", ["1.1.1.1", "8.8.8.8", "172.32.0.1", "193.0.0.1", "2606:4700:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8",
           "64:ff9b::808:808", "2002:808:808::1"],
)  # fmt: skip
def test_an_address_of_the_internet_is_public(ip: str) -> None:
    assert is_public(ip)
