"""Passwords as they are stored."""

import pytest

from posthouse.store import credentials
from posthouse.store.credentials import SCRAM_ITERATIONS, PasswordError
from posthouse.wire.sasl import derive, fabricated
from store.rooms import Rooms


def test_the_right_password_passes_and_others_do_not() -> None:
    made = credentials.make("correct horse")
    assert made.password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert credentials.verify("correct horse", made.password_hash)
    assert not credentials.verify("correct horse ", made.password_hash)
    assert not credentials.verify("", made.password_hash)
    assert not credentials.verify("correct horse", "$argon2id$nonsense")


def test_a_password_is_prepared_the_same_way_always() -> None:
    """RFC 4013: a soft hyphen is nothing, a no-break space a space, and a letter with its accent one character."""
    made = credentials.make("I\u00adX\u00a0cafe\u0301")
    assert credentials.verify("IX caf\u00e9", made.password_hash)


def test_the_scram_keys_are_those_of_the_password() -> None:
    made = credentials.make("correct horse")
    assert made.keys.iterations == SCRAM_ITERATIONS >= 4096
    assert len(made.keys.salt) == 16
    assert derive("correct horse", made.keys.salt, made.keys.iterations) == made.keys
    assert credentials.make("correct horse").keys.salt != made.keys.salt


@pytest.mark.parametrize("password", ["", "x" * 1025, "tab\tinside", "\u00ad"])
def test_impossible_passwords_are_refused_with_a_sentence(password: str) -> None:
    with pytest.raises(PasswordError, match="password"):
        credentials.make(password)


def test_strangers_cost_what_accounts_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same hashing with the same parameters is done whether there is an account or not, whatever the password."""
    made = credentials.make("correct horse")
    hashed: list[str] = []
    hasher = credentials._HASHER

    class Watched:
        @staticmethod
        def verify(password_hash: str, password: str) -> bool:
            hashed.append(password_hash.rsplit("$", 2)[0])
            return hasher.verify(password_hash, password)

        hash = hasher.hash

    monkeypatch.setattr(credentials, "_HASHER", Watched)
    for password in ("whatever", "", "x" * 2_000, "\x00"):
        for password_hash in (made.password_hash, None):
            assert not credentials.verify(password, password_hash)
    assert hashed == ["$argon2id$v=19$m=19456,t=2,p=1"] * 8


def test_nobody_gets_in_with_the_decoy() -> None:
    assert not credentials.verify("-", None)
    assert not credentials.verify("", None)


def test_a_password_is_saved_replaced_and_removed(rooms: Rooms) -> None:
    account_id = rooms.settle_in()
    assert rooms.see(lambda tx: credentials.load(tx, account_id)) is None
    for password in ("first one", "second one"):
        made = credentials.make(password)
        rooms.do(lambda tx, made=made: credentials.save(tx, account_id, made))  # type: ignore[misc]
        assert rooms.see(lambda tx: credentials.load(tx, account_id)) == made
    rooms.do(lambda tx: credentials.remove(tx, account_id))
    assert rooms.see(lambda tx: credentials.load(tx, account_id)) is None


def test_the_secret_of_the_house_stays(rooms: Rooms) -> None:
    secret = rooms.see(credentials.secret)
    assert len(secret) == 32
    assert rooms.see(credentials.secret) == secret
    assert len(fabricated("nobody", secret, SCRAM_ITERATIONS).salt) == 16
