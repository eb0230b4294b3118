"""Hashes of bodies (RFC 6376 §3.7, step 1): one pass for all signatures of a message, however many lengths they name.

    digest_body(octets, header.end, [("relaxed", None), ("simple", 100)])

A body of 50 MB is read in pieces and never copied as a whole. It takes some 100 ms all the same, so that whoever has
an event loop makes the digests of large messages in a thread.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256

from posthouse.checks.dkim.canonicalization import RelaxedBody, simple_length
from posthouse.mail.headers import Octets

# A canonicalization, and l= where the signature is of a part only.
Extent = tuple[str, int | None]
# The SHA-256 of each; None where l= is longer than the body.
BodyDigests = Mapping[Extent, bytes | None]

_PIECE = 256 * 1024


class _Tally:
    """One running hash, which is read off at every length that was asked for."""

    __slots__ = ("_cuts", "_hash", "_length", "_update", "found")

    def __init__(self, lengths: Iterable[int]) -> None:
        self._cuts = sorted(set(lengths), reverse=True)
        self._hash = sha256()
        self._update = self._hash.update
        self._length = 0
        self.found: dict[int | None, bytes | None] = {}

    def put(self, octets: bytes | memoryview) -> None:
        end = self._length + len(octets)
        while self._cuts and self._cuts[-1] <= end:
            cut = self._cuts.pop()
            self._update(octets[: cut - self._length])
            octets = octets[cut - self._length :]
            self._length = cut
            self.found[cut] = self._hash.digest()
        self._update(octets)
        self._length = end

    def close(self) -> dict[int | None, bytes | None]:
        self.put(b"")
        self.found[None] = self._hash.digest()
        # RFC 6376 §3.5: l= must not be larger than the body.
        self.found.update(dict.fromkeys(self._cuts))
        return self.found


def digest_body(octets: Octets, start: int, extents: Iterable[Extent]) -> BodyDigests:
    """The digests of the body that begins at `start`, for each of `extents`."""
    lengths: dict[str, list[int]] = {}
    for canonicalization, length in extents:
        wanted = lengths.setdefault(canonicalization, [])
        if length is not None:
            wanted.append(length)
    digests: dict[Extent, bytes | None] = {}
    # A view of an mmap keeps it from being closed, so none may outlive this.
    with memoryview(octets) as whole, whole[start:] as body:
        for canonicalization, wanted in lengths.items():
            tally = _Tally(wanted)
            if canonicalization == "simple":
                with body[: simple_length(body)] as kept:
                    tally.put(kept)
                tally.put(b"\r\n")
            else:
                _relax(body, tally)
            digests.update(((canonicalization, length), digest) for length, digest in tally.close().items())
    return digests


def _relax(body: memoryview, tally: _Tally) -> None:
    relaxed = RelaxedBody(tally.put)
    for at in range(0, len(body), _PIECE):
        relaxed.feed(bytes(body[at : at + _PIECE]))
    relaxed.finish()
