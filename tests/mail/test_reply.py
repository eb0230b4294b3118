"""Replies: written so that no text can add a line, read from whatever a remote server says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mail.reply import Reply


def test_a_reply_of_several_lines_repeats_its_codes() -> None:
    assert Reply(250, "2.1.5", "fine").octets() == b"250 2.1.5 fine\r\n"
    assert Reply(220, "", "posthouse.test ESMTP").octets() == b"220 posthouse.test ESMTP\r\n"
    assert Reply(550, "5.7.1", "no\nreally").octets() == b"550-5.7.1 no\r\n550 5.7.1 really\r\n"


@given(st.text(max_size=60))
def test_no_text_can_add_a_line(text: str) -> None:
    octets = Reply(550, "5.1.1", text).octets()
    assert octets.count(b"\r\n") == text.count("\n") + 1
    assert octets.count(b"\r") == octets.count(b"\n") == text.count("\n") + 1
    assert b"\0" not in octets
    assert all(line.startswith(b"550") for line in octets.split(b"\r\n")[:-1])


@pytest.mark.parametrize(
    ("lines", "reply"),
    [
        (["250 2.1.5 fine"], Reply(250, "2.1.5", "fine")),
        (["250 fine"], Reply(250, "", "fine")),
        (["250"], Reply(250, "", "")),
        (["250-"], Reply(250, "", "")),
        (["550-5.7.1 no", "550 5.7.1 really"], Reply(550, "5.7.1", "no\nreally")),
        (["550-5.7.1 no", "550 really"], Reply(550, "5.7.1", "no\nreally")),
        (["451 5.7.1 another class"], Reply(451, "", "5.7.1 another class")),
        (["250 2.1.5"], Reply(250, "2.1.5", "")),
        (["250 2.1 x"], Reply(250, "", "2.1 x")),
    ],
)
def test_a_remote_reply_is_read(lines: list[str], reply: Reply) -> None:
    found = Reply.parse(lines)
    assert found == reply
    assert found.heard
    assert not reply.heard


@pytest.mark.parametrize(
    "lines", [[], [""], ["25"], ["2500"], ["abc"], ["199 x"], ["600 x"], ["250x"], ["250 a", "251 b"], ["²50 x"]]
)
def test_what_is_no_reply_is_refused(lines: list[str]) -> None:
    with pytest.raises(ValueError):
        Reply.parse(lines)


def test_a_reply_knows_what_it_means() -> None:
    assert [
        (r.is_positive, r.is_transient, r.is_permanent) for r in (Reply(c, "", "") for c in (250, 354, 421, 550))
    ] == [
        (True, False, False),
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]
    assert str(Reply(550, "5.1.1", "a\nb")) == "550 5.1.1 a b"
    assert str(Reply(220, "", "a")) == "220 a"
