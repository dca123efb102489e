"""S3-FIFO: a small queue on probation, a main queue, and a list of what left the small one (Yang et al., "FIFO queues
are all you need for cache eviction", SOSP 2023, algorithm 1).
"""

from __future__ import annotations

from collections import OrderedDict, deque

from backend.simulation.policy import BlockPolicy
from backend.simulation.trace import Request

SMALL_SHARE = 0.1
MOST_USES = 3


class S3FIFO(BlockPolicy):
    def __init__(self, capacity_blocks: int) -> None:
        super().__init__(capacity_blocks)
        self._small_size = max(1, int(capacity_blocks * SMALL_SHARE))
        self._small: deque[int] = deque()
        self._main: deque[int] = deque()
        self._uses: dict[int, int] = {}
        self._ghosts: OrderedDict[int, None] = OrderedDict()

    def __contains__(self, block: object) -> bool:
        return block in self._uses

    def store(self, request: Request, until: int) -> int:
        uses, ghosts, written = self._uses, self._ghosts, 0
        for block in self.taken(request, until):
            count = uses.get(block)
            if count is not None:
                if count < MOST_USES:
                    uses[block] = count + 1
                continue
            if len(uses) >= self.capacity_blocks:
                self._evict()
            if block in ghosts:
                del ghosts[block]
                self._main.append(block)
            else:
                self._small.append(block)
            uses[block] = 0
            written += 1
        return written

    def _evict(self) -> None:
        probation_is_full = len(self._small) >= self._small_size or not self._main
        if not (probation_is_full and self._evict_small()):
            self._evict_main()

    def _evict_small(self) -> bool:
        """Whether a block left. Those before it that were used more than once move to the main queue."""
        uses, small = self._uses, self._small
        while small:
            block = small.popleft()
            if uses[block] > 1:
                uses[block] = 0
                self._main.append(block)
                continue
            del uses[block]
            self._ghosts[block] = None
            if len(self._ghosts) > self.capacity_blocks - self._small_size:
                self._ghosts.popitem(last=False)
            return True
        return False

    def _evict_main(self) -> None:
        uses, main = self._uses, self._main
        while True:
            block = main.popleft()
            if not uses[block]:
                del uses[block]
                return
            uses[block] -= 1
            main.append(block)

    @property
    def size_blocks(self) -> int:
        return len(self._uses)
