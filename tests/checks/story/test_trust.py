"""Where trust begins: down to the host of ours that took the message from outside, and no farther."""

import pytest

from checks.story.letters import OURS, received, trusted

NOW = "Sat, 01 Mar 2025 18:15:30 +0000"
STRANGER = "mx.example.org (mx.example.org [192.0.2.1])"
INNER = "127.0.0.1"
PRIVATE = "172.17." + "0.1"


def believed(*fields: str, hosts: tuple[str, ...] = (), ip: str = "") -> list[str]:
    return [hop.where for hop in trusted(*fields, hosts=hosts, ip=ip).hops if hop.trusted]


def test_the_topmost_field_is_believed_and_nothing_below_it() -> None:
    fields = (received(STRANGER, OURS, NOW), received("laptop", "mx.example.org", NOW))
    assert believed(*fields) == ["Received 1"]
    found = trusted(*fields)
    assert found.entry is not None
    assert found.entry.received.ip == "192.0.2.1"
    assert found.how == "mx.posthouse.test took it from 192.0.2.1"
    assert found.assumed


def test_hosts_of_one_house_hand_it_on_to_each_other() -> None:
    fields = (
        received(f"filter.posthouse.test ([{INNER}])", "store.posthouse.test", NOW),
        received("mx.posthouse.test (mx.posthouse.test [203.0.113.9])", "filter.posthouse.test", NOW),
        received(STRANGER, OURS, NOW),
        received("laptop", "mx.example.org", NOW),
    )
    assert believed(*fields) == ["Received 3", "Received 2", "Received 1"]


def test_a_field_that_a_stranger_wrote_in_our_name_is_not_believed() -> None:
    fields = (received(STRANGER, OURS, NOW), received("bank.example ([192.0.2.9])", OURS, NOW))
    assert believed(*fields) == ["Received 1"]
    assert believed(*fields, hosts=(OURS,)) == ["Received 1"]


def test_a_name_that_the_client_only_claims_makes_it_no_host_of_ours() -> None:
    fields = (
        received("relay.posthouse.test (unknown [192.0.2.1])", OURS, NOW),
        received("bank.example ([192.0.2.9])", "relay.posthouse.test", NOW),
    )
    assert believed(*fields) == ["Received 1"]


def test_nothing_is_believed_where_the_topmost_field_is_not_by_a_host_that_was_named() -> None:
    found = trusted(received(STRANGER, "mx.elsewhere.example", NOW), hosts=(OURS,))
    assert found.entry is None
    assert found.how == "the topmost Received field is by mx.elsewhere.example, which is none of ours"


def test_a_domain_that_was_named_stands_for_its_hosts() -> None:
    assert believed(received(STRANGER, OURS, NOW), hosts=("posthouse.test",)) == ["Received 1"]
    assert believed(received(STRANGER, "mx.notposthouse.test", NOW), hosts=("posthouse.test",)) == []


def test_with_the_address_of_the_client_only_the_field_that_has_it_is_believed() -> None:
    fields = (received(STRANGER, OURS, NOW), received("laptop ([198.51.100.7])", "mx.example.org", NOW))
    assert believed(*fields, ip="192.0.2.1") == ["Received 1"]
    # It came over the wire just now: all of its fields came with it.
    assert believed(*fields, ip="203.0.113.5") == []


def test_an_address_far_below_does_not_make_the_fields_of_others_ours() -> None:
    fields = (
        received("a.example ([203.0.113.5])", OURS, NOW), received("b.example ([192.0.2.1])", "mx.other.example", NOW)
    )
    assert believed(*fields, ip="192.0.2.1") == []


def test_fields_without_a_client_are_of_the_house_that_wrote_the_next_one() -> None:
    fields = (
        received("", "2001:db8::1", NOW, "SMTP"),
        received(STRANGER, "mx.mailbox.example", NOW),
        received("laptop", "mx.example.org", NOW),
    )
    assert believed(*fields) == ["Received 2", "Received 1"]


def test_a_stranger_behind_a_proxy_of_ours_is_a_stranger() -> None:
    fields = (
        received(f"mx.example.org ([{PRIVATE}])", OURS, NOW),
        received("bank.example ([192.0.2.9])", "mx.example.org", NOW),
    )
    assert believed(*fields) == ["Received 1"]
    assert believed(*fields, hosts=(OURS,)) == ["Received 1"]
    # A host of ours there hands on what it has taken from outside.
    fields = (received(f"in.posthouse.test ([{PRIVATE}])", OURS, NOW), received(STRANGER, "in.posthouse.test", NOW))
    assert believed(*fields) == ["Received 2", "Received 1"]


BANK = received("bank.example ([192.0.2.9])", OURS, NOW)


@pytest.mark.parametrize("hosts", [(), (OURS,)])
def test_a_host_does_not_hand_a_message_to_itself_over_a_private_network(hosts: tuple[str, ...]) -> None:
    assert believed(received(f"WORK (unknown [{PRIVATE}])", OURS, NOW), BANK, hosts=hosts) == ["Received 1"]
    # A filter on the same machine does.
    assert believed(received(f"localhost ([{INNER}])", OURS, NOW), BANK, hosts=hosts) == ["Received 2", "Received 1"]


def test_a_client_without_an_address_is_not_ours_because_it_says_so() -> None:
    assert believed(received("localhost", OURS, NOW), BANK) == ["Received 1"]
    assert believed(received("localhost", OURS, NOW, "LMTP"), BANK) == ["Received 2", "Received 1"]
    assert believed(received("", OURS, NOW, "ESMTPSA"), BANK) == ["Received 1"]


def test_a_step_over_a_private_network_is_remembered() -> None:
    top = received(f"WORK (unknown [{PRIVATE}])", OURS, NOW)
    through = trusted(top, received("bank.example ([192.0.2.9])", "in.posthouse.test", NOW)).through
    assert through is not None
    assert through.where == "Received 1"
    assert trusted(top, BANK).through is None
    assert trusted(received(f"localhost ([{INNER}])", OURS, NOW), BANK).through is None


def test_what_was_fetched_from_a_mailbox_came_in_where_that_mailbox_is() -> None:
    fields = (
        received(f"localhost ([{INNER}])", "home.example", NOW),
        received("pop.mailbox.example [198.51.100.9]", "localhost", NOW, "POP3"),
        received(STRANGER, "mx7.mailbox.example", NOW),
        received("laptop", "mx.example.org", NOW),
    )
    found = trusted(*fields)
    assert found.entry is not None
    assert found.entry.where == "Received 3"


def test_neighbours_by_their_addresses_are_of_one_house() -> None:
    fields = (
        received("am0pr05.mailer.example (2001:db8:5::7)", "db8pr05.mailer.example (2001:db8:9::20)", NOW),
        received(STRANGER, "am0pr05.mailer.example (2001:db8:5::7)", NOW),
    )
    assert believed(*fields) == ["Received 2", "Received 1"]


@pytest.mark.parametrize("hosts", [(), (OURS,)])
def test_a_message_without_received_fields_has_no_way(hosts: tuple[str, ...]) -> None:
    found = trusted("Subject: x", hosts=hosts)
    assert found.entry is None
    assert found.hops == ()
