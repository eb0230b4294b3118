"""Where addresses lead, and who may write as which."""

import pytest

from posthouse.mail.address import Address
from posthouse.store import credentials, directory, mailboxes, messages
from posthouse.store.database import Transaction
from posthouse.store.directory import DirectoryError, Full, Local, NotOurs, Resolution, Target, Unknown
from store.rooms import ALICE, NOON, Rooms

BOB = Address("Bob", "posthouse.test")


def to(text: str) -> Address:
    return Address.parse(text)


@pytest.fixture
def town(rooms: Rooms) -> Rooms:
    """alice and Bob of posthouse.test, nobody yet in second.test."""
    rooms.settle_in(BOB)
    rooms.settle_in(ALICE)
    rooms.do(lambda tx: directory.add_domain(tx, "second.test", NOON + 1))
    return rooms


def alias(rooms: Rooms, name: str, *targets: str) -> None:
    rooms.do(lambda tx: directory.add_alias(tx, name, [to(target) for target in targets]))


def resolve(rooms: Rooms, text: str, size: int = 0, separator: str = "+") -> Resolution:
    return rooms.see(lambda tx: directory.resolve(tx, to(text), size=size, separator=separator))


def names(resolution: Resolution) -> tuple[list[str], list[str]]:
    assert isinstance(resolution, Local), resolution
    return [str(target.address) for target in resolution.accounts], [str(address) for address in resolution.remote]


@pytest.mark.parametrize("text", ["alice@posthouse.test", "ALICE@Posthouse.Test", '"alice"@posthouse.test'])
def test_an_account_is_found_whatever_the_case(town: Rooms, text: str) -> None:
    assert resolve(town, text) == Local((Target(town.account_id, ALICE, None),), (), ())


def test_an_address_keeps_its_spelling(town: Rooms) -> None:
    assert names(resolve(town, "bob@posthouse.test")) == (["Bob@posthouse.test"], [])


def test_strangers_are_unknown_and_other_domains_not_ours(town: Rooms) -> None:
    assert isinstance(resolve(town, "mallory@posthouse.test"), Unknown)
    assert isinstance(resolve(town, "alice@second.test"), Unknown)
    assert resolve(town, "alice@far.test") == NotOurs()
    assert resolve(town, "alice+tag@far.test") == NotOurs()
    assert resolve(town, "postmaster@far.test") == NotOurs()


def test_a_tag_is_told_apart(town: Rooms) -> None:
    found = resolve(town, "Alice+Lists+Python@posthouse.test")
    assert isinstance(found, Local)
    assert found.accounts == (Target(town.account_id, ALICE, "Lists+Python"),)
    assert isinstance(resolve(town, "alice-lists@posthouse.test"), Unknown)
    assert isinstance(resolve(town, "alice-lists@posthouse.test", separator="-"), Local)
    assert isinstance(resolve(town, "alice+lists@posthouse.test", separator="-"), Unknown)
    assert isinstance(resolve(town, "alice+lists@posthouse.test", separator=""), Unknown)
    assert isinstance(resolve(town, "+alice@posthouse.test"), Unknown)


def test_the_full_form_comes_before_the_tag(town: Rooms) -> None:
    alias(town, "alice+work@posthouse.test", "bob@posthouse.test")
    assert names(resolve(town, "alice+work@posthouse.test")) == (["Bob@posthouse.test"], [])
    assert names(resolve(town, "alice+home@posthouse.test")) == (["alice@posthouse.test"], [])


def test_an_alias_leads_to_all_its_targets_and_says_so(town: Rooms) -> None:
    alias(town, "team@second.test", "alice@posthouse.test", "bob@posthouse.test", "x@far.test")
    alias(town, "team@second.test", "x@far.test", "y@far.test")
    found = resolve(town, "Team+q3@second.test")
    assert names(found) == (["alice@posthouse.test", "Bob@posthouse.test"], ["x@far.test", "y@far.test"])
    assert isinstance(found, Local)
    assert found.chain == (
        "Team+q3@second.test → alice@posthouse.test, bob@posthouse.test, x@far.test, y@far.test",
    )


def test_a_tag_in_a_target_reaches_the_account(town: Rooms) -> None:
    alias(town, "bills@posthouse.test", "alice+bills@posthouse.test")
    found = resolve(town, "bills@posthouse.test")
    assert isinstance(found, Local)
    assert found.accounts == (Target(town.account_id, ALICE, "bills"),)


