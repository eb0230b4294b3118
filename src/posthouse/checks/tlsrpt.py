"""SMTP TLS reporting (RFC 8460): where a domain wants to be told how well encryption to its mail hosts works.

    record = find(answer.records)                at _smtp._tls.example.org; None, or RecordError
    record.rua                                   ("mailto:tls@example.org", "https://…")

`reports.tls` reads the reports themselves.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

DESTINATIONS: Final = 10
_RECORD_OCTETS: Final = 4_096

_is_version = re.compile(rb"v=TLSRPTv1[ \t]*(?:;|\Z)").match
_match_field = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,31})=(.+)", re.DOTALL).fullmatch
_is_uri = re.compile(r"(?:mailto:[!-~]+@[!-~]+|https://[!-~]+)", re.IGNORECASE).fullmatch


class RecordError(ValueError):
    """No usable record, which counts as none. The text is a sentence."""


@dataclass(frozen=True, slots=True)
class Record:
    """`rua` are mailto and https URIs, in the order given."""

    rua: tuple[str, ...]


def dns_name(domain: str) -> str:
    """Where the record stands."""
    return f"_smtp._tls.{domain}"


def is_record(octets: bytes) -> bool:
    """Whether a TXT record is meant for TLSRPT at all; others are discarded (§3)."""
    return _is_version(octets) is not None


def find(records: Iterable[bytes]) -> Record | None:
    """The one record among all TXT records of the name; None where there is none. RecordError."""
    meant = [octets for octets in records if is_record(octets)]
    if not meant:
        return None
    if len(meant) > 1:
        raise RecordError(f"there are {len(meant)} records where one may be")
    if len(meant[0]) > _RECORD_OCTETS:
        raise RecordError("the record is too long")
    fields: dict[str, str] = {}
    for piece in meant[0].decode("latin-1").split(";")[1:]:
        match = _match_field(piece.strip(" \t"))
        if match is not None:
            fields.setdefault(match[1], match[2])
        elif piece.strip(" \t"):
            raise RecordError("the record holds something that is no field with a value")
    if "rua" not in fields:
        raise RecordError("the record has no rua, and so nobody is told anything")
    # §3: commas and exclamation marks in a URI are encoded.
    places = [place.strip(" \t") for place in fields["rua"].split(",")]
    wrong = [place for place in places if _is_uri(place) is None or "!" in place]
    if wrong:
        raise RecordError("rua names something that is neither a mailto nor an https URI")
    return Record(tuple(places[:DESTINATIONS]))
