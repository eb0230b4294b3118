"""What in the way of a message cannot be true, or is at least strange: clocks, gaps, addresses, borrowed names.

    for doubt in doubts(trust, header, now):
        doubt.number, doubt.finding.text

Nothing here proves a forgery. Clocks go wrong, hosts have several names, and a list may bring back a letter of our
own; so a doubt weighs little by itself, less where honest mail has it too, and is told to the reader in plain words.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from posthouse.checks.evidence import shown
from posthouse.checks.finding import Finding, Severity
from posthouse.checks.story.hops import HOPS, Hop
from posthouse.checks.story.networks import inside, is_impossible, is_inside_name, is_public_name
from posthouse.checks.story.trust import Trust
from posthouse.checks.story.wording import span
from posthouse.checks.suffixes import registrable
from posthouse.mail.dates import has_form, lacks_zone, parse_date
from posthouse.mail.headers import Header
from posthouse.mail.instant import DAY, HOUR, MINUTE, SECOND, Instant

# Clocks that are no farther apart are told on the hop, but are no finding.
SKEW: Final = 10 * SECOND
# Beyond this no clock is just wrong, unless it is by whole hours, as when its time zone is.
BACKWARDS: Final = HOUR
_ZONES_MOST: Final = 14 * HOUR
_ZONE_DRIFT: Final = 5 * MINUTE
# So long a message may wait on its way before that is worth telling.
SLOW: Final = HOUR
# RFC 5321 §4.5.4.1: the give-up time generally needs to be at least 4-5 days; nobody tries for months.
LONGEST: Final = 60 * DAY
# As many doubts of one kind are told.
_TOLD: Final = 3
_NAME: Final = 60


class Doubt(NamedTuple):
    """A finding about the hop with this number; 0 where it is about the whole way."""

    number: int
    finding: Finding


def doubts(trust: Trust, header: Header, now: Instant) -> tuple[Doubt, ...]:
    """In the order of travel, at most three of a kind."""
    way = trust.hops
    found = [
        *_clocks(way), *_unzoned(way), *_dated(way, header, now), *_impossible(way), *_links(trust), *_borrowed(trust)
    ]  # fmt: skip
    count = sum(field.key == "received" for field in header.fields)
    if count > HOPS:
        least = "at least " if header.is_cut else ""
        text = f"has {least}{count} Received fields, of which the topmost {HOPS} are looked at"
        found.append(_doubt(0, "too-many-hops", Severity.MEDIUM, text))
    told: dict[str, int] = {}
    kept: list[Doubt] = []
    for doubt in sorted(found, key=lambda each: -each.number):
        told[doubt.finding.kind] = told.get(doubt.finding.kind, 0) + 1
        if told[doubt.finding.kind] <= _TOLD:
            kept.append(doubt)
    return tuple(kept)


def _doubt(number: int, kind: str, severity: Severity, text: str) -> Doubt:
    return Doubt(number, Finding(kind, severity, text, f"Received {number}" if number else ""))


def _clocks(way: Sequence[Hop]) -> Iterator[Doubt]:
    """Time that runs backwards, and waiting."""
    dated = [hop for hop in way if hop.at is not None and not hop.received.unzoned]
    for at, hop in enumerate(dated[1:], 1):
        delay = hop.delay or 0
        before = dated[at - 1]
        if delay < -SKEW:
            severity, kind = (Severity.LOW, "clock-skew")
            if -delay > BACKWARDS and not _is_zone(delay):
                severity, kind = (Severity.MEDIUM, "backwards")
            yield _doubt(hop.number, kind, severity, _skew(dated, at, before, hop, -delay))
        elif delay > SLOW:
            text = f"took {span(delay)} from {_name(before)} to {_name(hop)}"
            severity = Severity.LOW
            if delay > LONGEST:
                severity, text = Severity.MEDIUM, f"{text}, which no host waits for"
            yield _doubt(hop.number, "delay", severity, text)


def _unzoned(way: Sequence[Hop]) -> Iterator[Doubt]:
    """Times of which nobody knows the zone: only what no zone explains is held against them."""
    before: Hop | None = None
    for hop in way:
        if hop.at is None or not hop.received.unzoned:
            before = hop if hop.at is not None else before
            continue
        text = f"passed {_name(hop)} at a time in no zone that is known: it may be wrong by {span(_ZONES_MOST)}"
        yield _doubt(hop.number, "unknown-zone", Severity.LOW, text)
        away = hop.at - before.at if before is not None and before.at is not None else 0
        if before is not None and away < -_ZONES_MOST - HOUR:
            text = f"came to {_name(hop)} {span(away)} before it was at {_name(before)}, which no time zone explains"
            yield _doubt(hop.number, "backwards", Severity.MEDIUM, text)
        elif before is not None and away > LONGEST:
            text = f"took {span(away)} from {_name(before)} to {_name(hop)}, which no host waits for"
            yield _doubt(hop.number, "delay", Severity.MEDIUM, text)


def _impossible(way: Sequence[Hop]) -> Iterator[Doubt]:
    """What no host has, and no calendar."""
    for hop in way:
        ip = hop.received.ip
        if is_impossible(ip):
            # Some programs write 0.0.0.0 where they know none.
            severity = Severity.LOW if ip in ("0.0.0.0", "::") else Severity.MEDIUM
            text = f"came to {_name(hop)} from {ip}, an address that no host can have"
            yield _doubt(hop.number, "impossible-address", severity, text)
        if hop.received.impossible:
            text = f"passed {_name(hop)} at a time that no calendar has"
            yield _doubt(hop.number, "impossible-date", Severity.MEDIUM, text)


def _skew(dated: Sequence[Hop], at: int, before: Hop, hop: Hop, back: Instant) -> str:
    """Whose clock is wrong, as far as the neighbours tell."""
    earlier = dated[at - 2].at if at >= 2 else None
    later = dated[at + 1].at if at + 1 < len(dated) else None
    assert before.at is not None
    assert hop.at is not None
    by = span(back) + (", as if it were in another time zone" if _is_zone(back) else "")
    if earlier is not None and earlier <= hop.at:
        return f"passed {_name(before)}, whose clock is fast by {by}, or whose field was made up"
    if later is not None and later >= before.at:
        return f"passed {_name(hop)}, whose clock is slow by {by}"
    return (
        f"came to {_name(hop)} {by} before it was at {_name(before)}, which cannot be true: one of the two clocks is"
        " wrong, or a field was made up"
    )


def _is_zone(time: Instant) -> bool:
    """Whether two clocks differ by whole hours, as they do where one of them does not know its time zone."""
    away = abs(time) % HOUR
    return HOUR // 2 < abs(time) <= _ZONES_MOST + _ZONE_DRIFT and min(away, HOUR - away) <= _ZONE_DRIFT


def _dated(way: Sequence[Hop], header: Header, now: Instant) -> Iterator[Doubt]:
    """The Date field beside the first hop, and hops in the future."""
    for hop in way:
        if hop.at is not None and hop.at > now + HOUR + (_ZONES_MOST if hop.received.unzoned else 0):
            text = f"passed {_name(hop)} {span(hop.at - now)} in the future"
            yield _doubt(hop.number, "future", Severity.LOW, text)
    field = header.get("date")
    date = parse_date(field.value) if field is not None else None
    first = next((hop for hop in way if hop.at is not None), None)
    if field is not None and date is None and has_form(field.value):
        yield _doubt(0, "impossible-date", Severity.MEDIUM, "is dated at a time that no calendar has")
    if date is None or first is None or first.at is None:
        return
    ahead = date.at - first.at
    if abs(ahead) <= _ZONES_MOST and field is not None and (first.received.unzoned or lacks_zone(field.value, date)):
        return
    if ahead > DAY:
        text = f"is dated {span(ahead)} later than it set out"
        yield _doubt(0, "dated", Severity.MEDIUM, text)
    elif ahead > 5 * MINUTE:
        text = f"is dated {span(ahead)} later than it set out: the clock of its author is fast"
        yield _doubt(0, "clock-skew", Severity.LOW, text)
    elif ahead < -DAY:
        yield _doubt(0, "dated", Severity.LOW, f"is dated {span(ahead)} before it set out")


def _links(trust: Trust) -> Iterator[Doubt]:
    """Each hop beside the one before it: was it handed over by whom it had come to?"""
    for before, hop in zip(trust.hops, trust.hops[1:], strict=False):
        received = hop.received
        ip = received.ip
        if ip and inside(ip) and _far(before, hop):
            text = (
                f"came to {_name(hop)} from {before.by or 'elsewhere'} by way of {ip}, an address that is"
                f" {inside(ip)}: no host of another house has such"
            )
            yield _doubt(hop.number, "private-address", Severity.LOW, text)
        elif not _continues(before, hop):
            text = f"was handed to {_name(hop)} by {_client(hop)}, although it had come to {_name(before)} before"
            yield _doubt(hop.number, "broken-chain", Severity.LOW, text)


def _far(before: Hop, hop: Hop) -> bool:
    """Whether two hosts, both with names for the whole world, are of different organizations."""
    return (
        is_public_name(before.by)
        and is_public_name(hop.by)
        and _organization(before.by) != _organization(hop.by)
        and _organization(hop.client) not in (_organization(before.by), _organization(hop.by))
        and not is_inside_name(hop.client)
        and not inside(hop.client)
    )


def _continues(before: Hop, hop: Hop) -> bool:
    """Whether the client of a hop may be the host that wrote the one before; honest hosts have several names."""
    received = hop.received
    names = {name.lower().rstrip(".") for name in (received.frm, received.host) if name}
    if not before.by or not (names or received.ip):
        return True
    if inside(received.ip) or any(is_inside_name(name) or inside(name) for name in names) or is_inside_name(before.by):
        # Within one house anything may have any name.
        return True
    if before.by == received.ip or ":" in before.by or inside(before.by):
        return True
    organizations = {_organization(name) for name in names}
    return _organization(before.by) in organizations or not names


def _borrowed(trust: Trust) -> Iterator[Doubt]:
    """Names of ours in the mouth of strangers: in HELO, and in fields below those that are ours."""
    entry = trust.entry
    if entry is None:
        return
    frm = entry.received.frm.lower().rstrip(".")
    host = entry.received.host
    ip = entry.received.ip
    stranger = bool(ip) and not inside(ip) and _organization(host.lower()) != _organization(frm)
    if stranger and is_public_name(frm) and trust.ours(frm):
        text = f"was brought by {ip}, which called itself {shown(frm, _NAME)}, a name of its receiver"
        yield _doubt(entry.number, "borrowed-name", Severity.MEDIUM, text)
    for hop in trust.hops:
        if not hop.trusted and is_public_name(hop.by) and trust.ours(hop.by):
            text = (
                f"has a Received field in the name of {_name(hop)} below the place where it came in: it was there"
                " before, or the field was made up"
            )
            yield _doubt(hop.number, "forged-hop", Severity.LOW if trust.assumed else Severity.MEDIUM, text)


def _organization(name: str) -> str:
    return registrable(name) or name


def _name(hop: Hop) -> str:
    return shown(hop.by, _NAME) if hop.by else f"a host without a name ({hop.where})"


def _client(hop: Hop) -> str:
    received = hop.received
    return shown(received.host or received.frm or received.ip, _NAME)
