"""`connect`, and every engine that LiteLLM translates for. The one file that imports it.

A server that speaks OpenAI's API is asked without LiteLLM (`server_engine.py`), which is 4 ms less of a request. One
of `openai/…` whose model LiteLLM knows by name is asked through it all the same: some of OpenAI's own models take other
parameters than the rest, and LiteLLM knows which.

LiteLLM is imported on the first `connect` that needs it, because that takes seconds. Checked against LiteLLM 1.106:
- without `LITELLM_LOCAL_MODEL_COST_MAP` it fetches a price list from the network on import;
- `num_retries` needs tenacity, which it does not bring along, retries bad requests too, and swallows its own
  failure; with OpenAI's client it counts twice. So `retries` is counted here;
- it reports "stop" for a stream that ended without a `finish_reason`, and for what broke off. What really came is kept
  beside it, and decides whether an answer is whole.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from backend.chat_body import sampling_fields
from backend.engine import (
    Chunk,
    Completion,
    Engine,
    EngineConfig,
    Message,
    Sampling,
    SingleServer,
    Usage,
    replica_name,
)
from backend.engine_failure import FOREIGN_ERRORS, engine_failure, names_key
from backend.errors import BackendError, EngineInterrupted, EngineMisconfigured
from backend.finish import whole
from backend.model_folder import SHIPPED_FOLDER, SHIPPED_MODEL
from backend.reported import reported_ttft_seconds, reported_usage
from backend.retries import retried
from backend.routing.routed_engine import RoutedEngine
from backend.server_connection import ServerConnection, speaks_openai
from backend.server_engine import ServerEngine
from backend.vllm_server import VLLMServer

if TYPE_CHECKING:
    from backend.embedded import EmbeddedProvider

__all__ = [
    "Chunk",
    "Completion",
    "Engine",
    "EngineConfig",
    "LiteLLMEngine",
    "Message",
    "Sampling",
    "SingleServer",
    "Usage",
    "connect",
]

T = TypeVar("T")

_OURS = "kvasir"
"""Source of what was added to LiteLLM's list here."""


def connect(config: EngineConfig) -> Engine:
    """An engine for `config`. Talks to nothing yet, but checks a model folder.

    Raises `EngineMisconfigured` where `path` or `api_base` is missing, `ModelFolderInvalid` for a bad folder.
    """
    if config.replicas:
        servers = {
            replica_name(address): connect(replace(config, api_base=address, replicas=(), retries=0))
            for address in config.replicas
        }
        return RoutedEngine(config, servers)
    if config.provider == "hosted_vllm":
        connection = ServerConnection(config)
        return ServerEngine(config, connection, VLLMServer(config, connection))
    engine = LiteLLMEngine(config)
    if speaks_openai(config) and not engine.knows_model:
        return ServerEngine(config, ServerConnection(config), engine)
    return engine


