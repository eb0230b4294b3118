"""The trace of one hop: Received fields, written and read (RFC 5321 §4.4, RFC 3848, RFC 6531 §4.3, RFC 8314 §4.3).

    Received: from client.example ([192.0.2.9])
        by mail.posthouse.test with ESMTPS id 0DQ4W8SZJ6A2G
        for <bob@posthouse.test>
        tls TLS_AES_256_GCM_SHA384 (TLSv1.3, 256 bits);
        Sat, 01 Mar 2025 18:15:30 +0000

What others write has little to do with the grammar; it is read by its key words, and comments by what is found in
them. Nothing in a field below our own is proven: whoever shows it says so.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from posthouse.mail import charsets
from posthouse.mail.address import Address
from posthouse.mail.dates import has_form, lacks_zone, parse_date
from posthouse.mail.instant import Instant, rfc5322_date
from posthouse.mail.peer import Peer
from posthouse.mail.tokens import unfold
from posthouse.mail.words import one_line

# What is longer is no trace; the rest is not looked at.
RECEIVED_OCTETS = 4_000
# As many words of a clause, and comments behind it, as any program writes.
_CLAUSE_WORDS = 12

_is_domain = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9])?").fullmatch
_unfit = re.compile(r"[^A-Za-z0-9._:\[\]-]").sub
# RFC 8314 §4.3: tls-cipher-name, and the names of OpenSSL that have an equivalent in the registry.
_is_registered = re.compile(r"TLS_[A-Z0-9_]+").fullmatch
_match_openssl = re.compile(
    r"(ECDHE|DHE)-(RSA|ECDSA)-(?:AES(128|256)-GCM-(SHA256|SHA384)|(CHACHA20-POLY1305))"
).fullmatch

_find_tokens = re.compile(r'[()]|\[[^\[\]()]*\]|"[^"]*"?|[^\s()\["]+|\[').finditer
_KEYWORDS = frozenset(("from", "by", "via", "with", "id", "for", "tls"))
_find_protocol = re.compile(r"\b(UTF8SMTP|UTF8LMTP|E?SMTP|LMTP)(SA|S|A)?(?:-(TLS))?(?=SVC|\b)", re.IGNORECASE).search
_find_ip = re.compile(r"(?:IPv6:)?((?:\d{1,3}\.){3}\d{1,3}|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)", re.IGNORECASE).finditer
_find_helo = re.compile(r"\b(?:helo|ehlo)(?:=|[ ]+)([^\s,;()]*)", re.IGNORECASE).search
_find_claim = re.compile(r'claiming to be "?([^\s"]+)', re.IGNORECASE).search
_match_reverse = re.compile(r"(?:IDENT:\S*@)?<?([A-Za-z0-9][A-Za-z0-9._-]*\.[A-Za-z0-9-]+)\.?>?\s*(?:\[|\Z)").match
_find_version = re.compile(r"\b(TLS|SSL)v?[ ]?(\d)(?:[._](\d))?(?![\d.])", re.IGNORECASE).search
_find_cipher = re.compile(
    r"cipher[= ]+([A-Za-z0-9_-]+)(?=[\s,;)(]|\Z)|TLS[^:\s]{0,16}:([A-Z][A-Z0-9_-]+):\d|/TLS/([A-Z0-9_-]+)"
    r"|\bTLS:?[^()]{0,32}?\d+ ?bits?,? ?([A-Z][A-Z0-9_-]+)"
).search


@dataclass(frozen=True, slots=True)
class Received:
    """What a Received field tells; everything "" or None where it does not.

    `frm` is the name the client gave itself (HELO), or what stands in its place; `host` the name found by reverse
    look-up; `ip` its address without brackets, IPv4-mapped ones unmapped; `by` who wrote the field; `protocol` in
    capitals; `for_` without angle brackets; `tls` version and cipher in one line; `raw` the value unfolded.
    `unzoned` where the date is in no zone that is known, and is taken as UTC; `impossible` where no calendar has it.
    """

    frm: str
    host: str
    ip: str
    by: str
    protocol: str
    id: str
    for_: str
    at: Instant | None
    tls: str
    raw: str
    unzoned: bool = False
    impossible: bool = False


def format_received(
    peer: Peer,
    by: str,
    id: str,
    now: Instant,
    *,
    rcpt: Address | None = None,
    smtputf8: bool = False,
    show_client: bool = True,
) -> bytes:
    """The whole field with its CRLF.

    `rcpt` is given only where there is one recipient (RFC 5321 §7.6: blind copies stay blind). Without `show_client`
    neither the client's name nor its address appear (submission).
    """
    client = f"from {_named(peer.helo)} ([{_literal(peer.ip)}])\r\n\t" if show_client else ""
    recipient = f"\r\n\tfor <{rcpt}>" if rcpt is not None and (smtputf8 or rcpt.is_ascii) else ""
    tls = ""
    if peer.tls is not None:
        cipher = _registered(peer.tls.cipher)
        version, bits = _unfit("", peer.tls.version), peer.tls.bits
        if cipher:
            tls = f"\r\n\ttls {cipher} ({version}, {bits} bits)"
        else:
            tls = f"\r\n\t(using {version} with cipher {_unfit('', peer.tls.cipher)} ({bits} bits))"
    word = protocol(peer, smtputf8)
    return f"Received: {client}by {by} with {word} id {id}{recipient}{tls};\r\n\t{rfc5322_date(now)}\r\n".encode()


def protocol(peer: Peer, smtputf8: bool) -> str:
    """The word for `with`: RFC 3848 §1, and RFC 6531 §4.3 for an internationalised transaction."""
    tls = "S" if peer.tls is not None else ""
    login = "A" if peer.account_id is not None else ""
    if smtputf8:
        return f"UTF8SMTP{tls}{login}"
    return f"ESMTP{tls}{login}" if peer.esmtp or tls or login else "SMTP"


def parse_received(value: bytes) -> Received:
    """Reads what Postfix, Exim, Sendmail, Exchange, Gmail, qmail and others write; never raises, linear."""
    raw = one_line(charsets.decode(unfold(value[:RECEIVED_OCTETS])))
    clauses, end = _clauses(raw)
    written = raw[end:].lstrip("; _").encode("ascii", "replace")
    date = parse_date(written)
    words, comments = clauses.get("from", ([], []))
    frm, host, ip = _client(words, comments)
    with_words, with_comments = clauses.get("with", ([], []))
    via_words = clauses.get("via", ([], []))[0]
    for_words, for_comments = clauses.get("for", ([], []))
    by_words, by_comments = clauses.get("by", ([], []))
    by = _first(by_words)
    notes = [*comments, *by_comments, *with_comments, *for_comments, *clauses.get("id", ([], []))[1]]
    return Received(
        frm=frm,
        host=host,
        ip=ip,
        by=_address(by) or by,
        protocol=_protocol(with_words, via_words),
        id=_first(clauses.get("id", ([], []))[0]),
        for_=_first(for_words),
        at=date.at if date is not None else None,
        tls=_tls(clauses.get("tls"), [*notes, " ".join(with_words)]),
        raw=raw,
        unzoned=date is not None and lacks_zone(written, date),
        impossible=date is None and has_form(written),
    )


def _named(helo: str) -> str:
    """What the client called itself, in a form that cannot end the clause or open a comment."""
    if _is_domain(helo):
        return helo
    return _unfit("", helo)[:255] or "unknown"


def _literal(ip: str) -> str:
    return f"IPv6:{ip}" if ":" in ip else ip


@lru_cache(maxsize=64)
def _registered(cipher: str) -> str:
    """The name in the TLS registry of IANA, or "" where it is not known."""
    if _is_registered(cipher):
        return cipher
    match = _match_openssl(cipher)
    if match is None:
        return ""
    exchange, signature, bits, digest, chacha = match.groups()
    suite = "CHACHA20_POLY1305_SHA256" if chacha else f"AES_{bits}_GCM_{digest}"
    return f"TLS_{exchange}_{signature}_WITH_{suite}"


Clause = tuple[list[str], list[str]]


def _clauses(raw: str) -> tuple[dict[str, Clause], int]:
    """Words and comments by key word (the first of each counts), and where the date begins."""
    clauses: dict[str, Clause] = {}
    words: list[str] = []
    comments: list[str] = []
    key = ""
    depth = opened = 0
    for token in _find_tokens(raw):
        text = token[0]
        if text == "(":
            opened = token.start() + 1 if not depth else opened
            depth += 1
        elif text == ")":
            depth = max(depth - 1, 0)
            if not depth and opened and len(comments) < _CLAUSE_WORDS:
                comments.append(raw[opened : token.start()].strip())
                opened = 0
        elif depth:
            # "(from root@localhost) by …": Sendmail's word for what it was given on the spot.
            if text.lower() == "from" and not clauses and token.start() == opened:
                depth, opened = 0, 0
                words, comments = clauses.setdefault("from", ([], []))
        elif key == "from" and not words and not comments and raw.startswith(" (", token.end()):
            # A client that calls itself "by" would hide its address in that.
            words.append(text)
        elif text.lower() in _KEYWORDS:
            key = text.lower()
            words, comments = clauses.setdefault(key, ([], []))
            if words:
                words, comments = [], []
        else:
            head, semicolon, _ = text.partition(";")
            if head and len(words) < _CLAUSE_WORDS:
                words.append(head)
            if semicolon:
                return clauses, token.start() + len(head)
    return clauses, len(raw)


def _first(words: list[str]) -> str:
    return words[0].strip("<>,;\"'") if words else ""


def _client(words: list[str], comments: list[str]) -> tuple[str, str, str]:
    """Its own name, the name found for its address, and the address."""
    frm = _first(words)
    about = "; ".join(comments)
    ip = _address(about) or _address(" ".join(words[1:])) or _address(frm)
    host = ""
    said = _find_helo(about) or _find_claim(" ".join(words))
    if said is not None:
        # Exim and qmail put the verified name first, and what the client said into the comment.
        host = "" if _address(frm) or "." not in frm else frm
        frm = said[1].strip("[]") if _address(said[1]) else said[1] or frm
    for comment in comments:
        reverse = _match_reverse(comment)
        if reverse is not None and not host and not _address(reverse[1]):
            host = reverse[1]
            break
    if _address(frm):
        frm = _address(frm)
    return frm, "" if host.lower() == "unknown" else host, ip


def _address(text: str) -> str:
    """The first IP address in `text`, in its shortest form."""
    for match in _find_ip(text):
        try:
            ip = ip_address(match[1])
        except ValueError:
            # "192.0.2.1:25": a port behind an IPv4 address.
            try:
                ip = ip_address(match[1].partition(":")[0])
            except ValueError:
                continue
        if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ip)
    return ""


def _protocol(with_words: list[str], via_words: list[str]) -> str:
    """The word of RFC 3848, which some put behind `via`; else the first word, whatever it is."""
    match = _find_protocol(" ".join(with_words) or " ".join(via_words))
    if match is None:
        return with_words[0].strip(",;[]").upper() if with_words else ""
    base, suffix, tls = match.groups()
    return f"{base}{suffix or ''}{'S' if tls else ''}".upper()


def _tls(clause: Clause | None, notes: list[str]) -> str:
    """Version and cipher, as far as they are told."""
    words, comments = clause if clause is not None else ([], [])
    version = cipher = ""
    for note in (*comments, *notes):
        found = _find_version(note)
        if found is not None and not version:
            version = f"{found[1].upper()}v{found[2]}.{found[3] or '0'}"
        found = _find_cipher(note)
        if found is not None and not cipher:
            cipher = next(group for group in found.groups() if group)
    return f"{version} {words[0] if words else cipher}".strip()
