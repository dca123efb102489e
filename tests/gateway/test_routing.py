"""A gateway in front of two servers of one model, over real HTTP; each has a prefix cache and an LMCache of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.knowledge_prefix import STUB
from gateway.scripted_server import ScriptedServer
from gateway.settings import AssistantSettings, EngineSettings, ReplicaSettings, Settings
from gateway.testing import ScriptedCache
from gateway.warming import Warming

QUESTION = "Which supplier has the longest lead time?"


@dataclass
class Side:
    """A replica and what is beside it."""

    name: str
    server: ScriptedServer
    cache: ScriptedCache

    @property
    def questions(self) -> list[str]:
        return [body["messages"][-1]["content"] for body in self.server.asked]


@dataclass
class Routed:
    served: Any
    sides: dict[str, Side]

    def ask(self, *questions: str, **fields: Any) -> dict[str, Any]:
        """The questions as the turns of one conversation; the answer to the last one."""
        messages: list[dict[str, str]] = []
        for question in questions[:-1]:
            messages += [{"role": "user", "content": question}, {"role": "assistant", "content": "SELECT 1"}]
        response = self.served.ask([*messages, {"role": "user", "content": questions[-1]}], **fields)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def metric(self, name: str) -> dict[str, float]:
        """By replica."""
        families = text_string_to_metric_families(self.served.client.get("/metrics").text)
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return {sample.labels["replica"]: sample.value for sample in samples}


@pytest.fixture
def routed(tmp_path: Path, running: Any, serve: Callable[..., Any]) -> Iterator[Routed]:
    with ExitStack() as stack:
        sides, replicas = {}, []
        for _ in range(2):
            server, cache = ScriptedServer(), ScriptedCache()
            url, cache_url = (stack.enter_context(running(app)) for app in (server.app, cache.app))
            name = url.removeprefix("http://")
            sides[name] = Side(name, server, cache)
            replicas.append(ReplicaSettings(api_base=f"{url}/v1", cache_url=cache_url))
        engine = EngineSettings(
            model="hosted_vllm/scripted", replicas=tuple(replicas), warm_seconds=0, pass_through=("default",)
        )
        settings = Settings(
            home=tmp_path / "home",
            engines={"main": engine},
            assistants={"shop": AssistantSettings(kb="shop", engine="main")},
        )
        yield Routed(serve(settings, real=True), sides)


def eventually(true: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_turns_of_a_conversation_go_to_one_replica_and_the_answer_says_which(routed: Routed) -> None:
    questions = [QUESTION, f"And {'really, ' * 20} the shortest?", f"And {'really, ' * 20} how many are there?"]
    answers = [routed.ask(*questions[: count + 1])["kvasir"] for count in range(3)]
    (name,) = {answer["replica"] for answer in answers}
    assert len(routed.sides[name].questions) == 3
    assert answers[2]["cache"]["cached_tokens"] > answers[1]["cache"]["cached_tokens"] > 0
    stored = routed.served.client.get(f"/v1/requests/{answers[0]['request_id']}").json()
    assert stored["replica"] == name
    (other,) = set(routed.sides) - {name}
    assert routed.metric("kvasir_replica_requests_total") == {name: 3, other: 0}
    cached = sum(answer["cache"]["cached_tokens"] for answer in answers)
    assert routed.metric("kvasir_replica_cached_prompt_tokens_total") == {name: cached, other: 0}


def test_a_prompt_is_noted_at_the_cache_of_who_answers_and_a_session_ends_everywhere(routed: Routed) -> None:
    first = routed.ask(QUESTION)["kvasir"]
    side = routed.sides[first["replica"]]
    (other,) = (each for each in routed.sides.values() if each is not side)
    eventually(lambda: side.cache.of("notes"))
    assert len(side.cache.of("notes")[0].body["token_ids"]) == first["prompt_tokens"]
    routed.served.client.delete(f"/v1/sessions/{first['session_id']}")
    for each in (side, other):
        eventually(lambda each=each: each.cache.of("sessions/"))
    assert other.cache.of("notes") == []


def test_a_commit_is_warmed_on_every_replica_and_noted_at_every_cache(routed: Routed) -> None:
    routed.ask(QUESTION)
    core = routed.served.core
    head = core.base("default", "shop").resolve("main").id
    warmed = Warming(core).warm(core.assistant("default", "shop"), head, had=(), seconds=60, stop=threading.Event())
    assert warmed.computed == 1
    assert [side.questions.count(STUB) for side in routed.sides.values()] == [1, 1]
    for side in routed.sides.values():
        eventually(lambda side=side: side.cache.of("promotions"))
        assert side.cache.of("notes")


def test_a_replica_that_fails_is_told_and_the_gateway_stays_ready(routed: Routed) -> None:
    name = routed.ask(QUESTION)["kvasir"]["replica"]
    (other,) = set(routed.sides) - {name}
    assert ready(routed) == {name: "asked", other: "asked"}
    routed.sides[name].server.status = 503
    assert routed.ask(QUESTION, "And the shortest?")["kvasir"]["replica"] == other
    assert ready(routed) == {name: "away", other: "asked"}
    assert routed.metric("kvasir_replica_failures_total") == {name: 1, other: 0}
    assert routed.metric("kvasir_replica_away") == {name: 1, other: 0}


def ready(routed: Routed) -> dict[str, str]:
    response = routed.served.client.get("/readyz")
    assert response.status_code == 200
    replicas: dict[str, str] = response.json()["replicas"]["main"]
    return replicas


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_names_the_engine_is_routed_like_any_other(routed: Routed, stream: bool) -> None:
    messages: list[dict[str, str]] = [{"role": "user", "content": "long question " * 100}]
    fields = {"model": "engine:main", "stream": stream, "stream_options": {"include_usage": True} if stream else None}
    assert routed.served.ask(messages, **fields).status_code == 200
    ((name, _),) = [one for one in routed.metric("kvasir_replica_requests_total").items() if one[1]]
    messages += [{"role": "assistant", "content": "SELECT 1"}, {"role": "user", "content": "again " * 100}]
    assert "scripted" in routed.served.ask(messages, **fields).text
    assert routed.metric("kvasir_replica_requests_total")[name] == 2
    assert routed.metric("kvasir_replica_cached_prompt_tokens_total")[name] == 192

    routed.sides[name].server.status = 500
    assert routed.served.ask(messages, **fields).status_code == 200
    assert routed.metric("kvasir_replica_failures_total")[name] == 1
