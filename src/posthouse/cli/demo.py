"""`posthouse demo`: run the small internet of `posthouse.lab.demo`, and say what to open and type."""

import asyncio
import shlex
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from posthouse.cli.terminal import Complaint, console, json_option, program, show

if TYPE_CHECKING:
    from posthouse.lab.demo import Demo, Played

# A closed terminal is an end as well.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

SERVICES = {
    "smtp": "SMTP", "submission": "submission", "submissions": "TLS", "imap": "IMAP", "imaps": "TLS",
    "pop3": "POP3", "pop3s": "TLS",
}


@click.command("demo")
@click.option(
    "--dir", "folder", type=click.Path(file_okay=False, path_type=Path), default=Path("demo"), show_default=True,
    help="Where everything is kept; a second start goes on with the same mail and passwords.",
)
@click.option(
    "--port-base", type=click.IntRange(0), default=2000, show_default=True,
    help="Added to each standard port: SMTP at 2025, IMAP at 2143, …; 0 takes free ports.",
)
@click.option(
    "--senders", is_flag=True,
    help="Let others of the small internet bring mail as well: a spoof, a lookalike, forwarded mail, a mailing list.",
)
@json_option
def demo_command(folder: Path, port_base: int, senders: bool, as_json: bool) -> None:
    """Run a small internet on this machine: two mail hosts with their DNS, a certificate authority and three
    accounts, all on loopback, without root and without touching anything outside one folder.

    It prints passwords, ports and what to try, and runs until Ctrl-C. Once all is ready the same facts are in
    DIR/demo.json, for scripts; --json prints them instead of the card.

    \b
    posthouse demo
    posthouse demo --dir /tmp/demo --port-base 3000
    posthouse demo --senders
    """
    import uvloop

    from posthouse.lab.demo import Demo, DemoError

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(Demo(folder, port_base), folder, senders, as_json))
    except DemoError as error:
        raise Complaint(str(error)) from None


async def _run(demo: "Demo", folder: Path, senders: bool, as_json: bool) -> None:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in ENDING:
        loop.add_signal_handler(number, over.set)
    await demo.start()
    try:
        card = demo.card()
        if senders and as_json:
            card["senders"] = [_sender(played) async for played in demo.play()]
        show(card, as_json, lambda: _print_card(card, folder))
        if senders and not as_json:
            await _print_senders(demo, folder)
        sys.stdout.flush()
        await over.wait()
        for number in ENDING:
            # A second one does not wait for anything.
            loop.remove_signal_handler(number)
        if not as_json:
            print("\nStopping; the next start goes on from here.", flush=True)
    finally:
        await demo.stop()


def _print_card(card: Mapping[str, Any], folder: Path) -> None:
    from rich.text import Text

    out = console()
    ports, far = card["ports"], card["far"]
    facts = [("posthouse.test", _listeners(ports)), ("far.test", _listeners(far))]
    if "http" in ports:
        facts.append(("status page", f"http://127.0.0.1:{ports['http']}/"))
    facts += [
        ("DNS", f"127.0.0.1:{card['dns']}"),
        ("authority", f"{folder / 'ca.pem'}, for mail programs to trust"),
        ("logs", f"{folder / 'posthouse.log'}, {folder / 'far.log'}"),
    ]
    out.print(Text("\nTwo mail hosts, their DNS and their authority are running, all on loopback.\n", style="bold"))
    for account in card["accounts"]:
        line = Text.assemble((f"  {account['address']:<22}", "cyan"), f"password  {account['password']}")
        out.print(line, soft_wrap=True)
    out.print()
    for name, value in facts:
        out.print(Text(f"  {name:<15} {value}"), soft_wrap=True)
    out.print(Text("\nThree things to try, in another terminal:", style="bold"))
    for number, (words, command) in enumerate(_suggestions(card, folder), 1):
        out.print(f"\n  {number}. {words}")
        # Never wrapped: it is to be copied as it stands.
        out.print(Text(f"     {command}", style="green"), soft_wrap=True)
    out.print("\nCtrl-C stops everything; the next start goes on with the same mail and passwords.", soft_wrap=True)


def _sender(played: "Played") -> dict[str, str]:
    scene = played.scene
    return {
        "name": scene.name, "title": scene.title, "ends": scene.ends, "reply": played.reply, "id": played.queue_id,
    }  # fmt: skip


async def _print_senders(demo: "Demo", folder: Path) -> None:
    from rich.text import Text

    out = console()
    settings = shlex.quote(str(folder / "posthouse.toml"))
    out.print(Text("\nWho else sends mail on the small internet, and what became of it:", style="bold"))
    async for played in demo.play():
        out.print(f"\n  {played.scene.title}: {played.scene.ends}.", soft_wrap=True, markup=False)
        out.print(Text(f"     {played.reply}", style="dim"), soft_wrap=True)
        out.print(Text(f"     {program()} trace --config {settings} {played.queue_id}", style="green"), soft_wrap=True)


def _listeners(ports: Mapping[str, int]) -> str:
    words: list[str] = []
    for service, title in SERVICES.items():
        if service in ports:
            joined = f"{title} {ports[service]}"
            if title == "TLS" and words:
                words[-1] += f" ({joined})"
            else:
                words.append(joined)
    return " · ".join(words)


def _suggestions(card: Mapping[str, Any], folder: Path) -> list[tuple[str, str]]:
    """What to try; each command works as it stands, from the folder in which the demo was started."""
    settings = shlex.quote(str(folder / "posthouse.toml"))
    call = program()
    passwords = {account["address"]: account["password"] for account in card["accounts"]}
    write = (
        f'echo "Hello from the demo" | {call} send --config {settings}'
        " --from alice@posthouse.test --to carol@far.test --subject Hello"
    )
    found = [("Let alice write to carol, from one host to the other:", write)]
    if "imaps" in card["far"]:
        login = f"carol@far.test:{passwords['carol@far.test']}"
        read = (
            f"curl -s --cacert {shlex.quote(str(folder / 'ca.pem'))} --user {login}"
            f' "imaps://localhost:{card["far"]["imaps"]}/INBOX;MAILINDEX=*"'
        )
        found.append(("Read it as carol, over IMAP (any mail program will do):", read))
    found.append(("See the journey of the newest message:", f"{call} trace --config {settings}"))
    return found
