"""An SMTP reply: a code, an enhanced code and words (RFC 5321 §4.2, RFC 3463)."""

from dataclasses import dataclass, field
from typing import Self


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply; `text` may hold several lines, joined by `\\n`, and is what a person reads.

    `enhanced` is `"2.1.5"` or empty (the greeting, EHLO and 3xx carry none, RFC 2034 §4). `heard`: a remote server
    said it; else the words are ours, also where they tell of a remote server (that it cannot be reached, say).
    """

    code: int
    enhanced: str
    text: str
    heard: bool = field(default=False, compare=False)

    @property
    def is_positive(self) -> bool:
        """2xx or 3xx: the command was taken."""
        return 200 <= self.code < 400

    @property
    def is_transient(self) -> bool:
        """4xx: trying again later may help."""
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        """5xx: trying the same again will not help."""
        return self.code >= 500

    def octets(self) -> bytes:
        """As sent on the wire, CRLF included. Control characters in the words become `?`."""
        prefix = f"{self.enhanced} " if self.enhanced else ""
        # By far the most replies are one clean line; this is done for every command.
        if self.text.isprintable():
            return f"{self.code} {prefix}{self.text}\r\n".encode("utf-8", "replace")
        lines = self.text.split("\n")
        last = len(lines) - 1
        out = "".join(
            f"{self.code}{' ' if i == last else '-'}{prefix}{_printable(line)}\r\n" for i, line in enumerate(lines)
        )
        return out.encode("utf-8", "replace")

    @classmethod
    def parse(cls, lines: list[str]) -> Self:
        """From the lines of a remote server without CRLF, all with the same code; `heard`.

        Raises ValueError when a line is not `NNN`, `NNN text` or `NNN-text`, or when codes differ.
        """
        code = _code(lines[0] if lines else "")
        words = []
        enhanced = ""
        for line in lines:
            if _code(line) != code:
                raise ValueError(f"reply changes its code from {code} in {line[:80]!r}")
            text = line[4:]
            head, _, rest = text.partition(" ")
            if _is_enhanced(head, code):
                enhanced = enhanced or head
                text = rest
            words.append(text)
        return cls(code, enhanced, "\n".join(words), heard=True)

    def __str__(self) -> str:
        words = self.text.replace("\n", " ")
        return f"{self.code} {self.enhanced} {words}" if self.enhanced else f"{self.code} {words}"


def _printable(line: str) -> str:
    return line if line.isprintable() else "".join(c if c.isprintable() else "?" for c in line)


def _code(line: str) -> int:
    digits = line[:3]
    if len(digits) == 3 and digits.isascii() and digits.isdigit() and line[3:4] in ("", " ", "-"):
        code = int(digits)
        if 200 <= code < 600:
            return code
    raise ValueError(f"not an SMTP reply: {line[:80]!r}")


def _is_enhanced(word: str, code: int) -> bool:
    # RFC 3463 §2: class "." subject "." detail, one to three digits each, the class as in the code.
    parts = word.split(".")
    return (
        len(parts) == 3
        and parts[0] == str(code // 100)
        and all(p.isascii() and p.isdigit() and len(p) <= 3 for p in parts)
    )
