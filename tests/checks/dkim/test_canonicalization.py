"""Canonicalization by the RFC's own examples, and the same however a body is cut into pieces."""

from hashlib import sha256
from itertools import pairwise
from mmap import mmap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.checks.dkim import canonicalization, digests
from posthouse.checks.dkim.canonicalization import RelaxedBody, relaxed_field, simple_length
from posthouse.checks.dkim.digests import digest_body

PIECES = [b"a", b" ", b"\t", b"\r\n", b"\r", b"\n", b"  ", b"word"]
bodies = st.lists(st.sampled_from(PIECES), max_size=24).map(b"".join)


def relaxed(body: bytes, *cuts: int) -> bytes:
    put: list[bytes] = []
    canonical = RelaxedBody(put.append)
    edges = [0, *sorted(cut for cut in cuts if cut < len(body)), len(body)]
    for start, end in pairwise(edges):
        canonical.feed(body[start:end])
    canonical.finish()
    return b"".join(put)


def simple(body: bytes) -> bytes:
    return body[: simple_length(memoryview(body))] + b"\r\n"


def digest(body: bytes, kind: str, length: int | None = None) -> bytes | None:
    return digest_body(b"header" + body, 6, [(kind, length)])[(kind, length)]


# RFC 6376 §3.4.5
EXAMPLE = b" C \r\nD \t E\r\n\r\n\r\n"


@pytest.mark.parametrize(
    ("name", "value", "canonical"),
    [
        (b"A", b" X", b"a:X"),
        (b"B ", b" Y\t\r\n\tZ  ", b"b :Y Z"),
        (b"SUBJect", b" AbC", b"subject:AbC"),
        (b"Subject", b"", b"subject:"),
        (b"Subject", b" \t\r\n ", b"subject:"),
        (b"Subject", b" J\xc3\xb6rg  \xe6\xbc\xa2", b"subject:J\xc3\xb6rg \xe6\xbc\xa2"),
        # These are not white space to DKIM, though they are to Python.
        (b"Subject", b" a\x0b b\x0cc \xa0d\x85e", b"subject:a\x0b b\x0cc \xa0d\x85e"),
        (b"Subject", b" a\rb \nc", b"subject:a\rb \nc"),
    ],
)
def test_fields_are_relaxed_as_the_rfc_says(name: bytes, value: bytes, canonical: bytes) -> None:
    assert relaxed_field(name, value) == canonical


def test_bodies_are_canonicalized_as_in_the_rfcs_examples() -> None:
    assert relaxed(EXAMPLE) == b" C\r\nD E\r\n"
    assert simple(EXAMPLE) == b" C \r\nD \t E\r\n"


@pytest.mark.parametrize("body", [b"", b"\r\n", b"\r\n\r\n\r\n"])
def test_empty_bodies_have_the_hashes_that_the_rfc_gives(body: bytes) -> None:
    assert digest(body, "simple") == sha256(b"\r\n").digest()
    assert digest(body, "relaxed") == sha256(b"").digest()


@pytest.mark.parametrize(
    ("body", "canonical"),
    [
        (b"abc", b"abc\r\n"),
        (b"abc \t", b"abc\r\n"),
        (b"abc\r\n \t", b"abc\r\n"),
        (b" \t \r\n \r\n", b""),
        (b"a\r\n \r\n\t\r\nb\r\n \r\n", b"a\r\n\r\n\r\nb\r\n"),
        # A CR or LF alone is text: neither the end of a line nor an empty one.
        (b"a \r", b"a \r\r\n"),
        (b"a\r\n\n", b"a\r\n\n\r\n"),
        (b"a\r\n\n\r\n\r\n", b"a\r\n\n\r\n"),
        (b"a \nb", b"a \nb\r\n"),
        (b"\r\r\n\r\n", b"\r\r\n"),
    ],
)
def test_relaxed_bodies(body: bytes, canonical: bytes) -> None:
    assert relaxed(body) == canonical


@given(bodies, st.sets(st.integers(1, 60)))
def test_a_body_is_the_same_however_it_is_cut(body: bytes, cuts: set[int]) -> None:
    assert relaxed(body, *cuts) == relaxed(body)


@given(bodies)
def test_relaxing_twice_changes_nothing(body: bytes) -> None:
    assert relaxed(relaxed(body)) == relaxed(body)


@given(bodies, st.integers(2, 5))
def test_the_simple_body_is_found_from_its_end_in_steps_of_any_size(body: bytes, step: int) -> None:
    expected = body
    while expected.endswith(b"\r\n"):
        expected = expected[:-2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(canonicalization, "_LOOK_BACK", step)
        patch.setattr(canonicalization, "_LOOK_BACK_MOST", step)
        assert simple_length(memoryview(body)) == len(expected)


@given(bodies, st.sets(st.integers(0, 40), max_size=4), st.sampled_from(["simple", "relaxed"]))
def test_one_pass_gives_the_hash_of_every_length(body: bytes, lengths: set[int], kind: str) -> None:
    canonical = simple(body) if kind == "simple" else relaxed(body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digests, "_PIECE", 7)
        found = digest_body(body, 0, [(kind, None), *((kind, length) for length in lengths)])
    assert found == {(kind, None): sha256(canonical).digest()} | {
        (kind, length): sha256(canonical[:length]).digest() if length <= len(canonical) else None for length in lengths
    }


def test_a_body_may_be_an_mmap_which_can_be_closed_afterwards() -> None:
    with mmap(-1, 4096) as octets:
        octets[:] = b"a b \r\n" * 682 + b"\r\n\r\n"
        wanted = [("simple", None), ("relaxed", None), ("relaxed", 3)]
        assert digest_body(octets, 6, wanted) == digest_body(bytes(octets), 6, wanted)


SIZE = 8_000_000


@pytest.mark.parametrize("piece", [b"\r\n", b" ", b"a  ", b"\r", b"\n\r", b"a \r\n", b"\r\n ", b"\n"])
def test_hostile_bodies_of_8_megabytes_take_no_time_to_speak_of(piece: bytes) -> None:
    """Anything quadratic would run into the time-out of the tests."""
    body = piece * (SIZE // len(piece))
    for kind in ("simple", "relaxed"):
        assert digest(body, kind)
        assert digest(body + b"x", kind)
