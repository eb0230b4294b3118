"""What an account has learnt goes into the decision about a message that is explained; of itself it refuses nothing."""

import asyncio
from typing import cast

import pytest

from checks.zone import Zone
from posthouse.checks.story import Given
from posthouse.cli.asking import FileAsker
from posthouse.cli.examination import Means, Telling, tell_story
from posthouse.cli.rawmessage import take
from posthouse.cli.readers import Insight, Readers
from posthouse.cli.surroundings import Surroundings
from posthouse.mail.verdict import Verdict
from posthouse.route.opinion import Opinion

NOW = 1_740_852_930_000_000
LETTER = b"From: alice@example.org\r\nSubject: x\r\n\r\nHello\r\n"
WORDS = Verdict("bayes", "fail", "", "it looks like junk (99%), most of all by the word lottery")


class Learnt:
    """Readers who have called such mail junk."""

    async def look(self, *_: object) -> Insight:
        return Insight(None, Opinion((WORDS,), junk=WORDS.reason))


def told(zone: dict[str, dict[str, list[str]]], mail_from: str = "<alice@example.org>") -> Telling:
    means = Means(FileAsker(Zone(zone)), Surroundings(), readers=cast(Readers, Learnt()))
    given = Given(ip="192.0.2.1", helo="mx.example.org", mail_from=mail_from)
    return asyncio.run(tell_story(take(LETTER, "-"), given, means, NOW))


def test_what_the_account_calls_junk_goes_there() -> None:
    decided = told({"example.org": {"TXT": ["v=spf1 ip4:192.0.2.1 -all"]}}).decided()
    assert (decided["action"], decided["rule"], decided["reason"]) == ("quarantine", "account", WORDS.reason)


@pytest.mark.parametrize("mail_from", ["<alice@example.org>", "<a@b@c>"])
def test_what_is_refused_anyway_stays_refused(mail_from: str) -> None:
    zone = {"_dmarc.example.org": {"TXT": ["v=DMARC1; p=reject"]}}
    assert told(zone, mail_from).decided()["action"] == "reject"
