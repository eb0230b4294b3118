"""Authentication-Results: written so that nobody can be deceived, and read back."""

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mail.authentication_results import (
    RESULTS_OCTETS,
    AuthenticationResults,
    AuthenticationResultsError,
    Property,
    Result,
    claims,
    format_payload,
    format_results,
    parse_results,
)
from posthouse.mail.headers import Field, parse_header

OURS = "mail.posthouse.test"


def field(value: bytes, name: bytes = b"Authentication-Results") -> Field:
    return parse_header(name + b": " + value + b"\r\n\r\n").fields[0]


def written(*results: Result, smtputf8: bool = False) -> bytes:
    octets = format_results(OURS, results, smtputf8=smtputf8)
    header = parse_header(octets + b"\r\n")
    assert len(header.fields) == 1
    assert not header.flaw
    assert octets.endswith(b"\r\n")
    lines = octets[:-2].split(b"\r\n")
    assert all(line.strip() for line in lines)
    assert max(map(len, lines)) <= 998
    return header.fields[0].value


def one(ptype: str, name: str, value: str, *, smtputf8: bool = False) -> bytes:
    """What stands in the field for one property."""
    return written(Result("dkim", "fail", properties=(Property(ptype, name, value),)), smtputf8=smtputf8)


# --- written ------------------------------------------------------------------------------------------


def test_a_field_is_written_one_result_a_line() -> None:
    field = format_results(
        OURS,
        [
            Result("spf", "pass", properties=(Property("smtp", "mailfrom", "a.example"),)),
            Result(
                "dkim",
                "pass",
                properties=(
                    Property("header", "d", "a.example"),
                    Property("header", "s", "s1"),
                    Property("header", "b", "dGhpcy+/"),
                ),
            ),
            Result("dmarc", "pass", properties=(Property("header", "from", "a.example"),)),
        ],
    )
    assert field == (
        b"Authentication-Results: mail.posthouse.test;\r\n"
        b" spf=pass smtp.mailfrom=a.example;\r\n"
        b' dkim=pass header.d=a.example header.s=s1 header.b="dGhpcy+/";\r\n'
        b" dmarc=pass header.from=a.example\r\n"
    )


def test_nothing_examined_is_none() -> None:
    assert format_results(OURS, []) == b"Authentication-Results: mail.posthouse.test;\r\n none\r\n"
    assert parse_results(b" mail.posthouse.test; none") == AuthenticationResults(OURS, ())


def test_the_payload_is_what_arc_takes() -> None:
    assert format_payload(OURS, [Result("arc", "none")]) == b"mail.posthouse.test;\r\n arc=none"


def test_long_results_are_folded_and_come_back_whole() -> None:
    result = Result("dmarc", "fail", "nothing that passed speaks for the author " * 8)
    lines = format_results(OURS, [result]).split(b"\r\n")
    assert max(map(len, lines)) <= 79
    assert parse_results(written(result)).results[0].reason == result.reason.strip()


# THREATS "Sender spoofing": what stands in d=, s= or MAIL must not read as something else in what we write.
@pytest.mark.parametrize(
    ("ptype", "name", "value"),
    [
        ("header", "d", 'bank.example".evil.example'),
        ("header", "d", 'bank.example" dmarc=pass header.from="bank.example'),
        ("header", "d", "bank.example'.evil.example"),
        ("header", "d", "bank.example(.evil.example"),
        ("header", "d", "bank.example;dmarc=pass"),
        ("header", "d", "bank.example\0.evil.example"),
        ("header", "d", "bank.example\r\nX: y"),
        ("header", "d", "bank.example .evil.example"),
        ("header", "d", "bank.example\\.evil.example"),
        ("header", "s", "selector\0.bank.example"),
        ("header", "s", 'x"; dmarc=pass'),
        ("header", "a", "rsa-sha256 dmarc=pass"),
        ("smtp", "mailfrom", "bank.example(.evil.example"),
        ("smtp", "mailfrom", "any@bank.example(.evil.example"),
        ("smtp", "mailfrom", 'any@bank.example".evil.example'),
        ("smtp", "mailfrom", "<@bank.example:any@evil.example>"),
        ("smtp", "helo", "bank.example) dmarc=pass ("),
        ("header", "from", "bank.example,evil.example"),
        ("header", "from", "bank.example\u2028evil.example"),
        ("header", "d", "\uff42ank.example\uff08.evil.example"),
        ("header", "d", "x" * 64 + ".example"),
        ("header", "d", "." * 30),
        ("header", "d", "a." * 200 + "example"),
        ("header", "d", ""),
        ("header", "i", "@"),
    ],
)
def test_an_identity_that_is_no_plain_name_is_left_out(ptype: str, name: str, value: str) -> None:
    assert one(ptype, name, value) == b" mail.posthouse.test;\r\n dkim=fail"
    assert one(ptype, name, value, smtputf8=True) == b" mail.posthouse.test;\r\n dkim=fail"


