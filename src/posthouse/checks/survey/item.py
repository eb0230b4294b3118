"""One thing that was looked at about a domain: what is there, what it means, what to change, what to publish.

    Item("SPF", "example.org", State.WRONG, "example.org has no SPF record", means="…", change="…",
         publish=(Entry("example.org", "TXT", "v=spf1 mx -all"),))

Sentences stand without their full stop and begin in lower case unless with a name, as in a `Verdict`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from posthouse.mail.verdict import Evidence


class State(StrEnum):
    """How it stands. The value is told to programs: never rename one."""

    GOOD = "good"
    ABSENT = "absent"      # not there, and nothing is wrong with that
    ADVICE = "advice"      # works, and could be better
    UNKNOWN = "unknown"    # could not be found out
    WRONG = "wrong"        # must be mended: mail is lost, refused, or open to forgery


class Entry(NamedTuple):
    """A record to publish; `data` as a master file has it, but the text of TXT bare, of any length."""

    name: str
    rdtype: str
    data: str


@dataclass(frozen=True, slots=True)
class Item:
    """`topic` is a heading that several items share, `subject` what this one is about: a name, an address."""

    topic: str
    subject: str
    state: State
    found: str
    means: str = ""
    change: str = ""
    publish: tuple[Entry, ...] = ()
    evidence: tuple[Evidence, ...] = ()


def must_mend(items: Iterable[Item]) -> bool:
    """Whether anything is wrong."""
    return any(item.state is State.WRONG for item in items)


def found_out(items: Iterable[Item]) -> bool:
    """Whether anything is known: where nobody answers, nothing is in order."""
    return any(item.state not in (State.UNKNOWN, State.ABSENT) for item in items)


def worst(items: Sequence[Item]) -> State:
    """The gravest state among some items, GOOD where there is none."""
    order = list(State)
    return max((item.state for item in items), key=order.index, default=State.GOOD)
