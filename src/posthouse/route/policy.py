"""What is to become of a message, from what the checks found. One pure function: verdicts in, one `Decision` out.

Today no check stands at the door, so the only rule is to accept. A rule is a row that looks at the verdicts and either
decides or passes on; the last one accepts.
"""

from collections.abc import Callable, Sequence

from posthouse.mail.verdict import Accept, Decision, Verdict

Rule = Callable[[Sequence[Verdict]], Decision | None]


class Policy:
    """An ordered list of rules; the first that decides wins."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._rules = tuple(rules)

    def decide(self, verdicts: Sequence[Verdict]) -> Decision:
        """Never raises; without a deciding rule the message is accepted."""
        for rule in self._rules:
            decision = rule(verdicts)
            if decision is not None:
                return decision
        return Accept("default", "no rule speaks against it")
