"""The table of rules: what each line makes of what was found, in each of its columns, and what exceptions are made."""

from ipaddress import ip_network

import pytest

from posthouse.checks.arc import Arc, seal, validate
from posthouse.checks.dkim import SigningKey, sign
from posthouse.checks.dnsbl import DnsList
from posthouse.mail.authentication_results import Property, Result, format_payload
from posthouse.mail.message import Message
from posthouse.mail.verdict import Accept, Defer, Quarantine, Reject
from posthouse.route.exemption import Exemptions
from posthouse.route.policy import LIMITS, RULES, Action, Policy, Preset, Ruling, awaits_names
from route.asked import Records, ZoneResolver, case, examine, judge
from route.office import BEGIN

CAUTIOUS, BALANCED, STRICT = Preset
KEYS = {domain: SigningKey.generate(domain, "s1", "ed25519-sha256") for domain in ("far.test", "list.test", "fwd.test")}
SERVER = {
    "7.2.0.192.in-addr.arpa": {"PTR": "mx.far.test"},
    "mx.far.test": {"A": "192.0.2.7"},
    **{key.dns_name: {"TXT": key.dns_record()} for key in KEYS.values()},
}
SPF_PASS = {"far.test": {"TXT": "v=spf1 ip4:192.0.2.7 -all"}}
SPF_FAIL = {"far.test": {"TXT": "v=spf1 ip4:192.0.2.99 -all"}}
SPF_NONE = {"far.test": {"A": "192.0.2.99"}}
LISTED = {"list.test": {"TXT": "v=spf1 ip4:192.0.2.7 -all"}}


def dmarc(policy: str) -> Records:
    return {"_dmarc.far.test": {"TXT": f"v=DMARC1; {policy}"}}


def letter(author: str = "carol@far.test", *more: str, signers: str = "", body: str = "At noon?") -> bytes:
    lines = [f"From: {author}", "To: alice@posthouse.test", "Subject: Lunch", *more, "", body, ""]
    octets = "\r\n".join(lines).encode()
    for domain in signers.split():
        octets = sign(octets, [KEYS[domain]], BEGIN) + octets
    return octets


def broken(octets: bytes) -> bytes:
    """As a list passes it on: with a line below it."""
    return octets + b"-- \r\nThe list\r\n"


def ruled(
    octets: bytes, *zones: Records, preset: Preset = BALANCED, exemptions: Exemptions | None = None,
    mail_from: str | None = "carol@far.test", ip: str = "192.0.2.7", lists: tuple[DnsList, ...] = (),
    ours: tuple[str, ...] = (),
) -> Ruling:
    records = {name: types for zone in (SERVER, *zones) for name, types in zone.items()}
    made = case(octets, ip, mail_from)
    return judge(made, examine(made, records, lists=lists, ours=ours), preset, exemptions)


def spoken(ruling: Ruling) -> dict[str, int]:
    return {line.rule: line.points for line in ruling.lines}


# --- DMARC ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("preset", "kind"), [(CAUTIOUS, Quarantine), (BALANCED, Reject), (STRICT, Reject)])
def test_what_a_domain_asks_to_be_refused_is_refused_but_by_the_cautious(preset: Preset, kind: type) -> None:
    ruling = ruled(letter(), SPF_FAIL, dmarc("p=reject"), preset=preset)
    assert isinstance(ruling.decision, kind)
    assert ruling.decision.rule == "dmarc-reject"
    assert ruling.disposition == ("quarantine" if kind is Quarantine else "reject")
    # Whoever does less than what was asked for has to say so.
    assert [reason.kind for reason in ruling.overrides] == (["local_policy"] if kind is Quarantine else [])


@pytest.mark.parametrize("preset", Preset)
def test_what_a_domain_asks_to_be_quarantined_goes_to_junk(preset: Preset) -> None:
    ruling = ruled(letter(), SPF_NONE, dmarc("p=quarantine"), preset=preset)
    assert isinstance(ruling.decision, Quarantine)
    assert ruling.decision.rule == "dmarc-quarantine"
    assert (ruling.disposition, ruling.overrides) == ("quarantine", ())


def test_a_domain_that_asks_for_nothing_has_nothing_done_in_its_name() -> None:
    ruling = ruled(letter(), SPF_NONE, dmarc("p=none"))
    assert isinstance(ruling.decision, Accept)
    assert (ruling.disposition, ruling.overrides) == ("none", ())
    assert spoken(ruling) == {"nothing-proven": 1}


