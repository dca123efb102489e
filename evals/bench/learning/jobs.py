"""Pieces of a benchmark that do not depend on each other, in several processes at a time."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import pairwise
from typing import TypeVar

from kb.embedding import Embedder, SentenceEmbedder

T = TypeVar("T")
Say = Callable[[str], None]
Piece = Callable[[Embedder, Say], T]
"""Travels to another process and its result back, so both must be picklable: a `partial` of a module's function."""


def all_done(pieces: Sequence[Piece[T]], jobs: int, embedder: Embedder, say: Say) -> list[T]:
    """The results in the order of the pieces. With one job they are made here, one after the other.

    In another process a piece gets an embedder of its own, `SentenceEmbedder`, and tells its progress on stderr.
    """
    if jobs == 1:
        return [piece(embedder, say) for piece in pieces]
    # Not forked: threads of torch and FAISS do not survive it.
    context = multiprocessing.get_context("spawn")
    workers = min(jobs, len(pieces))
    with ProcessPoolExecutor(workers, context, initializer=_share_cores, initargs=(workers,)) as pool:
        waiting = [pool.submit(_done, number, len(pieces), piece) for number, piece in enumerate(pieces, start=1)]
        return [one.result() for one in waiting]


def slices(count: int, parts: int) -> list[range]:
    """`count` numbers in at most `parts` runs of like length, none of them empty."""
    parts = max(1, min(parts, count))
    bounds = [count * part // parts for part in range(parts + 1)]
    return [range(low, high) for low, high in pairwise(bounds)]


def _done(number: int, count: int, piece: Piece[T]) -> T:
    return piece(_embedder(), lambda message: print(f"[{number}/{count}] {message}", file=sys.stderr))  # noqa: T201


@cache
def _embedder() -> Embedder:
    return SentenceEmbedder()


def _share_cores(workers: int) -> None:
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))
