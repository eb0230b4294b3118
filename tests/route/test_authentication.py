"""What is asked about a message, in which order, and for whom nothing is asked."""

import asyncio
from ipaddress import ip_network
from pathlib import Path

import pytest

from posthouse.checks.dkim import SigningKey, body_digests, sign
from posthouse.checks.dnsbl import DnsList
from posthouse.mail.dns import Answer
from posthouse.mail.instant import MINUTE, SECOND
from posthouse.mail.message import Message
from posthouse.route.authentication import CHECK_SECONDS, LIST_SECONDS, Authentication, CheckSettings, OurDomains
from posthouse.route.case import Case
from posthouse.store.database import Fault, StoreFault
from route.asked import ZoneResolver, case, examine
from route.office import BEGIN, LETTER, Office, in_office

KEY = SigningKey.generate("far.test", "s1", "ed25519-sha256")
ZONE = {
    "far.test": {"TXT": "v=spf1 ip4:192.0.2.7 -all"},
    "_dmarc.far.test": {"TXT": "v=DMARC1; p=reject"},
    KEY.dns_name: {"TXT": KEY.dns_record()},
    "7.2.0.192.in-addr.arpa": {"PTR": "mx.far.test"},
    "mx.far.test": {"A": "192.0.2.7", "TXT": "v=spf1 a -all"},
}
LISTS = (DnsList("bl.test", "address", 4), DnsList("dbl.test", "domain", 4))


def test_every_check_is_asked_and_all_agree() -> None:
    octets = sign(LETTER, [KEY], BEGIN) + LETTER
    found = examine(case(octets), ZONE)
    assert [(verdict.method, verdict.result) for verdict in found.verdicts] == [
        ("iprev", "pass"), ("spf", "pass"), ("dkim", "pass"), ("dmarc", "pass"),
    ]  # fmt: skip
    assert [(result.method, result.result) for result in found.results] == [
        ("iprev", "pass"), ("spf", "pass"), ("dkim", "pass"), ("dmarc", "pass"),
    ]  # fmt: skip
    assert str(found.author) == "carol@far.test"
    assert found.arc is None


def test_the_first_question_of_each_check_is_asked_before_any_is_answered() -> None:
    resolver = ZoneResolver(ZONE)
    asked: list[str] = []
    plain = resolver.find

    def find(name: str, kind: str) -> Answer[object]:
        if not asked:
            assert set(resolver.expected) == {
                ("PTR", "192.0.2.7"), ("TXT", "far.test"), ("TXT", "_dmarc.far.test"), ("TXT", KEY.dns_name),
                ("A", "7.2.0.192.bl.test"), ("A", "far.test.dbl.test"),
            }  # fmt: skip
        asked.append(f"{kind} {name}")
        return plain(name, kind)

    resolver.find = find  # type: ignore[assignment]
    octets = sign(LETTER, [KEY], BEGIN) + LETTER
    examine(case(octets), resolver, lists=LISTS)
    announced = {f"{kind} {name}" for kind, name in resolver.expected if kind != "PTR"}
    # Nothing is announced that is not asked for.
    assert announced <= set(asked)


def test_each_check_has_a_limit_of_time_of_its_own() -> None:
    resolver = ZoneResolver(ZONE)
    examine(case(LETTER), resolver, lists=LISTS)
    assert resolver.limits == [CHECK_SECONDS] * 4 + [LIST_SECONDS]


@pytest.mark.parametrize("helo", ["[192.0.2.7]", "localhost", "a b", "", 'x"y.test', "mx..test"])
def test_what_is_no_name_is_not_asked_for(helo: str) -> None:
    resolver = ZoneResolver(ZONE)
    octets = LETTER.replace(b"carol@far.test", b"carol@[192.0.2.9]")
    found = examine(case(octets, mail_from=None, helo=helo), resolver, lists=LISTS)
    assert set(resolver.expected) == {("PTR", "192.0.2.7"), ("A", "7.2.0.192.bl.test")}
    assert found.spf is not None
    assert found.spf.scope == "helo"
    assert found.dmarc is not None
    assert found.dmarc.result == "none"


def test_signatures_that_make_no_sense_are_not_announced_and_many_only_in_part() -> None:
    resolver = ZoneResolver(ZONE)
    fields = b"".join(b"DKIM-Signature: v=1; d=d%d.test; s=s\r\n" % number for number in range(30))
    nonsense = b"DKIM-Signature: d=;;;s=\r\nDKIM-Signature: \xff\xff\r\nDKIM-Signature: s=x\r\n"
    found = examine(case(nonsense + fields + LETTER), resolver)
    keys = [name for _, name in resolver.expected if "_domainkey" in name]
    assert keys == [f"s._domainkey.d{number}.test" for number in range(7)]
    assert len(found.signatures) == 10


def test_keys_are_announced_however_their_names_are_written() -> None:
    """Those that are not would be asked for one after another, and the last might not have its turn in time."""
    resolver = ZoneResolver(ZONE)
    rest = "v=1; a=rsa-sha256; c=relaxed/relaxed; h=from; bh=AAAA; b=AAAA"
    examine(case(f"DKIM-Signature: {rest}; d=far.test; s=schl\u00fcssel\r\n".encode() + LETTER), resolver)
    assert ("TXT", "xn--schlssel-95a._domainkey.far.test") in resolver.expected


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1", "198.51.100.25"])
def test_nothing_is_asked_about_our_own_networks(ip: str) -> None:
    resolver = ZoneResolver(ZONE)
    networks = tuple(ip_network(network) for network in ("127.0.0.0/8", "::1/128", "198.51.100.0/24"))
    settings = CheckSettings("mx.posthouse.test", networks)
    found = asyncio.run(Authentication(resolver, settings).examine(case(LETTER, ip)))
    assert (resolver.expected, resolver.limits) == ([], [])
    assert ip in found.waived
    assert found.verdicts == ()


def test_a_large_body_needs_its_hashes_only() -> None:
    octets = sign(LETTER, [KEY], BEGIN) + LETTER
    whole = case(octets)
    header = Message(octets[: whole.message.header.end], whole.message.header)
    cut = Case(whole.peer, whole.envelope, whole.content, whole.reading, header, body_digests(whole.message), BEGIN)
    assert examine(cut, ZONE).signatures[0].result == "pass"


def test_a_domain_of_ours_is_known_as_such() -> None:
    assert examine(case(LETTER), ZONE, ours=("far.test",)).ours
    assert not examine(case(LETTER), ZONE, ours=("posthouse.test",)).ours


def test_our_domains_are_asked_for_once_in_a_while(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        known = OurDomains(office.db)
        now = office.clock.now
        assert await known.have("posthouse.test", now)
        assert not await known.have("far.test", now)
        await office.add("carol@far.test")
        # Not asked again at once, but soon.
        assert not await known.have("far.test", now + SECOND)
        assert await known.have("far.test", now + MINUTE)

        async def broken(*_: object, **__: object) -> None:
            raise StoreFault(Fault.BUSY, "closed")

        office.db.read = broken  # type: ignore[method-assign,assignment]
        assert not await known.have("other.test", now)

    in_office(tmp_path, work)
