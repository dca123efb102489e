"""vLLM is stopped and started again while LMCache lives: whoever asks meanwhile is told, and the KV comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from backend.client import Completion, Engine

from .asking import CHUNK_TOKENS, ask, ask_gateway
from .waiting import until_at_least

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

# What LMCache gave: as vLLM counts it, and as LMCache does.
LOADED = "vllm:external_prefix_cache_hits_total"
LOOKED_UP = "lmcache_mp_lookup_hit_tokens_total"


@dataclass(frozen=True)
class Restart:
    """What was answered before it, while vLLM was away, and first thing after it. The counts are of that first.
    `met_by` is how many files vLLM's processes find each other by lay there before it, and meanwhile. `released` is
    what LMCache said to the end of a commit of two chunks, meanwhile and after it.
    """

    before: Completion
    stored_tokens: float
    met_by: tuple[int, int]
    while_away: httpx.Response
    released: tuple[httpx.Response, httpx.Response]
    loaded_at_start: float
    after: dict[str, Any]
    loaded_tokens: float
    looked_up_tokens: float


@pytest.fixture(scope="module")
def restart(client: httpx.Client, engine: Engine, pair: Any) -> Restart:
    """One for all of the file, since a start takes most of a minute."""
    before = ask(engine, "castles", "Who lives there?")
    stored = until_at_least(lambda: ask(engine, "castles", "Who lives there?").usage.lmcache_cached_tokens, 512)
    in_lmcache = until_at_least(
        lambda: ask_gateway(client, "How many reviews have five stars?")["kvasir"]["cache"]["lmcache_cached_tokens"],
        2 * CHUNK_TOKENS,
    )
    assert in_lmcache >= 2 * CHUNK_TOKENS

    met_by = _met_by(pair)
    note = {"token_ids": [7] * (2 * CHUNK_TOKENS), "commit": "retired", "knowledge_tokens": 2 * CHUNK_TOKENS}
    httpx.post(f"{pair.cache_url}/kvasir/notes", json=note).raise_for_status()
    pair.stop_engine()
    met_by = (met_by, _met_by(pair))
    body = {"model": "shop", "messages": [{"role": "user", "content": "How many products are there?"}]}
    while_away = client.post("/v1/chat/completions", json=body)
    commit = f"{pair.cache_url}/kvasir/commits/retired"
    released_away = httpx.delete(commit)
    pair.start_engine()
    released = (released_away, httpx.delete(commit))

    at_start = pair.vllm_metrics()[LOADED]
    lookups = pair.lmcache_metrics()[LOOKED_UP]
    after = ask_gateway(client, "Which carrier brought most shipments?")
    cached = after["kvasir"]["cache"]["lmcache_cached_tokens"]
    loaded = until_at_least(lambda: pair.vllm_metrics()[LOADED], cached)
    looked_up = until_at_least(lambda: pair.lmcache_metrics()[LOOKED_UP] - lookups, cached)
    return Restart(before, stored, met_by, while_away, released, at_start, after, loaded, looked_up)


def test_an_engine_that_died_is_a_503_until_it_is_back(restart: Restart) -> None:
    response = restart.while_away
    assert response.status_code == 503
    assert "kvasir backend" in response.json()["error"]["message"]
    assert response.headers["retry-after"]
    assert restart.after["choices"]


def test_a_commit_that_is_retired_while_the_engine_is_away_is_released_once(restart: Restart) -> None:
    # LMCache may still know the engine that has just ended; then it is done at once, else not at all, and later.
    meanwhile, after = restart.released
    assert meanwhile.status_code in (200, 503)
    assert meanwhile.json().get("chunks", 0) + after.json()["chunks"] == 2


def test_lmcache_gives_back_what_questions_through_the_gateway_have_in_common(restart: Restart) -> None:
    third = restart.after["kvasir"]["cache"]
    assert third["engine_cached_tokens"] == 0
    assert third["lmcache_cached_tokens"] >= 2 * CHUNK_TOKENS
    assert restart.loaded_at_start == 0
    assert restart.loaded_tokens == third["lmcache_loaded_tokens"] == third["cached_tokens"]
    assert restart.looked_up_tokens >= 2 * CHUNK_TOKENS


def test_a_prefix_comes_back_from_lmcache_with_the_same_answer(restart: Restart, engine: Engine, pair: Any) -> None:
    stored = restart.stored_tokens
    assert stored == restart.before.usage.prompt_tokens // CHUNK_TOKENS * CHUNK_TOKENS
    loaded, lookups = pair.vllm_metrics()[LOADED], pair.lmcache_metrics()[LOOKED_UP]
    back = ask(engine, "castles", "Who lives there?")
    assert back.text == restart.before.text
    assert back.usage.engine_cached_tokens == 0
    assert back.usage.cached_tokens == back.usage.lmcache_cached_tokens == stored
    assert until_at_least(lambda: pair.vllm_metrics()[LOADED] - loaded, stored) == stored
    assert until_at_least(lambda: pair.lmcache_metrics()[LOOKED_UP] - lookups, stored) == stored


def test_a_stopped_engine_leaves_no_temporary_files(restart):
    before, meanwhile = restart.met_by
    assert before > 0 == meanwhile


def _met_by(pair: Any) -> int:
    return len(list((pair.state_dir / "tmp").glob("vllm_dist_*")))
