"""The DNS from a file: as JSON and as a master file, with faults, aliases and wildcards."""

import pytest

from checks.zone import Zone, finish
from posthouse.checks.zonefile import TTL, ZoneDns, ZoneError
from posthouse.mail.dns import Answer, Dns, DnsFault, Mx, Tlsa

JSON = """
{"Example.org.": {"A": "192.0.2.1", "AAAA": ["2001:DB8:0::1"], "MX": ["10 MX.example.org.", "0 ."],
                  "TXT": ["v=spf1 \\"mx\\" -all", "ü"], "SRV": ["0 0 25 mx.example.org."], "CAA": []},
 "_25._tcp.mx.example.org": {"TLSA": ["3 1 0 00ff"]},
 "1.2.0.192.in-addr.arpa": {"PTR": ["MX.example.org"]},
 "slow.example.org": {"TXT": ["TIMEOUT"], "A": ["192.0.2.9"]},
 "dead.example.org": {"ANY": ["SERVFAIL"], "A": ["192.0.2.9"]}}
"""

MASTER = r"""
$ORIGIN example.org.
@           A     192.0.2.1
            AAAA  2001:db8:0::1
            MX    10 MX
            MX    0 .
            TXT   "v=spf1 \"mx\"" " -all"    ; a comment
            TXT   \195\188
            SRV   0 0 25 mx
_25._tcp.mx 600 IN TLSA 3 1 0 00ff
slow        TXT   TIMEOUT                    ; says who asks
            A     192.0.2.9
dead        ANY   SERVFAIL
            A     192.0.2.9
$ORIGIN 2.0.192.in-addr.arpa.
1           PTR   MX.example.org.
"""


@pytest.mark.parametrize("text", [JSON, MASTER], ids=["json", "master"])
def test_both_ways_of_writing_answer_alike(text: str) -> None:
    zone = Zone.parse(text)
    dns: Dns = zone
    assert finish(dns.a("EXAMPLE.org.")) == Answer(("192.0.2.1",), ttl=TTL)  # type: ignore[arg-type]
    assert zone.find("example.org", "AAAA").records == ("2001:db8::1",)
    assert set(zone.find("example.org", "MX").records) == {Mx(10, "mx.example.org"), Mx(0, "")}
    assert set(zone.find("example.org", "TXT").records) == {b'v=spf1 "mx" -all', "ü".encode()}
    assert finish(zone.tlsa("_25._tcp.mx.example.org")).records == (Tlsa(3, 1, 0, b"\x00\xff"),)
    assert finish(zone.ptr("192.0.2.1")).records == ("mx.example.org",)
    assert zone.asked["A EXAMPLE.org."] == 1


@pytest.mark.parametrize("text", [JSON, MASTER], ids=["json", "master"])
def test_faults_are_of_one_type_or_of_all_that_is_not_there(text: str) -> None:
    zone = ZoneDns.parse(text)
    with pytest.raises(DnsFault, match=r"in time about TXT slow\.example\.org"):
        finish(zone.txt("slow.example.org"))
    with pytest.raises(DnsFault, match="SERVFAIL about MX"):
        finish(zone.mx("dead.example.org"))
    for name in ("slow.example.org", "dead.example.org"):
        assert finish(zone.a(name)).records == ("192.0.2.9",)
    assert finish(zone.mx("slow.example.org")) == Answer((), exists=True, ttl=TTL)


def test_a_text_in_quotes_is_no_fault() -> None:
    assert finish(ZoneDns.parse('a.test TXT "TIMEOUT"\n').txt("a.test")).records == (b"TIMEOUT",)


def test_what_is_missing_and_what_is_only_above_something_are_told_apart() -> None:
    zone = ZoneDns.parse(JSON)
    assert finish(zone.a("gone.example.org")) == Answer((), exists=False, ttl=TTL)
    assert finish(zone.a("mx.example.org")) == Answer((), exists=True, ttl=TTL)
    assert finish(zone.txt("org")).exists