def test_each_account_gets_one_copy_whatever_the_way(town: Rooms) -> None:
    alias(town, "all@posthouse.test", "alice@posthouse.test", "some@posthouse.test", "alice+x@posthouse.test")
    alias(town, "some@posthouse.test", "ALICE@posthouse.test", "bob@posthouse.test", "z@far.test")
    alias(town, "more@posthouse.test", "all@posthouse.test", "Z@far.test")
    assert names(resolve(town, "more@posthouse.test"))[0] == ["alice@posthouse.test", "Bob@posthouse.test"]
    assert names(resolve(town, "more@posthouse.test"))[1] == ["z@far.test"]


def test_circles_that_come_up_by_what_is_removed_end(town: Rooms) -> None:
    alias(town, "a@posthouse.test", "bob@posthouse.test")
    alias(town, "@posthouse.test", "a@posthouse.test")
    bob = town.see(lambda tx: directory.find_account(tx, BOB))
    assert bob is not None
    town.do(lambda tx: directory.remove_account(tx, bob.account_id))
    assert isinstance(resolve(town, "a@posthouse.test"), Unknown)
    assert isinstance(resolve(town, "anybody@posthouse.test"), Unknown)
    alias(town, "bob@posthouse.test", "alice@posthouse.test")
    assert names(resolve(town, "a@posthouse.test")) == (["alice@posthouse.test"], [])


@pytest.mark.parametrize(
    ("before", "last", "circle"),
    [
        ([], ("x@posthouse.test", "x@posthouse.test"), "x@posthouse.test → x@posthouse.test"),
        ([], ("x@posthouse.test", "alice@posthouse.test X@posthouse.test"), "X@posthouse.test → X@posthouse.test"),
        ([], ("x@posthouse.test", "x+tag@posthouse.test"), "x+tag@posthouse.test → x+tag@posthouse.test"),
        (
            [("b@posthouse.test", "c@second.test"), ("c@second.test", "alice@posthouse.test a@posthouse.test")],
            ("a@posthouse.test", "b@posthouse.test"),
            "b@posthouse.test → c@second.test → a@posthouse.test → b@posthouse.test",
        ),
        ([], ("@second.test", "nobody@second.test"), "nobody@second.test → nobody@second.test"),
        (
            [("a@posthouse.test", "somebody@second.test")],
            ("@second.test", "a@posthouse.test"),
            "a@posthouse.test → somebody@second.test → a@posthouse.test",
        ),
    ],
)
def test_an_alias_that_would_lead_back_to_itself_is_refused(
    town: Rooms, before: list[tuple[str, str]], last: tuple[str, str], circle: str
) -> None:
    for name, targets in before:
        alias(town, name, *targets.split())
    known = town.see(directory.aliases)
    with pytest.raises(DirectoryError) as caught:
        alias(town, last[0], *last[1].split())
    assert str(caught.value) == f"mail for {last[0]} would go round in a circle: {circle}"
    # Nothing of it was kept.
    assert town.see(directory.aliases) == known


def test_ways_that_part_and_meet_again_are_no_circle(town: Rooms) -> None:
    alias(town, "a@posthouse.test", "alice@posthouse.test", "x@far.test")
    alias(town, "b@posthouse.test", "a@posthouse.test", "alice+b@posthouse.test")
    alias(town, "c@posthouse.test", "a@posthouse.test", "b@posthouse.test", "a@posthouse.test")
    alias(town, "@posthouse.test", "c@posthouse.test", "b@posthouse.test")
    assert names(resolve(town, "anybody@posthouse.test")) == (["alice@posthouse.test"], ["x@far.test"])


def test_many_ways_to_one_address_are_gone_once(town: Rooms) -> None:
    """Each of 18 levels leads to both of the next: a quarter of a million ways, and 36 aliases."""
    for level in range(18):
        for side in "ab":
            alias(town, f"{side}{level}@posthouse.test", f"a{level + 1}@posthouse.test", f"b{level + 1}@posthouse.test")
    alias(town, "a18@posthouse.test", "alice@posthouse.test")
    alias(town, "b18@posthouse.test", "x@far.test")
    found = resolve(town, "a0@posthouse.test")
    assert names(found) == (["alice@posthouse.test"], ["x@far.test"])
    assert isinstance(found, Local)
    assert len(found.chain) == 37


