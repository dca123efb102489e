"""The wire: OpenAI's chat completion format in and out, with Kvasir's object beside it.

Source: OpenAI's API reference, chat completions. Parameters that cannot change a single text answer are accepted and
ignored, as compatible servers do; those that ask for what is not here (tools, several choices, log probabilities, JSON)
are refused.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

from backend.client import Message, Sampling, Usage
from backend.tiers.use_case import UseCase
from gateway.answering import Answer
from gateway.cache_use import cache_use
from gateway.conversation import require_storable
from gateway.errors import BadRequest
from gateway.traces import Retrieved, Summary, Trace

SEPARATOR = "; "


def _storable(text: str, info: ValidationInfo) -> str:
    return require_storable(text, str(info.field_name))


StorableText = Annotated[str, AfterValidator(_storable)]


class TextPart(BaseModel):
    type: str
    text: str = ""


class ChatMessage(BaseModel):
    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart] | None = None

    def to_message(self, index: int) -> Message:
        if self.content is None or isinstance(self.content, str):
            return {"role": self.role, "content": self.content or ""}
        for part in self.content:
            if part.type != "text":
                raise BadRequest(f"messages[{index}] has a part of type '{part.type}'; only text is read", "messages")
        return {"role": self.role, "content": "".join(part.text for part in self.content)}


class KvasirOptions(BaseModel):
    """`session_id` names the conversation; without it, it is found by its messages. `use_case` is the assistant's
    unless it is given."""

    model_config = ConfigDict(extra="forbid")

    session_id: StorableText | None = Field(None, min_length=1, max_length=64)
    use_case: UseCase | None = None


class StreamOptions(BaseModel):
    include_usage: bool = False


class ChatRequest(BaseModel):
    model_config = ConfigDict(extra="allow")

    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, gt=0)
    max_completion_tokens: int | None = Field(None, gt=0)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = None
    stop: str | list[str] | None = None
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    n: int | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    logprobs: bool | None = None
    logit_bias: dict[str, float] | None = None
    response_format: dict[str, Any] | None = None
    user: StorableText = Field("", max_length=200)
    kvasir: KvasirOptions | None = None

    def to_messages(self) -> list[Message]:
        if self.n not in (None, 1):
            raise BadRequest(f"n={self.n}: one answer a request is given; leave n out", "n")
        for name in ("tools", "functions", "logprobs", "logit_bias"):
            if getattr(self, name):
                raise BadRequest(f"{name} is not supported; leave it out", name)
        if self.response_format and self.response_format.get("type") != "text":
            raise BadRequest("response_format: only text is given; leave it out", "response_format")
        return [message.to_message(index) for index, message in enumerate(self.messages)]

    def to_sampling(self) -> Sampling:
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        return Sampling(
            max_tokens=self.max_completion_tokens or self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.seed,
            stop=stop,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
        )


class ConfirmRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    verdict: Literal["success", "failure"]
    answer: StorableText | None = None
    note: StorableText | None = Field(None, max_length=2000)


def completion(answer: Answer) -> dict[str, Any]:
    return {
        **plain_completion(answer.trace.id, answer.trace.assistant, answer.text, answer.finish_reason, answer.usage),
        "kvasir": kvasir_object(answer.trace),
    }


def plain_completion(
    request_id: str, model: str, text: str, finish_reason: str, counted: Usage | None
) -> dict[str, Any]:
    """An answer as OpenAI gives it, without Kvasir's object."""
    return {
        **_head(request_id, "chat.completion", model),
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "logprobs": None,
                "finish_reason": finish_reason,
            }
        ],
        "usage": usage(counted) if counted else None,
    }


def first_chunk(request_id: str, model: str) -> dict[str, Any]:
    return _chunk(request_id, model, {"role": "assistant", "content": ""})


def text_chunk(request_id: str, model: str, text: str) -> dict[str, Any]:
    return _chunk(request_id, model, {"content": text})


def last_chunks(answer: Answer, *, include_usage: bool) -> list[dict[str, Any]]:
    """What ends a stream: the finish reason, then the usage where it was asked for. The last has Kvasir's object."""
    trace = answer.trace
    chunks = plain_last_chunks(trace.id, trace.assistant, answer.finish_reason, answer.usage if include_usage else None)
    chunks[-1]["kvasir"] = kvasir_object(trace)
    return chunks


def plain_last_chunks(
    request_id: str, model: str, finish_reason: str | None, counted: Usage | None
) -> list[dict[str, Any]]:
    """What ends a stream as OpenAI ends it; `counted` stands in a chunk of its own."""
    chunks = [_chunk(request_id, model, {}, finish_reason)]
    if counted is not None:
        chunks.append({**_head(request_id, "chat.completion.chunk", model), "choices": [], "usage": usage(counted)})
    return chunks


def usage(counted: Usage) -> dict[str, Any]:
    prompt, written = counted.prompt_tokens, counted.completion_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
        "prompt_tokens_details": {"cached_tokens": counted.cached_tokens or 0},
    }


def kvasir_object(trace: Trace) -> dict[str, Any]:
    use = cache_use(trace)
    return {
        "request_id": trace.id,
        "session_id": trace.session_id,
        "knowledge_base": trace.kb,
        "commit": trace.commit,
        "answered_by": trace.answered_by,
        "verified_by": trace.verified_by,
        "replica": trace.replica,
        "items": [_item(item) for item in trace.items],
        "prompt_hash": trace.prompt_hash,
        "prompt_order": trace.prompt_order,
        "prompt_tokens": trace.prompt_tokens,
        "cache": asdict(use) if use else None,
        "timings": trace.timings,
        "verification": trace.verification,
    }


def full_trace(trace: Trace) -> dict[str, Any]:
    """`GET /v1/requests/{id}`: the fields of Kvasir's object, and everything around them."""
    return {
        "id": trace.id,
        "object": "kvasir.request",
        "created_at": trace.created_at,
        "status": trace.status,
        "error": trace.error,
        "assistant": trace.assistant,
        "user": trace.user,
        "question": trace.question,
        "answer": trace.answer,
        "engine": trace.engine,
        "engine_model": trace.engine_model,
        "usage": trace.usage,
        **kvasir_object(trace),
        "messages": list(trace.messages),
        "prompt": list(trace.prompt),
    }


def summary(request: Summary) -> dict[str, Any]:
    """A request in a list."""
    return {"object": "kvasir.request_summary", **asdict(request)}


def _item(item: Retrieved) -> dict[str, Any]:
    return {
        "id": item.id,
        "kind": item.kind,
        "title": item.title,
        "score": item.score,
        "reason": SEPARATOR.join(item.reasons),
        "item_hash": item.item_hash,
    }


def _head(request_id: str, kind: str, model: str) -> dict[str, Any]:
    return {"id": request_id, "object": kind, "created": int(time.time()), "model": model}


def _chunk(request_id: str, model: str, delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return {**_head(request_id, "chat.completion.chunk", model), "choices": [choice]}
