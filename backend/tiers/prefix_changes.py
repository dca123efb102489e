"""Prompts that begin alike, then differ in a few tokens, and then go on alike: a volatile prefix.

A date or an identifier near the beginning gives everything after it another place in the hash chain, so it is computed
again for every request though it never changed. The chain cannot tell that, and so the tokens themselves are compared.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from os.path import commonprefix
from typing import Any

_PROBE = 32
"""How many must be alike in a row to be taken for the place where two texts go on alike."""
_POSITIONS = 1000
_SHOWN_POSITIONS = 50


@dataclass(frozen=True)
class Change:
    """Both texts are alike up to `position`, there have `one` and `other`, and then are alike for `again` more.

    Neither is empty: text that only one of them has was left out on purpose, as what a question does not need.
    """

    position: int
    one: str
    other: str
    again: int


def find_change(one: str, other: str, *, at_least: int, span: int) -> Change | None:
    """The change, of at most `span` on either side, after which `at_least` are alike; `None` if there is none."""
    position = _alike(one, other)
    near = other[position : position + span + _PROBE]
    for skip in range(span + 1):
        probe = one[position + skip : position + skip + _PROBE]
        if len(probe) < _PROBE:
            return None
        found = near.find(probe)
        if found < 0:
            continue
        if not skip or not found:
            return None
        again = _alike(one[position + skip :], other[position + found :])
        if again >= at_least:
            return Change(position, one[position : position + skip], other[position : position + found], again)
    return None


def _alike(one: str, other: str) -> int:
    return len(commonprefix([one, other]))  # noqa: RUF071 - characters are what is meant


class PrefixChanges:
    """Compares what was computed anew with the last of what was computed after the same prefix. Keeps tokens of the
    last prompts in memory, and shows positions and counts alone. Not thread-safe: its owner locks.
    """

    def __init__(self, chunk_tokens: int, *, span: int = 64, parents: int = 256, kept_tokens: int = 2048) -> None:
        self._chunk_tokens = chunk_tokens
        self._span = span
        self._parents = parents
        self._kept_tokens = max(kept_tokens, 2 * chunk_tokens)
        self._runs: OrderedDict[bytes | None, deque[str]] = OrderedDict()
        self._positions: Counter[int] = Counter()
        self._prompts = 0
        self._changed = 0
        self._tokens = 0

    def note(self, parent: bytes | None, offset: int, token_ids: Sequence[int]) -> None:
        """A prompt's tokens from `offset` on must be computed; `parent` is the hash of the chunk before them."""
        # A character for each token: comparing and searching text is what Python does fast.
        run = "".join(map(chr, token_ids[: self._kept_tokens]))
        siblings = self._runs.setdefault(parent, deque(maxlen=4))
        self._runs.move_to_end(parent)
        self._prompts += 1
        for sibling in reversed(siblings):
            if change := find_change(sibling, run, at_least=self._chunk_tokens, span=self._span):
                self._changed += 1
                self._tokens += change.again
                self._positions[offset + change.position] += 1
                break
        if run not in siblings:
            siblings.append(run)
        while len(self._runs) > self._parents:
            self._runs.popitem(last=False)
        if len(self._positions) > _POSITIONS:
            self._positions = Counter(dict(self._positions.most_common(_POSITIONS // 2)))

    def status(self) -> dict[str, Any]:
        """`tokens` are those that were computed again because of a change before them."""
        return {
            "prompts": self._prompts,
            "changed": self._changed,
            "tokens": self._tokens,
            "positions": dict(self._positions.most_common(_SHOWN_POSITIONS)),
        }
