"""Messages made here: readable by everybody, and impossible to break out of."""

from email import message_from_bytes
from email.header import decode_header, make_header
from email.policy import default

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mail.address import Address
from posthouse.mail.author import author, flaws
from posthouse.mail.compose import Body, ComposeError, Multipart, compose, format_field, format_mailbox, text_body
from posthouse.mail.facts import facts
from posthouse.mail.mailboxes import mailboxes
from posthouse.mail.message import Message

FIELDS = [
    ("From", "Alice <alice@posthouse.test>"),
    ("To", "bob@posthouse.test"),
    ("Date", "Sat, 01 Mar 2025 18:15:30 +0000"),
    ("Message-ID", "<1@posthouse.test>"),
]


def lines(octets: bytes) -> list[bytes]:
    assert b"\n" not in octets.replace(b"\r\n", b"")
    assert b"\r" not in octets.replace(b"\r\n", b"")
    return octets.split(b"\r\n")


def test_a_plain_letter_is_what_it_says() -> None:
    octets = compose([*FIELDS, ("Subject", "Lunch?")], text_body("Hello\nBob\n"), boundary="1")
    assert octets == (
        b"From: Alice <alice@posthouse.test>\r\nTo: bob@posthouse.test\r\nDate: Sat, 01 Mar 2025 18:15:30 +0000\r\n"
        b"Message-ID: <1@posthouse.test>\r\nSubject: Lunch?\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=us-ascii\r\n\r\nHello\r\nBob\r\n"
    )


def test_a_letter_with_everything_comes_back_whole() -> None:
    people = ", ".join(format_mailbox(f"Person Nr. {n}, Büro", f"p{n}@x.example") for n in range(30))
    body = Multipart(
        "mixed",
        [
            Multipart("alternative", [text_body("Grüße\n" * 3), text_body("<p>Grüße</p>", "html")]),
            Body(bytes(range(256)) * 20, "image/png", filename="Bild für Jörg.png", description="Ein Bild aus Köln"),
            Body(b"Subject: old\n\nbody\n", "message/rfc822"),
        ],
        {"x-note": "a b"},
    )
    octets = compose([*FIELDS, ("Cc", people), ("Subject", "Grüße " * 40)], body, boundary="ID-1")
    message = Message.parse(octets)
    assert octets.isascii()
    assert max(map(len, lines(octets))) <= 998
    assert max(len(line) for line in octets[: message.header.end].split(b"\r\n")) <= 78
    assert flaws(message.header) == ""
    assert message.header.text("subject") == "Grüße " * 39 + "Grüße "
    assert len(mailboxes(message.header.addresses("cc"))) == 30
    assert mailboxes(message.header.addresses("cc"))[7].display_name == "Person Nr. 7, Büro"
    shape = [(part.number, "/".join(part.content_type)) for part in message.root.walk()]
    assert shape == [
        ("", "multipart/mixed"),
        ("1", "multipart/alternative"),
        ("1.1", "text/plain"),
        ("1.2", "text/html"),
        ("2", "image/png"),
        ("3", "message/rfc822"),
        ("3.1", "text/plain"),
    ]
    picture = message.find("2")
    assert picture is not None
    assert picture.decoded() == bytes(range(256)) * 20
    assert picture.filename == "Bild für Jörg.png"
    assert picture.disposition == "attachment"
    assert picture.header.text("content-description") == "Ein Bild aus Köln"
    text = message.find("1.1")
    assert text is not None
    assert text.text() == "Grüße\n" * 3
    known = facts(message)
    assert known.has_attachment
    assert known.header_from == Address("alice", "posthouse.test")


def test_the_standard_library_reads_it_as_we_do() -> None:
    octets = compose(
        [*FIELDS, ("Subject", "Grüße, " * 30)],
        Multipart("mixed", [text_body("Ünï\n"), Body(b"\0\1", "application/pdf", filename="Ü b.pdf")]),
        boundary="ID",
    )
    oracle = message_from_bytes(octets, policy=default)
    assert str(make_header(decode_header(message_from_bytes(octets)["subject"]))).strip() == ("Grüße, " * 30).strip()
    first, second = oracle.iter_parts()
    assert first.get_content() == "Ünï\r\n"  # type: ignore[attr-defined]
    assert second.get_filename() == "Ü b.pdf"
    assert second.get_content() == b"\0\1"  # type: ignore[attr-defined]


