"""`posthouse reports`: what others report about our domains, and what we reported to others."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from posthouse.cli.arguments import DomainType
from posthouse.cli.terminal import Complaint, config_option, json_option, show, waiting
from posthouse.mail.instant import DAY, Instant

if TYPE_CHECKING:
    from posthouse.cli.office import Office
    from posthouse.route.overview import Source
    from posthouse.store.feedback import Day, Line, ReceivedReport, Span
    from posthouse.store.reports import SentReport

# For the names of all sources together; what is not known by then is shown by its address.
NAMES_SECONDS = 5.0
NAMES_FRESH = 7 * DAY


@dataclass(frozen=True, slots=True)
class Findings:
    """What is told about one domain and those below it, or about all (`domain` is "" then)."""

    domain: str
    first: int
    last: int
    days: "Sequence[Day]"
    sources: "Sequence[Source]"
    reports: "Sequence[ReceivedReport]"
    failures: "Sequence[ReceivedReport]"
    tls: "Sequence[ReceivedReport]"
    unproven: int
    ours: Sequence[str] = field(default=())


class SummaryFirst(click.Group):
    """A group whose command `summary` is meant where none is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["summary", *args]
        return super().parse_args(ctx, args)


@click.group("reports", cls=SummaryFirst)
def reports_command() -> None:
    """Who sends mail in the name of your domains, as others report it (DMARC, TLS).

    Without a command, `summary` is meant.

    \b
    posthouse reports
    posthouse reports example.org --days 7
    posthouse reports sent
    """


@reports_command.command("summary")
@click.argument("domain", type=DomainType(), required=False)
@click.option("--days", type=click.IntRange(1, 3650), default=30, show_default=True, help="How far to look back.")
@click.option("--all", "everything", is_flag=True, help="Count reports too whose sender nothing proves.")
@click.option("--offline", is_flag=True, help="Ask nobody for the names of addresses.")
@config_option
@json_option
def summary_command(
    domain: str | None, days: int, everything: bool, offline: bool, config_path: Path | None, as_json: bool
) -> None:
    """Who sends as DOMAIN (and those below it), what passes, and what does not; without DOMAIN, as any of yours.

    Sources are put together by the name that their addresses have in the DNS, where that name leads back to them.
    """
    from posthouse.cli import reportviews
    from posthouse.cli.office import now, work
    from posthouse.store.feedback import Span

    at = now()
    span = Span((at // DAY - days + 1) * DAY, domain or "", not everything)

    async def task(office: "Office") -> Findings:
        with waiting("" if as_json or offline else "asking for names"):
            return await _find(office, span, at, offline=offline)

    found = work(config_path, task)
    show(reportviews.facts(found, span, at), as_json, lambda: reportviews.tell(found, span))


@reports_command.command("sent")
@click.argument("domain", type=DomainType(), required=False)
@click.option("--days", type=click.IntRange(1, 3650), default=14, show_default=True, help="How far to look back.")
@config_option
@json_option
def sent_command(domain: str | None, days: int, config_path: Path | None, as_json: bool) -> None:
    """What we reported to others: the aggregate reports of each day, and failures, newest first."""
    from posthouse.cli import reportviews
    from posthouse.cli.office import now, work
    from posthouse.store import reports

    since = now() - days * DAY

    async def task(office: "Office") -> "list[SentReport]":
        return await office.database.read(lambda tx: reports.sent_reports(tx, since, domain or ""))

    found = work(config_path, task)
    show({"sent": [reportviews.sent_facts(each) for each in found]}, as_json, lambda: reportviews.tell_sent(found))


async def _find(office: "Office", span: "Span", at: Instant, *, offline: bool) -> Findings:
    from posthouse.route.overview import gather
    from posthouse.store import directory, feedback
    from posthouse.store.database import Transaction
    from posthouse.store.feedback import Kind

    def unit(tx: Transaction) -> "tuple[Findings, list[Line]]":
        ours = directory.domains(tx)
        known = Findings(
            span.domain,
            span.since // DAY,
            at // DAY,
            feedback.days(tx, span),
            (),
            feedback.reports(tx, span, Kind.AGGREGATE),
            feedback.reports(tx, span, Kind.FAILURE),
            feedback.reports(tx, span, Kind.TLS),
            feedback.unproven(tx, span) if span.proven else 0,
            ours,
        )
        return known, feedback.sources(tx, span)

    known, lines = await office.database.read(unit)
    if span.domain and not known.reports and not _is_ours(span.domain, known.ours):
        raise Complaint(f"{span.domain} is no domain of yours, and nobody reports about it")
    return replace(known, sources=gather(lines, await _names(office, lines, at, offline=offline)))


def _is_ours(domain: str, ours: Sequence[str]) -> bool:
    return any(domain == known or domain.endswith(f".{known}") for known in ours)


async def _names(office: "Office", lines: "Sequence[Line]", at: Instant, *, offline: bool) -> dict[str, str]:
    """The names of all sources: those that somebody asked for lately, and unless `offline` the others now."""
    from posthouse.cli.asking import asker
    from posthouse.route.overview import addresses, ask_names
    from posthouse.store import feedback

    ips = addresses(lines)
    known = await office.database.read(lambda tx: feedback.names(tx, ips, at - NAMES_FRESH))
    missing = [ip for ip in ips if ip not in known]
    if offline or not missing:
        return known
    began = time.monotonic()
    async with asker(None, office.config) as ask:
        found = await ask_names(missing, ask.within(NAMES_SECONDS), NAMES_SECONDS - (time.monotonic() - began))
    await office.database.write(lambda tx: feedback.remember_names(tx, found.items(), at))
    return known | found
