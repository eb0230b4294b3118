"""The keys of a domain: made with it, published, replaced step by step."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dns.rdatatype
import pytest

from cli.program import Outcome
from cli.server import Server
from posthouse.checks.dkim import SigningKey
from posthouse.checks.zonefile import ZoneDns
from posthouse.cli import rotation
from posthouse.cli.office import Office, work
from posthouse.cli.rotation import Step, Turn, look
from posthouse.cli.terminal import Complaint
from posthouse.lab.nameserver import serve_names
from posthouse.lab.zone import Fault, Names, Zone, absolute
from posthouse.mail.address import Address
from posthouse.mail.instant import DAY
from posthouse.store import directory, signing
from posthouse.store.signing import KeyState, StoredKey

DOMAIN = "example.org"
ROTATE = ("domain", "rotate-dkim", DOMAIN)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


@contextmanager
def name_server(names: Names) -> Iterator[int]:
    """Its port; it answers in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        running = asyncio.run_coroutine_threadsafe(serve_names(names, "127.0.0.1", 0), loop).result(20)
        yield running.port
        asyncio.run_coroutine_threadsafe(running.stop(), loop).result(20)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def zone(server: Server) -> Iterator[Zone]:
    """What the server's resolver sees."""
    names = Names()
    found = names.add_zone(DOMAIN)
    with name_server(names) as port:
        with server.settings.open("a") as file:
            file.write(f'\n[dns]\nservers = ["127.0.0.1:{port}"]\ntimeout = "2s"\n')
        yield found


def keys(server: Server, domain: str = DOMAIN) -> dict[str, KeyState]:
    return {key.selector: key.state for key in server.write(lambda tx: signing.keys(tx, domain))}


def too_early(server: Server, *options: str) -> Outcome:
    """What the next step says that is not due yet."""
    done = server(*ROTATE, *options)
    assert (done.code, done.err) == (75, "")
    return done


def publish(zone: Zone, records: list[dict[str, Any]]) -> None:
    for record in records:
        zone.add(record["name"], record["type"], record["data"].replace('" "', "").strip('"'))


def test_a_new_domain_has_a_key_of_each_kind(server: Server) -> None:
    server.good("domain", "add", "second.test")
    for domain in (DOMAIN, "second.test"):
        found = server.write(lambda tx, domain=domain: signing.keys(tx, domain))
        assert {key.algorithm for key in found} == {"rsa-sha256", "ed25519-sha256"}
        assert {key.state for key in found} == {KeyState.ACTIVE}
    server.good("domain", "remove", "second.test")
    assert set(keys(server, "second.test").values()) == {KeyState.WITHDRAWN}
    assert set(keys(server).values()) == {KeyState.ACTIVE}


def test_a_domain_that_comes_back_on_the_same_day_uses_no_selector_twice(server: Server) -> None:
    server.good("domain", "add", "second.test")
    old = set(keys(server, "second.test"))
    server.good("domain", "remove", "second.test")
    server.good("domain", "add", "second.test")
    found = keys(server, "second.test")
    assert {selector for selector, state in found.items() if state is KeyState.ACTIVE}.isdisjoint(old)
    assert len(found) == 4
    printed = server.good("domain", "dns", "second.test").out
    assert printed.count("._domainkey.") == 2
    assert not any(f"{selector}._domainkey" in printed for selector in old)


def test_a_name_too_long_for_keys_is_taken_without_them(server: Server) -> None:
    domain = f"{'.'.join(['a' * 58] * 4)}.test"
    assert len(domain) == 240
    assert f"{domain} cannot have keys" in server.good("domain", "add", domain).out
    assert keys(server, domain) == {}
    assert "cannot have keys" in server.refused("domain", "rotate-dkim", domain)
    assert "cannot have keys" not in server.good("domain", "add", "second.test").out


def test_two_who_replace_keys_at_the_same_time_get_the_same_ones(server: Server) -> None:
    async def both(office: Office) -> list[Turn]:
        known = await office.database.read(lambda tx: signing.keys(tx, DOMAIN))
        return list(await asyncio.gather(*(rotation._publish(office, DOMAIN, known) for _ in range(2))))

    first, second = work(server.settings, both)
    assert (first.step, first) == (Step.PUBLISHED, second)
    assert len(keys(server)) == 4


