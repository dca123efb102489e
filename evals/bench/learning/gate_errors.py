"""How often the gate is wrong where the engine draws at random: false alarms, and regressions that it lets through."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from evals.bench.learning.changes import harmless_changes, plants
from evals.bench.learning.world import CONFIRMED, World, made_world
from evals.bench.row import Asked, Row
from evals.case import Case
from evals.interval import pass_rate
from evals.replay import compare
from gateway.replay import ReplayReport
from kb.embedding import Embedder
from kb.knowledge_base import Changes

TEMPERATURE, REPEATS = 0.7, 3


def error_rows(embedder: Embedder, say: Callable[[str], None], *, cases: int, harmless: int, planted: int) -> list[Row]:
    with made_world(embedder, cases, temperature=TEMPERATURE) as world:
        asked = world.cases(cases)
        alarms = _regressions(world, asked, "harmless", harmless_changes(world, harmless), say)
        misled = plants(world, world.questions[CONFIRMED : CONFIRMED + cases], planted)
        caught = _regressions(world, asked, "plant", (change for _, change in misled), say)
    return [
        _row("harmless changes called a regression", alarms, Asked(at_most=0.05)),
        _row("wrong gotchas caught", caught, Asked(at_least=0.95)),
    ]


def _regressions(
    world: World, cases: Sequence[Case], name: str, changes: Iterable[Changes], say: Callable[[str], None]
) -> list[bool]:
    found: list[bool] = []
    for number, change in enumerate(changes):
        head = world.commit(f"{name}-{number}", change)
        report = compare(world.core, world.assistant, cases, base="main", head=head, repeats=REPEATS)
        found.append(report.verdict == "regression")
        say(f"{name} {number + 1}: {_told(report)}")
    return found


def _told(report: ReplayReport) -> str:
    changed = [case for case in report.cases if case.prompt_changed]
    flips = [f"{case.id} {case.base.passed}→{case.head.passed}" for case in changed if case.base and case.head]
    return f"{report.verdict}; {len(changed)} changed, {report.engine_calls} calls; {', '.join(flips[:8])}"


def _row(name: str, found: Sequence[bool], asked: Asked) -> Row:
    rate = pass_rate(sum(found), len(found))
    if rate is None:
        return Row(name, None, "share", 0, asked=asked)
    return Row(name, rate.rate, "share", rate.total, (rate.low, rate.high), asked=asked)
