"""`posthouse check`: a domain as the world sees it, and what to mend.

Nobody but the DNS is asked unless `--online` says so: that is quick, leaves no trace with the domain, and needs no port
25, which is closed on many lines. With `--online` the mail hosts are called as far as STARTTLS, and the policy of
MTA-STS and the logo are fetched.
"""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from posthouse.cli.arguments import DomainType
from posthouse.cli.terminal import config_option, json_option, show

if TYPE_CHECKING:
    from posthouse.checks.survey import Branch
    from posthouse.cli.inspection import Report


@click.command("check")
@click.argument("domain", type=DomainType())
@click.option("--selector", metavar="NAME", multiple=True, help="A DKIM selector that is in use; may be repeated.")
@click.option("--dnsbl", metavar="ZONE", multiple=True, help="A list in the DNS to ask; may be repeated.")
@click.option("--online", is_flag=True, help="Also call the mail hosts, and fetch the MTA-STS policy and the logo.")
@click.option("--zone", metavar="FILE", type=click.Path(path_type=Path, readable=False),
              help="Answer DNS from a zone: a master file, or JSON {name: {type: [data]}}.")
@config_option
@json_option
def check_command(
    domain: str, selector: Sequence[str], dnsbl: Sequence[str], online: bool, zone: Path | None,
    config_path: Path | None, as_json: bool,
) -> int:
    """Examine DOMAIN as the world sees it, and say what to mend: MX, reverse DNS, SPF, DKIM, DMARC, MTA-STS, TLSRPT,
    TLSA, BIMI, blocklists, with the records to publish.

    Only the DNS is asked. With --online the mail hosts are called as well, and what the domain publishes on the web is
    fetched. Of a domain of the server here, its own keys are compared with what is published. The exit code is 1 where
    something has to be mended, or where nothing could be found out.

    \b
    posthouse check example.org
    posthouse check example.org --online --selector s2025 --dnsbl zen.spamhaus.org
    posthouse check example.org --zone example.org.zone --json
    """
    from posthouse.checks.survey import found_out
    from posthouse.cli import surroundings
    from posthouse.cli.asking import read_zone
    from posthouse.cli.inspection import Wishes, inspect
    from posthouse.cli.terminal import progress

    # The file before the settings: as root, looking into a server's data makes this process its owner.
    file = read_zone(zone) if zone is not None else None
    around = surroundings.find(config_path)
    keys = surroundings.keys(config_path, around, domain)
    wishes = Wishes(tuple(selector), tuple(dnsbl), online, keys)
    with progress(f"examining {domain}") as step:
        report = asyncio.run(inspect(domain, file, around, wishes, time.time_ns() // 1000, step))

    def human() -> None:
        from posthouse.cli.report import print_report

        print_report(report)

    show(_facts(report), as_json, human)
    return 1 if report.must_mend or not found_out(report.items) else 0


def _facts(report: "Report") -> dict[str, object]:
    from posthouse.cli.inspection import published

    tree = report.tree
    return {
        "domain": report.domain,
        "must_mend": report.must_mend,
        "online": report.online,
        "counts": report.counts,
        "items": [
            {
                "topic": item.topic, "subject": item.subject, "state": str(item.state), "found": item.found,
                "means": item.means, "change": item.change,
                "publish": [published(entry).facts() for entry in item.publish],
                "evidence": [{"question": each.question, "answer": list(each.answer)} for each in item.evidence],
            }
            for item in report.items
        ],
        "spf": {
            "record": tree.root.text,
            "lookups": tree.lookups,
            "void_lookups": len(tree.voids),
            "tree": _branch(tree.root),
            "networks": [{"network": str(each.network), "by": list(each.by)} for each in tree.networks],
            "flattened": tree.flattened() if tree.root.text else "",
            "not_flattened": tree.unlike() if tree.root.text else "",
        },
        "exchanges": [
            {"name": each.name, "preference": each.preference, "addresses": list(each.addresses)}
            for each in report.exchanges
        ],
    }


def _branch(branch: "Branch") -> dict[str, object]:
    return {
        "domain": branch.domain, "term": branch.term, "record": branch.text, "lookups": branch.lookups,
        "trouble": branch.trouble,
        "terms": [term if isinstance(term, str) else _branch(term) for term in branch.terms],
    }  # fmt: skip
