"""Transfer encodings and charsets: whatever is found is made into something, without a complaint."""

import base64
import quopri

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from posthouse.mail import charsets
from posthouse.mail.tokens import unfold, without_comments
from posthouse.mail.transfer import (
    decode_base64,
    decode_quoted_printable,
    decode_transfer,
    decode_uuencode,
    encode_base64,
    encode_quoted_printable,
)


@given(st.binary(max_size=300))
def test_base64_comes_back(octets: bytes) -> None:
    encoded = encode_base64(octets)
    assert decode_base64(encoded) == octets
    assert base64.b64decode(encoded) == octets
    assert all(len(line) <= 76 for line in encoded.split(b"\r\n"))


@pytest.mark.parametrize(
    ("encoded", "octets"),
    [
        (b"aGVsbG8=", b"hello"),
        (b"aGVsbG8", b"hello"),
        (b"aGVs!\0bG8 =\r\n", b"hello"),
        (b"aGVsbG8=aGVsbG8=", b"hellohello"),
        (b"aGVsbG8=\r\nd29ybGQ=\r\n", b"helloworld"),
        (b"aGVsbG8= ignored?", b"hello" + base64.b64decode("ignored=")),
        (b"aGVsbG8h" + b"x", b"hello!"),
        (b"=", b""),
        (b"", b""),
        (b"====", b""),
        (b"a", b""),
        (b"\xff\xfe", b""),
    ],
)
def test_broken_base64_gives_what_there_is(encoded: bytes, octets: bytes) -> None:
    assert decode_base64(encoded) == octets


@given(st.text(st.characters(exclude_characters="\r\n", exclude_categories=("Cs",)), max_size=200).map(str.encode))
@example(b"x" * 75 + b" ")
@example(b"x" * 74 + b"\t")
@example(b"x" * 70 + b"\xc3\xbc ")
def test_quoted_printable_comes_back(line: bytes) -> None:
    text = line + b"\r\nsecond line \r\n.\r\n" + line
    encoded = encode_quoted_printable(text)
    assert decode_quoted_printable(encoded) == text
    assert quopri.decodestring(encoded).replace(b"\r\n", b"\n") == text.replace(b"\r\n", b"\n")
    assert encoded.isascii()
    assert all(len(part) <= 76 for part in encoded.split(b"\r\n"))
    assert b"\n" not in encoded.replace(b"\r\n", b"")


@pytest.mark.parametrize(
    ("encoded", "octets"),
    [
        (b"a=3Db", b"a=b"),
        (b"a=\r\nb", b"ab"),
        (b"a=\nb", b"ab"),
        (b"a=  \r\nb", b"ab"),
        (b"a  \t\r\nb", b"a\r\nb"),
        (b"a=zzb=", b"a=zzb"),
        (b"=e4=E4", b"\xe4\xe4"),
        (b"raw \xe4", b"raw \xe4"),
    ],
)
def test_broken_quoted_printable_gives_what_there_is(encoded: bytes, octets: bytes) -> None:
    assert decode_quoted_printable(encoded) == octets


def test_uuencode_is_read_with_and_without_its_frame() -> None:
    lines = b"%:&5L;&\\`\n%=V]R;&0`\n"
    assert decode_uuencode(b"begin 644 name with spaces.txt\n" + lines + b"`\nend\n") == b"helloworld"
    assert (
        decode_uuencode(b"Some words\r\n\r\nbegin 644 x\r\n" + lines.replace(b"\n", b"\r\n") + b"`\r\nend\r\n")
        == b"helloworld"
    )
    assert decode_uuencode(lines) == b"helloworld"
    assert decode_uuencode(b"begin 644 x\n\xff\xff\nend\n") == b""
    assert decode_transfer(b"begin 644 x\n%:&5L;&\\`\nend\n", "x-uuencode") == b"hello"


def test_uuencode_without_its_spaces_is_filled_up_but_never_grows_large() -> None:
    assert decode_uuencode(b"begin 644 x\n&86)C\nend\n") == b"abc\0\0\0"
    assert decode_uuencode(b"begin 644 x\nM86)C\nend\n") == b"abc"
    assert len(decode_uuencode(b"M\n" * 10_000)) <= 20_000


def test_an_unknown_encoding_is_taken_for_none() -> None:
    for name in ("7bit", "8bit", "binary", "", "x-rot13", "zip"):
        assert decode_transfer(b"abc=3D", name) == b"abc=3D"


@given(st.binary(max_size=300))
def test_no_octets_raise(octets: bytes) -> None:
    for name in ("base64", "quoted-printable", "uuencode", "7bit"):
        assert isinstance(decode_transfer(octets, name), bytes)
    without_comments(octets)
    assert b"\n" not in unfold(octets)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (b"a (b) c", b"a   c"),
        (b"a (b (c) \\) d) e", b"a   e"),
        (b'a "(b)" (c) d', b'a "(b)"   d'),
        (b'a "\\"(b)" c', b'a "\\"(b)" c'),
        (b'a (x " y) b (z) c', b"a   b   c"),
        (b"a (b", b"a "),
        (b"a) b", b"a) b"),
    ],
)
def test_comments_are_taken_out_and_quoted_strings_are_not(value: bytes, kept: bytes) -> None:
    assert without_comments(value) == kept


# --- charsets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "charset", "text"),
    [
        (b"J\xf6rg", "iso-8859-1", "Jörg"),
        (b"\x80", "ISO-8859-1", "€"),
        (b"\xa4", "iso-8859-15", "€"),
        (b"J\xc3\xb6rg", "us-ascii", "Jörg"),
        (b"J\xf6rg", "us-ascii", "Jörg"),
        (b"J\xf6rg", "", "Jörg"),
        (b"J\xc3\xb6rg", "x-unknown-thing", "Jörg"),
        (b"J\xf6rg", "utf-8", "J\ufffdrg"),
        (b"J\xc3\xb6rg", '"UTF-8"', "Jörg"),
        (b"\xc3\xb6", "koi8-r", "ц╤"),
        (b"\x93\xfa\x96{", "Shift_JIS", "日本"),
        (b"\x81", "shift_jis", "\ufffd"),
        ("ö".encode(), "shift_jis", "\uff83\uff76"),
        (b"+AGE-", "utf-7", "a"),
        (b"\xff\xfea\0", "utf-16", "a"),
        (b"abc", "zip", "abc"),
        (b"abc", "rot13", "abc"),
        (b"abc", "punycode", "abc"),
        (b"\\x41", "unicode_escape", "\\x41"),
        (b"abc", "idna", "abc"),
        (b"abc", "hex", "abc"),
        (b"abc", "../../etc/passwd", "abc"),
        (b"abc", "mbcs", "abc"),
        (b"abc", "undefined", "abc"),
        (b"abc", "a\0b", "abc"),
    ],
)
def test_octets_become_text(octets: bytes, charset: str, text: str) -> None:
    assert charsets.decode(octets, charset) == text


def test_every_charset_on_the_list_is_a_charset() -> None:
    for name in set(charsets._CODECS.values()):
        assert isinstance(b"abc\n".decode(name, "replace"), str)
        assert "a" in "a".encode(name).decode(name)


def test_utf_7_is_read_up_to_a_bound() -> None:
    octets = b"+AGE-" * (charsets.UTF7_OCTETS // 5 + 1)
    assert charsets.decode(octets, "utf-7").startswith("+AGE-")


@given(st.binary(max_size=100), st.sampled_from(sorted(charsets._CODECS)) | st.text(max_size=20))
def test_no_charset_raises(octets: bytes, charset: str) -> None:
    assert isinstance(charsets.decode(octets, charset), str)
