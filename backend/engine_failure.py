"""Turns what LiteLLM, openai and httpx raise into the `EngineError` tree.

LiteLLM reports a refused connection, an aborted transfer and a real 500 alike, as `InternalServerError` with
status 500, and keeps what happened only in the chain of causes. So the chain is what is judged here. Nor does it
copy `Retry-After` to its own errors; the HTTP response in the chain has it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import openai

from backend.constraint import GrammarUnusable
from backend.engine import EngineConfig
from backend.errors import (
    BackendError,
    ContextTooLong,
    EngineInterrupted,
    EngineRefused,
    EngineTimeout,
    EngineUnreachable,
)
from backend.refusal import readable, refusal


class PromptRefused(Exception):
    """An engine in this process cannot take a prompt. It does not know its engine's name; `engine_failure` adds it."""


class PromptOverWindow(PromptRefused):
    """A prompt and its answer exceed the window of an engine in this process."""

    def __init__(self, prompt_tokens: int, output_tokens: int, window_tokens: int) -> None:
        self.prompt_tokens, self.output_tokens, self.window_tokens = prompt_tokens, output_tokens, window_tokens
        super().__init__(
            f"the prompt has {prompt_tokens} tokens and {output_tokens} are asked for, "
            f"but the window is {window_tokens} tokens"
        )


FOREIGN_ERRORS = (openai.OpenAIError, httpx.HTTPError, httpx.InvalidURL, OSError, PromptRefused, GrammarUnusable)
"""What a call to an engine can raise before it is mapped. LiteLLM's own errors derive from openai's."""


def engine_failure(exc: BaseException, config: EngineConfig, *, started: bool) -> BackendError:
    """The error of ours that `exc` means. `started` says that a part of the answer had come already."""
    chain = tuple(_chain(exc))
    for link in chain:
        if isinstance(link, BackendError):
            return link
        if isinstance(link, PromptOverWindow):
            return ContextTooLong(config.name, 400, str(link))
        if isinstance(link, PromptRefused | GrammarUnusable):
            return EngineRefused(config.name, 400, str(link))
    if started:
        return EngineInterrupted(config.name, _interruption(chain, config))
    if any(isinstance(link, httpx.ConnectError | httpx.ConnectTimeout | socket.gaierror) for link in chain):
        return EngineUnreachable(config.name, config.api_base)
    if any(isinstance(link, openai.APITimeoutError | httpx.TimeoutException | TimeoutError) for link in chain):
        return EngineTimeout(config.name, config.timeout_seconds)
    refused = _refusal(chain, config)
    if refused is not None:
        return refused
    return EngineInterrupted(config.name, _interruption(chain, config))


def names_key(exc: BaseException, config: EngineConfig) -> bool:
    """Whether a message in the chain repeats the API key, so that the chain must not be kept."""
    key = config.api_key
    return bool(key) and any(str(key) in str(link) for link in _chain(exc))


def _refusal(chain: tuple[BaseException, ...], config: EngineConfig) -> EngineRefused | None:
    response = next((link.response for link in chain if isinstance(link, httpx.HTTPStatusError)), None)
    first = chain[0]
    status = response.status_code if response is not None else None
    if status is None:
        dropped = any(isinstance(link, httpx.TransportError) for link in chain)
        if dropped or not isinstance(first, openai.APIStatusError):
            return None
        status = first.status_code
    # Only LiteLLM tells the providers' many wordings of this apart; its class is known here by name, since only
    # `backend.client` imports it.
    too_long = any(type(link).__name__ == "ContextWindowExceededError" for link in chain)
    headers = response.headers if response is not None else {}
    return refusal(config, status, _text(first, response), headers, too_long=too_long)


def _text(first: BaseException, response: httpx.Response | None) -> str:
    if isinstance(first, httpx.HTTPStatusError) and response is not None:
        try:
            return response.text
        except httpx.ResponseNotRead:
            return response.reason_phrase
    return str(first)


def _interruption(chain: tuple[BaseException, ...], config: EngineConfig) -> str:
    if any(isinstance(link, httpx.TimeoutException | TimeoutError) for link in chain):
        return f"no token for {config.timeout_seconds:g} s"
    if any(isinstance(link, httpx.TransportError | ConnectionError) for link in chain):
        return "the connection was closed"
    return readable(str(chain[-1]), config)


def _chain(exc: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = exc
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__
