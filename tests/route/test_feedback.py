"""Reports of others: recognised at the door, read within bounds, kept where they are about us, and always filed."""

import gzip
import io
import json
import zipfile
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from posthouse.checks.reports import (
    AggregateReport,
    DkimResult,
    PolicyPublished,
    Reason,
    ReportRow,
    SpfResult,
    mail_aggregate,
)
from posthouse.checks.zonefile import Records
from posthouse.mail.address import Address
from posthouse.mail.instant import DAY, SECOND
from posthouse.mail.journey import Step
from posthouse.mail.reply import Reply
from posthouse.route import feedback as reading
from posthouse.route.authentication import Findings
from posthouse.store import feedback
from posthouse.store.blobs import Blobs
from posthouse.store.database import Fault, StoreFault
from posthouse.store.feedback import Kind, Line, Span
from route.deskwork import FAR, Desk, at_desk
from route.office import BEGIN, LETTER

OURS = "v=DMARC1; p=reject; rua=mailto:dmarc@posthouse.test; ruf=mailto:dmarc+ruf@posthouse.test"
ZONE: Records = {
    **FAR,
    "_dmarc.posthouse.test": {"TXT": OURS},
    "_smtp._tls.posthouse.test": {"TXT": "v=TLSRPTv1; rua=https://tls.test/in,mailto:tlsrpt@posthouse.test"},
}
SPOOFER = "203.0.113.9"
BEGUN = BEGIN // DAY * DAY - DAY
ROW = ReportRow("198.51.100.1", "none", "pass", "fail", "posthouse.test", "posthouse.test", count=7)


def mail(rows: Sequence[ReportRow] = (ROW,), *, domain: str = "posthouse.test", report_id: str = "one") -> bytes:
    """An aggregate report as a mail."""
    policy = PolicyPublished(domain, "reject")
    end = BEGUN + DAY - SECOND
    report = AggregateReport("Far Inc.", "d@far.test", report_id, BEGUN, end, policy, tuple(rows), generator="Test")
    return mail_aggregate(report, "far.test", Address("d", "far.test"), [Address("dmarc", "posthouse.test")], BEGIN)


def attached(octets: bytes, content_type: str = "application/gzip", name: str = "far!posthouse!1!2.xml.gz") -> bytes:
    """A mail with one attachment and nothing else."""
    return (
        b"From: d@far.test\r\nSubject: Report Domain: posthouse.test Submitter: far.test\r\nMIME-Version: 1.0\r\n"
        + f'Content-Type: {content_type}; name="{name}"\r\nContent-Transfer-Encoding: base64\r\n\r\n'.encode()
        + b64encode(octets)
        + b"\r\n"
    )


async def arrive(desk: Desk, octets: bytes, *, to: str = "dmarc@posthouse.test", ip: str = "192.0.2.7") -> Reply:
    """A mail comes in at an address for reports; they are known from the records of our domains."""
    if not desk.office.accounts.get("dmarc@posthouse.test"):
        await desk.office.add("dmarc@posthouse.test")
        await desk.office.alias("tlsrpt@posthouse.test", "dmarc@posthouse.test")
        await desk.bureau.expectations.refresh()
    return await desk.receive(octets, "d@far.test", ip, to)


async def outcomes(desk: Desk, reply: Reply) -> list[str]:
    """What the journey tells of the report in that mail."""
    await desk.bureau.reader.read_all()
    assert desk.failures.told == []
    journey = await desk.office.journey(reply)
    return [str(stamp.facts["outcome"]) for stamp in journey.stamps if stamp.step is Step.REPORT]


# --- what is recognised ---------------------------------------------------------------------------------


