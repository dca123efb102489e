"""Pieces of a benchmark that do not depend on each other: in several processes at a time, and kept where wanted."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from typing import Any, TypeVar

from pydantic import TypeAdapter

from evals.bench.learning.kept_pieces import KeptPieces
from kb.embedding import Embedder, SentenceEmbedder

T = TypeVar("T")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Jobs:
    """`count` processes. With one, pieces are made here, one after the other, with `embedder`; progress goes to `say`.

    In another process a piece gets an embedder of its own, `SentenceEmbedder`, and tells its progress on stderr.
    """

    count: int
    embedder: Embedder
    say: Say
    kept: KeptPieces | None = None

    def done(self, pieces: Sequence[partial[T]], form: TypeAdapter[T]) -> list[T]:
        """The results in the order of the pieces; `form` is how they are kept.

        A piece is a `partial` of a module's function that still takes the embedder and where to tell progress. It and
        its result travel between processes, so both must be picklable. What is kept of an earlier run is not made
        again. Raises what a piece raises, `KeptUnreadable`, `OSError`.
        """
        known = [self.kept.get(name_of(piece)) if self.kept is not None else None for piece in pieces]
        results = {place: form.validate_python(found) for place, found in enumerate(known) if found is not None}
        if results:
            self.say(f"{len(results)} of {len(pieces)} pieces are kept from an earlier run")
        missing = [place for place in range(len(pieces)) if place not in results]
        made = self._made_here if self.count == 1 else self._made_in_processes
        for place, result in made([(place, pieces[place]) for place in missing]):
            if self.kept is not None:
                self.kept.keep(name_of(pieces[place]), form.dump_python(result, mode="json"))
            results[place] = result
        return [results[place] for place in range(len(pieces))]

    def _made_here(self, pieces: Sequence[tuple[int, partial[T]]]) -> Iterator[tuple[int, T]]:
        for place, piece in pieces:
            yield place, piece(self.embedder, self.say)

    def _made_in_processes(self, pieces: Sequence[tuple[int, partial[T]]]) -> Iterator[tuple[int, T]]:
        if not pieces:
            return
        workers = min(self.count, len(pieces))
        # Not forked: threads of torch and FAISS do not survive it.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, context, initializer=_share_cores, initargs=(workers,)) as pool:
            waiting = {pool.submit(_done, place + 1, piece): place for place, piece in pieces}
            for one in as_completed(waiting):
                yield waiting[one], one.result()


def name_of(piece: partial[Any]) -> str:
    """The same for the same work, in every process."""
    return f"{piece.func.__module__}.{piece.func.__qualname__}{piece.args!r}"


def slices(count: int, parts: int) -> list[range]:
    """`count` numbers in at most `parts` runs of like length, none of them empty."""
    parts = max(1, min(parts, count))
    bounds = [count * part // parts for part in range(parts + 1)]
    return [range(low, high) for low, high in pairwise(bounds)]


def _done(number: int, piece: partial[T]) -> T:
    return piece(_embedder(), lambda message: print(f"[{number}] {message}", file=sys.stderr))  # noqa: T201


@cache
def _embedder() -> Embedder:
    return SentenceEmbedder()


def _share_cores(workers: int) -> None:
    import torch

    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // workers))
