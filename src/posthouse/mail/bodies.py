"""Which parts of a message are its text, and which are attachments (RFC 8621 §4.1.4).

One answer for lists, previews, pages and filters: what is shown when a message is opened, as text and as HTML, and
what is offered to be saved.
"""

from typing import NamedTuple

from posthouse.mail.parts import Part

_INLINE_MEDIA = frozenset(("image", "audio", "video"))


class Bodies(NamedTuple):
    """Leaves in the order they are shown. A part may be in `text` and in `html` where there is but one of them."""

    text: tuple[Part, ...]
    html: tuple[Part, ...]
    attachments: tuple[Part, ...]

    @property
    def has_attachment(self) -> bool:
        """Whether there is something to be offered for saving that is not shown anyway."""
        return any(part.disposition != "inline" for part in self.attachments)


def bodies(root: Part) -> Bodies:
    """The split of RFC 8621; a message inside is an attachment, whatever is in it."""
    if not root.is_multipart and root.content_type == ("text", "plain") and root.disposition != "attachment":
        return Bodies((root,), (root,), ())
    text: list[Part] = []
    html: list[Part] = []
    attachments: list[Part] = []
    _split((root,), "mixed", False, text, html, attachments)
    return Bodies(tuple(text), tuple(html), tuple(attachments))


def _split(
    parts: tuple[Part, ...],
    kind: str,
    in_alternative: bool,
    text: list[Part] | None,
    html: list[Part] | None,
    attachments: list[Part],
) -> None:
    """The algorithm of RFC 8621 §4.1.4, in its own order; as deep as the tree, which has a bound."""
    texts = len(text) if text is not None else -1
    htmls = len(html) if html is not None else -1
    for index, part in enumerate(parts):
        main, sub = part.content_type
        if main == "multipart" and part.parts:
            _split(part.parts, sub, in_alternative or sub == "alternative", text, html, attachments)
        elif not _is_inline(part, index, kind):
            attachments.append(part)
        elif kind == "alternative":
            target = {"plain": text, "html": html}.get(sub) if main == "text" else attachments
            if target is not None:
                target.append(part)
        else:
            if in_alternative and main == "text":
                text, html = (text, None) if sub == "plain" else (None, html)
            if text is not None:
                text.append(part)
            if html is not None:
                html.append(part)
            if (text is None or html is None) and main in _INLINE_MEDIA:
                attachments.append(part)
    if kind == "alternative" and text is not None and html is not None:
        if texts == len(text) and htmls != len(html):
            text.extend(html[htmls:])
        elif htmls == len(html) and texts != len(text):
            html.extend(text[texts:])


def _is_inline(part: Part, index: int, kind: str) -> bool:
    main, sub = part.content_type
    if part.disposition == "attachment" or not (main in _INLINE_MEDIA or (main == "text" and sub in ("plain", "html"))):
        return False
    return index == 0 or (kind != "related" and (main in _INLINE_MEDIA or not part.filename))
