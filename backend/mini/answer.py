"""Answers of a model folder, many prompts at a time: here, or on a machine that has only torch and transformers.

`python -m backend.mini.answer MODEL PROMPTS ANSWERS [--device cuda] [--batch N] [--decoding constrained]` answers the
prompts of a file that `kvasir bench mini --prompts` wrote and adds a line to ANSWERS for each, as they come. What
ANSWERS already holds of this model is not asked again, so a run that was cut off goes on where it stood.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, get_args

from backend.cpu_dtype import cpu_multiplies_bf16
from backend.engine import Message
from backend.mini.answer_file import (
    Answered,
    Decoding,
    Prompt,
    append_answers,
    model_digest,
    prompt_of,
    read_answers,
    read_prompts,
)
from backend.mini.tokenizer import WINDOW_TOKENS, TextEncoder

ANSWER_TOKENS = 512
"""An answer that has not ended by then is cut there. It is what an engine's settings allow where they say nothing."""
LEAST_ANSWER_TOKENS = 64
"""Room that a prompt must leave in the window, as the gateway demands it."""

BATCH_TOKENS = 200_000
"""Of prompts that are answered together: some 4 GB of KV."""

_Tables = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Made:
    """`text` is `None` where nothing was answered; nothing is ever cut to make room."""

    text: str | None
    prompt_tokens: int
    answer_tokens: int


class Answers(Protocol):
    """What makes answers: `decoding`, `device` and `dtype` say how."""

    decoding: Decoding
    device: str
    dtype: str

    def made(self, prompts: Sequence[Prompt], batch: int) -> Iterator[tuple[int, Made]]:
        """(place among the prompts, answer) as they come; `batch` at a time, where that helps."""
        ...


def dtype_on(device: str) -> str:
    """The one that the embedded engine would take, and bfloat16 on a GPU."""
    return "bfloat16" if device != "cpu" or cpu_multiplies_bf16() else "float32"


