"""Every way to pose as somebody else that is known from "Composition Kills" (USENIX Security 2020) and "Weak Links in
Authentication Chains" (2021): brought to port 25 and handed in by an account, against a running server.

The attacker has a host, a domain and keys of his own, all of them in order, as anybody can have; the victims are a
domain that asks for refusal, one that asks for nothing, and ours. Whatever the server does with such a message, it
must not say that DMARC passed for the victim, and nobody may find words in our name that we did not write.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from posthouse.checks.arc import Arc, seal
from posthouse.checks.dkim import SigningKey, sign
from posthouse.house import now
from posthouse.mail.authentication_results import Property, Result, format_payload, parse_results
from posthouse.mail.journey import Step
from posthouse.mail.message import Message
from posthouse.mail.verdict import Verdict
from posthouse.route import refusal
from posthouse.store.ids import from_text
from whole.border import ALICE, BOB, StandingBorder

ATTACKER = "127.0.0.66"
KEY = SigningKey.generate("attack.test", "s1", "ed25519-sha256")
SEALER = "sealer.test"
STRICT, LAX, OURS = "victim.test", "lax.test", "posthouse.test"

ZONE = {
    "attack.test": {"TXT": f"v=spf1 ip4:{ATTACKER} -all"},
    "_dmarc.attack.test": {"TXT": "v=DMARC1; p=reject"},
    KEY.dns_name: {"TXT": KEY.dns_record()},
    "66.0.0.127.in-addr.arpa": {"PTR": "mx.attack.test"},
    "mx.attack.test": {"A": ATTACKER, "TXT": f"v=spf1 ip4:{ATTACKER} -all"},
    STRICT: {"TXT": "v=spf1 ip4:127.0.0.99 -all", "A": "127.0.0.99"},
    f"_dmarc.{STRICT}": {"TXT": "v=DMARC1; p=reject"},
    LAX: {"TXT": "v=spf1 ip4:127.0.0.99 ~all", "A": "127.0.0.99"},
    f"_dmarc.{LAX}": {"TXT": "v=DMARC1; p=none"},
    OURS: {"TXT": "v=spf1 ip4:127.0.0.1 -all", "A": "127.0.0.1"},
    # A trusted sealer, with a key that the attacker does not have.
    f"s1._domainkey.{SEALER}": {"TXT": SigningKey.generate(SEALER, "s1", "ed25519-sha256").dns_record()},
    f"_dmarc.{OURS}": {"TXT": "v=DMARC1; p=reject"},
}

HEAD = (
    b"To: alice@posthouse.test\r\nSubject: Invoice\r\nDate: Sun, 15 Jun 2025 15:06:40 +0000\r\n"
    b"Message-ID: <1@attack.test>\r\n"
)
BODY = b"\r\nPlease pay.\r\n"


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandingBorder]:
    # Greylisting would only put off what has to be decided here.
    more = f'[checks]\ntrusted_networks = []\n[policy]\ngreylisting = false\nsealers = ["{SEALER}"]\n'
    with pytest.MonkeyPatch.context() as patch:
        # More is refused here in a minute than is remembered of one network.
        patch.setattr(refusal, "KEPT_OF_A_NETWORK", 10_000)
        patch.setattr(refusal, "KEPT_A_MINUTE", 10_000)
        found = StandingBorder(tmp_path_factory.mktemp("border"), ZONE, more)
        yield found
        found.close()


@dataclass(frozen=True)
class Outcome:
    """What became of one message: the reply, the decision, the verdict about DMARC, and what alice finds."""

    code: int
    words: str
    action: str
    dmarc: str
    filed: bytes | None


def bring(standing: StandingBorder, mail_from: str, octets: bytes, helo: str = "mx.attack.test") -> Outcome:
    gate = standing.gate

    async def scene() -> Outcome:
        before = len(await gate.mailbox(ALICE)), len(await gate.junk(ALICE))
        code, words = await gate.bring(ATTACKER, mail_from, [ALICE], octets, helo=helo)
        inbox, junk = await gate.mailbox(ALICE), await gate.junk(ALICE)
        both = zip((inbox, junk), before, strict=True)
        filed = next((found[-1] for found, count in both if len(found) > count), None)
        named = re.search(r"(?:queue id |\()([0-9a-z]{13})\)?$", words)
        assert named or code != 250
        if named is None:
            # Refused before there was a message: no journey.
            return Outcome(code, words, "", "", filed)
        stamps = (await gate.journey(from_text(named[1]))).stamps
        dmarc = [str(s.facts["result"]) for s in stamps if s.step is Step.VERDICT and s.facts["method"] == "dmarc"]
        actions = [str(s.facts["action"]) for s in stamps if s.step is Step.DECISION]
        return Outcome(code, words, "".join(actions[:1]), "".join(dmarc), filed)

    return standing.run(scene())


def deceives(outcome: Outcome, victim: str) -> str:
    """What would make somebody believe that the victim wrote it; "" where nothing does."""
    if outcome.filed is None:
        return ""
    header = Message.parse(outcome.filed).header
    ours = [field for field in header.all("authentication-results") if b"mx.posthouse.test" in field.value]
    if len(ours) != 1:
        return f"{len(ours)} fields speak in our name"
    for result in parse_results(ours[0].value).results:
        if result.method == "dmarc" and result.result == "pass" and result.value("header", "from").endswith(victim):
            return "DMARC passes for the victim"
    # Whoever looks for words instead of parsing must not be deceived either.
    for word in re.findall(rb"(?:dmarc|dkim|spf)=pass[^;]*", ours[0].value):
        if re.search(rb"(?<![\w-])" + re.escape(victim.encode()) + rb"(?![\w.-])", word):
            return f"a careless reader finds {word!r}"
    return ""


def letter(author: bytes, *more: bytes, signed: bool = True, body: bytes = BODY) -> bytes:
    octets = author + b"\r\n" + HEAD + b"".join(field + b"\r\n" for field in more) + body
    # The attacker signs what he sends with his own key, wherever that can be done.
    return sign(octets, [KEY], now()) + octets if signed else octets


# --- headers that two programs read in two ways: refused at the end of data -------------------------------------

AMBIGUOUS = {
    "two From fields": b"From: <ceo@%s>\r\nFrom: <eve@attack.test>",
    "two From fields the other way round": b"From: <eve@attack.test>\r\nFrom: <ceo@%s>",
    "a space before From": b" From: <ceo@%s>\r\nFrom: <eve@attack.test>",
    "a space behind From": b"From: <eve@attack.test>\r\nFrom : <ceo@%s>",
    "only a From with a space behind it": b"From : <ceo@%s>",
    "a folded From": b"From\r\n : <ceo@%s>\r\nFrom: <eve@attack.test>",
    "two addresses in From": b"From: <eve@attack.test>, <ceo@%s>",
    "two addresses in From the other way round": b"From: <ceo@%s>, <eve@attack.test>",
    "a source route in From": b"From: <@attack.test,@evil.test:ceo@%s>",
    "a quoted pair in From": b'From: "ceo\\"@%s\\" <x" <eve@attack.test',
    "an address, a comma and an address in brackets": b"From: ceo@%s,<eve@attack.test>",
    "an address behind the brackets": b"From: <eve@attack.test>ceo@%s",
    "an address in front of the brackets": b"From: ceo@%s <eve@attack.test>",
    "an encoded address": b"From: =?utf-8?Q?=3Cceo=40%s=3E=2C?= <=?utf-8?Q?eve?=@attack.test>",
    "an encoded local part": b"From: <=?utf-8?B?Y2Vv?=@%s>",
    "a group": b"From: Board: <ceo@%s>;",
    "a group without members": b"From: ceo@%s:;",
    "a NUL in the address": b"From: <ceo@%s\0@attack.test>",
    "quotes around an address": b'From: <"ceo@%s"@attack.test>',
    "a comment with an address": b"From: <eve@attack.test> (<ceo@%s>) <x@y.test>",
    "a wide at in the local part": "From: <ceo\uff20%s@attack.test>".encode(),
    "an empty From": b"From: <>\r\nSender: <ceo@%s>",
    "no From at all": b"Sender: <ceo@%s>",
    "two Sender fields": b"From: <ceo@%s>\r\nSender: <eve@attack.test>\r\nSender: <a@attack.test>",
}


@pytest.mark.parametrize("author", AMBIGUOUS.values(), ids=AMBIGUOUS)
@pytest.mark.parametrize("victim", [STRICT, LAX, OURS])
def test_a_header_with_more_than_one_reading_is_refused(standing: StandingBorder, author: bytes, victim: str) -> None:
    field = author.replace(b"%s", victim.encode())
    outcome = bring(standing, "eve@attack.test", letter(field, signed=False))
    assert outcome.code in (550, 554), outcome
    assert outcome.filed is None


# --- envelopes that deceive SPF, or whoever reads what it said ---------------------------------------------------

PATHS = {
    "an honest path of the attacker's own": "eve@attack.test",
    "a subdomain of the victim that does not exist": "ceo@no-such-host.%s",
    "the victim's own address": "ceo@%s",
    "an empty path": "",
    "a parenthesis in the domain": "ceo@%s(.attack.test",
    "a comment in the domain": "ceo@attack.test(%s)",
    "a quote in the domain": 'ceo@%s".attack.test',
    "a semicolon in the domain": "ceo@%s;dmarc=pass.attack.test",
    "a quoted local part with a result in it": '"x dmarc=pass header.from=%s"@attack.test',
    "a source route": "@attack.test:ceo@%s",
    "a source route over the victim": "@%s:eve@attack.test",
    "two addresses": "eve@attack.test,ceo@%s",
    "brackets within brackets": "<ceo@%s>eve@attack.test",
    "no domain": "ceo",
    "a percent sign for the at": "ceo%%%s@attack.test",
    "a NUL": "ceo@%s\0.attack.test",
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
@pytest.mark.parametrize("victim", [STRICT, OURS])
def test_no_envelope_makes_a_protected_author_of_the_attacker(standing: StandingBorder, path: str, victim: str) -> None:
    outcome = bring(standing, path.replace("%s", victim), letter(f"From: Boss <ceo@{victim}>".encode()))
    assert outcome.code in (500, 501, 550, 553, 555), outcome
    assert outcome.dmarc in ("", "fail")
    assert outcome.filed is None


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_no_envelope_makes_dmarc_pass_where_nothing_is_refused(standing: StandingBorder, path: str) -> None:
    outcome = bring(standing, path.replace("%s", LAX), letter(f"From: Boss <ceo@{LAX}>".encode()))
    assert outcome.dmarc in ("", "fail")
    assert not deceives(outcome, LAX)
    assert (outcome.filed is None) is (outcome.code >= 400)


GREETINGS = ["victim.test", "mx.victim.test", "[127.0.0.66]", "attack.test\0victim.test", 'v"t.test']


@pytest.mark.parametrize("helo", GREETINGS)
def test_an_empty_path_with_any_greeting_makes_no_protected_author(standing: StandingBorder, helo: str) -> None:
    outcome = bring(standing, "", letter(f"From: Boss <ceo@{STRICT}>".encode()), helo=helo)
    assert outcome.code >= 500
    assert outcome.dmarc in ("", "fail")
    assert outcome.filed is None


# --- signatures that deceive DKIM, or whoever reads what it said -------------------------------------------------


def tampered(octets: bytes, old: bytes, new: bytes) -> bytes:
    assert old in octets
    return octets.replace(old, new, 1)


SIGNATURES = {
    "d= with a quote and a result behind it": (b"d=attack.test", b'd=%s(.attack.test"; dmarc=pass header.from=%s'),
    "d= with a parenthesis": (b"d=attack.test", b"d=%s(.attack.test"),
    "d= of the victim": (b"d=attack.test", b"d=%s"),
    "d= with a NUL": (b"d=attack.test", b"d=%s\0.attack.test"),
    "s= with a NUL": (b"s=s1", b"s=s1\0.victim"),
    "s= that leads below the attacker": (b"s=s1", b"s=s1._domainkey.attack.test.\0"),
    "s= with an at": (b"s=s1", b"s=x@%s"),
    "i= of the victim": (b"s=s1", b"i=ceo@%s; s=s1"),
    "two d=": (b"d=attack.test", b"d=attack.test; d=%s"),
    "d= with a newline and a field": (b"d=attack.test", b"d=attack.test\r\n\tAuthentication-Results: x"),
}


@pytest.mark.parametrize(("old", "new"), SIGNATURES.values(), ids=SIGNATURES)
@pytest.mark.parametrize("victim", [STRICT, LAX, OURS])
def test_no_signature_speaks_for_somebody_else(standing: StandingBorder, old: bytes, new: bytes, victim: str) -> None:
    octets = tampered(letter(f"From: Boss <ceo@{victim}>".encode()), old, new.replace(b"%s", victim.encode()))
    outcome = bring(standing, "eve@attack.test", octets)
    assert outcome.dmarc in ("", "fail")
    assert not deceives(outcome, victim)
    if victim != LAX:
        assert outcome.code == 550
        assert outcome.filed is None


def test_a_signature_over_a_part_of_the_body_vouches_for_nothing(standing: StandingBorder) -> None:
    octets = letter(b"From: Eve <eve@attack.test>")
    octets = tampered(octets, b"bh=", b"l=5; bh=") + b"And more.\r\n"
    # By another host, so that nothing but the signature could speak for the author.
    outcome = bring(standing, "eve@elsewhere.test", octets)
    assert outcome.dmarc == "fail"
    assert outcome.code == 550


# --- one clear author, and something beside it -------------------------------------------------------------------

BESIDE = {
    "nothing": b"From: <ceo@%s>",
    "a Sender of the attacker's": b"From: <ceo@%s>\r\nSender: <eve@attack.test>",
    "a Resent-From of the attacker's": b"From: <ceo@%s>\r\nResent-From: <eve@attack.test>",
    "a Reply-To of the attacker's": b"From: <ceo@%s>\r\nReply-To: <eve@attack.test>",
    "a display name with the attacker's address": b'From: "eve@attack.test" <ceo@%s>',
    "a subdomain that does not exist": b"From: <ceo@no-such-host.%s>",
    "capital letters": b"FROM: <CEO@%s>",
    "a quoted local part": b'From: "ceo" <"ceo"@%s>',
}


@pytest.mark.parametrize("author", BESIDE.values(), ids=BESIDE)
@pytest.mark.parametrize("victim", [STRICT, OURS])
def test_a_protected_author_is_refused_whatever_stands_beside(
    standing: StandingBorder, author: bytes, victim: str
) -> None:
    outcome = bring(standing, "eve@attack.test", letter(author.replace(b"%s", victim.encode())))
    assert (outcome.code, outcome.action, outcome.dmarc) == (550, "reject", "fail")
    assert "DMARC" in outcome.words
    assert outcome.filed is None


@pytest.mark.parametrize("author", BESIDE.values(), ids=BESIDE)
def test_an_unprotected_author_is_never_shown_as_proven(standing: StandingBorder, author: bytes) -> None:
    outcome = bring(standing, "eve@attack.test", letter(author.replace(b"%s", LAX.encode())))
    assert outcome.code == 250
    assert outcome.dmarc == "fail"
    assert not deceives(outcome, LAX)


LOOKALIKES = {
    "a Cyrillic letter": "From: Boss <ceo@v\u0456ctim.test>",
    "an A-label": "From: Boss <ceo@xn--vctim-3ve.test>",
    "a right-to-left override": "From: \u202etset.mitciv@oec\u202c <eve@attack.test>",
    "the victim's address as display name": 'From: "ceo@victim.test" <eve@attack.test>',
    "the victim's address in a comment": "From: eve@attack.test (ceo at victim)",
    "a subdomain named like the victim": "From: Boss <ceo@victim.test.attack.test>",
}


@pytest.mark.parametrize("author", LOOKALIKES.values(), ids=LOOKALIKES)
def test_who_only_looks_like_the_victim_is_not_told_to_be_it(standing: StandingBorder, author: str) -> None:
    outcome = bring(standing, "eve@attack.test", letter(author.encode()))
    assert not deceives(outcome, STRICT)
    if outcome.filed is not None:
        results = Message.parse(outcome.filed).header.get("authentication-results")
        assert results is not None
        # Domains are written as A-labels, in which nothing looks like anything else.
        assert results.value.isascii()


# --- words in our name ---------------------------------------------------------------------------------------------

FORGED = {
    "plain": b"Authentication-Results: mx.posthouse.test; dmarc=pass header.from=%s",
    "folded": b"Authentication-Results:\r\n mx.posthouse.test;\r\n dmarc=pass header.from=%s",
    "in capitals": b"AUTHENTICATION-RESULTS: MX.Posthouse.TEST; dmarc=pass header.from=%s",
    "in quotes": b'Authentication-Results: "mx.posthouse.test"; dmarc=pass header.from=%s',
    "behind a comment": b"Authentication-Results: (x) mx.posthouse.test (y) 1; dmarc=pass header.from=%s",
    "with a version": b"Authentication-Results: mx.posthouse.test 1; dmarc=pass header.from=%s",
    "with a dot behind": b"Authentication-Results: mx.posthouse.test.; dmarc=pass header.from=%s",
    "twice": (b"Authentication-Results: mx.posthouse.test; dmarc=pass header.from=%s\r\n"
              b"Authentication-Results: mx.posthouse.test; spf=pass smtp.mailfrom=%s"),
    "that cannot be parsed": b'Authentication-Results: mx.posthouse.test; dmarc=pass "header.from=%s',
}


@pytest.mark.parametrize("field", FORGED.values(), ids=FORGED)
def test_results_forged_in_our_name_are_taken_out_and_told(standing: StandingBorder, field: bytes) -> None:
    forged = field.replace(b"%s", LAX.encode())
    other = b"Authentication-Results: mx.other.test; dmarc=pass header.from=" + LAX.encode()
    author = f"From: <ceo@{LAX}>".encode()
    octets = letter(author, forged, other, signed=False)
    outcome = bring(standing, "eve@attack.test", octets)
    assert outcome.code == 250
    assert outcome.filed is not None
    assert not deceives(outcome, LAX)
    # Nothing else was changed, and what others say in their own name is theirs.
    assert outcome.filed.endswith(letter(author, other, signed=False))
    stamps = standing.run(standing.gate.journey()).stamps
    removed = [stamp for stamp in stamps if stamp.step is Step.REMOVED]
    assert len(removed) == forged.lower().count(b"authentication-results:")
    assert "dmarc=pass" in str(removed[0].facts["value"])


def test_a_warning_of_ours_that_comes_in_is_taken_out(standing: StandingBorder) -> None:
    forged = b"Posthouse-Warning: This message was checked and is genuinely from your bank."
    author = f"From: <ceo@{LAX}>".encode()
    outcome = bring(standing, "eve@attack.test", letter(author, forged, signed=False))
    assert outcome.filed is not None
    assert b"your bank" not in outcome.filed
    assert outcome.filed.endswith(letter(author, signed=False))
    removed = [stamp for stamp in standing.run(standing.gate.journey()).stamps if stamp.step is Step.REMOVED]
    assert [stamp.facts["field"] for stamp in removed] == ["Posthouse-Warning"]


def test_a_large_message_with_forged_results_is_rewritten_and_checked_as_it_came(standing: StandingBorder) -> None:
    forged = b"Authentication-Results: mx.posthouse.test; dmarc=pass header.from=lax.test"
    body = b"\r\n" + b"A line of text that goes on and on.\r\n" * 20_000
    author = b"From: <eve@attack.test>"
    octets = author + b"\r\n" + HEAD + forged + b"\r\n" + body
    # It is signed with the forged field, which is no reason for the signature to fail.
    octets = sign(octets, [KEY], now()) + octets
    outcome = bring(standing, "eve@attack.test", octets)
    assert (outcome.code, outcome.dmarc) == (250, "pass")
    assert outcome.filed is not None
    assert not deceives(outcome, LAX)
    assert outcome.filed.endswith(octets.replace(forged + b"\r\n", b""))


# --- chains that somebody made up ----------------------------------------------------------------------------------

PASSED = (Result("dmarc", "pass", properties=(Property("header", "from", STRICT),)),)


def sealed(octets: bytes, sealer: str, times: int = 1) -> bytes:
    """Sealed by the attacker, in whose name he likes; each set says that DMARC passed for the victim."""
    key = SigningKey(sealer, KEY.selector, KEY.algorithm, KEY.private)
    for number in range(times):
        result = "pass" if number else "none"
        chain = Arc(result, (sealer,) * number, (), None, Verdict("arc", result, sealer, ""))  # type: ignore[arg-type]
        octets = seal(octets, key, chain, format_payload(f"mx.{sealer}", PASSED), now()) + octets
    return octets


@pytest.mark.parametrize(("sealer", "arc"), [("attack.test", "pass"), (SEALER, "fail"), (STRICT, "fail")])
def test_a_chain_of_the_attackers_own_makes_nobody_believe_it(standing: StandingBorder, sealer: str, arc: str) -> None:
    octets = sealed(letter(f"From: Boss <ceo@{STRICT}>".encode()), sealer)
    outcome = bring(standing, "eve@attack.test", octets)
    verdicts = standing.run(standing.gate.verdicts())
    assert (verdicts["arc"], verdicts["dmarc"]) == (arc, "fail")
    assert outcome.action == "reject"
    assert not deceives(outcome, STRICT)


@pytest.mark.parametrize("times", [2, 50, 51, 60])
def test_long_chains_of_the_attackers_own_make_nobody_believe_it(standing: StandingBorder, times: int) -> None:
    octets = sealed(letter(f"From: Boss <ceo@{STRICT}>".encode()), "attack.test", times)
    outcome = bring(standing, "eve@attack.test", octets)
    assert outcome.action in ("quarantine", "reject")
    assert outcome.dmarc == "fail"
    assert not deceives(outcome, STRICT)


# --- two of these at once ------------------------------------------------------------------------------------------

PAIRS = [
    (path, author)
    for path in ("", "eve@attack.test", "ceo@no-such-host.%s", '"x dmarc=pass header.from=%s"@attack.test')
    for author in (
        b"From: <ceo@no-such-host.%s>",
        b"From: <ceo@%s>\r\nSender: <eve@attack.test>\r\nReply-To: <eve@attack.test>",
        b'From: "ceo@%s" <ceo@%s>',
        b"From: <ceo@%s>\r\nAuthentication-Results: mx.posthouse.test; dmarc=pass header.from=%s",
        b"From: <ceo@%s>\r\nList-Id: <x.attack.test>\r\nAuthentication-Results: \"mx.posthouse.test\"; dkim=pass",
    )
]


@pytest.mark.parametrize(("path", "author"), PAIRS)
@pytest.mark.parametrize("victim", [STRICT, LAX, OURS])
def test_two_tricks_at_once_are_no_better_than_one(
    standing: StandingBorder, path: str, author: bytes, victim: str
) -> None:
    octets = sealed(letter(author.replace(b"%s", victim.encode())), "attack.test")
    outcome = bring(standing, path.replace("%s", victim), octets)
    assert outcome.dmarc in ("", "fail")
    assert not deceives(outcome, victim)
    if victim != LAX:
        # A chain by somebody keeps it from being refused, and leads to Junk.
        assert outcome.action in ("", "quarantine", "reject")


# --- what an account may hand in -----------------------------------------------------------------------------------

HANDED_IN = {
    "a From that it does not own": b"From: <bob@posthouse.test>",
    "a From of somebody elsewhere": b"From: <ceo@victim.test>",
    "two From fields": b"From: <alice@posthouse.test>\r\nFrom: <ceo@victim.test>",
    "two addresses": b"From: <alice@posthouse.test>, <ceo@victim.test>",
    "a space before the colon": b"From: <alice@posthouse.test>\r\nFrom : <ceo@victim.test>",
    "a space before the name": b" From: <ceo@victim.test>\r\nFrom: <alice@posthouse.test>",
    "an address in front of the brackets": b"From: ceo@victim.test <alice@posthouse.test>",
    "a source route": b"From: <@victim.test:alice@posthouse.test>",
    "an encoded local part": b"From: <=?utf-8?Q?ceo=40victim.test?=@posthouse.test>",
    "a group": b"From: x: <alice@posthouse.test>;",
}


@pytest.mark.parametrize("author", HANDED_IN.values(), ids=HANDED_IN)
def test_an_account_writes_in_its_own_name_only(standing: StandingBorder, author: bytes) -> None:
    before = standing.run(standing.gate.mailbox(BOB))
    code, words = standing.run(standing.gate.submit(ALICE, [BOB], author + b"\r\n" + HEAD + BODY))
    assert standing.run(standing.gate.mailbox(BOB)) == before
    assert code in (550, 554), words


@pytest.mark.parametrize("author", AMBIGUOUS.values(), ids=AMBIGUOUS)
@pytest.mark.parametrize("victim", [STRICT, OURS])
def test_an_account_writes_no_header_with_more_than_one_reading(
    standing: StandingBorder, author: bytes, victim: str
) -> None:
    field = author.replace(b"eve@attack.test", ALICE.encode()).replace(b"%s", victim.encode())
    before = standing.run(standing.gate.mailbox(BOB))
    code, words = standing.run(standing.gate.submit(ALICE, [BOB], field + b"\r\n" + HEAD + BODY))
    assert code in (550, 554), words
    assert standing.run(standing.gate.mailbox(BOB)) == before


@pytest.mark.parametrize("field", ["Sender", "Resent-From", "Resent-Sender"])
def test_an_account_lets_nobody_else_send_for_it(standing: StandingBorder, field: str) -> None:
    for address, taken in ((BOB, False), (f"ceo@{STRICT}", False), (ALICE, True)):
        octets = f"From: <{ALICE}>\r\n{field}: <{address}>\r\n".encode() + HEAD + BODY
        code, words = standing.run(standing.gate.submit(ALICE, [BOB], octets))
        assert (code == 250) is taken, words


@pytest.mark.parametrize("path", [path for path in PATHS.values() if path], ids=[name for name in PATHS if PATHS[name]])
def test_an_account_uses_its_own_reverse_path_only(standing: StandingBorder, path: str) -> None:
    for victim in (STRICT, OURS):
        octets = f"From: <{ALICE}>\r\n".encode() + HEAD + BODY
        code, words = standing.run(standing.gate.submit(ALICE, [BOB], octets, path.replace("%s", victim)))
        assert code in (500, 501, 550, 553, 555), words


@pytest.mark.parametrize("field", FORGED.values(), ids=FORGED)
def test_results_that_an_account_forges_in_our_name_are_taken_out(standing: StandingBorder, field: bytes) -> None:
    forged = field.replace(b"%s", OURS.encode())
    octets = b"From: <alice@posthouse.test>\r\n" + HEAD + forged + b"\r\n" + BODY
    code, words = standing.run(standing.gate.submit(ALICE, [BOB], octets))
    assert code == 250, words
    filed = standing.run(standing.gate.mailbox(BOB))[-1]
    assert b"authentication-results" not in filed.lower()
    assert filed.endswith(octets.replace(forged + b"\r\n", b""))


# --- an honest letter, so that all of this is not for nothing ------------------------------------------------------


def test_the_attacker_may_write_in_his_own_name(standing: StandingBorder) -> None:
    outcome = bring(standing, "eve@attack.test", letter(b"From: Eve <eve@attack.test>"))
    assert (outcome.code, outcome.action, outcome.dmarc) == (250, "accept", "pass")
    assert deceives(outcome, "attack.test") == "DMARC passes for the victim"
