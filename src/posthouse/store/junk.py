"""What an account has called junk: its lessons, and what was counted from them (functions on `tx`).

    say(tx, account_id, keys, Kind.JUNK)                 a lesson for each message; cheap, in whatever moves them
    for lesson in waiting(tx, 50): …                     somebody reads the message, beside the mail
        while learn(tx, lesson, tokens, domain, today): …    a piece of its tokens at a time, until it is learnt
    counts(tx, account_id, tokens), corpus(tx, account_id)    what `checks.bayes.judge` wants

A message is learnt once, however often it is moved and flagged, and is unlearnt when the account thinks better of it:
the lesson stays for as long as the message does, and knows what of it stands in the counts. It also knows how far
learning has come, so that one that was interrupted goes on where it was.

Good mail is what was taken out of Junk, and, so that there is something to compare junk with, as much mail as there is
junk of what was read and kept (`say_kept`). Of the latter only the words count: who has opened a message has not spoken
for its sender, and one of them would outweigh for ever what the account says of him by what it moves.

An account keeps `VOCABULARY` tokens and `ORIGINS` sending domains; the rare and old ones are forgotten (`stale`).
"""

from collections.abc import Collection, Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

from posthouse.checks.bayes import Corpus, Count
from posthouse.mail.flags import Flag
from posthouse.mail.instant import DAY, Instant
from posthouse.store import learners
from posthouse.store.database import Transaction
from posthouse.store.mailboxes import SpecialUse

VOCABULARY = 50_000
"""Most tokens of an account."""
ORIGINS = 2_000
"""Most sending domains of an account."""
PIECE = 500
"""Tokens that are learnt or forgotten in one transaction."""
LESSONS = "lessons"
"""The hint that somebody moved messages into Junk or out of it."""
LESSONS_AT_ONCE = 500
"""Most messages of one move that are lessons, the newest."""

# Of an account's tokens so many are forgotten once it has too many. Each time that a token stood in a message keeps it
# for another month, as far as ten of them.
_FORGOTTEN = VOCABULARY // 10
_KEEPS_DAYS = 30
_KEEPS_TIMES = 10
# Where read mail is looked for, among so many of the newest.
_LOOKED_AT = 2_000


class Kind(IntEnum):
    """What a message is. The value is stored."""

    UNKNOWN = 0
    JUNK = 1
    GOOD = 2
    KEPT = 3
    """Good for all we know: it was read and kept, and nobody called it anything. Its words count as good, but
    nothing is said of who sent it."""


class Lesson(NamedTuple):
    """A message that waits to be learnt, and what its account says of it."""

    account_id: int
    message_key: int
    wanted: Kind


class Word(NamedTuple):
    """A token or a domain with its counts."""

    text: str
    counts: Count


_SAY = (
    "INSERT INTO junk_lessons (account_id, message_key, wanted, learnt, target, position, waiting)"
    " VALUES ($1, $2, $3, 0, 0, 0, 1) ON CONFLICT (account_id, message_key) DO UPDATE SET wanted = $3,"
    " waiting = CASE WHEN junk_lessons.learnt = $3 AND junk_lessons.position = 0 THEN 0 ELSE 1 END"
)
_USES = "SELECT mailbox_id, special_use FROM mailboxes WHERE account_id = $1 AND (mailbox_id = $2 OR mailbox_id = $3)"
_KEYS = (
    "SELECT DISTINCT message_key FROM placements WHERE account_id = $1 AND mailbox_id = $2 AND uid = ANY($3)"
)
_WAITING = (
    "SELECT account_id, message_key, wanted FROM junk_lessons WHERE waiting = 1 ORDER BY account_id, message_key"
    " LIMIT $1"
)
_KEPT = (
    "SELECT p.message_key FROM mailboxes m, placements p WHERE m.account_id = $1 AND m.special_use = $2"
    " AND p.account_id = $1 AND p.mailbox_id = m.mailbox_id AND p.uid >= m.uidnext - $3 AND p.flags & $4 = $5"
    " AND NOT EXISTS (SELECT 1 FROM junk_lessons l WHERE l.account_id = $1 AND l.message_key = p.message_key)"
    " ORDER BY p.uid DESC LIMIT $6"
)
_MATERIAL = "SELECT blob_id, prefix FROM messages WHERE account_id = $1 AND message_key = $2"
_LESSON = "SELECT wanted, learnt, target, position FROM junk_lessons WHERE account_id = $1 AND message_key = $2"
_PROGRESS = (
    "UPDATE junk_lessons SET learnt = $3, target = $4, position = $5, waiting = $6"
    " WHERE account_id = $1 AND message_key = $2"
)
_DROP = "DELETE FROM junk_lessons WHERE account_id = $1 AND message_key = $2"
_SWEEP = (
    "DELETE FROM junk_lessons WHERE waiting = 0 AND NOT EXISTS (SELECT 1 FROM messages m WHERE"
    " m.account_id = junk_lessons.account_id AND m.message_key = junk_lessons.message_key)"
)

