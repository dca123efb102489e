"""A run as Markdown that fits a comment of a pull request: the verdict first, then what flipped, then the cost.

Questions, answers and reasons are others' text: they stand in code, where a Git host reads neither HTML, nor links,
nor names that it would notify.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from evals.baselines import Baseline
from evals.kept_runs import KeptRun
from evals.run import CaseRun, RunReport
from evals.summary import compared_line, cost_lines, draws_line, found_lines
from gateway.replay import CaseReplay, CaseVerdict, ReplayReport

MAX_CHARACTERS = 65_535
"""What GitHub takes as a comment."""

_RESERVED = 4_000
_MAX_ANSWER = 4_000
_MAX_TEXT = 1_000
_MAX_NAMED = 20
FLIPS: tuple[CaseVerdict, ...] = ("worse", "flaky", "better", "undecided")


def markdown(run: KeptRun, baseline: Baseline | None = None) -> str:
    """At most `MAX_CHARACTERS` long; cases that do not fit are counted. `baseline` is the suite's, if it has one."""
    entry, report = run.entry, run.report
    head = [f"### {entry.verdict}: {_code(compared_line(entry))}", _counts(entry.counts), *_base(run, baseline)]
    head.append(_list(found_lines(report)))
    sections = _run_sections(report) if isinstance(report, RunReport) else _replay_sections(report)
    foot = [
        "#### Cost",
        _list(cost_lines(report)),
        f"Kept as `{entry.id}`: `kvasir eval show {entry.id} --html report.html`",
    ]
    room = MAX_CHARACTERS - _RESERVED - sum(len(part) + 2 for part in (*head, *foot))
    return "\n\n".join([*head, *_fitting(sections, room), *foot]) + "\n"


def _counts(counts: dict[str, int]) -> str:
    if not counts:
        return "No case was asked."
    words, numbers = list(counts), [str(count) for count in counts.values()]
    return "\n".join(f"| {' | '.join(row)} |" for row in (words, ["---:"] * len(words), numbers))


def _list(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _base(run: KeptRun, baseline: Baseline | None) -> list[str]:
    if run.entry.baseline_run is None:
        return []
    told = f"Compared with the baseline, {_code(run.entry.baseline_run)}"
    if baseline is not None and baseline.run_id == run.entry.baseline_run:
        told += f", {_code(baseline.told)}"
    return [f"{told}."]


def _replay_sections(report: ReplayReport) -> list[tuple[str, str]]:
    """(case id, text) of every flip, the worst first."""
    return [(case.id, _flip(case)) for verdict in FLIPS for case in report.of_verdict(verdict)]


def _run_sections(report: RunReport) -> list[tuple[str, str]]:
    return [(case.id, _fall(case)) for case in (*report.of_status("failed"), *report.of_status("undecided"))]


def _flip(case: CaseReplay) -> str:
    if case.held_out:
        return f"#### {case.verdict}: {_code(case.id)} (held out)"
    title = f"#### {case.verdict}: {_code(case.id)} ({draws_line(case.base)} → {draws_line(case.head)})"
    parts = [title, _code(case.question)]
    for name, side in (("Old", case.base), ("New", case.head)):
        if side is not None and side.answer:
            parts.append(f"{name} answer:\n\n{_block(side.answer)}")
    return "\n\n".join([*parts, *_why(case.detail)])


def _fall(case: CaseRun) -> str:
    listed = ", on the flaky list" if case.flaky_listed else ""
    title = f"#### {case.status}: {_code(case.id)} ({draws_line(case)}{listed})"
    answer = [f"Answer:\n\n{_block(case.answer)}"] if case.answer else []
    return "\n\n".join([title, _code(case.question), *answer, *_why(f"{case.reason}: {case.detail}")])


def _why(detail: str) -> list[str]:
    return [f"Why: {_code(detail)}"] if detail else []


def _fitting(sections: Iterable[tuple[str, str]], room: int) -> list[str]:
    shown: list[str] = []
    left_out: list[str] = []
    for case_id, text in sections:
        # Once one is left out, so are those behind it: they are in order of weight.
        if left_out or len(text) + 2 > room:
            left_out.append(case_id)
            continue
        room -= len(text) + 2
        shown.append(text)
    if left_out:
        named = ", ".join(_code(_cut(case_id, 40)) for case_id in left_out[:_MAX_NAMED])
        more = f" and {len(left_out) - _MAX_NAMED} more" if len(left_out) > _MAX_NAMED else ""
        shown.append(f"Not shown, as they do not fit: {named}{more}.")
    return shown


def _code(text: str) -> str:
    """On one line, as inline code, whatever it holds."""
    line = " ".join(_cut(text, _MAX_TEXT).split()) or "–"
    marks = "`" * (_longest_run(line) + 1)
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{marks}{space}{line}{space}{marks}"


def _block(text: str) -> str:
    marks = "`" * max(3, _longest_run(text) + 1)
    return f"{marks}sql\n{_cut(text, _MAX_ANSWER).strip()}\n{marks}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


def _cut(text: str, characters: int) -> str:
    more = len(text) - characters
    return text if more <= 0 else f"{text[:characters]} … ({more} more characters)"
