"""Names, asked of servers that answer well, badly, falsely, or not at all."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rrset
import pytest

from posthouse.checks import spf
from posthouse.mail.dns import Answer, DnsFault, Mx, Tlsa
from posthouse.serve import resolver as resolver_module
from posthouse.serve import upstream as upstream_module
from posthouse.serve.resolver import Cache, Resolver
from posthouse.serve.upstream import system_servers
from serve.loops import on_both_loops, run

Query = dns.message.Message
# What a script gives back: octets to send (several for several datagrams), or nothing.
Script = Callable[[Query, bool], "list[bytes]"]


def reply(query: Query, *records: str, rcode: dns.rcode.Rcode = dns.rcode.NOERROR, soa: int | None = None) -> Any:
    """An authoritative answer; `records` as in a zone file, `name ttl type data`."""
    message = dns.message.make_response(query)
    message.flags |= dns.flags.AA
    message.set_rcode(rcode)
    for record in records:
        name, ttl, kind, data = record.split(None, 3)
        found = message.find_rrset(
            message.answer, dns.name.from_text(name), 1, dns.rdatatype.from_text(kind), create=True  # type: ignore[arg-type]
        )
        found.update(dns.rrset.from_text(name, int(ttl), "IN", kind, data))
        found.update_ttl(int(ttl))
    if soa is not None:
        message.authority.append(
            dns.rrset.from_text("test.", soa, "IN", "SOA", f"ns.test. admin.test. 1 3600 600 86400 {soa}")
        )
    return message


class Server:
    """A DNS server on loopback that does what its script says; counts what it is asked."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: Counter[tuple[str, str, bool]] = Counter()
        self.queries: list[Query] = []
        self.place = ("", 0)

    async def __aenter__(self) -> "Server":
        loop = asyncio.get_running_loop()
        self._tcp = await asyncio.start_server(self._converse, "127.0.0.1", 0)
        self.place = self._tcp.sockets[0].getsockname()[:2]
        server = self

        class Datagrams(asyncio.DatagramProtocol):
            def connection_made(self, transport: Any) -> None:
                self.transport = transport

            def datagram_received(self, data: bytes, addr: Any) -> None:
                for octets in server.answer(data, datagram=True):
                    self.transport.sendto(octets, addr)

        self._udp, _ = await loop.create_datagram_endpoint(Datagrams, local_addr=self.place)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._udp.close()
        self._tcp.close()

    def answer(self, data: bytes, datagram: bool) -> list[bytes]:
        query = dns.message.from_wire(data)
        question = query.question[0]
        self.asked[question.name.to_text(True).lower(), dns.rdatatype.to_text(question.rdtype), datagram] += 1
        self.queries.append(query)
        return self.script(query, datagram)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(2), "big")
        for octets in self.answer(await reader.readexactly(length), datagram=False):
            writer.write(len(octets).to_bytes(2, "big") + octets)
        writer.close()


def zone(*records: str, soa: int = 60) -> Script:
    """A script that answers from records, NXDOMAIN for names it does not have."""

    def script(query: Query, datagram: bool) -> list[bytes]:
        question = query.question[0]
        name = question.name.to_text().lower()
        there = [record for record in records if record.split()[0] == name]
        found = [record for record in there if record.split()[2] in (dns.rdatatype.to_text(question.rdtype), "CNAME")]
        if found:
            return [reply(query, *found).to_wire()]
        missing = dns.rcode.NOERROR if there else dns.rcode.NXDOMAIN
        return [reply(query, rcode=missing, soa=soa).to_wire()]

    return script


def asking(
    script: Script, test: Callable[[Resolver, Server], Awaitable[None]], loop: str = "asyncio", **options: Any
) -> None:
    """Run a test with a resolver that asks a scripted server."""

    async def main() -> None:
        async with Server(script) as server:
            resolver = Resolver([server.place], **{"timeout": 2.0, **options})
            await test(resolver, server)
            await resolver.close()

    run(main(), loop)


