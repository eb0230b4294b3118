"""The BIMI check as a whole: who may have a logo, where it is asked for, and what comes of it."""

import gzip
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from checks.bimi.marks import AT, DAY, SVG, Authority
from checks.dmarc.letters import signature, spf
from checks.zone import NOW, Zone, finish
from posthouse.checks import bimi, dmarc
from posthouse.checks.bimi import Bimi
from posthouse.checks.dkim.signature import Signature
from posthouse.mail.address import Address
from posthouse.mail.authentication_results import format_results, parse_results
from posthouse.mail.fetch import FetchFault
from posthouse.mail.headers import Header, parse_header

REJECT = "v=DMARC1; p=reject"
LOGO = "v=BIMI1; l=https://www.a.example/l.svg"
VOUCHED = f"{LOGO}; a=https://www.a.example/m.pem"


class Web:
    """A web in a dict that remembers what it was asked for."""

    def __init__(self, pages: Mapping[str, bytes | FetchFault]) -> None:
        self.pages = pages
        self.asked: list[str] = []

    async def get(self, url: str, *, limit: int) -> bytes:
        self.asked.append(url)
        page = self.pages.get(url, FetchFault("there is nothing", temporary=False))
        if isinstance(page, FetchFault):
            raise page
        if len(page) > limit:
            raise FetchFault("it is too large", temporary=False)
        return page


def header(*lines: str) -> Header:
    return parse_header("".join(f"{line}\r\n" for line in ("From: a@a.example", *lines, "")).encode())


def check(
    zone: dict[str, str],
    pages: Mapping[str, bytes | FetchFault] | Web | None = None,
    *,
    author: str = "a@a.example",
    lines: Sequence[str] = (),
    signatures: Sequence[Signature] = (),
    trusted: Sequence[x509.Certificate] = (),
    faulty: Sequence[str] = (),
    result: str = "pass",
) -> Bimi:
    address = Address.parse(author)
    published = {name: {"TXT": [text] if isinstance(text, str) else text} for name, text in zone.items()}
    published |= {name: {"ANY": ["SERVFAIL"]} for name in faulty}
    names = Zone(published)
    signatures = signatures or [signature(address.domain, result)]  # type: ignore[arg-type]
    judged = finish(dmarc.check(address, spf("elsewhere.example", "none"), signatures, names))
    web = pages if isinstance(pages, Web) else Web({"https://www.a.example/l.svg": SVG} if pages is None else pages)
    found = bimi.check(header(*lines), address, judged, signatures, names, web, NOW, trusted=trusted)
    return finish(found)


def test_a_message_that_passed_has_the_logo_its_domain_publishes() -> None:
    found = check({"_dmarc.a.example": REJECT, "default._bimi.a.example": LOGO})
    assert (found.result, found.domain, found.selector, found.authority) == ("pass", "a.example", "default", "none")
    assert b'fill="red"' in found.indicator
    assert found.verdict.reason == "a.example publishes a logo, for which nobody else vouches"
    assert [evidence.question for evidence in found.verdict.evidence][-2:] == [
        "TXT default._bimi.a.example", "GET https://www.a.example/l.svg"
    ]


def test_the_published_example_runs_the_whole_way(vectors: Path) -> None:
    octets = (vectors / "bimi" / "example.svg").read_bytes()
    zone = {"_dmarc.a.example": REJECT, "default._bimi.a.example": LOGO}
    found = check(zone, {"https://www.a.example/l.svg": octets})
    assert found.result == "pass"
    assert b"<title>Example</title>" in found.indicator


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ("v=DMARC1; p=none", "the DMARC policy for a.example asks for nothing"),
        ("v=DMARC1; p=reject; sp=none", "the DMARC policy of a.example asks for nothing about its subdomains"),
        ("v=DMARC1; p=reject; t=y", "a.example is testing its DMARC policy"),
        ("v=DMARC1; p=quarantine; pct=99", "the DMARC policy of a.example is for 99% of its mail"),
    ],
)
def test_a_policy_that_is_not_enforced_gives_no_logo(policy: str, reason: str) -> None:
    web = Web({})
    found = check({"_dmarc.a.example": policy, "default._bimi.a.example": LOGO}, web)
    assert (found.result, found.verdict.result) == ("skipped", "none")
    assert found.verdict.reason == f"no logo is looked for: {reason}"
    assert web.asked == []


@pytest.mark.parametrize("policy", ["v=DMARC1; p=quarantine", "v=DMARC1; p=quarantine; pct=100",
                                    "v=DMARC1; p=reject; pct=5; sp=quarantine"])
