"""ARC: two lists, of blocks used once and of blocks used again, whose share moves with what comes back of either
(Megiddo and Modha, "ARC: a self-tuning, low overhead replacement cache", FAST 2003, figure 4). LMCache offers it as
well.
"""

from __future__ import annotations

from collections import OrderedDict

from backend.simulation.policy import BlockPolicy
from backend.simulation.trace import Request

Order = OrderedDict[int, None]


class ARC(BlockPolicy):
    def __init__(self, capacity_blocks: int) -> None:
        super().__init__(capacity_blocks)
        self._once: Order = OrderedDict()
        self._again: Order = OrderedDict()
        self._once_ghosts: Order = OrderedDict()
        self._again_ghosts: Order = OrderedDict()
        self._target = 0.0  # of `_once`, in blocks

    def __contains__(self, block: object) -> bool:
        return block in self._once or block in self._again

    def store(self, request: Request, until: int) -> int:
        once, again, written = self._once, self._again, 0
        for block in self.taken(request, until):
            if block in again:
                again.move_to_end(block)
            elif block in once:
                del once[block]
                again[block] = None
            else:
                self._take(block)
                written += 1
        return written

    def _take(self, block: int) -> None:
        once_ghosts, again_ghosts = self._once_ghosts, self._again_ghosts
        if block in once_ghosts:
            self._target = min(self.capacity_blocks, self._target + max(1.0, len(again_ghosts) / len(once_ghosts)))
            self._replace(was_again=False)
            del once_ghosts[block]
            self._again[block] = None
        elif block in again_ghosts:
            self._target = max(0.0, self._target - max(1.0, len(once_ghosts) / len(again_ghosts)))
            self._replace(was_again=True)
            del again_ghosts[block]
            self._again[block] = None
        else:
            self._make_room()
            self._once[block] = None

    def _make_room(self) -> None:
        capacity = self.capacity_blocks
        known_once = len(self._once) + len(self._once_ghosts)
        if known_once == capacity:
            if self._once_ghosts:
                self._once_ghosts.popitem(last=False)
                self._replace(was_again=False)
            else:
                self._once.popitem(last=False)
            return
        known = known_once + len(self._again) + len(self._again_ghosts)
        if known >= capacity:
            if known == 2 * capacity:
                self._again_ghosts.popitem(last=False)
            self._replace(was_again=False)

    def _replace(self, *, was_again: bool) -> None:
        once = len(self._once)
        if once + len(self._again) < self.capacity_blocks:
            return  # there is room yet
        if once and (once > self._target or (was_again and once == self._target)):
            self._once_ghosts[self._once.popitem(last=False)[0]] = None
        else:
            self._again_ghosts[self._again.popitem(last=False)[0]] = None

    @property
    def size_blocks(self) -> int:
        return len(self._once) + len(self._again)