_COUNTS = "SELECT token, junk, good FROM junk_tokens WHERE account_id = $1 AND token = ANY($2)"
_COUNT = (
    "INSERT INTO junk_tokens (account_id, token, junk, good, seen) VALUES ($1, $2, $3, $4, $5)"
    " ON CONFLICT (account_id, token) DO UPDATE SET junk = $3, good = $4, seen = $5"
)
_FORGET = "DELETE FROM junk_tokens WHERE account_id = $1 AND token = $2"
_STALE = (
    "SELECT token FROM junk_tokens WHERE account_id = $1"
    " ORDER BY seen + $2 * CASE WHEN junk + good > $3 THEN $3 ELSE junk + good END, token LIMIT $4"
)
_CROWDED = "SELECT account_id FROM learners WHERE tokens > $1 LIMIT 1"
# What says most about junk or good mail, by the difference of what was seen of either.
_STRONGEST_JUNK = (
    "SELECT token, junk, good FROM junk_tokens WHERE account_id = $1 AND junk > good"
    " ORDER BY (junk - good) * junk * 1000 / (junk + good) DESC, token LIMIT $2"
)
_STRONGEST_GOOD = (
    "SELECT token, junk, good FROM junk_tokens WHERE account_id = $1 AND good > junk"
    " ORDER BY (good - junk) * good * 1000 / (junk + good) DESC, token LIMIT $2"
)

_ORIGIN = "SELECT junk, good FROM junk_origins WHERE account_id = $1 AND domain = $2"
_SET_ORIGIN = (
    "INSERT INTO junk_origins (account_id, domain, junk, good, seen) VALUES ($1, $2, $3, $4, $5)"
    " ON CONFLICT (account_id, domain) DO UPDATE SET junk = $3, good = $4, seen = $5"
)
_REMOVE_ORIGIN = "DELETE FROM junk_origins WHERE account_id = $1 AND domain = $2"
_ORIGINS = (
    "SELECT domain, junk, good FROM junk_origins WHERE account_id = $1 ORDER BY junk + good DESC, domain LIMIT $2"
)
_COUNT_ORIGINS = "SELECT COUNT(*) FROM junk_origins WHERE account_id = $1"
_OLDEST_ORIGINS = "SELECT domain FROM junk_origins WHERE account_id = $1 ORDER BY seen, domain LIMIT $2"


def day(now: Instant) -> int:
    """The day of an instant, since 1970."""
    return now // DAY


# --- lessons --------------------------------------------------------------------------------------------


def say(tx: Transaction, account_id: int, message_keys: Collection[int], kind: Kind) -> bool:
    """The account calls these messages junk or good; whether there is anything to learn from that."""
    newest = sorted(message_keys)[-LESSONS_AT_ONCE:]
    tx.many(_SAY, [(account_id, key, int(kind)) for key in newest])
    return bool(newest)


def moved(tx: Transaction, account_id: int, source_id: int, target_id: int, message_keys: Collection[int]) -> bool:
    """Messages were moved or copied between two mailboxes: into Junk, or out of it (to be kept), says what they are."""
    uses: dict[int, str] = dict(tx.all(_USES, account_id, source_id, target_id))
    source, target = uses.get(source_id), uses.get(target_id)
    if source == target:
        return False
    if target == SpecialUse.JUNK:
        return say(tx, account_id, message_keys, Kind.JUNK)
    if source == SpecialUse.JUNK and target != SpecialUse.TRASH:
        return say(tx, account_id, message_keys, Kind.GOOD)
    return False