# --- injection (THREATS) ------------------------------------------------------------------------------

CONTROLS = ["\r\n", "\r", "\n", "\0", "\x1b", "\x7f", "\u2028", "\x85", "\udc80"]


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("name", ["Subject", "From", "To", "Message-ID", "X-Anything", "Auto-Submitted"])
def test_no_field_takes_a_control_character(name: str, control: str) -> None:
    with pytest.raises(ComposeError) as caught:
        format_field(name, f"a@x.example{control}Bcc: evil@y.example")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("control", CONTROLS)
def test_no_name_of_a_person_file_or_parameter_takes_one(control: str) -> None:
    with pytest.raises(ComposeError):
        format_mailbox(f"Al{control}ice", "a@x.example")
    with pytest.raises(ComposeError):
        format_mailbox("Alice", f"a{control}@x.example")
    for body in (
        Body(b"", filename=f"a{control}b"),
        Body(b"", parameters={"x": f"a{control}b"}),
        Body(b"", parameters={f"x{control}": "a"}),
        Body(b"", disposition=f"inline{control}"),
        Body(b"", description=f"a{control}b"),
        Body(b"", content_type=f"text/plain{control}"),
        Multipart("mixed", [Body(b"")], {"x": f"a{control}b"}),
        Multipart(f"mixed{control}", [Body(b"")]),
    ):
        with pytest.raises(ComposeError):
            compose(FIELDS, body, boundary="1")
    with pytest.raises(ComposeError):
        compose(FIELDS, text_body(""), boundary=f"1{control}2")


@pytest.mark.parametrize(
    "name", ["", "Sub ject", "Subject:", "Sübject", "Subject\r\n", "Content-Type", "MIME-Version", "x" * 100]
)
def test_no_field_has_a_name_that_is_none(name: str) -> None:
    with pytest.raises(ComposeError):
        compose([(name, "x")], text_body(""), boundary="1")


def test_what_may_stand_once_is_not_written_twice() -> None:
    with pytest.raises(ComposeError, match="more than one"):
        compose([*FIELDS, ("from", "b@x.example")], text_body(""), boundary="1")
    octets = compose([*FIELDS, ("X-Note", "a"), ("X-Note", "b")], text_body(""), boundary="1")
    assert len(Message.parse(octets).header.all("x-note")) == 2


@pytest.mark.parametrize("value", ["", "Alice", "a@", "a@x.example b@y.example", "a@x.example, nobody", "g: nobody;"])
def test_an_address_field_has_addresses(value: str) -> None:
    with pytest.raises(ComposeError):
        format_field("To", value)


@given(st.text(max_size=60))
def test_whatever_is_composed_has_one_author_and_no_flaw(text: str) -> None:
    try:
        fields = [("From", format_mailbox(text, "alice@posthouse.test")), ("Subject", text), ("X-A", text)]
        octets = compose(fields, Multipart("mixed", [text_body(text), Body(b"x", filename=text or "x")]), boundary="ID")
    except ComposeError:
        return
    message = Message.parse(octets)
    assert author(message.header) == Address("alice", "posthouse.test")
    assert flaws(message.header) == ""
    assert [field.name for field in message.header.fields] == ["From", "Subject", "X-A", "MIME-Version", "Content-Type"]
    assert message.header.text("subject").strip() == text.replace("\t", " ").strip()
    assert message.root.parts[0].text() == text.replace("\r\n", "\n").replace("\r", "\n")
    assert message.root.parts[1].filename == (text.replace("\t", " ") or "x")
    assert octets.isascii()


# --- folding and lengths ------------------------------------------------------------------------------


def test_long_fields_are_folded_and_long_words_encoded() -> None:
    folded = format_field("References", " ".join(f"<{n}@posthouse.test>" for n in range(100)))
    assert max(map(len, folded.split("\r\n"))) <= 78
    assert folded.replace("\r\n", "").count("@") == 100
    encoded = format_field("Subject", "x" * 2000)
    assert max(map(len, encoded.split("\r\n"))) <= 78
    assert format_field("Subject", "y" * 500) == "Subject: " + "y" * 500 + "\r\n"
    with pytest.raises(ComposeError, match="too long"):
        format_field("References", "<" + "x" * 1000 + "@x>")
    with pytest.raises(ComposeError, match="ASCII"):
        format_field("Message-ID", "<ü@x>")


