"""The DMARC policy of a domain: the record that counts for it, what it asks for, and who is told.

    items = await policy("example.org", dns)
"""

from typing import Final

from posthouse.checks.dmarc import Destination, Lookups, Record
from posthouse.checks.dmarc.discovery import Found, select_organization
from posthouse.checks.evidence import shown
from posthouse.checks.reports.destinations import permit
from posthouse.checks.survey.item import Entry, Item, State
from posthouse.mail.dns import Dns, DnsFault

TOPIC: Final = "DMARC"


async def policy(domain: str, dns: Dns, *, takes_mail: bool = True) -> tuple[Item, ...]:
    """Never raises. `takes_mail`: somebody could read reports there."""
    lookups = Lookups(dns)
    try:
        walked = await lookups.walk(domain)
    except DnsFault as fault:
        words = f"the DMARC record could not be asked for: {fault}"
        return (Item(TOPIC, domain, State.UNKNOWN, words, evidence=tuple(lookups.evidence)),)
    flaws = [
        Item(TOPIC, domain, State.WRONG, flaw, "nothing is asked for", "leave one of them") for flaw in lookups.flaws
    ]
    evidence = tuple(lookups.evidence)
    found = _applies(domain, walked)
    if found is None:
        return tuple(flaws) or (_missing(domain, takes_mail),)
    record = found.record
    items = [*flaws, *_judged(domain, found), *await _reports(found, dns)]
    if record.usable:
        items.insert(0, Item(TOPIC, domain, State.GOOD, _says(domain, found), evidence=evidence))
    return tuple(items)


def _applies(domain: str, walked: tuple[Found, ...]) -> Found | None:
    """The record that counts (RFC 9989 §4.10.1): the domain's own, else that of its organization or public suffix."""
    if not walked:
        return None
    if walked[0].domain == domain:
        return walked[0]
    organization = select_organization(domain, walked)
    return next((found for found in walked if found.domain == organization), walked[-1])


def _missing(domain: str, takes_mail: bool) -> Item:
    text = f"v=DMARC1; p=none; rua=mailto:dmarc-reports@{domain}" if takes_mail else "v=DMARC1; p=reject"
    change = "begin with p=none and reports; when they show that all honest mail passes, go on to quarantine and reject"
    return Item(
        TOPIC, domain, State.WRONG, f"{domain} has no DMARC policy, nor has any domain above it",
        "anybody may write in its name, and large receivers put its mail into Junk",
        change if takes_mail else "forbid all mail in its name", (Entry(f"_dmarc.{domain}", "TXT", text),),
    )  # fmt: skip


def _says(domain: str, found: Found) -> str:
    record = found.record
    asked_for = record.p if found.domain == domain else record.for_subdomains
    modes = [f"{name} strict" for name, mode in (("DKIM", record.adkim), ("SPF", record.aspf)) if mode == "strict"]
    where = "" if found.domain == domain else f", by the record of {found.domain}"
    more = f", alignment of {' and '.join(modes)}" if modes else ""
    return f"for mail that fails, {domain} asks for: {asked_for}{where}{more}"


def _judged(domain: str, found: Found) -> list[Item]:
    record = found.record
    asked_for = record.p if found.domain == domain else record.for_subdomains
    void = _void(domain, found)
    items = [*void]
    if not void and asked_for == "none":
        # Without reports the next step is to have some.
        ready = found.domain == domain and bool(record.rua)
        items.append(Item(
            TOPIC, domain, State.ADVICE, "the policy only watches (p=none)", "forgeries are delivered like any mail",
            "when the reports show that all honest mail passes, ask for quarantine, later for reject",
            (_entry(found, "quarantine"),) if ready else (),
        ))  # fmt: skip
    if record.testing and asked_for != "none":
        found_words = "the policy is in testing (t=y)"
        means = f"{asked_for} is lowered to the next weaker policy"
        items.append(Item(TOPIC, domain, State.ADVICE, found_words, means, "take t=y out when you are sure"))
    if found.domain == domain and record.p != "none" and record.for_subdomains == "none":
        means = "whoever forges takes a subdomain"
        items.append(Item(TOPIC, domain, State.ADVICE, "subdomains are only watched (sp=none)", means, "take sp= away"))
    told = [words for item in void for words in item.found.split("; ")]
    for flaw in record.flaws:
        words = f"{flaw[:1].lower()}{flaw[1:]}"
        if words not in told and flaw not in told and (record.usable or "policy" not in flaw):
            means = "that part of the record counts for nothing"
            items.append(Item(TOPIC, domain, State.ADVICE, words, means, "mend it"))
    return items