def test_a_domain_that_tests_has_one_step_less_done_in_its_name() -> None:
    ruling = ruled(letter(), SPF_NONE, dmarc("p=reject; t=y"))
    assert ruling.decision.rule == "dmarc-quarantine"


@pytest.mark.parametrize("preset", Preset)
def test_what_passes_is_accepted_with_nothing_against_it(preset: Preset) -> None:
    for zone, octets in ((SPF_PASS, letter()), (SPF_FAIL, letter(signers="far.test"))):
        ruling = ruled(octets, zone, dmarc("p=reject"), preset=preset)
        assert isinstance(ruling.decision, Accept)
        assert (ruling.score, ruling.lines, ruling.stranger) == (0, (), False)


def test_the_reply_has_the_code_for_several_failures_or_for_one() -> None:
    several, one = (ruled(letter(), zone, dmarc("p=reject")).decision for zone in (SPF_FAIL, SPF_NONE))
    assert isinstance(several, Reject)
    assert isinstance(one, Reject)
    assert (several.reply.code, several.reply.enhanced) == (550, "5.7.26")
    assert (one.reply.code, one.reply.enhanced) == (550, "5.7.1")
    assert "DMARC" in one.reply.text
    assert len(one.reply.octets()) < 512


# --- answers that cannot be had -------------------------------------------------------------------------

FAULTS = [
    (SPF_NONE, {"_dmarc.far.test": {"TXT": "SERVFAIL"}}),
    ({"far.test": {"TXT": "TIMEOUT"}}, dmarc("p=reject")),
    ({"far.test": {"TXT": "TIMEOUT"}}, dmarc("p=quarantine")),
]


@pytest.mark.parametrize("zones", FAULTS)
@pytest.mark.parametrize("preset", Preset)
def test_where_the_answer_would_decide_the_sender_is_asked_to_come_again(
    zones: tuple[Records, Records], preset: Preset
) -> None:
    ruling = ruled(letter(), *zones, preset=preset)
    known = zones is not FAULTS[0]
    kind: type = Defer if preset is not CAUTIOUS else Quarantine if known else Accept
    assert isinstance(ruling.decision, kind)
    if isinstance(ruling.decision, Defer):
        assert ruling.decision.rule == ("dmarc-unproven" if known else "dmarc-unknown")
        assert awaits_names(ruling)
        assert (ruling.decision.reply.code, ruling.decision.reply.enhanced) == (451, "4.7.5")


@pytest.mark.parametrize(
    ("preset", "kind", "points"), [(CAUTIOUS, Accept, 0), (BALANCED, Accept, 2), (STRICT, Defer, 0)]
)
def test_what_was_waited_for_long_enough_counts_and_defers_no_more(preset: Preset, kind: type, points: int) -> None:
    records = {**SERVER, **SPF_NONE, "_dmarc.far.test": {"TXT": "SERVFAIL"}}
    made = case(letter())
    ruling = Policy(preset).judge(made, examine(made, records), late=True)
    assert isinstance(ruling.decision, kind)
    assert spoken(ruling)["dmarc-late"] == points
    assert "dmarc-unknown" not in spoken(ruling)
    # It means nothing where there was an answer.
    answered = examine(made, SERVER)
    assert Policy(preset).judge(made, answered, late=True) == Policy(preset).judge(made, answered)


@pytest.mark.parametrize("published", ["p=none", "p=quarantine", "p=reject"])
def test_the_settings_may_say_what_a_failure_leads_to_for_a_domain(published: str) -> None:
    for named, kind in (
        (Exemptions(reject=frozenset({"far.test"})), Reject),
        (Exemptions(quarantine=frozenset({"far.test"})), Quarantine),
        (Exemptions(monitor=frozenset({"far.test"}), reject=frozenset({"far.test"})), Accept),
    ):
        ruling = ruled(letter(), SPF_FAIL, dmarc(published), exemptions=named)
        assert isinstance(ruling.decision, kind), published
    rejecting = Exemptions(reject=frozenset({"far.test"}))
    refused = ruled(letter(), SPF_FAIL, dmarc("p=none"), exemptions=rejecting)
    assert "but the settings say reject for far.test" in refused.decision.reason
    assert (refused.disposition, refused.overrides[0].kind) == ("reject", "local_policy")
    assert isinstance(refused.decision, Reject)
    assert refused.decision.reply.text.startswith("Refused by a rule of this server, as nothing proves that far.test")
    passed = ruled(letter(signers="far.test"), SPF_FAIL, dmarc("p=none"), exemptions=rejecting)
    assert isinstance(passed.decision, Accept)
    # Whoever lays a trace of a list gains nothing by it.
    listed = ruled(by_list(), SPF_NONE, LISTED, dmarc(published), exemptions=rejecting, mail_from="talk@list.test")
    assert (type(listed.decision), listed.decision.rule) == (Reject, "dmarc-reject")


