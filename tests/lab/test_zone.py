"""The lab's names: what they answer, on paper and through a real resolver over UDP and TCP."""

import asyncio

import dns.asyncquery
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.lab.nameserver import NameServer, serve_names
from posthouse.lab.zone import Fault, Names, Records, Zone, ZoneError

RECORDS: Records = {
    "posthouse.test": {"MX": ["10 mx.posthouse.test", "20 backup.far.test."], "TXT": "v=spf1 mx -all"},
    "mx.posthouse.test": {"A": "127.0.0.1", "AAAA": "::1"},
    "www.posthouse.test": {"CNAME": "mx.posthouse.test"},
    "away.posthouse.test": {"CNAME": "nowhere.far.test"},
    "*.wild.posthouse.test": {"A": "127.0.0.9"},
    "real.wild.posthouse.test": {"TXT": "here"},
    "a.b.posthouse.test": {"A": "127.0.0.3"},
}


@pytest.fixture
def names() -> Names:
    found = Names()
    found.add_zone("posthouse.test", RECORDS)
    found.add_zone("far.test", {"far.test": {"A": "127.0.0.2"}})
    return found


def ask(names: Names, name: str, rdtype: str, *, datagram: bool = False, **options: int) -> dns.message.Message:
    query = dns.message.make_query(name, rdtype, **options)  # type: ignore[arg-type]
    octets = names.answer(query.to_wire(), datagram=datagram)
    assert octets is not None
    response = dns.message.from_wire(octets)
    assert query.is_response(response)
    return response


def data(response: dns.message.Message) -> list[str]:
    return [record.to_text() for rrset in response.answer for record in rrset]


def test_records_come_with_authority_and_absolute_names(names: Names) -> None:
    response = ask(names, "posthouse.test", "MX")
    assert response.flags & dns.flags.AA
    assert sorted(data(response)) == ["10 mx.posthouse.test.", "20 backup.far.test."]


def test_names_are_found_in_any_case(names: Names) -> None:
    assert data(ask(names, "MX.PostHouse.Test", "A")) == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("name", "rdtype", "rcode"),
    [
        ("mx.posthouse.test", "MX", dns.rcode.NOERROR),
        ("nobody.posthouse.test", "A", dns.rcode.NXDOMAIN),
        ("b.posthouse.test", "A", dns.rcode.NOERROR),
        ("real.wild.posthouse.test", "A", dns.rcode.NOERROR),
        ("x.real.wild.posthouse.test", "A", dns.rcode.NXDOMAIN),
        ("away.posthouse.test", "A", dns.rcode.NXDOMAIN),
    ],
)
def test_nothing_found_comes_with_the_soa(names: Names, name: str, rdtype: str, rcode: dns.rcode.Rcode) -> None:
    response = ask(names, name, rdtype)
    assert response.rcode() == rcode
    assert [rrset.rdtype.name for rrset in response.authority] == ["SOA"]
    assert response.authority[0].ttl == 60


def test_an_alias_is_followed_across_our_zones(names: Names) -> None:
    assert data(ask(names, "www.posthouse.test", "AAAA")) == ["mx.posthouse.test.", "::1"]
    assert data(ask(names, "www.posthouse.test", "CNAME")) == ["mx.posthouse.test."]


def test_an_alias_that_bites_its_tail_ends(names: Names) -> None:
    zone = names.add_zone("loop.test")
    zone.add("a.loop.test", "CNAME", "b.loop.test")
    zone.add("b.loop.test", "CNAME", "a.loop.test")
    assert 2 <= len(data(ask(names, "a.loop.test", "A"))) <= 8


def test_a_wildcard_answers_for_what_is_not_there(names: Names) -> None:
    response = ask(names, "any.wild.posthouse.test", "A")
    assert data(response) == ["127.0.0.9"]
    assert response.answer[0].name.to_text() == "any.wild.posthouse.test."


def test_outside_all_zones_is_refused_unless_the_root_is_ours(names: Names) -> None:
    assert ask(names, "example.org", "A").rcode() == dns.rcode.REFUSED
    names.add_zone(".")
    assert ask(names, "example.org", "A").rcode() == dns.rcode.NXDOMAIN
    assert data(ask(names, "far.test", "A")) == ["127.0.0.2"]


def test_a_long_text_is_cut_into_strings_and_whole_again(names: Names) -> None:
    text = 'say "hello" \\ ' + "x" * 600
    names.add_zone("long.test", {"long.test": {"TXT": text}})
    (record,) = ask(names, "long.test", "TXT").answer[0]
    assert b"".join(record.strings).decode() == text
    assert max(map(len, record.strings)) == 255


def test_what_a_datagram_cannot_hold_is_asked_again_over_a_stream(names: Names) -> None:
    names.add_zone("long.test", {"long.test": {"TXT": ["x" * 900]}})
    plain = ask(names, "long.test", "TXT", datagram=True)
    assert plain.flags & dns.flags.TC
    assert not plain.answer
    assert data(ask(names, "long.test", "TXT", datagram=True, use_edns=0, payload=1232))
    assert data(ask(names, "long.test", "TXT", datagram=False))


def test_a_datagram_stays_below_what_passes_unfragmented(names: Names) -> None:
    names.add_zone("long.test", {"long.test": {"TXT": ["x" * 2000]}})
    assert ask(names, "long.test", "TXT", datagram=True, use_edns=0, payload=4096).flags & dns.flags.TC


