"""`kvasir eval gate`: may this change of knowledge go in? A replay of a suite, and its verdict as an exit code."""

from __future__ import annotations

from enum import IntEnum

from evals.replay import OnReplay, compare
from evals.run import RunReport
from evals.suite import Suite
from gateway.core import Core
from gateway.prefix_cost import RECENT_REQUESTS
from gateway.replay import ReplayReport


class ExitCode(IntEnum):
    """What a pipeline sees. A pass is 0 alone: what could not be judged has not passed."""

    CLEAN = 0
    REGRESSION = 1
    USAGE = 2
    UNDECIDED = 3


def gate(
    core: Core,
    suite: Suite,
    *,
    tenant: str,
    base: str,
    head: str,
    recent_requests: int = RECENT_REQUESTS,
    on_case: OnReplay | None = None,
) -> ReplayReport:
    """Replay the whole suite, with what it holds out, at both revisions of its assistant's base.

    Raises `AssistantNotFound`, `CommitNotFound`.
    """
    return compare(
        core,
        core.assistant(tenant, suite.assistant),
        suite.cases,
        base=base,
        head=head,
        repeats=suite.repeats,
        recent_requests=recent_requests,
        on_case=on_case,
    )


def gate_exit_code(report: ReplayReport) -> ExitCode:
    codes = {"clean": ExitCode.CLEAN, "regression": ExitCode.REGRESSION, "undecided": ExitCode.UNDECIDED}
    return codes[report.verdict]


def run_exit_code(report: RunReport) -> ExitCode:
    """A failed case is as bad as a regression. A run that asked nothing, as all is held out, has not passed."""
    codes = {"passed": ExitCode.CLEAN, "failed": ExitCode.REGRESSION, "undecided": ExitCode.UNDECIDED}
    return codes[report.verdict]
