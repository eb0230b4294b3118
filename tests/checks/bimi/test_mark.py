"""Mark certificates: what makes one good, and every single thing that makes one bad."""

import gzip
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import assume, given
from hypothesis import strategies as st

from checks.bimi import marks
from checks.bimi.marks import AT, BRAND, DAY, LOGOTYPE, SCT_LIST, SVG, Authority, Extension, Pair, certify, logotype
from checks.zone import NOW, finish
from posthouse.checks.bimi.logotype import LogotypeError, images
from posthouse.checks.bimi.mark import EVIDENCE_OCTETS, Mark, MarkError, check_revocation, roots, verify
from posthouse.mail.fetch import FetchFault


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def verified(authority: Authority, mark: Pair, *others: x509.Certificate, selector: str = "default") -> Mark:
    return verify(authority.pem(mark, *others), {"a.example"}, selector, [authority.root], NOW)


def refused(authority: Authority, mark: Pair, *others: x509.Certificate) -> str:
    with pytest.raises(MarkError) as caught:
        verified(authority, mark, *others)
    return str(caught.value)


def test_a_good_certificate_vouches_for_the_logo_in_it(authority: Authority) -> None:
    mark = verified(authority, authority.mark(["a.example", "b.example"]))
    assert gzip.decompress(mark.logo) == SVG
    assert (mark.organization, mark.kind, mark.domains) == ("A Inc.", "Registered Mark", ("a.example", "b.example"))
    assert mark.chain[-1] == authority.root
    assert mark.expires > NOW


def test_the_file_may_end_before_or_with_any_root(authority: Authority) -> None:
    stranger = certify(marks.name("Stranger"), None, marks.ca_extensions())
    issuer = authority.issuer.certificate
    assert verified(authority, authority.mark(), issuer)
    assert verified(authority, authority.mark(), issuer, stranger.certificate)
    assert roots(marks.pem(authority.root)) == (authority.root,)