@pytest.mark.parametrize(
    ("ptype", "name", "value", "text"),
    [
        ("header", "d", "a.example", b"a.example"),
        ("header", "d", "bücher.example", b"xn--bcher-kva.example"),
        ("header", "i", "@a.example", b"@a.example"),
        ("header", "i", "alice+news@a.example", b"alice+news@a.example"),
        ("header", "i", '"al ice"@a.example', b"@a.example"),
        ("header", "i", "dmarc=pass@a.example", b"@a.example"),
        ("header", "i", "(x@a.example", b"@a.example"),
        ("header", "i", "jörg@a.example", b"@a.example"),
        ("header", "i", "a@b@a.example", b"@a.example"),
        ("header", "s", "_s1.mail", b"_s1.mail"),
        ("policy", "iprev", "192.0.2.1", b"192.0.2.1"),
        ("policy", "iprev", "2001:db8::1", b'"2001:db8::1"'),
        ("smtp", "helo", "[192.0.2.1]", b'"[192.0.2.1]"'),
        ("smtp", "helo", "[IPv6:2001:db8::1]", b'"[IPv6:2001:db8::1]"'),
    ],
)
def test_identities_are_written_plainly(ptype: str, name: str, value: str, text: bytes) -> None:
    assert one(ptype, name, value) == f" mail.posthouse.test;\r\n dkim=fail {ptype}.{name}=".encode() + text


def test_an_address_with_an_ip_is_not_half_written() -> None:
    assert one("smtp", "mailfrom", "a@[192.0.2.1]") == b" mail.posthouse.test;\r\n dkim=fail"


def test_an_internationalised_message_shows_local_parts_as_they_are() -> None:
    assert one("header", "i", "jörg@bücher.example", smtputf8=True).endswith(
        "header.i=jörg@xn--bcher-kva.example".encode()
    )
    assert one("header", "i", "jö\uff08rg@a.example", smtputf8=True).endswith(b"header.i=@a.example")


@pytest.mark.parametrize("value", ["\0", "a\r\nb: c", "a\nb", "\x7f", "\u2028", "\ud800", "é", "x" * 256])
def test_other_values_that_cannot_be_said_are_left_out(value: str) -> None:
    assert one("policy", "dmarc", value) == b" mail.posthouse.test;\r\n dkim=fail"


def test_a_reason_is_one_line_of_text() -> None:
    reason = 'says "no"\r\nX-Evil: yes\0; dkim=pass\\'
    value = written(Result("spf", "fail", reason))
    assert parse_results(value).results == (Result("spf", "fail", 'says "no" X-Evil: yes ; dkim=pass\\'),)
    assert parse_results(written(Result("spf", "fail", "für alle"))).results[0].reason == "f?r alle"
    assert parse_results(written(Result("spf", "fail", "für alle"), smtputf8=True)).results[0].reason == "für alle"


@pytest.mark.parametrize(
    "result",
    [
        Result("dkim=pass", "pass"),
        Result("dkim", "pass; spf=pass"),
        Result("", "pass"),
        Result("dkim", "pass", properties=(Property("header.d=x", "y", "z"),)),
        Result("dkim", "pass", properties=(Property("header", "d\r\n", "z"),)),
    ],
)
def test_words_that_are_no_keywords_are_refused(result: Result) -> None:
    with pytest.raises(AuthenticationResultsError):
        format_results(OURS, [result])


@pytest.mark.parametrize("name", ["", "a\r\nb", "a\0", "bücher"])
def test_an_authserv_id_that_cannot_be_written_is_refused(name: str) -> None:
    with pytest.raises(AuthenticationResultsError):
        format_results(name, [])


# --- round trip ---------------------------------------------------------------------------------------

