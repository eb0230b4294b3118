"""MTA-STS (RFC 8461): a domain says that its mail hosts have TLS with certificates that can be verified.

    found = find(records)                        the record at _mta-sts.example.org, or RecordError
    policy = parse_policy(octets)                the document at policy_url(domain), or PolicyError
    policy.admits("mx1.example.org")

The record says that there is a policy and when it changed; the policy itself lies on a web server, whose certificate
is what makes it worth anything. Nothing is fetched here.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from posthouse.mail.address import AddressError, parse_domain

Mode = Literal["enforce", "testing", "none"]

# RFC 8461 §3.3: a suggested limit is 64 kilobytes.
POLICY_OCTETS: Final = 65_536
# RFC 8461 §3.2: max_age is a year at most.
MAX_AGE_MOST: Final = 31_557_600
PATTERNS: Final = 100
_RECORD_OCTETS: Final = 2_048

_is_version = re.compile(rb"v=STSv1[ \t]*(?:;|\Z)").match
_match_field = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,31})=([!-:<>-~]+)").fullmatch
_is_id = re.compile(r"[A-Za-z0-9]{1,32}").fullmatch
_match_line = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,31}):[ \t]*(.*?)[ \t]*").fullmatch


class RecordError(ValueError):
    """No usable record, which counts as none. The text is a sentence."""


class PolicyError(ValueError):
    """No valid policy. The text is a sentence."""


@dataclass(frozen=True, slots=True)
class Record:
    """`id` changes whenever the policy does."""

    id: str


@dataclass(frozen=True, slots=True)
class Policy:
    """`patterns` are names of mail hosts in lower case, "*." in front of some; `max_age` is in seconds."""

    mode: Mode
    patterns: tuple[str, ...]
    max_age: int

    def admits(self, host: str) -> bool:
        """Whether a mail host is one of those that the policy names (§4.1): `*` stands for one whole label."""
        above = host.partition(".")[2]
        return host in self.patterns or (bool(above) and f"*.{above}" in self.patterns)

    def text(self) -> str:
        """As the document to be published."""
        lines = ["version: STSv1", f"mode: {self.mode}", *(f"mx: {pattern}" for pattern in self.patterns)]
        return "\r\n".join([*lines, f"max_age: {self.max_age}", ""])


def dns_name(domain: str) -> str:
    """Where the record stands."""
    return f"_mta-sts.{domain}"


def policy_url(domain: str) -> str:
    """Where the policy lies (§3.3); no redirection may be followed from there."""
    return f"https://mta-sts.{domain}/.well-known/mta-sts.txt"


def is_record(octets: bytes) -> bool:
    """Whether a TXT record is meant for MTA-STS at all; others are discarded (§3.1)."""
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
    if "id" not in fields:
        raise RecordError("the record has no id")
    if _is_id(fields["id"]) is None:
        raise RecordError("the id has something in it besides letters and digits, or more than 32 of them")
    return Record(fields["id"])


def parse_policy(octets: bytes) -> Policy:
    """The document, whose lines end with LF or CR LF (§3.2). Unknown fields are passed over. PolicyError."""
    if len(octets) > POLICY_OCTETS:
        raise PolicyError(f"the policy has more than {POLICY_OCTETS} octets")
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        raise PolicyError("the policy is not UTF-8 text") from None
    single: dict[str, str] = {}
    patterns: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        if not line.strip(" \t"):
            continue
        match = _match_line(line)
        if match is None:
            raise PolicyError("the policy has a line that is no field with a value")
        name, value = match.groups()
        if name == "mx":
            patterns.append(_pattern(value))
        else:
            # §3.2: of a field that stands twice, other than mx, the first counts.
            single.setdefault(name, value)
    if single.get("version") != "STSv1":
        raise PolicyError("the policy does not say that it is of version STSv1")
    mode = _mode(single.get("mode", ""))
    max_age = single.get("max_age", "")
    if not (max_age.isascii() and max_age.isdigit() and len(max_age) <= 10 and int(max_age) <= MAX_AGE_MOST):
        raise PolicyError(f"max_age is no number of seconds from 0 to {MAX_AGE_MOST}")
    if not patterns and mode != "none":
        raise PolicyError("the policy names no mail host")
    if len(patterns) > PATTERNS:
        raise PolicyError(f"the policy names more than {PATTERNS} mail hosts")
    return Policy(mode, tuple(dict.fromkeys(patterns)), int(max_age))


def _mode(value: str) -> Mode:
    for mode in ("enforce", "testing", "none"):
        if value == mode:
            return mode
    raise PolicyError("the mode is none of enforce, testing and none")


def _pattern(value: str) -> str:
    star = "*." if value.startswith("*.") else ""
    try:
        return star + parse_domain(value.removeprefix("*.").removesuffix("."))
    except AddressError as error:
        raise PolicyError(f"an mx field names no host: {error}") from None
