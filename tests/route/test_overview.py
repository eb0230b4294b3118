"""Who sends in our name: sources put together by names that are true, days without a gap."""

import asyncio

from checks.zone import Zone
from posthouse.mail.dns import Answer
from posthouse.route.overview import addresses, ask_names, gather, trend
from posthouse.store.feedback import Day, Line

GOOD = Line(10, True, False, "none", "192.0.2.1", "a.test", "a.test pass", "", "")
BAD = Line(3, False, False, "reject", "203.0.113.9", "a.test", "", "evil.test fail", "")
NAMES = {
    "1.2.0.192.in-addr.arpa": {"PTR": "out1.mail.mailer.co.uk"},
    "out1.mail.mailer.co.uk": {"A": "192.0.2.1"},
    "9.113.0.203.in-addr.arpa": {"PTR": "mx.bank.test"},
    "mx.bank.test": {"A": "198.51.100.1"},
    "8.113.0.203.in-addr.arpa": {"PTR": "SERVFAIL"},
}


def asked(ips: list[str], dns: Zone, seconds: float = 5) -> dict[str, str]:
    return asyncio.run(ask_names(ips, dns, seconds))


def test_sources_are_put_together_by_registered_name_or_by_network() -> None:
    lines = [
        GOOD, GOOD._replace(source_ip="192.0.2.2", messages=5), BAD, BAD._replace(source_ip="203.0.113.200"),
        BAD._replace(source_ip="2001:db8:1:2::3"),
    ]  # fmt: skip
    names = {"192.0.2.1": "out1.mail.mailer.co.uk", "192.0.2.2": "out2.mailer.co.uk", "203.0.113.9": ""}
    found = gather(lines, names)
    assert [(source.name, source.named, source.messages) for source in found] == [
        ("mailer.co.uk", True, 15), ("203.0.113.0/24", False, 6), ("2001:db8:1::/48", False, 3),
    ]  # fmt: skip
    assert found[0].addresses == (("192.0.2.1", "out1.mail.mailer.co.uk"), ("192.0.2.2", "out2.mailer.co.uk"))


def test_a_source_tells_what_passed_and_what_became_of_the_rest() -> None:
    lines = [GOOD, GOOD._replace(aligned_dkim=False, aligned_spf=True, messages=2),
             BAD._replace(source_ip="192.0.2.1"), BAD._replace(source_ip="192.0.2.1", disposition="none")]  # fmt: skip
    (source,) = gather(lines, {})
    assert (source.messages, source.passed, source.failed) == (18, 12, 6)
    assert (source.aligned_dkim, source.aligned_spf) == (10, 2)
    assert source.fates == {"reject": 3, "none": 3}
    assert [line.disposition for line in source.failures] == ["reject", "none"]


def test_only_names_that_lead_back_count() -> None:
    found = asked(["192.0.2.1", "203.0.113.9", "203.0.113.7"], Zone(NAMES))
    assert found == {"192.0.2.1": "out1.mail.mailer.co.uk", "203.0.113.9": "", "203.0.113.7": ""}


def test_who_cannot_be_asked_about_now_is_asked_about_again() -> None:
    assert asked(["203.0.113.8", "192.0.2.1"], Zone(NAMES)) == {"192.0.2.1": "out1.mail.mailer.co.uk"}


class Slow(Zone):
    """Nobody learns the name of 203.0.113.9."""

    async def ptr(self, ip: str) -> Answer[str]:
        if ip == "203.0.113.9":
            await asyncio.Event().wait()
        return await super().ptr(ip)


def test_the_slow_do_not_hold_up_the_others() -> None:
    assert asked(["203.0.113.9", "192.0.2.1"], Slow(NAMES), 0.05) == {"192.0.2.1": "out1.mail.mailer.co.uk"}


def test_nobody_is_asked_about_more_than_some_hundreds() -> None:
    zone = Zone({})
    ips = [f"2001:db8::{n:x}" for n in range(700)]
    assert list(asked(ips, zone)) == ips[:500]
    assert zone.asked.total() == 500


def test_addresses_come_busiest_first() -> None:
    assert addresses([BAD, GOOD, BAD._replace(source_ip="192.0.2.1")]) == ["192.0.2.1", "203.0.113.9"]


def test_every_day_is_there() -> None:
    days = [Day("a.test", 100, 5, 4), Day("b.test", 100, 1, 1), Day("a.test", 102, 2, 0), Day("a.test", 90, 9, 9)]
    assert trend(days, 99, 102) == [(0, 0), (6, 5), (0, 0), (2, 0)]
