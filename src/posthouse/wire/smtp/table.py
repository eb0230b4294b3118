"""The verbs of SMTP, one row each: where they are allowed, what they need, what they do."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from posthouse.mail.reply import Reply
from posthouse.wire.smtp import commands, extensions
from posthouse.wire.smtp.events import ServerEvent
from posthouse.wire.smtp.extensions import Extension
from posthouse.wire.smtp.session import Session, State


class Argument(Enum):
    """Whether a verb takes one."""

    NONE = 0
    OPTIONAL = 1
    REQUIRED = 2


Run = Callable[[Session, str], ServerEvent | None]

_ANY = State.HELLO | State.IDLE | State.MAIL | State.RCPT | State.CHUNKS


@dataclass(frozen=True, slots=True)
class Verb:
    """A row. `states` has the bits of `State` in which it may come; `extension` must be on offer to whoever uses it;
    `international`: the argument may be UTF-8, if the command itself finds that SMTPUTF8 is in use.

    BDAT is let through in every state, since its chunk has to be read before it can be refused.
    """

    name: str
    states: int
    argument: Argument
    run: Run
    extension: Extension | None = None
    international: bool = False


def _help(session: Session, argument: str) -> ServerEvent | None:
    names = [row.name for row in VERBS.values() if row.extension is None or row.extension.hindrance(session) is None]
    session.say(Reply(214, "2.0.0", "Commands: " + " ".join(names) + "\nSee RFC 5321"))
    return None


VERBS = {
    row.name: row
    for row in (
        Verb("EHLO", _ANY, Argument.REQUIRED, commands.ehlo),
        Verb("HELO", _ANY, Argument.REQUIRED, commands.helo),
        Verb("MAIL", State.IDLE, Argument.REQUIRED, commands.mail, international=True),
        Verb("RCPT", State.MAIL | State.RCPT, Argument.REQUIRED, commands.rcpt, international=True),
        Verb("DATA", State.MAIL | State.RCPT, Argument.NONE, commands.data),
        Verb("BDAT", _ANY | State.REFUSED, Argument.OPTIONAL, commands.bdat),
        Verb("RSET", _ANY, Argument.NONE, commands.rset),
        Verb("NOOP", _ANY, Argument.OPTIONAL, commands.noop),
        Verb("QUIT", _ANY | State.REFUSED, Argument.NONE, commands.quit_),
        Verb("HELP", _ANY, Argument.OPTIONAL, _help),
        Verb("VRFY", _ANY, Argument.REQUIRED, commands.vrfy),
        Verb("EXPN", _ANY, Argument.OPTIONAL, commands.expn),
        Verb("STARTTLS", State.IDLE | State.MAIL | State.RCPT, Argument.NONE, commands.starttls, extensions.STARTTLS),
        Verb("AUTH", State.IDLE, Argument.REQUIRED, commands.auth, extensions.AUTH),
    )
}

_ARGUMENT_MISSING = Reply(501, "5.5.4", "An argument is missing")
_ARGUMENT_UNWANTED = Reply(501, "5.5.4", "That command takes no argument")
_EHLO_FIRST = Reply(503, "5.5.1", "Say EHLO first")
_OUT_OF_ORDER = Reply(503, "5.5.1", "That command is out of order")


def objection(session: Session, verb: Verb, argument: str) -> Reply | None:
    """Why this verb cannot be taken here and now, before its argument is looked at; None where it can."""
    extension = verb.extension
    if extension is not None:
        hindrance = extension.hindrance(session)
        if hindrance is not None:
            return hindrance
        if not session.esmtp:
            return _EHLO_FIRST
    if not verb.states & session.state:
        return _EHLO_FIRST if session.state == State.HELLO else _OUT_OF_ORDER
    if not argument:
        return _ARGUMENT_MISSING if verb.argument is Argument.REQUIRED else None
    return _ARGUMENT_UNWANTED if verb.argument is Argument.NONE else None
