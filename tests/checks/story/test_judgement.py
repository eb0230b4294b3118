"""One sentence about a message, and the strands between envelope and header."""

from typing import Any

from checks.story.letters import OURS, message, received
from checks.zone import NOW, Zone, finish
from posthouse.checks import dkim, dmarc, lookalike, spf
from posthouse.checks.dkim import SigningKey
from posthouse.checks.lookalike import Kin, Known
from posthouse.checks.story import Checked, Given, Story, circumstances, find, hops, tell
from posthouse.mail.author import AuthorError, author
from posthouse.mail.headers import HEADER_FIELDS
from posthouse.mail.message import Message

DATE = "Sat, 01 Mar 2025 18:15:30 +0000"
FIELDS = (
    "Return-Path: <bounce@news.example.org>",
    received("mx.example.org (mx.example.org [192.0.2.1])", OURS, DATE),
    "From: Alice <alice@example.org>",
    f"Date: {DATE}",
    "Subject: Lunch",
)
KEY = SigningKey.generate("example.org", "s1", "ed25519-sha256")
RECORDS: dict[str, dict[str, Any]] = {
    "news.example.org": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"]},
    "_dmarc.example.org": {"TXT": ["v=DMARC1; p=reject"]},
    KEY.dns_name: {"TXT": [KEY.dns_record()]},
}


def story(letter: Message, zone: dict[str, dict[str, Any]], *, known: tuple[Known, ...] = ()) -> Story:
    dns = Zone(zone)
    trust = find(hops(letter.header))
    came = circumstances(letter.header, trust, Given())
    signatures = finish(dkim.verify(letter, dns, NOW))
    sender = finish(spf.check(came.ip, came.helo, came.mail_from, dns, receiver=OURS, now=NOW)) if came.ip else None
    try:
        wrote = author(letter.header)
    except AuthorError as error:
        return tell(letter, trust, came, Checked(flaw=str(error), spf=sender, signatures=signatures), NOW)
    found = lookalike.check(wrote.domain, lookalike.Index(known))
    policy = finish(dmarc.check(wrote, sender, signatures, dns))
    checked = Checked(author=wrote, spf=sender, signatures=signatures, dmarc=policy, lookalike=found)
    return tell(letter, trust, came, checked, NOW)


def signed(*fields: str) -> Message:
    octets = bytes(message(*fields).octets)
    return Message.parse(dkim.sign(octets, [KEY], NOW) + octets)


def test_what_was_proven_is_said_with_the_proofs() -> None:
    told = story(signed(*FIELDS), RECORDS)
    assert told.judgement == (
        "It is really from example.org, which signed it, and news.example.org lets 192.0.2.1 send for it."
    )
    assert [(strand.label, strand.holds, strand.remark) for strand in told.strands] == [
        ("MAIL FROM", True, "the same organization"), ("DKIM d=", True, "the very name"),
    ]  # fmt: skip


def test_what_nothing_proves_is_said_with_the_wish_of_its_domain() -> None:
    told = story(message(*FIELDS), {**RECORDS, "news.example.org": {"TXT": ["v=spf1 -all"]}})
    assert told.judgement == (
        "It says that it is from example.org, but nothing proves it, and example.org asks to reject such mail."
    )
    assert not any(strand.holds for strand in told.strands)


def test_a_signature_that_was_broken_is_an_excuse() -> None:
    octets = bytes(signed(*FIELDS).octets).replace(b"Hello", b"Hallo").replace(b"192.0.2.1", b"192.0.2.2")
    told = story(Message.parse(octets), RECORDS)
    assert told.judgement.endswith("its own signature does not hold, as happens when mail is altered on the way.")


def test_without_a_policy_a_proof_is_worth_less() -> None:
    records = {name: types for name, types in RECORDS.items() if not name.startswith("_dmarc")}
    told = story(message(*FIELDS), records)
    assert told.judgement == (
        "It seems to be from example.org: news.example.org lets 192.0.2.1 send for it; example.org has no DMARC policy."
    )


def test_another_organization_proves_nothing() -> None:
    fields = ("Return-Path: <x@elsewhere.test>", *FIELDS[1:])
    told = story(message(*fields), {**RECORDS, "elsewhere.test": {"TXT": ["v=spf1 +all"]}})
    assert [(strand.result, strand.holds, strand.remark) for strand in told.strands] == [
        ("pass", False, "another organization")
    ]
    assert told.judgement.startswith("It says that it is from example.org, but nothing proves it")


