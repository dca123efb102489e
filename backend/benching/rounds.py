"""The rounds of a section of the bench: every length in each of them, after a warm-up that does not count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from backend.benching.target import Progress

Found = TypeVar("Found")


def rounds(
    section: str,
    lengths: Sequence[int],
    repeats: int,
    on_progress: Progress,
    measure: Callable[[int, int], Found],
) -> list[Found]:
    """What `measure` gives for a length in tokens and the number of the round, from 0. The shortest and the longest
    are measured once before, as in round 0, and left out.
    """
    for length in sorted({min(lengths), max(lengths)}):
        on_progress(f"{section}: warming up, {length} tokens")
        measure(length, 0)
    found: list[Found] = []
    for repeat in range(repeats):
        for length in lengths:
            on_progress(f"{section}: repeat {repeat + 1} of {repeats}, {length} tokens")
            found.append(measure(length, repeat))
    return found
