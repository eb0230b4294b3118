"""Who may have reports: the domain itself, and others only if they say so."""

from checks.zone import Zone, finish
from posthouse.checks.dmarc.record import Destination, parse
from posthouse.checks.reports.destinations import Permission, permit

OWN = {"_dmarc.blue.example.com": {"TXT": ["v=DMARC1; p=none"]}}
AGREED = "blue.example.com._report._dmarc.red.example.net"


def places(rua: str) -> tuple[Destination, ...]:
    record = parse(f"v=DMARC1; p=none; rua={rua}".encode())
    assert record is not None
    return record.rua


def ask(rua: str, zone: dict[str, dict[str, list[str]]]) -> Permission:
    return finish(permit("blue.example.com", places(rua), "rua", Zone(OWN | zone)))


def addresses(rua: str, zone: dict[str, dict[str, list[str]]]) -> list[str]:
    return [str(address) for address in ask(rua, zone).addresses]


def test_an_address_of_the_domain_or_its_organization_needs_no_word() -> None:
    assert addresses("mailto:a@blue.example.com", {}) == ["a@blue.example.com"]
    assert addresses("mailto:a@mail.blue.example.com", {}) == ["a@mail.blue.example.com"]
    above = {"_dmarc.example.com": {"TXT": ["v=DMARC1; p=none"]}}
    assert addresses("mailto:a@example.com", above) == ["a@example.com"]
    assert addresses("mailto:b@green.example.com", above) == ["b@green.example.com"]


def test_an_address_elsewhere_gets_reports_only_where_its_host_agrees() -> None:
    """The example of RFC 9990, "Verifying External Destinations"."""
    assert addresses("mailto:reports@red.example.net", {AGREED: {"TXT": ["v=DMARC1"]}}) == ["reports@red.example.net"]
    found = ask("mailto:reports@red.example.net", {})
    assert (found.addresses, found.open) == ((), ())
    assert found.reasons == ("red.example.net does not say that it wants reports about blue.example.com",)
    assert found.evidence[-1].question == f"TXT {AGREED}"


def test_a_host_may_agree_for_every_domain() -> None:
    assert addresses("mailto:a@red.example.net", {"*._report._dmarc.red.example.net": {"TXT": ["v=DMARC1;"]}}) == [
        "a@red.example.net"
    ]


def test_other_texts_are_no_agreement() -> None:
    for text in ("v=spf1 -all", "yes", "DMARC1", "v=DMARC2"):
        assert addresses("mailto:a@red.example.net", {AGREED: {"TXT": [text]}}) == []


def test_a_host_may_name_another_of_its_addresses() -> None:
    assert addresses("mailto:a@red.example.net", {AGREED: {"TXT": ["v=DMARC1; rua=mailto:b@red.example.net"]}}) == [
        "b@red.example.net"
    ]


def test_a_host_may_not_send_reports_on_to_somebody_else() -> None:
    both = "mailto:a@red.example.net,mailto:a@victim.example"
    for rua in ("mailto:a@victim.example", both, "https://red.example.net/"):
        found = ask("mailto:a@red.example.net", {AGREED: {"TXT": [f"v=DMARC1; rua={rua}"]}})
        assert found.addresses == ()
        assert "to go to another host" in found.reasons[0]


def test_for_failure_reports_the_tag_of_failure_reports_counts() -> None:
    zone = Zone(OWN | {AGREED: {"TXT": ["v=DMARC1; rua=mailto:b@red.example.net; ruf=mailto:c@red.example.net"]}})
    found = finish(permit("blue.example.com", places("mailto:a@red.example.net"), "ruf", zone))
    assert [str(address) for address in found.addresses] == ["c@red.example.net"]


def test_what_cannot_be_asked_for_now_stays_open() -> None:
    rua = "mailto:a@red.example.net,mailto:b@blue.example.com"
    found = ask(rua, {AGREED: {"TXT": ["TIMEOUT"]}})
    assert [str(address) for address in found.addresses] == ["b@blue.example.com"]
    assert [place.uri for place in found.open] == ["mailto:a@red.example.net"]
    found = ask(rua, {"_dmarc.red.example.net": {"TXT": ["SERVFAIL"]}})
    assert [place.uri for place in found.open] == ["mailto:a@red.example.net"]


def test_a_neighbour_under_a_public_suffix_has_to_agree() -> None:
    zone = {"_dmarc.com": {"TXT": ["v=DMARC1; p=none; psd=y"]}}
    assert addresses("mailto:a@victim.com", zone) == []
    assert addresses("mailto:a@red.example.com", zone) == ["a@red.example.com"]


def test_other_schemes_and_doubles_are_passed_over() -> None:
    found = ask("https://blue.example.com/in,mailto:a@blue.example.com,mailto:a@blue.example.com?subject=x", {})
    assert [str(address) for address in found.addresses] == ["a@blue.example.com"]
    assert found.reasons[0] == "https://blue.example.com/in is no mail address, and only mail is sent"


def test_a_name_too_long_for_the_dns_is_no_agreement() -> None:
    host = ".".join(["x" * 60] * 3) + ".example.net"
    domain = ".".join(["y" * 50] * 2) + ".example.com"
    found = finish(permit(domain, places(f"mailto:a@{host}"), "rua", Zone({})))
    assert found.addresses == ()
    assert "too long for the DNS" in found.reasons[0]
