"""What the layout does to answers: the same questions with the same items, in canonical order, by score and planned.

The prompts of a question are answered greedily and judged by their rows. Prompts that are the same are answered once,
so orders differ in accuracy only where they differ in text. Of dialogues, a prompt holds the accepted SQL of the turns
before: append-only in ours, and re-ranked with each turn by score. What the planner does depends on what was asked
before, so it plays the same stream in a world of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from backend.mini.answer_file import Prompt, prompt_of
from evals.bench.bootstrap import clustered_interval
from evals.bench.mini.execution import judge_by_rows
from evals.bench.prefix.assistant_world import stream_world
from evals.bench.prefix.engines import CountingEngine
from evals.bench.prefix.greedy_answers import GreedyAnswers
from evals.bench.prefix.orders import OURS, PLANNED, SCORE, by_score
from evals.bench.prefix.played import Played, Player, Say
from evals.bench.prefix.request_stream import interleaved, zipf_draw
from evals.bench.prefix.runnable_sets import RunnableSet
from evals.bench.prefix.spider_traffic import Traffic
from evals.bench.prefix.token_section import PLANNER_BLOCKS, Streams, earlier_reach
from evals.bench.remembering import Remembering
from evals.bench.row import Asked, Row, share_row

ORDERS = (OURS, SCORE, PLANNED)

Prompts = Mapping[str, Prompt]
"""By order."""


@dataclass(frozen=True, slots=True)
class InOrders:
    """One question: which orders have a right answer to it. Those of one dialogue are not independent.

    `others`: orders whose prompt is not that of ours. `refused`: an order's prompt left no room for an answer, which is
    a wrong one. `adds`: items stand in front of the question in ours, since it is a later turn that newly needs them.
    """

    dialogue: str
    right: frozenset[str]
    others: frozenset[str]
    refused: bool = False
    adds: bool = False


def accuracy_rows(
    asked_set: RunnableSet,
    draws: int,
    limit: int | None,
    answers: GreedyAnswers,
    engine: CountingEngine,
    embedder: Remembering,
    say: Say,
) -> list[Row]:
    """Reach is frozen on `draws` requests; `limit` takes so many questions and turns of the set.

    Raises `BenchUnavailable`.
    """
    asked: dict[str, list[tuple[Played, Prompts]]] = {}
    for number, traffic in enumerate(asked_set.traffics, start=1):
        chosen = asked_set.some(traffic, limit)
        streams = Streams(
            zipf_draw(traffic.questions, draws, "earlier"),
            chosen.questions,
            interleaved(chosen.dialogues, "accuracy"),
        )
        name = f"{asked_set.name} {number}" if len(asked_set.traffics) > 1 else asked_set.name
        reach = earlier_reach(traffic, streams, engine, embedder, say)
        canonical = _played(name, traffic, streams, reach, engine, embedder, say)
        planned = _played(
            f"{name}, planned", traffic, streams, reach, engine, embedder, say, planner_blocks=PLANNER_BLOCKS
        )
        for what, played in canonical.items():
            both = zip(played, planned[what], strict=True)
            asked.setdefault(f"{asked_set.name} {what}", []).extend((one, _prompts(one, other)) for one, other in both)
    rows: list[Row] = []
    for name, requests in asked.items():
        rows += rows_of_set(name, _judged(requests, answers))
        say(f"{name}: judged")
    return rows


def _played(
    name: str,
    traffic: Traffic,
    streams: Streams,
    reach: Mapping[str, int],
    engine: CountingEngine,
    embedder: Remembering,
    say: Say,
    *,
    planner_blocks: int = 0,
) -> dict[str, list[Played]]:
    """By what they are. A dialogue's first turn is a question like another, so later ones alone are kept."""
    with stream_world(traffic.items, engine, embedder, reach=reach, planner_blocks=planner_blocks) as world:
        player = Player(world, engine, say)
        questions = player.play(f"{name}, questions", streams.questions)
        turns = player.play(f"{name}, dialogues", streams.dialogues)
    later = [one for one in turns if one.request.turn > 0]
    return {"questions": questions} | ({"later turns": later} if later else {})


def _prompts(canonical: Played, planned: Played) -> Prompts:
    return {
        OURS: prompt_of(canonical.prepared.prompt.messages),
        SCORE: prompt_of(by_score(canonical.by_itself)),
        PLANNED: prompt_of(planned.prepared.prompt.messages),
    }


def _judged(asked: Sequence[tuple[Played, Prompts]], answers: GreedyAnswers) -> list[InOrders]:
    """Those whose accepted statement runs."""
    made = iter(answers.to([prompts[order] for _, prompts in asked for order in ORDERS]))
    found: list[InOrders] = []
    for played, prompts in asked:
        request = played.request
        assert request.database is not None, "the sets have databases"
        texts = {order: next(made) for order in ORDERS}
        judged = {order: judge_by_rows(request.database, [request.answer], text) for order, text in texts.items()}
        if None not in judged.values():
            right = frozenset(order for order, one in judged.items() if one is not None and one.right)
            others = frozenset(order for order in ORDERS if prompts[order].key != prompts[OURS].key)
            adds = any(part.layer == "added" and part.item for part in played.prepared.prompt.parts)
            found.append(InOrders(request.dialogue, right, others, None in texts.values(), adds))
    return found


def rows_of_set(name: str, found: Sequence[InOrders]) -> list[Row]:
    if not found:
        return [Row(f"{name}, accuracy", None, "execution match", 0)]
    adding = [one for one in found if one.adds]
    ours_alone = sum(OURS in one.right and SCORE not in one.right for one in found)
    by_score_alone = sum(SCORE in one.right and OURS not in one.right for one in found)
    return [
        _accuracy(f"{name}, accuracy", found),
        *([_accuracy(f"{name} that add items, accuracy", adding)] if adding else []),
        _difference(name, OURS, SCORE, found),
        Row(
            f"{name}, right in ours alone", float(ours_alone), "questions", len(found), baseline={SCORE: by_score_alone}
        ),
        share_row(f"{name}, prompts that differ", [SCORE in one.others for one in found]),
        _difference(name, PLANNED, OURS, found),
        share_row(f"{name}, planned prompts that differ", [PLANNED in one.others for one in found]),
        Row(f"{name}, without room for an answer", float(sum(one.refused for one in found)), "questions", len(found)),
    ]


def _difference(name: str, order: str, other: str, found: Sequence[InOrders]) -> Row:
    changes = [float(order in one.right) - float(other in one.right) for one in found]
    return Row(
        f"{name}, accuracy, {order} − {other}",
        float(np.mean(changes)),
        "execution match",
        len(found),
        clustered_interval(_by_dialogue(found, changes)),
        asked=Asked(up_to=0.0),
    )


def _accuracy(name: str, found: Sequence[InOrders]) -> Row:
    ours, *others = ([float(order in one.right) for one in found] for order in ORDERS)
    interval = clustered_interval(_by_dialogue(found, ours))
    baseline = {order: float(np.mean(right)) for order, right in zip(ORDERS[1:], others, strict=True)}
    return Row(name, float(np.mean(ours)), "execution match", len(found), interval, baseline)


def _by_dialogue(found: Sequence[InOrders], values: Sequence[float]) -> list[list[float]]:
    clusters: dict[str, list[float]] = {}
    for one, value in zip(found, values, strict=True):
        clusters.setdefault(one.dialogue, []).append(value)
    return list(clusters.values())
