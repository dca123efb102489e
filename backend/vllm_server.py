"""What vLLM's server answers beyond OpenAI's API: the exact tokens of a prompt and the window.

Source: vLLM 0.32, `/tokenize` and `max_model_len` in `/v1/models`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backend.engine import EngineConfig, Message
from backend.errors import EngineRefused
from backend.server_connection import ServerConnection


class VLLMServer:
    """Asks one vLLM server. Raises what the connection raises."""

    def __init__(self, config: EngineConfig, connection: ServerConnection) -> None:
        self._config, self._connection = config, connection

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of the prompt, the chat template's included."""
        return await self._counted(_prompt(messages))

    async def text_tokens(self, text: str) -> int:
        """Tokens of a text by itself."""
        return await self._counted({"prompt": text, "add_special_tokens": False})

    async def _counted(self, what: dict[str, Any]) -> int:
        count = (await self._tokenize(what)).get("count")
        if not isinstance(count, int):
            raise EngineRefused(
                self._config.name, 502, f"{self._tokenize_url} answered without a count; is this a vLLM server?"
            )
        return count

    async def token_ids(self, messages: Sequence[Message]) -> list[int] | None:
        """The prompt's tokens, the chat template's included; `None` where the server does not list them."""
        tokens = (await self._tokenize(_prompt(messages))).get("tokens")
        return tokens if isinstance(tokens, list) else None

    async def window_tokens(self) -> int | None:
        """`max_model_len` of the served model, or `None` where the list does not have it."""
        answer = await self._connection.json("GET", f"{self._connection.api_base}/models")
        for entry in answer.get("data", []):
            if entry.get("id") == self._config.served_name:
                window = entry.get("max_model_len")
                return window if isinstance(window, int) else None
        return None

    @property
    def _tokenize_url(self) -> str:
        # It lies beside `/v1`, not below it.
        return f"{self._connection.api_base.removesuffix('/v1')}/tokenize"

    async def _tokenize(self, what: dict[str, Any]) -> dict[str, Any]:
        return await self._connection.json("POST", self._tokenize_url, {"model": self._config.served_name, **what})


def _prompt(messages: Sequence[Message]) -> dict[str, Any]:
    return {"messages": list(messages), "add_generation_prompt": True}
