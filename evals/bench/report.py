"""The one form of every benchmark's result: a table for people, an object for machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from evals.bench.row import Row

_HEADINGS = ("figure", "value", "95 % interval", "n", "baseline", "asked", "ok")


@dataclass(frozen=True, slots=True)
class BenchReport:
    """`machine` is what `bench_machine` gave."""

    title: str
    rows: tuple[Row, ...]
    machine: Mapping[str, object]

    def to_dict(self) -> dict[str, Any]:
        return {"rows": [row.to_dict() for row in self.rows], "machine": dict(self.machine)}


def print_report(report: BenchReport, console: Console) -> None:
    table = Table(title=Text(report.title), title_justify="left")
    for heading in _HEADINGS:
        table.add_column(heading, justify="right" if heading in ("value", "n") else "left", overflow="fold")
    for row in report.rows:
        table.add_row(*_cells(row))
    console.print(table)
    machine = report.machine
    console.print(
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB; Python {machine['python']}",
        highlight=False,
    )


def _cells(row: Row) -> tuple[Text, ...]:
    interval = f"{_number(row.interval[0])} – {_number(row.interval[1])}" if row.interval else "–"
    baseline = ", ".join(f"{name} {_number(value)}" for name, value in row.baseline.items()) or "–"
    ok = {None: Text("–"), True: Text("yes", style="green"), False: Text("no", style="red")}[row.ok]
    value = f"{_number(row.value)} {row.unit}".strip() if row.value is not None else "–"
    plain = (row.name, value, interval, str(row.n), baseline, row.asked.text(_number) if row.asked else "–")
    return (*map(Text, plain), ok)


def _number(value: float) -> str:
    """Three decimals for shares, four significant digits past them."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