def _void(domain: str, found: Found) -> list[Item]:
    """What makes the whole policy count for nothing, with the record that has one (RFC 9989 §4.10.1)."""
    record, tags = found.record, _tags(found.record)
    bad = [name for name in ("p", "sp", "np") if name in tags and tags[name].lower() not in _POLICIES]
    if not bad and "p" in tags:
        return []
    counts = "the whole policy counts as p=none" if record.usable else "the whole record counts for nothing"
    asked_for = tags.get("p", "").lower()
    entry = _entry(found, asked_for if asked_for in _POLICIES else "none")
    if not record.usable:
        found_words = f"the record at {entry.name} has no valid policy"
        change = "give it a p= of none, quarantine or reject" if bad != ["np"] else "take np= away"
        return [Item(TOPIC, domain, State.WRONG, found_words, counts, change, (entry,))]
    if bad:
        words = [flaw for flaw in record.flaws if flaw.startswith(tuple(f"{name}=" for name in bad))]
        change = "publish the record without it" if "p" in tags and "p" not in bad else "publish one that can be read"
        return [Item(TOPIC, domain, State.WRONG, "; ".join(words), counts, change, (entry,))]
    words = ["there is no p tag, so no policy is asked for"]
    return [Item(TOPIC, domain, State.ADVICE, words[0], counts, "say so: some pass the record over", (entry,))]


_POLICIES: Final = ("none", "quarantine", "reject")
# What the tags may be whose other values count for nothing.
_VALUES: Final = {
    "sp": _POLICIES, "np": _POLICIES, "adkim": ("r", "s"), "aspf": ("r", "s"), "psd": ("y", "n", "u"), "t": ("y", "n"),
    "pct": tuple(map(str, range(101))),
}  # fmt: skip


def _tags(record: Record) -> dict[str, str]:
    """The tags by their names in lower case, of which the first counts."""
    tags: dict[str, str] = {}
    for piece in record.text.split(";"):
        name, equals, value = piece.partition("=")
        name = name.strip().lower()
        if equals and name.isascii() and name.isalpha() and value.isascii() and value.strip().isprintable():
            tags.setdefault(name, value.strip())
    return tags


def _entry(found: Found, asked_for: str) -> Entry:
    """The record with a policy and somebody to report to; else as it is, without what counts for nothing."""
    record = found.record
    places = {"rua": record.rua, "ruf": record.ruf}
    pieces = ["v=DMARC1", f"p={asked_for}"]
    for name, value in _tags(record).items():
        if name in places:
            uris = ",".join(place.uri for place in places[name])
            pieces += [f"{name}={uris}"] if uris else []
        elif name == "fo":
            pieces += [f"fo={value}"] if {each.strip().lower() for each in value.split(":")} <= set("01ds") else []
        elif name not in ("v", "p") and (name not in _VALUES or value.lower() in _VALUES[name]):
            pieces.append(f"{name}={value}")
    if not record.rua:
        pieces.append(f"rua=mailto:dmarc-reports@{found.domain}")
    return Entry(f"_dmarc.{found.domain}", "TXT", "; ".join(pieces))


async def _reports(found: Found, dns: Dns) -> list[Item]:
    record = found.record
    if not record.rua:
        change = "have them sent to you, or to somebody who reads them for you"
        # Where the policy itself is to be mended, one record mends both.
        publish = () if _void(found.domain, found) else (_entry(found, _tags(record)["p"].lower()),)
        return [Item(
            TOPIC, found.domain, State.ADVICE, "nobody is told who sends in the name of the domain (no rua)",
            "neither forgeries nor mistakes of your own come to light", change, publish,
        )]  # fmt: skip
    permission = await permit(found.domain, record.rua, "rua", dns)
    told = [str(address) for address in permission.addresses]
    items = []
    if told:
        said = f"reports go to {', '.join(told)}"
        items.append(Item(TOPIC, found.domain, State.GOOD, said, evidence=permission.evidence))
    later = {place.uri for place in permission.open}
    for destination in record.rua:
        if not _is_told(destination, told) and destination.uri not in later:
            items.append(_refused(found.domain, destination))
    items += [
        Item(TOPIC, found.domain, State.UNKNOWN, f"whether {shown(place.uri)} may have reports could not be asked")
        for place in permission.open
    ]
    return items


def _is_told(destination: Destination, told: list[str]) -> bool:
    # A host may name other addresses of its own instead.
    address = destination.address
    return address is not None and any(each.endswith(f"@{address.domain}") for each in told)


def _refused(domain: str, destination: Destination) -> Item:
    if destination.address is None:
        found = f"{shown(destination.uri)} is no mail address, and reports are only mailed"
        return Item(TOPIC, domain, State.ADVICE, found, "nothing is sent there", "name a mail address")
    host = destination.address.domain
    return Item(
        TOPIC, domain, State.WRONG, f"reports are to go to {destination.address}, but {host} does not say that it wants"
        " them", "nobody sends them", f"have the owner of {host} publish this, or name an address of your own",
        (Entry(f"{domain}._report._dmarc.{host}", "TXT", "v=DMARC1"),),
    )  # fmt: skip
