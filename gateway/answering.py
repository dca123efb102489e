"""The life of a request, from a question to a stored trace: the gateway's core, without HTTP.

`prepare` retrieves and assembles and calls no engine; `answer` and `stream` end what it began. The replay of a
proposal runs the same three steps.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from backend.client import Chunk, Completion, Engine, Sampling, Usage
from backend.errors import BackendError
from backend.tiers.use_case import UseCase
from gateway.conversation import Conversation
from gateway.core import Assistant, Core
from gateway.engine_cache import Knowledge
from gateway.errors import EngineNotConfigured, GatewayError, PromptTooLong
from gateway.message_chain import Scope
from gateway.other_values import with_question_values
from gateway.placements import Placed, Placements, reference
from gateway.prompt import Prompt, assemble, newly_needed
from gateway.sessions import Session
from gateway.sql_grammar import grammar_of
from gateway.traces import Retrieved, Trace
from gateway.verification import Verification, verify
from kb.database import transaction
from kb.errors import KnowledgeError
from kb.items import Item, Success
from kb.retrieval import Hit, Retrieval
from kb.same_question import same_question

_CUT = "the answer was cut at its limit of tokens (max_tokens, or max_output_tokens of the engine)"
LEAST_ANSWER_TOKENS = 64
"""Room that a prompt must leave for an answer where the client did not say how much it wants."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One question to an assistant. `user` is who asks, in the client's words; `id` will be the request's.

    `use_case` goes before the assistant's.
    """

    tenant: str
    assistant: str
    conversation: Conversation
    user: str = ""
    session_id: str | None = None
    sampling: Sampling = field(default_factory=Sampling)
    use_case: UseCase | None = None
    id: str = field(default_factory=lambda: f"req_{secrets.token_hex(12)}")


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that is known before an engine is asked. `verified` is a confirmed answer of the same question, or one of its
    template with the question's values in it.

    The sampling of `ask` has the grammar that the assistant's `decoding` asks for.
    """

    ask: Ask
    assistant: Assistant
    retrieval: Retrieval
    session: Session
    placements: Placements[Placed]
    prompt: Prompt
    verified: Item | None
    timings: dict[str, float]

    @property
    def commit(self) -> str:
        return self.retrieval.commit.id


@dataclass(frozen=True, slots=True)
class Answer:
    """An ended answer with its trace, which is stored already."""

    text: str
    finish_reason: str
    usage: Usage
    trace: Trace


@dataclass(frozen=True, slots=True)
class _Generated:
    text: str
    finish_reason: str
    usage: Usage | None
    model: str | None


def prepare(core: Core, ask: Ask, *, revision: str | None = None, session: Session | None = None) -> Prepared:
    """Retrieve and assemble at the assistant's commit, or at `revision`. A given session is taken as it is."""
    assistant = core.assistant(ask.tenant, ask.assistant)
    session = session or _session(core, assistant, ask)
    started = time.perf_counter()
    retrieval = core.retriever.retrieve(
        assistant.base,
        ask.conversation.question,
        revision=revision or assistant.revision,
        subjects=(ask.user,) if ask.user else (),
        limits=assistant.limits,
    )
    retrieved_at = time.perf_counter()
    placements = _placements(core, assistant, ask.conversation, session, retrieval)
    prompt = assemble(assistant.settings.instructions, ask.conversation, placements)
    if assistant.settings.decoding == "sql":
        ask = replace(ask, sampling=replace(ask.sampling, grammar=_grammar(assistant, placements)))
    verified = _verified_answer(core, assistant, ask.conversation, retrieval)
    timings = {
        "retrieve_seconds": retrieved_at - started,
        "assemble_seconds": time.perf_counter() - retrieved_at,
    }
    return Prepared(ask, assistant, retrieval, session, placements, prompt, verified, timings)


async def answer(core: Core, prepared: Prepared) -> Answer:
    """Answer, verify and store the trace; a failure is stored as well, then raised."""
    run = _Run(core, prepared)
    try:
        confirmed = await run.confirmed_answer()
        if confirmed:
            return confirmed
        engine, sampling = await run.ready_engine()
        run.tell_cache()
        return await run.ended(await run.generate(engine, sampling))
    except (GatewayError, BackendError, KnowledgeError) as exc:
        await asyncio.to_thread(run.keep_failure, str(exc))
        raise


