"""SRS, the sender rewriting scheme: reverse-paths of ours that stand for those of others.

A message that an alias sends on to another site comes from us there, so SPF asks whether we may send for the domain of
its reverse-path. So that this holds, and notifications find back all the same, the reverse-path becomes one of ours:

    carol@far.test                       SRS0=k3v7q2ma=pm=far.test=carol@posthouse.test
    SRS0=XYZ=TT=far.test=carol@b.test    SRS1=h2k9wq7d=b.test==XYZ=TT=far.test=carol@posthouse.test
    anything that is too long so         SRS0=9fw2mc4e=pm=q=06xkf3b2c9d1e@posthouse.test

A letter, then: a keyed hash (without it we would send on whatever anybody addresses so), the day, and the address; of
one that was rewritten before, only the first and the last forwarder stay (SRS1). The two letters of the day begin anew
after some years, but what is hashed is the day itself: an address that was harvested long ago is never young again.
Local parts have 64 octets (RFC 5321 §4.5.3.1.1), which addresses of mailing lists fill by themselves; `q` is no domain
but says that what follows is the queue id of the message, whose journey knows the reverse-path. Everything is readable
in any case of letters, for there are servers that do not keep it.

There is no RFC; the forms are those that other forwarders know (Wong, "SRS", 2003), so that each can shorten the
other's. Pure functions; the key is derived from the secret of the house.
"""

import hmac
import re
from base64 import b32encode
from dataclasses import dataclass

from posthouse.mail.address import ADDRESS_OCTETS, LOCAL_PART_OCTETS, Address, AddressError, parse_domain
from posthouse.mail.instant import DAY, Instant
from posthouse.store.ids import from_text, to_text

# For how many days something may come back. Nobody tries longer than a week; a fortnight more does no harm.
DAYS = 21
# In characters of five bits each.
_HASH = 8
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
# What two characters hold.
_PERIOD = 1024

_QUEUED = "q"
# Others separate the tag in three ways.
_match_rewritten = re.compile(r"(SRS[01])([=+-].*)", re.IGNORECASE | re.DOTALL).fullmatch
_is_plain = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+(?:\.[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+)*").fullmatch


class SrsFault(ValueError):
    """No address of ours, or none that still counts. The text is a sentence for an SMTP reply."""


@dataclass(frozen=True, slots=True)
class Queued:
    """The reverse-path is that of the message with this id."""

    journey_id: int


def is_rewritten(address: Address) -> bool:
    """Whether the local part has the form that is written here."""
    return address.local_part[:5].lower() in ("srs0=", "srs1=")


def derive_key(secret: bytes) -> bytes:
    """The key for this purpose alone, from the secret of the house."""
    return hmac.digest(secret, b"sender rewriting scheme", "sha256")


def rewrite(mail_from: Address, domain: str, journey_id: int, key: bytes, now: Instant) -> Address:
    """The reverse-path in `domain`, one of ours, that stands for `mail_from` of the message with that id."""
    shortened = _shorten(mail_from, key, now)
    most = min(LOCAL_PART_OCTETS, ADDRESS_OCTETS - len(domain) - 1)
    if shortened is None or len(shortened) > most:
        shortened = _dated(f"{_QUEUED}={to_text(journey_id)}", key, now)
    return Address(shortened, domain)


def reverse(address: Address, key: bytes, now: Instant) -> Address | Queued:
    """What the rewritten address stands for. Raises SrsFault for a forged one, and for one that is too old."""
    match = _match_rewritten(address.local_part)
    if match is None:
        raise SrsFault("This is no address that was made here")
    tag, rest = match[1].upper(), match[2]
    said, _, text = rest[1:].partition("=")
    try:
        age = 0 if tag == "SRS1" else _age(text, now)
        made = None if tag == "SRS1" else now // DAY - age
        if not hmac.compare_digest(said.lower().encode(), _hash(tag, text, key, made).encode()):
            raise SrsFault("This is no address that was made here")
        if tag == "SRS1":
            # What came back this far goes to the first forwarder, who knows the age of what is his.
            host, _, further = text.partition("=")
            return Address.parse(f"SRS0{further}@{host}")
        _, domain, local_part = text.split("=", 2)
        if age > DAYS:
            raise SrsFault("This address was made too long ago")
        return Queued(from_text(local_part)) if domain.lower() == _QUEUED else Address.parse(f"{local_part}@{domain}")
    except SrsFault:
        raise
    except ValueError:
        raise SrsFault("This is no address that was made here") from None


def _shorten(mail_from: Address, key: bytes, now: Instant) -> str | None:
    """The new local part with all that is needed in it; None where that cannot be."""
    local_part, domain = mail_from.local_part, mail_from.domain
    if domain.startswith("[") or not _is_plain(local_part):
        return None
    match = _match_rewritten(local_part)
    if match is None:
        return _dated(f"{domain}={local_part}", key, now)
    tag, rest = match[1].upper(), match[2]
    if tag == "SRS0":
        return _signed("SRS1", f"{domain}={rest}", key)
    # The one before us drops out: what comes back need not pass by there.
    _, _, beyond = rest[1:].partition("=")
    try:
        # Strangers wrote this: it has to be a host, or nothing could come back.
        known = "." in parse_domain(beyond.partition("=")[0])
    except AddressError:
        known = False
    return _signed("SRS1", beyond, key) if known else None


def _signed(tag: str, text: str, key: bytes, day: int | None = None) -> str:
    return f"{tag}={_hash(tag, text, key, day)}={text}"


def _dated(text: str, key: bytes, now: Instant) -> str:
    day = now // DAY
    short = day % _PERIOD
    return _signed("SRS0", f"{_ALPHABET[short >> 5]}{_ALPHABET[short & 31]}={text}", key, day)


def _hash(tag: str, text: str, key: bytes, day: int | None) -> str:
    """`day` is the whole number of days since 1970, of which the text has the end; None where age does not count."""
    hashed = f"{tag}={text}" if day is None else f"{tag}={day}={text}"
    digest = hmac.digest(key, hashed.lower().encode(), "sha256")
    return b32encode(digest)[:_HASH].decode("ascii").lower()


def _age(text: str, now: Instant) -> int:
    """How many days ago the text was made if that is as short a time as its letters allow. Raises ValueError.

    A clock that was set back makes no difference for a day: then it is -1.
    """
    letters = text.partition("=")[0].lower()
    if len(letters) != 2:
        raise ValueError("the day has two letters")
    short = _ALPHABET.index(letters[0]) << 5 | _ALPHABET.index(letters[1])
    return (now // DAY - short + 1) % _PERIOD - 1
