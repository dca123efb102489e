"""The KV of prompts and answers that a model has computed, kept for the next prompt that begins with the same tokens.

An entry holds all of its tokens, whatever it shares with others: a few hundred megabytes are a few conversations, and
a tree of shared blocks would need attention over scattered blocks, which transformers does not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Match:
    """The first `tokens` tokens of `kv` are those asked for. `kv` is the cache's own and must not be written to."""

    kv: Any
    tokens: int


class PrefixCache:
    """Least recently used entries go first. One thread at a time.

    An entry is found under its own salt alone: how long an answer took, and how many of its tokens were cached, would
    tell of another tenant's prompts.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._entries: list[_Entry] = []  # the last used stands last

    @property
    def size_bytes(self) -> int:
        return sum(entry.size_bytes for entry in self._entries)

    def longest(self, salt: str | None, tokens: Sequence[int]) -> Match | None:
        """The entry that shares the longest prefix with `tokens`, which counts as a use of it."""
        wanted = np.asarray(tokens)
        best, shared = None, 0
        for entry in reversed(self._entries):
            if entry.salt == salt and (common := _common(entry.tokens, wanted)) > shared:
                best, shared = entry, common
        if best is None:
            return None
        self._use(best)
        return Match(best.kv, shared)

    def keep(self, salt: str | None, tokens: Sequence[int], kv: Any, size_bytes: int) -> None:
        """Take `kv`, which nobody may write to from here on, unless it alone is over the limit.

        Of two entries of which one is wholly a prefix of the other, only the longer stays.
        """
        new = _Entry(salt, np.asarray(tokens), kv, size_bytes)
        if size_bytes > self.limit_bytes:
            return
        longer = next((entry for entry in reversed(self._entries) if entry.begins_with(new)), None)
        if longer is not None:
            self._use(longer)
            return
        self._entries = [*(entry for entry in self._entries if not new.begins_with(entry)), new]
        while self.size_bytes > self.limit_bytes:
            self._entries.pop(0)

    def _use(self, entry: _Entry) -> None:
        self._entries = [*(other for other in self._entries if other is not entry), entry]


@dataclass(frozen=True, eq=False)
class _Entry:
    salt: str | None
    tokens: npt.NDArray[np.int64]
    kv: Any
    size_bytes: int

    def begins_with(self, other: _Entry) -> bool:
        return self.salt == other.salt and _common(self.tokens, other.tokens) == other.tokens.size


def _common(one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> int:
    length = min(one.size, other.size)
    differ = np.flatnonzero(one[:length] != other[:length])
    return int(differ[0]) if differ.size else length
