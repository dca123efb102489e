"""What was written first goes first, used or not."""

from __future__ import annotations

from collections import deque

from backend.simulation.policy import BlockPolicy
from backend.simulation.trace import Request


class FIFO(BlockPolicy):
    def __init__(self, capacity_blocks: int) -> None:
        super().__init__(capacity_blocks)
        self._queue: deque[int] = deque()
        self._cached: set[int] = set()

    def __contains__(self, block: object) -> bool:
        return block in self._cached

    def store(self, request: Request, until: int) -> int:
        cached, queue = self._cached, self._queue
        new = [block for block in self.taken(request, until) if block not in cached]
        queue.extend(new)
        cached.update(new)
        for _ in range(len(queue) - self.capacity_blocks):
            cached.discard(queue.popleft())
        return len(new)

    @property
    def size_blocks(self) -> int:
        return len(self._queue)
