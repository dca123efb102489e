"""An answer under way: its clock, what the engine and its cache are asked, and the trace that ends it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from backend.client import Chunk, Completion, Engine, Sampling, Usage
from gateway.core import Core
from gateway.datasource import Datasource
from gateway.engine_cache import Knowledge
from gateway.errors import EngineNotConfigured, PromptTooLong
from gateway.placements import reference
from gateway.prepared import Prepared
from gateway.traces import Retrieved, Trace
from gateway.verification import Verification, verify
from kb.database import transaction
from kb.items import Success
from kb.retrieval import Hit

_CUT = "the answer was cut at its limit of tokens (max_tokens, or max_output_tokens of the engine)"
LEAST_ANSWER_TOKENS = 64
"""Room that a prompt must leave for an answer where the client did not say how much it wants."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An ended answer with its trace, which is stored already."""

    text: str
    finish_reason: str
    usage: Usage
    trace: Trace


@dataclass(frozen=True, slots=True)
class Generated:
    """What an engine wrote, or a confirmed answer in its place: then there is no `model`."""

    text: str
    finish_reason: str
    usage: Usage | None
    model: str | None
    replica: str | None = None


class AnswerRun:
    """Of one prepared request. Nothing is stored before `ended` or `keep_failure`."""

    def __init__(self, core: Core, prepared: Prepared) -> None:
        self._core, self._prepared = core, prepared
        self._started = time.perf_counter()
        self._timings = dict(prepared.timings)
        self._prompt_tokens: int | None = None
        self._token_ids: Sequence[int] | None = None
        self._stable_prefix_tokens: int | None = None
        self._kept = False

    async def confirmed_answer(self) -> Answer | None:
        """The verified answer, ended and kept."""
        confirmed = await self.confirmed()
        if confirmed is None:
            return None
        item_id, body, verification = confirmed
        generated = Generated(body.answer, "stop", Usage(0, 0, 0), None)
        return await self._end(generated, verification, verified_by=item_id)

    async def confirmed(self) -> tuple[str, Success, Verification | None] | None:
        """The verified item's id and body with their verification, unless the check says that its SQL went wrong."""
        item = self._prepared.verified
        if item is None or not isinstance(item.body, Success):
            return None
        verification = await self._verify(item.body.answer)
        if verification is not None and verification.status in ("refused", "failed"):
            return None
        return item.id, item.body, verification

    async def ready_engine(self) -> tuple[Engine, Sampling]:
        """The engine and how much it may write. Raises where there is none or the prompt cannot fit."""
        assistant, ask = self._prepared.assistant, self._prepared.ask
        if assistant.engine is None:
            raise EngineNotConfigured(assistant.name, assistant.settings.engine)
        engine, prompt = assistant.engine, self._prepared.prompt
        if assistant.cache is not None:
            # The same question to the engine as counting them, so what the cache is told costs none of its own.
            self._token_ids = await engine.token_ids(prompt.messages)
        if self._token_ids is not None:
            self._prompt_tokens = len(self._token_ids)
        else:
            self._prompt_tokens = await engine.count_tokens(prompt.messages)
        sampling = await fitted(engine, self._prompt_tokens, ask.sampling)
        self._stable_prefix_tokens = await self._core.stable_prefixes.tokens(engine, prompt.stable_prefix)
        return engine, sampling

    def tell_cache(self) -> None:
        """Tell the engine's cache whose prompt comes. Returns at once."""
        prepared = self._prepared
        engine, cache = prepared.assistant.engine, prepared.assistant.cache
        if engine is None or cache is None or self._token_ids is None:
            return
        cache.note(
            self._token_ids,
            Knowledge(prepared.assistant.base.id, prepared.commit, prepared.prompt.knowledge),
            cache_salt=prepared.assistant.cache_salt,
            use_case=prepared.ask.use_case or prepared.assistant.settings.use_case,
            session_id=prepared.session.id,
            replica=engine.replica_for(prepared.prompt.messages, cache_salt=prepared.assistant.cache_salt),
        )

    async def generate(self, engine: Engine, sampling: Sampling) -> Generated:
        messages = self._prepared.prompt.messages
        completion: Completion = await engine.complete(
            messages, sampling, cache_salt=self._prepared.assistant.cache_salt
        )
        if completion.ttft_seconds is not None:
            self._timings["ttft_seconds"] = completion.ttft_seconds
        text, reason = storable(completion.text), completion.finish_reason
        return Generated(text, reason, completion.usage, engine.config.model, completion.replica)

    def joined(self, engine: Engine, chunks: Sequence[Chunk]) -> Generated:
        """What came of a stream."""
        reasons = [chunk.finish_reason for chunk in chunks if chunk.finish_reason]
        usages = [chunk.usage for chunk in chunks if chunk.usage]
        text = storable("".join(chunk.text for chunk in chunks))
        reason, usage = reasons[-1] if reasons else "stop", usages[-1] if usages else None
        return Generated(text, reason, usage, engine.config.model, chunks[0].replica if chunks else None)

    def first_token_came(self) -> None:
        self._timings.setdefault("ttft_seconds", time.perf_counter() - self._started)

    async def ended(self, generated: Generated) -> Answer:
        self._timings["generate_seconds"] = time.perf_counter() - self._started
        verification = await self._verify(generated.text)
        if verification is not None and generated.finish_reason == "length" and not verification.passed:
            verification = replace(verification, message=f"{_CUT}: {verification.message}")
        return await self._end(generated, verification)

    def keep_failure(self, message: str) -> None:
        if not self._kept:
            self._remember(self._trace(status="failed", error=message), answered="ttft_seconds" in self._timings)

    async def _verify(self, text: str) -> Verification | None:
        assistant = self._prepared.assistant
        if assistant.datasource is None:
            return None
        started = time.perf_counter()
        verification = await asyncio.to_thread(self._checked, assistant.datasource, text)
        self._timings["verify_seconds"] = time.perf_counter() - started
        return verification

    def _checked(self, datasource: Datasource, text: str) -> Verification:
        """Reads the state database where the commit's index is not kept any more."""
        tables = self._core.retriever.tables(self._prepared.assistant.base, revision=self._prepared.commit)
        return verify(datasource, text, tables)

    async def _end(
        self, generated: Generated, verification: Verification | None, *, verified_by: str | None = None
    ) -> Answer:
        usage = generated.usage or Usage(self._prompt_tokens or 0, 0)
        trace = self._trace(
            status="answered",
            answer=generated.text,
            answered_by="verified" if verified_by else "engine",
            verified_by=verified_by,
            engine=None if verified_by else self._prepared.assistant.settings.engine,
            engine_model=generated.model,
            replica=generated.replica,
            usage={
                "prompt_tokens": usage.prompt_tokens,
                "completion_tokens": usage.completion_tokens,
                "cached_tokens": usage.cached_tokens,
                "engine_cached_tokens": usage.engine_cached_tokens,
                "lmcache_cached_tokens": usage.lmcache_cached_tokens,
                "lmcache_loaded_tokens": usage.lmcache_loaded_tokens,
            },
            verification=verification.to_dict() if verification else None,
        )
        await asyncio.to_thread(self._remember, trace)
        self._core.planners.served(trace.engine, self._prepared.assistant.cache_salt, self._prepared.prompt)
        return Answer(generated.text, generated.finish_reason, usage, trace)

    def _remember(self, trace: Trace, *, answered: bool = True) -> None:
        """Keep the trace and, where an answer began, what the prompt placed: a client may go on from half of one."""
        self._kept = True
        ask, session = self._prepared.ask, self._prepared.session
        scope, placed = self._prepared.scope, self._prepared.placements.map(reference)
        with transaction(self._core.database) as connection:
            self._core.traces.add(connection, trace)
            if answered:
                self._core.sessions.add(connection, scope, session.id, ask.conversation, placed, trace.answer)

    def _trace(self, **ending: object) -> Trace:
        prepared, ask = self._prepared, self._prepared.ask
        self._timings["total_seconds"] = time.perf_counter() - self._started + sum(self._prepared.timings.values())
        trace = Trace(
            id=ask.id,
            tenant=ask.tenant,
            created_at=datetime.now(UTC).isoformat(),
            assistant=ask.assistant,
            kb=prepared.assistant.base.name,
            commit=prepared.commit,
            session_id=prepared.session.id,
            user=ask.user,
            status="failed",
            messages=ask.conversation.messages,
            question=ask.conversation.question,
            items=tuple(_retrieved(hit) for hit in prepared.retrieval.hits),
            prompt=prepared.prompt.messages,
            prompt_hash=prepared.prompt.hash,
            prompt_tokens=self._prompt_tokens,
            parts=prepared.prompt.parts,
            stable_prefix_tokens=self._stable_prefix_tokens,
            prompt_order=prepared.prompt.order,
            timings={key: round(value, 6) for key, value in self._timings.items()},
        )
        return replace(trace, **ending)  # type: ignore[arg-type]


async def fitted(engine: Engine, prompt_tokens: int, sampling: Sampling) -> Sampling:
    """Sampling with `max_tokens` set. Raises `PromptTooLong` where the prompt cannot fit; nothing is ever cut."""
    window_tokens = await engine.window_tokens()
    wanted = sampling.max_tokens or engine.config.max_output_tokens
    if window_tokens is not None:
        least = sampling.max_tokens or min(LEAST_ANSWER_TOKENS, wanted)
        if prompt_tokens + least > window_tokens:
            raise PromptTooLong(prompt_tokens, window_tokens, least)
        wanted = min(wanted, window_tokens - prompt_tokens)
    return replace(sampling, max_tokens=wanted)


def storable(text: str) -> str:
    """Without what not every database can hold: NUL becomes U+FFFD, half a surrogate pair a question mark."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _retrieved(hit: Hit) -> Retrieved:
    item = hit.item
    return Retrieved(item.id, hit.item_hash, item.kind, item.title, round(hit.score, 4), hit.reasons)
