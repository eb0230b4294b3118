"""Logging in: mechanisms, memory, failures, and what strangers can learn or block."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from posthouse.mail.address import Address
from posthouse.mail.peer import Peer, Role, TlsFacts
from posthouse.serve import login as login_module
from posthouse.serve.login import Account, Doorkeeper, Exchange, Login, LoginFailure, Why
from posthouse.serve.metrics import Metrics
from posthouse.store import credentials, directory
from posthouse.store.database import Fault, StoreFault, Transaction
from posthouse.store.ids import Ids
from posthouse.store.sqlite import SqliteDatabase, open_sqlite
from posthouse.wire import sasl
from serve.loops import run

ALICE = "alice@example.org"
PASSWORD = "correct horse"
BINDING = b"\x01" * 32
NOW = 1_800_000_000_000_000


@cache
def made(password: str) -> credentials.Credentials:
    return credentials.make(password)


def peer(ip: str = "192.0.2.7", tls: bool = True) -> Peer:
    return Peer(Role.SUBMISSION, ip, 4711, tls=TlsFacts("TLSv1.3", "x", 256) if tls else None)


class Hall:
    """A store with alice in it, a login, and a clock that the test turns."""

    def __init__(self, database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
        self.database = database
        self.now = 0.0
        self.metrics = Metrics()
        self.verified: list[str | None] = []
        self.slept: list[float] = []
        self.login = Login(database, self.metrics, clock=lambda: self.now, cores=2)
        verify = credentials.verify

        def watched(password: str, password_hash: str | None) -> bool:
            self.verified.append(password_hash)
            return verify(password, password_hash)

        monkeypatch.setattr(credentials, "verify", watched)

        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        monkeypatch.setattr(login_module.asyncio, "sleep", sleep)

    async def move_in(self) -> None:
        def enter(tx: Transaction) -> None:
            directory.add_domain(tx, "example.org", NOW)
            ids = Ids()
            for name in ("alice", "bob"):
                account = directory.add_account(tx, ids.next(NOW), Address(name, "example.org"), NOW)
                if name == "alice":
                    self.alice = account.account_id
            credentials.save(tx, self.alice, made(PASSWORD))

        await self.database.write(enter)

    async def check(self, user: str = ALICE, password: str = PASSWORD, ip: str = "192.0.2.7") -> Account | LoginFailure:
        return await self.login.check(user, password, peer(ip))

    async def fail(self, times: int, user: str = ALICE, ip: str = "192.0.2.7") -> list[Why]:
        """Failures without the cost of Argon2: through the mechanism that needs none."""
        kinds = []
        for _ in range(times):
            result = await self.scram("wrong", user=user, ip=ip)
            assert isinstance(result, LoginFailure)
            kinds.append(result.kind)
        return kinds

    async def scram(
        self, password: str = PASSWORD, user: str = ALICE, ip: str = "192.0.2.7", plus: bool = False
    ) -> Account | LoginFailure:
        """A login with the client side of SCRAM."""
        name = "SCRAM-SHA-256-PLUS" if plus else "SCRAM-SHA-256"
        bound = sasl.ChannelBinding(tls_server_end_point=BINDING) if plus else None
        client = sasl.choose([name], user, password, nonce=b"n" * 18, tls=True, binding=bound)

        async def exchange(challenge: bytes) -> bytes | None:
            return client.respond(challenge)

        return await self.login.authenticate(name, client.initial, exchange, peer(ip), BINDING if plus else None)


def in_hall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, test: Callable[[Hall], Awaitable[None]]) -> None:
    async def main() -> None:
        database = open_sqlite(tmp_path / "posthouse.db")
        hall = Hall(database, monkeypatch)
        try:
            await hall.move_in()
            await test(hall)
        finally:
            hall.login.close()
            await database.close()

    run(main())


def saying(*responses: bytes | None) -> Exchange:
    """A client that says these things, whatever it is asked."""
    left = list(responses)

    async def exchange(challenge: bytes) -> bytes | None:
        return left.pop(0)

    return exchange


def kind(result: Account | LoginFailure) -> Why | None:
    return result.kind if isinstance(result, LoginFailure) else None


@pytest.mark.parametrize("user", [ALICE, "Alice@EXAMPLE.org", "alice@example.org"])
def test_the_right_password_opens(user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(hall: Hall) -> None:
        result = await hall.check(user)
        assert result == Account(hall.alice, Address("alice", "example.org"), "LOGIN")

    in_hall(tmp_path, monkeypatch, test)


@pytest.mark.parametrize(
    ("user", "password"),
    [
        (ALICE, "wrong"),
        (ALICE, ""),
        (ALICE, PASSWORD + " "),
        (ALICE, PASSWORD + "\0"),
        (ALICE, "x" * 1025),
        (ALICE, "\udcff"),
        ("alice", PASSWORD),
        ("alice+tag@example.org", PASSWORD),
        ("nobody@example.org", PASSWORD),
        ("bob@example.org", PASSWORD),
        ("", PASSWORD),
        ("@", PASSWORD),
        (ALICE + "\0", PASSWORD),
        ("a" * 600 + "@example.org", PASSWORD),
        ("\udcff@example.org", PASSWORD),
    ],
)
def test_everything_else_does_not(user: str, password: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(hall: Hall) -> None:
        assert await hall.check(user, password) == LoginFailure(Why.REFUSED, "Name or password is wrong")

    in_hall(tmp_path, monkeypatch, test)


def test_what_is_too_long_is_never_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(hall: Hall) -> None:
        assert kind(await hall.check(password="x" * 1025)) is Why.REFUSED
        assert kind(await hall.check("a" * 513)) is Why.REFUSED
        assert kind(await hall.login.authenticate("PLAIN", b"\0a\0" + b"x" * 1025, saying(), peer())) is Why.MALFORMED
        assert hall.verified == []
        await hall.check(password="x" * 1024)
        assert len(hall.verified) == 1

    in_hall(tmp_path, monkeypatch, test)


def test_each_mechanism_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(hall: Hall) -> None:
        plain = b"\0alice@example.org\0correct horse"
        login = hall.login.authenticate
        results = [
            await login("PLAIN", plain, saying(), peer()),
            await login("plain", None, saying(plain), peer()),
            await login("LOGIN", None, saying(ALICE.encode(), PASSWORD.encode()), peer()),
            await hall.scram(),
            await hall.scram(plus=True),
        ]
        assert [result.mechanism for result in results if isinstance(result, Account)] == [
            "PLAIN", "PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS",
        ]  # fmt: skip

    in_hall(tmp_path, monkeypatch, test)


def test_failures_say_what_the_door_has_to_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(hall: Hall) -> None:
        login = hall.login.authenticate
        assert kind(await login("CRAM-MD5", None, saying(), peer())) is Why.UNKNOWN
        assert kind(await login("SCRAM-SHA-256-PLUS", b"p=x,,n=a,r=b", saying(), peer(), None)) is Why.UNKNOWN
        assert kind(await login("PLAIN", None, saying(None), peer())) is Why.ABORTED
        assert kind(await login("PLAIN", b"no nul at all", saying(), peer())) is Why.MALFORMED
        assert kind(await login("SCRAM-SHA-256", b"rubbish", saying(), peer())) is Why.MALFORMED
        assert kind(await hall.scram("wrong")) is Why.REFUSED
        assert kind(await hall.scram(user="nobody@example.org")) is Why.REFUSED
        assert kind(await hall.scram("wrong", plus=True)) is Why.REFUSED

    in_hall(tmp_path, monkeypatch, test)


def test_nothing_is_asked_before_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(hall: Hall) -> None:
        plain = b"\0alice@example.org\0correct horse"
        for mechanism in ("PLAIN", "LOGIN", "SCRAM-SHA-256"):
            result = await hall.login.authenticate(mechanism, plain, saying(), peer(tls=False))
            assert kind(result) is Why.PLAINTEXT
        assert kind(await hall.login.check(ALICE, PASSWORD, peer(tls=False))) is Why.PLAINTEXT
        assert hall.verified == []

    in_hall(tmp_path, monkeypatch, test)


def test_nobody_acts_as_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(hall: Hall) -> None:
        login = hall.login.authenticate
        other = b"bob@example.org\0alice@example.org\0correct horse"
        self_named = b"Alice@example.org\0alice@example.org\0correct horse"
        assert kind(await login("PLAIN", other, saying(), peer())) is Why.REFUSED
        assert isinstance(await login("PLAIN", self_named, saying(), peer()), Account)

    in_hall(tmp_path, monkeypatch, test)


def test_a_suspended_account_is_as_one_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(hall: Hall) -> None:
        assert isinstance(await hall.check(), Account)
        await hall.database.write(lambda tx: directory.set_suspended(tx, hall.alice, True))
        assert kind(await hall.check()) is Why.REFUSED
        assert kind(await hall.scram()) is Why.REFUSED

    in_hall(tmp_path, monkeypatch, test)


def test_an_unknown_account_costs_what_a_known_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same work is done: one Argon2 for passwords, one exchange with stable keys for SCRAM."""

    async def test(hall: Hall) -> None:
        await hall.check(password="wrong")
        await hall.check("nobody@example.org")
        assert hall.verified == [made(PASSWORD).password_hash, None]
        first = []
        for user in (ALICE, "nobody@example.org", "nobody@example.org", "nobody2@example.org"):
            asked: list[bytes] = []

            async def exchange(challenge: bytes, asked: list[bytes] = asked) -> bytes | None:
                asked.append(challenge)
                return None

            client = sasl.choose(["SCRAM-SHA-256"], user, "x", nonce=b"n" * 18, tls=True)
            await hall.login.authenticate("SCRAM-SHA-256", client.initial, exchange, peer())
            first.append(dict(part.split("=", 1) for part in asked[0].decode().split(",")))
        known, unknown, again, other = first
        assert unknown["s"] == again["s"] != other["s"]
        assert len(unknown["s"]) == len(known["s"])
        assert unknown["i"] == known["i"]

    in_hall(tmp_path, monkeypatch, test)


