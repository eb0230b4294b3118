"""Keys that sign: the steps of their life, and which of them signs for whom."""

import pytest

from posthouse.checks.dkim import KeyFault, SigningKey
from posthouse.mail.instant import DAY, Instant
from posthouse.store import signing
from posthouse.store.signing import KeyState, StoredKey
from store.rooms import NOON, Rooms

DOMAIN = "posthouse.test"


def made(selector: str, domain: str = DOMAIN) -> SigningKey:
    return SigningKey.generate(domain, selector, "ed25519-sha256")


def states(rooms: Rooms, domain: str = DOMAIN) -> dict[str, KeyState]:
    return {key.selector: key.state for key in rooms.see(lambda tx: signing.keys(tx, domain))}


def active(rooms: Rooms, domain: str) -> list[str]:
    return [key.dns_name for key in rooms.see(lambda tx: signing.active(tx, domain))]


def add(rooms: Rooms, *keys: SigningKey, state: KeyState = KeyState.ACTIVE, at: Instant = NOON) -> None:
    rooms.do(lambda tx: signing.add(tx, keys, state, at))


def test_a_domain_gets_a_key_of_each_kind_named_by_the_day() -> None:
    rsa, ed25519 = signing.generate(DOMAIN, NOON)
    day = rsa.selector[1:]
    assert (rsa.algorithm, ed25519.algorithm) == ("rsa-sha256", "ed25519-sha256")
    assert (rsa.selector, ed25519.selector) == (f"r{day}", f"e{day}")
    assert day == "20250515"
    again = signing.generate(DOMAIN, NOON, [rsa.selector, ed25519.selector])
    assert [key.selector for key in again] == [f"r{day}b", f"e{day}b"]
    many = {f"r{day}", *(f"r{day}{letter}" for letter in "bcdefghijklmnopqrstuvwxyz")}
    assert signing.generate(DOMAIN, NOON, many)[0].selector not in many


def test_a_key_comes_back_as_it_was_put(rooms: Rooms) -> None:
    key = made("e1")
    add(rooms, key)
    (stored,) = rooms.see(lambda tx: signing.keys(tx, DOMAIN))
    assert stored.load().der() == key.der()
    assert (stored.record, stored.dns_name) == (key.dns_record(), key.dns_name)
    assert (stored.created, stored.activated, stored.retired, stored.withdrawn) == (NOON, NOON, None, None)
    assert "private" not in repr(stored)


def test_rsa_signs_first(rooms: Rooms) -> None:
    keys = signing.generate(DOMAIN, NOON)
    add(rooms, *reversed(keys))
    assert active(rooms, DOMAIN) == [key.dns_name for key in keys]


def test_the_steps_of_a_key(rooms: Rooms) -> None:
    add(rooms, made("old"))
    assert not rooms.do(lambda tx: signing.switch(tx, DOMAIN, NOON))
    assert states(rooms) == {"old": KeyState.ACTIVE}
    add(rooms, made("new"), state=KeyState.PUBLISHED, at=NOON + 1)
    assert active(rooms, DOMAIN) == ["old._domainkey.posthouse.test"]
    assert rooms.do(lambda tx: signing.switch(tx, DOMAIN, NOON + DAY))
    assert states(rooms) == {"old": KeyState.RETIRED, "new": KeyState.ACTIVE}
    assert active(rooms, DOMAIN) == ["new._domainkey.posthouse.test"]
    assert not rooms.do(lambda tx: signing.withdraw(tx, DOMAIN, NOON + 2 * DAY, NOON))
    assert rooms.do(lambda tx: signing.withdraw(tx, DOMAIN, NOON + 9 * DAY, NOON + DAY)) == 1
    assert states(rooms) == {"old": KeyState.WITHDRAWN, "new": KeyState.ACTIVE}
    old, new = rooms.see(lambda tx: signing.keys(tx, DOMAIN))
    assert (old.activated, old.retired, old.withdrawn) == (NOON, NOON + DAY, NOON + 9 * DAY)
    assert (new.activated, new.retired) == (NOON + DAY, None)


def test_a_retired_key_can_sign_no_more(rooms: Rooms) -> None:
    key = made("old")
    add(rooms, key)
    add(rooms, made("new"), state=KeyState.PUBLISHED)
    rooms.do(lambda tx: signing.switch(tx, DOMAIN, NOON))
    (old,) = (key for key in rooms.see(lambda tx: signing.keys(tx, DOMAIN)) if key.selector == "old")
    assert (old.private, old.record) == (b"", key.dns_record())
    with pytest.raises(KeyFault):
        old.load()


def test_a_name_below_has_the_keys_of_the_nearest_domain_above(rooms: Rooms) -> None:
    add(rooms, made("top"), made("sub", "sub.posthouse.test"))
    assert active(rooms, "mx.posthouse.test") == ["top._domainkey.posthouse.test"]
    assert active(rooms, "a.sub.posthouse.test") == ["sub._domainkey.sub.posthouse.test"]
    assert active(rooms, "otherposthouse.test") == []
    assert active(rooms, "test") == []
    assert active(rooms, "") == []


def test_a_domain_of_one_label_gets_no_keys() -> None:
    assert signing.generate("localhost", NOON) == ()


@pytest.mark.parametrize("length", [231, 253])
def test_a_name_below_which_no_record_fits_gets_no_keys(length: int) -> None:
    domain = (f"{'a' * 60}." * 5)[: length - 5] + ".test"
    assert len(domain) == length
    assert bool(signing.generate(domain, NOON)) is (length == 231)


def test_the_keys_of_a_domain_that_goes_can_sign_no_more_and_their_selectors_stay_taken(rooms: Rooms) -> None:
    add(rooms, made("top"), made("sub", "sub.posthouse.test"))
    add(rooms, made("next"), state=KeyState.PUBLISHED)
    rooms.do(lambda tx: signing.forget(tx, DOMAIN, NOON + DAY))
    assert states(rooms) == dict.fromkeys(("top", "next"), KeyState.WITHDRAWN)
    gone = rooms.see(lambda tx: signing.keys(tx, DOMAIN))
    assert {(key.retired, key.withdrawn, key.private) for key in gone} == {(NOON + DAY, NOON + DAY, b"")}
    rooms.do(lambda tx: signing.forget(tx, DOMAIN, NOON + 2 * DAY))
    assert rooms.see(lambda tx: signing.keys(tx, DOMAIN)) == gone
    assert states(rooms, "sub.posthouse.test") == {"sub": KeyState.ACTIVE}


def test_a_key_is_loaded_once() -> None:
    key = made("e1")
    stored = StoredKey(
        DOMAIN, "e1", "ed25519-sha256", KeyState.ACTIVE, NOON, NOON, None, None, key.dns_record(), key.der()
    )
    assert stored.load() is stored.load()
