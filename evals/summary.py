"""The sentences that every report of a run has, for terminals, Markdown and HTML alike."""

from __future__ import annotations

from evals.interval import PassRate
from evals.kept_runs import RunEntry
from evals.run import CaseRun, RunReport
from gateway.counted import counted
from gateway.replay import CaseOutcome, PairedTest, PrefixCost, ReplayReport


def summary_lines(report: RunReport | ReplayReport) -> list[str]:
    """What it found over all cases, then what it cost."""
    return [*found_lines(report), *cost_lines(report)]


def found_lines(report: RunReport | ReplayReport) -> list[str]:
    return _run_lines(report) if isinstance(report, RunReport) else _replay_lines(report)


def cost_lines(report: RunReport | ReplayReport) -> list[str]:
    """What the run cost, and what landing would."""
    calls = counted(report.engine_calls, "engine call")
    lines = [f"{calls}, {counted(report.stored_answers, 'answer')} from store"]
    if isinstance(report, ReplayReport) and report.prefix is not None:
        lines.append(prefix_line(report.prefix))
    return lines


def draws_line(side: CaseRun | CaseOutcome | None) -> str:
    """How many of a case's draws passed; none of one that could not be judged are told, since they were not counted."""
    if side is None or (isinstance(side, CaseRun) and side.status == "undecided"):
        return "–"
    return f"{side.passed}/{side.repeats}"


def rate_line(rate: PassRate | None) -> str:
    if rate is None:
        return "no case could be judged"
    interval = f"95 % interval {rate.low:.1%} to {rate.high:.1%}"
    return f"{rate.passed} of {rate.total} judged cases passed: {rate.rate:.1%} ({interval})"


def paired_line(paired: PairedTest) -> str:
    change, low, high = (f"{100 * share:+.1f}" for share in (paired.change, paired.low, paired.high))
    return (
        f"pass rate {change} points (95 % interval {low} to {high}): of {paired.cases} cases {paired.lost} lost, "
        f"{paired.gained} gained; McNemar's exact test p = {paired.p_value:.2g}"
    )


def prefix_line(cost: PrefixCost) -> str:
    whole = cost.prefix_kept + cost.prefix_invalidated
    share = f" ({cost.prefix_invalidated / whole:.1%})" if whole else ""
    requests = counted(cost.requests, "request")
    return (
        f"landing invalidates {cost.prefix_invalidated:,} of {whole:,} {cost.unit} of shared prefix{share}, "
        f"over the last {requests} that an engine answered"
    )


def compared_line(entry: RunEntry) -> str:
    """What was asked at which commits."""
    if entry.base is None:
        return f"{entry.suite} at commit {entry.commit[:12]}"
    return f"{entry.suite}: {entry.base[:12]} → {entry.commit[:12]}"


def _run_lines(report: RunReport) -> list[str]:
    lines = [rate_line(report.pass_rate)]
    if undecided := len(report.of_status("undecided")):
        lines.append(f"{undecided} undecided")
    if listed := sum(case.flaky_listed for case in report.cases):
        lines.append(f"{listed} on the flaky list, which {'counts' if listed == 1 else 'count'} for nothing here")
    if report.held_out:
        lines.append(f"{report.held_out} held out for the gate")
    return lines


def _replay_lines(report: ReplayReport) -> list[str]:
    changed = sum(case.prompt_changed for case in report.cases)
    lines = [f"{changed} changed, {len(report.cases) - changed} with the same prompt at both commits"]
    if report.paired is not None:
        lines.append(paired_line(report.paired))
    return lines
