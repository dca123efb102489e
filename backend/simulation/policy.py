"""The contract of what one tier keeps, on which a store, a look-up and the tests rely.

A hit counts only as part of a contiguous prefix: KV of a block is of use only with that of all blocks before it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from backend.simulation.trace import Request


class Policy(ABC):
    """One tier of `capacity_blocks` blocks, at least 1. A policy sees requests in order, each once by `store`; all but
    the offline optimum know nothing of those to come.
    """

    def __init__(self, capacity_blocks: int) -> None:
        self.capacity_blocks = capacity_blocks

    @abstractmethod
    def cached_until(self, request: Request, start: int) -> int:
        """Where the stretch of cached blocks that begins with block number `start` of the prompt ends: `start` where
        that is not cached. Changes nothing.
        """

    @abstractmethod
    def store(self, request: Request, until: int) -> int:
        """The prompt was computed or loaded: use its blocks that are cached, and take those of its first `until`
        blocks that are not, as far as they are worth it. Returns how many of them were newly written and stayed.
        """

    @property
    @abstractmethod
    def size_blocks(self) -> int:
        """How many blocks are cached now; never more than `capacity_blocks` between two calls."""


class BlockPolicy(Policy):
    """A policy that keeps blocks by their ids, whatever the prompt. Blocks of one prompt are used last block first, so
    that among those used at the same time the end of a prompt goes before its beginning, as in vLLM.
    """

    @abstractmethod
    def __contains__(self, block: object) -> bool: ...

    def cached_until(self, request: Request, start: int) -> int:
        end = start
        for block in request.blocks[start:]:
            if block not in self:
                break
            end += 1
        return end

    def taken(self, request: Request, until: int) -> list[int]:
        """The blocks to use or take, last first; of a prompt longer than the tier its beginning."""
        return request.blocks[: min(until, self.capacity_blocks)][::-1]