def test_a_right_password_is_remembered_shortly_and_a_wrong_one_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(hall: Hall) -> None:
        for _ in range(5):
            assert isinstance(await hall.check(), Account)
        assert len(hall.verified) == 1
        assert kind(await hall.check(password="wrong")) is Why.REFUSED
        assert kind(await hall.check(password="wrong")) is Why.REFUSED
        assert len(hall.verified) == 3
        assert isinstance(await hall.check(), Account)
        assert len(hall.verified) == 3
        hall.now += login_module.REMEMBERED_SECONDS
        assert isinstance(await hall.check(), Account)
        assert len(hall.verified) == 4

    in_hall(tmp_path, monkeypatch, test)


def test_a_changed_password_counts_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(hall: Hall) -> None:
        assert isinstance(await hall.check(), Account)
        await hall.database.write(lambda tx: credentials.save(tx, hall.alice, made("another one")))
        assert kind(await hall.check()) is Why.REFUSED
        assert isinstance(await hall.check(password="another one"), Account)

    in_hall(tmp_path, monkeypatch, test)


def test_passwords_are_nowhere_in_memory_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(hall: Hall) -> None:
        await hall.check()
        assert PASSWORD not in repr(vars(hall.login))
        assert PASSWORD.encode() not in b"".join(mark for mark, _, _ in hall.login._remembered.values())

    in_hall(tmp_path, monkeypatch, test)


