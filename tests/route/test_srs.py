"""Reverse-paths of ours that stand for those of others: there and back, and nobody else's."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from posthouse.mail.address import ADDRESS_OCTETS, LOCAL_PART_OCTETS, Address
from posthouse.mail.instant import DAY
from posthouse.route.srs import DAYS, Queued, SrsFault, derive_key, is_rewritten, reverse, rewrite

KEY = derive_key(b"the secret of the house")
OTHER = derive_key(b"the secret of another house")
NOW = 1_750_000_000_000_000
QUEUE_ID = 0x1234_5678_9ABC

CAROL = Address.parse("carol@far.test")
OURS = "posthouse.test"


def there(mail_from: Address, domain: str = OURS, now: int = NOW, key: bytes = KEY) -> Address:
    return rewrite(mail_from, domain, QUEUE_ID, key, now)


def test_the_address_can_be_read_by_a_person() -> None:
    found = there(CAROL)
    tag, mark, day, domain, local_part = found.local_part.split("=")
    assert (tag, domain, local_part, found.domain) == ("SRS0", "far.test", "carol", OURS)
    assert len(mark) == 8
    assert len(day) == 2
    assert reverse(found, KEY, NOW) == CAROL


def test_what_another_forwarder_rewrote_is_shortened_and_goes_back_to_him() -> None:
    first = rewrite(CAROL, "first.test", 1, OTHER, NOW)
    second = there(first)
    assert second.local_part.startswith("SRS1=")
    assert "=first.test==" in second.local_part
    assert reverse(second, KEY, NOW) == first


def test_of_many_forwarders_the_first_and_the_last_stay() -> None:
    first = rewrite(CAROL, "first.test", 1, OTHER, NOW)
    second = rewrite(first, "second.test", 1, derive_key(b"second"), NOW)
    third = there(second)
    assert "second.test" not in third.local_part
    assert len(third.local_part) == len(second.local_part)
    # A notification takes the way back without the second one, to the only one who knows how old the address is.
    assert reverse(third, KEY, NOW) == first
    assert reverse(first, OTHER, NOW) == CAROL


@pytest.mark.parametrize("separator", ["+", "-"])
def test_other_forwarders_separate_in_their_way(separator: str) -> None:
    theirs = Address.parse(f"SRS0{separator}ABCD=TT=far.test=carol@first.test")
    second = there(theirs)
    assert second.local_part.endswith(f"=first.test={separator}ABCD=TT=far.test=carol")
    assert reverse(second, KEY, NOW) == theirs


@pytest.mark.parametrize(
    "text",
    [
        "bounces+1234567-89ab-alice=posthouse.test@em1234.newsletter.shop.test",
        '"carol of the far side"@far.test',
        '"a..b"@far.test',
        "jörg@far.test",
        "carol@[192.0.2.1]",
        f"{'c' * 64}@far.test",
        "SRS1=abcd=no-forwarder@far.test",
    ],
)
def test_what_has_no_room_is_told_by_its_queue_id(text: str) -> None:
    found = there(Address.parse(text))
    assert "=q=" in found.local_part
    assert found.is_ascii
    assert len(found.local_part) <= LOCAL_PART_OCTETS
    assert reverse(found, KEY, NOW) == Queued(QUEUE_ID)


@pytest.mark.parametrize(("length", "queued"), [(34, False), (35, True)])
def test_a_local_part_is_filled_to_the_last_octet(length: int, queued: bool) -> None:
    # "SRS0=" 5, hash and "=" 9, day and "=" 3, domain and "=" 13
    found = there(Address("c" * length, "far.far.test"))
    assert ("=q=" in found.local_part) is queued
    assert len(found.local_part) <= LOCAL_PART_OCTETS


def test_a_long_domain_leaves_less_room_for_the_local_part() -> None:
    long = ".".join(["d" * 60] * 3 + ["test"])
    mail_from = Address("c" * 30, "far.far.test")
    assert len(str(there(mail_from))) <= ADDRESS_OCTETS
    assert "=q=" not in there(mail_from).local_part
    assert "=q=" in there(mail_from, domain=long + "." + "e" * 20).local_part
    assert len(str(there(mail_from, domain=long + "." + "e" * 20))) <= ADDRESS_OCTETS


def test_letters_may_change_their_case_on_the_way() -> None:
    found = there(Address.parse("Carol.Smith@far.test"))
    assert reverse(found, KEY, NOW) == Address.parse("Carol.Smith@far.test")
    for changed in (found.local_part.lower(), found.local_part.upper()):
        back = reverse(Address(changed, OURS), KEY, NOW)
        assert isinstance(back, Address)
        assert (back.key, back.domain) == ("carol.smith", "far.test")
    queued = there(Address.parse("carol@[192.0.2.1]"))
    assert reverse(Address(queued.local_part.upper(), OURS), KEY, NOW) == Queued(QUEUE_ID)


def test_an_address_made_elsewhere_is_not_ours() -> None:
    with pytest.raises(SrsFault, match="made here"):
        reverse(there(CAROL, key=OTHER), KEY, NOW)


@pytest.mark.parametrize(
    "forge",
    [
        lambda text: text.replace("carol", "victim"),
        lambda text: text.replace("far.test", "victim.test"),
        lambda text: text.replace("SRS0", "SRS1"),
        lambda text: text[:15] + "=" + text[15:],
        lambda text: text[:5] + text[6:],
        lambda text: text[:5] + "========" + text[13:],
        lambda text: "SRS0=",
        lambda text: "SRS0==",
        lambda text: "SRS1====",
        lambda text: "SRS0",
        lambda text: "carol",
    ],
)
def test_a_forged_address_is_refused(forge: "object") -> None:
    assert callable(forge)
    with pytest.raises(SrsFault, match="made here"):
        reverse(Address(forge(there(CAROL).local_part), OURS), KEY, NOW)


def test_an_address_grows_too_old() -> None:
    found = there(CAROL)
    assert reverse(found, KEY, NOW + DAYS * DAY) == CAROL
    with pytest.raises(SrsFault, match="too long ago"):
        reverse(found, KEY, NOW + (DAYS + 1) * DAY)
    with pytest.raises(SrsFault, match="too long ago"):
        reverse(found, KEY, NOW + 1_000 * DAY)


@pytest.mark.parametrize("mail_from", ["carol@far.test", "carol@[192.0.2.1]"])
@pytest.mark.parametrize("days", [1_023, 1_024, 1_024 + DAYS, 2_048, 10_240])
def test_an_address_is_not_young_again_when_its_letters_come_round(mail_from: str, days: int) -> None:
    found = there(Address.parse(mail_from))
    with pytest.raises(SrsFault):
        reverse(found, KEY, NOW + days * DAY)
    # One of that day has the same letters, and counts.
    assert reverse(there(Address.parse(mail_from), now=NOW + days * DAY), KEY, NOW + days * DAY)


def test_a_clock_that_was_set_back_a_day_makes_no_difference() -> None:
    assert reverse(there(CAROL), KEY, NOW - DAY) == CAROL
    with pytest.raises(SrsFault):
        reverse(there(CAROL), KEY, NOW - 3 * DAY)


def test_only_our_own_form_is_taken_for_a_rewritten_address() -> None:
    assert is_rewritten(Address.parse("srs0=x@posthouse.test"))
    assert is_rewritten(Address.parse("SRS1=x@posthouse.test"))
    for text in ("srs0@posthouse.test", "srs0+fan@posthouse.test", "srs2=x@posthouse.test", "carol@posthouse.test"):
        assert not is_rewritten(Address.parse(text))


LOCAL_PART = st.text("abcXYZ019=+-._!#é \"", min_size=1, max_size=64)
DOMAIN = st.from_regex(r"[a-z][a-z0-9-]{0,20}[a-z](\.[a-z]{2,10}){1,3}", fullmatch=True)


@given(LOCAL_PART, DOMAIN)
@example("SRS0=a=b=c=d", "far.test")
@example("SRS1=a=far.test==b", "far.test")
@example("SRS1=", "far.test")
@example("=", "far.test")
@example(".0", "far.test")
@example("0.", "far.test")
@example("SRS1=a=.far.test==b", "far.test")
@example("SRS1=a=far.0==b", "far.test")
def test_every_address_finds_back(local_part: str, domain: str) -> None:
    mail_from = Address(local_part, domain)
    try:
        mail_from = Address.parse(str(mail_from))
    except ValueError:
        return
    found = there(mail_from)
    assert len(found.local_part) <= LOCAL_PART_OCTETS
    assert Address.parse(str(found)) == found
    back = reverse(found, KEY, NOW)
    assert back in (mail_from, Queued(QUEUE_ID)) or found.local_part.startswith("SRS1=")


@given(st.text(max_size=80))
def test_no_text_is_more_than_forged(text: str) -> None:
    for local_part in (text, f"SRS0={text}", f"SRS1={text}"):
        with pytest.raises(SrsFault):
            reverse(Address(local_part, OURS), KEY, NOW)
