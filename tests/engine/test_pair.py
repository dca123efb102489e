"""LiteLLM's client against the real vLLM with LMCache: what is reused, and what is kept apart."""

from __future__ import annotations

import asyncio

import pytest

from backend.client import Sampling
from backend.errors import ContextTooLong, EngineRefused

from .asking import CHUNK_TOKENS, SHORT, ask, conversation
from .waiting import until_at_least

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]


def test_a_streamed_answer_is_the_whole_answer_in_pieces(engine):
    messages = conversation("rivers", "How many?")

    async def stream():
        return [chunk async for chunk in engine.stream(messages, SHORT, cache_salt=None)]

    whole = asyncio.run(engine.complete(messages, SHORT, cache_salt=None))
    chunks = asyncio.run(stream())
    assert "".join(chunk.text for chunk in chunks) == whole.text
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == [whole.finish_reason] == ["length"]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens == 8
    assert chunks[-1].usage.prompt_tokens == whole.usage.prompt_tokens


def test_the_token_count_is_the_one_that_the_engine_bills(engine):
    messages = conversation("mountains", "Which is the highest?")
    counted = asyncio.run(engine.count_tokens(messages))
    assert counted == ask(engine, "mountains", "Which is the highest?").usage.prompt_tokens
    assert asyncio.run(engine.window_tokens()) == 4096


def test_a_block_is_counted_at_what_it_adds_to_the_prompt(engine):
    block = '\n\n<schema id="schema:orders">\nTable orders\n- state TEXT (values: paid, open)\n</schema>'
    without, within = conversation("lakes", "How deep?"), conversation("lakes", "How deep?")
    within[0]["content"] += block
    added = asyncio.run(engine.count_tokens(within)) - asyncio.run(engine.count_tokens(without))
    assert asyncio.run(engine.text_tokens(block)) == added > 20


def test_the_second_question_reuses_the_first_ones_prefix(engine, pair):
    before = pair.vllm_metrics()["vllm:prefix_cache_hits_total"]
    first = ask(engine, "harbours", "Where do ships land?")
    assert first.usage.prompt_tokens > 600
    assert first.usage.cached_tokens == 0
    assert pair.vllm_metrics()["vllm:prefix_cache_hits_total"] == before
    second = ask(engine, "harbours", "Who pays?")
    assert second.usage.engine_cached_tokens > 512
    hits = until_at_least(lambda: pair.vllm_metrics()["vllm:prefix_cache_hits_total"] - before, 512)
    assert hits == second.usage.engine_cached_tokens == second.usage.cached_tokens


def test_a_cache_salt_keeps_one_tenant_out_of_anothers_cache(engine, pair):
    ask(engine, "bridges", "Which is the longest?", salt="acme")
    before, external_before = pair.vllm_metrics(), pair.lmcache_metrics()
    other = ask(engine, "bridges", "Which is the longest?", salt="globex")
    assert other.usage.cached_tokens == 0
    after = pair.vllm_metrics()
    for name in ("vllm:prefix_cache_hits_total", "vllm:external_prefix_cache_hits_total"):
        assert after[name] == before[name]
    name = "lmcache_mp_lookup_requested_tokens_total"
    assert until_at_least(lambda: pair.lmcache_metrics()[name] - external_before[name], 1) >= CHUNK_TOKENS
    hit = "lmcache_mp_lookup_hit_tokens_total"
    assert pair.lmcache_metrics()[hit] == external_before[hit]
    again = ask(engine, "bridges", "Which is the longest?", salt="acme")
    assert again.usage.cached_tokens > 512


def test_a_reader_who_leaves_stops_the_engine(engine, pair):
    before = pair.vllm_metrics()["vllm:generation_tokens_total"]

    async def leave_early():
        chunks = engine.stream(conversation("forests", "Count on."), Sampling(max_tokens=1500), cache_salt=None)
        async for chunk in chunks:
            assert chunk.text
            break
        await chunks.aclose()

    asyncio.run(leave_early())
    idle = until_at_least(lambda: -pair.vllm_metrics()["vllm:num_requests_running"], 0)
    assert idle == 0
    assert 0 < pair.vllm_metrics()["vllm:generation_tokens_total"] - before < 1500


def test_a_prompt_over_the_window_is_refused_as_such(engine):
    with pytest.raises(ContextTooLong):
        asyncio.run(engine.complete(conversation("words " * 300, "?"), SHORT, cache_salt=None))


def test_a_salt_that_vllm_does_not_take_is_an_error_of_the_request(engine):
    with pytest.raises(EngineRefused) as refused:
        ask(engine, "towns", "?", salt="a/b")
    assert refused.value.status == 400
