"""The logotype extension of a certificate (RFC 9399 §4.1): the pictures that its issuer vouches for.

    images(extension)      (Image("image/svg+xml", octets),)

Read as far as mark certificates use it: pictures of the subject, direct, embedded as data URLs. Those that are to be
fetched from elsewhere, sounds, and logos of others are passed over. DER is read strictly within its lengths.
"""

import re
import zlib
from base64 import b64decode
from binascii import Error as Base64Error
from hashlib import sha256, sha384, sha512
from hmac import compare_digest
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

LOGOTYPE_OID = "1.3.6.1.5.5.7.1.12"

# So many pictures of one certificate are looked at, and so much of each, unzipped.
_IMAGES = 8
_IMAGE_OCTETS = 1_000_000

# Tags of DER: universal ones as they are, context tags constructed.
_SEQUENCE, _OCTET_STRING, _OID, _IA5_STRING = 0x30, 0x04, 0x06, 0x16
_SUBJECT_LOGO, _DIRECT = 0xA2, 0xA0

# Object identifiers as DER writes them: 2.16.840.1.101.3.4.2.1 to 3.
_HASHES = {
    bytes.fromhex("608648016503040201"): sha256,
    bytes.fromhex("608648016503040202"): sha384,
    bytes.fromhex("608648016503040203"): sha512,
}
_match_data = re.compile(r"data:([a-z0-9.+/-]{1,100})((?:;[a-z0-9=_-]{1,100}){0,8}),", re.IGNORECASE).match


class LogotypeError(ValueError):
    """The extension cannot be read. The text is a sentence."""


class Image(NamedTuple):
    """One embedded picture as it was embedded, zipped or not; its hash was compared."""

    media_type: str
    octets: bytes


class _Value(NamedTuple):
    tag: int
    octets: bytes


def images(extension: bytes) -> tuple[Image, ...]:
    """The embedded pictures of the certificate's subject. Raises LogotypeError."""
    found: list[Image] = []
    for logo in (logo for whole in _values(extension, 1) for logo in _inside(whole, _SEQUENCE)):
        if logo.tag != _SUBJECT_LOGO:
            continue
        # subjectLogo is tagged EXPLICIT, the CHOICE in it IMPLICIT: [2] { [0] LogotypeData }.
        for info in _values(logo.octets, 1):
            if info.tag == _DIRECT:
                found += _pictures(info.octets)
    return tuple(found)


def _pictures(data: bytes) -> list[Image]:
    """LogotypeData: SEQUENCE OF LogotypeImage, each SEQUENCE { LogotypeDetails, … }."""
    pictures = next((value for value in _values(data) if value.tag == _SEQUENCE), None)
    if pictures is None:
        return []
    found = []
    for picture in _values(pictures.octets, _IMAGES):
        details = _inside(picture, _SEQUENCE)
        if details:
            image = _image(_inside(details[0], _SEQUENCE))
            found += [image] if image is not None else []
    return found


def _image(details: list[_Value]) -> Image | None:
    """LogotypeDetails: mediaType, logotypeHash, logotypeURI; None where no URI is a data URL."""
    if len(details) != 3 or details[0].tag != _IA5_STRING:
        raise LogotypeError("the certificate describes its logo in a way that nobody knows")
    hashes = [_hash(value) for value in _inside(details[1], _SEQUENCE)]
    for url in _inside(details[2], _SEQUENCE):
        match = _match_data(url.octets[:1000].decode("ascii", "replace"))
        if url.tag != _IA5_STRING or match is None:
            continue
        octets = _decode(url.octets[match.end() :], match[2].lower().endswith(";base64"))
        _compare(octets, hashes)
        return Image(match[1].lower(), octets)
    return None


def _hash(value: _Value) -> tuple[bytes, bytes]:
    """HashAlgAndValue: SEQUENCE { AlgorithmIdentifier, OCTET STRING }."""
    inside = _inside(value, _SEQUENCE)
    algorithm = _inside(inside[0], _SEQUENCE) if inside else []
    if len(inside) != 2 or inside[1].tag != _OCTET_STRING or not algorithm or algorithm[0].tag != _OID:
        raise LogotypeError("the certificate has a malformed hash of its logo")
    return algorithm[0].octets, inside[1].octets


def _decode(octets: bytes, base64: bool) -> bytes:
    if not base64:
        return unquote_to_bytes(octets)
    try:
        return b64decode(octets, validate=True)
    except Base64Error as error:
        raise LogotypeError("the logo in the certificate is not embedded correctly") from error


def _compare(octets: bytes, hashes: list[tuple[bytes, bytes]]) -> None:
    """RFC 9399 §4.1: at least one hash has to be known and right, of the logo as embedded or unzipped."""
    forms = [octets]
    if octets.startswith(b"\x1f\x8b"):
        try:
            forms.append(zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(octets, _IMAGE_OCTETS))
        except zlib.error as error:
            raise LogotypeError("the logo in the certificate is not zipped correctly") from error
    for algorithm, digest in hashes:
        make = _HASHES.get(algorithm)
        if make is not None and any(compare_digest(make(form).digest(), digest) for form in forms):
            return
    raise LogotypeError("the logo in the certificate is not the one that its hash names")


def _inside(value: _Value, tag: int) -> list[_Value]:
    if value.tag != tag:
        raise LogotypeError("the certificate describes its logo in a way that nobody knows")
    return _values(value.octets)


def _values(octets: bytes, count: int = 64) -> list[_Value]:
    """The values that stand one after another in `octets`, at most `count` of them and nothing else."""
    found: list[_Value] = []
    position = 0
    while position < len(octets):
        start, end = _extent(octets, position)
        if end > len(octets) or len(found) == count:
            raise LogotypeError("the certificate's description of its logo is malformed")
        found.append(_Value(octets[position], octets[start:end]))
        position = end
    return found


def _extent(octets: bytes, position: int) -> tuple[int, int]:
    """Where the content of the value at `position` begins and ends."""
    # Tags of several octets do not occur here, nor does the indefinite length in DER.
    if position + 2 > len(octets) or octets[position] & 0x1F == 0x1F or octets[position + 1] == 0x80:
        raise LogotypeError("the certificate's description of its logo is malformed")
    length, start = octets[position + 1], position + 2
    if length > 0x80:
        width = length & 0x7F
        start += width
        if width > 4:
            raise LogotypeError("the certificate's description of its logo is malformed")
        length = int.from_bytes(octets[position + 2 : start])
    return start, start + length
