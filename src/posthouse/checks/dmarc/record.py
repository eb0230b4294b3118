"""What a domain publishes about mail in its name: DMARC Policy Records (RFC 9989 §4.7, §4.8).

    record = parse(b"v=DMARC1; p=reject; rua=mailto:dmarc@a.example")
    record.p, record.rua[0].address, record.flaws

Records written for RFC 7489 work: unknown and historic tags (`pct`, `rf`, `ri`) are ignored, size limits behind
reporting URIs too. What is malformed is passed over in favour of its default, and told in `flaws`: those are for the
domain's owner, in `posthouse check` and in the reports that are sent to him.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple, TypeVar
from urllib.parse import unquote

from posthouse.mail.address import Address, AddressError

T = TypeVar("T")
Policy = Literal["none", "quarantine", "reject"]
Mode = Literal["relaxed", "strict"]
Psd = Literal["y", "n", "u"]

# As many reporting URIs of one tag are listened to (RFC 9990, "Report Delivery").
DESTINATIONS = 10

# Records up to this length are remembered, so many of them.
_CACHED_OCTETS = 512
_CACHE = 2048

# RFC 9989 §4.8: dmarc-version, with the value in this very case.
_match_version = re.compile(rb"[vV][ \t]*=[ \t]*DMARC1[ \t]*(?:;|\Z)").match
_match_tag = re.compile(r"[ \t]*([A-Za-z]+)[ \t]*=[ \t]*([ -~]*?)[ \t]*").fullmatch
_is_uri = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9._~:/?#\[\]@$&'()*+=%-]+").fullmatch
_size_limit = re.compile(r"![0-9]+[kmgt]?\Z", re.IGNORECASE).sub

_POLICIES: dict[str, Policy] = {"none": "none", "quarantine": "quarantine", "reject": "reject"}
_MODES: dict[str, Mode] = {"r": "relaxed", "s": "strict"}
_PSDS: dict[str, Psd] = {"y": "y", "n": "n", "u": "u"}
_KNOWN = frozenset(("v", "p", "sp", "np", "adkim", "aspf", "fo", "psd", "t", "rua", "ruf"))
# RFC 9989 appendix A.6: with t=y the policy applied is one level below the one that is published.
_LOWERED: dict[Policy, Policy] = {"reject": "quarantine", "quarantine": "none", "none": "none"}


class Destination(NamedTuple):
    """Where a domain wants reports. `address` is None for anything but mailto."""

    uri: str
    address: Address | None


@dataclass(frozen=True, slots=True)
class Record:
    """One DMARC Policy Record, defaults filled in.

    `usable` is False where it has no valid policy and asks for no reports either: DMARC then does not apply at all
    (§4.10.1). `fo` holds "0" or "1", and "d" and "s" where asked for. `ignored` are the names of unknown and historic
    tags, `flaws` sentences about what is malformed.
    """

    text: str
    usable: bool
    p: Policy
    sp: Policy | None
    np: Policy | None
    adkim: Mode
    aspf: Mode
    fo: tuple[str, ...]
    psd: Psd
    testing: bool
    rua: tuple[Destination, ...]
    ruf: tuple[Destination, ...]
    ignored: tuple[str, ...]
    flaws: tuple[str, ...]

    @property
    def for_subdomains(self) -> Policy:
        """The policy for existing subdomains."""
        return self.sp or self.p

    @property
    def for_nonexistent(self) -> Policy:
        """The policy for subdomains that do not exist."""
        return self.np or self.for_subdomains


def lowered(policy: Policy) -> Policy:
    """What is applied instead of `policy` while a domain tests (`t=y`)."""
    return _LOWERED[policy]


def parse(octets: bytes) -> Record | None:
    """The record in the joined strings of one TXT record; None for what is no DMARC record at all. Linear."""
    if _match_version(octets) is None:
        return None
    return _parse(octets) if len(octets) <= _CACHED_OCTETS else _parse.__wrapped__(octets)


@lru_cache(maxsize=_CACHE)
def _parse(octets: bytes) -> Record:
    text = octets.decode("ascii", "replace")
    reader = _Tags(text)
    p, p_valid = reader.policy("p")
    sp, sp_valid = reader.policy("sp")
    np, np_valid = reader.policy("np")
    rua = reader.destinations("rua")
    if p is None and p_valid:
        reader.flaws.append("There is no p tag, so no policy is asked for")
    usable = True
    if p is None or not (sp_valid and np_valid):
        # RFC 9989 §4.10.1: with somebody to report to, such a record counts as p=none; without, as nothing.
        usable = any(rua)
        p, sp, np = "none", None, None
    return Record(
        text=text,
        usable=usable,
        p=p,
        sp=sp,
        np=np,
        adkim=reader.choice("adkim", _MODES, "relaxed"),
        aspf=reader.choice("aspf", _MODES, "relaxed"),
        fo=reader.failure_options(),
        psd=reader.choice("psd", _PSDS, "u"),
        testing=reader.choice("t", {"y": True, "n": False}, False),
        rua=rua,
        ruf=reader.destinations("ruf"),
        ignored=tuple(name for name in reader.tags if name not in _KNOWN),
        flaws=tuple(reader.flaws),
    )


class _Tags:
    """The tags of a record by lower-case name; of several with one name the first counts."""

    def __init__(self, text: str) -> None:
        self.tags: dict[str, str] = {}
        self.flaws: list[str] = []
        for piece in text.split(";"):
            match = _match_tag(piece)
            if match is None:
                if piece.strip(" \t"):
                    self.flaws.append(f"{_shown(piece)} is no tag with a value")
                continue
            name = match[1].lower()
            if name in self.tags:
                self.flaws.append(f"The tag {name} stands more than once, and the first counts")
            else:
                self.tags[name] = match[2]

    def policy(self, name: str) -> tuple[Policy | None, bool]:
        """The policy in a tag, if it is one; False where there is a tag, but no policy in it."""
        value = self.tags.get(name)
        if value is None:
            return None, True
        policy = _POLICIES.get(value.lower())
        if policy is None:
            self.flaws.append(f"{name}={_shown(value)} is no policy: it has to be none, quarantine or reject")
        return policy, policy is not None

    def choice(self, name: str, choices: Mapping[str, T], default: T) -> T:
        value = self.tags.get(name)
        if value is None:
            return default
        found = choices.get(value.lower())
        if found is None:
            self.flaws.append(f"{name}={_shown(value)} is none of {', '.join(choices)}, so the default counts")
            return default
        return found

    def failure_options(self) -> tuple[str, ...]:
        """RFC 9989 §4.7 fo; RFC 7489 let "0" and "1" stand side by side, where "1" asks for more."""
        value = self.tags.get("fo")
        if value is None:
            return ("0",)
        options = [option.strip(" \t").lower() for option in value.split(":")]
        strange = [option for option in options if option not in ("0", "1", "d", "s")]
        if strange:
            self.flaws.append(f"fo={_shown(value)} has options that are none of 0, 1, d, s")
        first = "1" if "1" in options else "0" if "0" in options or not {"d", "s"} & set(options) else ""
        return tuple(option for option in (first, "d" * ("d" in options), "s" * ("s" in options)) if option)

    def destinations(self, name: str) -> tuple[Destination, ...]:
        value = self.tags.get(name)
        if value is None:
            return ()
        found: dict[str, Destination] = {}
        for piece in value.split(","):
            # RFC 9989 §4.8 obs-dmarc-report-size: read and ignored.
            uri = _size_limit("", piece.strip(" \t"))
            place = destination(uri)
            if place is None:
                self.flaws.append(f"{name} has {_shown(uri)}, which is no address that reports could be sent to")
            elif len(found) == DESTINATIONS:
                self.flaws.append(f"{name} names more than {DESTINATIONS} places, and only the first count")
                break
            else:
                found.setdefault(uri, place)
        return tuple(found.values())


def destination(uri: str) -> Destination | None:
    """The place that a URI of rua or ruf names, without a limit of size behind it; None for what is no URI."""
    if _is_uri(uri) is None:
        return None
    if uri[:7].lower() != "mailto:":
        return Destination(uri, None)
    try:
        address = Address.parse(unquote(uri[7:].partition("?")[0], errors="strict"))
    except (AddressError, UnicodeDecodeError):
        return None
    # RFC 8616 §6: addresses in records are conventional ones.
    return Destination(uri, address) if address.is_ascii and address.literal is None else None


def _shown(text: str) -> str:
    """A piece of the record in a sentence: short, printable, ASCII."""
    text = text.strip(" \t")
    return ascii(text[:57] + "..." if len(text) > 60 else text).strip("'\"") or "nothing"
