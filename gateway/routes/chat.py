"""`POST /v1/chat/completions` and `GET /v1/models`, as OpenAI's clients know them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from gateway import wire
from gateway.answering import Answer, Ask, Prepared, answer, prepare, stream
from gateway.api_keys import Caller
from gateway.conversation import parse_conversation
from gateway.errors import AssistantNotFound
from gateway.http_errors import HANDLED, http_error
from gateway.metrics import Metrics
from gateway.routes import events
from gateway.routes.dependencies import CallerDep, Gateway, GatewayDep
from gateway.routes.pass_through import passed_through

router = APIRouter(prefix="/v1", tags=["chat"])

Pieces = AsyncGenerator[str | Answer]


@router.get("/models")
def list_models(gateway: GatewayDep, caller: CallerDep) -> dict[str, Any]:
    """The tenant's assistants, and the engines that are open to it."""
    caller.require("ask", "listing assistants")
    names = gateway.core.model_names(caller.tenant)
    data = [{"id": name, "object": "model", "created": 0, "owned_by": "kvasir"} for name in names]
    return {"object": "list", "data": data}


@router.post("/chat/completions", response_model=None)
async def create_chat_completion(
    body: wire.ChatRequest, request: Request, gateway: GatewayDep, caller: CallerDep
) -> Response:
    """Answer a question. `model` is an assistant; `kvasir.session_id` may name the conversation.

    `engine:NAME` is an engine itself, where that is open to the tenant.
    """
    caller.require("ask", "asking")
    if (engine := gateway.core.open_engine(caller.tenant, body.model)) is not None:
        return await passed_through(body, request, gateway, caller.tenant, engine)
    ask = _ask(body, caller)
    request.state.request_id = ask.id
    try:
        prepared = await asyncio.to_thread(prepare, gateway.core, ask, planned=True)
        if body.stream:
            return await _streamed(body, gateway, prepared)
        answered = await answer(gateway.core, prepared)
    except HANDLED as exc:
        known = not isinstance(exc, AssistantNotFound)
        gateway.metrics.failed(caller.tenant, body.model if known else "unknown", exc)
        raise
    gateway.metrics.answered(answered.trace)
    return JSONResponse(wire.completion(answered), headers=_headers(prepared))


def _ask(body: wire.ChatRequest, caller: Caller) -> Ask:
    return Ask(
        tenant=caller.tenant,
        assistant=body.model,
        conversation=parse_conversation(body.to_messages()),
        user=body.user,
        session_id=body.kvasir.session_id if body.kvasir else None,
        sampling=body.to_sampling(),
        use_case=body.kvasir.use_case if body.kvasir else None,
    )


async def _streamed(body: wire.ChatRequest, gateway: Gateway, prepared: Prepared) -> Response:
    """Begins the answer before the status is sent, so that an engine that is away is an error, not a broken stream."""
    pieces = stream(gateway.core, prepared)
    begun = await anext(pieces)
    include_usage = bool(body.stream_options and body.stream_options.include_usage)
    return events.response(_events(begun, pieces, prepared, gateway.metrics, include_usage), _headers(prepared))


async def _events(
    begun: str | Answer, pieces: Pieces, prepared: Prepared, metrics: Metrics, include_usage: bool
) -> AsyncIterator[str]:
    ask = prepared.ask
    try:
        yield events.event(wire.first_chunk(ask.id, ask.assistant))
        piece: str | Answer | None = begun
        while piece is not None:
            if isinstance(piece, Answer):
                metrics.answered(piece.trace)
                for chunk in wire.last_chunks(piece, include_usage=include_usage):
                    yield events.event(chunk)
            else:
                yield events.event(wire.text_chunk(ask.id, ask.assistant, piece))
            piece = await anext(pieces, None)
        yield events.DONE
    except HANDLED as exc:
        metrics.failed(ask.tenant, ask.assistant, exc)
        yield events.event(http_error(exc).body())
    finally:
        # A client that went away leaves the pieces unread; closing them ends the engine's work.
        await pieces.aclose()


def _headers(prepared: Prepared) -> dict[str, str]:
    return {"x-kvasir-request-id": prepared.ask.id, "x-kvasir-commit": prepared.commit}
