"""What lists show of a message: facts, base subjects, previews, attachments."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mail.address import Address
from posthouse.mail.bodies import bodies
from posthouse.mail.facts import IDENTIFIER_CHARACTERS, REFERENCES, SUBJECT_CHARACTERS, base_subject, facts
from posthouse.mail.message import Message
from posthouse.mail.preview import PREVIEW_CHARACTERS, readable


def of(*lines: str) -> Message:
    return Message.parse("\r\n".join(lines).encode())


def test_an_ordinary_letter_has_all_its_facts() -> None:
    known = facts(
        of(
            "From: =?utf-8?q?J=C3=B6rg?= <joerg@x.example>",
            "To: b@y.example",
            "Subject: Re: [list] Gr=?utf-8?q?=C3=BC?=n",
            "Date: Sat, 01 Mar 2025 19:15:30 +0100",
            "Message-ID: <1@x.example>",
            "In-Reply-To: <0@y.example> (of Friday)",
            "References: <a@y.example>\r\n <0@y.example>",
            "",
            "Guten  Tag,",
            "",
            "\tBob!",
        )
    )
    assert known.message_id == "1@x.example"
    assert known.subject == "Re: [list] Grün"
    assert known.base_subject == "[list] grün"[7:]
    assert known.sent_at == datetime(2025, 3, 1, 18, 15, 30, tzinfo=UTC).timestamp() * 1e6
    assert known.header_from == Address("joerg", "x.example")
    assert known.display_name == "Jörg"
    assert known.in_reply_to == "0@y.example"
    assert known.references == ("a@y.example", "0@y.example")
    assert not known.has_attachment
    assert known.preview == "Guten Tag, Bob!"


def test_where_nothing_is_said_nothing_is_known() -> None:
    known = facts(Message.parse(b""))
    assert (known.message_id, known.subject, known.base_subject, known.in_reply_to, known.preview) == ("",) * 5
    assert known.sent_at is None
    assert known.header_from is None
    assert known.references == ()
    assert not known.has_attachment


def test_broken_identifiers_are_taken_as_they_are() -> None:
    assert facts(of("Message-ID: no-brackets@x", "", "")).message_id == "no-brackets@x"
    assert facts(of("Message-ID: <a b@x>", "", "")).message_id == "a b@x"
    assert facts(of("Message-ID:", "", "")).message_id == ""
    assert facts(of("References: <a@x><b@x> junk <c@x", "", "")).references == ("a@x", "b@x")


def test_every_fact_is_bounded() -> None:
    known = facts(
        of(
            "Subject: " + "s" * 100_000,
            "Message-ID: <" + "m" * 50_000 + ">",
            "From: " + "n" * 100_000 + " <a@x.example>",
            "References: " + " ".join(f"<{n}@x>" for n in range(5_000)),
            "",
            "p" * 100_000,
        )
    )
    assert len(known.subject) == SUBJECT_CHARACTERS
    assert len(known.message_id) <= IDENTIFIER_CHARACTERS
    assert len(known.display_name) <= SUBJECT_CHARACTERS
    assert len(known.references) == REFERENCES
    assert known.references[-1] == "4999@x"
    assert len(known.preview) == PREVIEW_CHARACTERS


def test_no_fact_can_break_out_of_its_line() -> None:
    known = facts(
        of(
            "Subject: =?utf-8?q?a=0D=0Ab=00c=1B[31m?=",
            "From: =?utf-8?q?x=0Ay?= <a@x.example>",
            "Message-ID: <a\x1bb@x>",
            "",
            "one\x1b[31m\x00two\x07",
        ),
    )
    for text in (known.subject, known.base_subject, known.display_name, known.message_id, known.preview):
        assert text
        assert not set(map(chr, range(32))) & set(text)


@given(st.binary(max_size=400))
def test_no_octets_raise(octets: bytes) -> None:
    for head in (b"", b"Subject: ", b"From: ", b"Date: ", b"References: ", b"Content-Type: text/html\r\n\r\n"):
        known = facts(Message.parse(head + octets))
        assert len(known.preview) <= PREVIEW_CHARACTERS


# --- base subjects (RFC 5256 §2.1) --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subject", "base"),
    [
        ("", ""),
        ("Lunch", "lunch"),
        ("Re: Lunch", "lunch"),
        ("RE:Lunch", "lunch"),
        ("re : Lunch", "lunch"),
        ("Fw: Lunch", "lunch"),
        ("Fwd: Lunch", "lunch"),
        ("Re: Fwd: re: Lunch", "lunch"),
        ("Re[2]: Lunch", "lunch"),
        ("Re [x] : Lunch", "lunch"),
        ("[list] Lunch", "lunch"),
        ("[a] [b] Re: Lunch", "lunch"),
        ("[a] Re: [b] Lunch", "lunch"),
        ("[list]", "[list]"),
        ("[a] [b]", "[b]"),
        ("Re: [list]", "[list]"),
        ("[list] Re:", ""),
        ("Lunch (fwd)", "lunch"),
        ("Lunch (fwd) (FWD)  ", "lunch"),
        ("[Fwd: Lunch]", "lunch"),
        ("[fwd: Re: Lunch (fwd)]", "lunch"),
        ("Re: [Fwd: [list] Lunch]", "lunch"),
        ("Reply: Lunch", "reply: lunch"),
        ("Lunch  \t on   Monday", "lunch on monday"),
        ("AW: Essen", "aw: essen"),
        ("Größe", "grösse"),
        ("Re:", ""),
        ("[", "["),
        ("]", "]"),
        ("[a", "[a"),
        ("Re: Re", "re"),
        ("(fwd)", ""),
        ("[fwd:]", ""),
        ("fwd", "fwd"),
    ],
)
def test_a_base_subject_is_what_a_thread_shares(subject: str, base: str) -> None:
    assert base_subject(subject) == base


@given(st.text("Re: [fwd]()x\t", max_size=40))
def test_a_base_subject_is_its_own_base(subject: str) -> None:
    assert base_subject(base_subject(subject)) == base_subject(subject)


# --- text, HTML, attachments (RFC 8621 §4.1.4) ---------------------------------------------------------

EXAMPLE = """Content-Type: multipart/mixed; boundary=1

