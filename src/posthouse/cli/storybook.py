"""The story of a message on a terminal: a judgement, then pictures of the way and of what vouches for whom.

    It is really from example.org, which signed it and lets 192.0.2.1 send for it.

    The way it came                                             2025-03-01, UTC
      ○ laptop [198.51.100.7]
      │
      ○ mx.example.org                      ESMTPSA TLSv1.3     18:15:28
      │
      ● mx.posthouse.test                   ESMTPS TLSv1.3      18:15:30   +2 s

Everything fits into 80 columns, and nothing in a message gets onto the terminal but printable characters: each piece
goes through `said`. Where the output is no terminal there are neither colours nor line breaks inside a sentence.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final
from unicodedata import combining

from posthouse.checks.story.wording import short, span
from posthouse.cli.terminal import clean, console, octets_text
from posthouse.mail.instant import SECOND, Instant, rfc3339

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from posthouse.checks.story import Hop, Strand
    from posthouse.cli.examination import Telling

# As much of anything that a message says of itself is shown.
CHARACTERS: Final = 300
# A longer way is shown by its ends.
HOPS_SHOWN: Final = 24
# Marks above and below a letter, of which hostile text piles up hundreds.
_PILED: Final = 2
_PICTURE: Final = 100
_WIDE: Final = 72

# Word of RFC 8601 → the mark before it and its style.
_MARKS = {
    "pass": ("✓", "green"), "fail": ("✗", "red"), "permerror": ("✗", "red"), "softfail": ("!", "yellow"),
    "temperror": ("?", "yellow"), "policy": ("!", "yellow"), "neutral": ("·", ""), "none": ("·", "dim"),
}
_WISHES = {
    "none": "asks for nothing where nothing holds", "quarantine": "asks for Junk where nothing holds",
    "reject": "asks for refusal where nothing holds",
}
_SEVERITIES = {"high": ("!!", "bold red"), "medium": ("! ", "yellow"), "low": ("· ", "")}
_ACTIONS = {
    "accept": ("would be accepted", "green"), "quarantine": ("would go to Junk", "yellow"),
    "defer": ("would be put off", "yellow"), "reject": ("would be refused", "red"),
}


def said(text: str, limit: int = CHARACTERS) -> str:
    """Whatever a message says, in one line that can do nothing to a terminal: printable, short, not piled up."""
    text = clean(text[: 2 * limit])
    if not text.isascii():
        kept: list[str] = []
        piled = 0
        for character in text:
            piled = piled + 1 if combining(character) else 0
            if piled <= _PILED:
                kept.append(character)
        text = "".join(kept)
    return short(text, limit)


def print_story(telling: "Telling") -> None:
    """To standard output."""
    out = console()
    if out.is_terminal:
        for part in _parts(telling, out):
            out.print(part)
        return
    with out.capture() as captured:
        for part in _parts(telling, out):
            out.print(part, soft_wrap=True)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _parts(telling: "Telling", out: "Console") -> Iterator["RenderableType"]:
    width = out.width if out.is_terminal else _PICTURE
    yield from _judgement(telling)
    yield from _card(telling)
    yield from _way(telling, width)
    yield from _alignment(telling, width)
    yield from _checks(telling)
    yield from _recorded(telling)
    yield from _findings(telling)
    yield from _leaks(telling)


def _heading(words: str, remark: str = "") -> "Text":
    from rich.text import Text

    return Text.assemble("\n", (words, "bold cyan"), (f"  {remark}" if remark else "", "dim"))


def _grid(rows: Iterable[Sequence["Text | str"]], columns: int) -> "RenderableType":
    """Columns of which only the last one is folded."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 1, 0, 0))
    for at in range(columns):
        grid.add_column(no_wrap=at < columns - 1, overflow="fold")
    for row in rows:
        grid.add_row(*row)
    return grid


def _judgement(telling: "Telling") -> Iterator["RenderableType"]:
    from rich.text import Text

    decided = telling.decided()
    words, style = _ACTIONS[str(decided["action"])]
    yield Text(said(telling.story.judgement, 1_000), style="bold")
    rule, reason = str(decided["rule"]), said(str(decided["reason"]))
    # A rule that decides alone says what a check below says as well.
    why = f": {reason}" if rule == "score" or not telling.examination.lines else f" by the rule {rule}"
    yield Text.assemble(("→ ", "dim"), (f"It {words}", style), (why, "dim"))
    if telling.raw.more:
        yield Text("  The file holds more than one message; this is the first.", style="dim")
    broken = any(signature.result == "fail" for signature in telling.story.checked.signatures)
    if telling.raw.converted and broken:
        yield Text("  The file was saved with other line ends, and perhaps more is not as it was.", style="dim")


