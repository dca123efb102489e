"""Requests that name an engine itself: over real HTTP to a server that speaks OpenAI's API, and to any other engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from evals.bench.gateway.mock_engine import TEXT, WORDS, MockEngine
from gateway.settings import EngineSettings, Settings

Serve = Callable[..., Any]
ASKED: list[Any] = [{"role": "user", "content": "How many orders are paid?"}]


@pytest.fixture
def settings_of(tmp_path: Path) -> Callable[..., Settings]:
    def make(engine: EngineSettings) -> Settings:
        return Settings(home=tmp_path / "home", engines={"main": engine})

    return make


@pytest.fixture
def relayed(serve: Serve, settings_of: Callable[..., Settings], running: Any) -> Any:
    """A gateway in front of the mock engine; `seen` are the bodies that the engine got."""
    seen: list[dict[str, Any]] = []

    async def keep(asked: dict[str, Any]) -> None:
        seen.append(asked)

    with running(MockEngine(keep)) as url:
        engine = EngineSettings(model="hosted_vllm/mock", api_base=f"{url}/v1", pass_through=("default",))
        served = serve(settings_of(engine), real=True)
        served.seen = seen
        yield served


def client_of(served: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key="unused", max_retries=0)


def test_the_openai_client_gets_the_engines_own_answer_and_no_trace_is_left(relayed: Any) -> None:
    answer = client_of(relayed).chat.completions.create(model="engine:main", messages=ASKED)
    assert answer.choices[0].message.content == TEXT
    assert answer.usage is not None
    assert answer.usage.completion_tokens == len(WORDS)
    assert relayed.client.get("/v1/requests").json()["data"] == []


def test_it_is_asked_as_the_client_asked_with_the_tenant_as_salt(relayed: Any) -> None:
    fields = {"temperature": 0.5, "cache_salt": "another", "priority": 7}
    relayed.client.post("/v1/chat/completions", json={"model": "engine:main", "messages": ASKED, **fields})
    expected = {"model": "mock", "messages": ASKED, "max_tokens": 512, "temperature": 0.5, "cache_salt": "default"}
    assert relayed.seen == [expected]


def test_a_stream_ends_with_the_counts_that_the_client_asked_for(relayed: Any) -> None:
    stream = client_of(relayed).chat.completions.create(
        model="engine:main", messages=ASKED, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == TEXT
    assert 'kvasir_completion_tokens_total{assistant="engine:main",tenant="default"} 8.0' in metrics(relayed)


def test_an_engine_that_is_not_open_to_the_tenant_is_as_one_that_is_not_there(
    serve: Serve, settings_of: Callable[..., Settings]
) -> None:
    served = serve(settings_of(EngineSettings(model="scripted/engine", pass_through=("another",))))
    response = served.ask(ASKED, model="engine:main")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"
    assert served.client.get("/v1/models").json()["data"] == []


def test_an_engine_of_another_kind_answers_through_its_own_client(
    serve: Serve, settings_of: Callable[..., Settings]
) -> None:
    served = serve(settings_of(EngineSettings(model="scripted/engine", pass_through=("default",))))
    served.engine.enqueue("whole")
    served.engine.enqueue_stream("in ", "pieces")
    whole = served.ask(ASKED, model="engine:main").json()
    assert (whole["choices"][0]["message"]["content"], whole["model"]) == ("whole", "engine:main")
    stream = client_of(served).chat.completions.create(model="engine:main", messages=ASKED, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "in pieces"


def test_an_engine_that_is_away_is_told_with_its_address(serve: Serve, settings_of: Callable[..., Settings]) -> None:
    engine = EngineSettings(model="openai/m", api_base="http://127.0.0.1:9/v1", pass_through=("default",), retries=0)
    served = serve(settings_of(engine), real=True)
    for stream in (False, True):
        response = served.ask(ASKED, model="engine:main", stream=stream)
        assert response.status_code == 503
        assert "127.0.0.1:9" in response.json()["error"]["message"]


@pytest.mark.parametrize(("status", "given"), [(400, 400), (422, 422), (401, 502), (500, 503)])
def test_what_the_client_did_wrong_is_told_in_the_engines_words_and_the_rest_is_the_gateways_fault(
    serve: Serve, settings_of: Callable[..., Settings], running: Any, status: int, given: int
) -> None:
    with running(refusing(status)) as url:
        engine = EngineSettings(model="openai/m", api_base=f"{url}/v1", pass_through=("default",), retries=0)
        served = serve(settings_of(engine), real=True)
        for stream in (False, True):
            response = served.ask(ASKED, model="engine:main", stream=stream)
            assert response.status_code == given
            assert "too hot" in response.text


def test_a_stream_that_breaks_off_is_told_as_an_error(
    serve: Serve, settings_of: Callable[..., Settings], running: Any
) -> None:
    with running(breaking) as url:
        engine = EngineSettings(model="openai/m", api_base=f"{url}/v1", pass_through=("default",))
        served = serve(settings_of(engine), real=True)
        text = served.ask(ASKED, model="engine:main", stream=True).text
    assert text.startswith("data: 1\n\n")
    assert "engine_interrupted" in text


def metrics(served: Any) -> str:
    response: httpx.Response = served.client.get("/metrics")
    return response.text


def refusing(status: int) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b'{"error": {"message": "too hot"}}'})

    return app


async def breaking(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"data: 1\n\n"})
