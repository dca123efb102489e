"""Which blocks a replica was asked, the last ones: what its cache is likely to hold.

Nobody tells what a cache dropped, so this is a guess. It is the better the nearer `capacity_blocks` is to what the
cache holds, and a wrong one costs a prefill that was needed on any replica.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

CAPACITY_BLOCKS = 65_536
"""16 MB of text, some four million tokens, in 8 to 12 MB of memory."""


class PrefixIndex:
    """Of one replica. A block is never kept longer than those before it in its chain."""

    def __init__(self, capacity_blocks: int = CAPACITY_BLOCKS) -> None:
        self._capacity_blocks = capacity_blocks
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._blocks)

    def matched(self, blocks: Sequence[int]) -> int:
        """How many of the first blocks are there."""
        for number, block in enumerate(blocks):
            if block not in self._blocks:
                return number
        return len(blocks)

    def add(self, blocks: Sequence[int]) -> None:
        """Of a prompt longer than all that is kept, its beginning."""
        # The last block first, so that what prompts share is the newest, and a chain is dropped from its end.
        for block in reversed(blocks[: self._capacity_blocks]):
            self._blocks[block] = None
            self._blocks.move_to_end(block)
        while len(self._blocks) > self._capacity_blocks:
            self._blocks.popitem(last=False)

    def clear(self) -> None:
        self._blocks.clear()