BROKEN_NAMES = [
    # The envelope's domain, below the author's, has name servers that never answer.
    ("x@broken.far.test", dmarc("p=reject"), {"broken.far.test": {"TXT": "SERVFAIL"}}, "ceo@far.test"),
    # Whether the author's domain exists cannot be found out, or not whether it lies: the stricter of sp and np holds.
    ("x@else.test", dmarc("p=reject; sp=quarantine; np=reject"), {"no.far.test": {"A": "SERVFAIL"}}, "ceo@no.far.test"),
    ("x@broken.far.test", dmarc("p=none; np=reject"), {"broken.far.test": {"TXT": "SERVFAIL"}}, "ceo@no.far.test"),
]


@pytest.mark.parametrize(("mail_from", "published", "broken", "author"), BROKEN_NAMES)
def test_who_breaks_names_gains_nothing_by_it(mail_from: str, published: Records, broken: Records, author: str) -> None:
    made = case(letter(author), mail_from=mail_from)
    findings = examine(made, {**SERVER, **published, **broken})
    assert findings.dmarc is not None
    assert (findings.dmarc.result, findings.dmarc.requested) == ("temperror", "reject")
    now = Policy(BALANCED).judge(made, findings)
    late = Policy(BALANCED).judge(made, findings, late=True)
    assert (now.decision.rule, type(now.decision)) == ("dmarc-unproven", Defer)
    assert (late.decision.rule, type(late.decision)) == ("unproven-late", Quarantine)
    careful = Policy(CAUTIOUS).judge(made, findings)
    assert isinstance(careful.decision, Quarantine)
    for ruling in (late, careful):
        # The author's domain is told that it was done, and why.
        assert (ruling.disposition, [reason.kind for reason in ruling.overrides]) == ("quarantine", ["local_policy"])


@pytest.mark.parametrize(
    "named", [Exemptions(reject=frozenset({"far.test"})), Exemptions(quarantine=frozenset({"far.test"}))]
)
def test_nor_where_the_settings_ask_for_more_than_the_domain(named: Exemptions) -> None:
    broken = {"broken.far.test": {"TXT": "SERVFAIL"}}
    for preset in Preset:
        ruling = ruled(letter("ceo@far.test"), dmarc("p=none"), broken, mail_from="x@broken.far.test", preset=preset,
                       exemptions=named)  # fmt: skip
        assert ruling.decision.rule == "dmarc-unproven"
        assert isinstance(ruling.decision, Quarantine if preset is CAUTIOUS else Defer)


@pytest.mark.parametrize(("published", "kind"), [("p=quarantine; t=y", Accept), ("p=reject; t=y", Defer)])
def test_a_domain_that_tests_is_waited_for_only_where_a_failure_would_be_acted_on(published: str, kind: type) -> None:
    broken = {"broken.far.test": {"TXT": "SERVFAIL"}}
    ruling = ruled(letter("ceo@far.test"), dmarc(published), broken, mail_from="x@broken.far.test")
    assert isinstance(ruling.decision, kind)


def test_who_is_exempted_need_not_be_proven() -> None:
    broken = {"broken.far.test": {"TXT": "SERVFAIL"}}
    made = case(letter("ceo@far.test"), mail_from="x@broken.far.test")
    findings = examine(made, {**SERVER, **dmarc("p=reject"), **broken})
    for named in (Exemptions(monitor=frozenset({"far.test"})), Exemptions(networks=(ip_network("192.0.2.0/24"),))):
        for late in (False, True):
            ruling = Policy(BALANCED, named).judge(made, findings, late=late)
            assert isinstance(ruling.decision, Accept)
            assert set(spoken(ruling)) & {"dmarc-exempted", "dmarc-unproven", "unproven-late"} == {"dmarc-exempted"}


