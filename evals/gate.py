"""`kvasir eval gate`: may this change of knowledge go in? A replay of a suite, and its verdict as an exit code."""

from __future__ import annotations

from enum import IntEnum

from evals.replay import OnReplay, compare
from evals.run import RunReport
from evals.suite import Suite
from gateway.core import Core
from gateway.replay import ReplayReport


class ExitCode(IntEnum):
    """What a pipeline sees. A pass is 0 alone: what could not be judged has not passed."""

    CLEAN = 0
    REGRESSION = 1
    USAGE = 2
    UNDECIDED = 3


def gate(
    core: Core, suite: Suite, *, tenant: str, base: str, head: str, on_case: OnReplay | None = None
) -> ReplayReport:
    """Replay the suite at both revisions of its assistant's base. Raises `AssistantNotFound`, `CommitNotFound`."""
    assistant = core.assistant(tenant, suite.assistant)
    return compare(core, assistant, suite.cases, base=base, head=head, repeats=suite.repeats, on_case=on_case)


def gate_exit_code(report: ReplayReport) -> ExitCode:
    codes = {"clean": ExitCode.CLEAN, "regression": ExitCode.REGRESSION, "undecided": ExitCode.UNDECIDED}
    return codes[report.verdict]


def run_exit_code(report: RunReport) -> ExitCode:
    """A failed case is as bad as a regression, and counts before one that could not be judged."""
    if report.of_status("failed"):
        return ExitCode.REGRESSION
    return ExitCode.UNDECIDED if report.of_status("undecided") else ExitCode.CLEAN
