"""The speed of the embedded engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evals.bench.errors import ModelUnavailable
from evals.bench.mini import speed
from evals.bench.mini.speed import PROMPT_TOKENS, TOLERANCE, long_prompt, speed_rows

from .made import (
    say,
)


def test_the_long_prompt_has_the_asked_length_whatever_counts_its_tokens() -> None:
    def words(messages: Sequence[Any]) -> int:
        return sum(len(message["content"].split()) for message in messages)

    system, questions = long_prompt(words)
    length = words([{"content": system}, {"content": questions[0]}])
    assert abs(length - PROMPT_TOKENS) <= TOLERANCE
    assert len(set(questions)) > 1


def test_speed_is_measured_cold_and_with_the_prefix_cached(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "DECODED_TOKENS", 8)
    cold, cached, decoding = speed_rows(model, say, repeats=2)
    assert cold.value is not None
    assert cached.value is not None
    assert 0 < cached.value < cold.value
    assert (cold.n, cached.n, decoding.n) == (2, 2, 2)
    assert cached.baseline == {"cold": cold.value}
    assert cold.baseline.keys() == decoding.baseline.keys() == {"transformers generate"}
    assert [row.asked and row.asked.to_dict() for row in (cold, cached, decoding)] == [
        {"at_most": 1.5},
        {"at_most": 0.3},
        {"at_least": 40.0},
    ]
    with pytest.raises(ModelUnavailable, match="--model"):
        speed_rows(model / "none", say)
