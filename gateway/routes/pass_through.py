"""Answers of an engine that a request names itself, `engine:NAME`: nothing is retrieved, checked, or stored.

There is nothing that a person could confirm of such an answer, so it leaves no trace
(docs/decisions/036-an-engine-can-be-named.md). Of a server that speaks OpenAI's API the answer is its own, byte for
byte; of any other engine it is what LiteLLM makes of it.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from backend.client import Chunk, Engine, Message, Sampling
from backend.relay import Relayed, RelayedPart
from backend.routing.routed_relay import AnyRelay
from gateway import wire
from gateway.http_errors import HANDLED, http_error
from gateway.metrics import Metrics
from gateway.routes import events
from gateway.routes.dependencies import Gateway

Chunks = AsyncGenerator[Chunk]
Parts = AsyncGenerator[RelayedPart | Relayed]


@dataclass(frozen=True, slots=True)
class Passing:
    """One request under way to an engine. `model` is how the client named the engine."""

    id: str
    tenant: str
    model: str
    engine: Engine
    messages: list[Message]
    sampling: Sampling


async def passed_through(
    body: wire.ChatRequest, request: Request, gateway: Gateway, tenant: str, engine: Engine
) -> Response:
    """The engine's own answer to the client's own messages. Raises `BadRequest` and what engines raise."""
    passing = Passing(
        f"req_{secrets.token_hex(12)}", tenant, body.model, engine, body.to_messages(), body.to_sampling()
    )
    request.state.request_id = passing.id
    relay = gateway.relays.get(engine.config.name)
    include_usage = bool(body.stream_options and body.stream_options.include_usage)
    try:
        if body.stream and relay is not None:
            return await _relayed_stream(passing, relay, gateway.metrics, include_usage=include_usage)
        if body.stream:
            return await _streamed(passing, gateway.metrics, include_usage=include_usage)
        if relay is not None:
            relayed = await relay.complete(passing.messages, passing.sampling, cache_salt=tenant)
            return _whole(passing, relayed, gateway.metrics)
        answered = await engine.complete(passing.messages, passing.sampling, cache_salt=tenant)
    except HANDLED as exc:
        gateway.metrics.failed(tenant, body.model, exc)
        raise
    gateway.metrics.passed(tenant, body.model, answered.usage)
    content = wire.plain_completion(passing.id, body.model, answered.text, answered.finish_reason, answered.usage)
    return JSONResponse(content, headers=_headers(passing))


def _whole(passing: Passing, relayed: Relayed, metrics: Metrics) -> Response:
    metrics.passed(passing.tenant, passing.model, relayed.usage)
    return Response(relayed.body, relayed.status, _headers(passing), "application/json")


async def _relayed_stream(passing: Passing, relay: AnyRelay, metrics: Metrics, *, include_usage: bool) -> Response:
    parts = relay.stream(passing.messages, passing.sampling, cache_salt=passing.tenant, include_usage=include_usage)
    begun = await anext(parts)
    if isinstance(begun, Relayed):
        await parts.aclose()
        return _whole(passing, begun, metrics)
    return events.response(_relayed_events(passing, begun, parts, metrics), _headers(passing))


async def _relayed_events(passing: Passing, begun: RelayedPart, parts: Parts, metrics: Metrics) -> AsyncIterator[bytes]:
    usage = begun.usage
    try:
        yield begun.body
        async for part in parts:
            usage = part.usage or usage
            yield part.body
        metrics.passed(passing.tenant, passing.model, usage)
    except HANDLED as exc:
        metrics.failed(passing.tenant, passing.model, exc)
        yield events.event(http_error(exc).body()).encode()
    finally:
        await parts.aclose()


async def _streamed(passing: Passing, metrics: Metrics, *, include_usage: bool) -> Response:
    chunks = passing.engine.stream(passing.messages, passing.sampling, cache_salt=passing.tenant)
    # Before the status is sent, so that an engine that is away is an error, not a broken stream.
    begun = await anext(chunks)
    return events.response(_events(passing, begun, chunks, metrics, include_usage), _headers(passing))


async def _events(
    passing: Passing, begun: Chunk, chunks: Chunks, metrics: Metrics, include_usage: bool
) -> AsyncIterator[str]:
    try:
        yield events.event(wire.first_chunk(passing.id, passing.model))
        chunk: Chunk | None = begun
        while chunk is not None:
            if chunk.text:
                yield events.event(wire.text_chunk(passing.id, passing.model, chunk.text))
            if chunk.finish_reason is not None:
                metrics.passed(passing.tenant, passing.model, chunk.usage)
                usage = chunk.usage if include_usage else None
                for last in wire.plain_last_chunks(passing.id, passing.model, chunk.finish_reason, usage):
                    yield events.event(last)
            chunk = await anext(chunks, None)
        yield events.DONE
    except HANDLED as exc:
        metrics.failed(passing.tenant, passing.model, exc)
        yield events.event(http_error(exc).body())
    finally:
        # A client that went away leaves chunks unread; closing them ends the engine's work.
        await chunks.aclose()


def _headers(passing: Passing) -> dict[str, str]:
    return {"x-kvasir-request-id": passing.id}
