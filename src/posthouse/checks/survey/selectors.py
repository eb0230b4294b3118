"""The DKIM keys of a domain, as far as their names are known or can be guessed.

    found = await selectors("example.org", dns, named=("r2025",), ours={"r2025": "v=DKIM1; …"})

The DNS does not tell which selectors there are. Those that somebody names are asked for, and those by which the large
services go; what answers to a name that nobody uses answers to every name, and tells nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from posthouse.checks.dkim.records import KeyRecord, RecordFault, parse_record
from posthouse.checks.evidence import asked, shown
from posthouse.checks.survey.item import Entry, Item, State
from posthouse.mail.dns import Answer, Dns, DnsFault

TOPIC: Final = "DKIM"
RSA_BITS_GOOD: Final = 2048

# What mail servers and the larger services call theirs.
COMMON: Final = (
    "default", "dkim", "mail", "selector1", "selector2", "google", "s1", "s2", "k1", "k2", "k3", "key1", "key2",
    "smtp", "mx", "email", "dkim1", "dkim2", "s1024", "s2048", "sig1", "fm1", "fm2", "fm3", "mesmtp", "protonmail",
    "protonmail2", "protonmail3", "pm", "zoho", "zmail", "mandrill", "mailjet", "mailchimp", "sendgrid", "smtpapi",
    "everlytickey1", "everlytickey2", "amazonses", "mxvault", "turbo-smtp", "mailo", "krs", "sm", "cm", "pic", "yandex",
)  # fmt: skip
# No service has it; who answers to it answers to anything.
_NOBODYS: Final = "posthouse-asks-for-no-such-selector"


async def selectors(
    domain: str, dns: Dns, *, named: Sequence[str] = (), ours: Mapping[str, str] | None = None
) -> tuple[Item, ...]:
    """`named` are selectors that have to be there; `ours` is what has to stand under those of this house. Never raises.
    """
    ours = ours or {}
    items: list[Item] = []
    for selector, record in ours.items():
        items.append(await _ours(domain, selector, record, dns))
    for selector in dict.fromkeys(named):
        if selector not in ours:
            items += await _known(domain, selector, dns, missing=State.WRONG)
    try:
        everything = (await dns.txt(_name(_NOBODYS, domain))).records
    except DnsFault as fault:
        if not items:
            items.append(Item(TOPIC, domain, State.UNKNOWN, f"the DKIM keys could not be asked for: {fault}"))
        return tuple(items)
    if everything:
        found = f"every name below _domainkey.{domain} has a record"
        means = "which keys there are cannot be found out, and one that was taken away seems to be there still"
        items.append(Item(TOPIC, domain, State.ADVICE, found, means, "publish a record for each key, and no wildcard"))
        return tuple(items)
    unanswered: list[str] = []
    for selector in COMMON:
        if selector not in ours and selector not in named:
            found_there = await _known(domain, selector, dns, missing=None)
            if any(item.state is State.UNKNOWN for item in found_there):
                unanswered.append(selector)
            else:
                items += found_there
    if unanswered:
        names = f"{', '.join(unanswered[:5])}{' and others' if len(unanswered) > 5 else ''}"
        found = f"{len(unanswered)} of {len(COMMON)} usual selectors could not be asked for: {names}"
        items.append(Item(TOPIC, domain, State.UNKNOWN, found, "there may be keys under them"))
    if not items:
        found = f"no DKIM key of {domain} is known: none of {len(COMMON)} usual selectors is there"
        means = "its mail may be signed under another one, which the DNS does not tell"
        change = "name the selector; it stands in the DKIM-Signature of any mail from there, behind s="
        items.append(Item(TOPIC, domain, State.UNKNOWN, found, means, change))
    return tuple(items)


def _name(selector: str, domain: str) -> str:
    return f"{selector}._domainkey.{domain}"


async def _ours(domain: str, selector: str, record: str, dns: Dns) -> Item:
    """A key of this house beside what is published."""
    name = _name(selector, domain)
    entry = Entry(name, "TXT", record)
    try:
        answer = await dns.txt(name)
    except DnsFault as fault:
        return Item(TOPIC, name, State.UNKNOWN, f"the key {selector} could not be asked for: {fault}")
    evidence = (asked("TXT", name, [octets.decode("latin-1") for octets in answer.records]),)
    if _key(record) in [_key(octets.decode("latin-1")) for octets in answer.records]:
        found = f"the key {selector} of this server is published as it has to be"
        return Item(TOPIC, name, State.GOOD, found, evidence=evidence)
    found = f"the key {selector} of this server is not published"
    if answer.records:
        found = f"another key than that of this server is published as {selector}"
    means = "what this server signs with it verifies nowhere"
    return Item(TOPIC, name, State.WRONG, found, means, "publish its record", (entry,), evidence)


def _key(record: str) -> str:
    """What counts of a record: its key."""
    tags = dict(part.partition("=")[::2] for part in "".join(record.split()).split(";"))
    return tags.get("p", "")


async def _known(domain: str, selector: str, dns: Dns, *, missing: State | None) -> list[Item]:
    """A selector; nothing is said of one that is not there where `missing` is None."""
    name = _name(selector, domain)
    try:
        answer = await dns.txt(name)
    except DnsFault as fault:
        return [Item(TOPIC, name, State.UNKNOWN, f"the key {selector} could not be asked for: {fault}")]
    if not answer.records:
        if missing is None:
            return []
        found = f"there is no key under the selector {shown(selector)}"
        return [Item(TOPIC, name, missing, found, "what is signed with it verifies nowhere", "publish its record")]
    return [_examined(name, selector, answer, missing is not None)]


def _examined(name: str, selector: str, answer: Answer[bytes], named: bool) -> Item:
    texts = [octets.decode("latin-1") for octets in answer.records]
    evidence = (asked("TXT", name, texts),)

    def item(state: State, found: str, means: str = "", change: str = "") -> Item:
        return Item(TOPIC, name, state, f"the key {shown(selector)} {found}", means, change, evidence=evidence)

    if len(texts) > 1:
        means = "which of them counts is up to whoever verifies"
        return item(State.WRONG, f"has {len(texts)} records", means, "leave one of them")
    try:
        record = parse_record(answer.records[0])
    except RecordFault as fault:
        if str(fault) == "was revoked":
            return item(State.GOOD, "was revoked (its record is empty)")
        # Under a guessed name somebody else's text may stand.
        state = State.WRONG if named else State.ADVICE
        return item(state, str(fault), "no signature verifies with it", "publish a sound key, or take the record away")
    if record.testing:
        means = "whoever verifies may treat its mail as if it were not signed"
        return item(State.ADVICE, f"is in testing (t=y), {_kind(record)}", means, "take t=y out of it")
    if record.kind == "rsa" and record.bits < RSA_BITS_GOOD:
        means = f"keys below {RSA_BITS_GOOD} bits can be broken by whoever takes the trouble"
        change = f"make a new key of {RSA_BITS_GOOD} bits under another selector, and take this one away a week later"
        return item(State.ADVICE, f"is {_kind(record)}", means, change)
    return item(State.GOOD, f"is {_kind(record)}")


def _kind(record: KeyRecord) -> str:
    return "Ed25519" if record.kind == "ed25519" else f"RSA with {record.bits} bits"