class Answerer:
    """The likeliest answers of one model folder, of all or of those that the SQL grammar allows."""

    def __init__(self, folder: Path, device: str, decoding: Decoding = "greedy") -> None:
        import torch
        from transformers import AutoModelForCausalLM
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # of transformers, for every model
        self.device, self.dtype = device, dtype_on(device)
        self.decoding = decoding
        dtype = getattr(torch, self.dtype)
        self._model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(device).eval()
        self._encoder = TextEncoder(folder)
        self._limits = _Limits(folder, self._encoder.end) if decoding == "constrained" else None

    def answers(self, prompts: Sequence[Sequence[Message]], batch: int) -> list[str]:
        """In the order of the prompts; "" for one that does not fit."""
        texts = [""] * len(prompts)
        for place, made in self.made([prompt_of(messages) for messages in prompts], batch):
            texts[place] = made.text or ""
        return texts

    def made(self, prompts: Sequence[Prompt], batch: int) -> Iterator[tuple[int, Made]]:
        """(place among the prompts, answer) as they come. Those of like length go together, the longest first."""
        encoded = [self._encoder.prompt(prompt.messages) for prompt in prompts]
        order = sorted(range(len(encoded)), key=lambda place: -len(encoded[place]))
        fitting = [place for place in order if len(encoded[place]) + LEAST_ANSWER_TOKENS <= WINDOW_TOKENS]
        for place in order[: len(order) - len(fitting)]:
            yield place, Made(None, len(encoded[place]), 0)
        while fitting:
            rows = max(1, min(batch, BATCH_TOKENS // len(encoded[fitting[0]])))
            chosen, fitting = fitting[:rows], fitting[rows:]
            tokens = self._generate([encoded[place] for place in chosen], [prompts[place].tables for place in chosen])
            for place, new in zip(chosen, tokens, strict=True):
                text = None if new is None else self._encoder.decode(new)
                yield place, Made(text, len(encoded[place]), len(new or ()))

    def _generate(
        self, prompts: Sequence[Sequence[int]], tables: Sequence[_Tables | None]
    ) -> Sequence[Sequence[int] | None]:
        """The new tokens of each prompt, up to its end token; `None` where its grammar cannot be followed."""
        if self._limits is None:
            return self._continued(prompts, [])
        from backend.constraint import GrammarUnusable

        try:
            return self._continued(prompts, [self._limits.of(tables)])
        except GrammarUnusable:
            if len(prompts) == 1:
                return [None]
        # One of them spoils the batch: alone, it spoils nothing but itself.
        return [self._generate([prompt], [own])[0] for prompt, own in zip(prompts, tables, strict=True)]

    def _continued(self, prompts: Sequence[Sequence[int]], processors: Sequence[Any]) -> list[list[int]]:
        """The shorter prompts are padded at the left. All but the last token of each is computed at once, and KV is
        then written into room that is taken beforehand: on a CPU, joining it anew for each token took most of the time.
        """
        import torch

        from backend.growing_kv import grown

        width = max(map(len, prompts))
        pads = [width - len(prompt) for prompt in prompts]
        ids = torch.tensor([[self._encoder.pad] * pad + [*prompt] for prompt, pad in zip(prompts, pads, strict=True)])
        mask = torch.tensor([[0] * pad + [1] * (width - pad) for pad in pads])
        ids, mask = ids.to(self.device), mask.to(self.device)
        most = min(ANSWER_TOKENS, WINDOW_TOKENS - width)
        with torch.inference_mode():
            computed = self._model(
                input_ids=ids[:, :-1],
                attention_mask=mask[:, :-1],
                position_ids=(mask.cumsum(-1) - 1).clamp(min=0)[:, :-1],
                use_cache=True,
                logits_to_keep=1,
            ).past_key_values
            out = self._model.generate(
                input_ids=ids,
                attention_mask=mask,
                past_key_values=grown(computed, width - 1, width + most),
                max_new_tokens=most,
                do_sample=False,
                logits_processor=list(processors),
            )
        end = self._encoder.end
        new: list[list[int]] = out[:, width:].tolist()
        return [tokens[: tokens.index(end)] if end in tokens else tokens for tokens in new]


class _Limits:
    """Makes the grammars of a batch, over the tables that each prompt shows."""

    def __init__(self, folder: Path, end: int) -> None:
        from tokenizers import Tokenizer

        from backend.constraint import Grammars

        self._grammars = Grammars(Tokenizer.from_file(str(folder / "tokenizer.json")), [end])

    def of(self, tables: Sequence[_Tables | None]) -> Any:
        """A logits processor; a prompt without tables is free."""
        from backend.constraint import ConstrainedBatch

        return ConstrainedBatch(self._grammars, [grammar_over(own) if own else None for own in tables])


def grammar_over(tables: Mapping[str, Sequence[str]]) -> str | None:
    """The gateway's SQL grammar over tables with their columns, in SQLite's dialect; `None` where there are none."""
    from gateway.sql_grammar import sql_grammar
    from kb.items import Column, Schema

    schemas = [Schema(name, tuple(Column(column, "") for column in columns)) for name, columns in tables.items()]
    return sql_grammar(schemas, "sqlite")


def answer_lines(answerer: Answers, model: str, prompts: Sequence[Prompt], batch: int) -> Iterator[Answered]:
    """The answers as they come, with progress on stderr."""
    begun, told = time.monotonic(), 0
    how = model, answerer.decoding, answerer.device, answerer.dtype
    for done, (place, made) in enumerate(answerer.made(prompts, batch), start=1):
        yield Answered(prompts[place].key, *how, made.text, made.prompt_tokens, made.answer_tokens)
        if done - told >= batch or done == len(prompts):
            told, rate = done, done / (time.monotonic() - begun)
            left = (len(prompts) - done) / rate
            print(f"{done} of {len(prompts)}, {rate:.1f} a second, {left:.0f} s left", file=sys.stderr)  # noqa: T201


def main() -> None:
    options = argparse.ArgumentParser(description="Answer the prompts of a file.")
    options.add_argument("model", type=Path)
    options.add_argument("prompts", type=Path, help="of kvasir bench mini --prompts")
    options.add_argument("answers", type=Path, help="JSON lines; added to")
    options.add_argument("--device", default="cpu")
    options.add_argument("--batch", type=int, default=16)
    options.add_argument("--decoding", choices=get_args(Decoding), default="greedy")
    given = options.parse_args()
    model = model_digest(given.model)
    have = read_answers(given.answers, model)
    wanted = [prompt for prompt in read_prompts(given.prompts) if (prompt.key, given.decoding) not in have]
    answerer = Answerer(given.model, given.device, given.decoding)
    for _ in append_answers(given.answers, answer_lines(answerer, model, wanted, given.batch)):
        pass


if __name__ == "__main__":
    main()
