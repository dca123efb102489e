"""The life of a request, from a question to a stored trace: the gateway's core, without HTTP.

`prepare` retrieves and assembles and calls no engine; `answer` and `stream` end what it began. The replay of a
proposal runs the same three steps.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from backend.client import Chunk
from backend.errors import BackendError
from gateway.answer_run import Answer as Answer
from gateway.answer_run import AnswerRun, storable
from gateway.core import Core
from gateway.errors import GatewayError
from gateway.prepared import Ask as Ask
from gateway.prepared import Prepared as Prepared
from gateway.prepared import prepare as prepare
from kb.errors import KnowledgeError


async def answer(core: Core, prepared: Prepared) -> Answer:
    """Answer, verify and store the trace; a failure is stored as well, then raised."""
    run = AnswerRun(core, prepared)
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
    run = AnswerRun(core, prepared)
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
                yield storable(chunk.text)
        yield await run.ended(run.joined(engine, chunks))
    except (GatewayError, BackendError, KnowledgeError) as exc:
        await asyncio.to_thread(run.keep_failure, str(exc))
        raise
    except (asyncio.CancelledError, GeneratorExit):
        # Shielded, since a server may cancel again while it waits: the trace is kept all the same.
        await asyncio.shield(
            asyncio.to_thread(run.keep_failure, "the client closed the connection before the answer ended")
        )
        raise


async def confirmed_text(core: Core, prepared: Prepared) -> str | None:
    """The verified answer, unless the check says that its SQL went wrong. Stores nothing."""
    confirmed = await AnswerRun(core, prepared).confirmed()
    return confirmed[1].answer if confirmed else None


async def generated_text(core: Core, prepared: Prepared) -> str:
    """What the engine answers, whether or not an answer is confirmed. Stores nothing."""
    run = AnswerRun(core, prepared)
    return (await run.generate(*await run.ready_engine())).text
