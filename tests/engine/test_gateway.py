"""The gateway in front of the real pair: two questions over the chat API, one KV computed once."""

from __future__ import annotations

import asyncio
import json
import random
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from llguidance import LLMatcher, LLTokenizer

from backend.client import EngineConfig, Sampling, connect
from gateway.sql_grammar import grammar_of
from kb.introspect import introspect

from .asking import BLOCK_TOKENS, CHUNK_TOKENS, ask_gateway
from .waiting import until_at_least

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]


def test_a_second_question_reuses_the_first_ones_kv(client: httpx.Client, pair: Any) -> None:
    before = pair.vllm_metrics()["vllm:prefix_cache_hits_total"]
    first = ask_gateway(client, "Which supplier has the longest lead time?")["kvasir"]
    assert first["prompt_tokens"] > 3 * CHUNK_TOKENS
    assert first["cache"]["cached_tokens"] == 0
    # The handbook is always there, so it is part of what every conversation begins with.
    assert 3 * CHUNK_TOKENS < first["cache"]["stable_prefix_tokens"] < first["prompt_tokens"]
    assert first["cache"]["ttft_seconds"] > 0
    assert first["verification"]["status"] == "refused"  # random weights write no SQL, and the check says so

    second = ask_gateway(client, "How many reviews have five stars?")["kvasir"]
    assert second["prompt_hash"] != first["prompt_hash"]
    reused = second["cache"]
    assert reused["engine_cached_tokens"] >= 2 * CHUNK_TOKENS
    hits = until_at_least(lambda: pair.vllm_metrics()["vllm:prefix_cache_hits_total"] - before, 2 * CHUNK_TOKENS)
    assert hits == reused["engine_cached_tokens"]
    assert reused["cached_tokens"] == reused["engine_cached_tokens"] + reused["lmcache_loaded_tokens"]


def test_a_later_turn_computes_its_own_tokens_alone_also_where_the_client_reflowed_an_answer(
    client: httpx.Client,
) -> None:
    messages = [{"role": "user", "content": "How many suppliers are there in Norway?"}]
    first = said(client, messages)
    # The model is random: of what it said the client keeps the words, and what it keeps is what it sends again.
    messages.append({"role": "assistant", "content": " ".join(first["choices"][0]["message"]["content"].split())})
    messages.append({"role": "user", "content": "And which of them sent reviews?"})
    second = said(client, messages)
    assert second["kvasir"]["session_id"] == first["kvasir"]["session_id"]
    whole_blocks = first["usage"]["prompt_tokens"] // BLOCK_TOKENS * BLOCK_TOKENS
    assert second["kvasir"]["cache"]["cached_tokens"] >= whole_blocks - BLOCK_TOKENS


def test_vllm_keeps_the_kv_of_what_it_wrote_for_the_turn_that_sends_it_back(pair: Any) -> None:
    """What `kvasir bench prefix` counts as "answers cached" (evals/bench/prefix/hit_rates.py)."""

    def completed(tokens: list[int], most: int) -> dict[str, Any]:
        body = {"model": pair.model_name, "prompt": tokens, "max_tokens": most, "temperature": 0, "ignore_eos": True}
        url = f"{pair.api_base}/completions"
        answer = httpx.post(url, json={**body, "return_token_ids": True}, timeout=120, trust_env=False)
        told: dict[str, Any] = answer.raise_for_status().json()
        return told

    prompt = random.choices(range(100, 500), k=BLOCK_TOKENS + 10)
    written = completed(prompt, BLOCK_TOKENS)["choices"][0]["token_ids"]
    assert len(written) == BLOCK_TOKENS
    later = completed([*prompt, *written, 7, 8, 9], 1)["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert later == 2 * BLOCK_TOKENS > len(prompt)


def said(client: httpx.Client, messages: list[dict[str, str]]) -> dict[str, Any]:
    response = client.post("/v1/chat/completions", json={"model": "shop", "messages": messages})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_a_stream_through_the_gateway_ends_with_the_engines_usage(client: httpx.Client) -> None:
    body = {
        "model": "shop",
        "messages": [{"role": "user", "content": "How many orders are there?"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    response = client.post("/v1/chat/completions", json=body)
    assert response.text.rstrip().endswith("data: [DONE]")
    assert '"completion_tokens": 8' in response.text
    last = json.loads(response.text.split("data: ")[-2])
    reused = last["kvasir"]["cache"]
    assert reused["cached_tokens"] >= 2 * CHUNK_TOKENS
    # Of a stream, vLLM tells the sum alone.
    assert (reused["engine_cached_tokens"], reused["lmcache_loaded_tokens"]) == (None, None)
    assert reused["ttft_seconds"] > 0


def test_an_answer_that_is_held_to_the_grammar_is_sql_over_the_tables_of_its_prompt(
    client: httpx.Client, shop_database: Path
) -> None:
    shown = {item.id: item for item in introspect(f"sqlite:///{shop_database}")}
    for _ in range(4):
        # No seed: with one, vLLM 0.32 on a CPU dies of "CPU Generator does not use offset".
        body = {"model": "sql", "messages": [{"role": "user", "content": "How many orders are there?"}]}
        response = client.post("/v1/chat/completions", json={**body, "max_tokens": 100, "temperature": 1.0})
        assert response.status_code == 200, response.text
        answer = response.json()
        grammar = grammar_of((shown[item["id"]] for item in answer["kvasir"]["items"] if item["id"] in shown), "sqlite")
        assert grammar is not None
        matcher = LLMatcher(LLTokenizer("byte"), grammar)
        choice = answer["choices"][0]
        text = list(choice["message"]["content"].encode())
        # A character that the limit cut in two comes as U+FFFD, and one that is not the grammar's is three bytes more.
        assert matcher.try_consume_tokens(text) >= len(text) - 3
        assert choice["finish_reason"] == "length" or matcher.is_accepting()


def test_vllm_ends_an_answer_where_its_grammar_ends(pair: Any) -> None:
    engine = connect(EngineConfig("main", f"hosted_vllm/{pair.model_name}", api_base=pair.api_base))
    sampling = Sampling(
        max_tokens=60, grammar='start: "SELECT " /count\\(\\*\\)|max\\(id\\)/ " FROM " /orders|products/'
    )
    answer = asyncio.run(engine.complete([{"role": "user", "content": "Hm?"}], sampling, cache_salt=None))
    assert re.fullmatch(r"SELECT (count\(\*\)|max\(id\)) FROM (orders|products)", answer.text)
    assert answer.finish_reason == "stop"
