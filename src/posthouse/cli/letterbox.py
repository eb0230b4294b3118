"""Handing a message in on the server itself: straight to the submission desk, by whoever may open the data.

    receipt = await post(office, account, envelope, octets)

The desk's rules hold here as over the network: reverse-path and From belong to the account, an address of ours that
is not there is refused, Date and Message-ID are added, Bcc is taken out. A message goes to all of its recipients or,
where one is refused, to none; so giving the same command again never sends a copy twice.
"""

from dataclasses import dataclass, replace

from posthouse.cli.office import Office, now
from posthouse.cli.terminal import Complaint
from posthouse.mail.address import Address
from posthouse.mail.envelope import Envelope
from posthouse.mail.journey import Stamp, Step
from posthouse.mail.peer import Peer, Role
from posthouse.mail.reply import Reply
from posthouse.store import directory
from posthouse.store.blobs import Blobs
from posthouse.store.database import Transaction

# What scripts and mail programs know from sendmail (sysexits.h).
EX_USAGE, EX_DATAERR, EX_NOUSER, EX_UNAVAILABLE, EX_TEMPFAIL, EX_NOPERM, EX_CONFIG = 64, 65, 67, 69, 75, 77, 78


class Refusal(Complaint):
    """A reply that was not positive. Its exit code is sendmail's for that kind of trouble."""

    def __init__(self, about: str, reply: Reply) -> None:
        super().__init__(f"{about}: {reply}", _exit_code(reply))


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the server said when it took the message; `queue_id` is empty where it gave none."""

    queue_id: str
    reply: Reply
    recipients: tuple[str, ...]


def receipt(reply: Reply, envelope: Envelope) -> Receipt:
    """The receipt in a reply of ours: `250 2.0.0 Accepted, queue id 06xk…`."""
    _, _, queue_id = reply.text.rpartition("queue id ")
    return Receipt(queue_id if len(queue_id) == 13 else "", reply, tuple(str(r.address) for r in envelope.rcpt_to))


async def writer(office: Office, address: Address) -> directory.Account:
    """The account that writes as this address: its own, or the first one an alias leads to. Complaint where none."""

    def unit(tx: Transaction) -> directory.Account | None:
        found = directory.find_account(tx, address)
        if found is None:
            resolution = directory.resolve(tx, address)
            if isinstance(resolution, directory.Local) and resolution.accounts:
                found = directory.account(tx, resolution.accounts[0].account_id)
        return found

    account = await office.database.read(unit)
    if account is None:
        raise Complaint(f"no account here writes as {address}; an alias would let one: posthouse alias add", EX_NOPERM)
    if account.suspended:
        raise Complaint(f"the account {account.address} is suspended", EX_NOPERM)
    return account


async def post(office: Office, account: directory.Account, envelope: Envelope, octets: bytes) -> Receipt:
    """Submit the message for the account; Refusal where the desk does not take it or one of its recipients."""
    # With the keys come libraries that take longer to load than most commands take.
    from posthouse.route.acceptance import Acceptance
    from posthouse.route.submission import Submission, SubmissionSettings

    settings = office.config
    blobs = Blobs(settings.blobs_folder, office.database, office.ids, now)
    acceptance = Acceptance(office.database, blobs, office.ids, office.hints, now, settings.hostname)
    desk = Submission(
        acceptance,
        SubmissionSettings(size_limit=settings.limits.message_size, show_client=settings.submission.show_client),
    )
    peer = Peer(
        Role.SUBMISSION, "127.0.0.1", 0, settings.hostname, True, None, account.account_id, account.address
    )
    if len(envelope.rcpt_to) > settings.limits.recipients:
        raise Complaint(f"at most {settings.limits.recipients} recipients are taken at once", EX_DATAERR)
    sized = replace(envelope, rcpt_to=(), size=len(octets))
    _must(f"<{envelope.mail_from or ''}>", await desk.mail(peer, sized))
    for rcpt in envelope.rcpt_to:
        _must(f"<{rcpt.address}>", await desk.rcpt(peer, sized, rcpt))
        sized = replace(sized, rcpt_to=(*sized.rcpt_to, rcpt))
    content = await blobs.content(octets)
    reply = await desk.data(peer, sized, content, _session(office, account))
    _must("the message", reply)
    return receipt(reply, sized)


def _session(office: Office, account: directory.Account) -> list[Stamp]:
    """What stands in the journey for the connection that there was not."""
    at = now()
    return [
        Stamp(at, Step.CONNECTED, {"ip": "a program on this machine", "port": 0, "service": "submission"}),
        Stamp(at, Step.LOGIN, {"account": str(account.address), "mechanism": f"the rights of {office.caller}"}),
    ]


def _must(about: str, reply: Reply) -> None:
    if not reply.is_positive:
        raise Refusal(about, reply)


def _exit_code(reply: Reply) -> int:
    if reply.is_transient:
        return EX_TEMPFAIL
    if reply.enhanced.startswith("5.1."):
        return EX_NOUSER
    return EX_NOPERM if reply.enhanced.startswith("5.7.") else EX_DATAERR