def test_a_report_at_our_address_is_filed_and_kept(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        octets = mail()
        reply = await arrive(desk, octets)
        assert reply.code == 250
        (filed,) = await desk.office.mailbox("dmarc@posthouse.test")
        assert filed.octets == octets
        assert await outcomes(desk, reply) == ["aggregate report by Far Inc. about posthouse.test, 7 messages"]
        (kept,) = await desk.received(proven=True)
        assert (kept.domain, kept.reporter, kept.organization, kept.report_id) == (
            "posthouse.test", "far.test", "Far Inc.", "one",
        )  # fmt: skip
        assert (kept.begin, kept.end, kept.messages, kept.passed) == (BEGUN, BEGUN + DAY - SECOND, 7, 7)
        assert json.loads(kept.facts)["policy"]["p"] == "reject"

    at_desk(tmp_path, ZONE, work)


@pytest.mark.parametrize("to", ["dmarc+ruf@posthouse.test", "tlsrpt@posthouse.test", "alice@posthouse.test"])
def test_every_address_of_ours_takes_reports_of_proven_authors(tmp_path: Path, to: str) -> None:
    async def work(desk: Desk) -> None:
        await arrive(desk, mail(), to=to)
        assert len(await desk.received(proven=True)) == 1

    at_desk(tmp_path, ZONE, work)


def test_what_nobody_vouches_for_is_read_at_addresses_for_reports_and_marked(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        reply = await arrive(desk, mail(), ip=SPOOFER)
        (told,) = await outcomes(desk, reply)
        assert told.endswith(", not counted since nothing proves its sender")
        assert await desk.received(proven=True) == []
        (kept,) = await desk.received()
        assert not kept.proven
        await arrive(desk, mail(report_id="two"), to="alice@posthouse.test", ip=SPOOFER)
        assert len(await desk.received()) == 1

    at_desk(tmp_path, ZONE, work)


def test_relays_of_our_own_are_believed_for_what_they_bring() -> None:
    findings = Findings("192.0.2.1", Address("d", "far.test"))
    assert not reading.is_proven(findings)
    assert reading.is_proven(replace(findings, waived="192.0.2.1 is in the trusted network 192.0.2.0/24"))


def test_reports_about_others_are_not_kept(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        for domain in ("far.test", "notposthouse.test", "test"):
            reply = await arrive(desk, mail(domain=domain, report_id=domain))
            assert await outcomes(desk, reply) == ["not kept, since it is about no domain of ours"]
        await arrive(desk, mail(domain="sub.posthouse.test"))
        assert [kept.domain for kept in await desk.received()] == ["sub.posthouse.test"]

    at_desk(tmp_path, ZONE, work)


def test_other_mail_waits_for_nobody(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        await arrive(desk, LETTER, to="alice@posthouse.test")
        assert not await desk.office.db.read(lambda tx: feedback.waits(tx, BEGIN + DAY))

    at_desk(tmp_path, ZONE, work)


def test_a_letter_at_an_address_for_reports_is_a_letter(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        reply = await arrive(desk, LETTER)
        assert await outcomes(desk, reply) == ["refused, The message has no report in it"]
        assert len(await desk.office.mailbox("dmarc@posthouse.test")) == 1

    at_desk(tmp_path, ZONE, work)


def test_a_report_that_comes_twice_is_kept_once(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        await arrive(desk, mail())
        reply = await arrive(desk, b"Comments: once more\r\n" + mail())
        assert await outcomes(desk, reply) == ["aggregate report by Far Inc. about posthouse.test, which came before"]
        assert len(await desk.received()) == 1
        assert len(await desk.office.mailbox("dmarc@posthouse.test")) == 2

    at_desk(tmp_path, ZONE, work)


def test_addresses_for_reports_stay_known_while_the_dns_is_silent(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        await arrive(desk, LETTER)
        known = desk.bureau.expectations.addresses
        assert known == {("dmarc", "posthouse.test"), ("dmarc+ruf", "posthouse.test"), ("tlsrpt", "posthouse.test")}
        desk.world.become({**ZONE, "_dmarc.posthouse.test": {"TXT": "SERVFAIL"}})
        await desk.bureau.expectations.refresh()
        assert desk.bureau.expectations.addresses == known
        desk.world.become({**FAR})
        await desk.bureau.expectations.refresh()
        assert desk.bureau.expectations.addresses == frozenset()

    at_desk(tmp_path, ZONE, work)


# --- what is in it --------------------------------------------------------------------------------------


def test_lines_tell_who_vouched_and_why_a_policy_was_not_kept(tmp_path: Path) -> None:
    rows = [
        ReportRow(
            "198.51.100.2", "none", "fail", "fail", "posthouse.test", count=2,
            reasons=(Reason("trusted_forwarder", "lists.test"),),
            dkim_results=(DkimResult("posthouse.test", "s1", "fail"), DkimResult("lists.test", "s1", "pass")),
            spf_results=(SpfResult("lists.test", "mfrom", "pass"),),
        ),
        ROW,
    ]  # fmt: skip

    async def work(desk: Desk) -> None:
        await arrive(desk, mail(rows))
        await desk.received()
        lines = await desk.office.db.read(lambda tx: feedback.sources(tx, Span(0)))
        assert lines == [
            Line(7, True, False, "none", "198.51.100.1", "posthouse.test", "", "", ""),
            Line(
                2, False, False, "none", "198.51.100.2", "posthouse.test", "lists.test pass, posthouse.test fail",
                "lists.test pass", "trusted_forwarder lists.test",
            ),
        ]  # fmt: skip

    at_desk(tmp_path, ZONE, work)


TLS = {
    "organization-name": "Far Inc.",
    "date-range": {"start-datetime": "2025-06-14T00:00:00Z", "end-datetime": "2025-06-14T23:59:59Z"},
    "contact-info": "tls@far.test",
    "report-id": "tls-1",
    "policies": [
        {
            "policy": {"policy-type": "sts", "policy-domain": "posthouse.test", "mx-host": "mx.posthouse.test"},
            "summary": {"total-successful-session-count": 5, "total-failure-session-count": 2},
            "failure-details": [{"result-type": "certificate-expired", "failed-session-count": 2}],
        },
        {
            "policy": {"policy-type": "sts", "policy-domain": "far.test"},
            "summary": {"total-successful-session-count": 1, "total-failure-session-count": 0},
        },
    ],
}


def test_a_tls_report_is_kept_by_domain(tmp_path: Path) -> None:
    octets = attached(gzip.compress(json.dumps(TLS).encode()), "application/tlsrpt+gzip", "x.json.gz")

    async def work(desk: Desk) -> None:
        await arrive(desk, b"TLS-Report-Domain: posthouse.test\r\n" + octets, to="tlsrpt@posthouse.test")
        (kept,) = await desk.received(Kind.TLS)
        assert (kept.domain, kept.report_id, kept.messages, kept.passed) == ("posthouse.test", "tls-1", 7, 5)
        (policy,) = json.loads(kept.facts)["policies"]
        assert policy["failures"][0]["kind"] == "certificate-expired"

    at_desk(tmp_path, ZONE, work)


FAILURE = (
    b"From: d@far.test\r\nSubject: FW: hello\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain\r\n\r\nIt failed.\r\n"
    b"--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: auth-failure\r\nVersion: 1\r\n"
    b"User-Agent: Far/1\r\nAuth-Failure: dmarc\r\nIdentity-Alignment: dkim, spf\r\nSource-IP: 203.0.113.9\r\n"
    b"Reported-Domain: posthouse.test\r\nArrival-Date: Sat, 14 Jun 2025 10:00:00 +0000\r\n\r\n"
    b"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nFrom: boss@posthouse.test\r\nSubject: pay now\r\n--b--\r\n"
)


def test_a_failure_report_is_kept_in_short(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        await arrive(desk, FAILURE, to="dmarc+ruf@posthouse.test")
        (kept,) = await desk.received(Kind.FAILURE)
        facts = json.loads(kept.facts)
        assert (kept.domain, kept.messages, facts["source_ip"], facts["failed"]) == (
            "posthouse.test", 1, "203.0.113.9", ["dkim", "spf"],
        )  # fmt: skip
        assert facts["subject"] == "pay now"

    at_desk(tmp_path, ZONE, work)


# --- hostile ones ---------------------------------------------------------------------------------------


def zipped(*files: tuple[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, octets in files:
            archive.writestr(name, octets)
    return held.getvalue()


XML = b"<feedback><report_metadata/></feedback>"
HOSTILE = {
    "a bomb": (gzip.compress(bytes(30_000_000)), "times its size"),
    "a bomb in a zip": (zipped(("x.xml", bytes(30_000_000))), "times its size"),
    "an archive in an archive": (gzip.compress(gzip.compress(XML)), "another archive"),
    "half an archive": (gzip.compress(XML * 100)[:40], "cut short"),
    "a damaged archive": (b"\x1f\x8b" + b"\xff" * 100, "damaged"),
    "two reports in a zip": (zipped(("a.xml", XML), ("b.xml", XML)), "exactly one report"),
    "entities": (
        gzip.compress(b'<!DOCTYPE x [<!ENTITY a "b">]><feedback>&a;</feedback>'), "document type",
    ),
    "no report": (gzip.compress(b"<html/>"), "no DMARC report"),
    "deep elements": (gzip.compress(b"<feedback>" + b"<a>" * 200), "levels"),
    "no time": (gzip.compress(XML), "which time"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_archive_is_filed_and_told(tmp_path: Path, what: str) -> None:
    octets, reason = HOSTILE[what]

    async def work(desk: Desk) -> None:
        reply = await arrive(desk, attached(octets))
        assert reply.code == 250
        (told,) = await outcomes(desk, reply)
        assert told.startswith("refused, ")
        assert reason in told
        assert await desk.received() == []
        assert len(await desk.office.mailbox("dmarc@posthouse.test")) == 1

    at_desk(tmp_path, ZONE, work)


def test_counts_that_would_overflow_are_cut(tmp_path: Path) -> None:
    rows = [ReportRow(f"198.51.100.{n}", "none", "pass", "pass", "posthouse.test", count=1 << 52) for n in range(200)]

    async def work(desk: Desk) -> None:
        await arrive(desk, mail(rows))
        await arrive(desk, mail(rows, report_id="two"))
        assert [kept.messages for kept in await desk.received()] == [200 * 10**9] * 2
        lines = await desk.office.db.read(lambda tx: feedback.sources(tx, Span(0)))
        assert {line.messages for line in lines} == {2 * 10**9}
        assert (await desk.office.db.read(lambda tx: feedback.days(tx, Span(0))))[0].messages == 400 * 10**9

    at_desk(tmp_path, ZONE, work)


def test_long_texts_are_cut_and_half_characters_mended(tmp_path: Path) -> None:
    many = tuple(DkimResult(f"{n}.posthouse.test", "s1", "pass" if n == 9 else "fail") for n in range(10))

    async def work(desk: Desk) -> None:
        await arrive(desk, mail([replace(ROW, dkim_results=many)]))
        await desk.received()
        (line,) = await desk.office.db.read(lambda tx: feedback.sources(tx, Span(0)))
        assert line.dkim == "9.posthouse.test pass, " + ", ".join(f"{n}.posthouse.test fail" for n in range(4))
        tls = json.dumps({**TLS, "organization-name": "x" * 900}).encode()
        await arrive(desk, attached(tls, "application/json", "x.json"))
        assert [len(kept.organization) for kept in await desk.received(Kind.TLS)] == [255]
        await arrive(desk, FAILURE.replace(b"Subject: pay now", b"Subject: =?utf-7?q?+2AA-?="))
        (kept,) = await desk.received(Kind.FAILURE)
        assert json.loads(kept.facts)["subject"] == "?"

    at_desk(tmp_path, ZONE, work)


def test_a_period_in_a_far_year_ends_tomorrow(tmp_path: Path) -> None:
    xml = (
        b"<feedback><report_metadata><org_name>x</org_name><report_id>1</report_id><date_range><begin>1</begin>"
        b"<end>99999999999</end></date_range></report_metadata><policy_published><domain>posthouse.test</domain>"
        b"</policy_published></feedback>"
    )

    async def work(desk: Desk) -> None:
        await arrive(desk, attached(gzip.compress(xml)))
        (kept,) = await desk.received()
        assert (kept.begin, kept.end - BEGIN // 1000 * 1000) == (SECOND, DAY)

    at_desk(tmp_path, ZONE, work)


def test_a_mail_larger_than_any_report_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAIL_OCTETS", 1000)

    async def work(desk: Desk) -> None:
        reply = await arrive(desk, attached(bytes(2000)))
        assert await outcomes(desk, reply) == ["refused, The mail is larger than 1,000 octets"]

    at_desk(tmp_path, ZONE, work)


def test_what_two_have_read_is_told_once(tmp_path: Path) -> None:
    async def work(desk: Desk) -> None:
        reply = await arrive(desk, mail())
        reader = desk.bureau.reader
        arrival = await desk.office.db.write(reader._claim)
        assert arrival is not None
        await reader._read(arrival)
        await reader._read(arrival)
        assert len(await outcomes(desk, reply)) == 1

    at_desk(tmp_path, ZONE, work)


def test_what_was_removed_before_anybody_read_it_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def missing(self: Blobs, blob_id: int) -> None:
        raise StoreFault(Fault.BROKEN, "it is gone")

    async def work(desk: Desk) -> None:
        await arrive(desk, mail())
        monkeypatch.setattr(Blobs, "load", missing)
        for _ in range(reading.TRIES):
            assert await desk.bureau.reader.read_all() == 1
            assert await desk.bureau.reader.read_all() == 0
            desk.office.clock.pass_by(reading.LEASE)
        assert await desk.bureau.reader.read_all() == 0
        (told,) = desk.failures.told
        assert "it is gone" in told

    at_desk(tmp_path, ZONE, work)


# --- every sample ---------------------------------------------------------------------------------------


def samples(vectors: Path) -> list[Path]:
    return sorted(path for path in (vectors / "dmarc").rglob("*") if path.is_file() and path.parent.name != "dmarc")


def carried(path: Path) -> bytes:
    """A sample as a mail: as it is, or as an attachment."""
    octets = path.read_bytes()
    if path.suffix == ".eml":
        return b"".join(line + b"\r\n" for line in octets.replace(b"\r\n", b"\n").split(b"\n"))
    kinds = {".gz": "application/gzip", ".zip": "application/zip", ".json": "application/json"}
    return attached(octets, kinds.get(path.suffix, "text/xml"), path.name)


def test_every_sample_comes_in_is_filed_and_is_kept_or_refused_with_a_reason(
    tmp_path: Path, vectors: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # They are about many domains: let all be ours.
    monkeypatch.setattr(reading, "_within", lambda domain, ours: True)
    found = samples(vectors)
    assert len(found) >= 20

    async def work(desk: Desk) -> None:
        told: dict[str, list[str]] = {}
        for path in found:
            reply = await arrive(desk, carried(path))
            # The door wants one author (RFC 5322 §3.6), and says so.
            assert reply.code == 250 or reply.enhanced == "5.6.0", path.name
            if reply.code == 250:
                told[path.name] = await outcomes(desk, reply)
        assert len(await desk.office.mailbox("dmarc@posthouse.test")) == len(told)
        assert all(told.values())
        assert {name for name, (first, *_) in told.items() if first.startswith("refused, ")} == {"invalid_xml.xml"}
        for kind in Kind:
            assert await desk.received(kind)

    at_desk(tmp_path, {"_dmarc.posthouse.test": {"TXT": "v=DMARC1; p=none; rua=mailto:dmarc@posthouse.test"}}, work)
