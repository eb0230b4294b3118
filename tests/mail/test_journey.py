"""What a person reads about each step."""

import pytest

from posthouse.mail.journey import Stamp, Step, sentence


@pytest.mark.parametrize("step", Step)
def test_every_step_has_its_sentence_even_where_facts_are_missing(step: Step) -> None:
    assert sentence(Stamp(0, step)).isprintable()


def test_a_try_without_a_host_says_so() -> None:
    facts = {"address": "a@gone.test", "host": "", "ip": "", "reply": "550 5.1.2 There is no domain gone.test"}
    told = sentence(Stamp(0, Step.ATTEMPT, facts))
    assert told == "no host could be asked about <a@gone.test>: 550 5.1.2 There is no domain gone.test"
    facts |= {"host": "mx.far.test", "ip": "127.0.0.1"}
    assert sentence(Stamp(0, Step.ATTEMPT, facts)).startswith("tried mx.far.test [127.0.0.1] for <a@gone.test>: 550")


def test_a_message_that_has_no_name_is_told_without_one() -> None:
    facts = {"size": 95, "message_id": "1@far.test", "header_from": "carol@far.test"}
    told = "95 octets arrived, Message-ID 1@far.test, from carol@far.test"
    assert sentence(Stamp(0, Step.RECEIVED, facts)) == told
    facts |= {"size": 0, "message_id": "", "header_from": ""}
    assert sentence(Stamp(0, Step.RECEIVED, facts)) == "0 octets arrived"


def test_facts_from_strangers_cannot_drive_the_terminal() -> None:
    told = sentence(Stamp(0, Step.HELLO, {"verb": "EHLO", "name": "x\x1b[2J\r\n{verb}\u202e"}))
    assert told.isprintable()
    assert "{verb}" in told
