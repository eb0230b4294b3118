"""Which IP addresses are this host's own: those the system lets us bind, and those the settings name (NAT)."""

import socket
from collections.abc import Iterable
from ipaddress import ip_address


class OwnAddresses:
    """`ip in own`, for addresses as text. The system is asked each time, since interfaces come and go."""

    def __init__(self, public: Iterable[str] = ()) -> None:
        """`public`: addresses that lead here although no interface has them. ValueError for what is no address."""
        self._public = frozenset(map(ip_address, public))

    def __contains__(self, ip: object) -> bool:
        try:
            address = ip_address(str(ip))
        except ValueError:
            return False
        if address in self._public:
            return True
        if address.is_unspecified or address.is_multicast:
            return False
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.bind((str(address), 0))
        except OSError:
            return False
        return True