def test_long_chains_end(town: Rooms) -> None:
    for number in range(30):
        alias(town, f"n{number}@posthouse.test", f"n{number + 1}@posthouse.test")
    alias(town, "n30@posthouse.test", "alice@posthouse.test")
    found = resolve(town, "n0@posthouse.test")
    assert isinstance(found, Unknown)
    assert "more than 20" in found.chain[-1]
    assert names(resolve(town, "n15@posthouse.test")) == (["alice@posthouse.test"], [])


def test_a_catch_all_takes_what_nobody_has(town: Rooms) -> None:
    alias(town, "@posthouse.test", "bob@posthouse.test")
    assert names(resolve(town, "anything@posthouse.test")) == (["Bob@posthouse.test"], [])
    assert names(resolve(town, "alice@posthouse.test")) == (["alice@posthouse.test"], [])
    assert names(resolve(town, "alice+tag@posthouse.test")) == (["alice@posthouse.test"], [])
    assert isinstance(resolve(town, "anything@second.test"), Unknown)
    alias(town, "@second.test", "anyone@posthouse.test")
    assert names(resolve(town, "x@second.test")) == (["Bob@posthouse.test"], [])


def test_a_remote_target_with_a_local_looking_name_stays_remote(town: Rooms) -> None:
    alias(town, "far@posthouse.test", "alice@far.test")
    assert names(resolve(town, "far@posthouse.test")) == ([], ["alice@far.test"])


@pytest.mark.parametrize("name", ["postmaster", "Abuse", "POSTMASTER"])
def test_postmaster_and_abuse_always_reach_somebody(town: Rooms, name: str) -> None:
    found = resolve(town, f"{name}@posthouse.test")
    assert names(found) == (["Bob@posthouse.test"], [])
    assert isinstance(resolve(town, f"{name}@second.test"), Unknown)
    alias(town, f"{name}@posthouse.test", "alice@posthouse.test")
    assert names(resolve(town, f"{name}@posthouse.test")) == (["alice@posthouse.test"], [])


def test_the_bare_postmaster_is_that_of_the_first_domain(town: Rooms) -> None:
    found = town.see(lambda tx: directory.resolve(tx, Address("postmaster", "")))
    assert names(found) == (["Bob@posthouse.test"], [])


def test_the_postmaster_of_our_own_name_is_that_of_the_first_domain(town: Rooms) -> None:
    def ask(address: str) -> directory.Resolution:
        return town.see(lambda tx: directory.resolve(tx, Address.parse(address), hostname="mx.posthouse.test"))

    assert names(ask("PostMaster@mx.posthouse.test")) == (["Bob@posthouse.test"], [])
    assert ask("bob@mx.posthouse.test") == NotOurs()
    assert ask("postmaster@mx.far.test") == NotOurs()


def test_without_domains_nobody_is_postmaster(rooms: Rooms) -> None:
    assert isinstance(rooms.see(lambda tx: directory.resolve(tx, Address("postmaster", ""))), Unknown)


def test_a_full_account_is_told_apart(town: Rooms) -> None:
    town.do(lambda tx: directory.set_quota(tx, town.account_id, 1_000))
    assert isinstance(resolve(town, "alice@posthouse.test", size=1_000), Local)
    assert resolve(town, "alice@posthouse.test", size=1_001) == Full(ALICE)
    assert resolve(town, "alice+tag@posthouse.test", size=1_001) == Full(ALICE)
    alias(town, "both@posthouse.test", "bob@posthouse.test", "alice@posthouse.test")
    assert resolve(town, "both@posthouse.test", size=1_001) == Full(ALICE)
    town.deliver()
    assert resolve(town, "alice@posthouse.test", size=1_000) == Full(ALICE)
    town.do(lambda tx: directory.set_quota(tx, town.account_id, None))
    assert isinstance(resolve(town, "alice@posthouse.test", size=10**12), Local)


def test_a_suspended_account_still_receives(town: Rooms) -> None:
    town.do(lambda tx: directory.set_suspended(tx, town.account_id, True))
    assert isinstance(resolve(town, "alice@posthouse.test"), Local)
    found = town.see(lambda tx: directory.find_account(tx, ALICE))
    assert found is not None
    assert found.suspended