@on_both_loops
def test_every_kind_of_record(loop: str) -> None:
    async def test(dns_port: Resolver, server: Server) -> None:
        assert sorted((await dns_port.a("MX.test.")).records) == ["192.0.2.1", "192.0.2.2"]
        assert (await dns_port.aaaa("mx.test")).records == ("2001:db8::1",)
        mx = await dns_port.mx("a.test")
        assert sorted(mx.records, key=lambda each: each.preference) == [Mx(0, "upper.test"), Mx(10, "mx.test")]
        assert (mx.exists, mx.secure, mx.ttl) == (True, False, 300)
        assert (await dns_port.mx("null.test")).records == (Mx(0, ""),)
        assert sorted((await dns_port.txt("a.test")).records) == [b"one two", b"\xff"]
        assert (await dns_port.ptr("192.0.2.1")).records == ("mx.test",)
        assert (await dns_port.ptr("2001:db8::1")).exists is False
        assert (await dns_port.tlsa("_25._tcp.mx.test")).records == (Tlsa(3, 1, 1, bytes.fromhex("00" * 32)),)

    script = zone(
        "mx.test. 300 A 192.0.2.1", "mx.test. 300 A 192.0.2.2", "mx.test. 300 AAAA 2001:db8::1",
        "a.test. 300 MX 10 mx.test.", "a.test. 300 MX 0 UPPER.test.", "null.test. 300 MX 0 .",
        'a.test. 300 TXT "one " "two"', 'a.test. 300 TXT "\\255"',
        "1.2.0.192.in-addr.arpa. 300 PTR MX.test.", f"_25._tcp.mx.test. 300 TLSA 3 1 1 {'00' * 32}",
    )
    asking(script, test, loop)


def test_nothing_there_and_no_such_name_are_told_apart() -> None:
    async def test(dns_port: Resolver, server: Server) -> None:
        assert await dns_port.aaaa("mx.test") == Answer((), exists=True, ttl=60)
        assert await dns_port.a("gone.test") == Answer((), exists=False, ttl=60)

    asking(zone("mx.test. 300 A 192.0.2.1"), test)


@pytest.mark.parametrize("name", ["", ".", "a..b", ".a", "a" * 64 + ".test", "a." * 128 + "test", "ü.test"])
def test_a_name_that_cannot_be_is_not_asked_for(name: str) -> None:
    async def test(dns_port: Resolver, server: Server) -> None:
        assert await dns_port.a(name) == Answer((), exists=False)
        assert not server.queries

    asking(zone(), test)


def test_answers_are_remembered_for_their_time_and_no_longer() -> None:
    now = [0.0]

    async def test(dns_port: Resolver, server: Server) -> None:
        for at, asked in ((0.0, 1), (299.0, 1), (300.0, 2), (301.0, 2)):
            now[0] = at
            assert (await dns_port.a("mx.test")).records == ("192.0.2.1",)
            assert server.asked["mx.test", "A", True] == asked
        for at, asked in ((400.0, 1), (459.0, 1), (460.0, 2)):
            now[0] = at
            assert not (await dns_port.a("gone.test")).exists
            assert server.asked["gone.test", "A", True] == asked

    asking(zone("mx.test. 300 A 192.0.2.1"), test, clock=lambda: now[0])


def test_times_to_live_are_capped_and_zero_is_not_kept() -> None:
    async def test(dns_port: Resolver, server: Server) -> None:
        assert (await dns_port.a("long.test")).ttl == resolver_module.TTL_MOST
        assert (await dns_port.a("gone.test")).ttl == resolver_module.NEGATIVE_TTL_MOST
        for _ in range(2):
            await dns_port.a("short.test")
        assert server.asked["short.test", "A", True] == 2

    asking(zone("long.test. 2147483647 A 192.0.2.1", "short.test. 0 A 192.0.2.1", soa=1_000_000), test)


def test_the_cache_is_bounded_in_entries_and_octets() -> None:
    cache = Cache(entries=10, octets=20_000)
    for number in range(100):
        cache.put((str(number), 1), Answer((), ttl=60), 0, 0.0)
    assert len(cache) == 10
    assert cache.get(("99", 1), 0.0) is not None
    for number in range(10):
        cache.put((f"big{number}", 1), Answer((), ttl=60), 9_000, 0.0)
    assert len(cache) == 2
    cache.put(("huge", 1), Answer((), ttl=60), 30_000, 0.0)
    assert len(cache) == 0
    cache.put(("many", 1), Answer(("192.0.2.1",) * 200, ttl=60), 3_000, 0.0)
    assert len(cache) == 0
    cache.put(("a", 1), Answer((), ttl=60), 100, 0.0)
    cache.put(("a", 1), Answer((), ttl=60), 100, 0.0)
    assert len(cache) == 1
    assert cache.get(("a", 1), 60.0) is None
    assert len(cache) == 0


