"""The samples as figures, and the figures as one table."""

from dataclasses import dataclass
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.workloads import Sample, Workload


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and range of some runs."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        return cls(median(values), min(values), max(values))

    def show(self, form: str = ",.0f") -> str:
        text = format(self.middle, form)
        return text if self.low == self.high else f"{text} [{self.low:{form}}-{self.high:{form}}]"


@dataclass(frozen=True, slots=True)
class Result:
    """One workload's figures: `ours` and `theirs` are rates, or sizes where `unit` says so."""

    title: str
    unit: str
    ours: Spread | None
    theirs: Spread | None
    ours_cpu: Spread | None = None
    theirs_cpu: Spread | None = None
    ratio: float | None = None
    promise: str = ""
    kept: bool | None = None


def compare(work: Workload, ours: list[Sample], theirs: list[Sample]) -> Result:
    our_rate = Spread.of([sample.rate for sample in ours]) if ours else None
    their_rate = Spread.of([sample.rate for sample in theirs]) if theirs else None
    ratio = our_rate.middle / their_rate.middle if our_rate and their_rate else None
    return Result(
        work.title,
        "/s",
        our_rate,
        their_rate,
        Spread.of([sample.cpu_ms for sample in ours]) if ours else None,
        Spread.of([sample.cpu_ms for sample in theirs]) if theirs else None,
        ratio,
        f"≥ {work.target:g} ×" if work.target else "",
        ratio >= work.target if ratio is not None and work.target else None,
    )


def print_table(machine: dict[str, str | int], results: list[Result]) -> None:
    console = Console(width=170, highlight=False)
    console.print("\n" + ", ".join(f"{key} {value}" for key, value in machine.items()))
    table = Table(title_justify="left", pad_edge=False)
    for heading in ("work", "Posthouse", "the peer", "ratio", "promised", "CPU ms/message", "theirs"):
        table.add_column(heading, justify="left" if heading == "work" else "right", no_wrap=heading != "work")
    for result in results:
        form = ",.0f" if result.unit == "/s" else ",.1f"
        ratio = f"{result.ratio:.2f}" if result.ratio is not None else ""
        verdict = {True: " kept", False: " MISSED", None: ""}[result.kept]
        table.add_row(
            result.title,
            f"{result.ours.show(form)} {result.unit}" if result.ours else "-",
            f"{result.theirs.show(form)} {result.unit}" if result.theirs else "-",
            ratio,
            result.promise + verdict,
            result.ours_cpu.show(".2f") if result.ours_cpu else "",
            result.theirs_cpu.show(".2f") if result.theirs_cpu else "",
        )
    console.print(table)
