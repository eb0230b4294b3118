"""Drawings of strangers: what SVG Tiny PS allows comes out anew, everything else is refused."""

import gzip
import re
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.checks.bimi import SvgError, sanitise
from posthouse.checks.bimi.svg import SVG_OCTETS

ROOT = 'version="1.2" baseProfile="tiny-ps" viewBox="0 0 100 100" xmlns="http://www.w3.org/2000/svg"'
XLINK = 'xmlns:xlink="http://www.w3.org/1999/xlink"'


def drawing(inside: str, root: str = f"{ROOT} {XLINK}", title: str = "<title>A</title>") -> bytes:
    return f"<svg {root}>{title}{inside}</svg>".encode()


def test_the_published_example_passes(vectors: Path) -> None:
    octets = (vectors / "bimi" / "example.svg").read_bytes()
    clean = sanitise(octets)
    assert b'<circle cx="50" cy="50" r="40" stroke="black" stroke-width="3" fill="red">' in clean
    assert b"<title>Example</title>" in clean
    assert sanitise(clean) == clean
    assert sanitise(gzip.compress(octets)) == clean


@pytest.mark.parametrize(("size", "words"), [
    ('viewBox="...."', "not four numbers"), ('viewBox="0 0 100"', "not four numbers"),
    ('viewBox="0 0 . 1"', "not four"),
    ('viewBox="0 0 0 0"', "has no size"), ('viewBox="0 0 -1 -1"', "has no size"),
    ('viewBox="0 0 1e999 1e999"', "no size"),
    ('viewBox="0 0 200 100"', "not square"), ('width="20" height="10px"', "not square"),
    ('width="0" height="0"', "no size"),
    ('viewBox="0 0 100 99" width="1"', ""), ('viewBox="-5,-5 , 1e2 100.0"', ""), ('width="20px" height="20"', ""),
    ("", "how large"),
])  # fmt: skip
def test_a_drawing_has_a_size_and_is_square(size: str, words: str) -> None:
    octets = drawing("", root=ROOT.replace('viewBox="0 0 100 100"', size))
    if not words:
        assert sanitise(octets)
        return
    with pytest.raises(SvgError, match=words):
        sanitise(octets)


def test_the_whole_vocabulary_of_the_profile_is_kept() -> None:
    inside = (
        '<desc>a &amp; b</desc><defs><linearGradient id="l" gradientUnits="userSpaceOnUse" x1="0" x2="1" y1="0" y2="1">'
        '<stop offset="0" stop-color="red" stop-opacity=".5"/></linearGradient>'
        '<radialGradient id="r" cx="1" cy="1" r="1"/><solidColor id="s" solid-color="blue"/></defs>'
        '<g id="g" transform="rotate(3)" fill="url(#l)" stroke="url( \'#r\' ) none"><path d="M0 0L1 1z"/>'
        '<rect x="1" y="1" width="2" height="2" rx="1" ry="1"/><ellipse cx="1" cy="1" rx="1" ry="2"/>'
        '<line x1="0" y1="0" x2="1" y2="1"/><polyline points="0,0 1,1"/><polygon points="0,0 1,1 2,0"/></g>'
        '<use xlink:href="#g" x="3" y="4"/><text x="1" y="2" font-family="Curlz MT">t<tspan>s</tspan></text>'
        '<textArea x="0" y="0" width="9" height="9">u<tbreak/>v</textArea>'
    )
    clean = sanitise(drawing(inside)).decode()
    written = re.findall(r"<(\w+)", drawing(inside).decode())
    assert re.findall(r"<(\w+)", clean) == written
    assert clean.count("=") == drawing(inside).decode().count("=")
    assert sanitise(clean.encode()) == clean.encode()