def test_a_name_with_bimi_is_for_one_selector(authority: Authority) -> None:
    mark = authority.mark(["spring._bimi.a.example"])
    assert verified(authority, mark, selector="spring")
    assert "not for a.example" in refused(authority, mark)
    assert "not for a.example" in refused(authority, authority.mark(["b.example", "www.a.example", "*.example"]))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"usage": None}, "not meant for logos"),
        ({"usage": (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)}, "not meant for logos"),
        ({"basic": (x509.BasicConstraints(ca=True, path_length=None), True)}, "one of an issuer"),
        ({"names": None}, "malformed"),
        ({"timestamps": None}, "malformed"),
        ({"timestamps": (marks.unrecognized(SCT_LIST, marks.timestamps(0)), False)}, "proof that it was published"),
        ({"logotype": None}, "malformed"),
        ({"logotype": (marks.unrecognized(LOGOTYPE, b"\x30\x00"), False)}, "exactly one SVG logo"),
        ({"logotype": (marks.unrecognized(LOGOTYPE, b"\x30\x84\xff\xff\xff\xff"), False)}, "malformed"),
        ({"logotype": (marks.unrecognized(LOGOTYPE, logotype(digest=bytes(32))), False)}, "hash names"),
        ({"logotype": (marks.unrecognized(LOGOTYPE, logotype(media="image/png")), False)}, "exactly one SVG logo"),
        ({"logotype": (marks.unrecognized(LOGOTYPE, logotype(url=b"https://x.example/l.svg")), False)}, "exactly one"),
        ({"other": (marks.unrecognized(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"), True)}, "not understood"),
    ],
)
def test_each_thing_that_is_wrong_is_told(authority: Authority, changed: Mapping[str, Extension], reason: str) -> None:
    assert reason in refused(authority, authority.mark(**changed))


def test_an_unknown_extension_that_is_not_critical_does_no_harm(authority: Authority) -> None:
    other = marks.unrecognized(x509.ObjectIdentifier("1.2.3"), b"\x05\x00")
    critical = (marks.unrecognized(LOGOTYPE, logotype()), True)
    assert verified(authority, authority.mark(other=(other, False), logotype=critical))


def test_a_certificate_out_of_its_time_counts_for_nothing(authority: Authority) -> None:
    assert "out of its time" in refused(authority, authority.mark(start=AT - 9 * DAY, end=AT - DAY))
    assert "out of its time" in refused(authority, authority.mark(start=AT + DAY, end=AT + 9 * DAY))
    late = certify(marks.name("Late"), authority.root_pair, marks.ca_extensions(marks=True), end=AT - DAY / 24)
    assert "out of its time" in refused(authority, authority.mark(issuer=late), late.certificate)


@pytest.mark.parametrize(
    ("extensions", "reason"),
    [
        ([], "malformed"),
        ([(x509.BasicConstraints(ca=False, path_length=None), True)], "may not issue it"),
        (marks.ca_extensions(marks=True, signs=False), "may not issue any"),
        (marks.ca_extensions(marks=False), "not meant for logos"),
        ([*marks.ca_extensions(), (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)], "not meant"),
        (
            [*marks.ca_extensions(marks=True), (x509.NameConstraints([x509.DNSName("a.example")], None), True)],
            "not understood",
        ),
        (
            [*marks.ca_extensions(marks=True), (x509.NameConstraints([x509.DNSName("b.example")], None), False)],
            "not understood",
        ),
    ],
)
def test_an_issuer_has_to_be_one_for_marks(authority: Authority, extensions: list[Extension], reason: str) -> None:
    issuer = certify(marks.name("Issuer"), authority.root_pair, extensions)
    assert reason in refused(authority, authority.mark(issuer=issuer), issuer.certificate)


def test_path_lengths_count_the_issuers_between(authority: Authority) -> None:
    upper = certify(marks.name("Upper"), authority.root_pair, marks.ca_extensions(path_length=0))
    lower = certify(marks.name("Lower"), upper, marks.ca_extensions(marks=True))
    mark = authority.mark(issuer=lower)
    assert "may not issue it" in refused(authority, mark, lower.certificate, upper.certificate)
    upper = certify(marks.name("Upper"), authority.root_pair, marks.ca_extensions(path_length=1))
    lower = certify(marks.name("Lower"), upper, marks.ca_extensions(marks=True))
    assert verified(authority, authority.mark(issuer=lower), lower.certificate, upper.certificate)


def test_only_whom_the_settings_trust_is_believed(authority: Authority) -> None:
    other = Authority()
    assert "not issued by anybody who is trusted" in refused(authority, other.mark(), other.issuer.certificate)
    with pytest.raises(MarkError, match="trusted"):
        verify(authority.pem(authority.mark()), {"a.example"}, "default", [], NOW)
    impostor = certify(marks.name("Issuer of Marks"), other.root_pair, marks.ca_extensions(marks=True))
    assert "trusted" in refused(authority, authority.mark(issuer=impostor), impostor.certificate)
    # The name of a trusted issuer over a key of one's own does not help, wherever its certificate stands.
    assert "follow" in refused(authority, authority.mark(issuer=impostor), authority.issuer.certificate)
    with pytest.raises(MarkError, match="stands for itself"):
        verify(marks.pem(authority.root), {"a.example"}, "default", [authority.root], NOW)


def test_weak_hashes_and_keys_are_refused(authority: Authority) -> None:
    extensions = [extension for extension in authority.extensions(["a.example"]).values() if extension is not None]
    weak = certify(marks.name("a.example"), authority.issuer, extensions, digest=hashes.SHA224())
    assert "hash" in refused(authority, weak)
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
    weak = certify(marks.name("a.example"), authority.issuer, extensions, public_key=short)
    assert "too short" in refused(authority, weak)


def test_files_that_hold_something_else_are_refused(authority: Authority) -> None:
    good = authority.pem(authority.mark())
    begin, end = b"-----BEGIN CERTIFICATE-----\n", b"\n-----END CERTIFICATE-----\n"
    for octets, reason in (
        (b"", "no certificate"),
        (b"<html>", "no certificate"),
        (good * 3, "more than"),
        (good + b" " * EVIDENCE_OCTETS, "too large"),
        (begin + b"AAAA" + end, "cannot be read"),
        (begin, "cannot be read"),
        (good.replace(b"M", b"N"), "cannot be read"),
    ):
        with pytest.raises(MarkError, match=reason):
            verify(octets, {"a.example"}, "default", [authority.root], NOW)


class Web(dict[str, bytes]):
    """A web in a dict, which the port `Fetch` would look into."""

    async def get(self, url: str, *, limit: int) -> bytes:
        if url not in self or len(self[url]) > limit:
            raise FetchFault("there is nothing", temporary=False)
        return self[url]


def test_lists_of_revoked_certificates_are_asked(authority: Authority) -> None:
    pair = authority.mark()
    mark = verified(authority, pair)
    finish(check_revocation(mark, Web(authority.lists()), NOW))
    finish(check_revocation(mark, Web(authority.lists(authority.mark().certificate)), NOW))
    for revoked in (pair.certificate, authority.issuer.certificate):
        with pytest.raises(MarkError, match="was revoked") as caught:
            finish(check_revocation(mark, Web(authority.lists(revoked)), NOW))
        assert not caught.value.temporary


def test_a_list_that_cannot_be_relied_on_leaves_the_question_open(authority: Authority) -> None:
    mark = verified(authority, authority.mark())
    good, other = authority.lists(), Authority()
    delta = marks.revocations(authority.issuer, (), extensions=[(x509.DeltaCRLIndicator(1), True)])
    url = "http://issuer.example/list.crl"
    for web, reason in (
        ({}, "cannot be had: there is nothing"),
        (good | {url: b"junk"}, "cannot be read"),
        (good | {url: b"-----BEGIN X509 CRL-----"}, "cannot be read"),
        (good | authority.lists(end=AT - DAY), "out of its time"),
        (good | {url: other.lists()[url]}, "not its issuer's"),
        (good | {url: marks.revocations(authority.root_pair, ())}, "not its issuer's"),
        (good | {url: marks.revocations(authority.issuer, (), named=marks.name("X"))}, "not its issuer's"),
    ):
        with pytest.raises(MarkError, match=reason) as caught:
            finish(check_revocation(mark, Web(web), NOW))
        assert caught.value.temporary
    for asked, web, reason in (
        (mark, good | {url: delta}, "of a kind"),
        (verified(authority, authority.mark(list=None)), good, "names no list"),
    ):
        with pytest.raises(MarkError, match=reason) as caught:
            finish(check_revocation(asked, Web(web), NOW))
        assert not caught.value.temporary


def test_a_certificate_with_a_broken_signature_is_no_member_of_a_chain(authority: Authority) -> None:
    mark = authority.mark()
    octets = bytearray(mark.certificate.public_bytes(marks.Encoding.DER))
    octets[-1] ^= 1
    body = b64encode(bytes(octets))
    forged = b"-----BEGIN CERTIFICATE-----\n" + body + b"\n-----END CERTIFICATE-----\n"
    with pytest.raises(MarkError, match="do not follow"):
        verify(forged + marks.pem(authority.issuer.certificate), {"a.example"}, "default", [authority.root], NOW)


def altered(authority: Authority, pair: Pair, before: bytes, after: bytes) -> Pair:
    """The certificate with other octets in what is signed, and signed by its issuer all the same."""
    octets = pair.certificate.tbs_certificate_bytes.replace(before, after)
    signature = authority.issuer.key.sign(octets, ec.ECDSA(hashes.SHA256()))
    algorithm = marks.der(0x30, bytes.fromhex("06082a8648ce3d040302"))
    certificate = marks.der(0x30, octets, algorithm, marks.der(0x03, b"\0", signature))
    return Pair(x509.load_der_x509_certificate(certificate), pair.key)


def test_a_key_of_a_kind_that_nobody_here_knows_is_refused(authority: Authority) -> None:
    curve = bytes.fromhex("06082a8648ce3d030107")
    assert verified(authority, altered(authority, authority.mark(), curve, curve))
    assert "malformed" in refused(authority, altered(authority, authority.mark(), curve, curve[:-1] + b"\x7f"))
    strange = x509.load_der_x509_certificate(
        authority.issuer.certificate.public_bytes(marks.Encoding.DER).replace(curve, curve[:-1] + b"\x7f")
    )
    assert "trusted" in refused(authority, authority.mark(), strange)


Changes = list[tuple[float, int]]


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=3))
def test_no_certificate_whatever_escapes_as_another_error(authority: Authority, changes: Changes) -> None:
    mark = authority.mark()
    octets = bytearray(mark.certificate.tbs_certificate_bytes)
    for place, octet in changes:
        octets[int(place * len(octets))] = octet
    try:
        changed = altered(authority, mark, mark.certificate.tbs_certificate_bytes, bytes(octets))
    except (ValueError, x509.InvalidVersion):
        assume(False)
    with suppress(MarkError):
        assert verify(authority.pem(changed), {"a.example"}, "default", [authority.root], NOW).logo


def test_logos_are_found_zipped_or_not_in_either_spelling() -> None:
    assert images(logotype(zipped=False)) == (("image/svg+xml", SVG),)
    assert gzip.decompress(images(logotype())[0].octets) == SVG
    unzipped_hash = marks.sha256(SVG).digest()
    assert images(logotype(digest=unzipped_hash))[0].media_type == "image/svg+xml"
    quoted = b"data:image/svg+xml," + SVG.replace(b"<", b"%3C").replace(b">", b"%3E")
    assert images(logotype(zipped=False, url=quoted)) == (("image/svg+xml", SVG),)
    with pytest.raises(LogotypeError, match="embedded"):
        images(logotype(url=b"data:image/svg+xml;base64,!!"))


@given(st.binary(max_size=60), st.integers(0, 400))
def test_no_extension_whatever_escapes_as_another_error(octets: bytes, at: int) -> None:
    good = logotype()
    for extension in (octets, good[:at], good[:at] + octets + good[at + len(octets) :]):
        with suppress(LogotypeError):
            assert all(image.octets for image in images(extension))


def test_the_usage_is_the_registered_one() -> None:
    assert BRAND.dotted_string == "1.3.6.1.5.5.7.3.31"
