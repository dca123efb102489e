"""Warming: the knowledge prefixes of a commit get their KV before questions need it.

What will be asked is guessed from what was asked last: each recent question is assembled at the commit, and what its
system message holds of knowledge is a prefix to have. One that answers were given from at a commit whose KV is there
needs no engine; it is noted as the new commit's, so that it outlives the old one. Any other is asked of the engine
once, for one token.

It moves nothing and asks no branch: it may run before a commit lands (`warm_landing.py`), or after (`landings.py`).
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, field

from backend.client import Completion, Engine, Sampling
from backend.errors import BackendError, ContextTooLong
from gateway.answering import Ask, prepare
from gateway.conversation import Conversation
from gateway.core import Assistant, Core
from gateway.engine_cache import EngineCache, Knowledge
from gateway.errors import GatewayError
from gateway.knowledge_prefix import knowledge_prompt
from gateway.prompt import Prompt
from gateway.sessions import Session
from gateway.traces import Trace
from kb.errors import KnowledgeError

logger = logging.getLogger("kvasir.warming")

RECENT_REQUESTS = 200
MANY_WAITING = 100
"""Messages to the cache: more of them are waited for, since what finds the outbox full is dropped."""
FLUSH_SECONDS = 2.0
_ONE_TOKEN = Sampling(max_tokens=1, priority=1)
"""After every question that waits, where the engine schedules by priority."""


@dataclass(frozen=True, slots=True)
class Warmed:
    """Knowledge prefixes: `kept` are as they were, `computed` went through the engine.

    `left_out` counts questions for which there was no time, or no engine. Of the tokens of the computed prefixes,
    `cached_tokens` were in a cache already.
    """

    kept: int = 0
    computed: int = 0
    left_out: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    seconds: float = 0.0


@dataclass
class _Budget:
    """Seconds that may be spent; none once `stop` is set."""

    seconds: float
    stop: threading.Event
    _begun: float = field(default_factory=time.monotonic)

    @property
    def spent(self) -> float:
        return time.monotonic() - self._begun

    @property
    def left(self) -> float:
        return 0.0 if self.stop.is_set() else max(0.0, self.seconds - self.spent)


class Warming:
    """For one core, in any thread without an event loop."""

    def __init__(self, core: Core, *, recent: int = RECENT_REQUESTS) -> None:
        self._core, self._recent = core, recent

    def warm(
        self,
        assistant: Assistant,
        commit: str,
        *,
        had: Collection[str],
        seconds: float,
        stop: threading.Event | None = None,
    ) -> Warmed:
        """Warm `commit` for what the assistant was last asked, the most recent first, for at most so many seconds.

        `had` are the commits whose KV was not given back: what was asked there has its own. Of others it may be gone.
        Needs an engine that has a cache; without one, nothing is done. Where the engine fails, the rest is left out.
        Raises what the state database raises.
        """
        engine, cache = assistant.engine, assistant.cache
        if engine is None or cache is None or seconds <= 0:
            return Warmed()
        budget = _Budget(seconds, stop or threading.Event())
        work = _Work(assistant, engine, cache)
        first_turns = self._first_turns(assistant)
        served = {trace.prompt[0]["content"] for trace in first_turns if trace.commit in had}
        seen: set[str] = set()
        for user, question in dict.fromkeys((trace.user, trace.question) for trace in first_turns):
            if budget.left <= 0 or work.broken:
                work.left_out += 1
                continue
            prompt = self._prompt(assistant, commit, user, question)
            if prompt is None or prompt.knowledge in seen:
                continue
            seen.add(prompt.knowledge)
            knowledge = Knowledge(assistant.base.id, commit, prompt.knowledge)
            if any(system.startswith(prompt.knowledge) for system in served):
                warm = work.keep(knowledge)
            else:
                warm = work.compute(knowledge, budget)
            if warm:
                self._core.planners.served(assistant.settings.engine, assistant.cache_salt, prompt)
        return work.done(budget.spent)

    def _first_turns(self, assistant: Assistant) -> list[Trace]:
        """Of the recent requests those that the engine answered, newest first.

        What stands in front of a later turn was placed by the first, and no commit changes it.
        """
        recent = self._core.traces.recent(assistant.settings.tenant, assistant.name, self._recent)
        return [trace for trace in recent if trace.answered_by == "engine" and len(trace.messages) == 1]

    def _prompt(self, assistant: Assistant, commit: str, user: str, question: str) -> Prompt | None:
        """The question's prompt at the commit, as it would be served; `None` where it would not get to the engine."""
        conversation = Conversation((), ({"role": "user", "content": question},))
        ask = Ask(assistant.settings.tenant, assistant.name, conversation, user=user)
        try:
            prepared = prepare(self._core, ask, revision=commit, session=Session("warming"), planned=True)
        except (GatewayError, BackendError, KnowledgeError) as exc:
            logger.warning("a question of '%s' cannot be warmed at %s: %s", assistant.name, commit[:12], exc)
            return None
        return None if prepared.verified is not None else prepared.prompt


