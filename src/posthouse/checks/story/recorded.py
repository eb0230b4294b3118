"""What hosts on the way wrote down about authentication, long before anybody here checked anything.

    for note in recorded(header, trust):
        note.by, note.believed, [(result.method, result.result) for result in note.results]

Authentication-Results (RFC 8601), what ARC keeps of them (RFC 8617 §4.1.1), and Received-SPF (RFC 7208 §9.1). Anybody
may write such a field: it is believed only where it stands above what came from outside, or in a chain of seals
that holds.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from posthouse.checks.arc import Arc
from posthouse.checks.evidence import shown
from posthouse.checks.story.trust import Trust
from posthouse.mail import charsets
from posthouse.mail.authentication_results import (
    AuthenticationResultsError,
    Property,
    Result,
    parse_results,
)
from posthouse.mail.headers import Field, Header
from posthouse.mail.tokens import unfold, without_comments

Kind = Literal["Authentication-Results", "ARC-Authentication-Results", "Received-SPF"]

# So many such fields are read; a field of RFC 7208 is short.
NOTES: Final = 60
_SPF_OCTETS: Final = 4_000
_TEXT: Final = 200

_match_instance = re.compile(rb"\s*i\s*=\s*([0-9]{1,2})\s*;", re.IGNORECASE).match
_match_spf = re.compile(r"\s*([A-Za-z]{1,20})\b").match
# RFC 7208 §9.1: key-value-pair = key "=" ( dot-atom / quoted-string )
_find_pairs = re.compile(r'([A-Za-z][A-Za-z0-9_.-]{0,30})\s*=\s*("[^"\\]*(?:\\.[^"\\]*)*"|[^\s;"]+)').findall
_SPF_PROPERTIES = {
    "client-ip": ("smtp", "client-ip"), "envelope-from": ("smtp", "mailfrom"), "helo": ("smtp", "helo"),
    "identity": ("policy", "identity"),
}


@dataclass(frozen=True, slots=True)
class Note:
    """One field. `by` is who says so, as he calls himself; `place` its index in the header.

    `instance` is that of ARC, 0 elsewhere; `believed` as above; `flaw` a sentence where the field cannot be read.
    """

    kind: Kind
    place: int
    by: str
    results: tuple[Result, ...]
    believed: bool = False
    instance: int = 0
    flaw: str = ""

    def value(self, ptype: str, name: str) -> str:
        """The first property of that name in any result, or ""."""
        return next((found for result in self.results if (found := result.value(ptype, name))), "")


def recorded(header: Header, trust: Trust, arc: Arc | None = None) -> tuple[Note, ...]:
    """From the bottom of the header to the top, as they were written. Never raises."""
    limit = trust.entry.place if trust.entry is not None else 0
    kept = {one.instance for one in arc.sets} if arc is not None and arc.result == "pass" else set()
    notes: list[Note] = []
    for place, field in enumerate(header.fields):
        note = _read(place, field)
        if note is not None:
            believed = note.instance in kept if note.instance else place < limit
            notes.append(_believed(note) if believed else note)
            if len(notes) == NOTES:
                break
    notes.reverse()
    return tuple(notes)


def envelope_notes(header: Header, trust: Trust) -> Iterator[Note]:
    """What the hosts that are trusted may have noted: above the Received field of the one that took it in. Filters
    behind it may write just below that as well, but there a sender's own fields begin, and nobody can tell them apart.
    """
    entry = trust.entry
    for place, field in enumerate(header.fields[: entry.place] if entry is not None else ()):
        note = _read(place, field)
        if note is not None and not note.instance:
            yield note


def _believed(note: Note) -> Note:
    return Note(note.kind, note.place, note.by, note.results, True, note.instance, note.flaw)


def _read(place: int, field: Field) -> Note | None:
    key = field.key
    if key == "authentication-results":
        return _results("Authentication-Results", place, field.value, 0)
    if key == "arc-authentication-results":
        match = _match_instance(field.value)
        if match is None or not int(match[1]):
            return Note("ARC-Authentication-Results", place, "", (), flaw="It has no instance")
        return _results("ARC-Authentication-Results", place, field.value[match.end() :], int(match[1]))
    return _received_spf(place, field.value) if key == "received-spf" else None


def _results(kind: Kind, place: int, value: bytes, instance: int) -> Note:
    try:
        found = parse_results(value)
    except AuthenticationResultsError as error:
        return Note(kind, place, "", (), instance=instance, flaw=str(error))
    return Note(kind, place, shown(found.authserv_id, _TEXT), found.results, instance=instance)


def _received_spf(place: int, value: bytes) -> Note:
    text = charsets.decode(without_comments(unfold(value[:_SPF_OCTETS])))
    match = _match_spf(text)
    if match is None:
        return Note("Received-SPF", place, "", (), flaw="It names no result")
    pairs = {key.lower(): _unquoted(written) for key, written in _find_pairs(text[match.end() :])}
    named = ((_SPF_PROPERTIES[key], pairs[key]) for key in _SPF_PROPERTIES if pairs.get(key))
    properties = tuple(Property(ptype, name, value) for (ptype, name), value in named)
    result = Result("spf", match[1].lower(), properties=properties)
    return Note("Received-SPF", place, shown(pairs.get("receiver", ""), _TEXT), (result,))


def _unquoted(written: str) -> str:
    return re.sub(r"\\(.)", r"\1", written[1:-1]) if written.startswith('"') else written
