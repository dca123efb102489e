"""What a bench gives: figures, what was left out and why, the samples behind the plot, the machine."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from backend.benching.figure import Figure, Skipped
from backend.benching.gate import GateSample
from backend.benching.machine import pair_machine
from backend.benching.tiers import Sample


@dataclass
class BenchReport:
    """`samples` are those of the section `tiers`, `gate_samples` those of `gate`. `failed` are sections that could not
    be measured to their end.
    """

    figures: list[Figure] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    failed: list[Skipped] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    gate_samples: list[GateSample] = field(default_factory=list)
    machine: dict[str, object] = field(default_factory=pair_machine)

    def to_dict(self) -> dict[str, Any]:
        return {
            "rows": [figure.to_dict() for figure in self.figures],
            "skipped": [asdict(one) for one in self.skipped],
            "failed": [asdict(one) for one in self.failed],
            "samples": [asdict(one) for one in self.samples],
            "gate_samples": [asdict(one) for one in self.gate_samples],
            "machine": self.machine,
        }


def report_text(report: BenchReport) -> str:
    """A line for each figure: value, 95 % interval, how many, what is beside it, what was asked."""
    lines = [_line(figure) for figure in report.figures]
    for word, left_out in (("not measured", report.skipped), ("failed", report.failed)):
        lines += [f"{word}: {one.what}: {one.reason}" for one in left_out]
    facts = report.machine
    on = [str(facts[name]) for name in ("cpu", "gpu") if facts[name]]
    versions = [f"{name} {facts[name]}" for name in ("vllm", "lmcache") if facts[name]]
    about = [", ".join([*on, f"{facts['cores']} cores", f"{facts['memory_gib']} GiB"]), ", ".join(versions)]
    return "\n".join([*lines, "; ".join(filter(None, about))])


def _line(figure: Figure) -> str:
    parts = [f"n {figure.n}"]
    if figure.interval:
        parts.insert(0, f"{_number(figure.interval[0])}–{_number(figure.interval[1])}")
    text = f"{figure.name}: {_number(figure.value)} {figure.unit} ({', '.join(parts)})"
    if figure.baseline:
        text += "; " + ", ".join(f"{name} {_number(value)}" for name, value in figure.baseline.items())
    if figure.asked:
        text += f"; asked {figure.asked.text('{:g}'.format)}: {'yes' if figure.ok else 'NO'}"
    return text


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
