"""Answers of the embedded engine, one after the other: on a CPU faster than a batch, and what the product would say."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from backend.constraint import GrammarUnusable
from backend.embedded_model import EmbeddedModel
from backend.embedded_model import Prompt as EmbeddedPrompt
from backend.mini.answer import ANSWER_TOKENS, LEAST_ANSWER_TOKENS, Made, dtype_on, grammar_over
from backend.mini.answer_file import Decoding, Prompt
from backend.mini.tokenizer import WINDOW_TOKENS


class EmbeddedAnswerer:
    def __init__(self, folder: Path, decoding: Decoding) -> None:
        self._model = EmbeddedModel(folder)
        self.device, self.dtype, self.decoding = "cpu, embedded engine,", dtype_on("cpu"), decoding

    def made(self, prompts: Sequence[Prompt], _batch: int) -> Iterator[tuple[int, Made]]:
        """(place among the prompts, answer) as they come. Those that begin alike follow each other and share KV."""
        texts = ["\n".join(message["content"] for message in prompt.messages) for prompt in prompts]
        for place in sorted(range(len(prompts)), key=lambda place: texts[place]):
            yield place, self._answer(prompts[place])

    def _answer(self, prompt: Prompt) -> Made:
        tokens = self._model.count_tokens(prompt.messages)
        if tokens + LEAST_ANSWER_TOKENS > WINDOW_TOKENS:
            return Made(None, tokens, 0)
        tables = prompt.tables if self.decoding == "constrained" else None
        asked = EmbeddedPrompt(
            tuple(prompt.messages),
            max_tokens=min(ANSWER_TOKENS, WINDOW_TOKENS - tokens),
            grammar=grammar_over(tables) if tables else None,
        )
        try:
            pieces = list(self._model.generate(asked, threading.Event()))
        except GrammarUnusable:
            return Made(None, tokens, 0)
        return Made("".join(piece.text for piece in pieces), tokens, pieces[-1].completion_tokens)