def _card(telling: "Telling") -> Iterator["RenderableType"]:
    from rich.text import Text

    known, facts = telling.story.known, telling.facts
    name = said(telling.display_name, 100)
    author = f"{name} <{said(telling.header_from)}>" if name else said(telling.header_from)
    rows: list[tuple[str, str]] = [("From", author or "nobody who could be told")]
    to = telling.message.header.text("to")
    rows += [("To", said(to, 200))] if to else []
    rows += [("Subject", said(facts.subject, 200))] if facts.subject else []
    date = telling.message.header.text("date")
    rows += [("Dated", said(date, 60))] if date else []
    rows.append(("Size", octets_text(len(telling.message.octets))))
    yield Text("")
    yield _grid(((Text(f"  {label}", style="dim"), Text(text)) for label, text in rows), 2)
    came = [
        (label, text, known.sources.get(source, ""))
        for label, text, source in (
            ("Client", said(known.ip), "ip"), ("HELO", said(known.helo, 100), "helo"),
            ("MAIL FROM", said(known.return_path), "mail_from"),
            ("RCPT TO", said(", ".join(f"<{address}>" for address in known.rcpt_to), 200), "rcpt_to"),
            ("Came in", _moment(known.at), "at"),
        )
        if text
    ]  # fmt: skip
    unknown = [word for word, there in (("client", known.ip), ("MAIL FROM", known.has_mail_from)) if not there]
    yield _heading("How it came", f"not known: {', '.join(unknown)}" if unknown else "")
    if came:
        yield _grid(
            ((Text(f"  {label}", style="dim"), Text.assemble(text, (f"  {_source(where)}", "dim")))
             for label, text, where in came), 2,
        )  # fmt: skip


def _source(where: str) -> str:
    return "as given" if where == "given" else f"as in {where}"


def _way(telling: "Telling", width: int) -> Iterator["RenderableType"]:
    from rich.text import Text

    way = telling.story.hops
    if not way:
        yield _heading("The way it came", telling.story.trust.how)
        return
    dated = [hop.at for hop in way if hop.at is not None]
    yield _heading("The way it came", f"{_day(dated[0])}, times in UTC" if dated else "")
    first = way[0]
    origin = said(_client(first), width - 8)
    yield Text.assemble("  ○ ", origin or "somebody")
    day = _day(dated[0]) if dated else ""
    left_out = len(way) - HOPS_SHOWN
    for at, hop in enumerate(way):
        if left_out > 0 and HOPS_SHOWN // 2 <= at < HOPS_SHOWN // 2 + left_out:
            if at == HOPS_SHOWN // 2:
                yield Text(f"  ⋮ {left_out} more", style="dim")
            continue
        if at and not _follows(way[at - 1], hop):
            yield Text.assemble(("  ╎ ", "dim"), ("from ", "dim"), said(_client(hop), width - 14))
        if hop.at is not None and _day(hop.at) != day:
            day = _day(hop.at)
            yield Text(f"  {day}", style="dim")
        yield _hop(hop, width)
        if hop is telling.story.trust.entry:
            yield _noted(f"trust begins here: {telling.story.trust.how}", "green", "  ├")
        for doubt in telling.story.doubts:
            if doubt.number == hop.number:
                yield _noted(f"it {doubt.finding.text}", "red" if doubt.finding.severity == "high" else "yellow")
    if telling.story.trust.entry is None:
        yield _noted(telling.story.trust.how, "yellow")


def _noted(words: str, style: str, mark: str = "  │  ") -> "RenderableType":
    """Below a hop; what is folded stays to the right of the mark."""
    from rich.text import Text

    return _grid([(Text(mark), Text(said(words), style=style))], 2)


def _hop(hop: "Hop", width: int) -> "RenderableType":
    """`  ● mx.posthouse.test        ESMTPS TLSv1.3      18:15:30   +2 s`"""
    from rich.text import Text

    received = hop.received
    # Where there is little room, the version of TLS goes first.
    wide = width >= _WIDE
    how = said(f"{received.protocol} {received.tls.split(' ')[0] if wide else ''}".strip(), 18 if wide else 9)
    clock = _moment(hop.at)[11:19] or "no date "
    mark = "?" if received.unzoned else " "
    delay, style = "", "dim"
    if hop.delay is not None:
        delay = f"{'+' if hop.delay >= 0 else '-'}{span(hop.delay)}"
        style = "yellow" if hop.delay < 0 or hop.delay > 3600 * SECOND else "dim"
    room = max(width - (52 if wide else 40), 14)
    name = said(hop.by or "a host without a name", room)
    return Text.assemble(
        ("  ● " if hop.trusted else "  ○ ", "green" if hop.trusted else ""), name.ljust(room), " ",
        (how.ljust(19 if wide else 10), "dim"), clock, mark, (delay.rjust(12), style),
    )  # fmt: skip


def _client(hop: "Hop") -> str:
    """Who brought it, and from where: `laptop (host.example.net) [192.0.2.1]`."""
    received = hop.received
    name = received.frm if received.frm != received.ip else ""
    host = f" ({received.host})" if received.host and received.host.lower() != received.frm.lower() else ""
    return f"{name}{host}{f' [{received.ip}]' if received.ip else ''}".strip()


def _follows(before: "Hop", hop: "Hop") -> bool:
    """Whether the client is called just as the host before it, so that nothing need be said of it."""
    received = hop.received
    return not hop.client or hop.by == hop.client or before.by in (hop.client, received.host.lower(), received.ip)