def test_aliases_are_followed_and_circles_are_faults() -> None:
    zone = ZoneDns({
        "a.test": {"CNAME": ["b.test."]}, "b.test": {"CNAME": ["c.test"]}, "c.test": {"A": ["192.0.2.1"]},
        "dead.test": {"CNAME": ["gone.test"]}, "circle.test": {"CNAME": ["circle.test"]},
    })
    assert finish(zone.a("a.test")).records == ("192.0.2.1",)
    assert finish(zone.txt("a.test")) == Answer((), exists=True, ttl=TTL)
    assert not finish(zone.txt("dead.test")).exists
    with pytest.raises(DnsFault, match="aliases"):
        finish(zone.a("circle.test"))


def test_a_wildcard_counts_below_the_nearest_name_that_exists() -> None:
    zone = ZoneDns({
        "*.example": {"TXT": ["wild"]}, "sub.*.example": {"TXT": ["x"]}, "host.example": {"A": ["192.0.2.1"]},
        "*.list.test": {"A": ["127.0.0.2"]},
    })
    assert finish(zone.txt("a.b.example")).records == (b"wild",)
    assert finish(zone.txt("host.example")) == Answer((), exists=True, ttl=TTL)
    assert not finish(zone.txt("x.host.example")).exists
    assert finish(zone.a("1.2.0.192.list.test")).records == ("127.0.0.2",)
    assert not finish(zone.a("a.other")).exists


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no JSON"),
        ('{"a.test": ["192.0.2.1"]}', "no JSON"),
        ('{"a.test": {"A": [1]}}', "no JSON"),
        ('{"a.test": {"A": ["nonsense"]}}', "a.test A"),
        ('{"a.test": {"MX": ["mx.test"]}}', "'10 mx.example.org'"),
        ('{"a.test": {"TLSA": ["3 1"]}}', "a.test TLSA"),
        ('{"a.test": {"ANY": ["192.0.2.1"]}}', "TIMEOUT or SERVFAIL"),
        ('{"a.test": {"AAAA": ["fe80::1%eth0"]}}', "one machine only"),
        ('{"a.test": {"MX": ["65536 mx.test"]}}', "0 to 65535"),
        ('{"a.test": {"TLSA": ["3 1"]}}', "three numbers (0 to 255) and data in hexadecimal"),
        ('{"a.test": {"TLSA": ["3 1 1 zz"]}}', "three numbers (0 to 255) and data in hexadecimal"),
        ('{"a.test": {"TLSA": ["3 1 256 00"]}}', "three numbers (0 to 255) and data in hexadecimal"),
        ("a.test A 192.0.2.1\nb.test A nonsense\n", "near line 2"),
        ("a.test A 192.0.2.1\n\nb.test TXT (\n\"x\"\n) )\n\n", "near line 3"),
        ("$INCLUDE /etc/passwd\n", "near line 1"),
        ("a.test NONSENSE TIMEOUT\na.test A\n", "near line"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_place(text: str, words: str) -> None:
    with pytest.raises(ZoneError) as caught:
        ZoneDns.parse(text)
    assert words in str(caught.value)


SOA = """
$TTL 1h
@     IN SOA ns.example.org. hostmaster.example.org. (
             2025010101 ; serial
             3600 900
             604800 300 )
      IN NS  ns
      IN NS  ns.far.test.
      IN MX  10 mx
      IN TXT ( "v=spf1 "
               "mx -all" )
ns    A      192.0.2.53
slow  A      timeout
$ORIGIN sub.example.org.
@     IN SOA ns.example.org. hostmaster.example.org. 1 2 3 4 5
      TXT    delegated
"""


def test_a_whole_zone_with_its_soa_is_read() -> None:
    absolute = SOA
    for short, full in (("@ ", "example.org. "), ("  ns\n", " ns.example.org.\n"), (" mx\n", " mx.example.org.\n"),
                        ("ns   ", "ns.example.org. "), ("slow ", "slow.example.org. ")):
        absolute = absolute.replace(short, full, 1)
    for text in (f"$ORIGIN example.org.\n{SOA}", absolute):
        zone = ZoneDns.parse(text)
        assert zone.find("example.org", "MX").records == (Mx(10, "mx.example.org"),)
        assert zone.find("example.org", "TXT").records == (b"v=spf1 mx -all",)
        assert zone.find("ns.example.org", "A").records == ("192.0.2.53",)
        assert zone.find("sub.example.org", "TXT").records == (b"delegated",)
        with pytest.raises(DnsFault):
            zone.find("slow.example.org", "A")
