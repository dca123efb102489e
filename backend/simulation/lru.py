"""Least recently used goes first: what LMCache and vLLM do unless told otherwise."""

from __future__ import annotations

from collections import OrderedDict

from backend.simulation.policy import BlockPolicy
from backend.simulation.trace import Request


class LRU(BlockPolicy):
    def __init__(self, capacity_blocks: int) -> None:
        super().__init__(capacity_blocks)
        self._order: OrderedDict[int, None] = OrderedDict()

    def __contains__(self, block: object) -> bool:
        return block in self._order

    def store(self, request: Request, until: int) -> int:
        order, before = self._order, len(self._order)
        for block in self.taken(request, until):
            if block in order:
                order.move_to_end(block)
            else:
                order[block] = None
        written = len(order) - before
        for _ in range(len(order) - self.capacity_blocks):
            order.popitem(last=False)
        return written

    @property
    def size_blocks(self) -> int:
        return len(self._order)
