"""Holds an answer to a grammar while its tokens are drawn: which may come next, and when the answer may end.

llguidance does the work (github.com/guidance-ai/llguidance): it reads the grammar as Lark, and finds the tokens that
continue a text by walking the vocabulary as a trie. vLLM has the same library inside, so one text serves both.

In a batch of transformers' `generate`, one grammar a row, `None` for a row that is free:

    grammars = Grammars(tokenizer)                                # once a model; some 50 ms
    limits = ConstrainedBatch(grammars, [grammar_of(items) for items in placed])
    model.generate(..., do_sample=False, logits_processor=[limits])   # a new ConstrainedBatch for each call
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]

_KEPT = 64
"""Grammars whose compiled form is kept. One over ten tables takes some megabytes."""


class GrammarUnusable(ValueError):
    """The grammar does not compile, has grown past the library's limits, or the tokenizer is of no kind it knows."""


class Grammars:
    """Compiles grammars for one tokenizer, and keeps the latest. Not for several threads at once.

    `tokenizer` is a fast one of transformers or a `tokenizers.Tokenizer`. `end_tokens` are what may end an answer; by
    default the tokenizer's own.
    """

    def __init__(self, tokenizer: Any, end_tokens: Sequence[int] | None = None) -> None:
        from llguidance import LLTokenizer

        core = getattr(tokenizer, "backend_tokenizer", tokenizer)
        if not hasattr(core, "to_str"):
            raise GrammarUnusable("its tokenizer is no fast one (tokenizer.json), which a grammar needs")
        self.end_tokens = frozenset([tokenizer.eos_token_id] if end_tokens is None else end_tokens)
        self._tokenizer = LLTokenizer(core.to_str(), eos_token=sorted(self.end_tokens))
        self._compiled: OrderedDict[str, Any] = OrderedDict()

    @property
    def vocab_tokens(self) -> int:
        return self._tokenizer.vocab_size

    def constraint(self, grammar: str) -> Constraint:
        """For one answer, from its first token on. Raises `GrammarUnusable`."""
        from llguidance import LLMatcher

        if grammar not in self._compiled:
            matcher = LLMatcher(self._tokenizer, grammar, log_level=0)
            _check(matcher)
            self._compiled[grammar] = matcher
            if len(self._compiled) > _KEPT:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(grammar)
        return Constraint(self._compiled[grammar].deep_copy(), self.vocab_tokens)


class Constraint:
    """One answer under way. `matcher` is llguidance's."""

    def __init__(self, matcher: Any, vocab_tokens: int) -> None:
        self.matcher, self._vocab_tokens = matcher, vocab_tokens

    def allowed(self, width: int) -> Mask:
        """Whether each of `width` tokens may come next; a model's logits may be wider than its vocabulary.

        An end token may where the grammar is complete, and nothing else may where it can go no further.
        """
        bits = np.frombuffer(self.matcher.compute_bitmask(), dtype=np.uint8)
        _check(self.matcher)
        return _unpacked(bits, self._vocab_tokens, width)

    def advance(self, token: int) -> None:
        """`token` was drawn. It must have been allowed."""
        accepted = self.matcher.consume_token(token)
        _check(self.matcher)
        assert accepted, f"token {token} was not allowed"


class ConstrainedBatch:
    """A logits processor for one call of `generate`: prompts padded at the left, a row an answer, no beams.

    Rows are computed in parallel on all cores, while the device waits.
    """

    def __init__(self, grammars: Grammars, rows: Sequence[str | None]) -> None:
        from llguidance import LLExecutor

        self._vocab_tokens, self._end_tokens = grammars.vocab_tokens, grammars.end_tokens
        self._rows = [None if grammar is None else grammars.constraint(grammar) for grammar in rows]
        self._ended = [False] * len(rows)
        self._width: int | None = None
        self._executor = LLExecutor()

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """`input_ids` (rows, tokens so far), `scores` (rows, vocabulary); gives scores with -inf where not allowed."""
        import torch

        if self._width is not None:
            assert input_ids.shape[1] == self._width + 1, "one token a call; make a new ConstrainedBatch for each call"
            self._advance(input_ids[:, -1].tolist())
        self._width = input_ids.shape[1]
        allowed = torch.from_numpy(self._allowed(scores.shape[1])).to(scores.device)
        return scores.masked_fill(~allowed, -torch.inf)

    def _advance(self, tokens: Sequence[int]) -> None:
        for place, (row, token) in enumerate(zip(self._rows, tokens, strict=True)):
            # Behind the end of an answer `generate` writes padding.
            if row is not None and not self._ended[place]:
                row.advance(token)
                self._ended[place] = token in self._end_tokens

    def _allowed(self, width: int) -> npt.NDArray[np.bool_]:
        from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask_par

        bits = allocate_token_bitmask(len(self._rows), self._vocab_tokens)
        under_way = [
            (row.matcher, place) for place, row in enumerate(self._rows) if row is not None and not self._ended[place]
        ]
        if under_way:
            fill_next_token_bitmask_par(self._executor, under_way, bits)
        for matcher, _ in under_way:
            _check(matcher)
        allowed = _unpacked(bits.view(np.uint8), self._vocab_tokens, width)
        free = [row is None or ended for row, ended in zip(self._rows, self._ended, strict=True)]
        allowed[free] = True
        return allowed


def _unpacked(bits: npt.NDArray[np.uint8], vocab_tokens: int, width: int) -> Mask:
    """Bits along the last axis as booleans, cut or filled up with `False` to `width`."""
    allowed = np.unpackbits(bits, axis=-1, count=vocab_tokens, bitorder="little").astype(np.bool_)
    if width <= vocab_tokens:
        return allowed[..., :width]
    missing = np.zeros((*allowed.shape[:-1], width - vocab_tokens), dtype=np.bool_)
    return np.concatenate([allowed, missing], axis=-1)


def _check(matcher: Any) -> None:
    if matcher.is_error():
        first_line = (matcher.get_error().strip().splitlines() or ["no reason given"])[0]
        raise GrammarUnusable(f"the answer's grammar cannot be followed: {first_line[:300]}")