def test_a_suspended_account_owns_nothing_to_write_as_until_it_is_resumed(town: Rooms) -> None:
    town.do(lambda tx: directory.set_suspended(tx, town.account_id, True))
    assert ALICE not in town.see(lambda tx: directory.owned(tx, town.account_id))
    town.do(lambda tx: directory.set_suspended(tx, town.account_id, False))
    assert ALICE in town.see(lambda tx: directory.owned(tx, town.account_id))


def test_an_account_owns_its_address_its_tags_and_its_aliases(town: Rooms) -> None:
    alias(town, "info@second.test", "team@posthouse.test")
    alias(town, "team@posthouse.test", "alice+team@posthouse.test", "bob@posthouse.test")
    owned = town.see(lambda tx: directory.owned(tx, town.account_id))
    for text in ("ALICE@posthouse.test", "alice+any@posthouse.test", "info@second.test", "Team@posthouse.test"):
        assert to(text) in owned
    for text in ("bob@posthouse.test", "alice@second.test", "alice@far.test", "alic@posthouse.test", "x@second.test"):
        assert to(text) not in owned
    assert set(map(str, owned.addresses)) == {"alice@posthouse.test", "info@second.test", "team@posthouse.test"}


def test_a_tagged_form_that_is_somebody_elses_is_not_owned(town: Rooms) -> None:
    alias(town, "alice+work@posthouse.test", "bob@posthouse.test")
    owned = town.see(lambda tx: directory.owned(tx, town.account_id))
    assert to("alice+work@posthouse.test") not in owned
    assert to("alice+home@posthouse.test") in owned


def test_a_catch_all_owns_what_nobody_else_has(town: Rooms) -> None:
    alias(town, "@posthouse.test", "alice@posthouse.test")
    alias(town, "sales@posthouse.test", "x@far.test")
    owned = town.see(lambda tx: directory.owned(tx, town.account_id))
    assert to("whatever@posthouse.test") in owned
    for text in ("bob@posthouse.test", "bob+x@posthouse.test", "sales@posthouse.test", "any@second.test"):
        assert to(text) not in owned


def test_nobody_owns_nothing(rooms: Rooms) -> None:
    assert ALICE not in rooms.see(lambda tx: directory.owned(tx, 5))


def test_domains_come_and_go(town: Rooms) -> None:
    assert town.see(directory.domains) == ["posthouse.test", "second.test"]
    assert town.see(lambda tx: directory.is_local(tx, "second.test"))
    alias(town, "x@second.test", "alice@posthouse.test")
    town.do(lambda tx: directory.remove_domain(tx, "second.test"))
    assert not town.see(lambda tx: directory.is_local(tx, "second.test"))
    assert town.see(directory.aliases) == []
    with pytest.raises(DirectoryError, match="still has accounts"):
        town.do(lambda tx: directory.remove_domain(tx, "posthouse.test"))
    with pytest.raises(DirectoryError, match="there is no domain"):
        town.do(lambda tx: directory.remove_domain(tx, "second.test"))


@pytest.mark.parametrize(
    "name", ["posthouse.test", "Upper.test", "bad domain", "", "a..b", "bücher.test", "[192.0.2.1]"]
)
def test_impossible_domains_are_refused(town: Rooms, name: str) -> None:
    with pytest.raises(DirectoryError):
        town.do(lambda tx: directory.add_domain(tx, name, NOON))


def test_names_are_given_once(town: Rooms) -> None:
    alias(town, "taken@posthouse.test", "alice@posthouse.test")
    for text, words in (
        ("ALICE@posthouse.test", "account"),
        ("Taken@posthouse.test", "alias"),
        ("new@far.test", "not one of our domains"),
    ):
        with pytest.raises(DirectoryError, match=words):
            town.do(lambda tx, text=text: directory.add_account(tx, town.id(), to(text), NOON))  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("alice@posthouse.test", "x@far.test"),
        ("x@far.test", "alice@posthouse.test"),
        ("@far.test", "alice@posthouse.test"),
        ("nonsense", "alice@posthouse.test"),
        ("x@posthouse.test", "x@[192.0.2.1]"),
    ],
)
def test_impossible_aliases_are_refused(town: Rooms, name: str, target: str) -> None:
    with pytest.raises(DirectoryError):
        alias(town, name, target)
    assert town.see(directory.aliases) == []


def test_an_alias_needs_a_target_and_has_not_too_many(town: Rooms) -> None:
    with pytest.raises(DirectoryError, match="needs a target"):
        alias(town, "x@posthouse.test")
    with pytest.raises(DirectoryError, match="at most 1000"):
        alias(town, "x@posthouse.test", *[f"u{number}@far.test" for number in range(1_001)])


