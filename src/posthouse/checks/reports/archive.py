"""Archives that reports come in, opened within bounds: gzip (RFC 1952) and zip, each with one file in it.

    unpack(octets)      the file inside; what is no archive comes back as it is

Nothing is believed of what an archive says about its sizes: it grows to at most 50 times its own length and to at
most 20 MB, and an archive inside an archive is refused. A zip is read by its directory, whose length is bounded too.
"""

import struct
import zlib
from typing import NamedTuple

# Bounds of THREATS "Bombs".
EXPANSION = 50
REPORT_OCTETS = 20_000_000
# Files of one zip, and members of one gzip: a report is one.
FILES = 20

_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
# Nobody sends reports in these; inside an archive they would be a second one.
_OTHERS = (_GZIP, _ZIP, b"PK\x05\x06", b"BZh", b"\xfd7zXZ\0", b"7z\xbc\xaf\x27\x1c", b"\x28\xb5\x2f\xfd", b"Rar!")

# The end of a zip's directory, an entry of it, and what stands in front of a file (APPNOTE 4.3.16, 4.3.12, 4.3.7).
_END = struct.Struct("<4s4H2LH")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_COMMENT_OCTETS = 65_535
_ENCRYPTED = 1
_STORED, _DEFLATED = 0, 8


class ReportError(ValueError):
    """Not a report, or not one that can be taken. The text is a sentence."""


class _File(NamedTuple):
    name: str
    flags: int
    method: int
    crc: int
    packed: int
    start: int


def is_archive(octets: bytes) -> bool:
    """Whether the octets begin as a gzip or zip archive does."""
    return octets.startswith((_GZIP, _ZIP))


def unpack(octets: bytes) -> bytes:
    """The one file in an archive, or the octets as they are. Raises ReportError."""
    if len(octets) > REPORT_OCTETS:
        raise ReportError(f"The report is larger than {REPORT_OCTETS:,} octets")
    if octets.startswith(_GZIP):
        content = _gunzip(octets)
    elif octets.startswith(_ZIP):
        content = _unzip(octets)
    else:
        return octets
    if content.startswith(_OTHERS):
        raise ReportError("The archive has another archive in it")
    return content


def _gunzip(octets: bytes) -> bytes:
    room = min(REPORT_OCTETS, EXPANSION * len(octets))
    pieces: list[bytes] = []
    rest = octets
    # RFC 1952 §2.2: several members may follow each other. What follows them and is none is padding.
    while rest.startswith(_GZIP):
        if len(pieces) == FILES:
            raise ReportError(f"The gzip archive has more than {FILES} members")
        piece, rest = _inflate(rest, room, 16 + zlib.MAX_WBITS)
        room -= len(piece)
        pieces.append(piece)
    return b"".join(pieces)


def _inflate(octets: bytes, room: int, wbits: int) -> tuple[bytes, bytes]:
    """What the stream holds, and what follows it."""
    inflater = zlib.decompressobj(wbits)
    try:
        content = inflater.decompress(octets, room + 1)
    except zlib.error:
        raise ReportError("The archive is damaged") from None
    if len(content) > room:
        raise ReportError(f"The archive grows to more than {EXPANSION} times its size, or {REPORT_OCTETS:,} octets")
    if not inflater.eof:
        raise ReportError("The archive is cut short")
    return content, inflater.unused_data


def _unzip(octets: bytes) -> bytes:
    file = _report_file(_directory(octets))
    if file.flags & _ENCRYPTED:
        raise ReportError("The file in the archive is encrypted")
    if file.method not in (_STORED, _DEFLATED):
        raise ReportError("The file in the archive is compressed in a way that is not known here")
    local = octets[file.start : file.start + _LOCAL.size]
    if not local.startswith(_ZIP) or len(local) < _LOCAL.size:
        raise ReportError("The archive is damaged")
    *_, name_octets, extra_octets = _LOCAL.unpack(local)
    start = file.start + _LOCAL.size + name_octets + extra_octets
    packed = octets[start : start + file.packed]
    room = min(REPORT_OCTETS, EXPANSION * len(octets))
    content = packed if file.method == _STORED else _inflate(packed, room, -zlib.MAX_WBITS)[0]
    if zlib.crc32(content) != file.crc:
        raise ReportError("The archive is damaged")
    return content


def _directory(octets: bytes) -> list[_File]:
    end = octets.rfind(b"PK\x05\x06", max(0, len(octets) - _END.size - _COMMENT_OCTETS))
    if end < 0 or len(octets) - end < _END.size:
        raise ReportError("The archive is cut short")
    _, _, _, _, count, size, offset, _ = _END.unpack_from(octets, end)
    if count > FILES:
        raise ReportError(f"The archive has more than {FILES} files")
    # Offsets count from where the archive begins, which need not be the first octet.
    at = end - size
    shift = at - offset
    if shift < 0:
        raise ReportError("The archive is damaged")
    files: list[_File] = []
    for _ in range(count):
        if octets[at : at + 4] != b"PK\x01\x02" or at + _ENTRY.size > end:
            raise ReportError("The archive is damaged")
        entry = _ENTRY.unpack_from(octets, at)
        flags, method, crc, packed = entry[3], entry[4], entry[7], entry[8]
        name_octets, extra_octets, comment_octets, start = entry[10], entry[11], entry[12], entry[16]
        at += _ENTRY.size
        name = octets[at : at + name_octets].decode("utf-8", "replace")
        at += name_octets + extra_octets + comment_octets
        files.append(_File(name, flags, method, crc, packed, start + shift))
    return files


def _report_file(files: list[_File]) -> _File:
    """The report among the files: the only one, or the only one that is named like one."""
    real = [file for file in files if not file.name.endswith("/") and not file.name.startswith("__MACOSX/")]
    if len(real) > 1:
        real = [file for file in real if file.name.lower().endswith((".xml", ".json"))]
    if len(real) != 1:
        raise ReportError("The archive does not hold exactly one report")
    return real[0]
