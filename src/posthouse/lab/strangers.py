"""Who else lives on the small internet: hosts that spoof, resemble, forward and run a list, to be seen arriving.

    strangers = Strangers(names)                                 their zones stand beside those of the real hosts
    octets = strangers.write(scene, carols_keys, now)
    code, words = await strangers.bring(scene, octets, port)     what our server answered at that port

Each has an address of its own in 127.0.0.0/8 where the system has such addresses (Linux does), a name that leads back
to it, SPF, DMARC and a key: everything in order, as anybody can have it. What they bring comes over real SMTP.

    honest       somebody writes, and all is in order
    spoof        somebody claims to be bob@posthouse.test
    lookalike    alice writes, but from p0sthouse.test
    forwarded    what carol wrote came to forward.test, which added a line, sealed it and sent it on
    list         what carol wrote to a mailing list, which changed subject and text and signed it anew
"""

import asyncio
import smtplib
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from posthouse.checks.arc import Arc, seal
from posthouse.checks.dkim import SigningKey, sign
from posthouse.lab.zone import Names
from posthouse.mail.authentication_results import Property, Result, format_payload
from posthouse.mail.instant import Instant, rfc5322_date
from posthouse.mail.verdict import Verdict

LOOPBACK: Final = "127.0.0.1"
PATIENCE_SECONDS: Final = 30.0

# Each domain with the last number of its address.
_DOMAINS: Final = {"spoofer.test": 66, "p0sthouse.test": 67, "forward.test": 68, "lists.test": 69, "honest.test": 70}
FORWARDER: Final = "forward.test"
LIST: Final = "lists.test"

_UNSEALED: Final = Arc("none", (), (), None, Verdict("arc", "none", "", "No earlier hop has sealed it"))


@dataclass(frozen=True, slots=True)
class Scene:
    """One message: from which host, under which envelope, and what it is to show. `title` and `ends` are for people."""

    name: str
    title: str
    ends: str
    domain: str
    mail_from: str
    rcpt_to: str


SCENES: Final = (
    Scene("honest", "Dora writes to alice, and all is in order", "in the inbox, with nothing against it",
          "honest.test", "dora@honest.test", "alice@posthouse.test"),
    Scene("spoof", "Somebody claims to be bob@posthouse.test", "refused, as the DMARC policy of posthouse.test asks",
          "spoofer.test", "bob@posthouse.test", "alice@posthouse.test"),
    Scene("lookalike", "Alice writes to bob, but from p0sthouse.test", "in the inbox, with a warning in front",
          "p0sthouse.test", "alice@p0sthouse.test", "bob@posthouse.test"),
    Scene("forwarded", "forward.test sends on what carol wrote, with a line of its own below",
          "in the inbox, since forward.test is a trusted sealer",
          FORWARDER, f"bounces@{FORWARDER}", "bob@posthouse.test"),
    Scene("list", "A mailing list sends what carol wrote to it", "in the inbox, since lists.test is a known list",
          LIST, f"talk-bounces@{LIST}", "alice@posthouse.test"),
)


def own_address(number: int) -> str:
    """127.0.0.N, or 127.0.0.1 where the system has no other address of loopback."""
    address = f"127.0.0.{number}"
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return LOOPBACK
    return address


def sender_policy(address: str) -> str:
    """The SPF record of a domain that sends from one address. Where all share one, that proves nothing."""
    return "v=spf1 ?all" if address == LOOPBACK else f"v=spf1 ip4:{address} -all"