def test_nor_is_the_policy_waited_for_that_would_not_be_kept() -> None:
    unknown = {"_dmarc.far.test": {"TXT": "SERVFAIL"}}
    for named in (Exemptions(monitor=frozenset({"far.test"})), Exemptions(networks=(ip_network("192.0.2.0/24"),))):
        for preset in Preset:
            ruling = ruled(letter(), SPF_FAIL, unknown, preset=preset, exemptions=named)
            assert isinstance(ruling.decision, Accept)
            assert set(spoken(ruling)) & {"dmarc-exempted", "dmarc-unknown", "spf-fail"} == {"dmarc-exempted"}


def test_a_fault_that_decides_nothing_defers_nothing() -> None:
    accepted = [
        # The signature alone makes DMARC pass.
        (letter(signers="far.test"), {"far.test": {"TXT": "SERVFAIL"}}, dmarc("p=reject")),
        # The domain asks for nothing.
        (letter(), {"far.test": {"TXT": "SERVFAIL"}}, dmarc("p=none")),
        # A name is no proof.
        (letter(), {**SPF_PASS, "7.2.0.192.in-addr.arpa": {"PTR": "SERVFAIL"}}, dmarc("p=reject")),
        # A key of somebody else.
        (letter(signers="list.test"), {**SPF_PASS, KEYS["list.test"].dns_name: {"TXT": "TIMEOUT"}}, dmarc("p=reject")),
    ]
    for octets, zone, policy in accepted:
        assert isinstance(ruled(octets, zone, policy).decision, Accept)


@pytest.mark.parametrize("preset", [BALANCED, STRICT])
def test_a_proof_that_cannot_be_had_now_never_refuses_for_good(preset: Preset) -> None:
    lists = (DnsList("bl.test", "address", 5),)
    listed = {"7.2.0.192.bl.test": {"A": "127.0.0.2"}, "7.2.0.192.in-addr.arpa": {}}
    key = {KEYS["far.test"].dns_name: {"TXT": "SERVFAIL"}}
    zones = (SPF_FAIL, listed, dmarc("p=none"))
    signed = letter(signers="far.test")
    for octets, more, kind in ((signed, key, Defer), (letter(), {}, Reject)):
        ruling = ruled(octets, *zones, more, preset=preset, lists=lists, ours=("far.test",))
        assert isinstance(ruling.decision, kind)
        assert ruling.decision.rule == ("score" if preset is BALANCED else "spf-fail")
        if isinstance(ruling.decision, Defer):
            assert (ruling.decision.reply.code, ruling.decision.reply.enhanced) == (451, "4.7.5")
            assert ruling.decision.reason.endswith("cannot be asked for now")
    # What is refused for other reasons need not wait.
    worse = (DnsList("bl.test", "address", 12),)
    ruling = ruled(signed, SPF_NONE, listed, key, preset=preset, lists=worse)
    assert isinstance(ruling.decision, Reject)


def test_a_chain_that_cannot_be_checked_now_never_refuses_for_good() -> None:
    key = KEYS["far.test"].dns_name
    ruling = ruled(letter(signers="far.test"), SPF_FAIL, {key: {"TXT": "TIMEOUT"}}, dmarc("p=reject"))
    assert isinstance(ruling.decision, Defer)


# --- lists and forwarders -------------------------------------------------------------------------------


def by_list(*more: str) -> bytes:
    octets = broken(letter("carol@far.test", "List-Id: <talk.list.test>", *more, signers="far.test"))
    return sign(octets, [KEYS["list.test"]], BEGIN) + octets


@pytest.mark.parametrize(("preset", "kind"), [(CAUTIOUS, Quarantine), (BALANCED, Quarantine), (STRICT, Reject)])
def test_what_may_have_come_by_a_list_goes_to_junk_instead(preset: Preset, kind: type) -> None:
    ruling = ruled(by_list(), SPF_NONE, LISTED, dmarc("p=reject"), mail_from="talk@list.test", preset=preset)
    assert isinstance(ruling.decision, kind)
    assert ruling.decision.rule == "dmarc-detour"
    assert "list.test vouches for it" in ruling.decision.reason


def test_marks_of_a_list_that_nobody_vouches_for_are_no_excuse() -> None:
    octets = letter("carol@far.test", "List-Id: <talk.list.test>", "List-Post: <mailto:talk@list.test>")
    assert ruled(octets, SPF_NONE, dmarc("p=reject")).decision.rule == "dmarc-reject"


