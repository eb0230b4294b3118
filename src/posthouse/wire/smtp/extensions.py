"""What is announced by EHLO, and the parameters of MAIL and RCPT that come with it.

One row each. A parameter or verb is accepted exactly where its extension is announced: both ask `hindrance`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from posthouse.mail.peer import Role
from posthouse.mail.reply import Reply
from posthouse.wire.smtp import syntax
from posthouse.wire.smtp.session import Session


def _never(session: Session) -> Reply | None:
    return None


def _nothing(session: Session) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Extension:
    """A keyword of the EHLO reply. `hindrance` is None where it is offered, else what to answer who uses it."""

    keyword: str
    hindrance: Callable[[Session], Reply | None] = _never
    argument: Callable[[Session], str] = _nothing


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of MAIL or RCPT: `field` names the one in Envelope or RcptTo, empty where it is only checked."""

    name: str
    extension: Extension
    parse: Callable[[str | None], Any]
    field: str = ""


def _no_tls(session: Session) -> Reply | None:
    if session.tls:
        return Reply(503, "5.5.1", "TLS is active already")
    if not session.settings.starttls:
        return Reply(502, "5.5.1", "TLS is not available")
    return None


def _no_login(session: Session) -> Reply | None:
    settings = session.settings
    if settings.role is not Role.SUBMISSION or not settings.mechanisms:
        return Reply(502, "5.5.1", "There is no login on this port")
    # RFC 4954 §6
    return None if session.tls else Reply(538, "5.7.11", "Login needs TLS: say STARTTLS first")


SIZE = Extension("SIZE", argument=lambda session: str(session.settings.max_size))
EIGHT_BIT_MIME = Extension("8BITMIME")
SMTPUTF8 = Extension("SMTPUTF8")
DSN = Extension("DSN")
CHUNKING = Extension("CHUNKING")
STARTTLS = Extension("STARTTLS", hindrance=_no_tls)
AUTH = Extension("AUTH", hindrance=_no_login, argument=lambda session: " ".join(session.settings.mechanisms))

# In the order in which they are announced.
EXTENSIONS = (
    Extension("PIPELINING"),
    SIZE,
    EIGHT_BIT_MIME,
    SMTPUTF8,
    Extension("ENHANCEDSTATUSCODES"),
    CHUNKING,
    DSN,
    STARTTLS,
    AUTH,
)

MAIL_PARAMETERS = {
    row.name: row
    for row in (
        Parameter("SIZE", SIZE, syntax.size, "size"),
        Parameter("BODY", EIGHT_BIT_MIME, syntax.body, "body"),
        Parameter("SMTPUTF8", SMTPUTF8, syntax.without_value, "smtputf8"),
        Parameter("RET", DSN, syntax.ret, "ret"),
        Parameter("ENVID", DSN, syntax.envid, "envid"),
        Parameter("AUTH", AUTH, syntax.submitter),
    )
}

RCPT_PARAMETERS = {
    row.name: row
    for row in (
        Parameter("NOTIFY", DSN, syntax.notify, "notify"),
        Parameter("ORCPT", DSN, syntax.orcpt, "orcpt"),
    )
}


def announcement(session: Session) -> list[str]:
    """The lines of the EHLO reply behind the first."""
    lines = []
    for extension in EXTENSIONS:
        if extension.hindrance(session) is None:
            argument = extension.argument(session)
            lines.append(f"{extension.keyword} {argument}" if argument else extension.keyword)
    return lines


def fields(session: Session, rows: dict[str, Parameter], pairs: list[tuple[str, str | None]]) -> dict[str, Any]:
    """The parameters of one command, parsed, by the field they fill. Raises syntax.Refusal."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        row = rows.get(name)
        # RFC 5321 §4.1.1.11: 555 for a parameter that is not known, or was never announced.
        if row is None or not session.esmtp or row.extension.hindrance(session) is not None:
            raise syntax.refuse(555, "5.5.4", f"The parameter {name} is not known here")
        parsed = row.parse(value)
        if row.field:
            found[row.field] = parsed
    return found
