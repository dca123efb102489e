"""One prompt being continued by a model: the tokens computed so far, and their KV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from backend.growing_kv import can_grow, grown, shorten, size_bytes
from backend.prefix_cache import PrefixCache

_SMALL_BYTES = 200 * 2**20
"""Of weights, which one core reads in some 20 ms."""


class Continuation:
    """Begins with the KV that `prefixes` holds of `prompt` under `salt`, and gives it all back by `keep`.

    `cached_tokens` of the prompt are not computed again: at most all but its last, whose logits are needed.
    """

    def __init__(self, weights: Any, prompt: Sequence[int], prefixes: PrefixCache, salt: str | None) -> None:
        self._weights, self._prefixes, self._salt = weights, prefixes, salt
        small = sum(weight.nbytes for weight in weights.parameters()) < _SMALL_BYTES
        self._threads = _one_thread if small else nullcontext
        match = prefixes.longest(salt, prompt[:-1])
        self.cached_tokens = 0 if match is None else match.tokens
        self._cache = None if match is None else grown(match.kv, match.tokens, len(prompt))
        self._computed = list(prompt[: self.cached_tokens])
        self._reusable = match is not None

    def logits(self, tokens: Sequence[int]) -> Any:
        """Compute `tokens`, which follow; gives the next one's logits, of shape (vocabulary,)."""
        with torch.inference_mode(), self._threads():
            output = self._weights(
                input_ids=torch.tensor([tokens]), past_key_values=self._cache, use_cache=True, logits_to_keep=1
            )
        cache = output.past_key_values
        if self._cache is None and can_grow(cache):
            cache = grown(cache, len(tokens), len(tokens))
            self._reusable = not _rotates_by_length(self._weights.config)
        self._cache = cache
        self._computed += tokens
        return output.logits[0, -1]

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
