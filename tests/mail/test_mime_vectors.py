"""Public collections of messages, honest and broken: parsed alike, or with the reason why not."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from posthouse.mail.bodies import bodies
from posthouse.mail.facts import facts
from posthouse.mail.message import Message, Part
from posthouse.wire.imap.structure import bodystructure, envelope

# File and what differs → why ours is meant. "places" are offsets, "split" is text, HTML and attachments.
EXCEPTIONS = {
    ("rfc/000", "split"): "audio is shown inline where it has no disposition (RFC 8621 §4.1.4)",
    ("rfc/000", "content"): "broken base64 is decoded as far as it goes, not shown as text",
    ("rfc/002", "split"): "the one text of a message inside is its text",
    ("rfc/008", "parts"): "a message in base64 is no message (RFC 2046 §5.2.1), but an attachment",
    ("malformed/000", "parts"): "a boundary line ends a header, and the part with it",
    ("malformed/004", "parts"): "a line that goes on after the boundary is no boundary",
    ("malformed/006", "split"): "a part whose boundary never comes again runs to the end, and is shown",
    ("malformed/008", "split"): "the same",
    ("malformed/008", "places"): "--ab is no boundary line of a",
    ("malformed/012", "parts"): "an outer boundary ends what is inside",
    ("malformed/014", "parts"): "a boundary opens a part, be it empty",
    ("malformed/016", "parts"): "boundaries that differ only at the end differ",
    ("malformed/018", "places"): "the figures were taken from a file with LF",
    ("malformed/020", "parts"): "the first of two Content-Type fields counts",
    ("malformed/022", "places"): "the figures were taken from a file with LF",
    ("thirdparty/000", "places"): "the figures were taken from a file with LF",
    ("thirdparty/000", "content"): "a bare CR ends a line of text",
    ("thirdparty/002", "split"): "text is text, however badly it was encoded",
    ("thirdparty/002", "content"): "broken base64 is decoded as far as it goes",
}


def below(root: Part) -> list[Part]:
    """A part and its children, messages inside not entered: the order of the collection."""
    found: list[Part] = []
    waiting = [root]
    while waiting:
        part = waiting.pop()
        found.append(part)
        waiting.extend(reversed(part.parts))
    return found


def differences(root: Part, expected: dict[str, Any]) -> Iterator[str]:
    ours, theirs = below(root), expected["parts"]
    if len(ours) != len(theirs):
        yield "parts"
        return
    index = {id(part): number for number, part in enumerate(ours)}
    split = bodies(root)
    for name, parts in (("text_body", split.text), ("html_body", split.html), ("attachments", split.attachments)):
        if [index[id(part)] for part in parts] != expected[name]:
            yield "split"
    for part, their in zip(ours, theirs, strict=True):
        if (part.start, part.body_start, part.end) != (
            their["offset_header"],
            their["offset_body"],
            their["offset_end"],
        ):
            yield "places"
        kind, content = next(iter(their["body"].items()))
        if kind == "Message":
            if part.message is None:
                yield "parts"
            else:
                yield from differences(part.message, content)
        elif kind == "Multipart":
            if not part.is_multipart:
                yield "parts"
        elif isinstance(content, list):
            if list(part.decoded()) != content:
                yield "content"
        elif part.text() != content.replace("\r\n", "\n"):
            yield "content"


def test_messages_with_a_known_answer_are_read_alike(vectors: Path) -> None:
    found = set()
    files = sorted((vectors / "mime" / "mail-parser").glob("*/*.eml"))
    assert len(files) >= 27
    for file in files:
        name = f"{file.parent.name}/{file.stem}"
        expected = json.loads(file.with_suffix(".json").read_text("utf-8"))
        found |= {(name, difference) for difference in differences(Message.parse(file.read_bytes()).root, expected)}
    assert found == set(EXCEPTIONS)


def test_every_message_is_read_and_every_octet_kept(vectors: Path) -> None:
    files = [*(vectors / "mime").glob("*/*/*.eml"), *(vectors / "mime").glob("*/*/*/*.eml")]
    assert len(files) >= 79
    for file in files:
        for octets in (file.read_bytes(), file.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")):
            message = Message.parse(octets)
            known = facts(message)
            assert len(known.preview) <= 200
            assert known.preview.isprintable() or not known.preview.isascii()
            assert envelope(message).startswith(b"(")
            for extended in (True, False):
                assert bodystructure(message.root, extended).count(b"(") >= 1
            for part in message.root.walk():
                assert octets[part.start : part.end] == octets[part.start : part.body_start] + part.body()
                part.text()


def test_honest_messages_have_their_facts(vectors: Path) -> None:
    """A message with a Subject, a Date and a From that is not broken on purpose has them all in its facts."""
    lost = []
    for file in sorted((vectors / "mime" / "mikel-mail").glob("*/*.eml")):
        message = Message.parse(file.read_bytes())
        known = facts(message)
        if file.parent.name != "error_emails" and (
            (message.header.text("subject") and not known.subject)
            or (message.header.get("from") and known.header_from is None)
            or (message.header.get("date") and known.sent_at is None)
            or (message.header.text("message-id") and not known.message_id)
        ):
            lost.append(f"{file.parent.name}/{file.name}")
    assert lost == LOST


LOST = [
    # From: Big Bug bb@bug.com, without the angle brackets that tell a name from an address
    "plain_emails/mix_caps_content_type.eml",
    # Date: Pn, 29 paX 2007
    "plain_emails/raw_email_with_bad_date.eml",
]
