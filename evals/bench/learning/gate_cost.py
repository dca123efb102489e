"""What a gate costs beside a full run of its suite, and whether it comes to the same verdict.

A full run asks every case on both sides, whatever its prompt. The engine is greedy, so an answer that is stored for a
prompt is the answer that it would give again: the full runs that verdicts are checked against use stored answers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from statistics import mean

import numpy as np

from evals.answers import Answers
from evals.bench.bootstrap import mean_interval, median_interval
from evals.bench.learning.changes import random_changes
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


def cost_rows(embedder: Embedder, say: Callable[[str], None], *, cases: int, changes: int) -> list[Row]:
    with made_world(embedder, cases + changes) as world:
        asked = world.cases(cases)
        suite = Suite("world", "world", 1, tuple(asked))
        say(f"a full run of {cases} cases")
        begun = time.monotonic()
        first = run_suite(world.core, suite, tenant=world.assistant.settings.tenant, revision="main")
        whole = time.monotonic() - begun
        passed = len(first.of_status("passed"))
        say(f"{passed} of {cases} passed, {first.engine_calls} engine calls, {whole:.0f} s")
        calls, ratios, differing = [], [], 0
        for number, change in enumerate(random_changes(world, changes)):
            head = world.commit(f"change-{number}", change)
            begun = time.monotonic()
            report = compare(world.core, world.assistant, asked, base="main", head=head)
            seconds = time.monotonic() - begun
            calls.append(report.engine_calls / cases)
            ratios.append(seconds / whole)
            verdicts = {case.id: case.verdict for case in report.cases}
            differing += verdicts != _of_full_run(world, asked, head)
            say(f"change {number + 1} of {changes}: {report.verdict}, {report.engine_calls} calls, {seconds:.1f} s")
    return _rows(cases, calls, ratios, differing)


def _rows(cases: int, calls: Sequence[float], ratios: Sequence[float], differing: int) -> list[Row]:
    n, name = len(calls), f"gate over {cases:,} cases, one item changed"
    return [
        Row(f"{name}, engine calls", mean(calls), "of the suite", n, mean_interval(calls), asked=Asked(at_most=0.05)),
        Row(
            f"{name}, wall time beside a full run",
            float(np.median(ratios)),
            "times",
            n,
            median_interval(ratios),
            asked=Asked(at_most=0.1),
        ),
        Row(f"{name}, verdicts unlike a full run's", float(differing), "changes", n, asked=Asked(at_most=0.0)),
    ]


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
