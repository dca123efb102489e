"""What an engine's error status and its words mean."""

from __future__ import annotations

import json
from collections.abc import Mapping

from backend.engine import EngineConfig
from backend.errors import ContextTooLong, EngineFailing, EngineRefused

_MESSAGE_CHARS = 600
_TOO_LONG = (
    "maximum context length",
    "maximum context limit",
    "exceed context limit",
    "longer than the model's context length",
    "longer than the maximum model length",
    "exceeds the available context size",
    "exceeds the maximum number of tokens allowed",
    "`inputs` tokens + `max_new_tokens` must be",
)
"""How vLLM, SGLang, llama.cpp, TGI and OpenAI say that a prompt does not fit."""


def refusal(
    config: EngineConfig, status: int, text: str, headers: Mapping[str, str], *, too_long: bool = False
) -> EngineRefused:
    """The error of an answer with `status` from 400 and the body `text`; `too_long` where it is known to be that."""
    kind = EngineFailing if status >= 500 else EngineRefused
    if too_long or (status < 500 and any(words in text.lower() for words in _TOO_LONG)):
        kind = ContextTooLong
    return kind(config.name, status, readable(text, config), retry_after_seconds=_retry_after_seconds(headers))


def readable(text: str, config: EngineConfig) -> str:
    """The engine's own words out of JSON and of LiteLLM's wrapping, without the key."""
    start = text.find("{")
    if start >= 0:
        try:
            body, _ = json.JSONDecoder().raw_decode(text[start:])
        except ValueError:
            body = {}
        error = body.get("error", body)
        inner = error.get("message") if isinstance(error, dict) else error
        text = str(inner) if inner else text
    if config.api_key:
        text = text.replace(config.api_key, "***")
    text = " ".join(text.split()).rstrip(".")
    return text if len(text) <= _MESSAGE_CHARS else text[:_MESSAGE_CHARS] + "…"


def _retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:  # absent, or the date form, which no known engine sends
        return None
    return seconds if seconds >= 0 else None
