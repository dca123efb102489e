"""How many tokens fit into memory for KV, counted as vLLM counts them when it starts.

vLLM cuts the memory into blocks. One block serves all layers of a group, for `block_tokens` tokens; layers that keep
different things form several groups, which draw from one pool, so a sequence takes blocks of each. What it prints as
"KV cache size: N tokens" is the blocks there are, divided by the blocks that a sequence of the longest allowed length
takes, times that length. Rules read from vLLM 0.32, `v1/core/kv_cache_utils.py` and `platforms/interface.py`
(`_align_hybrid_block_size`); docs/kv-memory.md gives them in words, with the check against what vLLM prints.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Literal

from backend.errors import ModelConfigInvalid
from backend.sizing.kv import KvCost
from backend.sizing.layer_cache import AttentionCache, LatentCache, LayerCache, StateCache

_Kind = Literal["grows", "window", "chunk", "state"]


@dataclass(frozen=True)
class Paging:
    """An engine's settings that decide how much a sequence reserves.

    `block_tokens` is the block before any alignment, `kernel_tokens` what the attention kernel needs it to be a
    multiple of. `in_flight_tokens` are those that may be scheduled and not yet settled: a window holds that many more.
    With `prefix_caching` a layer with a state keeps the last one at a block's end beside the one at work.
    """

    block_tokens: int
    kernel_tokens: int
    in_flight_tokens: int
    prefix_caching: bool = True


@dataclass(frozen=True)
class _Page:
    """What one layer takes of a block. Layers with equal pages can share a group."""

    kind: _Kind
    content: LayerCache
    window_tokens: int
    block_tokens: int
    bytes: int

    @property
    def checkpoints(self) -> int:
        return self.content.checkpoints if isinstance(self.content, StateCache) else 0

    def blocks(self, tokens: int, paging: Paging) -> int:
        if self.kind == "state":
            return 2 + self.checkpoints if paging.prefix_caching else 1
        if self.kind == "window":
            held = min(self.window_tokens - 1 + paging.in_flight_tokens, tokens)
            # One more: a window need not begin where a block does.
            return _ceil(held, self.block_tokens) + 1
        if self.kind == "chunk":
            return _ceil(min(self.window_tokens + paging.in_flight_tokens, tokens), self.block_tokens)
        return _ceil(tokens, self.block_tokens)


@dataclass(frozen=True)
class KvPool:
    """A model's groups under one `Paging`. `block_bytes` is what one block takes on one GPU."""

    paging: Paging
    block_tokens: int
    block_bytes: int
    groups: tuple[_Page, ...]

    def blocks(self, kv_bytes: int) -> int:
        return kv_bytes // self.block_bytes if self.block_bytes else 0

    def blocks_of(self, tokens: int) -> int:
        """Blocks that one sequence of `tokens` takes."""
        return sum(page.blocks(tokens, self.paging) for page in self.groups)

    def reported_tokens(self, kv_bytes: int, window_tokens: int) -> int:
        """What vLLM prints as its KV cache size, started with this much memory and `--max-model-len window_tokens`."""
        return int(self.blocks(kv_bytes) / self.blocks_of(window_tokens) * window_tokens) if self.groups else 0

    def sequences(self, kv_bytes: int, tokens: int) -> int:
        """Sequences of `tokens` each that fit at once. One block is vLLM's own, to point unused places at."""
        return max(0, self.blocks(kv_bytes) - 1) // self.blocks_of(tokens) if self.groups else 0

    def longest_sequence(self, kv_bytes: int, up_to_tokens: int) -> int:
        """The longest single sequence that fits, at most `up_to_tokens`; 0 where none does."""
        low, high = 0, up_to_tokens
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.sequences(kv_bytes, middle) else (low, middle - 1)
        return low


