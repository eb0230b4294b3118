"""The published suite for ARC validation: every case that is at hand."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from checks.zone import NOW, Zone, finish
from posthouse.checks.arc import validate
from posthouse.mail.message import Message

CASES = 87

# The suite leaves the result of these open; RFC 8617 §5.2 does not.
OPEN = {
    "cv_fail_i2_as2_fail": "step 2: the newest seal says cv=fail, so the chain fails",
    "cv_fail_i2_as1_fail": "step 3 C: no seal of a chain may say cv=fail",
}


@cache
def suite(folder: Path) -> dict[str, tuple[dict[str, str], dict[str, Any]]]:
    text = (folder / "arc" / "validation.yml").read_text("utf-8")
    return {
        name: (scenario["txt-records"], case)
        for scenario in yaml.safe_load_all(text)
        if scenario
        for name, case in scenario["tests"].items()
    }


def test_every_case_of_the_suite(vectors: Path) -> None:
    cases = suite(vectors)
    wrong = []
    for name, (records, case) in cases.items():
        message = Message.parse(case["message"].encode().replace(b"\n", b"\r\n"))
        arc = finish(validate(message, Zone({key: {"TXT": [text]} for key, text in records.items()}), NOW))
        expected = case["cv"].lower() if case["cv"] else "none" if case["cv"] is None else ""
        if name in OPEN:
            assert not expected, name
            expected = "fail"
        if arc.result != expected:
            wrong.append(f"{name} ({case['description']}): {arc.result}, not {expected}: {arc.verdict.reason}")
    assert not wrong, "\n".join(wrong)
    assert len(cases) == CASES
    assert cases.keys() > OPEN.keys()


@pytest.mark.parametrize(("case", "sets"), [("cv_pass_i1_2", 1), ("cv_pass_i3_1", 3), ("cv_pass_i5_1", 5)])
def test_what_each_hop_recorded_can_be_read(case: str, sets: int, vectors: Path) -> None:
    records, facts = suite(vectors)[case]
    message = Message.parse(facts["message"].encode().replace(b"\n", b"\r\n"))
    arc = finish(validate(message, Zone({key: {"TXT": [text]} for key, text in records.items()}), NOW))
    assert [one.instance for one in arc.sets] == list(range(1, sets + 1))
    assert arc.sealers == ("example.org",) * sets
    recorded = arc.sets[0].results()
    assert recorded is not None
    assert recorded.authserv_id == "lists.example.org"
    assert [(result.method, result.result) for result in recorded.results] == [
        ("spf", "pass"), ("dkim", "pass"), ("dmarc", "pass"),
    ]  # fmt: skip
