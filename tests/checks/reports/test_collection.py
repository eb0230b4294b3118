"""Rows for our own reports: one message, one row, and equal rows have equal keys."""

from dataclasses import replace

import pytest

from checks.dmarc.letters import check, records, signature, spf
from checks.zone import Zone
from posthouse.checks.dmarc import Dmarc, Policy
from posthouse.checks.reports.aggregate import (
    AggregateCounter,
    DkimResult,
    PolicyPublished,
    Reason,
    ReportRow,
    SpfResult,
)
from posthouse.checks.reports.collection import observe
from posthouse.mail.address import Address

RUA = "rua=mailto:agg@a.example"
MAIL_FROM = Address("b", "bounce.a.example")


def found(text: str = "p=reject", author: str = "a.example", **identities: object) -> Dmarc:
    zone = Zone(records(a_example=f"v=DMARC1; {text}; {RUA}"))
    return check(author, zone, identities.get("spf"), identities.get("signatures", ()))  # type: ignore[arg-type]


def counted(dmarc: Dmarc, disposition: Policy = "none", reasons: tuple[Reason, ...] = ()) -> AggregateCounter:
    counter = observe(
        dmarc, ip="2001:DB8::1", mail_from=MAIL_FROM, spf=None, signatures=[], disposition=disposition, reasons=reasons
    )
    assert counter is not None
    return counter


def test_a_message_becomes_a_row() -> None:
    of_spf = spf("bounce.a.example")
    signatures = [signature("b.example"), signature("a.example", selector="s2"), signature("c.example", "fail")]
    text = "p=quarantine; sp=none; adkim=r; aspf=s; fo=1; ruf=mailto:f@a.example"
    counter = observe(
        found(text, spf=of_spf, signatures=signatures),
        ip="192.0.2.1",
        mail_from=MAIL_FROM,
        spf=of_spf,
        signatures=signatures,
        disposition="none",
    )
    assert counter == AggregateCounter(
        PolicyPublished("a.example", "quarantine", "none", "", "r", "s", "1", False, "treewalk"),
        ReportRow(
            source_ip="192.0.2.1",
            disposition="pass",
            dkim="pass",
            spf="fail",
            header_from="a.example",
            envelope_from="bounce.a.example",
            dkim_results=(
                DkimResult("a.example", "s2", "pass"),
                DkimResult("b.example", "s1", "pass"),
                DkimResult("c.example", "s1", "fail"),
            ),
            spf_results=(SpfResult("bounce.a.example", "mfrom", "pass"),),
        ),
        ("mailto:agg@a.example",),
    )


def test_where_nobody_wants_reports_nothing_is_counted() -> None:
    for text in ("v=DMARC1; p=reject", "v=DMARC1; p=reject; rua=https://a.example/in", "v=DMARC1", "v=spf1 -all"):
        dmarc = check("a.example", Zone(records(a_example=text)))
        assert observe(dmarc, ip="192.0.2.1", mail_from=None, spf=None, signatures=[], disposition="none") is None


def test_the_null_reverse_path_is_empty_and_local_parts_are_never_told() -> None:
    of_spf = spf("mail.a.example", scope="helo")
    counter = observe(
        found(spf=of_spf), ip="192.0.2.1", mail_from=None, spf=of_spf, signatures=[], disposition="none"
    )
    assert counter is not None
    assert counter.row.envelope_from == ""
    assert counter.row.spf_results == (SpfResult("mail.a.example", "mfrom", "pass"),)
    assert "@" not in counter.row.key


@pytest.mark.parametrize(
    ("text", "disposition", "told", "reasons"),
    [
        ("p=reject", "reject", "reject", ()),
        ("p=reject", "quarantine", "quarantine", ("local_policy",)),
        ("p=reject", "none", "none", ("local_policy",)),
        ("p=none", "none", "none", ()),
        ("p=none", "quarantine", "quarantine", ("local_policy",)),
        ("p=reject; t=y", "quarantine", "quarantine", ("policy_test_mode",)),
        ("p=quarantine; t=y", "none", "none", ("policy_test_mode",)),
    ],
)
def test_whoever_departs_from_the_policy_says_why(
    text: str, disposition: Policy, told: str, reasons: tuple[str, ...]
) -> None:
    row = counted(found(text), disposition).row
    assert row.disposition == told
    assert tuple(reason.kind for reason in row.reasons) == reasons


def test_a_reason_that_is_given_stands_alone() -> None:
    row = counted(found(), "none", (Reason("trusted_forwarder", "lists.example.org"),)).row
    assert row.reasons == (Reason("trusted_forwarder", "lists.example.org"),)


def test_a_pass_without_a_policy_to_apply_is_no_action() -> None:
    assert counted(found("p=none", spf=spf("a.example"))).row.disposition == "none"
    assert counted(found("p=reject", spf=spf("a.example"))).row.disposition == "pass"
    assert counted(found("p=reject", spf=spf("a.example")), "reject").row.disposition == "reject"


def test_signatures_that_name_nobody_are_not_told() -> None:
    signatures = [signature("", "neutral"), signature("a.example", "fail", selector=""), signature("a.example")]
    dmarc = found(signatures=signatures)
    counter = observe(dmarc, ip="192.0.2.1", mail_from=None, spf=None, signatures=signatures, disposition="none")
    assert counter is not None
    assert counter.row.dkim_results == (DkimResult("a.example", "s1", "pass"),)


def test_keys_tell_rows_apart_and_bring_them_back() -> None:
    row = counted(found()).row
    assert row.source_ip == "2001:db8::1"
    assert ReportRow.of(row.key, 1) == row
    assert ReportRow.of(row.key, 12) == replace(row, count=12)
    assert replace(row, count=99).key == row.key
    assert replace(row, source_ip="192.0.2.1").key != row.key
    assert replace(row, reasons=()).key != row.key
    policy = counted(found()).policy
    assert PolicyPublished.of(policy.key) == policy
    assert counted(found("p=none")).policy.key != policy.key
