"""`posthouse explain`: the story of any raw message, told on the terminal or as JSON.

The message need never have touched this server. What its file does not tell (the client, the envelope, the time) is
taken from the options, else from what the message itself records, and the story says which.
"""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from posthouse.cli.arguments import AddressType, InstantType, IpType, PathType
from posthouse.cli.terminal import config_option, json_option, show, waiting
from posthouse.mail.address import Address
from posthouse.mail.instant import SECOND, Instant, rfc3339

if TYPE_CHECKING:
    from posthouse.checks.story import Given, Hop, Note
    from posthouse.cli.asking import FileAsker
    from posthouse.cli.examination import Telling
    from posthouse.cli.office import Office
    from posthouse.cli.rawmessage import RawMessage
    from posthouse.cli.surroundings import Surroundings


_FETCH_SECONDS: Final = 60.0


@click.command("explain")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, readable=False))
@click.option("--ip", type=IpType(), help="The address of the client that brought it.")
@click.option("--helo", metavar="NAME", help="What the client called itself.")
@click.option("--mail-from", type=PathType(), help="The sender in the envelope; '' or '<>' for none.")
@click.option("--rcpt-to", type=AddressType(), multiple=True, help="A recipient in the envelope; may be repeated.")
@click.option("--at", type=InstantType(), help="When it came in, as RFC 3339 or RFC 5322 write it.")
@click.option("--trusted", metavar="HOST", multiple=True, help="A host or domain whose Received fields are believed.")
@click.option("--dnsbl", metavar="ZONE", multiple=True, help="A list in the DNS to ask as well; may be repeated.")
@click.option("--online", is_flag=True, help="Also fetch the logo of a sender who is proved (BIMI).")
@click.option("--zone", metavar="FILE", type=click.Path(path_type=Path, readable=False),
              help="Answer DNS from a zone: a master file, or JSON {name: {type: [data]}}.")
@config_option
@json_option
def explain_command(
    file: Path, ip: str | None, helo: str | None, mail_from: str | None, rcpt_to: Sequence[Address], at: Instant | None,
    trusted: Sequence[str], dnsbl: Sequence[str], online: bool, zone: Path | None, config_path: Path | None,
    as_json: bool,
) -> None:
    """Tell the story of a message: its way and its delays, who vouches for it, what does not fit, what it gives away.

    FILE is any raw message, as a mail program saves it or as it lies in an mbox; `-` is standard input. No server is
    needed. SPF, DKIM, DMARC and ARC are asked as of the time the message came in.

    \b
    posthouse explain letter.eml
    posthouse explain - --ip 192.0.2.1 --mail-from alice@example.org < letter.eml
    posthouse explain letter.eml --zone example.org.zone --json
    """
    from posthouse.checks.story import Given
    from posthouse.cli import rawmessage, surroundings
    from posthouse.cli.asking import read_zone

    # Files before settings: as root, looking into a server's data makes this process its owner.
    raw = rawmessage.read(file)
    names = read_zone(zone) if zone is not None else None
    given = Given(ip or "", helo or "", mail_from or "", tuple(rcpt_to), at, raw.from_line)
    around = surroundings.find(config_path)

    async def task(office: "Office | None") -> "Telling":
        wishes = _Wishes(tuple(trusted), tuple(dnsbl), online)
        return await _tell(raw, given, names, around, office, wishes)

    if around.has_data:
        from posthouse.cli.office import work

        telling = work(config_path, task)
    else:
        telling = asyncio.run(task(None))

    def human() -> None:
        from posthouse.cli.storybook import print_story

        print_story(telling)

    show(_facts(telling), as_json, human)


class _Wishes(NamedTuple):
    """What the person asks for besides the message."""

    trusted: tuple[str, ...]
    lists: tuple[str, ...]
    online: bool


async def _tell(
    raw: "RawMessage", given: "Given", names: "FileAsker | None", around: "Surroundings", office: "Office | None",
    wishes: _Wishes,
) -> "Telling":
    from posthouse.cli.asking import asker
    from posthouse.cli.examination import Means, tell_story

    readers = None
    if office is not None:
        from posthouse.cli.readers import Readers

        readers = Readers(office)
    async with asker(names, around.config) as ask:
        fetch = None
        if wishes.online:
            from posthouse.serve import tls
            from posthouse.serve.fetch import Fetcher

            fetch = Fetcher(ask.within(_FETCH_SECONDS), tls.verified())
        means = Means(ask, around, wishes.trusted, wishes.lists, readers, fetch)
        with waiting("asking the DNS" if names is None else ""):
            telling = await tell_story(raw, given, means, time.time_ns() // 1000)
    if readers is not None:
        readers.close()
    return telling


def _facts(telling: "Telling") -> dict[str, object]:
    """The object that CONTRACT promises, and more."""
    story, known = telling.story, telling.story.known
    checked = story.checked
    return {
        "judgement": story.judgement,
        "decision": telling.decided(),
        "envelope": {
            "mail_from": str(known.mail_from or "") if known.has_mail_from else None,
            "rcpt_to": [str(address) for address in known.rcpt_to],
            "helo": known.helo or None,
            "ip": known.ip or None,
            "at": _time(known.at),
            "sources": dict(known.sources),
            "flaw": known.flaw,
        },
        "header_from": {"address": telling.header_from, "display_name": telling.display_name, "flaw": checked.flaw},
        "subject": telling.facts.subject,
        "message_id": telling.facts.message_id,
        "date": _time(telling.facts.sent_at),
        "size": len(telling.message.octets),
        "converted_line_ends": telling.raw.converted,
        "more_messages": telling.raw.more,
        "verdicts": [
            {
                "method": verdict.method, "result": verdict.result, "identity": verdict.identity,
                "reason": verdict.reason,
                "evidence": [{"question": each.question, "answer": list(each.answer)} for each in verdict.evidence],
            }
            for verdict in story.verdicts
        ],
        "alignment": [strand._asdict() for strand in story.strands],
        "recorded": [_note(note) for note in story.notes],
        "trust": {
            "begins": story.trust.entry.where if story.trust.entry is not None else None,
            "assumed": story.trust.assumed, "reason": story.trust.how,
        },
        "hops": [_hop(hop, telling) for hop in story.hops],
        "leaks": [leak._asdict() for leak in story.leaks],
        "findings": [
            {"kind": finding.kind, "severity": str(finding.severity), "text": finding.text, "about": finding.about}
            for finding in story.findings
        ],
    }


def _hop(hop: "Hop", telling: "Telling") -> dict[str, object]:
    received = hop.received
    return {
        "from": received.frm or received.host or received.ip,
        "by": received.by,
        "protocol": received.protocol,
        "at": _time(received.at),
        "delay_seconds": None if hop.delay is None else hop.delay // SECOND,
        "tls": received.tls,
        "trusted": hop.trusted,
        "host": received.host,
        "ip": received.ip,
        "for": received.for_,
        "id": received.id,
        "field": hop.where,
        "doubts": [doubt.finding.text for doubt in telling.story.doubts if doubt.number == hop.number],
    }


def _note(note: "Note") -> dict[str, object]:
    return {
        "field": note.kind,
        "instance": note.instance or None,
        "by": note.by,
        "believed": note.believed,
        "results": [
            {
                "method": result.method, "result": result.result, "reason": result.reason,
                "properties": {f"{each.ptype}.{each.name}": each.value for each in result.properties},
            }
            for result in note.results
        ],
        "flaw": note.flaw,
    }


def _time(at: Instant | None) -> str | None:
    return None if at is None else rfc3339(at)
