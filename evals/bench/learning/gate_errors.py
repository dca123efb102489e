"""How often the gate is wrong where the engine draws at random: false alarms, and regressions that it lets through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, zip_longest

from pydantic import TypeAdapter

from evals.bench.learning.changes import harmless_changes, plants
from evals.bench.learning.engine import EngineChoice
from evals.bench.learning.jobs import Jobs, Say, slices
from evals.bench.learning.world import CONFIRMED, World, made_world
from evals.bench.row import Asked, Row, share_row
from evals.case import Case
from evals.replay import compare
from gateway.replay import ReplayReport
from kb.embedding import Embedder
from kb.knowledge_base import Changes

TEMPERATURE, REPEATS = 0.7, 3
CHANGES = 10
"""Harmless ones of a world. Draws are stored, so all changes of one world are judged by the same ones of its base."""


@dataclass(frozen=True, slots=True)
class _Gated:
    """Whether each change was called a regression."""

    harmless: tuple[bool, ...]
    planted: tuple[bool, ...]


def error_rows(jobs: Jobs, *, engine: EngineChoice, cases: int, harmless: int, planted: int) -> list[Row]:
    """Worlds, all made alike, share the changes."""
    parts = max(jobs.count, harmless // CHANGES)
    both = zip_longest(slices(harmless, parts), slices(planted, parts), fillvalue=range(0))
    gated = jobs.done([partial(_gated, engine, cases, *share) for share in both], TypeAdapter(_Gated))
    return [
        share_row(
            "harmless changes called a regression",
            [found for part in gated for found in part.harmless],
            Asked(at_most=0.05),
        ),
        share_row("wrong gotchas caught", [found for part in gated for found in part.planted], Asked(at_least=0.95)),
    ]


def _gated(engine: EngineChoice, cases: int, harmless: range, planted: range, embedder: Embedder, say: Say) -> _Gated:
    with made_world(embedder, cases, engine=engine, temperature=TEMPERATURE) as world:
        asked = world.cases(cases)
        unneeded = islice(harmless_changes(world, harmless.stop), harmless.start, None)
        misled = plants(world, world.questions[CONFIRMED : CONFIRMED + cases], planted.stop)
        misleading = (change for _, change in islice(misled, planted.start, None))
        return _Gated(
            tuple(_regressions(world, asked, "harmless", unneeded, say)),
            tuple(_regressions(world, asked, "plant", misleading, say)),
        )


def _regressions(
    world: World, cases: Sequence[Case], name: str, changes: Iterable[Changes], say: Say
) -> Iterator[bool]:
    for number, change in enumerate(changes):
        head = world.commit(f"{name}-{number}", change)
        report = compare(world.core, world.assistant, cases, base="main", head=head, repeats=REPEATS)
        yield report.verdict == "regression"
        say(f"{name} {number + 1}: {_told(report)}")


def _told(report: ReplayReport) -> str:
    changed = [case for case in report.cases if case.prompt_changed]
    flips = [f"{case.id} {case.base.passed}→{case.head.passed}" for case in changed if case.base and case.head]
    return f"{report.verdict}; {len(changed)} changed, {report.engine_calls} calls; {', '.join(flips[:8])}"
