"""The offline optimum: of all blocks seen, keep those that come again soonest (Belady, "A study of replacement
algorithms for a virtual-storage computer", 1966), without a duty to keep what has just come.

It is a bound for every policy. Counting each cached block as a hit, whatever is before it, keeping the soonest is
optimal for blocks of one size, and no policy that counts contiguous prefixes only can have more. The bound is reached:
whenever a block comes, all blocks before it come as well, so none of them is due later; among those due at the same
time the deepest goes first. So what is kept always is a set of whole prefixes, in which every cached block of a prompt
is a part of its contiguous prefix.

A smaller tier's content is a part of a larger tier's. So of tiers in a row, each without what a faster one has, the
hits of the first `n` are those of one tier of their capacity together.
"""

from __future__ import annotations

from heapq import heappop, heappush

import numpy as np

from backend.simulation.next_uses import next_uses
from backend.simulation.policy import Policy
from backend.simulation.trace import Request, Trace


class Optimum(Policy):
    """Knows `trace`, and must be given its requests. What it writes is not counted: it could leave all that never hits
    unwritten.
    """

    def __init__(self, capacity_blocks: int, trace: Trace) -> None:
        super().__init__(capacity_blocks)
        self._lengths: list[int] = trace.run_lengths.tolist()
        self._depths: list[int] = trace.run_depths.tolist()
        self._never = len(trace)  # the request that uses again what none does
        request_of = np.repeat(np.arange(len(trace)), np.diff(trace.run_starts))
        self._next_uses = next_uses(trace.runs, request_of, self._never)
        self._cached = [0] * len(self._lengths)  # blocks of a run, which are always its first
        self._due = [0] * len(self._lengths)
        self._latest: list[tuple[int, int, int]] = []  # (-due, -depth, run), among them some that are outdated
        self._size = 0

    def cached_until(self, request: Request, start: int) -> int:
        return cached_until(request, start, self._depths, self._lengths, self._cached)

    def store(self, request: Request, until: int) -> int:
        cached, due, depths = self._cached, self._due, self._depths
        last = request.first_run + len(request.runs)
        for run, next_use in zip(request.runs, self._next_uses[request.first_run : last].tolist(), strict=True):
            wanted = min(self._lengths[run], max(0, until - depths[run])) if next_use < self._never else 0
            self._size += wanted - cached[run]
            cached[run], due[run] = wanted, next_use
            if wanted:
                heappush(self._latest, (-next_use, -depths[run], run))
        while self._size > self.capacity_blocks:
            negative_due, _, run = self._latest[0]
            if due[run] != -negative_due or not cached[run]:
                heappop(self._latest)
                continue
            gone = min(cached[run], self._size - self.capacity_blocks)
            cached[run] -= gone
            self._size -= gone
        return 0

    @property
    def size_blocks(self) -> int:
        return self._size


def cached_until(request: Request, start: int, depths: list[int], lengths: list[int], cached: list[int]) -> int:
    """`Policy.cached_until` where `cached` counts the first blocks of each run."""
    end = start
    for run in request.runs:
        depth = depths[run]
        if depth + lengths[run] <= end:
            continue
        if depth > end or depth + cached[run] <= end:
            break
        end = depth + cached[run]
        if cached[run] < lengths[run]:
            break
    return end
