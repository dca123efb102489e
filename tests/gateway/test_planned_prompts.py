"""The planner in the gateway: what people ask is planned, conversations keep their order, replays know of none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.answering import Ask, Prepared, prepare
from gateway.conversation import Conversation, ask
from gateway.placements import Placements
from gateway.planner import PLANNED, blocks_of
from gateway.prompt import Prompt, assemble, layer_of
from gateway.sessions import Session
from gateway.settings import AssistantSettings, EngineSettings, Settings
from gateway.testing import ScriptedCache
from gateway.warming import Warming
from kb.items import Schema
from kb.knowledge_base import Changes

QUESTION = "How many orders placed in 2025 were cancelled, by the customer's country?"
FOLLOW_UP = "Which supplier has the longest lead time?"


@pytest.fixture
def start(make_settings: Callable[..., Settings], serve: Callable[..., Any]) -> Callable[[int], Any]:
    """Start a gateway on the same state, whose planner remembers so many blocks."""

    def start_one(blocks: int) -> Any:
        engine = EngineSettings(model="scripted/engine", planner_blocks=blocks)
        settings = make_settings(verified_answers=False).model_copy(update={"engines": {"main": engine}})
        return serve(settings, filled=not settings.home.exists())

    return start_one


def told(served: Any, *said: str) -> dict[str, Any]:
    """The stored request of a conversation whose last words are a question."""
    served.engine.enqueue("SELECT 1")
    roles = ("user", "assistant")
    answer = served.ask([{"role": roles[turn % 2], "content": text} for turn, text in enumerate(said)])
    assert answer.status_code == 200, answer.text
    stored: dict[str, Any] = served.client.get(f"/v1/requests/{answer.json()['id']}").json()
    return stored


def compared(served: Any) -> Prepared:
    """As a replay prepares the question at the head."""
    commit = served.core.base("default", "shop").head().id
    return prepare(served.core, Ask("default", "shop", ask(QUESTION)), revision=commit, session=Session("eval"))


def turned_round(prepared: Prepared, conversation: Conversation) -> Prompt:
    """The same prompt with each layer that may be planned the other way round."""
    items = prepared.placements.system
    places = (
        replace(one, place=len(items) - number) if layer_of(one.item) in PLANNED else one
        for number, one in enumerate(items)
    )
    return assemble(prepared.assistant.settings.instructions, conversation, Placements(tuple(places)))


def remember(served: Any, prompt: Prompt) -> None:
    planner = served.core.planners.of("main", "default")
    planner.served(blocks_of(prompt.messages, prompt.parts))


def test_what_is_asked_stands_as_it_was_served_and_a_replay_of_it_does_not(start: Callable[[int], Any]) -> None:
    served = start(1000)
    before = compared(served)
    other = turned_round(before, ask(QUESTION))
    assert other.hash != before.prompt.hash
    assert told(served, FOLLOW_UP)["prompt_order"] == "canonical"
    remember(served, other)

    stored = told(served, QUESTION)
    assert (stored["prompt_hash"], stored["prompt_order"]) == (other.hash, "planned")
    assert compared(served).prompt == before.prompt
    assert before.prompt.order == "canonical"
    trace = served.core.traces.get("default", stored["id"])
    assert [part.item for part in trace.parts] == [part.item for part in other.parts]


def test_a_later_turn_keeps_the_order_whatever_was_served_since_and_without_a_planner(
    start: Callable[[int], Any],
) -> None:
    served = start(1000)
    canonical = compared(served).prompt
    remember(served, turned_round(compared(served), ask(QUESTION)))
    first = told(served, QUESTION)
    for _ in range(3):
        remember(served, canonical)
    second = told(served, QUESTION, "SELECT 1", FOLLOW_UP)
    assert second["prompt"][:2] == first["prompt"]
    assert second["prompt_order"] == "planned"

    without = start(0)
    third = told(without, QUESTION, "SELECT 1", FOLLOW_UP, "SELECT 1", "And the shortest?")
    assert third["prompt"][:4] == second["prompt"]
    assert told(without, QUESTION)["prompt_hash"] == canonical.hash


def test_a_gateway_that_is_started_again_plans_as_before(start: Callable[[int], Any]) -> None:
    served = start(1000)
    remember(served, turned_round(compared(served), ask(QUESTION)))
    first = told(served, QUESTION)
    again = start(1000)
    assert len(again.core.planners.of("main", "default")) > 0
    assert told(again, QUESTION)["prompt_hash"] == first["prompt_hash"]


def test_without_blocks_nothing_is_planned_or_remembered(start: Callable[[int], Any]) -> None:
    served = start(0)
    assert told(served, QUESTION)["prompt_hash"] == compared(served).prompt.hash
    assert served.core.planners.of("main", "default") is None


def test_what_is_warmed_is_what_the_planner_will_have_asked(
    tmp_path: Path, running: Any, serve: Callable[..., Any]
) -> None:
    with running(ScriptedCache().app) as url:
        engine = EngineSettings(
            model="hosted_vllm/scripted",
            api_base="http://127.0.0.1:1/v1",
            cache_url=url,
            warm_seconds=0,
            planner_blocks=1000,
        )
        shop = AssistantSettings(kb="shop", engine="main")
        served = serve(Settings(home=tmp_path / "home", engines={"main": engine}, assistants={"shop": shop}))
        before, base = compared(served), served.core.base("default", "shop")
        remember(served, turned_round(before, ask(QUESTION)))
        told(served, QUESTION)
        table = next(one.item for one in before.placements.system if isinstance(one.item.body, Schema))
        changed = replace(table, body=replace(table.body, comment="As of now"))
        landed = base.commit(Changes(put=(changed,)), author="test", message="Land").id
        served.engine.enqueue("SELECT 1")
        warmed = Warming(served.core).warm(
            served.core.assistant("default", "shop"), landed, had={before.commit}, seconds=300
        )
        assert warmed.computed == 1
        asked_next = told(served, QUESTION)
        assert asked_next["prompt"][0] == served.engine.calls[1].messages[0]
        assert asked_next["prompt"][0] != compared(served).prompt.messages[0]