def test_one_question_that_many_ask_at_once_goes_out_once() -> None:
    async def test(dns_port: Resolver, server: Server) -> None:
        answers = await asyncio.gather(*(dns_port.mx("a.test") for _ in range(100)))
        assert {answer.records for answer in answers} == {(Mx(10, "mx.test"),)}
        assert sum(server.asked.values()) == 1

    asking(zone("a.test. 300 MX 10 mx.test."), test)


def test_who_gives_up_does_not_take_the_answer_from_others() -> None:
    async def test(dns_port: Resolver, server: Server) -> None:
        impatient = asyncio.ensure_future(dns_port.mx("a.test"))
        patient = asyncio.ensure_future(dns_port.mx("a.test"))
        await asyncio.sleep(0)
        impatient.cancel()
        assert (await patient).records == (Mx(10, "mx.test"),)
        with pytest.raises(asyncio.CancelledError):
            await impatient

    asking(zone("a.test. 300 MX 10 mx.test."), test)


@on_both_loops
def test_false_answers_are_passed_over_and_the_true_one_is_waited_for(loop: str) -> None:
    def script(query: Query, datagram: bool) -> list[bytes]:
        lie = reply(query, "mx.test. 300 A 203.0.113.66").to_wire()
        wrong_id = (int.from_bytes(lie[:2], "big") ^ 1).to_bytes(2, "big") + lie[2:]
        other = reply(dns.message.make_query("other.test", "A", id=query.id), "other.test. 300 A 203.0.113.66")
        kind = reply(dns.message.make_query("mx.test", "AAAA", id=query.id), "mx.test. 300 AAAA 2001:db8::66")
        question = dns.message.make_query("mx.test", "A", id=query.id).to_wire()  # no response at all
        no_question = reply(query, "mx.test. 300 A 203.0.113.66")
        no_question.question.clear()
        good = reply(query, "mx.test. 300 A 192.0.2.1").to_wire()
        lies = [b"", b"x", lie[:11], lie[:20], wrong_id, other.to_wire(), kind.to_wire(), question,
                no_question.to_wire(), query.id.to_bytes(2, "big") + b"\x80\x00" + b"\xff" * 100]
        return [*lies, good]

    async def test(dns_port: Resolver, server: Server) -> None:
        assert (await dns_port.a("mx.test")).records == ("192.0.2.1",)
        assert len(server.queries) == 1

    asking(script, test, loop)


def test_ids_and_ports_cannot_be_foreseen() -> None:
    ports: set[int] = set()

    async def main() -> None:
        async with Server(zone()) as server:
            original = server.answer

            class Watching(asyncio.DatagramProtocol):
                def connection_made(self, transport: Any) -> None:
                    self.transport = transport

                def datagram_received(self, data: bytes, addr: Any) -> None:
                    ports.add(addr[1])
                    for octets in original(data, True):
                        self.transport.sendto(octets, addr)

            endpoint, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                Watching, local_addr=("127.0.0.1", 0)
            )
            resolver = Resolver([endpoint.get_extra_info("sockname")[:2]])
            for number in range(40):
                await resolver.a(f"n{number}.test")
            assert len({query.id for query in server.queries}) > 30
            assert len(ports) > 10
            endpoint.close()
            await resolver.close()

    run(main())


@on_both_loops
def test_an_answer_that_was_cut_is_asked_for_over_tcp(loop: str) -> None:
    records = [f"big.test. 300 TXT {'x' * 250}{number:03d}" for number in range(200)]

    def script(query: Query, datagram: bool) -> list[bytes]:
        message = reply(query, *records)
        if not datagram:
            return [message.to_wire(max_size=65535)]
        message.answer.clear()
        message.flags |= dns.flags.TC
        return [message.to_wire()[:15]]  # cut in the middle of the question, as some do

    async def test(dns_port: Resolver, server: Server) -> None:
        answer = await dns_port.txt("big.test")
        assert len(answer.records) == 200
        assert server.asked == {("big.test", "TXT", True): 1, ("big.test", "TXT", False): 1}

    asking(script, test, loop)


