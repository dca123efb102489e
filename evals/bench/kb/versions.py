"""Commits, diffs and storage at 1,000 and at 100,000 items, and ten processes that commit at once.

Times are compared within one run: the large base beside the small one, taken in turns.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from backend.benching.figure import median_interval
from evals.bench.kb.large_base import AUTHOR, edited, item, large_base, state_database
from evals.bench.row import Asked, Row
from kb.codec import encode_item
from kb.knowledge_base import Changes, KnowledgeBase
from kb.sql_store import SqlStore
from kb.verify import verify

SMALL, LARGE = 1_000, 100_000
COMMITS = 1_000
"""Of one item each; those of the large base are what its storage is measured by."""
TIMED = 200
DIFFS = 50
APART = 10
PROCESSES = 10


def version_rows(say: Callable[[str], None], *, large: int = LARGE, commits: int = COMMITS) -> list[Row]:
    """The figures; smaller numbers than the defaults are for trying it out."""
    say(f"making bases of {SMALL} and {large} items")
    with large_base(SMALL) as small_base, large_base(large) as base:
        before = _stored_bytes(base)
        say(f"{commits} commits of one item each")
        timed = min(TIMED, commits)
        small, big = _commit_seconds(small_base, base, SMALL, large, timed)
        for edition in range(timed, commits):
            _commit(base, _spread(edition, large), edition)
        added = _stored_bytes(base) - before
        diffs = [_timed(lambda: base.diff(f"main~{APART}", "main")) for _ in range(DIFFS)]
        rows = [
            *_commit_rows(small, big, large),
            _milliseconds(f"diff of commits {APART} apart, {large:,} items", diffs, 30.0),
            Row(
                f"storage of {commits:,} commits of one item, {large:,} items",
                added / (commits * _copy_bytes(large)),
                "share of full copies",
                commits,
                asked=Asked(at_most=0.05),
            ),
        ]
    return [*rows, *_concurrent_rows(say, commits)]


def _commit_seconds(
    small: KnowledgeBase, large: KnowledgeBase, few: int, many: int, count: int
) -> tuple[list[float], list[float]]:
    """Seconds of one-item commits, on the one and the other base in turns."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for edition in range(count):
        for base, size, taken in zip((small, large), (few, many), seconds, strict=True):
            taken.append(_timed(partial(_commit, base, _spread(edition, size), edition)))
    return seconds


def _commit_rows(small: Sequence[float], large: Sequence[float], size: int) -> list[Row]:
    name = f"commit of one item, {size:,} items"
    rows = [_milliseconds(name, large, 50.0, {f"{SMALL:,} items": 1e3 * median(small)})]
    ratios = [big / little for big, little in zip(large, small, strict=True)]
    beside = f"{name}, beside {SMALL:,}"
    rows.append(Row(beside, median(ratios), "times", len(ratios), median_interval(ratios), asked=Asked(at_most=3.0)))
    return rows


def _concurrent_rows(say: Callable[[str], None], commits: int) -> list[Row]:
    """Ten processes on one branch: what was acknowledged has to be there."""
    share = commits // PROCESSES
    with TemporaryDirectory(prefix="kvasir-bench-") as folder:
        path = Path(folder) / "state.sqlite"
        engine = state_database(path)
        base = KnowledgeBase.create(SqlStore(engine), "bench", "large", author=AUTHOR)
        say(f"{PROCESSES} processes, {share} commits each")
        command = [sys.executable, "-m", "evals.bench.kb.writer", str(path)]
        writers = [
            subprocess.Popen([*command, str(first), str(share)], stdout=subprocess.PIPE, text=True)
            for first in range(0, PROCESSES * share, share)
        ]
        acknowledged = {commit for writer in writers for commit in writer.communicate()[0].split()}
        lost = len(acknowledged - {commit.id for commit in base.log()}) + PROCESSES * share - len(acknowledged)
        missing = PROCESSES * share - len(base.snapshot().items)
        broken = len(verify(base).problems)
        engine.dispose()
    count = PROCESSES * share
    return [
        Row(f"{PROCESSES} processes at once, lost commits", float(lost), "commits", count, asked=Asked(at_most=0)),
        Row(f"{PROCESSES} processes at once, missing items", float(missing), "items", count, asked=Asked(at_most=0)),
        Row(f"{PROCESSES} processes at once, broken objects", float(broken), "objects", count, asked=Asked(at_most=0)),
    ]


def _commit(base: KnowledgeBase, place: int, edition: int) -> None:
    base.commit(Changes((edited(place, edition),)), author=AUTHOR, message=f"Edition {edition}")


def _spread(edition: int, size: int) -> int:
    """Another item each time, far from the last."""
    return edition * 7_919 % size


def _stored_bytes(base: KnowledgeBase) -> int:
    return sum(stored.size for stored in base.store.objects(base.id))


def _copy_bytes(items: int) -> int:
    """All items as they are stored, and nothing else: what a copy of the base takes at least."""
    return sum(len(encode_item(item(number))) for number in range(items))


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _milliseconds(name: str, seconds: Sequence[float], at_most: float, baseline: dict[str, float] | None = None) -> Row:
    taken = [1e3 * second for second in seconds]
    interval = median_interval(taken)
    return Row(f"{name}, p50", median(taken), "ms", len(taken), interval, baseline or {}, Asked(at_most=at_most))
