"""SVG Tiny Portable/Secure: whether a drawing keeps to the profile, and the drawing anew, made of nothing else.

    sanitise(octets)        b'<svg xmlns="http://www.w3.org/2000/svg" …', or SvgError("the drawing has a <script>")

The profile (draft-svg-tiny-ps-abrotman) is SVG Tiny 1.2 without scripts, links, animation, media, raster images and
anything from outside. What breaks it is refused with a sentence. What belongs to other vocabularies (an editor's
notes, metadata, RDFa) cannot draw and is left out. The result is written from lists of what may be there, never
copied from what came, so that what a browser gets was understood here; sanitising it again gives the same octets.

The drawing of a stranger can also be too much: `use` shows a thing again, and things that show things grow beyond all
bounds. So at most 32 KiB (zipped ones as well), 32 levels, and 10,000 things to draw.
"""

import re
import zlib
from math import inf
from typing import NamedTuple
from xml.sax.saxutils import escape

from defusedxml.ElementTree import DefusedXMLParser, ParseError

# draft-svg-tiny-ps-abrotman §2.4: not more than 32 kilobytes, unzipped.
SVG_OCTETS = 32_768
_LEVELS = 32
_DRAWN = 10_000

SVG = "http://www.w3.org/2000/svg"
_XLINK_HREF = "{http://www.w3.org/1999/xlink}href"

# Properties that any element may have (SVG Tiny 1.2, appendix on properties), and its name.
_PROPERTIES = frozenset((
    "buffered-rendering", "color", "color-rendering", "direction", "display", "display-align", "fill", "fill-opacity",
    "fill-rule", "font-family", "font-size", "font-style", "font-variant", "font-weight", "id", "image-rendering",
    "line-increment", "shape-rendering", "solid-color", "solid-opacity", "stop-color", "stop-opacity", "stroke",
    "stroke-dasharray", "stroke-dashoffset", "stroke-linecap", "stroke-linejoin", "stroke-miterlimit",
    "stroke-opacity", "stroke-width", "text-align", "text-anchor", "text-rendering", "unicode-bidi", "vector-effect",
    "viewport-fill", "viewport-fill-opacity", "visibility",
))
# Allowed, and without any use for a picture: left out.
_IGNORED = frozenset((
    "about", "class", "content", "contentScriptType", "datatype", "property", "rel", "requiredExtensions",
    "requiredFeatures", "requiredFonts", "requiredFormats", "resource", "rev", "role", "systemLanguage", "typeof",
))
# The only values these may have (§2.3); left out as well, as that is what there is without them.
_FIXED = {
    "zoomAndPan": "disable", "externalResourcesRequired": "false", "focusable": "false", "snapshotTime": "none",
    "playbackOrder": "all", "timelineBegin": "onLoad", "editable": "none",
}
# Every element of the profile with what else it may have.
_ELEMENTS: dict[str, frozenset[str]] = {
    name: _PROPERTIES | frozenset(attributes.split())
    for name, attributes in {
        "svg": "version baseProfile viewBox width height preserveAspectRatio",
        "title": "", "desc": "", "defs": "",
        "g": "transform",
        "use": "transform x y",
        "path": "transform d pathLength",
        "rect": "transform x y width height rx ry",
        "circle": "transform cx cy r",
        "ellipse": "transform cx cy rx ry",
        "line": "transform x1 y1 x2 y2",
        "polyline": "transform points",
        "polygon": "transform points",
        "text": "transform x y rotate",
        "tspan": "",
        "textArea": "transform x y width height",
        "tbreak": "",
        "linearGradient": "gradientUnits x1 y1 x2 y2",
        "radialGradient": "gradientUnits cx cy r",
        "stop": "offset",
        "solidColor": "",
    }.items()
}
_TEXT = frozenset(("title", "desc", "text", "tspan", "textArea"))
# Elements whose content is text about the picture and no picture.
_SILENT = frozenset(("title", "desc"))