def test_groups_and_routes_are_kept_or_dropped_as_they_should_be() -> None:
    assert format_field("To", "team: a@x.example, Bo <b@x.example>;, c@x.example") == (
        "To: team: a@x.example, Bo <b@x.example>;, c@x.example\r\n"
    )
    assert format_field("To", "undisclosed-recipients:;") == "To: undisclosed-recipients:;\r\n"


def test_an_address_outside_ascii_is_written_only_with_smtputf8() -> None:
    fields = [("From", "Jörg <jörg@bücher.example>"), *FIELDS[1:]]
    with pytest.raises(ComposeError, match="SMTPUTF8"):
        compose(fields, text_body(""), boundary="1")
    octets = compose(fields, text_body(""), boundary="1", smtputf8=True)
    assert "<jörg@xn--bcher-kva.example>".encode() in octets
    assert author(Message.parse(octets).header) == Address("jörg", "xn--bcher-kva.example")


# --- bodies and boundaries ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (text_body("plain"), "7bit"),
        (text_body("mostly äscii text"), "quoted-printable"),
        (text_body("日本語" * 30), "base64"),
        (text_body("x" * 999), "quoted-printable"),
        (text_body("a\0b"), "quoted-printable"),
        (Body(b"plain", "application/json"), "base64"),
        (Body(b"x: y\n", "message/delivery-status"), "7bit"),
        (Body("x: ü\n".encode(), "message/global-delivery-status"), "quoted-printable"),
        (Body("Subject: ü\n\nx".encode(), "message/rfc822"), "8bit"),
    ],
)
def test_a_body_is_encoded_as_it_needs(body: Body, encoding: str) -> None:
    octets = compose(FIELDS, body, boundary="1")
    root = Message.parse(octets).root
    assert root.encoding == encoding
    wanted = body.octets.replace(b"\n", b"\r\n") if body.content_type.startswith(("text", "message")) else body.octets
    assert (root.decoded() if root.message is None else root.body()) == wanted
    lines(octets)


def test_a_message_with_eight_bits_makes_all_around_it_eight_bit() -> None:
    inner = Body("Subject: ü\n\nx".encode(), "message/rfc822")
    octets = compose(FIELDS, Multipart("report", [text_body("x"), Multipart("mixed", [inner])]), boundary="1")
    message = Message.parse(octets)
    assert [p.encoding for p in message.root.walk()] == ["8bit", "7bit", "8bit", "8bit", "7bit"]
    with pytest.raises(ComposeError, match="NUL"):
        compose(FIELDS, Body(b"a\0", "message/rfc822"), boundary="1")


def test_a_boundary_never_stands_in_what_it_divides() -> None:
    inner = Body(b"--ID\r\n--1_ID\r\n--1.ID--\r\n", "text/plain")
    octets = compose(FIELDS, Multipart("mixed", [inner, Multipart("mixed", [inner, inner])]), boundary="ID")
    message = Message.parse(octets)
    leaves = [part for part in message.root.walk() if not part.is_multipart]
    assert [part.body() for part in leaves] == [inner.octets] * 3


@given(st.binary(max_size=200), st.text("ID-1_.\r\n", max_size=60))
def test_any_content_comes_back(octets: bytes, text: str) -> None:
    parts = [Body(octets, "application/octet-stream"), text_body(text), Body(octets, "image/png", filename="x")]
    message = Message.parse(compose(FIELDS, Multipart("mixed", parts), boundary="ID-1"))
    assert message.root.parts[0].decoded() == octets
    assert message.root.parts[2].decoded() == octets
    assert message.root.parts[1].text() == text.replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.parametrize(
    "content_type", ["", "text", "text/", "/plain", "text/plain; x=y", "a b/c", "text/plain/x", "té/xt"]
)
def test_a_media_type_is_one(content_type: str) -> None:
    with pytest.raises(ComposeError):
        compose(FIELDS, Body(b"x", content_type), boundary="1")


def test_a_multipart_without_parts_is_not_made() -> None:
    with pytest.raises(ComposeError):
        compose(FIELDS, Multipart("mixed", []), boundary="1")