def test_a_signature_that_broke_on_the_way_is_a_trace_if_somebody_vouches() -> None:
    octets = broken(letter(signers="far.test"))
    ruling = ruled(octets, SPF_NONE, LISTED, dmarc("p=reject"), mail_from="x@list.test")
    assert ruling.decision.rule == "dmarc-detour"
    assert "may have been broken on the way" in ruling.decision.reason
    assert ruled(octets, SPF_NONE, dmarc("p=reject")).decision.rule == "dmarc-reject"


@pytest.mark.parametrize("named", ["list.test", "test"])
def test_a_known_mailing_list_is_believed(named: str) -> None:
    exemptions = Exemptions(mailing_lists=frozenset({named}))
    for preset in Preset:
        ruling = ruled(by_list(), SPF_NONE, LISTED, dmarc("p=reject"), mail_from="talk@list.test", preset=preset,
                       exemptions=exemptions)  # fmt: skip
        assert isinstance(ruling.decision, Accept)
        assert ruling.lines[0].rule == "dmarc-exempted"
        assert ruling.lines[0].reason == f"{named} is a known mailing list"
        assert ruling.overrides == (("mailing_list", named),)
        assert ruling.disposition == "none"
        assert not ruling.stranger


def test_who_only_says_to_be_a_known_list_is_not_believed() -> None:
    exemptions = Exemptions(mailing_lists=frozenset({"list.test"}))
    octets = letter("carol@far.test", "List-Id: <talk.list.test>")
    ruling = ruled(octets, SPF_NONE, {"list.test": {"TXT": "v=spf1 -all"}}, dmarc("p=reject"),
                   mail_from="talk@list.test", exemptions=exemptions)  # fmt: skip
    assert isinstance(ruling.decision, Reject)
    # A name that merely ends like it is another one.
    other = Exemptions(mailing_lists=frozenset({"ist.test"}))
    ruling = ruled(by_list(), SPF_NONE, LISTED, dmarc("p=reject"), mail_from="talk@list.test", exemptions=other)
    assert ruling.decision.rule == "dmarc-detour"


@pytest.mark.parametrize(
    ("exemptions", "told"),
    [
        (Exemptions(forwarders=frozenset({"mx.far.test"})), "mx.far.test"),
        (Exemptions(forwarders=frozenset({"fwd.test"})), "fwd.test"),
        (Exemptions(networks=(ip_network("192.0.2.0/24"),)), "192.0.2.0/24"),
    ],
)
def test_a_trusted_forwarder_is_known_by_name_signature_or_network(exemptions: Exemptions, told: str) -> None:
    octets = letter(signers="fwd.test")
    ruling = ruled(octets, SPF_FAIL, dmarc("p=reject"), exemptions=exemptions, preset=STRICT)
    assert isinstance(ruling.decision, Accept)
    assert ruling.overrides == (("trusted_forwarder", told),)
    # Neither does the SPF failure count that forwarding brings with it.
    assert "spf-fail" not in spoken(ruling)


@pytest.mark.parametrize("policy", [{}, dmarc("p=none")], ids=["no-record", "none"])
@pytest.mark.parametrize("preset", Preset)
def test_a_trusted_forwarder_is_believed_where_there_is_no_policy_to_be_kept(policy: Records, preset: Preset) -> None:
    exemptions = Exemptions(networks=(ip_network("192.0.2.0/24"),))
    ruling = ruled(letter(), SPF_FAIL, policy, exemptions=exemptions, preset=preset, ours=("far.test",))
    assert isinstance(ruling.decision, Accept)
    assert ruling.lines[0] == ("passed-on", 0, "192.0.2.0/24 is a trusted forwarder")
    assert not set(spoken(ruling)) & {"spf-fail", "poses-as-us", "dmarc-exempted"}
    assert not ruling.stranger
    assert ruling.overrides == ()
    # Of what proves itself there is nothing to be said.
    assert "passed-on" not in spoken(ruled(letter(), SPF_PASS, dmarc("p=none"), exemptions=exemptions, preset=preset))


