"""kvasir-mini on real vLLM: the folder that the embedded engine loads, unchanged, and as right as there."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from backend.client import EngineConfig, Sampling, connect
from backend.mini.evaluate import held_out, is_right
from backend.mini.training import Training

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]


def test_vllm_answers_held_out_questions_with_the_model_that_ships(mini_pair: Any) -> None:
    assert mini_pair.model_name == "kvasir-mini"
    engine = connect(EngineConfig("mini", "hosted_vllm/kvasir-mini", api_base=mini_pair.api_base))
    right = 0
    for case in held_out("gotcha in context", 12, Training().held_out_seed):
        answer = asyncio.run(
            engine.complete(case.sample.messages, Sampling(max_tokens=200, temperature=0.0), cache_salt=None)
        )
        right += is_right(case, answer.text)[0]
        case.connection.close()
    # 97 of 100 are right; of twelve, eight or fewer would be so by chance less than once in a thousand.
    assert right >= 9