async def stream(core: Core, prepared: Prepared) -> AsyncGenerator[str | Answer]:
    """The answer's pieces of text, then the `Answer`. A consumer that goes away leaves a failed trace."""
    run = _Run(core, prepared)
    try:
        confirmed = await run.confirmed_answer()
        if confirmed:
            yield confirmed.text
            yield confirmed
            return
        chunks: list[Chunk] = []
        engine, sampling = await run.ready_engine()
        run.tell_cache()
        async for chunk in engine.stream(prepared.prompt.messages, sampling, cache_salt=prepared.assistant.cache_salt):
            run.first_token_came()
            chunks.append(chunk)
            if chunk.text:
                yield _storable(chunk.text)
        yield await run.ended(_joined(engine, chunks))
    except (GatewayError, BackendError, KnowledgeError) as exc:
        await asyncio.to_thread(run.keep_failure, str(exc))
        raise
    except (asyncio.CancelledError, GeneratorExit):
        run.keep_failure("the client closed the connection before the answer ended")
        raise


async def confirmed_text(core: Core, prepared: Prepared) -> str | None:
    """The verified answer, unless the check says that its SQL went wrong. Stores nothing."""
    confirmed = await _Run(core, prepared).confirmed()
    return confirmed[1].answer if confirmed else None


async def generated_text(core: Core, prepared: Prepared) -> str:
    """What the engine answers, whether or not an answer is confirmed. Stores nothing."""
    run = _Run(core, prepared)
    return (await run.generate(*await run.ready_engine())).text


class _Run:
    """One answer under way: its clock, and what ends it."""

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
        generated = _Generated(body.answer, "stop", Usage(0, 0, 0), None)
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
        sampling = await _fitted(engine, self._prompt_tokens, ask.sampling)
        self._stable_prefix_tokens = await self._core.stable_prefixes.tokens(engine, prompt.stable_prefix)
        return engine, sampling

    def tell_cache(self) -> None:
        """Tell the engine's cache whose prompt comes. Returns at once."""
        prepared = self._prepared
        if prepared.assistant.cache is None or self._token_ids is None:
            return
        prepared.assistant.cache.note(
            self._token_ids,
            Knowledge(prepared.assistant.base.id, prepared.commit, prepared.prompt.knowledge),
            cache_salt=prepared.assistant.cache_salt,
            use_case=prepared.ask.use_case or prepared.assistant.settings.use_case,
            session_id=prepared.session.id,
        )

    async def generate(self, engine: Engine, sampling: Sampling) -> _Generated:
        messages = self._prepared.prompt.messages
        completion: Completion = await engine.complete(
            messages, sampling, cache_salt=self._prepared.assistant.cache_salt
        )
        if completion.ttft_seconds is not None:
            self._timings["ttft_seconds"] = completion.ttft_seconds
        return _Generated(_storable(completion.text), completion.finish_reason, completion.usage, engine.config.model)

    def first_token_came(self) -> None:
        self._timings.setdefault("ttft_seconds", time.perf_counter() - self._started)

    async def ended(self, generated: _Generated) -> Answer:
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
        tables = self._core.retriever.tables(assistant.base, revision=self._prepared.commit)
        verification = await asyncio.to_thread(verify, assistant.datasource, text, tables)
        self._timings["verify_seconds"] = time.perf_counter() - started
        return verification

    async def _end(
        self, generated: _Generated, verification: Verification | None, *, verified_by: str | None = None
    ) -> Answer:
        usage = generated.usage or Usage(self._prompt_tokens or 0, 0)
        trace = self._trace(
            status="answered",
            answer=generated.text,
            answered_by="verified" if verified_by else "engine",
            verified_by=verified_by,
            engine=None if verified_by else self._prepared.assistant.settings.engine,
            engine_model=generated.model,
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
        return Answer(generated.text, generated.finish_reason, usage, trace)

    def _remember(self, trace: Trace, *, answered: bool = True) -> None:
        """Keep the trace and, where an answer began, what the prompt placed: a client may go on from half of one."""
        self._kept = True
        ask, session = self._prepared.ask, self._prepared.session
        scope, placed = _scope(ask, self._prepared.assistant), self._prepared.placements.map(reference)
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
            timings={key: round(value, 6) for key, value in self._timings.items()},
        )
        return replace(trace, **ending)  # type: ignore[arg-type]


