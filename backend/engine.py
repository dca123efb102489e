"""What an engine is to the rest of Kvasir: the contract, and the values that cross it.

An engine turns messages into text. Which server, library or company does so stays behind `Engine`; callers import
these names from `backend.client`, which holds the one implementation.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self, TypedDict
from urllib.parse import urlsplit


class Message(TypedDict):
    """One message of a conversation, in OpenAI's words: `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class EngineConfig:
    """Where tokens come from.

    `model` is LiteLLM's model string: `embedded/kvasir-mini`, `embedded/NAME` (with `path`, a model folder),
    `hosted_vllm/NAME` (with `api_base`), `openai/…`, `anthropic/…` or any other of its providers.
    `window_tokens=None` asks the engine.
    `lmcache=True` says that the vLLM server has the LMCache connector, so that it can tell whose cache was hit.
    `priorities=True` says that the vLLM server schedules by priority (`--scheduling-policy priority`).
    `prefix_cache_mb` bounds the KV that an embedded model keeps between requests; 0 keeps none.
    `replicas` are addresses of several servers of the same model, in the place of `api_base`.
    """

    name: str
    model: str
    path: str | None = None
    api_base: str | None = None
    api_key: str | None = field(default=None, repr=False)
    window_tokens: int | None = None
    max_output_tokens: int = 512
    temperature: float = 0.0
    timeout_seconds: float = 120.0
    retries: int = 1
    lmcache: bool = False
    priorities: bool = False
    prefix_cache_mb: int = 256
    replicas: tuple[str, ...] = ()

    @property
    def provider(self) -> str:
        """The part of `model` before the first slash, or "" where it has none."""
        provider, slash, _ = self.model.partition("/")
        return provider if slash else ""

    @property
    def takes_grammar(self) -> bool:
        """Whether answers can be held to a grammar. Other providers' APIs take JSON schemas at most."""
        return self.provider in ("embedded", "hosted_vllm")

    @property
    def served_name(self) -> str:
        """The part of `model` after the first slash: the name that the engine itself knows."""
        return self.model.partition("/")[2] or self.model


@dataclass(frozen=True)
class Sampling:
    """How to draw tokens. `None` leaves it to the engine's configuration, then to the engine.

    `grammar` is a Lark grammar for llguidance that the answer follows, for an engine that `takes_grammar`. An answer
    cut off at `max_tokens` is only the beginning of such a text.
    `priority` is vLLM's: of what waits, the lowest comes first, and 0 is what people wait for. Other engines, and
    those that do not schedule by it, are not told.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    grammar: str | None = None
    priority: int = 0


@dataclass(frozen=True)
class Usage:
    """Tokens of one request. A cache count of `None` means that the engine does not say, which is not 0.

    `cached_tokens` were not computed again, from whichever cache; `engine_cached_tokens` came from the prefix cache of
    vLLM itself or of an embedded model, and `lmcache_cached_tokens` is the prefix that LMCache held. The last two
    overlap: a prefix can lie in both. What LMCache held beyond vLLM's own, and so was loaded from it, are
    `lmcache_loaded_tokens`.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int | None = None
    engine_cached_tokens: int | None = None
    lmcache_cached_tokens: int | None = None
    lmcache_loaded_tokens: int | None = None


@dataclass(frozen=True)
class Completion:
    """A whole answer. `finish_reason` is "stop", "length" or another of OpenAI's words.

    `ttft_seconds` is `None` where the engine does not report when its first token was ready. `replica` is who answered,
    of an engine of several.
    """

    text: str
    finish_reason: str
    model: str
    usage: Usage | None
    ttft_seconds: float | None
    replica: str | None = None


@dataclass(frozen=True)
class Chunk:
    """A piece of a streamed answer. The last one has a `finish_reason`, and `usage` where the engine counts.

    `replica` is who answers, of an engine of several.
    """

    text: str
    finish_reason: str | None = None
    usage: Usage | None = None
    replica: str | None = None


class Engine(Protocol):
    """Messages in, text out. Every method raises from the `EngineError` branch of `backend.errors`, or
    `ModelFolderInvalid`; one object may serve any number of concurrent calls.

    `cache_salt` keeps one tenant's KV cache from being seen through another's timings. Engines without a salted
    prefix cache never get it.
    """

    @property
    def config(self) -> EngineConfig: ...

    @property
    def servers(self) -> Sequence[Engine]:
        """Each that has a KV cache of its own and can be asked now: replicas, or the engine itself where it is one."""
        ...

    def replica_for(self, messages: Sequence[Message], *, cache_salt: str | None) -> str | None:
        """The replica that would be asked this prompt now; `None` for an engine that is one."""
        ...

    async def complete(
        self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str | None
    ) -> Completion: ...

    def stream(
        self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str | None
    ) -> AsyncGenerator[Chunk]:
        """Chunks as they come. Closing the generator, or cancelling its reader, stops the engine's work."""
        ...

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of the prompt that `messages` become. Exact, chat template included, with vLLM and embedded
        engines; an estimate with others."""
        ...

    async def token_ids(self, messages: Sequence[Message]) -> Sequence[int] | None:
        """Tokens of that prompt, as the engine's caches know it; `None` where the engine does not tell them."""
        ...

    async def text_tokens(self, text: str) -> int:
        """Tokens of a text by itself, without the chat template's; as exact as `count_tokens`."""
        ...

    async def window_tokens(self) -> int | None:
        """Tokens of prompt and answer together that fit, or `None` where the engine does not say."""
        ...


class SingleServer:
    """What an `Engine` that has no replicas says of them."""

    @property
    def servers(self) -> tuple[Self, ...]:
        return (self,)

    def replica_for(self, messages: Sequence[Message], *, cache_salt: str | None) -> str | None:  # noqa: ARG002
        return None


def replica_name(api_base: str) -> str:
    """What a replica is called: the host and port of its address."""
    parts = urlsplit(api_base)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return host if parts.port is None else f"{host}:{parts.port}"
