"""The parsers: each with the errors it may raise, and with what holds for everything it lets through."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from fuzz import examples
from fuzz.target import Shape, Target, named
from posthouse import config
from posthouse.checks import arc, bimi, dkim, dmarc, mta_sts, spf, tlsrpt
from posthouse.checks.arc import chain
from posthouse.checks.bimi import logotype
from posthouse.checks.bimi import record as bimi_record
from posthouse.checks.dkim import records as dkim_records
from posthouse.checks.reports.archive import ReportError, unpack
from posthouse.checks.reports.feedback import read_feedback
from posthouse.checks.reports.reading import read as read_report
from posthouse.checks.reports.tls import read_tls
from posthouse.checks.spf import macros
from posthouse.checks.spf import record as spf_record
from posthouse.checks.story import Given, circumstances, find, hops
from posthouse.checks.story.consistency import doubts
from posthouse.checks.story.leaks import leaks
from posthouse.checks.story.recorded import recorded
from posthouse.checks.zonefile import ZoneDns, ZoneError
from posthouse.lab import zone
from posthouse.mail import charsets, mailboxes, parameters, parts, transfer, words
from posthouse.mail.address import Address, AddressError, parse_domain, parse_path
from posthouse.mail.authentication_results import AuthenticationResultsError, parse_results
from posthouse.mail.author import AuthorError, author, flaws
from posthouse.mail.bodies import bodies
from posthouse.mail.dates import parse_date
from posthouse.mail.facts import facts
from posthouse.mail.headers import HeaderError, parse_header, scan_header
from posthouse.mail.message import Message
from posthouse.mail.received import parse_received
from posthouse.mail.reply import Reply
from posthouse.store import ids
from posthouse.wire.imap import sequence, structure, utf7

NOW = 1_741_000_000_000_000
T = TypeVar("T")


def finished(check: Coroutine[Any, Any, T]) -> T:
    """A check waits for nothing but its DNS, which answers at once."""
    try:
        check.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("the check waits for something that is not its DNS")


def reading(
    parse: Callable[[bytes], Any],
    *refusals: type[Exception],
    holds: Callable[[Any], Shape] = lambda found: _kind(found),
) -> Callable[[bytes], Shape]:
    """A target's `run`: the sentence of the refusal, without what it quotes, or what `holds` makes of the result."""

    def run(octets: bytes) -> Shape:
        try:
            found = parse(octets)
        except refusals as refusal:
            sentence = str(refusal)
            assert "\n" not in sentence and "\r" not in sentence, f"two lines: {sentence!r}"
            return type(refusal).__name__, sentence.split("'")[0].split('"')[0][:40]
        return holds(found)

    return run


def textual(parse: Callable[[str], Any]) -> Callable[[bytes], Any]:
    """For parsers of text: any octets that are UTF-8, and as many others as there are."""
    return lambda octets: parse(octets.decode("utf-8", "surrogateescape" if octets[:1] == b"\xff" else "replace"))


def _kind(found: Any) -> Shape:
    if isinstance(found, tuple | list | dict | str | bytes):
        return type(found).__name__, min(len(found), 8)
    return type(found).__name__


# --- addresses ------------------------------------------------------------------------------------------


def _address(found: Address) -> Shape:
    text = str(found)
    assert Address.parse(text) == found, text
    assert "\n" not in text and "\r" not in text and "\0" not in text
    assert Address.parse(text).key == found.key
    assert isinstance(found.domain_unicode, str)
    return found.literal is not None, found.is_ascii, found.carries_routing, '"' in text, "xn--" in found.domain


def _path(octets: bytes) -> Shape:
    text = octets.decode("utf-8", "replace")
    shapes = []
    for smtputf8 in (False, True):
        try:
            found = parse_path(text, smtputf8=smtputf8)
        except AddressError as error:
            shapes.append(str(error)[:30])
            continue
        if found is not None and found.domain:
            assert smtputf8 or text.isascii()
            _address(found)
        shapes.append("path" if found is not None else "null")
    return shapes


def _domain(found: str) -> Shape:
    assert parse_domain(found) == found
    assert found.isascii() and found == found.lower()
    return "xn--" in found


def _address_list(octets: bytes) -> Shape:
    entries = mailboxes.parse_address_list(octets)
    return [(type(entry).__name__, len(mailboxes.mailboxes([entry]))) for entry in entries[:8]]


