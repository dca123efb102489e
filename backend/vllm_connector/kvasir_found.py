"""What of a prompt can be reused, where vLLM computes it from one place to its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Found:
    """`tokens` from a prompt's beginning: `prefix_tokens` that are exact, then the chunks `moved`, as matched."""

    tokens: int
    prefix_tokens: int
    moved: tuple[Any, ...]


def without_gap(prefix_tokens: int, matches: Sequence[Any], limit_tokens: int) -> Found:
    """The prefix and those matches that follow it, one after the other, up to `limit_tokens`."""
    end, moved = prefix_tokens, []
    for match in sorted(matches, key=lambda match: int(match.cur_st)):
        if match.cur_st == end and match.cur_ed <= limit_tokens:
            moved.append(match)
            end = match.cur_ed
    return Found(end, prefix_tokens, tuple(moved))
