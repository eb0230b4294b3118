"""What the tests of DMARC share: results of SPF and DKIM made by hand, and a check in one line."""

from collections.abc import Sequence

from checks.zone import Zone, finish
from posthouse.checks import dmarc
from posthouse.checks.dkim.signature import Result as DkimResult
from posthouse.checks.dkim.signature import Signature
from posthouse.checks.dmarc import Dmarc
from posthouse.checks.spf.evaluation import Result as SpfResult
from posthouse.checks.spf.evaluation import Scope, Spf
from posthouse.mail.address import Address
from posthouse.mail.verdict import Verdict


def spf(domain: str, result: SpfResult = "pass", *, scope: Scope = "mailfrom") -> Spf:
    return Spf(result, domain, scope, "", 1, Verdict("spf", result, domain, "it was said so"))


def signature(domain: str, result: DkimResult = "pass", *, selector: str = "s1", testing: bool = False) -> Signature:
    verdict = Verdict("dkim", result, domain, "it was said so")
    return Signature(result, domain, selector, "rsa-sha256", f"@{domain}", testing, ("from",), verdict)


def records(**published: str) -> dict[str, dict[str, list[str]]]:
    """A zone with DMARC records: `records(example_com="v=DMARC1; p=reject")`."""
    return policies({name.replace("_", "."): text for name, text in published.items()})


def policies(published: dict[str, str]) -> dict[str, dict[str, list[str]]]:
    """A zone with DMARC records by the domain that publishes them."""
    return {f"_dmarc.{domain}": {"TXT": [text]} for domain, text in published.items()}


def check(author: str, zone: Zone, of_spf: Spf | None = None, signatures: Sequence[Signature] = ()) -> Dmarc:
    return finish(dmarc.check(Address.parse(f"a@{author}"), of_spf, signatures, zone))
