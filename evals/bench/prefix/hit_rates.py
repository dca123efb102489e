"""Hit rates: tokens that a cache had, of the tokens that were queried, with intervals over the requests of a stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evals.bench.bootstrap import RESAMPLES
from evals.bench.prefix.block_cache import BlockCache
from evals.bench.prefix.engines import Sent
from evals.bench.prefix.played import Played

_SEED = 7


@dataclass(frozen=True, slots=True)
class Use:
    """Of one prompt."""

    hit_tokens: int
    tokens: int


def unlimited(played: Sequence[Played], order: str, block_tokens: int, *, answers: bool = False) -> list[Use]:
    """Each request's prompt in an unlimited cache that begins empty; what was warmed is in it, and is no request.

    With `answers`, the KV of what was written stays in it, too, as in vLLM's own cache.
    """
    cache = BlockCache(block_tokens)
    uses: list[Use] = []
    for one in played:
        for warmed in one.warmed:
            _take(cache, warmed)
        sent = one.sent[order]
        uses.append(_take(cache, sent))
        if answers:
            assert sent.tokens is not None, "`_take` has seen to that"
            assert sent.answer is not None, "an engine that keeps no cache tells its answer's tokens"
            cache.take(np.concatenate([sent.tokens, sent.answer]))
    return uses


def warmed_tokens(played: Sequence[Played], order: str, block_tokens: int) -> int:
    """What warming computed that was not in that cache."""
    cache = BlockCache(block_tokens)
    computed = 0
    for one in played:
        for warmed in one.warmed:
            use = _take(cache, warmed)
            computed += use.tokens - use.hit_tokens
        _take(cache, one.sent[order])
    return computed


def _take(cache: BlockCache, sent: Sent) -> Use:
    assert sent.tokens is not None, "an engine that keeps no cache tells its tokens"
    return Use(cache.take(sent.tokens), len(sent.tokens))


def rate(uses: Sequence[Use]) -> float | None:
    tokens = sum(use.tokens for use in uses)
    return sum(use.hit_tokens for use in uses) / tokens if tokens else None


def computed(uses: Sequence[Use]) -> float | None:
    """Tokens of a request that were not there."""
    return sum(use.tokens - use.hit_tokens for use in uses) / len(uses) if uses else None


def rate_interval(uses: Sequence[Use]) -> tuple[float, float] | None:
    """The 95 % bootstrap interval of `rate`; requests are drawn as if they were independent."""
    return _interval(uses, None)


def ratio(ours: Sequence[Use], theirs: Sequence[Use]) -> float | None:
    """Of the two hit rates."""
    left, right = rate(ours), rate(theirs)
    return left / right if left is not None and right else None


def ratio_interval(ours: Sequence[Use], theirs: Sequence[Use]) -> tuple[float, float] | None:
    """The same of `ratio`; a request is drawn on both sides at once."""
    assert len(ours) == len(theirs), "both sides are of the same requests"
    return _interval(ours, theirs)


def _interval(ours: Sequence[Use], theirs: Sequence[Use] | None) -> tuple[float, float] | None:
    if not ours:
        return None
    random = np.random.default_rng(_SEED)
    drawn = random.integers(0, len(ours), (RESAMPLES, len(ours)))
    values = _rates(ours, drawn)
    if theirs is not None:
        below = _rates(theirs, drawn)
        values = values[below > 0] / below[below > 0]
    if not len(values):
        return None
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _rates(uses: Sequence[Use], drawn: np.ndarray) -> np.ndarray:
    hits = np.array([use.hit_tokens for use in uses], dtype=np.float64)
    tokens = np.array([use.tokens for use in uses], dtype=np.float64)
    return np.asarray(hits[drawn].sum(axis=1) / tokens[drawn].sum(axis=1))