def test_an_address_that_fails_too_often_is_asked_to_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(hall: Hall) -> None:
        victims = [f"u{number}@example.org" for number in range(20)]
        kinds = [(await hall.fail(1, user))[0] for user in victims]
        assert kinds == [Why.REFUSED] * 10 + [Why.BUSY] * 10
        # Even the right password is not looked at from there, and the answer is the same.
        assert kind(await hall.check()) is Why.BUSY
        assert isinstance(await hall.check(ip="198.51.100.1"), Account)
        hall.now += login_module.HALF_LIFE
        assert isinstance(await hall.check(), Account)

    in_hall(tmp_path, monkeypatch, test)


@pytest.mark.parametrize(
    ("pattern", "own"), [("192.0.2.{}", "192.0.2.63"), ("2001:db8:0:{:x}::1", "2001:db8:0:ff::1")]
)
def test_a_network_whose_addresses_take_turns_is_counted_together(
    pattern: str, own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(hall: Hall) -> None:
        for number in range(1, 41):
            await hall.fail(1, f"u{number}@example.org", pattern.format(number))
        assert kind(await hall.check(ip=own)) is Why.BUSY
        assert isinstance(await hall.check(ip="203.0.113.1"), Account)

    in_hall(tmp_path, monkeypatch, test)


def test_an_account_under_attack_makes_strangers_wait_and_never_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(hall: Hall) -> None:
        assert isinstance(await hall.check(ip="198.51.100.1"), Account)
        for number in range(60):
            await hall.fail(1, ip=f"203.{number}.113.7")
        assert max(hall.slept) == login_module.LONGEST_WAIT
        hall.slept.clear()
        # The owner at home notices nothing.
        assert isinstance(await hall.check(ip="198.51.100.1"), Account)
        assert hall.slept == []
        # The owner on the road waits, and gets in.
        assert isinstance(await hall.check(ip="192.0.2.200"), Account)
        assert hall.slept == [login_module.LONGEST_WAIT]
        # Other accounts do not wait.
        hall.slept.clear()
        await hall.fail(1, "bob@example.org", "192.0.2.201")
        assert hall.slept == []

    in_hall(tmp_path, monkeypatch, test)


def test_the_owner_gets_in_from_a_network_where_others_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(hall: Hall) -> None:
        assert isinstance(await hall.check(), Account)
        for number in range(200):
            hall.login.doorkeeper.failed(f"u{number}", "192.0.2.7", hall.now)
        assert kind(await hall.check("bob@example.org")) is Why.BUSY
        assert isinstance(await hall.check(), Account)

    in_hall(tmp_path, monkeypatch, test)


def test_guessing_from_a_known_address_is_slowed_too() -> None:
    keeper = Doorkeeper()
    keeper.succeeded("alice", "192.0.2.7", 0.0)
    for _ in range(40):
        keeper.failed("alice", "192.0.2.7", 0.0)
    assert keeper.wait("alice", "192.0.2.7", 0.0) == login_module.LONGEST_WAIT
    # A success (the owner types it right) ends the wait for that address.
    keeper.succeeded("alice", "192.0.2.7", 0.0)
    assert keeper.wait("alice", "192.0.2.7", 0.0) == 0.0


def test_the_line_for_hashing_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_module, "WAITING_MOST", 2)

    async def test(hall: Hall) -> None:
        results = await asyncio.gather(*(hall.check(password=f"wrong {n}") for n in range(5)))
        assert sorted(str(kind(result)) for result in results) == ["busy"] * 3 + ["refused"] * 2
        assert hall.login._in_line == 0

    in_hall(tmp_path, monkeypatch, test)