def kv_pool(cost: KvCost, paging: Paging) -> KvPool:
    """The pool of a model on one of its GPUs.

    Raises `ModelConfigInvalid` for a mixture of layers that vLLM cannot put into one pool either.
    """
    if not any(not isinstance(cache, StateCache) for cache in cost.shape.caches):
        # Without any attention vLLM keeps no prefixes.
        paging = replace(paging, prefix_caching=False)
    pages = _pages(cost, paging)
    if not pages:
        return KvPool(paging, paging.block_tokens, 0, ())
    block_tokens = max(page.block_tokens for page in pages)
    if len(set(pages)) == 1:
        return KvPool(paging, block_tokens, sum(page.bytes for page in pages), (pages[0],))
    if all(page.kind == "grows" for page in pages):
        # Pages of different size but equally many of them: one group, whose block holds them all.
        return KvPool(paging, block_tokens, sum(page.bytes for page in pages), (pages[0],))
    pages = _equal_pages(pages, cost)
    groups, layers = _groups(pages)
    return KvPool(paging, block_tokens, layers * pages[0].bytes, groups)


def _pages(cost: KvCost, paging: Paging) -> list[_Page]:
    caches = cost.shape.caches
    states = [cache for cache in caches if isinstance(cache, StateCache)]
    grown = [cache for cache in caches if not isinstance(cache, StateCache)]
    block, state_bytes = paging.block_tokens, [cost.layer_state_bytes(state) for state in states]
    if states and grown:
        # Pages must be equally large, so attention's block grows until its page holds a state, and that is padded.
        each = cost.layer_bytes_per_token(grown[0])
        step = max(paging.kernel_tokens, block)
        if any(isinstance(cache, LatentCache) for cache in grown):
            step = max(step, 128)
        aligned = step * _ceil(max(state_bytes), step * each)
        block = max(block, paging.kernel_tokens * _ceil(aligned, paging.kernel_tokens))
        state_bytes = [block * each] * len(states)
    elif states:
        # A state is one block, of a sequence of any length.
        return [_Page("state", state, 0, 1, size) for state, size in zip(states, state_bytes, strict=True)]
    sizes = iter(state_bytes)
    return [_page(cache, cost, block, next(sizes) if isinstance(cache, StateCache) else 0) for cache in caches]


def _page(cache: LayerCache, cost: KvCost, block: int, state_bytes: int) -> _Page:
    if isinstance(cache, StateCache):
        return _Page("state", cache, 0, block, state_bytes)
    size = block * cost.layer_bytes_per_token(cache)
    if isinstance(cache, AttentionCache) and cache.window_tokens is not None:
        return _Page("chunk" if cache.chunked else "window", cache, cache.window_tokens, block, size)
    return _Page("grows", cache, 0, block, size)


def _equal_pages(pages: list[_Page], cost: KvCost) -> list[_Page]:
    """All as large as the largest: a smaller page takes more tokens where that comes out even, else it is padded."""
    largest = max(page.bytes for page in pages)
    equal = []
    for page in pages:
        if page.bytes == largest or page.kind == "state" or largest % page.bytes:
            if page.bytes != largest and isinstance(page.content, LatentCache):
                raise ModelConfigInvalid(
                    cost.shape.name,
                    "layer_types",
                    "puts latent attention (MLA) beside layers whose cache does not divide its own; "
                    "vLLM cannot keep these in one pool",
                )
            equal.append(replace(page, bytes=largest))
        else:
            equal.append(replace(page, bytes=largest, block_tokens=page.block_tokens * (largest // page.bytes)))
    return equal


def _groups(pages: list[_Page]) -> tuple[tuple[_Page, ...], int]:
    """One page for each group, and how many layers a group holds.

    All groups are as large as the rarest kind of layer, or as the most frequent one where the two are alike, so that
    a block is equally large for all; what is missing in the last group of a kind is left empty.
    """
    kinds: defaultdict[_Page, int] = defaultdict(int)
    for page in pages:
        kinds[page] += 1
    least, most = min(kinds.values()), max(kinds.values())
    size = most if most < 1.5 * least else least
    groups = tuple(page for page, count in kinds.items() for _ in range(_ceil(count, size)))
    # Layers are dealt out evenly, so that the fullest group may hold fewer than `size`.
    return groups, max(_ceil(count, _ceil(count, size)) for count in kinds.values())


def _ceil(value: int, divisor: int) -> int:
    return -(-value // divisor)