# --- headers --------------------------------------------------------------------------------------------


def _header(octets: bytes) -> Shape:
    tolerant = scan_header(octets)
    try:
        strict = parse_header(octets)
    except HeaderError:
        assert tolerant.flaw
        return "refused"
    assert strict.fields == tolerant.fields
    assert strict.end <= len(octets)
    last = 0
    for field in strict.fields:
        assert last <= field.start < field.end <= strict.end, "spans that overlap"
        last = field.end
        assert "\n" not in field.text
        assert b"\n" not in field.unfolded
    told = flaws(strict)
    try:
        author(strict)
    except AuthorError as error:
        assert told, f"refused without a word: {error}"
    return min(len(strict.fields), 9), told[:30]


def _words(octets: bytes) -> Shape:
    text = words.decode_words(octets)
    assert words.decode_words(words.encode_words(words.one_line(text), force=True).encode()) == words.one_line(text)
    return len(text) == len(octets), text.isascii(), text.isprintable()


def _content_type(octets: bytes) -> Shape:
    found = parameters.parse_content_type(octets)
    token, of_token = parameters.parse_token(octets)
    assert len(of_token) <= parameters.PARAMETERS
    if found is None:
        return None
    assert found[0].islower() or not found[0].isalpha()
    return found[0], found[1][:8], sorted(found[2])[:4], bool(token)


