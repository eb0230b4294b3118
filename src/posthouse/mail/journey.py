"""The journey of a message: one record of every decision about it, from connection to mailbox or remote reply.

Logs, metrics, Received fields, DSN text and timelines are views of this record; no room keeps a second story.
A stamp holds facts only. The sentence a person reads is made from the facts here (`sentence`), so that a wording
can be mended without touching what is stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from posthouse.mail.instant import Instant

Fact = str | int | bool | list[str] | None
Facts = Mapping[str, Fact]


class Step(StrEnum):
    """What happened. The value is stored: never rename one, only add."""

    CONNECTED = "connected"          # ip, port, service
    HELLO = "hello"                  # verb, name
    TLS = "tls"                      # version, cipher, bits
    LOGIN = "login"                  # account, mechanism
    ENVELOPE = "envelope"            # mail_from, size, body, smtputf8, envid
    RECIPIENT = "recipient"          # address, reply, via (alias chain)
    RECEIVED = "received"            # digest, size, message_id, header_from, subject
    VERDICT = "verdict"              # method, result, identity, reason, evidence; account, clues of a junk filter
    DECISION = "decision"            # action, rule, reason, score, lines, overrides; account where for one alone
    WARNING = "warning"              # account, warning (what its reader should beware of)
    ADDED = "added"                  # field (a header field put in front or taken out on submission)
    REMOVED = "removed"              # field (a forged header field that came in and was taken out), value, digest
    DELIVERED = "delivered"          # account, mailbox, uid, address
    QUEUED = "queued"                # delivery, address, domain
    ACCEPTED = "accepted"            # reply
    REFUSED = "refused"              # reply, 4xx or 5xx
    ROUTE = "route"                  # domain, hosts, how
    ATTEMPT = "attempt"              # delivery, address, host, ip, tls, reply, outcome, seconds
    RETRY = "retry"                  # delivery, address, at
    RELAYED = "relayed"              # delivery, address, host, reply
    DELAYED = "delayed"              # delivery, address, dsn
    FAILED = "failed"                # delivery, address, reason, dsn
    EXPIRED = "expired"              # delivery, address, dsn
    BOUNCED = "bounced"              # to, about (the DSN that was sent)
    DROPPED = "dropped"              # reason
    HELD = "held"                    # delivery, address, by
    RELEASED = "released"            # delivery, address, by
    SIGNED = "signed"                # domain, selectors (DKIM)
    SEALED = "sealed"                # domain, selector, chain (ARC)
    UNSIGNED = "unsigned"            # domain, reason
    REWRITTEN = "rewritten"          # mail_from, original (SRS)
    REPORT = "report"                # kind, domain, outcome (a DMARC or TLS report that came in was read)


@dataclass(frozen=True, slots=True)
class Stamp:
    """One thing that happened at one time."""

    at: Instant
    step: Step
    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Journey:
    """All stamps of one message, oldest first. `journey_id` is also the queue id that replies and logs show."""

    journey_id: int
    message_id: str
    stamps: tuple[Stamp, ...]


_SENTENCES: dict[Step, str] = {
    Step.CONNECTED: "{ip} connected to {service}",
    Step.HELLO: "it called itself {name} ({verb})",
    Step.TLS: "the connection was encrypted with {version}, {cipher}",
    Step.LOGIN: "{account} logged in with {mechanism}",
    Step.ENVELOPE: "it announced a message from <{mail_from}>",
    Step.RECIPIENT: "recipient <{address}>: {reply}",
    Step.RECEIVED: "{size} octets arrived",
    Step.VERDICT: "{method} {result} for {identity}: {reason}",
    Step.DECISION: "decided to {action} by the rule {rule}: {reason}",
    Step.WARNING: "warned the reader {account}: the message {warning}",
    Step.ADDED: "{field}",
    Step.REMOVED: "took out a forged {field}: {value}",
    Step.DELIVERED: "put into {mailbox} of {account} as UID {uid}",
    Step.QUEUED: "queued for <{address}> by way of {domain}",
    Step.ACCEPTED: "answered {reply}",
    Step.REFUSED: "answered {reply}",
    Step.ROUTE: "{domain} is served by {hosts} ({how})",
    Step.ATTEMPT: "tried {host} [{ip}] for <{address}>: {reply}",
    Step.RETRY: "will try again for <{address}> at {at}",
    Step.RELAYED: "{host} took it for <{address}>: {reply}",
    Step.DELAYED: "told the sender that <{address}> is waiting",
    Step.FAILED: "gave up on <{address}>: {reason}",
    Step.EXPIRED: "gave up on <{address}> after the longest time allowed",
    Step.BOUNCED: "sent a notice to <{to}> about <{about}>",
    Step.DROPPED: "dropped: {reason}",
    Step.HELD: "kept back from <{address}> by {by}",
    Step.RELEASED: "released to <{address}> by {by}",
    Step.SIGNED: "signed as {domain} with the keys {selectors}",
    Step.SEALED: "sealed as {domain} with the key {selector}; the chain of earlier seals: {chain}",
    Step.UNSIGNED: "not signed as {domain}: {reason}",
    Step.REWRITTEN: "goes on from <{mail_from}> in place of <{original}>, so that SPF holds and notices find back",
    Step.REPORT: "read as a report: {outcome}",
}


# Where no host could be asked, our own words stand for a reply.
_NO_HOST = "no host could be asked about <{address}>: {reply}"
# Where a check had nobody to ask about, as of a message without a signature.
_NOBODY = "{method} {result}: {reason}"
# What is said of a message that came, as far as it has it: one that is refused may have neither.
_NAMED = {"message_id": ", Message-ID {message_id}", "header_from": ", from {header_from}"}
# What holds for the copy of one account, while the others keep theirs elsewhere.
_FOR_ONE = "decided to {action} the copy of {account} by the rule {rule}: {reason}"


class _Known(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "?"


def sentence(stamp: Stamp) -> str:
    """What a person reads about this stamp, one line without control characters; unknown facts show as `?`."""
    words = _Known({k: _word(v) for k, v in stamp.facts.items()})
    text = _SENTENCES[stamp.step]
    if stamp.step is Step.ATTEMPT and not stamp.facts.get("host"):
        text = _NO_HOST
    elif stamp.step is Step.VERDICT and not stamp.facts.get("identity"):
        text = _NOBODY
    elif stamp.step is Step.RECEIVED:
        text += "".join(more for fact, more in _NAMED.items() if stamp.facts.get(fact))
    elif stamp.step is Step.DECISION and stamp.facts.get("account"):
        text = _FOR_ONE
    line = text.format_map(words)
    return line if line.isprintable() else "".join(c if c.isprintable() else " " for c in line)


def _word(fact: Fact) -> str:
    if isinstance(fact, list):
        return ", ".join(fact)
    if fact is None:
        return ""
    return str(fact)
