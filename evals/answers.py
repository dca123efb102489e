"""The answers to prepared cases: a verified one, else a stored one, else the engine's, which is then stored."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence

from backend.client import Engine, Message, Sampling
from backend.errors import EngineMisconfigured, EngineUnreachable
from evals.stored_answers import StoredAnswers, answer_key
from gateway.answering import Prepared, confirmed_text, generated_text
from gateway.core import Core
from gateway.errors import EngineNotConfigured
from kb.embedding import Embedder


class Answers:
    """Answers for one run, in one event loop.

    `engine_calls` and `stored_answers` count what an engine gave in it, and what it did before. `fresh` neither uses
    nor stores answers: every draw is a new one.
    """

    def __init__(self, core: Core, *, fresh: bool = False) -> None:
        self._core, self._fresh = core, fresh
        self._stored = StoredAnswers(core.database)
        self._away: EngineUnreachable | EngineMisconfigured | None = None
        self._away_judges: dict[str, EngineUnreachable | EngineMisconfigured] = {}
        self._turns: dict[tuple[str, str, int], asyncio.Lock] = {}
        self.engine_calls = 0
        self.stored_answers = 0

    @property
    def embedder(self) -> Embedder:
        """The model that knowledge is found by."""
        return self._core.retriever.embedder

    def tables(self, prepared: Prepared) -> Mapping[str, Collection[str]]:
        """Table → columns that the check of an answer knows at its commit; where it is empty, none is checked."""
        return self._core.retriever.tables(prepared.assistant.base, revision=prepared.commit)

    def judge(self, prepared: Prepared, name: str | None) -> Engine | None:
        """The engine of that name, else the assistant's own; `None` where there is none."""
        return prepared.assistant.engine if name is None else self._core.engines.get(name)

    async def judged(self, prepared: Prepared, name: str | None, messages: Sequence[Message], prompt_hash: str) -> str:
        """What the engine that judges says to `messages`, stored or new. Raises what the engine raises."""
        engine, sampling = self.judge(prepared, name), Sampling(temperature=0.0)
        assert engine is not None, "that there is none was told before any draw"
        tenant, key = prepared.ask.tenant, answer_key(prompt_hash, engine.config, sampling)
        async with self._turn(tenant, key, 0):
            stored = self._stored.get(tenant, key, 0)
            if stored is not None:
                return stored
            if (away := self._away_judges.get(engine.config.name)) is not None:
                raise away
            try:
                completion = await engine.complete(messages, sampling, cache_salt=tenant)
            except (EngineUnreachable, EngineMisconfigured) as exc:
                self._away_judges[engine.config.name] = exc
                raise
            self.engine_calls += 1
            # Not awaited: an interrupt cannot come between a verdict that was paid for and its storage.
            self._stored.keep(tenant, key, 0, completion.text)
            return completion.text

    async def confirmed(self, prepared: Prepared) -> str | None:
        """The verified answer, which is the same at every draw."""
        return await confirmed_text(self._core, prepared)

    async def draw(self, prepared: Prepared, repeat: int) -> str:
        """The engine's answer, stored or new. Raises `EngineNotConfigured`, `PromptTooLong`, what the engine raises."""
        engine = prepared.assistant.engine
        if engine is None:
            raise EngineNotConfigured(prepared.assistant.name, prepared.assistant.settings.engine)
        if self._fresh:
            return await self._generated(prepared)
        tenant, key = prepared.ask.tenant, answer_key(prepared.prompt.hash, engine.config, prepared.ask.sampling)
        async with self._turn(tenant, key, repeat):
            stored = self._stored.get(tenant, key, repeat)
            if stored is not None:
                self.stored_answers += 1
                return stored
            text = await self._generated(prepared)
            # Not awaited: an interrupt cannot come between an answer that was paid for and its storage.
            self._stored.keep(tenant, key, repeat, text)
            return text

    def stored(self, prepared: Prepared, repeats: int) -> list[str] | None:
        """What the engine has said to this prompt in so many draws; `None` where it was not asked so often."""
        engine = prepared.assistant.engine
        if engine is None or self._fresh:
            return None
        key = answer_key(prepared.prompt.hash, engine.config, prepared.ask.sampling)
        draws = [self._stored.get(prepared.ask.tenant, key, repeat) for repeat in range(repeats)]
        answers = [answer for answer in draws if answer is not None]
        return answers if len(answers) == repeats else None

    def _turn(self, tenant: str, key: str, repeat: int) -> asyncio.Lock:
        """Of two cases that want one draw at a time, the second waits for the first one's: an engine gives it once."""
        return self._turns.setdefault((tenant, key, repeat), asyncio.Lock())

    async def _generated(self, prepared: Prepared) -> str:
        # Nobody waits for an engine that is away once per case.
        if self._away is not None:
            raise self._away
        try:
            text = await generated_text(self._core, prepared)
        except (EngineUnreachable, EngineMisconfigured) as exc:
            self._away = exc
            raise
        self.engine_calls += 1
        return text
