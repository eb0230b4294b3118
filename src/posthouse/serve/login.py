"""Logging in, for every protocol: SASL exchanges and plain passwords against the directory, bounded and watched.

Passwords are checked with Argon2 in a small thread pool, as many at once as the machine has cores. An unknown account
costs as much time as a known one. A right password is remembered for a short while (as an HMAC under a key that only
this process knows, and only beside the stored hash it was right for, so a changed password counts at once), since
Argon2 allows some 50 logins a second. SCRAM needs no Argon2 and is not remembered.

Failures are counted for the networks around the address and for the account name, and fade with time:

- a network with too many failures is answered `busy` without looking at the password;
- an account with too many failures makes strangers wait, up to `LONGEST_WAIT`, but is never locked;
- whoever logged in to the account from that network before is not touched by the failures of others: an owner gets in
  from where he is known, whatever the world is trying; only failures for that very account from that very network
  (an old password in a forgotten program) make him wait.

Where several processes serve, the counts are those of all of them together (`sketch`). They begin anew with the server.
"""

import asyncio
import hmac
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

from posthouse.mail.address import Address, AddressError
from posthouse.mail.peer import Peer
from posthouse.serve.limits import Counts, Tally, networks
from posthouse.serve.metrics import Metrics
from posthouse.store import credentials, directory
from posthouse.store.database import Database, StoreFault, Transaction
from posthouse.wire import sasl

REMEMBERED_SECONDS = 300.0
REMEMBERED_MOST = 10_000
WAITING_MOST = 512  # passwords in line for a thread; beyond, the answer is `busy`
HALF_LIFE = 600.0
# Failures before a network is asked to come back later: /32, /26, /21 of IPv4, /64, /48, /32 of IPv6.
NETWORK_FAILURES = (10.0, 40.0, 160.0)
ACCOUNT_FAILURES = 10.0
LONGEST_WAIT = 8.0
FIRST_WAIT = 0.25
KNOWN_SECONDS = 30 * 86_400.0
_KNOWN = 0.5  # a login counts for one, and half after KNOWN_SECONDS


class Why(StrEnum):
    """Why a login failed; decides the door's reply."""

    REFUSED = "refused"        # wrong name or password: 535 5.7.8, NO [AUTHENTICATIONFAILED], -ERR [AUTH]
    ABORTED = "aborted"        # the client gave up with `*`: 501 5.7.0, BAD
    MALFORMED = "malformed"    # not the mechanism's syntax: 501 5.5.2, BAD
    UNKNOWN = "unknown"        # no such mechanism: 504 5.5.4, NO [CANNOT]
    PLAINTEXT = "plaintext"    # no TLS: 538 5.7.11, NO [PRIVACYREQUIRED]
    BUSY = "busy"              # not now (failures, load, store): 454 4.7.0, NO [UNAVAILABLE], -ERR [SYS/TEMP]


@dataclass(frozen=True, slots=True)
class Account:
    """Who logged in, and how: `mechanism` is the SASL name, or `LOGIN`, `PASS`."""

    account_id: int
    address: Address
    mechanism: str


@dataclass(frozen=True, slots=True)
class LoginFailure:
    """Why not. `words` are for the client and tell nothing about the account."""

    kind: Why
    words: str


# Sends a challenge (raw octets; the door encodes base64) and gives the client's raw response, None for `*`. SCRAM's
# last word is sent this way too. For broken base64 the door answers itself and cancels; likewise for a lost client.
Exchange = Callable[[bytes], Awaitable[bytes | None]]

_REFUSED = LoginFailure(Why.REFUSED, "Name or password is wrong")
_ABORTED = LoginFailure(Why.ABORTED, "Login given up")
_MALFORMED = LoginFailure(Why.MALFORMED, "That is not what this mechanism wants")
_UNKNOWN = LoginFailure(Why.UNKNOWN, "No such mechanism")
_PLAINTEXT = LoginFailure(Why.PLAINTEXT, "Encrypt the connection first")
_BUSY = LoginFailure(Why.BUSY, "Login is not possible now, try again later")


@dataclass(frozen=True, slots=True)
class _Found:
    account: directory.Account
    secret: credentials.Credentials


