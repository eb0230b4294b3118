"""Which addresses are this host's own."""

import pytest

from posthouse.serve.addresses import OwnAddresses


@pytest.mark.parametrize("ip", ["127.0.0.1", "127.0.0.99", "203.0.113.5", "2001:db8::5", "2001:0db8:0::05"])
def test_what_the_system_binds_and_what_the_settings_name_is_ours(ip: str) -> None:
    assert ip in OwnAddresses(["203.0.113.5", "2001:DB8::5"])


@pytest.mark.parametrize(
    "ip", ["192.0.2.1", "2001:db8::1", "8.8.8.8", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "", "localhost", "127.1"]
)
def test_what_others_have_and_what_is_no_address_of_a_host_is_not_ours(ip: str) -> None:
    assert ip not in OwnAddresses()


def test_what_is_no_address_cannot_be_named() -> None:
    with pytest.raises(ValueError):
        OwnAddresses(["mx.example.org"])