def test_a_store_that_cannot_answer_is_no_wrong_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(hall: Hall) -> None:
        async def read(unit: Any, *, quick: bool = False) -> Any:
            raise StoreFault(Fault.BROKEN, "the disk is gone")

        monkeypatch.setattr(hall.database, "read", read)
        assert kind(await hall.check()) is Why.BUSY
        assert kind(await hall.scram()) is Why.BUSY

    in_hall(tmp_path, monkeypatch, test)


def test_a_client_that_never_answers_holds_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(hall: Hall) -> None:
        async def never(challenge: bytes) -> bytes | None:
            return await asyncio.get_running_loop().create_future()

        stuck = [asyncio.ensure_future(hall.login.authenticate("PLAIN", None, never, peer())) for _ in range(100)]
        assert isinstance(await hall.check(), Account)
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)

    in_hall(tmp_path, monkeypatch, test)


def test_logins_are_counted_by_what_came_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(hall: Hall) -> None:
        await hall.check()
        await hall.fail(2)
        value = hall.metrics.registry.get_sample_value
        assert value("posthouse_logins_total", {"service": "submission", "result": "accepted"}) == 1
        assert value("posthouse_logins_total", {"service": "submission", "result": "refused"}) == 2

    in_hall(tmp_path, monkeypatch, test)
