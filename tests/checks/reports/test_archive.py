"""Archives of strangers: opened within bounds, or refused with a sentence."""

import gzip
import io
import tracemalloc
import zipfile
import zlib
from contextlib import suppress
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.checks.reports.archive import EXPANSION, FILES, REPORT_OCTETS, ReportError, is_archive, unpack

XML = b"<feedback/>" + bytes(range(256))


def zipped(*files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, octets in files:
            archive.writestr(name, octets)
    return target.getvalue()


def deflated(octets: bytes, wbits: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    return packer.compress(octets) + packer.flush()


def refused(octets: bytes) -> str:
    with pytest.raises(ReportError) as error:
        unpack(octets)
    return str(error.value)


@pytest.mark.parametrize(
    "archive",
    [
        gzip.compress(XML),
        gzip.compress(XML[:5]) + gzip.compress(XML[5:]),
        gzip.compress(XML) + b"\0" * 100,
        zipped(("a.xml", XML)),
        zipped(("a.xml", XML), method=zipfile.ZIP_STORED),
        zipped(("report", XML)),
        zipped(("dir/", b""), ("dir/a.XML", XML), ("__MACOSX/._a.xml", b"x"), ("readme.txt", b"y")),
        XML,
        b"",
    ],
)
def test_the_one_file_inside_comes_out(archive: bytes) -> None:
    assert unpack(archive) == (XML if archive else b"")


def test_a_zip_may_begin_later_and_have_a_comment() -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("a.xml", XML)
        archive.comment = b"by a machine"
    assert unpack(target.getvalue()) == XML


# --- bombs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("expansion", [EXPANSION + 10, 1000])
def test_what_grows_too_much_is_refused_as_gzip_and_as_zip(expansion: int) -> None:
    seed = zlib.compress(bytes(range(256)) * 40)[:400]
    octets = seed + b" " * (len(seed) * expansion * 2)
    for archive in (gzip.compress(octets), zipped(("a.xml", octets))):
        assert len(octets) > EXPANSION * len(archive)
        assert "grows to more than 50 times" in refused(archive)


def test_what_grows_to_fifty_times_is_taken() -> None:
    octets = b"<feedback>" + b"abcdefgh" * 60 + b"</feedback>"
    assert len(octets) < EXPANSION * len(gzip.compress(octets))
    assert unpack(gzip.compress(octets)) == octets


def test_what_grows_beyond_the_size_of_a_report_is_refused() -> None:
    octets = Random(1).randbytes(REPORT_OCTETS // 10) * 10 + b"x"
    archive = gzip.compress(octets, 1)
    assert len(octets) < EXPANSION * len(archive)
    assert "20,000,000 octets" in refused(archive)
    assert "larger than 20,000,000 octets" in refused(octets)


def test_an_archive_of_many_megabytes_is_never_unpacked_whole() -> None:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    block = b"\0" * 1_000_000
    archive = b"".join(packer.compress(block) for _ in range(100)) + packer.flush()
    tracemalloc.start()
    assert "grows to more than" in refused(archive)
    assert tracemalloc.get_traced_memory()[1] < 3 * REPORT_OCTETS
    tracemalloc.stop()


def test_members_of_one_gzip_share_the_bound() -> None:
    seed = Random(1).randbytes(100)
    member = gzip.compress(seed + b" " * 12_000)
    assert EXPANSION * len(member) < 12_100 < 2 * EXPANSION * len(member)
    assert unpack(member + gzip.compress(seed)) == seed + b" " * 12_000 + seed
    assert "grows to more than" in refused(member * 2)
    assert f"more than {FILES} members" in refused(gzip.compress(b"x") * (FILES + 1))


@pytest.mark.parametrize(
    "inner",
    [
        gzip.compress(XML),
        zipped(("a.xml", XML)),
        b"BZh91AY&SY",
        b"\xfd7zXZ\0\0\0",
        b"7z\xbc\xaf\x27\x1c\0",
        b"\x28\xb5\x2f\xfd\0",
        b"Rar!\x1a\x07",
        b"PK\x05\x06" + b"\0" * 18,
    ],
)
def test_an_archive_inside_an_archive_is_refused(inner: bytes) -> None:
    assert refused(gzip.compress(inner)) == "The archive has another archive in it"
    assert refused(zipped(("a.xml", inner))) == "The archive has another archive in it"


# --- broken -------------------------------------------------------------------------------------------


def test_a_zip_with_several_reports_or_none_is_refused() -> None:
    assert "exactly one report" in refused(zipped(("a.xml", XML), ("b.xml", XML)))
    assert "exactly one report" in refused(zipped(("a", XML), ("b", XML)))
    assert "exactly one report" in refused(zipped(("a/", b""), ("b/", b"")))
    assert f"more than {FILES} files" in refused(zipped(*((f"{n}", b"") for n in range(FILES + 1))))


def test_a_zip_that_lies_about_its_file_is_refused() -> None:
    archive = bytearray(zipped(("a.xml", XML)))
    directory = archive.find(b"PK\x01\x02")
    for place, value, words in [
        (directory + 8, b"\x01\x00", "encrypted"),
        (directory + 10, b"\x0c\x00", "compressed in a way"),
        (directory + 16, b"\0\0\0\0", "damaged"),
        (directory + 20, b"\x05\0\0\0", "cut short"),
        (directory + 42, b"\xff\xff\0\0", "damaged"),
        (directory + 0, b"XX", "damaged"),
        (len(archive) - 10, b"\xff\xff\xff\x7f", "damaged"),
        (len(archive) - 6, b"\xff\xff\xff\x7f", "damaged"),
        (len(archive) - 12, b"\xff\xff", "more than"),
    ]:
        changed = archive.copy()
        changed[place : place + len(value)] = value
        assert words in refused(bytes(changed)), (place - directory, refused(bytes(changed)))


@pytest.mark.parametrize("make", [gzip.compress, lambda octets: zipped(("a.xml", octets))])
def test_an_archive_that_is_cut_anywhere_is_refused(make: object) -> None:
    archive = make(XML)  # type: ignore[operator]
    for end in range(4, len(archive)):
        refused(archive[:end])


@given(st.binary(max_size=100), st.integers(0, 400), st.sampled_from([gzip.compress(XML), zipped(("a.xml", XML))]))
def test_damage_is_refused_or_passed_over(noise: bytes, at: int, archive: bytes) -> None:
    at = min(at, len(archive))
    changed = archive[:at] + noise + archive[at + len(noise) :]
    with suppress(ReportError):
        unpack(changed)


@given(st.binary(max_size=300))
def test_any_octets_behind_the_marks_are_refused_or_read(octets: bytes) -> None:
    for mark in (b"\x1f\x8b\x08", b"PK\x03\x04", b"PK\x03\x04" + b"PK\x05\x06"):
        with suppress(ReportError):
            unpack(mark + octets)
    assert is_archive(b"\x1f\x8b" + octets)


def test_raw_deflate_is_no_archive() -> None:
    octets = deflated(XML, -15)
    assert unpack(octets) == octets
