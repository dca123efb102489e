"""Whether an answer gives the rows of an accepted statement, on the question's own SQLite file, read-only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import sqlglot
from sqlglot import exp

from evals.sql_result import compare_with_any
from gateway.datasource import ResultTable
from gateway.sql_reader import ReadFailure, ReadLimits
from gateway.sqlite_reader import SqliteReader
from gateway.verification import sql_of
from kb.sql_failures import SQL_FAILURES

MAX_ROWS = 20_000
_LIMITS = ReadLimits(timeout_seconds=5.0, max_memory_bytes=2**30, max_result_bytes=2**26)

_NOW = re.compile(r"'now'|\bCURRENT_(?P<part>TIMESTAMP|DATE|TIME)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Judged:
    """`runs` is whether the answer gives any rows within the limits."""

    right: bool
    runs: bool


def judge_by_rows(file: Path, gold: Sequence[str], answer: str | None, clock: str | None = None) -> Judged | None:
    """`None` where no accepted statement runs, so that nothing can be judged. No answer is a wrong one.

    `clock` (ISO, UTC) stands for the present moment in every statement.
    """
    accepted = [(table, is_ordered(sql)) for sql in gold if (table := _rows(file, frozen(sql, clock))) is not None]
    if not accepted:
        return None
    found = _rows(file, frozen(sql_of(answer), clock)) if answer is not None else None
    if found is None:
        return Judged(False, False)
    right = any(compare_with_any([table], found, ordered=order).outcome == "equal" for table, order in accepted)
    return Judged(right, True)


def frozen(sql: str, clock: str | None) -> str:
    """With `'now'` and CURRENT_… replaced by the moment `clock`."""
    if clock is None:
        return sql
    date, _, time = clock.partition(" ")
    parts = {"DATE": date, "TIME": time}
    return _NOW.sub(lambda found: f"'{parts.get((found['part'] or '').upper(), clock)}'", sql)


def is_ordered(sql: str) -> bool:
    """Whether the outermost statement has an ORDER BY."""
    try:
        tree = sqlglot.parse_one(sql, read="sqlite")
    except SQL_FAILURES:
        return " order by " in f" {sql.lower()} "
    return isinstance(tree, exp.Query) and tree.args.get("order") is not None


@lru_cache(maxsize=4096)
def _rows(file: Path, sql: str) -> ResultTable | None:
    """Asked for again and again: one gold statement a step of the base, and answers that a step does not change."""
    try:
        read = SqliteReader(str(file.resolve()), _LIMITS).read(sql, MAX_ROWS)
    except ReadFailure:
        return None
    return ResultTable(tuple(read.columns), tuple(map(tuple, read.rows)), read.truncated, 0.0)
