"""Encoded words: decoded as they were meant, encoded as they must be."""

import json
from email.header import decode_header, make_header
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mail.words import decode_words, encode_phrase, encode_words, one_line


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"plain", "plain"),
        (b"", ""),
        # RFC 2047 §8
        (b"(=?ISO-8859-1?Q?a?=)", "(a)"),
        (b"(=?ISO-8859-1?Q?a?= b)", "(a b)"),
        (b"(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)", "(ab)"),
        (b"(=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=)", "(ab)"),
        (b"(=?ISO-8859-1?Q?a?=\r\n    =?ISO-8859-1?Q?b?=)", "(ab)"),
        (b"(=?ISO-8859-1?Q?a_b?=)", "(a b)"),
        (b"(=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=)", "(a b)"),
        (
            b"=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?= =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=",
            "If you can read this you understand the example.",
        ),
        # RFC 2231 §5
        (b"=?US-ASCII*EN?Q?Keith_Moore?=", "Keith Moore"),
        # characters cut between words
        (b"=?utf-8?b?w7?= =?utf-8?b?Y=?=", "ö"),
        (b"=?utf-8?b?w?= =?utf-8?b?7Y=?=", "ö"),
        (b"=?UTF-8?Q?=F0=9F?= =?utf-8?q?=98=80?=", "😀"),
        (b"=?UTF-8?B?8J+Y?= =?utf-8?q?=80?=", "😀"),
        (b"=?iso-2022-jp?B?GyRCJUYlOSVIGyhC?=", "テスト"),
        (b"=?gb2312?B?1tDOxA==?=", "中文"),
        (b"=?ks_c_5601-1987?B?x9GxuQ==?=", "한국"),
        (b"=?windows-1251?Q?=CF=F0=E8=E2=E5=F2?=", "Привет"),
        # charsets that are unknown or wrong
        (b"=?x-nonsense?q?caf=C3=A9?=", "café"),
        (b"=?x-nonsense?q?caf=E9?=", "café"),
        (b"=?us-ascii?q?caf=E9?=", "café"),
        (b"=?utf-8?q?caf=E9?=", "caf\ufffd"),
        (b"=?zip?q?abc?=", "abc"),
        (b"=?rot13?q?abc?=", "abc"),
        (b"=?unicode_escape?q?=5Cx41?=", "\\x41"),
        # broken words
        (b"=?utf-8?q?hello world?=", "hello world"),
        (b"=?utf-8?b?aGVs bG8=?=", "hello"),
        (b"=?utf-8?b?aGVsbG8?=", "hello"),
        (b"=?utf-8?b?aGVsbG8==?=", "hello"),
        (b"=?utf-8?q?a=ZZb?=", "a=ZZb"),
        (b"=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
        (b"=?utf-8?q?abc", "=?utf-8?q?abc"),
        (b"=?", "=?"),
        (b"a=?utf-8?q?b?=c", "abc"),
        # raw octets
        ("naïve".encode(), "naïve"),
        (b"na\xefve", "naïve"),
        # nothing that could break out of one line
        (b"=?utf-8?q?a=0D=0ABcc:_b=00c?=", "a  Bcc: b c"),
        (b"a\tb", "a b"),
        (b"=?utf-8?q?=E2=80=A8x?=", " x"),
    ],
)
def test_words_are_decoded(value: bytes, text: str) -> None:
    assert decode_words(value) == text


TEXTS = ["Grüße aus Köln", "日本語の題名" * 20, "x" * 300 + "ü", "😀" * 60, "é", "=?utf-8?q?x?=", "a =? b", " ", "ü  b"]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("column", [0, 9, 50])
def test_what_is_encoded_decodes_to_the_same(text: str, column: int) -> None:
    encoded = encode_words(text, column=column)
    assert encoded.isascii()
    assert decode_words(encoded.encode()) == text
    lines = ("x" * column + encoded).split("\r\n")
    assert max(map(len, lines)) <= 76
    assert all(
        len(word) <= 75 for line in encoded.split("\r\n") for word in [line.strip(" ")] if word.startswith("=?utf")
    )
    assert str(make_header(decode_header(encoded))) == text


def test_ascii_is_left_alone_unless_it_has_to_be_encoded() -> None:
    assert encode_words("Lunch on Monday?") == "Lunch on Monday?"
    assert encode_words("a" * 200, force=True).startswith("=?utf-8?q?aaa")


def test_every_word_holds_whole_characters() -> None:
    for word in encode_words("ä" * 200).split("\r\n "):
        assert set(decode_words(word.encode())) == {"ä"}


@given(st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=200))
def test_any_text_survives(text: str) -> None:
    assert decode_words(encode_words(text).encode()) == text


def test_a_display_name_is_written_as_simply_as_it_can_be() -> None:
    assert encode_phrase("Alice Smith") == "Alice Smith"
    assert encode_phrase("Smith, Alice") == '"Smith, Alice"'
    assert encode_phrase('Al "x" \\') == '"Al \\"x\\" \\\\"'
    assert encode_phrase("Jörg").startswith("=?utf-8?")
    assert encode_phrase("=?utf-8?q?x?=").startswith("=?utf-8?")
    assert encode_phrase("") == '""'


@given(st.binary(max_size=200))
def test_no_octets_raise_or_leave_a_control_character(value: bytes) -> None:
    for octets in (value, b"=?utf-8?q?" + value + b"?=", b"=?utf-7?b?" + value + b"?="):
        text = decode_words(octets)
        assert text == one_line(text)
        assert not set(map(chr, range(32))) & set(text)


# Place in the public set → why we differ.
EXCEPTIONS = {
    1: "white space is shown as it came, a tab as a space; lists fold it where they need to",
    2: "the same",
    11: "an empty word is nothing, not a space",
    12: "white space in a word is kept: encoders that forget to encode it mean it",
    13: "the same",
    14: "no space is added before a word",
}


def test_the_public_set_is_read_alike(vectors: Path) -> None:
    differing = {
        place
        for place, case in enumerate(json.loads((vectors / "mime/mail-parser/fields/unstructured.json").read_text()))
        if decode_words(case["header"].encode()).strip() != case["expected"]
    }
    assert differing == set(EXCEPTIONS)
