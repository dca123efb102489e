"""The section 'reviewer' of `kvasir bench learning`, on a small stream; the engine mostly knows the answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from backend.client import Message, Sampling
from evals.bench.learning.confirmations import Stream, made_stream
from evals.bench.learning.review import Outcome, Piece, reviewed_world
from evals.bench.learning.world import World, made_world
from gateway.testing import ScriptedEngine
from kb.embedding import SentenceEmbedder

COUNT = 40


class KnowingEngine(ScriptedEngine):
    """Answers each question of a stream rightly, for the schema that its prompt shows; every seventh one wrongly."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        half = stream.change_at
        self._renamed_to = stream.change.renamed_to
        self._before = {each.text: each for each in reversed(stream.confirmations[:half])}
        self._after = {each.text: each for each in reversed(stream.confirmations[half:])}

    async def _pieces(
        self, messages: Sequence[Message], sampling: Sampling, cache_salt: str | None
    ) -> AsyncIterator[str]:
        question = messages[-1]["content"]
        first, second = (self._after, self._before)
        known = first.get(question) or second[question]
        if question in self._before and self._renamed_to not in messages[0]["content"]:
            known = self._before[question]
        yield known.wrong.sql if len(question) % 7 == 0 else known.sql


@pytest.fixture(scope="module")
def embedder() -> SentenceEmbedder:
    return SentenceEmbedder()


def outcome_of(embedder: SentenceEmbedder, *, gated: bool, seed: int = 0) -> tuple[Outcome, World, Stream]:
    with made_world(embedder, 1, confirmed=0, seed=seed) as world:
        stream = made_stream(world.spec, world.database, COUNT, wrong=0.1, seed=seed)
        core = replace(world.core, engines={"mini": KnowingEngine(stream)})
        world = replace(world, core=core, assistant=core.assistant("default", "world"))
        return reviewed_world(world, Piece(seed, gated, COUNT), lambda _: None), world, stream