def test_an_enforced_policy_does(policy: str) -> None:
    assert check({"_dmarc.a.example": policy, "default._bimi.a.example": LOGO}).result == "pass"


def test_a_message_that_did_not_pass_has_none() -> None:
    zone = {"_dmarc.a.example": REJECT, "default._bimi.a.example": LOGO}
    found = check(zone, result="fail")
    assert found.result == "skipped"
    assert found.verdict.reason == "no logo is looked for: the message did not pass DMARC"
    assert check({"default._bimi.a.example": LOGO}).result == "skipped"


def test_the_organization_has_to_enforce_its_policy_as_well() -> None:
    zone = {"_dmarc.mail.a.example": REJECT, "default._bimi.mail.a.example": LOGO}
    assert check(zone, author="a@mail.a.example").result == "pass"
    found = check(zone | {"_dmarc.a.example": "v=DMARC1; p=none"}, author="a@mail.a.example")
    assert found.result == "skipped"
    assert "a.example asks for nothing" in found.verdict.reason


def test_a_subdomain_falls_back_to_its_organization() -> None:
    zone = {"_dmarc.a.example": REJECT, "default._bimi.a.example": LOGO}
    found = check(zone, author="a@mail.a.example")
    assert (found.result, found.domain) == ("pass", "a.example")
    zone["default._bimi.mail.a.example"] = "v=BIMI1; l=; a=;"
    found = check(zone, author="a@mail.a.example")
    assert (found.result, found.domain, found.verdict.result) == ("declined", "mail.a.example", "none")


def test_no_record_is_no_logo() -> None:
    found = check({"_dmarc.a.example": REJECT, "default._bimi.a.example": "v=spf1 -all"})
    assert (found.result, found.verdict.result) == ("none", "none")
    assert found.verdict.reason == "a.example publishes no logo"


def test_bad_records_fail_with_their_reason() -> None:
    zone = {"_dmarc.a.example": REJECT, "default._bimi.a.example": "v=BIMI1; l=http://a.example/l.svg"}
    found = check(zone)
    assert (found.result, found.verdict.result) == ("fail", "fail")
    assert "the l tag is no https URL" in found.verdict.reason
    two = check(zone | {"default._bimi.a.example": [LOGO, LOGO]})  # type: ignore[dict-item]
    assert "2 records where one may be" in two.verdict.reason


def test_the_selector_field_counts_only_where_the_author_signed_it() -> None:
    zone = {"_dmarc.a.example": REJECT, "default._bimi.a.example": LOGO,
            "spring._bimi.a.example": "v=BIMI1; l=https://www.a.example/spring.svg"}
    pages = {"https://www.a.example/l.svg": SVG, "https://www.a.example/spring.svg": SVG.replace(b"red", b"green")}
    signed = replace(signature("a.example"), headers=("from", "bimi-selector"))
    lines = ["BIMI-Selector: v=BIMI1;\r\n s=Spring;"]

    def selected(*signatures: Signature, lines: Sequence[str] = lines) -> str:
        return check(zone, pages, lines=lines, signatures=signatures).selector

    assert selected(signed) == "spring"
    assert selected(signature("a.example")) == "default"
    assert selected(signature("a.example"), replace(signed, domain="evil.example")) == "default"
    assert selected(signature("a.example"), replace(signed, result="fail", selector="s2")) == "default"
    assert selected(signature("a.example"), replace(signed, result="fail")) == "default"
    assert selected(signed, lines=[*lines, "BIMI-Selector: v=BIMI1; s=autumn"]) == "default"
    assert selected(signed, lines=["BIMI-Selector: s=spring"]) == "default"
    unknown = check(zone, pages, lines=["BIMI-Selector: v=BIMI1; s=autumn"], signatures=[signed])
    assert unknown.result == "none"


def test_a_local_part_may_have_its_own_logo() -> None:
    zone = {"_dmarc.a.example": REJECT, "default._bimi.a.example": "v=BIMI1; l=; a=; lps=news-",
            "news-letter._bimi.a.example": LOGO}
    found = check(zone, author="News.Letter+x@a.example")
    assert (found.result, found.selector) == ("pass", "news-letter")
    assert check(zone, author="sales@a.example").result == "declined"
    assert check(zone, author="news-other@a.example").result == "declined"
    broken = zone | {"news-letter._bimi.a.example": "v=BIMI1; l=junk"}
    assert check(broken, author="news.letter@a.example").result == "declined"
    every = zone | {"default._bimi.a.example": f"{LOGO}; lps="}
    assert check(every, author="news_letter@a.example").selector == "news-letter"


