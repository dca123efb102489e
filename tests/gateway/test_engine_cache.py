"""What the gateway tells the cache of its engine, over HTTP: notes, hints, ends, each in its tenant's name."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.knowledge_prefix import STUB
from gateway.settings import AssistantSettings, EngineSettings, Settings
from gateway.testing import ScriptedCache, ScriptedEngine, Told
from kb.knowledge_base import Changes, KnowledgeBase

QUESTION = "Which supplier has the longest lead time?"
ANSWER = "SELECT name FROM suppliers ORDER BY lead_time_days DESC LIMIT 1"


@pytest.fixture
def cache() -> ScriptedCache:
    return ScriptedCache()


@pytest.fixture
def cache_url(cache: ScriptedCache, running: Any) -> Iterator[str]:
    with running(cache.app) as url:
        yield url


def settings_of(home: Path, cache_url: str, **tenants: str) -> Settings:
    """An assistant for each tenant, by name."""
    engine = EngineSettings(
        model="hosted_vllm/scripted", api_base="http://127.0.0.1:1/v1", cache_url=cache_url, warm_seconds=0
    )
    assistants = {
        name: AssistantSettings(tenant=tenant, kb="shop", engine="main", use_case="document")
        for name, tenant in tenants.items()
    }
    return Settings(home=home, engines={"main": engine}, assistants=assistants)


@pytest.fixture
def served(tmp_path: Path, cache_url: str, serve: Callable[..., Any]) -> Any:
    return serve(settings_of(tmp_path / "home", cache_url, shop="default"))


def eventually(cache: ScriptedCache, path: str, count: int = 1) -> list[Told]:
    deadline = time.monotonic() + 30
    while len(cache.of(path)) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(cache.of(path)) == count, cache.told
    return cache.of(path)


def metrics(served: Any) -> dict[tuple[str, ...], float]:
    """(kind, outcome) → count."""
    text = served.client.get("/metrics").text
    return {
        (sample.labels["kind"], sample.labels["outcome"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "kvasir_cache_messages_total"
    }


@pytest.mark.parametrize("stream", [False, True])
def test_a_note_says_whose_prompt_it_is_and_how_much_of_it_is_knowledge(
    served: Any, cache: ScriptedCache, stream: bool
) -> None:
    served.engine.enqueue(ANSWER)
    messages = [{"role": "system", "content": "Be terse."}, {"role": "user", "content": QUESTION}]
    assert served.ask(messages, stream=stream).status_code == 200
    (told,) = eventually(cache, "notes")
    (call,) = served.engine.calls
    tokens = sum(len(message["content"].split()) for message in call.messages)
    assert len(told.body["token_ids"]) == tokens
    # A word is a token here: all but the client's own two words and the question.
    assert told.body["knowledge_tokens"] == tokens - 2 - len(QUESTION.split())
    assert told.body["cache_salt"] == call.cache_salt == "default"
    assert told.body["use_case"] == "document"
    assert metrics(served) == {("note", "sent"): 1}


def test_a_request_may_override_the_use_case(served: Any, cache: ScriptedCache) -> None:
    served.engine.enqueue(ANSWER)
    assert served.ask(QUESTION, kvasir={"use_case": "batch"}).status_code == 200
    assert eventually(cache, "notes")[0].body["use_case"] == "batch"
    refused = served.ask(QUESTION, kvasir={"use_case": "loud"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "kvasir.use_case")


def test_knowledge_is_counted_once_for_each_text(served: Any, cache: ScriptedCache) -> None:
    asked: list[str] = []
    stubs: list[str] = []
    token_ids = served.engine.token_ids

    async def counted(messages: Any) -> Any:
        asked.append(messages[-1]["content"])
        if asked[-1] == STUB:
            stubs.append(messages[0]["content"])
        return await token_ids(messages)

    served.engine.token_ids = counted
    for number in range(3):
        served.engine.enqueue(ANSWER)
        served.ask(QUESTION)
        eventually(cache, "notes", number + 1)
    assert len(stubs) == len(set(stubs)) == 3  # the knowledge, the stable prefix, and the template alone
    assert asked.count(QUESTION) >= 3


def test_a_conversation_is_one_session_and_is_expected_while_it_retrieves(served: Any, cache: ScriptedCache) -> None:
    served.engine.enqueue(ANSWER, ANSWER)
    first = served.ask(QUESTION).json()
    again = [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": first["choices"][0]["message"]["content"]},
        {"role": "user", "content": "And the shortest?"},
    ]
    served.ask(again)
    one, two = eventually(cache, "notes", 2)
    name = one.body["session"]
    assert two.body["session"] == name
    assert two.body["knowledge_tokens"] == one.body["knowledge_tokens"]
    assert [(told.method, told.path) for told in cache.told if told.path != "notes"] == [
        ("POST", f"sessions/{name}/expect")
    ]
    assert [told.path for told in cache.told].index(f"sessions/{name}/expect") == 1
    session = first["kvasir"]["session_id"]
    hint = served.client.post(f"/v1/sessions/{session}/expect")
    assert (hint.status_code, hint.json()) == (202, {"object": "kvasir.session", "id": session, "state": "expected"})
    eventually(cache, f"sessions/{name}/expect", 2)
    assert served.client.delete(f"/v1/sessions/{session}").json()["state"] == "ended"
    assert eventually(cache, f"sessions/{name}", 3)[-1].method == "DELETE"


def test_verified_answers_and_replays_tell_the_cache_nothing(
    tmp_path: Path, cache: ScriptedCache, cache_url: str, serve: Callable[..., Any]
) -> None:
    settings = settings_of(tmp_path / "home", cache_url, shop="default")
    shop = settings.assistants["shop"].model_copy(update={"verified_answers": True})
    served = serve(settings.model_copy(update={"assistants": {"shop": shop}}))
    answer = served.ask("How many customers do we have in Germany?")
    assert answer.json()["kvasir"]["answered_by"] == "verified"
    served.engine.enqueue(ANSWER, *[ANSWER] * 20)
    confirmed = served.confirm(served.ask(QUESTION).json()["id"], verdict="success").json()
    assert served.ended(confirmed["id"])["report"] is not None
    (told,) = eventually(cache, "notes")
    assert told.body["session"] is not None


def test_an_answer_comes_as_ever_while_the_cache_is_down(
    tmp_path: Path, serve: Callable[..., Any], cache: ScriptedCache
) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: whoever connects is refused
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        served = serve(settings_of(tmp_path / "home", url, shop="default"))
        served.engine.enqueue(ANSWER, ANSWER)
        first, second = served.ask(QUESTION), served.ask(QUESTION, stream=True)
        assert first.json()["choices"][0]["message"]["content"] == ANSWER
        assert second.text.rstrip().endswith("[DONE]")
        assert served.client.get(f"/v1/requests/{first.json()['id']}").json()["answer"] == ANSWER
        assert served.client.post("/v1/sessions/ses_any/expect").status_code == 202
        deadline = time.monotonic() + 30
        while sum(metrics(served).values()) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert metrics(served) == {("note", "failed"): 2, ("expect", "failed"): 1}


def test_an_engine_that_tells_no_tokens_is_asked_without_a_note(served: Any, cache: ScriptedCache) -> None:
    async def none(_messages: Any) -> None:
        return None

    served.engine.token_ids, served.engine.count_tokens = none, ScriptedEngine().count_tokens
    served.engine.enqueue(ANSWER)
    assert served.ask(QUESTION).json()["kvasir"]["prompt_tokens"] > 0
    assert cache.told == []


def test_tenants_are_told_apart(
    tmp_path: Path, cache: ScriptedCache, cache_url: str, serve: Callable[..., Any], fill: Any, shop_items: Changes
) -> None:
    settings = settings_of(tmp_path / "home", cache_url, shop="acme", rival="rival")
    fill(settings, shop_items, tenant="acme")
    served = serve(settings, filled=False)
    rival_base = KnowledgeBase.create(served.core.store, "rival", "shop", author="test")
    rival_base.commit(shop_items, author="test", message="Fill")
    keys = {name: served.core.api_keys.create(name, name, ("ask",)) for name in ("acme", "rival")}

    def call(tenant: str, method: str, path: str, **body: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {keys[tenant]}"}
        return served.client.request(method, path, headers=headers, json=body or None)

    served.engine.enqueue(ANSWER, ANSWER)
    for tenant, model in (("acme", "shop"), ("rival", "rival")):
        body = {"messages": [{"role": "user", "content": QUESTION}], "kvasir": {"session_id": "mine"}}
        assert call(tenant, "POST", "/v1/chat/completions", model=model, **body).status_code == 200
    ours, theirs = eventually(cache, "notes", 2)
    assert (ours.body["cache_salt"], theirs.body["cache_salt"]) == ("acme", "rival")
    assert ours.body["token_ids"] == theirs.body["token_ids"]
    assert ours.body["session"] != theirs.body["session"]
    assert ours.body["commit"] != theirs.body["commit"]
    assert call("rival", "POST", "/v1/sessions/mine/expect").status_code == 202
    assert call("rival", "DELETE", "/v1/sessions/mine").status_code == 202
    paths = {told.path for told in eventually(cache, "sessions/", 2)}
    assert paths == {f"sessions/{theirs.body['session']}", f"sessions/{theirs.body['session']}/expect"}


def test_hints_need_a_key_of_role_ask(served: Any, cache: ScriptedCache) -> None:
    key = served.core.api_keys.create("default", "ada", ("confirm",))
    for headers, status in (({}, 401), ({"Authorization": f"Bearer {key}"}, 403)):
        assert served.client.post("/v1/sessions/s/expect", headers=headers).status_code == status
        assert served.client.delete("/v1/sessions/s", headers=headers).status_code == status
    assert cache.told == []
