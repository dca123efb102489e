"""One prompt being continued by a model: the tokens computed so far, and their KV.

A step of a small model takes hardly longer for five tokens than for one: it waits for the weights. So each step also
computes a guess at the next tokens, taken from where the last ones stood before (prompt lookup decoding; transformers
has the search). SQL repeats the names in its prompt: on kvasir-mini's own questions a step gives 1.8 tokens. Every
token is drawn from its own logits, and those after a wrong guess are thrown away, so the answer is as without.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import zip_longest
from typing import Any

import torch
from transformers.generation.candidate_generator import PromptLookupCandidateGenerator

from backend.growing_kv import can_grow, grown, shorten, size_bytes
from backend.prefix_cache import PrefixCache

_GUESSED_TOKENS, _ALIKE_TOKENS = 4, 3
"""At most so many are guessed, after the longest run of at most so many tokens that stood before."""

_SMALL_BYTES = 200 * 2**20
"""Of weights, which one core reads in some 20 ms."""


class Continuation:
    """Begins with the KV that `prefixes` holds of `prompt` under `salt`, and gives it all back by `keep`.

    `cached_tokens` of the prompt are not computed again: at most all but its last, whose logits are needed.
    """

    def __init__(self, weights: Any, prompt: Sequence[int], prefixes: PrefixCache, salt: str | None) -> None:
        self._weights, self._prompt, self._prefixes, self._salt = weights, prompt, prefixes, salt
        small = sum(weight.nbytes for weight in weights.parameters()) < _SMALL_BYTES
        self._threads = _one_thread if small else nullcontext
        match = prefixes.longest(salt, prompt[:-1])
        self.cached_tokens = 0 if match is None else match.tokens
        self._cache = None if match is None else grown(match.kv, match.tokens, len(prompt))
        self._computed = list(prompt[: self.cached_tokens])
        self._reusable = match is not None
        self._lookup = PromptLookupCandidateGenerator(
            num_output_tokens=_GUESSED_TOKENS, max_matching_ngram_size=_ALIKE_TOKENS, max_length=sys.maxsize
        )

    def tokens(self, draw: Callable[[Any], int], most: int) -> Generator[int]:
        """The tokens that `draw` takes from the logits, of shape (vocabulary,), one after the other.

        It does not end by itself; nothing after `most` tokens is guessed at.
        """
        step, made = self._prompt[self.cached_tokens :], 0
        while True:
            guess = self._guess(step, most - made - 1)
            rows, right = self._logits(step, guess), 0
            try:
                for logits, guessed in zip_longest(rows, guess):
                    token = draw(logits)
                    made += 1
                    yield token
                    if token != guessed:
                        break
                    right += 1
            finally:
                self._take_back(len(guess) - right)
            step = [token]

    def _guess(self, step: Sequence[int], most: int) -> list[int]:
        """What may follow `step`: what followed the same tokens before."""
        if len(step) > 1 or most < 1 or not self._reusable:
            return []
        known = torch.tensor([[*self._computed, *step]])
        guessed, _ = self._lookup.get_candidates(known)
        ids: list[int] = guessed[0, known.shape[1] :].tolist()
        return ids[:most]

    def _logits(self, step: Sequence[int], guess: Sequence[int]) -> Any:
        """Compute what follows; of shape (1 + guesses, vocabulary), for what comes after `step` and each guess."""
        new = [*step, *guess]
        with torch.inference_mode(), self._threads():
            output = self._weights(
                input_ids=torch.tensor([new]),
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1 + len(guess),
            )
        cache = output.past_key_values
        if self._cache is None and can_grow(cache):
            cache = grown(cache, len(new), len(new))
            self._reusable = not _rotates_by_length(self._weights.config)
        self._cache = cache
        self._computed += new
        return output.logits[0]

    def _take_back(self, tokens: int) -> None:
        if tokens:
            del self._computed[-tokens:]
            shorten(self._cache, len(self._computed))

    def keep(self) -> None:
        """Leave what was computed to later prompts. Only the last call of a continuation, whole or broken off."""
        if self._reusable:
            # A step that was broken off has reached some layers and not others.
            shorten(self._cache, len(self._computed))
            self._prefixes.keep(self._salt, self._computed, self._cache, size_bytes(self._cache))


@contextmanager
def _one_thread() -> Iterator[None]:
    """A step of a small model is some 150 short waits of all threads for each other.

    On two idle cores a second thread saves a third to a half of the time. Where anything else runs, each wait takes a
    slice of the scheduler: with kvasir-mini, 1.3 tokens a second instead of 17 and a first token after 7.7 s instead
    of 1.2 were seen. torch takes the number for new threads from the last one set: a thread that begins meanwhile,
    such as one that embeds, keeps to one core too.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _rotates_by_length(config: Any) -> bool:
    """Whether positions are encoded by how long the whole text is, so that a prefix of another text has other KV."""
    rotation = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None)
    return any(kind in str(rotation) for kind in ("dynamic", "longrope"))
