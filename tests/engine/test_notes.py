"""What the gateway tells the cache, on the real pair: the policy hears it, a hint promotes, a landed commit is warm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from evals.replay import SuiteReplay
from gateway.app import create_app
from gateway.cached_commits import CachedCommits
from gateway.core import Core
from gateway.settings import AssistantSettings, EngineSettings, Settings
from kb.items import Document, Item
from kb.knowledge_base import Changes

from .filled import fill
from .waiting import until, until_equal

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

CHUNK_TOKENS = 256
WARM_SECONDS = 120.0


def handbook(title: str) -> Item:
    """It stands first in every prompt, and differs from its first word on."""
    text = " ".join(f"{title}, article {number}: the shop keeps {number} aisles." for number in range(80))
    return Item("document:handbook", title, Document(text), usage="always")


@dataclass
class Served:
    client: httpx.Client
    core: Core
    cache_url: str

    def ask(self, question: str, **kvasir: Any) -> dict[str, Any]:
        body = {"model": "shop", "messages": [{"role": "user", "content": question}], "kvasir": kvasir}
        answer = self.client.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()["kvasir"]
        return told

    def land(self, title: str) -> str:
        base = self.core.base("default", "shop")
        return base.commit(Changes(put=(handbook(title),)), author="test", message=title).id

    def followed(self, commit: str) -> bool:
        """Whether the gateway has seen to it that the commit is read."""
        held = CachedCommits(self.core.database).of(self.core.base("default", "shop").id, self.core.caches["main"].urls)
        return any(each.commit == commit for each in held)

    def cache(self, path: str) -> Any:
        return httpx.get(f"{self.cache_url}/kvasir/{path}", trust_env=False).raise_for_status().json()

    def fetches(self) -> int:
        return sum(one["kind"] == "fetch" for one in self.cache("transfers"))


@pytest.fixture(scope="module")
def served(pair: Any, running: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    settings = Settings(
        home=tmp_path_factory.mktemp("notes"),
        engines={
            "main": EngineSettings(
                model=f"hosted_vllm/{pair.model_name}",
                api_base=pair.api_base,
                lmcache=True,
                cache_url=pair.cache_url,
                warm_seconds=WARM_SECONDS,
                max_output_tokens=8,
            )
        },
        assistants={"shop": AssistantSettings(kb="shop", engine="main")},
    )
    fill(settings, handbook("The first edition"))
    app = create_app(settings, replay=SuiteReplay())
    with running(app) as url, httpx.Client(base_url=url, timeout=120) as client:
        yield Served(client, app.state.gateway.core, pair.cache_url)


def files(pair: Any) -> int:
    return len(list(pair.plan.kv_dir.glob("*.data")))


def test_the_policy_hears_whose_prompt_it_is(served: Served) -> None:
    before = served.cache("status")
    told = served.ask("Who sweeps the aisles?", session_id="sweeping")
    chunks = told["prompt_tokens"] // CHUNK_TOKENS
    assert chunks >= 3
    sessions = before["sessions"]["active"] + 1
    assert until_equal(lambda: served.cache("status")["sessions"]["active"], sessions) == sessions
    assert served.cache("status")["noted_chunks"] == before["noted_chunks"] + chunks
    # The hash of a chunk is of its tokens: those that the note named are those that the engine looks up.
    assert served.cache("status")["seen_chunks"] == before["seen_chunks"] + chunks
    # The same session again.
    served.ask("Who sweeps the aisles?", session_id="sweeping")
    assert served.cache("status")["sessions"]["active"] == sessions


def test_knowledge_that_recurs_goes_to_disk_and_a_hint_brings_it_back(served: Served, pair: Any) -> None:
    before = files(pair)
    served.land("A second edition")
    first = served.ask("Where is the bread?", session_id="bread")
    served.ask("Where is the milk?", session_id="milk")
    stored = before + first["prompt_tokens"] // CHUNK_TOKENS
    assert until_equal(lambda: files(pair), stored) == stored
    httpx.post(f"{pair.cache_url}/cache/clear", trust_env=False).raise_for_status()
    before = served.fetches()
    assert served.client.post("/v1/sessions/nobody/expect").status_code == 202
    assert served.client.post("/v1/sessions/bread/expect").status_code == 202
    assert until_equal(served.fetches, before + 1) == before + 1
    sessions = served.cache("status")["sessions"]["active"] - 1
    assert served.client.delete("/v1/sessions/bread").status_code == 202
    assert until_equal(lambda: served.cache("status")["sessions"]["active"], sessions) == sessions


def test_a_note_is_there_before_the_prompt_is_stored(served: Served, pair: Any) -> None:
    """LMCache asks once, when the engine hands a chunk over: only of one that is known as batch by then, it is told to
    write it."""
    before = files(pair)
    served.land("An edition in batches")
    knowledge = served.ask("Where is the salt?")["prompt_tokens"] // CHUNK_TOKENS
    served.ask("Where is the tea?")
    before += knowledge
    assert until_equal(lambda: files(pair), before) == before
    long = " ".join(f"Is aisle {number} swept on every day of week {number}?" for number in range(35))
    told = served.ask(long, use_case="batch")
    own = told["prompt_tokens"] // CHUNK_TOKENS - knowledge
    assert own >= 3
    assert until_equal(lambda: files(pair) - before, own) == own


def test_the_first_question_after_a_landing_finds_its_prefix_warm(served: Served) -> None:
    cache = served.core.caches["main"]
    counted = 'kvasir_warmed_prefixes_total{assistant="shop",outcome="computed",tenant="default"}'

    def computed() -> float:
        lines = served.client.get("/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(counted))

    served.ask("Who counts the aisles?")
    cache.warm_seconds = 0.0
    third = served.land("A third edition")
    cold = served.ask("Who counts the aisles?")
    assert until(lambda: served.followed(third), bool)  # else it is warmed as soon as there is time for it
    cache.warm_seconds = WARM_SECONDS
    before = computed()
    served.land("A fourth edition")
    assert until_equal(computed, before + 1) == before + 1
    warm = served.ask("Who counts the aisles?")
    reused = [answer["cache"]["cached_tokens"] for answer in (cold, warm)]
    assert reused[0] < CHUNK_TOKENS < 3 * CHUNK_TOKENS <= reused[1]
