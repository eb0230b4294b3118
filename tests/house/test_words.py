"""Names say what a thing is, and nothing written down ties the house to one machine or network."""

import re
import subprocess
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = REPOSITORY / "src" / "posthouse"

# Names that tell nothing about what is inside.
EMPTY_NAMES = {"util", "utils", "helper", "helpers", "common", "manager", "base", "core", "misc", "stuff"}

# Folders of one person's or one runner's machine. Each alternative is a top-level folder.
MACHINE_PATH = re.compile(r"(?<![\w.~}/@-])/(?:home|root|Users|work|workspace|builds)/[\w.-]+")

IPV4 = re.compile(r"(?<![\w.-])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]|-\d)")
PRIVATE = [ip_network(net) for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")]

# Where an address of a private network is the subject itself: file → why.
PRIVATE_IS_MEANT: dict[str, str] = {
    "src/posthouse/checks/story/networks.py": "what tells them from the addresses of the internet",
    "tests/mail/test_internet.py": "none of them is public",
    "tests/serve/test_fetch.py": "nothing is fetched from any of them",
}


def texts() -> list[tuple[str, str]]:
    """Every text that is or would be committed, but for this file with its examples."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
    )
    if listed.returncode:
        pytest.skip("no git checkout: nothing to list")
    found = []
    for name in listed.stdout.decode().split("\0"):
        path = REPOSITORY / name
        if name and path.is_file() and path != Path(__file__):
            octets = path.read_bytes()
            if b"\0" not in octets[:8192]:
                found.append((name, octets.decode("utf-8", "replace")))
    return found


def test_no_module_has_an_empty_name() -> None:
    named = {path.stem for path in SOURCE.rglob("*.py")} | {path.name for path in SOURCE.rglob("*") if path.is_dir()}
    assert not {name for name in named if set(name.strip("_").split("_")) & EMPTY_NAMES}


def test_no_text_names_a_folder_of_one_machine() -> None:
    found = [f"{name}: {path}" for name, text in texts() for path in MACHINE_PATH.findall(text)]
    assert not found, "\n".join(found)


def test_examples_use_addresses_made_for_examples() -> None:
    """RFC 5737 gives 192.0.2.0/24, 198.51.100.0/24 and 203.0.113.0/24 to examples; loopback is fine as well."""
    found = []
    for name, text in texts():
        for match in IPV4.finditer(text):
            try:
                address = ip_address(match.group())
            except ValueError:
                continue
            if name not in PRIVATE_IS_MEANT and any(address in net for net in PRIVATE):
                found.append(f"{name}: {address}")
    assert not found, "\n".join(found)


def test_the_locks_name_no_place_to_download_from() -> None:
    for lock in (REPOSITORY / "requirements").glob("*.txt"):
        text = lock.read_text("utf-8")
        assert "://" not in text
        assert not re.search(r"^\s*(-i|-f|--index-url|--extra-index-url|--find-links|--trusted-host)\b", text, re.M)
        pins = re.findall(r"^[\w.-]+==\S+ \\\n    --hash=sha256:[0-9a-f]{64}", text, re.M)
        assert len(pins) == len(re.findall(r"^[\w.-]+[=<>~!]", text, re.M)), f"{lock.name}: a pin without a hash"


def test_every_module_begins_with_its_manual_page() -> None:
    silent = [
        str(p.relative_to(SOURCE)) for p in SOURCE.rglob("*.py") if not re.match(r'r?"""\S', p.read_text("utf-8"))
    ]
    assert not silent


@pytest.mark.parametrize(
    ("text", "hit"),
    [
        ("see /home/me/x", True),
        ("/work/thing", True),
        ("docs/work/thing", False),
        ("~/work/x", False),
        ("/etc/x", False),
    ],
)
def test_machine_paths_are_recognised(text: str, hit: bool) -> None:
    assert bool(MACHINE_PATH.search(text)) is hit
