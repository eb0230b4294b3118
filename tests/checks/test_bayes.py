"""Junk by what an account has called junk: tokens, the mathematics, and a real heap of old mail."""

import tarfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.checks import bayes
from posthouse.checks.bayes import GOOD, JUNK, TRAINED, Bayes, Corpus, Count, combined, judge, tokens
from posthouse.mail.message import Message

# What a filter that learned from nine tenths of the sample has to do with the last tenth.
GOOD_TAKEN_FOR_JUNK = 0.01
JUNK_FOUND = 0.94
GOOD_FOUND = 0.97

FOLDS = 10


def seen(*lines: str, body: str = "") -> frozenset[str]:
    return tokens(Message.parse("\r\n".join([*lines, "", body]).encode()))


def test_words_are_tokens_wherever_the_author_put_them() -> None:
    found = seen(
        'From: "Cheap Pills" <Sales@Shop.Example>', "Reply-To: other@elsewhere.example",
        "Subject: =?utf-8?q?Gr=C3=BC?=n NOW CHEAP", "X-Mailer: Blaster 3.0", "To: a@b.example, c@d.example",
        "List-Unsubscribe: <mailto:u@x.example>",
        body="You WON $1,000!!! at http://user@203.0.113.7/free%20money and https://www.shop.example/offer it",
    )
    assert {
        "from:cheap", "from:pills", "from:shop.example", "from:sales@shop.example", "reply-to:elsewhere.example",
        "subject:grün", "subject:now", "mailer:blaster", "recipients:some", "field:list-unsubscribe", "type:text/plain",
        "you", "won", "$1,000!!!", "link:by number", "link:disguised", "link:shop.example", "path:free",
        "path:offer", "subject:capitals:cheap",
    } <= found
    assert "it" not in found


def test_html_is_read_as_text_with_its_telling_tags() -> None:
    found = seen(
        "From: a@b.example", "MIME-Version: 1.0", "Content-Type: text/html; charset=ISO-8859-1",
        body="<html><style>hidden</style><font color=red>Click<b>here</b></font> <img src='http://x.example/p.gif'></html>",
    )
    assert {"clickhere", "tag:font", "tag:img", "type:text/html", "type:html alone", "link:x.example"} <= found
    assert "charset:iso-8859-1" in found
    assert "hidden" not in found


def test_attachments_and_long_words_are_told_by_their_kind() -> None:
    found = seen(
        "From: a@b.example", "MIME-Version: 1.0", "Content-Type: multipart/mixed; boundary=b",
        body="--b\r\n\r\n" + "x" * 57 + "\r\n--b\r\nContent-Type: application/octet-stream; name=a.pdf.EXE\r\n"
        "Content-Disposition: attachment; filename=a.pdf.EXE\r\n\r\nMZ\r\n--b--\r\n",
    )
    assert {"long:x:50", "attached:exe", "type:application/octet-stream", "type:multipart/mixed"} <= found


def test_the_way_a_message_took_says_nothing() -> None:
    way = ["Received: from evil.example by mx.example", "Delivered-To: me@x.example", "X-Spam-Status: Yes", "Date: now"]
    assert seen("From: a@b.example", *way) == seen("From: a@b.example")


def test_what_is_looked_at_has_a_bound() -> None:
    flood = " ".join(f"w{number:x}" for number in range(100_000))
    found = seen("From: a@b.example", f"Subject: {'s' * 5000} " + "b " * 5000, body=flood)
    assert len(found) == bayes.TOKENS
    assert max(map(len, found)) <= bayes.TOKEN_CHARACTERS
    long = seen(f"From: {'a' * 60}@{'b' * 60}.example", f"Subject: {'early ' * 400} late")
    assert max(map(len, long)) == bayes.TOKEN_CHARACTERS
    assert "subject:early" in long
    assert "subject:late" not in long
    parts = "".join(f"--b\r\nContent-Type: text/x{number}\r\n\r\nword{number}\r\n" for number in range(990))
    many = seen("From: a@b.example", "MIME-Version: 1.0", "Content-Type: multipart/mixed; boundary=b", body=parts)
    assert len(many) < 100


def test_tokens_seen_seldom_lean_towards_one_half() -> None:
    corpus = Corpus(100, 100)
    scores = [judge(["t"], {"t": Count(number, 0)}, corpus).score for number in (1, 5, 50)]
    assert 0.5 < scores[0] < scores[1] < scores[2] < 1
    assert judge(["t"], {"t": Count(50, 50)}, corpus).score == 0.5
    assert judge(["t"], {"t": Count(0, 0)}, corpus).score == 0.5
    assert judge(["new"], {}, corpus).score == 0.5