def test_a_forwarder_at_another_address_is_not_believed() -> None:
    exemptions = Exemptions(forwarders=frozenset({"mx.far.test"}), networks=(ip_network("198.51.100.0/24"),))
    zone = {"7.2.0.192.in-addr.arpa": {"PTR": "mx.far.test"}, "mx.far.test": {"A": "192.0.2.8"}}
    ruling = ruled(letter(), SPF_FAIL, zone, dmarc("p=reject"), exemptions=exemptions)
    assert isinstance(ruling.decision, Reject)


def test_a_domain_that_is_only_watched_is_not_enforced() -> None:
    exemptions = Exemptions(monitor=frozenset({"far.test"}))
    ruling = ruled(letter(), SPF_NONE, dmarc("p=reject"), exemptions=exemptions)
    assert isinstance(ruling.decision, Accept)
    assert ruling.overrides == (("local_policy", "far.test is only monitored"),)


# --- ARC ------------------------------------------------------------------------------------------------


def sealed(octets: bytes, sealer: str, *recorded: Result, chain: Arc | None = None) -> bytes:
    import asyncio

    resolver = ZoneResolver(SERVER)
    found = chain or asyncio.run(validate(Message.parse(octets), resolver, BEGIN))
    payload = format_payload(f"mx.{sealer}", recorded)
    return seal(octets, KEYS[sealer], found, payload, BEGIN) + octets


PASSED = Result("dmarc", "pass", properties=(Property("header", "from", "far.test"),))
RECORDED = (Result("iprev", "pass", properties=(Property("policy", "iprev", "192.0.2.55"),)), PASSED)


def test_what_a_trusted_sealer_saw_pass_is_accepted_and_told_with_the_chain() -> None:
    octets = sealed(broken(letter(signers="far.test")), "list.test", *RECORDED)
    exemptions = Exemptions(sealers=frozenset({"list.test"}))
    ruling = ruled(octets, SPF_FAIL, dmarc("p=reject"), exemptions=exemptions, preset=STRICT)
    assert isinstance(ruling.decision, Accept)
    assert ruling.lines[0].reason == "list.test is a trusted sealer, and DMARC passed for far.test there"
    (reason,) = ruling.overrides
    assert reason.kind == "local_policy"
    assert reason.comment == "arc=pass as[1].d=list.test as[1].s=s1 remote-ip[1]=192.0.2.55"


@pytest.mark.parametrize(
    ("recorded", "why"),
    [
        ((Result("dmarc", "fail", properties=PASSED.properties),), "it failed there too"),
        ((Result("dmarc", "pass", properties=(Property("header", "from", "other.test"),)),), "of another author"),
        ((Result("dmarc", "pass"),), "of nobody"),
        ((PASSED, Result("dmarc", "fail", properties=PASSED.properties)), "it says both"),
        ((Result("spf", "pass", properties=(Property("smtp", "mailfrom", "far.test"),)),), "not DMARC"),
        ((), "nothing was recorded"),
    ],
)
def test_a_trusted_sealer_that_saw_no_pass_changes_nothing(recorded: tuple[Result, ...], why: str) -> None:
    octets = sealed(letter(), "list.test", *recorded)
    ruling = ruled(octets, SPF_FAIL, dmarc("p=reject"), exemptions=Exemptions(sealers=frozenset({"list.test"})))
    assert not isinstance(ruling.decision, Accept), why
    assert ruling.lines[0].rule == "dmarc-reject"


def test_a_chain_of_sealers_that_nobody_named_changes_nothing() -> None:
    octets = sealed(letter(), "list.test", *RECORDED)
    assert ruled(octets, SPF_FAIL, dmarc("p=reject")).decision.rule == "dmarc-reject"


def test_a_chain_that_was_moved_onto_another_message_is_worth_nothing() -> None:
    head, _, rest = sealed(letter(), "list.test", *RECORDED).partition(b"From:")
    assert rest
    octets = head + letter(body="Please pay.")
    ruling = ruled(octets, SPF_FAIL, dmarc("p=reject"), exemptions=Exemptions(sealers=frozenset({"list.test"})))
    assert ruling.decision.rule == "dmarc-reject"


def test_a_stranger_between_trusted_sealers_ends_the_trust() -> None:
    octets = sealed(sealed(letter(), "fwd.test", *RECORDED), "list.test", *RECORDED[:1])
    exemptions = Exemptions(sealers=frozenset({"fwd.test"}))
    assert ruled(octets, SPF_FAIL, dmarc("p=reject"), exemptions=exemptions).decision.rule == "dmarc-reject"
    both = Exemptions(sealers=frozenset({"fwd.test", "list.test"}))
    assert isinstance(ruled(octets, SPF_FAIL, dmarc("p=reject"), exemptions=both).decision, Accept)


