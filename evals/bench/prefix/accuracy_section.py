"""What the layout does to answers: the same questions with the same items, in canonical order and by score.

Both prompts of a question are answered greedily and judged by their rows. Two prompts that are the same are answered
once, so orders differ in accuracy only where they differ in text. Of dialogues, a prompt holds the accepted SQL of the
turns before: append-only in ours, and re-ranked with each turn by score.
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
from evals.bench.prefix.orders import OURS, SCORE, by_score
from evals.bench.prefix.played import Played, Player, Say
from evals.bench.prefix.request_stream import interleaved, zipf_draw
from evals.bench.prefix.runnable_sets import RunnableSet
from evals.bench.prefix.spider_traffic import Traffic
from evals.bench.prefix.token_section import Streams, earlier_reach
from evals.bench.remembering import Remembering
from evals.bench.row import Asked, Row, share_row

Prompts = Mapping[str, Prompt]
"""By order."""


@dataclass(frozen=True, slots=True)
class InBoth:
    """One question: whether each order's answer to it is right. Those of one dialogue are not independent.

    `refused`: an order's prompt left no room for an answer, which is a wrong one. `adds`: items stand in front of the
    question in ours, since it is a later turn that newly needs them.
    """

    dialogue: str
    ours: bool
    by_score: bool
    differ: bool
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
        for what, played in _played(name, traffic, streams, engine, embedder, say).items():
            asked.setdefault(f"{asked_set.name} {what}", []).extend((entry, _prompts(entry)) for entry in played)
    rows: list[Row] = []
    for name, requests in asked.items():
        rows += rows_of_set(name, _judged(requests, answers))
        say(f"{name}: judged")
    return rows


def _played(
    name: str, traffic: Traffic, streams: Streams, engine: CountingEngine, embedder: Remembering, say: Say
) -> dict[str, list[Played]]:
    """By what they are. A dialogue's first turn is a question like another, so later ones alone are kept."""
    reach = earlier_reach(traffic, streams, engine, embedder, say)
    with stream_world(traffic.items, engine, embedder, reach=reach) as world:
        player = Player(world, engine, say)
        questions = player.play(f"{name}, questions", streams.questions)
        turns = player.play(f"{name}, dialogues", streams.dialogues)
    later = [one for one in turns if one.request.turn > 0]
    return {"questions": questions} | ({"later turns": later} if later else {})


def _prompts(played: Played) -> Prompts:
    return {OURS: prompt_of(played.prepared.prompt.messages), SCORE: prompt_of(by_score(played.by_itself))}


def _judged(asked: Sequence[tuple[Played, Prompts]], answers: GreedyAnswers) -> list[InBoth]:
    """Those whose accepted statement runs."""
    made = iter(answers.to([prompts[order] for _, prompts in asked for order in (OURS, SCORE)]))
    found: list[InBoth] = []
    for (played, prompts), ours, theirs in zip(asked, made, made, strict=True):
        request = played.request
        assert request.database is not None, "the sets have databases"
        left, right = (judge_by_rows(request.database, [request.answer], text) for text in (ours, theirs))
        if left is not None and right is not None:
            differ, refused = prompts[OURS].key != prompts[SCORE].key, None in (ours, theirs)
            adds = any(part.layer == "added" and part.item for part in played.prepared.prompt.parts)
            found.append(InBoth(request.dialogue, left.right, right.right, differ, refused, adds))
    return found


def rows_of_set(name: str, found: Sequence[InBoth]) -> list[Row]:
    if not found:
        return [Row(f"{name}, accuracy", None, "execution match", 0)]
    changes = [float(one.ours) - float(one.by_score) for one in found]
    alone = sum(change > 0 for change in changes), sum(change < 0 for change in changes)
    adding = [one for one in found if one.adds]
    return [
        _accuracy(f"{name}, accuracy", found),
        *([_accuracy(f"{name} that add items, accuracy", adding)] if adding else []),
        Row(
            f"{name}, accuracy, ours − by score",
            float(np.mean(changes)),
            "execution match",
            len(found),
            clustered_interval(_by_dialogue(found, changes)),
            asked=Asked(up_to=0.0),
        ),
        Row(
            f"{name}, right in ours alone", float(alone[0]), "questions", len(found), baseline={SCORE: float(alone[1])}
        ),
        share_row(f"{name}, prompts that differ", [one.differ for one in found]),
        Row(f"{name}, without room for an answer", float(sum(one.refused for one in found)), "questions", len(found)),
    ]


def _accuracy(name: str, found: Sequence[InBoth]) -> Row:
    ours, theirs = ([float(getattr(one, side)) for one in found] for side in ("ours", "by_score"))
    interval = clustered_interval(_by_dialogue(found, ours))
    return Row(name, float(np.mean(ours)), "execution match", len(found), interval, {SCORE: float(np.mean(theirs))})


def _by_dialogue(found: Sequence[InBoth], values: Sequence[float]) -> list[list[float]]:
    clusters: dict[str, list[float]] = {}
    for one, value in zip(found, values, strict=True):
        clusters.setdefault(one.dialogue, []).append(value)
    return list(clusters.values())
