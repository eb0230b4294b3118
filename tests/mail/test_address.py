"""Addresses against RFC 5321 and 6531, a public set of odd ones, and the forms with which relays are tried."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mail.address import Address, AddressError, parse_domain, parse_path


def refused(text: str) -> str:
    with pytest.raises(AddressError) as caught:
        Address.parse(text)
    return str(caught.value)


# --- what is an address ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "local_part", "domain"),
    [
        ("alice@posthouse.test", "alice", "posthouse.test"),
        ("Alice@Posthouse.TEST", "Alice", "posthouse.test"),
        ("a.b+tag@x.example", "a.b+tag", "x.example"),
        ("o'neil/x=y@x.example", "o'neil/x=y", "x.example"),
        ('"a b"@x.example', "a b", "x.example"),
        ('"a\\"b\\\\c"@x.example', 'a"b\\c', "x.example"),
        ('"plain"@x.example', "plain", "x.example"),
        ("u@[192.0.2.1]", "u", "[192.0.2.1]"),
        ("u@[IPv6:2001:DB8:0:0::1]", "u", "[ipv6:2001:db8::1]"),
        ("u@localhost", "u", "localhost"),
        ("u@3com.example", "u", "3com.example"),
        ("u@xn--bcher-kva.example", "u", "xn--bcher-kva.example"),
        ("jörg@bücher.example", "jörg", "xn--bcher-kva.example"),
        ("JÖRG@BÜCHER.example", "JÖRG", "xn--bcher-kva.example"),
        ("用户@例子.广告", "用户", "xn--fsqu00a.xn--4rr70v"),
        ("u@faß.example", "u", "xn--fa-hia.example"),
    ],
)
def test_an_address_parses(text: str, local_part: str, domain: str) -> None:
    assert Address.parse(text) == Address(local_part, domain)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice",
        "@x.example",
        "alice@",
        "a@b@x.example",
        ".a@x.example",
        "a.@x.example",
        "a..b@x.example",
        "a b@x.example",
        "a@x.example.",
        "a@.x.example",
        "a@x..example",
        "a@-x.example",
        "a@x-.example",
        "a@x_y.example",
        "a@x.example ",
        " a@x.example",
        "<a@x.example>",
        "a@x.example>",
        '"a@x.example',
        '"a"b@x.example',
        '"a""b"@x.example',
        '""@x.example',
        '"a\x00b"@x.example',
        '"a\nb"@x.example',
        "a\x00@x.example",
        "a@x.example\r\n",
        "a@x.example\n",
        "a(c)@x.example",
        "a@x.example(c)",
        "a\\@b@x.example",
        "a,b@x.example",
        "u@[192.0.2.256]",
        "u@[192.0.2]",
        "u@[192.0.2.1",
        "u@192.0.2.1]",
        "u@[]",
        "u@[x]",
        "u@[IPv6:192.0.2.1]",
        "u@[2001:db8::1]",
        "u@[IPv6:2001:db8::g]",
        "u@[IPv6:fe80::1%eth0]",
        "u@[192.0.2.1]x",
        "u@[tag:content]",
        "u@192.0.2.1",
        "u@x.123",
        "u@x。example",
        "u@x.example。",
        "u@x．example",
        "u@x｡example",
        "u@☃.example",
        "u@a\u200db.example",
        "u@\u202eelpmaxe.example",
        "u\u202e@x.example",
        "u\u0085@x.example",
        "u\u2028@x.example",
        "\ud800@x.example",
        "u@x\u0000.example",
        "u@％.example",
        "u@／.example",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    assert refused(text).isascii()


def test_a_refusal_says_what_is_wrong() -> None:
    assert "dot" in refused("a@x.example.")
    assert "control character" in refused("a@x.example\0")
    assert "control character" in refused('"a\x7fb"@x.example')
    assert "angle brackets" not in refused("<a@x.example>")
    assert "no domain" in refused("alice")


def test_lengths_are_counted_in_octets() -> None:
    assert Address.parse("a" * 64 + "@x.example")
    assert "64" in refused("a" * 65 + "@x.example")
    assert Address.parse("ä" * 32 + "@x.example")
    assert "64" in refused("ä" * 33 + "@x.example")
    label = "b" * 63
    assert Address.parse(f"a@{label}.{label}.{label}.example")
    assert refused(f"a@{label}b.example")
    domain = ".".join([label] * 3)
    assert len(f"{'a' * 62}@{domain}") == 254
    assert Address.parse(f"{'a' * 62}@{domain}")
    assert "254" in refused(f"{'a' * 63}@{domain}")


def test_a_domain_alone_parses_in_the_same_way() -> None:
    assert parse_domain("BÜCHER.example") == "xn--bcher-kva.example"
    assert parse_domain("Posthouse.Test") == "posthouse.test"
    for text in ("", ".", "x.", "[192.0.2.1]", "192.0.2.1", "x y", "a@b", "x" * 64, "a." * 127 + "aa"):
        with pytest.raises(AddressError):
            parse_domain(text)


# --- how it is written and looked up -----------------------------------------------------------------


def test_a_local_part_is_quoted_only_where_it_has_to_be() -> None:
    assert str(Address("a.b", "x.example")) == "a.b@x.example"
    assert str(Address("a b", "x.example")) == '"a b"@x.example'
    assert str(Address('a"\\', "x.example")) == '"a\\"\\\\"@x.example'
    assert str(Address(".a", "x.example")) == '".a"@x.example'
    assert str(Address("jörg", "x.example")) == "jörg@x.example"
    assert str(Address("postmaster", "")) == "postmaster"


def test_look_ups_ignore_case_and_normal_form_but_not_letters() -> None:
    assert Address("Alice", "x").key == "alice"
    assert Address("STRASSE", "x").key == Address("straße", "x").key
    assert Address("jo\u0308rg", "x").key == Address("JÖRG", "x").key
    assert Address("alice", "x").key != Address("a1ice", "x").key


def test_a_domain_is_shown_in_unicode() -> None:
    assert Address.parse("u@bücher.example").domain_unicode == "bücher.example"
    assert Address("u", "xn--a.example").domain_unicode == "xn--a.example", "what is no A-label stays"
    assert Address("u", "xn--999999999.example").domain_unicode == "xn--999999999.example"


def test_an_address_tells_what_it_needs_to_travel() -> None:
    assert Address.parse("u@bücher.example").is_ascii
    assert not Address.parse("jörg@x.example").is_ascii


def test_a_literal_gives_its_ip_address() -> None:
    assert Address.parse("u@[192.0.2.1]").literal == "192.0.2.1"
    assert Address.parse("u@[IPv6:2001:db8::1]").literal == "2001:db8::1"
    assert Address.parse("u@x.example").literal is None


addresses = st.builds(
    Address,
    st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=30),
    st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]{2,10}){1,3}", fullmatch=True).filter(
        lambda domain: "xn--" not in domain
    ),
)


@given(addresses)
def test_what_is_printed_parses_to_the_same(address: Address) -> None:
    assert Address.parse(str(address)) == address


@given(st.text(max_size=80))
def test_nothing_but_an_address_or_its_error_comes_out(text: str) -> None:
    try:
        address = Address.parse(text)
    except AddressError as error:
        sentence = str(error)
    else:
        sentence = ""
        assert Address.parse(str(address)) == address
        assert not set("\r\n\0") & set(str(address))
        assert address.domain.isascii()
        assert address.domain == address.domain.lower()
    assert sentence.isascii()
    assert sentence.isprintable()


@given(st.text(min_size=1, max_size=20))
def test_a_key_is_its_own_key(text: str) -> None:
    key = Address(text, "x").key
    assert Address(key, "x").key == key


# --- paths of MAIL and RCPT --------------------------------------------------------------------------


def test_a_path_has_angle_brackets_and_no_route() -> None:
    assert parse_path("<>", smtputf8=False) is None
    assert parse_path("<a@x.example>", smtputf8=False) == Address("a", "x.example")
    assert parse_path("<PostMaster>", smtputf8=False) == Address("postmaster", "")
    for text in (
        "",
        "<",
        ">",
        "a@x.example",
        "<a@x.example",
        "a@x.example>",
        "<<a@x.example>>",
        "< >",
        "<a>",
        "< a@x.example>",
    ):
        with pytest.raises(AddressError):
            parse_path(text, smtputf8=False)
    with pytest.raises(AddressError, match="source route"):
        parse_path("<@a.example,@b.example:u@c.example>", smtputf8=False)


def test_an_address_outside_ascii_needs_smtputf8() -> None:
    for text in ("<jörg@x.example>", "<u@bücher.example>"):
        with pytest.raises(AddressError, match="SMTPUTF8"):
            parse_path(text, smtputf8=False)
        assert parse_path(text, smtputf8=True) is not None


# THREATS "Relay": r is remote, L is ours. What is refused as syntax, and what a desk has to recognise.
@pytest.mark.parametrize(
    "path",
    [
        '<"u@r.example">',
        '<"u%r.example">',
        "<u@r.example@ours.test>",
        "<u@r.example@[192.0.2.1]>",
        "<@ours.test:u@r.example>",
        "<@[192.0.2.1]:u@r.example>",
        "<r.example!u>",
        "<ours.test!r.example!u>",
        "<u@ours.test.>",
        "<u@r.example\0@ours.test>",
        "<u\0@ours.test>",
        "<u@ours。test>",
        "<u@ours.test\r\n>",
        "<u@ours.test\n>",
    ],
)
def test_relay_forms_that_are_no_addresses_are_refused(path: str) -> None:
    with pytest.raises(AddressError):
        parse_path(path, smtputf8=True)


@pytest.mark.parametrize(
    "path",
    [
        "<u%r.example@ours.test>",
        "<u%r.example@[192.0.2.1]>",
        '<"u@r.example"@ours.test>',
        '<"u@r.example"@[192.0.2.1]>',
        "<r.example!u@ours.test>",
        "<r.example!u@[192.0.2.1]>",
        '<"u%r.example"@ours.test>',
        "<u％r.example@ours.test>",
        '<"u＠r.example"@ours.test>',
        "<u﹫r.example@ours.test>",
    ],
)
def test_relay_forms_that_are_addresses_say_that_they_carry_routing(path: str) -> None:
    address = parse_path(path, smtputf8=True)
    assert address is not None
    assert address.carries_routing


def test_an_ordinary_address_carries_no_routing() -> None:
    assert not Address.parse("a.b+c=d/e_f-g@x.example").carries_routing
    assert not Address.parse("jörg@x.example").carries_routing


# --- the public set ----------------------------------------------------------------------------------

# Categories of isemail, and whether such an address can stand in an envelope.
VALID = {
    "ISEMAIL_VALID_CATEGORY": True,
    "ISEMAIL_DNSWARN": True,
    "ISEMAIL_RFC5321": True,
    "ISEMAIL_CFWS": False,
    "ISEMAIL_DEPREC": False,
    "ISEMAIL_RFC5322": False,
    "ISEMAIL_ERR": False,
}
# Number in the set → why we differ.
ISEMAIL_EXCEPTIONS = {
    23: "a top-level domain is never a number (RFC 3696 §2)",
    24: "a top-level domain is never a number (RFC 3696 §2), and no host is to be reached by one",
    43: "nobody is called nothing, and a look-up of nothing must find nothing",
    71: "taken: :: for one group should not be written (RFC 5952), but can only mean one thing",
}


def isemail(vectors: Path) -> list[tuple[int, str, str]]:
    root = ElementTree.parse(vectors / "address" / "isemail-tests.xml").getroot()
    cases = []
    for test in root.iter("test"):
        text = test.findtext("address") or ""
        # Control characters stand there as the symbols for them.
        text = "".join(chr(ord(c) - 0x2400) if 0x2400 <= ord(c) <= 0x2420 else c for c in text)
        cases.append((int(test.get("id", "0")), text, test.findtext("category") or ""))
    return cases


def test_the_isemail_set_is_judged_as_an_envelope_would(vectors: Path) -> None:
    wrong = []
    for number, text, category in isemail(vectors):
        try:
            Address.parse(text)
            taken = True
        except AddressError:
            taken = False
        if taken != VALID[category]:
            wrong.append(number)
    assert set(wrong) == set(ISEMAIL_EXCEPTIONS)
