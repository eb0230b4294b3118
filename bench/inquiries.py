"""SPF and DKIM alone, with every DNS answer at hand, beside pyspf and dkimpy: microseconds for one check."""

import importlib
import time
from collections.abc import Callable, Coroutine
from typing import Any

from bench.checked import CLIENT, DOMAIN, SELECTOR, message
from bench.table import Result, Spread
from posthouse.checks import dkim, spf
from posthouse.checks.zonefile import ZoneDns
from posthouse.mail.address import Address
from posthouse.mail.instant import SECOND
from posthouse.mail.message import Message

_TIMES = 500
_HELO = f"mail.{DOMAIN}"
# Two includes on the way to the answer, as senders with a provider and a newsletter have them.
_RECORD = "v=spf1 include:one.test include:two.test -all"
_ZONE = {
    DOMAIN: {"TXT": [_RECORD]},
    "one.test": {"TXT": ["v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all"]},
    "two.test": {"TXT": [f"v=spf1 ip4:198.51.100.0/24 ip4:{CLIENT} -all"]},
}


def inquiries(runs: int) -> list[Result]:
    """A row for SPF and one for DKIM; the peer's column is empty where it is not installed."""
    return [_spf(runs), _dkim(runs)]


def _spf(runs: int) -> Result:
    dns, now = ZoneDns(_ZONE), int(time.time()) * SECOND
    author = Address("a", DOMAIN)

    def ours() -> bool:
        found: spf.Spf = _finish(spf.check(CLIENT, _HELO, author, dns, receiver="mx.perf.test", now=now))
        return found.result == "pass"

    def peer() -> Callable[[], bool]:
        pyspf: Any = importlib.import_module("spf")
        records = {(name, kind): tuple(values) for name, kinds in _ZONE.items() for kind, values in kinds.items()}

        def look_up(name: str, kind: str, *_: object, **__: object) -> list[Any]:
            key = (name.rstrip(".").lower(), kind)
            return [(key, (text.encode(),)) for text in records.get(key, ())]

        pyspf.DNSLookup = look_up
        return lambda: pyspf.check2(i=CLIENT, s=str(author), h=_HELO)[0] == "pass"

    return _row("SPF of a sender with two includes, DNS at hand", runs, ours, _peer(peer), 150)


def _dkim(runs: int) -> Result:
    key = dkim.SigningKey.generate(DOMAIN, SELECTOR)
    octets, now = message(key), int(time.time()) * SECOND
    dns = ZoneDns({key.dns_name: {"TXT": [key.dns_record()]}})

    def ours() -> bool:
        signatures = _finish(dkim.verify(Message.parse(octets), dns, now))
        return [signature.result for signature in signatures] == ["pass"]

    def peer() -> Callable[[], bool]:
        dkimpy: Any = importlib.import_module("dkim")
        record = key.dns_record().encode()
        return lambda: bool(dkimpy.verify(octets, dnsfunc=lambda name, timeout=0: record))

    return _row("DKIM of a message of 4 KB, RSA-2048, DNS at hand", runs, ours, _peer(peer), 400)


def _peer(make: Callable[[], Callable[[], bool]]) -> Callable[[], bool] | None:
    try:
        return make()
    except ImportError:
        return None


def _row(title: str, runs: int, ours: Callable[[], bool], theirs: Callable[[], bool] | None, most: float) -> Result:
    samples: list[float] = []
    theirs_samples: list[float] = []
    for _ in range(runs):
        samples.append(_microseconds(ours))
        if theirs is not None:
            theirs_samples.append(_microseconds(theirs))
    mine = Spread.of(samples)
    peer = Spread.of(theirs_samples) if theirs_samples else None
    ratio = mine.middle / peer.middle if peer else None
    return Result(title, "µs", mine, peer, ratio=ratio, promise=f"< {most:g} µs", kept=mine.middle < most)


def _microseconds(check: Callable[[], bool]) -> float:
    assert check(), "the check has to pass"
    begun = time.perf_counter()
    for _ in range(_TIMES):
        check()
    return (time.perf_counter() - begun) * 1e6 / _TIMES


def _finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Runs a check whose answers are all at hand, without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("a check waited although every answer was at hand")
