"""The check of an answer against its datasource: parse, known columns, run read-only within limits."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from gateway.datasource import Datasource, ResultTable
from gateway.errors import DatasourceError, DatasourceUnavailable, StatementFailed, StatementLimit, StatementRefused

VerificationStatus = Literal["passed", "refused", "failed", "limit", "unavailable"]
SHOWN_ROWS = 20

_FENCED = re.compile(r"```[ \t]*([\w+-]*)[^\n`]*\n(.*?)```", re.DOTALL)
_SQL_FENCES = ("sql", "sqlite", "postgres", "postgresql")

_STATUS: tuple[tuple[type[DatasourceError], VerificationStatus], ...] = (
    (DatasourceUnavailable, "unavailable"),
    (StatementRefused, "refused"),
    (StatementLimit, "limit"),
    (StatementFailed, "failed"),
)


@dataclass(frozen=True, slots=True)
class Verification:
    """`rows` are the first `SHOWN_ROWS` of the result; `row_count` counts what was fetched within the limit."""

    status: VerificationStatus
    sql: str
    message: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[object, ...], ...] = ()
    row_count: int | None = None
    truncated: bool = False
    elapsed_seconds: float | None = None

    @property
    def passed(self) -> bool:
        return self.status == "passed"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def verify(datasource: Datasource, answer: str, tables: Mapping[str, Collection[str]]) -> Verification:
    """`tables` maps the tables that the schema items know to their columns; where it is empty, none is checked."""
    sql = sql_of(answer)
    try:
        datasource.check(sql, schemas=tables or None)
        result = datasource.run(sql)
    except DatasourceError as exc:
        status = next(status for kind, status in _STATUS if isinstance(exc, kind))
        return Verification(status, sql, str(exc))
    return _passed(sql, result)


def sql_of(answer: str) -> str:
    """The statement in an answer: its first block fenced as SQL, else its first fenced as nothing, else all of it."""
    blocks = [(language.lower(), text) for language, text in _FENCED.findall(answer)]
    as_sql = [text for language, text in blocks if language in _SQL_FENCES]
    as_nothing = [text for language, text in blocks if not language]
    return next(iter((*as_sql, *as_nothing)), answer).strip().rstrip(";").strip()


def _passed(sql: str, result: ResultTable) -> Verification:
    return Verification(
        "passed",
        sql,
        columns=result.columns,
        rows=result.rows[:SHOWN_ROWS],
        row_count=len(result.rows),
        truncated=result.truncated,
        elapsed_seconds=round(result.elapsed_seconds, 6),
    )
