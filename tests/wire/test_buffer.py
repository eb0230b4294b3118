"""Lines and their flaws are the same however the octets are cut, and cost bounded memory."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from posthouse.wire.buffer import BadLine, Flaw, Lines, are_clean
from wire.dialogue import segments

LIMIT = 12


def read(octets: bytes, cuts: list[int], limit: int = LIMIT) -> list[bytes | Flaw]:
    lines = Lines()
    found: list[bytes | Flaw] = []
    for segment in segments(octets, cuts):
        lines.feed(segment)
        while True:
            try:
                line = lines.line(limit)
            except BadLine as bad:
                found.append(bad.flaw)
                continue
            if line is None:
                break
            found.append(line)
    return found


def by_the_book(octets: bytes) -> list[bytes | Flaw | None]:
    """Whole lines; None stands for any flaw."""
    whole = octets.split(b"\r\n")[:-1]
    return [
        None if len(line) + 2 > LIMIT or any(c in line for c in (b"\r", b"\n", b"\0")) else line for line in whole
    ]


octets = st.lists(st.sampled_from([b"\r", b"\n", b"\0", b"\r\n", b"a", b"bcd", b"x" * 11]), max_size=14).map(b"".join)


@given(octets, st.lists(st.integers(0, 60), max_size=8))
@example(b"\r\r\n", [1, 2])
@example(b"x" * 10 + b"\r\r\nabc\r\n", [11, 12])
@example(b"x" * 11 + b"\r\nabc\r\n", [])
def test_lines_are_the_same_however_they_are_cut(octets: bytes, cuts: list[int]) -> None:
    whole = read(octets, [])
    assert read(octets, cuts) == whole
    assert read(octets, list(range(len(octets)))) == whole
    complete = by_the_book(octets)
    shown = [None if isinstance(line, Flaw) else line for line in whole]
    # The last line may be reported as bad before its CRLF is there.
    assert shown == complete or shown == [*complete, None]


@pytest.mark.parametrize(
    ("octets", "flaw"),
    [
        (b"a\nb\r\n", Flaw.BARE_LF),
        (b"a\rb\r\n", Flaw.BARE_CR),
        (b"a\r\r\n", Flaw.BARE_CR),
        (b"a\0b\r\n", Flaw.NUL),
        (b"x" * 11 + b"\r\n", Flaw.TOO_LONG),
        (b"x" * 5000 + b"\0\r\n", Flaw.TOO_LONG),
        (b"\0" + b"x" * 5000 + b"\r\n", Flaw.NUL),
    ],
)
def test_a_spoilt_line_is_reported_once_and_skipped(octets: bytes, flaw: Flaw) -> None:
    for cuts in ([], list(range(len(octets)))):
        assert read(octets + b"fine\r\n", cuts) == [flaw, b"fine"]


def test_a_line_of_just_the_limit_passes() -> None:
    assert read(b"x" * 10 + b"\r\n", []) == [b"x" * 10]


def test_a_line_without_end_is_not_kept() -> None:
    lines = Lines()
    lines.feed(b"x" * 100)
    with pytest.raises(BadLine):
        lines.line(LIMIT)
    for _ in range(1000):
        assert lines.line(LIMIT) is None
        lines.feed(b"y" * 1000)
    assert lines.line(LIMIT) is None
    assert len(lines) == 0
    lines.feed(b"\r\nback\r\n")
    assert lines.line(LIMIT) == b"back"


def test_octets_between_lines_can_be_taken() -> None:
    lines = Lines()
    lines.feed(b"BDAT 4\r\nab\r\nNOOP\r\nrest")
    assert lines.line(LIMIT) == b"BDAT 4"
    assert lines.take(3) == b"ab\r"
    assert lines.take(1) == b"\n"
    assert lines.line(LIMIT) == b"NOOP"
    assert len(lines) == 4
    assert lines.take() == b"rest"
    assert lines.take() == b""


def test_nothing_is_left_after_clear() -> None:
    lines = Lines()
    lines.feed(b"\0spoilt")
    with pytest.raises(BadLine):
        lines.line(LIMIT)
    lines.clear()
    lines.feed(b"fresh\r\n")
    assert lines.line(LIMIT) == b"fresh"


@given(octets)
def test_clean_means_every_cr_has_its_lf_and_no_nul(octets: bytes) -> None:
    without_pairs = octets.replace(b"\r\n", b"")
    expected = not any(c in without_pairs for c in (b"\r", b"\n", b"\0"))
    # "\r\r\n\n" loses a pair that leaves another behind, so look at what stands beside each octet.
    expected = expected and b"\0" not in octets
    assert are_clean(octets) is expected