@pytest.mark.parametrize("what", ["rubbish", "nothing", "other"])
def test_a_broken_answer_over_tcp_is_a_fault(what: str) -> None:
    def script(query: Query, datagram: bool) -> list[bytes]:
        if datagram:
            message = reply(query)
            message.flags |= dns.flags.TC
            return [message.to_wire()]
        if what == "nothing":
            return []
        if what == "rubbish":
            return [b"\xff" * 500]
        return [reply(dns.message.make_query("other.test", "A", id=query.id)).to_wire()]

    async def test(dns_port: Resolver, server: Server) -> None:
        with pytest.raises(DnsFault):
            await dns_port.a("mx.test")

    asking(script, test)


def test_thousands_of_addresses_hold_nobody_up() -> None:
    """The largest answer there can be is read in a thread; meanwhile others are answered."""

    def script(query: Query, datagram: bool) -> list[bytes]:
        question = query.question[0].name.to_text()
        if question == "mx.test.":
            return [reply(query, "mx.test. 300 A 192.0.2.1").to_wire()]
        message = reply(query)
        if datagram:
            message.flags |= dns.flags.TC
            return [message.to_wire()]
        addresses = [f"127.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}" for n in range(4_000)]
        message.answer.append(dns.rrset.from_text_list("huge.test.", 300, "IN", "A", addresses))
        return [message.to_wire(max_size=65535)]

    async def test(dns_port: Resolver, server: Server) -> None:
        huge, small = await asyncio.gather(dns_port.a("huge.test"), dns_port.a("mx.test"))
        assert len(huge.records) == 4_000
        assert small.records == ("192.0.2.1",)

    asking(script, test)


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NOTAUTH])
def test_a_server_that_fails_is_a_fault_and_no_missing_name(rcode: dns.rcode.Rcode) -> None:
    async def test(dns_port: Resolver, server: Server) -> None:
        with pytest.raises(DnsFault, match=rcode.name):
            await dns_port.mx("a.test")
        assert len(server.queries) == 1

    asking(lambda query, _: [reply(query, rcode=rcode).to_wire()], test)


def test_a_lame_server_is_a_fault() -> None:
    def script(query: Query, datagram: bool) -> list[bytes]:
        message = reply(query)
        message.flags &= ~(dns.flags.AA | dns.flags.RA)
        message.authority.append(dns.rrset.from_text("test.", 300, "IN", "NS", "ns.elsewhere.test."))
        return [message.to_wire()]

    async def test(dns_port: Resolver, server: Server) -> None:
        with pytest.raises(DnsFault, match="asks nobody else"):
            await dns_port.a("mx.test")

    asking(script, test)


def test_silence_is_a_fault_after_the_time_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_module, "TRY_SECONDS", (0.05, 0.05, 10.0))

    async def test(dns_port: Resolver, server: Server) -> None:
        with pytest.raises(DnsFault, match=r"no answer about a\.test within 0\.3 seconds"):
            await dns_port.mx("a.test")
        assert len(server.queries) == 3

    asking(lambda query, _: [], test, timeout=0.3)


@on_both_loops
def test_another_server_is_asked_where_one_is_silent_or_gone(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_module, "TRY_SECONDS", (0.05, 10.0))

    async def main() -> None:
        async with Server(lambda query, _: []) as silent, Server(zone("mx.test. 300 A 192.0.2.1")) as good:
            async with Server(zone()) as gone:
                pass
            resolver = Resolver([gone.place, silent.place, good.place])
            assert (await resolver.a("mx.test")).records == ("192.0.2.1",)
            asked = len(silent.queries)
            # From now on the good one is asked first.
            assert not (await resolver.a("other.test")).exists
            assert len(silent.queries) == asked
            await resolver.close()

    run(main(), loop)


def test_a_server_that_knows_no_edns_is_asked_without() -> None:
    def script(query: Query, datagram: bool) -> list[bytes]:
        if query.edns >= 0:
            return [reply(query, rcode=dns.rcode.FORMERR).to_wire()]
        return [reply(query, "mx.test. 300 A 192.0.2.1").to_wire()]

    async def test(dns_port: Resolver, server: Server) -> None:
        assert (await dns_port.a("mx.test")).records == ("192.0.2.1",)
        assert [query.edns for query in server.queries] == [0, -1]

    asking(script, test)