def test_a_dns_without_answers_leaves_it_open() -> None:
    told = story(message(*FIELDS), {"_dmarc.example.org": {"TXT": ["TIMEOUT"]}})
    assert told.judgement == "Nobody can tell for now whether it is from example.org: the DNS gave no answer."


def test_what_was_genuine_when_it_came_is_remembered() -> None:
    fields = (f"Authentication-Results: {OURS}; dmarc=pass header.from=example.org", *FIELDS)
    told = story(message(*fields), {**RECORDS, "news.example.org": {"TXT": ["v=spf1 -all"]}})
    assert told.judgement.endswith("; mx.posthouse.test noted that it was genuine when it came.")
    # Not where a stranger says so.
    fields = (FIELDS[0], *FIELDS[1:], f"Authentication-Results: {OURS}; dmarc=pass header.from=example.org")
    told = story(message(*fields), {**RECORDS, "news.example.org": {"TXT": ["v=spf1 -all"]}})
    assert "noted" not in told.judgement


def test_two_authors_are_none() -> None:
    told = story(message(*FIELDS, "From: mallory@far.test"), RECORDS)
    assert told.judgement == "Nobody can tell who wrote it: there is more than one From field."


def test_a_proven_name_that_looks_like_another_is_told_at_once() -> None:
    told = story(message(*FIELDS), RECORDS, known=(Known("examp1e.org", Kin.OWN),))
    assert told.judgement.startswith("It is really from example.org: ")
    assert told.judgement.endswith("; beware, its name looks like examp1e.org, but the 1 is an l.")


def test_what_was_found_otherwise_when_it_came_in_is_told() -> None:
    fields = (f"Authentication-Results: {OURS}; spf=fail; dkim=pass header.d=example.org", *FIELDS)
    kinds = [finding.text for finding in story(message(*fields), RECORDS).findings]
    assert any("was found spf=fail by mx.posthouse.test, and is spf=pass now" in text for text in kinds)


def test_results_that_a_stranger_brought_in_our_name_are_told() -> None:
    lower = received("laptop ([198.51.100.7])", "mx.example.org", DATE)
    fields = (*FIELDS[:2], lower, f"Authentication-Results: {OURS}; dmarc=pass", *FIELDS[2:])
    assert "forged-results" in [finding.kind for finding in story(message(*fields), RECORDS).findings]


PRIVATE = "172.17." + "0.1"
BEHIND = (
    "Return-Path: <bounce@news.example.org>",
    received(f"WORK (unknown [{PRIVATE}])", OURS, DATE),
    "Authentication-Results: posthouse.test; dmarc=pass header.from=example.org",
    received("mx.example.org (mx.example.org [192.0.2.1])", "in.posthouse.test", DATE),
    *FIELDS[2:],
)


def test_a_client_that_is_only_assumed_proves_nothing() -> None:
    said = story(message(*BEHIND), RECORDS).judgement
    assert said.startswith(
        "If mx.posthouse.test got it from a host of its own, as it seems, it is from example.org: news.example.org lets"
    )
    said = story(message(*BEHIND), {"_dmarc.example.org": RECORDS["_dmarc.example.org"]}).judgement
    assert said.startswith("It says that it is from example.org, but nothing proves it")
    assert "genuine" not in said


def test_a_return_path_that_the_sender_wrote_proves_nothing() -> None:
    came, path, *others = FIELDS[1], FIELDS[0], *FIELDS[2:]
    assert "really from" not in story(message(came, path, *others), RECORDS).judgement


def test_that_the_header_was_not_read_to_its_end_is_said_first() -> None:
    fields = [*FIELDS[:2], *["X-Filler: x"] * HEADER_FIELDS]
    said = story(message(*fields, *FIELDS[2:]), RECORDS).judgement
    assert said == (
        "The header has more than 10,000 fields, and the rest was not read; as far as it was, nobody can tell who wrote"
        " it: no From field is among the fields that were read."
    )
    fields = [*FIELDS, *[FIELDS[1]] * HEADER_FIELDS]
    told = story(message(*fields), RECORDS)
    assert told.judgement.startswith("The header has more than 10,000 fields, and the rest was not read; as far as it")
    assert "has at least 9996 Received fields" in told.doubts[-1].finding.text