def test_a_switch_leaves_alone_what_was_published_meanwhile(server: Server) -> None:
    server.good(*ROTATE)
    unseen = SigningKey.generate(DOMAIN, "e1", "ed25519-sha256")

    async def overtaken(office: Office) -> None:
        looked_for = await office.database.read(lambda tx: signing.keys(tx, DOMAIN))
        await office.database.write(lambda tx: signing.add(tx, [unseen], KeyState.PUBLISHED, 0))
        published = [key for key in looked_for if key.state is KeyState.PUBLISHED]
        await rotation._switch(office, DOMAIN, published, force=True)

    with pytest.raises(Complaint, match="at the same time"):
        work(server.settings, overtaken)
    assert keys(server)["e1"] is KeyState.PUBLISHED


def test_two_who_switch_at_the_same_time_are_both_told_so(server: Server) -> None:
    server.good(*ROTATE)

    async def both(office: Office) -> list[Turn]:
        # Both have looked before either switches: who looks later finds keys that are retired.
        looked_for = await office.database.read(lambda tx: signing.keys(tx, DOMAIN))
        published = [key for key in looked_for if key.state is KeyState.PUBLISHED]
        switches = (rotation._switch(office, DOMAIN, published, force=True) for _ in range(2))
        return list(await asyncio.gather(*switches))

    assert [turn.step for turn in work(server.settings, both)] == [Step.SWITCHED] * 2


def test_a_domain_of_one_label_is_taken_without_keys(server: Server) -> None:
    server.good("domain", "add", "localhost")
    assert keys(server, "localhost") == {}
    assert "cannot have keys" in server.refused("domain", "rotate-dkim", "localhost")


def test_the_zone_has_every_key_in_strings_of_the_right_length(server: Server) -> None:
    printed = server.good("domain", "dns", DOMAIN).out
    zone = Zone.parse(printed, DOMAIN)
    assert all(len(line) < 300 for line in printed.splitlines())
    for key in server.write(lambda tx: signing.keys(tx, DOMAIN)):
        exists, (rrset,) = zone.find(absolute(key.dns_name), dns.rdatatype.TXT)
        assert exists
        strings = rrset[0].strings
        assert max(map(len, strings)) <= 255
        assert b"".join(strings).decode() == key.record
    assert '"v=DMARC1; p=quarantine; rua=mailto:postmaster@example.org"' in zone.text()


def test_reports_go_to_the_address_made_for_them(server: Server) -> None:
    def rua() -> str:
        records = server.good("domain", "dns", DOMAIN, "--json").json["records"]
        (record,) = (record for record in records if record["name"] == f"_dmarc.{DOMAIN}")
        return str(record["data"])

    server.good("alias", "add", f"@{DOMAIN}", "you@example.org")
    assert "mailto:postmaster@" in rua()
    server.good("alias", "add", f"dmarc-reports@{DOMAIN}", "you@example.org")
    assert "mailto:dmarc-reports@" in rua()


def test_only_domains_of_ours_have_records_and_keys(server: Server) -> None:
    for command in ("dns", "rotate-dkim"):
        assert "not one of our domains" in server.refused("domain", command, "elsewhere.test")


def test_keys_are_replaced_step_by_step(server: Server, zone: Zone) -> None:
    old = set(keys(server))
    first = server.good(*ROTATE, "--json").json
    new = set(first["selectors"])
    assert (first["step"], len(new), new & old) == ("published", 2, set())
    assert keys(server) == {**dict.fromkeys(old, KeyState.ACTIVE), **dict.fromkeys(new, KeyState.PUBLISHED)}

    # Nothing is seen yet, then one, then another text.
    waiting = too_early(server, "--json").json
    assert (waiting["step"], len(waiting["unseen"])) == ("unseen", 2)
    publish(zone, waiting["records"][:1])
    waiting = too_early(server, "--json").json
    assert waiting["unseen"] == [f"{waiting['records'][1]['name']}: there is no TXT record yet"]
    zone.add(waiting["records"][1]["name"], "TXT", "v=DKIM1; k=ed25519; p=AAAA")
    assert "another TXT record" in too_early(server, "--json").json["unseen"][0]
    zone.remove(waiting["records"][1]["name"])
    publish(zone, waiting["records"][1:])

    switched = server.good(*ROTATE, "--json").json
    assert (switched["step"], set(switched["selectors"])) == ("switched", new)
    assert keys(server) == {**dict.fromkeys(old, KeyState.RETIRED), **dict.fromkeys(new, KeyState.ACTIVE)}
    assert all(not key.private for key in server.write(lambda tx: signing.keys(tx, DOMAIN)) if key.selector in old)
    # What is under way still has to be verified.
    printed = server.good("domain", "dns", DOMAIN).out
    assert all(f"{selector}._domainkey" in printed for selector in old | new)

    early = too_early(server, "--json").json
    assert (early["step"], set(early["selectors"]), early["due"]) == ("retired", old, switched["due"])
    server.write(lambda tx: tx.execute("UPDATE signing_keys SET retired = retired - $1", 9 * DAY))
    last = server.good(*ROTATE, "--json").json
    assert (last["step"], set(last["selectors"])) == ("withdrawn", old)
    assert not any(f"{selector}._domainkey" in server.good("domain", "dns", DOMAIN).out for selector in old)
    # And from the beginning; no name is used twice.
    again = server.good(*ROTATE, "--json").json
    assert again["step"] == "published"
    assert not set(again["selectors"]) & (old | new)