def test_aliases_are_listed_and_removed(town: Rooms) -> None:
    alias(town, "b@posthouse.test", "alice@posthouse.test", "x@far.test")
    alias(town, "@second.test", "alice@posthouse.test")
    alias(town, "a@second.test", "bob@posthouse.test")
    found = [(each.name, [str(target) for target in each.targets]) for each in town.see(directory.aliases)]
    assert found == [
        ("b@posthouse.test", ["alice@posthouse.test", "x@far.test"]),
        ("@second.test", ["alice@posthouse.test"]),
        ("a@second.test", ["bob@posthouse.test"]),
    ]
    town.do(lambda tx: directory.remove_alias(tx, "B@posthouse.test", [to("X@far.test")]))
    town.do(lambda tx: directory.remove_alias(tx, "@second.test"))
    assert [each.name for each in town.see(directory.aliases)] == ["b@posthouse.test", "a@second.test"]
    for name, targets in (("none@posthouse.test", ()), ("b@posthouse.test", (to("x@far.test"),))):
        with pytest.raises(DirectoryError):
            town.do(lambda tx, n=name, t=targets: directory.remove_alias(tx, n, t))  # type: ignore[misc]


def test_removing_an_account_leaves_nothing_of_it(town: Rooms) -> None:
    town.deliver()
    town.deliver(3)
    town.do(lambda tx: messages.store_flags(tx, town.account_id, 1, messages.EVERY, add=1))
    town.do(lambda tx: credentials.save(tx, town.account_id, credentials.make("a good password")))
    town.do(lambda tx: directory.remove_account(tx, town.account_id))

    def left(tx: Transaction) -> dict[str, int]:
        columns = "SELECT m.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE c.name = 'account_id'"
        tables = [row[0] for row in tx.all(columns)]
        assert "placements" in tables
        count = "SELECT COUNT(*) FROM {} WHERE account_id = $1"
        counts = {table: tx.one(count.format(table), town.account_id) for table in tables}
        return {table: count[0] for table, count in counts.items() if count and count[0]}

    assert town.see(left) == {}
    assert [str(each.address) for each in town.see(directory.accounts)] == ["Bob@posthouse.test"]
    assert isinstance(resolve(town, "alice@posthouse.test"), Unknown)
    with pytest.raises(DirectoryError):
        town.do(lambda tx: directory.remove_account(tx, town.account_id))


@pytest.mark.parametrize("name", ["Bob\r\nBcc: mallory@far.test", "Bob\0", "\x1b[31mBob", "\u202eboB"])
def test_a_name_with_control_characters_is_refused(town: Rooms, name: str) -> None:
    with pytest.raises(DirectoryError, match="control characters"):
        town.do(lambda tx: directory.add_account(tx, 77, to("new@posthouse.test"), NOON, name=name))


def test_an_account_is_what_was_asked_for(rooms: Rooms) -> None:
    rooms.do(lambda tx: directory.add_domain(tx, "posthouse.test", NOON))
    made = rooms.do(lambda tx: directory.add_account(tx, 77, BOB, NOON, name="Bob B.", quota=10))
    assert made == directory.Account(77, BOB, "Bob B.", 10, 0, False, NOON)
    assert rooms.see(lambda tx: directory.account(tx, 77)) == made
    assert rooms.see(lambda tx: directory.find_account(tx, to("bOB@posthouse.test"))) == made
    assert rooms.see(lambda tx: directory.find_account(tx, to("bob+tag@posthouse.test"))) is None
    assert rooms.see(lambda tx: directory.account(tx, 78)) is None
    assert len(rooms.see(lambda tx: mailboxes.list_mailboxes(tx, 77))) == 6


@pytest.mark.parametrize(
    ("change", "to"), [(directory.set_suspended, True), (directory.set_quota, 1), (directory.set_name, "Ann")]
)
def test_changes_to_nobody_are_refused(rooms: Rooms, change: object, to: object) -> None:
    with pytest.raises(DirectoryError):
        rooms.do(lambda tx: change(tx, 5, to))  # type: ignore[operator]


def test_a_negative_quota_is_refused(town: Rooms) -> None:
    with pytest.raises(DirectoryError):
        town.do(lambda tx: directory.set_quota(tx, town.account_id, -1))
