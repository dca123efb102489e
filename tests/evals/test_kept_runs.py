"""Runs that are kept and baselines, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import alembic.command
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, inspect, text

import gateway.tables
import kb.tables
from evals.baselines import Baselines
from evals.case import Case, Retrieves
from evals.errors import NoBaseline, RunAmbiguous, RunNotFound, RunNotPassed
from evals.interval import pass_rate
from evals.kept_runs import KeptRuns, Report
from evals.run import CaseRun, RunReport
from evals.suite import Suite
from gateway.kept import kept_ids
from gateway.replay import CaseOutcome, CaseReplay, PairedTest, PrefixCost, ReplayReport
from kb.database import _alembic_config, open_database, transaction, upgrade

from .conftest import Shop

SUITE = Suite("shop", "shop", 1, (Case("orders", "How many?", (Retrieves(("schema:orders",)),)),))
RUN = RunReport(
    "shop",
    "shop",
    "c" * 64,
    (
        CaseRun("orders", "How many \0?", ("x",), "failed", 0, 1, "EMPTY_RESULT", "none", "SELECT 1"),
        CaseRun("reviews", "How many?", (), "passed", 1, 1),
    ),
    pass_rate(1, 2),
    1,
    held_out=3,
)
GATE = ReplayReport(
    "a" * 64,
    "b" * 64,
    "regression",
    (
        CaseReplay("orders", "?", True, CaseOutcome(1, 1, answer="SELECT 1"), None, "worse", "head: away"),
        CaseReplay("hidden", "", True, None, None, "same", "held out", held_out=True),
    ),
    4,
    2,
    PairedTest(2, 1, 0, 1.0, -0.5, -0.5, 0.475),
    PrefixCost(3, 200, 40, "tokens"),
)


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    on_disk = f"sqlite:///{tmp_path}/state.sqlite"
    engine = open_database(on_disk if request.param == "sqlite" else request.getfixturevalue("fresh_postgres"))
    yield engine
    engine.dispose()


@pytest.fixture
def database(empty: Engine) -> Engine:
    upgrade(empty)
    return empty


@pytest.mark.parametrize("report", [RUN, GATE], ids=["run", "gate"])
def test_a_run_is_kept_whole_and_found_by_the_beginning_of_its_id(database: Engine, report: Report) -> None:
    runs = KeptRuns(database)
    kept = runs.keep("default", SUITE, report, baseline_run="run_0")

    for named in (kept.entry.id, kept.entry.id[:9], kept.entry.id.removeprefix("run_")[:6]):
        assert runs.get("default", named) == kept
    assert kept.report == report


def test_a_run_is_listed_newest_first_with_what_it_found(database: Engine) -> None:
    runs = KeptRuns(database)
    run = runs.keep("default", SUITE, RUN).entry
    other = runs.keep("default", replace(SUITE, name="other"), RUN).entry
    gate = runs.keep("default", SUITE, GATE, baseline_run=run.id).entry
    runs.keep("acme", SUITE, RUN)

    assert runs.list("default") == [gate, other, run]
    assert runs.list("default", suite="shop", limit=1) == [gate]
    assert (run.kind, run.verdict, run.base, run.commit, run.counts) == (
        "run",
        "failed",
        None,
        "c" * 64,
        {"failed": 1, "passed": 1},
    )
    assert (gate.kind, gate.verdict, gate.base, gate.commit, gate.baseline_run) == (
        "gate",
        "regression",
        "a" * 64,
        "b" * 64,
        run.id,
    )


def test_what_names_no_run_or_several_is_told(database: Engine) -> None:
    runs = KeptRuns(database)
    ids = {runs.keep("default", SUITE, RUN).entry.id for _ in range(2)}

    with pytest.raises(RunAmbiguous) as caught:
        runs.get("default", "run_")
    assert set(caught.value.found) == ids
    for unknown in ("run_x", "%", "_"):
        with pytest.raises(RunNotFound, match="kvasir eval list"):
            runs.get("default", unknown)
    with pytest.raises(RunNotFound):
        runs.get("acme", ids.pop())


def test_a_baseline_is_the_last_that_was_blessed_and_moves_with_no_run(database: Engine) -> None:
    runs, baselines = KeptRuns(database), Baselines(database)
    with pytest.raises(NoBaseline, match="kvasir eval bless RUN"):
        baselines.of("default", "shop", "shop")
    first = runs.keep("default", SUITE, RUN).entry
    gate = runs.keep("default", SUITE, GATE).entry
    elsewhere = runs.keep("default", replace(SUITE, assistant="other"), GATE).entry

    baselines.bless("default", first, "ada", force=True)
    runs.keep("default", SUITE, GATE)
    before = baselines.of("default", "shop", "shop")
    second = baselines.bless("default", gate, "grace", force=True)
    third = baselines.bless("default", elsewhere, "ada", force=True)

    assert (before.commit_id, before.run_id, before.blessed_by) == ("c" * 64, first.id, "ada")
    assert (second.commit_id, second.blessed_by) == ("b" * 64, "grace")
    assert baselines.of("default", "shop", "shop") == second
    assert baselines.all("default") == [second, third]
    assert baselines.all("acme") == []


@pytest.mark.parametrize(
    ("verdict", "good"),
    [("passed", True), ("clean", True), ("failed", False), ("regression", False), ("undecided", False)],
)
def test_a_run_that_did_not_pass_is_blessed_by_force_alone(database: Engine, verdict: str, good: bool) -> None:
    baselines = Baselines(database)
    run = replace(KeptRuns(database).keep("default", SUITE, RUN).entry, verdict=verdict, counts={"failed": 2})
    if not good:
        with pytest.raises(RunNotPassed, match=rf"ended as {verdict} \(2 failed\).*--force"):
            baselines.bless("default", run, "ada")
        assert baselines.all("default") == []
    assert baselines.bless("default", run, "ada", force=not good).run_id == run.id


def test_gc_keeps_the_commit_of_a_baseline(shop: Shop) -> None:
    run = KeptRuns(shop.core.database).keep("default", SUITE, RUN).entry
    assert RUN.commit not in kept_ids(shop.core.database, shop.settings, shop.base)

    Baselines(shop.core.database).bless("default", run, "ada", force=True)

    assert RUN.commit in kept_ids(shop.core.database, shop.settings, shop.base)


def test_a_database_of_the_first_version_keeps_its_rows_and_gets_the_tables(empty: Engine) -> None:
    with transaction(empty) as connection:
        config = _alembic_config()
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "0001")
        connection.execute(text("INSERT INTO kb_bases (tenant, name) VALUES ('acme', 'sales')"))
    assert "eval_runs" not in inspect(empty).get_table_names()

    upgrade(empty)

    KeptRuns(empty).keep("acme", SUITE, RUN)
    with empty.connect() as connection:
        assert connection.scalar(text("SELECT name FROM kb_bases")) == "sales"
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, [kb.tables.metadata, gateway.tables.metadata]) == []  # type: ignore[arg-type]


def test_going_back_takes_the_tables_away(database: Engine) -> None:
    with transaction(database) as connection:
        config = _alembic_config()
        config.attributes["connection"] = connection
        alembic.command.downgrade(config, "0001")

    assert not {"eval_runs", "eval_baselines"} & set(inspect(database).get_table_names())
