"""Where `send --server` goes, and what it refuses before it says anything."""

import pytest

from posthouse.cli.submission import Place
from posthouse.cli.terminal import Complaint


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("mx.example.org", Place("mx.example.org", 465, True)),
        ("mx.example.org:587", Place("mx.example.org", 587, False)),
        ("mx.example.org:2587", Place("mx.example.org", 2587, False)),
        ("smtps://localhost:2465", Place("localhost", 2465, True)),
        ("smtp://localhost", Place("localhost", 587, False)),
        ("smtp://localhost:465", Place("localhost", 465, False)),
        ("[2001:db8::1]:465", Place("2001:db8::1", 465, True)),
        ("[2001:db8::1]", Place("2001:db8::1", 465, True)),
    ],
)
def test_a_place_tells_host_port_and_how_tls_begins(text: str, place: Place) -> None:
    assert Place.parse(text) == place


@pytest.mark.parametrize("text", ["", ":25", "host:0", "host:65536", "host:x", "http://host", "host/path"])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(Complaint):
        Place.parse(text)