def _date(octets: bytes) -> Shape:
    found = parse_date(octets)
    return None if found is None else (found.at > 0, found.offset is None or found.offset // 15)


def _received(octets: bytes) -> Shape:
    found = parse_received(octets)
    return [bool(getattr(found, name)) for name in ("frm", "host", "ip", "by", "protocol", "id", "for_", "at", "tls")]


# --- messages -------------------------------------------------------------------------------------------


def _message(octets: bytes) -> Shape:
    message = Message.parse(octets)
    found = list(message.root.walk())
    assert len(found) <= parts.PARTS + 1
    for part in found:
        assert 0 <= part.start <= part.body_start <= part.end <= len(octets), "a part outside of its message"
        assert part.size == len(part.body())
        part.decoded(5_000)
        part.text(5_000)
        assert part.number == "" or message.find(part.number) is not None
    told = facts(message)
    assert "\r" not in told.subject and "\n" not in told.subject
    bodies(message.root)
    envelope, extended = structure.envelope(message), structure.bodystructure(message.root, True)
    for text in (envelope, structure.bodystructure(message.root, False), extended):
        assert b"\0" not in text and text.startswith(b"(") and text.endswith(b")")
    return [(part.content_type, part.encoding) for part in found][:6], told.has_attachment, told.sent_at is None


def _story(octets: bytes) -> Shape:
    header = Message.parse(octets).header
    way = hops(header)
    trust = find(way, hosts=("mx.posthouse.test",))
    known = circumstances(header, trust, Given())
    counts = len(way), len(doubts(trust, header, NOW)), len(leaks(header, way)), len(recorded(header, trust))
    return counts, known.helo == ""


def _transfer(octets: bytes) -> Shape:
    lengths = [
        len(transfer.decode_transfer(octets, encoding)) for encoding in ("base64", "quoted-printable", "x-uuencode")
    ]
    assert max(lengths) <= 2 * len(octets) + 45, "more comes out than went in"
    for encode, decode in (
        (transfer.encode_base64, transfer.decode_base64),
        (transfer.encode_quoted_printable, transfer.decode_quoted_printable),
    ):
        text = octets.replace(b"\r", b"").replace(b"\n", b"\r\n")
        assert decode(encode(text)) == text
    return [length == len(octets) for length in lengths]


def _charset(octets: bytes) -> Shape:
    name, _, text = octets.partition(b"\n")
    found = charsets.decode(text, name.decode("latin-1"))
    return charsets.codec(name.decode("latin-1")), "�" in found


# --- who really sent it ---------------------------------------------------------------------------------


def _checks(octets: bytes) -> Shape:
    """A message before a DNS that knows some keys: nothing raises, and every verdict can be told."""
    message = Message.parse(octets)
    signatures = finished(dkim.verify(message, examples.DNS, NOW))
    sealed = finished(arc.validate(message, examples.DNS, NOW))
    verdicts = [*(signature.verdict for signature in signatures), sealed.verdict]
    try:
        found = finished(dmarc.check(author(message.header), None, signatures, examples.DNS))
        verdicts.append(found.verdict)
    except AuthorError:
        pass
    for verdict in verdicts:
        assert verdict.reason.isprintable(), verdict
    return [(verdict.method, verdict.result) for verdict in verdicts][:6]


def _spf(octets: bytes) -> Shape:
    """A record under a name that somebody sends as."""
    record = octets.decode("utf-8", "replace")
    zone_of = {
        "far.test": {"TXT": [record], "A": ["192.0.2.1"], "MX": ["10 far.test"]},
        "b.test": {"TXT": ["v=spf1 a -all"]},
    }
    try:
        names = ZoneDns(zone_of)
    except ZoneError:
        return "no record"
    author_of = Address.parse("a+%{i}@far.test")
    found = finished(spf.check("192.0.2.1", "mx.far.test", author_of, names, receiver="mx.test", now=NOW))
    assert found.verdict.reason.isprintable()
    return found.result, found.verdict.reason[:30]


def _reply(octets: bytes) -> Reply:
    return Reply.parse(octets.decode("utf-8", "replace").split("\r\n"))


def _sequence(found: sequence.SequenceSet) -> Shape:
    return type(found).__name__


def _utf7(found: str) -> Shape:
    assert utf7.decode(utf7.encode(found)) == found
    return found.isascii(), min(len(found), 5)


def _identifier(found: int) -> Shape:
    assert ids.from_text(ids.to_text(found)) == found
    return "id"


def _report(octets: bytes) -> Any:
    return read_report(octets)


TARGETS = named(
    Target(
        "address",
        reading(textual(Address.parse), AddressError, holds=_address),
        examples.ADDRESSES,
        examples.ADDRESS_WORDS,
    ),
    Target("path", _path, tuple(b"<%b>" % each for each in examples.ADDRESSES), examples.ADDRESS_WORDS),
    Target(
        "domain", reading(textual(parse_domain), AddressError, holds=_domain), examples.DOMAINS, examples.ADDRESS_WORDS
    ),
    Target("address-list", _address_list, examples.ADDRESS_LISTS, examples.ADDRESS_WORDS),
    Target("header", _header, examples.HEADERS, examples.HEADER_WORDS),
    Target("words", _words, examples.WORDS, (b"=?utf-8?q?", b"=?utf-8?b?", b"?=", b"=C3=A9", b"*de?", b"?= =?")),
    Target(
        "content-type",
        _content_type,
        examples.CONTENT_TYPES,
        (b"; ", b"*0*=", b"*1=", b"utf-8''", b"%C3%A9", b'="', b"boundary"),
    ),
    Target("date", _date, examples.DATES, (b"Mon, ", b" Jan ", b" +0000", b" GMT", b"(c)", b"23:59:60", b" 99 ")),
    Target(
        "received",
        _received,
        examples.RECEIVED,
        (b" from ", b" by ", b" with ESMTPS", b" id ", b" for <", b"; ", b"([192.0.2.1])"),
    ),
    Target(
        "authentication-results",
        reading(parse_results, AuthenticationResultsError),
        examples.RESULTS,
        (b"spf=pass", b"; ", b" smtp.mailfrom=", b"(c)", b' reason="', b"dkim=fail", b"/1"),
    ),
    Target("message", _message, examples.MESSAGES, examples.MESSAGE_WORDS),
    Target("story", _story, examples.MESSAGES, (*examples.HEADER_WORDS, b"Received: ", b"X-Originating-IP: ")),
    Target(
        "transfer",
        _transfer,
        (b"SGVsbG8=\r\n", b"=C3=A9=\r\nx=0D=0A", b"begin 644 x\r\n#86)C\r\n`\r\nend\r\n"),
        (b"=", b"=\r\n", b"=3D"),
    ),
    Target(
        "charset",
        _charset,
        (b"utf-8\nh\xc3\xa9", b'iso-2022-jp\n\x1b$B$"', b"utf-7\n+AOk-", b"hz\n~{", b"utf-16\n\xff\xfea\0"),
    ),
    Target("checks", _checks, examples.SIGNED, examples.SIGNATURE_WORDS),
    Target(
        "dkim-record",
        reading(dkim_records.parse_record, dkim_records.RecordFault),
        examples.DKIM_RECORDS,
        (b"p=", b"k=ed25519", b"; "),
    ),
    Target(
        "arc-chain",
        reading(lambda octets: chain.collect(scan_header(octets)), chain.ChainFault),
        examples.SIGNED,
        (b"i=1; ", b"cv=none"),
    ),
    Target("spf", _spf, examples.SPF_RECORDS, examples.SPF_WORDS),
    Target(
        "spf-record",
        reading(textual(spf_record.parse), spf_record.RecordError),
        examples.SPF_RECORDS,
        examples.SPF_WORDS,
    ),
    Target(
        "spf-macro",
        reading(textual(macros.parse_macro_string), macros.MacroError),
        (b"%{ir}.%{v}._spf.%{d2}", b"%%%_%-"),
        examples.SPF_WORDS,
    ),
    Target("dmarc-record", dmarc.parse, examples.DMARC_RECORDS, (b"p=reject", b"rua=mailto:", b"; ", b"sp=", b"!10m")),
    Target(
        "bimi-record",
        reading(bimi_record.parse, bimi_record.RecordError),
        (b"v=BIMI1; l=https://x.test/a.svg; a=",),
        (b"l=", b"a=", b";"),
    ),
    Target("bimi-drawing", reading(bimi.sanitise, bimi.SvgError), examples.DRAWINGS, examples.DRAWING_WORDS),
    Target("bimi-logotype", reading(logotype.images, logotype.LogotypeError), examples.LOGOTYPES),
    Target(
        "report",
        reading(_report, ReportError),
        examples.REPORTS,
        (b"<record>", b"<row>", b"</", b"&amp;", b"<!ENTITY x 'y'>"),
    ),
    Target("report-archive", reading(unpack, ReportError), examples.ARCHIVES),
    Target("report-feedback", reading(read_feedback, ReportError), examples.REPORTS),
    Target(
        "report-tls",
        reading(read_tls, ReportError),
        examples.TLS_REPORTS,
        (b"null", b"[]", b"{}", b"1e99", b'"policies"'),
    ),
    Target(
        "mta-sts-policy",
        reading(mta_sts.parse_policy, mta_sts.PolicyError),
        examples.STS_POLICIES,
        (b"mx: *.", b"mode: none", b"max_age: "),
    ),
    Target(
        "mta-sts-record",
        reading(lambda octets: mta_sts.find([octets]), mta_sts.RecordError),
        (b"v=STSv1; id=20250301T1;",),
    ),
    Target(
        "tlsrpt-record",
        reading(lambda octets: tlsrpt.find([octets]), tlsrpt.RecordError),
        (b"v=TLSRPTv1; rua=mailto:a@x.test,https://x.test",),
    ),
    Target(
        "zone-file",
        reading(textual(ZoneDns.parse), ZoneError),
        examples.ZONES,
        (b" IN ", b" TXT ", b'"', b"$ORIGIN ", b"@", b"( ", b" )"),
    ),
    Target(
        "lab-zone", reading(textual(lambda text: zone.Zone.parse(text, "x.test")), zone.ZoneError), examples.ZONES[:1]
    ),
    Target(
        "settings",
        reading(textual(lambda text: config.parse(text)), config.ConfigError),
        examples.SETTINGS,
        (b"[relay]", b"= true", b'"5d"', b"{}"),
    ),
    Target(
        "smtp-reply",
        reading(_reply, ValueError),
        (b"250-a\r\n250 b", b"550 5.1.1 no", b"354 go"),
        (b"250-", b"250 ", b"2.1.5 "),
    ),
    Target(
        "sequence-set",
        reading(sequence.SequenceSet.parse, ValueError, holds=_sequence),
        (b"1:5,7,9:*", b"*", b"1:4294967295"),
        (b":", b"*", b","),
    ),
    Target(
        "utf7",
        reading(utf7.decode, utf7.Utf7Error, holds=_utf7),
        (b"Entw&APw-rfe", b"&-", b"a/&ZeVnLIqe-/b"),
        (b"&", b"-", b"&AOk-"),
    ),
    Target(
        "queue-id", reading(textual(ids.from_text), ValueError, holds=_identifier), (b"06xkd7wc2k000", b"0000000000000")
    ),
)