def test_a_master_file_is_read_as_it_stands() -> None:
    names = Names()
    names.add_zone(Zone.parse("$TTL 60\n@ IN SOA ns hm 7 1 1 1 30\n@ MX 5 mail\nmail A 127.0.0.4\n", "file.test"))
    assert data(ask(names, "file.test", "MX")) == ["5 mail.file.test."]
    assert ask(names, "none.file.test", "A").authority[0].ttl == 30


def test_a_zone_written_out_is_the_same_zone(names: Names) -> None:
    zone = Zone("posthouse.test", RECORDS)
    assert Zone.parse(zone.text(), "posthouse.test").text() == zone.text()


@pytest.mark.parametrize(
    ("name", "rdtype", "text"),
    [
        ("posthouse.test", "MX", "mx"),
        ("far.test", "A", "127.0.0.1"),
        ("x.posthouse.test", "A", "not an address"),
        ("x.posthouse.test", "NOTHING", "1"),
        ("a..posthouse.test", "A", "127.0.0.1"),
    ],
)
def test_a_wrong_record_is_an_error_in_words(name: str, rdtype: str, text: str) -> None:
    with pytest.raises(ZoneError):
        Zone("posthouse.test").add(name, rdtype, text)


def test_a_wrong_master_file_is_an_error_in_words() -> None:
    with pytest.raises(ZoneError, match=r"bad\.test"):
        Zone.parse("@ IN MX", "bad.test")


def test_removed_records_are_gone_but_the_soa_stays(names: Names) -> None:
    zone = names.add_zone("posthouse.test", RECORDS)
    zone.remove("posthouse.test", "MX")
    assert not data(ask(names, "posthouse.test", "MX"))
    assert data(ask(names, "posthouse.test", "TXT"))
    zone.remove("posthouse.test")
    assert not data(ask(names, "posthouse.test", "TXT"))
    zone.remove("mx.posthouse.test")
    assert ask(names, "mx.posthouse.test", "A").rcode() == dns.rcode.NXDOMAIN


def test_faults_come_on_demand_and_go_again(names: Names) -> None:
    query = dns.message.make_query("far.test", "MX").to_wire()
    names.fault("far.test", Fault.TIMEOUT, "MX")
    assert names.answer(query, datagram=True) is None
    assert data(ask(names, "far.test", "A"))
    names.fault("far.test", None, "MX")
    for fault, rcode in ((Fault.SERVFAIL, dns.rcode.SERVFAIL), (Fault.REFUSED, dns.rcode.REFUSED)):
        names.fault("far.test", fault)
        assert ask(names, "far.test", "A").rcode() == rcode
    names.fault("far.test", Fault.TRUNCATED)
    assert ask(names, "far.test", "A", datagram=True).flags & dns.flags.TC
    assert data(ask(names, "far.test", "A", datagram=False)) == ["127.0.0.2"]
    assert list(names.asked)[-1] == "A far.test"


def test_what_is_no_question_gets_no_answer_or_an_error(names: Names) -> None:
    query = dns.message.make_query("far.test", "A")
    assert names.answer(b"", datagram=True) is None
    assert names.answer(dns.message.make_response(query).to_wire(), datagram=True) is None
    query.question.clear()
    assert dns.message.from_wire(names.answer(query.to_wire(), datagram=True) or b"").rcode() == dns.rcode.FORMERR
    query = dns.message.make_query("far.test", "A")
    query.set_opcode(dns.opcode.STATUS)
    assert dns.message.from_wire(names.answer(query.to_wire(), datagram=True) or b"").rcode() == dns.rcode.NOTIMP


@given(st.binary(max_size=80))
def test_no_octets_break_it(octets: bytes) -> None:
    names = Names()
    names.add_zone(".")
    answer = names.answer(octets, datagram=True)
    assert answer is None or len(answer) >= 12


def resolver(server: NameServer) -> dns.asyncresolver.Resolver:
    found = dns.asyncresolver.Resolver(configure=False)
    found.nameservers = [server.host]
    found.port = server.port
    found.lifetime = 0.5
    return found


def test_a_real_resolver_is_served(names: Names) -> None:
    names.add_zone("long.test", {"long.test": {"TXT": "x" * 3000}})
    names.fault("silent.far.test", Fault.TIMEOUT)

    async def scene() -> None:
        server = await serve_names(names)
        try:
            asker = resolver(server)
            found = await asker.resolve("posthouse.test", "MX")
            assert sorted(record.preference for record in found) == [10, 20]
            (text,) = await asker.resolve("long.test", "TXT")
            assert len(b"".join(text.strings)) == 3000
            with pytest.raises(dns.resolver.NXDOMAIN):
                await asker.resolve("none.far.test", "A")
            with pytest.raises(dns.exception.Timeout):
                await asker.resolve("silent.far.test", "A")
        finally:
            await server.stop()

    asyncio.run(scene())


def test_one_stream_carries_many_questions_and_stop_ends_it(names: Names) -> None:
    async def scene() -> None:
        server = await serve_names(names)
        reader, writer = await asyncio.open_connection(server.host, server.port)
        for name in ("far.test", "mx.posthouse.test"):
            query = dns.message.make_query(name, "A").to_wire()
            writer.write(len(query).to_bytes(2, "big") + query)
            length = int.from_bytes(await reader.readexactly(2), "big")
            assert data(dns.message.from_wire(await reader.readexactly(length)))
        await server.stop()
        assert await reader.read() == b""
        writer.close()
        with pytest.raises(OSError, match=r".+"):
            await asyncio.open_connection(server.host, server.port)

    asyncio.run(scene())
