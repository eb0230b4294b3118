"""The results of all checks, as one Authentication-Results field."""

from checks.dmarc.letters import check, records, signature, spf
from checks.zone import Zone
from posthouse.checks.arc.chain import Arc
from posthouse.checks.iprev import Iprev
from posthouse.checks.summary import summarize
from posthouse.mail.authentication_results import format_results, parse_results
from posthouse.mail.headers import parse_header
from posthouse.mail.verdict import Verdict

IPREV = Iprev("pass", "mx.a.example", ("mx.a.example",), Verdict("iprev", "pass", "192.0.2.1", "it leads back"))
CHAIN = Arc("pass", ("lists.example",), (), 0, Verdict("arc", "pass", "lists.example", "it holds"))
NO_CHAIN = Arc("none", (), (), None, Verdict("arc", "none", "", "there is none"))


def test_all_that_was_asked_is_told_in_one_field() -> None:
    zone = Zone(records(a_example="v=DMARC1; p=reject"))
    signatures = [signature("a.example"), signature("", "neutral", selector="")]
    found = check("a.example", zone, spf("bounce.b.example", "softfail"), signatures)
    results = summarize(
        "2001:db8::1",
        iprev=IPREV,
        spf=spf("bounce.b.example", "softfail"),
        signatures=signatures,
        arc=CHAIN,
        dmarc=found,
    )
    octets = format_results("mx.test", results)
    assert octets == (
        b"Authentication-Results: mx.test;\r\n"
        b' iprev=pass policy.iprev="2001:db8::1";\r\n'
        b" spf=softfail smtp.mailfrom=bounce.b.example;\r\n"
        b" dkim=pass header.d=a.example header.s=s1 header.a=rsa-sha256;\r\n"
        b" dkim=neutral header.a=rsa-sha256;\r\n"
        b' arc=pass smtp.remote-ip="2001:db8::1" header.oldest-pass=0;\r\n'
        b" dmarc=pass header.from=a.example policy.dmarc=none\r\n"
    )
    assert parse_results(parse_header(octets + b"\r\n").fields[0].value).results == results


def test_what_was_not_asked_is_left_out() -> None:
    assert summarize("192.0.2.1") == ()
    assert [(found.method, found.result) for found in summarize("192.0.2.1", signatures=[], arc=NO_CHAIN)] == [
        ("dkim", "none"),
        ("arc", "none"),
    ]


def test_spf_tells_of_the_identity_that_was_asked() -> None:
    assert summarize("192.0.2.1", spf=spf("mx.a.example", scope="helo"))[0].value("smtp", "helo") == "mx.a.example"
    assert summarize("192.0.2.1", spf=spf("", "none"))[0].properties == ()


def test_the_policy_is_told_where_there_is_one() -> None:
    found = check("a.example", Zone(records(a_example="v=DMARC1; p=reject")))
    assert summarize("192.0.2.1", dmarc=found)[0].value("policy", "dmarc") == "reject"
    assert summarize("192.0.2.1", dmarc=check("a.example", Zone({})))[0].value("policy", "dmarc") == ""
