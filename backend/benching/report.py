"""What a bench gives: figures, what was left out and why, the samples behind the plot, the machine."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from backend.benching.figure import Asked, Figure, Skipped
from backend.benching.machine import machine_facts
from backend.benching.tiers import Sample


@dataclass
class BenchReport:
    """`samples` are those of the section `tiers`."""

    figures: list[Figure] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    machine: dict[str, object] = field(default_factory=machine_facts)

    def to_dict(self) -> dict[str, Any]:
        return {
            "rows": [figure.to_dict() for figure in self.figures],
            "skipped": [asdict(one) for one in self.skipped],
            "samples": [asdict(one) for one in self.samples],
            "machine": self.machine,
        }


def print_report(report: BenchReport, console: Console) -> None:
    table = Table()
    for heading in ("figure", "value", "95 % interval", "n", "beside", "asked", "ok"):
        table.add_column(heading, justify="right" if heading in ("value", "n") else "left", overflow="fold")
    for figure in report.figures:
        table.add_row(*map(Text, _cells(figure)))
    if report.figures:
        console.print(table)
    for one in report.skipped:
        console.print(f"not measured: {one.what}: {one.reason}", highlight=False, soft_wrap=True)
    facts = report.machine
    on = [str(facts[name]) for name in ("cpu", "gpu") if facts[name]]
    versions = [f"{name} {facts[name]}" for name in ("vllm", "lmcache") if facts[name]]
    about = [", ".join([*on, f"{facts['cores']} cores", f"{facts['memory_gib']} GiB"]), ", ".join(versions)]
    console.print("; ".join(filter(None, about)), highlight=False)


def _cells(figure: Figure) -> tuple[str, ...]:
    interval = f"{_number(figure.interval[0])} – {_number(figure.interval[1])}" if figure.interval else "–"
    beside = ", ".join(f"{name} {_number(value)}" for name, value in figure.baseline.items()) or "–"
    ok = {None: "–", True: "yes", False: "no"}[figure.ok]
    value = f"{_number(figure.value)} {figure.unit}"
    return figure.name, value, interval, str(figure.n), beside, _asked(figure.asked), ok


def _asked(asked: Asked | None) -> str:
    signs = {"at_least": "≥", "at_most": "≤"}
    return " ".join(f"{signs[name]} {bound:g}" for name, bound in asked.to_dict().items()) if asked else "–"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