def test_unequal_heaps_do_not_tip_the_scale() -> None:
    assert judge(["t"], {"t": Count(10, 100)}, Corpus(100, 1000)).score == 0.5


def test_the_score_is_that_of_fishers_method() -> None:
    # Two tokens of 0.9: chi-squared of -2 ln 0.01 with 4 degrees of freedom, and of -2 ln 0.81.
    assert combined([0.9, 0.9]) == pytest.approx((1 + (1 - 0.0560517) - (1 - 0.9806844)) / 2, abs=1e-6)
    assert combined([]) == 0.5
    assert combined([0.99] * 10 + [0.01] * 10) == pytest.approx(0.5)
    assert combined([1 - 1e-6] * 150) == pytest.approx(1)
    assert combined([1e-6] * 150) == pytest.approx(0)


@given(st.lists(st.floats(1e-6, 1 - 1e-6), max_size=200))
def test_scores_are_probabilities_and_mirror_each_other(probabilities: list[float]) -> None:
    score = combined(probabilities)
    assert 0 <= score <= 1
    assert combined([1 - p for p in probabilities]) == pytest.approx(1 - score, abs=1e-6)


def test_nothing_is_said_before_there_is_enough_to_learn_from() -> None:
    found = judge(["t"], {"t": Count(9, 0)}, Corpus(TRAINED - 1, 500))
    assert (found.score, found.clues, found.verdict.result) == (0.5, (), "none")
    assert "to learn from" in found.verdict.reason


def test_the_words_that_decided_are_told() -> None:
    counts = {"pills": Count(50, 0), "cheap": Count(40, 1), "meeting": Count(0, 30), "the": Count(90, 90)}
    found = judge(["pills", "cheap", "the", "unseen"], counts, Corpus(100, 100))
    assert [clue.token for clue in found.clues] == ["pills", "cheap"]
    assert found.verdict.method == "bayes"
    assert found.verdict.result == "fail"
    assert found.verdict.reason == "it looks like junk (99.9%), most of all by “pills”, “cheap”"
    good = judge(["meeting"] * 1, counts | {"minutes": Count(0, 20)}, Corpus(100, 100))
    assert good.verdict.result == "pass"
    assert "good mail" in good.verdict.reason
    both = judge(["pills", "meeting"], counts, Corpus(100, 100))
    assert both.verdict.result == "neutral"
    assert "as much of junk as of good mail" in both.verdict.reason


@given(st.binary(max_size=400))
def test_no_octets_whatever_break_the_tokens(octets: bytes) -> None:
    for message in (octets, b"Subject: " + octets, b"Content-Type: text/html\r\n\r\n" + octets):
        assert all(token.isprintable() for token in tokens(Message.parse(message)))


def heap(archive: Path) -> list[frozenset[str]]:
    """The tokens of every message in an archive of the sample."""
    with tarfile.open(archive) as files:
        members = sorted((member for member in files if member.isfile()), key=lambda member: member.name)
        found = [files.extractfile(member) for member in members]
        return [tokens(Message.parse(file.read())) for file in found if file is not None]


def cross_validated(junk: Sequence[frozenset[str]], good: Sequence[frozenset[str]]) -> tuple[list[Bayes], list[Bayes]]:
    """Each message judged by what was learned from the nine tenths that it is not in."""
    all_junk, all_good = counted(junk), counted(good)
    of_junk, of_good = [], []
    for fold in range(FOLDS):
        left_junk, left_good = junk[fold::FOLDS], good[fold::FOLDS]
        without_junk, without_good = counted(left_junk), counted(left_good)
        counts = {
            token: Count(all_junk[token] - without_junk[token], all_good[token] - without_good[token])
            for token in without_junk | without_good
        }
        corpus = Corpus(len(junk) - len(left_junk), len(good) - len(left_good))
        of_junk += [judge(message, counts, corpus) for message in left_junk]
        of_good += [judge(message, counts, corpus) for message in left_good]
    return of_junk, of_good


def counted(messages: Sequence[frozenset[str]]) -> Counter[str]:
    return Counter(token for message in messages for token in message)


def test_a_sample_of_real_mail_is_told_apart(vectors: Path) -> None:
    junk, good = heap(vectors / "spam" / "spam.tar.xz"), heap(vectors / "spam" / "ham.tar.xz")
    assert (len(junk), len(good)) == (500, 660)
    of_junk, of_good = cross_validated(junk, good)
    assert sum(found.score >= JUNK for found in of_good) / len(of_good) <= GOOD_TAKEN_FOR_JUNK
    assert sum(found.score >= JUNK for found in of_junk) / len(of_junk) >= JUNK_FOUND
    assert sum(found.score <= GOOD for found in of_good) / len(of_good) >= GOOD_FOUND
