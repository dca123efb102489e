"""Runs that are kept: every `kvasir eval run` and `gate`, with its whole report, to be listed and shown again."""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import TypeAdapter
from sqlalchemy import Engine as Database
from sqlalchemy import RowMapping, insert, or_, select

from evals.errors import RunAmbiguous, RunNotFound
from evals.run import RunReport
from evals.suite import Suite
from gateway.replay import ReplayReport
from gateway.tables import eval_runs
from kb.database import transaction

Kind = Literal["run", "gate"]
Report = RunReport | ReplayReport
PREFIX = "run_"
WEIGHT = ("failed", "worse", "flaky", "better", "undecided", "passed", "same")
"""The words of cases in the order in which a reader wants their counts."""

_RUN, _REPLAY = TypeAdapter(RunReport), TypeAdapter(ReplayReport)


@dataclass(frozen=True, slots=True)
class RunEntry:
    """A run as it is listed. `commit` is what was asked at; a gate compares it with `base`.

    `baseline_run` is the run whose blessing made `base` the one to compare with, `None` where a person named it.
    `counts` are cases by status or verdict. `created_at` is ISO 8601, UTC.
    """

    id: str
    kind: Kind
    suite: str
    assistant: str
    created_at: str
    base: str | None
    commit: str
    baseline_run: str | None
    verdict: str
    counts: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        return {"object": "kvasir.eval_run", **asdict(self)}


@dataclass(frozen=True, slots=True)
class KeptRun:
    """A run with its report."""

    entry: RunEntry
    report: Report

    def to_dict(self) -> dict[str, Any]:
        """The entry, and the report's fields beside it."""
        return {**self.entry.to_dict(), **self.report.to_dict()}


class KeptRuns:
    """Safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, tenant: str, suite: Suite, report: Report, *, baseline_run: str | None = None) -> KeptRun:
        entry = _entry(suite, report, baseline_run)
        row = asdict(entry)
        row["base_commit"], row["commit_id"] = row.pop("base"), row.pop("commit")
        with transaction(self._database) as connection:
            connection.execute(insert(eval_runs).values(tenant=tenant, report=report.to_dict(), **row))
        return KeptRun(entry, report)

    def list(self, tenant: str, *, suite: str | None = None, limit: int = 20) -> list[RunEntry]:
        """Newest first, without their reports."""
        query = select(*_ENTRY).where(eval_runs.c.tenant == tenant)
        if suite is not None:
            query = query.where(eval_runs.c.suite == suite)
        query = query.order_by(eval_runs.c.created_at.desc(), eval_runs.c.id).limit(limit)
        with self._database.connect() as connection:
            return [_listed(row) for row in connection.execute(query).mappings()]

    def get(self, tenant: str, run: str) -> KeptRun:
        """By its id or the first characters of it. Raises `RunNotFound`, `RunAmbiguous`."""
        beginning = PREFIX + run.removeprefix(PREFIX)
        named = or_(eval_runs.c.id == run, eval_runs.c.id.startswith(beginning, autoescape=True))
        query = select(*_ENTRY, eval_runs.c.report).where(eval_runs.c.tenant == tenant, named).limit(5)
        with self._database.connect() as connection:
            found = connection.execute(query.order_by(eval_runs.c.id)).mappings().all()
        if not found:
            raise RunNotFound(run)
        if len(found) > 1:
            raise RunAmbiguous(run, tuple(row["id"] for row in found))
        entry = _listed(found[0])
        return KeptRun(entry, (_RUN if entry.kind == "run" else _REPLAY).validate_python(found[0]["report"]))


_ENTRY = tuple(column for column in eval_runs.c if column.name not in ("tenant", "report"))


def _entry(suite: Suite, report: Report, baseline_run: str | None) -> RunEntry:
    if isinstance(report, RunReport):
        base, commit = None, report.commit
        counts = Counter[str](case.status for case in report.cases)
    else:
        base, commit = report.base, report.head
        counts = Counter[str](case.verdict for case in report.cases)
    return RunEntry(
        id=PREFIX + secrets.token_hex(8),
        kind="gate" if base is not None else "run",
        suite=suite.name,
        assistant=suite.assistant,
        created_at=datetime.now(UTC).isoformat(),
        base=base,
        commit=commit,
        baseline_run=baseline_run,
        verdict=report.verdict,
        counts={word: counts[word] for word in WEIGHT if counts[word]},
    )


def _listed(row: RowMapping) -> RunEntry:
    fields = {str(name): value for name, value in row.items() if name != "report"}
    fields["base"], fields["commit"] = fields.pop("base_commit"), fields.pop("commit_id")
    return RunEntry(**fields)
