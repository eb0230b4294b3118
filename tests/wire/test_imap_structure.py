"""ENVELOPE, BODY and BODYSTRUCTURE, read back by a strict reader of IMAP's grammar."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mail.message import Message
from posthouse.mail.parts import LEVELS
from posthouse.wire.imap.structure import bodystructure, envelope, nstring, string


class Reader:
    """RFC 3501 §9: parenthesised lists, NIL, numbers, quoted strings of 7-bit octets, literals without NUL."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.at = 0

    def all(self) -> Any:
        value = self.value()
        assert self.at == len(self.octets), "nothing may stand behind"
        return value

    def value(self) -> Any:
        octet = self.octets[self.at : self.at + 1]
        if octet == b"(":
            return self.list()
        if octet == b'"':
            return self.quoted()
        if octet == b"{":
            return self.literal()
        if self.octets.startswith(b"NIL", self.at):
            self.at += 3
            return None
        end = self.at
        while self.octets[end : end + 1].isdigit():
            end += 1
        assert end > self.at, self.octets[self.at : self.at + 40]
        number = int(self.octets[self.at : end])
        self.at = end
        return number

    def list(self) -> list[Any]:
        items = []
        self.at += 1
        while self.octets[self.at : self.at + 1] != b")":
            # Only bodies of a multipart and addresses stand next to each other without a space.
            if items and self.octets[self.at : self.at + 1] == b" ":
                self.at += 1
            elif items:
                assert self.octets[self.at : self.at + 1] == b"("
                assert isinstance(items[-1], list)
            items.append(self.value())
        self.at += 1
        assert items, "an empty list is no list"
        return items

    def quoted(self) -> bytes:
        self.at += 1
        found = bytearray()
        while (octet := self.octets[self.at]) != 0x22:
            if octet == 0x5C:
                self.at += 1
                octet = self.octets[self.at]
                assert octet in b'"\\'
            assert 0 < octet < 0x80
            assert octet not in b"\r\n"
            found.append(octet)
            self.at += 1
        self.at += 1
        return bytes(found)

    def literal(self) -> bytes:
        end = self.octets.index(b"}\r\n", self.at)
        size = int(self.octets[self.at + 1 : end])
        start = end + 3
        octets = self.octets[start : start + size]
        assert len(octets) == size
        assert b"\0" not in octets
        self.at = start + size
        return octets


def read(octets: bytes) -> Any:
    return Reader(octets).all()


def check_body(value: Any, extended: bool) -> None:
    """body in RFC 3501 §9, by the places of its items."""
    if isinstance(value[0], list):
        bodies = [item for item in value if isinstance(item, list)]
        count = next(index for index, item in enumerate(value) if not isinstance(item, list))
        for body in value[:count]:
            check_body(body, extended)
        rest = value[count:]
        assert isinstance(rest[0], bytes)
        assert len(rest) == (5 if extended else 1)
        if extended:
            check_extension(*rest[1:])
        assert bodies
        return
    main, sub, parameters, identifier, description, encoding, size, *rest = value
    assert isinstance(main, bytes)
    assert isinstance(sub, bytes)
    assert isinstance(encoding, bytes)
    assert isinstance(size, int)
    assert identifier is None or isinstance(identifier, bytes)
    assert description is None or isinstance(description, bytes)
    check_parameters(parameters)
    if main == b"text":
        assert isinstance(rest.pop(0), int)
    elif (main, sub) in ((b"message", b"rfc822"), (b"message", b"global")):
        check_envelope(rest.pop(0))
        check_body(rest.pop(0), extended)
        assert isinstance(rest.pop(0), int)
    assert len(rest) == (4 if extended else 0)
    if extended:
        md5, *others = rest
        assert md5 is None or isinstance(md5, bytes)
        check_extension(None, *others)


def check_extension(parameters: Any, disposition: Any, language: Any, location: Any) -> None:
    check_parameters(parameters)
    if disposition is not None:
        kind, parameters = disposition
        assert isinstance(kind, bytes)
        check_parameters(parameters)
    assert language is None or all(isinstance(tag, bytes) for tag in language)
    assert location is None or isinstance(location, bytes)


def check_parameters(value: Any) -> None:
    assert value is None or (len(value) % 2 == 0 and all(isinstance(item, bytes) for item in value))


def check_envelope(value: Any) -> None:
    date, subject, *lists, in_reply_to, message_id = value
    assert len(lists) == 6
    assert all(item is None or isinstance(item, bytes) for item in (date, subject, in_reply_to, message_id))
    for people in lists:
        assert people is None or people
        depth = 0
        for name, route, mailbox, host in people or ():
            assert name is None or isinstance(name, bytes)
            assert route is None
            if host is None:
                # The beginning of a group has a name, its end has none.
                depth += 1 if mailbox is not None else -1
                assert depth in (0, 1)
            else:
                assert isinstance(mailbox, bytes)
                assert isinstance(host, bytes)
        assert depth == 0


