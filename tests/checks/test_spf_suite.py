"""The openspf suite for RFC 7208: every case, its result and its explanation."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from checks.zone import NOW, Zone, finish
from posthouse.checks import spf
from posthouse.mail.address import Address

CASES = 203
WORDS = {"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"}


def octets(text: str) -> str:
    """The suite writes octets as characters up to U+00FF; the zone takes text as UTF-8."""
    return text.encode("latin-1").decode("utf-8", "surrogateescape")


def records(zonedata: dict[str, list[Any]]) -> dict[str, dict[str, list[str]]]:
    """The suite's zone in ours: SPF stands for TXT where there is none, TIMEOUT for all types not listed."""
    zone: dict[str, dict[str, list[str]]] = {}
    for name, entries in zonedata.items():
        types = zone.setdefault(name, {})
        pairs = [next(iter(entry.items())) for entry in entries if isinstance(entry, dict)]
        has_txt = any(kind == "TXT" for kind, _ in pairs)
        if "TIMEOUT" in entries:
            types["ANY"] = ["TIMEOUT"]
        for kind, data in pairs:
            if kind == "SPF" and not has_txt:
                kind = "TXT"
            if kind == "SPF" or data == "NONE":
                continue
            if kind == "TXT":
                data = octets("".join(data) if isinstance(data, list) else str(data))
            elif kind == "MX":
                data = f"{data[0]} {data[1] or '.'}"
            types.setdefault(kind, []).append(data)
    return zone


def sender(mail_from: str) -> Address | None:
    local_part, _, domain = mail_from.rpartition("@")
    return Address(local_part, domain) if mail_from else None


def test_every_case_of_the_suite(vectors: Path) -> None:
    text = (vectors / "spf" / "rfc7208-tests.yml").read_text("utf-8")
    seen, wrong = 0, []
    for scenario in yaml.safe_load_all(text):
        for name, case in scenario["tests"].items():
            found = finish(spf.check(
                case["host"], case["helo"], sender(case["mailfrom"]), Zone(records(scenario["zonedata"])),
                receiver="mx.posthouse.test", now=NOW,
            ))
            allowed = [case["result"]] if isinstance(case["result"], str) else case["result"]
            explanation = case.get("explanation", found.explanation)
            seen += 1
            if found.result not in allowed or found.explanation != ("" if explanation == "DEFAULT" else explanation):
                wrong.append(f"{name}: {found.result} {found.explanation!r}, not {allowed} {explanation!r}")
            assert found.verdict.result == found.result in WORDS
            assert found.verdict.reason.isprintable()
    assert not wrong, "\n".join(wrong)
    assert seen == CASES


@pytest.mark.parametrize("name", ["invalid-domain-empty-label", "mx-limit", "p-macro-multiple", "multispf1"])
def test_where_the_suite_leaves_a_choice_its_first_is_taken(vectors: Path, name: str) -> None:
    text = (vectors / "spf" / "rfc7208-tests.yml").read_text("utf-8")
    for scenario in yaml.safe_load_all(text):
        case = scenario["tests"].get(name)
        if case:
            found = finish(spf.check(
                case["host"], case["helo"], sender(case["mailfrom"]), Zone(records(scenario["zonedata"])),
                receiver="mx.posthouse.test", now=NOW,
            ))
            assert found.result == ([case["result"]] if isinstance(case["result"], str) else case["result"])[0]
            return
    raise AssertionError("the suite has no such case")
