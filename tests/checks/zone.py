"""What the tests of the checks share: a DNS in a dict that counts what it is asked, and a way to run a check.

    zone = Zone({"example.org": {"TXT": ["v=spf1 -all"]}, "slow.test": {"ANY": ["TIMEOUT"]}})
    result = finish(spf.check("192.0.2.1", "mx.example.org", None, zone, receiver="mx.test", now=NOW))
    assert zone.asked == {"TXT mx.example.org": 1}

The records are written as `posthouse.checks.zonefile` says: JSON's `{name: {type: [data]}}`, with the data TIMEOUT or
SERVFAIL for faults.
"""

from collections import Counter
from collections.abc import Coroutine
from typing import Any, TypeVar

from posthouse.checks.zonefile import Records, ZoneDns
from posthouse.mail.dns import Answer

T = TypeVar("T")

NOW = 1_740_852_930_000_000  # 2025-03-01T18:15:30Z


class Zone(ZoneDns):
    """The DNS of one test. `asked` counts questions as `"TXT example.org"`, names as they were asked for."""

    def __init__(self, records: Records) -> None:
        super().__init__(records)
        self.asked: Counter[str] = Counter()

    def find(self, name: str, kind: str) -> Answer[Any]:
        self.asked[f"{kind} {name}"] += 1
        return super().find(name, kind)


def finish(check: Coroutine[Any, Any, T]) -> T:
    """The result of a check, without an event loop: a check waits for nothing but the DNS it is given."""
    try:
        check.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("the check waits for something that is not its Dns")