def test_aliases_are_followed_within_and_beyond_an_answer() -> None:
    def script(query: Query, datagram: bool) -> list[bytes]:
        name = query.question[0].name.to_text()
        if name == "www.test.":
            return [reply(query, "www.test. 100 CNAME b.test.", "b.test. 50 CNAME far.elsewhere.").to_wire()]
        if name == "far.elsewhere.":
            return [reply(query, "far.elsewhere. 300 A 192.0.2.7").to_wire()]
        return [reply(query, "dead.test. 100 CNAME gone.test.", rcode=dns.rcode.NXDOMAIN, soa=60).to_wire()]

    async def test(dns_port: Resolver, server: Server) -> None:
        assert await dns_port.a("www.test") == Answer(("192.0.2.7",), ttl=50)
        assert await dns_port.a("dead.test") == Answer((), exists=False, ttl=60)

    asking(script, test)


@pytest.mark.parametrize("inside", [True, False])
def test_a_circle_of_aliases_is_a_fault(inside: bool) -> None:
    def script(query: Query, datagram: bool) -> list[bytes]:
        records = ["a.test. 300 CNAME b.test.", "b.test. 300 CNAME a.test."]
        name = query.question[0].name.to_text()
        return [reply(query, *(records if inside else [r for r in records if r.startswith(name)])).to_wire()]

    async def test(dns_port: Resolver, server: Server) -> None:
        with pytest.raises(DnsFault, match="more than 8 aliases"):
            await dns_port.a("a.test")
        assert len(server.queries) <= 9

    asking(script, test)


def test_an_endless_chain_of_aliases_is_a_fault() -> None:
    def script(query: Query, datagram: bool) -> list[bytes]:
        name = query.question[0].name.to_text()
        return [reply(query, f"{name} 300 CNAME x{name}").to_wire()]

    async def test(dns_port: Resolver, server: Server) -> None:
        with pytest.raises(DnsFault, match="aliases"):
            await dns_port.a("a.test")
        assert len(server.queries) <= 9

    asking(script, test)


def test_records_that_were_not_asked_for_are_not_believed() -> None:
    def script(query: Query, datagram: bool) -> list[bytes]:
        message = reply(query, "mx.test. 300 A 192.0.2.1", "bank.test. 300 A 203.0.113.66")
        message.additional.append(dns.rrset.from_text("bank.test.", 300, "IN", "A", "203.0.113.66"))
        if query.question[0].name.to_text() == "bank.test.":
            return [reply(query, "bank.test. 300 A 192.0.2.9").to_wire()]
        return [message.to_wire()]

    async def test(dns_port: Resolver, server: Server) -> None:
        assert (await dns_port.a("mx.test")).records == ("192.0.2.1",)
        assert (await dns_port.a("bank.test")).records == ("192.0.2.9",)

    asking(script, test)


@pytest.mark.parametrize(("trust", "flag", "secure"), [(True, True, True), (True, False, False), (False, True, False)])
def test_security_is_believed_only_where_the_resolver_is_trusted(trust: bool, flag: bool, secure: bool) -> None:
    def script(query: Query, datagram: bool) -> list[bytes]:
        message = reply(query, "mx.test. 300 A 192.0.2.1")
        message.flags |= dns.flags.AD if flag else 0
        return [message.to_wire()]

    async def test(dns_port: Resolver, server: Server) -> None:
        assert (await dns_port.a("mx.test")).secure is secure
        assert bool(server.queries[0].flags & dns.flags.AD) is trust

    asking(script, test, trust_ad=trust)


def test_one_unsigned_link_makes_the_chain_insecure() -> None:
    def script(query: Query, datagram: bool) -> list[bytes]:
        if query.question[0].name.to_text() == "a.test.":
            message = reply(query, "a.test. 300 CNAME b.test.")
        else:
            message = reply(query, "b.test. 300 A 192.0.2.1")
            message.flags |= dns.flags.AD
        return [message.to_wire()]

    async def test(dns_port: Resolver, server: Server) -> None:
        assert (await dns_port.a("a.test")).secure is False

    asking(script, test, trust_ad=True)