_is_name = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,255}").fullmatch
_is_reference = re.compile(r"#([A-Za-z_][A-Za-z0-9_.:-]{0,255})").fullmatch
_find_urls = re.compile(r"url\s*\(\s*([^)]*?)\s*\)", re.IGNORECASE).findall
_find_beginnings = re.compile(r"url\s*\(", re.IGNORECASE).findall
_is_length = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?(?:px)?").fullmatch
_NUMBER = r"([+-]?(?:[0-9]{1,20}(?:\.[0-9]{1,20})?|\.[0-9]{1,20})(?:[eE][+-]?[0-9]{1,3})?)"
_match_box = re.compile(r"\s*" + r"(?:\s+|\s*,\s*)".join([_NUMBER] * 4) + r"\s*").fullmatch
# What a drawing program leaves by rounding is no oblong.
_CROOKED = 0.01
_blank = re.compile(r"[\0-\x1f\x7f]+").sub


class SvgError(ValueError):
    """The drawing is not to be shown. The text is a sentence."""


class _Open(NamedTuple):
    """An element that is not closed yet: its name, and how many things were drawn before it."""

    name: str
    id: str
    drawn_before: int
    uses_before: int


def sanitise(octets: bytes) -> bytes:
    """The drawing, SVG or gzipped SVG, written anew in UTF-8. Raises SvgError with a sentence."""
    octets = _unzipped(octets)
    drawing = _Drawing()
    # No DTD: entities are how a small document becomes a large one.
    parser = DefusedXMLParser(target=drawing, forbid_dtd=True)
    try:
        parser.feed(octets)
        parser.close()
    except SvgError:
        raise
    except (ParseError, ValueError, LookupError) as error:
        raise SvgError("the drawing is not well-formed XML without a DTD") from error
    return drawing.finish()


def _unzipped(octets: bytes) -> bytes:
    if octets.startswith(b"\x1f\x8b"):
        inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            octets = inflater.decompress(octets, SVG_OCTETS + 1)
        except zlib.error as error:
            raise SvgError("the drawing is not zipped correctly") from error
        if not inflater.eof and len(octets) <= SVG_OCTETS:
            raise SvgError("the drawing is not zipped correctly")
    if len(octets) > SVG_OCTETS:
        raise SvgError(f"the drawing is larger than {SVG_OCTETS // 1024} kilobytes")
    return octets


class _Drawing:
    """What the parser tells of, element by element, checked and written down at once."""

    def __init__(self) -> None:
        self._written: list[str] = []
        self._open: list[_Open] = []
        self._skipped = 0
        self._titled = False
        self._title = ""
        self._drawn = 0
        self._references: list[str] = []
        # For each id how much is drawn with it, and whether a `use` is in it.
        self._sizes: dict[str, tuple[int, bool]] = {}
        self._ids: set[str] = set()

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self._open) + self._skipped >= _LEVELS:
            raise SvgError(f"the drawing has more than {_LEVELS} levels")
        name = tag.removeprefix(f"{{{SVG}}}")
        foreign = name == tag
        if not self._open and not self._skipped and (foreign or name != "svg"):
            raise SvgError("the document is no SVG drawing")
        if self._skipped or (foreign and tag.startswith("{")) or name == "metadata":
            self._skipped += 1
            return
        if foreign or name not in _ELEMENTS or (name == "svg" and self._open):
            raise SvgError(f"the drawing has a <{_shown(name)}>, which SVG Tiny PS does not allow")
        if not self._open:
            _check_root(attributes)
        self._check_title(name)
        self._enter(name, _kept(name, attributes))

    def end(self, tag: str) -> None:
        if self._skipped:
            self._skipped -= 1
            return
        element = self._open.pop()
        self._written.append(f"</{element.name}>")
        if element.id:
            drawn, uses = self._drawn - element.drawn_before, len(self._references) > element.uses_before
            self._sizes[element.id] = (drawn, uses)

    def data(self, text: str) -> None:
        if self._skipped or not self._open or self._open[-1].name not in _TEXT:
            return
        if self._open[-1].name == "title" and len(self._open) == 2:
            self._title += text
        self._written.append(escape(_blank(" ", text)))

    def close(self) -> None:
        return None

    def finish(self) -> bytes:
        """The drawing, when all of it was read."""
        if not self._title.strip():
            raise SvgError("the drawing has no title")
        drawn = self._drawn
        for reference in self._references:
            size, uses = self._sizes.get(reference, (0, False))
            if uses:
                raise SvgError("the drawing has a <use> of what has a <use> itself")
            drawn += size
        if drawn > _DRAWN:
            raise SvgError(f"the drawing draws more than {_DRAWN:,} things")
        return "".join(self._written).encode()

    def _check_title(self, name: str) -> None:
        if name == "title" and len(self._open) == 1:
            if self._titled:
                raise SvgError("the drawing has more than one title")
            self._titled = True
        elif self._open and self._open[-1].name in _SILENT:
            raise SvgError(f"the drawing has a <{name}> inside of <{self._open[-1].name}>")

    def _enter(self, name: str, kept: dict[str, str]) -> None:
        known = kept.get("id", "")
        if known in self._ids:
            raise SvgError("the drawing has the same id twice")
        self._ids.update((known,) if known else ())
        self._open.append(_Open(name, known, self._drawn, len(self._references)))
        self._drawn += 1
        if name == "use":
            self._references.append(kept["xlink:href"][1:])
        spaces = f' xmlns="{SVG}" xmlns:xlink="http://www.w3.org/1999/xlink"' if name == "svg" else ""
        told = "".join(f' {attribute}="{escape(value, _QUOTE)}"' for attribute, value in kept.items())
        self._written.append(f"<{name}{spaces}{told}>")


