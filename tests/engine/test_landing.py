"""A landing on the real pair: the first question after it finds its prefix as the one before it did."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from backend.client import EngineConfig, Sampling, connect
from evals.replay import SuiteReplay
from gateway.app import create_app
from gateway.core import Core
from gateway.settings import AssistantSettings, EngineSettings, Settings
from kb.codec import item_to_dict
from kb.items import Document, Item

from .filled import fill

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

CHUNK_TOKENS = 256
WARM_SECONDS = 120.0
QUESTIONS = ("Who sweeps the shop?", "Where are the lamps?")


def handbook(edition: int) -> Item:
    """It stands first in every prompt, and differs from its first word on; all editions are of one length."""
    text = " ".join(f"Edition {edition}, article {number}: the shop keeps {number} lamps." for number in range(80))
    return Item("document:handbook", f"Handbook {edition}", Document(text), usage="always")


class Served:
    def __init__(self, client: httpx.Client, core: Core) -> None:
        self._client, self._core = client, core

    def ask(self, question: str) -> int:
        """Gives how many of the prompt's tokens were cached."""
        body = {"model": "shop", "messages": [{"role": "user", "content": question}]}
        answer = self._client.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        cached: int = answer.json()["usage"]["prompt_tokens_details"]["cached_tokens"]
        return cached

    def land(self, edition: int, *, seconds: float) -> list[dict[str, Any]]:
        self._core.caches["main"].warm_seconds = seconds
        body = {"message": "Land", "put": [item_to_dict(handbook(edition))]}
        answer = self._client.post("/v1/kb/shop/commits", json=body)
        assert answer.status_code == 201, answer.text
        costs: list[dict[str, Any]] = answer.json()["prefix"]
        return costs


@pytest.fixture(scope="module")
def served(pair: Any, running: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    engine = EngineSettings(
        model=f"hosted_vllm/{pair.model_name}",
        api_base=pair.api_base,
        lmcache=True,
        priorities=True,
        cache_url=pair.cache_url,
        max_output_tokens=4,
    )
    assistants = {"shop": AssistantSettings(kb="shop", engine="main", tenant="default")}
    settings = Settings(home=tmp_path_factory.mktemp("landing"), engines={"main": engine}, assistants=assistants)
    fill(settings, handbook(1))
    app = create_app(settings, replay=SuiteReplay())
    with running(app) as url, httpx.Client(base_url=url, timeout=300) as client:
        yield Served(client, app.state.gateway.core)


def test_the_first_question_after_a_landing_finds_its_prefix_as_the_one_before(served: Served) -> None:
    for question in QUESTIONS:
        served.ask(question)
    before = [served.ask(question) for question in QUESTIONS]
    (cost,) = served.land(2, seconds=0.0)
    assert (cost["requests"], cost["unit"]) == (4, "tokens")
    assert cost["prefix_invalidated"] > cost["prefix_kept"]
    cold = served.ask(QUESTIONS[0])
    served.land(3, seconds=WARM_SECONDS)
    warm = [served.ask(question) for question in QUESTIONS]
    assert cold < CHUNK_TOKENS < min(before)
    # The question itself was not asked at this commit yet, so the last block that it fills is its own.
    assert min(warm) > min(before) - CHUNK_TOKENS
    assert min(warm) >= 3 * CHUNK_TOKENS


def test_what_warms_waits_for_what_people_ask(pair: Any) -> None:
    config = EngineConfig("main", f"hosted_vllm/{pair.model_name}", api_base=pair.api_base, priorities=True)
    engine = connect(config)
    ended: list[int] = []

    async def ask(number: int, priority: int) -> None:
        text = " ".join(f"{number}-{word}" for word in range(500))
        messages = [{"role": "user", "content": text}]
        await engine.complete(messages, Sampling(max_tokens=1, priority=priority), cache_salt=None)
        ended.append(number)

    async def all_of_them() -> None:
        warming = [asyncio.create_task(ask(number, 1)) for number in range(16)]
        while not ended:  # the engine is busy with them by now
            await asyncio.sleep(0.01)
        await ask(99, 0)
        await asyncio.gather(*warming)

    asyncio.run(all_of_them())
    assert ended.index(99) < len(ended) - 2