@pytest.mark.parametrize(
    ("host", "near"),
    [("127.0.0.1", True), ("127.0.0.53", True), ("::1", True), ("192.0.2.1", False), ("2001:db8::1", False),
     ("fe80::1%eth0", False)],
)
def test_only_a_resolver_on_this_machine_is_believed(host: str, near: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert upstream_module._is_near(host) is near
    monkeypatch.setattr(upstream_module, "_is_near", lambda _: near)

    def script(query: Query, datagram: bool) -> list[bytes]:
        message = reply(query, "mx.test. 300 A 192.0.2.1")
        message.flags |= dns.flags.AD
        return [message.to_wire()]

    async def test(dns_port: Resolver, server: Server) -> None:
        assert (await dns_port.a("mx.test")).secure is near
        assert bool(server.queries[0].flags & dns.flags.AD) is near

    asking(script, test, trust_ad=True)


@on_both_loops
def test_who_has_little_time_gets_a_fault_when_it_is_over(loop: str) -> None:
    async def test(dns_port: Resolver, server: Server) -> None:
        hurried = dns_port.within(0.05)
        for ask in (hurried.a, hurried.aaaa, hurried.mx, hurried.txt, hurried.tlsa):
            with pytest.raises(DnsFault, match=r"no more time to ask about slow\.test"):
                await ask("Slow.test")
        with pytest.raises(DnsFault, match="no more time"):
            await hurried.ptr("192.0.2.1")
        # What nobody had the time to wait for was not even asked.
        assert sum(server.asked.values()) == 1
        with pytest.raises(DnsFault, match="no more time"):
            await dns_port.within(0.0).a("other.test")
        assert sum(server.asked.values()) == 1

    asking(lambda query, _: [], test, loop)


def test_who_has_little_time_gets_every_answer_that_is_known_or_comes_in_time() -> None:
    async def test(dns_port: Resolver, server: Server) -> None:
        hurried = dns_port.within(5.0)
        assert (await hurried.a("MX.test")).records == ("192.0.2.1",)
        for _ in range(2):
            assert (await hurried.ptr("192.0.2.1")).records == ("mx.test",)
            assert not (await hurried.txt("gone.test")).exists
        late = dns_port.within(0.0)
        assert (await late.a("mx.test")).records == ("192.0.2.1",)
        assert (await late.a("MX.test")).records == ("192.0.2.1",)
        assert sum(server.asked.values()) == 3

    asking(zone("mx.test. 300 A 192.0.2.1", "1.2.0.192.in-addr.arpa. 300 PTR mx.test."), test)


def test_a_fresh_fault_is_told_again_to_those_in_a_hurry_and_to_nobody_else() -> None:
    now = [0.0]

    def script(query: Query, datagram: bool) -> list[bytes]:
        return [reply(query, rcode=dns.rcode.SERVFAIL).to_wire()]

    async def test(dns_port: Resolver, server: Server) -> None:
        for at, asked in ((0.0, 1), (1.0, 1), (4.9, 1), (5.0, 2), (9.9, 2)):
            now[0] = at
            with pytest.raises(DnsFault, match="SERVFAIL"):
                await dns_port.within(20.0).a("mx.test")
            assert len(server.queries) == asked
        with pytest.raises(DnsFault, match="SERVFAIL"):
            await dns_port.a("mx.test")
        assert len(server.queries) == 3

    asking(script, test, clock=lambda: now[0])


def test_an_answer_ends_the_memory_of_a_fault() -> None:
    broken = [True]

    def script(query: Query, datagram: bool) -> list[bytes]:
        if broken[0]:
            return [reply(query, rcode=dns.rcode.SERVFAIL).to_wire()]
        return [reply(query, "mx.test. 0 A 192.0.2.1").to_wire()]

    async def test(dns_port: Resolver, server: Server) -> None:
        with pytest.raises(DnsFault):
            await dns_port.a("mx.test")
        broken[0] = False
        for ask in (dns_port.a, dns_port.within(5.0).a):
            assert (await ask("mx.test")).records == ("192.0.2.1",)

    asking(script, test)


def test_the_memory_of_faults_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "FAULTS_KEPT", 3)

    async def test(dns_port: Resolver, server: Server) -> None:
        for number in range(10):
            with pytest.raises(DnsFault):
                await dns_port.a(f"n{number}.test")
        for number, asked in ((9, 10), (7, 10), (6, 11)):
            with pytest.raises(DnsFault):
                await dns_port.within(5.0).a(f"n{number}.test")
            assert len(server.queries) == asked

    asking(lambda query, _: [reply(query, rcode=dns.rcode.SERVFAIL).to_wire()], test)