@pytest.mark.parametrize(
    ("inside", "reason"),
    [
        ("<script>alert(1)</script>", "<script>"),
        ('<script xlink:href="//x.example/a.js"/>', "<script>"),
        ("<image/>", "<image>"),
        ("<foreignObject><p/></foreignObject>", "<foreignObject>"),
        ('<a xlink:href="https://x.example"><g/></a>', "<a>"),
        ('<animate attributeName="x"/>', "<animate>"),
        ("<set/>", "<set>"),
        ("<handler/>", "<handler>"),
        ("<video/>", "<video>"),
        ("<switch/>", "<switch>"),
        ("<style>*{fill:url(//x.example)}</style>", "<style>"),
        ("<filter/>", "<filter>"),
        ("<svg/>", "<svg>"),
        ('<rect onload="alert(1)"/>', "onload"),
        ('<rect style="fill:red"/>', "style"),
        ('<rect opacity=".5"/>', "opacity"),
        ('<rect fill="url(https://x.example/a#b)"/>', "from outside"),
        ('<rect fill="URL( //x.example/a )"/>', "from outside"),
        ('<rect fill="url(#a) url(data:image/png;base64,AA)"/>', "from outside"),
        ('<rect fill="url(#a"/>', "cannot be read"),
        ('<rect fill="u\\72l(//x.example)"/>', "cannot be read"),
        ('<use xlink:href="https://x.example/a.svg#b"/>', "from outside"),
        ('<use xlink:href="javascript:alert(1)"/>', "from outside"),
        ('<use href="#a"/>', "href"),
        ("<use/>", "of nothing"),
        ('<rect xlink:href="#a"/>', "link"),
        ('<g id="a b"/>', "id"),
        ('<g id="a"/><g id="a"/>', "same id twice"),
        ("<title>B</title>", "more than one title"),
        ('<rect focusable="true"/>', "focusable"),
        ("<title><script/></title>", "title"),
        ("<desc><g/></desc>", "inside of <desc>"),
    ],
)
def test_what_the_profile_does_not_allow_is_refused_with_a_sentence(inside: str, reason: str) -> None:
    with pytest.raises(SvgError, match=re.escape(reason)):
        sanitise(drawing(inside))


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"", "not well-formed"),
        (b"<svg", "not well-formed"),
        (b"\x89PNG\r\n", "not well-formed"),
        (b'<?xml version="1.0" encoding="no-such"?><svg/>', "not well-formed"),
        (b"<html/>", "no SVG drawing"),
        (b'<svg version="1.2" baseProfile="tiny-ps" viewBox="0 0 1 1"/>', "no SVG drawing"),
        (drawing("", root='version="1.1" xmlns="http://www.w3.org/2000/svg"'), "does not call itself"),
        (drawing("", root=ROOT.replace("tiny-ps", "tiny")), "does not call itself"),
        (drawing("", root=f'{ROOT} x="0"'), "attribute x"),
        (drawing("", root=f'{ROOT} width="100%"'), "width"),
        (drawing("", root=ROOT.replace('viewBox="0 0 100 100"', "")), "how large"),
        (drawing("", root=f'{ROOT} zoomAndPan="magnify"'), "zoomAndPan"),
        (drawing("", title=""), "no title"),
        (drawing("", title="<title> </title>"), "no title"),
        (b'<!DOCTYPE svg [<!ENTITY a "b">]>' + drawing("&a;"), "DTD"),
        (b'<!DOCTYPE svg SYSTEM "http://x.example/a.dtd">' + drawing(""), "DTD"),
        (drawing("<g>" * 40 + "</g>" * 40), "levels"),
        (drawing("<x:g xmlns:x='urn:x'>" * 40 + "</x:g>" * 40), "levels"),
        (drawing(f"<desc>{'x' * SVG_OCTETS}</desc>"), "larger than 32"),
        (gzip.compress(drawing(f"<desc>{'x' * SVG_OCTETS}</desc>")), "larger than 32"),
        (gzip.compress(drawing(""))[:-9], "zipped"),
        (b"\x1f\x8bxx", "zipped"),
    ],
)
def test_what_is_no_drawing_of_the_profile_is_refused(octets: bytes, reason: str) -> None:
    with pytest.raises(SvgError, match=reason):
        sanitise(octets)


def test_a_bomb_of_zipped_octets_is_not_inflated() -> None:
    bomb = gzip.compress(b"<svg>" + b" " * 20_000_000)
    tracemalloc.start()
    with pytest.raises(SvgError, match="larger"):
        sanitise(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_things_that_show_things_have_a_bound() -> None:
    many = '<g id="a">' + "<g/>" * 500 + "</g>"
    assert sanitise(drawing(many + '<use xlink:href="#a"/>' * 10))
    with pytest.raises(SvgError, match="10,000 things"):
        sanitise(drawing(many + '<use xlink:href="#a"/>' * 30))
    nested = '<g id="a"><g/></g><g id="b"><use xlink:href="#a"/></g><use xlink:href="#b"/>'
    with pytest.raises(SvgError, match="<use> of what has a <use>"):
        sanitise(drawing(nested))
    with pytest.raises(SvgError, match="<use> of what has a <use>"):
        sanitise(drawing('<g id="a"><use xlink:href="#a"/></g>'))


def test_notes_of_editors_are_left_out() -> None:
    inside = (
        '<metadata><rdf:RDF xmlns:rdf="urn:rdf"><x/></rdf:RDF></metadata><i:view xmlns:i="urn:i" onload="x"><script/>'
        '</i:view><rect xmlns:i="urn:i" i:onload="alert(1)" class="c" role="img" xml:lang="de" width="1" height="1"/>'
        "<?xml-stylesheet href='//x.example'?><!-- a comment -->"
    )
    clean = sanitise(drawing(inside))
    assert clean.endswith(b'<title>A</title><rect width="1" height="1"></rect></svg>')


def test_text_and_values_are_written_so_that_they_stay_text() -> None:
    inside = "<desc>&lt;script&gt;</desc><rect fill='a\"&lt;b' font-family='&#10;x'/>"
    clean = sanitise(drawing(inside, title="<title>&lt;/title&gt;<![CDATA[<b>]]></title>")).decode()
    assert "<title>&lt;/title&gt;&lt;b&gt;</title><desc>&lt;script&gt;</desc>" in clean
    assert "a&quot;&lt;b" in clean
    assert "<b>" not in clean
    assert sanitise(clean.encode()) == clean.encode()


@given(st.binary(max_size=200))
def test_no_octets_whatever_escape_as_another_error(octets: bytes) -> None:
    for document in (octets, drawing("") + octets, b"\x1f\x8b\x08" + octets):
        with suppress(SvgError):
            assert sanitise(document).startswith(b"<svg ")


@given(st.lists(st.sampled_from(["<g>", "</g>", "<script>", "<rect fill='url(", "#a", ")'/>", "<use xlink:href='#a'/>",
                                 "<g id='a'>", "<desc>", "</desc>", "x", "&lt;", "<i:x xmlns:i='u'/>"]), max_size=12))
def test_what_comes_out_is_always_of_the_profile(pieces: list[str]) -> None:
    try:
        clean = sanitise(drawing("".join(pieces)))
    except SvgError:
        return
    assert sanitise(clean) == clean
    assert b"<script" not in clean