def test_a_stranger_who_seals_a_chain_of_his_own_words_is_not_believed_for_it() -> None:
    # Instance 1 says that a trusted one saw it pass, but its seal is not by that one.
    octets = sealed(letter(), "fwd.test", *RECORDED)
    ruling = ruled(octets, SPF_FAIL, dmarc("p=reject"), exemptions=Exemptions(sealers=frozenset({"mx.fwd.test"})))
    assert ruling.decision.rule == "dmarc-reject"


def test_a_sealer_may_write_the_author_as_he_likes() -> None:
    recorded = Result("dmarc", "pass", properties=(Property("header", "from", "Far.TEST"),))
    octets = sealed(letter(), "list.test", recorded)
    ruling = ruled(octets, SPF_FAIL, dmarc("p=reject"), exemptions=Exemptions(sealers=frozenset({"list.test"})))
    assert isinstance(ruling.decision, Accept)


# --- points ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("preset", "points"), [(CAUTIOUS, 2), (BALANCED, 3), (STRICT, None)])
def test_an_spf_failure_without_a_dmarc_policy_counts_or_refuses(preset: Preset, points: int | None) -> None:
    ruling = ruled(letter(), SPF_FAIL, preset=preset)
    if points is None:
        assert isinstance(ruling.decision, Reject)
        assert (ruling.decision.reply.code, ruling.decision.reply.enhanced) == (550, "5.7.23")
    else:
        assert spoken(ruling)["spf-fail"] == points


def test_the_words_of_a_domain_for_the_refused_reach_them() -> None:
    zone = {"far.test": {"TXT": "v=spf1 -all exp=why.far.test"}, "why.far.test": {"TXT": "Write by way of our relay"}}
    ruling = ruled(letter(), zone, preset=STRICT)
    assert isinstance(ruling.decision, Reject)
    assert ruling.decision.reply.text.endswith("far.test explained: Write by way of our relay")


def test_an_spf_failure_does_not_count_where_a_signature_vouches() -> None:
    ruling = ruled(letter(signers="far.test"), SPF_FAIL, preset=STRICT)
    assert isinstance(ruling.decision, Accept)
    assert ruling.lines == ()


def test_lesser_results_of_spf_count_less() -> None:
    soft = {"far.test": {"TXT": "v=spf1 ~all"}}
    wrong = {"far.test": {"TXT": "v=spf1 nonsense -all"}}
    assert [spoken(ruled(letter(), soft, preset=preset)).get("spf-softfail") for preset in Preset] == [1, 1, 2]
    assert [spoken(ruled(letter(), wrong, preset=preset)).get("spf-broken") for preset in Preset] == [0, 1, 1]


def test_a_host_without_a_name_and_one_with_a_false_name_count() -> None:
    nameless = {"7.2.0.192.in-addr.arpa": {"TXT": "x"}}
    false = {"mx.far.test": {"A": "192.0.2.8"}}
    assert [spoken(ruled(letter(), SPF_PASS, nameless, preset=p)) for p in Preset] == [
        {"no-name": 1}, {"no-name": 2}, {"no-name": 3},
    ]  # fmt: skip
    assert [spoken(ruled(letter(), SPF_PASS, false, preset=p)) for p in Preset] == [
        {"false-name": 0}, {"false-name": 1}, {"false-name": 2},
    ]  # fmt: skip


def test_lists_count_by_their_weights_for_and_against() -> None:
    block, allow = DnsList("bl.test", "address", 4), DnsList("wl.test", "address", -2)
    listed = {"7.2.0.192.bl.test": {"A": "127.0.0.2"}, "7.2.0.192.wl.test": {"A": "127.0.0.2"}}
    assert spoken(ruled(letter(), SPF_PASS, listed, lists=(block,))) == {"lists": 4}
    assert spoken(ruled(letter(), SPF_PASS, listed, lists=(block, allow))) == {"lists": 2}
    assert spoken(ruled(letter(), SPF_PASS, listed, lists=(allow,))) == {"lists": -2}
    # An error of a list is no listing.
    error = {"7.2.0.192.bl.test": {"A": "127.255.255.254"}}
    assert spoken(ruled(letter(), SPF_PASS, error, lists=(block,))) == {}


