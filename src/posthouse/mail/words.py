"""Encoded words: text outside ASCII in header fields (RFC 2047, with the language tag of RFC 2231 §5).

    decode_words(b"=?utf-8?q?J=C3=B6rg?= =?utf-8?q?en?= (x)")     "Jörgen (x)"
    encode_words("Grüße aus Köln")                                "=?utf-8?q?Gr=C3=BC=C3=9Fe_aus_K=C3=B6ln?="

Reading is tolerant, since what programs write is seldom what the standard says; writing is strict.
"""

import re
from binascii import a2b_qp, b2a_base64

from posthouse.mail import charsets
from posthouse.mail.tokens import unfold
from posthouse.mail.transfer import decode_base64

# RFC 2047 §2: an encoded word has at most 75 characters, a line that holds one at most 76.
WORD_CHARACTERS = 75
LINE_CHARACTERS = 76

# What stands between the question marks may hold spaces, as broken encoders leave them. Each piece ends at the next
# question mark, so a flood of beginnings costs no more than its length.
_find_words = re.compile(rb"=\?([^?\s]{1,64})\?([bBqQ])\?([^?]*)\?=").finditer
# Controls have no place in text of one line: a decoded CR LF would be a new field to whoever prints it.
_CONTROLS = dict.fromkeys([*range(32), 0x7F, 0x85, 0x2028, 0x2029], " ")
_has_controls = re.compile("[\0-\x1f\x7f\x85\u2028\u2029]").search
# RFC 2047 §5 (3): what a "Q" word inside a phrase may show as itself; used everywhere.
_Q = {octet: f"={octet:02X}" for octet in range(256)}
_Q.update({octet: chr(octet) for octet in b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!*+-/"})
_Q[0x20] = "_"
_OPEN_Q, _OPEN_B, _CLOSE = "=?utf-8?q?", "=?utf-8?b?", "?="
_PAYLOAD = WORD_CHARACTERS - len(_OPEN_Q) - len(_CLOSE)

# RFC 5322 §3.2.3: atext; phrases of such words need no quotes.
_is_atoms = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+(?: [A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+)*").fullmatch
_is_printable = re.compile(r"[ -~]*").fullmatch
_escape = re.compile(r'(["\\])').sub


def decode_words(value: bytes) -> str:
    """The text of an unstructured value on one line, its encoded words decoded; never raises, linear.

    Words that stand next to each other are joined before their charset is decoded, as characters get cut between
    them. Octets outside ASCII are read as UTF-8, else as Windows-1252. Controls become spaces.
    """
    if b"\n" in value or b"\r" in value:
        value = unfold(value)
    return one_line(_decode(value) if b"=?" in value else charsets.decode(value))


def one_line(text: str) -> str:
    """`text` with its control characters and line separators turned into spaces."""
    return text.translate(_CONTROLS) if _has_controls(text) else text


def encode_words(text: str, *, column: int = 0, force: bool = False) -> str:
    """`text` in ASCII: as it is where that will do, else as UTF-8 encoded words joined by CR LF and a space.

    `column` is where the text begins on its first line, at most 50; no line gets longer than 76 characters. Control
    characters are encoded like any other: whoever must refuse them does so before. With `force`, ASCII is encoded too.
    """
    if not force and _is_printable(text) and "=?" not in text:
        return text
    octets = text.encode("utf-8", "replace")
    escapes = sum(len(_Q[octet]) == 3 for octet in octets)
    # "Q" can be read by people as well; it is kept where it is not much longer than "B".
    as_q = 3 * escapes <= len(octets)
    room = min(_PAYLOAD, _PAYLOAD + LINE_CHARACTERS - WORD_CHARACTERS - column)
    words: list[str] = []
    chunk, used = b"", 0
    for character in text:
        encoded = character.encode("utf-8", "replace")
        cost = sum(len(_Q[octet]) for octet in encoded) if as_q else len(encoded)
        if used and (used + cost if as_q else (used + cost + 2) // 3 * 4) > room:
            words.append(_word(chunk, as_q))
            chunk, used, room = b"", 0, _PAYLOAD
        chunk += encoded
        used += cost
    words.append(_word(chunk, as_q))
    return "\r\n ".join(words)


def encode_phrase(text: str) -> str:
    """A display name for an address field: atoms, a quoted string, or encoded words (RFC 5322 §3.2.5, RFC 2047 §5)."""
    if _is_atoms(text) and "=?" not in text:
        return text
    if _is_printable(text) and "=?" not in text:
        return '"' + _escape(r"\\\1", text) + '"'
    return encode_words(text)


def _word(octets: bytes, as_q: bool) -> str:
    if as_q:
        return _OPEN_Q + "".join(_Q[octet] for octet in octets) + _CLOSE
    return _OPEN_B + b2a_base64(octets, newline=False).decode("ascii") + _CLOSE


def _decode(value: bytes) -> str:
    text: list[str] = []
    gathered: list[bytes] = []
    charset, loose = b"", b""
    end = 0
    for match in _find_words(value):
        between = value[end : match.start()]
        # RFC 2047 §6.2: white space between two encoded words is not part of the text.
        follows = bool(end) and not between.strip()
        name, encoding, payload = match.groups()
        name = name.partition(b"*")[0].lower()
        is_base64 = encoding in b"bB"
        if loose and not (follows and name == charset and is_base64):
            gathered.append(decode_base64(loose))
            loose = b""
        if gathered and not (follows and name == charset):
            text.append(charsets.decode(b"".join(gathered), charset.decode("latin-1")))
            gathered = []
        if not follows:
            text.append(charsets.decode(between))
        charset, end = name, match.end()
        if not is_base64:
            gathered.append(a2b_qp(payload, header=True))
        elif b"=" in payload:
            gathered.append(decode_base64(loose + payload))
            loose = b""
        else:
            # Some encoders cut in the midst of a group of four digits: the rest is in the next word.
            digits = loose + b"".join(payload.split())
            whole = len(digits) & ~3
            gathered.append(decode_base64(digits[:whole]))
            loose = digits[whole:]
    if gathered:
        text.append(charsets.decode(b"".join(gathered) + decode_base64(loose), charset.decode("latin-1")))
    text.append(charsets.decode(value[end:]))
    return "".join(text)
