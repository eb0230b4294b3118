"""`posthouse queue`: what waits to be delivered to other servers, and what to do about it."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import click

from posthouse.cli.arguments import DomainType, QueueIdType
from posthouse.cli.office import Office, now, work
from posthouse.cli.terminal import Complaint, config_option, json_option, octets_text, show, span_text, table
from posthouse.mail.delivery import Attempt, Delivery, State
from posthouse.mail.instant import Instant, rfc3339
from posthouse.mail.journey import Stamp, Step
from posthouse.store import ids, journeys, queue
from posthouse.store.database import Transaction
from posthouse.store.hints import QUEUE, RETRY

PAGE = 1000

Change = Callable[[Transaction, int], Sequence[Delivery]]


@click.group("queue", no_args_is_help=True)
def queue_command() -> None:
    """What waits to be delivered to other servers. IDs are those that replies, logs and `queue list` show.

    \b
    posthouse queue list
    posthouse queue retry --domain example.com
    """


@queue_command.command("list")
@config_option
@json_option
def list_command(config_path: Path | None, as_json: bool) -> None:
    """Every message that still has somebody to reach, oldest first."""

    async def task(office: Office) -> list[queue.Entry]:
        found = page = await office.database.read(lambda tx: queue.list_entries(tx, PAGE))
        while len(page) == PAGE:
            last = page[-1].message.journey_id
            page = await office.database.read(partial(queue.list_entries, limit=PAGE, after=last))
            found = found + page
        return found

    found = work(config_path, task)
    at = now()
    rows = [_row(entry, delivery, first, at) for entry in found for first, delivery in _numbered(entry.deliveries)]
    show(
        {"messages": [_facts(entry) for entry in found]},
        as_json,
        lambda: table(("id", ">age", ">size", "from", "to", "state", "last answer"), rows, "The queue is empty."),
    )


@queue_command.command("show")
@click.argument("identifier", type=QueueIdType(), metavar="ID")
@config_option
@json_option
def show_command(identifier: int, config_path: Path | None, as_json: bool) -> None:
    """One message in the queue: its recipients, and every try so far."""

    async def task(office: Office) -> tuple[queue.Entry, list[_Try]]:
        def unit(tx: Transaction) -> tuple[queue.Entry | None, list[_Try]]:
            return queue.show(tx, identifier), _tries(tx, identifier)

        entry, tries = await office.database.read(unit)
        if entry is None:
            raise _missing(identifier)
        return entry, tries

    entry, tries = work(config_path, task)
    data = _facts(entry) | {
        "attempts": [
            {"delivery": delivery, "address": address} | _attempt_facts(attempt) for delivery, address, attempt in tries
        ]
    }
    show(data, as_json, lambda: _print_entry(entry, tries))


@queue_command.command("retry")
@click.argument("identifier", type=QueueIdType(), metavar="[ID]", required=False)
@click.option("--domain", type=DomainType(), help="All messages for this domain.")
@click.option("--all", "everything", is_flag=True, help="Everything that waits.")
@config_option
@json_option
def retry_command(
    identifier: int | None, domain: str | None, everything: bool, config_path: Path | None, as_json: bool
) -> None:
    """Try again now: one message, all for a domain, or everything."""
    if sum((identifier is not None, domain is not None, everything)) != 1:
        raise click.UsageError("say one of ID, --domain and --all")

    async def task(office: Office) -> int:
        def unit(tx: Transaction) -> int:
            if identifier is not None and queue.show(tx, identifier) is None:
                raise _missing(identifier)
            return queue.retry(tx, now(), identifier, domain)

        count = await office.database.write(unit)
        office.hints.publish(RETRY)
        office.hints.publish(QUEUE)
        return count

    count = work(config_path, task)
    words = f"{_deliveries(count)} due now." if count else "Nothing was waiting for a later time."
    show({"retried": count}, as_json, lambda: print(words))


@queue_command.command("hold")
@click.argument("identifiers", type=QueueIdType(), nargs=-1, required=True, metavar="ID...")
@config_option
@json_option
def hold_command(identifiers: tuple[int, ...], config_path: Path | None, as_json: bool) -> None:
    """Keep messages back until they are released. A try that is under way goes on."""
    _change("held", identifiers, config_path, as_json, queue.hold, partial(_stamp, Step.HELD))


@queue_command.command("release")
@click.argument("identifiers", type=QueueIdType(), nargs=-1, required=True, metavar="ID...")
@config_option
@json_option
def release_command(identifiers: tuple[int, ...], config_path: Path | None, as_json: bool) -> None:
    """Let messages go that were held; they are due at once."""
    release = partial(queue.release, now=now())
    _change("released", identifiers, config_path, as_json, release, partial(_stamp, Step.RELEASED))


@queue_command.command("drop")
@click.argument("identifiers", type=QueueIdType(), nargs=-1, required=True, metavar="ID...")
@config_option
@json_option
def drop_command(identifiers: tuple[int, ...], config_path: Path | None, as_json: bool) -> None:
    """Remove messages from the queue. Nobody is told, but the journey keeps a note."""
    _change("dropped", identifiers, config_path, as_json, queue.drop, _drop_stamp)


class _Try(NamedTuple):
    """An attempt, and the recipient it was for."""

    delivery: str
    address: str
    attempt: Attempt


def _tries(tx: Transaction, identifier: int) -> list[_Try]:
    """Every try so far. Of a recipient who is done with, only the journey still has the address."""
    journey = journeys.load(tx, identifier)
    queued = [stamp.facts for stamp in (journey.stamps if journey else ()) if stamp.step is Step.QUEUED]
    addresses = {facts.get("delivery"): str(facts.get("address")) for facts in queued}
    return [
        _Try(delivery, addresses.get(delivery, ""), attempt)
        for delivery, attempt in ((ids.to_text(number), each) for number, each in queue.attempts(tx, identifier))
    ]


def _stamp(step: Step, delivery: Delivery, by: str) -> Stamp:
    facts = {"delivery": ids.to_text(delivery.delivery_id), "address": str(delivery.rcpt.address), "by": by}
    return Stamp(now(), step, facts)


def _drop_stamp(delivery: Delivery, by: str) -> Stamp:
    address = str(delivery.rcpt.address)
    facts = {"delivery": ids.to_text(delivery.delivery_id), "address": address}
    return Stamp(now(), Step.DROPPED, facts | {"reason": f"{by} took <{address}> out of the queue"})


def _change(
    done: str,
    identifiers: tuple[int, ...],
    config_path: Path | None,
    as_json: bool,
    change: Change,
    stamp: Callable[[Delivery, str], Stamp],
) -> None:
    """Change several messages, all or none; each journey gets its stamps in the same commit."""

    def unit(tx: Transaction, by: str) -> int:
        count = 0
        for identifier in identifiers:
            if queue.show(tx, identifier) is None:
                raise _missing(identifier)
            changed = change(tx, identifier)
            journeys.append(tx, identifier, [stamp(delivery, by) for delivery in changed])
            count += len(changed)
        return count

    async def task(office: Office) -> int:
        by = f"the admin ({office.caller})"
        count = await office.database.write(partial(unit, by=by))
        office.hints.publish(QUEUE)
        return count

    count = work(config_path, task)
    show({done: count}, as_json, lambda: print(f"{_deliveries(count)} {done}."))


def _missing(identifier: int) -> Complaint:
    text = ids.to_text(identifier)
    return Complaint(f"no message {text} is in the queue; posthouse trace {text} tells what became of it")


def _deliveries(count: int) -> str:
    return "1 delivery" if count == 1 else f"{count} deliveries"


def _numbered(deliveries: Sequence[Delivery]) -> list[tuple[bool, Delivery]]:
    return [(number == 0, delivery) for number, delivery in enumerate(deliveries)]


def _row(entry: queue.Entry, delivery: Delivery, first: bool, at: Instant) -> tuple[object, ...]:
    message = entry.message
    mine = (
        (ids.to_text(message.journey_id), span_text(at - message.created), octets_text(message.size),
         f"<{message.envelope.mail_from or ''}>")
        if first
        else ("", "", "", "")
    )
    attempt = entry.last_attempts.get(delivery.delivery_id)
    return (*mine, f"<{delivery.rcpt.address}>", _state(delivery, at), str(attempt.reply) if attempt else "")


def _state(delivery: Delivery, at: Instant) -> str:
    match delivery.state:
        case State.WAITING if delivery.due > at:
            return f"next try in {span_text(delivery.due - at)}"
        case State.WAITING:
            return "due"
        case State.CLAIMED:
            return "being tried"
        case state:
            return str(state)


def _facts(entry: queue.Entry) -> dict[str, object]:
    message = entry.message
    return {
        "id": ids.to_text(message.journey_id),
        "mail_from": str(message.envelope.mail_from or ""),
        "size": message.size,
        "created": rfc3339(message.created),
        "deliveries": [
            {
                "delivery": ids.to_text(delivery.delivery_id), "address": str(delivery.rcpt.address),
                "domain": delivery.domain, "state": str(delivery.state), "failures": delivery.failures,
                "due": rfc3339(delivery.due),
                "last_attempt": _attempt_facts(attempt)
                if (attempt := entry.last_attempts.get(delivery.delivery_id)) else None,
            }
            for delivery in entry.deliveries
        ],
    }


def _attempt_facts(attempt: Attempt) -> dict[str, object]:
    return {
        "at": rfc3339(attempt.at), "outcome": str(attempt.outcome), "host": attempt.host, "ip": attempt.ip,
        "tls": attempt.tls, "reply": str(attempt.reply),
    }


def _print_entry(entry: queue.Entry, tries: Sequence[_Try]) -> None:
    at = now()
    message = entry.message
    print(
        f"{ids.to_text(message.journey_id)} from <{message.envelope.mail_from or ''}>, {octets_text(message.size)}, "
        f"in the queue since {rfc3339(message.created)} ({span_text(at - message.created)})"
    )
    print()
    table(
        ("to", "state", ">failures"),
        [(f"<{d.rcpt.address}>", _state(d, at), d.failures) for d in entry.deliveries],
        "Nobody is left to reach.",
    )
    print()
    table(
        ("at", "for", "host", "answer"),
        [
            (rfc3339(attempt.at), f"<{address}>",
             f"{attempt.host} [{attempt.ip}]" if attempt.ip else attempt.host, str(attempt.reply))
            for _, address, attempt in tries
        ],
        "Not tried yet.",
    )