keywords = st.from_regex(r"[a-z][a-z0-9-]{0,8}[a-z0-9]", fullmatch=True).filter(lambda word: word != "reason")
printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=120)
wide = st.text(
    st.characters(min_codepoint=0x20, exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=80
)
labels = st.from_regex(r"[a-z0-9_]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
domains = st.lists(labels, min_size=1, max_size=4).map(".".join)
local_parts = st.from_regex(r"[A-Za-z0-9_+~-]{1,20}", fullmatch=True)
identities = st.one_of(
    domains, domains.map("@{}".format), st.builds("{}@{}".format, local_parts, domains), st.ip_addresses().map(str)
)
others = keywords.filter(lambda name: name not in ("iprev", "authserv-id"))
properties = st.one_of(
    st.builds(Property, st.just("policy"), others, printable),
    st.builds(Property, st.just("header"), st.sampled_from(["d", "i", "s", "from"]), identities),
    st.builds(Property, st.just("smtp"), st.sampled_from(["mailfrom", "helo", "remote-ip"]), identities),
)
reasons = printable.map(lambda text: " ".join(text.split()))
results = st.builds(Result, keywords, keywords, reasons, st.lists(properties, max_size=4).map(tuple))


@given(printable, st.lists(results, max_size=6))
def test_what_is_written_reads_back(authserv_id: str, found: list[Result]) -> None:
    octets = format_results(authserv_id, found)
    value = parse_header(octets + b"\r\n").fields[0].value
    assert parse_results(value) == AuthenticationResults(authserv_id, tuple(found))


@given(wide, wide, wide)
def test_what_is_written_in_utf8_reads_back(authserv_id: str, reason: str, value: str) -> None:
    reason = re.sub(r"[\x20\xa0]+", " ", reason).strip()
    result = Result("x-method", "pass", reason, (Property("policy", "x", value),))
    octets = format_results(authserv_id, [result], smtputf8=True)
    value_read = parse_header(octets + b"\r\n").fields[0].value
    assert parse_results(value_read) == AuthenticationResults(authserv_id, (result,))


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60), st.booleans())
def test_no_text_breaks_out_of_its_place(reason: str, identity: str, value: str, smtputf8: bool) -> None:
    result = Result("dkim", "fail", reason, (Property("header", "d", identity), Property("policy", "x", value)))
    back = parse_results(written(result, Result("spf", "none"), smtputf8=smtputf8))
    assert back.authserv_id == OURS
    assert [(found.method, found.result) for found in back.results] == [("dkim", "fail"), ("spf", "none")]
    assert back.results[1].properties == ()
    named = back.results[0].value("header", "d")
    assert named == "" or re.fullmatch(r"[\w.+~-]*@?[A-Za-z0-9_.:\[\]-]+", named)


# --- read ---------------------------------------------------------------------------------------------


def test_fields_of_others_are_read() -> None:
    found = parse_results(
        b" mx.google.com;\r\n       dkim=pass header.i=@a.example header.s=s1 header.b=\"Ab/+x\";\r\n"
        b"       spf=pass (google.com: domain of b@a.example designates 192.0.2.1 as permitted sender)"
        b" smtp.mailfrom=b@a.example;\r\n       dmarc=pass (p=REJECT sp=REJECT dis=NONE) header.from=a.example"
    )
    assert found.authserv_id == "mx.google.com"
    assert [(result.method, result.result) for result in found.results] == [
        ("dkim", "pass"),
        ("spf", "pass"),
        ("dmarc", "pass"),
    ]
    assert found.of("dkim")[0].value("header", "b") == "Ab/+x"
    assert found.of("spf")[0].value("smtp", "mailfrom") == "b@a.example"
    assert found.of("dmarc")[0].value("header", "nothing") == ""


def test_the_examples_of_the_standard_are_read() -> None:
    # RFC 8601 appendix B.6, B.7
    found = parse_results(
        b" example.com;\r\n dkim=pass reason=\"good signature\" header.i=@mail-router.example.net;\r\n"
        b" dkim=fail reason=\"bad signature\" header.i=@newyork.example.com"
    )
    assert [result.reason for result in found.results] == ["good signature", "bad signature"]
    found = parse_results(
        b" foo.example.net (foobar) 1 (baz);\r\n dkim (Because I like it) / 1 (One yay) = (wait for it) fail\r\n"
        b" policy (A dot can go here) . (like that) expired\r\n (this surprised me) = (as I wasn't expecting it)"
        b" 1362471462"
    )
    assert found == AuthenticationResults(
        "foo.example.net", (Result("dkim", "fail", "", (Property("policy", "expired", "1362471462"),)),)
    )


def test_a_missing_name_in_front_is_seen() -> None:
    found = parse_results(
        b"spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=a.example; dmarc=pass action=none header.from=a.example"
    )
    assert found.authserv_id == ""
    assert [result.method for result in found.results] == ["spf", "dmarc"]
    assert found.of("dmarc")[0].properties == (Property("header", "from", "a.example"),)


@pytest.mark.parametrize(
    "value",
    [
        b'a.example; dkim=pass "x" header.d=bank.example',
        b"a.example; dkim=pass header.d=bank.example junk",
        b'a.example; dkim=pass header.d=bank"x"',
        b'a.example; dkim=pass reason="good"header.d=bank.example',
        b"a.example; dkim",
        b"a.example; =pass",
        b"a.example; dkim=pa{ss",
        b"a.example; dkim/2=pass header.d=bank.example",
    ],
)
def test_results_that_cannot_be_read_for_certain_are_passed_over(value: bytes) -> None:
    assert parse_results(value + b"; spf=none").results == (Result("spf", "none"),)


