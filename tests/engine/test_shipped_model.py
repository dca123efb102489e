"""kvasir-mini on real vLLM: the folder that the embedded engine loads, unchanged, and as right as there."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from backend.client import EngineConfig, Sampling, connect
from backend.mini.evaluate import held_out, is_right
from backend.mini.training import Training

from .asking import BLOCK_TOKENS

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


def test_what_it_wrote_is_found_in_vllms_own_cache_when_the_chat_sends_it_back(mini_pair: Any) -> None:
    """The answer as text, through the chat template and the tokenizer again: what `kvasir bench prefix` counts."""
    config = EngineConfig("mini", "hosted_vllm/kvasir-mini", api_base=mini_pair.api_base, lmcache=True)
    engine = connect(config)
    case = next(iter(held_out("plain", 1, Training().held_out_seed)))
    case.connection.close()
    system, question = case.sample.messages[0], case.sample.messages[-1]
    # As many words before it as put the end of a block into the answer.
    for words in range(BLOCK_TOKENS):
        asked = [system, {**question, "content": "well " * words + question["content"]}]
        tokens = asyncio.run(engine.count_tokens(asked))
        if tokens % BLOCK_TOKENS == BLOCK_TOKENS - 5:
            break
    assert tokens % BLOCK_TOKENS == BLOCK_TOKENS - 5
    answer = asyncio.run(engine.complete(asked, Sampling(max_tokens=200, temperature=0.0), cache_salt="chat"))
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 8
    later = [*asked, {"role": "assistant", "content": answer.text}, {"role": "user", "content": "And how many?"}]
    told = asyncio.run(engine.complete(later, Sampling(max_tokens=1), cache_salt="chat")).usage
    assert told is not None
    assert told.engine_cached_tokens is not None
    assert told.engine_cached_tokens >= tokens + 5
