"""The measurement behind a suite's flaky list: which cases waver, asked again and again at one commit."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

import yaml

from evals.run import CaseRun, OnCase, run_suite
from evals.suite import Suite
from gateway.core import Core

COMMIT_DIGITS = 12


@dataclass(frozen=True, slots=True)
class FlakyReport:
    """`cases` are all that were asked, `repeats` times each, with fresh draws; `measured` is the day, in UTC."""

    suite: str
    assistant: str
    commit: str
    repeats: int
    measured: date
    cases: tuple[CaseRun, ...]
    engine_calls: int

    @property
    def wavering(self) -> tuple[CaseRun, ...]:
        """Those that passed at some draws and failed at others."""
        return tuple(c for c in self.cases if c.status != "undecided" and 0 < c.passed < c.repeats)

    @property
    def undecided(self) -> tuple[CaseRun, ...]:
        return tuple(case for case in self.cases if case.status == "undecided")

    def yaml_lines(self) -> str:
        """The entries to paste into the cases of the suite, one list item per wavering case."""
        return yaml.safe_dump(
            [{"id": case.id, "flaky": self._entry(case)} for case in self.wavering],
            sort_keys=False,
            allow_unicode=True,
            default_flow_style=None,
            width=1_000,
        )

    def to_dict(self) -> dict[str, Any]:
        fields = {**asdict(self), "measured": self.measured.isoformat()}
        return {"object": "kvasir.eval_flaky", **fields, "wavering": [case.id for case in self.wavering]}

    def _entry(self, case: CaseRun) -> dict[str, object]:
        commit = self.commit[:COMMIT_DIGITS]
        return {"passed": case.passed, "repeats": case.repeats, "commit": commit, "measured": self.measured}


def measure_flaky(core: Core, suite: Suite, *, tenant: str, repeats: int, on_case: OnCase | None = None) -> FlakyReport:
    """Ask every case that is not held out, at the assistant's commit. Stored answers are neither used nor made."""
    report = run_suite(core, replace(suite, repeats=repeats), tenant=tenant, fresh=True, on_case=on_case)
    today = datetime.now(UTC).date()
    return FlakyReport(suite.name, suite.assistant, report.commit, repeats, today, report.cases, report.engine_calls)