@pytest.mark.parametrize("preset", Preset)
def test_the_score_decides_where_no_line_does(preset: Preset) -> None:
    junk, refuse = LIMITS[preset]
    heavy = {"7.2.0.192.bl.test": {"A": "127.0.0.2"}}

    def with_score(score: int) -> Ruling:
        return ruled(letter(), SPF_PASS, heavy, lists=(DnsList("bl.test", "address", score),), preset=preset)

    assert isinstance(with_score(junk - 1).decision, Accept)
    assert isinstance(with_score(junk).decision, Quarantine)
    assert f"lists +{junk}" in with_score(junk).decision.reason
    if refuse is None:
        assert isinstance(with_score(100).decision, Quarantine)
    else:
        assert isinstance(with_score(refuse - 1).decision, Quarantine)
        refused = with_score(refuse).decision
        assert isinstance(refused, Reject)
        assert (refused.reply.code, refused.reply.enhanced) == (550, "5.7.1")
        assert "bl.test" in refused.reply.text
        assert len(refused.reply.octets()) <= 512


def test_junk_by_score_of_what_passed_is_no_affair_of_its_domain() -> None:
    heavy = {"7.2.0.192.bl.test": {"A": "127.0.0.2"}}
    lists = (DnsList("bl.test", "address", 6),)
    ruling = ruled(letter(), SPF_PASS, heavy, dmarc("p=reject"), lists=lists)
    assert isinstance(ruling.decision, Quarantine)
    assert (ruling.disposition, ruling.overrides) == ("none", ())
    ruling = ruled(letter(), SPF_NONE, heavy, dmarc("p=none"), lists=lists)
    assert (ruling.disposition, ruling.overrides[0].kind) == ("quarantine", "local_policy")


def test_what_poses_as_a_domain_of_ours_goes_to_junk_even_if_that_publishes_nothing() -> None:
    ruling = ruled(letter(), SPF_NONE, ours=("far.test",))
    assert isinstance(ruling.decision, Quarantine)
    assert spoken(ruling) == {"nothing-proven": 1, "poses-as-us": 4}
    assert isinstance(ruled(letter(), SPF_PASS, ours=("far.test",)).decision, Accept)
    assert isinstance(ruled(letter(signers="far.test"), SPF_NONE, ours=("far.test",)).decision, Accept)
    # What somebody else vouches for need not be ours.
    assert "poses-as-us" in spoken(ruled(letter(signers="list.test"), SPF_NONE, ours=("far.test",)))


# --- strangers ------------------------------------------------------------------------------------------


def test_who_proves_nothing_is_a_stranger() -> None:
    assert ruled(letter(), SPF_NONE).stranger
    assert ruled(letter(), SPF_NONE, dmarc("p=none")).stranger
    for octets, zone in ((letter(), SPF_PASS), (letter(signers="list.test"), SPF_NONE)):
        assert not ruled(octets, zone).stranger
    # One that is refused, or goes to Junk, need not come again.
    assert not ruled(letter(), SPF_NONE, dmarc("p=quarantine")).stranger
    allowed = {"7.2.0.192.wl.test": {"A": "127.0.0.2"}}
    assert not ruled(letter(), SPF_NONE, allowed, lists=(DnsList("wl.test", "address", -1),)).stranger


# --- the table itself -----------------------------------------------------------------------------------


def test_every_line_that_refuses_has_a_reply_and_a_name_of_its_own() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    for rule in RULES:
        cells = (rule.cautious, rule.balanced, rule.strict)
        assert (rule.reply is not None) is any(cell in (Action.DEFER, Action.REJECT) for cell in cells), rule.name


def test_the_cautious_column_refuses_and_defers_nothing() -> None:
    assert all(rule.cautious not in (Action.DEFER, Action.REJECT) for rule in RULES)
    assert LIMITS[CAUTIOUS].refuse is None


def test_no_column_is_laxer_than_the_one_before() -> None:
    grade = {Action.QUARANTINE: 50, Action.DEFER: 60, Action.REJECT: 100}
    for rule in RULES:
        grades = [grade[cell] if isinstance(cell, Action) else cell
                  for cell in (rule.cautious, rule.balanced, rule.strict)]
        assert grades == sorted(grades), rule.name