def marked(tx: Transaction, account_id: int, mailbox_id: int, uids: Sequence[int], kind: Kind) -> bool:
    """Messages of a mailbox got the keyword $Junk or $NotJunk."""
    keys = [row[0] for row in tx.all(_KEYS, account_id, mailbox_id, list(uids[-LESSONS_AT_ONCE:]))]
    return say(tx, account_id, keys, kind)


def say_kept(tx: Transaction, account_id: int) -> int:
    """Calls the words of read mail good that is kept in Inbox or Archive, while there is more junk; of how much."""
    learner = learners.find(tx, account_id)
    missing = min(learner.junk - learner.good, LESSONS_AT_ONCE)
    if missing <= 0:
        return 0
    found: list[int] = []
    for use in (SpecialUse.INBOX, SpecialUse.ARCHIVE):
        if len(found) < missing:
            flags = int(Flag.SEEN | Flag.DELETED)
            rows = tx.all(
                _KEPT, account_id, use.value, _LOOKED_AT, flags, int(Flag.SEEN), missing - len(found)
            )
            found += [row[0] for row in rows]
    say(tx, account_id, found, Kind.KEPT)
    return len(found)


def waiting(tx: Transaction, limit: int) -> list[Lesson]:
    """Lessons that nobody has learnt yet, those of an account together."""
    return [Lesson(account_id, key, Kind(wanted)) for account_id, key, wanted in tx.all(_WAITING, limit)]


def material(tx: Transaction, lesson: Lesson) -> tuple[int, bytes] | None:
    """The blob and the prefix of a lesson's message; None where it is gone."""
    row = tx.one(_MATERIAL, lesson.account_id, lesson.message_key)
    return None if row is None else (row[0], row[1])


def drop(tx: Transaction, lesson: Lesson) -> None:
    """There is nothing to learn here: the message is gone, or too large."""
    tx.execute(_DROP, lesson.account_id, lesson.message_key)


def sweep(tx: Transaction) -> None:
    """Forgets the lessons of messages that are gone; what was learnt from them stays."""
    tx.execute(_SWEEP)


def learn(tx: Transaction, lesson: Lesson, tokens: Sequence[str], domain: str, today: int) -> bool:
    """Counts the next piece of a message's `tokens`, which come in one order each time; True while there is more.

    `domain` is the organization that sent it, "" where that is not proved. Whatever stands in the counts from before
    is taken back in the same step. `today` as `day` gives it.
    """
    account_id = lesson.account_id
    row = tx.one(_LESSON, account_id, lesson.message_key)
    if row is None:
        return False
    wanted, learnt, target, position = row
    if not position:
        target = wanted
        if learnt == wanted:
            tx.execute(_PROGRESS, account_id, lesson.message_key, learnt, 0, 0, 0)
            return False
    junk, good = _difference(learnt, target)
    piece = tokens[position : position + PIECE]
    _count(tx, account_id, piece, junk, good, today)
    position += len(piece)
    if position < len(tokens):
        tx.execute(_PROGRESS, account_id, lesson.message_key, learnt, target, position, 1)
        return True
    said = _said(learnt, target)
    if domain and any(said):
        _count_origin(tx, account_id, domain, *said, today)
    learners.change(tx, account_id, junk=junk, good=good)
    # The account may have thought better of it meanwhile.
    again: bool = target != wanted
    tx.execute(_PROGRESS, account_id, lesson.message_key, target, 0, 0, int(again))
    return again


# --- what was learnt ------------------------------------------------------------------------------------


def corpus(tx: Transaction, account_id: int) -> Corpus:
    """How many messages the counts are from."""
    learner = learners.find(tx, account_id)
    return Corpus(learner.junk, learner.good)


def counts(tx: Transaction, account_id: int, tokens: Iterable[str]) -> dict[str, Count]:
    """The counts of those tokens that the account knows."""
    return {token: Count(junk, good) for token, junk, good in tx.all(_COUNTS, account_id, list(tokens))}


def origin(tx: Transaction, account_id: int, domain: str) -> Count:
    """How many messages of an organization were junk, and how many good."""
    row = tx.one(_ORIGIN, account_id, domain)
    return Count(0, 0) if row is None else Count(*row)


