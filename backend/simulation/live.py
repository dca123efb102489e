"""What goes first is worth least by the rule that runs in LMCache: `backend.tiers.placement.worth_in_ram`.

Beside `kvasir`, a model of what comes again, this is what a cache server can judge in its loop: how often a block came,
how long ago, and how likely blocks seen as often were to come once more. As there, a fifth of the tier is emptied at
once where it is full, which costs hits beside a policy that takes out what it must.
"""

from __future__ import annotations

from collections import OrderedDict

from backend.simulation.policy import BlockPolicy
from backend.simulation.trace import Request
from backend.tiers.placement import worth_in_ram
from backend.tiers.sightings import Sightings

_EMPTIED = 0.2
_BLOCK_BYTES = 8


class Live(BlockPolicy):
    def __init__(self, capacity_blocks: int) -> None:
        super().__init__(capacity_blocks)
        self._used: OrderedDict[int, float] = OrderedDict()
        self._sightings = Sightings()

    def __contains__(self, block: object) -> bool:
        return block in self._used

    def store(self, request: Request, until: int) -> int:
        used, before, now = self._used, len(self._used), request.seconds
        self._sightings.note_lookup([_id(block) for block in request.blocks], now)
        for block in self.taken(request, until):
            used[block] = now
            used.move_to_end(block)
        written = len(used) - before
        if len(used) > self.capacity_blocks:
            emptied = max(len(used) - self.capacity_blocks, int(_EMPTIED * len(used)))
            for block in sorted(used, key=lambda block: self._worth(block, now))[:emptied]:
                del used[block]
        return written

    def _worth(self, block: int, now: float) -> float:
        sightings = self._sightings
        sighting = sightings.get(_id(block))
        return worth_in_ram(
            None,
            1,
            None,
            chance=sightings.chance_of_return(sighting.times if sighting else 1),
            silent_seconds=now - self._used[block],
            usual_gap_seconds=sightings.usual_gap_seconds or 0.0,
        )

    @property
    def size_blocks(self) -> int:
        return len(self._used)


def _id(block: int) -> bytes:
    return block.to_bytes(_BLOCK_BYTES, "big")
