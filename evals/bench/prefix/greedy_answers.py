"""An engine's likeliest answers to many prompts, each different prompt asked once, and kept where wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from backend.client import Engine, EngineConfig, Sampling, connect
from backend.errors import BackendError, ContextTooLong
from backend.mini.answer_file import Prompt
from evals.bench.errors import EngineFailed
from evals.bench.learning.engine import EngineChoice
from evals.bench.learning.kept_pieces import KeptPieces
from evals.bench.prefix.played import Say
from gateway.answer_run import fitted
from gateway.errors import PromptTooLong

_TOLD_EVERY = 20
_PATIENCE_SECONDS = 1800.0
"""For one answer: on a busy machine a slow one must not end a run that takes long anyway."""


class GreedyAnswers:
    """`engine` replaces that of `choice`, for tests."""

    def __init__(
        self, choice: EngineChoice, kept: KeptPieces | None, say: Say, *, engine: Engine | None = None
    ) -> None:
        config = EngineConfig("main", choice.model, api_base=choice.api_base, timeout_seconds=_PATIENCE_SECONDS)
        self._engine = engine or connect(config)
        self._kept, self._say = kept, say
        self._known: dict[str, str | None] = {}

    def to(self, prompts: Sequence[Prompt]) -> list[str | None]:
        """In the order of the prompts; `None` for one that leaves no room for an answer. Raises `EngineFailed`."""
        different = {prompt.key: prompt for prompt in prompts}
        self._known |= {key: found["text"] for key in different if (found := self._of_earlier_run(key)) is not None}
        missing = [prompt for key, prompt in different.items() if key not in self._known]
        self._say(f"{len(missing)} answers to make, {len(different) - len(missing)} there already")
        # Those that begin alike, one after the other, are what an engine's prefix cache is quick with.
        for number, prompt in enumerate(sorted(missing, key=_text), start=1):
            self._known[prompt.key] = text = asyncio.run(self._answer(prompt))
            if self._kept is not None:
                self._kept.keep(self._piece(prompt.key), {"text": text})
            if number % _TOLD_EVERY == 0:
                self._say(f"{number} of {len(missing)} answers made")
        return [self._known[prompt.key] for prompt in prompts]

    def _of_earlier_run(self, key: str) -> dict[str, str | None] | None:
        found: dict[str, str | None] | None = self._kept.get(self._piece(key)) if self._kept is not None else None
        return found

    def _piece(self, key: str) -> str:
        return f"{self._engine.config.model} {key}"

    async def _answer(self, prompt: Prompt) -> str | None:
        """As the gateway asks for it, with all the room that the window leaves."""
        greedy = Sampling(temperature=0.0)
        try:
            tokens = await self._engine.count_tokens(prompt.messages)
            sampling = await fitted(self._engine, tokens, greedy)
            return (await self._engine.complete(prompt.messages, sampling, cache_salt=None)).text
        except (PromptTooLong, ContextTooLong):
            return None
        except BackendError as exc:
            raise EngineFailed(f"a prompt got no answer: {exc}") from exc


def _text(prompt: Prompt) -> str:
    return "\n".join(message["content"] for message in prompt.messages)