def test_an_spf_check_ends_in_time_however_slow_the_dns_is() -> None:
    """RFC 7208 §4.6.4: a check has a limit of time, and temperror is its result then."""

    def script(query: Query, datagram: bool) -> list[bytes]:
        question = query.question[0]
        if question.rdtype == dns.rdatatype.TXT:
            return [reply(query, f'{question.name} 300 TXT "v=spf1 ptr a:x.slow.test mx:y.slow.test -all"').to_wire()]
        return []

    async def test(dns_port: Resolver, server: Server) -> None:
        found = await spf.check(
            "192.0.2.1", "mx.slow.test", None, dns_port.within(0.2), receiver="mx.test", now=1_740_852_930_000_000
        )
        assert found.result == "temperror"
        assert "no more time" in found.verdict.reason
        # The names of the client were waited for in vain; what came after was not asked any more.
        assert {kind for _, kind, _ in server.asked} == {"TXT", "PTR"}

    asking(script, test)


def test_what_will_be_asked_is_on_its_way_before_anybody_asks() -> None:
    async def test(dns_port: Resolver, server: Server) -> None:
        for _ in range(2):
            dns_port.expect("TXT", "A.test.")
            dns_port.expect("A", "a.test")
            dns_port.expect("PTR", "192.0.2.1")
        # A dozen of these would take as long as one.
        await asyncio.sleep(0.1)
        assert len(server.queries) == 3
        assert (await dns_port.txt("a.test")).records == (b"hello",)
        assert (await dns_port.within(0.0).a("a.test")).records == ("192.0.2.1",)
        assert (await dns_port.ptr("192.0.2.1")).records == ("a.test",)
        dns_port.expect("TXT", "a.test")
        assert len(server.queries) == 3

    records = ("a.test. 60 TXT hello", "a.test. 60 A 192.0.2.1", "1.2.0.192.in-addr.arpa. 60 PTR a.test.")
    asking(zone(*records), test)


def test_nothing_is_asked_ahead_while_many_questions_are_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(dns_port: Resolver, server: Server) -> None:
        for number in range(10):
            dns_port.expect("TXT", f"n{number}.test")
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert len({question for question, _, _ in server.asked}) == 4
        await dns_port.close()

    monkeypatch.setattr("posthouse.serve.upstream.ASKED_AT_ONCE", 8)
    asking(lambda query, datagram: [], test)


def test_what_is_expected_and_fails_is_nobodys_trouble_until_he_asks() -> None:
    async def test(dns_port: Resolver, server: Server) -> None:
        dns_port.expect("TXT", "a.test")
        dns_port.expect("TXT", "no name at all..")
        await asyncio.sleep(0.1)
        asked = len(server.queries)
        # What failed a moment ago is not asked for again ahead of time.
        dns_port.expect("TXT", "a.test")
        await asyncio.sleep(0.05)
        assert len(server.queries) == asked
        with pytest.raises(DnsFault):
            await dns_port.within(5.0).txt("a.test")

    asking(lambda query, datagram: [reply(query, rcode=dns.rcode.SERVFAIL).to_wire()], test)


def test_closing_ends_the_questions_under_way() -> None:
    async def test(dns_port: Resolver, server: Server) -> None:
        waiting = asyncio.ensure_future(dns_port.a("a.test"))
        await asyncio.sleep(0.05)
        await dns_port.close()
        with pytest.raises(DnsFault, match="closed"):
            await waiting

    asking(lambda query, _: [], test)


def test_questions_are_counted() -> None:
    counted: Counter[tuple[str, str]] = Counter()

    async def test(dns_port: Resolver, server: Server) -> None:
        await dns_port.a("mx.test")
        await dns_port.a("mx.test")
        await dns_port.mx("mx.test")
        await dns_port.a("gone.test")
        assert counted == {("A", "found"): 1, ("MX", "empty"): 1, ("A", "missing"): 1}

    asking(zone("mx.test. 300 A 192.0.2.1"), test, counted=lambda *what: counted.update([what]))


def test_the_system_has_at_least_one_resolver() -> None:
    assert system_servers()
    assert all(port == 53 for _, port in system_servers())
