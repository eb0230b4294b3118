"""Notifications: who wants which, how they read to a person and to a program, and what cannot break them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.mail.address import Address
from posthouse.mail.author import author, flaws
from posthouse.mail.envelope import Body, Envelope, Notify, RcptTo, Ret
from posthouse.mail.headers import Field, parse_header
from posthouse.mail.instant import DAY, HOUR
from posthouse.mail.message import Message
from posthouse.mail.parts import Part
from posthouse.mail.reply import Reply
from posthouse.route.bounce import (
    QUOTE_OCTETS,
    Action,
    Notice,
    Original,
    Report,
    wanted,
    without_success,
    write_report,
)

NOW = 1_750_000_000_000_000
ALICE = Address.parse("alice@posthouse.test")
CAROL = Address.parse("carol@far.test")
HEADER = b"Received: from x by y\r\nFrom: alice@posthouse.test\r\nSubject: Lunch\r\nMessage-ID: <1@posthouse.test>\r\n"
OCTETS = HEADER + b"\r\nAt noon?\r\n"
REFUSED = Reply.parse(["550 5.1.1 No such user"])


def original(octets: bytes = OCTETS, size: int | None = None, **envelope: object) -> Original:
    return Original(
        Envelope(ALICE, **envelope),  # type: ignore[arg-type]
        "01hqueueid000", "1@posthouse.test", "Lunch", NOW - HOUR, octets, size or len(octets),
    )  # fmt: skip


def notice(
    action: Action = Action.FAILED, rcpt: RcptTo | None = None, reply: Reply = REFUSED, **more: object
) -> Notice:
    given = {"host": "mx.far.test", "ip": "192.0.2.25", **more}
    return Notice(rcpt or RcptTo(CAROL), action, reply, NOW, **given)  # type: ignore[arg-type]


def write(*notices: Notice, about: Original | None = None, mail_from: Address = ALICE) -> Report:
    given = notices or (notice(),)
    return write_report(
        about or original(), mail_from, given, hostname="mx.posthouse.test", now=NOW, report_id="01hreport0000"
    )


def parts(report: Report) -> tuple[Message, str, list[dict[str, str]], Part]:
    message = Message.parse(report.octets)
    story, status, quotation = message.root.parts
    groups = [
        {field.name: field.text for field in parse_header(group.encode() + b"\r\n\r\n").fields}
        for group in status.text().replace("\n", "\r\n").strip().split("\r\n\r\n")
    ]
    return message, story.text(), groups, quotation


NEVER, SUCCESS, FAILURE, DELAY = Notify.NEVER, Notify.SUCCESS, Notify.FAILURE, Notify.DELAY


@pytest.mark.parametrize(
    ("notify", "told"),
    [
        (None, {Action.FAILED, Action.DELAYED}),
        (NEVER, set()),
        (SUCCESS, {Action.DELIVERED, Action.RELAYED, Action.EXPANDED}),
        (FAILURE, {Action.FAILED}),
        (DELAY, {Action.DELAYED}),
        (FAILURE | DELAY, {Action.FAILED, Action.DELAYED}),
        (SUCCESS | FAILURE | DELAY, set(Action)),
    ],
)
def test_notify_says_who_is_told_what(notify: Notify | None, told: set[Action]) -> None:
    assert {action for action in Action if wanted(RcptTo(CAROL, notify=notify), action)} == told


@pytest.mark.parametrize(
    ("notify", "left"),
    [(None, None), (NEVER, NEVER), (SUCCESS, NEVER), (SUCCESS | DELAY, DELAY), (FAILURE | DELAY, FAILURE | DELAY)],
)
def test_members_of_a_reported_group_report_no_success(notify: Notify | None, left: Notify | None) -> None:
    assert without_success(RcptTo(CAROL, notify=notify)) == left


def test_a_failure_reads_well_to_both() -> None:
    rcpt = RcptTo(CAROL, "rfc822;Carol@far.test", FAILURE)
    report = write(notice(rcpt=rcpt), about=original(envid="QQ+314159"))
    assert report.envelope == Envelope(None, (RcptTo(ALICE, notify=NEVER),))
    message, story, groups, quotation = parts(report)
    header = message.header
    assert flaws(header) == ""
    assert str(author(header)) == "postmaster@mx.posthouse.test"
    assert header.text("to") == "alice@posthouse.test"
    assert header.text("auto-submitted") == "auto-replied"
    assert header.text("references") == "<1@posthouse.test>"
    assert message.root.content_type == ("multipart", "report")
    assert message.root.parameters["report-type"] == "delivery-status"
    assert [part.content_type for part in message.root.parts] == [
        ("text", "plain"), ("message", "delivery-status"), ("message", "rfc822"),
    ]  # fmt: skip
    assert groups == [
        {
            "Original-Envelope-Id": "QQ+314159",
            "Reporting-MTA": "dns; mx.posthouse.test",
            "X-Posthouse-Queue-Id": "01hqueueid000",
            "Arrival-Date": "Sun, 15 Jun 2025 14:06:40 +0000",
        },
        {
            "Original-Recipient": "rfc822;Carol@far.test",
            "Final-Recipient": "rfc822; carol@far.test",
            "Action": "failed",
            "Status": "5.1.1",
            "Remote-MTA": "dns; mx.far.test",
            "Diagnostic-Code": "smtp; 550 5.1.1 No such user",
            "Last-Attempt-Date": "Sun, 15 Jun 2025 15:06:40 +0000",
        },
    ]
    assert quotation.body() == OCTETS
    for words in (
        "could not be delivered", "<carol@far.test>", "There is no such mailbox", "mx.far.test [192.0.2.25]",
        "550 5.1.1 No such user", "Its subject: Lunch", "01hqueueid000",
    ):  # fmt: skip
        assert words in story


def test_without_orcpt_and_envid_their_fields_are_absent() -> None:
    _, _, groups, _ = parts(write())
    assert "Original-Envelope-Id" not in groups[0]
    assert "Original-Recipient" not in groups[1]


def test_our_own_refusal_names_no_remote_server() -> None:
    _, story, groups, _ = parts(write(notice(reply=Reply(556, "5.1.10", "far.test takes no mail"), host="", ip="")))
    assert "Remote-MTA" not in groups[1]
    assert groups[1]["Diagnostic-Code"] == "x-posthouse; 556 5.1.10 far.test takes no mail"
    assert "This domain does not take any mail." in story


def test_several_recipients_share_one_report() -> None:
    others = [RcptTo(Address.parse(f"{name}@far.test")) for name in ("dave", "eve")]
    delayed = notice(Action.DELAYED, others[1], Reply(451, "4.7.1", "greylisted"))
    report = write(notice(), notice(rcpt=others[0]), delayed)
    _, story, groups, _ = parts(report)
    assert [group["Action"] for group in groups[1:]] == ["failed", "failed", "delayed"]
    assert "to the following addresses. We have given up on them." in story
    assert "we keep trying" in story
    assert Message.parse(report.octets).header.text("subject") == "Your message could not be delivered"


def test_a_delay_says_until_when_and_quotes_the_header_only() -> None:
    delayed = notice(Action.DELAYED, reply=Reply(450, "4.4.1", "No answer"), tries_end=NOW + 5 * DAY)
    _, story, groups, quotation = parts(write(delayed, about=original(ret=Ret.FULL)))
    assert groups[1]["Status"] == "4.4.1"
    assert groups[1]["Will-Retry-Until"] == "Fri, 20 Jun 2025 15:06:40 +0000"
    assert "You need not do anything" in story
    assert quotation.content_type == ("text", "rfc822-headers")
    assert quotation.body() == HEADER


def test_an_expired_recipient_has_its_own_status() -> None:
    _, story, groups, _ = parts(write(notice(reply=Reply.parse(["451 4.7.1 Later"]), expired=True)))
    assert (groups[1]["Action"], groups[1]["Status"]) == ("failed", "5.4.7")
    assert groups[1]["Diagnostic-Code"] == "smtp; 451 4.7.1 Later"
    assert "until the time for it ran out" in story


def test_only_what_the_other_server_said_is_called_its_diagnosis() -> None:
    _, _, groups, _ = parts(write(notice(reply=Reply(554, "5.6.3", "The server does not offer 8BITMIME"))))
    assert groups[1]["Remote-MTA"] == "dns; mx.far.test"
    assert groups[1]["Diagnostic-Code"] == "x-posthouse; 554 5.6.3 The server does not offer 8BITMIME"


@pytest.mark.parametrize(
    ("action", "status", "words"),
    [
        (Action.DELIVERED, "2.1.5", "put into the mailbox"),
        (Action.RELAYED, "2.1.5", "does not report deliveries"),
        (Action.EXPANDED, "2.1.5", "all members of the following group"),
    ],
)
def test_successes_quote_the_header_only(action: Action, status: str, words: str) -> None:
    report = write(notice(action, reply=Reply(250, "2.1.5", "ok")), about=original(ret=Ret.FULL))
    _, story, groups, quotation = parts(report)
    assert (groups[1]["Action"], groups[1]["Status"]) == (action.value, status)
    assert words in story
    assert quotation.content_type == ("text", "rfc822-headers")


@pytest.mark.parametrize(
    ("reply", "status"),
    [(Reply(550, "", "no"), "5.0.0"), (Reply(450, "4.2.2", "full"), "5.2.2"), (Reply(550, "5.7.1", "no"), "5.7.1")],
)
def test_the_status_fits_the_action(reply: Reply, status: str) -> None:
    assert parts(write(notice(reply=reply)))[2][1]["Status"] == status


def test_ret_hdrs_gives_the_header_of_a_failure() -> None:
    assert parts(write(about=original(ret=Ret.HDRS)))[3].content_type == ("text", "rfc822-headers")


def test_what_is_quoted_is_bounded() -> None:
    huge = OCTETS + b"x" * 70 + b"\r\n"
    *_, quotation = parts(write(about=original(huge, size=QUOTE_OCTETS + 1)))
    assert quotation.body() == HEADER
    endless = HEADER + b"".join(b"X-%d: y\r\n" % i for i in range(20_000))
    *_, quotation = parts(write(about=original(endless, size=10**6)))
    assert QUOTE_OCTETS - 20 < len(quotation.body()) <= QUOTE_OCTETS
    report = write(about=original(b"X: " + b"y" * QUOTE_OCTETS, size=10**6))
    assert len(report.octets) < 3 * QUOTE_OCTETS


def test_a_boundary_in_the_message_does_not_end_the_part() -> None:
    own = write().octets
    report = write(about=original(HEADER + b"\r\n" + own))
    message = Message.parse(report.octets)
    assert len(message.root.parts) == 3
    assert message.root.parts[2].body() == HEADER + b"\r\n" + own


HOSTILE = st.text(max_size=60) | st.sampled_from(
    ["\r\nBcc: eve@far.test", "a\nb", "\0", "\x1b[2J", "x" * 5000, "\u202e"]
)


@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE, st.booleans())
def test_nothing_from_outside_makes_a_field_or_line_of_its_own(
    words: str, orcpt: str, envid: str, subject: str, wide: bool
) -> None:
    rcpt = RcptTo(CAROL, f"rfc822;{orcpt}")
    author_address = Address.parse("jörg@posthouse.test") if wide else ALICE
    about = Original(
        Envelope(author_address, smtputf8=wide, envid=envid), "01h", words, subject, NOW, OCTETS, len(OCTETS)
    )
    report = write(notice(rcpt=rcpt, reply=Reply(550, "5.1.1", words)), about=about, mail_from=author_address)
    message, story, groups, _ = parts(report)
    names = [field.key for field in message.header.fields]
    assert "bcc" not in names
    assert len(names) == len(set(names))
    assert len(groups) == 2
    assert set(groups[1]) == {
        "Original-Recipient", "Final-Recipient", "Action", "Status", "Remote-MTA", "Diagnostic-Code",
        "Last-Attempt-Date",
    }  # fmt: skip
    assert all(c.isprintable() or c == "\n" for c in story)
    assert wide or report.octets.isascii()
    assert max(map(len, report.octets.split(b"\r\n"))) <= 998 or wide


# --- internationalised (RFC 6533) -----------------------------------------------------------------------

JOERG = Address.parse("jörg@posthouse.test")
UTF8 = "From: jörg@posthouse.test\r\nSubject: Grüße\r\n\r\nhallo\r\n".encode()


def test_an_author_who_needs_smtputf8_is_answered_with_it() -> None:
    rcpt = RcptTo(Address.parse("søren@far.test"), r"utf-8;s\x{F8}ren@far.test")
    about = Original(Envelope(JOERG, smtputf8=True), "01h", "", "Grüße", NOW, UTF8, len(UTF8))
    report = write(notice(rcpt=rcpt), about=about, mail_from=JOERG)
    assert report.envelope.smtputf8
    assert report.envelope.body is Body.EIGHT_BIT_MIME
    message, story, groups, quotation = parts(report)
    assert message.root.parts[1].content_type == ("message", "global-delivery-status")
    assert groups[1]["Final-Recipient"] == "utf-8; søren@far.test"
    assert groups[1]["Original-Recipient"] == "utf-8;søren@far.test"
    assert "<søren@far.test>" in story
    assert quotation.content_type == ("message", "global")
    assert quotation.decoded() == UTF8


def test_an_author_in_ascii_is_answered_in_ascii() -> None:
    rcpt = RcptTo(Address.parse("søren@far.test"), "utf-8;søren@far.test")
    about = Original(Envelope(ALICE, smtputf8=True), "01h", "", "Grüße", NOW, UTF8, len(UTF8))
    report = write(notice(rcpt=rcpt, reply=Reply(550, "5.1.1", "ingen sådan")), about=about)
    assert not report.envelope.smtputf8
    assert report.octets.isascii()
    assert report.envelope.body is Body.SEVEN_BIT
    _, story, groups, quotation = parts(report)
    assert "<søren@far.test>" in story
    assert "Its subject: Grüße\n" in story
    assert "ingen sådan" in story
    assert groups[1]["Final-Recipient"] == r"utf-8; s\x{F8}ren@far.test"
    assert groups[1]["Original-Recipient"] == r"utf-8;s\x{F8}ren@far.test"
    assert quotation.content_type == ("message", "global")
    assert quotation.decoded() == UTF8
    *_, quotation = parts(write(about=Original(
        Envelope(ALICE, smtputf8=True, ret=Ret.HDRS), "01h", "", "", NOW, UTF8, len(UTF8)
    )))  # fmt: skip
    assert quotation.content_type == ("message", "global-headers")


def test_embedded_controls_stay_embedded() -> None:
    rcpt = RcptTo(CAROL, r"utf-8;a\x{0D}\x{0A}Bcc: eve\x{D800}\x{110000}@far.test")
    about = Original(Envelope(JOERG, smtputf8=True), "01h", "", "", NOW, UTF8, len(UTF8))
    _, _, groups, _ = parts(write(notice(rcpt=rcpt), about=about, mail_from=JOERG))
    assert groups[1]["Original-Recipient"] == rcpt.orcpt


def test_an_eight_bit_message_is_quoted_as_such() -> None:
    octets = HEADER + "\r\nUm zwölf?\r\n".encode()
    report = write(about=original(octets))
    assert report.envelope.body is Body.EIGHT_BIT_MIME
    assert not report.envelope.smtputf8
    assert parts(report)[3].body() == octets


def test_a_report_is_about_somebody() -> None:
    with pytest.raises(ValueError, match="needs a notice"):
        write_report(original(), ALICE, (), hostname="mx.posthouse.test", now=NOW, report_id="01h")


def test_fields_of_the_report_are_ordinary_fields() -> None:
    header = Message.parse(write().octets).header
    assert all(isinstance(field, Field) for field in header.fields)
    assert [field.key for field in header.fields][:6] == [
        "from", "to", "subject", "date", "message-id", "auto-submitted",
    ]  # fmt: skip
