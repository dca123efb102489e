"""What the KV cache did for a request: told in its answer, in the metrics and in its trace."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from backend.client import Usage
from evals.replay import SuiteReplay
from gateway.app import create_app
from gateway.cache_report.report import cache_report
from gateway.cache_use import CacheUse
from gateway.core import Core
from gateway.prompt import Part
from gateway.settings import EngineSettings, Settings
from kb.items import Gotcha, Item
from kb.knowledge_base import Changes, KnowledgeBase

COVERED = "How many customers do we have in Germany?"
UNCOVERED = "Which supplier has the longest lead time?"
QUERY = "SELECT name FROM suppliers ORDER BY lead_time_days DESC LIMIT 1"


def use(cached: int | None, loaded: int | None = None, own: int | None = None) -> CacheUse:
    return CacheUse(1000, 300, cached, own, None, loaded, None)


@pytest.mark.parametrize(
    ("told", "sources"),
    [
        (use(None), {"untold": 1000}),
        (use(600), {"computed": 400, "cached": 600}),
        (use(600, own=600), {"computed": 400, "engine": 600}),
        (use(600, 0), {"computed": 400, "engine": 600, "lmcache": 0}),
        (use(600, 256), {"computed": 400, "engine": 344, "lmcache": 256}),
        (use(600, 700), {"computed": 400, "engine": 0, "lmcache": 600}),
    ],
)
def test_every_token_of_a_prompt_has_one_source(told: CacheUse, sources: dict[str, int]) -> None:
    assert told.by_source() == sources
    assert sum(sources.values()) == 1000


def samples(text: str) -> dict[tuple[str, ...], float]:
    """By name and the values of the labels but tenant and assistant."""
    return {
        (
            sample.name,
            *(value for key, value in sample.labels.items() if key not in ("tenant", "assistant")),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_answer_trace_and_metrics_tell_the_same(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def told(*_: object) -> Usage:
        return Usage(1000, 5, 600, engine_cached_tokens=344, lmcache_cached_tokens=512, lmcache_loaded_tokens=256)

    monkeypatch.setattr(served.engine, "_usage", told)
    served.engine.enqueue(QUERY)
    kvasir = served.ask(UNCOVERED).json()["kvasir"]
    cache = kvasir["cache"]
    trace = served.client.get(f"/v1/requests/{kvasir['request_id']}").json()
    assert trace["cache"] == cache
    system = trace["prompt"][0]["content"]
    stable = system[: system.index("\n\n<schema")]
    assert "<rule" in stable
    # A word is a token of the scripted engine, and the question that it is counted with is one, too.
    assert cache == {
        "prompt_tokens": 1000,
        "stable_prefix_tokens": len(stable.split()),
        "cached_tokens": 600,
        "engine_cached_tokens": 344,
        "lmcache_cached_tokens": 512,
        "lmcache_loaded_tokens": 256,
        "ttft_seconds": None,
    }
    counted = samples(served.client.get("/metrics").text)
    by_source = {name[1]: value for name, value in counted.items() if name[0] == "kvasir_prompt_tokens_by_source_total"}
    assert by_source == {"computed": 400, "engine": 344, "lmcache": 256}
    assert counted["kvasir_stable_prefix_tokens_total",] == len(stable.split())
    assert counted["kvasir_request_tokens_sum", "lmcache_loaded"] == 256
    assert counted["kvasir_request_tokens_count", "prompt"] == 1


def test_an_engine_that_does_not_tell_is_not_counted_as_reusing_nothing(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def told(*_: object) -> Usage:
        return Usage(1000, 5)

    monkeypatch.setattr(served.engine, "_usage", told)
    served.engine.enqueue(QUERY)
    assert served.ask(UNCOVERED).json()["kvasir"]["cache"]["cached_tokens"] is None
    counted = samples(served.client.get("/metrics").text)
    assert counted["kvasir_prompt_tokens_by_source_total", "untold"] == 1000
    assert ("kvasir_request_tokens_count", "cached") not in counted


def test_a_confirmed_answer_used_no_cache(served: Any) -> None:
    assert served.ask(COVERED).json()["kvasir"]["cache"] is None
    assert not [name for name in samples(served.client.get("/metrics").text) if "by_source_total" in name[0]]


def test_a_trace_keeps_which_text_of_its_prompt_is_whose(served: Any) -> None:
    served.engine.enqueue(QUERY, QUERY)
    first = served.ask(UNCOVERED).json()["kvasir"]
    said = [(UNCOVERED, "user"), (QUERY, "assistant"), ("And of all orders, how many were cancelled?", "user")]
    second = served.ask([{"role": role, "content": text} for text, role in said]).json()["kvasir"]
    for request in (first, second):
        trace = served.core.traces.get("default", request["request_id"])
        texts: list[tuple[Part, str]] = []
        for index, message in enumerate(trace.prompt):
            rest = message["content"]
            for part in (part for part in trace.parts if part.message == index):
                texts.append((part, rest[: part.characters]))
                rest = rest[part.characters :]
            assert rest == ""
        for part, text in texts:
            assert (part.item is not None) == (f'id="{part.item}">' in text)
        assert next(text for part, text in texts if part.layer == "question").strip() == trace.question
    assert {part.layer for part, _ in texts} >= {
        "instructions",
        "always",
        "schemas",
        "conversation",
        "added",
        "question",
    }


@pytest.fixture
def embedded(
    make_settings: Callable[..., Settings], shop_items: Changes, embedder: Any, fill: Any, running: Any
) -> Iterator[tuple[httpx.Client, Core]]:
    """The gateway over the shop with the model that ships, whose KV is kept in this process."""
    engine = EngineSettings(model="embedded/kvasir-mini", max_output_tokens=8)
    settings = make_settings(verified_answers=False).model_copy(update={"engines": {"main": engine}})
    fill(settings, shop_items)
    app = create_app(settings, replay=SuiteReplay(), embedder=embedder)
    with running(app) as url, httpx.Client(base_url=url, timeout=120) as client:
        yield client, app.state.gateway.core


def ask(client: httpx.Client, *said: str, **fields: Any) -> dict[str, Any]:
    messages = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(said)]
    response = client.post("/v1/chat/completions", json={"model": "shop", "messages": messages, **fields})
    assert response.status_code == 200, response.text
    if not fields.get("stream"):
        answer: dict[str, Any] = response.json()
        return answer
    events = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: {")]
    last: dict[str, Any] = json.loads(events[-1])
    return last


def test_the_shipped_model_reuses_the_stable_prefix_and_the_report_says_what_broke_the_rest(
    embedded: tuple[httpx.Client, Core],
) -> None:
    client, core = embedded
    first = ask(client, UNCOVERED)
    second = ask(client, "How many reviews give five stars?")["kvasir"]["cache"]
    streamed = ask(client, "How many reviews give four stars?", stream=True)["kvasir"]["cache"]
    answered = first["choices"][0]["message"]["content"]
    follow_up = ask(client, UNCOVERED, answered, "And the shortest?")["kvasir"]["cache"]

    stable = second["stable_prefix_tokens"]
    assert 0 < stable <= second["cached_tokens"] < second["prompt_tokens"]
    # All of it came from its own cache; there is no LMCache, and none is claimed.
    assert (second["engine_cached_tokens"], second["lmcache_loaded_tokens"]) == (second["cached_tokens"], None)
    assert streamed["cached_tokens"] > second["cached_tokens"]
    assert streamed["ttft_seconds"] > 0
    assert second["ttft_seconds"] > 0
    assert follow_up["cached_tokens"] >= first["kvasir"]["cache"]["prompt_tokens"] - 1

    base = KnowledgeBase(core.store, "default", "shop")
    rule = Item("gotcha:stars", "Stars", Gotcha("Stars are reviews.rating."), usage="always")
    base.commit(Changes(put=(rule,)), author="ann", message="A gotcha that always applies")
    broken = ask(client, "How many reviews give four stars?")["kvasir"]["cache"]
    # It stands among what is always there, in front of the tables, whose KV is of no use any more.
    assert broken["cached_tokens"] < streamed["cached_tokens"]

    report = cache_report(core.traces.in_order("default"))
    assert (report.ends["first"].requests, report.ends["continued"].requests) == (1, 1)
    inserted = next(one for one in report.most_broken() if one.item == "gotcha:stars")
    assert (inserted.cause, inserted.layer, inserted.requests, inserted.other_commit) == ("inserted", "always", 1, 1)
    assert inserted.lost_tokens > 0
    told = sum(use["cached_tokens"] for use in (second, streamed, follow_up, broken))
    # The model of a process is one, and other tests may have asked it for these instructions before.
    of_others = first["kvasir"]["cache"]["cached_tokens"]
    assert report.total.cached_tokens == pytest.approx(told + of_others)
    assert report.layers["instructions"].hit_rate > report.layers["question"].hit_rate  # type: ignore[operator]
    # This engine keeps all that it computed, and so reaches what an unlimited cache could.
    assert told == pytest.approx(report.total.shared_tokens, rel=0.1)
