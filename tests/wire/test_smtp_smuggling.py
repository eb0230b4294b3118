"""SMTP smuggling (CVE-2023-51764 and kin): nothing but CRLF . CRLF ends a message, for every way of cutting it."""

import pytest

from posthouse.mail.reply import Reply
from posthouse.wire.smtp.server import Settings
from wire.dialogue import SETTINGS, Dialogue, every_octet, talk

BEGIN = b"EHLO client.test\r\nMAIL FROM:<a@client.test>\r\nRCPT TO:<b@posthouse.test>\r\n"
INJECTED = b"MAIL FROM:<evil@client.test>\r\nRCPT TO:<victim@posthouse.test>\r\nDATA\r\nevil\r\n"
TEXT = b"Subject: x\r\n\r\nbody"

# What does not end a message and is no part of any: with a bare CR, a bare LF or a NUL.
FAKES = [
    b"\n.\n", b"\n.\r", b"\r.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r.\r\n", b"\r\n.\r",
    b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\n.\r\r\n", b"\r\n.\n\r\n",
]  # fmt: skip
# What does not end a message, but may well stand in one.
HARMLESS = [b"\r\n. \r\n", b"\r\n.\t\r\n", b"\r\n .\r\n", b"\r\n\t.\r\n", b"\r\n..\r\n"]

TINY = Settings("mx.posthouse.test", max_size=20, max_bad_commands=1000)


def refused_once(dialogue: Dialogue) -> None:
    """One 550 5.5.2 for the message, nothing delivered, nothing that was in it run; then business as usual."""
    assert dialogue.codes == [250, 250, 250, 354, 550, 250]
    assert b"\r\n550 5.5.2 " in dialogue.out
    assert dialogue.taken == []


def ways_to_cut(flight: bytes) -> list[tuple[int, ...]]:
    """Whole, at each octet in turn, and everything apart."""
    return [(), *[(at,) for at in range(len(BEGIN), len(flight))], tuple(every_octet(flight))]


@pytest.mark.parametrize("settings", [SETTINGS, TINY], ids=["in size", "oversize"])
@pytest.mark.parametrize("fake", FAKES, ids=repr)
def test_a_false_end_of_data_is_refused_for_every_cut(fake: bytes, settings: Settings) -> None:
    flight = BEGIN + b"DATA\r\n" + TEXT + fake + INJECTED + b"\r\n.\r\nNOOP\r\n"
    for cuts in ways_to_cut(flight):
        refused_once(talk(flight, cuts, settings))


@pytest.mark.parametrize("fake", [b".\n", b".\r", b".\n.\r", b"\0.\r\n", b".\0\r\n"], ids=repr)
def test_a_false_end_as_the_first_line_is_refused_for_every_cut(fake: bytes) -> None:
    flight = BEGIN + b"DATA\r\n" + fake + INJECTED + b"\r\n.\r\nNOOP\r\n"
    for cuts in ways_to_cut(flight):
        refused_once(talk(flight, cuts))


@pytest.mark.parametrize("fake", HARMLESS, ids=repr)
def test_white_space_beside_the_dot_ends_nothing_and_is_kept(fake: bytes) -> None:
    flight = BEGIN + b"DATA\r\n" + TEXT + fake + INJECTED + b".\r\nNOOP\r\n"
    for cuts in ways_to_cut(flight):
        dialogue = talk(flight, cuts)
        assert dialogue.codes == [250, 250, 250, 354, 250, 250]
        [(envelope, body)] = dialogue.taken
        assert body == TEXT + fake.replace(b"\r\n.", b"\r\n") + INJECTED
        assert str(envelope.rcpt_to[0].address) == "b@posthouse.test"


@pytest.mark.parametrize("settings", [SETTINGS, TINY], ids=["in size", "oversize"])
def test_cr_before_the_true_end_ends_the_message_and_spoils_it(settings: Settings) -> None:
    flight = BEGIN + b"DATA\r\n" + TEXT + b"\r\r\n.\r\nNOOP\r\n"
    for cuts in ways_to_cut(flight):
        refused_once(talk(flight, cuts, settings))


