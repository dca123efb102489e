"""The body of a request for an answer, in OpenAI's words and vLLM's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backend.engine import EngineConfig, Message, Sampling


def chat_body(
    config: EngineConfig, messages: Sequence[Message], sampling: Sampling, cache_salt: str | None
) -> dict[str, Any]:
    """For a server that speaks OpenAI's API. What `sampling` leaves open is the configuration's or the server's."""
    wanted = sampling_fields(config, sampling)
    if config.provider == "hosted_vllm":
        wanted |= {
            "cache_salt": cache_salt,
            "structured_outputs": {"grammar": sampling.grammar} if sampling.grammar is not None else None,
            # A server that does not schedule by priority refuses any but 0.
            "priority": sampling.priority if config.priorities and sampling.priority else None,
        }
    given = {key: value for key, value in wanted.items() if value is not None}
    return {"model": config.served_name, "messages": list(messages), **given}


def sampling_fields(config: EngineConfig, sampling: Sampling) -> dict[str, Any]:
    """What every engine takes, in OpenAI's words; `None` is for what is left to it."""
    return {
        "max_tokens": config.max_output_tokens if sampling.max_tokens is None else sampling.max_tokens,
        "temperature": config.temperature if sampling.temperature is None else sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
        "stop": list(sampling.stop) or None,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
    }
