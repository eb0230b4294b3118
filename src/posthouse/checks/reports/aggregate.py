"""Aggregate reports as values: what one organization saw of mail in a domain's name in one period (RFC 9990).

The same value is read from others (`feedback`), written for others (`writing`), and gathered row by row from what
comes in here (`AggregateCounter`). A row is one combination of source, policy result and identities, and a number of
messages; rows are added up by their `key`.
"""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Self, get_args

import msgspec

from posthouse.mail.instant import Instant

# RFC 9990: PolicyOverrideType, and those that RFC 7489 had besides.
Override = Literal["local_policy", "mailing_list", "other", "policy_test_mode", "trusted_forwarder"]
Disposition = Literal["none", "pass", "quarantine", "reject"]
Aligned = Literal["pass", "fail"]

DISPOSITIONS: dict[str, Disposition] = {word: word for word in get_args(Disposition)}
OVERRIDES: frozenset[str] = frozenset(get_args(Override))
DKIM_RESULTS = frozenset(("none", "pass", "fail", "policy", "neutral", "temperror", "permerror"))
SPF_RESULTS = frozenset((*DKIM_RESULTS, "softfail"))


class DkimResult(NamedTuple):
    """One signature; `result` is a word of RFC 8601 §2.7.1, or "" where a report of others has none."""

    domain: str
    selector: str
    result: str
    comment: str = ""


class SpfResult(NamedTuple):
    """What SPF said; `scope` is "mfrom", "helo" (in reports of old), or ""."""

    domain: str
    scope: str
    result: str
    comment: str = ""


class Reason(NamedTuple):
    """Why the policy was not applied; `kind` is one of OVERRIDES, or a word of others."""

    kind: str
    comment: str = ""


@dataclass(frozen=True, slots=True)
class PolicyPublished:
    """The policy as it was found. `sp`, `np` and `discovery` ("treewalk", "psl") are "" where not told."""

    domain: str
    p: str
    sp: str = ""
    np: str = ""
    adkim: str = "r"
    aspf: str = "r"
    fo: str = ""
    testing: bool = False
    discovery: str = ""

    @property
    def key(self) -> str:
        """The same for equal policies: what rows of one report are gathered under."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def of(cls, key: str) -> Self:
        """The policy with that key."""
        return msgspec.json.decode(key, type=cls)


@dataclass(frozen=True, slots=True)
class ReportRow:
    """`count` messages from one address that had the same fate.

    `dkim` and `spf` are the aligned results, as DMARC counts them; `dkim_results` and `spf_results` those of the checks
    by themselves. `envelope_from` is "" for the null reverse-path and where it is not told.
    """

    source_ip: str
    disposition: Disposition
    dkim: Aligned
    spf: Aligned
    header_from: str
    envelope_from: str = ""
    envelope_to: str = ""
    reasons: tuple[Reason, ...] = ()
    dkim_results: tuple[DkimResult, ...] = ()
    spf_results: tuple[SpfResult, ...] = ()
    count: int = 1

    @property
    def key(self) -> str:
        """The same for rows that differ in their count only."""
        return msgspec.json.encode(replace(self, count=0)).decode()

    @classmethod
    def of(cls, key: str, count: int) -> Self:
        """The row with that key."""
        return replace(msgspec.json.decode(key, type=cls), count=count)


@dataclass(frozen=True, slots=True)
class AggregateCounter:
    """One message, to be counted for the report about `policy.domain`: under `policy.key` and `row.key`.

    `rua` are the mailto addresses as the record names them; whether they may have it (`destinations`) is asked when
    the report is sent.
    """

    policy: PolicyPublished
    row: ReportRow
    rua: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AggregateReport:
    """One report. The period is in whole seconds, `end` included; `flaws` are sentences about what was not read."""

    org_name: str
    email: str
    report_id: str
    begin: Instant
    end: Instant
    policy: PolicyPublished
    rows: tuple[ReportRow, ...]
    extra_contact_info: str = ""
    errors: tuple[str, ...] = ()
    generator: str = ""
    flaws: tuple[str, ...] = ()

    @property
    def messages(self) -> int:
        """How many messages it tells of."""
        return sum(row.count for row in self.rows)
