"""Warming a commit: its prefixes get their KV before they are asked for."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.errors import ContextTooLong, EngineUnreachable
from gateway.core import Assistant, Core
from gateway.knowledge_prefix import STUB
from gateway.settings import AssistantSettings, EngineSettings, Settings
from gateway.testing import ScriptedCache, ScriptedEngine
from gateway.warming import Warmed, Warming
from kb.items import Item, Rule, Schema
from kb.knowledge_base import Changes

SUPPLIERS = "Which supplier has the longest lead time?"
REVIEWS = "How many reviews have five stars?"
ANSWER = "SELECT 1"
SECONDS = 300.0


@pytest.fixture
def cache() -> ScriptedCache:
    return ScriptedCache()


@pytest.fixture
def served(tmp_path: Path, cache: ScriptedCache, running: Any, serve: Callable[..., Any]) -> Iterator[Any]:
    """A gateway that does not warm by itself."""
    with running(cache.app) as url:
        engine = EngineSettings(
            model="hosted_vllm/scripted", api_base="http://127.0.0.1:1/v1", cache_url=url, warm_seconds=0
        )
        shop = AssistantSettings(kb="shop", engine="main")
        yield serve(Settings(home=tmp_path / "home", engines={"main": engine}, assistants={"shop": shop}))


def ask(served: Any, *questions: str) -> None:
    for question in questions:
        served.engine.enqueue(ANSWER)
        assert served.ask(question).status_code == 200


def commit(core: Core, *put: Item, branch: str = "main") -> str:
    return core.base("default", "shop").commit(Changes(put=put), author="test", message="Land", branch=branch).id


def head(core: Core) -> str:
    return core.base("default", "shop").resolve("main").id


def new_rule(text: str = "Lead times are in days.") -> Item:
    return Item("rule:days", "Days", Rule(text))


def shop_of(served: Any) -> Assistant:
    assistant: Assistant = served.core.assistant("default", "shop")
    return assistant


def stubs(engine: ScriptedEngine) -> list[str]:
    """The system messages that were warmed, in order."""
    return [call.messages[0]["content"] for call in engine.calls if call.messages[1]["content"] == STUB]


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_commit_that_changes_every_prompt_is_asked_for_once_each_the_last_first(
    served: Any, cache: ScriptedCache
) -> None:
    ask(served, SUPPLIERS, REVIEWS, SUPPLIERS)
    before, landed = head(served.core), commit(served.core, new_rule())
    served.engine.enqueue(ANSWER, ANSWER)
    warmed = Warming(served.core).warm(shop_of(served), landed, had={before}, seconds=SECONDS)
    assert (warmed.kept, warmed.computed, warmed.left_out) == (0, 2, 0)
    calls = served.engine.calls[3:]
    assert [(call.sampling.max_tokens, call.sampling.priority, call.cache_salt) for call in calls] == [
        (1, 1, "default")
    ] * 2
    # What is warmed is what the next prompts begin with.
    ask(served, SUPPLIERS, REVIEWS)
    assert [call.messages[0]["content"] for call in served.engine.calls[5:]] == stubs(served.engine)
    eventually(lambda: len(cache.of("notes")) == 3 + 2 + 2 and len(cache.of("promotions")) == 2)
    noted = cache.of("notes")
    assert [told.body["session"] for told in noted[3:5]] == [None, None]
    assert noted[3].body["commit"] == noted[5].body["commit"] != noted[0].body["commit"]
    tokens = noted[3].body["token_ids"]
    assert noted[3].body["knowledge_tokens"] == len(tokens)
    assert cache.of("promotions")[0].body == {"token_ids": tokens, "cache_salt": "default"}


def test_what_a_commit_leaves_as_it_was_is_noted_and_not_computed(served: Any, cache: ScriptedCache) -> None:
    ask(served, SUPPLIERS)
    before, landed = (
        head(served.core),
        commit(served.core, Item("schema:far_away", "Table far_away", Schema("far_away", ()))),
    )
    warmed = Warming(served.core).warm(shop_of(served), landed, had={before}, seconds=SECONDS)
    assert (warmed.kept, warmed.computed) == (1, 0)
    assert len(served.engine.calls) == 1
    eventually(lambda: len(cache.of("notes")) == 2)
    before, after = cache.of("notes")
    assert before.body["commit"] != after.body["commit"]
    assert (
        after.body["token_ids"][: before.body["knowledge_tokens"]]
        == (before.body["token_ids"][: before.body["knowledge_tokens"]])
    )


def test_what_came_back_by_a_revert_is_computed_again(served: Any) -> None:
    ask(served, SUPPLIERS)
    first = head(served.core)
    commit(served.core, new_rule())
    ask(served, SUPPLIERS)
    before, base = head(served.core), served.core.base("default", "shop")
    back = base.revert(before, author="test").id
    served.engine.enqueue(ANSWER)
    warmed = Warming(served.core).warm(shop_of(served), back, had={before}, seconds=SECONDS)
    assert (warmed.kept, warmed.computed) == (0, 1)
    assert stubs(served.engine) == [served.engine.calls[0].messages[0]["content"]]
    assert first not in (before, back)


def test_a_prefix_that_is_too_long_is_left_out_alone(served: Any) -> None:
    ask(served, SUPPLIERS, REVIEWS)
    before, landed = head(served.core), commit(served.core, new_rule())
    served.engine.enqueue(ContextTooLong("main", 400, "too long"), ANSWER)
    warmed = Warming(served.core).warm(shop_of(served), landed, had={before}, seconds=SECONDS)
    assert (warmed.computed, warmed.left_out) == (1, 1)


def test_later_turns_are_not_warmed(served: Any) -> None:
    ask(served, SUPPLIERS)
    again = [
        {"role": "user", "content": SUPPLIERS},
        {"role": "assistant", "content": ANSWER},
        {"role": "user", "content": "And its reviews?"},
    ]
    served.engine.enqueue(ANSWER, ANSWER)
    assert served.ask(again).status_code == 200
    before, landed = head(served.core), commit(served.core, new_rule())
    assert Warming(served.core).warm(shop_of(served), landed, had={before}, seconds=SECONDS).computed == 1


def test_without_time_nothing_is_asked(served: Any) -> None:
    ask(served, SUPPLIERS, REVIEWS)
    before, landed = head(served.core), commit(served.core, new_rule())
    assert Warming(served.core).warm(shop_of(served), landed, had={before}, seconds=0) == Warmed()
    stopped = threading.Event()
    stopped.set()
    assert Warming(served.core).warm(shop_of(served), landed, had={before}, seconds=SECONDS, stop=stopped).left_out == 2
    assert stubs(served.engine) == []


def test_an_engine_that_fails_ends_the_warming_and_nothing_else(served: Any) -> None:
    ask(served, SUPPLIERS, REVIEWS)
    before, landed = head(served.core), commit(served.core, new_rule())
    served.engine.enqueue(EngineUnreachable("main", "http://127.0.0.1:1/v1"))
    warmed = Warming(served.core).warm(shop_of(served), landed, had={before}, seconds=SECONDS)
    assert (warmed.computed, warmed.left_out) == (0, 2)
    assert len(stubs(served.engine)) == 1


def test_an_answer_that_takes_longer_than_the_budget_is_given_up(served: Any) -> None:
    ask(served, SUPPLIERS)
    before, landed = head(served.core), commit(served.core, new_rule())

    async def slow(*_: Any, **__: Any) -> None:
        await asyncio.sleep(SECONDS)

    served.engine.complete = slow
    warmed = Warming(served.core).warm(shop_of(served), landed, had={before}, seconds=1.0)
    assert (warmed.computed, warmed.left_out) == (0, 1)


def test_a_gateway_that_serves_warms_what_lands_and_says_so_in_its_metrics(
    tmp_path: Path, cache: ScriptedCache, running: Any, serve: Callable[..., Any]
) -> None:
    with running(cache.app) as url:
        engine = EngineSettings(model="hosted_vllm/scripted", api_base="http://127.0.0.1:1/v1", cache_url=url)
        shop = AssistantSettings(kb="shop", engine="main")
        served = serve(Settings(home=tmp_path / "home", engines={"main": engine}, assistants={"shop": shop}))
        ask(served, SUPPLIERS)
        served.engine.enqueue(ANSWER)
        items = [{"id": "rule:days", "kind": "rule", "title": "Days", "body": {"text": "Lead times are in days."}}]
        landed = served.client.post("/v1/kb/shop/commits", json={"message": "Land", "put": items})
        assert landed.status_code == 201, landed.text
        counted = 'kvasir_warmed_prefixes_total{assistant="shop",outcome="computed",tenant="default"} 1.0'
        eventually(lambda: counted in served.client.get("/metrics").text)
        assert 'kvasir_cache_messages_total{engine="main",kind="promotion",outcome="sent"} 1.0' in (
            served.client.get("/metrics").text
        )
