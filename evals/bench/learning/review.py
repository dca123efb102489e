"""The section 'reviewer': what a base has learned from people of whom some are careless, with the gate and without.

A piece is one base with one stream of confirmations; pieces share nothing, so they may run anywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import TypeAdapter

from evals.bench.bootstrap import share_difference_interval
from evals.bench.learning.captured import Captured, captured
from evals.bench.learning.confirmations import made_stream
from evals.bench.learning.engine import EngineChoice
from evals.bench.learning.jobs import Jobs, Say
from evals.bench.learning.reviewer import Reviewed, reviewed
from evals.bench.learning.world import World, made_world
from evals.bench.row import Asked, Row, share_row
from evals.interval import pass_rate
from kb.embedding import Embedder

WRONG = 0.1
"""The share of a person's judgements that are careless: the reviewer's, and the curator's."""
GOAL = 0.97
CLEAR_OF_ZERO = 0.001


@dataclass(frozen=True, slots=True)
class Piece:
    seed: int
    gated: bool
    confirmations: int

    def __str__(self) -> str:
        return f"seed {self.seed}, gate {'on' if self.gated else 'off'}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """All confirmations of a piece in order, and the active items that they left."""

    piece: Piece
    reviewed: tuple[Reviewed, ...]
    captured: tuple[Captured, ...]

    @property
    def wrong_landed(self) -> list[Reviewed]:
        return [entry for entry in self.reviewed if entry.wrong and entry.landed]


def reviews(jobs: Jobs, *, engine: EngineChoice, confirmations: int, seeds: int) -> list[Outcome]:
    """Each seed with the gate, which takes longer, and without."""
    pieces = [Piece(seed, gated, confirmations) for gated in (True, False) for seed in range(seeds)]
    return jobs.done([partial(_outcome, piece, engine) for piece in pieces], TypeAdapter(Outcome))


def _outcome(piece: Piece, engine: EngineChoice, embedder: Embedder, say: Say) -> Outcome:
    with made_world(embedder, 1, confirmed=0, engine=engine, seed=piece.seed) as world:
        return reviewed_world(world, piece, say)


def reviewed_world(world: World, piece: Piece, say: Say) -> Outcome:
    """The piece on a world that has nothing confirmed yet."""
    stream = made_stream(world.spec, world.database, piece.confirmations, wrong=WRONG, seed=piece.seed)
    done: list[Reviewed] = []
    for entry in reviewed(world, stream, gated=piece.gated, wrong=WRONG):
        done.append(entry)
        wrong = ", wrong" if entry.wrong else ""
        say(f"{piece}: {len(done)} of {piece.confirmations}: {entry.state} by {entry.by}{wrong} ({entry.why})")
    return Outcome(piece, tuple(done), tuple(captured(world, stream.right_after)))


def review_rows(outcomes: Sequence[Outcome]) -> Iterator[Row]:
    """Those of the first seed; where there are several, then the others' shares and all of them together."""
    by_seed: dict[int, dict[bool, Outcome]] = {}
    for outcome in outcomes:
        by_seed.setdefault(outcome.piece.seed, {})[outcome.piece.gated] = outcome
    seeds = sorted(by_seed)
    for seed in seeds:
        arms = by_seed[seed]
        name = f"after {arms[True].piece.confirmations} confirmations" + (f", seed {seed}" if len(seeds) > 1 else "")
        yield from _shares(name, [arms])
        if seed == seeds[0]:
            yield from _details(name, arms)
    if len(seeds) > 1:
        yield from _shares(f"{len(seeds)} seeds together", [by_seed[seed] for seed in seeds])


def review_facts(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Every wrong confirmation that landed, by piece, with what could have told; and how many of them had what."""
    listed = {str(outcome.piece): [_told(outcome, entry) for entry in outcome.wrong_landed] for outcome in outcomes}
    return {"wrong_that_landed": listed}


def _shares(name: str, seeds: Sequence[dict[bool, Outcome]]) -> Iterator[Row]:
    on, off = ([entry for arms in seeds for entry in arms[gated].captured] for gated in (True, False))
    ours, theirs = pass_rate(sum(e.good for e in on), len(on)), pass_rate(sum(e.good for e in off), len(off))
    baseline = {"gate off": theirs.rate} if theirs else {}
    what = f"knowledge right, unique and in force {name}"
    yield share_row(f"{what}, gate on", [entry.good for entry in on], Asked(at_least=GOAL), baseline)
    yield share_row(f"{what}, gate off", [entry.good for entry in off])
    if ours and theirs:
        groups = [_by_template(arms) for arms in seeds]
        counts = [pair for group in groups for pair in group]
        interval = share_difference_interval([pair[0] for pair in counts], [pair[1] for pair in counts])
        yield Row(f"{what}, on − off", ours.rate - theirs.rate, "share", len(counts), interval)
        low = interval[0] if interval else None
        yield Row(f"{what}, on − off, low end", low, "share", len(counts), asked=Asked(at_least=CLEAR_OF_ZERO))


def _by_template(arms: dict[bool, Outcome]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Of each template: (good, all) items with the gate, and without it."""
    counts: dict[bool, tuple[Counter[int], Counter[int]]] = {}
    for gated, outcome in arms.items():
        template = {entry.request: entry.confirmation.template for entry in outcome.reviewed}
        good = Counter(template[entry.request] for entry in outcome.captured if entry.good)
        counts[gated] = good, Counter(template[entry.request] for entry in outcome.captured)
    templates = sorted(set().union(*(total for _, total in counts.values())))
    return [
        ((counts[True][0][each], counts[True][1][each]), (counts[False][0][each], counts[False][1][each]))
        for each in templates
    ]


def _details(name: str, arms: dict[bool, Outcome]) -> Iterator[Row]:
    for gated, label in ((True, "gate on"), (False, "gate off")):
        outcome = arms[gated]
        yield share_row(f"captured items that are right {name}, {label}", [entry.right for entry in outcome.captured])
        yield share_row(f"that no other one says, {label}", [entry.twin is None for entry in outcome.captured])
        yield share_row(f"that are in force, {label}", [entry.in_force for entry in outcome.captured])
        wrong = [entry.landed for entry in outcome.reviewed if entry.wrong]
        yield share_row(f"wrong confirmations that landed, {label}", wrong)
    with_gate = arms[True].reviewed
    yield share_row("confirmations that a curator decided", [entry.by == "a curator" for entry in with_gate])
    yield share_row(
        "right confirmations that a curator decided", [e.by == "a curator" for e in with_gate if not e.wrong]
    )
    kept_out = [entry.state not in ("landed", "duplicate") for entry in with_gate if not entry.wrong]
    yield share_row("right confirmations that were kept out", kept_out)


def _told(outcome: Outcome, entry: Reviewed) -> dict[str, Any]:
    active = {item.request for item in outcome.captured}
    return {
        "step": entry.confirmation.step,
        "question": entry.confirmation.text,
        "right": entry.confirmation.sql,
        "wrong": entry.taught,
        "mistake": entry.mistake,
        "decided_by": entry.by,
        "because": entry.why,
        "could_have_told": list(entry.told) or ["nothing"],
        "still_in_use": entry.request in active,
    }
