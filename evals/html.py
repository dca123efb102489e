"""A run as one HTML page that needs nothing else: plots as inline SVG, and each flipped answer as a diff."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from evals.answer_diff import Piece, answer_diff
from evals.baselines import Baseline
from evals.interval import PassRate, pass_rate
from evals.kept_runs import KeptRun
from evals.markdown import FLIPS
from evals.run import CaseRun, RunReport
from evals.summary import compared_line, summary_lines
from gateway.replay import CaseOutcome, CaseReplay, ReplayReport

TEMPLATE = "report.html"


@dataclass(frozen=True, slots=True)
class _Case:
    """A case as the page shows it. `pieces` are the diff of the answers, or the one answer of a run."""

    id: str
    word: str
    share: str
    question: str
    detail: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class _Rate:
    label: str
    rate: PassRate


def html(run: KeptRun, baseline: Baseline | None = None) -> str:
    """`baseline` is the suite's, if it has one. Every text of a case is escaped."""
    # Made anew, and autoescaping whatever the template is called.
    environment = Environment(
        loader=PackageLoader("evals", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    report = run.report
    cases, rates = _of_run(report) if isinstance(report, RunReport) else _of_replay(report)
    return environment.get_template(TEMPLATE).render(
        entry=run.entry,
        baseline=baseline if baseline is not None and baseline.run_id == run.entry.baseline_run else None,
        compared=compared_line(run.entry),
        lines=summary_lines(report),
        rates=rates,
        cases=cases,
    )


def _of_replay(report: ReplayReport) -> tuple[list[_Case], list[_Rate]]:
    flips = [_flip(case) for verdict in FLIPS for case in report.of_verdict(verdict)]
    judged = [case for case in report.cases if case.base is not None and case.head is not None]
    return flips, [
        *_rated("before", judged, lambda case: case.base),
        *_rated("after", judged, lambda case: case.head),
    ]


def _rated(label: str, cases: list[CaseReplay], side: Callable[[CaseReplay], CaseOutcome | None]) -> list[_Rate]:
    outcomes = [outcome for case in cases if not case.flaky_listed and (outcome := side(case)) is not None]
    rate = pass_rate(sum(outcome.passed == outcome.repeats for outcome in outcomes), len(outcomes))
    return [_Rate(label, rate)] if rate is not None else []


def _of_run(report: RunReport) -> tuple[list[_Case], list[_Rate]]:
    fallen = [_fallen(case) for case in (*report.of_status("failed"), *report.of_status("undecided"))]
    return fallen, [_Rate("passed", report.pass_rate)] if report.pass_rate is not None else []


def _flip(case: CaseReplay) -> _Case:
    if case.held_out:
        return _Case(case.id, case.verdict, "held out", "", "", ())
    before, after = (side.answer if side is not None else "" for side in (case.base, case.head))
    share = f"{_share(case.base)} → {_share(case.head)}"
    return _Case(case.id, case.verdict, share, case.question, case.detail, answer_diff(before, after))


def _fallen(case: CaseRun) -> _Case:
    share = f"{case.passed}/{case.repeats}" + (", on the flaky list" if case.flaky_listed else "")
    pieces = (Piece("same", case.answer),) if case.answer else ()
    return _Case(case.id, case.status, share, case.question, f"{case.reason}: {case.detail}", pieces)


def _share(outcome: CaseOutcome | None) -> str:
    return f"{outcome.passed}/{outcome.repeats}" if outcome is not None else "–"
