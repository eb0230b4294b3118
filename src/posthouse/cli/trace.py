"""`posthouse trace`: the journey of a message, as a timeline a person can follow or as JSON."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from posthouse.cli.office import Office, work
from posthouse.cli.terminal import Complaint, clean, config_option, console, json_option, show, span_text, table
from posthouse.mail.instant import SECOND, Instant, rfc3339
from posthouse.mail.journey import Journey, Stamp, Step, sentence
from posthouse.store import ids, journeys
from posthouse.store.database import Transaction

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

# What people call the parts of a journey. A step that is in none of them stands under the heading before it.
STAGES: dict[str, tuple[Step, ...]] = {
    "Connection": (Step.CONNECTED, Step.HELLO, Step.TLS, Step.LOGIN),
    "Envelope": (Step.ENVELOPE, Step.RECIPIENT),
    "Message": (Step.RECEIVED, Step.ADDED, Step.REMOVED, Step.SIGNED, Step.UNSIGNED),
    "Checks and decision": (Step.VERDICT, Step.DECISION, Step.WARNING),
    "Filing": (Step.DELIVERED, Step.REWRITTEN, Step.SEALED, Step.QUEUED),
    "Answer": (Step.ACCEPTED, Step.REFUSED),
    "On its way": (
        Step.ROUTE, Step.ATTEMPT, Step.RETRY, Step.RELAYED, Step.DELAYED, Step.FAILED, Step.EXPIRED, Step.BOUNCED,
        Step.DROPPED, Step.HELD, Step.RELEASED,
    ),
}
_STAGE_OF = {step: stage for stage, steps in STAGES.items() for step in steps}

GOOD = {Step.DELIVERED, Step.ACCEPTED, Step.RELAYED}
BAD = {Step.FAILED, Step.EXPIRED, Step.DROPPED, Step.REFUSED}
WAITING = {Step.RETRY, Step.DELAYED, Step.HELD, Step.WARNING}

# What the last of these steps means for the recipient it names.
STANDS = {
    Step.DELIVERED: "delivered", Step.QUEUED: "waiting", Step.RELAYED: "relayed", Step.FAILED: "failed",
    Step.EXPIRED: "expired", Step.HELD: "held", Step.RELEASED: "waiting", Step.DROPPED: "dropped",
}

# What is told below a stamp, line by line.
_DETAILS = {Step.VERDICT: ("evidence",), Step.DECISION: ("lines", "overrides")}
_INDENT = len("    18:15:30.120 +1234 ms  ")

LISTED = 20
# How many recipients a line of the list names.
NAMED = 3


@click.command("trace")
@click.argument("identifier", metavar="[ID]", required=False)
@click.option("--list", "listed", is_flag=True, help=f"The newest {LISTED} messages instead, one a line.")
@config_option
@json_option
def trace_command(identifier: str | None, listed: bool, config_path: Path | None, as_json: bool) -> None:
    """Tell the journey of a message: who brought it, what was decided and why, where it went, and when.

    ID is what replies and logs show (13 characters) or a Message-ID, with or without angle brackets. Without ID it
    is the newest message.

    \b
    posthouse trace 06xk2f9t0h001
    posthouse trace '<20250301181530.1@example.org>' --json
    """
    if listed and identifier is not None:
        raise click.UsageError("ID and --list exclude each other")

    async def task(office: Office) -> list[Journey]:
        return await office.database.read(lambda tx: _find(tx, identifier, LISTED if listed else 1))

    found = work(config_path, task)
    if listed:
        rows = [_summary(journey) for journey in found]
        show({"journeys": [_facts(journey) for journey in found]}, as_json, lambda: table(
            ("id", "at", "from", "to", "outcome"), rows, "No message yet."
        ))
        return
    if not found:
        raise Complaint(f"no message is known as {clean(identifier)}" if identifier else "no message yet")
    # A message that we received twice (sent and delivered by ourselves, say) has a journey for each time.
    data = _facts(found[0]) if len(found) == 1 else {"journeys": [_facts(journey) for journey in found]}
    show(data, as_json, lambda: _print_journeys(found))


def _find(tx: Transaction, identifier: str | None, limit: int) -> list[Journey]:
    if identifier is None:
        numbers = journeys.recent(tx, limit)
    else:
        try:
            numbers = [ids.from_text(identifier)]
        except ValueError:
            numbers = journeys.find(tx, identifier)
    return [journey for number in numbers if (journey := journeys.load(tx, number)) is not None]


def _facts(journey: Journey) -> dict[str, object]:
    return {
        "id": ids.to_text(journey.journey_id),
        "message_id": journey.message_id,
        "stamps": [
            {
                "at": rfc3339(stamp.at), "microseconds": stamp.at, "step": str(stamp.step),
                "stage": _STAGE_OF.get(stamp.step, ""), "facts": dict(stamp.facts), "text": sentence(stamp),
            }
            for stamp in journey.stamps
        ],
    }


def _summary(journey: Journey) -> tuple[str, str, str, str, str]:
    """One line of the list: id, when the message came (its connection may be hours older), from, to, and how it stands
    with each recipient."""
    mail_from = ""
    stands: dict[str, str] = {}
    reached: list[str] = []
    for stamp in journey.stamps:
        facts = stamp.facts
        if stamp.step is Step.ENVELOPE:
            mail_from = str(facts.get("mail_from") or "")
        if stamp.step is Step.RECIPIENT:
            if str(facts.get("reply")).startswith("2"):
                reached.append(str(facts.get("address")))
        elif stamp.step is Step.REFUSED:
            stands.update(dict.fromkeys(reached, "deferred" if str(facts.get("reply")).startswith("4") else "refused"))
        elif stamp.step in STANDS:
            named = facts.get("address")
            for address in named if isinstance(named, list) else [str(named)]:
                stands[address] = STANDS[stamp.step]
    counts = Counter(stands.values())
    shown = [f"<{address}>" for address in islice(stands, NAMED)]
    if len(stands) > NAMED:
        shown.append(f"{len(stands) - NAMED} more")
    return (
        ids.to_text(journey.journey_id), rfc3339(ids.instant(journey.journey_id)), f"<{mail_from}>",
        ", ".join(shown), ", ".join(f"{count} {how}" for how, count in counts.items()),
    )


def _print_journeys(found: Sequence[Journey]) -> None:
    out = console()
    for number, journey in enumerate(found):
        if number:
            out.print()
        for line in _lines(journey):
            out.print(line, soft_wrap=not out.is_terminal)


def _lines(journey: Journey) -> Iterator["RenderableType"]:
    from rich.text import Text

    title = Text(f"Message {ids.to_text(journey.journey_id)}", style="bold")
    if journey.stamps:
        title.append(f"  {_day(journey.stamps[0].at)}, UTC", style="dim")
    yield title
    if journey.message_id:
        yield Text(f"Message-ID {clean(journey.message_id)}", style="dim")
    stage = ""
    before = journey.stamps[0].at if journey.stamps else 0
    for stamp in journey.stamps:
        new = _STAGE_OF.get(stamp.step, stage)
        if new != stage:
            stage = new
            yield Text(f"\n  {stage}", style="bold cyan")
        if _day(stamp.at) != _day(before):
            yield Text(f"    {_day(stamp.at)}", style="dim")
        yield _line(stamp, stamp.at - before)
        for detail in _details(stamp):
            yield _row(Text(" " * (_INDENT + 3)), Text(detail, style="dim"))
        before = stamp.at


def _day(at: Instant) -> str:
    return rfc3339(at)[:10]


def _line(stamp: Stamp, gap: int) -> "RenderableType":
    """`18:15:30.120   +3 ms  it called itself mx.far.test (EHLO)`; no gap is shown below a millisecond."""
    from rich.text import Text

    clock = f"{rfc3339(stamp.at)[11:19]}.{stamp.at % SECOND // 1000:03d}"
    shown = f"+{span_text(gap)}" if gap >= SECOND // 1000 else ""
    style = "green" if stamp.step in GOOD else "red" if stamp.step in BAD else "yellow" if stamp.step in WAITING else ""
    return _row(Text(f"    {clock} {shown:>9}  ", style="dim"), Text(sentence(stamp), style=style))


def _details(stamp: Stamp) -> Iterator[str]:
    """What stands below a verdict (questions and answers) and a decision (the lines of the table that spoke)."""
    facts = stamp.facts
    for name in _DETAILS.get(stamp.step, ()):
        found = facts.get(name)
        for each in found if isinstance(found, list) else ():
            yield clean(f"override for the report: {each}" if name == "overrides" else each)
    clues = facts.get("clues")
    if isinstance(clues, list):
        yield clean(f"how much of junk is in its words: {', '.join(clues)}")
    if stamp.step is Step.DECISION and "score" in facts:
        yield f"score {facts['score']}"


def _row(when: "Text", what: "Text") -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    if not sys.stdout.isatty():
        return Text.assemble(when, what)
    # On a terminal a long sentence goes on below its own beginning.
    row = Table.grid()
    row.add_column(no_wrap=True)
    row.add_column(overflow="fold")
    row.add_row(when, what)
    return row
