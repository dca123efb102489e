"""The weights that ship, in the embedded engine: they read what the context says, and keep the prefix of a prompt."""

from __future__ import annotations

import asyncio

from backend.client import EngineConfig, Sampling, connect
from backend.mini.evaluate import held_out, is_right
from backend.mini.training import Training

ENGINE = EngineConfig("mini", "embedded/kvasir-mini")
SAMPLING = Sampling(max_tokens=200, temperature=0.0)


def test_a_gotcha_decides_the_answer_and_without_it_the_obvious_column_is_taken() -> None:
    engine = connect(ENGINE)
    right = {"gotcha in context": 0, "gotcha taken out": 0}
    for row in right:
        for case in held_out(row, 6, Training().held_out_seed):
            answer = asyncio.run(engine.complete(case.sample.messages, SAMPLING, cache_salt=None))
            right[row] += is_right(case, answer.text)[0]
            case.connection.close()
    assert right["gotcha in context"] >= 5
    assert right["gotcha taken out"] <= 1


def test_the_same_prompt_again_computes_next_to_nothing_and_says_the_same() -> None:
    engine = connect(ENGINE)
    case = next(held_out("plain", 1, Training().held_out_seed))
    case.connection.close()
    first, second = (
        asyncio.run(engine.complete(case.sample.messages, SAMPLING, cache_salt="a tenant")) for _ in range(2)
    )
    assert second.text == first.text
    assert first.usage is not None
    assert second.usage is not None
    assert first.usage.cached_tokens == 0
    assert second.usage.cached_tokens == second.usage.prompt_tokens - 1
