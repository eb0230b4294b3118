"""The table of commands: one row each, with the states it is allowed in, its reader and its capability.

What CAPABILITY announces is derived from these rows, so that it cannot drift apart from what is accepted. An
extension is a row here (or a `Feature`, where it brings no command), its syntax in `commands`, and what it does in
the door.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Flag, auto
from functools import partial

from posthouse.wire.imap import commands
from posthouse.wire.imap.commands import Command
from posthouse.wire.imap.faults import Malformed, Refusal
from posthouse.wire.imap.scanner import Scanner

_TAG = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\+]+')
_NAME = re.compile(rb" (UID )?([A-Za-z0-9.-]+)", re.IGNORECASE)


class State(Flag):
    """Where a session stands (RFC 3501 §3)."""

    NOT_AUTHENTICATED = auto()
    AUTHENTICATED = auto()
    SELECTED = auto()


_STRANGER = State.NOT_AUTHENTICATED
_KNOWN = State.AUTHENTICATED | State.SELECTED
_ANY = _STRANGER | _KNOWN
REVISION = "IMAP4rev1"


@dataclass(frozen=True, slots=True)
class Row:
    """One command.

    `by_number`: its arguments or answers are sequence numbers, so no EXPUNGE may be told with it (RFC 3501 §7.4.1).
    `on_ok` and `on_no` are the states that follow; None leaves the state. `under_tls` is True where the command
    needs TLS, False where it needs that there is none yet.
    """

    name: str
    states: State
    read: Callable[[Scanner], Command]
    capability: str = REVISION
    by_number: bool = False
    on_ok: State | None = None
    on_no: State | None = None
    under_tls: bool | None = None


@dataclass(frozen=True, slots=True)
class Feature:
    """An extension without a command of its own; `enables`: it is switched on by ENABLE (RFC 5161)."""

    capability: str
    states: State = _ANY
    enables: bool = False


def _bare(command: Command) -> Callable[[Scanner], Command]:
    return lambda scanner: command


_ROWS = (
    Row("CAPABILITY", _ANY, _bare(commands.Capability())),
    Row("NOOP", _ANY, _bare(commands.Noop())),
    Row("LOGOUT", _ANY, _bare(commands.Logout())),
    Row("ID", _ANY, commands.identify, "ID"),
    Row("STARTTLS", _STRANGER, _bare(commands.StartTls()), "STARTTLS", under_tls=False),
    Row("AUTHENTICATE", _STRANGER, commands.authenticate, on_ok=State.AUTHENTICATED, under_tls=True),
    Row("LOGIN", _STRANGER, commands.login, on_ok=State.AUTHENTICATED, under_tls=True),
    Row("ENABLE", _KNOWN, commands.enable, "ENABLE"),
    # RFC 3501 §6.3.1: a SELECT that fails leaves no mailbox selected.
    Row("SELECT", _KNOWN, commands.select, on_ok=State.SELECTED, on_no=State.AUTHENTICATED),
    Row("EXAMINE", _KNOWN, commands.examine, on_ok=State.SELECTED, on_no=State.AUTHENTICATED),
    Row("CREATE", _KNOWN, commands.create),
    Row("DELETE", _KNOWN, commands.delete),
    Row("RENAME", _KNOWN, commands.rename),
    Row("SUBSCRIBE", _KNOWN, commands.subscribe),
    Row("UNSUBSCRIBE", _KNOWN, commands.unsubscribe),
    Row("LIST", _KNOWN, commands.list_mailboxes),
    Row("LSUB", _KNOWN, commands.lsub),
    Row("NAMESPACE", _KNOWN, _bare(commands.Namespace()), "NAMESPACE"),
    Row("STATUS", _KNOWN, commands.status),
    Row("APPEND", _KNOWN, commands.append),
    Row("IDLE", _KNOWN, _bare(commands.Idle()), "IDLE"),
    Row("CHECK", State.SELECTED, _bare(commands.Check())),
    Row("CLOSE", State.SELECTED, _bare(commands.Close(expunge=True)), on_ok=State.AUTHENTICATED),
    Row("UNSELECT", State.SELECTED, _bare(commands.Close(expunge=False)), "UNSELECT", on_ok=State.AUTHENTICATED),
    Row("EXPUNGE", State.SELECTED, _bare(commands.Expunge(None))),
    Row("UID EXPUNGE", State.SELECTED, commands.uid_expunge, "UIDPLUS"),
    Row("SEARCH", State.SELECTED, commands.search, by_number=True),
    Row("UID SEARCH", State.SELECTED, partial(commands.search, uid=True)),
    Row("FETCH", State.SELECTED, commands.fetch, by_number=True),
    Row("UID FETCH", State.SELECTED, partial(commands.fetch, uid=True)),
    Row("STORE", State.SELECTED, commands.store, by_number=True),
    Row("UID STORE", State.SELECTED, partial(commands.store, uid=True)),
    Row("COPY", State.SELECTED, commands.copy),
    Row("UID COPY", State.SELECTED, partial(commands.copy, uid=True)),
    Row("MOVE", State.SELECTED, commands.move, "MOVE"),
    Row("UID MOVE", State.SELECTED, partial(commands.move, uid=True), "MOVE"),
)
ROWS: dict[bytes, Row] = {row.name.encode("ascii"): row for row in _ROWS}

FEATURES = (
    Feature("LITERAL+"),  # RFC 7888
    Feature("SASL-IR", _STRANGER),  # RFC 4959
    Feature("CHILDREN", _KNOWN),  # RFC 3348
    Feature("SPECIAL-USE", _KNOWN),  # RFC 6154
)


def tag_of(octets: bytes) -> bytes:
    """The tag of a command, or `*` where there is none, which is what its answer then carries."""
    tag = _TAG.match(octets)
    return b"*" if tag is None else tag[0]


def row_of(octets: bytes, tag: bytes, state: State, *, tls: bool, starttls: bool) -> tuple[Row, Scanner]:
    """The row of a command, and a scanner right behind its name.

    Raises Malformed where there is no such command or it is not for this state, Refusal where it needs TLS.
    """
    if tag == b"*":
        raise Malformed("a tag expected")
    name = _NAME.match(octets, len(tag))
    row = ROWS.get(((name[1] or b"") + name[2]).upper()) if name else None
    if name is None or row is None:
        raise Malformed("no such command")
    if not row.states & state:
        raise Malformed(f"{row.name} is not for this state")
    if row.under_tls is True and not tls:
        # RFC 5530 §3. The password may be on its way already; it is never looked at.
        raise Refusal("Logins are taken under TLS only", "PRIVACYREQUIRED")
    if row.under_tls is False and (tls or not starttls):
        raise Malformed("TLS is active already" if tls else "TLS is not to be had here")
    return row, Scanner(octets, name.end())


def capabilities(state: State, *, tls: bool, starttls: bool, mechanisms: Sequence[str]) -> tuple[str, ...]:
    """What is announced now: what may be used now or after a login.

    `starttls`: a certificate is at hand. Without TLS no way to log in is offered (RFC 3501 §6.2.3).
    """
    reachable = _ANY if state is State.NOT_AUTHENTICATED else _KNOWN
    found = dict.fromkeys(row.capability for row in _ROWS if row.states & reachable and _possible(row, tls, starttls))
    found.update(dict.fromkeys(feature.capability for feature in FEATURES if feature.states & reachable))
    if state is State.NOT_AUTHENTICATED:
        ways = [f"AUTH={mechanism}" for mechanism in mechanisms] if tls else ["LOGINDISABLED"]
        found.update(dict.fromkeys(ways))
    return tuple(found)


def _possible(row: Row, tls: bool, starttls: bool) -> bool:
    return row.under_tls is None or (row.under_tls is tls and (tls or starttls))