def _session(core: Core, assistant: Assistant, ask: Ask) -> Session:
    """The session that asks. Where it has asked before, its KV can come nearer while knowledge is retrieved."""
    session = core.sessions.find(_scope(ask, assistant), ask.conversation, ask.session_id)
    if session.placements is not None and assistant.cache is not None:
        assistant.cache.expect(ask.tenant, session.id)
    return session


def _scope(ask: Ask, assistant: Assistant) -> Scope:
    return Scope(ask.tenant, ask.assistant, assistant.base.name, ask.user)


def _placements(
    core: Core, assistant: Assistant, conversation: Conversation, session: Session, retrieval: Retrieval
) -> Placements[Placed]:
    """What earlier turns placed, as they placed it, and what this turn adds."""
    reach = retrieval.reach
    retrieved = [Placed(hit.item, hit.item_hash, reach.get(hit.item.id, 0)) for hit in retrieval.hits]
    if session.placements is None:
        # Nothing is known of the history: everything goes into the system message, nothing into old turns.
        return Placements(newly_needed(retrieved, ()), tuple(() for _ in conversation.user_turns))
    items = core.retriever.items(assistant.base, (entry.item_hash for entry in session.placements))
    earlier = session.placements.map(lambda entry: Placed(items[entry.item_hash], entry.item_hash, entry.reach))
    return Placements(earlier.system, (*earlier.turns, newly_needed(retrieved, earlier)))


def _grammar(assistant: Assistant, placements: Placements[Placed]) -> str | None:
    """Over the tables in the prompt; of a schema that was placed again in another wording, the later one counts."""
    latest = {entry.item.id: entry.item for entry in placements}
    return grammar_of(latest.values(), assistant.datasource.dialect if assistant.datasource else None)


def _verified_answer(core: Core, assistant: Assistant, conversation: Conversation, retrieval: Retrieval) -> Item | None:
    """A confirmed success that answers the question. A follow-up has none: its words lean on earlier turns."""
    settings, asked, commit = assistant.settings, retrieval.question, retrieval.commit.id
    if not settings.verified_answers or len(conversation.messages) > 1 or conversation.system:
        return None
    patterns = core.retriever.patterns(assistant.base, revision=commit)
    retrieved = (hit.item for hit in retrieval.of_kind("success"))
    confirmed = [(item, patterns[item.id]) for item in retrieved if item.id in patterns]
    for item, known in confirmed:
        if same_question(asked, known):
            return item
    if not settings.template_answers or assistant.datasource is None:
        return None
    values = core.retriever.values(assistant.base, revision=commit)
    return with_question_values(asked, confirmed, dialect=assistant.datasource.dialect, values=values)


async def _fitted(engine: Engine, prompt_tokens: int, sampling: Sampling) -> Sampling:
    """Sampling with `max_tokens` set. Raises `PromptTooLong` where the prompt cannot fit; nothing is ever cut."""
    window_tokens = await engine.window_tokens()
    wanted = sampling.max_tokens or engine.config.max_output_tokens
    if window_tokens is not None:
        least = sampling.max_tokens or min(LEAST_ANSWER_TOKENS, wanted)
        if prompt_tokens + least > window_tokens:
            raise PromptTooLong(prompt_tokens, window_tokens, least)
        wanted = min(wanted, window_tokens - prompt_tokens)
    return replace(sampling, max_tokens=wanted)


def _storable(text: str) -> str:
    """Without what not every database can hold: NUL becomes U+FFFD, half a surrogate pair a question mark."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _joined(engine: Engine, chunks: list[Chunk]) -> _Generated:
    reasons = [chunk.finish_reason for chunk in chunks if chunk.finish_reason]
    usages = [chunk.usage for chunk in chunks if chunk.usage]
    text = _storable("".join(chunk.text for chunk in chunks))
    return _Generated(text, reasons[-1] if reasons else "stop", usages[-1] if usages else None, engine.config.model)


def _retrieved(hit: Hit) -> Retrieved:
    item = hit.item
    return Retrieved(item.id, hit.item_hash, item.kind, item.title, round(hit.score, 4), hit.reasons)
