"""A causal language model in this process, on the CPU: prefill at once, then a few tokens at a time.

The loop is written out instead of calling transformers' `generate`, so that tokens stream, a reader that leaves
stops the work within one layer, and the KV of a prompt can be kept for the next.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from backend.constraint import Constraint, Grammars
from backend.cpu_dtype import cpu_multiplies_bf16
from backend.engine import EngineConfig
from backend.engine_failure import PromptOverWindow, PromptRefused
from backend.errors import ModelFolderInvalid
from backend.model_folder import check_model_folder
from backend.prefix_cache import PrefixCache
from backend.token_text import TokenText


@dataclass(frozen=True)
class Prompt:
    """What to continue, and how. `max_tokens=None` means until the window is full.

    KV is reused between prompts of one `cache_salt` only. The answer follows `grammar`, where one is given.
    """

    messages: tuple[Mapping[str, Any], ...]
    max_tokens: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    cache_salt: str | None = None
    grammar: str | None = None


@dataclass(frozen=True)
class Piece:
    """A piece of the answer; the last one has a `finish_reason`, and the token counts and seconds of the whole.

    `cached_tokens` of the prompt were not computed again. Seconds count from when the model took the prompt up.
    """

    text: str
    finish_reason: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    ttft_seconds: float | None = None
    total_seconds: float | None = None


class Abandoned(Exception):
    """Nobody reads this generation any more."""


class EmbeddedModel:
    """One model folder. `generate` belongs to one thread at a time; counting to any."""

    def __init__(self, path: Path, *, prefix_cache_mb: int = EngineConfig.prefix_cache_mb) -> None:
        self.folder = check_model_folder(path)
        self.prefixes = PrefixCache(prefix_cache_mb * 2**20)
        self._tokenizer_lock = threading.Lock()
        self._tokenizer: Any = None
        self._weights: Any = None
        self._end_tokens: frozenset[int] = frozenset()
        self._grammars: Grammars | None = None
        self._cancelled = threading.Event()

    def count_tokens(self, messages: Sequence[Mapping[str, Any]]) -> int:
        """Tokens of the prompt, chat template included."""
        return len(self._encode(messages))

    def text_tokens(self, text: str) -> int:
        """Tokens of a text by itself."""
        with self._tokenizer_lock:
            return len(self._loaded_tokenizer()(text, add_special_tokens=False)["input_ids"])

    def generate(self, prompt: Prompt, cancelled: threading.Event) -> Iterator[Piece]:
        """Pieces of the answer to `prompt`.

        Raises `PromptRefused`, `GrammarUnusable`, or `Abandoned` once `cancelled` is set.
        """
        from backend.continuation import Continuation

        begun = time.monotonic()
        tokens = self._encode(prompt.messages)
        limit = self._limit(len(tokens), prompt.max_tokens)
        weights = self._loaded_weights()
        self._cancelled = cancelled
        run = Continuation(weights, tokens, self.prefixes, prompt.cache_salt)
        draw = _Draw(prompt, self._constraint(prompt.grammar))
        text = TokenText(self._decode, prompt.stop)
        reason, ttft, made = "length", None, 0
        drawn = run.tokens(draw.next_token, limit)
        try:
            for token in islice(drawn, limit):
                ttft = time.monotonic() - begun if ttft is None else ttft
                made += 1
                if token in self._end_tokens:
                    reason = "stop"
                    break
                piece = text.add(token)
                if piece:
                    yield Piece(piece)
                if text.stopped:
                    reason = "stop"
                    break
        finally:
            drawn.close()
            # Nobody else computes meanwhile, so the end is soon enough, and a reader who left has paid for it too.
            run.keep()
        seconds = time.monotonic() - begun
        yield Piece(text.finish(), reason, len(tokens), made, run.cached_tokens, ttft, seconds)

    def _constraint(self, grammar: str | None) -> Constraint | None:
        if grammar is None:
            return None
        if self._grammars is None:
            with self._tokenizer_lock:
                self._grammars = Grammars(self._tokenizer, sorted(self._end_tokens))
        return self._grammars.constraint(grammar)

    def _limit(self, prompt_tokens: int, max_tokens: int | None) -> int:
        window = self.folder.window_tokens
        if window is None:
            return 512 if max_tokens is None else max_tokens
        wanted = max(1, window - prompt_tokens) if max_tokens is None else max_tokens
        if prompt_tokens + wanted > window:
            raise PromptOverWindow(prompt_tokens, wanted, window)
        return wanted

    def _encode(self, messages: Sequence[Mapping[str, Any]]) -> list[int]:
        from jinja2 import TemplateError

        with self._tokenizer_lock:
            tokenizer = self._loaded_tokenizer()
            try:
                text = tokenizer.apply_chat_template(
                    [dict(message) for message in messages], tokenize=False, add_generation_prompt=True
                )
            except TemplateError as exc:
                raise PromptRefused(f"the model's chat template refuses these messages: {exc}") from exc
            # The template writes the special tokens itself; vLLM counts them so too.
            ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
            return ids

    def _decode(self, tokens: Sequence[int]) -> str:
        with self._tokenizer_lock:
            text: str = self._tokenizer.decode(list(tokens), skip_special_tokens=True)
            return text

    def _loaded_tokenizer(self) -> Any:
        if self._tokenizer is None:
            from transformers import AutoTokenizer

            self._tokenizer = self._load("the tokenizer", AutoTokenizer)
        return self._tokenizer

    def _loaded_weights(self) -> Any:
        if self._weights is None:
            import torch
            from transformers import AutoModelForCausalLM

            stored_bf16 = self.folder.dtype == "bfloat16"
            dtype = torch.bfloat16 if stored_bf16 and cpu_multiplies_bf16() else torch.float32
            weights = self._load("the model", AutoModelForCausalLM, dtype=dtype)
            weights.eval()
            self._stop_between_layers(weights)
            self._end_tokens = self._read_end_tokens(weights)
            self._weights = weights
        return self._weights

    def _load(self, what: str, loader: Any, **options: Any) -> Any:
        from safetensors import SafetensorError
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # of transformers, which draws one on stderr for every model
        path = self.folder.path
        try:
            return loader.from_pretrained(path, local_files_only=True, trust_remote_code=False, **options)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, SafetensorError) as exc:
            first_line = str(exc).strip().splitlines()[:1] or [type(exc).__name__]
            raise ModelFolderInvalid(path, f"{what} cannot be loaded: {first_line[0]}") from exc

    def _stop_between_layers(self, weights: Any) -> None:
        """A long prefill is one call; the layers are where it can be left."""
        from torch import nn

        def check(*_: Any) -> None:
            if self._cancelled.is_set():
                raise Abandoned

        for module in weights.modules():
            if isinstance(module, nn.ModuleList):
                for layer in module:
                    layer.register_forward_pre_hook(check)

    def _read_end_tokens(self, weights: Any) -> frozenset[int]:
        declared = weights.generation_config.eos_token_id
        many = declared if isinstance(declared, list) else [declared]
        with self._tokenizer_lock:
            ends = (*many, self._loaded_tokenizer().eos_token_id)
        return frozenset(token for token in ends if token is not None)


class _Draw:
    """Draws the next token of one answer: greedy at temperature 0, else by nucleus sampling."""

    def __init__(self, prompt: Prompt, constraint: Constraint | None) -> None:
        import torch

        self._prompt, self._constraint = prompt, constraint
        self._counts: dict[int, int] = {}
        self._random = torch.Generator()
        if prompt.seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(prompt.seed)

    def next_token(self, logits: Any) -> int:
        """`logits` has the shape (vocabulary,), and is left as it is."""
        import torch

        logits = logits.to(torch.float32, copy=True)
        prompt = self._prompt
        for token, count in self._counts.items():
            logits[token] -= prompt.presence_penalty + prompt.frequency_penalty * count
        if self._constraint is not None:
            logits[~torch.from_numpy(self._constraint.allowed(len(logits)))] = -torch.inf
        if prompt.temperature <= 0:
            token = int(logits.argmax())
        else:
            weights, order = torch.softmax(logits / prompt.temperature, dim=-1).sort(descending=True)
            # A token stays if those above it hold less than top_p, so the first always does.
            weights[weights.cumsum(-1) - weights >= prompt.top_p] = 0.0
            weights[0] = weights[0].clamp_min(torch.finfo(weights.dtype).tiny)
            token = int(order[torch.multinomial(weights, 1, generator=self._random)])
        if prompt.presence_penalty or prompt.frequency_penalty:
            self._counts[token] = self._counts.get(token, 0) + 1
        if self._constraint is not None:
            self._constraint.advance(token)
        return token
