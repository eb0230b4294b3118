"""One transaction as the client sees it: the commands it takes, and what each recipient ends up with."""

from dataclasses import replace
from enum import Enum, auto

from posthouse.mail.envelope import Body, Envelope, Notify, RcptTo
from posthouse.mail.reply import Reply
from posthouse.wire.smtp import syntax
from posthouse.wire.smtp.replies import Capabilities


class Step(Enum):
    """What a reply answers."""

    GREETING = auto()
    EHLO = auto()
    HELO = auto()
    STARTTLS = auto()
    AUTH = auto()
    CLEAN = auto()  # RSET of our own, before a transaction
    RSET = auto()
    MAIL = auto()
    RCPT = auto()
    DATA = auto()
    BODY = auto()  # the final reply
    EMPTY = auto()  # the final reply to a body that nobody is to get
    QUIT = auto()


class Transaction:
    """From MAIL to the final reply. `replies` holds, for each recipient, None as long as nothing bad was said."""

    __slots__ = ("_capabilities", "_logged_in", "_size", "envelope", "mail_refusal", "replies", "taken")

    def __init__(self, envelope: Envelope, size: int, capabilities: Capabilities, *, logged_in: bool) -> None:
        self.envelope = envelope
        self._size = size
        self._capabilities = capabilities
        self._logged_in = logged_in
        self.mail_refusal: Reply | None = None
        self.replies: list[Reply | None] = [None] * len(envelope.rcpt_to)
        self.taken = 0

    def objection(self) -> Reply | None:
        """Why this server cannot be given the message at all; None where it can."""
        offered = self._capabilities
        limit = offered.max_size
        if limit is not None and self._size > limit:
            # RFC 1870 §6: what is known to be refused is not sent.
            return Reply(552, "5.3.4", f"The message has {self._size} octets, the server takes {limit} at most")
        if self._smtputf8 and "SMTPUTF8" not in offered:
            # RFC 6531 §3.2
            return Reply(550, "5.6.7", "The message needs SMTPUTF8, which the server does not offer")
        if self.envelope.body is Body.EIGHT_BIT_MIME and "8BITMIME" not in offered:
            # RFC 6152 §3
            return Reply(554, "5.6.3", "The message needs 8BITMIME, which the server does not offer")
        return None

    def commands(self) -> list[tuple[Step, int, str]]:
        """MAIL, every RCPT, DATA, in the order in which they are sent."""
        rcpts = [(Step.RCPT, i, self._rcpt(rcpt)) for i, rcpt in enumerate(self.envelope.rcpt_to)]
        return [(Step.MAIL, 0, self._mail()), *rcpts, (Step.DATA, 0, "DATA")]

    def rcpt_replied(self, index: int, reply: Reply) -> Reply:
        """Take a recipient's reply, and give it back as it is to be understood."""
        if reply.is_positive:
            self.taken += 1
            return reply
        # RFC 5321 §4.5.3.1.10: 552 for too many recipients means "later", as 452 does.
        if reply.code == 552 and reply.enhanced in ("", "5.5.3"):
            reply = replace(reply, code=452, enhanced="4.5.3")
        self.replies[index] = reply
        return reply

    def settle(self, reply: Reply) -> tuple[Reply, ...]:
        """The end: who was not refused by name gets `reply`."""
        return tuple(own or reply for own in self.replies)

    @property
    def _smtputf8(self) -> bool:
        envelope = self.envelope
        mail_from = envelope.mail_from
        return (
            envelope.smtputf8
            or (mail_from is not None and not mail_from.is_ascii)
            or any(not rcpt.address.is_ascii for rcpt in envelope.rcpt_to)
        )

    def _mail(self) -> str:
        envelope = self.envelope
        offered = self._capabilities
        words = [f"MAIL FROM:<{envelope.mail_from or ''}>"]
        if "SIZE" in offered:
            words.append(f"SIZE={self._size}")
        if envelope.body is Body.EIGHT_BIT_MIME:
            words.append("BODY=8BITMIME")
        if self._smtputf8:
            words.append("SMTPUTF8")
        if "DSN" in offered:
            if envelope.ret is not None:
                words.append(f"RET={envelope.ret.value}")
            if envelope.envid is not None:
                words.append(f"ENVID={syntax.encode_xtext(envelope.envid)}")
        # RFC 4954 §5: we do not vouch for who submitted it.
        if self._logged_in and "AUTH" in offered:
            words.append("AUTH=<>")
        return " ".join(words)

    def _rcpt(self, rcpt: RcptTo) -> str:
        words = [f"RCPT TO:<{rcpt.address}>"]
        if "DSN" in self._capabilities:
            if rcpt.notify is not None:
                words.append("NOTIFY=" + ",".join(flag.name or "" for flag in Notify if flag in rcpt.notify))
            if rcpt.orcpt is not None:
                words.append("ORCPT=" + syntax.encode_orcpt(rcpt.orcpt, smtputf8=self._smtputf8))
        return " ".join(words)