def strongest(tx: Transaction, account_id: int, limit: int) -> tuple[list[Word], list[Word]]:
    """The tokens that say most, for junk and for good mail; reads all of the account's."""
    found = [tx.all(sql, account_id, limit) for sql in (_STRONGEST_JUNK, _STRONGEST_GOOD)]
    for_junk, for_good = ([Word(text, Count(junk, good)) for text, junk, good in rows] for rows in found)
    return for_junk, for_good


def origins(tx: Transaction, account_id: int, limit: int) -> list[Word]:
    """The organizations that most mail was learnt from."""
    return [Word(text, Count(junk, good)) for text, junk, good in tx.all(_ORIGINS, account_id, limit)]


def lessons(tx: Transaction, account_id: int) -> int:
    """How many messages wait to be learnt."""
    row = tx.one("SELECT COUNT(*) FROM junk_lessons WHERE account_id = $1 AND waiting = 1", account_id)
    return 0 if row is None else row[0]


def crowded(tx: Transaction) -> int | None:
    """An account that has more tokens than it may."""
    row = tx.one(_CROWDED, VOCABULARY)
    return None if row is None else row[0]


def stale(tx: Transaction, account_id: int) -> list[str]:
    """The tokens to be forgotten, in no order; reads all of the account's."""
    rows = tx.all(_STALE, account_id, _KEEPS_DAYS, _KEEPS_TIMES, _FORGOTTEN)
    return sorted(row[0] for row in rows)


def forget_tokens(tx: Transaction, account_id: int, tokens: Iterable[str]) -> None:
    """Forgets these; a piece of `stale` at a time."""
    forgotten = tx.many(_FORGET, [(account_id, token) for token in tokens])
    learners.change(tx, account_id, version=0, tokens=-forgotten)


def forget(tx: Transaction, account_id: int) -> None:
    """Forgets everything that was learnt about junk, and every lesson, as if the account were new."""
    learner = learners.find(tx, account_id)
    remove_all(tx, account_id)
    learners.change(tx, account_id, tokens=-learner.tokens, junk=-learner.junk, good=-learner.good)


def remove_all(tx: Transaction, account_id: int) -> None:
    """For an account that goes; `learners.remove` takes its numbers."""
    for table in ("junk_tokens", "junk_origins", "junk_lessons"):
        tx.execute(f"DELETE FROM {table} WHERE account_id = $1", account_id)  # noqa: S608 -- our own names


def _difference(learnt: int, target: int) -> tuple[int, int]:
    """What is added to the counts of junk and of good when a message becomes `target`."""
    good = (Kind.GOOD, Kind.KEPT)
    return (target == Kind.JUNK) - (learnt == Kind.JUNK), (target in good) - (learnt in good)


def _said(learnt: int, target: int) -> tuple[int, int]:
    """The same for who sent it, of whom only what the account said itself is counted."""
    return (target == Kind.JUNK) - (learnt == Kind.JUNK), (target == Kind.GOOD) - (learnt == Kind.GOOD)


def _count(tx: Transaction, account_id: int, tokens: Sequence[str], junk: int, good: int, today: int) -> None:
    known = counts(tx, account_id, tokens)
    changed: list[tuple[int, str, int, int, int]] = []
    gone: list[tuple[int, str]] = []
    for token in tokens:
        before = known.get(token, Count(0, 0))
        # What was forgotten meanwhile cannot be taken back.
        after = Count(max(before.junk + junk, 0), max(before.good + good, 0))
        if any(after):
            changed.append((account_id, token, *after, today))
        elif token in known:
            gone.append((account_id, token))
    tx.many(_COUNT, changed)
    tx.many(_FORGET, gone)
    new = sum(row[1] not in known for row in changed) - len(gone)
    if new:
        learners.change(tx, account_id, version=0, tokens=new)


def _count_origin(tx: Transaction, account_id: int, domain: str, junk: int, good: int, today: int) -> None:
    before = origin(tx, account_id, domain)
    after = Count(max(before.junk + junk, 0), max(before.good + good, 0))
    if any(after):
        tx.execute(_SET_ORIGIN, account_id, domain, *after, today)
    else:
        tx.execute(_REMOVE_ORIGIN, account_id, domain)
    count = tx.one(_COUNT_ORIGINS, account_id)
    if count is not None and count[0] > ORIGINS:
        oldest = tx.all(_OLDEST_ORIGINS, account_id, ORIGINS // 10)
        tx.many(_REMOVE_ORIGIN, [(account_id, row[0]) for row in oldest])