class Doorkeeper:
    """Who failed, who is known: whether a login may be tried now, and after what wait. No I/O; `now` in seconds."""

    def __init__(self, counts: Callable[[float], Counts] = Tally) -> None:
        """`counts` makes a tally with a half-life in seconds."""
        self._networks = counts(HALF_LIFE)
        self._accounts = counts(HALF_LIFE)
        self._pairs = counts(HALF_LIFE)
        self._known = counts(KNOWN_SECONDS)

    def wait(self, name: str, ip: str, now: float) -> float | None:
        """Seconds to wait before the password is looked at, None for: not now."""
        around = networks(ip)
        if self._known.count((name, around[0]), now) > _KNOWN:
            return _wait(self._pairs.count((name, around[0]), now))
        for network, most in zip(around, NETWORK_FAILURES, strict=True):
            if self._networks.count(network, now) >= most:
                return None
        return _wait(self._accounts.count(name, now))

    def failed(self, name: str, ip: str, now: float) -> None:
        around = networks(ip)
        for network in around:
            self._networks.add(network, now)
        self._accounts.add(name, now)
        self._pairs.add((name, around[0]), now)

    def succeeded(self, name: str, ip: str, now: float) -> None:
        home = networks(ip)[0]
        # Once more does not make it known for longer.
        self._known.add((name, home), now, 1.0 - self._known.count((name, home), now))
        self._pairs.forget((name, home), now)


def _wait(failures: float) -> float:
    if failures < ACCOUNT_FAILURES:
        return 0.0
    return float(min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(failures - ACCOUNT_FAILURES, 16.0)))


