"""The shop behind an engine whose cache is scripted, without a server around it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backend.client import Completion, Message, Sampling
from gateway.answering import Ask, answer, prepare
from gateway.conversation import ask as conversation_of
from gateway.core import Core, open_core
from gateway.knowledge_prefix import STUB
from gateway.settings import AssistantSettings, EngineSettings, Settings
from gateway.testing import ScriptedCache, ScriptedEngine
from kb.embedding import SentenceEmbedder
from kb.items import Item, Rule
from kb.knowledge_base import Changes, KnowledgeBase

SUPPLIERS = "Which supplier has the longest lead time?"
REVIEWS = "How many reviews have five stars?"
SECONDS = 300.0


class WillingEngine(ScriptedEngine):
    """Answers whatever it is asked; `while_warming` is called where that is a prefix alone."""

    def __init__(self) -> None:
        super().__init__()
        self.while_warming: Callable[[], None] = lambda: None

    async def complete(self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str | None) -> Completion:
        self.enqueue("SELECT 1")
        if messages[1]["content"] == STUB:
            await asyncio.to_thread(self.while_warming)
        return await super().complete(messages, sampling, cache_salt=cache_salt)

    @property
    def warmed(self) -> list[str]:
        """The system messages that were asked for alone, in order."""
        return [call.messages[0]["content"] for call in self.calls if call.messages[1]["content"] == STUB]


class CachedShop:
    """`core` knows of no landing; `commit` is that of somebody who knows of no cache."""

    def __init__(self, core: Core, engine: WillingEngine, cache: ScriptedCache) -> None:
        self.core, self.engine, self.cache = core, engine, cache

    @property
    def base(self) -> KnowledgeBase:
        return self.core.base("default", "shop")

    @property
    def head(self) -> str:
        return self.base.head().id

    def ask(self, *questions: str) -> None:
        for question in questions:
            asyncio.run(answer(self.core, prepare(self.core, Ask("default", "shop", conversation_of(question)))))

    def commit(self, *put: Item) -> str:
        return self.base.commit(Changes(put=put), author="test", message="Land").id

    def commits_told(self) -> list[str]:
        """By the names that the cache knows: of each note in turn, its commit."""
        return [told.body["commit"] for told in self.cache.of("notes")]


def settings_of(home: Path, cache_url: str, *, warm_seconds: float = SECONDS, **assistants: Any) -> Settings:
    engine = EngineSettings(
        model="hosted_vllm/scripted", api_base="http://127.0.0.1:1/v1", cache_url=cache_url, warm_seconds=warm_seconds
    )
    named = assistants or {"shop": {}}
    return Settings(
        home=home,
        engines={"main": engine},
        assistants={name: AssistantSettings(kb="shop", engine="main", **given) for name, given in named.items()},
    )


@contextmanager
def opened(settings: Settings, cache: ScriptedCache, embedder: SentenceEmbedder) -> Iterator[CachedShop]:
    engine = WillingEngine()
    core = open_core(settings, engines={"main": engine}, embedder=embedder)
    try:
        yield CachedShop(core, engine, cache)
    finally:
        core.close()


def rule(text: str = "Lead times are in days.", name: str = "days") -> Item:
    """It stands first in every prompt."""
    return Item(f"rule:{name}", "Days", Rule(text))


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)
