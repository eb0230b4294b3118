"""A story can be told of any octets whatever, and takes no longer for hostile ones."""

from hypothesis import given
from hypothesis import strategies as st

from posthouse.checks.story import Checked, Given, circumstances, find, hops, tell
from posthouse.mail.message import Message

NOW = 1_740_852_930_000_000

NAMES = st.sampled_from([
    b"Received", b"Return-Path", b"From", b"Date", b"Authentication-Results", b"ARC-Authentication-Results",
    b"Received-SPF", b"Delivered-To", b"Message-ID", b"Content-Type", b"X-Mailer", b"X-Originating-IP", b"To", b"Bcc",
])  # fmt: skip
PIECES = st.sampled_from([
    b"from ", b"by ", b"with ESMTPSA ", b"for <", b"> ", b"; ", b"Sat, 01 Mar 2025 18:15:30 +0000", b"-0800", b"(",
    b")", b"[192.0.2.1]", b"[2001:db8::1]", b"mx.example.org", b"localhost", b"helo=", b"i=1; ", b"spf=pass ",
    b"smtp.mailfrom=", b"client-ip=", b"\r\n ", b'"', b"\\", b"\x00", b"\xff", b"@", b"<", b"=?utf-8?b?", b"?=",
    b"31 Dec 9999 23:59:59 -2300",
])  # fmt: skip
FIELDS = st.builds(
    lambda name, value: name + b": " + value + b"\r\n",
    NAMES, st.lists(PIECES | st.binary(max_size=8), max_size=12).map(b"".join),
)  # fmt: skip


def told(octets: bytes, hosts: tuple[str, ...], given_: Given) -> None:
    message = Message.parse(octets)
    trust = find(hops(message.header), hosts, given_.ip)
    known = circumstances(message.header, trust, given_)
    story = tell(message, trust, known, Checked(flaw="There is no From field"), NOW)
    assert story.judgement.endswith(".")
    assert len(story.hops) == len(trust.hops)
    assert all(finding.text for finding in story.findings)


@given(
    st.lists(FIELDS, max_size=30).map(b"".join), st.sampled_from([(), ("mx.example.org",), ("example.org",)]),
    st.sampled_from(["", "192.0.2.1"]), st.sampled_from(["", "<>", "<a@b.test>", "<\x00>", "nonsense"]),
)  # fmt: skip
def test_any_fields(octets: bytes, hosts: tuple[str, ...], ip: str, mail_from: str) -> None:
    told(octets, hosts, Given(ip=ip, mail_from=mail_from, from_line=mail_from))


@given(st.binary(max_size=500))
def test_any_octets(octets: bytes) -> None:
    told(octets, (), Given())
