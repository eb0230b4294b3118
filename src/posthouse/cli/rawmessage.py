"""One message in a file, however it got there: as it came over the wire, saved by a mail program, cut from an mbox.

    raw = read(Path("letter.eml"))           `-` is standard input
    raw.octets, raw.from_line, raw.converted

Signatures are over lines that end with CR LF; a file whose first line, or most lines, end with LF alone was saved by
somebody who changed that, and is changed back. So is one that has CR alone.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from posthouse.cli.terminal import Complaint, octets_text

STDIN: Final = Path("-")
# Beyond this nothing is a message; five times what a server takes.
OCTETS: Final = 256 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"
_line_ends = re.compile(rb"\r?\n").sub
# RFC 4155: "From ", the sender, and a date as asctime(3) writes it.
_match_from = re.compile(rb"From (\S{0,500})(?: +[^\r\n]{0,200})?\r?\n").match
_find_next = re.compile(rb"(\r?\n)\r?\nFrom \S{1,500} [^\r\n]{0,40}\d\d:\d\d[^\r\n]{0,40}\r?\n").search


@dataclass(frozen=True, slots=True)
class RawMessage:
    """`octets` with CR LF, `from_line` the sender in the mbox line before it ("" without one).

    `converted`: its lines ended with LF or CR alone. `more`: other messages follow in the same file.
    """

    octets: bytes
    from_line: str = ""
    converted: bool = False
    more: bool = False


def read(path: Path) -> RawMessage:
    """The first message in a file. Complaint where there is none, or where the file cannot be one; OSError."""
    if path == STDIN:
        octets = sys.stdin.buffer.read(OCTETS + 1)
    else:
        with path.open("rb") as file:
            octets = file.read(OCTETS + 1)
    if len(octets) > OCTETS:
        raise Complaint(f"{path}: is larger than {octets_text(OCTETS)}, which no message is")
    return take(octets, str(path))


def take(octets: bytes, name: str) -> RawMessage:
    """The first message in some octets; `name` stands in complaints."""
    octets = octets.removeprefix(_BOM)
    if not octets.strip():
        raise Complaint(f"{name}: is empty")
    from_line = ""
    converted = more = False
    match = _match_from(octets)
    if match is not None:
        from_line = match[1].decode("utf-8", "replace")
        following = _find_next(octets, match.end())
        if following is not None:
            more = True
        octets = octets[match.end() : following.end(1) if following is not None else len(octets)]
    if _were_changed(octets):
        octets = _line_ends(b"\r\n", octets) if b"\n" in octets else octets.replace(b"\r", b"\r\n")
        converted = True
    return RawMessage(octets, from_line, converted, more)


def _were_changed(octets: bytes) -> bool:
    """Whether the lines do not end as they did on the wire."""
    end = octets.find(b"\n")
    if end < 0:
        return b"\r" in octets
    whole = octets.count(b"\r\n")
    return octets[max(end - 1, 0) : end] != b"\r" or octets.count(b"\n") - whole > whole
