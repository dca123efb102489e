"""Engines of a stream: what they answer is given, since what is measured is the prompts and their cache."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from backend.client import Chunk, Completion, Engine, EngineConfig, Message, Sampling, SingleServer, Usage
from backend.errors import ModelFolderInvalid
from backend.model_folder import check_model_folder
from evals.bench.errors import ModelUnavailable
from gateway.knowledge_prefix import Tokens, as_tokens


@dataclass(frozen=True, slots=True)
class Sent:
    """A prompt that reached an engine: its tokens where the engine keeps no cache, else what it told of its cache.

    `answer` is the tokens of what was answered, without the one that ends it, whose KV nobody computes.
    """

    cache_salt: str | None
    tokens: Tokens | None
    usage: Usage | None
    ttft_seconds: float | None
    answer: Tokens | None = None


class StreamEngine(Engine, Protocol):
    """`answer` is what it says next. `sent` grows by one with each prompt."""

    answer: str
    sent: list[Sent]


class _Told(SingleServer, ABC):
    """Answers with what it was told to."""

    def __init__(self) -> None:
        self.answer = ""
        self.sent: list[Sent] = []

    @abstractmethod
    async def complete(
        self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str | None
    ) -> Completion: ...

    async def stream(
        self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str | None
    ) -> AsyncGenerator[Chunk]:
        """In one piece."""
        done = await self.complete(messages, sampling, cache_salt=cache_salt)
        yield Chunk(done.text, done.finish_reason, done.usage)


class CountingEngine(_Told):
    """No model: only the tokenizer and chat template of a model folder. Keeps the tokens of every prompt."""

    def __init__(self, folder: Path) -> None:
        """Raises `ModelUnavailable`."""
        super().__init__()
        from transformers import AutoTokenizer

        try:
            model = check_model_folder(folder)
        except ModelFolderInvalid as exc:
            raise ModelUnavailable(folder, str(exc)) from exc
        self.config = EngineConfig(name="counting", model=f"embedded/{model.name}")
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)

    async def complete(
        self,
        messages: Sequence[Message],
        sampling: Sampling,  # noqa: ARG002  nothing is drawn
        *,
        cache_salt: str | None,
    ) -> Completion:
        tokens = as_tokens(self._ids(messages))
        usage = Usage(len(tokens), 1)
        self.sent.append(Sent(cache_salt, tokens, usage, None, as_tokens(self.ids_of(self.answer))))
        return Completion(self.answer, "stop", self.config.model, usage, None)

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        return len(self._ids(messages))

    async def token_ids(self, messages: Sequence[Message]) -> Sequence[int]:
        return self._ids(messages)

    async def text_tokens(self, text: str) -> int:
        return len(self.ids_of(text))

    async def window_tokens(self) -> int | None:
        return None

    def ids_of(self, text: str) -> list[int]:
        """Of a text by itself, without the chat template."""
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def rendered(self, messages: Sequence[Message]) -> str:
        """The text of a prompt, the chat template's included."""
        written = [dict(message) for message in messages]
        text: str = self._tokenizer.apply_chat_template(written, tokenize=False, add_generation_prompt=True)
        return text

    def _ids(self, messages: Sequence[Message]) -> list[int]:
        return self.ids_of(self.rendered(messages))


class OneTokenEngine(_Told):
    """A real engine, asked for one token each time. The time to it is the engine's word, else all that it took."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.config = engine.config
        self._engine = engine

    async def complete(self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str | None) -> Completion:
        begun = time.perf_counter()
        told = await self._engine.complete(messages, replace(sampling, max_tokens=1), cache_salt=cache_salt)
        ttft_seconds = told.ttft_seconds if told.ttft_seconds is not None else time.perf_counter() - begun
        self.sent.append(Sent(cache_salt, None, told.usage, ttft_seconds))
        return replace(told, text=self.answer, finish_reason="stop")

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        return await self._engine.count_tokens(messages)

    async def token_ids(self, messages: Sequence[Message]) -> Sequence[int] | None:
        return await self._engine.token_ids(messages)

    async def text_tokens(self, text: str) -> int:
        return await self._engine.text_tokens(text)

    async def window_tokens(self) -> int | None:
        return await self._engine.window_tokens()