def of(*lines: str) -> Message:
    return Message.parse("\r\n".join(lines).encode("utf-8", "surrogateescape"))


# --- ENVELOPE -----------------------------------------------------------------------------------------


def test_an_envelope_has_its_ten_items() -> None:
    message = of(
        "Date: Sat, 01 Mar 2025 18:15:30 +0000",
        'Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n aus "Rom" \\o/',
        'From: "Smith, \\"Al\\"" <al@A.example>',
        "Reply-To: =?utf-8?q?J=C3=B6?= <j@b.example>",
        "To: team: a@b.example, <c@d.example>;, e@f.example (Eve)",
        "Cc: undisclosed-recipients:;",
        "In-Reply-To: <0@x> (Friday)",
        "Message-ID: <1@x>",
        "",
        "",
    )
    al = [b'Smith, "Al"', None, b"al", b"A.example"]
    assert read(envelope(message)) == [
        b"Sat, 01 Mar 2025 18:15:30 +0000",
        b'=?utf-8?q?Gr=C3=BC=C3=9Fe?= aus "Rom" \\o/',
        [al],
        [al],
        [[b"=?utf-8?q?J=C3=B6?=", None, b"j", b"b.example"]],
        [
            [None, None, b"team", None],
            [None, None, b"a", b"b.example"],
            [None, None, b"c", b"d.example"],
            [None] * 4,
            [b"Eve", None, b"e", b"f.example"],
        ],
        [[None, None, b"undisclosed-recipients", None], [None] * 4],
        None,
        b"<0@x> (Friday)",
        b"<1@x>",
    ]


def test_an_empty_message_has_an_envelope_of_nils() -> None:
    assert envelope(Message.parse(b"")) == b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"
    assert read(envelope(of("Subject:", "", "")))[1] == b""
    assert read(envelope(of("From:", "Sender:", "To: ", "", "")))[2:6] == [None] * 4


def test_what_quotes_may_not_hold_is_a_literal() -> None:
    assert nstring(None) == b"NIL"
    assert string(b"") == b'""'
    assert string(b'a"\\') == b'"a\\"\\\\"'
    assert string(b"\t") == b'"\t"'
    assert string("ü".encode()) == b"{2}\r\n\xc3\xbc"
    assert string(b"a\rb") == b"{3}\r\na\rb"
    assert string(b"a\0b") == b"{3}\r\na?b"
    assert string(b"x" * 5000) == b"{5000}\r\n" + b"x" * 5000


def test_raw_octets_in_a_header_do_not_break_a_strict_client() -> None:
    message = of(
        "Subject: J\udcf6rg",
        "From: J\udcf6rg <j@x.example>",
        "To: jörg@bücher.example",
        "Message-ID: <\udcff@x>",
        "",
        "",
    )
    items = read(envelope(message))
    assert items[1] == b"J\xf6rg"
    assert items[2] == [[b"J\xf6rg", None, b"j", b"x.example"]]
    assert items[5] == [[None, None, "jörg".encode(), "bücher.example".encode()]]
    check_envelope(items)


def test_an_address_without_a_host_is_no_group() -> None:
    items = read(envelope(of('To: Alice, <>, a@, "a b"@x.example', "", "")))
    assert items[5] == [
        [None, None, b"Alice", b"MISSING_DOMAIN"],
        [None, None, b"", b"MISSING_DOMAIN"],
        [None, None, b"a", b"MISSING_DOMAIN"],
        [None, None, b"a b", b"x.example"],
    ]


# --- BODY and BODYSTRUCTURE ---------------------------------------------------------------------------


def test_a_text_has_its_lines() -> None:
    root = of('Content-Type: Text/PLAIN; Charset="UTF-8"', "Content-Transfer-Encoding: 8BIT", "", "one", "two", "").root
    assert bodystructure(root, False) == b'("text" "plain" ("charset" "UTF-8") NIL NIL "8bit" 10 2)'
    assert bodystructure(root, True) == b'("text" "plain" ("charset" "UTF-8") NIL NIL "8bit" 10 2 NIL NIL NIL NIL)'
    assert bodystructure(of("", "").root, False) == b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0)'