@pytest.mark.parametrize(
    ("records", "words"),
    [
        (["{}"], ""),
        (["v=DKIM1;  k=ed25519; p= {}"], ""),
        ([], "no TXT record yet"),
        (["v=DKIM1; k=ed25519; p=AAAA"], "another TXT record"),
        # RFC 6376 §3.6.2.2: which one counts, nobody knows.
        (["{}", "v=DKIM1; k=ed25519; p=AAAA"], "another TXT record"),
        (["SERVFAIL"], "gave no answer"),
    ],
    ids=["as-printed", "spaced", "none", "other", "two", "fault"],
)
def test_a_record_is_seen_if_it_is_there_alone_and_unaltered(records: list[str], words: str) -> None:
    key = SigningKey.generate(DOMAIN, "e1", "ed25519-sha256")
    stored = StoredKey(
        DOMAIN, "e1", "ed25519-sha256", KeyState.PUBLISHED, 0, None, None, None, key.dns_record(), key.der()
    )
    text, bare = key.dns_record(), key.dns_record().rpartition("p=")[2]
    texts = [record.format(bare if "p= " in record else text) for record in records]
    found = asyncio.run(look(ZoneDns({stored.dns_name: {"TXT": texts}} if texts else {}), stored))
    assert words in found
    assert bool(found) is bool(words)


def test_each_step_says_what_to_do_next(server: Server, zone: Zone) -> None:
    told = server.good(*ROTATE).out
    assert told.startswith("Step 1 of 3")
    assert "IN TXT" in told
    assert "Not yet" in too_early(server).out
    published = server.write(lambda tx: [key for key in signing.keys(tx, DOMAIN) if key.state is KeyState.PUBLISHED])
    for key in published:
        zone.add(key.dns_name, "TXT", key.record)
    assert server.good(*ROTATE).out.startswith("Step 2 of 3")
    assert "may be under way until" in too_early(server).out
    assert server.good(*ROTATE, "--force").out.startswith("Step 3 of 3")


def test_a_name_server_that_does_not_answer_switches_nothing(server: Server) -> None:
    names = Names()
    names.add_zone(DOMAIN)
    with name_server(names) as port:
        with server.settings.open("a") as file:
            file.write(f'\n[dns]\nservers = ["127.0.0.1:{port}"]\n')
        new = server.good(*ROTATE, "--json").json
        for record in new["records"]:
            names.fault(record["name"], Fault.SERVFAIL)
        assert "gave no answer" in too_early(server, "--json").json["unseen"][0]
        assert keys(server)[new["selectors"][0]] is KeyState.PUBLISHED
        # A leaked key is reason enough not to look.
        assert server.good(*ROTATE, "--force", "--json").json["step"] == "switched"


def test_a_domain_without_keys_gets_its_first_ones_the_same_way(server: Server) -> None:
    server.write(lambda tx: tx.execute("DELETE FROM signing_keys"))
    assert server.good(*ROTATE, "--json").json["step"] == "published"
    assert server.good(*ROTATE, "--json", "--force").json["step"] == "switched"
    assert set(keys(server).values()) == {KeyState.ACTIVE}
    # There was nothing before them that could be withdrawn.
    assert server.good(*ROTATE, "--json").json["step"] == "published"


def test_the_account_for_reports_counts_as_well(server: Server) -> None:
    server.good("account", "add", f"dmarc-reports@{DOMAIN}", "--generate")
    assert server.write(lambda tx: directory.find_account(tx, Address("dmarc-reports", DOMAIN)))
    assert "mailto:dmarc-reports@" in server.good("domain", "dns", DOMAIN).out