class _Work:
    """What was done so far, for one assistant."""

    def __init__(self, assistant: Assistant, engine: Engine, cache: EngineCache) -> None:
        self._assistant, self._engine, self._cache = assistant, engine, cache
        self.broken = False
        self.kept = self.computed = self.left_out = 0
        self._prompt_tokens = self._cached_tokens = 0

    def keep(self, knowledge: Knowledge) -> bool:
        """Whether it is there."""
        kept = self._tell(knowledge)
        self.kept, self.left_out = self.kept + kept, self.left_out + (not kept)
        return kept

    def compute(self, knowledge: Knowledge, budget: _Budget) -> bool:
        """Whether it is there."""
        computed = self._tell(knowledge) and self._ask(knowledge, budget)
        self.computed, self.left_out = self.computed + computed, self.left_out + (not computed)
        return computed

    def done(self, seconds: float) -> Warmed:
        return Warmed(
            self.kept, self.computed, self.left_out, self._prompt_tokens, self._cached_tokens, round(seconds, 3)
        )

    def _tell(self, knowledge: Knowledge) -> bool:
        """Note the prefix as the commit's, and have what a slower tier has of it fetched."""
        try:
            tokens = self._cache.knowledge_tokens(knowledge.text)
        except (BackendError, TimeoutError) as exc:
            return self._failed(exc)
        if tokens is None:
            return False
        if self._cache.waiting() > MANY_WAITING:
            self._cache.flush(FLUSH_SECONDS)
        salt = self._assistant.cache_salt
        self._cache.note(tokens, knowledge, cache_salt=salt, use_case=self._assistant.settings.use_case)
        self._cache.promote(tokens, salt)
        return True

    def _ask(self, knowledge: Knowledge, budget: _Budget) -> bool:
        try:
            asyncio.run(self._one_token(knowledge, budget.left))
        except (TimeoutError, ContextTooLong):
            return False
        except BackendError as exc:
            return self._failed(exc)
        return True

    async def _one_token(self, knowledge: Knowledge, seconds: float) -> None:
        """Of every replica at once, since nobody knows who will be asked. One that is away is left cold."""
        messages, salt = knowledge_prompt(knowledge.text), self._assistant.cache_salt
        async with asyncio.timeout(seconds):
            answers = await asyncio.gather(
                *(server.complete(messages, _ONE_TOKEN, cache_salt=salt) for server in self._engine.servers),
                return_exceptions=True,
            )
        completions = [answer for answer in answers if isinstance(answer, Completion)]
        for answer in answers:
            if isinstance(answer, BaseException) and not (completions and isinstance(answer, BackendError)):
                raise answer
        for usage in (completion.usage for completion in completions):
            if usage is not None:
                self._prompt_tokens += usage.prompt_tokens
                self._cached_tokens += usage.cached_tokens or 0

    def _failed(self, exc: Exception) -> bool:
        logger.warning("'%s' is not warmed any further: %s", self._assistant.name, str(exc) or "no answer in time")
        self.broken = True
        return False
