"""The first words of a message, for lists (in the manner of RFC 8970)."""

from html import unescape

from posthouse.mail.bodies import Bodies
from posthouse.mail.parts import Part
from posthouse.mail.words import one_line

# RFC 8970 §3.1
PREVIEW_CHARACTERS = 200

# So much of a body is looked at: at first, and where that gave too little. HTML begins with what nobody reads.
_PLAIN_OCTETS = (320, 2_000, 64_000)
_HTML_OCTETS = (64_000,)

# What stands between these tags is not for reading; these others break words apart by themselves.
_HIDDEN = frozenset(("head", "script", "style", "title", "template", "noscript", "svg"))
_INLINE = frozenset(("a", "abbr", "b", "big", "code", "em", "font", "i", "small", "span", "strong", "sub", "sup", "u"))


def preview(parts: Bodies) -> str:
    """The beginning of the text, at most 200 characters on one line; empty where there is none."""
    for part in parts.text:
        if part.content_type[0] != "text":
            continue
        line = ""
        for limit in _HTML_OCTETS if part.content_type[1] == "html" else _PLAIN_OCTETS:
            line = _line(part, limit)
            if len(line) >= PREVIEW_CHARACTERS or part.size <= limit:
                break
        if line:
            return one_line(line[:PREVIEW_CHARACTERS])
    return ""


def _line(part: Part, limit: int) -> str:
    text = part.text(limit)
    if part.content_type[1] == "html":
        text = readable(text, 8 * PREVIEW_CHARACTERS)
    return " ".join(text.split())


def readable(html: str, limit: int) -> str:
    """The text of HTML as far as `limit` characters are reached: tags, styles and comments left out. Linear.

    For previews and search only: nothing here makes HTML safe to show.
    """
    found: list[str] = []
    total = 0
    hidden = ""
    for index, piece in enumerate(html.split("<")):
        if not index:
            text = piece
        elif hidden == "!--":
            # A comment ends at "-->", whatever tags are in it.
            _, end, text = piece.partition("-->")
            hidden = "" if end else hidden
        elif piece.startswith("!--"):
            _, end, text = piece.partition("-->")
            hidden = hidden or ("" if end else "!--")
        else:
            tag, end, text = piece.partition(">")
            words = tag.split(None, 1)
            name = words[0].rstrip("/").lower() if words else ""
            if hidden:
                hidden = "" if name == f"/{hidden}" else hidden
            elif name in _HIDDEN and not tag.endswith("/"):
                hidden = name
            if name.lstrip("/") not in _INLINE:
                found.append(" ")
        if text and not hidden:
            found.append(text)
            total += len(text)
            if total >= limit:
                break
    return unescape("".join(found))
