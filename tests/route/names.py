"""A `Dns` made of dictionaries, that remembers what it was asked."""

from posthouse.mail.dns import Answer, DnsFault, Mx, Tlsa


class FakeDns:
    """`mx`, `a`, `aaaa` by name; a name in `faults` fails for that type; a name nowhere to be seen does not exist."""

    def __init__(self) -> None:
        self.mx_records: dict[str, list[tuple[int, str]]] = {}
        self.a_records: dict[str, list[str]] = {}
        self.aaaa_records: dict[str, list[str]] = {}
        self.faults: set[tuple[str, str]] = set()
        self.asked: list[tuple[str, str]] = []

    def _check(self, kind: str, name: str) -> bool:
        self.asked.append((kind, name))
        if (kind, name) in self.faults:
            raise DnsFault("SERVFAIL")
        return any(name in zone for zone in (self.mx_records, self.a_records, self.aaaa_records))

    async def mx(self, name: str) -> Answer[Mx]:
        exists = self._check("MX", name)
        return Answer(tuple(Mx(p, e) for p, e in self.mx_records.get(name, [])), exists)

    async def a(self, name: str) -> Answer[str]:
        exists = self._check("A", name)
        return Answer(tuple(self.a_records.get(name, [])), exists)

    async def aaaa(self, name: str) -> Answer[str]:
        exists = self._check("AAAA", name)
        return Answer(tuple(self.aaaa_records.get(name, [])), exists)

    async def txt(self, name: str) -> Answer[bytes]:
        raise AssertionError("routing asks for no TXT")

    async def ptr(self, ip: str) -> Answer[str]:
        raise AssertionError("routing asks for no PTR")

    async def tlsa(self, name: str) -> Answer[Tlsa]:
        raise AssertionError("routing asks for no TLSA")
