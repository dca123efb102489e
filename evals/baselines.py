"""Baselines: the commit that a suite's gate compares with where nobody names another. It moves only by `bless`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine as Database
from sqlalchemy import func, insert, select

from evals.errors import NoBaseline, RunNotPassed
from evals.kept_runs import RunEntry
from gateway.tables import eval_baselines
from kb.database import transaction

_GOOD = ("passed", "clean")
"""Of a run, and of a gate."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """`run_id` is the run that was blessed, `commit_id` what it was asked at. `blessed_at` is ISO 8601, UTC."""

    suite: str
    assistant: str
    run_id: str
    commit_id: str
    blessed_by: str
    blessed_at: str

    def to_dict(self) -> dict[str, Any]:
        return {"object": "kvasir.eval_baseline", **asdict(self)}

    @property
    def told(self) -> str:
        return f"blessed by {self.blessed_by} on {self.blessed_at[:10]}"


class Baselines:
    """Every blessing stays on record; a suite's last one counts. Safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def bless(self, tenant: str, run: RunEntry, by: str, *, force: bool = False) -> Baseline:
        """Make the run's commit the baseline of its suite and assistant.

        Raises `RunNotPassed`, unless `force`d, of a run that failed or could not be judged.
        """
        if not force and run.verdict not in _GOOD:
            raise RunNotPassed(run.id, run.verdict, run.counts)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        baseline = Baseline(run.suite, run.assistant, run.id, run.commit, by, now)
        with transaction(self._database) as connection:
            connection.execute(insert(eval_baselines).values(tenant=tenant, **asdict(baseline)))
        return baseline

    def of(self, tenant: str, suite: str, assistant: str) -> Baseline:
        """Raises `NoBaseline`."""
        found = [b for b in self.all(tenant) if (b.suite, b.assistant) == (suite, assistant)]
        if not found:
            raise NoBaseline(suite, assistant)
        return found[0]

    def all(self, tenant: str) -> list[Baseline]:
        """The one that counts of each suite and assistant."""
        last = select(func.max(eval_baselines.c.id)).where(eval_baselines.c.tenant == tenant)
        last = last.group_by(eval_baselines.c.suite, eval_baselines.c.assistant)
        fields = [column for column in eval_baselines.c if column.name not in ("id", "tenant")]
        query = select(*fields).where(eval_baselines.c.id.in_(last)).order_by(eval_baselines.c.id)
        with self._database.connect() as connection:
            return [Baseline(**row._mapping) for row in connection.execute(query)]