class LiteLLMEngine(SingleServer):
    """`Engine` over any provider of LiteLLM, a model in this process among them."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._litellm = _import_litellm()
        self.knows_model = False
        """Whether LiteLLM's list has it, and so what its provider wants otherwise."""
        self._folder: Path | None = None
        self._embedded: EmbeddedProvider | None = None
        if config.provider == "embedded":
            self._embedded = _embedded_provider(self._litellm)
            self._folder = _folder_of(config)
            self._embedded.check(self._folder)
        else:
            self.knows_model = _knows(self._litellm, config)
            if not self.knows_model:
                _name_model(self._litellm, config)

    @property
    def config(self) -> EngineConfig:
        return self._config

    async def complete(self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str | None) -> Completion:
        arguments = self._arguments(messages, sampling, cache_salt, stream=False)
        response = await self._begin(arguments)
        if not response.choices:
            raise EngineInterrupted(self._config.name, "no choice in the answer")
        choice = response.choices[0]
        fields = getattr(choice, "provider_specific_fields", None) or {}
        said = fields.get("native_finish_reason") or choice.finish_reason
        return Completion(
            text=choice.message.content or "",
            finish_reason=whole(self._config.name, said, choice.finish_reason),
            model=response.model or self._config.served_name,
            usage=self._usage(response),
            ttft_seconds=reported_ttft_seconds(response),
        )

    async def stream(
        self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str | None
    ) -> AsyncGenerator[Chunk]:
        response = await self._begin(self._arguments(messages, sampling, cache_salt, stream=True))
        usage: Usage | None = None
        started = False
        try:
            while (part := await self._next(response, started=started)) is not None:
                usage = self._usage(part) or usage
                text = part.choices[0].delta.content if part.choices else None
                if text:
                    started = True
                    yield Chunk(text)
            said = response.received_finish_reason or response.intermittent_finish_reason
            yield Chunk("", finish_reason=whole(self._config.name, said, said), usage=usage)
        finally:
            # Closes the connection, which is how vLLM learns that nobody reads any more.
            await response.aclose()

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        if self._embedded is not None and self._folder is not None:
            return await self._mapped(self._embedded.count_tokens(self._folder, messages))
        counted: int = await asyncio.to_thread(
            self._litellm.token_counter, model=self._config.model, messages=list(messages)
        )
        return counted

    async def token_ids(self, messages: Sequence[Message]) -> Sequence[int] | None:  # noqa: ARG002
        return None

    async def text_tokens(self, text: str) -> int:
        if self._embedded is not None and self._folder is not None:
            return await self._mapped(self._embedded.text_tokens(self._folder, text))
        counted: int = await asyncio.to_thread(self._litellm.token_counter, model=self._config.model, text=text)
        return counted

    async def window_tokens(self) -> int | None:
        if self._config.window_tokens is not None:
            return self._config.window_tokens
        if self._embedded is not None and self._folder is not None:
            return self._embedded.check(self._folder).window_tokens
        known = self._litellm.model_cost
        entry = known.get(self._config.model) or known.get(self._config.served_name) or {}
        window = entry.get("max_input_tokens")
        return window if isinstance(window, int) else None

    def _usage(self, answer: Any) -> Usage | None:
        return reported_usage(answer, only_own_cache=self._embedded is not None)

    def _arguments(
        self, messages: Sequence[Message], sampling: Sampling, cache_salt: str | None, *, stream: bool
    ) -> dict[str, Any]:
        config = self._config
        if sampling.grammar is not None and not config.takes_grammar:
            raise EngineMisconfigured(config.name, "model", "is of a provider that takes no grammar")
        wanted = sampling_fields(config, sampling) | {
            "api_base": config.api_base,
            "api_key": config.api_key,
            "stream_options": {"include_usage": True} if stream else None,
        }
        if self._folder is not None:
            wanted |= {
                "model_folder": str(self._folder),
                "cache_salt": cache_salt,
                "prefix_cache_mb": config.prefix_cache_mb,
                "grammar": sampling.grammar,
            }
        return {
            "model": config.model,
            # LiteLLM rewrites messages in place for some providers.
            "messages": [dict(message) for message in messages],
            "stream": stream,
            "timeout": config.timeout_seconds,
            "max_retries": 0,
            "num_retries": 0,
            "drop_params": True,
            **{key: value for key, value in wanted.items() if value is not None},
        }

    async def _begin(self, arguments: dict[str, Any]) -> Any:
        """Send the request, again where that can help, until the answer or the stream's head is there."""
        return await retried(self._config, lambda: self._mapped(self._litellm.acompletion(**arguments)))

    async def _next(self, response: Any, *, started: bool) -> Any | None:
        try:
            return await self._mapped(anext(response), started=started)
        except StopAsyncIteration:
            return None

    async def _mapped(self, call: Awaitable[T], *, started: bool = False) -> T:
        try:
            async with asyncio.timeout(self._config.timeout_seconds):
                return await call
        except (*FOREIGN_ERRORS, BackendError) as exc:
            error = engine_failure(exc, self._config, started=started)
            if error is exc:
                raise
            raise error from (None if names_key(exc, self._config) else exc)


def _import_litellm() -> Any:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    # It reports every change of event loop as a warning; a replay in a thread of its own has its own loop.
    logging.getLogger("LiteLLM").setLevel(logging.ERROR)
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    # Counting for a Llama or Cohere model would fetch its tokenizer; an estimate is what these get anyway.
    litellm.disable_hf_tokenizer_download = True
    # It ends a stream at the hundredth equal chunk, as an error. A rule of dashes is none, and max_tokens ends loops.
    litellm.REPEATED_STREAMING_CHUNK_LIMIT = sys.maxsize
    # It would put the whole stream together again for callbacks, and there are none.
    litellm.disable_streaming_logging = True
    return litellm


def _knows(litellm: Any, config: EngineConfig) -> bool:
    """Whether LiteLLM's list has the model, other than by `_name_model`."""
    try:
        litellm.get_model_info(config.served_name, custom_llm_provider=config.provider)
    except Exception:  # noqa: BLE001 - its way to say that it does not know the model
        return False
    entry = litellm.model_cost.get(f"{config.provider}/{config.served_name}") or {}
    return entry.get("source") != _OURS


def _name_model(litellm: Any, config: EngineConfig) -> None:
    """Tell LiteLLM of a model that its price list lacks.

    It asks the list for the price of every answer, and what is not found is looked for again each time, by patterns:
    a millisecond. Nobody reads the price.
    """
    provider = config.provider
    free = {"input_cost_per_token": 0.0, "output_cost_per_token": 0.0}
    entry = {"litellm_provider": provider, "mode": "chat", "source": _OURS, **free}
    litellm.register_model({f"{provider}/{config.served_name}": entry})


def _embedded_provider(litellm: Any) -> EmbeddedProvider:
    """The provider registered with LiteLLM, whose list is process-wide: engines share its loaded models."""
    from backend.embedded import EmbeddedProvider

    for entry in litellm.custom_provider_map:
        if entry["provider"] == "embedded" and isinstance(entry["custom_handler"], EmbeddedProvider):
            return entry["custom_handler"]
    provider = EmbeddedProvider()
    litellm.custom_provider_map.append({"provider": "embedded", "custom_handler": provider})
    litellm.utils.custom_llm_setup()
    return provider


def _folder_of(config: EngineConfig) -> Path:
    if config.path:
        return Path(config.path).expanduser().resolve()
    if config.served_name == SHIPPED_MODEL:
        return SHIPPED_FOLDER
    raise EngineMisconfigured(
        config.name, "path", f"is missing; it is the model's folder. Only {SHIPPED_MODEL} needs none"
    )