class Strangers:
    """The hosts of the module's text."""

    def __init__(self, names: Names) -> None:
        """Their zones are added to `names`."""
        self._keys = {domain: SigningKey.generate(domain, "s1", "ed25519-sha256") for domain in _DOMAINS}
        self._addresses = {domain: own_address(number) for domain, number in _DOMAINS.items()}
        for domain, key in self._keys.items():
            zone = names.add_zone(domain)
            address, host = self._addresses[domain], f"mx.{domain}"
            zone.add(domain, "TXT", sender_policy(address))
            zone.add(f"_dmarc.{domain}", "TXT", "v=DMARC1; p=reject")
            zone.add(host, "A", address)
            zone.add(host, "TXT", sender_policy(address))
            zone.add(key.dns_name, "TXT", key.dns_record())

    @property
    def hosts(self) -> list[tuple[str, str]]:
        """Address and name of each."""
        return [(address, f"mx.{domain}") for domain, address in self._addresses.items()]

    def write(self, scene: Scene, carol: Sequence[SigningKey], now: Instant) -> bytes:
        """The message of a scene, whole. `carol` are the keys of far.test, with which what she wrote was signed."""
        key = self._keys[scene.domain]
        made = _WRITERS[scene.name](key, carol, now)
        return made if scene.name == "spoof" else sign(made, [key], now) + made

    async def bring(self, scene: Scene, octets: bytes, port: int) -> tuple[int, str]:
        """Hand a message to the server at that port, from the address of its host; gives the last reply."""
        return await asyncio.to_thread(self._bring, scene, octets, port)

    def _bring(self, scene: Scene, octets: bytes, port: int) -> tuple[int, str]:
        source = (self._addresses[scene.domain], 0)
        host = f"mx.{scene.domain}"
        with smtplib.SMTP(timeout=PATIENCE_SECONDS, local_hostname=host, source_address=source) as client:
            client.connect(LOOPBACK, port)
            client.ehlo()
            client.mail(scene.mail_from)
            code, words = client.rcpt(scene.rcpt_to)
            if code < 400:
                code, words = client.data(octets)
            return code, words.decode("utf-8", "replace")


def _letter(author: str, to: str, subject: str, now: Instant, text: str, *more: str) -> bytes:
    name = f"{now:x}.{subject.lower().split()[-1]}"
    fields = [
        f"From: {author}", f"To: {to}", f"Subject: {subject}", f"Date: {rfc5322_date(now)}",
        f"Message-ID: <{name}@{author.rpartition('@')[2].rstrip('>')}>", "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=us-ascii", *more,
    ]  # fmt: skip
    return "\r\n".join([*fields, "", *text.splitlines(), ""]).encode("ascii")


def _honest(key: SigningKey, carol: Sequence[SigningKey], now: Instant) -> bytes:
    return _letter(
        "Dora <dora@honest.test>", "alice@posthouse.test", "Good morning", now, "The weather is fine here.\nDora"
    )


def _spoof(key: SigningKey, carol: Sequence[SigningKey], now: Instant) -> bytes:
    return _letter(
        "Bob <bob@posthouse.test>", "alice@posthouse.test", "The invoice", now,
        "Please pay the invoice today.\nBob",
    )


def _lookalike(key: SigningKey, carol: Sequence[SigningKey], now: Instant) -> bytes:
    return _letter(
        "Alice <alice@p0sthouse.test>", "bob@posthouse.test", "My new account", now,
        "Please use this account for the payment from now on, it is urgent.\nAlice",
    )


def _forwarded(key: SigningKey, carol: Sequence[SigningKey], now: Instant) -> bytes:
    signed = _letter("Carol <carol@far.test>", f"bob@{FORWARDER}", "Lunch", now, "At noon, by the river?\nCarol")
    signed = sign(signed, carol, now) + signed
    # What forward.test saw before it added its line.
    seen = [
        Result("spf", "pass", properties=(Property("smtp", "mailfrom", "far.test"),)),
        Result("dkim", "pass", properties=(Property("header", "d", "far.test"),)),
        Result("dmarc", "pass", properties=(Property("header", "from", "far.test"),)),
    ]
    altered = signed + f"-- \r\nForwarded by {FORWARDER}\r\n".encode()
    return seal(altered, key, _UNSEALED, format_payload(f"mx.{FORWARDER}", seen), now) + altered


def _list(key: SigningKey, carol: Sequence[SigningKey], now: Instant) -> bytes:
    signed = _letter("Carol <carol@far.test>", f"talk@{LIST}", "Reading", now, "Which book is next?\nCarol")
    signed = sign(signed, carol, now) + signed
    changed = signed.replace(b"Subject: Reading", b"Subject: [talk] Reading", 1)
    fields = f"List-Id: Talk <talk.{LIST}>\r\nList-Post: <mailto:talk@{LIST}>\r\nSender: talk-bounces@{LIST}\r\n"
    return fields.encode() + changed + f"_____\r\ntalk@{LIST}\r\n".encode()


_WRITERS: Final[dict[str, Callable[[SigningKey, Sequence[SigningKey], Instant], bytes]]] = {
    "honest": _honest, "spoof": _spoof, "lookalike": _lookalike, "forwarded": _forwarded, "list": _list,
}
