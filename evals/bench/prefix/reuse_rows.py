"""Rows of the streams (a) and (b): hit rates beside those of other orders and the bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evals.bench.prefix.bound import Pieces, best_order_hits
from evals.bench.prefix.engines import CountingEngine
from evals.bench.prefix.hit_rates import Use, computed, rate, rate_interval, ratio, ratio_interval
from evals.bench.prefix.orders import OURS, PLANNED, SCORE
from evals.bench.prefix.played import Played
from evals.bench.prefix.prompt_pieces import pieces_of
from evals.bench.row import Asked, Row

BOUND = "bound"

Uses = Mapping[str, Sequence[Use]]
"""By order, one use a request."""


def bounding(played: Sequence[Played], engine: CountingEngine) -> list[Pieces] | None:
    """`None` where the bound cannot be had: the tokenizer joins items in a way that the pieces do not show."""
    pieces = [piece for one in played if (piece := pieces_of(one.prepared.prompt, engine)) is not None]
    return pieces if len(pieces) == len(played) else None


def bound_uses(pieces: Sequence[Pieces], ours: Sequence[Use], block_tokens: int) -> list[Use]:
    hits = best_order_hits(pieces, block_tokens)
    return [Use(hit, use.tokens) for hit, use in zip(hits, ours, strict=True)]


def question_rows(played: Sequence[Played], uses: Uses, what: str) -> list[Row]:
    """Of the stream (a); with the bound and the planner where `uses` has them."""
    numbers = asked_first(played)
    first = {order: [of_order[number] for number in numbers] for order, of_order in uses.items()}
    rows = [
        hit_rate_row(f"(a) hit rate, {what}", uses),
        hit_rate_row(f"(a) hit rate of questions that were not asked before, {what}", first),
        ratio_row(f"(a) ours ÷ order by score, {what}", uses[OURS], uses[SCORE], Asked(at_least=1.5)),
    ]
    if BOUND in uses:
        rows.append(ratio_row(f"(a) bound ÷ order by score, {what}", uses[BOUND], uses[SCORE]))
        rows.append(ratio_row(f"(a) ours ÷ bound, {what}", uses[OURS], uses[BOUND], Asked(at_least=0.9)))
    if PLANNED in uses:
        rows.append(ratio_row(f"(a) planned ÷ ours, {what}", uses[PLANNED], uses[OURS]))
        name = f"(a) planned ÷ ours, questions that were not asked before, {what}"
        rows.append(ratio_row(name, first[PLANNED], first[OURS]))
    if PLANNED in uses and BOUND in uses:
        rows.append(ratio_row(f"(a) planned ÷ bound, {what}", uses[PLANNED], uses[BOUND]))
    return [*rows, computed_row(f"(a) tokens to compute, {what}", uses)]


def dialogue_rows(played: Sequence[Played], uses: Uses, what: str) -> list[Row]:
    """Of the stream (b), from the second turn on."""
    numbers = [number for number, one in enumerate(played) if one.request.turn > 0]
    later = {order: [of_order[number] for number in numbers] for order, of_order in uses.items()}
    return [
        hit_rate_row(f"(b) hit rate from the second turn on, {what}", later, Asked(at_least=0.9)),
        computed_row(f"(b) tokens to compute from the second turn on, {what}", later),
    ]


def asked_first(played: Sequence[Played]) -> list[int]:
    """Which requests ask what none before them asked."""
    first: dict[str, int] = {}
    for number, one in enumerate(played):
        first.setdefault(one.request.question, number)
    return list(first.values())


def hit_rate_row(name: str, uses: Uses, asked: Asked | None = None) -> Row:
    others = {other: value for other in uses if other != OURS and (value := rate(uses[other])) is not None}
    ours = uses[OURS]
    return Row(name, rate(ours), "share", len(ours), rate_interval(ours), others, asked)


def ratio_row(name: str, ours: Sequence[Use], theirs: Sequence[Use], asked: Asked | None = None) -> Row:
    return Row(name, ratio(ours, theirs), "", len(ours), ratio_interval(ours, theirs), asked=asked)


def computed_row(name: str, uses: Uses) -> Row:
    others = {other: value for other in uses if other != OURS and (value := computed(uses[other])) is not None}
    return Row(name, computed(uses[OURS]), "a request", len(uses[OURS]), baseline=others)