@pytest.mark.parametrize(
    "value",
    [
        b"a.example; dkim=pass header.d=a\0.example",
        b'a.example; dkim=pass reason="open',
        b"a.example 2; dkim=pass",
        b"",
        b"   ",
        b"a b c; dkim=pass",
        b"x" * (RESULTS_OCTETS + 1),
    ],
)
def test_what_is_no_field_is_refused(value: bytes) -> None:
    with pytest.raises(AuthenticationResultsError):
        parse_results(value)


@given(st.binary(max_size=300))
def test_any_octets_are_read_or_refused(value: bytes) -> None:
    with suppress(AuthenticationResultsError):
        parse_results(value)
    claims(field(value.replace(b"\n", b" ")), OURS)


@pytest.mark.parametrize("piece", [b'"', b"(", b";", b"=", b'\\"', b"a.b=", b'"\\', b"a=b ", b"/1", b". ", b"\r\n "])
def test_reading_is_linear(piece: bytes) -> None:
    value = b"a.example; dkim=pass " + piece * ((RESULTS_OCTETS - 30) // len(piece))
    with suppress(AuthenticationResultsError):
        parse_results(value)
    claims(field(value), OURS)


# --- forged -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        b"mail.posthouse.test; dmarc=pass",
        b"MAIL.Posthouse.TEST; dmarc=pass",
        b"mail.posthouse.test 1; dmarc=pass",
        b"mail.posthouse.test 2; dmarc=pass",
        b"mail.posthouse.test.; dmarc=pass",
        b"mail.posthouse.test/mx1; dmarc=pass",
        b'"mail.posthouse.test"; dmarc=pass',
        b'"mail\\.posthouse.test"; dmarc=pass',
        b"(a) mail.posthouse.test (b); dmarc=pass",
        b"(;) mail.posthouse.test; dmarc=pass",
        b"(a=b) mail.posthouse.test; dmarc=pass",
        b"mail.(x)posthouse.test; dmarc=pass",
        b"\r\n mail.posthouse.test;\r\n dmarc=pass",
        b"mail.posthouse.test",
        b"mail.posthouse.test dmarc=pass",
        b"(mail.posthouse.test; dmarc=pass",
        b'"mail.posthouse.test; dmarc=pass',
        b"(a=b mail.posthouse.test; dmarc=pass",
        b"=?utf-8?q?mail=2Eposthouse=2Etest?=; dmarc=pass",
        b"=?utf-8?b?bWFpbC5wb3N0aG91c2UudGVzdA==?=; dmarc=pass",
        b"\0mail.posthouse.test; dmarc=pass",
        "mail\uff0eposthouse\uff0etest; dmarc=pass".encode(),
        "mail\u3002posthouse\uff61test; dmarc=pass".encode(),
        "mail.po\u017fthou\u017fe.test; dmarc=pass".encode(),
        "mail.\u00adpost\u200bhouse.test; dmarc=pass".encode(),
        "\uff4d\uff41\uff49\uff4c.posthouse.test; dmarc=pass".encode(),
    ],
)
def test_a_field_in_our_name_is_known_however_it_is_written(value: bytes) -> None:
    assert claims(field(value), OURS)
    assert claims(field(value, b"AUTHENTICATION-results"), OURS)


@pytest.mark.parametrize(
    "value",
    [
        b"mx.mail.posthouse.test; dmarc=pass",
        b"mail.posthouse.test.evil.example; dmarc=pass",
        b"mail.posthouse.test-evil.example; dmarc=pass",
        b"a.example; dmarc=pass header.from=mail.posthouse.test",
        b"posthouse.test; dmarc=pass",
        b"",
    ],
)
def test_a_field_in_another_name_is_left_alone(value: bytes) -> None:
    assert not claims(field(value), OURS)


def test_only_fields_of_that_name_claim_anything() -> None:
    assert not claims(field(b"mail.posthouse.test; dmarc=pass", b"X-Authentication-Results"), OURS)


def test_our_name_is_known_in_unicode_as_well() -> None:
    assert claims(field("bücher.example; dmarc=pass".encode()), "xn--bcher-kva.example")


@given(st.lists(results, max_size=3))
def test_what_we_write_claims_our_name(found: list[Result]) -> None:
    header = parse_header(format_results(OURS, found) + b"\r\n")
    assert claims(header.fields[0], OURS)
    assert not claims(header.fields[0], "other.test")