@pytest.mark.parametrize("settings", [SETTINGS, TINY], ids=["in size", "oversize"])
@pytest.mark.parametrize("fake", FAKES, ids=repr)
def test_the_same_octets_by_bdat_are_refused_and_never_run(fake: bytes, settings: Settings) -> None:
    content = TEXT + fake + INJECTED + b"\r\n.\r\n"
    flight = BEGIN + b"BDAT %d LAST\r\n" % len(content) + content + b"NOOP\r\n"
    for cuts in ways_to_cut(flight):
        dialogue = talk(flight, cuts, settings)
        assert dialogue.codes == [250, 250, 250, 550, 250]
        assert b"\r\n550 5.5.2 " in dialogue.out
        assert dialogue.taken == []


@pytest.mark.parametrize("fake", FAKES, ids=repr)
def test_a_flaw_across_two_chunks_is_seen(fake: bytes) -> None:
    content = TEXT + fake + b"more\r\n"
    for at in range(len(TEXT), len(TEXT + fake) + 1):
        first, last = content[:at], content[at:]
        flight = BEGIN + b"BDAT %d\r\n%bBDAT %d LAST\r\n%bNOOP\r\n" % (len(first), first, len(last), last)
        for cuts in ((), every_octet(flight)):
            dialogue = talk(flight, cuts)
            assert dialogue.taken == []
            assert dialogue.codes.count(550) == 1
            # Refused with the first chunk, the second is out of order; refused with the second, the first was fine.
            assert dialogue.codes[3:] in ([550, 503, 250], [250, 550, 250])


def test_crlf_across_two_chunks_is_no_flaw() -> None:
    flight = BEGIN + b"BDAT 3\r\nab\rBDAT 1 LAST\r\n\nNOOP\r\n"
    for cuts in ways_to_cut(flight):
        dialogue = talk(flight, cuts)
        assert [body for _, body in dialogue.taken] == [b"ab\r\n"]
        assert dialogue.codes == [250, 250, 250, 250, 250, 250]


def test_a_cr_at_the_end_of_the_last_chunk_is_a_bare_one() -> None:
    dialogue = talk(BEGIN + b"BDAT 3 LAST\r\nab\rNOOP\r\n")
    assert dialogue.codes == [250, 250, 250, 550, 250]


def test_a_message_too_large_is_read_to_its_end_and_refused_once() -> None:
    flight = BEGIN + b"DATA\r\n" + b"x" * 19 + b"\r\n..\r\nQUIT\r\n.\r\nNOOP\r\n"
    for cuts in ways_to_cut(flight):
        dialogue = talk(flight, cuts, TINY)
        assert dialogue.codes == [250, 250, 250, 354, 552, 250]
        assert dialogue.taken == []
        assert dialogue.engine.closed is False


def test_a_refused_message_cannot_be_taken_by_mistake() -> None:
    """A door that answers 250 to a flawed body does not get it through."""
    dialogue = talk(BEGIN + b"DATA\r\na\nb\r\n.\r\n", policy=lambda event: Reply(250, "2.0.0", "Anything"))
    assert dialogue.codes[-1] == 550


def test_a_spoilt_bdat_line_hangs_up_since_its_chunk_cannot_be_told_from_commands() -> None:
    for line in (b"BDAT x\r\n", b"BDAT\r\n", b"BDAT -1\r\n", b"BDAT 1\0\r\n", b"BDAT 9\n\r\n", b"BDAT 9\xff LAST\r\n",
                 b"BDAT 99999999999999999999\r\n", b"bdat " + b"1" * 5000 + b"\r\n", b"BDAT 5\t\r\n"):  # fmt: skip
        dialogue = talk(BEGIN + line + INJECTED)
        assert dialogue.engine.closed, line
        assert len(dialogue.codes) == 4, line
        assert dialogue.codes[3] in (500, 501), line
        assert dialogue.taken == []