def _alignment(telling: "Telling", width: int) -> Iterator["RenderableType"]:
    from rich.text import Text

    story = telling.story
    dmarc = story.checked.dmarc
    yield _heading("Envelope beside header")
    room = max(width - 64, 14)
    names = [said(strand.domain, room) for strand in story.strands]
    longest = max(map(len, names), default=0)
    indent = 2 + 11 + longest + 1 + 16
    yield Text.assemble(
        " " * indent, ("From ", "dim"), (said(telling.header_from, width - indent - 6) or "nobody", "bold")
    )
    for strand, name in zip(story.strands, names, strict=True):
        yield _strand(strand, name, longest)
    if not story.strands:
        yield Text("  nothing speaks for it: no signature, and no envelope is known", style="dim")
    if dmarc is not None:
        mark, style = _MARKS.get(dmarc.result, ("·", ""))
        wish = f"; {said(dmarc.policy_domain, 40)} {_WISHES[dmarc.requested]}" if dmarc.policy_domain else ""
        wish = wish or ("; there is no policy" if dmarc.result == "none" else "")
        yield Text.assemble("  ", (f"{mark} DMARC {dmarc.result}", style), (wish, "dim"))
    reply_to = telling.message.header.text("reply-to")
    if reply_to:
        yield Text.assemble("  ", ("Reply-To".ljust(11), "dim"), said(reply_to, width - 14))


def _strand(strand: "Strand", name: str, longest: int) -> "Text":
    """A line from a name to the author's: whole and joined where it holds, broken where it does not."""
    from rich.text import Text

    _, style = _MARKS.get(strand.result, ("·", "dim"))
    result = f" {strand.method.upper()} {strand.result} " if strand.result else " not asked "
    line = ("─" if strand.holds else "╌") * max(16 - len(result), 2)
    drawn = f"{line[: len(line) // 2]}{result}{line[len(line) // 2 :]}"
    end = "┤" if strand.holds else "╳" if strand.result == "pass" else " "
    return Text.assemble(
        "  ", (strand.label.ljust(11), "dim"), name.ljust(longest), " ", (drawn, style),
        (end, "green" if strand.holds else "red"), (f" {strand.remark}", "dim"),
    )  # fmt: skip


def _checks(telling: "Telling") -> Iterator["RenderableType"]:
    from rich.text import Text

    yield _heading("Checked now", f"as of {_moment(telling.story.known.at)}" if telling.story.known.at else "")
    rows = []
    for verdict in telling.story.verdicts:
        if verdict.method in ("lookalike", "impostor") and verdict.result != "none":
            # What they found stands below, each with its weight.
            continue
        mark, style = _MARKS.get(verdict.result, ("·", ""))
        rows.append((
            Text(f"  {mark}", style=style), Text(verdict.method), Text(verdict.result, style=style),
            Text(said(verdict.reason, 600), style="dim" if verdict.result == "none" else ""),
        ))  # fmt: skip
    yield _grid(rows, 4)


def _recorded(telling: "Telling") -> Iterator["RenderableType"]:
    from rich.text import Text

    notes = telling.story.notes
    if not notes:
        return
    yield _heading("Recorded on the way")
    rows = []
    for note in notes:
        kind = {"Authentication-Results": "", "Received-SPF": ""}.get(note.kind, f"ARC {note.instance}: ")
        results = "  ".join(f"{result.method}={result.result}" for result in note.results) or note.flaw or "nothing"
        rows.append((
            Text("  ✓" if note.believed else "  ·", style="green" if note.believed else "dim"),
            Text(said(f"{kind}{note.by}", 40) or "nobody"),
            Text.assemble(said(results), ("" if note.believed else "  (claimed)", "dim")),
        ))  # fmt: skip
    yield _grid(rows, 3)


def _findings(telling: "Telling") -> Iterator["RenderableType"]:
    from rich.text import Text

    # What concerns one hop stands beside it.
    beside = {doubt.finding for doubt in telling.story.doubts if doubt.number}
    found = [finding for finding in telling.story.findings if finding not in beside]
    if found:
        yield _heading("Beware: it …")
        rows = []
        for finding in found:
            mark, style = _SEVERITIES[finding.severity]
            rows.append((Text(f"  {mark}", style=style), Text(said(finding.text, 600), style=style)))
        yield _grid(rows, 2)


def _leaks(telling: "Telling") -> Iterator["RenderableType"]:
    from rich.text import Text

    leaks = telling.story.leaks
    if leaks:
        yield _heading("What it gives away")
        yield _grid(
            ((Text(f"  {leak.what}", style="dim"), Text.assemble(said(leak.value, 120), (f"  {leak.where}", "dim")))
             for leak in leaks), 2,
        )  # fmt: skip


def _moment(at: Instant | None) -> str:
    """`2025-03-01 18:15:30 UTC`; "" for none."""
    return "" if at is None else f"{rfc3339(at)[:-1].replace('T', ' ')} UTC"


def _day(at: Instant) -> str:
    return _moment(at)[:10]
