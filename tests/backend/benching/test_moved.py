"""Documents in another order, on pairs of which one finds them wherever they stand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend.benching.figures import moved_figures
from backend.benching.moved import Reordered, reorder
from backend.errors import MeasurementFailed
from backend.profiling.pair import FirstToken

from .scripted_pair import BASE, CHUNK, COMPUTED, SECONDS_A_TOKEN, ScriptedPair, scripted_target


class MovingPair(ScriptedPair):
    """Knows a chunk by its own tokens, as long as those before it are known as well."""

    def __init__(self) -> None:
        super().__init__()
        self.chunks: set[tuple[int, ...]] = set()

    def first_token(self, token_ids: list[int]) -> FirstToken:
        chunks = [tuple(token_ids[begin : begin + CHUNK]) for begin in range(0, len(token_ids) - CHUNK + 1, CHUNK)]
        known = next((number for number, one in enumerate(chunks) if one not in self.chunks), len(chunks)) * CHUNK
        self.chunks.update(chunks)
        return FirstToken(BASE + known * SECONDS_A_TOKEN["ram"] + (len(token_ids) - known) * COMPUTED, known)


def blending():
    return replace(scripted_target(), pair=MovingPair())


def test_all_documents_are_reused_with_the_blend_engine_and_the_first_chunk_without():
    found = reorder(blending(), scripted_target(), 5 * CHUNK)
    assert found.moved == pytest.approx(BASE + 16 * COMPUTED + 5 * CHUNK * SECONDS_A_TOKEN["ram"])
    assert found.prefix_only == pytest.approx(BASE + (4 * CHUNK + 16) * COMPUTED + CHUNK * SECONDS_A_TOKEN["ram"])
    assert found.cold == pytest.approx(BASE + (5 * CHUNK + 16) * COMPUTED)


def test_a_pair_that_reuses_prefixes_alone_is_no_blend():
    with pytest.raises(MeasurementFailed, match=f"reused {CHUNK} tokens instead of {5 * CHUNK}"):
        reorder(scripted_target(), scripted_target(), 5 * CHUNK)


def test_one_document_has_no_other_order():
    with pytest.raises(MeasurementFailed, match=f"at least {3 * CHUNK} tokens"):
        reorder(blending(), scripted_target(), 2 * CHUNK)


def test_figures_stand_beside_prefix_reuse_and_cold():
    seconds, ratio = moved_figures([Reordered(400, moved=0.2, prefix_only=0.8, cold=1.0)] * 3)
    assert (seconds.value, dict(seconds.baseline)) == (0.2, {"prefix only": 0.8, "cold": 1.0})
    assert ratio.value == pytest.approx(4.0)
