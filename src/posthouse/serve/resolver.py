"""The `Dns` port on real DNS: UDP then TCP by dnspython, cached within bounds, and each question asked once.

    dns = Resolver(servers=[("127.0.0.1", 5353)])        # or none: those of /etc/resolv.conf
    answer = await dns.mx("example.org")                 # DnsFault for time-out, SERVFAIL, lame, malformed
"""

from collections.abc import Sequence

from posthouse.mail.dns import Answer, Mx, Tlsa


class Resolver:
    """`posthouse.mail.dns.Dns` for one event loop."""

    def __init__(
        self,
        servers: Sequence[tuple[str, int]] = (),
        *,
        timeout: float = 10.0,
        trust_ad: bool = False,
    ) -> None: ...

    async def a(self, name: str) -> Answer[str]:
        raise NotImplementedError

    async def aaaa(self, name: str) -> Answer[str]:
        raise NotImplementedError

    async def mx(self, name: str) -> Answer[Mx]:
        raise NotImplementedError

    async def txt(self, name: str) -> Answer[bytes]:
        raise NotImplementedError

    async def ptr(self, ip: str) -> Answer[str]:
        raise NotImplementedError

    async def tlsa(self, name: str) -> Answer[Tlsa]:
        raise NotImplementedError