--1
Content-Disposition: inline

A
--1
Content-Type: multipart/mixed; boundary=2

--2
Content-Type: multipart/alternative; boundary=3

--3
Content-Type: multipart/mixed; boundary=4

--4
Content-Disposition: inline

B
--4
Content-Type: image/jpeg
Content-Disposition: inline

C
--4
Content-Disposition: inline

D
--4--
--3
Content-Type: multipart/related; boundary=5

--5
Content-Type: text/html

E
--5
Content-Type: image/jpeg

F
--5--
--3--
--2
Content-Type: image/jpeg
Content-Disposition: attachment

G
--2
Content-Type: application/x-excel

H
--2
Content-Type: message/rfc822

J: j

--2--
--1
Content-Disposition: inline

K
--1--
"""


def test_the_example_of_the_standard_is_split_as_it_says() -> None:
    split = bodies(Message.parse(EXAMPLE.encode()).root)

    def letters(parts: object) -> str:
        return "".join(part.body().decode()[:1] for part in parts)  # type: ignore[attr-defined]

    assert letters(split.text) == "ABCDK"
    assert letters(split.html) == "AEK"
    assert letters(split.attachments) == "CFGHJ"
    assert split.has_attachment


@pytest.mark.parametrize(
    ("lines", "attached"),
    [
        (["", "text"], False),
        (["Content-Type: text/html", "", "<p>"], False),
        (["Content-Type: image/png", "", "x"], False),
        (["Content-Type: application/pdf", "", "x"], True),
        (["Content-Disposition: attachment", "", "text"], True),
        (["Content-Type: application/pdf", "Content-Disposition: inline", "", "x"], False),
        (["Content-Type: message/rfc822", "", "A: b", "", ""], True),
        (
            [
                "Content-Type: multipart/alternative; boundary=b",
                "",
                "--b",
                "",
                "x",
                "--b",
                "Content-Type: text/html",
                "",
                "y",
            ],
            False,
        ),
        (
            [
                "Content-Type: multipart/mixed; boundary=b",
                "",
                "--b",
                "",
                "x",
                "--b",
                "Content-Type: text/plain; name=a.txt",
                "",
                "y",
            ],
            True,
        ),
    ],
)
def test_an_attachment_is_what_is_offered_for_saving(lines: list[str], attached: bool) -> None:
    assert facts(of(*lines)).has_attachment is attached


# --- previews -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Hello <b>wor</b>ld</p><p>again</p>", "Hello world again"),
        ("<html><head><title>T</title></head><style>p{a:b}</style><body>x<script>if(a<b){}</script>y", "x y"),
        ("a &lt;b&gt; &amp; &#8364;&nbsp;c", "a <b> & € c"),
        ("a<!-- hidden <b>x</b> -->b", "ab"),
        ("a<!-- never closed <b>x</b>", "a"),
        ("a<br/>b<BR>c", "a b c"),
        ("a<script src=x />b", "a b"),
        ("a < b", "a"),
        ("<", ""),
        ("", ""),
        ("<p", ""),
    ],
)
def test_html_is_read_for_its_words(html: str, text: str) -> None:
    assert " ".join(readable(html, 1000).split()) == text


def test_a_preview_takes_the_text_that_is_shown_first() -> None:
    message = of(
        "Content-Type: multipart/alternative; boundary=b",
        "",
        "--b",
        "Content-Type: text/html",
        "",
        "<p>HTML</p>",
        "--b",
        "",
        "plain",
        "--b--",
    )
    assert facts(message).preview == "plain"
    assert facts(of("Content-Type: text/html", "", "<title>no</title><p>yes</p>")).preview == "yes"
    assert facts(of("Content-Type: image/png", "", "x")).preview == ""


def test_a_preview_looks_further_where_a_message_begins_with_nothing() -> None:
    assert facts(of("", *[""] * 2000, "at last")).preview == "at last"
    assert facts(of("", *[""] * 200_000, "too late")).preview == ""


def test_a_preview_decodes_what_it_shows() -> None:
    assert (
        facts(
            of("Content-Transfer-Encoding: base64", "Content-Type: text/plain; charset=utf-8", "", "R3LDvMOfZQ==")
        ).preview
        == "Grüße"
    )
    assert (
        facts(
            of(
                "Content-Transfer-Encoding: quoted-printable",
                "Content-Type: text/plain; charset=iso-8859-1",
                "",
                "Gr=FC=DFe=\r\n!",
            )
        ).preview
        == "Grüße!"
    )