def test_a_leaf_has_all_its_extension_data() -> None:
    root = of(
        "Content-Type: image/png; name=x.png",
        "Content-ID: <i@x>",
        "Content-Description: a =?utf-8?q?b?=",
        "Content-Transfer-Encoding: base64",
        "Content-MD5: Q2hlY2s=",
        "Content-Disposition: Attachment; filename*=utf-8''%C3%A9",
        "Content-Language: de, en",
        "Content-Location: http://x/",
        "",
        "aGVsbG8=",
    ).root
    assert read(bodystructure(root, True)) == [
        b"image",
        b"png",
        [b"name", b"x.png"],
        b"<i@x>",
        b"a =?utf-8?q?b?=",
        b"base64",
        8,
        b"Q2hlY2s=",
        [b"attachment", [b"filename*", b"utf-8''%C3%A9"]],
        [b"de", b"en"],
        b"http://x/",
    ]
    assert read(bodystructure(root, False)) == [
        b"image",
        b"png",
        [b"name", b"x.png"],
        b"<i@x>",
        b"a =?utf-8?q?b?=",
        b"base64",
        8,
    ]


def test_the_example_of_the_standard_comes_out() -> None:
    """RFC 3501 §7.4.2: a text and a MIME part below multipart/mixed."""
    root = of(
        "Content-Type: multipart/mixed; boundary=b",
        "",
        "--b",
        "Content-Type: TEXT/PLAIN; CHARSET=US-ASCII",
        "",
        "text",
        "--b",
        'Content-Type: text/plain; charset=US-ASCII; name="cc.diff"',
        "Content-ID: <960723163407.20117h@cac.washington.edu>",
        "Content-Description: Compiler diff",
        "Content-Transfer-Encoding: BASE64",
        "",
        "aGVs",
        "bG8=",
        "--b--",
    ).root
    assert bodystructure(root, False) == (
        b'(("text" "plain" ("charset" "US-ASCII") NIL NIL "7bit" 4 1)'
        b'("text" "plain" ("charset" "US-ASCII" "name" "cc.diff")'
        b' "<960723163407.20117h@cac.washington.edu>" "Compiler diff" "base64" 10 2) "mixed")'
    )
    assert read(bodystructure(root, True))[2:] == [b"mixed", [b"boundary", b"b"], None, None, None]


def test_a_message_inside_has_its_envelope_and_structure() -> None:
    root = of("Content-Type: message/rfc822", "", "Subject: in", "", "one", "two").root
    assert bodystructure(root, False) == (
        b'("message" "rfc822" NIL NIL NIL "7bit" 23 (NIL "in" NIL NIL NIL NIL NIL NIL NIL NIL)'
        b' ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 8 2) 4)'
    )


def test_what_has_no_parts_or_cannot_be_opened_still_has_a_structure() -> None:
    root = of("Content-Type: multipart/mixed", "", "x").root
    check_body(read(bodystructure(root, True)), True)
    check_body(read(bodystructure(root, False)), False)
    opaque = of("Content-Type: message/rfc822", "Content-Transfer-Encoding: base64", "", "eA==").root
    assert bodystructure(opaque, False) == b'("application" "octet-stream" NIL NIL NIL "base64" 4)'


def test_a_structure_as_deep_as_may_be_is_written_without_recursion() -> None:
    octets = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(2 * LEVELS)
    )
    written = bodystructure(Message.parse(octets + b"\r\nx").root, True)
    assert written.startswith(b"(" * LEVELS)
    assert written.count(b'"mixed"') == LEVELS + 1


pieces = st.lists(
    st.sampled_from(
        [
            b"--a\r\n",
            b"--a--\r\n",
            b"\r\n",
            b"x\r\n",
            b"Content-Type: multipart/mixed; boundary=a\r\n",
            b"Content-Type: message/rfc822\r\n",
            b'Content-Type: image/p\xf6ng; a="b\\"\xe4"\r\n',
            b"Content-Type: text/html\r\n",
            b'Subject: \xff"\\x\r\n',
            b'From: a@b, g: c@d;, "\xe4"\r\n',
            b"To: g: a\r\n",
            b"Content-Disposition: x; y=\x00\r\n",
            b"Content-Language: de,,\r\n",
            b"Content-ID: \x01\r\n",
            b'Content-Transfer-Encoding: x\x7f"\r\n',
            b"Date: \0\r\n",
        ]
    ),
    max_size=30,
).map(b"".join)


@given(pieces | st.binary(max_size=200))
def test_any_octets_give_what_a_strict_client_can_read(octets: bytes) -> None:
    message = Message.parse(octets)
    check_envelope(read(envelope(message)))
    for extended in (True, False):
        check_body(read(bodystructure(message.root, extended)), extended)


@pytest.mark.parametrize("name", ["Subject", "Date", "From", "Message-ID", "Content-Type", "Content-ID"])
@given(value=st.binary(max_size=80))
def test_any_value_gives_what_a_strict_client_can_read(name: str, value: bytes) -> None:
    message = Message.parse(name.encode() + b": " + value + b"\r\n\r\n")
    check_envelope(read(envelope(message)))
    check_body(read(bodystructure(message.root, True)), True)
