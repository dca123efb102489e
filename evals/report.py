"""Reports for people, on a rich console. For machines, both reports have `to_dict`; for CI, see `junit.py`."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from evals.run import CaseRun, RunReport
from evals.summary import draws_line, summary_lines
from gateway.replay import CaseReplay, ReplayReport

_STYLES = {
    "passed": "green",
    "better": "green",
    "clean": "green",
    "failed": "red",
    "worse": "red",
    "regression": "red",
    "undecided": "yellow",
    "flaky": "yellow",
    "same": "dim",
}
_ID_WIDTH = 40


def print_run(report: RunReport, console: Console) -> None:
    """Every case, then the pass rate with its interval."""
    table = _table(f"{report.suite} at commit {report.commit[:12]}", "case", "result", "passed", "why")
    for case in report.cases:
        table.add_row(Text(case.id), _word(case.status), draws_line(case), Text(_why(case)))
    console.print(table)
    _print_lines(summary_lines(report), console)


def print_replay(report: ReplayReport, console: Console, *, title: str = "replay") -> None:
    """The cases that the change touches; those it does not are counted."""
    changed = [case for case in report.cases if case.prompt_changed or case.verdict != "same"]
    if changed:
        table = _table(f"{title}: {report.base[:12]} → {report.head[:12]}", "case", "verdict", "base", "head", "why")
        for case in changed:
            table.add_row(
                Text(case.id), _word(case.verdict), draws_line(case.base), draws_line(case.head), Text(case.detail)
            )
        console.print(table)
    _print_lines(summary_lines(report), console)
    console.print(Text.assemble("verdict: ", _word(report.verdict)))


def case_line(case: CaseRun | CaseReplay) -> str:
    """A case in one line, for progress."""
    return f"{case_word(case):<9} {case.id}"


def case_word(case: CaseRun | CaseReplay) -> str:
    return case.status if isinstance(case, CaseRun) else case.verdict


def _print_lines(lines: list[str], console: Console) -> None:
    for line in lines:
        # As text: what stands in brackets is no markup.
        console.print(Text(line), soft_wrap=True)


def _table(title: str, *headings: str) -> Table:
    table = Table(title=Text(title), title_justify="left")
    for heading in headings:
        table.add_column(heading, overflow="fold", max_width=_ID_WIDTH if heading == "case" else None)
    return table


def _word(word: str) -> Text:
    return Text(word, style=_STYLES[word])


def _why(case: CaseRun) -> str:
    return f"{case.reason}: {case.detail}" if case.detail else case.reason
