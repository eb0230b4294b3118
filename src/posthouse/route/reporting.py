"""Aggregate reports of ours (RFC 9990): what comes in is counted, and once a day the owners of domains are told.

    unit = counting(case, findings, ruling)      for `Letter.also`, or for a write of its own where mail is refused
    await Reporter(…).run()                      for ever: what is due is written, signed and sent
"""

import random
from collections.abc import Callable
from functools import partial

from posthouse.checks.reports import observe
from posthouse.mail.instant import DAY, HOUR, MINUTE
from posthouse.mail.verdict import Defer
from posthouse.route.authentication import Findings
from posthouse.route.case import Case
from posthouse.route.policy import Ruling
from posthouse.store import reports
from posthouse.store.database import Transaction

# Reports about a day go when it is over for everybody who was still at it, spread over some hours: whoever takes
# reports gets those of all the world on the same day.
START = 15 * MINUTE
SPREAD = 4 * HOUR

Unit = Callable[[Transaction], None]


def counting(case: Case, findings: Findings | None, ruling: Ruling) -> Unit | None:
    """What counts this message for the report to its author's domain; None where nobody asked for one.

    Reception calls this once it knows its ruling, and puts the unit into `Letter.also`, so that a message is counted
    when it is accepted and only then. A message that the policy refuses is counted too (RFC 9990: whatever becomes of
    it): there the unit is a write of its own, `await db.write(unit, quick=True)` before the refusal, and a StoreFault
    of that write changes nothing. One that is deferred comes again, so None. The unit takes some 15 µs, writes one
    page where a message like it was counted before, is rerunnable, and raises nothing.
    """
    if findings is None or findings.dmarc is None or isinstance(ruling.decision, Defer):
        return None
    counter = observe(
        findings.dmarc,
        ip=findings.ip,
        mail_from=case.envelope.mail_from,
        spf=findings.spf,
        signatures=findings.signatures,
        disposition=ruling.disposition,
        reasons=ruling.overrides,
    )
    if counter is None:
        return None
    day = case.now // DAY
    due = (day + 1) * DAY + START + random.randrange(SPREAD)
    return partial(reports.count, counter=counter, day=day, due=due)
