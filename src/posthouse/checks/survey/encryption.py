"""What the mail hosts of a domain said when they were called: encryption, certificates, and the keys in the DNS.

    items = encryption(calls, now, enforced=False, keys={"mx.example.org": records})

Whoever can open connections makes the `Call`s (`serve.probe`); here they are only judged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509

from posthouse.checks import dane
from posthouse.checks.evidence import shown
from posthouse.checks.survey.item import Entry, Item, State
from posthouse.mail.dns import Tlsa
from posthouse.mail.instant import DAY, SECOND, Instant, rfc3339

TOPIC: Final = "STARTTLS"
_SOON: Final = 14 * DAY
_OLD = ("SSLv3", "TLSv1", "TLSv1.0", "TLSv1.1")


@dataclass(frozen=True, slots=True)
class Call:
    """What came of calling one address of a mail host.

    `trouble` is a sentence where nobody answered as a mail server does; then nothing else is known. `offers_tls` is
    whether STARTTLS is offered, `broken` why it came to nothing all the same; `tls` is version and cipher.
    `certificate` is what the host showed and `chain` all that it showed, in DER; `distrust` is why the certificate
    cannot be verified for the name of the host, "" where it can.
    """

    host: str
    ip: str
    trouble: str = ""
    greeting: str = ""
    offers_tls: bool = False
    broken: str = ""
    tls: str = ""
    certificate: bytes = b""
    chain: tuple[bytes, ...] = ()
    distrust: str = ""


def encryption(
    calls: Sequence[Call], now: Instant, *, enforced: bool, keys: Mapping[str, Sequence[Tlsa]]
) -> tuple[Item, ...]:
    """`enforced`: an MTA-STS policy asks for certificates that can be verified; `keys` are usable TLSA records."""
    items: list[Item] = []
    for call in calls:
        items += _called(call, now, enforced, keys.get(call.host, ()))
    advised: set[str] = set()
    for call in calls:
        if call.certificate and not keys.get(call.host) and call.host not in advised:
            advised.add(call.host)
            items += _advised(call)
    return tuple(items)


def _called(call: Call, now: Instant, enforced: bool, keys: Sequence[Tlsa]) -> list[Item]:
    who = f"{shown(call.host)} at {call.ip}"
    if call.trouble:
        means = "port 25 is closed on many lines; from elsewhere it may well answer"
        return [Item(TOPIC, call.ip, State.UNKNOWN, f"{who} could not be called: {shown(call.trouble, 200)}", means)]
    if not call.offers_tls:
        means = "mail goes there in the clear, and senders that insist on encryption send none"
        change = "give the host a certificate, and switch STARTTLS on"
        return [Item(TOPIC, call.ip, State.WRONG, f"{who} does not offer STARTTLS", means, change)]
    if call.broken:
        found = f"{who} offers STARTTLS, but it fails: {shown(call.broken, 200)}"
        return [Item(TOPIC, call.ip, State.WRONG, found, "some senders go on in the clear, others give up", "mend it")]
    items = _certificate(call, who, now, enforced, bool(keys))
    if call.tls.partition(" ")[0] in _OLD:
        found, means = f"{who} speaks {call.tls}, which is broken", "senders that know better go elsewhere"
        items.append(Item(TOPIC, call.ip, State.WRONG, found, means, "let it speak TLS 1.2 and 1.3"))
    if keys:
        items.append(_matched(call, who, keys))
    if not items:
        found = f"{who} offers STARTTLS, {call.tls}, with a certificate that can be verified"
        items.append(Item(TOPIC, call.ip, State.GOOD, found))
    return items


def _certificate(call: Call, who: str, now: Instant, enforced: bool, has_keys: bool) -> list[Item]:
    items: list[Item] = []
    if call.distrust:
        found = f"the certificate of {who} cannot be verified: {shown(call.distrust, 200)}"
        if has_keys:
            return [Item(TOPIC, call.ip, State.GOOD, f"{found}; its key stands in the DNS instead")]
        means = "the MTA-STS policy lets no mail go there" if enforced else \
            "most servers encrypt to it all the same, but nobody knows whom they encrypt to"
        change = f"get a certificate for {call.host} from a public authority, and show the whole chain"
        items.append(Item(TOPIC, call.ip, State.WRONG if enforced else State.ADVICE, found, means, change))
    try:
        ends = int(x509.load_der_x509_certificate(call.certificate).not_valid_after_utc.timestamp()) * SECOND
    except Exception:
        # What the reader raises for odd certificates is not documented; verification has said what counts.
        return items
    if now < ends < now + _SOON:
        found = f"the certificate of {who} ends on {rfc3339(ends)}"
        items.append(Item(TOPIC, call.ip, State.ADVICE, found, "then it can no longer be verified", "renew it"))
    return items


def _matched(call: Call, who: str, keys: Sequence[Tlsa]) -> Item:
    """The certificate beside the keys in the DNS."""
    shown_ = call.chain or (call.certificate,)
    for record in keys:
        candidates = shown_[:1] if record.usage == dane.DANE_EE else shown_
        if any(dane.matches(record, certificate) for certificate in candidates):
            return Item(TOPIC, call.ip, State.GOOD, f"{who} shows the key that stands in the DNS (TLSA)")
    if len(shown_) < 2 and any(record.usage == dane.DANE_TA for record in keys):
        found = f"{who} shows an authority in the DNS (TLSA), whose certificate could not be seen here"
        return Item(TOPIC, call.ip, State.UNKNOWN, found)
    means = "servers that look at the DNS send no mail there"
    entry = _entry(call)
    change = "publish the key that the host has, and the next one before you change it"
    found = f"{who} shows another key than the one in the DNS (TLSA)"
    return Item(TOPIC, call.ip, State.WRONG, found, means, change, entry)


def _advised(call: Call) -> list[Item]:
    entry = _entry(call)
    if not entry:
        return []
    means = "with it, and a signed DNS, nobody can stand between two servers"
    found = f"the key of {shown(call.host)} does not stand in the DNS"
    return [Item("TLSA", call.host, State.ABSENT, found, means, "publish it, if your DNS is signed (DNSSEC)", entry)]


def _entry(call: Call) -> tuple[Entry, ...]:
    try:
        record = dane.recommended(call.certificate)
    except ValueError:
        return ()
    return (Entry(dane.dns_name(call.host), "TLSA", dane.text(record)),)