def test_faults_are_temporary_where_they_are() -> None:
    zone = {"_dmarc.a.example": REJECT, "default._bimi.a.example": LOGO}
    assert check({"_dmarc.a.example": REJECT}, faulty=["default._bimi.a.example"]).result == "temperror"
    slow = {"https://www.a.example/l.svg": FetchFault("the host does not answer", temporary=True)}
    found = check(zone, slow)
    assert (found.result, found.verdict.result) == ("temperror", "temperror")
    assert found.verdict.reason == "the logo cannot be had: the host does not answer"
    assert check(zone, {}).result == "fail"
    assert check(zone, {"https://www.a.example/l.svg": b" " * 40_000}).result == "fail"


def test_a_drawing_beyond_the_profile_is_not_shown() -> None:
    zone = {"_dmarc.a.example": REJECT, "default._bimi.a.example": LOGO}
    found = check(zone, {"https://www.a.example/l.svg": SVG.replace(b"<circle", b"<script/><circle")})
    assert (found.result, found.indicator) == ("fail", b"")
    assert found.verdict.reason.startswith("its logo cannot be shown: the drawing has a <script>")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def test_a_mark_certificate_brings_its_own_logo(authority: Authority) -> None:
    zone = {"_dmarc.a.example": REJECT, "default._bimi.a.example": VOUCHED}
    web = Web({"https://www.a.example/m.pem": authority.pem(authority.mark()), **authority.lists()})
    found = check(zone, web, trusted=[authority.root])
    assert (found.result, found.authority, found.organization) == ("pass", "pass", "A Inc.")
    assert found.mark == "Registered Mark"
    assert found.verdict.reason == "a.example publishes a logo, and a certificate vouches that it belongs to A Inc."
    assert "https://www.a.example/l.svg" not in web.asked
    assert b'fill="red"' in found.indicator


def test_a_bad_certificate_is_worse_than_none(authority: Authority) -> None:
    zone = {"_dmarc.a.example": REJECT, "default._bimi.a.example": VOUCHED}
    late = authority.mark(start=AT - 9 * DAY, end=AT - DAY)
    pages = {"https://www.a.example/l.svg": SVG, "https://www.a.example/m.pem": authority.pem(late)}
    found = check(zone, pages, trusted=[authority.root])
    assert (found.result, found.authority, found.indicator) == ("fail", "fail", b"")
    assert "not vouched for" in found.verdict.reason
    good = {**pages, "https://www.a.example/m.pem": authority.pem(authority.mark())}
    unlisted = check(zone, good, trusted=[authority.root])
    assert (unlisted.result, unlisted.authority) == ("temperror", "none")
    missing = {"https://www.a.example/l.svg": SVG}
    assert check(zone, missing, trusted=[authority.root]).result == "fail"
    # Who trusts nobody with logos does not ask for certificates: the domain vouches for itself.
    assert (check(zone, pages).result, check(zone, pages).authority) == ("pass", "none")


def test_what_is_written_for_programs_is_the_drawing_and_its_place(authority: Authority) -> None:
    zone = {"_dmarc.a.example": REJECT, "default._bimi.a.example": f"{VOUCHED}; avp=personal"}
    pages = {"https://www.a.example/l.svg": gzip.compress(SVG),
             "https://www.a.example/m.pem": authority.pem(authority.mark()), **authority.lists()}
    found = check(zone, pages)
    written = parse_header(bimi.fields(found) + b"\r\n")
    assert written.text("BIMI-Location") == "v=BIMI1; l=https://www.a.example/l.svg"
    assert b64decode(written.all("BIMI-Indicator")[0].unfolded.replace(b" ", b"")) == found.indicator
    assert written.text("BIMI-Logo-Preference") == "avp=personal;"
    assert max(map(len, bimi.fields(found).split(b"\r\n"))) <= 78
    vouched = check(zone, pages, trusted=[authority.root])
    assert b"a=https://www.a.example/m.pem" in bimi.fields(vouched)
    assert bimi.fields(check(zone, {})) == b""


def test_authentication_results_tell_all_of_it() -> None:
    found = check({"_dmarc.a.example": REJECT, "default._bimi.a.example": LOGO})
    field = format_results("mx.example", [bimi.recorded(found)])
    read = parse_results(field.partition(b":")[2].strip()).of("bimi")[0]
    assert read.result == "pass"
    assert read.value("header", "d") == "a.example"
    assert read.value("header", "selector") == "default"
    assert read.value("policy", "authority") == "none"
    assert read.value("policy", "indicator-uri") == "https://www.a.example/l.svg"
    assert read.value("policy", "indicator-hash") == found.indicator_hash
    skipped = bimi.recorded(check({"_dmarc.a.example": "v=DMARC1; p=none"}))
    assert (skipped.result, skipped.properties) == ("skipped", ())