class Login:
    """Checks logins for one house; used by any number of connections of its loop."""

    def __init__(
        self,
        database: Database,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.monotonic,
        cores: int | None = None,
        doorkeeper: Doorkeeper | None = None,
    ) -> None:
        """`clock` in seconds, for failures and what is remembered; it never steps back. `doorkeeper`: whose memory of
        failures goes on, where this takes over from another."""
        self._database = database
        self._metrics = metrics
        self._clock = clock
        self.doorkeeper = doorkeeper or Doorkeeper()
        self._threads = ThreadPoolExecutor(cores or os.cpu_count() or 1, thread_name_prefix="login")
        self._in_line = 0
        self._key = secrets.token_bytes(32)
        self._remembered: OrderedDict[int, tuple[bytes, str, float]] = OrderedDict()
        self._fabrication: bytes | None = None

    async def authenticate(
        self, mechanism: str, initial: bytes | None, exchange: Exchange, peer: Peer, binding: bytes | None = None
    ) -> Account | LoginFailure:
        """One SASL exchange (RFC 4422). `initial` is the decoded initial response, None where absent, b"" for `=`.

        `binding` is the tls-server-end-point data where the connection has TLS (`tls.binding`). Never raises for what
        a client does; what `exchange` raises passes through.
        """
        if peer.tls is None:
            return self._counted(peer, _PLAINTEXT)
        bound = sasl.ChannelBinding(tls_server_end_point=binding)
        try:
            engine = sasl.start(mechanism, nonce=secrets.token_bytes(18), binding=bound)
        except sasl.SaslError:
            return self._counted(peer, _UNKNOWN)
        try:
            return self._counted(peer, await self._converse(engine, mechanism.upper(), initial, exchange, peer))
        except StoreFault:
            return self._counted(peer, _BUSY)

    async def check(self, user: str, password: str, peer: Peer, mechanism: str = "LOGIN") -> Account | LoginFailure:
        """A name and a password in the clear (IMAP LOGIN, POP3 PASS), prepared here."""
        if peer.tls is None:
            return self._counted(peer, _PLAINTEXT)
        if len(user.encode("utf-8", "replace")) > sasl.NAME_OCTETS:
            return self._counted(peer, _REFUSED)
        if len(password.encode("utf-8", "replace")) > sasl.PASSWORD_OCTETS:
            return self._counted(peer, _REFUSED)
        try:
            user, password = sasl.saslprep(user), sasl.saslprep(password)
        except sasl.PreparationError:
            return self._counted(peer, _REFUSED)
        try:
            return self._counted(peer, await self._password(user, "", password, peer, mechanism))
        except StoreFault:
            return self._counted(peer, _BUSY)

    def close(self) -> None:
        """Ends the threads; a password that is being checked is checked to its end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _counted(self, peer: Peer, result: Account | LoginFailure) -> Account | LoginFailure:
        word = "accepted" if isinstance(result, Account) else result.kind.value
        self._metrics.logins.labels(peer.role.value, word).inc()
        return result

    async def _converse(
        self, engine: sasl.Mechanism, mechanism: str, initial: bytes | None, exchange: Exchange, peer: Peer
    ) -> Account | LoginFailure:
        found: _Found | None = None
        name = ""
        step = engine.step(initial)
        while True:
            match step:
                case sasl.Challenge(octets):
                    response = await exchange(octets)
                    if response is None:
                        return _ABORTED
                    step = engine.step(response)
                case sasl.CheckPassword(authcid, authzid, password):
                    return await self._password(authcid, authzid, password, peer, mechanism)
                case sasl.NeedKeys(authcid, authzid):
                    name = authcid
                    if not await self._admitted(name, peer):
                        return _BUSY
                    found = await self._find(name)
                    step = engine.keys(found.secret.keys if found else await self._fabricated(authcid))
                case sasl.Authenticated(authcid, authzid, final):
                    if found is None or not _may_act_as(found.account.address, authzid):
                        return self._failure(authcid, peer)
                    if final and await exchange(final) is None:
                        return _ABORTED
                    return self._success(authcid, found.account, mechanism, peer)
                case sasl.Refused(_, malformed):
                    if malformed:
                        return _MALFORMED
                    return self._failure(name, peer)

    async def _password(
        self, authcid: str, authzid: str, password: str, peer: Peer, mechanism: str
    ) -> Account | LoginFailure:
        if not await self._admitted(authcid, peer):
            return _BUSY
        found = await self._find(authcid)
        if found is not None and self._remembers(found, password):
            right = True
        else:
            if self._in_line >= WAITING_MOST:
                return _BUSY
            self._in_line += 1
            try:
                right = await asyncio.get_running_loop().run_in_executor(
                    self._threads, credentials.verify, password, found.secret.password_hash if found else None
                )
            finally:
                self._in_line -= 1
        if found is None or not right or not _may_act_as(found.account.address, authzid):
            return self._failure(authcid, peer)
        self._remember(found, password)
        return self._success(authcid, found.account, mechanism, peer)

    async def _admitted(self, name: str, peer: Peer) -> bool:
        """Waits as long as the failures so far ask for; False where the network has had too many."""
        seconds = self.doorkeeper.wait(_key_of(name), peer.ip, self._clock())
        if seconds is None:
            return False
        if seconds:
            await asyncio.sleep(seconds)
        return True

    def _failure(self, name: str, peer: Peer) -> LoginFailure:
        self.doorkeeper.failed(_key_of(name), peer.ip, self._clock())
        return _REFUSED

    def _success(self, name: str, account: directory.Account, mechanism: str, peer: Peer) -> Account:
        self.doorkeeper.succeeded(_key_of(name), peer.ip, self._clock())
        return Account(account.account_id, account.address, mechanism)

    async def _find(self, name: str) -> _Found | None:
        """The account by its full address, with its credentials; None also for a suspended one."""
        try:
            address = Address.parse(name)
        except AddressError:
            return None

        def look(tx: Transaction) -> _Found | None:
            account = directory.find_account(tx, address)
            if account is None or account.suspended:
                return None
            secret = credentials.load(tx, account.account_id)
            return None if secret is None else _Found(account, secret)

        return await self._database.read(look, quick=True)

    async def _fabricated(self, name: str) -> sasl.ScramKeys:
        if self._fabrication is None:
            self._fabrication = await self._database.read(credentials.secret, quick=True)
        return sasl.fabricated(_key_of(name), self._fabrication, credentials.SCRAM_ITERATIONS)

    def _remembers(self, found: _Found, password: str) -> bool:
        kept = self._remembered.get(found.account.account_id)
        if kept is None or kept[1] != found.secret.password_hash or self._clock() >= kept[2]:
            return False
        return hmac.compare_digest(kept[0], self._mark(found, password))

    def _remember(self, found: _Found, password: str) -> None:
        account_id = found.account.account_id
        until = self._clock() + REMEMBERED_SECONDS
        self._remembered[account_id] = (self._mark(found, password), found.secret.password_hash, until)
        self._remembered.move_to_end(account_id)
        if len(self._remembered) > REMEMBERED_MOST:
            self._remembered.popitem(last=False)

    def _mark(self, found: _Found, password: str) -> bytes:
        return hmac.digest(self._key, b"%d\0%s" % (found.account.account_id, password.encode()), "sha256")


def _key_of(name: str) -> str:
    """One name for all ways to write an account's address; bounded by what SASL lets through."""
    try:
        address = Address.parse(name)
    except AddressError:
        return name.casefold()
    return f"{address.key}@{address.domain}"


def _may_act_as(address: Address, authzid: str) -> bool:
    # RFC 4422 §3.4.1: acting as somebody else is for those who may; here nobody may.
    return not authzid or _key_of(authzid) == f"{address.key}@{address.domain}"
