"""A run as one HTML page that needs nothing else: plots as inline SVG, and each flipped answer before and after.

No script and no scheme of its own: the reader's browser says whether it is light or dark, and how wide.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from evals.answer_diff import Piece, answer_diff
from evals.baselines import Baseline
from evals.interval import PassRate, pass_rate
from evals.judgement import Status
from evals.kept_runs import KeptRun
from evals.markdown import FLIPS
from evals.run import CaseRun, RunReport
from evals.summary import compared_line, draws_line, summary_lines
from gateway.replay import CaseOutcome, CaseReplay, ReplayReport

TEMPLATE = "report.html"

# Control characters, which HTML forbids, and those that turn the direction of text: a statement that holds one reads
# otherwise than it runs (CVE-2021-42574).
_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class _Panel:
    """One answer. Of two that are compared, its pieces are those that it holds."""

    caption: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class _Case:
    """A case as the page shows it, with the answers of both sides or the one answer of a run."""

    id: str
    word: str
    share: str
    question: str
    detail: str
    panels: tuple[_Panel, ...]


@dataclass(frozen=True, slots=True)
class _Rate:
    label: str
    rate: PassRate


def html(run: KeptRun, baseline: Baseline | None = None) -> str:
    """`baseline` is the suite's, if it has one. Every text of a case is escaped."""
    # Made anew, and autoescaping whatever the template is called.
    environment = Environment(
        loader=PackageLoader("evals", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=_seen,
    )
    report = run.report
    groups, rates = _of_run(report) if isinstance(report, RunReport) else _of_replay(report)
    return environment.get_template(TEMPLATE).render(
        entry=run.entry,
        baseline=baseline if baseline is not None and baseline.run_id == run.entry.baseline_run else None,
        compared=compared_line(run.entry),
        lines=summary_lines(report),
        rates=rates,
        groups={word: cases for word, cases in groups.items() if cases},
    )


def _seen(value: object) -> object:
    """Characters that nobody would see, by their names. What the template wrote itself is left alone."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return _UNSEEN.sub(lambda found: f"⟨U+{ord(found.group()):04X}⟩", value)


def _of_replay(report: ReplayReport) -> tuple[dict[str, list[_Case]], list[_Rate]]:
    flips = {str(verdict): [_flip(case) for case in report.of_verdict(verdict)] for verdict in FLIPS}
    judged = [case for case in report.cases if case.base is not None and case.head is not None]
    return flips, [
        *_rated("base", judged, lambda case: case.base),
        *_rated("head", judged, lambda case: case.head),
    ]


def _rated(label: str, cases: list[CaseReplay], side: Callable[[CaseReplay], CaseOutcome | None]) -> list[_Rate]:
    outcomes = [outcome for case in cases if not case.flaky_listed and (outcome := side(case)) is not None]
    rate = pass_rate(sum(outcome.passed == outcome.repeats for outcome in outcomes), len(outcomes))
    return [_Rate(label, rate)] if rate is not None else []


def _of_run(report: RunReport) -> tuple[dict[str, list[_Case]], list[_Rate]]:
    statuses: tuple[Status, ...] = ("failed", "undecided")
    fallen = {str(status): [_fallen(case) for case in report.of_status(status)] for status in statuses}
    return fallen, [_Rate("passed", report.pass_rate)] if report.pass_rate is not None else []


def _flip(case: CaseReplay) -> _Case:
    if case.held_out:
        return _Case(case.id, case.verdict, "held out", "", "", ())
    share = f"{draws_line(case.base)} → {draws_line(case.head)}"
    return _Case(case.id, case.verdict, share, case.question, case.detail, _panels(case))


def _panels(case: CaseReplay) -> tuple[_Panel, ...]:
    base, head = (side.answer if side is not None else "" for side in (case.base, case.head))
    if base == head:
        return (_Panel("base and head answered the same", (Piece("same", base),)),) if base else ()
    if base and head:
        pieces = answer_diff(base, head)
        old = tuple(piece for piece in pieces if piece.kind != "added")
        new = tuple(piece for piece in pieces if piece.kind != "removed")
    else:
        # One answer alone is compared with nothing: no word of it changed.
        old, new = ((Piece("same", answer),) if answer else () for answer in (base, head))
    return _Panel(f"base: {_told(case.base)}", old), _Panel(f"head: {_told(case.head)}", new)


def _told(outcome: CaseOutcome | None) -> str:
    return f"{outcome.passed} of {outcome.repeats} passed" if outcome is not None else "could not be judged"


def _fallen(case: CaseRun) -> _Case:
    share = draws_line(case) + (", on the flaky list" if case.flaky_listed else "")
    panels = (_Panel("answer", (Piece("same", case.answer),)),) if case.answer else ()
    detail = f"{case.reason}: {case.detail}" if case.detail else case.reason
    return _Case(case.id, case.status, share, case.question, detail, panels)