_QUOTE = {'"': "&quot;"}


def _check_root(attributes: dict[str, str]) -> None:
    """What <svg> has to have and must not have (§2.1, §6.2)."""
    if attributes.get("version") != "1.2" or attributes.get("baseProfile") != "tiny-ps":
        raise SvgError('the drawing does not call itself version="1.2" baseProfile="tiny-ps"')
    for name in ("x", "y"):
        if name in attributes:
            raise SvgError(f"the drawing as a whole has the attribute {name}, which SVG Tiny PS does not allow")
    for name in ("width", "height"):
        if name in attributes and not _is_length(attributes[name].strip()):
            raise SvgError(f"the {name} of the drawing is no number of pixels")
    box = attributes.get("viewBox", "")
    if box:
        numbers = _match_box(box)
        if numbers is None:
            raise SvgError("the viewBox of the drawing is not four numbers")
        width, height = float(numbers[3]), float(numbers[4])
    elif "width" in attributes and "height" in attributes:
        width, height = (float(attributes[name].strip().removesuffix("px")) for name in ("width", "height"))
    else:
        raise SvgError("the drawing does not say how large it is")
    if not (0 < width < inf and 0 < height < inf):
        raise SvgError("the drawing has no size")
    # Mail programs have a square or a circle for it, and would cut it or press it together.
    if abs(width - height) > _CROOKED * max(width, height):
        raise SvgError("the drawing is not square")


def _kept(name: str, attributes: dict[str, str]) -> dict[str, str]:
    """The attributes of one element that are written anew. Raises SvgError for what the profile does not allow."""
    kept: dict[str, str] = {}
    allowed = _ELEMENTS[name]
    for attribute, value in attributes.items():
        if attribute == "{http://www.w3.org/XML/1998/namespace}id":
            attribute = "id"
        if attribute in allowed:
            if attribute == "id" and not _is_name(value):
                raise SvgError("the drawing has an id that is no name")
            kept[attribute] = _local(attribute, _blank(" ", value))
        elif attribute == _XLINK_HREF and name == "use":
            if not _is_reference(value):
                raise SvgError("the drawing has a <use> of something from outside")
            kept["xlink:href"] = value
        elif attribute in _FIXED:
            if value != _FIXED[attribute]:
                raise SvgError(f"the attribute {attribute} may only be {_FIXED[attribute]}")
        elif attribute == _XLINK_HREF:
            raise SvgError(f"the drawing has a link at <{name}>, which SVG Tiny PS does not allow")
        elif not attribute.startswith("{") and attribute not in _IGNORED:
            raise SvgError(f"the attribute {_shown(attribute)} at <{name}> is not in SVG Tiny PS")
    if name == "use" and "xlink:href" not in kept:
        raise SvgError("the drawing has a <use> of nothing")
    return kept


def _local(attribute: str, value: str) -> str:
    """The value, if all it refers to is in the drawing itself."""
    for reference in _find_urls(value):
        if not _is_reference(reference.strip("'\"")):
            raise SvgError(f"the attribute {attribute} refers to something from outside")
    # A browser also takes escapes for letters, and "url(" without its end for a reference.
    if "\\" in value or len(_find_beginnings(value)) != len(_find_urls(value)):
        raise SvgError(f"the attribute {attribute} has a reference that cannot be read")
    return value


def _shown(name: str) -> str:
    return name[:40] if name[:40].isprintable() else ascii(name[:40])[1:-1]
