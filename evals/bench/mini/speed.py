"""How fast the embedded engine is on this machine: first token without and with a cached prefix, and decoding.

Each repeat measures everything once, in turn, so that a machine that slows down slows all of it. Beside the engine
runs transformers' own `generate` on the same prompt.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from backend.benching.figure import median_interval
from backend.embedded_model import EmbeddedModel, Piece, Prompt
from backend.engine import Message
from backend.errors import ModelFolderInvalid
from backend.mini.answer import dtype_on
from backend.mini.database import random_database
from backend.mini.evaluate import held_out
from backend.mini.schema_items import context_items
from backend.mini.training import Training
from evals.bench.errors import ModelUnavailable
from evals.bench.row import Asked, Row
from gateway.item_text import item_text
from kb.items import Item, Schema

REPEATS = 15
PROMPT_TOKENS, TOLERANCE = 1_500, 20
DECODED_TOKENS = 100
"""The least that a repeat decodes, over as many answers as that takes."""
_QUESTIONS = 12
_GENERATE = "transformers generate"


@dataclass(frozen=True, slots=True)
class Repeat:
    """Seconds to the first token, and tokens a second after it; the last two are `generate`'s. `cached` is `None`
    where nothing of the prefix was found in the cache."""

    cold: float
    cached: float | None
    decode: float
    generate_cold: float
    generate_decode: float


def speed_rows(folder: Path, say: Callable[[str], None], repeats: int = REPEATS) -> list[Row]:
    """Raises `ModelUnavailable`."""
    try:
        model = EmbeddedModel(folder)
        system, questions = long_prompt(model.count_tokens)
        _last(model, _prompt(system, questions[0], "warm-up"))
    except ModelFolderInvalid as exc:
        raise ModelUnavailable(folder, str(exc)) from exc
    beside = _Generate(folder)
    measured: list[Repeat] = []
    for number in range(repeats):
        measured.append(_repeat(model, beside, system, questions, f"repeat {number}"))
        say(f"repeat {number + 1} of {repeats}: {measured[-1]}")
    tokens = model.count_tokens(_messages(system, questions[0]))
    return _rows(f"first token of a prompt of {tokens:,} tokens", measured)


def _rows(first_token: str, measured: Sequence[Repeat]) -> list[Row]:
    cold, decode = [repeat.cold for repeat in measured], [repeat.decode for repeat in measured]
    cached = [repeat.cached for repeat in measured if repeat.cached is not None]
    generate_cold = {_GENERATE: median(repeat.generate_cold for repeat in measured)}
    generate_decode = {_GENERATE: median(repeat.generate_decode for repeat in measured)}
    without_reuse = {"cold": median(cold)}
    return [
        _row(f"{first_token}, cold", cold, "seconds", generate_cold, Asked(at_most=1.5)),
        _row(f"{first_token}, prefix cached", cached, "seconds", without_reuse, Asked(at_most=0.3)),
        _row("decoding", decode, "tokens/s", generate_decode, Asked(at_least=40.0)),
    ]


def long_prompt(count_tokens: Callable[[Sequence[Message]], int]) -> tuple[str, list[str]]:
    """A system text and questions; with the first one, `PROMPT_TOKENS` ± `TOLERANCE`.

    It is a held-out case's own context, with tables of other databases until it is long enough.
    """
    cases = list(held_out("plain", _QUESTIONS, Training().held_out_seed))
    for case in cases:
        case.connection.close()
    questions = [case.sample.messages[-1]["content"] for case in cases]
    system = cases[0].sample.messages[0]["content"]

    def tokens(text: str) -> int:
        return count_tokens(_messages(text, questions[0]))

    for item in _tables():
        for kept in _shorter(item):
            longer = f"{system}\n\n{item_text(kept)}"
            if tokens(longer) <= PROMPT_TOKENS + TOLERANCE:
                system = longer
                break
        if tokens(system) >= PROMPT_TOKENS - TOLERANCE:
            break
    return system, questions


def _tables() -> Iterator[Item]:
    for number in count():
        spec = random_database(Random(f"speed/{number}"))
        items = context_items(spec, {table.name for table in spec.tables})
        yield from (item for item in items if isinstance(item.body, Schema))


def _shorter(item: Item) -> Iterator[Item]:
    """The table with all of its columns, then with ever fewer of them."""
    assert isinstance(item.body, Schema)
    for columns in range(len(item.body.columns), 0, -1):
        yield replace(item, body=replace(item.body, columns=item.body.columns[:columns]))


def _repeat(model: EmbeddedModel, beside: _Generate, system: str, questions: Sequence[str], salt: str) -> Repeat:
    """A salt that was never seen makes the first prompt cold; the others find its prefix."""
    cold = _last(model, _prompt(system, questions[0], salt))
    answers = [cold]
    for question in islice(questions, 1, None):
        answers.append(_last(model, _prompt(system, question, salt)))
        if sum(answer.completion_tokens - 1 for answer in answers) >= DECODED_TOKENS:
            break
    first = _seconds(cold.ttft_seconds)
    decoded = sum(answer.completion_tokens - 1 for answer in answers)
    spent = sum(_seconds(answer.total_seconds) - _seconds(answer.ttft_seconds) for answer in answers)
    messages = _messages(system, questions[0])
    times = beside.token_seconds(messages, 1 + DECODED_TOKENS)
    cached = _seconds(answers[1].ttft_seconds) if answers[1].cached_tokens else None
    return Repeat(first, cached, decoded / spent, times[0], DECODED_TOKENS / (times[-1] - times[0]))


class _Generate:
    """transformers' own loop over the same weights."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        dtype = getattr(torch, dtype_on("cpu"))
        self._model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)

    def token_seconds(self, messages: Sequence[Message], tokens: int) -> list[float]:
        """When each token of an answer of exactly `tokens` came, in seconds from the beginning."""
        import torch

        clock = _Clock()
        text = self._tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        given = self._tokenizer(text, add_special_tokens=False, return_tensors="pt")
        with torch.inference_mode():
            self._model.generate(
                input_ids=given["input_ids"],
                attention_mask=given["attention_mask"],
                max_new_tokens=tokens,
                min_new_tokens=tokens,
                do_sample=False,
                streamer=clock,
            )
        assert len(clock.seconds) == tokens
        return clock.seconds


class _Clock:
    """What `generate` takes for a streamer: it is given the prompt, then each token."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._begun = time.monotonic()
        self._prompt_came = False

    def put(self, _tokens: Any) -> None:
        if self._prompt_came:
            self.seconds.append(time.monotonic() - self._begun)
        self._prompt_came = True

    def end(self) -> None:
        """Nothing is held back."""


def _last(model: EmbeddedModel, prompt: Prompt) -> Piece:
    return list(model.generate(prompt, threading.Event()))[-1]


def _prompt(system: str, question: str, salt: str) -> Prompt:
    return Prompt(tuple(_messages(system, question)), max_tokens=DECODED_TOKENS + 1, cache_salt=salt)


def _messages(system: str, question: str) -> list[Message]:
    return [{"role": "system", "content": system}, {"role": "user", "content": question}]


def _seconds(measured: float | None) -> float:
    assert measured is not None, "the last piece of an answer has its times"
    return measured


def _row(name: str, values: Sequence[float], unit: str, baseline: dict[str, float], asked: Asked) -> Row:
    return Row(name, median(values) if values else None, unit, len(values), median_interval(values), baseline, asked)
