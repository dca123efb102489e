"""What retrieval costs at 100,000 items: at the head, at a commit far behind it, and until a replica has a new head.

The base is `warehouse.py`'s, its vectors are `stand_ins.py`'s; each question is really embedded, in the time taken.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np

from backend.benching.figure import median_interval
from evals.bench.errors import ReplicaEnded
from evals.bench.kb.large_base import AUTHOR, large_file
from evals.bench.kb.stand_ins import StandIns
from evals.bench.kb.warehouse import edited_item, question, warehouse_item
from evals.bench.row import Asked, Row
from kb.embedding import Embedder
from kb.knowledge_base import Changes, KnowledgeBase
from kb.objects import Commit
from kb.retrieval import Retriever
from kb.search_text import search_text

QUESTIONS = 300
"""Asked at the head; a third as many are asked at both commits."""
WARM_UP = 10
FOLLOWED = 20
EXAMPLES = 200
"""Texts of the base that are really embedded."""


def retrieval_rows(
    embedder: Embedder, say: Callable[[str], None], *, items: int, commits: int, questions: int = QUESTIONS
) -> list[Row]:
    """The figures; smaller numbers than the command's are for trying it out."""
    say(f"making a base of {items} items")
    stand_ins = StandIns(embedder)
    with large_file(items, warehouse_item) as (base, file):
        retriever = Retriever(base.store, stand_ins)
        old = base.resolve().id
        examples = [search_text(warehouse_item(number)) for number in _spread(EXAMPLES, items)]
        with stand_ins.made_up(examples):
            say("making its index")
            retriever.prepare(base)
            say(f"{commits} commits")
            for edition, place in enumerate(_spread(commits, items)):
                _commit(base, place, edition)
            retriever.prepare(base)
        say(f"{questions} questions")
        seconds = _asked(base, retriever, questions, items)
        say(f"{questions // 3} questions at both commits")
        ratios = _ratios(base, retriever, old, questions // 3, items)
        say(f"{FOLLOWED} commits, each with its index")
        indexed = [_indexed(base, retriever, place, commits) for place in _spread(FOLLOWED, items)]
        say("starting a replica")
        followed = _followed(base, file, items, commits + 1)
    return _rows(items, commits, seconds, ratios, indexed, followed)


def _rows(
    items: int,
    commits: int,
    seconds: Sequence[float],
    ratios: Sequence[float],
    indexed: Sequence[float],
    followed: Sequence[float],
) -> list[Row]:
    taken, name = [1e3 * second for second in seconds], f"retrieval at {items:,} items"
    made = [1e3 * second for second in indexed]
    return [
        Row(f"{name}, p50", median(taken), "ms", len(taken), median_interval(taken), asked=Asked(at_most=40.0)),
        Row(f"{name}, p99", float(np.quantile(taken, 0.99)), "ms", len(taken), asked=Asked(at_most=120.0)),
        Row(
            f"retrieval {commits:,} commits back, beside the head",
            median(ratios),
            "times",
            len(ratios),
            median_interval(ratios),
            asked=Asked(at_most=1.3),
        ),
        Row(
            f"index of a commit of one item, {items:,} items, p50", median(made), "ms", len(made), median_interval(made)
        ),
        Row("until a replica has the index, p50", median(followed), "s", len(followed), median_interval(followed)),
        Row("until a replica has the index, longest", max(followed), "s", len(followed), asked=Asked(at_most=1.0)),
    ]


def _asked(base: KnowledgeBase, retriever: Retriever, count: int, items: int) -> list[float]:
    """Seconds of each question, at the head; none is asked twice."""
    places = _spread(WARM_UP + count, items)
    return [_seconds(base, retriever, place, "main") for place in places][WARM_UP:]


def _ratios(base: KnowledgeBase, retriever: Retriever, old: str, count: int, items: int) -> list[float]:
    """Seconds at the old commit beside those at the head, question by question, either first in turns."""
    ratios: list[float] = []
    for turn, place in enumerate(_spread(WARM_UP + count, items)):
        order = ("main", old) if turn % 2 else (old, "main")
        seconds = {revision: _seconds(base, retriever, place, revision) for revision in order}
        ratios.append(seconds[old] / seconds["main"])
    return ratios[WARM_UP:]


def _indexed(base: KnowledgeBase, retriever: Retriever, place: int, edition: int) -> float:
    _commit(base, place, edition)
    begun = time.perf_counter()
    retriever.prepare(base)
    return time.perf_counter() - begun


def _followed(base: KnowledgeBase, file: Path, items: int, edition: int) -> list[float]:
    """Seconds from the end of each commit until the replica has its index."""
    seconds: list[float] = []
    with _replica(file) as ready:
        _until(ready, base.resolve().id)
        for place in _spread(FOLLOWED, items):
            commit = _commit(base, place, edition)
            committed = time.time()
            seconds.append(max(0.0, _until(ready, commit.id) - committed))
    return seconds


@contextmanager
def _replica(file: Path) -> Iterator[Iterator[tuple[str, float]]]:
    """Another process that follows; yields what it says: commits, and when their index was ready."""
    command = [sys.executable, "-m", "evals.bench.kb.replica", str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield ((line.split()[0], float(line.split()[1])) for line in process.stdout)
        finally:
            process.stdin.close()
            process.wait()


def _until(ready: Iterator[tuple[str, float]], commit_id: str) -> float:
    """When the replica had the index of this commit."""
    for known, at in ready:
        if known == commit_id:
            return at
    raise ReplicaEnded(commit_id)


def _seconds(base: KnowledgeBase, retriever: Retriever, place: int, revision: str) -> float:
    asked = question(place)
    begun = time.perf_counter()
    retriever.retrieve(base, asked, revision=revision)
    return time.perf_counter() - begun


def _commit(base: KnowledgeBase, place: int, edition: int) -> Commit:
    return base.commit(Changes((edited_item(place, edition),)), author=AUTHOR, message=f"Edition {edition}")


def _spread(count: int, items: int) -> list[int]:
    """Numbers of items far from each other, each once as long as there are so many."""
    return [turn * 7_919 % items for turn in range(count)]
