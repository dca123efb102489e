"""What a gate costs beside a full run of its suite, and whether it comes to the same verdict.

A full run asks every case on both sides, whatever its prompt. The engine is greedy, so an answer that is stored for a
prompt is the answer that it would give again: the full runs that verdicts are checked against use stored answers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from statistics import mean

import numpy as np
from pydantic import TypeAdapter

from backend.benching.figure import median_interval
from evals.answers import Answers
from evals.bench.bootstrap import mean_interval
from evals.bench.learning.changes import random_changes
from evals.bench.learning.engine import EngineChoice
from evals.bench.learning.jobs import Jobs, Say, slices
from evals.bench.learning.world import World, made_world
from evals.bench.row import Asked, Row
from evals.case import Case
from evals.replay import compare
from evals.run import prepare_case, run_suite
from evals.scoring import CaseJudge
from evals.suite import Suite
from evals.verdict import case_verdict
from gateway.replay import CaseVerdict
from kb.embedding import Embedder


@dataclass(frozen=True, slots=True)
class _Gate:
    """One gate beside a full run in the same process: engine calls and wall time as shares of it."""

    calls: float
    wall: float
    as_full_run: bool


def cost_rows(jobs: Jobs, *, engine: EngineChoice, cases: int, changes: int) -> list[Row]:
    """As many worlds as jobs, all made alike, share the changes; each makes the full run that its gates are beside."""
    shares = [partial(_gates, engine, cases, changes, share) for share in slices(changes, jobs.count)]
    gates = [gate for part in jobs.done(shares, TypeAdapter(tuple[_Gate, ...])) for gate in part]
    calls, walls = [gate.calls for gate in gates], [gate.wall for gate in gates]
    differing = float(sum(not gate.as_full_run for gate in gates))
    n, name = len(gates), f"gate over {cases:,} cases, one item changed"
    return [
        Row(f"{name}, engine calls", mean(calls), "of the suite", n, mean_interval(calls), asked=Asked(at_most=0.05)),
        Row(
            f"{name}, wall time beside a full run",
            float(np.median(walls)),
            "times",
            n,
            median_interval(walls),
            asked=Asked(at_most=0.1),
        ),
        Row(f"{name}, verdicts unlike a full run's", differing, "changes", n, asked=Asked(at_most=0.0)),
    ]


def _gates(
    engine: EngineChoice, cases: int, changes: int, share: range, embedder: Embedder, say: Say
) -> tuple[_Gate, ...]:
    with made_world(embedder, cases + changes, engine=engine) as world:
        asked = world.cases(cases)
        whole = _full_run_seconds(world, asked, say)
        gates: list[_Gate] = []
        for number, change in islice(enumerate(random_changes(world, changes)), share.start, share.stop):
            head = world.commit(f"change-{number}", change)
            begun = time.monotonic()
            report = compare(world.core, world.assistant, asked, base="main", head=head)
            seconds = time.monotonic() - begun
            verdicts = {case.id: case.verdict for case in report.cases}
            alike = verdicts == _of_full_run(world, asked, head)
            gates.append(_Gate(report.engine_calls / cases, seconds / whole, alike))
            say(f"change {number + 1} of {changes}: {report.verdict}, {report.engine_calls} calls, {seconds:.1f} s")
        return tuple(gates)


def _full_run_seconds(world: World, cases: Sequence[Case], say: Say) -> float:
    say(f"a full run of {len(cases)} cases")
    suite = Suite("world", "world", 1, tuple(cases))
    begun = time.monotonic()
    run = run_suite(world.core, suite, tenant=world.assistant.settings.tenant, revision="main")
    seconds = time.monotonic() - begun
    say(f"{len(run.of_status('passed'))} passed, {run.engine_calls} engine calls, {seconds:.0f} s")
    return seconds


def _of_full_run(world: World, cases: Sequence[Case], head: str) -> dict[str, CaseVerdict]:
    """The verdict of each case with every prompt asked, changed or not."""
    answers = Answers(world.core)
    before = world.base.resolve("main").id

    async def all_verdicts() -> dict[str, CaseVerdict]:
        found: dict[str, CaseVerdict] = {}
        for case in cases:
            judge = CaseJudge(case, answers, world.assistant.datasource)
            sides = [
                await judge.tally(prepare_case(world.core, world.assistant, case, commit), 1)
                for commit in (before, head)
            ]
            found[case.id] = case_verdict(*sides)
        return found

    return asyncio.run(all_verdicts())
